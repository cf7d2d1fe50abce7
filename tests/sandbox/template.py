# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Data directories: initialised once for each server version, copied for every server started.

A template holds the accounts already. They were made with no binary log, so that servers copied
from it start with an empty history and can be linked without any conflict.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from . import packages
from .errors import SandboxError
from .settings import FAMILY, Options, daemon_command

ROOT_PASSWORD = "sandbox-root"
REPL_USER = "repl"
REPL_PASSWORD = "sandbox-repl"

_REVISION = 2
"""Raise it when templates made before would be wrong."""

_ACCOUNTS = (
    f"CREATE USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}'",
    f"CREATE USER root@'127.0.0.1' IDENTIFIED BY '{ROOT_PASSWORD}'",
    "GRANT ALL ON *.* TO root@localhost WITH GRANT OPTION",
    "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION",
    f"CREATE USER {REPL_USER}@'127.0.0.1' IDENTIFIED BY '{REPL_PASSWORD}'",
    f"GRANT REPLICATION SLAVE ON *.* TO {REPL_USER}@'127.0.0.1'",
)
_MARIADB_BOOTSTRAP = (
    "*_system_tables.sql",
    "*_performance_tables.sql",
    "*_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "*_sys_schema.sql",
)


def copy_template(flavor: str, datadir: Path, lower_case_table_names: int = 0) -> None:
    """Fill *datadir* (made here) with a fresh server's data, accounts included.

    *lower_case_table_names* is asked for here because MySQL fixes it when data is initialised.
    """
    made = _template(flavor, lower_case_table_names)
    subprocess.run(["cp", "-a", "--reflink=auto", "--sparse=always", str(made), str(datadir)], check=True)


def _template(flavor: str, lower_case_table_names: int) -> Path:
    """Return the template of a flavour, initialising it the first time."""
    tree = packages.tree(flavor)
    name = f"data-{packages.version(tree)}-{_REVISION}-{lower_case_table_names}"
    made = packages.cache_folder() / flavor / name
    if made.is_dir():
        return made
    with packages.locked(flavor) as folder:
        if not made.is_dir():
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
            try:
                _initialise(flavor, tree, building, {"lower-case-table-names": str(lower_case_table_names)})
                (building / "data").rename(made)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return made


def _initialise(flavor: str, tree: packages.Tree, folder: Path, options: Options) -> None:
    """Make system tables and accounts in *folder*/data; raises SandboxError if it fails."""
    data = folder / "data"
    family = packages.flavor(flavor).family
    settings = {**FAMILY[family], **options, "datadir": str(data), "tmpdir": str(folder)}
    statements = _accounts(family) if family == "mysql" else _mariadb_statements(tree)
    if family == "mysql":
        (folder / "init.sql").write_text(statements, encoding="utf-8")
        settings.update({"initialize_insecure": None, "init_file": str(folder / "init.sql")})
    else:
        data.mkdir()
        settings["bootstrap"] = None
    done = subprocess.run(
        daemon_command(tree, settings),
        input=statements,  # MySQL does not read it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode or "ERROR" in done.stdout:
        raise SandboxError(f"{flavor}: no data directory could be made:\n{done.stdout[-2000:]}")
    # With this file MySQL's copies would all have one server_uuid.
    (data / "auto.cnf").unlink(missing_ok=True)


def _accounts(family: str) -> str:
    """Return the statements that make the accounts; MySQL has a root without password already."""
    existing = f"CREATE USER root@localhost IDENTIFIED BY '{ROOT_PASSWORD}';"
    made = "".join(f"{statement};\n" for statement in _ACCOUNTS)
    return made.replace(existing, existing.replace("CREATE", "ALTER")) if family == "mysql" else made


def _mariadb_statements(tree: packages.Tree) -> str:
    """Return what mariadb-install-db feeds to a server, with our accounts instead of its own."""
    # 10.5 has no sys schema yet.
    files = [path for pattern in _MARIADB_BOOTSTRAP for path in list(tree.share.glob(pattern))[:1]]
    return "\n".join(
        [
            "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;",
            *(file.read_text(encoding="utf-8") for file in files),
            "DELETE FROM mysql.global_priv WHERE User <> 'mariadb.sys';",
            "DELETE FROM mysql.proxies_priv;\nFLUSH PRIVILEGES;",
            _accounts("mariadb"),
        ]
    )
