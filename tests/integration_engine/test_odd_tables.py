# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of rare makes: repaired to the byte or refused with the reason, and replication goes on either way."""

from __future__ import annotations

import pytest
from integration_engine.support import PASSWORD, assert_repaired, image, repair_account, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")


def run(pair, database, undo_dir, user="root", password=None, **repair):
    """Run the sync on one database."""
    chosen = options.Selection(databases=(database,))
    limits = options.Repair(undo_dir=str(undo_dir), **repair)
    return sync.run(servers(pair, user=user, password=password), chosen, options.Pace(), limits, 10, apply=True)


def made(pair, database, tables, drift):
    """Make tables on both servers and spoil them on the target; returns what is right."""
    pair.a.execute(tables, database=database)
    pair.wait()
    good = image(pair.a, database)
    pair.b.execute(drift, database=database, logged=False)
    return good


def ring_grows(pair, database):
    """The application's row changes still find their rows on both servers."""
    pair.wait()
    for server in (pair.a, pair.b):
        server.execute("UPDATE t SET b = CONCAT(b, '!')", database=database)
        pair.wait()
    assert image(pair.a, database) == image(pair.b, database)
    assert pair.links_healthy()


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8"])
def test_a_unique_key_over_a_period(pairs, fresh_database, tmp_path, flavor):
    """WITHOUT OVERLAPS: a REPLACE that meets another period fails where it is replayed, and would stop the link."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        columns = "a date, b date, v int, PERIOD FOR p (a, b)"
        good = made(
            pair,
            database,
            [
                f"CREATE TABLE own (id int, {columns}, PRIMARY KEY (id, p WITHOUT OVERLAPS))",
                f"CREATE TABLE other (k int PRIMARY KEY, id int, {columns}, UNIQUE (id, p WITHOUT OVERLAPS))",
                "INSERT INTO own VALUES (1, '2024-01-01', '2024-02-01', 1), (1, '2024-02-01', '2024-03-01', 2)",
                "INSERT INTO own VALUES (2, '2024-01-01', '2024-02-01', 3), (3, '2024-01-01', '2024-02-01', 4)",
                "INSERT INTO other SELECT v, id, a, b, v FROM own",
            ],
            [
                "UPDATE own SET b = '2024-01-20' WHERE v = 1",  # another key, in the way of the right one
                "UPDATE own SET v = 9 WHERE id = 2",
                "DELETE FROM own WHERE id = 3",
                "DELETE FROM other WHERE k = 1",
                "UPDATE other SET v = 9 WHERE k = 3",
                "INSERT INTO other VALUES (7, 1, '2024-01-10', '2024-01-11', 7)",  # in the way of number 1
            ],
        )
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, good)
        # One that is in the way and stays: left alone and named.
        pair.b.execute(["DELETE FROM other WHERE k = 1"], database=database, logged=False)
        pair.b.execute("INSERT INTO other VALUES (7, 1, '2024-01-10', '2024-01-11', 7)", database=database, logged=False)
        kept = run(pair, database, tmp_path, extra_rows="keep")
        assert [table.reason for table in kept.tables if table.reason] == ["not_verified"]
        assert pair.links_healthy()
        refused = run(pair, database, tmp_path, method="row")
        assert [table.reason for table in refused.tables if table.reason] == ["functional_unique_key"]
        assert not run(pair, database, tmp_path).failed
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("shown", ["ON", "OFF"])
def test_a_primary_key_that_the_server_made_and_hides(pairs, fresh_database, tmp_path, shown):
    """MySQL's generated invisible primary key: taken for what it is, else equal rows would come back under new keys."""
    pair = pairs("mysql-9")
    name = "show_gipk_in_create_table_and_information_schema"
    try:
        for server in (pair.a, pair.b):
            server.execute(f"SET GLOBAL {name} = {shown}")
        with fresh_database(pair) as database, repair_account(pair, database) as user:
            login = {"user": user, "password": PASSWORD}
            good = made(
                pair,
                database,
                [
                    "SET SESSION sql_generate_invisible_primary_key = ON",
                    f"SET SESSION {name} = ON",
                    "CREATE TABLE t (a int, b varchar(20))",
                    "INSERT INTO t (a, b) VALUES (1, 'x'), (1, 'x'), (2, 'y'), (3, 'z')",
                ],
                [
                    "DELETE FROM t WHERE a = 1 LIMIT 1",
                    "UPDATE t SET b = 'q' WHERE a = 2",
                    "INSERT INTO t (a, b) VALUES (4, 'new')",
                ],
            )
            keys = "SELECT my_row_id, a, b FROM t ORDER BY 1"
            before = pair.a.query(keys, database=database)
            result = run(pair, database, tmp_path, **login)
            assert not result.failed, result.message
            assert (result.changes.inserted, result.changes.updated, result.changes.deleted) == (1, 1, 1)
            assert_repaired(pair, database, good)
            assert pair.b.query(keys, database=database) == before == pair.a.query(keys, database=database)
            ring_grows(pair, database)
            # Only one of the two has such a key: that is another definition.
            pair.b.execute(["ALTER TABLE t DROP PRIMARY KEY, DROP COLUMN my_row_id"], database, False)
            one_sided = run(pair, database, tmp_path, **login)
            assert [table.reason for table in one_sided.tables] == ["schema_mismatch"]
    finally:
        for server in (pair.a, pair.b):
            server.execute(f"SET GLOBAL {name} = ON")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_foreign_keys_of_all_sorts_from_everywhere(pairs, fresh_database, tmp_path, flavor):
    """Neither the rows that refer to a repaired one nor those it refers to are touched, in whatever schema."""
    pair = pairs(flavor)
    actions = {"casc": "ON DELETE CASCADE ON UPDATE CASCADE", "nul": "ON DELETE SET NULL ON UPDATE SET NULL", "strict": ""}
    with fresh_database(pair) as database, fresh_database(pair) as elsewhere:
        rows = "(1, NULL, 1), (2, 1, 2), (3, 2, 3), (4, 4, 4)"
        children = [
            f"CREATE TABLE {elsewhere}.{name} (id int PRIMARY KEY, t int, FOREIGN KEY (t) REFERENCES {database}.t (id) {action})"
            for name, action in actions.items()
        ]
        good = made(
            pair,
            database,
            [
                f"CREATE TABLE {elsewhere}.parent (id int PRIMARY KEY)",
                f"INSERT INTO {elsewhere}.parent VALUES (1), (2), (3), (4)",
                "CREATE TABLE t (id int PRIMARY KEY, boss int, v int, FOREIGN KEY (boss) REFERENCES t (id) ON DELETE CASCADE,"
                f" FOREIGN KEY (v) REFERENCES {elsewhere}.parent (id) ON DELETE CASCADE)",
                f"INSERT INTO t VALUES {rows}",
                *children,
                *(f"INSERT INTO {elsewhere}.{name} VALUES (1, 1), (2, 2), (3, 3), (4, 4)" for name in actions),
            ],
            [
                "SET SESSION foreign_key_checks = 0",
                "UPDATE t SET v = 4 WHERE id IN (1, 3)",
                "DELETE FROM t WHERE id = 2",
                "INSERT INTO t VALUES (8, 3, 1)",
            ],
        )
        others = image(pair.a, elsewhere)
        for more in ({}, {"method": "row"}):
            result = run(pair, database, tmp_path, **more)
            assert not result.failed, result.message
            assert_repaired(pair, database, good)
            assert image(pair.a, elsewhere) == image(pair.b, elsewhere) == others
            spoil = ["SET SESSION foreign_key_checks = 0", "DELETE FROM t WHERE id = 1", "UPDATE t SET boss = 3 WHERE id = 2"]
            pair.b.execute(spoil, database=database, logged=False)
        run(pair, database, tmp_path)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_names_without_case(tmp_path, flavor):
    """lower_case_table_names=1: names are as the server keeps them."""
    with co_masters(flavor, options={"lower_case_table_names": "1"}) as pair:
        pair.a.execute("CREATE DATABASE Shop")
        good = made(
            pair,
            "shop",
            ["CREATE TABLE Film (Id int PRIMARY KEY, V int)", "INSERT INTO FILM VALUES (1, 1)"],
            ["DELETE FROM fILM"],
        )
        chosen = options.Selection(tables=("shop.film",))
        limits = options.Repair(undo_dir=str(tmp_path))
        result = sync.run(servers(pair), chosen, options.Pace(), limits, 10, apply=True)
        assert not result.failed, result.message
        assert_repaired(pair, "shop", good)


def test_an_index_of_many_values_for_a_row(pairs, fresh_database, tmp_path):
    """MySQL's unique multi-valued index: what would be in the way cannot be looked up, so nothing is taken away."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        good = made(
            pair,
            database,
            [
                "CREATE TABLE t (k int PRIMARY KEY, j json, UNIQUE ((CAST(j->'$.z' AS UNSIGNED ARRAY))))",
                "INSERT INTO t VALUES (1, '{\"z\": [1, 2]}'), (2, '{\"z\": [3]}'), (3, '{\"z\": [4]}')",
            ],
            [
                "UPDATE t SET j = '{\"z\": [9]}' WHERE k = 1",
                "UPDATE t SET j = '{\"z\": [1]}' WHERE k = 2",
                "DELETE FROM t WHERE k = 3",
            ],
        )
        for _again in range(2):
            result = run(pair, database, tmp_path)
            assert pair.links_healthy()
        assert not result.failed, result.message
        assert_repaired(pair, database, good)


# What functions put into a JSON document, and JSON text cannot hold.
TYPED = {
    "decimal": "JSON_OBJECT('price', 19.90)",
    "date": "JSON_ARRAY(1, JSON_OBJECT('d', CAST('2024-01-01' AS DATE)))",
    "time": "CAST(CAST('10:00:00' AS TIME) AS JSON)",
    "blob": "JSON_OBJECT('a b', JSON_ARRAY(CAST('ab' AS BINARY)))",
    "bit": "JSON_OBJECT('b', b'101')",
}
WAYS = {
    "shadow": {"method": "shadow"},
    "row": {"method": "row"},
    "adopt": {"extra_rows": "adopt"},
    "newest": {"conflict": "newest", "conflict_column": "n"},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", TYPED)
def test_a_json_document_that_text_cannot_hold_is_not_written_from_text(pairs, fresh_database, tmp_path, what, way):
    """By row changes the source's own documents were made others, which no reading of text could see."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        made(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, j json, n int)",
                "CREATE TABLE plain (id int PRIMARY KEY, j json, n int)",
                f"INSERT INTO t VALUES (1, {TYPED[what]}, 1), (2, '[1, 2.5, {{}}]', 1)",
                """INSERT INTO plain VALUES (1, '{"a b": [1.5, "x", null, {"c": true}]}', 1), (2, NULL, 1), (3, 'null', 1)""",
            ],
            [
                "UPDATE t SET n = 2 WHERE id = 1",
                f"INSERT INTO t VALUES (3, {TYPED[what]}, 3)",
                "DELETE FROM plain WHERE id IN (1, 3)",
            ],
        )
        digest = "SELECT id, j, n, JSON_STORAGE_SIZE(j), JSON_TYPE(JSON_EXTRACT(j, '$.price')) FROM t"
        before = [server.query(digest, database=database) for server in (pair.a, pair.b)]
        result = run(pair, database, tmp_path, **WAYS[way])
        pair.wait()
        assert {table.table: table.reason for table in result.tables} == {"t": "typed_json", "plain": None}, result.message
        assert [server.query(digest, database=database) for server in (pair.a, pair.b)] == before
        assert image(pair.a, database)["plain"] == image(pair.b, database)["plain"]
        assert pair.links_healthy()


def test_a_json_without_a_key_that_text_cannot_hold_is_not_multiplied(pairs, fresh_database, tmp_path):
    """What arrived was another document than what was sent, so that each run sent it again."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        rows = f"INSERT INTO t VALUES ({TYPED['decimal']}), ('[1]')"
        made(pair, database, ["CREATE TABLE t (j json)", rows], ["DELETE FROM t"])
        result = run(pair, database, tmp_path, extra_rows="keep")
        assert [table.reason for table in result.tables] == ["typed_json"]
        pair.wait()
        assert not pair.b.query("SELECT * FROM t", database=database)
        pair.a.execute(
            ["DELETE FROM t", """INSERT INTO t VALUES ('{"price": 19.90}'), ('[1]')"""], database=database, logged=False
        )
        assert run(pair, database, tmp_path, extra_rows="keep").verified
        good = image(pair.a, database)
        assert_repaired(pair, database, good)


ZONE, SUBTRACTS = {"default_time_zone": "+05:00"}, {"sql_mode": "NO_UNSIGNED_SUBTRACTION,STRICT_TRANS_TABLES"}
LAX = {"sql_mode": "NO_ZERO_DATE"}
# Name → (settings of both servers, columns, a row).
DEPENDENT = {
    "check of a time": (ZONE, "s timestamp NULL, CHECK (s >= '2024-06-01 00:00:00')", "s = '2024-06-01 01:00:00'"),
    "stored date": (ZONE, "s timestamp NULL, d date AS (DATE(s)) STORED", "s = '2024-06-01 01:00:00'"),
    "unique virtual date": (ZONE, "s timestamp NULL, d date AS (DATE(s)) VIRTUAL, UNIQUE (d)", "s = '2024-06-01 01:00:00'"),
    "indexed virtual date": (ZONE, "s timestamp NULL, d date AS (DATE(s)) VIRTUAL, KEY (d)", "s = '2024-06-01 01:00:00'"),
    "difference": (SUBTRACTS, "a int unsigned, b int unsigned, d bigint AS (a - b) STORED", "a = 1, b = 2"),
    "check of a difference": (SUBTRACTS, "a int unsigned, b int unsigned, CHECK (a - b > -100)", "a = 1, b = 2"),
    "stored date of a text": (LAX, "u varchar(20), d date AS (CAST(u AS DATE)) STORED", "u = '2024-02-30'"),
    "indexed date of a text": (LAX, "u varchar(20), d date AS (DATE(u)), KEY (d)", "u = '2024-02-30'"),
    "check of a date": (LAX, "u varchar(20), CHECK (CONCAT(CAST(u AS DATE), 'x\\'') <> '2024-02-31x\\'')", "u = '2024-02-31'"),
}


@pytest.mark.parametrize("what", DEPENDENT)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_depends_on_the_settings_of_whoever_writes_is_not_written(pairs, fresh_database, tmp_path, flavor, what):
    """It was replayed in UTC and under another sql_mode: wrong values, index entries that no query finds, a stopped applier."""
    settings, columns, row = DEPENDENT[what]
    pair = pairs(flavor, options_a=settings, options_b=settings)
    with fresh_database(pair) as database:
        made(
            pair,
            database,
            [
                f"CREATE TABLE t (id int PRIMARY KEY, {columns})",
                f"INSERT INTO t SET id = 1, {row}",
                "CREATE TABLE free (id int PRIMARY KEY, s timestamp NULL, a int unsigned, d date AS (DATE(s)), e int AS (a + 1))",
                "INSERT INTO free SET id = 1, s = '2024-06-01 01:00:00', a = 1",
            ],
            ["DELETE FROM t", "DELETE FROM free"],
        )
        for apply in (False, True):
            chosen, limits = options.Selection(databases=(database,)), options.Repair(undo_dir=str(tmp_path))
            result = sync.run(servers(pair), chosen, options.Pace(), limits, 10, apply)
            assert {each.table: each.reason for each in result.tables} == {"t": "depends_on_settings", "free": None}
        pair.wait()
        assert image(pair.b, database)["t"] == []
        assert image(pair.a, database)["free"] == image(pair.b, database)["free"]
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_in_utc_a_time_in_an_expression_is_repaired(pairs, fresh_database, tmp_path, flavor):
    zone = {"default_time_zone": "+00:00"}
    pair = pairs(flavor, options_a=zone, options_b=zone)
    with fresh_database(pair) as database:
        table = (
            "CREATE TABLE t (id int PRIMARY KEY, s timestamp NULL, d date AS (DATE(s)) STORED, UNIQUE (d), CHECK (HOUR(s) < 5))"
        )
        rows = "INSERT INTO t (id, s) VALUES (1, '2024-06-01 01:00:00'), (2, '2024-06-02 02:00:00')"
        good = made(pair, database, [table, rows], ["DELETE FROM t WHERE id = 1"])
        assert run(pair, database, tmp_path).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_collation_that_partitions_go_by(pairs, fresh_database, tmp_path, flavor):
    """A row that belongs to no partition of the target stops the applier (1526)."""
    pair = pairs(flavor)
    table = "CREATE TABLE t (v varchar(9) COLLATE {}, id int) PARTITION BY LIST COLUMNS (v) (PARTITION p VALUES IN ('a', 'b'))"
    with fresh_database(pair) as database:
        pair.a.execute([table.format("utf8mb4_general_ci"), "INSERT INTO t VALUES ('A', 1)"], database)
        pair.wait()
        pair.b.execute(["DROP TABLE t", table.format("utf8mb4_bin")], database, logged=False)
        result = run(pair, database, tmp_path)
        assert [each.reason for each in result.tables] == ["schema_mismatch"], result.message
        pair.wait()
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_check_mode_promises_no_more_than_apply_does(pairs, fresh_database, tmp_path, flavor):
    """A constraint of the target only, and values that rows which stay hold, came to light only when rows were written."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        made(
            pair,
            database,
            [
                "CREATE TABLE m (id int PRIMARY KEY, v int)",
                "INSERT INTO m VALUES (1, -1)",
                "CREATE TABLE u (id int PRIMARY KEY, u int UNIQUE)",
                "INSERT INTO u VALUES (1, 1), (3, 3), (4, 4)",
            ],
            [
                "DELETE FROM m",
                "ALTER TABLE m ADD CHECK (v > 0)",
                "DELETE FROM u WHERE id IN (1, 3)",
                "INSERT INTO u VALUES (2, 1)",
                "UPDATE u SET u = 9 WHERE id = 4",
            ],
        )
        chosen = options.Selection(databases=(database,))
        for method in ("auto", "row"):
            limits = options.Repair(undo_dir=str(tmp_path), extra_rows="keep", method=method)
            told, done = (sync.run(servers(pair), chosen, options.Pace(), limits, 10, apply) for apply in (False, True))
            assert {each.table: each.reason for each in done.tables} == {"m": "check_mismatch", "u": "unique_collision"}
            assert {each.table: each.reason for each in told.tables} == {"m": "check_mismatch", "u": "unique_collision"}
            assert (told.failed, told.changes) == (done.failed, done.changes)
            pair.wait()
            pair.b.execute(["DELETE FROM u WHERE id = 3", "UPDATE u SET u = 9 WHERE id = 4"], database=database, logged=False)


@pytest.mark.parametrize(
    "index",
    [
        "(CAST(j->'$.z' AS UNSIGNED ARRAY))",
        "(CAST(j->'$.z' AS CHAR(3) ARRAY))",
        "(JSON_VALUE(j, '$.z' RETURNING UNSIGNED ERROR ON ERROR))",
    ],
)
def test_an_index_over_an_expression_that_only_the_target_has(pairs, fresh_database, tmp_path, index):
    """It refuses rows that the source's table takes, and the applier stops (3903, 3752, 1690)."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        tables = ["CREATE TABLE t (id int PRIMARY KEY, j json)", """INSERT INTO t VALUES (2, '{"z": 7}')"""]
        made(pair, database, tables, [f"ALTER TABLE t ADD KEY k ({index})"])
        pair.a.execute("""INSERT INTO t VALUES (1, '{"z": "abcdef"}')""", database=database, logged=False)
        result = run(pair, database, tmp_path)
        assert [each.reason for each in result.tables] == ["schema_mismatch"]
        pair.wait()
        assert pair.links_healthy()
        pair.b.execute("ALTER TABLE t DROP KEY k", database=database, logged=False)
        assert run(pair, database, tmp_path).verified


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_date_of_a_text_is_repaired_where_it_is_a_date(pairs, fresh_database, tmp_path, flavor):
    """A row that differs is looked at, and no other; on the target, where it comes from there."""
    pair = pairs(flavor, options_a=LAX, options_b=LAX)
    with fresh_database(pair) as database:
        tables = [
            "CREATE TABLE t (id int PRIMARY KEY, u varchar(20), d date AS (CAST(u AS DATE)) STORED, KEY (d))",
            "CREATE TABLE n (id int, d date AS (CAST(u AS DATE)), u varchar(20), KEY (d))",
            "INSERT INTO t (id, u) VALUES (1, '2024-02-30'), (2, '2024-02-29'), (3, NULL), (4, 'none'), (5, '2024-02-28')",
            "INSERT INTO n (id, u) VALUES (1, '2024-02-29')",
        ]
        good = made(pair, database, tables, ["DELETE FROM t WHERE id IN (2, 3, 4)", "UPDATE t SET u = NULL WHERE id = 5"])
        assert run(pair, database, tmp_path).verified
        assert_repaired(pair, database, good)
        pair.b.execute("INSERT INTO t (id, u) VALUES (6, '2024-02-31')", database=database, logged=False)
        result = run(pair, database, tmp_path, extra_rows="adopt")
        assert {each.table: each.reason for each in result.tables} == {"t": "depends_on_settings", "n": None}
        assert "id=6" in result.message
        pair.wait()
        assert image(pair.a, database) == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_check_whose_text_looks_escaped(pairs, fresh_database, tmp_path, flavor):
    """MySQL shows ``_utf8mb4\\'x\\'``; what looks so in a text of MariaDB's is the text."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        table = (
            "CREATE TABLE t (id int PRIMARY KEY, v varchar(20) CHECK (v <> 'my_name\\'s'), d date AS (CAST(v AS DATE)) STORED)"
        )
        rows = "INSERT INTO t (id, v) VALUES (1, '2024-01-01'), (2, '2024-01-02')"
        good = made(pair, database, [table, rows], ["DELETE FROM t WHERE id = 1"])
        assert run(pair, database, tmp_path).verified
        assert_repaired(pair, database, good)
        pair.b.execute("INSERT INTO t (id, v) VALUES (3, '2024-01-03')", database=database, logged=False)
        result = run(pair, database, tmp_path, extra_rows="adopt")
        assert (result.failed, result.changes.adopted) == (False, 1), result.message
