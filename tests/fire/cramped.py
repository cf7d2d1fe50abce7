# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers with little room for temporary files, and how to use that up and give it back."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pymysql

from sandbox import Server

#: So that little is kept in memory.
_SMALL = {
    "binlog_cache_size": "4096",
    "tmp_table_size": "1024",
    "max_heap_table_size": "16384",
    "sort_buffer_size": "32768",
}
_ROOM = "8m"
_FILLER = "filler"


def options(family: str) -> dict[str, str]:
    """Settings of a server whose temporary space is small.

    Where this process may mount, its folder of temporary files is a file system of its own; InnoDB's temporary tablespace, which
    holds the rows of temporary tables on MariaDB and on MySQL what takes changes of them back, is limited, too.
    """
    found = dict(_SMALL)
    folder = _small_file_system()
    if folder:
        found["tmpdir"] = str(folder)
        if family == "mysql":
            found["innodb_temp_tablespaces_dir"] = str(folder)
    if family == "mariadb":
        found["innodb_temp_data_file_path"] = "ibtmp1:12M:autoextend:max:12M"
    else:  # it grows beyond a 'max' (9.7.4, measured), but not by itself; 10 MB of it are used from the start
        found["innodb_temp_data_file_path"] = "ibtmp1:14M"
    return found


def _small_file_system() -> Path | None:
    folder = Path(tempfile.mkdtemp(prefix="fire-tmp-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_ROOM}", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        folder.rmdir()
        return None
    folder.chmod(0o777)
    atexit.register(_give_back, folder)
    return folder


def _give_back(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
    with contextlib.suppress(OSError):
        folder.rmdir()


def fill(server: Server) -> Callable[[], None]:
    """Use the temporary space of a server up; returns what gives it back."""
    undo = [_fill_tables(server), _limit(server)] if server.family == "mariadb" else []
    folder = server.options.get("tmpdir")
    if folder:
        undo.append(_fill_folder(Path(folder)))
    return _once_more(*undo)


def fill_innodb(server: Server) -> Callable[[], None]:
    """Use InnoDB's temporary tablespace up, whatever it holds; returns what gives it back."""
    return _once_more(_fill_tables(server) if server.family == "mariadb" else _fill_undo(server))


def _once_more(*undo: Callable[[], None]) -> Callable[[], None]:
    """Do all of these; one that was done already, or whose server is gone, is let be."""

    def give_back() -> None:
        for each in undo:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                each()

    return give_back


def _fill_folder(folder: Path) -> Callable[[], None]:
    filler = folder / _FILLER
    handle = os.open(filler, os.O_CREAT | os.O_WRONLY)
    size = 1 << 20
    while size:
        try:
            os.write(handle, b"x" * size)
        except OSError:
            size //= 2
    os.close(handle)
    return filler.unlink


def _fill_undo(server: Server) -> Callable[[], None]:
    """By one transaction that could be taken back."""
    connection: Any = server.connect(autocommit=False)
    with contextlib.suppress(pymysql.MySQLError), connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0")
        cursor.execute("CREATE TEMPORARY TABLE mysql.filler (id int PRIMARY KEY, b varchar(6000) CHARSET latin1) ENGINE=InnoDB")
        cursor.execute("INSERT INTO mysql.filler VALUES (0, ''), (1, REPEAT('x', 6000))")
        for row, size in ((1, 6000), (0, 10)):  # large pieces, then small ones
            with contextlib.suppress(pymysql.MySQLError):
                for number in itertools.count():  # until it is full
                    cursor.execute(f"UPDATE mysql.filler SET b = LPAD({number}, {size}, 'x') WHERE id = {row}")
    return connection.close  # type: ignore[no-any-return]


def _fill_tables(server: Server) -> Callable[[], None]:
    connection: Any = server.connect()
    with contextlib.suppress(pymysql.MySQLError), connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0, binlog_format = 'ROW'")
        cursor.execute("CREATE TEMPORARY TABLE mysql.filler (b longblob) ENGINE=InnoDB")
        for size in (1 << 20, 1 << 17, 1 << 14):
            with contextlib.suppress(pymysql.MySQLError):
                while True:  # until it is full
                    cursor.execute(f"INSERT INTO mysql.filler VALUES (REPEAT('x', {size}))")
    return connection.close  # type: ignore[no-any-return]


def _limit(server: Server) -> Callable[[], None]:
    """MariaDB 11.5 and later count what is used."""
    before = server.query("SHOW GLOBAL VARIABLES LIKE 'max_tmp_total_space_usage'")
    if not before:
        return lambda: None
    server.execute("SET GLOBAL max_tmp_total_space_usage = 65536")
    return lambda: server.execute(f"SET GLOBAL max_tmp_total_space_usage = {before[0][1]}")
