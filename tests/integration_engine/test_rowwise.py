# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Method ``row``: triggers run on the source, and yet every table there is what it was, to the byte."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace

import pytest
from integration_engine.support import CHECK_GRANTS, PASSWORD, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    journal,
    modified,
    options,
    proof,
    rowwise,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")

SAKILA = [
    "CREATE TABLE film (id int unsigned PRIMARY KEY AUTO_INCREMENT, u int NULL UNIQUE, title varchar(20), s timestamp NULL)",
    "CREATE TABLE film_text (id int unsigned PRIMARY KEY, title varchar(20), FULLTEXT (title))",
    "CREATE TABLE inventory (n int PRIMARY KEY, film int unsigned, FOREIGN KEY (film) REFERENCES film (id) ON DELETE CASCADE)",
    "INSERT INTO film VALUES " + ", ".join(f"({n}, {n}, 'v{n}', '2024-06-01 12:00:00')" for n in range(1, 11)),
    "INSERT INTO film_text SELECT id, title FROM film",
    "INSERT INTO inventory SELECT id, id FROM film",
    "CREATE TRIGGER ins AFTER INSERT ON film FOR EACH ROW INSERT INTO film_text VALUES (NEW.id, NEW.title)",
    "CREATE TRIGGER upd AFTER UPDATE ON film FOR EACH ROW UPDATE film_text SET title = NEW.title WHERE id = OLD.id",
    "CREATE TRIGGER del AFTER DELETE ON film FOR EACH ROW DELETE FROM film_text WHERE id = OLD.id",
]
# What somebody did on the target: its triggers ran for that, or not.
WITH_TRIGGERS = [
    "SET foreign_key_checks = 0",
    "DELETE FROM film WHERE id IN (1, 2)",
    "UPDATE film SET u = NULL, title = 'bad' WHERE id = 3",
    "UPDATE film SET u = 3 WHERE id = 4",
    "UPDATE film SET u = 4 WHERE id = 3",
    "INSERT INTO film VALUES (70, 1, 'extra', NULL)",
]
WITHOUT = ["INSERT IGNORE INTO film_text VALUES (1, 'v1'), (2, 'v2')", "UPDATE film_text SET title = 'v3' WHERE id = 3"]
WITHOUT += ["DELETE FROM film_text WHERE id = 70"]


def run(pair, database, undo_dir, tables=(), apply=True, login=None, **repair):
    """Run the sync on a database, or on some tables of it."""
    limits = replace(options.Repair(allow_triggers=True), undo_dir=str(undo_dir), **repair)
    chosen = options.Selection(databases=() if tables else (database,), tables=tuple(f"{database}.{table}" for table in tables))
    return sync.run(servers(pair, **(login or {})), chosen, options.Pace(), limits, sample_rows=10, apply=apply)


def mode(server):
    """How a server applies rows."""
    name = "slave_exec_mode" if server.family == "mariadb" else "replica_exec_mode"
    return server.query(f"SELECT @@global.{name}")[0][0]


def fill(pair, database, statements, drift):
    """Make tables on both servers, let the target drift; returns the good copy."""
    zone = "SET time_zone = '+00:00'"
    pair.a.execute([zone, *statements], database=database)
    pair.wait()
    pair.b.execute([zone, *drift], database=database, logged=False)
    return image(pair.a, database)


def reasons(result):
    """Reasons of the tables, by name."""
    return {table.table: table.reason for table in result.tables}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_side_table_kept_by_triggers(pairs, fresh_database, tmp_path, flavor):
    """Sakila's film and film_text: the side table right already, and drifted as well; foreign keys do not cascade."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = fill(pair, database, SAKILA, [*WITH_TRIGGERS, *WITHOUT])
        spoilt = image(pair.b, database)
        refused = run(pair, database, tmp_path, allow_triggers=False)
        assert reasons(refused)["film"] == "triggers"
        assert "allow_triggers: true" in refused.message
        assert "ins (AFTER INSERT)" in refused.message
        preview = run(pair, database, tmp_path, apply=False)
        assert image(pair.b, database) == spoilt
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert (result.verified, result.changes, result.diff) == (True, preview.changes, preview.diff)
        assert_repaired(pair, database, good)
        assert mode(pair.b) == "STRICT"
        assert run(pair, database, tmp_path).in_sync
        # Now the side table has drifted too. Alone, film is refused: what changes in film_text would be in no journal.
        pair.b.execute(WITH_TRIGGERS, database=database, logged=False)
        pair.b.execute("UPDATE film_text SET title = 'odd' WHERE id = 9", database=database, logged=False)
        alone = run(pair, database, tmp_path, tables=("film",))
        assert reasons(alone) == {"film": "side_table_differs"}
        assert image(pair.a, database) == good
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, good)
        assert mode(pair.b) == "STRICT"
        entries = list(journal.read(result.undo_file).entries())
        assert {entry.table.name.table for entry in entries} == {"film", "film_text"}
        assert journal.read(result.undo_file).left_lenient == {}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_trigger_that_alters_the_row_and_one_that_keeps_a_log(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = fill(
            pair,
            database,
            [
                "CREATE TABLE payment (id int PRIMARY KEY, d datetime, amount int)",
                "INSERT INTO payment VALUES (1, '2024-01-01', 1), (2, '2024-01-02', 2), (3, '2024-01-03', 3)",
                "CREATE TRIGGER now_ BEFORE INSERT ON payment FOR EACH ROW SET NEW.d = NOW()",
                "CREATE TABLE audited (id int PRIMARY KEY, v int)",
                "CREATE TABLE log (n int PRIMARY KEY AUTO_INCREMENT, id int)",
                "INSERT INTO audited VALUES (1, 1), (2, 2)",
                "CREATE TRIGGER note AFTER INSERT ON audited FOR EACH ROW INSERT INTO log (id) VALUES (NEW.id)",
                "CREATE TABLE stubborn (id int PRIMARY KEY, v int)",
                "INSERT INTO stubborn VALUES (1, 1), (2, 2)",
                "CREATE TRIGGER stub_i BEFORE INSERT ON stubborn FOR EACH ROW SET NEW.v = 7",
                "CREATE TRIGGER stub_u BEFORE UPDATE ON stubborn FOR EACH ROW SET NEW.v = 8",
                "CREATE TABLE hidden (id int PRIMARY KEY, v int)",
                "INSERT INTO hidden VALUES (1, 1)",
                "CREATE TABLE old_log (id int) ENGINE=MyISAM",
                "CREATE TRIGGER hide AFTER INSERT ON hidden FOR EACH ROW INSERT INTO old_log VALUES (NEW.id)",
            ],
            [
                "DELETE FROM payment WHERE id = 1",
                "UPDATE payment SET amount = 9 WHERE id = 2",
                "DELETE FROM audited WHERE id = 1",
                "DELETE FROM stubborn WHERE id = 1",
                "DELETE FROM hidden",
            ],
        )
        spoilt = image(pair.b, database)
        position = pair.a.binlog_position()
        result = run(pair, database, tmp_path)
        assert reasons(result) == {
            "payment": None,
            "audited": "trigger_side_effects",
            "stubborn": "trigger_side_effects",
            "hidden": "trigger_side_effects",
            "log": None,
            "old_log": None,
        }
        assert "note (AFTER INSERT)" in result.message
        assert "MyISAM" in result.message
        pair.wait()
        assert pair.links_healthy()
        assert image(pair.a, database) == good
        assert image(pair.b, database) == {**spoilt, "payment": good["payment"]}
        assert mode(pair.b) == "STRICT"
        assert pair.a.binlog_position() != position
        # Of what was rolled back nothing has been logged.
        dump = pair.a.binlog_dump(*position_of(position), "-v")
        assert "`audited`" not in dump
        assert "`log`" not in dump
        # The proof fails if the count is not believed: it is the count that finds it.
        monkeypatch.setattr(proof.Proof, "_rows_modified", lambda proof: 2)
        assert reasons(run(pair, database, tmp_path, tables=("audited",))) == {"audited": None}
        assert image(pair.a, database) != good


def position_of(position):
    """Arguments for binlog_dump."""
    file, offset = position
    return file, f"--start-position={offset}"


#: On the data of the source, on *.* there, on *.* of the target.
GRANTS = {
    "mysql": (["INSERT", "DELETE"], "SESSION_VARIABLES_ADMIN", "SYSTEM_VARIABLES_ADMIN"),
    "mariadb": (["INSERT", "DELETE"], "BINLOG ADMIN", "REPLICATION SLAVE ADMIN"),
}


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_the_documented_rights_suffice_and_each_is_needed(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    data, on_source, on_target = GRANTS[pair.a.family]
    check_data, check_everywhere = CHECK_GRANTS[pair.a.family]
    with fresh_database(pair) as database:
        good = fill(pair, database, SAKILA, [*WITH_TRIGGERS, *WITHOUT])
        for without in (*data, on_source, on_target):
            rights = [right for right in (*check_data, *data) if right != without]
            with account(pair, rights, [right for right in (*check_everywhere, on_source) if right != without], database) as user:
                if without != on_target:
                    pair.b.execute(f"GRANT {on_target} ON *.* TO {user}@'%'", logged=False)
                login = {"user": user, "password": PASSWORD}
                if without == on_target:
                    result = run(pair, database, tmp_path, login=login, method="row")
                    assert reasons(result)["film"] == "missing_grant"
                    assert without in result.message
                else:
                    with pytest.raises(Refusal, match=without):
                        run(pair, database, tmp_path, login=login, method="row")
                assert image(pair.a, database) == good
        with account(pair, [*check_data, *data], [*check_everywhere, on_source], database) as user:
            pair.b.execute(f"GRANT {on_target} ON *.* TO {user}@'%'", logged=False)
            login = {"user": user, "password": PASSWORD}
            result = run(pair, database, tmp_path, login=login, method="row")
            assert not result.failed, result.message
            assert_repaired(pair, database, good)
            assert mode(pair.b) == "STRICT"
            # A BEFORE trigger that alters the row takes one right more.
            pair.a.execute("CREATE TRIGGER b BEFORE INSERT ON film FOR EACH ROW SET NEW.s = NOW()", database=database)
            pair.wait()
            pair.b.execute("UPDATE film SET title = 'bad' WHERE id = 3", database=database, logged=False)
            pair.b.execute("UPDATE film_text SET title = 'v3' WHERE id = 3", database=database, logged=False)
            result = run(pair, database, tmp_path, login=login, method="row")
            assert reasons(result)["film"] == "missing_grant"
            assert "UPDATE" in result.message
            assert image(pair.a, database) == good
            pair.a.execute(f"GRANT UPDATE ON {database}.* TO {user}@'%'")
            result = run(pair, database, tmp_path, login=login, method="row")
            assert not result.failed, result.message
            assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_killed_in_its_midst_the_next_run_puts_the_mode_back(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = fill(pair, database, SAKILA, [*WITH_TRIGGERS, *WITHOUT])
        for cls, name in ((proof.Proof, "check"), (rowwise._Run, "_verify")):
            child = os.fork()
            if not child:
                setattr(cls, name, lambda *_unused: os.kill(os.getpid(), signal.SIGKILL))
                run(pair, database, tmp_path)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL
            pair.wait()
            assert image(pair.a, database) == good
            assert mode(pair.b) == "IDEMPOTENT"
            assert pair.links_healthy()
        left = [journal.read(str(path)) for path in tmp_path.glob("*.jsonl")]
        assert sum(len(each.left_lenient) for each in left) == 1  # the second run put back what the first had left
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert [hazard.message for hazard in result.hazards if "it is STRICT again" in hazard.message]
        assert_repaired(pair, database, good)
        assert mode(pair.b) == "STRICT"
        assert not any(journal.read(str(path)).left_lenient for path in tmp_path.glob("*.jsonl"))
        # What somebody else wants is left as it is, and said.
        leniency_of = "slave_exec_mode" if pair.a.family == "mariadb" else "replica_exec_mode"
        pair.b.execute(f"SET GLOBAL {leniency_of} = 'IDEMPOTENT'")
        result = run(pair, database, tmp_path)
        assert mode(pair.b) == "IDEMPOTENT"
        assert "idempotent_left_on" in [hazard.code for hazard in result.hazards]
        pair.b.execute(f"SET GLOBAL {leniency_of} = 'STRICT'")


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_method_row_while_the_application_writes_the_same_rows(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, {n})" for n in range(1, 41))
        fill(
            pair,
            database,
            ["CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, v int)", f"INSERT INTO t VALUES {rows}"],
            ["DELETE FROM t WHERE id < 20", "INSERT INTO t VALUES (50, 1), (2147483647, 1)"],
        )
        stop = threading.Event()

        def write():
            with pair.a.connect(database=database) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
                while not stop.is_set():
                    cursor.execute("UPDATE t SET v = v + 1 WHERE id BETWEEN 5 AND 30")
                    stop.wait(0.2)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            result = run(pair, database, tmp_path, method="row", batch_rows=7)
        finally:
            stop.set()
            writer.join()
        # A surplus row that would use up the source's AUTO_INCREMENT stays.
        assert "auto_increment" in result.message
        result = run(pair, database, tmp_path, method="row")
        assert [table.reason for table in result.tables] == ["auto_increment"]
        pair.wait()
        assert image(pair.b, database)["t"] == sorted([*image(pair.a, database)["t"], (b"2147483647", b"1")], key=repr)
        assert not run(pair, database, tmp_path).failed  # by the shadow it goes
        assert_repaired(pair, database, image(pair.a, database))
        # Somebody who reads the view all the time keeps it from being renewed: no proof, no repair.
        monkeypatch.setattr(modified, "_READINGS", 3)
        pair.b.execute("DELETE FROM t WHERE id = 1", database=database, logged=False)
        good = image(pair.a, database)
        stop.clear()

        def poll():
            with pair.a.connect() as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute("SELECT * FROM information_schema.INNODB_TRX")

        poller = threading.Thread(target=poll)
        poller.start()
        try:
            result = run(pair, database, tmp_path, method="row")
        finally:
            stop.set()
            poller.join()
        assert [table.reason for table in result.tables] == ["trigger_side_effects"]
        assert image(pair.a, database) == good
        assert not run(pair, database, tmp_path, method="row").failed
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_other_replicas_and_a_target_that_logs_statements(tmp_path, flavor):
    """C⇠B⇄A⇢D: row changes reach all of them, so all are lenient meanwhile and STRICT and equal afterwards."""
    with co_masters(flavor, "STATEMENT") as pair:
        pair.a.execute("CREATE DATABASE d")
        below = pair.add_replica(of=pair.b, name="c")
        sibling = pair.add_replica(of=pair.a, name="d")
        good = fill(pair, "d", SAKILA, [*WITH_TRIGGERS, *WITHOUT])
        sibling.execute("UPDATE film SET title = 'bad' WHERE id = 1", database="d", logged=False)
        sibling.execute("UPDATE film_text SET title = 'v1' WHERE id = 1", database="d", logged=False)
        if pair.a.family == "mysql":
            assert reasons(run(pair, "d", tmp_path, downstream="idempotent"))["film"] == "row_not_logged"
            for server in (pair.b, below, sibling):
                server.execute(["STOP REPLICA", "SET GLOBAL binlog_format = 'ROW'", "START REPLICA"])
            pair.wait()
        refused = run(pair, "d", tmp_path) if pair.a.family == "mariadb" else None
        assert refused is None or reasons(refused)["film"] == "downstream_replicas"
        result = run(pair, "d", tmp_path, downstream="idempotent")
        assert not result.failed, result.message
        assert_repaired(pair, "d", good)
        for server in (pair.b, below, sibling):
            assert image(server, "d") == good, server
            assert mode(server) == "STRICT"


@pytest.mark.parametrize("method", ["shadow", "row"])
@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8"])
def test_a_row_that_will_not_be_repaired_gives_way_to_no_other(pairs, fresh_database, tmp_path, flavor, method):
    """Being in the plan it was pushed out for its unique value, and then skipped, as it breaks a CHECK: gone, in no journal."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = fill(
            pair,
            database,
            [
                "CREATE TABLE t (id int PRIMARY KEY, u int UNIQUE, v int CHECK (v > 0))",
                "SET check_constraint_checks = 0",
                "INSERT INTO t VALUES (1, 10, 1), (2, 20, -5)",
            ],
            ["UPDATE t SET u = 99 WHERE id = 1", "SET check_constraint_checks = 0", "UPDATE t SET u = 10, v = 7 WHERE id = 2"],
        )
        theirs = image(pair.b, database)
        result = run(pair, database, tmp_path, method=method)
        pair.wait()
        assert (result.failed, result.changes.total) == (True, 0)
        assert (image(pair.a, database), image(pair.b, database)) == (good, theirs)
