# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What others do between comparison and repair: tables altered, locks lost, links set up anew, a run the other way round."""

from __future__ import annotations

import threading
from contextlib import closing

import pymysql
import pytest
from integration_engine.support import PASSWORD, assert_repaired, image, repair_account, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    keyspace,
    locks,
    options,
    repair,
    rewind,
    rowwise,
    selection,
    session,
    shadow,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ReplError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from sandbox import chain

FLAVORS = ("mariadb-10.11", "mysql-9")

TABLE = ["CREATE TABLE t (id int PRIMARY KEY, v int, changed int)", "INSERT INTO t VALUES (1, 1, 1), (2, 2, 1)"]

# Rows that are there have another value than one that is written without it.
COLUMN = ["ALTER TABLE t ADD COLUMN c int DEFAULT 77", "ALTER TABLE t ALTER c SET DEFAULT 0"]


@pytest.fixture(name="run")
def run_fixture(tmp_path, monkeypatch):
    """`run(pair, database, meanwhile=..., **repair)`: the sync; ``meanwhile`` is called between its plan and its first write."""

    def run(pair, database, meanwhile=lambda: None, login=None, plan_file="", **repair):
        check_caps = sync.check_caps

        def checked(*arguments):
            check_caps(*arguments)
            meanwhile()

        limits = options.Repair(undo_dir=str(tmp_path), **repair)
        chosen = options.Selection(databases=(database,))
        with monkeypatch.context() as patched:
            patched.setattr(sync, "check_caps", checked)
            given = login or servers(pair)
            return sync.run(given, chosen, options.Pace(), limits, sample_rows=10, apply=True, plan_file=plan_file)

    return run


def fill(pair, database, statements, drift):
    """The same tables on both servers, then what only the target has."""
    pair.a.execute(statements, database=database)
    pair.wait()
    pair.b.execute(drift, database=database, logged=False)


def both(pair, database, name="t"):
    """A table on both servers."""
    pair.wait()
    return image(pair.a, database)[name], image(pair.b, database)[name]


WAYS = {
    "shadow": ("PRIMARY KEY", ["UPDATE t SET v = 0 WHERE id = 1"], {}),
    "row": ("PRIMARY KEY", ["UPDATE t SET v = 0 WHERE id = 1"], {"method": "row"}),
    "keyless": ("", ["UPDATE t SET v = 0 WHERE id = 1"], {}),
    "adopt": ("PRIMARY KEY", ["INSERT INTO t VALUES (9, 9, 9)"], {"extra_rows": "adopt"}),
    "newest": (
        "PRIMARY KEY",
        ["UPDATE t SET v = 0, changed = 5 WHERE id = 1"],
        {"conflict": "newest", "conflict_column": "changed"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_column_that_came_meanwhile_keeps_its_values(pairs, fresh_database, run, flavor, way):
    """No statement knows it, and a row that is written anew would have its default there, on the source too (law 2)."""
    pair = pairs(flavor)
    key, drift, how = WAYS[way]
    with fresh_database(pair) as database:
        fill(pair, database, [f"CREATE TABLE t (id int {key}, v int, changed int)", TABLE[1]], drift)
        seen = []

        def alter():
            pair.a.execute(COLUMN, database=database)
            seen.extend(both(pair, database))

        result = run(pair, database, alter, **how)
        assert [(table.table, table.reason) for table in result.tables] == [("t", "stale_plan")]
        assert (result.failed, result.verified, result.changed) == (True, False, False)
        assert list(both(pair, database)) == seen
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_column_that_came_after_the_target_was_read_keeps_its_values(pairs, fresh_database, run, flavor, monkeypatch):
    """The source's definition is read again under the lock: from then on nobody can alter the table."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0 WHERE id = 1"])
        log, seen = repair._Run._log, []

        def logged(self, *arguments):
            pair.a.execute(COLUMN, database=database)
            seen.extend(both(pair, database))
            return log(self, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(repair._Run, "_log", logged)
            result = run(pair, database)
        assert [(table.table, table.reason) for table in result.tables] == [("t", "stale_plan")]
        assert (result.failed, result.verified, result.changed) == (True, False, False)
        assert list(both(pair, database)) == seen
        assert pair.links_healthy()


@pytest.mark.parametrize("where", ["both", "target"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_trigger_that_came_meanwhile_does_not_fire(pairs, fresh_database, run, flavor, where):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        side = "CREATE TABLE side (n int AUTO_INCREMENT PRIMARY KEY, id int)"
        fill(pair, database, [*TABLE, side], ["DELETE FROM t WHERE id = 1"])

        def trigger():
            text = "CREATE TRIGGER meanwhile AFTER INSERT ON t FOR EACH ROW INSERT INTO side (id) VALUES (NEW.id)"
            server = pair.a if where == "both" else pair.b
            server.execute(text, database=database, logged=where == "both")
            pair.wait()

        result = run(pair, database, trigger)
        assert {table.table: table.reason for table in result.tables} == {"t": "stale_plan", "side": None}
        assert both(pair, database, "side") == ([], [])
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_are_not_logged_after_their_lock_was_lost(pairs, fresh_database, run, flavor, monkeypatch):
    """Somebody ends the session that holds the lock, and the application writes the row (law 5)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0 WHERE id = 1"])
        take, log, locking = locks._Rows.take, shadow.Shadow.log, []

        def taken(self):
            locking.append(self._session.connection_id)
            take(self)

        def logged(self, *arguments, **more):
            pair.a.execute([f"KILL {locking[-1]}", "DO SLEEP(0.2)", "UPDATE t SET v = 50 WHERE id = 1"], database=database)
            log(self, *arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(locks._Rows, "take", taken)
            patched.setattr(shadow.Shadow, "log", logged)
            result = run(pair, database)
        assert [table.reason for table in result.tables] == ["lost_connection"]
        assert (result.changed, result.verified) == (False, False)
        ours, theirs = both(pair, database)
        assert (b"1", b"50", b"1") in ours
        assert (b"1", b"1", b"1") not in theirs, "a row was logged that nobody had locked"
        good = image(pair.a, database)
        run(pair, database)
        assert_repaired(pair, database, good)


# How a key of these rows is defined, and what number becomes as its value: one by whose ranges rows are read, and another.
KEYS = {"integer": ("int", str), "text": ("varchar(20)", lambda number: f"'k{number:04}'")}


def waits(server, database, statement):
    """Whether a statement of the application has to wait for a lock; what it does is taken back."""
    with closing(server.connect(database=database)) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
        cursor.execute("BEGIN")
        try:
            cursor.execute(statement)
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1205:
                raise
            return True
        finally:
            cursor.execute("ROLLBACK")
        return False


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_batch_locks_its_own_rows_and_no_others(pairs, fresh_database, run, flavor, kind, monkeypatch):
    """The rows, and the places of those that the source has not (laws 4 and 5); rows between and beside them are free.

    The rows lie so close together that without a lock they are read as one range.
    """
    definition, key = KEYS[kind]
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({key(number)}, 1)" for number in range(2, 42, 2))
        statements = [f"CREATE TABLE t (id {definition} PRIMARY KEY, v int)", f"INSERT INTO t VALUES {rows}"]
        missing = ", ".join(key(number) for number in (10, 12, 14, 16))
        drift = [
            f"DELETE FROM t WHERE id IN ({missing})",
            f"UPDATE t SET v = 0 WHERE id = {key(20)}",
            f"INSERT INTO t VALUES ({key(19)}, 1)",
        ]
        fill(pair, database, statements, drift)
        log, found = shadow.Shadow.log, {}

        def logged(self, *arguments, **more):
            for number in (8, 10, 16, 18, 20, 22, 40):
                found[number] = waits(pair.a, database, f"UPDATE t SET v = 5 WHERE id = {key(number)}")
            for number in (9, 11, 13, 15, 17, 19, 21, 41):
                found[number] = waits(pair.a, database, f"INSERT INTO t VALUES ({key(number)}, 5)")
            log(self, *arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(shadow.Shadow, "log", logged)
            result = run(pair, database)
        assert (result.failed, result.verified, result.changes.total) == (False, True, 6), result.message
        assert {number for number, waited in found.items() if waited} == {10, 16, 19, 20}


@pytest.mark.parametrize("drift", ["DELETE FROM t WHERE id BETWEEN 10 AND 13", "UPDATE t SET v = 0 WHERE id BETWEEN 10 AND 13"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_batch_without_a_gap_locks_no_row_beside_it(pairs, fresh_database, run, flavor, drift, monkeypatch):
    """Such rows are locked as one range, which ends with the last of them."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({number}, 1)" for number in (8, 10, 11, 12, 13, 14, 16))
        fill(pair, database, ["CREATE TABLE t (id int PRIMARY KEY, v int)", f"INSERT INTO t VALUES {rows}"], [drift])
        log, found, asked = shadow.Shadow.log, {}, []
        rows_of = keyspace.KeySpace.exactly

        def exactly(self, keys):
            asked.append(rows_of(self, keys))
            return asked[-1]

        def logged(self, *arguments, **more):
            for number in (8, 10, 11, 12, 13, 14, 16):
                found[number] = waits(pair.a, database, f"UPDATE t SET v = 5 WHERE id = {number}")
            for number in (9, 15, 17):
                found[number] = waits(pair.a, database, f"INSERT INTO t VALUES ({number}, 5)")
            log(self, *arguments, **more)

        with monkeypatch.context() as patched:
            patched.setattr(shadow.Shadow, "log", logged)
            patched.setattr(keyspace.KeySpace, "exactly", exactly)
            result = run(pair, database)
        assert (result.failed, result.verified, result.changes.total) == (False, True, 4), result.message
        assert asked == ["`id` BETWEEN 10 AND 13 ORDER BY `id` LIMIT 4"]
        assert {number for number, waited in found.items() if waited} == {10, 11, 12, 13}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_was_written_on_the_target_meanwhile_is_waited_for(pairs, fresh_database, run, flavor):
    """A row of the plan gets a new value on the target, which is still on its way when the row is locked (law 3)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        other = ["CREATE TABLE other (id int PRIMARY KEY, v int)", "INSERT INTO other VALUES (1, 1)"]
        fill(pair, database, [*TABLE, *other], ["UPDATE t SET v = 0 WHERE id = 1"])
        with closing(pair.a.connect(database=database)) as holder, closing(holder.cursor()) as cursor:

            def write():
                # The source's applier waits for a lock, so what comes behind is late.
                cursor.execute("BEGIN")
                cursor.execute("UPDATE other SET v = 5")
                pair.b.execute(["UPDATE other SET v = 9", "UPDATE t SET v = 99 WHERE id = 1"], database=database)
                late.start()

            late = threading.Timer(2, holder.rollback)
            result = run(pair, database, write)
            late.join()
        assert both(pair, database) == ([(b"1", b"99", b"1"), (b"2", b"2", b"1")],) * 2
        assert (result.verified, result.failed) == (True, False)
        assert pair.links_healthy()


def at_the_last_moment(patched, write):
    """Call ``write`` once, when the target's rows are read and the source's locked, and nothing of them is logged yet."""
    pending = [write]

    def after_it(then):
        def instead(*arguments, **more):
            if pending:
                pending.pop()()
            return then(*arguments, **more)

        return instead

    patched.setattr(shadow.Shadow, "log", after_it(shadow.Shadow.log))
    patched.setattr(rowwise._Run, "_write", after_it(rowwise._Run._write))


LAST_WRITES = {
    "update": ("PRIMARY KEY", "UPDATE t SET v = 0 WHERE id = 1", "UPDATE t SET v = 99 WHERE id = 1", {}),
    "delete": ("PRIMARY KEY", "UPDATE t SET v = 0 WHERE id = 1", "DELETE FROM t WHERE id = 1", {}),
    "many": ("PRIMARY KEY", "UPDATE t SET v = 0", "UPDATE t SET v = 99 WHERE id = 1", {}),
    "keyless": ("", "DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (1, 1, 1)", {}),
    "row": ("PRIMARY KEY", "UPDATE t SET v = 0 WHERE id = 1", "UPDATE t SET v = 99 WHERE id = 1", {"method": "row"}),
}


@pytest.mark.parametrize("way", LAST_WRITES)
@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_write_of_the_target_that_a_repair_replaces_is_not_called_verified(
    pairs, fresh_database, run, flavor, binlog_format, way, monkeypatch
):
    """It comes to the source after the repair was logged there: the copies differ, and the next run gives it to the target."""
    pair = pairs(flavor, binlog_format)
    key, drift, write, how = LAST_WRITES[way]
    if how and binlog_format == "STATEMENT" and pair.a.family == "mysql":
        pytest.skip("the target would stop on row changes")
    rows = ", ".join(f"({number}, 1, 1)" for number in range(1, 301))
    with fresh_database(pair) as database:
        other = ["CREATE TABLE other (id int PRIMARY KEY, v int)", "INSERT INTO other VALUES (1, 1)"]
        create = [f"CREATE TABLE t (id int {key}, v int, changed int)", f"INSERT INTO t VALUES {rows}", *other]
        fill(pair, database, create, [drift])
        with closing(pair.a.connect(database=database)) as holder, closing(holder.cursor()) as cursor:

            def written():
                # The source's applier waits for a lock, so what comes behind is late.
                cursor.execute("BEGIN")
                cursor.execute("UPDATE other SET v = 5")
                pair.b.execute(["UPDATE other SET v = 9", write], database=database)
                late.start()

            late = threading.Timer(1, holder.rollback)
            with monkeypatch.context() as patched:
                at_the_last_moment(patched, written)
                result = run(pair, database, **how)
            late.join()
        assert {table.table: table.reason for table in result.tables} == {"t": "not_verified", "other": None}
        assert (result.verified, result.failed) == (False, True)
        ours, theirs = both(pair, database)
        assert ours != theirs
        assert (b"1", b"1", b"1") in theirs
        assert pair.links_healthy()
        again = run(pair, database, **how)
        assert (again.verified, again.failed, again.changes.total) == (True, False, 1)
        assert both(pair, database) == (ours, ours)
        assert "written_meanwhile" not in {hazard.code for hazard in (*result.hazards, *again.hazards)}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_write_on_a_plain_replica_that_a_repair_replaces_is_told(run, flavor, monkeypatch):
    """It is on its way to nowhere, so nothing else would tell that the undo journal has the row as it was before it."""
    with chain(flavor, ("a", "b")) as pair:
        pair.a.execute(["CREATE DATABASE d", *(f"{statement.replace(' t ', ' d.t ')}" for statement in TABLE)])
        pair.wait()
        for written, expected in (
            ([], set()),
            (["UPDATE t SET v = 99 WHERE id = 1"], {"written_meanwhile"}),
            ([], {"errant_gtids"}),
        ):
            pair.b.execute("UPDATE t SET v = 0 WHERE id = 1", database="d", logged=False)
            with monkeypatch.context() as patched:
                at_the_last_moment(patched, lambda written=written: pair.b.execute(written, database="d"))
                result = run(pair, "d")
            assert result.verified
            assert {hazard.code for hazard in result.hazards} & {"written_meanwhile", "errant_gtids"} == expected
            ours, theirs = both(pair, "d")
            assert ours == theirs == [(b"1", b"1", b"1"), (b"2", b"2", b"1")]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_backup_that_locks_the_source_is_waited_for(pairs, fresh_database, run, flavor, monkeypatch):
    """For longer than for any other lock."""
    monkeypatch.setitem(session._SETTINGS, "lock_wait_timeout", "1")
    pair = pairs(flavor)
    with fresh_database(pair) as database, closing(pair.a.connect()) as holder, closing(holder.cursor()) as cursor:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0 WHERE id = 1"])
        good = image(pair.a, database)

        def lock():
            cursor.execute("FLUSH TABLES WITH READ LOCK")
            end.start()

        end = threading.Timer(3, lambda: cursor.execute("UNLOCK TABLES"))
        result = run(pair, database, lock)
        end.join()
        assert result.verified, result.message
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_run_the_other_way_round_is_kept_away(pairs, fresh_database, run, flavor):
    """Each would give one server the other's rows, and both would be changed (law 2)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0 WHERE id = 1"])
        good = image(pair.a, database)

        def other_way():
            login = servers(pair).target.at(pair.a.host, pair.a.port)
            with pytest.raises(Refusal, match="already_running"):
                run(pair, database, login=options.Servers(target=login))

        assert run(pair, database, other_way).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_link_that_was_set_up_anew_gives_no_verdict(pairs, fresh_database, run, flavor, monkeypatch):
    """With filters that it did not have when the run began, rows differ by design (law 3)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(pair, database, TABLE, [])
        mariadb = pair.b.family == "mariadb"

        def ignore(name):
            pair.b.stop_replica()
            if mariadb:
                pair.b.execute(f"SET GLOBAL replicate_ignore_table = '{name}'")
            else:
                pair.b.execute(f"CHANGE REPLICATION FILTER REPLICATE_IGNORE_TABLE = ({name})")
            pair.b.start_replica()

        examine_all = sync.examine_all

        def examined(*arguments, **more):
            ignore(f"{database}.t")
            pair.a.execute("UPDATE t SET v = 5", database=database)
            return examine_all(*arguments, **more)

        try:
            with monkeypatch.context() as patched:
                patched.setattr(sync, "examine_all", examined)
                result = run(pair, database)
        finally:
            ignore("")
        assert [(table.status, table.reason) for table in result.tables] == [("undecided", "link_changed")]
        assert not result.changed


@pytest.mark.parametrize("flavor", FLAVORS)
def test_trouble_of_one_table_is_not_that_of_the_others(pairs, fresh_database, run, flavor, monkeypatch):
    """A row that the application does not let go of, a table that is gone: the next table is repaired (law 15)."""
    pair = pairs(flavor)
    monkeypatch.setattr(locks, "ATTEMPTS", 2)
    monkeypatch.setattr("ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.repair.ATTEMPTS", 2)
    with fresh_database(pair) as database:
        tables = ["gone", "held", "last"]
        fill(
            pair,
            database,
            [statement.replace(" t ", f" {name} ") for name in tables for statement in TABLE],
            [f"UPDATE {name} SET v = 0 WHERE id = 1" for name in tables],
        )
        with closing(pair.a.connect(database=database)) as holder, closing(holder.cursor()) as cursor:

            def trouble():
                pair.a.execute("DROP TABLE gone", database=database)
                cursor.execute("BEGIN")
                cursor.execute("UPDATE held SET v = 5 WHERE id = 1")

            result = run(pair, database, trouble)
            holder.rollback()
        assert {table.table: table.reason for table in result.tables} == {
            "gone": "server_error",
            "held": "lock_conflict",
            "last": None,
        }
        assert (result.changes.updated, result.failed, result.verified) == (1, True, False)
        ours, theirs = both(pair, database, "last")
        assert ours == theirs


@pytest.mark.parametrize("flavor", FLAVORS)
def test_deletes_beyond_the_plan_share_one_allowance_without_a_key(pairs, fresh_database, run, flavor):
    """Two row values lose a copy more on the source, one delete more is allowed (law 8)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            ["CREATE TABLE t (v int)", "INSERT INTO t VALUES (1), (1), (2), (2)"],
            ["INSERT INTO t VALUES (1), (2)"],
        )

        def fewer():
            pair.a.execute(["DELETE FROM t WHERE v = 1 LIMIT 1", "DELETE FROM t WHERE v = 2 LIMIT 1"], database, logged=False)

        result = run(pair, database, fewer, max_deletes=3)
        assert (result.changes.deleted, result.changes.skipped) == (2, 1)
        assert [table.reason for table in result.tables] == ["max_deletes"]
        assert len(both(pair, database)[1]) == 4


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_plan_that_names_a_table_of_the_server_is_refused(pairs, fresh_database, run, tmp_path, flavor, monkeypatch):
    """Law 12 holds for files too, whoever wrote them."""
    pair = pairs(flavor)
    table = "mysql.time_zone_leap_second"
    with fresh_database(pair) as database:
        pair.b.execute(f"INSERT INTO {table} VALUES (1234, 5)", logged=False)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(selection, "SYSTEM_DATABASES", frozenset())
                chosen = options.Selection(tables=(table,))
                found = checksum.run(servers(pair), chosen, options.Pace(), 10, plan_file=str(tmp_path / "plan"))
                assert found.tables[0].extra == 1
            with pytest.raises(ReplError, match="belongs to the server itself"):
                run(pair, database, plan_file=str(tmp_path / "plan"))
            assert pair.b.query(f"SELECT COUNT(*) FROM {table}") == [(1,)]
        finally:
            pair.b.execute(f"DELETE FROM {table} WHERE Transition_time = 1234", logged=False)


@pytest.mark.parametrize("instant", ["before the shadow", "before the commit"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_source_that_becomes_read_only_is_named(pairs, fresh_database, run, flavor, instant, monkeypatch):
    """MariaDB makes the shadow all the same, and logs nothing of it; or it refuses the commit. MySQL repairs (law 15)."""
    pair = pairs(flavor)
    owner, name = (shadow.Shadow, "__enter__") if instant == "before the shadow" else (session.Session, "execute_all")
    original = getattr(owner, name)

    def read_only(*arguments):
        if instant == "before the shadow":
            pair.a.execute("SET GLOBAL read_only = 1")
        found = original(*arguments)
        pair.a.execute("SET GLOBAL read_only = 1")
        return found

    with fresh_database(pair) as database, repair_account(pair, database) as user:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0"])
        good, spoilt = image(pair.a, database), image(pair.b, database)
        login = servers(pair, user=user, password=PASSWORD)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(owner, name, read_only)
                result = run(pair, database, login=login)
        finally:
            pair.a.execute("SET GLOBAL read_only = 0")
        if pair.a.family == "mysql":
            assert result.verified, result.message
        else:
            assert [table.reason for table in result.tables] == ["source_read_only"]
            assert (result.verified, result.changed, result.failed) == (False, False, True)
            pair.wait()
            assert (image(pair.a, database), image(pair.b, database)) == (good, spoilt)
            assert run(pair, database, login=login).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_source_that_becomes_read_only_between_batches_is_named(pairs, fresh_database, run, flavor, monkeypatch):
    """What was logged until then has arrived and is verified."""
    pair = pairs(flavor)
    enter, batches = shadow.Shadow.__enter__, []

    def counted(self):
        batches.append(self)
        if len(batches) == 3:  # the second of its round
            pair.a.execute("SET GLOBAL read_only = 1")
        return enter(self)

    with fresh_database(pair) as database, repair_account(pair, database) as user:
        rows = ", ".join(f"({number}, 1, 1)" for number in range(1, 6))
        create = ["CREATE TABLE t (id int PRIMARY KEY, v int, changed int)", f"INSERT INTO t VALUES {rows}"]
        fill(pair, database, create, ["DELETE FROM t"])
        good = image(pair.a, database)
        login = servers(pair, user=user, password=PASSWORD)
        try:
            with monkeypatch.context() as patched:
                patched.setattr(shadow.Shadow, "__enter__", counted)
                result = run(pair, database, login=login, batch_rows=1)
        finally:
            pair.a.execute("SET GLOBAL read_only = 0")
        if pair.a.family == "mysql":
            assert result.verified, result.message
        else:
            assert [table.reason for table in result.tables] == ["source_read_only"]
            assert (result.verified, result.changes.inserted) == (False, 2)
            ours, theirs = both(pair, database)
            assert (len(ours), len(theirs)) == (5, 2)
            assert run(pair, database, login=login).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_to_a_source_that_becomes_read_only_ends(pairs, fresh_database, run, tmp_path, flavor, monkeypatch):
    """At once, not row by row."""
    pair = pairs(flavor)
    with fresh_database(pair) as database, repair_account(pair, database) as user:
        fill(pair, database, TABLE, ["UPDATE t SET v = 0"])
        done = run(pair, database)
        pair.a.execute(f"GRANT DELETE, INSERT ON {database}.* TO {user}@'%'")
        good = both(pair, database)
        prepare = rewind.prepare

        def read_only(*arguments):
            prepare(*arguments)
            pair.a.execute("SET GLOBAL read_only = 1")

        try:
            with monkeypatch.context() as patched:
                patched.setattr(rewind, "prepare", read_only)
                with pytest.raises(Refusal) as refused:
                    undo.run(servers(pair, user=user, password=PASSWORD), done.undo_file, undo_dir=str(tmp_path))
        finally:
            pair.a.execute("SET GLOBAL read_only = 0")
        assert refused.value.code == "source_read_only"
        assert both(pair, database) == good
