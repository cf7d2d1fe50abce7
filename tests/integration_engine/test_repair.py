# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repairs on real pairs: the target becomes equal, the source keeps every byte, replication stays up."""

from __future__ import annotations

import random
import threading
import time

import pymysql
import pytest
from integration_engine.repairing import FLAVORS, LENIENT, Rig, endpoint, minimal_account
from integration_engine.types_zoo import specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import confirm, journal, recipes, session
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fence as fences
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ReplError, TableProblem

FILM = "CREATE TABLE film (id int PRIMARY KEY, code varchar(20) UNIQUE, title text, stamp timestamp(6) NULL)"


def fill(pair, database, statements, drift):
    """Make a table on both servers, then let the target drift."""
    pair.a.execute([*LENIENT, *statements], database=database)
    pair.wait()
    pair.b.execute([*LENIENT, *drift], database=database, logged=False)


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED", "STATEMENT"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_missing_extra_and_different_rows_with_the_documented_rights(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format)
    with fresh_database(pair) as database, minimal_account(pair, database) as login:
        rows = ", ".join(f"({n}, 'c{n}', 'title {n}', FROM_UNIXTIME({n} * 86400))" for n in range(1, 101))
        drift = [
            "DELETE FROM film WHERE id IN (3, 50, 100)",
            "UPDATE film SET title = 'wrong' WHERE id BETWEEN 10 AND 15",
            "INSERT INTO film VALUES (200, 'x', 'extra', NULL), (201, NULL, NULL, NULL)",
        ]
        fill(pair, database, [FILM, f"INSERT INTO film VALUES {rows}"], drift)
        with Rig(pair, database, tmp_path, *login) as rig:
            result = rig.repaired("film", batch_rows=4)
            assert (result.inserted, result.updated, result.deleted) == (3, 6, 2)
            assert (result.skipped, result.unverified, len(result.statements)) == ((), (), 11)
            entries = list(journal.read(rig.journal).entries())
            assert len(entries) == 11
            assert all(entry.committed for entry in entries)
            again = rig.repair("film")
            assert (again.inserted, again.updated, again.deleted, again.verified) == (0, 0, 0, True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_type_arrives_exactly(pairs, fresh_database, tmp_path, flavor):
    """Servers that differ in time zone, sql_mode and character set; drifted, missing and extra rows of all types."""
    pair = pairs(
        flavor,
        options_a={"default_time_zone": "+03:00", "sql_mode": "NO_BACKSLASH_ESCAPES"},
        options_b={
            "default_time_zone": "-07:00",
            "sql_mode": "ANSI_QUOTES,PIPES_AS_CONCAT,STRICT_ALL_TABLES",
            "character_set_server": "latin1",
        },
    )
    zoo = specimens(flavor)
    columns = ", ".join(f"`{each.name}` {each.definition}" + ("" if "null" in each.definition else " NULL") for each in zoo)
    good = ", ".join(each.good for each in zoo)
    bad = ", ".join(f"`{each.name}` = {each.bad}" for each in zoo)
    with fresh_database(pair, "CHARACTER SET latin1") as database:
        fill(
            pair,
            database,
            [
                f"CREATE TABLE zoo (id int PRIMARY KEY, {columns}, twin int AS (id + 1) STORED, ghost int AS (id + 2) VIRTUAL)",
                *(
                    f"INSERT INTO zoo (id, {', '.join(f'`{each.name}`' for each in zoo)}) VALUES ({n}, {good})"
                    for n in range(-1, 6)
                ),
            ],
            [
                "DELETE FROM zoo WHERE id IN (0, 2)",
                f"UPDATE zoo SET {bad} WHERE id IN (1, 3)",
                "INSERT INTO zoo (id) VALUES (9)",
            ],
        )
        with Rig(pair, database, tmp_path) as rig:
            result = rig.repaired("zoo")
            assert (result.inserted, result.updated, result.deleted) == (2, 2, 1)


KEYS = {
    "int": ("int", "{n}"),
    "text": ("varchar(20) CHARACTER SET latin1", "CONCAT('k', {n}, _latin1 X'E9')"),
    "bytes": ("varbinary(20)", "LEFT(UNHEX(SHA2({n}, 256)), 20)"),
    "stamp": ("timestamp(3) NOT NULL DEFAULT '2000-01-01'", "FROM_UNIXTIME(1000000000 + {n})"),
    "moment": ("datetime(6)", "'2024-01-01 00:00:00' + INTERVAL {n} MICROSECOND"),
    "float": ("float", "{n} / 3e0"),
    "double": ("double", "{n} / 7e0"),
    "decimal": ("decimal(30,10)", "{n} / 8"),
    "bit": ("bit(64)", "18446744073709551615 - {n}"),
    "year": ("year", "1901 + {n}"),
    "time": ("time(6)", "SEC_TO_TIME(-40000.000001 - {n})"),
    "enum": ("enum({labels})", "{n}"),
    "date": ("date", "20240100 + {n}"),
}


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_every_type_of_key(pairs, fresh_database, tmp_path, flavor, kind):
    pair = pairs(flavor, options_b={"default_time_zone": "-07:00"})
    definition, value = KEYS[kind]
    labels = ", ".join(f"'l{n}'" for n in range(1, 30))
    with fresh_database(pair) as database:
        rows = [f"INSERT INTO t VALUES ({value.format(n=n)}, 'v{n}')" for n in range(1, 21)]
        fill(
            pair,
            database,
            [f"CREATE TABLE t (k {definition.format(labels=labels)} NOT NULL PRIMARY KEY, v varchar(20))", *rows],
            [
                "DELETE FROM t WHERE v IN ('v3', 'v4')",
                "UPDATE t SET v = 'wrong' WHERE v = 'v7'",
                *(f"INSERT INTO t VALUES ({value.format(n=n)}, 'extra')" for n in (21, 22, 23)),
            ],
        )
        # An applier that worked in another time zone just before.
        pair.a.execute(
            [
                "SET SESSION binlog_format = 'STATEMENT'",
                "SET time_zone = '+09:00'",
                "CREATE TABLE z (s timestamp NULL)",
                "INSERT INTO z VALUES ('2020-02-02')",
            ],
            database=database,
        )
        with Rig(pair, database, tmp_path) as rig:
            result = rig.repaired("t")
            assert (result.inserted, result.updated, result.deleted) == (2, 1, 3)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_timestamp_is_not_shifted_by_the_zone_the_applier_used_before(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, s timestamp NULL)",
                "INSERT INTO t VALUES (1, '2024-06-01 12:00:00')",
            ],
            ["DELETE FROM t"],
        )
        pair.a.execute(
            [
                "SET SESSION binlog_format = 'STATEMENT'",
                "SET time_zone = '+09:00'",
                "CREATE TABLE z (s timestamp NULL)",
                "INSERT INTO z VALUES ('2020-02-02')",
            ],
            database=database,
        )
        with Rig(pair, database, tmp_path) as rig:
            rig.repaired("t")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_swapped_unique_values_and_keys_spelt_otherwise(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (name varchar(20) PRIMARY KEY, code varchar(20) NULL UNIQUE, v int)"
                " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
                "INSERT INTO t VALUES ('a', 'one', 1), ('b', 'two', 2), ('c', 'three', 3), ('d', NULL, 4), ('e', NULL, 5)",
            ],
            [
                "UPDATE t SET code = 'tmp' WHERE name = 'a'",
                "UPDATE t SET code = 'one' WHERE name = 'b'",
                "UPDATE t SET code = 'two' WHERE name = 'a'",
                "UPDATE t SET name = 'C' WHERE name = 'c'",
                "DELETE FROM t WHERE name = 'd'",
                "INSERT INTO t VALUES ('X', 'nine', 9)",
            ],
        )
        with Rig(pair, database, tmp_path) as rig:
            images = {change.key: change.target for change in rig.differences("t")}
            result = rig.repaired("t", batch_rows=1)
            assert (result.inserted, result.updated, result.deleted) == (1, 3, 1)
            # Also of the row that the REPLACE of another one took away first.
            assert {entry.key: entry.before for entry in journal.read(rig.journal).entries()} == images


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_row_outside_the_plan_is_never_pushed_out(pairs, fresh_database, tmp_path, flavor):
    """extra_rows: keep leaves row 9 alone; the REPLACE of row 1 would delete it."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, code varchar(20), part text, UNIQUE (code), UNIQUE (part(4)))",
                "INSERT INTO t VALUES (1, 'one', 'part1'), (2, 'two', 'qart2'), (3, NULL, 'rart3')",
            ],
            [
                "DELETE FROM t WHERE id IN (1, 2)",
                "INSERT INTO t VALUES (9, 'ONE', NULL), (8, NULL, 'qarttwo')",
                "UPDATE t SET code = 'x' WHERE id = 3",
            ],
        )
        with Rig(pair, database, tmp_path) as rig:
            before = rig.content(rig.target, "t")
            plan = [change for change in rig.differences("t") if change.kind != confirm.EXTRA]
            result = rig.repair("t", changes=plan)
            assert {(skipped.key, skipped.reason) for skipped in result.skipped} == {
                ((b"1",), "unique_collision"),
                ((b"2",), "unique_collision"),
            }
            assert all("id=9" in skipped.message for skipped in result.skipped if skipped.key == (b"1",))
            assert (result.inserted, result.updated, result.deleted, result.verified) == (0, 1, 0, False)
            assert {row for row in before if row[0] != b"3"} <= set(rig.content(rig.target, "t"))
            # With the extra rows in the plan there is nothing in the way.
            rig.repaired("t")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_unique_key_over_a_virtual_column(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, a int, b int AS (a * 2) VIRTUAL, UNIQUE (b))",
                "INSERT INTO t (id, a) VALUES (1, 10), (2, 20)",
            ],
            ["DELETE FROM t WHERE id = 1", "INSERT INTO t (id, a) VALUES (9, 10)"],
        )
        with Rig(pair, database, tmp_path) as rig:
            plan = [change for change in rig.differences("t") if change.kind != confirm.EXTRA]
            result = rig.repair("t", changes=plan)
            assert [skipped.reason for skipped in result.skipped] == ["unique_collision"]
            rig.repaired("t")


def test_a_functional_unique_key(pairs, fresh_database, tmp_path):
    """Nobody can look up who holds its values: a statement is used that takes no row away, and REPLACE is refused."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, a int, UNIQUE f ((a * 2)))",
                "INSERT INTO t VALUES (1, 10), (2, 20), (3, 30), (4, 40)",
            ],
            ["DELETE FROM t WHERE id = 1", "UPDATE t SET a = 21 WHERE id = 2", "INSERT INTO t VALUES (5, 50)"],
        )
        plain, careful = recipes.PLAIN, recipes.Recipe(recipes.INSERT, recipes.UPDATE)
        with Rig(pair, database, tmp_path) as rig:
            with pytest.raises(TableProblem, match="functional_unique_key"):
                rig.repair("t", recipe=plain)
            result = rig.repaired("t", recipe=careful)
            assert (result.inserted, result.updated, result.deleted) == (1, 1, 1)
            # A row outside the plan has the value: it stays, replication runs, and the result says so.
            pair.b.execute(["DELETE FROM t WHERE id = 1", "UPDATE t SET a = 10 WHERE id = 3"], database=database, logged=False)
            plan = [change for change in rig.differences("t") if change.key == (b"1",)]
            result = rig.repair("t", changes=plan, recipe=careful)
            assert (result.verified, result.unverified) == (False, ((b"1",),))
            assert rig.content(rig.target, "t") == [(b"2", b"20"), (b"3", b"10"), (b"4", b"40")]
            rig.check_links()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_foreign_keys_do_not_cascade_and_checks_do_not_stop_the_target(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE parent (id int PRIMARY KEY, v int)",
                "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
                "INSERT INTO parent VALUES (1, 1), (2, 2)",
                "INSERT INTO child VALUES (1, 1), (2, 2)",
            ],
            ["SET foreign_key_checks = 0", "UPDATE parent SET v = 9 WHERE id = 1", "DELETE FROM parent WHERE id = 2"],
        )
        with Rig(pair, database, tmp_path) as rig:
            children = rig.content(rig.target, "child")
            rig.repaired("parent")
            assert rig.content(rig.target, "child") == children


@pytest.mark.parametrize("flavor", FLAVORS)
def test_wide_tables_odd_names_and_large_values(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    odd = "od`d, 'name' %s \\ \"q\" é."
    quoted = "`" + odd.replace("`", "``") + "`"
    with fresh_database(pair) as database:
        columns = ", ".join(f"c{n} varchar(4)" for n in range(300))
        values = ", ".join(f"'v{n}'" for n in range(300))
        fill(
            pair,
            database,
            [
                f"CREATE TABLE {quoted} (id int PRIMARY KEY, {columns}, `b``c` longblob)",
                *(f"INSERT INTO {quoted} VALUES ({n}, {values}, REPEAT(X'00FF', 524288))" for n in range(1, 6)),
                f"INSERT INTO {quoted} (id) VALUES (6)",
            ],
            [
                f"DELETE FROM {quoted} WHERE id < 4",
                f"UPDATE {quoted} SET `b``c` = REPEAT(X'00FE', 524288) WHERE id > 4",
            ],
        )
        with Rig(pair, database, tmp_path) as rig:
            result = rig.repaired(odd)
            assert (result.inserted, result.updated) == (3, 2)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_row_larger_than_a_packet_is_refused_before_anything_is_written(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, options={"max_allowed_packet": "4M"})
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, b longblob)",
                # The third takes a statement of all but a few bytes of a packet.
                "INSERT INTO t VALUES (1, REPEAT('x', 1000000)), (2, REPEAT('x', 3000000)), (3, REPEAT('x', 2097100))",
            ],
            ["DELETE FROM t"],
        )
        with Rig(pair, database, tmp_path) as rig:
            position = pair.a.binlog_position()
            with pytest.raises(Exception, match="row_too_large"):
                rig.repair("t")
            assert pair.a.binlog_position() == position
            rig.repair("t", changes=[change for change in rig.differences("t") if change.key != (b"2",)])
            assert [change.key for change in rig.differences("t")] == [(b"2",)]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_changed_between_plan_and_lock(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, 'c{n}', 't{n}', NULL)" for n in range(1, 11))
        fill(
            pair,
            database,
            [FILM, f"INSERT INTO film VALUES {rows}"],
            [
                "DELETE FROM film WHERE id IN (1, 2)",
                "UPDATE film SET title = 'bad' WHERE id IN (3, 4, 5)",
                "INSERT INTO film VALUES (20, 'x', 'extra', NULL), (21, 'y', 'extra', NULL)",
            ],
        )
        with Rig(pair, database, tmp_path) as rig:
            plan = rig.differences("film")
            pair.a.execute("DELETE FROM film WHERE id = 4", database=database)
            pair.a.execute("UPDATE film SET title = 'new', code = 'new' WHERE id = 3", database=database, logged=False)
            # Row 20 is on the source now; the insert cannot reach the target, which has it (this is what stops replication).
            pair.a.execute("INSERT INTO film VALUES (20, 'z', 'now here', NULL)", database=database, logged=False)
            # And row 5 is gone from the source without a trace in the log.
            pair.a.execute("DELETE FROM film WHERE id = 5", database=database, logged=False)
            result = rig.repair("film", changes=plan)
            assert [(skipped.key, skipped.reason) for skipped in result.skipped] == [((b"5",), "max_deletes")]
            assert not result.verified
            assert [change.key for change in rig.differences("film")] == [(b"5",)]
            images = {entry.key: entry for entry in journal.read(rig.journal).entries()}
            assert images[(b"3",)].after == (b"3", b"new", b"new", None)
            assert images[(b"20",)].after == (b"20", b"z", b"now here", None)
            assert images[(b"20",)].before == (b"20", b"x", b"extra", None)
            # The same with one delete to spare.
            pair.b.execute("UPDATE film SET title = 'bad' WHERE id = 6", database=database, logged=False)
            plan = [change for change in rig.differences("film") if change.key == (b"6",)]
            pair.a.execute("DELETE FROM film WHERE id = 6", database=database, logged=False)
            result = rig.repair("film", changes=plan, spare_deletes=1)
            assert (result.deleted, result.verified) == (1, True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_application_writes_the_same_rows_meanwhile(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, 'c{n}', 't{n}', NOW(6))" for n in range(300))
        fill(
            pair,
            database,
            [FILM, f"INSERT INTO film VALUES {rows}"],
            ["UPDATE film SET title = 'bad' WHERE id % 3 = 0", "UPDATE film SET stamp = NULL WHERE id % 5 = 0"],
        )
        stop = threading.Event()
        written = []

        def write(seed):
            dice = random.Random(seed)
            connection = pair.a.connect(database=database)
            while not stop.is_set():
                number = dice.randrange(300)
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("UPDATE film SET title = %s WHERE id = %s", (f"w{dice.random()}", number))
                        written.append(number)
                except pymysql.err.OperationalError as error:
                    if error.args[0] not in (1205, 1213):
                        raise
                time.sleep(0.001)
            connection.close()

        threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        try:
            with Rig(pair, database, tmp_path) as rig:
                for _round in range(3):
                    # Row by row: a scan would lock out the parallel applier, which commits in order.
                    pair.b.execute(
                        [f"UPDATE film SET stamp = NOW(6) WHERE id = {n}" for n in range(0, 300, 4)],
                        database=database,
                        logged=False,
                    )
                    plan = [
                        confirm.Difference(
                            confirm.DIFFERENT,
                            (str(n).encode(),),
                            (str(n).encode(), b"", b"", None),
                            (str(n).encode(), b"", b"", None),
                        )
                        for n in range(0, 300, 4)
                    ]
                    result = rig.repair("film", changes=plan, batch_rows=20)
                    assert result.stopped is None, result.stopped
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with Rig(pair, database, tmp_path) as rig:
            rig.repaired("film")
            assert len(written) > 100


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_journal_is_on_disk_before_every_commit(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [FILM, "INSERT INTO film VALUES (1, 'a', 'b', NULL), (2, 'c', 'd', NULL)"],
            ["DELETE FROM film"],
        )
        with Rig(pair, database, tmp_path) as rig:
            plan = rig.differences("film")
            pair.a.execute("UPDATE film SET title = 'changed' WHERE id = 2", database=database, logged=False)
            events = []
            writer = rig.writer()
            write, fsync, execute = writer._write, journal.os.fsync, rig.log.execute
            monkeypatch.setattr(writer, "_write", lambda line, **how: (events.append(line["is"]), write(line, **how))[1])
            monkeypatch.setattr(journal.os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor))[1])

            def spy(sql):
                if sql == "COMMIT":
                    events.append("COMMIT")
                return execute(sql)

            monkeypatch.setattr(rig.log, "execute", spy)
            rig.repair("film", changes=plan, journal_writer=writer)
            assert events.count("COMMIT") == 2
            for place, event in enumerate(events):
                if event == "COMMIT":
                    before = [each for each in events[:place] if each in ("row", "image", "fsync")]
                    assert before[-1] == "fsync"
            assert "image" in events


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_an_unwritable_journal_stops_the_repair_before_the_first_write(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(pair, database, [FILM, "INSERT INTO film VALUES (1, 'a', 'b', NULL)"], ["DELETE FROM film"])
        with Rig(pair, database, tmp_path) as rig:
            plan = rig.differences("film")
            writer = rig.writer()

            def full(_descriptor):
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(journal.os, "fsync", full)
            position = pair.a.binlog_position()
            with pytest.raises(Exception, match="journal_unwritable"):
                rig.repair("film", changes=plan, journal_writer=writer)
            assert pair.a.binlog_position() == position


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_link_that_breaks_ends_the_repair(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, 'c{n}', 't{n}', NULL)" for n in range(20))
        fill(pair, database, [FILM, f"INSERT INTO film VALUES {rows}"], ["UPDATE film SET title = 'bad'"])
        with Rig(pair, database, tmp_path) as rig:
            plan = rig.differences("film")

            def fence():
                pair.b.stop_replica()
                rig.fence()

            result = rig.repair("film", changes=plan, batch_rows=5, fence=fence)
            assert result.stopped is not None
            assert result.stopped.code in ("broken_link", "stopped_link")
            assert (result.updated, result.verified) == (5, False)
            pair.b.start_replica()
            pair.wait()

            # The way back stops while the fence sees nothing of it: the health of both links is looked at on its own.
            def forward_only():
                fences.fence(rig.source, rig.target, rig.links.forward, 20)
                pair.a.stop_replica()

            plan = rig.differences("film")
            assert len(plan) == 15
            result = rig.repair("film", changes=plan, batch_rows=5, fence=forward_only)
            assert result.stopped is not None
            assert result.stopped.code == "broken_link"
            assert (result.updated, result.verified) == (5, False)
            # And it is before the first batch.
            position = pair.a.binlog_position()
            with pytest.raises(ReplError, match="broken_link"):
                rig.repair("film", changes=plan)
            assert pair.a.binlog_position() == position
            pair.a.start_replica()
            pair.wait()
            rig.repaired("film")


@pytest.mark.parametrize("flavor", [flavor for flavor in FLAVORS if "maria" in flavor])
def test_a_row_that_breaks_a_check_is_skipped(pairs, fresh_database, tmp_path, flavor):
    """MariaDB can hold such rows; the target would refuse the statement and replication would stop."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v > 0))",
                "SET check_constraint_checks = 0",
                "INSERT INTO t VALUES (1, -1), (2, 2)",
            ],
            ["DELETE FROM t"],
        )
        with Rig(pair, database, tmp_path) as rig:
            result = rig.repair("t")
            assert [(skipped.key, skipped.reason) for skipped in result.skipped] == [((b"1",), "check_constraint")]
            assert (result.inserted, result.stopped) == (1, None)
            rig.check_links()


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_check_that_only_the_target_has_is_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            ["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, -1)"],
            ["DELETE FROM t", "ALTER TABLE t ADD CHECK (v > 0)"],
        )
        with Rig(pair, database, tmp_path) as rig, pytest.raises(Exception, match="check_mismatch"):
            rig.repair("t")


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_locks_of_a_vanished_client_do_not_outlive_minutes(pairs, flavor):
    pair = pairs(flavor)
    with session.connect(endpoint(pair.a), "source") as lock:
        lock.begin()
        assert lock.scalar("SELECT @@wait_timeout") == str(session.LOCKED_IDLE)
        lock.commit()
        assert int(lock.scalar("SELECT @@wait_timeout")) > 3600
        lock.begin()
        lock.roll_back()
        assert int(lock.scalar("SELECT @@wait_timeout")) > 3600
