# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One server: its process, its connections and its replication links."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pymysql
import pymysql.cursors

from . import packages, process, template
from .errors import ServerFailed
from .settings import Options, daemon_command, for_server
from .words import WORDS, literal, normalise

_LOST = (0, 2006, 2013)
"""PyMySQL's codes for a connection that went away since it was last used."""
_STARTUP = 120.0
"""Seconds a server may take to start or to stop (crash recovery on a busy machine included)."""
_CONNECTS = 10.0
"""Seconds a started receiver is given to connect."""
_CONNECTING = ("Connecting", "Preparing")
_STARTS_RECEIVER = re.compile(r"START (?:REPLICA|SLAVE|ALL SLAVES)\b(?!.*\bSQL_THREAD)").match


class Server:
    """A MySQL or MariaDB server on 127.0.0.1 with a data directory of its own.

    *options* (`{"sql_mode": "ANSI_QUOTES"}`) win over the sandbox's own settings. The server runs
    from `start()` to `stop()` or `kill()`.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        name: str,
        flavor: str,
        server_id: int,
        gtid: bool = True,
        options: Options | None = None,
    ) -> None:
        self.name = name
        self.flavor = flavor
        self.family = packages.flavor(flavor).family
        self.server_id = server_id
        self.gtid = gtid
        self.options = {key.replace("-", "_"): value for key, value in (options or {}).items()}
        self.root_password = template.ROOT_PASSWORD
        self.sources: dict[str, Server] = {}
        self.tree = packages.tree(flavor)
        self.folder = process.new_folder(name)
        self.datadir = self.folder / "data"
        self.error_log = self.folder / "error.log"
        self.socket = str(self.folder / "mysqld.sock")
        self.port = process.free_port()
        self.words = WORDS[self.family]
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: pymysql.Connection[Any] | None = None
        self._watching = threading.Lock()

    def __repr__(self) -> str:
        state = "up" if self.running else "down"
        return f"<Server {self.name} {self.flavor} {self.host}:{self.port} {state}>"

    # -- life --------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether the process lives (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        return self._process.pid if self._process and self.running else None

    def start(self, replicate: bool = True) -> None:
        """Start on the same data and port as before, and wait until it answers.

        Its links start by themselves, as on any server, unless *replicate* is false.
        Raises ServerFailed with the end of the error log.
        """
        if self.running:
            return
        first = not self.datadir.exists()
        if first:
            (self.folder / "tmp").mkdir()
            template.copy_template(self.flavor, self.datadir, int(self.options.get("lower_case_table_names") or 0))
        for attempt in range(5):
            self._process = process.spawn(self._command(replicate), self.folder, self.error_log)
            if self._answers():
                return
            taken = "Address already in use" in self._last_words()
            if not (first and taken and attempt < 4):
                break
            self.error_log.write_text("", encoding="utf-8")
            self.port = process.free_port()
        self.kill()
        raise ServerFailed(f"{self!r} did not start:\n{self._last_words()}")

    def _command(self, replicate: bool) -> list[str]:
        settings = {
            **for_server(self.family, self.gtid, self.server_id),
            "datadir": str(self.datadir),
            "tmpdir": str(self.folder / "tmp"),
            "socket": self.socket,
            "pid_file": str(self.folder / "mysqld.pid"),
            "port": str(self.port),
            "report_host": self.host,
            "report_port": str(self.port),
            **self.options,
        }
        if not replicate:
            settings["skip_slave_start"] = None
        return daemon_command(self.tree, settings)

    def _answers(self) -> bool:
        deadline = time.monotonic() + _STARTUP
        while self.running and time.monotonic() < deadline:
            try:
                self.connect(connect_timeout=2).close()
                return True
            except pymysql.MySQLError:
                time.sleep(0.03)
        return False

    def _last_words(self) -> str:
        lines = self.error_log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-20:])

    def stop(self) -> None:
        """Shut down in good order and keep the data; raises ServerFailed when it does not end."""
        self.resume()
        if self.running and self.family == "mysql":
            # It would wait 8 s for its replicas to go away by themselves; this sends them away.
            self.execute("SET GLOBAL offline_mode=ON")
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the server at once (SIGKILL), as a crash would, and keep the data."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self.running:
            self.resume()
            self._process.send_signal(how)
        try:
            self._process.wait(_STARTUP)
        except subprocess.TimeoutExpired:
            raise ServerFailed(f"{self!r} did not stop:\n{self._last_words()}") from None

    def pause(self) -> None:
        """Freeze the server (SIGSTOP): its connections stay open and nothing answers."""
        if self._process and self.running:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server run on."""
        if self._process and self.running:
            self._process.send_signal(signal.SIGCONT)

    def discard(self) -> None:
        """End the server and remove its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- SQL ---------------------------------------------------------------------------------------

    def connect(
        self,
        user: str = "root",
        password: str | None = None,
        database: str | None = None,
        **more: Any,
    ) -> pymysql.Connection[Any]:
        """Return a new connection (autocommit, utf8mb4), which the caller closes.

        *more* goes to PyMySQL. The way is the unix socket unless *host* is given (as `server.host`,
        for TCP), the password is root's unless given; an answer is waited for 600 s unless
        *read_timeout* says otherwise.
        """
        # Nobody listens on a socket, and to be ready for TLS takes longer than most questions.
        where = {"port": self.port} if "host" in more else {"unix_socket": self.socket, "ssl_disabled": True}
        bounds = {
            "connect_timeout": 10,
            "read_timeout": 600,
        }  # a paused server must not hang us for ever
        settings = {"autocommit": True, "charset": "utf8mb4", **bounds, **where, **more}
        secret = self.root_password if password is None else password
        return pymysql.connect(user=user, password=secret, database=database, **settings)

    def query(self, sql: str, args: Any = None, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run one statement as root on a connection of its own and return its rows."""
        with closing(self.connect(database=database)) as connection, connection.cursor() as cursor:
            cursor.execute(sql, args)
            return list(cursor.fetchall())

    def execute(self, sql: str | Sequence[str], database: str | None = None, logged: bool = True) -> None:
        """Run statements as root on one connection; *logged* false keeps them out of the binlog."""
        with closing(self.connect(database=database)) as connection, connection.cursor() as cursor:
            if not logged:
                cursor.execute("SET SESSION sql_log_bin=0")
            statements = [sql] if isinstance(sql, str) else sql
            for statement in statements:
                cursor.execute(statement)
        if any(_STARTS_RECEIVER(statement) for statement in statements):
            self._let_connect()

    def _let_connect(self) -> None:
        """Return once every receiver has connected or failed to: a link that is asked sooner is a stopped one."""
        deadline = time.monotonic() + _CONNECTS
        while any(self.replica_status(channel).get("Replica_IO_Running") in _CONNECTING for channel in self.sources):
            if time.monotonic() > deadline:
                return  # there are tests of links that never connect
            time.sleep(0.02)

    def watch(self, sql: str, args: Any = None) -> list[dict[str, Any]]:
        """Return the rows of a statement that only looks, by way of a kept root connection."""
        with self._watching:
            for renewed in (False, True):
                try:
                    if self._watcher is None:
                        self._watcher = self.connect(cursorclass=pymysql.cursors.DictCursor, read_timeout=10)
                    with self._watcher.cursor() as cursor:
                        cursor.execute(sql, args)
                        return list(cursor.fetchall())
                except (pymysql.err.OperationalError, pymysql.err.InterfaceError) as error:
                    self._watcher = None
                    if renewed or error.args[0] not in _LOST or "timed out" in str(error):
                        raise
        raise AssertionError("unreachable")

    def binlog_position(self) -> tuple[str, int]:
        """Return (file, byte offset) of the end of the binary log."""
        status = self.watch(self.words.position)[0]
        return str(status["File"]), int(status["Position"])

    def binlog_dump(self, file: str | None = None, *arguments: str) -> str:
        """Return a binary log (by default the current one) as the server's own tool shows it."""
        program = next(name for name in ("bin/mariadb-binlog", "bin/mysqlbinlog") if self.tree.has(name))
        path = self.datadir / (file or self.binlog_position()[0])
        command = [
            *self.tree.command(program),
            "--no-defaults",
            *(arguments or ("-v", "--base64-output=decode-rows")),
        ]
        command += [f"--character-sets-dir={self.tree.share / 'charsets'}", str(path)]
        return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode("utf-8", "replace")

    # -- replication -------------------------------------------------------------------------------

    def replicate_from(
        self,
        source: Server,
        channel: str | None = None,
        delay: int | None = None,
        position: tuple[str, int] | None = None,
    ) -> None:
        """Make this server a replica of *source* and start the link.

        It reads from the oldest binary log on, or from *position* (by file and offset then, even
        with GTID). *delay* is in seconds.
        """
        settings: dict[str, object] = {
            "HOST": source.host,
            "PORT": source.port,
            "USER": template.REPL_USER,
            "PASSWORD": template.REPL_PASSWORD,
            "CONNECT_RETRY": 1,
            "HEARTBEAT_PERIOD": 1,
        }
        if delay is not None:
            settings["DELAY"] = delay
        foreign = source.family != self.family
        if foreign:
            # A MariaDB counts MySQL's heartbeats as part of its binary log, and loses its place at the next connection.
            settings["HEARTBEAT_PERIOD"] = 0
        by_gtid = self.gtid and source.gtid and position is None and not foreign
        if not by_gtid:
            file, offset = position or (source.query("SHOW BINARY LOGS")[0][0], 4)
            settings.update({"LOG_FILE": file, "LOG_POS": offset})
        self.execute(self.words.change_source(channel or "", settings, by_gtid, foreign))
        self.sources[channel or ""] = source
        self.start_replica(channel)

    def start_replica(self, channel: str | None = None) -> None:
        """Start both threads of a link."""
        self._replica(self.words.start, channel)

    def stop_replica(self, channel: str | None = None) -> None:
        """Stop both threads of a link; it stays configured."""
        self._replica(self.words.stop, channel)

    def reset_replica(self, channel: str | None = None) -> None:
        """Stop a link and forget it."""
        self.stop_replica(channel)
        self._replica(self.words.reset, channel)
        self.sources.pop(channel or "", None)

    def _replica(self, statement: str, channel: str | None) -> None:
        self.execute(statement.format(channel=literal(channel or "")))

    def replica_status(self, channel: str | None = None) -> dict[str, Any]:
        """Return a link's status in MySQL's present words (Source_Host, …); {} if there is none."""
        rows = self.watch(self.words.status.format(channel=literal(channel or "")))
        return normalise(rows[0]) if rows else {}
