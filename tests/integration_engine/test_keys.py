# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys of the rarer types and of every character set: chunks end between any two of them, and each row is found again."""

from __future__ import annotations

import pytest
from integration_engine.test_compare import SevenRows, check

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import compare, report

FLAVORS = ("mariadb-10.11", "mariadb-11.8", "mysql-9")

FORTY = range(40)

#: Name → (type, values, flavors).
KEYS = {
    "sets": ("set('q','w','e','r','t')", [str(n) for n in range(32)], "mariadb mysql"),
    "years": ("year", [str(1950 + n) for n in FORTY], "mariadb mysql"),
    "times": ("time(3)", [f"'{'-' if n % 2 else ''}{n * 17}:00:01.00{n % 10}'" for n in FORTY], "mariadb mysql"),
    "days": (
        "date",
        ["'0000-00-00'", "'2024-00-00'", "'2024-02-30'", "'2024-02-29'", *(f"'2023-01-{n:02}'" for n in range(1, 30))],
        "mariadb mysql",
    ),
    "floats": ("float", ["1e-45", "3.4e38", *(f"{n}.1e0" for n in FORTY)], "mariadb mysql"),
    "doubles": ("double", ["-0e0", "5e-324", "1.797e308", *(f"{n}.1e-300" for n in FORTY)], "mariadb mysql"),
    "mediums": ("mediumint unsigned", [str(2**24 - 1 - n) for n in FORTY], "mariadb mysql"),
    "filled": ("int(8) unsigned zerofill", [str(n * 37) for n in FORTY], "mariadb mysql"),
    "tinies": ("tinyint", [str(n - 100) for n in FORTY], "mariadb mysql"),
    "decimals": ("decimal(65,30)", [f"{n - 20}.{'0' * 29}1" for n in FORTY], "mariadb mysql"),
    "bytes": ("varbinary(10)", ["''", "' '", "X'00'", *(f"X'{n:02x}2000'" for n in range(1, 40))], "mariadb mysql"),
    "uuids": ("uuid", [f"'123e4567-e89b-12d3-a456-4266554400{n:02}'" for n in FORTY], "mariadb"),
    "ip4s": ("inet4", [f"'10.0.{n}.1'" for n in FORTY], "mariadb"),
    "ip6s": ("inet6", [f"'2001:db8::{n}'" for n in FORTY], "mariadb"),
    "periods": (
        "date, upto date, PERIOD FOR span (id, upto)",
        [f"'20{n:02}-01-01', '20{n + 1:02}-01-01'" for n in FORTY],
        "mariadb",
    ),
}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_keys_of_rarer_types(pairs, fresh_database, flavor, monkeypatch):
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    tables = {name: each for name, each in KEYS.items() if flavor.partition("-")[0] in each[2]}
    lenient = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'"
    with fresh_database(pair) as database:
        for name, (definition, values, _flavors) in tables.items():
            rows = ", ".join(f"({place}, {value})" for place, value in enumerate(values))
            key = "v2, span WITHOUT OVERLAPS" if name == "periods" else "id"
            pair.a.execute(
                [
                    lenient,
                    f"CREATE TABLE {name} (v int, id {definition}, v2 int NOT NULL DEFAULT 1, PRIMARY KEY ({key}))",
                    f"INSERT INTO {name} VALUES {rows.replace(')', ', 1)')}",
                    f"ANALYZE TABLE {name}",
                ],
                database=database,
            )
        pair.wait()
        clean = check(pair, database)
        assert {each.table: each.status for each in clean.tables} == dict.fromkeys(tables, report.IDENTICAL), clean
        assert min(each.chunks for each in clean.tables) > 3
        for name in tables:
            spoil = ["DELETE FROM {} WHERE v = 1", "UPDATE {} SET v = -v - 9 WHERE v IN (0, 2, 20)"]
            pair.b.execute([lenient, *(each.format(name) for each in spoil)], database=database, logged=False)
        found = check(pair, database)
    differ = {each.table: (each.missing, each.extra, each.different) for each in found.tables}
    assert differ == dict.fromkeys(tables, (1, 0, 3)), found


#: A letter that some character sets have and others do not (those keep a question mark), a quote and a backslash.
TEXTS = ("é", "表", "Ж", "ש", "😀", "a'\\", "ς", "zz", "Z", "ｿ", "가", "ก", " x", "ß")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_character_set_in_keys_and_values(pairs, fresh_database, flavor, monkeypatch):
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    names = "SELECT CHARACTER_SET_NAME FROM information_schema.CHARACTER_SETS WHERE CHARACTER_SET_NAME <> 'binary'"
    charsets = [name for (name,) in pair.a.query(names)]
    assert len(charsets) > 30
    with fresh_database(pair) as database:
        for charset in charsets:
            text = f"varchar(20) CHARACTER SET {charset}"
            values = [
                f"CONVERT(_utf8mb4 X'{f'{text}{place}'.encode().hex()}' USING {charset})" for place, text in enumerate(TEXTS)
            ]
            rows = ", ".join(f"({value}, {value}, {place})" for place, value in enumerate(values))
            pair.a.execute(
                [
                    f"CREATE TABLE `{charset}` (id {text} PRIMARY KEY, v {text}, n int)",
                    f"INSERT IGNORE INTO `{charset}` VALUES {rows}",
                ],
                database=database,
            )
        pair.wait()
        clean = check(pair, database)
        assert {each.table: each.status for each in clean.tables} == dict.fromkeys(charsets, report.IDENTICAL), clean
        for charset in charsets:
            spoil = [f"UPDATE `{charset}` SET v = CONCAT(v, 'x') WHERE n IN (0, 1, 9)", f"DELETE FROM `{charset}` WHERE n = 5"]
            pair.b.execute(spoil, database=database, logged=False)
        found = check(pair, database)
    differ = {each.table: (each.missing, each.extra, each.different) for each in found.tables}
    assert differ == dict.fromkeys(charsets, (1, 0, 3)), found
