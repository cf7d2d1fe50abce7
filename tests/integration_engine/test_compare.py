# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison on real pairs: every difference found, none invented."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from integration_engine.support import servers
from integration_engine.types_zoo import specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    catalog,
    compare,
    confirm,
    options,
    report,
    schema,
    session,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.pace import ChunkSizer
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")


class SevenRows(ChunkSizer):
    """Chunks stay small, so that a small table has many."""

    def __init__(self, chunk_time):
        super().__init__(chunk_time, rows=7)

    def feedback(self, rows, seconds, suspects=0):
        """Learn nothing."""


def check(pair, database, fence_timeout=60.0, **selection):
    """Run the check on one database."""
    wanted = options.Selection(databases=(database,), **selection)
    return checksum.run(servers(pair, fence_timeout=fence_timeout), wanted, options.Pace(), sample_rows=100)


def verdict(result, table):
    """The report on one table."""
    return next(each for each in result.tables if each.table == table)


@pytest.mark.parametrize("flavor", [*FLAVORS, "mariadb-11.8"])
def test_one_wrong_value_of_each_type_is_found_and_no_other(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    zoo = specimens(flavor)
    lenient = "SET SESSION sql_mode = 'ALLOW_INVALID_DATES'"
    utc = "SET SESSION time_zone = '+00:00'"
    columns = ", ".join(f"`{each.name}` {each.definition}" + ("" if "null" in each.definition else " NULL") for each in zoo)
    with fresh_database(pair) as database:
        pair.a.execute([lenient, utc, f"CREATE TABLE zoo (id int PRIMARY KEY, {columns})"], database=database)
        good = ", ".join(each.good for each in zoo)
        pair.a.execute(
            [lenient, utc, *(f"INSERT INTO zoo VALUES ({row}, {good})" for row in range(len(zoo) + 2))],
            database=database,
        )
        pair.wait()
        found = verdict(check(pair, database), "zoo")
        assert found.status == report.IDENTICAL, found.message
        pair.b.execute(
            [
                lenient,
                utc,
                *(f"UPDATE zoo SET `{each.name}` = {each.bad} WHERE id = {row}" for row, each in enumerate(zoo)),
            ],
            database=database,
            logged=False,
        )
        found = verdict(check(pair, database), "zoo")
    assert {row.key["id"]: row.columns for row in found.sample} == {row: (each.name,) for row, each in enumerate(zoo)}
    assert (found.missing, found.extra, found.different) == (0, 0, len(zoo))


@pytest.mark.parametrize("flavor", FLAVORS)
def test_negative_keys_fall_into_buckets_too(pairs, fresh_database, flavor):
    """More rows than a bucket holds, and all that differ have keys below zero, down to the lowest there is."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id bigint PRIMARY KEY, v int)", database=database)
        keys = [-(2**63), *range(-1000, 1000), 2**63 - 1]
        pair.a.execute("INSERT INTO t VALUES " + ", ".join(f"({key}, 1)" for key in keys), database=database)
        pair.wait()
        pair.b.execute(
            [
                f"UPDATE t SET v = 2 WHERE id IN ({-(2**63)}, -500)",
                "DELETE FROM t WHERE id = -7",
                "INSERT INTO t VALUES (-5000, 1)",
            ],
            database=database,
            logged=False,
        )
        found = verdict(check(pair, database), "t")
    assert (found.status, found.missing, found.extra, found.different) == (report.DRIFT, 1, 1, 2)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_structured_drift_that_crc_cannot_see(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int PRIMARY KEY, a varchar(20), b varchar(20))", database=database)
        rows = ", ".join(f"({row}, 'x#y', 'z{row % 7}')" for row in range(1, 2001))
        pair.a.execute(f"INSERT INTO t VALUES {rows}", database=database)
        pair.wait()
        pair.b.execute(
            [
                "UPDATE t SET a = 'x#Y' WHERE id IN (10, 11)",  # the same edit in an even number of rows
                "UPDATE t SET b = 'z4' WHERE id = 17",  # 17 and 18 swapped
                "UPDATE t SET b = 'z3' WHERE id = 18",
                "UPDATE t SET a = 'x', b = 'y#z5' WHERE id = 19",  # the separator moved
                "UPDATE t SET a = NULL WHERE id = 20",
            ],
            database=database,
            logged=False,
        )
        found = verdict(check(pair, database), "t")
    assert sorted(row.key["id"] for row in found.sample) == [10, 11, 17, 18, 19, 20]


KEYS = {
    "int": ("id int", [str(n) for n in range(-5, 60)]),
    "unsigned": ("id bigint unsigned", [str(2**64 - 1 - n) for n in range(60)]),
    "char": ("id char(8)", [f"'k{n}'" for n in range(60)]),
    "binary": ("id binary(16)", [f"X'{n:032x}'" for n in range(60)]),
    "datetime": ("id datetime(3)", [f"'2024-02-{1 + n % 28:02} 10:00:00.{n:03}'" for n in range(60)]),
    "decimal": ("id decimal(20,6)", [f"{n}.000001" for n in range(60)]),
    "enum": ("id enum('z','y','x','a','b','c')", [f"'{c}'" for c in "zyxabc"]),
    "timestamp": ("id timestamp(6)", [f"'2024-10-27 00:30:00.{n:06}'" for n in range(60)]),
    "float": ("id double", [f"{n}e-3" for n in range(60)]),
    "text": ("id text, UNIQUE KEY other (id(20))", [f"'k{n}'" for n in range(60)]),
    "bits": ("id bit(40)", [str(n * 1000003) for n in range(60)]),
}


@pytest.mark.parametrize("shape", KEYS)
@pytest.mark.parametrize("composite", [False, True], ids=["single", "composite"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_keys_of_any_type(pairs, fresh_database, flavor, composite, shape):
    pair = pairs(flavor)
    definition, values = KEYS[shape]
    prefix = "(20)" if shape == "text" else ""
    key = f"second, id{prefix}" if composite else f"id{prefix}"
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "SET SESSION time_zone = '+00:00'",
                f"CREATE TABLE t ({definition}, second smallint NOT NULL, v int, PRIMARY KEY ({key}))",
                "INSERT INTO t VALUES " + ", ".join(f"({value}, {place % 3}, {place})" for place, value in enumerate(values)),
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            [
                "UPDATE t SET v = -1 WHERE v = 1",
                "DELETE FROM t WHERE v = 2",
                "DELETE FROM t WHERE v = 3",
                "UPDATE t SET v = -4 WHERE v = 4",
            ],
            database=database,
            logged=False,
        )
        pair.a.execute("DELETE FROM t WHERE v = 5", database=database, logged=False)
        # Tiny chunks, so that every boundary falls between real keys.
        wanted = options.Selection(databases=(database,))
        found = verdict(checksum.run(servers(pair), wanted, options.Pace(chunk_time=0.001, workers=2), 100), "t")
    assert (found.status, found.missing, found.extra, found.different) == (report.DRIFT, 2, 1, 2)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_chunks_leave_no_gap(pairs, fresh_database, flavor, monkeypatch):
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE t (a int, b char(4), c datetime, v int, PRIMARY KEY (a, b, c))",
                "INSERT INTO t VALUES "
                + ", ".join(f"({n // 50}, 'k{n // 10 % 5}', '2024-01-01 00:00:{n % 10:02}', {n})" for n in range(500)),
                "ANALYZE TABLE t",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            [
                "UPDATE t SET v = -v - 1 WHERE v % 3 = 0",
                "INSERT INTO t VALUES (-1, '', '2024-01-01', 1), (999, '', '2024-01-01', 1)",
            ],
            database=database,
            logged=False,
        )
        pair.b.execute("ANALYZE TABLE t", database=database)
        pair.wait()
        found = verdict(check(pair, database), "t")
    assert found.chunks > 50
    assert (found.rows, found.missing, found.extra, found.different) == (500, 0, 2, 167)
    marks = found.positions
    assert 50 < len(marks) <= 100
    assert [mark.start for mark in marks] == sorted(mark.start for mark in marks)
    assert (sum(mark.extra for mark in marks), sum(mark.different for mark in marks)) == (2, 167)
    assert (marks[0].extra, marks[-1].extra, marks[0].start, marks[-1].end) == (1, 1, 0, 1)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_it_is_told_where_in_key_order_the_drift_lies(pairs, fresh_database, flavor):
    """One chunk, so that only the rows around a suspect can tell."""
    pair = pairs(flavor)
    drifted = (100, 2500, 2501, 3900)
    names = "abcdefghij"
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n * 1000}, {n})" for n in range(4000))
        words = ", ".join(f"('{''.join(names[int(digit)] for digit in f'{n:04}')}', {n})" for n in range(4000))
        pair.a.execute(
            [
                "CREATE TABLE numbers (id int PRIMARY KEY, v int)",
                "CREATE TABLE words (id varchar(9) PRIMARY KEY, v int)",
                f"INSERT INTO numbers VALUES {rows}",
                f"INSERT INTO words VALUES {words}",
                "ANALYZE TABLE numbers, words",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            [f"UPDATE {table} SET v = -1 WHERE v IN {drifted}" for table in ("numbers", "words")],
            database=database,
            logged=False,
        )
        result = check(pair, database)
    for table in result.tables:
        assert (table.chunks, table.different) == (1, 4)
        assert sum(mark.different for mark in table.positions) == 4
        places = [mark.start for mark in table.positions for _row in range(mark.different)]
        assert [abs(place - row / 4000) < 0.05 for place, row in zip(places, drifted)] == [True] * 4, places


@pytest.mark.parametrize("flavor", FLAVORS)
def test_collation_equal_keys_are_one_differing_row(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE t (k varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, v int)",
                "INSERT INTO t VALUES ('a', 1), ('b ', 2), ('e', 3), ('z', 4)",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            [
                "UPDATE t SET k = 'A' WHERE v = 1",
                "UPDATE t SET k = 'b' WHERE v = 2",
                "UPDATE t SET k = _utf8mb4 X'C3A9' WHERE v = 3",
            ],
            database=database,
            logged=False,
        )
        found = verdict(check(pair, database), "t")
    assert (found.missing, found.extra, found.different) == (0, 0, 3)
    assert {row.columns for row in found.sample} == {("k",)}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_no_false_alarm_and_no_missed_drift_under_writes_on_both_sides(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    stop = threading.Event()

    def write(server, remainder, database):
        with server.connect(database=database) as connection, connection.cursor() as cursor:
            n = 0
            while not stop.is_set():
                n += 1
                cursor.execute(f"UPDATE t SET v = v + 1 WHERE id = {remainder + 4 * (n % 5)}")  # hot rows
                cursor.execute(f"REPLACE INTO t VALUES ({remainder + 4 * (n % 500)}, {n})")
                if n % 7 == 0:
                    cursor.execute(f"DELETE FROM t WHERE id = {remainder + 4 * (n % 300)}")
                time.sleep(0.001)

    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", database=database)
        pair.a.execute("INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(20000)), database=database)
        pair.wait()
        pair.b.execute("UPDATE t SET v = 99 WHERE id IN (6, 10)", database=database, logged=False)
        writers = [
            threading.Thread(target=write, args=(pair.a, 0, database)),
            threading.Thread(target=write, args=(pair.b, 1, database)),
        ]
        for writer in writers:
            writer.start()
        try:
            for _run in range(5):
                found = verdict(check(pair, database), "t")
                assert sorted(row.key["id"] for row in found.sample) == [6, 10], found
        finally:
            stop.set()
            for writer in writers:
                writer.join()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_lagging_reverse_link_gives_no_verdict(pairs, fresh_database, flavor):
    """Known failure 1: a fresh row on the target that the source has not applied yet is no drift."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)"], database=database)
        pair.wait()
        pair.a.stop_replica()
        try:
            pair.b.execute("INSERT INTO t VALUES (2, 2)", database=database)
            found = verdict(check(pair, database), "t")
            assert (found.status, found.reason) == (report.UNDECIDED, "stopped_link")
        finally:
            pair.a.start_replica()
        pair.wait()
        assert verdict(check(pair, database), "t").status == report.IDENTICAL


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_link_that_lags_gives_no_verdict(pairs, fresh_database, flavor, direction):
    """Both links run, one is behind: its applier waits for a lock (law 3)."""
    pair = pairs(flavor)
    upstream, downstream = (pair.a, pair.b) if direction == "forward" else (pair.b, pair.a)
    with fresh_database(pair) as database:
        tables = [f"CREATE TABLE {name} (id int PRIMARY KEY, v int)" for name in ("t", "held")]
        pair.a.execute([*tables, "INSERT INTO held VALUES (1, 1)"], database=database)
        pair.wait()
        with closing(downstream.connect(database=database)) as holder, closing(holder.cursor()) as cursor:
            cursor.execute("BEGIN")
            cursor.execute("UPDATE held SET v = 2")
            upstream.execute(["UPDATE held SET v = 3", "INSERT INTO t VALUES (1, 1)"], database=database)
            found = verdict(check(pair, database, fence_timeout=1.0), "t")
            holder.rollback()
        assert (found.status, found.reason) == (report.UNDECIDED, "lagging_link")
        pair.wait()
        assert verdict(check(pair, database), "t").status == report.IDENTICAL


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_cannot_be_compared_is_said(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE no_key (v int)",
                "CREATE TABLE nullable_key (v int, UNIQUE KEY (v))",
                "CREATE TABLE other_type (id int PRIMARY KEY, v int)",
                "CREATE TABLE fine (id int PRIMARY KEY)",
                "CREATE VIEW looks AS SELECT * FROM fine",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute("ALTER TABLE other_type MODIFY v bigint", database=database, logged=False)
        pair.b.execute("CREATE TABLE alone (id int PRIMARY KEY)", database=database, logged=False)
        pair.a.execute("CREATE TABLE left_behind (id int PRIMARY KEY)", database=database, logged=False)
        result = check(pair, database)
        pair.b.execute("DROP TABLE alone", database=database, logged=False)
        pair.a.execute("DROP TABLE left_behind", database=database, logged=False)
    assert {table.table: (table.status, table.reason) for table in result.tables} == {
        "alone": ("error", "missing_on_source"),
        "fine": ("identical", None),
        "left_behind": ("error", "missing_on_target"),
        "looks": ("skipped", "view"),
        "no_key": ("identical", None),
        "nullable_key": ("identical", None),
        "other_type": ("error", "schema_mismatch"),
    }
    assert not result.in_sync


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_killed_read_is_an_error_never_the_end_of_the_data(pairs, fresh_database, flavor):
    """Known failure 2."""
    pair = pairs(flavor)
    stop = threading.Event()

    def killer():
        with pair.a.connect() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                # Rows being read; the query for triggers has an SHA2() as well.
                cursor.execute(
                    "SELECT id FROM information_schema.processlist WHERE info LIKE '%SHA2(%`t`%' AND id <> connection_id()"
                )
                for (thread,) in cursor.fetchall():
                    try:
                        cursor.execute(f"KILL QUERY {thread}")
                    except Exception:
                        continue  # already gone

    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(200))", database=database)
        for start in range(0, 100_000, 20_000):
            rows = ", ".join(f"({n}, REPEAT('x', 200))" for n in range(start, start + 20_000))
            pair.a.execute(f"INSERT INTO t VALUES {rows}", database=database)
        pair.wait()
        thread = threading.Thread(target=killer)
        thread.start()
        try:
            found = verdict(check(pair, database), "t")
        finally:
            stop.set()
            thread.join()
    assert (found.status, found.reason) == (report.ERROR, "server_error")
    assert (found.missing, found.extra, found.different) == (0, 0, 0)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_without_a_key_is_compared_as_a_multiset(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE t (a int, b varchar(20), c float, UNIQUE KEY (a))",
                "INSERT INTO t VALUES " + ", ".join(f"(NULL, 'same', {n % 7})" for n in range(700)),
                "INSERT INTO t VALUES " + ", ".join(f"({n}, 'own', {n})" for n in range(300)),
            ],
            database=database,
        )
        pair.wait()
        assert verdict(check(pair, database), "t").status == report.IDENTICAL
        pair.b.execute(
            [
                "DELETE FROM t WHERE a IS NULL AND c = 3 LIMIT 2",  # an even number of equal copies
                "INSERT INTO t VALUES (NULL, 'same', 4), (NULL, 'same', 4)",
                "UPDATE t SET b = 'Own' WHERE a = 17",
            ],
            database=database,
            logged=False,
        )
        found = verdict(check(pair, database), "t")
    assert (found.rows, found.missing, found.extra, found.different) == (1000, 3, 3, 0)
    copies = {(row.key["b"], row.key["c"]): (row.copies.source, row.copies.target) for row in found.sample}
    assert copies == {("same", "3"): (100, 98), ("same", "4"): (100, 102), ("own", "17"): (1, 0), ("Own", "17"): (0, 1)}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_filtered_table_is_skipped_with_the_reason(flavor):
    with co_masters(flavor, options_b={"replicate-wild-ignore-table": "%.private%"}) as pair:
        pair.a.execute("CREATE DATABASE shop")
        pair.a.execute(
            ["CREATE TABLE private_notes (id int PRIMARY KEY)", "CREATE TABLE fine (id int PRIMARY KEY)"],
            database="shop",
        )
        pair.wait()
        pair.b.execute("CREATE TABLE private_notes (id int PRIMARY KEY, v int)", database="shop", logged=False)
        result = check(pair, "shop")
    assert {table.table: (table.status, table.reason) for table in result.tables} == {
        "private_notes": ("skipped", "filtered"),
        "fine": ("identical", None),
    }
    assert not result.in_sync


@pytest.mark.parametrize("flavor", FLAVORS)
def test_work_waits_for_the_pause_file_and_ends_with_max_runtime(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    pause = tmp_path / "pause"
    pause.touch()
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)"], database=database)
        pair.wait()
        wanted = options.Selection(databases=(database,))
        held = options.Pace(pause_file=str(pause), max_runtime=2)
        found = verdict(checksum.run(servers(pair), wanted, held, 10), "t")
        assert (found.status, found.reason) == (report.UNDECIDED, "max_runtime")
        threading.Timer(1, pause.unlink).start()
        started = time.monotonic()
        found = verdict(checksum.run(servers(pair), wanted, options.Pace(pause_file=str(pause)), 10), "t")
        assert found.status == report.IDENTICAL
        assert time.monotonic() - started > 0.9


@pytest.mark.parametrize("flavor", FLAVORS)
def test_work_waits_for_lag_and_busy_servers(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)"], database=database)
        pair.wait()
        busy = options.Pace(max_threads_running=0, max_runtime=2)
        wanted = options.Selection(databases=(database,))
        assert verdict(checksum.run(servers(pair), wanted, busy, 10), "t").reason == "max_runtime"
        calm = options.Pace(max_threads_running=1000, max_lag=1000, max_runtime=60)
        assert verdict(checksum.run(servers(pair), wanted, calm, 10), "t").status == report.IDENTICAL


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_run_that_was_ended_goes_on_from_its_state_file(pairs, fresh_database, tmp_path, monkeypatch, flavor):
    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import state, throttle

    monkeypatch.setattr(state, "_WRITE_EVERY", 0)
    monkeypatch.setattr(throttle, "_LOOK_EVERY", 0.01)
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    looks = {"allowed": 10}

    def until(self):
        looks["allowed"] -= 1
        if looks["allowed"] < 0:
            raise Undecided("max_runtime", "the time is over")

    monkeypatch.setattr(throttle.Throttle, "wait", until)
    pair = pairs(flavor)
    path = tmp_path / "state"
    pace = options.Pace(state_file=str(path))
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, {n})" for n in range(200))
        pair.a.execute(
            ["CREATE TABLE a (id int PRIMARY KEY, v int)", f"INSERT INTO a VALUES {rows}", "ANALYZE TABLE a"],
            database=database,
        )
        pair.a.execute(["CREATE TABLE b LIKE a", "INSERT INTO b SELECT * FROM a", "ANALYZE TABLE b"], database=database)
        pair.wait()
        pair.b.execute(
            ["UPDATE a SET v = 0 WHERE id IN (3, 190)", "DELETE FROM b WHERE id IN (2, 199)"],
            database=database,
            logged=False,
        )
        wanted = options.Selection(databases=(database,))
        for _run in range(20):
            looks["allowed"] = 10
            result = checksum.run(servers(pair), wanted, pace, 10)
            if result.summary.undecided == 0:
                break
            assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert not path.exists()
        assert _run > 3, "it never had to go on"
        found = {table.table: table for table in result.tables}
        assert (found["a"].rows, found["a"].different, found["a"].missing) == (200, 2, 0)
        assert (found["b"].rows, found["b"].different, found["b"].missing) == (200, 0, 2)
        assert [row.key["id"] for row in found["a"].sample] == [3, 190]
        assert [(mark.start, mark.different) for mark in found["a"].positions] == [(0.015, 1), (0.95, 1)]

        # An altered table is read from its beginning; another question too.
        looks["allowed"] = 10
        checksum.run(servers(pair), wanted, pace, 10)
        pair.a.execute("ALTER TABLE a ADD COLUMN w int", database=database)
        pair.wait()
        looks["allowed"] = 10_000
        result = checksum.run(servers(pair), wanted, pace, 10)
        assert verdict(result, "a").rows == 200
        path.write_text("{}")
        with pytest.raises(UsageError, match="state_file"):
            checksum.run(servers(pair), wanted, pace, 10)


@pytest.mark.parametrize("key", ["PRIMARY KEY (id)", "KEY (id)"], ids=["keyed", "keyless"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_floats_can_be_rounded_before_they_are_compared(pairs, fresh_database, flavor, key):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                f"CREATE TABLE t (id int, d double, f float, {key})",
                "INSERT INTO t VALUES (1, 1.23, 0.52), (2, 2.52, NULL), (3, 3, 3)",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            ["UPDATE t SET d = 1.2300001, f = 0.5200001 WHERE id = 1", "UPDATE t SET d = 2.53 WHERE id = 2"],
            database=database,
            logged=False,
        )
        exact, rounded, coarse = (verdict(check(pair, database, float_precision=precision), "t") for precision in (None, 3, 1))
    keyed = key.startswith("PRIMARY")
    assert exact.different + exact.missing == 2
    assert rounded.different + rounded.missing == 1
    assert [row.key["id"] for row in rounded.sample] == ([2] if keyed else [2, 2])
    assert coarse.status == report.IDENTICAL


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_row_on_its_way_is_no_drift(pairs, fresh_database, flavor, direction):
    """Law 3: fails when the fence is taken out of confirm()."""
    pair = pairs(flavor)
    upstream, downstream = (pair.a, pair.b) if direction == "forward" else (pair.b, pair.a)
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)"], database=database)
        pair.wait()
        pair.b.execute("UPDATE t SET v = 0 WHERE id = 2", database=database, logged=False)
        downstream.stop_replica()
        upstream.execute(["UPDATE t SET v = 7 WHERE id = 1", "INSERT INTO t VALUES (3, 3)"], database=database)

        def fence():
            downstream.start_replica()
            pair.wait()

        login = servers(pair).target
        with session.connect(login.at(pair.a.host, pair.a.port), "source") as source, session.connect(login, "target") as target:
            table = catalog.read_tables(source, [database])[schema.TableName(database, "t")]
            found = confirm.confirm(source, target, table, [(b"1",), (b"2",), (b"3",)], fence)
    assert [(each.kind, each.key) for each in found] == [(confirm.DIFFERENT, (b"2",))]
