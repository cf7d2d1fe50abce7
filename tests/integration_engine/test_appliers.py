# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that make a repair's events stop the link: what the servers do, and that it does not come so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from integration_engine.support import REPAIR_GRANTS, account, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import schema, shadow, topology
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ServerError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import connect
from sandbox import Server, Topology, co_masters


@contextmanager
def pair_with_table(flavor: str) -> Iterator[Topology]:
    with co_masters(flavor) as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB"])
        pair.wait()
        yield pair


def severities(pair: Topology, for_repair: bool = True, **login: str) -> dict[str, str]:
    wanted = servers(pair, **login)
    with topology.open_pair(wanted) as connections:
        try:
            hazards = info.preflight(connections.source, connections.target, wanted, for_repair)[1]
        except Refusal as refused:
            return {refused.code: "blocker", "message": str(refused)}
    return {hazard.code: hazard.severity for hazard in hazards}


def log_a_statement(pair: Topology) -> None:
    """Log as a repair does, without its preflight."""
    wanted = servers(pair)
    with topology.open_pair(wanted) as connections, connect(connections.source.endpoint, "source") as session:
        table = next(iter(schema.read_tables(connections.source, ["shop"]).values()))
        shadow.prepare(session)
        with shadow.Shadow(session, table) as hidden:
            hidden.log(["REPLACE INTO `t` VALUES (1, 1)"])


def stopped(server: Server, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.replica_status()["Replica_SQL_Running"] == "No":
            return True
        time.sleep(0.1)
    return False


def change(server: Server, setting: str) -> None:
    server.execute(["STOP REPLICA", f"CHANGE REPLICATION SOURCE TO {setting}", "START REPLICA"])


def test_a_channel_that_takes_only_rows_is_not_repaired_through() -> None:
    with pair_with_table("mysql-9") as pair:
        pair.b.execute(
            [
                "CREATE USER applier@localhost",
                "GRANT REPLICATION_APPLIER ON *.* TO applier@localhost",
                "GRANT CREATE, INSERT, UPDATE, DELETE ON shop.* TO applier@localhost",
            ],
            logged=False,
        )
        assert "row_format_required" not in severities(pair)
        for setting, undo in (
            ("PRIVILEGE_CHECKS_USER='applier'@'localhost'", "PRIVILEGE_CHECKS_USER=NULL"),
            ("REQUIRE_ROW_FORMAT=1", "REQUIRE_ROW_FORMAT=0"),
        ):
            change(pair.b, setting)
            pair.a.execute("INSERT INTO shop.t VALUES (2, 2)")
            pair.wait()  # the application's rows still arrive
            assert "row_format_required" not in severities(pair, for_repair=False)
            found = severities(pair)
            assert "row_format_required" in found
            assert undo in found["message"]
            log_a_statement(pair)
            assert stopped(pair.b), setting
            pair.b.execute(["STOP REPLICA", f"CHANGE REPLICATION SOURCE TO {undo}", "START REPLICA"])
            pair.wait()
            assert pair.b.query("SELECT id FROM shop.t ORDER BY id") == [(1,), (2,)]  # the repair, at last
            pair.b.execute("DELETE FROM shop.t WHERE id = 1", logged=False)
            pair.a.execute("DELETE FROM shop.t WHERE id = 2")
            pair.wait()
        # An account that may not see the setting is told which right shows it.
        with account(pair, *REPAIR_GRANTS["mysql"], database="shop") as name:
            seen = severities(pair, user=name, password="s3cret-Repair-Pass")
            assert seen["row_format_unknown"] == "warning"
            pair.a.execute(f"GRANT SELECT ON performance_schema.replication_applier_configuration TO '{name}'@'%'")
            pair.wait()
            assert "row_format_unknown" not in severities(pair, user=name, password="s3cret-Repair-Pass")


@pytest.mark.parametrize("setting", ["innodb_force_primary_key=ON", "enforce_storage_engine='Aria'"])
@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8"])
def test_servers_that_refuse_the_shadow_are_not_repaired(flavor: str, setting: str) -> None:
    name = setting.partition("=")[0]
    off = f"SET GLOBAL {name}={'OFF' if name.startswith('innodb') else 'NULL'}"
    with pair_with_table(flavor) as pair:
        pair.a.execute(f"SET GLOBAL {setting}")
        assert name in severities(pair)["message"]
        assert "shadow_refused" not in severities(pair, for_repair=False)
        with pytest.raises(ServerError):
            log_a_statement(pair)
        pair.a.execute(off)
        assert "shadow_refused" not in severities(pair)
        pair.b.execute(f"SET GLOBAL {setting}")
        pair.b.execute(["STOP SLAVE", "START SLAVE"])  # the applier's session has the setting of its start
        pair.wait()
        assert name in severities(pair)["message"]
        log_a_statement(pair)
        assert stopped(pair.b)
