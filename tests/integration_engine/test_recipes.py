# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables without a key: the target gets as many copies of each row as the source has, byte for byte."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from integration_engine.support import PASSWORD, assert_repaired, image, repair_account, servers
from integration_engine.types_zoo import specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")
NOTES = (
    "CREATE TABLE notes (a int, d double, f float, s timestamp(3) NULL, b varbinary(9), g int AS (a + 1) STORED,"
    " c varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci, v int AS (a + 2) VIRTUAL)"
)
INTO = "INSERT INTO notes (a, d, f, s, b, c) VALUES "


def run(pair, database, undo_dir, repair=None, apply=True, **login):
    """Run the sync on one database."""
    limits = replace(repair or options.Repair(), undo_dir=str(undo_dir))
    selection = options.Selection(databases=(database,))
    return sync.run(servers(pair, **login), selection, options.Pace(), limits, sample_rows=10, apply=apply)


def fill(pair, database, statements, drift):
    """Make tables on both servers, let the target drift; returns the good copy."""
    settings = ["SET time_zone = '+00:00'", "SET sql_mode = 'ALLOW_INVALID_DATES'"]
    pair.a.execute([*settings, *statements], database=database)
    pair.wait()
    pair.b.execute([*settings, *drift], database=database, logged=False)
    return image(pair.a, database)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_copies_nulls_floats_letter_case_and_time_zones(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, options_b={"default_time_zone": "-07:00"})
    with fresh_database(pair) as database:
        good = fill(
            pair,
            database,
            [
                NOTES,
                *[INTO + "(1, 0.1, 0.1, '2024-06-01 12:00:00.5', X'00', 'x')"] * 2,
                INTO + "(NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, NULL)",
                INTO + "(2, 315.2599999999994, 3.14, NULL, X'', 'Abc'), (2, 315.2599999999994, 3.14, NULL, X'', 'abc')",
                INTO + "(3, 0, 0, NULL, NULL, ''), (3, 0, 0, NULL, NULL, ''), (3, 0, 0, NULL, NULL, 'a ')",
                INTO + ", ".join(f"({n}, {n}, {n}, NULL, X'{n:04x}', 'same {n}')" for n in range(100, 200)),
            ],
            [
                "DELETE FROM notes WHERE a = 1 LIMIT 1",
                INTO + "(NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, NULL, NULL, NULL, '')",
                "UPDATE notes SET c = 'ABC' WHERE BINARY c = 'abc'",
                "UPDATE notes SET c = 'a' WHERE c = 'a '",
                "UPDATE notes SET d = -0e0 WHERE a = 3 LIMIT 1",
                "UPDATE notes SET f = 101.00001 WHERE a = 101",
                "UPDATE notes SET s = '2024-06-01 12:00:00.501' WHERE a = 102",
            ],
        )
        # An applier that worked in another time zone just before.
        pair.a.execute(
            [
                "SET SESSION binlog_format = 'STATEMENT', time_zone = '+09:00'",
                "CREATE TABLE z (s timestamp NULL)",
                "INSERT INTO z VALUES ('2020-02-02')",
            ],
            database=database,
        )
        good = image(pair.a, database)
        with repair_account(pair, database) as user:
            login = {"user": user, "password": PASSWORD}
            preview = run(pair, database, tmp_path, apply=False, **login)
            result = run(pair, database, tmp_path, **login)
            assert not result.failed, result.message
            assert (result.verified, result.changes, result.diff) == (True, preview.changes, preview.diff)
            assert_repaired(pair, database, good)
            entries = list(journal.read(result.undo_file).entries())
            assert all(entry.committed for entry in entries)
            assert {entry.copies for entry in entries if entry.before and entry.after} == {(1, 2), (3, 2)}
            assert run(pair, database, tmp_path, **login).in_sync


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_type_without_a_key(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, options_b={"default_time_zone": "-07:00"})
    zoo = specimens(flavor)
    columns = ", ".join(f"`{each.name}` {each.definition}" + ("" if "null" in each.definition else " NULL") for each in zoo)
    values = ", ".join(each.good for each in zoo)
    with fresh_database(pair) as database:
        good = fill(
            pair,
            database,
            [
                f"CREATE TABLE zoo (n int, {columns})",
                *(f"INSERT INTO zoo VALUES ({n}, {values})" for n in range(len(zoo) + 1)),
            ],
            [*(f"UPDATE zoo SET `{each.name}` = {each.bad} WHERE n = {n}" for n, each in enumerate(zoo))],
        )
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert (result.changes.inserted, result.changes.deleted) == (len(zoo), len(zoo))
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_unique_key_that_allows_null(pairs, fresh_database, tmp_path, flavor):
    """Known failure 5; and a unique value that a row has which is not to be deleted stays where it is."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = fill(
            pair,
            database,
            [
                "CREATE TABLE t (u int NULL UNIQUE, w varchar(9) NULL UNIQUE, v int)",
                "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (NULL, NULL, 3), (NULL, NULL, 3), (NULL, 'c', 4)",
            ],
            [
                "UPDATE t SET w = NULL",
                "UPDATE t SET u = NULL, w = 'a' WHERE v = 2",
                "UPDATE t SET w = 'b', v = 9 WHERE v = 1",
                "DELETE FROM t WHERE v = 3 LIMIT 1",
            ],
        )
        kept = run(pair, database, tmp_path, options.Repair(extra_rows="keep"))
        assert kept.failed
        assert "unique_collision" in kept.message
        assert image(pair.a, database) == good
        assert set(image(pair.b, database)["t"]) >= {(None, b"a", b"2"), (b"1", b"b", b"9")}
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_caps_count_rows_and_ignored_columns_are_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        copies = ", ".join(["(1, 1)"] * 10)
        fill(pair, database, ["CREATE TABLE t (a int, b int)"], [f"INSERT INTO t VALUES {copies}"])
        position = pair.a.binlog_position()
        assert "max_deletes" in run(pair, database, tmp_path, options.Repair(max_deletes=9)).message
        selection = options.Selection(databases=(database,), ignore_columns=("b",))
        ignoring = sync.run(servers(pair), selection, options.Pace(), options.Repair(undo_dir=str(tmp_path)), 1, True)
        assert [table.reason for table in ignoring.tables] == ["no_key"]
        assert pair.a.binlog_position() == position
        assert run(pair, database, tmp_path, options.Repair(max_deletes=10)).changes.deleted == 10
        pair.wait()
        assert image(pair.b, database) == {"t": []}


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_the_application_writes_the_same_rows_meanwhile(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n % 50}, {n % 7})" for n in range(700))
        # Statements, so that a row that the target lacks breaks nothing without us.
        fill(
            pair,
            database,
            ["CREATE TABLE t (a int, b int)", f"INSERT INTO t VALUES {rows}"],
            ["DELETE FROM t WHERE a < 5"],
        )
        stop = threading.Event()

        def write():
            with pair.a.connect(database=database) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
                while not stop.is_set():
                    cursor.execute("INSERT INTO t VALUES (1, 1), (2, 2), (60, 1)")
                    cursor.execute("DELETE FROM t WHERE a = 2 AND b = 2")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _round in range(3):
                result = run(pair, database, tmp_path)
        finally:
            stop.set()
            writer.join()
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database)
        assert pair.links_healthy()
