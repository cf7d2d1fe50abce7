# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hints at the cause of drift, on real servers: each shows when it is there, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info
from sandbox import Topology, co_masters

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

    pair.a.execute("SET GLOBAL sync_binlog=0")
    assert "sync_binlog=0" in causes(pair)["not_crash_safe"]
    pair.a.execute("SET GLOBAL sync_binlog=1")

    pair.wait()
    assert set(causes(pair)) == always


def test_skipped_errors_leave_a_trace() -> None:
    with co_masters("mariadb-10.11", options_b={"slave_skip_errors": "1062"}) as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB"])
        pair.wait()
        assert "skipped_events" not in causes(pair)
        pair.b.execute("INSERT INTO shop.t VALUES (1, 1)", logged=False)
        pair.a.execute("INSERT INTO shop.t VALUES (1, 2)")
        pair.wait()
        assert "passed over 1 replication errors" in causes(pair)["skipped_events"]
