# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a repair decides about each locked row, on two servers that are dictionaries."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import arrival, repair, rewrite, spool
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.collisions import InTheWay
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import Dialect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    LockConflict,
    Refusal,
    ServerError,
    TableProblem,
    Undecided,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)


def table(**more):
    """A table of an integer key and a text."""
    columns = tuple(Column(name, "int", "int", None, None, False, "", "") for name in ("id", "v"))
    key = Key("PRIMARY", (KeyPart("id", None, False),))
    return Table(
        **{
            "name": TableName("d", "t"),
            "kind": "BASE TABLE",
            "engine": "InnoDB",
            "columns": columns,
            "unique_keys": (key,),
            "rows_estimate": 0,
            **more,
        }
    )


class FakeServer:
    """Rows by key, and a session to them."""

    dialect = Dialect("mysql", (9, 7, 4), "9.7.4")
    name = "fake"

    def __init__(self, rows):
        self.rows_by_key = dict(rows)
        self.said = []
        self.open = False
        self.on_lock = []

    def execute(self, sql):
        self.said.append(sql)
        self.open = {"START TRANSACTION": True, "COMMIT": False, "ROLLBACK": False}.get(sql, self.open)

    def execute_all(self, statements, meanwhile):
        for sql in statements:
            self.execute(sql)
        meanwhile()

    def begin(self):
        self.execute("START TRANSACTION")

    def commit(self):
        self.execute("COMMIT")

    def roll_back(self):
        self.execute("ROLLBACK")

    def assert_alive(self):
        assert self.open

    def records(self, _sql):
        return []

    def variables(self, _names):
        return {"max_allowed_packet": "16777216"}


class FakeJournal:
    """A journal that keeps its lines in order."""

    def __init__(self):
        self.lines = []

    def plan(self, _table, changes):
        self.lines.append(("plan", len(changes)))
        return range(1, len(changes) + 1)

    def image(self, row, before, after):
        self.lines.append(("image", row, before, after))

    def committed(self, rows):
        self.lines.append(("committed", tuple(rows)))

    def verified(self, rows):
        self.lines.append(("verified", tuple(sorted(rows))))

    def flush(self):
        self.lines.append(("flush",))


class World:
    """Both servers, what is logged, and what happens when."""

    def __init__(self, monkeypatch, source, target, unique=False):
        self.source, self.target = FakeServer(source), FakeServer(target)
        self.log = FakeServer({})
        self.journal = FakeJournal()
        self.transactions = []
        self.in_flight = []
        self.blocked = set()
        self.fenced = self.shadows = 0
        self.covered = False
        self.before_lock = lambda: None
        self.on_fence = lambda: None
        self.conflicts = self.log_conflicts = 0
        world = self

        def read_rows(session, _table, keys, lock="", likely=False):
            if lock:
                world.before_lock()
                if world.conflicts:
                    world.conflicts -= 1
                    raise LockConflict(1205, "lock", "source")
            if session is world.target:
                assert not world.source.open, "no lock may be held while the target is asked"
            return {key: session.rows_by_key[key] for key in keys if key in session.rows_by_key}

        class FakeShadow:
            def __init__(self, session, _table):
                assert session is world.log
                world.shadows += 1

            def __enter__(self):
                assert not world.covered, "one at a time"
                world.covered = True
                return self

            def __exit__(self, *unused):
                assert world.covered
                world.covered = False

            def log(self, statements, together=True, meanwhile=lambda: None, assert_locked=None):
                assert together, "one transaction, but for engines that have none"
                assert_locked()
                assert world.source.open, "what is logged is what is locked"
                assert world.journal.lines[-1] == ("flush",)
                if world.log_conflicts:
                    world.log_conflicts -= 1
                    raise LockConflict(1205, "binary log", "source")
                world.transactions.append(list(statements))
                meanwhile()

        class FakeCollisions:
            def __init__(self, *unused, **options):
                self.keys = ("some",) if unique else ()

            def keep_blocked(self, changes, refused):
                assert not world.transactions, "before the first write"

            def find_all(self, rows):
                return InTheWay({place: [(b"99",)] for place, row in enumerate(rows) if row[0] in world.blocked}, {}, {})

        class FakeConstraints:
            def __init__(self, *unused):
                pass

            def violations(self, _keys):
                return frozenset()

        class FakeUnaltered:
            def __init__(self, session):
                self.session = session

            @classmethod
            def of_source(cls, session, _table):
                return cls(session)

            @classmethod
            def of_target(cls, session, _table, _may_have):
                return cls(session)

            def check(self):
                assert world.source.open == (self.session is world.source)

        def apply_replaces(_table, rows, _packet):
            rows = list(rows)
            world.in_flight += [(row[:1], row) for row in rows]
            return [f"REPLACE {b','.join(row[0] for row in rows).decode()}"] if rows else []

        def apply_deletes(_table, keys, _packet):
            keys = list(keys)
            world.in_flight += [(key, None) for key in keys]
            return [f"DELETE {b','.join(key[0] for key in keys).decode()}"] if keys else []

        monkeypatch.setattr(repair, "read_rows", read_rows)
        monkeypatch.setattr(arrival, "read_rows", read_rows)
        monkeypatch.setattr(repair, "Shadow", FakeShadow)
        monkeypatch.setattr(repair, "prepare", lambda _session: None)
        monkeypatch.setattr(repair, "Collisions", FakeCollisions)
        monkeypatch.setattr(repair, "Constraints", FakeConstraints)
        monkeypatch.setattr(repair, "Unaltered", FakeUnaltered)
        monkeypatch.setattr(rewrite, "replaces", apply_replaces)
        monkeypatch.setattr(rewrite, "deletes", apply_deletes)
        monkeypatch.setattr(repair, "pause", lambda: None)

    def fence(self):
        """Replication is drained: what was logged arrives."""
        assert not self.source.open, "no lock may be held while waiting for replication"
        assert not self.covered, "the target's applier has a temporary table open as long as the shadow is there"
        self.fenced += 1
        self.on_fence()
        for key, row in self.in_flight:
            if row is None:
                self.target.rows_by_key.pop(key, None)
            else:
                self.target.rows_by_key[key] = row
        self.in_flight = []

    def repair(self, changes, batch_rows=100, spare_deletes=0, check_links=lambda: None, **more):
        """Run the repair."""
        return repair.repair_table(
            self.source,
            self.log,
            self.target,
            table(),
            changes,
            batch_rows,
            self.journal,
            self.fence,
            check_links,
            spare_deletes,
            **more,
        )


def row(key, value):
    """A row and its key."""
    return (str(key).encode(), str(value).encode())


def difference(kind, key, source=None, target=None):
    """A planned change."""
    return Difference(
        kind,
        (str(key).encode(),),
        row(key, source) if source is not None else None,
        row(key, target) if target is not None else None,
    )


def content(**rows):
    """Rows by key from k1=value."""
    return {(name[1:].encode(),): row(name[1:], value) for name, value in rows.items()}


PLAN = [difference("missing", 1, 10), difference("different", 2, 20, 21), difference("extra", 3, None, 30)]


def test_the_plain_case(monkeypatch):
    world = World(monkeypatch, content(k1=10, k2=20), content(k2=21, k3=30))
    result = world.repair(PLAN)
    assert (result.inserted, result.updated, result.deleted, result.verified) == (1, 1, 1, True)
    assert world.transactions == [["DELETE 3", "REPLACE 1,2"]]
    assert world.journal.lines == [
        ("plan", 3),
        ("flush",),
        ("committed", (1, 2, 3)),
        ("verified", (1, 2, 3)),
        ("flush",),
    ]
    assert world.target.rows_by_key == world.source.rows_by_key
    assert world.source.said[-3:] == [
        "SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1",
        "START TRANSACTION",
        "COMMIT",
    ]


def test_a_row_to_delete_that_is_there_now_is_never_deleted(monkeypatch):
    world = World(monkeypatch, content(k3=33), content(k3=30))
    result = world.repair([PLAN[2]])
    assert world.transactions == [["REPLACE 3"]]
    assert (result.deleted, result.updated, result.verified) == (0, 1, True)
    assert ("image", 1, row(3, 30), row(3, 33)) in world.journal.lines


@pytest.mark.parametrize(("spare", "left"), [(0, 2), (1, 1), (2, 0)])
def test_rows_that_are_gone_now_are_deleted_only_within_the_cap(monkeypatch, spare, left):
    world = World(monkeypatch, {}, content(k1=11, k2=21))
    result = world.repair([difference("different", 1, 10, 11), difference("different", 2, 20, 21)], spare_deletes=spare)
    assert result.deleted == spare
    assert [skipped.reason for skipped in result.skipped] == ["max_deletes"] * left
    assert len(world.target.rows_by_key) == left
    assert result.verified == (left == 0)


def test_what_is_locked_is_what_is_logged_and_journaled(monkeypatch):
    world = World(monkeypatch, content(k2=25), content(k2=24))
    world.repair([PLAN[1]])
    assert world.target.rows_by_key == content(k2=25)
    assert world.journal.lines[:3] == [("plan", 1), ("image", 1, row(2, 24), row(2, 25)), ("flush",)]


def test_rows_that_became_equal_need_nothing(monkeypatch):
    world = World(monkeypatch, content(k1=10), content(k1=10))
    result = world.repair([PLAN[0], PLAN[2]])
    assert world.transactions == []
    assert (result.inserted, result.deleted, result.verified) == (1, 1, True)


def test_a_changed_row_with_unique_values_is_looked_up_again(monkeypatch):
    world = World(monkeypatch, content(k2=20), content(k2=21), unique=True)
    values = iter([22, 22])

    def change():
        for value in values:
            world.source.rows_by_key[(b"2",)] = row(2, value)
            break

    world.before_lock = change
    result = world.repair([PLAN[1]])
    assert (result.updated, result.verified, result.skipped) == (1, True, ())
    assert world.fenced == 2
    assert world.target.rows_by_key == content(k2=22)


def test_a_row_that_keeps_changing_is_skipped(monkeypatch):
    world = World(monkeypatch, content(k2=20), content(k2=21), unique=True)
    counter = iter(range(100, 200))
    world.before_lock = lambda: world.source.rows_by_key.update(content(k2=next(counter)))
    result = world.repair([PLAN[1]])
    assert [(skipped.key, skipped.reason) for skipped in result.skipped] == [((b"2",), "keeps_changing")]
    assert world.transactions == []


def test_a_collision_that_does_not_go_away_is_skipped_and_named(monkeypatch):
    world = World(monkeypatch, content(k1=10, k2=20), content(k2=21))
    world.blocked = {b"1"}
    result = world.repair(PLAN[:2])
    assert [(skipped.key, skipped.reason) for skipped in result.skipped] == [((b"1",), "unique_collision")]
    assert "id=99" in result.skipped[0].message
    assert world.transactions == [["REPLACE 2"]]
    assert not result.verified


def test_a_collision_that_was_only_lag_is_repaired_in_the_second_pass(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})
    world.blocked = {b"1"}
    world.on_fence = world.blocked.clear
    result = world.repair(PLAN[:1])
    assert (result.inserted, result.skipped, result.verified) == (1, (), True)


def test_the_application_goes_first(monkeypatch):
    world = World(monkeypatch, content(k1=10, k2=20), content(k2=21, k3=30))
    world.conflicts = 3
    result = world.repair(PLAN)
    assert (result.stopped, result.verified) == (None, True)
    assert world.source.said.count("ROLLBACK") == 3
    assert len(world.transactions) > 1, "smaller batches after the second conflict"


def test_images_of_a_try_that_failed_do_not_stay_the_last(monkeypatch):
    """The row was changed for the length of one try."""
    world = World(monkeypatch, content(k1=10), content(k1=5))
    values = iter((11, 10))
    world.before_lock = lambda: world.source.rows_by_key.update(content(k1=next(values)))
    world.log_conflicts = 1
    assert world.repair([difference("different", 1, 10, 5)]).verified
    images = [line[2:] for line in world.journal.lines if line[0] == "image"]
    assert images == [(row(1, 5), row(1, 11)), (row(1, 5), row(1, 10))]


def test_rows_that_the_target_wrote_meanwhile_are_waited_for_under_the_lock(monkeypatch):
    """They are on their way until the second try; the lock is given up for them (law 3)."""
    world = World(monkeypatch, content(k1=10, k2=20), content(k1=99))
    arrived = iter((False, True))

    def settled():
        assert world.source.open
        return next(arrived)

    plan = [difference("different", 1, 10, 5), difference("missing", 2, 20)]
    assert world.repair(plan, settled=settled).verified
    assert world.source.said.count("ROLLBACK") == 1
    assert next(arrived, None) is None


def test_a_lock_that_is_never_had_ends_the_table(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})
    world.conflicts = 10**6
    result = world.repair(PLAN[:1])
    assert isinstance(result.stopped, LockConflict)
    assert (result.verified, world.transactions) == (False, [])
    assert not world.source.open


def test_the_journal_comes_first(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})

    def full():
        raise Refusal("journal_unwritable", "full")

    world.journal.flush = full
    result = world.repair(PLAN[:1])
    assert result.stopped.code == "journal_unwritable"
    assert world.transactions == []
    assert not world.source.open


def test_batches_by_rows_and_growing_rounds(monkeypatch):
    plan = [difference("missing", number, number) for number in range(100, 120)]
    world = World(monkeypatch, {change.key: change.source for change in plan}, {})
    result = world.repair(plan, batch_rows=2)
    assert len(world.transactions) == 10
    assert world.fenced == 4, "1 + 2 + 4 + 3 batches"
    assert world.shadows == 10, "a batch each: killed in between, it stays open in the applier of a MariaDB target"
    assert (result.verified, world.covered) == (True, False)


@pytest.mark.parametrize("lost", [False, True])
def test_the_last_rows_are_verified_too(monkeypatch, lost):
    """They are looked at aside while nothing more is logged; what nobody has told of is not verified."""

    class Prints:
        @staticmethod
        def of(session, groups):
            return [[session.rows_by_key.get(key) for key in keys] for keys in groups]

    monkeypatch.setattr(arrival, "_KEYS_AT_ONCE", 1)
    monkeypatch.setattr(arrival.fingerprint, "choose", lambda *_how: Prints)
    world = World(monkeypatch, content(k1=10, k2=20, k3=30), {})
    if lost:
        world.on_fence = lambda: world.in_flight.remove(((b"3",), row(3, 30))) if len(world.in_flight) == 2 else None
    plan = [difference("missing", number, 10 * number) for number in (1, 2, 3)]
    result = world.repair(plan, batch_rows=1, aside=(world.source, world.target))
    assert (result.verified, result.unverified) == ((False, ((b"3",),)) if lost else (True, ()))


def test_batches_by_bytes():
    jobs = [repair._Job(number, "missing", (b"1",), (b"x" * (1 << 20),), None) for number in range(10)]
    assert [len(batch) for batch in spool.in_portions(jobs, 500, lambda job: job.size)] == [4, 4, 2]


def test_a_broken_link_ends_the_repair_and_says_more_than_the_fence(monkeypatch):
    world = World(monkeypatch, content(k1=10, k2=20), content(k2=21))

    def broken():
        raise Undecided("stopped_link", "stopped")

    checks = iter([None, Refusal("broken_link", "error 1062")])

    def check_links():
        problem = next(checks)
        if problem:
            raise problem

    world.on_fence = broken
    result = world.repair(PLAN[:2], batch_rows=1, check_links=check_links)
    assert result.stopped.code == "broken_link"
    assert len(world.transactions) == 1
    assert (result.inserted, result.updated, result.verified) == (1, 0, False)


def test_a_row_that_does_not_arrive_is_unverified(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})
    world.on_fence = world.in_flight.clear
    result = world.repair(PLAN[:1])
    assert (result.unverified, result.verified, result.stopped) == (((b"1",),), False, None)


def test_a_row_that_a_writer_changes_meanwhile_is_read_again(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})
    changes = iter([50, 51])

    def write():
        for value in changes:
            world.source.rows_by_key[(b"1",)] = row(1, value)
            if value == 51:
                world.in_flight.append(((b"1",), row(1, 51)))
            break

    world.on_fence = write
    result = world.repair(PLAN[:1])
    assert result.verified, result


def test_the_first_image_of_a_row_that_our_own_replace_took_away_is_kept(monkeypatch):
    world = World(monkeypatch, content(k2=20), {})
    world.repair([PLAN[1]])
    assert [line for line in world.journal.lines if line[0] == "image"] == []


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"unique_keys": ()}, "no_key"),
        ({"engine": "CSV"}, "engine_not_transactional"),
        ({"kind": "SYSTEM VERSIONED"}, "system_versioned"),
        ({"kind": "VIEW"}, "not_a_table"),
    ],
)
def test_tables_that_cannot_be_repaired_safely(more, code):
    with pytest.raises(TableProblem, match=code):
        repair._refuse_unsafe(table(**more))


def test_trouble_before_the_first_write_is_raised(monkeypatch):
    world = World(monkeypatch, content(k1=10), {})

    def denied(_session):
        raise ServerError(1227, "denied", "source")

    monkeypatch.setattr(repair, "prepare", denied)
    with contextlib.suppress(ServerError):
        world.repair(PLAN[:1])
        raise AssertionError("not raised")
    assert world.journal.lines == []
