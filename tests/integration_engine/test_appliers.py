# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Settings that make a repair's events stop the link: what the servers do, and that it does not come so far."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from integration_engine.support import REPAIR_GRANTS, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import catalog, options, report, shadow, topology
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ServerError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info, sync, undo
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
        table = next(iter(catalog.read_tables(connections.source, ["shop"]).values()))
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


def repair(pair: Topology, undo_dir: Path, **wanted: Any) -> report.SyncReport:
    chosen = options.Selection(databases=("shop",))
    limits = options.Repair(undo_dir=str(undo_dir), **wanted)
    return sync.run(servers(pair), chosen, options.Pace(), limits, sample_rows=10, apply=True)


def refusal(pair: Topology, undo_dir: Path, **wanted: Any) -> str:
    before = image(pair.b, "shop")
    with pytest.raises(Refusal) as refused:
        repair(pair, undo_dir, **wanted)
    assert refused.value.code == "row_format_required"
    assert image(pair.b, "shop") == before
    assert pair.links_healthy()
    return str(refused.value)


def test_a_channel_that_takes_only_rows_is_repaired_by_rows(tmp_path: Path) -> None:
    """REQUIRE_ROW_FORMAT is against statements: method row logs none, whatever the shape of the table."""
    with pair_with_table("mysql-9") as pair:
        pair.a.execute(
            [
                "CREATE TABLE parent (id INT PRIMARY KEY AUTO_INCREMENT, u INT NULL UNIQUE)",
                "CREATE TABLE child (id INT PRIMARY KEY, p INT, d TIMESTAMP(6) NULL, j JSON, b LONGBLOB, f DOUBLE,"
                " FOREIGN KEY (p) REFERENCES parent (id) ON DELETE CASCADE)",
                "CREATE TABLE side (id INT PRIMARY KEY)",
                "CREATE TABLE keyless (v INT)",
                "CREATE TRIGGER gone AFTER DELETE ON child FOR EACH ROW DELETE FROM side WHERE id = OLD.id",
                "CREATE TRIGGER come AFTER INSERT ON child FOR EACH ROW INSERT INTO side VALUES (NEW.id)",
                "INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)",
                "INSERT INTO parent VALUES (1, 1), (2, 2), (3, NULL)",
                "INSERT INTO child VALUES (1, 1, now(6), '{\"a\": [1, null]}', repeat(x'ff00', 100), 0.1)",
                "INSERT INTO child VALUES (2, 2, NULL, NULL, '', 2)",
            ],
            database="shop",
        )
        sibling = pair.add_replica(of=pair.a, name="d")
        pair.wait()
        good = image(pair.a, "shop")
        drift = [
            "SET foreign_key_checks = 0",
            "DELETE FROM t WHERE id = 1",
            "UPDATE t SET v = 9 WHERE id = 2",
            "INSERT INTO t VALUES (8, 8)",
            "UPDATE parent SET u = NULL WHERE id = 1",
            "UPDATE parent SET u = 1 WHERE id = 2",
            "UPDATE parent SET u = 2 WHERE id = 1",
            "DELETE FROM child WHERE id = 1",
            "UPDATE child SET b = NULL, f = 7 WHERE id = 2",
            "INSERT INTO side VALUES (1)",  # as it is on the source
        ]
        pair.b.execute(drift, database="shop", logged=False)
        change(sibling, "REQUIRE_ROW_FORMAT=1")
        # A replica of the source that takes no statements would be stopped by those for the target.
        assert "other replicas of the source" in refusal(pair, tmp_path)
        change(pair.b, "REQUIRE_ROW_FORMAT=1")
        for wanted in ({}, {"method": "shadow"}, {"method": "shadow", "allow_triggers": True}):
            said = refusal(pair, tmp_path, **wanted)
            assert "logged as statements" in said
            assert "Set 'method: row'" in said
            assert "REQUIRE_ROW_FORMAT=0" in said
        # What the source gets of the target is logged as statements, whatever the method.
        said = refusal(pair, tmp_path, method="row", downstream="idempotent", extra_rows="adopt")
        assert "rows for the source" in said
        assert "Set 'method: row'" not in said
        change(sibling, "REQUIRE_ROW_FORMAT=0")
        first = repair(pair, tmp_path, method="row", downstream="idempotent")
        assert {table.table: table.reason for table in first.tables if table.reason} == {"child": "triggers"}
        assert image(pair.a, "shop") == good
        assert {name: image(pair.b, "shop")[name] for name in ("t", "parent")} == {name: good[name] for name in ("t", "parent")}
        pair.b.execute("DELETE FROM t WHERE id = 1", database="shop", logged=False)
        change(sibling, "REQUIRE_ROW_FORMAT=1")
        last = repair(pair, tmp_path, allow_triggers=True, downstream="idempotent")
        assert (last.failed, last.verified) == (False, True), last.message
        assert {hazard.code: hazard.severity for hazard in last.hazards}["row_format_required"] == "info"
        assert_repaired(pair, "shop", good)
        assert image(sibling, "shop") == good
        # No statement finds a row of a table without a key by rows: left alone, the others are repaired.
        pair.b.execute(["DELETE FROM t WHERE id = 3", "INSERT INTO keyless VALUES (1)"], database="shop", logged=False)
        keyless = repair(pair, tmp_path, allow_triggers=True, downstream="idempotent")
        assert {table.table: table.reason for table in keyless.tables if table.reason} == {"keyless": "no_key"}
        assert image(pair.b, "shop")["t"] == good["t"]


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_an_applier_that_wants_keys(tmp_path: Path, flavor: str) -> None:
    """sql_safe_updates on the target holds for its applier as well."""
    with pair_with_table(flavor) as pair:
        pair.a.execute("INSERT INTO shop.t VALUES (1, 1), (2, 2)")
        pair.wait()
        good = image(pair.a, "shop")
        restart = ("STOP ALL SLAVES", "START ALL SLAVES") if pair.b.family == "mariadb" else ("STOP REPLICA", "START REPLICA")
        assert "safe_updates" not in severities(pair)
        pair.b.execute(["SET GLOBAL sql_safe_updates = ON", *restart])
        pair.b.execute("UPDATE shop.t SET v = 9 WHERE id = 1", logged=False)
        assert "safe_updates" in severities(pair)
        assert "safe_updates" not in severities(pair, for_repair=False)
        result = repair(pair, tmp_path, method="row")
        assert (result.failed, result.verified) == (False, True), result.message
        assert_repaired(pair, "shop", good)
        # What it does with a statement such as those for tables without a key.
        pair.a.execute(["SET SESSION binlog_format = 'STATEMENT'", "DELETE FROM shop.t WHERE v = 77"])
        assert stopped(pair.b)
        assert int(pair.b.replica_status()["Last_SQL_Errno"]) == 1175


@pytest.mark.parametrize("below", ["a", "b"])
@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_another_replica_that_wants_keys(tmp_path: Path, flavor: str, below: str) -> None:
    """One of the source, or of a target that logs statements: it gets those of the repair, and would stop (law 10)."""
    with co_masters(flavor, "STATEMENT") as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (v INT)", "INSERT INTO shop.t VALUES (1), (2)"])
        replica = pair.add_replica(of=getattr(pair, below), name="c")
        pair.wait()
        good = image(pair.a, "shop")
        restart = ("STOP ALL SLAVES", "START ALL SLAVES") if replica.family == "mariadb" else ("STOP REPLICA", "START REPLICA")
        replica.execute(["SET GLOBAL sql_safe_updates = ON", *restart])
        pair.b.execute("DELETE FROM shop.t WHERE v = 1", logged=False)
        spoilt = image(pair.b, "shop")
        with pytest.raises(Refusal, match=str(replica.port)) as refused:
            repair(pair, tmp_path)
        assert refused.value.code == "safe_updates"
        assert image(pair.b, "shop") == spoilt
        replica.execute(["SET GLOBAL sql_safe_updates = OFF", *restart])
        assert repair(pair, tmp_path).verified
        assert_repaired(pair, "shop", good)
        assert image(replica, "shop") == good


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_an_undo_on_a_target_that_wants_keys(tmp_path: Path, flavor: str) -> None:
    """It is logged as row changes there, which take none."""
    with co_masters(flavor, "MIXED") as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (v INT)", "INSERT INTO shop.t VALUES (1), (2)"])
        pair.wait()
        pair.b.execute("INSERT INTO shop.t VALUES (3), (3)", logged=False)
        old = image(pair.b, "shop")
        done = repair(pair, tmp_path)
        restart = ("STOP ALL SLAVES", "START ALL SLAVES") if pair.b.family == "mariadb" else ("STOP REPLICA", "START REPLICA")
        pair.b.execute(["SET GLOBAL sql_safe_updates = ON", *restart])
        assert undo.run(servers(pair), str(done.undo_file), undo_dir=str(tmp_path)).verified
        back = undo.run(servers(pair), str(next(tmp_path.glob("undo-*"))), undo_dir=str(tmp_path))
        assert back.verified
        pair.wait()
        assert image(pair.a, "shop") == image(pair.b, "shop") != old
        assert pair.links_healthy()
