# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has come is accounted for once; whose list is read depends on what the run writes."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import newcomers
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.downstream import Picky
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ServerError, TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.facts import Replica, ServerFacts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import Link
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.logplace import LogPlace
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.newcomers import Newcomers
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.topology import Pair

KEYED, LOOSE = (SimpleNamespace(key=key, name="d.t", stores_generated=False) for key in ("PRIMARY", None))
NEW = Replica(9, "db9", 3306, None)
NAMELESS = Replica(None, "10.0.0.9", 0)


class World:
    """Two servers, whose replicas are listed here, and who is made lenient."""

    def __init__(self, monkeypatch, downstream="idempotent", real_writes=False, statements=True, **target):
        self.lists = {"source": (Replica(2, "db2", 3306),), "target": (Replica(1, "db1", 3306),)}
        self.read, self.lenient, self.picky = [], [], Picky()
        known = {"binlog": True, "binlog_format": "ROW", "log_replica_updates": True}
        facts = {
            role: ServerFacts(role, f"db{number}", 3306, "mariadb", "10.11.19", number, **{**known, **target})
            for number, role in ((1, "source"), (2, "target"))
        }
        link = Link("", "db1", 3306, 1, None, True, True)
        pair = Pair(facts["source"], facts["target"], link, link, self.lists["target"][1:], self.lists["source"][1:])

        def replicas(session, sees_all):
            self.read.append(session.role)
            found = self.lists[session.role]
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(newcomers, "read_replicas", replicas)
        monkeypatch.setattr(newcomers, "read_log_end", lambda session: LogPlace("bin.000003", 400))
        monkeypatch.setattr(newcomers, "ask", lambda *_who: self.picky)
        monkeypatch.setattr(newcomers, "Applier", lambda session: SimpleNamespace(mending=lambda channel: "run there: SET …"))
        monkeypatch.setattr(newcomers, "_SETTLES", 0.0)
        monkeypatch.setattr(newcomers, "_POLL", 0.0)
        sessions = [SimpleNamespace(role=role) for role in ("source", "target")]
        self.refusal = None
        self.newcomers = Newcomers(*sessions, pair, downstream, self.relax, real_writes, statements)

    def relax(self, session, facts, replicas, since):
        if self.refusal:
            raise self.refusal
        self.lenient.append((session.role, replicas, since))

    def come(self, replica=NEW, role="target"):
        self.lists[role] += (replica,)


def test_who_comes_is_made_lenient_once(monkeypatch):
    world = World(monkeypatch)
    for _batch in range(2):
        world.newcomers.look(KEYED)
    assert (world.lenient, set(world.read)) == ([], {"source", "target"})
    world.come()
    for _batch in range(2):
        world.newcomers.look(KEYED)
    assert world.lenient == [("target", (NEW,), LogPlace("bin.000003", 400))]
    assert world.newcomers.at_the_end() == ()


def test_a_table_without_a_key_or_logged_as_statements_goes_no_further_then(monkeypatch):
    world = World(monkeypatch)
    world.newcomers.look(LOOSE)
    world.come()
    for table, as_rows in ((LOOSE, True), (KEYED, False), (LOOSE, True)):
        with pytest.raises(TableProblem, match="server_id 9") as problem:
            world.newcomers.look(table, as_rows)
        assert problem.value.code == "downstream_replicas"
    world.newcomers.look(KEYED)
    assert world.newcomers.at_the_end() == ()


def test_what_is_refused_stays_so_and_is_told_once(monkeypatch):
    world = World(monkeypatch, "refuse")
    world.come()
    for _batch in range(2):
        with pytest.raises(Refusal, match="db9:3306") as refused:
            world.newcomers.look(KEYED)
        assert refused.value.code == "downstream_replicas"
        assert "run there: SET …" in refused.value.remedy
    assert world.newcomers.at_the_end() == ()
    assert not world.lenient
    late = World(monkeypatch, "refuse")
    late.come()
    (words,) = late.newcomers.at_the_end()
    assert "[downstream_replicas]" in words


def test_no_later_table_goes_on_with_one_that_could_not_be_made_lenient(monkeypatch):
    world = World(monkeypatch)
    world.come()
    world.refusal = ServerError(1, "gone", "db9")
    for _batch in range(2):
        with pytest.raises(ServerError):
            world.newcomers.look(KEYED)
        world.refusal = None


@pytest.mark.parametrize(
    ("how", "read"),
    [
        ({}, {"source", "target"}),
        ({"statements": False}, {"target"}),
        ({"statements": False, "real_writes": True}, {"source", "target"}),
        ({"statements": False, "log_replica_updates": False}, set()),
        ({"statements": False, "binlog_format": "STATEMENT"}, set()),
        ({"log_replica_updates": False}, {"source"}),
    ],
)
def test_only_lists_that_matter_are_read(monkeypatch, how, read):
    world = World(monkeypatch, "refuse", **how)
    world.newcomers.look(KEYED)
    assert set(world.read) == read
    for role in {"source", "target"} - read:
        world.come(role=role)
    world.newcomers.look(KEYED)


def test_one_below_the_source_that_takes_no_statements(monkeypatch):
    world = World(monkeypatch, "refuse")
    world.come(role="source")
    world.newcomers.look(KEYED)
    world.picky = Picky(safe_updates=(NEW,))
    world.newcomers.look(KEYED)  # it was asked when it came
    world.come(Replica(8, "db8", 3306), "source")
    with pytest.raises(Refusal, match="sql_safe_updates") as refused:
        world.newcomers.look(KEYED)
    assert refused.value.code == "safe_updates"


def test_those_without_a_name_are_counted(monkeypatch):
    world = World(monkeypatch, "refuse")
    world.lists["source"] = (NAMELESS, NAMELESS)  # one is the partner's
    world.newcomers.look(KEYED)
    world.newcomers.look(KEYED)
    world.lists["target"] = (NAMELESS,)
    world.newcomers.look(KEYED)
    world.come(NAMELESS)
    with pytest.raises(Refusal, match=r"10\.0\.0\.9 \(server_id unknown\)"):
        world.newcomers.look(KEYED)


def test_a_server_that_does_not_answer_at_the_end_says_nothing(monkeypatch):
    world = World(monkeypatch, "refuse")
    world.lists["target"] = ServerError(0, "gone", "the target")
    assert world.newcomers.at_the_end() == ()


@pytest.mark.parametrize(
    ("applied", "enough"),
    [
        (("bin.000003", 400), True),
        (("bin.000004", 4), True),
        (("bin.000003", 399), False),
        (("bin.000002", 900), False),
        (("other.000004", 4), False),
        (("", 0), False),
    ],
)
def test_what_was_applied(applied, enough):
    link = Link("", "db1", 3306, 1, None, True, False, applied_file=applied[0], applied_position=applied[1])
    assert link.stopped_behind(LogPlace("bin.000003", 400)) is enough


@pytest.mark.parametrize(
    ("words", "enough"),
    [
        ("Duplicate entry; the event's master log bin.000003, end_log_pos 401 (error 1062)", True),
        ("Worker 1 failed executing transaction 'u:29' at source log bin.000004, end_log_pos 9. See (error 1062)", True),
        ("Duplicate entry; the event's master log bin.000003, end_log_pos 400 (error 1062)", False),
        ("Duplicate entry; the event's master log FIRST, end_log_pos 900 (error 1062)", False),
        ("Duplicate entry (error 1062)", False),
    ],
)
def test_where_it_stopped(words, enough):
    link = Link("", "db1", 3306, 1, None, True, False, sql_error=words, applied_file="bin.000003", applied_position=4)
    assert link.stopped_behind(LogPlace("bin.000003", 400)) is enough


@pytest.mark.parametrize(("number", "rows"), [(1062, True), (1032, True), (1146, False)])
def test_it_stopped_at_a_row_also_where_the_account_may_not_read_more(number, rows):
    for more in ("", " (This account may not read more: it lacks SELECT on a table.)"):
        link = Link("", "db1", 3306, 1, None, True, False, sql_error=f"Worker 1 failed (error {number}){more}")
        assert link.stopped_at_rows is rows
