# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that are unlike on the two servers, or made in ways that few think of: what must be found, what must not matter."""

from __future__ import annotations

import itertools

import pytest
from integration_engine.support import CHECK_GRANTS, PASSWORD, account, servers
from integration_engine.test_compare import SevenRows, check, verdict

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import compare, options, report, throttle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync

FLAVORS = ("mariadb-10.11", "mysql-9")


def numbered(row, count=30):
    """Rows of n as VALUES."""
    return ", ".join(f"({row.format(n=n)})" for n in range(count))


def statuses(result):
    """What is said of each table."""
    return {each.table: (each.status, each.reason) for each in result.tables}


def counts(result):
    """How many rows of each table are missing, extra and different."""
    return {each.table: (each.missing, each.extra, each.different) for each in result.tables}


#: Name → (definition, row, what makes the target's table another that holds the same, flavors).
SAME_DATA = {
    "engine": ("(id int PRIMARY KEY, v int)", "{n}, {n}", "ENGINE=MyISAM", "mariadb mysql"),
    "parts": (
        "(id int PRIMARY KEY, v int) PARTITION BY HASH (id) PARTITIONS 7",
        "{n}, {n}",
        "REMOVE PARTITIONING",
        "mariadb mysql",
    ),
    "lists": (
        "(id int, v int, PRIMARY KEY (id, v))"
        " PARTITION BY LIST (v MOD 2) (PARTITION a VALUES IN (0), PARTITION b VALUES IN (1, -1))",
        "{n}, {n}",
        "REORGANIZE PARTITION a, b INTO (PARTITION c VALUES IN (0, 1, -1))",
        "mariadb mysql",
    ),
    "letters": ("(id int PRIMARY KEY, v int)", "{n}, {n}", "CHANGE v V int, CHANGE id ID int", "mariadb mysql"),
    "compressed": ("(id int PRIMARY KEY, v varchar(900) COMPRESSED)", "{n}, {n}", "MODIFY v varchar(900)", "mariadb"),
    "versioned": ("(id int PRIMARY KEY, v int)", "{n}, {n}", "ADD SYSTEM VERSIONING", "mariadb"),
    "dates": ("(id int PRIMARY KEY, v int, d datetime DEFAULT '2024-03-31 02:30')", "{n}, {n}, DEFAULT", "FORCE", "mariadb"),
}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_definitions_that_are_unlike_and_hold_the_same(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    tables = {name: each for name, each in SAME_DATA.items() if flavor.partition("-")[0] in each[3]}
    with fresh_database(pair) as database:
        for name, (definition, row, change, _flavors) in tables.items():
            pair.a.execute([f"CREATE TABLE {name} {definition}", f"INSERT INTO {name} VALUES {numbered(row)}"], database=database)
            pair.wait()
            if name == "dates":  # stored as MariaDB did before 10.1; its tables keep that until they are rebuilt
                pair.b.execute("SET GLOBAL mysql56_temporal_format = OFF")
            pair.b.execute(f"ALTER TABLE {name} {change}", database=database, logged=False)
        if "dates" in tables:
            pair.b.execute("SET GLOBAL mysql56_temporal_format = ON")
        assert statuses(check(pair, database)) == dict.fromkeys(tables, (report.IDENTICAL, None))
        for name in tables:
            pair.b.execute(f"UPDATE {name} SET v = 77 WHERE id = 7", database=database, logged=False)
        found = check(pair, database)
    assert {name: sum(each) for name, each in counts(found).items()} == {name: 2 if name == "lists" else 1 for name in tables}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_here_and_a_view_there_are_no_match(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    make = {"t": "CREATE TABLE t (id int PRIMARY KEY)", "v": "CREATE VIEW v AS SELECT 1 AS id"}
    with fresh_database(pair) as database:
        pair.a.execute([make["t"], make["v"]], database=database)
        pair.wait()
        pair.b.execute(["DROP TABLE t", "DROP VIEW v"], database=database, logged=False)
        pair.b.execute(
            [make["t"].replace("TABLE t", "TABLE v"), make["v"].replace("VIEW v", "VIEW t")], database=database, logged=False
        )
        result = check(pair, database)
        pair.b.execute(["DROP VIEW t", "DROP TABLE v", *make.values()], database=database, logged=False)
    assert statuses(result) == dict.fromkeys("tv", (report.ERROR, "schema_mismatch"))
    assert not result.in_sync


@pytest.mark.parametrize("everywhere", [True, False], ids=["both", "source"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_column_added_in_mid_run_takes_the_verdict_back(pairs, fresh_database, flavor, everywhere, monkeypatch):
    """Its values differ, and nobody compared them: definitions were read before it was there."""
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    chunks = itertools.count()

    def add_it(_throttle):
        if next(chunks) == 3:
            pair.a.execute("ALTER TABLE t ADD COLUMN w int DEFAULT 1", database=database, logged=everywhere)
            pair.wait()
            pair.b.execute("UPDATE t SET v = 0 WHERE id = 1", database=database, logged=False)

    monkeypatch.setattr(throttle.Throttle, "wait", add_it)
    with fresh_database(pair) as database:
        pair.a.execute(
            [f"CREATE TABLE {name} (id int PRIMARY KEY, v int)" for name in ("t", "u")]
            + [f"INSERT INTO t VALUES {numbered('{n}, {n}', 100)}", "ANALYZE TABLE t"],
            database=database,
        )
        pair.wait()
        result = check(pair, database)
    assert statuses(result) == {"t": (report.UNDECIDED, "altered"), "u": (report.IDENTICAL, None)}
    assert not result.in_sync
    assert "altered" in verdict(result, "t").message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_index_that_cannot_be_walked_along_is_no_way_through_a_table(pairs, fresh_database, flavor, monkeypatch):
    """Hashes have no order, so each chunk would be a scan of the table; an invisible index may not be used at all."""
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    mariadb = flavor.startswith("mariadb")
    tables = {
        "in_memory": ("(id int PRIMARY KEY, v int) ENGINE=MEMORY", 1),
        # The first NOT NULL unique key stands for a primary one, which cannot be hidden: not the one that is.
        "unseen": (
            "(id int NOT NULL, v int, y int NOT NULL, z int NOT NULL, UNIQUE KEY z (y, z), UNIQUE KEY a (id), UNIQUE KEY b (v))",
            5,
        ),
        **({"long_text": ("(id text NOT NULL, v int, UNIQUE KEY (id))", 1)} if mariadb else {}),
    }
    with fresh_database(pair) as database:
        for name, (definition, _chunks) in tables.items():
            pair.a.execute(
                [
                    f"CREATE TABLE {name} {definition}",
                    f"INSERT INTO {name} VALUES {numbered('{n}, {n}, {n}, {n}' if name == 'unseen' else '{n}, {n}')}",
                    f"ANALYZE TABLE {name}",
                ],
                database=database,
            )
        pair.a.execute(f"ALTER TABLE unseen ALTER INDEX a {'IGNORED' if mariadb else 'INVISIBLE'}", database=database)
        pair.wait()
        for name in tables:
            spoil = [f"DELETE FROM {name} WHERE v = 7", f"UPDATE {name} SET v = -1 WHERE v = 9"]
            pair.b.execute(spoil, database=database, logged=False)
        found = check(pair, database)
    assert counts(found) == dict.fromkeys(tables, (1, 0, 1)), found.tables
    for each in found.tables:
        assert (each.chunks == 1) == (tables[each.table][1] == 1), each


@pytest.mark.parametrize("flavor", FLAVORS)
def test_ignored_columns_need_not_be_alike(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE t (id int PRIMARY KEY, here int, v int, other int)",
                f"INSERT INTO t VALUES {numbered('{n}, {n}, {n}, {n}')}",
                "CREATE TABLE loose (v int, note varchar(9))",
                f"INSERT INTO loose VALUES {numbered('{n}, {n}')}",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            [
                "ALTER TABLE t DROP COLUMN here, ADD COLUMN there int, MODIFY other varchar(20)",
                "UPDATE t SET v = -1, other = 'x' WHERE id = 3",
                "UPDATE t SET other = 'y' WHERE id = 4",
                "UPDATE loose SET note = 'x' WHERE v = 5",
            ],
            database=database,
            logged=False,
        )
        assert statuses(check(pair, database))["t"] == (report.ERROR, "schema_mismatch")
        result = check(pair, database, ignore_columns=("t.here", "t.there", f"{database}.t.other", "note"))
        of_nothing = check(pair, database, ignore_columns=("here", "there", "other", "note", "v"))
        pair.b.execute("DELETE FROM loose WHERE v = 5", database=database, logged=False)
        fewer = check(pair, database, ignore_columns=("here", "there", "other", "note", "v"))
    assert counts(result) == {"t": (0, 0, 1), "loose": (0, 0, 0)}
    (row,) = verdict(result, "t").sample
    assert (row.key, row.columns) == ({"id": 3}, ("v",))
    assert of_nothing.in_sync, "rows are still counted"
    assert counts(fewer) == {"t": (0, 0, 0), "loose": (1, 0, 0)}


@pytest.mark.parametrize("method", ["auto", "shadow", "row"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_that_is_alike_only_without_ignored_columns_is_not_repaired(pairs, fresh_database, tmp_path, flavor, method):
    """Whole rows are written: a column that only the target has would be set to its default. At once, and in words that help."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create = ["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)"]
        pair.a.execute(create, database=database)
        pair.wait()
        drift = ["ALTER TABLE t ADD note varchar(20) DEFAULT 'none'", "UPDATE t SET note = 'dear', v = 9 WHERE id = 1"]
        pair.b.execute(drift, database=database, logged=False)
        selection = options.Selection(databases=(database,), ignore_columns=("note",))
        plan_file = str(tmp_path / "plan")
        assert counts(checksum.run(servers(pair), selection, options.Pace(), 10, plan_file=plan_file)) == {"t": (0, 0, 1)}
        repair = options.Repair(undo_dir=str(tmp_path), method=method)
        for result in (
            sync.run(servers(pair), selection, options.Pace(), repair, 10, apply=False),
            sync.run(servers(pair), selection, options.Pace(), repair, 10, apply=True),
            sync.run(servers(pair), options.Selection(), options.Pace(), repair, 10, apply=True, plan_file=plan_file),
        ):
            assert statuses(result)["t"] == (report.ERROR, "schema_mismatch")
            assert "column note is missing on the source" in result.message
            assert not result.changed
        assert pair.b.query("SELECT * FROM t ORDER BY id", database=database) == [(1, 9, "dear"), (2, 2, "none")]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_condition_may_end_with_a_comment_and_rows_may_leave_its_range(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        for name, key in (("keyed", "PRIMARY KEY"), ("loose", "NULL")):
            rows = numbered("{n}, {n}", 90)
            pair.a.execute([f"CREATE TABLE {name} (id int {key}, v int)", f"INSERT INTO {name} VALUES {rows}"], database=database)
        pair.wait()
        for name in ("keyed", "loose"):
            spoil = [f"UPDATE {name} SET v = {v} WHERE id = {row}" for row, v in ((3, 1000), (80, 1), (85, 2000))]
            pair.b.execute(spoil, database=database, logged=False)
        result = check(pair, database, where="v < 50 OR v = -1 -- the small ones")
    assert {each.table: each.rows for each in result.tables} == {"keyed": 50, "loose": 50}
    assert counts(result) == {"keyed": (0, 0, 2), "loose": (1, 1, 0)}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_dots_in_names_make_no_table_another(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        twins = [f"`{database}.b`.c", f"`{database}`.`b.c`"]
        pair.a.execute(f"CREATE DATABASE `{database}.b`")
        try:
            for name in twins:
                pair.a.execute([f"CREATE TABLE {name} (id int PRIMARY KEY, v int)", f"INSERT INTO {name} VALUES (1, 1)"])
            pair.wait()
            pair.b.execute(f"UPDATE {twins[0]} SET v = 2", logged=False)
            wanted = options.Selection(tables=(f"{database}.b.c",))
            pace = options.Pace(state_file=str(tmp_path / "state"))
            monkeypatch.setattr(checksum.StateFile, "remove", checksum.StateFile.write)  # as a run that was ended leaves it
            for _run in range(2):
                result = checksum.run(servers(pair), wanted, pace, 10)
                found = {(each.database, each.table): each.status for each in result.tables}
                assert found == {(f"{database}.b", "c"): report.DRIFT, (database, "b.c"): report.IDENTICAL}
        finally:
            pair.a.execute(f"DROP DATABASE `{database}.b`")
            pair.wait()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_columns_that_the_account_may_not_read_are_not_taken_for_equal(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    _data, everywhere = CHECK_GRANTS[flavor.partition("-")[0]]
    with fresh_database(pair) as database:
        pair.a.execute(
            ["CREATE TABLE t (id int PRIMARY KEY, v int, secret int)", "CREATE TABLE u (id int PRIMARY KEY)"], database=database
        )
        with account(pair, [], everywhere, database) as name:
            on = f"ON {database}.{{}} TO '{name}'@'%'"
            pair.a.execute([f"GRANT SELECT (id, v) {on.format('t')}", f"GRANT SELECT, TRIGGER {on.format('u')}"])
            pair.wait()
            wanted = options.Selection(databases=(database,))
            with pytest.raises(Refusal, match=f"GRANT SELECT ON `{database}`.`t` TO"):
                checksum.run(servers(pair, name, PASSWORD), wanted, options.Pace(), 10)
            pair.a.execute(f"GRANT SELECT, TRIGGER {on.format('t')}")
            pair.wait()
            assert checksum.run(servers(pair, name, PASSWORD), wanted, options.Pace(), 10).in_sync


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_key_that_is_called_otherwise_is_said(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int NOT NULL, UNIQUE KEY one (id))", database=database)
        pair.wait()
        pair.b.execute("ALTER TABLE t RENAME INDEX one TO two", database=database, logged=False)
        found = verdict(check(pair, database), "t")
    assert (found.status, found.reason) == (report.ERROR, "schema_mismatch")
    assert "one has another name on the target" in found.message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_near_max_allowed_packet_are_compared_or_refused(pairs, fresh_database, flavor):
    """What a server makes of a longer string is NULL: a row that counts for nothing, whatever else differs in it."""
    pair = pairs(flavor)
    ((before,),) = pair.a.query("SELECT @@GLOBAL.max_allowed_packet")

    def allow(size):
        for server in (pair.a, pair.b):
            server.execute(f"SET GLOBAL max_allowed_packet = {size}")

    points = 60_000
    path = f"ST_GeomFromWKB(CONCAT(X'0102000000', X'{points.to_bytes(4, 'little').hex()}', REPEAT(X'00', {16 * points})))"
    texts = ", ".join("REPEAT('x', 60000)" for _each in range(9))
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE paths (id int PRIMARY KEY, p geometry, q geometry, body longtext, v int)",
                f"INSERT INTO paths SELECT n, {path}, {path}, REPEAT('x', 1000000), n FROM (SELECT 1 AS n UNION SELECT 2) s",
                f"CREATE TABLE texts (id int PRIMARY KEY, {', '.join(f'c{n} text' for n in range(9))}, v int)",
                f"INSERT INTO texts VALUES (1, {texts}, 1), (2, {texts}, 2)",
                "CREATE TABLE loose AS SELECT * FROM texts",
                "CREATE TABLE short (id int PRIMARY KEY, v int)",
                "INSERT INTO short VALUES (1, 1), (2, 2)",
            ],
            database=database,
        )
        pair.wait()
        tables = ("loose", "paths", "short", "texts")
        for table in tables:
            pair.b.execute(f"UPDATE {table} SET v = 7 WHERE id = 2", database=database, logged=False)
        try:
            allow(1 << 20)
            found = check(pair, database)
            allow(1 << 18)
            refused = check(pair, database)
        finally:
            allow(before)
    assert {table: sum(each) for table, each in counts(found).items()} == {"loose": 2, "paths": 1, "short": 1, "texts": 1}
    assert statuses(refused) == {
        "loose": (report.ERROR, "row_too_large"),
        "paths": (report.DRIFT, None),
        "short": (report.DRIFT, None),
        "texts": (report.ERROR, "row_too_large"),
    }


def test_a_server_that_shows_the_past_is_refused(pairs, fresh_database):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        versioned = "CREATE TABLE t (id int PRIMARY KEY) WITH SYSTEM VERSIONING"
        pair.a.execute([versioned, "INSERT INTO t VALUES (1)"], database=database)
        pair.wait()
        pair.b.execute("SET GLOBAL system_versioning_asof = '2001-01-01 00:00:00'")
        try:
            with pytest.raises(Refusal, match="2001-01-01") as refused:
                check(pair, database)
        finally:
            pair.b.execute("SET GLOBAL system_versioning_asof = DEFAULT")
        assert refused.value.code == "shows_the_past"
        assert check(pair, database).in_sync


EXPRESSIONS = {
    "brackets": ("int", "a * (b + 1)", "a * b + 1"),
    "case": ("varchar(9)", "CONCAT('X', a)", "CONCAT('x', a)"),
    "blank": ("varchar(9)", "CONCAT(a, ' ', b)", "CONCAT(a, '', b)"),
    "marks": ("varchar(9)", "CONCAT(a, '(', b)", "CONCAT(a, '`', b)"),
}


@pytest.mark.parametrize("kind", ["VIRTUAL", "STORED"])
@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_generated_columns_that_are_defined_otherwise_are_unlike(pairs, fresh_database, flavor, name, kind):
    """They were taken for one another, their values never looked at; a repair looked unique values up by the wrong ones."""
    kind_of, ours, theirs = EXPRESSIONS[name]
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        made = [
            f"CREATE TABLE t (id int PRIMARY KEY, a int, b int, g {kind_of} AS ({ours}) {kind})",
            "INSERT INTO t SET id = 1, a = 2, b = 3",
        ]
        pair.a.execute(made, database=database)
        pair.wait()
        pair.b.execute(["ALTER TABLE t DROP g", f"ALTER TABLE t ADD g {kind_of} AS ({theirs}) {kind}"], database, logged=False)
        assert statuses(check(pair, database)) == {"t": ("error", "schema_mismatch")}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_partitions_whose_values_differ_in_a_blank_are_unlike(pairs, fresh_database, tmp_path, flavor):
    """A row that belongs to none stops the applier (1526)."""
    pair = pairs(flavor)
    table = "CREATE TABLE t (v varchar(9) PRIMARY KEY) PARTITION BY LIST COLUMNS (v) (PARTITION p VALUES IN ('{}', 'c'))"
    with fresh_database(pair) as database:
        pair.a.execute(table.format("a b"), database)
        pair.wait()
        pair.b.execute(["DROP TABLE t", table.format("ab")], database, logged=False)
        pair.a.execute("INSERT INTO t VALUES ('a b')", database, logged=False)
        repair = options.Repair(undo_dir=str(tmp_path))
        result = sync.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), repair, 10, True)
        assert statuses(result) == {"t": ("error", "partitions_differ")}
        pair.wait()
        assert pair.links_healthy()
