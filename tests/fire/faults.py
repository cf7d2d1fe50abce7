# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can happen in the midst of a run: each fault strikes at one statement of the tool, and can be healed."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.constants import COMMAND

from sandbox import SandboxError, Server

from . import cramped
from .proxy import Proxy
from .stage import PLAIN, STRUCK, USER, Stage, rights_of, user_of
from .values import quoted

_TOOL = "comaster.mysql_repl"
_DRIVER: Any = Connection


class Trigger:
    """Counts the tool's statements and lets a fault strike before a certain one (or while it runs). A context manager."""

    def __init__(self, at: int, strike: Callable[[], None], beside: bool) -> None:
        self._at, self._strike, self._beside = at, strike, beside
        self._command = _DRIVER._execute_command
        self._counting = threading.Lock()
        self.count = 0
        self.struck = False
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> Trigger:
        trigger = self

        # What reads rows goes past the driver's own query() (wire.py).
        def command(connection: Any, number: int, sql: Any) -> None:
            if number == COMMAND.COM_QUERY and connection._connect_attrs.get("program_name") == _TOOL:
                trigger.step()
            trigger._command(connection, number, sql)

        _DRIVER._execute_command = command
        return self

    def __exit__(self, *unused: object) -> None:
        _DRIVER._execute_command = self._command
        for thread in self.threads:
            thread.join(60)

    def step(self) -> None:
        """One statement more."""
        with self._counting:
            self.count += 1
            if self.struck or self.count < self._at:
                return
            self.struck = True
        if self._beside:
            thread = threading.Thread(target=self._strike)
            self.threads.append(thread)
            thread.start()
        else:
            self._strike()


@dataclass
class Field:
    """Where faults strike: the pair, the database, the ways to the servers; what to do to heal."""

    stage: Stage
    database: str
    dice: random.Random
    proxies: dict[str, Proxy]
    way: str = PLAIN
    healing: list[Callable[[], None]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: A replica that is away when the run begins, and when it came (time.monotonic()).
    away: Server | None = None
    came: float | None = None

    @property
    def side(self) -> str:
        """One of the servers."""
        return self.dice.choice(["a", "b"])

    @property
    def struck_below(self) -> Server:
        """One of the replicas below the two."""
        return self.stage.pair.servers[self.dice.choice(sorted(self.stage.below))]

    def run(self, name: str, *statements: str) -> None:
        """Run statements as an administrator would."""
        server = self.stage.pair.servers[name]
        with suppress(pymysql.MySQLError), closing(server.connect(read_timeout=20)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after a while, at the latest when the run is over."""
        one_at_a_time = threading.Lock()

        def act() -> None:
            with one_at_a_time:  # a server that is being started must answer before the run is judged
                action()

        timer = threading.Timer(seconds, act)
        timer.daemon = True
        timer.start()
        self.healing.append(timer.cancel)
        self.healing.append(act)

    def heal(self) -> None:
        """Put everything right that a fault did to the servers."""
        while self.healing:
            self.healing.pop(0)()


@dataclass(frozen=True)
class Fault:
    """A fault: its name, how to strike, and whether it does so beside the running statement.

    ``changes``: it changes tables, as an application may. ``process``: it ends the tool's own process.
    ``cramped``: it wants servers with little room for temporary files. ``below``: it strikes a replica below the two.
    ``before``: what is done before the run begins. ``refuse``: the run is not allowed to make replicas lenient. ``host``: the
    target dies with the tool.
    """

    name: str
    strike: Callable[[Field], None]
    beside: bool = False
    changes: bool = False
    process: bool = False
    network: bool = False
    cramped: bool = False
    below: bool = False
    rare: bool = False
    before: Callable[[Field], None] | None = None
    refuse: bool = False
    host: bool = False


def _kill(what: str) -> Callable[[Field], None]:
    def strike(place: Field) -> None:
        name = place.side
        for _attempt in range(place.dice.choice([1, 5])):
            with suppress(pymysql.MySQLError):
                rows = place.stage.pair.servers[name].query(
                    f"SELECT ID FROM information_schema.PROCESSLIST WHERE USER LIKE '{USER}%'"
                )
                for row in rows if place.dice.random() < 0.5 else rows[:1]:
                    place.run(name, f"KILL {what} {row[0]}")
            time.sleep(0.003)

    return strike


def _crash(place: Field) -> None:
    server = place.stage.pair.servers[place.side]
    place.stage.hands.drop()
    server.kill()

    def start() -> None:
        with suppress(SandboxError):
            server.start()

    place.later(place.dice.choice([0.0, 0.5]), start)


def _pause(place: Field) -> None:
    server = place.stage.pair.servers[place.side]
    server.pause()
    place.later(place.dice.choice([0.2, 1.0, 2.5]), server.resume)


def _stop_link(place: Field) -> None:
    stop_applying(place, place.stage.pair.servers[place.side])


def stop_applying(place: Field, server: Server) -> None:
    """Somebody stops a server's replication, for a moment or for long."""
    with suppress(pymysql.MySQLError):
        server.stop_replica()

    def start() -> None:
        with suppress(pymysql.MySQLError):
            server.start_replica()

    place.later(place.dice.choice([0.3, 1.5, 60]), start)


def _break_link(place: Field) -> None:
    """The application inserts a row that the other side has already: error 1062."""
    name = place.side
    other = "a" if name == "b" else "b"
    table = f"{quoted(place.database)}.breaker"
    place.run(name, "SET SESSION sql_log_bin = 0", f"INSERT INTO {table} VALUES (1, 'in the way')")
    place.run(other, f"INSERT INTO {table} VALUES (1, 'right')")

    def mend() -> None:
        place.run(name, "SET SESSION sql_log_bin = 0", f"DELETE FROM {table} WHERE v = 'in the way'")
        with suppress(pymysql.MySQLError):
            place.stage.pair.servers[name].stop_replica()
            place.stage.pair.servers[name].start_replica()

    place.healing.append(mend)


def lock(*statements: str, seconds: tuple[float, ...] = (0.3, 1.5, 3.0), below: bool = False) -> Callable[[Field], None]:
    """Hold locks of an application for a while; ``below``: on a replica below the two."""

    def strike(place: Field) -> None:
        server = place.struck_below if below else place.stage.pair.servers[place.side]
        connection = server.connect(read_timeout=20)
        with suppress(pymysql.MySQLError), connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 2, lock_wait_timeout = 2")
            cursor.execute(f"USE {quoted(place.database)}")
            for statement in statements:
                cursor.execute(statement)

        def release() -> None:
            with suppress(Exception):
                connection.close()

        place.later(place.dice.choice(seconds), release)

    return strike


def _deadlocks(place: Field) -> None:
    """Two applications that lock the same rows in any order and change nothing."""
    stop = threading.Event()

    def work(seed: float) -> None:
        dice = random.Random(seed)
        with suppress(pymysql.MySQLError), closing(place.stage.pair.a.connect(database=place.database)) as connection:
            while not stop.is_set():
                with suppress(pymysql.err.OperationalError), connection.cursor() as cursor:
                    cursor.execute("BEGIN")
                    for _row in range(3):
                        cursor.execute(f"UPDATE t1 SET v = v WHERE id = {dice.randrange(60)}")
                    time.sleep(0.01)
                    cursor.execute("COMMIT")

    threads = [threading.Thread(target=work, args=(place.dice.random(),)) for _each in range(2)]
    for thread in threads:
        thread.start()

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join(10)

    place.healing.append(end)


def _global(settings: dict[str, dict[str, str]], back: dict[str, dict[str, str]]) -> Callable[[Field], None]:
    """Change settings of a server; those of its family."""

    def strike(place: Field) -> None:
        name = place.side
        family = place.stage.pair.a.family
        kept = place.stage.pair.servers[name].connect()  # where no connection is left, nothing could be mended either
        for variable, value in settings[family].items():
            place.run(name, f"SET GLOBAL {variable} = {value}")

        def mend() -> None:
            with suppress(Exception), kept.cursor() as cursor:
                for variable, value in back[family].items():
                    cursor.execute(f"SET GLOBAL {variable} = {value}")
            with suppress(Exception):
                kept.close()

        place.later(place.dice.choice([0.2, 60]), mend)

    return strike


def _ddl(*choices: str) -> Callable[[Field], None]:
    """The application alters a table; replication carries it."""

    def strike(place: Field) -> None:
        statement = place.dice.choice(choices)
        place.notes.append(statement)
        place.run("a", "SET SESSION lock_wait_timeout = 3", f"USE {quoted(place.database)}", statement)

    return strike


def _revoke(place: Field) -> None:
    name = place.side
    user = f"'{user_of(place.way, STRUCK)}'@'%'"
    rights = rights_of(place.stage.pair.a.family, place.way, bool(place.stage.below), STRUCK)
    right = place.dice.choice(list(rights))
    place.run(name, "SET SESSION sql_log_bin = 0", f"REVOKE {right} ON {rights[right]} FROM {user}")
    give = f"GRANT {right} ON {rights[right]} TO {user}"
    place.healing.append(lambda: place.run(name, "SET SESSION sql_log_bin = 0", give))


def _temp_full(place: Field) -> None:
    give_back = cramped.fill(place.stage.pair.servers[place.side])
    place.later(place.dice.choice([0.5, 2.0, 60]), give_back)


def _innodb_full(place: Field) -> None:
    give_back = cramped.fill_innodb(place.stage.pair.servers[place.side])
    place.later(place.dice.choice([0.5, 2.0, 60]), give_back)


def _disk_full(place: Field) -> None:
    """No file of this process may grow beyond a size: as a full disk to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (place.dice.choice([0, 300, 2000]), before[1]))
    place.healing.append(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))


def _clock(place: Field) -> None:
    """The clock of the machine jumps, as the tool's process sees it."""
    true = time.time
    jump = place.dice.choice([-86400.0, 3600.0, 10.0**9])
    time.time = lambda: true() + jump

    def mend() -> None:
        time.time = true

    place.healing.append(mend)


def _lose_host(place: Field) -> None:
    """The host of the tool loses its power, now or in a moment; with it the target, whose end is struck.py's."""
    time.sleep(place.dice.choice([0.0, place.dice.random()]))
    os.kill(os.getpid(), signal.SIGKILL)


def _forget(connection: pymysql.Connection[Any]) -> None:
    with suppress(pymysql.MySQLError):
        connection.close()


def _hold_rows(place: Field) -> None:
    """Keep the target from applying, most of the time, so that it dies behind the source."""
    if place.dice.random() < 0.7:
        holder = place.stage.pair.b.connect(database=place.database)
        place.healing.append(lambda: _forget(holder))
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM t1 WHERE id % 2 = 0 OR id > 60 FOR UPDATE")


def _end_process(how: signal.Signals) -> Callable[[Field], None]:
    def strike(place: Field) -> None:
        os.kill(os.getpid(), how)
        time.sleep(10)

    return strike


def _cut(place: Field) -> None:
    place.proxies[place.side].cut()


def _stall(place: Field) -> None:
    proxy = place.proxies[place.side]
    proxy.stall()
    place.later(place.dice.choice([0.3, 2.0]), proxy.flow)


def _slow(place: Field) -> None:
    proxy = place.proxies[place.side]
    proxy.delay = 0.01

    def mend() -> None:
        proxy.delay = 0.0

    place.healing.append(mend)


def _stall_and_cut(place: Field) -> None:
    proxy = place.proxies[place.side]
    proxy.stall()

    def cut() -> None:
        proxy.cut()
        proxy.flow()

    place.later(0.5, cut)


_SHORT = {"mysql": {"max_execution_time": "1"}, "mariadb": {"max_statement_time": "0.0001"}}
_LONG = {"mysql": {"max_execution_time": "0"}, "mariadb": {"max_statement_time": "0"}}
_FEW = {family: {"max_connections": "10"} for family in ("mysql", "mariadb")}
_MANY = {family: {"max_connections": "151"} for family in ("mysql", "mariadb")}
_READ_ONLY = {family: {"read_only": "1"} for family in ("mysql", "mariadb")}
_WRITABLE = {family: {"read_only": "0"} for family in ("mysql", "mariadb")}
_IDLE = {family: {"wait_timeout": "1", "net_read_timeout": "1"} for family in ("mysql", "mariadb")}
_LONG_IDLE = {family: {"wait_timeout": "28800", "net_read_timeout": "30"} for family in ("mysql", "mariadb")}

FAULTS = (
    Fault("KILL QUERY", _kill("QUERY"), beside=True),
    Fault("KILL CONNECTION", _kill("CONNECTION"), beside=True),
    Fault("KILL between statements", _kill("CONNECTION")),
    Fault("server SIGKILL and restart", _crash, beside=True, rare=True),
    Fault("server SIGSTOP", _pause, beside=True),
    Fault("replication stopped by hand", _stop_link),
    Fault("replication broken (1062)", _break_link, changes=True),
    Fault("lag: applier held by a global lock", lock("FLUSH TABLES WITH READ LOCK"), beside=True),
    Fault("rows locked by the application", lock("BEGIN", "SELECT * FROM t1 WHERE id < 40 FOR UPDATE"), beside=True),
    Fault("table locked by the application", lock("LOCK TABLES t1 WRITE, t2 WRITE"), beside=True),
    Fault("open transaction in the way of DDL", lock("BEGIN", "SELECT * FROM t2"), beside=True),
    Fault("deadlocks", _deadlocks),
    Fault("statement timeout", _global(_SHORT, _LONG)),
    Fault("max_connections reached", _global(_FEW, _MANY)),
    Fault("server read_only", _global(_READ_ONLY, _WRITABLE)),
    Fault("idle timeouts of a second", _global(_IDLE, _LONG_IDLE)),
    Fault("table altered", _ddl("ALTER TABLE t1 ADD x int", "ALTER TABLE t2 DROP v", "ALTER TABLE t1 MODIFY v varchar(99)"),
          beside=True, changes=True),
    Fault("table dropped", _ddl("DROP TABLE t1", "DROP TABLE t2"), beside=True, changes=True),
    Fault("table renamed", _ddl("RENAME TABLE t1 TO t9", "RENAME TABLE t1 TO t9, t2 TO t1"), beside=True, changes=True),
    Fault("table truncated", _ddl("TRUNCATE TABLE t1", "TRUNCATE TABLE t3"), beside=True, changes=True),
    Fault("grants revoked", _revoke),
    Fault("disk full", _disk_full),
    Fault("temporary space full", _temp_full, cramped=True),
    Fault("InnoDB's temporary tablespace full", _innodb_full, cramped=True),
    Fault("clock jump", _clock),
    Fault("tool SIGKILL", _end_process(signal.SIGKILL), process=True),
    Fault("tool SIGTERM", _end_process(signal.SIGTERM), process=True),
    Fault("host of target and tool lost", _lose_host, beside=True, process=True, host=True, before=_hold_rows),
    Fault("network cut", _cut, network=True, beside=True),
    Fault("network stalled", _stall, network=True, beside=True),
    Fault("network slow", _slow, network=True),
    Fault("network stalled and cut", _stall_and_cut, network=True, beside=True),
)  # fmt: skip
