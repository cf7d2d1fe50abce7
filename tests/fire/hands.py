# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the harness itself touches the servers: kept connections with plain settings, and whole tables as raw bytes."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import Any

import pymysql

from sandbox import Server, Topology

from .tables import LOGGED, ON_A, Step
from .values import quoted

_SETTINGS = (
    "sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
    "time_zone = '+00:00'",
    "foreign_key_checks = 0",
    "unique_checks = 1",
    "sql_safe_updates = 0",
    "sql_select_limit = 18446744073709551615",
    "sql_big_selects = 1",
    "completion_type = 0",
    "autocommit = 1",
    "lock_wait_timeout = 20",
    "max_error_count = 64",
    "sql_quote_show_create = 1",
)
_MYSQL_SETTINGS = ("sql_generate_invisible_primary_key = 0", "sql_require_primary_key = 0", "max_execution_time = 0")
_MARIADB_SETTINGS = ("max_statement_time = 0",)

Image = dict[str, list[tuple[Any, ...]]]


class Hand:
    """One kept connection to a server."""

    def __init__(self, server: Server, logged: bool) -> None:
        self._server, self._logged = server, logged
        self._connection: pymysql.Connection[Any] | None = None

    def _connected(self) -> pymysql.Connection[Any]:
        if self._connection is None:
            self._connection = self._server.connect(use_unicode=False, conv={}, autocommit=None, read_timeout=120)
            family = _MYSQL_SETTINGS if self._server.family == "mysql" else _MARIADB_SETTINGS
            with self._connection.cursor() as cursor:
                for setting in (*_SETTINGS, *family):
                    cursor.execute(f"SET SESSION {setting}")
                cursor.execute("SET character_set_results = NULL")
                cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                if not self._logged:
                    cursor.execute("SET SESSION sql_log_bin = 0")
        return self._connection

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement; raises pymysql.MySQLError."""
        try:
            with self._connected().cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError) as error:
            if error.args[0] in (0, 1053, 1927, 2006, 2013):
                self.drop()
            raise

    def drop(self) -> None:
        """Forget the connection."""
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
            self._connection = None


class Hands:
    """All kept connections of a pair."""

    def __init__(self, pair: Topology) -> None:
        self.pair = pair
        self._logged = {name: Hand(server, True) for name, server in pair.servers.items()}
        self._unlogged = {name: Hand(server, False) for name, server in pair.servers.items()}

    def drop(self) -> None:
        """Close them all, as before a server goes away."""
        for hand in (*self._logged.values(), *self._unlogged.values()):
            hand.drop()

    def run(self, name: str, sql: str, logged: bool = False) -> list[tuple[Any, ...]]:
        """Run a statement on one server."""
        return (self._logged if logged else self._unlogged)[name].run(sql)

    def use(self, database: str, *names: str) -> None:
        """Make it the default database of some servers, else of all."""
        for name in names or self.pair.servers:
            for logged in (True, False):
                self.run(name, f"USE {quoted(database)}", logged)

    def step(self, step: Step) -> str:
        """Run one step; returns the error's words, "" if there was none."""
        try:
            if step.where == LOGGED:
                self.run("a", step.sql, logged=True)
            else:
                self.run("a" if step.where == ON_A else "b", step.sql)
        except pymysql.MySQLError as error:
            return str(error)
        return ""

    def tables(self, name: str, database: str) -> set[str]:
        """The names of all tables."""
        return {row[0].decode() for row in self.run(name, f"SHOW TABLES FROM {quoted(database)}")}

    def columns(self, name: str, database: str) -> dict[str, list[str]]:
        """By table, the expressions that give each column exactly."""
        columns: dict[str, list[str]] = {}
        for table, column, kind in self.run(
            name,
            "SELECT CAST(c.TABLE_NAME AS BINARY), CAST(c.COLUMN_NAME AS BINARY), CAST(c.DATA_TYPE AS BINARY)"
            " FROM information_schema.COLUMNS c JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)"
            f" WHERE c.TABLE_SCHEMA = _utf8mb4 X'{database.encode().hex()}'"
            " AND t.TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY 1, c.ORDINAL_POSITION",
        ):
            sql = quoted(column.decode())
            exact = {b"float": f"{sql} * 1e0", b"enum": f"{sql} + 0", b"set": f"{sql} + 0", b"bit": f"{sql} + 0"}
            columns.setdefault(table.decode(), []).append(exact.get(kind.lower(), sql))
        return columns

    def image(self, name: str, database: str, columns: dict[str, list[str]] | None = None) -> Image:
        """Every row of every table, as the bytes stored, floats with all their bits, in a stable order.

        ``columns``: as columns() told them; to look them up takes longer than to read the rows.
        """
        found: Image = {}
        for table, expressions in (self.columns(name, database) if columns is None else columns).items():
            rows = self.run(name, f"SELECT {', '.join(expressions)} FROM {quoted(database)}.{quoted(table)}")
            found[table] = sorted(rows, key=repr)
        return found

    def written_here(self, name: str, position: tuple[str, int]) -> list[str]:
        """What a server has logged of its own, not of the other one's, since a position."""
        server = self.pair.servers[name]
        file = position[0]
        mine = str(server.server_id).encode()
        quiet = {b"Rotate", b"Gtid_list", b"Format_desc", b"Previous_gtids", b"Stop", b"Binlog_checkpoint", b"Heartbeat"}
        try:
            events = self.run(name, f"SHOW BINLOG EVENTS IN '{file}' FROM {position[1]}")
        except pymysql.MySQLError:
            return []
        return [repr(event) for event in events if event[3] == mine and event[2] not in quiet]


def only(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Rows that one has more often than the other."""
    return list((Counter(ours) - Counter(theirs)).elements())


def multiset(ours: Image, theirs: Image) -> Image:
    """The same for all tables of either."""
    return {name: only(ours.get(name, []), theirs.get(name, [])) for name in ours.keys() | theirs.keys()}


def difference(before: Image, after: Image) -> str:
    """What became of the rows, in a few words."""
    gone, new = multiset(before, after), multiset(after, before)
    return "; ".join(f"{name}: gone {gone[name][:3]}, new {new[name][:3]}" for name in gone if gone[name] or new[name])
