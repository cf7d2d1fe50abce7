# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Guards that nothing else would miss: each test fails when its guard is taken out."""

from __future__ import annotations

import os
from contextlib import suppress

import pymysql
import pytest
from integration_engine.support import image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    catalog,
    fingerprint,
    giving,
    journal,
    multiset,
    options,
    putback,
    rewind,
    rowwise,
    schema,
    session,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.lanes import Lane
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo

FLAVORS = ("mariadb-10.11", "mysql-9")

LOCK_WAIT_TIMEOUT = 1205


def run(pair, database, undo_dir, **repair):
    """Run the sync on one database."""
    limits = options.Repair(undo_dir=str(undo_dir), **repair)
    selection = options.Selection(databases=(database,))
    return sync.run(servers(pair), selection, options.Pace(), limits, sample_rows=10, apply=True)


def fill(pair, database, statements, drift):
    """The same tables on both servers, then what only the target has."""
    pair.a.execute(statements, database=database)
    pair.wait()
    pair.b.execute(drift, database=database, logged=False)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_on_their_way_are_no_drift_without_a_key(pairs, fresh_database, flavor, direction):
    """The fence of a verdict on a table without a key (law 3)."""
    pair = pairs(flavor)
    upstream, downstream = (pair.a, pair.b) if direction == "forward" else (pair.b, pair.a)
    with fresh_database(pair) as database:
        fill(pair, database, ["CREATE TABLE t (v int)", "INSERT INTO t VALUES (1), (1), (2)"], ["UPDATE t SET v = 0 WHERE v = 2"])
        downstream.stop_replica()
        upstream.execute("INSERT INTO t VALUES (1), (3)", database=database)

        def fence():
            downstream.start_replica()
            pair.wait()

        login = servers(pair).target
        source = session.connect(login.at(pair.a.host, pair.a.port), "source")
        with Lane(source, session.connect(login, "target")) as lane:
            table = catalog.read_tables(source, [database])[schema.TableName(database, "t")]
            rows = multiset.Rows(table, table.stored_columns)
            suspects = [digest for some in multiset.scan(lane, rows, 5).suspects for digest in some]
            assert len(suspects) == 4  # 0 and 2, and both values on their way
            found = multiset.confirm(lane, rows, suspects, fence)
    assert sorted(each.key for each in found) == [(b"0",), (b"2",)]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_stay_as_they_are_while_they_are_adopted(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """The locks on both servers between the reading and the commit (law 5): the application waits."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            ["CREATE TABLE t (id int PRIMARY KEY, v int, changed int)", "INSERT INTO t VALUES (1, 1, 1), (5, 5, 1)"],
            ["UPDATE t SET v = 2, changed = 2 WHERE id = 1", "INSERT INTO t VALUES (9, 9, 1)"],
        )
        waited = []
        write = giving.Giver._write

        def written(self, *arguments):
            for server, statement in (
                (pair.a, "UPDATE t SET v = 77 WHERE id = 1"),
                (pair.a, "INSERT INTO t VALUES (9, 77, 1)"),
                (pair.b, "UPDATE t SET v = 77 WHERE id = 1"),
                (pair.b, "DELETE FROM t WHERE id = 9"),
            ):
                with suppress(pymysql.MySQLError):
                    try:
                        server.execute(["SET SESSION innodb_lock_wait_timeout = 1", statement], database=database)
                    except pymysql.MySQLError as error:
                        waited.append(error.args[0])
                        raise
            return write(self, *arguments)

        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "_write", written)
            result = run(pair, database, tmp_path, extra_rows="adopt", conflict="newest", conflict_column="changed")
        assert waited == [LOCK_WAIT_TIMEOUT] * 4
        assert (result.verified, result.changes.adopted) == (True, 2)
        pair.wait()
        merged = [(b"1", b"2", b"2"), (b"5", b"5", b"1"), (b"9", b"9", b"1")]
        assert image(pair.a, database)["t"] == image(pair.b, database)["t"] == merged
        assert pair.links_healthy()


MEANWHILE = {
    "altered row": (
        "CREATE TRIGGER meanwhile BEFORE INSERT ON t FOR EACH ROW SET NEW.v = 99",
        "see_that_it_is_unaltered",
        "not_undone",
    ),
    "another table": (
        "CREATE TRIGGER meanwhile AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
        "see_that_it_is_unaltered",
        "trigger_side_effects",
    ),
    "a trigger": ("CREATE TRIGGER meanwhile AFTER DELETE ON t FOR EACH ROW SET @x = 1", "", "schema_changed"),
    "a column": ("ALTER TABLE t ADD COLUMN more int DEFAULT 5", "", "schema_changed"),
}


@pytest.mark.parametrize("what", MEANWHILE)
@pytest.mark.parametrize("key", ["PRIMARY KEY", ""], ids=["keyed", "keyless"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_looks_again_before_it_commits(pairs, fresh_database, tmp_path, flavor, key, what, monkeypatch):
    """What comes between its plan and its writing, seen by one guard when the one before it is out of the way.

    That the table is what it was, that rows are stored as they were written, that no other row is changed.
    """
    statement, removed, reason = MEANWHILE[what]
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [f"CREATE TABLE t (id int {key}, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)", "CREATE TABLE log (id int)"],
            ["UPDATE t SET v = 7 WHERE id = 1"],
        )
        undo_file = run(pair, database, tmp_path).undo_file
        prepare = rewind.prepare

        def prepared(*arguments):
            if len(waited) == 0:
                pair.a.execute(statement, database=database)
                waited.append(image(pair.a, database))
            prepare(*arguments)

        waited = []
        with monkeypatch.context() as patched:
            patched.setattr(rewind, "prepare", prepared)
            if removed:
                patched.setattr(putback, removed, lambda *unused: None)
            result = undo.run(servers(pair), undo_file, undo_dir=str(tmp_path))
        assert (result.failed, {row.reason for row in result.refused}) == (True, {reason})
        pair.wait()
        left = image(pair.a, database)
        assert left == image(pair.b, database)
        assert (b"1", b"99") not in left["t"], "what the trigger made of the row was committed"
        # Of a table without a key the row that goes and the one that comes are two.
        assert left == waited[0] or (not key and what == "altered row")
        assert pair.links_healthy()


@pytest.mark.parametrize("what", ["a trigger", "a column"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_without_transactions_looks_again_under_its_lock(pairs, fresh_database, tmp_path, flavor, what, monkeypatch):
    """What comes between its plan and its lock: nothing that it writes could be rolled back."""
    pair = pairs(flavor, options={"myisam_recover_options": "BACKUP,FORCE"})
    statement = {
        "a trigger": "CREATE TRIGGER meanwhile AFTER UPDATE ON t FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
        "a column": "ALTER TABLE t ADD COLUMN more int DEFAULT 5",
    }[what]
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, v int) ENGINE=MyISAM"
        create = [table, "INSERT INTO t VALUES (1, 1), (2, 2)", "CREATE TABLE log (id int) ENGINE=MyISAM"]
        fill(pair, database, create, ["UPDATE t SET v = 7 WHERE id = 1", "DELETE FROM t WHERE id = 2"])
        undo_file = run(pair, database, tmp_path).undo_file
        prepare, left = rewind.prepare, []

        def prepared(*arguments):
            pair.a.execute(statement, database=database)
            left.append(image(pair.a, database))
            prepare(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(rewind, "prepare", prepared)
            result = undo.run(servers(pair), undo_file, undo_dir=str(tmp_path))
        assert (result.failed, {row.reason for row in result.refused}) == (True, {"schema_changed"}), result.message
        pair.wait()
        assert [image(server, database) for server in (pair.a, pair.b)] == left * 2
        assert pair.links_healthy()


@pytest.mark.parametrize("way", ["undo", "adopt"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_is_written_as_planned_has_its_plan_on_disk(pairs, fresh_database, tmp_path, flavor, way, monkeypatch):
    """The flush at the end of a plan (law 9): what is locked and found as planned is not journaled once more."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create = ["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)"]
        fill(pair, database, create, ["INSERT INTO t VALUES (5, 5)"])
        undo_file = run(pair, database, tmp_path).undo_file if way == "undo" else ""
        pair.b.execute("INSERT INTO t VALUES (7, 7)", database=database, logged=False)
        on_disk, synced, fsync = [], {}, journal.os.fsync

        def flushed(descriptor):
            fsync(descriptor)
            found = os.fstat(descriptor)
            synced[found.st_ino] = found.st_size

        def watched(write):
            def written(*arguments):
                (path,) = (tmp_path / "watched").iterdir()
                assert synced[path.stat().st_ino] == path.stat().st_size
                on_disk.extend((entry.key, entry.before, entry.after) for entry in journal.read(str(path)).entries())
                return write(*arguments)

            return written

        with monkeypatch.context() as patched:
            patched.setattr(journal.os, "fsync", flushed)
            if way == "undo":
                patched.setattr(putback._Rows, "_write", watched(putback._Rows._write))
                result = undo.run(servers(pair), undo_file, undo_dir=str(tmp_path / "watched"))
                assert on_disk == [((b"5",), None, (b"5", b"5"))]
            else:
                patched.setattr(giving.Giver, "_write", watched(giving.Giver._write))
                result = run(pair, database, tmp_path / "watched", extra_rows="adopt")
                assert on_disk == [((number,), None, (number, number)) for number in (b"5", b"7")]
        assert result.verified, result.message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_answer_that_cannot_be_costs_its_table_alone(pairs, fresh_database, flavor, monkeypatch):
    """Rows that fall into no group would be compared by nobody (law 4)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"('k{number}', {number})" for number in range(500))
        # Keys of a beginning cannot be walked along, so rows are put into groups.
        create = [f"CREATE TABLE `{name}` (k varchar(9) NOT NULL, v int, PRIMARY KEY (k(8)))" for name in ("long", "short")]
        values = [f"INSERT INTO `long` VALUES {rows}", "INSERT INTO short VALUES ('a', 1)"]
        fill(pair, database, [*create, *values], ["UPDATE `long` SET v = 0 WHERE k = 'k7'", "UPDATE short SET v = 0"])
        bucket = fingerprint.Fingerprint._bucket
        with monkeypatch.context() as patched:
            patched.setattr(fingerprint.Fingerprint, "_bucket", lambda self, many: f"{bucket(self, many)} + {many - 1}")
            found = checksum.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), 1)
        assert [(table.table, table.status, table.reason) for table in found.tables] == [
            ("long", "error", "impossible_answer"),
            ("short", "drift", None),
        ]
        assert not found.in_sync


@pytest.mark.parametrize("key", ["PRIMARY KEY", ""], ids=["keyed", "keyless"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_leaves_rows_alone_that_changed_since_its_plan(pairs, fresh_database, tmp_path, flavor, key, monkeypatch):
    """The last reading of the rows, locked (law 5): what the application wrote after the plan stays, on both servers."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            [f"CREATE TABLE t (id int {key}, v int)", "INSERT INTO t VALUES (1, 1), (2, 2)"],
            ["UPDATE t SET v = 7 WHERE id = 1", "UPDATE t SET v = 8 WHERE id = 2"],
        )
        undo_file = run(pair, database, tmp_path).undo_file
        prepare = rewind.prepare

        def prepared(*arguments):
            pair.a.execute("UPDATE t SET v = 55 WHERE id = 1", database=database)
            prepare(*arguments)

        with monkeypatch.context() as patched:
            patched.setattr(rewind, "prepare", prepared)
            result = undo.run(servers(pair), undo_file, undo_dir=str(tmp_path))
        assert "changed_since" in {row.reason for row in result.refused}
        pair.wait()
        left = image(pair.a, database)["t"]
        assert left == image(pair.b, database)["t"]
        assert (b"1", b"55") in left
        assert (b"2", b"8") in left
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_method_row_has_its_last_images_on_disk_before_the_commit(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """The flush of a batch (law 9): a row that changed since the plan is journaled as it is now, before anything counts."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        fill(
            pair,
            database,
            ["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1)"],
            ["UPDATE t SET v = 7 WHERE id = 1"],
        )
        on_disk = []
        batch, write = rowwise._Run._batch, rowwise._Run._write

        def changed(self, jobs):
            pair.a.execute("UPDATE t SET v = 5 WHERE id = 1", database=database, logged=False)
            return batch(self, jobs)

        def written(self, steps):
            on_disk.extend((entry.before, entry.after) for entry in journal.read(self.journal.path).entries())
            return write(self, steps)

        with monkeypatch.context() as patched:
            patched.setattr(rowwise._Run, "_batch", changed)
            patched.setattr(rowwise._Run, "_write", written)
            result = run(pair, database, tmp_path, method="row")
        assert result.verified, result.message
        assert on_disk == [((b"1", b"7"), (b"1", b"5"))]
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == {"t": [(b"1", b"5")]}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_row_that_belongs_to_no_partition_of_the_target_is_not_logged(pairs, fresh_database, tmp_path, flavor):
    """Error 1526 would stop the applier (law 10)."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        parts = "PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN (20)"
        rows = ["INSERT INTO t VALUES (1, 1), (15, 2)", "INSERT INTO u VALUES (1, 1), (15, 2)"]
        tables = [f"CREATE TABLE {name} (id int PRIMARY KEY, v int) PARTITION BY RANGE (id) ({parts})" for name in ("t", "u")]
        pair.a.execute([*tables, *rows], database=database)
        pair.wait()
        pair.b.execute(["ALTER TABLE t DROP PARTITION p1", "DELETE FROM u WHERE id = 15"], database=database, logged=False)
        good = image(pair.a, database)
        result = run(pair, database, tmp_path)
        assert {table.table: table.reason for table in result.tables} == {"t": "partitions_differ", "u": None}
        pair.wait()
        assert image(pair.a, database) == good
        assert image(pair.b, database)["u"] == good["u"]
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_row_too_long_for_the_targets_row_format_is_not_logged(pairs, fresh_database, tmp_path, flavor):
    """Error 1118 would stop the applier (law 10); a short row fits into any format."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        columns = ", ".join(f"c{number} varchar(1000)" for number in range(12))
        tables = {"t": columns, "u": "v int"}
        values = {"t": ", ".join(["REPEAT('a', 1000)"] * 12), "u": "1"}
        pair.a.execute(
            [f"CREATE TABLE {name} (id int PRIMARY KEY, {made}) CHARACTER SET latin1" for name, made in tables.items()]
            + [f"INSERT INTO {name} VALUES (1, {row})" for name, row in values.items()],
            database=database,
        )
        pair.wait()
        drift = [part for name in tables for part in (f"DELETE FROM {name}", f"ALTER TABLE {name} ROW_FORMAT=REDUNDANT")]
        pair.b.execute(["SET SESSION innodb_strict_mode = 0", *drift], database=database, logged=False)
        result = run(pair, database, tmp_path)
        assert {table.table: table.reason for table in result.tables} == {"t": "row_format_differs", "u": None}
        pair.wait()
        assert image(pair.b, database)["u"] == image(pair.a, database)["u"]
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_that_numbers_its_documents_is_not_written_again(pairs, fresh_database, tmp_path, flavor):
    """InnoDB takes no old document number: error 182 would stop the applier (law 10). Nor has a shadow such a column."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        key = "FTS_DOC_ID bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY, v text, FULLTEXT (v)"
        rows = "(v) VALUES ('a'), ('b'), ('c')"
        pair.a.execute([f"CREATE TABLE {name} ({key})" for name in ("t", "u")], database=database)
        pair.a.execute([f"INSERT INTO {name} {rows}" for name in ("t", "u")], database=database)
        pair.wait()
        drift = ["DELETE FROM t WHERE v = 'b'", "INSERT INTO u (v) VALUES ('x')"]
        pair.b.execute(drift, database=database, logged=False)
        good = image(pair.a, database)
        result = run(pair, database, tmp_path)
        assert {table.table: table.reason for table in result.tables} == {"t": "fts_doc_id", "u": "fts_doc_id"}
        assert image(pair.a, database) == good
        assert pair.links_healthy()


def test_a_column_with_another_reference_system_is_defined_otherwise(pairs, fresh_database, tmp_path):
    """MySQL's error 3643 would stop the applier (law 10)."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        shapes = "(1, ST_GeomFromText('POINT(1 1)', 4326)), (2, ST_GeomFromText('POINT(1 1)', 0))"
        pair.a.execute(
            ["CREATE TABLE t (id int PRIMARY KEY, g geometry NOT NULL)", f"INSERT INTO t VALUES {shapes}"], database=database
        )
        pair.wait()
        drift = ["DELETE FROM t WHERE id = 2", "ALTER TABLE t MODIFY g geometry NOT NULL SRID 4326"]
        pair.b.execute(drift, database=database, logged=False)
        result = run(pair, database, tmp_path)
        assert [table.reason for table in result.tables] == ["schema_mismatch"]
        pair.wait()
        assert pair.links_healthy()
