# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where scenarios and faults take place: a running pair with the accounts that the guides tell to make, and what is counted."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import Server, Topology

from .hands import Hands
from .values import quoted

USER, PASSWORD = "fire", "s3cret-Fire-Pass"

#: Through the shadow; by row changes; with the target's rows adopted or taken where they are newer.
PLAIN, ROW, MERGE = WAYS = ("plain", "row", "merge")

_REPAIR = {
    "mysql": ("SELECT", "TRIGGER", "CREATE TEMPORARY TABLES", "REPLICATION CLIENT", "PROCESS", "SESSION_VARIABLES_ADMIN"),
    "mariadb": (
        "SELECT", "TRIGGER", "CREATE TEMPORARY TABLES", "CREATE", "INSERT", "BINLOG MONITOR", "SLAVE MONITOR", "PROCESS",
        "BINLOG ADMIN",
    ),
}  # fmt: skip
_ON_DATA = frozenset({"SELECT", "TRIGGER", "CREATE TEMPORARY TABLES", "CREATE", "INSERT", "DELETE", "UPDATE"})
_EXEC_MODE = {"mysql": "SYSTEM_VARIABLES_ADMIN", "mariadb": "REPLICATION SLAVE ADMIN"}
_SEE_REPLICAS = {"mysql": "REPLICATION SLAVE", "mariadb": "REPLICATION MASTER ADMIN"}


#: Where rights on data are given: to repair scenarios, and what faults strike. Of rights on everything a session keeps
#: what it began with, so taking these away strikes nobody.
EVERYWHERE, STRUCK = "*.*", "`x%`.*"


def user_of(way: str, scope: str = EVERYWHERE) -> str:
    """The account for a way of repairing."""
    return f"{USER}_{'struck' if scope == STRUCK else 'repair'}_{way}"


def rights_of(family: str, way: str, below: bool = False, scope: str = EVERYWHERE) -> dict[str, str]:
    """The documented rights of that account, and on what. ``below``: there are replicas whose exec mode it must set."""
    more = {PLAIN: (), ROW: ("INSERT", "DELETE", "UPDATE"), MERGE: ("INSERT", "UPDATE")}[way]
    mode = (_EXEC_MODE[family],) if below or way == ROW else ()
    see = (_SEE_REPLICAS[family],) if below else ()
    every = (*_REPAIR[family], *more, *mode, *see)
    return {right: scope if right in _ON_DATA else EVERYWHERE for right in every}


def mode(server: Server) -> str:
    """STRICT or IDEMPOTENT: how a server applies rows."""
    return str(server.query(f"SELECT @@GLOBAL.{mode_variable(server)}")[0][0])


def mode_variable(server: Server) -> str:
    """The variable as the server calls it."""
    return "replica_exec_mode" if server.family == "mysql" else "slave_exec_mode"


class Broken(AssertionError):
    """A law does not hold."""


@dataclass
class Tally:
    """What a run of many scenarios went through."""

    scenarios: int = 0
    tables: int = 0
    differences: int = 0
    repaired: int = 0
    undone: int = 0
    checks: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    ways: Counter[str] = field(default_factory=Counter)

    def hold(self, condition: object, law: str, more: object = "") -> None:
        """A law must hold here; raises Broken. ``more``: what shows that it does not, or what finds that out."""
        self.checks += 1
        if not condition:
            raise Broken(f"{law} {more() if callable(more) else more}".strip())


@cache
def documented_codes() -> frozenset[str]:
    """The codes that docs/hazards.md explains."""
    page = Path(__file__).parents[2] / "docs" / "hazards.md"
    return frozenset(re.findall(r"^(?:### |\| )`(\w+)`", page.read_text("utf-8"), re.MULTILINE))


class Stage:
    """A running pair, ready for scenarios.

    ``plain``: the tool connects by sockets. ``passing``: the pair is thrown away soon, so that nothing need be cleared.
    """

    def __init__(self, pair: Topology, plain: bool = False, passing: bool = False) -> None:
        self.pair, self.plain, self.passing = pair, plain, passing
        self.hands = Hands(pair)
        #: Replicas below the two: their name, and whose they are.
        self.below = {link.replica.name: link.source.name for link in pair.links if link.replica.name not in ("a", "b")}
        for way, scope in itertools.product(WAYS, (EVERYWHERE, STRUCK)):
            who = f"'{user_of(way, scope)}'@'%'"
            self.hands.run("a", f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{PASSWORD}'", logged=True)
            rights = rights_of(pair.a.family, way, bool(self.below), scope)
            for where in set(rights.values()):
                some = ", ".join(right for right in rights if rights[right] == where)
                self.hands.run("a", f"GRANT {some} ON {where} TO {who}", logged=True)
        pair.wait()

    def servers(self, way: str, as_root: bool, **more: Any) -> options.Servers:
        """The pair as the engine takes it: logged in to b; by TCP the source is to be found from there."""
        user, password = ("root", self.pair.b.root_password) if as_root else (user_of(way), PASSWORD)
        if self.plain:
            target = Endpoint(unix_socket=self.pair.b.socket, user=user, password=password)
            return options.Servers(target=target, source=options.SourceLogin(unix_socket=self.pair.a.socket), **more)
        return options.Servers(target=Endpoint(self.pair.b.host, self.pair.b.port, user=user, password=password), **more)

    def clear(self, database: str) -> None:
        """Drop a database on all servers; raises when the links are broken."""
        if not self.passing:
            drop = f"DROP DATABASE IF EXISTS {quoted(database)}"
            self.hands.run("a", drop, logged=True)
            self.hands.run("b", drop)
        self.pair.wait(20)

    def hold_strict(self, tally: Tally) -> None:
        """None was left in a lenient mode. Raises Broken."""
        for name in self.pair.servers:
            modes = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('slave_exec_mode', 'replica_exec_mode')"
            for row in self.hands.run(name, modes):
                tally.hold(row[1] == b"STRICT", f"no server is left IDEMPOTENT {name} {row}")
