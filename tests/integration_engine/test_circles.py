# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows for the source that refer to one another, or to rows that it has not: who goes in, and that check mode knows it."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from dataclasses import replace

import pymysql
import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import giving, options, references, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Session
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")
ADOPT = options.Repair(extra_rows="adopt")
MERGE = options.Repair(extra_rows="adopt", conflict="newest", conflict_column="changed")

# In another database than the test's own.
OTHER = "circles_other"

SHOP = [
    "CREATE TABLE customer (id int PRIMARY KEY, mail varchar(20) UNIQUE, best int NULL, boss int NULL,"
    " FOREIGN KEY (boss) REFERENCES customer (id))",
    "CREATE TABLE address (id int PRIMARY KEY, customer varchar(20) NOT NULL, FOREIGN KEY (customer) REFERENCES customer (mail))",
    "ALTER TABLE customer ADD FOREIGN KEY (best) REFERENCES address (id)",
]
SHOP_ROWS = ["INSERT INTO customer VALUES (1, 'one', NULL, NULL)", "INSERT INTO address VALUES (1, 'one')"]
SHOP_B = [
    "SET foreign_key_checks = 0",
    # Two that refer to one another in two tables, one of them only in other letters; two in one table; one to itself.
    "INSERT INTO customer VALUES (2, 'two', 20, 1), (3, 'three', NULL, 4), (4, 'four', 1, 3), (5, 'five', NULL, 5)",
    "INSERT INTO address VALUES (20, 'TWO')",
    # These wait for such a pair.
    "INSERT INTO customer VALUES (0, 'null', NULL, 2), (6, 'six', 20, 3)",
    "INSERT INTO address VALUES (7, 'null')",
]


def run(pair, databases, undo_dir, repair=ADOPT, apply=True, **login):
    """Run the sync on these databases."""
    databases = (databases,) if isinstance(databases, str) else databases
    repair = replace(repair, undo_dir=str(undo_dir))
    selection = options.Selection(databases=databases)
    return sync.run(servers(pair, **login), selection, options.Pace(), repair, sample_rows=10, apply=apply)


def split(pair, database, tables=(*SHOP,), before=(*SHOP_ROWS,), only_a=(), only_b=(*SHOP_B,)):
    """Equal tables, then changes that each side keeps to itself; returns both images."""
    pair.a.execute([*tables, *before], database=database)
    pair.wait()
    pair.a.execute(["SET foreign_key_checks = 0", *only_a], database=database, logged=False)
    pair.b.execute(["SET foreign_key_checks = 0", *only_b], database=database, logged=False)
    return image(pair.a, database), image(pair.b, database)


def told_and_done(pair, database, undo_dir, repair=ADOPT):
    """What check mode tells and what apply does: the same, row for row."""
    ours, theirs = image(pair.a, database), image(pair.b, database)
    told = run(pair, database, undo_dir, repair, apply=False)
    assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)
    done = run(pair, database, undo_dir, repair)
    pair.wait()
    assert pair.links_healthy()
    assert (told.changes, told.failed) == (done.changes, done.failed), (told.message, done.message)
    assert [table.reason for table in told.tables] == [table.reason for table in done.tables]
    return told, done


@contextmanager
def other_database(pair):
    pair.a.execute(f"CREATE DATABASE {OTHER}")
    pair.wait()
    try:
        yield OTHER
    finally:
        pair.a.execute(["SET foreign_key_checks = 0", f"DROP DATABASE {OTHER}"])
        pair.wait()


@pytest.mark.parametrize(
    ("flavor", "binlog_format"),
    [("mariadb-10.11", "ROW"), ("mysql-9", "ROW"), ("mysql-9", "STATEMENT"), ("mariadb-11.8", "MIXED")],
)
def test_they_go_in_together_and_come_out_again(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format)
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database)
        on_data, everywhere = REPAIR_GRANTS[pair.a.family]
        with account(pair, [*dict.fromkeys([*on_data, "INSERT"])], everywhere, database=database) as user:
            told = run(pair, database, tmp_path, apply=False, user=user, password=PASSWORD)
            assert (image(pair.a, database), image(pair.b, database)) == (ours, theirs)
            done = run(pair, database, tmp_path, user=user, password=PASSWORD)
        assert not done.failed, done.message
        assert (told.failed, told.changes, told.diff, told.statements) == (False, done.changes, done.diff, done.statements)
        assert (done.changes, done.verified, done.in_sync) == (report.Changes(adopted=8), True, True)
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == theirs
        assert pair.links_healthy()
        # A reference that does not hold would be found by the server itself.
        for table in ("customer", "address"):
            pair.a.execute(f"ALTER TABLE {table} ENGINE=InnoDB", database=database)
        back = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path), max_deletes=100)
        assert back.verified, back.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == ours


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_in_two_databases_with_a_replica_below_each(tmp_path, flavor):
    with co_masters(flavor) as pair:
        below_a, below_b = pair.add_replica(pair.a, "c"), pair.add_replica(pair.b, "d")
        pair.a.execute("CREATE DATABASE shop")
        with other_database(pair) as other:
            tables = [
                "CREATE TABLE one (id int PRIMARY KEY, two int)",
                f"CREATE TABLE {other}.two (id int PRIMARY KEY, one int NOT NULL, FOREIGN KEY (one) REFERENCES shop.one (id))",
                f"ALTER TABLE one ADD FOREIGN KEY (two) REFERENCES {other}.two (id)",
            ]
            theirs = ["INSERT INTO one VALUES (1, 2), (3, 4)", f"INSERT INTO {other}.two VALUES (2, 1), (4, 3)"]
            split(pair, "shop", tables, [], [], theirs)
            for server in (pair.b, below_b):
                server.execute(
                    ["SET foreign_key_checks = 0", "DELETE FROM one", f"DELETE FROM {other}.two"], "shop", logged=False
                )
                server.execute(["SET foreign_key_checks = 0", *theirs], database="shop", logged=False)
            wanted = image(pair.b, "shop"), image(pair.b, other)
            below = replace(ADOPT, downstream="idempotent")
            # One of the two databases alone: the other half never comes.
            for apply in (False, True):
                half = run(pair, "shop", tmp_path, below, apply=apply)
                assert ([table.reason for table in half.tables], half.changes) == (["foreign_key"], report.Changes(skipped=2))
            done = run(pair, ("shop", other), tmp_path, below)
            assert not done.failed, done.message
            assert (done.changes, done.verified) == (report.Changes(adopted=4), True)
            pair.wait()
            for server in (pair.a, pair.b, below_a, below_b):
                assert (image(server, "shop"), image(server, other)) == wanted
            assert pair.links_healthy()


ORPHANS = [
    "CREATE TABLE p (id int PRIMARY KEY, code varchar(9) COLLATE latin1_swedish_ci UNIQUE, changed int)",
    "CREATE TABLE q (id int PRIMARY KEY, p varchar(9) COLLATE latin1_swedish_ci, q int, r int, u int UNIQUE, changed int,"
    " FOREIGN KEY (p) REFERENCES p (code) ON UPDATE RESTRICT, FOREIGN KEY (q) REFERENCES q (id),"
    " FOREIGN KEY (r) REFERENCES p (id))",
]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_check_mode_knows_who_lacks_a_parent(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        before = ["INSERT INTO p VALUES (1, 'one', 1), (2, 'two', 1)", "INSERT INTO q VALUES (1, 'one', NULL, NULL, 1, 1)"]
        ours = ["INSERT INTO p VALUES (9, 'nine', 1)", "INSERT INTO q VALUES (2, 'two', NULL, 9, 2, 1)"]
        theirs = [
            "UPDATE q SET u = 101, changed = 2 WHERE id = 1",
            "INSERT INTO p VALUES (3, 'three', 1)",
            "INSERT INTO q VALUES (10, 'THREE', NULL, NULL, 10, 1), (11, NULL, 10, 3, 11, 1)",  # come, with their parents
            "INSERT INTO q VALUES (12, 'nobody', NULL, NULL, 12, 1), (13, 'one', 12, NULL, 13, 1), (14, NULL, 13, 1, 14, 1)",
            # A pair of which one lacks another parent, a pair of which one has a unique value that another row has.
            "INSERT INTO q VALUES (15, 'two', 16, 1, 15, 1), (16, NULL, 15, 77, 16, 1)",
            "INSERT INTO q VALUES (17, 'two', 18, 1, 17, 1), (18, NULL, 17, NULL, 2, 1)",
            # A pair that waits for another, which waits for a row that gets another value.
            "INSERT INTO q VALUES (19, NULL, 20, 3, 1, 1), (20, 'nine', 19, 9, 20, 1)",
            "INSERT INTO q VALUES (21, NULL, 22, 3, 21, 1), (22, NULL, 21, 19, 22, 1)",
        ]
        split(pair, database, ORPHANS, before, ours, theirs)
        told, done = told_and_done(pair, database, tmp_path, MERGE)
        assert done.changes.adopted == 1 + 2 + 2 + 1
        # Of the last, one is the source's own: the target's row that stays has its unique value.
        assert done.changes.skipped == 3 + 2 + 2 + 2 + 1
        assert [table.reason for table in done.tables] == [None, "foreign_key"]
        shown = "".join(block.after for block in told.diff if ".q as on" in block.after_header and "target" in block.after_header)
        assert {int(number) for number in re.findall(r"id=(\d+)", shown)} == {1, 10, 11, 19, 20}
        have = {int(row[0]) for row in image(pair.a, database)["q"]}
        assert have == {1, 2, 10, 11, 19, 20}


@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("rule", ["RESTRICT", "CASCADE", "SET NULL"])
def test_check_mode_knows_whose_children_stay(pairs, fresh_database, tmp_path, flavor, rule):
    """The newer copy has another value, which rows of the source refer to by the old one: these must go first."""
    pair = pairs(flavor)
    tables = [
        "CREATE TABLE p (id int PRIMARY KEY, code varchar(9) UNIQUE, changed int)",
        f"CREATE TABLE c (id int PRIMARY KEY, p varchar(9), changed int, FOREIGN KEY (p) REFERENCES p (code) ON UPDATE {rule})",
        f"CREATE TABLE z (id int PRIMARY KEY, p varchar(9), changed int, FOREIGN KEY (p) REFERENCES p (code) ON UPDATE {rule})",
    ]
    with fresh_database(pair) as database:
        before = [
            "INSERT INTO p VALUES (1, 'a', 1), (2, 'b', 1), (3, 'c', 1), (4, 'd', 1), (5, 'e', 1)",
            "INSERT INTO c VALUES (1, 'a', 1), (2, 'b', 1)",
            "INSERT INTO z VALUES (3, 'c', 1), (6, 'd', 1)",
        ]
        theirs = [
            "UPDATE p SET code = UPPER(CONCAT(code, code)), changed = 2 WHERE id < 5",
            "UPDATE c SET p = 'e', changed = 2 WHERE id = 2",
            "UPDATE z SET p = 'e', changed = 2 WHERE id = 3",
            "UPDATE z SET p = NULL, changed = 1 WHERE id = 6",
        ]
        split(pair, database, tables, before, [], theirs)
        _told, done = told_and_done(pair, database, tmp_path, MERGE)
        # Of p: 2 and 3 go, once what refers to them has gone elsewhere. 1 stays, as its child does; so does 4, whose child's
        # newer copy is the source's.
        assert {row[:2] for row in image(pair.a, database)["p"]} == {
            (b"1", b"a"), (b"2", b"BB"), (b"3", b"CC"), (b"4", b"d"), (b"5", b"e")
        }  # fmt: skip
        assert [table.reason for table in done.tables] == [None, "foreign_key" if rule == "RESTRICT" else "side_effects", None]


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8"])
def test_check_mode_knows_who_breaks_a_check(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        theirs = [
            "SET check_constraint_checks = 0",
            "INSERT INTO t VALUES (2, 2), (3, -3)",
            "INSERT INTO c VALUES (1, 2), (2, 3)",
        ]
        tables = [
            "CREATE TABLE t (id int PRIMARY KEY, v int CHECK (v > 0))",
            "CREATE TABLE c (id int PRIMARY KEY, t int, FOREIGN KEY (t) REFERENCES t (id))",
        ]
        split(pair, database, tables, ["INSERT INTO t VALUES (1, 1)"], [], theirs)
        _told, done = told_and_done(pair, database, tmp_path)
        assert [table.reason for table in done.tables] == ["foreign_key", "check_constraint"]
        assert done.changes == report.Changes(adopted=2, skipped=2)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_circle_is_no_larger_than_a_batch(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        table = "CREATE TABLE t (id int PRIMARY KEY, next int, FOREIGN KEY (next) REFERENCES t (id))"
        rings = [[1, 2, 3, 4], [5, 6, 7], [8, 9]]
        rows = [f"({a}, {b})" for ring in rings for a, b in zip(ring, ring[1:] + ring[:1])]
        split(pair, database, [table], [], [], [f"INSERT INTO t VALUES {', '.join(rows)}, (10, 1), (11, 5)"])
        _told, done = told_and_done(pair, database, tmp_path, replace(ADOPT, batch_rows=3))
        assert done.changes == report.Changes(adopted=6, skipped=5)
        _told, refused = told_and_done(pair, database, tmp_path, replace(ADOPT, batch_rows=3, max_changes=4))
        assert "max_changes" in refused.message
        assert [table.reason for table in done.tables] == ["foreign_key"]
        assert "batch_rows" in done.message
        _told, done = told_and_done(pair, database, tmp_path, replace(ADOPT, batch_rows=4))
        assert (done.changes, done.in_sync) == (report.Changes(adopted=5), True)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_killed_at_any_instant_there_is_all_of_a_circle_or_nothing(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        _ours, theirs = split(pair, database, only_b=SHOP_B[:3])
        commit = Session.commit
        left = iter(())

        def killed(session):
            if next(left, "") == "killed":
                pair.a.execute(f"KILL {session.connection_id}")
            commit(session)

        # First the row that refers to itself alone, then both circles in one transaction.
        for survived, rows in ((0, 2), (1, 3)):
            left = iter([""] * survived + ["killed"])
            with monkeypatch.context() as patched:
                patched.setattr(Session, "commit", killed)
                result = run(pair, database, tmp_path)
            assert result.failed
            assert "lost_connection" in result.message
            pair.wait()
            assert pair.links_healthy()
            assert image(pair.b, database) == theirs
            now = image(pair.a, database)
            for table in ("customer", "address"):
                pair.a.execute(f"ALTER TABLE {table} ENGINE=InnoDB", database=database)
            assert (len(now["customer"]), len(now["address"])) == (rows - 1, 1)
        assert run(pair, database, tmp_path).in_sync
        assert image(pair.a, database) == theirs


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_reference_is_believed_that_was_not_seen_under_the_lock(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A parent goes while the circle is written, and a look-up that is wrong: the circle is rolled back, whole."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        ours, theirs = split(pair, database, only_b=["INSERT INTO customer VALUES (3, 'three', NULL, 4), (4, 'four', 1, 3)"])
        written = giving.Giver._write_rows

        def late(self, portions):
            bad = written(self, portions)
            if len(portions[0].changes) == 2 and not bad:
                pair.a.execute(["SET foreign_key_checks = 0", "DELETE FROM address WHERE id = 1"], database, logged=False)
            return bad

        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "_write_rows", late)
            result = run(pair, database, tmp_path)
        assert [table.reason for table in result.tables if table.table == "customer"] == ["foreign_key"]
        assert image(pair.a, database)["customer"] == ours["customer"]
        pair.b.execute(["SET foreign_key_checks = 0", "UPDATE customer SET best = 99 WHERE id = 4"], database, logged=False)
        theirs = image(pair.b, database)
        lacking = references.Parents.lacking

        def wrong(self, table, rows):
            found = {place: [each for each in some if each.heirs] for place, some in lacking(self, table, rows).items()}
            assert sum(map(len, found.values())) == (2 if table.name.table == "customer" else 0)
            return found

        with monkeypatch.context() as patched:
            patched.setattr(references.Parents, "lacking", wrong)
            result = run(pair, database, tmp_path)
        assert [table.reason for table in result.tables if table.table == "customer"] == ["foreign_key"]
        pair.wait()
        assert image(pair.a, database)["customer"] == ours["customer"]
        assert image(pair.b, database)["customer"] == theirs["customer"]
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_what_a_circle_refers_to_cannot_go_before_it_is_committed(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        _ours, theirs = split(pair, database, only_b=["INSERT INTO customer VALUES (3, 'three', NULL, 4), (4, 'four', 1, 3)"])
        count, waited = giving.Giver._more_than_these, []

        def late(self, portions):
            with suppress(pymysql.MySQLError):
                try:
                    settings = ["SET SESSION innodb_lock_wait_timeout = 1", "SET SESSION foreign_key_checks = 0"]
                    pair.a.execute([*settings, "DELETE FROM address WHERE id = 1"], database, logged=False)
                except pymysql.MySQLError as error:
                    waited.append(error.args[0])
                    raise
            return count(self, portions)

        with monkeypatch.context() as patched:
            patched.setattr(giving.Giver, "_more_than_these", late)
            assert run(pair, database, tmp_path).in_sync
        assert waited == [1205]
        pair.wait()
        assert image(pair.a, database) == theirs


ODD = [
    "CREATE TABLE t (id int PRIMARY KEY, x int, y int, KEY (x, y))",
    "CREATE TABLE T (id int PRIMARY KEY, x int, y int, FOREIGN KEY f (x) REFERENCES T (id))",
    "CREATE TABLE `ä``q` (a varchar(5) COLLATE utf8mb4_general_ci, `b'b` decimal(5,2), c date, `up a` varchar(5) COLLATE"
    " utf8mb4_general_ci NULL, `up b` decimal(5,2) NULL, PRIMARY KEY (a, `b'b`), FOREIGN KEY (`up a`, `up b`) REFERENCES"
    " `ä``q` (a, `b'b`), UNIQUE (c))",
    "CREATE TABLE days (d date PRIMARY KEY, FOREIGN KEY (d) REFERENCES `ä``q` (c))",
    "ALTER TABLE `ä``q` ADD day date, ADD FOREIGN KEY (day) REFERENCES days (d)",
]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_of_any_names_and_types(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        theirs = [
            "INSERT INTO t VALUES (1, 77, 78)",
            "INSERT INTO T VALUES (1, 2, 3), (2, 1, 3)",
            "INSERT INTO `ä``q` VALUES ('ö', 1.50, '2024-01-01', 'O', 1.5, '2024-01-01'),"
            " ('z', 0, '2024-01-02', 'nil', NULL, NULL), ('y', 1, NULL, 'Z', -0.0, NULL), ('x', 1, NULL, 'none', 1, NULL)",
            "INSERT INTO days VALUES ('2024-01-01')",
        ]
        split(pair, database, ODD, [], [], theirs)
        _told, done = told_and_done(pair, database, tmp_path)
        assert done.changes == report.Changes(adopted=1 + 2 + 3 + 1, skipped=1)
        assert "'x'" in done.message
        assert (b"x", b"1.00") not in {row[:2] for row in image(pair.a, database)["ä`q"]}
