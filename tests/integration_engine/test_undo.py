# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Undo on real pairs: the target's old rows come back, on both servers, and nothing newer is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from integration_engine.repairing import FLAVORS, LENIENT, Rig, endpoint, minimal_account
from integration_engine.types_zoo import specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import undo

FILM = "CREATE TABLE film (id int PRIMARY KEY, code varchar(20) UNIQUE, stamp timestamp(3) NULL, twin int AS (id * 2) STORED)"
ROWS = "INSERT INTO film (id, code, stamp) VALUES (1, 'a', FROM_UNIXTIME(86400)), (2, 'b', NULL), (3, 'c', NULL), (4, 'd', NULL)"
DRIFT = [
    "DELETE FROM film WHERE id = 1",
    "INSERT INTO film (id, code) VALUES (9, 'extra')",
    "UPDATE film SET code = 'tmp' WHERE id = 2",
    "UPDATE film SET code = 'b' WHERE id = 3",
    "UPDATE film SET code = 'c' WHERE id = 2",
]


def servers(pair, user="root", password=None):
    """The pair as the operation takes it."""
    return options.Servers(target=endpoint(pair.b, user, password))


def repaired(pair, database, undo_dir, create=(FILM, ROWS), drift=None, name="film"):
    """Drift and its repair; returns (the target before it, the source, the journal)."""
    pair.a.execute([*LENIENT, *create], database=database)
    pair.wait()
    pair.b.execute([*LENIENT, *(drift or DRIFT)], database=database, logged=False)
    with Rig(pair, database, undo_dir) as rig:
        before = rig.content(rig.target, name)
        rig.repaired(name)
        return before, rig.content(rig.source, name), rig.journal


def both(pair, database, undo_dir, name="film"):
    """What both servers hold."""
    pair.wait()
    with Rig(pair, database, undo_dir) as rig:
        return rig.content(rig.source, name), rig.content(rig.target, name)


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_old_rows_come_back_and_an_undo_can_be_undone(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format)
    with fresh_database(pair) as database:
        old, new, path = repaired(pair, database, tmp_path)
        plan = undo.run(servers(pair), path, undo_dir=str(tmp_path), apply=False)
        assert (plan.changed, plan.undo_file, plan.refused, plan.failed) == (True, None, (), False)
        assert (plan.changes.inserted, plan.changes.updated, plan.changes.deleted) == (1, 2, 1)
        assert "id=9" in plan.diff[0].after
        assert both(pair, database, tmp_path) == (new, new)

        done = undo.run(servers(pair), path, batch_rows=10, undo_dir=str(tmp_path))
        assert (done.changed, done.verified, done.failed, done.message) == (True, True, False, None)
        assert done.changes == plan.changes
        assert both(pair, database, tmp_path) == (old, old)

        again = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (again.changed, again.failed, again.undo_file) == (False, False, None)

        assert journal.read(done.undo_file).header.kind == "undo"
        redone = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
        assert redone.verified
        assert both(pair, database, tmp_path) == (new, new)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_type_comes_back_exactly(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, options_b={"default_time_zone": "-07:00"})
    zoo = specimens(flavor)
    columns = ", ".join(f"`{each.name}` {each.definition}" + ("" if "null" in each.definition else " NULL") for each in zoo)
    good = ", ".join(each.good for each in zoo)
    bad = ", ".join(each.bad for each in zoo)
    with fresh_database(pair) as database:
        old, _new, path = repaired(
            pair,
            database,
            tmp_path,
            [
                f"CREATE TABLE film (id int PRIMARY KEY, {columns})",
                f"INSERT INTO film VALUES (1, {good}), (2, {good}), (3, {bad})",
            ],
            ["DELETE FROM film WHERE id < 3", f"INSERT INTO film VALUES (1, {bad}), (7, {good})"],
        )
        assert undo.run(servers(pair), path, undo_dir=str(tmp_path)).verified
        assert both(pair, database, tmp_path) == (old, old)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_changed_since_is_refused_and_listed(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        _old, _new, path = repaired(pair, database, tmp_path)
        pair.a.execute("UPDATE film SET code = 'newer' WHERE id = 1", database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert [(row.key, row.reason) for row in done.refused] == [("id=1", "changed_since")]
        assert (done.failed, done.changes.inserted, done.changes.updated, done.changes.deleted) == (True, 1, 2, 0)
        ours, theirs = both(pair, database, tmp_path)
        assert ours == theirs
        assert (b"1", b"newer") in [row[:2] for row in ours]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_unique_value_taken_meanwhile_costs_only_its_row(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        _old, _new, path = repaired(pair, database, tmp_path)
        pair.a.execute("INSERT INTO film (id, code) VALUES (50, 'extra')", database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert [(row.key, row.reason) for row in done.refused] == [("id=9", "unique_collision")]
        assert (done.changes.updated, done.changes.deleted) == (2, 1)
        ours, theirs = both(pair, database, tmp_path)
        assert ours == theirs
        assert b"50" in [row[0] for row in ours]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_swapped_values_in_different_batches(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        old, _new, path = repaired(pair, database, tmp_path)
        done = undo.run(servers(pair), path, batch_rows=1, undo_dir=str(tmp_path))
        assert (done.refused, done.verified) == ((), True)
        assert both(pair, database, tmp_path) == (old, old)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_refusals(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database, minimal_account(pair, database) as login:
        _old, new, path = repaired(pair, database, tmp_path)
        for limit in ("max_changes", "max_deletes"):
            with pytest.raises(Refusal, match=limit):
                undo.run(servers(pair), path, undo_dir=str(tmp_path), **{limit: 0})
        with pytest.raises(Refusal, match="missing_grant"):
            undo.run(servers(pair, *login), path, undo_dir=str(tmp_path))
        with pytest.raises(Refusal, match="journal_unwritable"):
            undo.run(servers(pair), path, undo_dir=path)
        with pytest.raises(Refusal, match="journal_unreadable"):
            undo.run(servers(pair), str(tmp_path / "none"))
        foreign = tmp_path / "foreign"
        foreign.write_text(Path(path).read_text("ascii").replace('"server_id":2', '"server_id":77'), encoding="ascii")
        with pytest.raises(Refusal, match="other_pair"):
            undo.run(servers(pair), str(foreign))
        assert both(pair, database, tmp_path) == (new, new)
        pair.a.execute("CREATE TRIGGER g AFTER INSERT ON film FOR EACH ROW SET @x = 1", database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert {row.reason for row in done.refused} == {"triggers"}
        pair.a.execute(["DROP TRIGGER g", "ALTER TABLE film ADD more int"], database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert {row.reason for row in done.refused} == {"schema_changed"}
        assert (done.changed, done.failed) == (False, True)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_journal_of_a_run_that_was_killed(pairs, fresh_database, tmp_path, flavor):
    """Rows that were planned and never changed need nothing; the unfinished line does no harm."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute([FILM, ROWS], database=database)
        pair.wait()
        pair.b.execute(
            ["DELETE FROM film WHERE id = 1", "UPDATE film SET code = 'x' WHERE id = 4"],
            database=database,
            logged=False,
        )
        with Rig(pair, database, tmp_path) as rig:
            old = rig.content(rig.target, "film")
            plan = rig.differences("film")
            with rig.writer() as writer:
                writer.plan(rig.table("film"), plan)
            planned = writer.path
            rig.repair("film", changes=[change for change in plan if change.key == (b"1",)])
        with open(planned, "a", encoding="ascii") as file:
            file.write('{"is":"committed","ro')
        done = undo.run(servers(pair), planned, undo_dir=str(tmp_path))
        assert (done.changes.deleted, done.changes.updated, done.refused, done.verified) == (1, 0, (), True)
        with Rig(pair, database, tmp_path) as rig:
            assert rig.content(rig.target, "film") == old
