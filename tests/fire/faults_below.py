# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can happen to a replica below the two in the midst of a run, which may have made it lenient."""

from __future__ import annotations

import time
from contextlib import suppress

import pymysql

from sandbox import SandboxError, Server

from .faults import Fault, Field, lock, stop_applying
from .stage import STRUCK, USER, mode_variable, rights_of, user_of
from .values import quoted


def _crash(place: Field) -> None:
    server = place.struck_below
    place.stage.hands.drop()
    server.kill()

    def start() -> None:
        with suppress(SandboxError):
            server.start()

    place.later(place.dice.choice([0.0, 0.5, 4.0]), start)


def _pause(place: Field) -> None:
    server = place.struck_below
    server.pause()
    place.later(place.dice.choice([0.2, 1.0, 2.5, 13.0]), server.resume)


def _stop(place: Field) -> None:
    stop_applying(place, place.struck_below)


def _break(place: Field) -> None:
    """The application inserts a row that the replica has already."""
    server, table = place.struck_below, f"{quoted(place.database)}.breaker"
    place.run(server.name, "SET SESSION sql_log_bin = 0", f"INSERT INTO {table} VALUES (1, 'in the way')")
    place.run("a", f"INSERT INTO {table} VALUES (1, 'right')")

    def mend() -> None:
        place.run(server.name, "SET SESSION sql_log_bin = 0", f"DELETE FROM {table} WHERE v = 'in the way'")
        with suppress(pymysql.MySQLError):
            server.stop_replica()
            server.start_replica()

    place.healing.append(mend)


def _detach(place: Field) -> None:
    """It is taken away, and comes back when the run is over."""
    server = place.struck_below
    source = server.sources[""]
    with suppress(pymysql.MySQLError):
        server.reset_replica()

    def attach() -> None:
        if not server.sources:
            server.replicate_from(source)

    place.healing.append(attach)


def _kill_sessions(place: Field) -> None:
    name = place.struck_below.name
    with suppress(pymysql.MySQLError):
        of_tool = f"SELECT ID FROM information_schema.PROCESSLIST WHERE USER LIKE '{USER}%'"
        for row in place.stage.pair.servers[name].query(of_tool):
            place.run(name, f"KILL CONNECTION {row[0]}")


def _leave_lenient(place: Field) -> None:
    """Somebody sets it IDEMPOTENT and forgets."""
    server = place.struck_below
    place.run(server.name, f"SET GLOBAL {mode_variable(server)} = 'IDEMPOTENT'")


def _make_strict(place: Field) -> None:
    """Somebody thinks that IDEMPOTENT was forgotten there."""
    server = place.struck_below
    place.run(server.name, f"SET GLOBAL {mode_variable(server)} = 'STRICT'")


def _revoke(place: Field) -> None:
    name = place.struck_below.name
    user = f"'{user_of(place.way, STRUCK)}'@'%'"
    rights = rights_of(place.stage.pair.a.family, place.way, True, STRUCK)
    right = place.dice.choice(list(rights))
    place.run(name, "SET SESSION sql_log_bin = 0", f"REVOKE {right} ON {rights[right]} FROM {user}")
    give = f"GRANT {right} ON {rights[right]} TO {user}"
    place.healing.append(lambda: place.run(name, "SET SESSION sql_log_bin = 0", give))


def _read_only(place: Field) -> None:
    server = place.struck_below
    variable = "super_read_only" if server.family == "mysql" else "read_only"
    place.run(server.name, f"SET GLOBAL {variable} = 1")
    place.healing.append(lambda: place.run(server.name, f"SET GLOBAL {variable} = 0", "SET GLOBAL read_only = 0"))


def _away(place: Field) -> None:
    """One is not there when the run begins."""
    server = place.away = place.struck_below
    server.stop_replica()
    _until(server, listed=False)


def _join(place: Field) -> None:
    """It comes, and gets what was logged while it was away: at once, or a moment later."""
    server = place.away
    assert server
    server.start_replica()
    _until(server, listed=True)
    place.came = time.monotonic()
    time.sleep(place.dice.choice([0.0, 0.0, 0.3]))


def _until(server: Server, listed: bool) -> None:
    """Wait until its upstream has it among its replicas, or no longer has."""
    show = "SHOW REPLICAS" if server.family == "mysql" else "SHOW SLAVE HOSTS"
    deadline = time.monotonic() + 20
    while (server.server_id in [row[0] for row in server.sources[""].query(show)]) != listed:
        if time.monotonic() > deadline:
            raise SandboxError(f"{server} is{' not' if listed else ' still'} listed")
        time.sleep(0.02)


_lock_all = lock("FLUSH TABLES WITH READ LOCK", seconds=(0.3, 1.5, 13.0), below=True)
_lock_rows = lock("BEGIN", "SELECT * FROM t1 WHERE id < 40 FOR UPDATE", seconds=(0.3, 1.5, 13.0), below=True)

BELOW = tuple(
    Fault(f"replica below {name}", strike, below=True, **more)
    for name, strike, more in (
        ("SIGKILL and restart", _crash, {"beside": True}),
        ("SIGSTOP", _pause, {"beside": True}),
        ("stopped by hand", _stop, {}),
        ("broken (1062)", _break, {"changes": True}),
        ("detached", _detach, {}),
        ("held by a global lock", _lock_all, {"beside": True}),
        ("held by locked rows", _lock_rows, {"beside": True}),
        ("loses the tool's sessions", _kill_sessions, {}),
        ("left lenient", _leave_lenient, {}),
        ("made strict", _make_strict, {}),
        ("grants revoked", _revoke, {}),
        ("read_only", _read_only, {}),
        ("joins", _join, {"before": _away}),
        ("joins, and may not be made lenient", _join, {"before": _away, "refuse": True}),
    )
)
