# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No name and no value can become SQL: invented ones of databases, tables, columns, keys and rows on real servers.

MYSQL_REPL_FUZZ is the number of databases invented for each server (default 4).
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Pace, Repair, Selection
from sandbox import Server, Topology

# What has broken quoting somewhere before.
_EVIL = [
    "`", "``", "'", "''", '"', "\\", "\\'", "\\`", ";", "-- ", "#", "/*", "*/", "/*!", "%", "_", ".", ",", "(", ")", "\n", "\r",
    "\t", "\x1a", "\x01", "{}", "{0}", "%s", "$1", "?", "*", "@", ":", "' OR '1'='1", "`; DROP TABLE canary; -- ", "NULL",
    "ä", "\u2028", "\ufeff", "\uff07", "\u02bc", "\xbf'", "\xbf\\",
]  # fmt: skip
_plain = st.characters(codec="utf-8", exclude_characters="\0", max_codepoint=0xFFFF)


def _names(most: int) -> st.SearchStrategy[str]:
    """Identifiers that the servers take: no NUL, nothing beyond the BMP, no white space at the end."""
    parts = st.lists(st.one_of(st.sampled_from(_EVIL), _plain), min_size=1, max_size=8)
    return parts.map("".join).map(lambda name: name[:most].rstrip(" \t\n\v\f\r")).filter(bool)


_texts = st.lists(
    st.one_of(st.sampled_from(_EVIL), st.characters(codec="utf-8"), st.sampled_from(["\0", "🔑"])), max_size=12
).map("".join)
_values = st.tuples(_texts, st.one_of(st.none(), _texts), st.one_of(st.none(), st.binary(max_size=30)))


class Invented(NamedTuple):
    """A database with one table: its names, and rows by number; ``sql_mode`` is the servers' default."""

    database: str
    table: str
    columns: tuple[str, str, str]
    rows: list[tuple[str, str | None, bytes | None]]
    spoilt: list[tuple[str, str | None, bytes | None]]
    sql_mode: str


_invented = st.builds(
    Invented,
    _names(18),
    _names(18),
    st.tuples(_names(18), _names(18), _names(18)),
    st.lists(_values, min_size=12, max_size=25, unique_by=lambda row: row[0]),
    st.lists(_values, min_size=3, max_size=3),
    st.sampled_from(["", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI,NO_BACKSLASH_ESCAPES"]),
)


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _hex(value: str | bytes | None) -> str:
    if value is None:
        return "NULL"
    data = value.encode() if isinstance(value, str) else value
    return f"X'{data.hex()}'" if data else "''"


def _run(server: Server, statements: list[str], logged: bool = True) -> None:
    with closing(server.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SET NAMES utf8mb4")
        if not logged:
            cursor.execute("SET sql_log_bin = 0")
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def _image(server: Server, database: str, tables: list[str]) -> list[Any]:
    with closing(server.connect(use_unicode=False, conv={}, charset="utf8mb4")) as connection:
        cursor = connection.cursor()
        cursor.execute("SET character_set_results = NULL")
        found = []
        for table in tables:
            cursor.execute(f"SELECT * FROM {_quoted(database)}.{_quoted(table)}")
            found.append(sorted(cursor.fetchall(), key=repr))
        return found


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_names_and_values_stay_names_and_values(pairs: Any, flavor: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    pair: Topology = pairs(flavor)
    fuzz = settings(
        max_examples=int(os.environ.get("MYSQL_REPL_FUZZ", "4")),
        deadline=None,
        phases=(Phase.explicit, Phase.generate),  # a smaller example would take minutes to find on servers
        derandomize="MYSQL_REPL_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    default_mode = pair.a.query("SELECT @@global.sql_mode")[0][0]

    @fuzz
    @given(_invented)
    def holds(invented: Invented) -> None:
        try:
            for server in (pair.a, pair.b):
                _run(server, [f"SET GLOBAL sql_mode = '{invented.sql_mode}'"])
            _repair_and_undo(pair, invented, tmp_path_factory.mktemp("undo"))
        finally:
            for server in (pair.a, pair.b):
                _run(server, [f"SET GLOBAL sql_mode = '{default_mode}'"])

    holds()


def _repair_and_undo(pair: Topology, invented: Invented, undo_dir: Path) -> None:
    # A digit in front keeps names apart that the servers take for the same, and #mysql50# away.
    database, table = f"0{invented.database}", f"1{invented.table}"
    key, text, data = (_quoted(f"{number}{name}") for number, name in enumerate(invented.columns))
    place = f"{_quoted(database)}.{_quoted(table)}"
    canary = f"{_quoted(database)}.canary"

    def row(number: int, values: tuple[str, str | None, bytes | None]) -> str:
        return f"({_hex(f'{values[0]}{number}')}, {_hex(values[1])}, {_hex(values[2])})"

    try:
        _run(
            pair.a,
            [
                f"CREATE DATABASE {_quoted(database)} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
                f"CREATE TABLE {place} ({key} VARCHAR(40) NOT NULL, {text} VARCHAR(60), {data} VARBINARY(40),"
                f" PRIMARY KEY {_quoted(table)} ({key}), KEY {_quoted(invented.table)} ({text})) ENGINE=InnoDB",
                f"CREATE TABLE {canary} (id INT PRIMARY KEY) ENGINE=InnoDB",
                f"INSERT INTO {canary} VALUES (1), (2)",
                f"INSERT INTO {place} VALUES " + ", ".join(row(number, values) for number, values in enumerate(invented.rows)),
            ],
        )
        pair.wait()
        tables = [table, "canary"]
        good = _image(pair.a, database, tables)
        assert _image(pair.b, database, tables) == good
        keys = [_hex(f"{values[0]}{number}") for number, values in enumerate(invented.rows)]
        spoilt, longest = invented.spoilt, _hex(b"x" * 40)  # no row has that one
        _run(
            pair.b,
            [
                f"DELETE FROM {place} WHERE {key} IN ({', '.join(keys[:3])})",
                f"UPDATE {place} SET {text} = {_hex(spoilt[0][1])}, {data} = {longest} WHERE {key} IN ({', '.join(keys[4:6])})",
                f"INSERT INTO {place} VALUES " + ", ".join(row(900 + number, values) for number, values in enumerate(spoilt)),
            ],
            logged=False,
        )
        bad = _image(pair.b, database, tables)
        chosen = Selection(databases=(database,))
        found = {each.table: each for each in checksum.run(servers(pair), chosen, Pace(), 5).tables}
        assert set(found) == {table, "canary"}
        assert (found[table].missing, found[table].different, found[table].extra) == (3, 2, 3), found[table]
        report = sync.run(servers(pair), chosen, Pace(), Repair(undo_dir=str(undo_dir)), 5, apply=True)
        assert (report.verified, report.failed) == (True, False), report.message
        pair.wait()
        assert _image(pair.a, database, tables) == good, "the good copy was changed"
        assert _image(pair.b, database, tables) == good
        taken_back = undo.run(servers(pair), report.undo_file or "", undo_dir=str(undo_dir))
        assert (taken_back.verified, taken_back.failed) == (True, False), taken_back.message
        pair.wait()
        assert _image(pair.a, database, tables) == _image(pair.b, database, tables) == bad
        assert pair.links_healthy()
    finally:
        _run(pair.a, [f"DROP DATABASE IF EXISTS {_quoted(database)}"])
        pair.wait()
