# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values that a server could keep to itself: more bits than a double, more bytes than a packet."""

from __future__ import annotations

import pytest
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync

FLAVORS = ("mariadb-10.11", "mysql-9")


def check(pair, database):
    """The check of one database: each table's status and what differs."""
    found = checksum.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), 10)
    return [(table.status, table.missing, table.extra, table.different) for table in found.tables]


def repair(pair, database, undo_dir):
    """The sync of one database."""
    limits, chosen = options.Repair(undo_dir=str(undo_dir)), options.Selection(databases=(database,))
    return sync.run(servers(pair), chosen, options.Pace(), limits, sample_rows=10, apply=True)


def fill(pair, database, statements, drift):
    """The same tables on both servers, then what only the target has."""
    pair.a.execute(statements, database=database)
    pair.wait()
    pair.b.execute(drift, database=database, logged=False)


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""], ids=["keyed", "keyless"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_all_members_of_a_large_set(pairs, fresh_database, tmp_path, flavor, key):
    """A sum with 0 is a double, which holds 53 of 64 (law 6)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        members = ", ".join(f"'m{number}'" for number in range(64))
        values = {1: "m63,m0", 2: "m54,m1,m0", 3: "m63,m62,m1"}
        fill(
            pair,
            database,
            [
                f"CREATE TABLE t (id int {key}, s set({members}))",
                *(f"INSERT INTO t VALUES ({n}, '{s}')" for n, s in values.items()),
            ],
            [f"UPDATE t SET s = '{s.rpartition(',')[0]}' WHERE id = {n}" for n, s in values.items()],
        )

        def exact(server):
            return server.query("SELECT id, CAST(s AS UNSIGNED), s FROM t ORDER BY id", database=database)

        good = exact(pair.a)
        assert check(pair, database) == [("drift", *((0, 0, 3) if key else (3, 3, 0)))]
        assert repair(pair, database, tmp_path).verified
        assert exact(pair.a) == exact(pair.b) == good
        assert check(pair, database) == [("identical", 0, 0, 0)]


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""], ids=["keyed", "keyless"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_shapes_that_fit_into_a_packet_one_by_one_only(pairs, fresh_database, tmp_path, flavor, key):
    """What does not fit is NULL to the server, and NULLs leave no trace in a sum (law 7)."""
    pair = pairs(flavor)
    packet = pair.b.query("SELECT @@global.max_allowed_packet")[0][0]
    try:
        for server in (pair.a, pair.b):
            server.execute(f"SET GLOBAL max_allowed_packet = {1 << 20}")
        with fresh_database(pair) as database:
            line = "ST_GeomFromText(CONCAT('LINESTRING(', REPEAT('1 1,', 36000), '{} 2)'))"
            fill(
                pair,
                database,
                [
                    f"CREATE TABLE t (id int {key}, g geometry, h geometry)",
                    f"INSERT INTO t VALUES (1, {line.format(1)}, {line.format(2)})",
                ],
                [f"UPDATE t SET h = {line.format(3)}"],
            )
            assert pair.b.query("SELECT LENGTH(CONCAT(g, h)) FROM t", database=database) == [(None,)]
            assert check(pair, database) == [("drift", *((0, 0, 1) if key else (1, 1, 0)))]
    finally:
        for server in (pair.a, pair.b):
            server.execute(f"SET GLOBAL max_allowed_packet = {packet}")
