# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cases of docs/known-failures.md that no other test has."""

from __future__ import annotations

import random
import zlib

import pytest
from integration_engine.support import assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync

FLAVORS = ("mariadb-10.11", "mysql-9")


def repair(pair, database, tmp_path):
    """Check and repair a database, with the rights of root."""
    chosen, how = options.Selection(databases=(database,)), options.Repair(undo_dir=str(tmp_path))
    return sync.run(servers(pair), chosen, options.Pace(), how, 10, True)


def two_with_one_crc() -> tuple[bytes, bytes]:
    """Two different 16-byte keys with the same CRC32."""
    dice, seen = random.Random(3), {}
    while True:
        key = dice.randbytes(16)
        other = seen.setdefault(zlib.crc32(key), key)
        if other != key:
            return other, key


@pytest.mark.parametrize("flavor", FLAVORS)
def test_keys_with_one_crc_are_two_rows(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    good, bad = two_with_one_crc()
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (k binary(16) PRIMARY KEY, v int)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (X'{good.hex()}', 1)")
        pair.wait()
        right = image(pair.a, database)
        pair.b.execute(f"INSERT INTO {database}.t VALUES (X'{bad.hex()}', 1)", logged=False)
        assert repair(pair, database, tmp_path).changes.deleted == 1
        assert_repaired(pair, database, right)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_column_of_another_charset_than_its_table(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        wide = "w varchar(20) CHARACTER SET utf8mb4"
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, n varchar(20), {wide}) CHARACTER SET latin1")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (1, _latin1 X'68E96C6C6F', _utf8mb4 X'68F09F98806C6C6F')")
        pair.wait()
        right = image(pair.a, database)
        pair.b.execute(f"UPDATE {database}.t SET n = 'drift'", logged=False)
        assert repair(pair, database, tmp_path).verified
        assert_repaired(pair, database, right)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_servers_that_read_backslashes_and_clocks_otherwise(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, v varchar(20), at timestamp NULL)")
        rows = "(1, X'5C275C5C25', '2024-10-27 00:30:00'), (2, X'6E', '2024-10-27 01:30:00')"
        pair.a.execute(["SET time_zone = '+00:00'", f"INSERT INTO {database}.t VALUES {rows}"])
        pair.wait()
        right = image(pair.a, database)
        before = pair.a.query("SELECT @@global.sql_mode, @@global.time_zone")[0]
        try:
            pair.a.execute("SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES', GLOBAL time_zone = '-11:00'")
            pair.b.execute("SET GLOBAL time_zone = '+05:30'")
            found = checksum.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), 10)
            assert found.in_sync
            pair.b.execute(f"UPDATE {database}.t SET v = 'drift' WHERE id = 1", logged=False)
            report = repair(pair, database, tmp_path)
        finally:
            mode, zone = before
            pair.a.execute(f"SET GLOBAL sql_mode = '{mode}', GLOBAL time_zone = '{zone}'")
            pair.b.execute(f"SET GLOBAL time_zone = '{zone}'")
        assert (report.changes.updated, report.verified) == (1, True)
        assert_repaired(pair, database, right)


def test_no_selection_never_means_the_servers_own_tables(pairs, fresh_database):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY)")
        pair.wait()
        found = checksum.run(servers(pair), options.Selection(), options.Pace(), 10)
        assert database in {table.database for table in found.tables}
        system = {"mysql", "sys", "information_schema", "performance_schema"}
        assert not {table.database.lower() for table in found.tables} & system
