# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an undo writes: around triggers, in tables without transactions, at whose pace, and ended at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from integration_engine.support import CHECK_GRANTS, PASSWORD, account, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    journal,
    options,
    putback,
    rewind,
    singly,
    throttle,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from bench import ours
from bench.datasets import DATABASE, DATASETS

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")
RECOVERS = {"myisam_recover_options": "BACKUP,FORCE"}

ROWS = ", ".join(f"({n}, {n}, 'v{n}')" for n in range(1, 11))
FILM = ["CREATE TABLE film (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20))", f"INSERT INTO film VALUES {ROWS}"]
DRIFT = [
    "DELETE FROM film WHERE id IN (1, 2)",
    "UPDATE film SET v = 'bad', u = NULL WHERE id IN (3, 4)",
    "INSERT INTO film VALUES (70, 1, 'extra')",
]
DIFFERENT = DRIFT[1:2]
EXTRA = ["INSERT INTO film VALUES (70, NULL, 'extra')"]


def repaired(pair, database, undo_dir, create, drift, **repair):
    """Make tables, let the target drift, repair it; returns what the target had, what both have, and the journal."""
    pair.a.execute(create, database=database)
    pair.wait()
    pair.b.execute(drift, database=database, logged=False)
    old = image(pair.b, database)
    limits = options.Repair(undo_dir=str(undo_dir), **repair)
    done = sync.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), limits, 10, True)
    assert done.verified, done.message
    pair.wait()
    new = image(pair.a, database)
    assert image(pair.b, database) == new
    return old, new, done.undo_file


def both(pair, database):
    """What both servers have, which must be the same; links must run."""
    pair.wait()
    found = image(pair.a, database)
    assert image(pair.b, database) == found
    assert pair.links_healthy()
    return found


def reasons(result):
    """How many rows were refused for which reason."""
    return Counter(row.reason for row in result.refused)


# -- tables that are unlike ---------------------------------------------------------------------

#: Name → (definition, what makes the target's table another that holds the same, flavors).
UNLIKE = {
    "swapped": ("(id int PRIMARY KEY, v int, w int)", "MODIFY w int AFTER id", FLAVORS),
    "no_key": ("(id int, v int, w int)", "MODIFY w int AFTER id", FLAVORS),
    "letters": ("(id int PRIMARY KEY, v int, w int)", "CHANGE w W int, CHANGE id Id int", FLAVORS),
    "squeezed": ("(id int PRIMARY KEY, v int, w varchar(99))", "MODIFY w varchar(99) COMPRESSED", FLAVORS[::2]),
    "plain": ("(id int PRIMARY KEY, v int, w varchar(99) COMPRESSED)", "MODIFY w varchar(99)", FLAVORS[::2]),
    "width": ("(id int PRIMARY KEY, v int, w int(11))", "MODIFY w int(5)", FLAVORS[::2]),
    "bool": ("(id int PRIMARY KEY, v int, w tinyint(1))", "MODIFY w tinyint", FLAVORS[1:2]),
    "myisam": ("(id int PRIMARY KEY, v int, w int)", "ENGINE=MyISAM, MODIFY w int AFTER id", FLAVORS),
}


def unlike(pair, database, names):
    """Make the tables, unlike on both servers, and let the target's drift."""
    for name in names:
        pair.a.execute(
            [
                f"CREATE TABLE {name} {UNLIKE[name][0]}",
                f"INSERT INTO {name} (id, v, w) VALUES (1, 10, 20), (2, 30, 40), (3, 50, 60)",
            ],
            database=database,
        )
    pair.wait()
    for name in names:
        drift = [f"UPDATE {name} SET v = 99 WHERE id = 1", f"INSERT INTO {name} (id, v, w) VALUES (7, 70, 80)"]
        pair.b.execute([f"ALTER TABLE {name} {UNLIKE[name][1]}", *drift], database=database, logged=False)


def by_name(server, database, names):
    """The rows of these tables, their values in one order."""
    return {name: server.query(f"SELECT id, v, w FROM {name} ORDER BY 1, 2, 3", database=database) for name in names}


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED"])
@pytest.mark.parametrize(
    "repair", [{}, {"extra_rows": "adopt", "conflict": "newest", "conflict_column": "v"}], ids=["sync", "merge"]
)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_tables_that_are_unlike_and_hold_the_same(pairs, fresh_database, tmp_path, flavor, repair, binlog_format):
    """What could be repaired can be undone, and that as well: values go by the names of their columns."""
    pair = pairs(flavor, binlog_format, options=RECOVERS)
    names = [name for name, each in UNLIKE.items() if flavor in each[2] and not (repair and name in ("no_key", "myisam"))]
    with fresh_database(pair) as database:
        unlike(pair, database, names)
        ours, theirs = (by_name(server, database, names) for server in (pair.a, pair.b))
        before, after = (ours, theirs) if repair else (theirs, ours)
        limits = options.Repair(undo_dir=str(tmp_path), **repair)
        done = sync.run(servers(pair), options.Selection(databases=(database,)), options.Pace(), limits, 10, True)
        assert (done.verified, done.message) == (True, None)
        for rows in (before, after):
            plan = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path), apply=False)
            done = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
            assert (done.verified, done.message, done.refused) == (True, None, ())
            assert done.changes == plan.changes
            pair.wait()
            assert pair.links_healthy()
            assert by_name(pair.a, database, names) == by_name(pair.b, database, names) == rows
        # What the source was altered to since is read by its names too, as long as it holds the same.
        pair.a.execute("ALTER TABLE swapped MODIFY v int AFTER w", database=database)
        done = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
        assert (done.verified, done.refused) == (True, ())
        assert by_name(pair.a, database, names) == by_name(pair.b, database, names) == before


@pytest.mark.parametrize("flavor", FLAVORS)
def test_where_columns_are_stored_otherwise_row_changes_are_refused(pairs, fresh_database, tmp_path, flavor):
    """A trigger on the target takes row changes, which would put values into other columns, or stop it."""
    pair = pairs(flavor)
    name = "swapped" if flavor == "mysql-9" else "squeezed"
    with fresh_database(pair) as database:
        unlike(pair, database, [name])
        limits = options.Repair(undo_dir=str(tmp_path))
        selection = options.Selection(databases=(database,))
        done = sync.run(servers(pair), selection, options.Pace(), limits, 10, True)
        assert done.verified, done.message
        good = by_name(pair.b, database, [name])
        pair.b.execute(f"CREATE TRIGGER d BEFORE DELETE ON {name} FOR EACH ROW SET @x = 1", database=database, logged=False)
        undone = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
        assert reasons(undone) == {"schema_mismatch": 2}
        pair.b.execute(f"UPDATE {name} SET v = 98", database=database, logged=False)
        by_rows = replace(limits, method="row", allow_triggers=True)
        refused = sync.run(servers(pair), selection, options.Pace(), by_rows, 10, True)
        assert [each.reason for each in refused.tables] == ["schema_mismatch"]
        pair.wait()
        assert pair.links_healthy()
        assert by_name(pair.a, database, [name]) == good


# -- triggers ----------------------------------------------------------------------------------

AUDIT = ["CREATE TABLE log (n int PRIMARY KEY AUTO_INCREMENT, what varchar(9), id int)"]


def logging(*events):
    """Triggers that note each change in the table log."""
    rows = {"INSERT": "NEW", "UPDATE": "NEW", "DELETE": "OLD"}
    return [
        f"CREATE TRIGGER on_{event} AFTER {event} ON film FOR EACH ROW"
        f" INSERT INTO log (what, id) VALUES ('{event}', {rows[event]}.id)"
        for event in events
    ]


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_was_repaired_by_row_is_undone_by_row(pairs, fresh_database, tmp_path, flavor, binlog_format):
    """Triggers that only the target has are not fired there: rows are logged, whatever the server's format."""
    pair = pairs(flavor, binlog_format)
    with fresh_database(pair) as database:
        pair.a.execute([*FILM, *AUDIT], database=database)
        pair.wait()
        pair.b.execute(DRIFT, database=database, logged=False)
        triggers = logging("INSERT", "UPDATE", "DELETE")
        old, _new, path = repaired(pair, database, tmp_path, ["DO 0"], triggers, allow_triggers=True)
        plan = undo.run(servers(pair), path, undo_dir=str(tmp_path), apply=False)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (done.verified, done.message, done.refused) == (True, None, ())
        assert done.changes == plan.changes
        assert both(pair, database) == old
        # And back again.
        assert undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path)).verified


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_statement_is_chosen_that_fires_no_trigger_of_the_source(pairs, fresh_database, tmp_path, flavor):
    """Different rows by UPDATE where INSERT or DELETE would fire; rows that go where only others would."""
    pair = pairs(flavor)
    for events, drift in ((("INSERT", "DELETE"), DIFFERENT), (("UPDATE",), DRIFT), (("DELETE", "UPDATE"), EXTRA)):
        with fresh_database(pair) as database:
            old, new, path = repaired(pair, database, tmp_path, [*FILM, *AUDIT], drift)
            pair.a.execute(logging(*events), database=database)
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
            assert (done.verified, done.message) == (True, None), events
            assert both(pair, database) == old
            again = undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
            if drift is EXTRA:  # the row goes, which DELETE would note
                assert reasons(again) == {"triggers": 1}
            else:
                assert again.verified
                assert both(pair, database) == new


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_update_of_the_unique_key_that_rows_are_kept_by_is_no_side_effect(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    create = [
        "CREATE TABLE film (b varchar(9) NOT NULL, a int NOT NULL, UNIQUE KEY z (b), UNIQUE KEY k (a))",
        "INSERT INTO film VALUES ('x', 1), ('w', 2)",
        *AUDIT,
    ]
    with fresh_database(pair) as database:
        old, _new, path = repaired(pair, database, tmp_path, create, ["UPDATE film SET b = 'y' WHERE a = 1"])
        # So that it is done by UPDATE.
        pair.a.execute("CREATE TRIGGER d AFTER DELETE ON film FOR EACH ROW SET @gone = 1", database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (done.verified, done.refused) == (True, ())
        assert both(pair, database) == old


@pytest.mark.parametrize("flavor", FLAVORS)
def test_triggers_run_only_if_allowed_and_what_they_change_elsewhere_is_rolled_back(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        old, new, path = repaired(pair, database, tmp_path, [*FILM, *AUDIT], DRIFT)
        pair.a.execute(logging("INSERT", "UPDATE", "DELETE"), database=database)
        position = pair.a.binlog_position()
        assert reasons(undo.run(servers(pair), path, undo_dir=str(tmp_path))) == {"triggers": 5}
        for apply, refused in ((False, {}), (True, {"trigger_side_effects": 5})):
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path), allow_triggers=True, apply=apply)
            assert reasons(done) == refused
        assert "on_INSERT" not in str(done.message) or "rolled back" in str(done.message)
        assert pair.a.binlog_position() == position
        assert both(pair, database) == new
        # A trigger that only alters the row: the row is put right again. One that does nothing here: nothing to do.
        pair.a.execute(
            [
                *(f"DROP TRIGGER on_{event}" for event in ("INSERT", "UPDATE", "DELETE")),
                "CREATE TRIGGER now BEFORE INSERT ON film FOR EACH ROW SET NEW.v = 'now'",
                "CREATE TRIGGER few AFTER DELETE ON film FOR EACH ROW UPDATE log SET id = 0 WHERE id = OLD.id",
                "CREATE TRIGGER upd BEFORE UPDATE ON film FOR EACH ROW SET @seen = NEW.id",
            ],
            database=database,
        )
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path), allow_triggers=True)
        assert (done.verified, done.message) == (True, None)
        assert both(pair, database) == old


def test_triggers_whose_effects_would_survive_are_refused(pairs, fresh_database, tmp_path):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        log = AUDIT[0] + " ENGINE=MyISAM"
        _old, new, path = repaired(pair, database, tmp_path, [*FILM, log], DRIFT)
        pair.a.execute(logging("INSERT"), database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path), allow_triggers=True, apply=False)
        assert reasons(done) == {"trigger_side_effects": 5}
        assert both(pair, database) == new


def test_a_target_that_fires_triggers_for_rows_is_refused(pairs, fresh_database, tmp_path):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        _old, new, path = repaired(pair, database, tmp_path, [*FILM, *AUDIT], DRIFT)
        pair.b.execute(logging("INSERT", "DELETE", "UPDATE"), database=database, logged=False)
        try:
            pair.b.execute(["STOP SLAVE", "SET GLOBAL slave_run_triggers_for_rbr = 'YES'", "START SLAVE"])
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path), allow_triggers=True)
        finally:
            pair.b.execute(["STOP SLAVE", "SET GLOBAL slave_run_triggers_for_rbr = 'NO'", "START SLAVE"])
        assert reasons(done) == {"triggers": 5}
        assert both(pair, database) == new


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_without_the_right_to_log_rows_a_table_with_triggers_on_the_target_is_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, "MIXED")
    right = {"mysql": "SESSION_VARIABLES_ADMIN", "mariadb": "BINLOG ADMIN"}[pair.a.family]
    with fresh_database(pair) as database:
        _old, new, path = repaired(pair, database, tmp_path, [*FILM, *AUDIT], DRIFT)
        pair.b.execute(logging("INSERT"), database=database, logged=False)
        data, everywhere = CHECK_GRANTS[pair.a.family]
        with account(pair, [*data, "INSERT", "DELETE"], everywhere, database) as user:
            login = servers(pair, user=user, password=PASSWORD)
            for apply in (False, True):
                done = undo.run(login, path, undo_dir=str(tmp_path), apply=apply)
                assert (reasons(done), done.failed, done.changed) == ({"missing_grant": 5}, True, False)
            assert both(pair, database) == new
            pair.a.execute(f"GRANT {right} ON *.* TO '{user}'@'%'")
            pair.wait()
            assert undo.run(login, path, undo_dir=str(tmp_path)).verified
        both(pair, database)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_the_rights_are_those_that_the_rows_take_and_check_mode_sees_them(pairs, fresh_database, tmp_path, flavor):
    """Rows that go take DELETE; rows that come, INSERT; on MySQL, whoever locks a row must be able to change some."""
    pair = pairs(flavor)
    wanted = [
        (EXTRA, ["INSERT", *(["DELETE"] if pair.a.family == "mysql" else [])]),
        (DRIFT[:1], ["DELETE"]),
        (DIFFERENT, ["INSERT", "DELETE"]),
    ]
    data, everywhere = CHECK_GRANTS[pair.a.family]
    for drift, rights in wanted:
        with fresh_database(pair) as database:
            old, new, path = repaired(pair, database, tmp_path, FILM, drift)
            journals = set(tmp_path.iterdir())
            for lacking in rights:
                fewer = [right for right in rights if right != lacking]
                with account(pair, [*data, *fewer], everywhere, database) as user:
                    for apply in (False, True):
                        with pytest.raises(Refusal, match=f"GRANT {lacking} ON") as refused:
                            undo.run(servers(pair, user=user, password=PASSWORD), path, undo_dir=str(tmp_path), apply=apply)
                        assert refused.value.code == "missing_grant"
            assert both(pair, database) == new
            assert set(tmp_path.iterdir()) == journals
            with account(pair, [*data, *rights], everywhere, database) as user:
                login = servers(pair, user=user, password=PASSWORD)
                assert undo.run(login, path, undo_dir=str(tmp_path), apply=False).changed
                assert undo.run(login, path, undo_dir=str(tmp_path)).verified
            assert both(pair, database) == old


@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("engine", ["InnoDB", "MyISAM"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_new_rows_come_behind_those_that_were_put_back(pairs, fresh_database, tmp_path, flavor, engine, binlog_format):
    """AUTO_INCREMENT follows, on both servers; a row that would use up most of it is left alone. Zero stays zero."""
    pair = pairs(flavor, binlog_format, options=RECOVERS)
    with fresh_database(pair) as database:
        table = f"CREATE TABLE film (id int PRIMARY KEY AUTO_INCREMENT, v varchar(20)) ENGINE={engine}"
        zero = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"
        create = [zero, table, "INSERT INTO film VALUES (1, 'a'), (2, 'b')"]
        drift = [zero, "INSERT INTO film VALUES (0, 'zero'), (-5, 'below'), (501, 'extra'), (2000000000, 'far')"]
        old, new, path = repaired(pair, database, tmp_path, create, drift)
        for apply in (False, True):
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path), apply=apply)
            assert {(row.key, row.reason) for row in done.refused} == {("id=2000000000", "auto_increment")}
            assert (done.changes.inserted + done.changes.deleted, done.failed) == (3, True)
        left = both(pair, database)["film"]
        assert left == [row for row in old["film"] if row[1] != b"far"]
        assert len(new["film"]) == 2
        pair.a.execute("INSERT INTO film (v) VALUES ('new'), ('new')", database=database)
        numbers = sorted(int(row[0]) for row in both(pair, database)["film"])
        assert numbers[:5] == [-5, 0, 1, 2, 501]
        assert len(numbers) == 7
        assert numbers[-1] < 600
        # The target's own counter has followed its own row.
        pair.b.execute("INSERT INTO film (v) VALUES ('new'), ('new')", database=database)
        assert len(both(pair, database)["film"]) == 9


# -- tables without transactions ---------------------------------------------------------------

ENGINES = {"mysql": ("MyISAM", "MEMORY"), "mariadb": ("MyISAM", "MEMORY", "Aria")}


def of_engines(family):
    """Statements that make a table of each engine."""
    for engine in ENGINES[family]:
        yield f"CREATE TABLE t_{engine} (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20)) ENGINE={engine}"
    for name, engine in (("source_only", "MyISAM"), ("target_only", "InnoDB")):
        yield f"CREATE TABLE {name} (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20)) ENGINE={engine}"


@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_tables_without_transactions_on_either_side(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format, options=RECOVERS)
    names = [*(f"t_{engine}" for engine in ENGINES[pair.a.family]), "source_only", "target_only"]
    with fresh_database(pair) as database:
        pair.a.execute([*of_engines(pair.a.family), *(f"INSERT INTO {name} VALUES {ROWS}" for name in names)], database=database)
        pair.wait()
        pair.b.execute(
            ["ALTER TABLE source_only ENGINE=InnoDB", "ALTER TABLE target_only ENGINE=MyISAM"], database=database, logged=False
        )
        drift = [statement.replace("film", name) for name in names for statement in DRIFT]
        old, new, path = repaired(pair, database, tmp_path, ["DO 0"], drift)
        data, everywhere = CHECK_GRANTS[pair.a.family]
        with account(pair, [*data, "INSERT", "UPDATE", "DELETE"], everywhere, database) as user:
            for apply in (False, True):
                with pytest.raises(Refusal, match="LOCK TABLES") as refused:
                    undo.run(servers(pair, user=user, password=PASSWORD), path, undo_dir=str(tmp_path), apply=apply)
                assert refused.value.code == "missing_grant"
            assert both(pair, database) == new
            pair.a.execute(f"GRANT LOCK TABLES ON `{database}`.* TO '{user}'@'%'")
            pair.wait()
            done = undo.run(servers(pair, user=user, password=PASSWORD), path, batch_rows=3, undo_dir=str(tmp_path))
        assert (done.verified, done.message) == (True, None)
        assert done.changes.total == 5 * len(names)
        assert both(pair, database) == old
        assert undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path)).verified
        assert both(pair, database) == new


@pytest.mark.parametrize("flavor", FLAVORS)
def test_without_transactions_rows_that_hold_each_others_unique_values_are_left_alone(pairs, fresh_database, tmp_path, flavor):
    """Two that wait for each other are refused, whole; one that waits for a third comes after it."""
    pair = pairs(flavor, options=RECOVERS)
    with fresh_database(pair) as database:
        film = [FILM[0] + " ENGINE=MyISAM", FILM[1]]
        swapped = [f"UPDATE film SET u = {u} WHERE id = {n}" for u, n in ((99, 1), (1, 2), (2, 1), (98, 10), (10, 9), (9, 8))]
        _old, new, path = repaired(pair, database, tmp_path, film, swapped)
        done = undo.run(servers(pair), path, batch_rows=1, undo_dir=str(tmp_path))
        assert {(row.key, row.reason) for row in done.refused} == {("id=1", "unique_collision"), ("id=2", "unique_collision")}
        assert (done.failed, done.changes.updated) == (True, 3)
        left = {row[0]: row for row in both(pair, database)["film"]}
        assert [left[n][1] for n in (b"1", b"2", b"8", b"9", b"10")] == [b"1", b"2", b"9", b"10", b"98"]
        assert len(left) == len(new["film"])


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_without_transactions_a_row_that_changed_meanwhile_is_seen_under_the_lock(
    pairs, fresh_database, tmp_path, flavor, monkeypatch
):
    pair = pairs(flavor, options=RECOVERS)
    with fresh_database(pair) as database:
        _old, _new, path = repaired(pair, database, tmp_path, [FILM[0] + " ENGINE=MyISAM", FILM[1]], DIFFERENT)
        lock = singly.Singly._lock

        def locked(self):
            pair.a.execute("UPDATE film SET v = 'newer' WHERE id = 3", database=database)
            lock(self)

        with monkeypatch.context() as patched:
            patched.setattr(singly.Singly, "_lock", locked)
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert {(row.key, row.reason) for row in done.refused} == {("id=3", "changed_since")}
        assert done.changes.updated == 1
        assert (b"3", b"3", b"newer") in both(pair, database)["film"]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_without_transactions_an_undo_killed_in_mid_batch_leaves_whole_rows(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor, options=RECOVERS)
    with fresh_database(pair) as database:
        old, new, path = repaired(pair, database, tmp_path, [FILM[0] + " ENGINE=MyISAM", FILM[1]], DRIFT)
        execute, calls = singly.Singly._execute, []

        def executed(self, change):
            calls.append(change)
            if len(calls) == 3:
                pair.a.execute(f"KILL {self.session.connection_id}")
            return execute(self, change)

        with monkeypatch.context() as patched:
            patched.setattr(singly.Singly, "_execute", executed)
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (done.failed, done.verified, done.changes.total) == (True, False, 2)
        assert "[lost_connection]" in done.message
        left = both(pair, database)["film"]
        assert all(row in old["film"] or row in new["film"] for row in left)
        assert sum(entry.committed for entry in journal.read(done.undo_file).entries()) == 2
        rest = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (rest.verified, rest.changes.total) == (True, 3)
        assert both(pair, database) == old


# -- pace, ends --------------------------------------------------------------------------------

NUMBERS = ["CREATE TABLE t (id int PRIMARY KEY, v int)", f"INSERT INTO t VALUES {', '.join(f'({n}, {n})' for n in range(20))}"]
SPOILT = ["UPDATE t SET v = -1"]


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_ended_by_its_pace_an_undo_goes_on_where_it_was(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """Nothing is put back twice: the second run changes and journals the other rows alone, also where some changed again."""

    class Ending(throttle.Throttle):
        """Ends the run before the third batch; four are asked for while it is planned."""

        asked = 0

        def wait(self):
            self.asked += 1
            if self.asked == 4 + 3:
                raise Undecided("max_runtime", "the time is over")

    pair = pairs(flavor)
    with fresh_database(pair) as database:
        old, _new, path = repaired(pair, database, tmp_path, NUMBERS, SPOILT)
        how = {"batch_rows": 5, "undo_dir": str(tmp_path)}
        with monkeypatch.context() as patched:
            patched.setattr(undo, "Throttle", Ending)
            ended = undo.run(servers(pair), path, **how)
        assert (ended.failed, ended.verified, ended.changes.updated) == (True, False, 10)
        assert "[max_runtime]" in ended.message
        assert "the next run goes on with the rest" in ended.message
        both(pair, database)
        first = [entry for entry in journal.read(ended.undo_file).entries() if entry.committed]
        # The application goes on with a row that was put back: it is not ours any more.
        pair.a.execute("UPDATE t SET v = 1000 WHERE id = 0", database=database)
        rest = undo.run(servers(pair), path, **how)
        assert (rest.changes.updated, reasons(rest)) == (10, {"changed_since": 1})
        second = list(journal.read(rest.undo_file).entries())
        assert len(second) == 10
        assert not {entry.key for entry in first} & {entry.key for entry in second}
        left = both(pair, database)["t"]
        assert [row for row in left if row not in old["t"]] == [(b"0", b"1000")]
        assert undo.run(servers(pair), path, **how).changes.total == 0


def test_an_undo_waits_for_its_pause_file_and_asks_before_each_batch(pairs, fresh_database, tmp_path, monkeypatch):
    """max_lag, max_threads_running and the file are asked by the throttle that a repair has, for the same servers."""
    pair = pairs("mariadb-10.11")
    pause, told, asked = tmp_path / "pause", [], []

    def listener(now):
        told.append(now.waiting)
        if "pause exists" in now.waiting:
            pause.unlink(missing_ok=True)

    reason = throttle.Throttle.reason

    def looked(self):
        asked.append(self.pace)
        return reason(self)

    with fresh_database(pair) as database:
        old, _new, path = repaired(pair, database, tmp_path, NUMBERS, SPOILT)
        pause.write_text("")
        pace = options.Pace(pause_file=str(pause), max_lag=3600, max_threads_running=10_000, max_runtime=3600)
        with monkeypatch.context() as patched:
            patched.setattr(throttle, "_LOOK_EVERY", 0)
            patched.setattr(throttle.Throttle, "reason", looked)
            done = undo.run(servers(pair), path, batch_rows=5, undo_dir=str(tmp_path), pace=pace, listener=listener)
        assert done.verified
        assert any("pause exists" in reason for reason in told)
        assert set(asked) == {pace}
        assert len(asked) >= 1 + 2 * 4, "once for the pause, before four batches of the plan and four written ones"
        assert both(pair, database) == old
        spent = replace(pace, pause_file=None, max_runtime=0)
        with pytest.raises(Undecided, match="max_runtime"):
            undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path), pace=spent)
        assert both(pair, database) == old


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_lost_connection_in_mid_undo_leaves_whole_batches(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        old, _new, path = repaired(pair, database, tmp_path, NUMBERS, SPOILT)
        write, calls = putback._Rows._write, []

        def written(self, good):
            changed = write(self, good)
            calls.append(good)
            if len(calls) == 3:
                pair.a.execute(f"KILL {self.session.connection_id}")
            return changed

        with monkeypatch.context() as patched:
            patched.setattr(putback._Rows, "_write", written)
            done = undo.run(servers(pair), path, batch_rows=4, undo_dir=str(tmp_path))
        assert (done.failed, done.changes.updated) == (True, 8)
        left = both(pair, database)["t"]
        assert sum(row in old["t"] for row in left) == 8
        assert sum(entry.committed for entry in journal.read(done.undo_file).entries()) == 8
        rest = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (rest.verified, rest.changes.updated) == (True, 12)
        assert both(pair, database) == old


HANGING = """
import sys, time
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, rewind
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
port, password, path, undo_dir = sys.argv[1:]
real, calls = rewind.write, []
def write(way, batch):
    written = real(way, batch)
    calls.append(batch)
    if len(calls) == 2:
        print("committed", flush=True)
        time.sleep(600)
    return written
rewind.write = write
target = options.Servers(target=Endpoint(host="127.0.0.1", port=int(port), user="root", password=password))
undo.run(target, path, batch_rows=4, undo_dir=undo_dir)
"""


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_sigkill_behind_a_commit(pairs, fresh_database, tmp_path, flavor):
    """Two batches of four are there, journaled; the next undo does the rest; the killed one's own journal takes it back."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        old, new, path = repaired(pair, database, tmp_path, NUMBERS, SPOILT)
        own = tmp_path / "own"
        arguments = [str(pair.b.port), pair.b.root_password, path, str(own)]
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.Popen(
            [sys.executable, "-c", HANGING, *arguments], env={**os.environ, **paths}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout.readline() == "committed\n"
            with pytest.raises(Refusal, match="already_running"):
                undo.run(servers(pair), path, undo_dir=str(tmp_path))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        assert sum(row in old["t"] for row in both(pair, database)["t"]) == 8
        (killed,) = own.glob("undo-*.jsonl")
        assert len(journal.read(str(killed))) == 20
        for journaled, count, expected in ((path, 12, old), (str(killed), 20, new), (path, 20, old)):
            done = when_free(pair, journaled, tmp_path)
            assert (done.verified, done.changes.updated) == (True, count)
            assert both(pair, database) == expected


def when_free(pair, path, undo_dir):
    """Undo as soon as the lock of a killed run is gone."""
    for _try in range(100):
        try:
            return undo.run(servers(pair), path, undo_dir=str(undo_dir))
        except Refusal as refusal:
            if refusal.code != "already_running":
                raise
    raise AssertionError("the lock of a killed run stays")


# -- many rows, odd rows -----------------------------------------------------------------------


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_rows_that_wait_for_one_anothers_unique_values(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A long chain goes from its end, whatever the batch; a ring goes together, or is refused where it is too large."""
    pair = pairs(flavor)
    for shifted, refused in ((["UPDATE film SET u = u + 1 ORDER BY u DESC"], 0), (None, 10)):
        with fresh_database(pair) as database:
            ring = ["UPDATE film SET u = 99 WHERE id = 10", *["UPDATE film SET u = u + 1 WHERE id < 10 ORDER BY u DESC"]]
            drift = shifted or [*ring, "UPDATE film SET u = 1 WHERE id = 10"]
            old, new, path = repaired(pair, database, tmp_path, FILM, drift)
            with monkeypatch.context() as patched:
                patched.setattr(rewind, "_TOGETHER_ROWS", 3)
                done = undo.run(servers(pair), path, batch_rows=3, undo_dir=str(tmp_path))
            assert (done.changes.updated, reasons(done)["unique_collision"]) == (10 - refused, refused)
            assert both(pair, database) == (new if refused else old)
            assert undo.run(servers(pair), path, batch_rows=3, undo_dir=str(tmp_path)).verified
            assert both(pair, database) == old


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8"])
@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT"])
def test_an_old_row_that_breaks_a_check_constraint_stops_no_link(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format)
    with fresh_database(pair) as database:
        create = ["CREATE TABLE t (id int PRIMARY KEY, v int, CHECK (v > 0))", "INSERT INTO t VALUES (1, 1), (2, 2)"]
        drift = ["SET check_constraint_checks = 0", "UPDATE t SET v = -1 WHERE id = 1", "UPDATE t SET v = 7 WHERE id = 2"]
        old, new, path = repaired(pair, database, tmp_path, create, drift)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        left = both(pair, database)
        assert (b"2", b"7") in left["t"]
        assert left == old or (done.failed and reasons(done) == {"not_undone": 1} and new["t"][0] in left["t"])


def test_a_table_that_does_not_reach_the_target_is_refused(pairs, fresh_database, tmp_path):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        _old, new, path = repaired(pair, database, tmp_path, NUMBERS, SPOILT)
        named = Path(path).read_text("ascii").replace(f'"database":"{database}"', '"database":"mysql"')
        system = tmp_path / "system.jsonl"
        system.write_text(named, "ascii")
        with pytest.raises(Refusal, match="a table that belongs to the server itself"):
            undo.run(servers(pair), str(system), undo_dir=str(tmp_path))
        try:
            pair.b.execute(["STOP SLAVE", f"SET GLOBAL replicate_ignore_table = '{database}.t'", "START SLAVE"])
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        finally:
            pair.b.execute(["STOP SLAVE", "SET GLOBAL replicate_ignore_table = ''", "START SLAVE"])
        assert reasons(done) == {"filtered": 20}
        assert (done.changed, both(pair, database)) == (False, new)


def test_only_the_first_refused_rows_are_told_and_all_are_counted(pairs, fresh_database, tmp_path):
    pair = pairs("mariadb-10.11")
    many = f"INSERT INTO t VALUES {', '.join(f'({n}, {n})' for n in range(1500))}"
    with fresh_database(pair) as database:
        _old, _new, path = repaired(pair, database, tmp_path, [NUMBERS[0], many], SPOILT)
        pair.a.execute("UPDATE t SET v = -2", database=database)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (len(done.refused), done.changes.skipped, done.changed) == (1000, 1500, False)
        assert "1500 rows were not put back" in done.message


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_an_undo_of_many_rows_takes_little_memory(pairs, tmp_path, flavor):
    pair = pairs(flavor)
    lost = replace(DATASETS["1m12"], rows=40_000)
    lost.load(pair)
    limits = {"max_changes": 10**6, "max_deletes": 10**6, "undo_dir": str(tmp_path)}
    try:
        pair.b.execute(f"DELETE FROM {DATABASE}.t WHERE id > 1000", logged=False)
        ours.run(ours.job(pair, "sync", DATABASE, **limits))
        (path,) = tmp_path.glob("sync-*.jsonl")
        outcome = ours.run(replace(ours.job(pair, "undo", DATABASE, **limits), plan_file=str(path)))
        assert outcome.changes == 39_000
        assert outcome.memory < 70, "MiB; the rows with both images are far more"
        pair.wait()
        assert len(image(pair.a, DATABASE)["t"]) == len(image(pair.b, DATABASE)["t"]) == 1000
    finally:
        lost.drop(pair)


@pytest.mark.parametrize("key", ["PRIMARY KEY", "NULL"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_unique_value_that_a_row_of_the_target_alone_has(pairs, fresh_database, tmp_path, flavor, key):
    """The source takes the old row back; the target would stop (1062) at what the source has logged."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create = [f"CREATE TABLE t (id int {key}, u int NULL UNIQUE)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, NULL)"]
        drift = ["UPDATE t SET u = 7 WHERE id = 1", "UPDATE t SET u = 8 WHERE id = 2"]
        old, _new, path = repaired(pair, database, tmp_path, create, drift)
        pair.b.execute("INSERT INTO t VALUES (9, 7)", database=database, logged=False)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path), max_deletes=9)
        assert reasons(done) == {"unique_collision": 1}
        pair.wait()
        assert pair.links_healthy()
        assert set(image(pair.b, database)["t"]) - set(image(pair.a, database)["t"]) == {(b"9", b"7")}
        assert (b"2", b"8") in image(pair.a, database)["t"]
        # Once that row is gone, the rest is put back too.
        pair.b.execute("DELETE FROM t WHERE id = 9", database=database, logged=False)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path), max_deletes=9)
        assert (done.verified, done.refused) == (True, ())
        assert both(pair, database) == old


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_what_was_committed_of_a_batch_is_told_whatever_becomes_of_the_rest(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A batch goes in two parts, and somebody alters the table between them."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create = ["CREATE TABLE t (id int PRIMARY KEY, v int)", "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3), (4, 4)"]
        old, _new, path = repaired(pair, database, tmp_path, create, ["UPDATE t SET v = -v"])
        transaction, calls = putback._Rows.transaction, []

        def parted(self, batch):
            calls.append(len(batch))
            if len(calls) == 1:
                raise putback.NotAsIntended("as if")
            if len(calls) == 3:
                pair.a.execute("ALTER TABLE t COMMENT = 'new'", database=database)
            return transaction(self, batch)

        with monkeypatch.context() as patched:
            patched.setattr(putback._Rows, "transaction", parted)
            done = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert calls == [4, 2, 2]
        assert (reasons(done), done.changes.updated) == ({"schema_changed": 2}, 2)
        assert sum(int(v) < 0 for _id, v in both(pair, database)["t"]) == 2
        assert sum(entry.committed for entry in journal.read(done.undo_file).entries()) == 2
        assert undo.run(servers(pair), path, undo_dir=str(tmp_path)).verified
        assert both(pair, database) == old
