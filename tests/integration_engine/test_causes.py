# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hints at the cause of drift, on real servers: each shows when it is there, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Pace, Repair, Selection
from sandbox import Topology, chain, co_masters

CAUSES = {
    "skipped_events",
    "non_transactional_tables",
    "statement_logging",
    "idempotent_left_on",
    "not_crash_safe",
    "both_writable",
}


@pytest.fixture(scope="module", params=["mariadb-10.11", "mariadb-11.8", "mysql-9"])
def pair(request: pytest.FixtureRequest) -> Iterator[Topology]:
    durable = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}
    with co_masters(request.param, options_a=durable, options_b=durable) as found:
        yield found


def causes(pair: Topology) -> dict[str, str]:
    """The messages of the hints, by their codes."""
    return {hazard.code: hazard.message for hazard in info.run(servers(pair)).hazards if hazard.code in CAUSES}


def set_format(pair: Topology, name: str) -> None:
    pair.a.stop_replica()
    pair.a.execute(f"SET GLOBAL binlog_format='{name}'")
    pair.a.start_replica()
    pair.wait()


def test_hints_come_and_go(pair: Topology) -> None:
    mariadb = pair.a.family == "mariadb"
    always = {"both_writable"}
    assert set(causes(pair)) == always

    pair.a.execute(["CREATE DATABASE old", "CREATE TABLE old.log (id INT PRIMARY KEY) ENGINE=MyISAM"])
    pair.wait()
    assert "old.log" in causes(pair)["non_transactional_tables"]
    pair.a.execute("DROP DATABASE old")
    pair.wait()

    set_format(pair, "STATEMENT")
    assert "the source" in causes(pair)["statement_logging"]
    set_format(pair, "ROW")

    mode = "slave_exec_mode" if mariadb else "replica_exec_mode"
    pair.b.execute(f"SET GLOBAL {mode}='IDEMPOTENT'")
    assert "IDEMPOTENT" in causes(pair)["idempotent_left_on"]
    pair.b.execute(f"SET GLOBAL {mode}='STRICT'")

    # Statements and code whose effect is not the same everywhere.
    set_format(pair, "STATEMENT")
    pair.a.execute(
        [
            "CREATE DATABASE odd",
            "CREATE TABLE odd.t (id INT PRIMARY KEY, v CHAR(40)) ENGINE=InnoDB",
            "CREATE TRIGGER odd.names_it BEFORE INSERT ON odd.t FOR EACH ROW SET NEW.v = UUID ()",
            "CREATE TRIGGER odd.harmless BEFORE UPDATE ON odd.t FOR EACH ROW SET NEW.v = CONCAT(NEW.v, 'of my_user(1)')",
        ]
    )
    pair.a.execute("INSERT INTO odd.t (id) VALUES (1)")
    pair.wait()
    told = causes(pair)["statement_logging"]
    assert "by their text: odd.names_it." in told
    assert mariadb or "It has warned of 1 such statements" in told
    pair.a.execute("DROP DATABASE odd")
    set_format(pair, "ROW")

    pair.a.execute("SET GLOBAL sync_binlog=0")
    assert "sync_binlog=0" in causes(pair)["not_crash_safe"]
    pair.a.execute("SET GLOBAL sync_binlog=1")

    pair.wait()
    assert set(causes(pair)) == always


def test_an_event_that_is_to_be_skipped() -> None:
    with co_masters("mariadb-10.11", gtid=False) as pair:
        pair.b.stop_replica()
        pair.b.execute("SET GLOBAL sql_slave_skip_counter=1")
        assert "skip the next 1 events" in causes(pair)["skipped_events"]
        pair.b.execute("SET GLOBAL sql_slave_skip_counter=0")
        pair.b.start_replica()
        pair.wait()
        assert "skipped_events" not in causes(pair)


def test_what_a_mariadb_replica_has_alone_is_shown() -> None:
    for applied in ("ON", "OFF"):
        with chain("mariadb-10.11", ("a", "b"), options_by_name={"a": {"log_slave_updates": applied}}) as pair:
            pair.a.execute("CREATE DATABASE everywhere")
            pair.wait()
            assert not [hazard for hazard in info.run(servers(pair)).hazards if hazard.code == "errant_gtids"]
            pair.b.execute(["CREATE DATABASE only_here", "CREATE DATABASE and_here"])
            (told,) = [hazard.message for hazard in info.run(servers(pair)).hazards if hazard.code == "errant_gtids"]
            last = next(gtid for gtid in pair.b.query("SELECT @@gtid_binlog_state")[0][0].split(",") if "-2-" in gtid)
            assert f"that the source has not: {last}." in told


def test_what_a_replica_has_alone_is_shown_by_set_arithmetic() -> None:
    with chain("mysql-9", ("a", "b")) as pair:
        pair.b.execute(["CREATE DATABASE only_here", "CREATE DATABASE and_here"])
        uuid = pair.b.query("SELECT @@server_uuid")[0][0]
        (told,) = [hazard.message for hazard in info.run(servers(pair)).hazards if hazard.code == "errant_gtids"]
        assert f"GTID_SUBTRACT(gtid_executed of the target, gtid_executed of the source): {uuid}:1-2." in told


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_what_remains_is_a_change_that_was_not_logged(flavor: str, tmp_path: Path) -> None:
    durable = {"sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1", "myisam_recover_options": "OFF"}
    with chain(flavor, ("a", "b"), options=durable) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)"])
        pair.wait()
        chosen = Selection(databases=("d",))

        def remaining() -> bool:
            return "unlogged_change" in {each.code for each in checksum.run(servers(pair), chosen, Pace(), 1).hazards}

        assert not remaining()
        pair.b.execute("DELETE FROM d.t WHERE id = 1", logged=False)
        assert remaining()
        plan = sync.run(servers(pair), chosen, Pace(), Repair(undo_dir=str(tmp_path)), 1, apply=False)
        assert "unlogged_change" in {hazard.code for hazard in plan.hazards}

        # A table that a crash has damaged is told of, and the others are compared all the same.
        pair.a.execute(["CREATE TABLE d.m (id INT PRIMARY KEY) ENGINE=MyISAM", "INSERT INTO d.m VALUES (1)"])
        pair.wait()
        pair.b.execute("INSERT INTO d.m VALUES (2)", logged=False)
        pair.b.kill()
        pair.b.start()
        pair.wait()
        report = checksum.run(servers(pair), chosen, Pace(), 1)
        found = {table.table: table for table in report.tables}
        assert found["t"].status == "drift"
        if found["m"].status == "error":
            assert "crashed" in (found["m"].message or "")
        else:
            assert (found["m"].status, found["m"].extra) == ("drift", 1)


def test_skipped_errors_leave_a_trace() -> None:
    with co_masters("mariadb-10.11", options_b={"slave_skip_errors": "1062"}) as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB"])
        pair.wait()
        assert "skipped_events" not in causes(pair)
        pair.b.execute("INSERT INTO shop.t VALUES (1, 1)", logged=False)
        pair.a.execute("INSERT INTO shop.t VALUES (1, 2)")
        pair.wait()
        assert "passed over 1 replication errors" in causes(pair)["skipped_events"]
