# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows for the source that wait for others: who goes in, in what order, and that check mode tells the same as apply does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from integration_engine.support import image, servers
from integration_engine.test_circles import ADOPT, FLAVORS, MERGE, run, split, told_and_done

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import giving, journal, options, report, waits
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import undo


@dataclass(frozen=True)
class Case:
    """Tables, what both have, and what the target has of its own; how many rows the source gets, and how many are left."""

    tables: tuple[str, ...]
    before: tuple[str, ...]
    theirs: tuple[str, ...]
    adopted: int
    skipped: int = 0
    repair: options.Repair = MERGE


PARENT = "CREATE TABLE p (id int PRIMARY KEY, code varchar(9) UNIQUE, changed int)"
CHILD = "(id int PRIMARY KEY, p varchar(9), changed int, FOREIGN KEY (p) REFERENCES p (code) ON UPDATE"
SPELT = "CREATE TABLE p (k varchar(9) COLLATE utf8mb4_general_ci PRIMARY KEY, code int UNIQUE, changed int) CHARSET utf8mb4"
VIRTUAL = "CREATE TABLE t (id int PRIMARY KEY, v varchar(9), l varchar(9) AS (lower(v)) VIRTUAL, changed int, UNIQUE (l))"
ONE = ("INSERT INTO p VALUES (1, 'a', 1)",)
HANDED = ("UPDATE p SET code = 'b', changed = 2 WHERE id = 1", "INSERT INTO p VALUES (2, 'a', 1)")

CASES = {
    # The value that a child refers to goes from one row to another. The child must not get hold of the old one.
    "a value is handed on": Case(
        (PARENT, f"CREATE TABLE c {CHILD} RESTRICT)"), ONE, (*HANDED, "INSERT INTO c VALUES (1, 'a', 1)"), 3
    ),
    "a value is handed on, which would cascade": Case(
        (PARENT, f"CREATE TABLE c {CHILD} CASCADE)"), ONE, (*HANDED, "INSERT INTO c VALUES (1, 'a', 1)"), 3
    ),
    "a value is handed on to one that has a newer copy": Case(
        (PARENT, f"CREATE TABLE c {CHILD} RESTRICT)"),
        (*ONE, "INSERT INTO c VALUES (1, NULL, 1)"),
        (*HANDED, "UPDATE c SET p = 'a', changed = 2"),
        3,
    ),
    "a value is given up": Case(
        (PARENT, f"CREATE TABLE z {CHILD} RESTRICT)"), ONE, (HANDED[0], "INSERT INTO z VALUES (1, 'a', 1)"), 1, 1
    ),
    # Its owner cannot give it up: another table's row holds on to it. So it is there for others too.
    "a value is not given up after all": Case(
        (PARENT, f"CREATE TABLE c {CHILD} RESTRICT)"),
        (*ONE, "INSERT INTO c VALUES (1, 'a', 1)"),
        (HANDED[0], "INSERT INTO c VALUES (2, 'a', 1)"),
        1,
        1,
    ),
    "a key is spelt otherwise": Case(
        (SPELT, "CREATE TABLE z (id int PRIMARY KEY, p int, changed int, FOREIGN KEY (p) REFERENCES p (code))"),
        ("INSERT INTO p VALUES ('a', 1, 1)",),
        ("UPDATE p SET k = 'A', code = 2, changed = 2", "INSERT INTO z VALUES (1, 2, 1)"),
        2,
    ),
    "a virtual unique value": Case(
        (VIRTUAL,),
        ("INSERT INTO t (id, v, changed) VALUES (1, 'a', 1)",),
        (
            "INSERT INTO t (id, v, changed) VALUES (4, 'c', 1)",
            "UPDATE t SET v = 'x' WHERE id = 1",
            "INSERT INTO t (id, v, changed) VALUES (3, 'A', 1)",
        ),
        1,
        2,
    ),
    "a virtual unique value of a newer copy": Case(
        (VIRTUAL,),
        ("INSERT INTO t (id, v, changed) VALUES (1, 'a', 1), (2, 'b', 1)",),
        ("UPDATE t SET v = 'x' WHERE id = 1", "UPDATE t SET v = 'A', changed = 2 WHERE id = 2"),
        0,
        2,
    ),
    "a newer copy lacks its parent": Case(
        (PARENT, f"CREATE TABLE c {CHILD} CASCADE)"),
        ("INSERT INTO c VALUES (1, NULL, 1)",),
        ("UPDATE c SET p = 'x', changed = 2",),
        0,
        1,
    ),
    # MySQL itself takes such a row with its checks on, though its parent is nowhere.
    "it nearly refers to itself": Case(
        ("CREATE TABLE t (id int, u int, x int, y int, PRIMARY KEY (id, u), FOREIGN KEY (x, y) REFERENCES t (id, u))",),
        (),
        ("INSERT INTO t VALUES (8, 4, 8, 5), (9, 1, 9, 1)",),
        1,
        1,
        ADOPT,
    ),
    "each refers to the next": Case(
        ("CREATE TABLE t (id int PRIMARY KEY, next int, FOREIGN KEY (next) REFERENCES t (id))",),
        (),
        (f"INSERT INTO t VALUES {', '.join(f'({n}, {n + 1})' for n in range(1, 700))}, (700, NULL)",),
        700,
        0,
        ADOPT,
    ),
}


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("case", CASES)
def test_check_mode_tells_what_apply_does(pairs, fresh_database, tmp_path, flavor, case):
    pair, case = pairs(flavor), CASES[case]
    with fresh_database(pair) as database:
        split(pair, database, case.tables, case.before, (), case.theirs)
        told, done = told_and_done(pair, database, tmp_path, case.repair)
        assert (done.changes.adopted, done.changes.skipped) == (case.adopted, case.skipped), done.message
        assert told.message.replace("would be", "were") == done.message if case.skipped else done.message is None
        assert done.in_sync == (not case.skipped)
        # A reference that does not hold would be found by the server itself.
        for table in image(pair.a, database):
            pair.a.execute(f"ALTER TABLE {table} ENGINE=InnoDB", database=database)


def test_a_check_that_the_target_does_not_enforce(pairs, fresh_database, tmp_path):
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, v varchar(9), CONSTRAINT k CHECK (v <> 'x\\''))"
        theirs = ["ALTER TABLE t ALTER CHECK k NOT ENFORCED", "INSERT INTO t VALUES (1, 'x\\''), (2, 'y')"]
        split(pair, database, [table], [], [], theirs)
        _told, done = told_and_done(pair, database, tmp_path)
        assert done.changes == report.Changes(adopted=1, skipped=1)
        assert [each.reason for each in done.tables] == ["check_constraint"]


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("setting", ["max_error_count", "sql_notes"])
def test_a_server_that_keeps_no_warnings(pairs, fresh_database, tmp_path, flavor, setting):
    """By a warning it says why a row was passed over."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        _ours, theirs = split(pair, database)
        ((before,),) = pair.a.query(f"SELECT @@global.{setting}")
        pair.a.execute(f"SET GLOBAL {setting} = 0")
        try:
            done = run(pair, database, tmp_path)
        finally:
            pair.a.execute(f"SET GLOBAL {setting} = {before}")
        assert not done.failed, done.message
        assert image(pair.a, database) == theirs


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_one_that_somebody_changes_meanwhile_does_not_keep_the_others_out(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, next int, v int, FOREIGN KEY (next) REFERENCES t (id))"
        rows = ", ".join(f"({n}, {n + 1 if n % 2 else n - 1}, 1)" for n in range(1, 101))
        split(pair, database, [table], [], [], [f"INSERT INTO t VALUES {rows}"])
        give, transactions = giving.Giver.give, []

        def late(self, portions, circle=False):
            if circle and not transactions:
                pair.b.execute("UPDATE t SET v = 2 WHERE id = 7", database=database, logged=False)
            transactions.append(circle)
            return give(self, portions, circle)

        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "give", late)
            result = run(pair, database, tmp_path)
        pair.wait()
        assert pair.links_healthy()
        assert (result.changes.adopted, result.changes.skipped) == (98, 2)
        assert {row[0] for row in image(pair.b, database)["t"]} - {row[0] for row in image(pair.a, database)["t"]} == {b"7", b"8"}
        # Halved, and halved again, until it stands alone.
        assert len(transactions) < 20


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_what_was_committed_of_a_batch_is_told_whatever_becomes_of_the_rest(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A batch goes in two parts, and somebody alters the table between them."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, v int)"
        ours, _theirs = split(pair, database, [table], [], [], ["INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)"])
        give, calls = giving.Giver.give, []

        def parted(self, portions, circle=False):
            calls.append(len(portions[0].changes))
            if len(calls) == 1:
                return dict.fromkeys(portions[0].ids, waits.WOULD_CARRY_ON)
            if len(calls) == 3:
                pair.a.execute("ALTER TABLE t COMMENT = 'new'", database=database)
            return give(self, portions, circle)

        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "give", parted)
            result = run(pair, database, tmp_path)
        assert calls == [4, 2, 2]
        assert [each.reason for each in result.tables] == ["stale_plan"]
        assert result.changes.adopted == 2
        pair.wait()
        assert len(image(pair.a, database)["t"]) == 2
        assert sum(entry.committed for entry in journal.read(result.undo_file).entries()) == 2
        assert undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path), max_deletes=9).changes.deleted == 2
        assert image(pair.a, database) == ours


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_link_that_stops_while_the_source_is_given_rows_ends_the_run(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """Replication is drained behind each batch, so no more than one is written that cannot be seen to arrive."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        split(pair, database, ["CREATE TABLE t (id int PRIMARY KEY)"], [], [], ["INSERT INTO t VALUES (1), (2), (3)"])
        give = giving.Giver.give

        def stopped(self, portions, circle=False):
            bad = give(self, portions, circle)
            pair.b.execute("STOP REPLICA SQL_THREAD")
            return bad

        try:
            with monkeypatch.context() as patched:
                patched.setattr(giving.Giver, "give", stopped)
                result = run(pair, database, tmp_path, replace(ADOPT, batch_rows=1))
        finally:
            pair.b.execute("START REPLICA SQL_THREAD")
        assert (result.failed, result.verified, result.changes.adopted) == (True, False, 1)
        assert "broken_link" in {each.reason for each in result.tables}, result.message
        pair.wait()
        assert [row[0] for row in image(pair.a, database)["t"]] == [b"1"]
        assert run(pair, database, tmp_path).in_sync
