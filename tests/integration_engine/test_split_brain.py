# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""After a split brain, inserts and updates on both sides: the merge that the policy names, on both servers, nothing else."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import adopt, giving, journal, options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Session
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")

ADOPT = options.Repair(extra_rows="adopt")
MERGE = options.Repair(extra_rows="adopt", conflict="newest", conflict_column="changed")

TABLES = [
    "CREATE TABLE customer (id int PRIMARY KEY AUTO_INCREMENT, mail varchar(40) NULL UNIQUE, boss int NULL, n int NULL,"
    " twice int AS (n * 2) STORED, changed timestamp(3) NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),"
    " CONSTRAINT small CHECK (n < 1000), FOREIGN KEY (boss) REFERENCES customer (id))",
    "CREATE TABLE bill (name varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci PRIMARY KEY, customer int NOT NULL,"
    " FOREIGN KEY (customer) REFERENCES customer (id) ON DELETE CASCADE ON UPDATE CASCADE)",
]
COLUMNS = "INSERT INTO customer (id, mail, boss, n, changed) VALUES "
BEFORE = [
    COLUMNS + ", ".join(f"({n}, 'm{n}', NULL, {n}, '2024-01-01 00:00:00')" for n in range(1, 11)),
    "INSERT INTO bill VALUES ('a', 1), ('b', 2)",
]
SPLIT_A = [
    COLUMNS + "(11, 'm11', 1, 11, '2024-06-01')",
    "UPDATE customer SET n = 101, changed = '2024-06-01 10:00:00' WHERE id = 1",
    "UPDATE customer SET n = 102, changed = '2024-06-01 10:00:00' WHERE id = 2",
    "UPDATE customer SET n = 103, changed = '2024-06-01 10:00:00' WHERE id = 3",
    "UPDATE customer SET n = 104, changed = NULL WHERE id = 4",
]
SPLIT_B = [
    # Children before their parents, in both tables.
    "SET foreign_key_checks = 0",
    COLUMNS + "(12, 'm12', 14, 12, '2024-06-01 08:00:00.125'), (14, NULL, 16, NULL, NULL), (16, 'm''16', NULL, 1, NULL)",
    "INSERT INTO bill VALUES ('c', 16), ('d', 1)",
    "UPDATE customer SET n = 201, changed = '2024-06-01 09:59:59.999' WHERE id = 1",  # older
    "UPDATE customer SET n = 202, mail = 'new2', changed = '2024-06-01 10:00:00.001' WHERE id = 2",  # newer
    "UPDATE customer SET n = 203, changed = '2024-06-01 10:00:00' WHERE id = 3",  # as old
    "UPDATE customer SET n = 204, changed = '2024-06-02' WHERE id = 4",  # the source's says nothing
    "UPDATE customer SET n = 205, changed = '2024-02-01' WHERE id = 5",  # only here, newer
]
ZONES = {"options_b": {"default_time_zone": "-07:00"}}
UTC = "SET time_zone = '+00:00'"

# What is kept: id → (n on the winning side, mail).
MERGED = {1: (101, "m1"), 2: (202, "new2"), 3: (103, "m3"), 4: (104, "m4"), 5: (205, "m5"), 11: (11, "m11")}
MERGED |= {12: (12, "m12"), 14: (None, None), 16: (1, "m'16")}


def run(pair, database, undo_dir, repair, apply=True, **login):
    """Run the sync on one database."""
    selection = options.Selection(databases=(database,))
    repair = replace(repair, undo_dir=str(undo_dir))
    return sync.run(servers(pair, **login), selection, options.Pace(), repair, sample_rows=10, apply=apply)


def split(pair, database, tables=(*TABLES,), before=(*BEFORE,), only_a=(*SPLIT_A,), only_b=(*SPLIT_B,)):
    """Equal tables, then changes that each side keeps to itself; returns both images."""
    pair.a.execute([UTC, *tables, *before], database=database)
    pair.wait()
    pair.a.execute([UTC, *only_a], database=database, logged=False)
    pair.b.execute([UTC, *only_b], database=database, logged=False)
    return image(pair.a, database), image(pair.b, database)


@contextmanager
def merging_account(pair, database, *rights):
    """The documented account for repairs with these rights besides."""
    on_data, everywhere = REPAIR_GRANTS[pair.a.family]
    with account(pair, [*dict.fromkeys([*on_data, *rights])], everywhere, database=database) as user:
        yield {"user": user, "password": PASSWORD}


@pytest.mark.parametrize(
    ("flavor", "binlog_format"),
    # The last two serve the other tests as well.
    [("mysql-9", "STATEMENT"), ("mariadb-11.8", "MIXED"), ("mariadb-10.11", "ROW"), ("mysql-9", "ROW")],
)
def test_the_newest_copies_and_all_rows_are_on_both_servers(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format, **ZONES)
    with fresh_database(pair) as database, merging_account(pair, database, "INSERT", "UPDATE") as login:
        ours, theirs = split(pair, database)
        preview = run(pair, database, tmp_path, MERGE, apply=False, **login)
        assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)
        result = run(pair, database, tmp_path, MERGE, **login)
        assert not result.failed, result.message
        assert (result.changes, result.diff, result.statements) == (preview.changes, preview.diff, preview.statements)
        # To the target: 11, and the source's 1, 3 and 4. To the source: 12, 14, 16, the newer 2 and 5, and two bills.
        assert result.changes == report.Changes(inserted=1, updated=3, adopted=7)
        assert (result.verified, result.in_sync) == (True, True)
        pair.wait()
        merged = image(pair.a, database)
        assert merged == image(pair.b, database)
        assert pair.links_healthy()
        text = {int(key): (n and int(n), mail and mail.decode()) for key, mail, _boss, n, *_rest in merged["customer"]}
        assert {key: text[key] for key in MERGED} == MERGED
        assert {row[0] for row in merged["bill"]} == {b"a", b"b", b"c", b"d"}
        # Nothing but the documented rows changed on either side, byte for byte.
        assert {int(row[0]) for row in set(ours["customer"]) ^ set(merged["customer"])} == {2, 5, 12, 14, 16}
        assert {int(row[0]) for row in set(theirs["customer"]) ^ set(merged["customer"])} == {1, 3, 4, 11}
        again = run(pair, database, tmp_path, MERGE, **login)
        assert (again.changed, again.in_sync) == (False, True)
        # Back: on the server that was changed there is what was there, and the other one follows.
        entries = list(journal.read(result.undo_file).entries())
        assert sorted(entry.on_source for entry in entries) == [False] * 4 + [True] * 7
        back = undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path))
        assert back.verified, back.message
        pair.wait()
        undone = image(pair.a, database)
        assert undone == image(pair.b, database)
        old = {row[0]: row for row in ours["customer"] if row[0] in (b"2", b"5")}
        old |= {row[0]: row for row in theirs["customer"] if row[0] in (b"1", b"3", b"4")}
        assert {row[0]: row for row in undone["customer"] if row[0] in old} == old
        assert not {row[0] for row in undone["customer"]} & {b"11", b"12", b"14", b"16"}
        assert undo.run(servers(pair), back.undo_file, undo_dir=str(tmp_path)).verified
        assert image(pair.a, database) == merged


ODD = [
    "CREATE TABLE parent (id int PRIMARY KEY, code varchar(9) UNIQUE, n int, changed bigint NOT NULL, CHECK (n < 100))",
    "CREATE TABLE child (id int PRIMARY KEY, code varchar(9), FOREIGN KEY (code) REFERENCES parent (code) ON UPDATE CASCADE)",
    "CREATE TABLE swap (id int PRIMARY KEY, u varchar(9) UNIQUE)",
]
ODD_ROWS = [
    "INSERT INTO parent VALUES (1, 'one', 1, 10), (2, 'two', 2, 10), (3, 'three', 3, 10)",
    "INSERT INTO child VALUES (1, 'one')",
    "INSERT INTO swap VALUES (1, 'a'), (2, 'b')",
]
ODD_B = [
    "SET foreign_key_checks = 0",
    "UPDATE parent SET code = 'uno', changed = 11 WHERE id = 1",  # referenced on the source: would cascade
    "UPDATE parent SET n = 22, changed = 11 WHERE id = 2",
    "INSERT INTO parent VALUES (4, 'four', 4, 1)",
    "INSERT INTO child VALUES (2, 'nobody'), (3, 'four'), (4, 'two')",
    "UPDATE child SET code = 'uno' WHERE id = 1",
    "INSERT INTO swap VALUES (3, 'c'), (4, 'd')",
]
ODD_A = ["INSERT INTO swap VALUES (5, 'c')"]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_what_the_source_cannot_take_is_left_alone_and_named(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database, ODD, ODD_ROWS, ODD_A, ODD_B)
        # One row for the target, five for the source; those of the child cannot be merged.
        capped = run(pair, database, tmp_path, replace(MERGE, max_changes=5))
        assert (capped.failed, capped.changed) == (True, False)
        assert "There are 6 or more rows to change" in capped.message
        assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)

        result = run(pair, database, tmp_path, MERGE)
        reasons = {table.table: table.reason for table in result.tables}
        assert reasons == {"parent": "side_effects", "child": "conflict_column", "swap": "unique_collision"}
        assert "id=1 would change other rows" in result.message
        assert "swap: 2 rows were left as they are; first: id=3 another row of the source has" in result.message
        # Adopted: parent 2 and 4, swap 4. Left: parent 1; swap 3, and 5, whose value row 3 of the target holds.
        assert (result.failed, result.verified, result.in_sync) == (True, False, False)
        assert result.changes == report.Changes(adopted=3, skipped=3)
        pair.wait()
        assert pair.links_healthy()
        now = image(pair.a, database)
        assert set(now["parent"]) - set(ours["parent"]) == {(b"2", b"two", b"22", b"11"), (b"4", b"four", b"4", b"1")}
        assert set(now["swap"]) - set(ours["swap"]) == {(b"4", b"d")}
        assert now["child"] == ours["child"]
        assert image(pair.b, database) == theirs, "the target was changed"

        # Children: one has no parent anywhere, one's came in the meantime, one differs and is left to the user.
        result = run(pair, database, tmp_path, options.Repair(extra_rows="adopt", conflict="skip"))
        reasons = {table.table: table.reason for table in result.tables}
        assert reasons == {"parent": None, "child": "foreign_key", "swap": "unique_collision"}
        assert result.changes == report.Changes(adopted=2, skipped=2 + 1 + 2)
        pair.wait()
        assert set(image(pair.a, database)["child"]) - set(ours["child"]) == {(b"3", b"four"), (b"4", b"two")}
        assert image(pair.b, database) == theirs, "the target was changed"
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_trigger_that_nobody_saw_is_noticed_before_the_commit(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """The first law where the real table is written: one byte, or one row of another table, and it is rolled back."""
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        tables = ["CREATE TABLE t (id int PRIMARY KEY, v int)", "CREATE TABLE log (n int PRIMARY KEY AUTO_INCREMENT)"]
        ours, theirs = split(pair, database, tables, ["INSERT INTO t VALUES (1, 1)"], [], ["INSERT INTO t VALUES (2, 2), (3, 3)"])
        bodies = {"BEFORE": "SET NEW.v = IF(NEW.id = 3, 99, NEW.v)", "AFTER": "INSERT INTO log VALUES ()"}
        for timing, reason in (("BEFORE", "not_as_intended"), ("AFTER", "side_effects")):
            trigger = f"CREATE TRIGGER g {timing} INSERT ON t FOR EACH ROW {bodies[timing]}"
            pair.a.execute(trigger, database=database, logged=False)
            refused = run(pair, database, tmp_path, ADOPT)
            assert [table.reason for table in refused.tables if table.table == "t"] == ["triggers"]
            assert image(pair.a, database) == ours
            with monkeypatch.context() as patched:
                patched.setattr(adopt, "refuse_unsafe", lambda *unused: None)
                patched.setattr(giving.Unaltered, "check", lambda _self: None)
                result = run(pair, database, tmp_path, ADOPT)
            assert [table.reason for table in result.tables if table.table == "t"] == [reason]
            left = {"BEFORE": {(b"2", b"2")}, "AFTER": set()}[timing]
            assert set(image(pair.a, database)["t"]) - set(ours["t"]) == left
            assert image(pair.a, database)["log"] == []
            pair.a.execute("DROP TRIGGER g", database=database, logged=False)
            pair.a.execute("DELETE FROM t WHERE id = 2", database=database, logged=False)
        pair.wait()
        assert image(pair.b, database) == theirs


CASCADE_B = [
    "SET foreign_key_checks = 0",
    "UPDATE parent SET n = 11, changed = 11 WHERE id = 1",
    "UPDATE parent SET code = 'dos', changed = 11 WHERE id = 2",  # referenced on the source: would cascade
]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_count_of_the_transaction_before_is_not_taken_for_this_one(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A monitor that reads INNODB_TRX all the time keeps its copy from being renewed: one row changed, it says, as before."""
    pair = pairs(flavor, **ZONES)
    stop = threading.Event()
    with fresh_database(pair) as database:
        rows = [*ODD_ROWS[:1], "INSERT INTO child VALUES (1, 'two')"]
        ours, theirs = split(pair, database, ODD, rows, [], CASCADE_B)
        monitor = pair.a.connect()
        cursor = monitor.cursor()

        def poll():
            while not stop.is_set():
                cursor.execute("SELECT * FROM information_schema.INNODB_TRX")

        poller = threading.Thread(target=poll)
        write = giving.Giver._write

        def written(self, *arguments):
            bad = write(self, *arguments)
            if not poller.ident:  # the first row has just been counted
                poller.start()
            return bad

        limits = options.Repair(conflict="newest", conflict_column="changed", batch_rows=1)
        selection = options.Selection(tables=(f"{database}.parent",))
        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "_write", written)
            try:
                limits = replace(limits, undo_dir=str(tmp_path))
                result = sync.run(servers(pair), selection, options.Pace(), limits, sample_rows=10, apply=True)
            finally:
                stop.set()
                poller.join()
                monitor.close()
        assert result.changes.adopted == 1
        assert [table.reason for table in result.tables] == ["side_effects"]
        pair.wait()
        now = image(pair.a, database)
        assert now["child"] == ours["child"], "the change of the second row has cascaded"
        assert set(now["parent"]) - set(ours["parent"]) == {(b"1", b"one", b"11", b"11")}
        assert image(pair.b, database) == theirs
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_killed_at_any_instant_and_run_again(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database)
        commit = Session.commit

        def before(session):
            pair.a.execute(f"KILL {session.connection_id}")
            commit(session)

        def after(session):
            commit(session)
            pair.a.execute(f"KILL {session.connection_id}")

        for kill in (before, after):
            with monkeypatch.context() as patched:
                patched.setattr(Session, "commit", kill)
                result = run(pair, database, tmp_path, MERGE)
            assert (result.failed, result.verified) == (True, False)
            assert "lost_connection" in result.message
            pair.wait()
            assert pair.links_healthy()
            assert image(pair.b, database) == theirs
            assert (image(pair.a, database) == ours) is (kill is before)
        # What it had journaled is true: on the source is what it says there was before, or will be.
        result = run(pair, database, tmp_path, MERGE)
        assert (result.failed, result.verified, result.in_sync) == (False, True, True)
        assert image(pair.a, database) == image(pair.b, database)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_the_application_comes_first_on_both_servers(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A row that changed since the plan, on either side, is not written over; a lock is waited for and given up."""
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, v int, changed int)"
        rows = "INSERT INTO t VALUES (1, 1, 1), (2, 2, 1), (3, 3, 1)"
        more = ["UPDATE t SET v = v + 10, changed = 2", "INSERT INTO t VALUES (4, 4, 1), (5, 5, 1)"]
        split(pair, database, [table], [rows], [], more)
        real = adopt.adopt

        def late(*arguments):
            pair.a.execute("UPDATE t SET v = 100 WHERE id = 1", database=database, logged=False)
            pair.a.execute("INSERT INTO t VALUES (4, 40, 40)", database=database, logged=False)
            pair.b.execute("UPDATE t SET v = 200, changed = 3 WHERE id = 2", database=database, logged=False)
            return real(*arguments)

        monkeypatch.setattr(adopt, "adopt", late)
        result = run(pair, database, tmp_path, MERGE)
        assert [table.reason for table in result.tables] == ["changed_since"]
        assert result.changes == report.Changes(adopted=2, skipped=3)
        pair.wait()
        assert image(pair.a, database)["t"] == sorted(
            [(b"1", b"100", b"1"), (b"2", b"2", b"1"), (b"3", b"13", b"2"), (b"4", b"40", b"40"), (b"5", b"5", b"1")], key=repr
        )
        assert (b"2", b"200", b"3") in image(pair.b, database)["t"]
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_newer_copies_that_hold_one_anothers_unique_values_are_named_so(pairs, fresh_database, tmp_path, flavor):
    """Each waits for the other. MariaDB gives no warning when UPDATE IGNORE meets a unique value."""
    pair = pairs(flavor, **ZONES)
    create = "CREATE TABLE t (id int PRIMARY KEY, u varchar(9) UNIQUE, changed int)"
    swap = [f"UPDATE t SET u = '{u}', changed = 2 WHERE id = {n}" for u, n in (("z", 1), ("a", 2), ("b", 1))]
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database, [create], ["INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1)"], (), swap)
        for apply in (False, True):
            result = run(pair, database, tmp_path, replace(MERGE, extra_rows="delete"), apply=apply)
            assert [table.reason for table in result.tables] == ["unique_collision"]
            assert "another row of the source has one of its unique values" in result.message
            assert (result.failed, result.changes.total, result.changes.skipped) == (True, 0, 2)
        pair.wait()
        assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_check_mode_knows_which_newer_copies_wait_in_vain(pairs, fresh_database, tmp_path, flavor):
    """Each has the unique value of the next one: the last of 1 to 3 is free, that of 5 and 6 is held by a row that stays."""
    pair = pairs(flavor, **ZONES)
    create = "CREATE TABLE t (id int PRIMARY KEY, u varchar(9) UNIQUE, changed int)"
    before = "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (5, 'k', 1), (6, 'l', 1)"
    theirs = [
        f"UPDATE t SET u = '{u}', changed = 2 WHERE id = {n}" for n, u in ((3, "d"), (2, "c"), (1, "b"), (6, "m"), (5, "l"))
    ]
    with fresh_database(pair) as database:
        split(pair, database, [create], [before], ["INSERT INTO t VALUES (7, 'm', 9)"], theirs)
        told, done = (run(pair, database, tmp_path, replace(MERGE, extra_rows="keep"), apply=apply) for apply in (False, True))
        assert [table.reason for table in done.tables] == [table.reason for table in told.tables] == ["unique_collision"]
        assert (told.failed, told.changes) == (done.failed, done.changes)
        # Of the three that wait, one is the source's: the target's row 6, which stays, holds its value too.
        assert (done.changes.adopted, done.changes.skipped) == (3, 3)


# Tables of which InnoDB counts more row changes than there are: pages that are compressed anew, the graph of a vector index.
SQUEEZED = "CREATE TABLE t (id int PRIMARY KEY, a varchar(200), b varchar(200), changed int, UNIQUE (a)) ROW_FORMAT=COMPRESSED"
MISCOUNTED = {
    "squeezed": (SQUEEZED + " KEY_BLOCK_SIZE=4", "SHA2({n}, 512), SHA2({n} + 1, 512)", FLAVORS),
    "vector": (
        "CREATE TABLE t (id int PRIMARY KEY, a VECTOR(3) NOT NULL, b int, changed int, VECTOR INDEX (a))",
        "VEC_FromText('[{n}, 2, 3]'), {n}",
        FLAVORS[2:],
    ),
}
MISCOUNTS = [(flavor, name) for name, each in MISCOUNTED.items() for flavor in each[2]]


def miscounted(pair, database, name, many, only_a=()):
    """Such a table, of which each side has rows of its own; the target's are newer."""
    create, row, _flavors = MISCOUNTED[name]
    child = "CREATE TABLE child (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES t (id))"
    rows = [f"({n}, {row.format(n=n)}, 1)" for n in range(1, many)]
    news = f"INSERT INTO t VALUES {', '.join(f'({n * 10000}, {row.format(n=n + 9000)}, 2)' for n in range(1, many))}"
    some = "UPDATE t SET b = b + 1, changed = 2 WHERE id % 3 = 0" if name == "vector" else ""
    some = some or "UPDATE t SET a = REVERSE(a), changed = 2 WHERE id % 3 = 0"
    return split(pair, database, [create, child], [f"INSERT INTO t VALUES {', '.join(rows)}"], only_a, [news, some])


@pytest.mark.parametrize(("flavor", "name"), MISCOUNTS)
def test_where_more_is_counted_than_there_is_that_nothing_can_write_the_rest_suffices(
    pairs, fresh_database, tmp_path, flavor, name
):
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        ours, theirs = miscounted(pair, database, name, 1500 if name == "squeezed" else 9)
        result = run(pair, database, tmp_path, MERGE)
        assert not result.failed, result.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == theirs
        undone = undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path), max_deletes=10000)
        assert (undone.verified, undone.refused) == (True, ())
        assert image(pair.a, database) == image(pair.b, database) == ours
        pair.b.execute(["DELETE FROM t WHERE id % 4 = 0", "UPDATE t SET b = 5 WHERE id % 5 = 0"], database=database, logged=False)
        result = run(pair, database, tmp_path, options.Repair(method="row"))
        assert not result.failed, result.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == ours


@pytest.mark.parametrize(("flavor", "name"), MISCOUNTS)
def test_where_more_is_counted_than_there_is_what_is_written_besides_is_still_noticed(
    pairs, fresh_database, tmp_path, flavor, name, monkeypatch
):
    """A trigger that nobody saw; a row that is referred to, whose new values would cascade."""
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        ours, _theirs = miscounted(pair, database, name, 9, ["CREATE TABLE log (n int PRIMARY KEY AUTO_INCREMENT)"])
        pair.a.execute(
            "CREATE TRIGGER g AFTER INSERT ON t FOR EACH ROW INSERT INTO log VALUES ()", database=database, logged=False
        )
        with monkeypatch.context() as patched:
            patched.setattr(adopt, "refuse_unsafe", lambda *unused: None)
            patched.setattr(giving.Unaltered, "check", lambda _self: None)
            result = run(pair, database, tmp_path, replace(ADOPT, conflict="skip"))
        assert "side_effects" in {table.reason for table in result.tables}
        assert image(pair.a, database)["log"] == []
        assert set(image(pair.a, database)["t"]) == set(ours["t"])
        pair.a.execute("DROP TRIGGER g", database=database, logged=False)
        cascade = ["DROP TABLE child", "CREATE TABLE child (a varchar(200), FOREIGN KEY (a) REFERENCES t (a) ON UPDATE CASCADE)"]
        if name == "squeezed":
            pair.a.execute([*cascade, "INSERT INTO child SELECT a FROM t"], database=database, logged=False)
            children = image(pair.a, database)["child"]
            result = run(pair, database, tmp_path, replace(MERGE, extra_rows="keep"))
            assert "side_effects" in {table.reason for table in result.tables}
            assert image(pair.a, database)["child"] == children


# Without a primary key InnoDB keeps the rows by the first unique key of whole columns without NULLs, whichever tells them apart.
CLUSTERED = [
    "CREATE TABLE first (b varchar(9) NOT NULL, a int NOT NULL, changed int, UNIQUE KEY z (b), UNIQUE KEY k (a))",
    "CREATE TABLE later (b varchar(9) NOT NULL, a int NOT NULL, changed int, UNIQUE KEY k (a), UNIQUE KEY z (b))",
    "CREATE TABLE part (b varchar(9) NOT NULL, a int NOT NULL, changed int, UNIQUE KEY z (b(3)), UNIQUE KEY k (a))",
    "CREATE TABLE respelt (b varchar(9) COLLATE utf8mb4_general_ci NOT NULL, a int, changed int, UNIQUE (b))",
]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_unique_key_that_the_rows_are_kept_by_may_change(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    names = ("first", "later", "part", "respelt")
    with fresh_database(pair) as database:
        _ours, theirs = split(
            pair,
            database,
            CLUSTERED,
            [f"INSERT INTO {name} VALUES ('x', 1, 1), ('w', 2, 1)" for name in names],
            (),
            [f"UPDATE {name} SET b = '{'X' if name == 'respelt' else 'y'}', changed = 2 WHERE a = 1" for name in names],
        )
        result = run(pair, database, tmp_path, MERGE)
        pair.wait()
        assert not result.failed, result.tables
        assert image(pair.a, database) == image(pair.b, database) == theirs


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_what_is_asked_must_make_sense_and_be_allowed(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        tables = ["CREATE TABLE t (id int PRIMARY KEY, v text, o time)", "CREATE TABLE loose (a int)"]
        rows = ["INSERT INTO t VALUES (1, 'a', '10:00:00')", "INSERT INTO loose VALUES (1)"]
        drift = ["UPDATE t SET v = 'b'", "INSERT INTO loose VALUES (2)"]
        ours, theirs = split(pair, database, tables, rows, [], drift)
        for column in ("", "chnged", "v", "o"):
            with pytest.raises(UsageError, match="conflict_column"):
                run(pair, database, tmp_path, options.Repair(conflict="newest", conflict_column=column))
        with pytest.raises(UsageError, match="has no meaning with conflict: skip"):
            run(pair, database, tmp_path, options.Repair(conflict="skip", conflict_column="id"))
        result = run(pair, database, tmp_path, options.Repair(extra_rows="adopt", conflict="skip"))
        assert {table.table: table.reason for table in result.tables} == {"t": None, "loose": "no_key"}
        assert (result.changes, result.changed) == (report.Changes(skipped=1), False)
        for repair, right in ((ADOPT, "INSERT"), (MERGE, "UPDATE")):
            with merging_account(pair, database) as login:
                if right in REPAIR_GRANTS[pair.a.family][0]:
                    continue  # MariaDB's shadow needs INSERT anyway
                with pytest.raises(Refusal, match=f"GRANT .*{right}") as refused:
                    run(pair, database, tmp_path, repair, **login)
                assert refused.value.code == "missing_grant_adopt"
        pair.a.execute("SET GLOBAL read_only = 1")
        try:
            with pytest.raises(Refusal, match="source_read_only"):
                run(pair, database, tmp_path, ADOPT)
        finally:
            pair.a.execute("SET GLOBAL read_only = 0")
        assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)


def test_siblings_get_the_rows_and_nobody_below_notices(tmp_path):
    """C←A⇄B→D: C is given what A gets, D has it from B already; C's own row in the way stops nothing."""
    with co_masters("mysql-9", options={"binlog_format": "ROW"}) as pair:
        pair.a.execute("CREATE DATABASE brain")
        sibling, below = pair.add_replica(pair.a, "c"), pair.add_replica(pair.b, "d")
        split(pair, "brain")
        below.execute([UTC, *SPLIT_B], database="brain", logged=False)
        sibling.execute([UTC, *SPLIT_A], database="brain", logged=False)
        in_the_way = "INSERT INTO bill VALUES ('c', 3)"
        sibling.execute(in_the_way, database="brain", logged=False)
        adopted = run(pair, "brain", tmp_path, replace(MERGE, downstream="idempotent"))
        assert not adopted.failed, adopted.message
        pair.wait()
        assert pair.links_healthy()
        merged = image(pair.a, "brain")
        assert image(pair.b, "brain") == image(below, "brain") == merged
        assert set(merged["bill"]) ^ set(image(sibling, "brain")["bill"]) == {(b"c", b"16"), (b"c", b"3")}
        assert image(sibling, "brain")["customer"] == merged["customer"]


SHOWN = {"customer": ("id", "mail", "boss", "n", "twice", "changed"), "bill": ("name", "customer")}
IN_QUOTES = {"mail", "changed", "name"}


def as_shown(table, row):
    """A row of an image as a diff writes its values, by column."""
    return {
        column: "NULL"
        if value is None
        else "'" + value.decode().replace("'", "''") + "'"
        if column in IN_QUOTES
        else value.decode()
        for column, value in zip(SHOWN[table], row)
    }


def lines(text):
    """The rows of one side of a diff: what is shown, by column."""
    return [dict(part.split("=", 1) for part in line.split(" | ")) for line in text.splitlines()]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
@pytest.mark.parametrize("repair", [MERGE, options.Repair(conflict="skip")], ids=["merge", "skip"])
def test_what_check_mode_shows_is_what_apply_does(pairs, fresh_database, tmp_path, flavor, repair):
    """Row for row against the raw tables of both servers; and the statements shown, run by hand on copies, do the same."""
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database)
        preview = run(pair, database, tmp_path, repair, apply=False)
        by_hand = {}
        for server in (pair.a, pair.b):
            copy = f"{database}_copy"
            made = []
            for table, columns in SHOWN.items():
                stored = ", ".join(column for column in columns if column != "twice")
                made += [
                    f"CREATE TABLE {copy}.{table} LIKE {database}.{table}",
                    f"INSERT INTO {copy}.{table} ({stored}) SELECT {stored} FROM {database}.{table}",
                ]
            documented = "SET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks=0"
            typed = [text.replace(f"`{database}`", f"`{copy}`") for text in preview.statements]
            server.execute([f"CREATE DATABASE {copy}", *made, documented, *typed], logged=False)
            by_hand[server] = image(server, copy)
            server.execute(f"DROP DATABASE {copy}", logged=False)

        result = run(pair, database, tmp_path, repair)
        assert not result.failed, result.message
        assert (result.changes, result.diff, result.statements) == (preview.changes, preview.diff, preview.statements)
        pair.wait()
        after = {"source": image(pair.a, database), "target": image(pair.b, database)}
        assert by_hand == {pair.a: after["source"], pair.b: after["target"]}

        changed = {"source": ours, "target": theirs}
        shown = 0
        for block in preview.diff:
            side = "source" if block.before_header.endswith("(source)") else "target"
            table = block.before_header.split(" on ")[0].split(".")[1]
            for text, had, has in ((block.before, changed, after), (block.after, after, changed)):
                really = [as_shown(table, row) for row in had[side][table] if row not in has[side][table]]
                told = lines(text)
                key = SHOWN[table][0]
                assert {row[key] for row in told} == {row[key] for row in really}
                assert all(any(row.items() <= whole.items() for whole in really) for row in told)
                shown += len(told)
        # And nothing else changed, on either side.
        expected = 0
        for side, before in changed.items():
            expected += sum(len(set(before[table]) ^ set(after[side][table])) for table in SHOWN)
        assert shown == expected > 0


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_row_that_the_target_changes_once_more_is_not_written_over(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """Between the commit on the source and its arrival: what was logged must find nothing to change on the target."""
    pair = pairs(flavor, **ZONES)
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, v int, changed int)"
        more = ["UPDATE t SET v = 10, changed = 2", "INSERT INTO t VALUES (2, 2, 2)"]
        split(pair, database, [table], ["INSERT INTO t VALUES (1, 1, 1)"], [], more)
        word = "REPLICA" if pair.b.family == "mysql" else "SLAVE"
        commit, roll_back = Session.commit, Session.roll_back

        def committing(session):
            pair.b.execute(f"STOP {word} SQL_THREAD")
            commit(session)

        def rolling_back(session):
            roll_back(session)
            if session.role == "target":
                pair.b.execute("UPDATE t SET v = v + 900, changed = 3", database=database, logged=False)
                pair.b.execute(f"START {word} SQL_THREAD")

        with monkeypatch.context() as patched:
            patched.setattr(Session, "commit", committing)
            patched.setattr(Session, "roll_back", rolling_back)
            result = run(pair, database, tmp_path, MERGE)
        assert [table.reason for table in result.tables] == ["not_verified"]
        pair.wait()
        assert image(pair.b, database)["t"] == [(b"1", b"910", b"3"), (b"2", b"902", b"3")]
        assert pair.links_healthy()
        assert run(pair, database, tmp_path, MERGE).in_sync
        assert image(pair.a, database) == image(pair.b, database)
