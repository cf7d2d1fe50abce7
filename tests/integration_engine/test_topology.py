# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Topology, fences, hazards and grants against real pairs of servers."""

from __future__ import annotations

import threading
import time
import typing as t
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import pytest
from integration_engine.support import until

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import facts, fence, grants, links, topology
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, Undecided, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Servers, SourceLogin
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint, connect
from fire.proxy import Proxy
from sandbox import Server, Topology, co_masters

_CASES = [(flavor, gtid) for flavor in ("mariadb-10.11", "mysql-9") for gtid in (True, False)]
_PARALLEL = {"mariadb": {"slave_parallel_threads": "4"}, "mysql": {"replica_parallel_workers": "4"}}
_IDS = [f"{flavor}-{'gtid' if gtid else 'position'}" for flavor, gtid in _CASES]


@pytest.fixture(scope="module", params=_CASES, ids=_IDS)
def pair(request: pytest.FixtureRequest) -> Iterator[Topology]:
    flavor, gtid = request.param
    with co_masters(flavor, gtid=gtid, options=_PARALLEL[flavor.split("-")[0]]) as found:
        found.a.execute(
            [
                "CREATE DATABASE shop",
                "CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(200)) ENGINE=InnoDB",
                "CREATE TABLE shop.stock (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
            ]
        )
        found.wait()
        yield found


def endpoint(server: Server, user: str = "root", password: str | None = None) -> Endpoint:
    return Endpoint(host=server.host, port=server.port, user=user, password=password or server.root_password, connect_timeout=10)


def servers(pair: Topology, **more: t.Any) -> Servers:
    return Servers(target=endpoint(pair.b), **more)


@contextmanager
def opened(pair: Topology, **more: t.Any) -> Iterator[tuple[topology.OpenPair, topology.Pair]]:
    wanted = servers(pair, **more)
    with topology.open_pair(wanted) as connections:
        yield connections, topology.inspect(connections.source, connections.target, wanted)


@contextmanager
def replication_stopped(server: Server, thread: str = "") -> Iterator[None]:
    word = "REPLICA" if server.family == "mysql" else "SLAVE"
    server.execute(f"STOP {word} {thread}")
    try:
        yield
    finally:
        server.execute(f"START {word}")


def remove(pair: Topology, replica: Server, of: Server) -> None:
    """Remove a replica and wait until its upstream has noticed, which takes a heartbeat."""
    replica_id = replica.server_id
    pair.remove(replica.name)
    listing = "SHOW REPLICAS" if of.family == "mysql" else "SHOW SLAVE HOSTS"
    until(lambda: replica_id not in [row[0] for row in of.query(listing)], 60)


def codes(report: info.InfoReport) -> set[str]:
    return {hazard.code for hazard in report.hazards}


# -- topology ----------------------------------------------------------------------------------


def test_the_source_is_found_from_the_target(pair: Topology) -> None:
    with opened(pair) as (connections, found):
        assert connections.source.endpoint.port == pair.a.port
        assert (found.source.server_id, found.target.server_id) == (pair.a.server_id, pair.b.server_id)
        assert found.forward.healthy
        assert found.forward.source_port == pair.a.port
        assert found.reverse is not None
        assert found.reverse.source_port == pair.b.port
        assert (found.target_replicas, found.source_replicas) == ((), ())
        assert (found.source_upstreams, found.target_upstreams, found.unverified) == ((), (), ())
        assert found.source.binlog_format == "ROW"
        with connections.new_source() as more:
            assert more.scalar("SELECT @@server_id") == str(pair.a.server_id)


def test_another_server_at_the_address_is_refused(pair: Topology) -> None:
    other = pair.add_replica(of=pair.a, name="other")
    try:
        wrong = SourceLogin(host=other.host, port=other.port)
        with (
            pytest.raises(Refusal, match=f"server_id {other.server_id}.*not the one") as refused,
            opened(pair, source=wrong),
        ):
            pass
        assert refused.value.code == "wrong_source"
        report = info.run(servers(pair, source=wrong))
        assert codes(report) == {"wrong_source"}
        assert report.source is None
    finally:
        remove(pair, other, of=pair.a)


def test_the_target_is_not_its_own_source(pair: Topology) -> None:
    with pytest.raises(Refusal) as refused, opened(pair, source=SourceLogin(host=pair.b.host, port=pair.b.port)):
        pass
    assert refused.value.code == "same_server"


def test_an_unknown_channel_is_refused_with_the_known_ones(pair: Topology) -> None:
    with pytest.raises(UsageError, match=f"no channel 'x'.*{pair.a.port}"), opened(pair, channel="x"):
        pass


@pytest.mark.parametrize("user", ["root", "monitor"])
def test_replicas_below_and_beside_are_seen(pair: Topology, user: str) -> None:
    below, beside = pair.add_replica(of=pair.b, name="below"), pair.add_replica(of=pair.a, name="beside")
    try:
        with account(pair, "monitor", CHECK[pair.a.family]) if user == "monitor" else nullcontext():
            target = endpoint(pair.b) if user == "root" else endpoint(pair.b, user, "pw-monitor")
            with topology.open_pair(Servers(target)) as connections:
                found = topology.inspect(connections.source, connections.target, Servers(target))
        assert found.target_replicas is not None
        assert found.source_replicas is not None
        known = [below.server_id] if user == "root" else [None]
        assert [replica.server_id for replica in found.target_replicas] == known
        assert len(found.source_replicas) == 1
        report = info.run(servers(pair))
        assert {"downstream_replicas", "sibling_replicas"} <= codes(report)
        assert any(f"server_id {below.server_id}" in hazard.message for hazard in report.hazards)
        assert any(f"server_id {beside.server_id}" in hazard.message for hazard in report.hazards)
    finally:
        remove(pair, below, of=pair.b)
        remove(pair, beside, of=pair.a)
    assert not {"downstream_replicas", "sibling_replicas"} & codes(info.run(servers(pair)))


def test_a_plain_replica_has_no_reverse_link(pair: Topology) -> None:
    replica = pair.add_replica(of=pair.b, name="plain")
    try:
        wanted = Servers(endpoint(replica))
        with topology.open_pair(wanted) as connections:
            found = topology.inspect(connections.source, connections.target, wanted)
            assert found.source.server_id == pair.b.server_id
            assert found.reverse is None
            assert [link.source_port for link in found.source_upstreams] == [pair.a.port]
            with pytest.raises(Refusal) as refused:
                info.preflight(connections.source, connections.target, wanted, for_repair=False)
            assert refused.value.code == "source_is_replica"
            named = replace(wanted, source=SourceLogin(host=pair.b.host, port=pair.b.port))
            info.preflight(connections.source, connections.target, named, for_repair=False)
            if found.source.gtid_mode == "ON":
                assert fence.errant_gtids(connections.source, connections.target, found) == ""
                replica.execute("CREATE DATABASE only_here")
                uuid = found.target.uuid or ""
                assert fence.errant_gtids(connections.source, connections.target, found).startswith(uuid)
    finally:
        remove(pair, replica, of=pair.b)


# -- links -------------------------------------------------------------------------------------


def test_a_stopped_link_gives_no_verdict(pair: Topology) -> None:
    for downstream, upstream in ((pair.b, pair.a), (pair.a, pair.b)):
        with replication_stopped(downstream):
            upstream.execute("INSERT INTO shop.orders (v) VALUES ('on its way')")
            with opened(pair) as (connections, found):
                assert found.reverse is not None
                started = time.monotonic()
                with pytest.raises(Undecided) as undecided:
                    fence.fence_both(connections.source, connections.target, found, 30)
                assert undecided.value.code == "stopped_link"
                assert time.monotonic() - started < 15
                with pytest.raises(Refusal, match="not running") as refused:
                    fence.check_links(connections.source, connections.target, found)
                assert refused.value.code == "broken_link"
                info.preflight(connections.source, connections.target, servers(pair), for_repair=False)
                with pytest.raises(Refusal) as blocked:
                    info.preflight(connections.source, connections.target, servers(pair), for_repair=True)
                assert "stopped_link" in str(blocked.value)
    pair.wait()


def test_a_link_stopped_during_the_wait_is_noticed(pair: Topology) -> None:
    with opened(pair) as (connections, found), lock_on(pair.b):
        pair.a.execute("REPLACE INTO shop.stock VALUES (1, 2)")
        timer = threading.Timer(
            1.2, lambda: pair.b.execute(f"STOP {'REPLICA' if pair.b.family == 'mysql' else 'SLAVE'} IO_THREAD")
        )
        timer.start()
        with pytest.raises(Undecided) as undecided:
            fence.fence(connections.source, connections.target, found.forward, 20)
        timer.join()
        assert undecided.value.code == "stopped_link"
    pair.b.execute(f"START {'REPLICA' if pair.b.family == 'mysql' else 'SLAVE'}")
    pair.wait()


def test_a_lagging_link_is_undecided_in_time(pair: Topology) -> None:
    with opened(pair) as (connections, found), lock_on(pair.b):
        pair.a.execute("REPLACE INTO shop.stock VALUES (1, 3)")
        started = time.monotonic()
        with pytest.raises(Undecided) as undecided:
            fence.fence(connections.source, connections.target, found.forward, 2)
        assert undecided.value.code == "lagging_link"
        assert 1.5 < time.monotonic() - started < 15
    pair.wait()


def test_a_broken_link_is_told_with_its_error(pair: Topology) -> None:
    pair.b.execute("INSERT INTO shop.stock VALUES (77, 1)", logged=False)
    pair.a.execute("INSERT INTO shop.stock VALUES (77, 2)")
    try:
        with opened(pair) as (connections, found):
            with pytest.raises(Undecided) as undecided:
                fence.fence(connections.source, connections.target, found.forward, 20)
            assert undecided.value.code == "link_error"
            with pytest.raises(Refusal, match="1062"):
                fence.check_links(connections.source, connections.target, found)
        assert "link_error" in codes(info.run(servers(pair)))
    finally:
        pair.b.execute("DELETE FROM shop.stock WHERE id = 77", logged=False)
        pair.b.execute(f"START {'REPLICA' if pair.b.family == 'mysql' else 'SLAVE'}")
        pair.wait()


def test_the_worker_that_failed_is_told_not_those_that_were_to_commit_behind_it() -> None:
    """MySQL's parallel workers commit in order: where one stops, the others end with 3030."""
    workers = "SELECT LAST_ERROR_NUMBER FROM performance_schema.replication_applier_status_by_worker WHERE LAST_ERROR_NUMBER"
    with co_masters("mysql-9", options=_PARALLEL["mysql"]) as found:
        found.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id INT PRIMARY KEY, v INT)"])
        found.a.execute("INSERT INTO d.t VALUES " + ", ".join(f"({n}, 0)" for n in range(60)))
        found.wait()
        found.b.execute("DELETE FROM d.t WHERE id = 3", logged=False)
        found.b.stop_replica()
        found.a.execute([f"UPDATE d.t SET v = 1 WHERE id = {n}" for n in range(60)])
        found.b.start_replica()
        for _attempt in range(60):  # which worker gets what varies
            while found.b.replica_status()["Replica_SQL_Running"] == "Yes":
                time.sleep(0.05)
            if found.b.query(workers)[0] == (3030,):
                break
            found.b.start_replica()
        else:
            pytest.fail("the worker that fails was always the first")
        with connect(endpoint(found.b), "target") as session:
            (link,) = links.read_links(session)
        assert link.stopped_at_rows
        assert "d.t" in (link.problem or "")


def test_a_link_of_unknown_identity_proves_nothing(pair: Topology) -> None:
    word, thread = ("SOURCE", "REPLICA") if pair.a.family == "mysql" else ("MASTER", "SLAVE")
    command = "CHANGE REPLICATION SOURCE TO" if pair.a.family == "mysql" else "CHANGE MASTER TO"
    pair.wait()
    pair.a.execute(f"STOP {thread}")
    status = pair.a.replica_status()
    change, back = f"{command} {word}_PORT=1", f"{command} {word}_PORT={pair.b.port}"
    if not pair.a.gtid:
        # Another port makes the server forget how far it was.
        file, position = status["Relay_Source_Log_File"], status["Exec_Source_Log_Pos"]
        back += f", {word}_LOG_FILE='{file}', {word}_LOG_POS={position}"
    # On the source: the channel that was the reverse link may come from anywhere now.
    pair.a.execute(change)
    try:
        with opened(pair) as (connections, found):
            if found.reverse is None:
                assert len(found.unverified) == 1
                with pytest.raises(Undecided) as undecided:
                    fence.fence_both(connections.source, connections.target, found, 5)
                assert undecided.value.code == "unverified_channel"
            else:  # MariaDB goes on showing the old server_id
                assert not found.reverse.healthy
            with pytest.raises(Refusal):
                info.preflight(connections.source, connections.target, servers(pair), for_repair=True)
    finally:
        pair.a.execute([back, f"START {thread}"])
        until(pair.links_healthy)
        pair.wait()


@contextmanager
def lock_on(server: Server) -> Iterator[None]:
    """Hold a row that the applier needs, so that it waits without an error (unlogged: the row is everywhere)."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin=0")
        cursor.execute("BEGIN")
        cursor.execute("REPLACE INTO shop.stock VALUES (1, 1)")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


# -- fences ------------------------------------------------------------------------------------


def test_after_the_fence_every_row_is_there(pair: Topology) -> None:
    stop = threading.Event()

    def write(server: Server) -> None:
        with server.connect() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute("INSERT INTO shop.orders (v) VALUES (REPEAT('x', 100))")
                time.sleep(0.002)  # faster ones outrun the appliers of a small machine

    writers = [threading.Thread(target=write, args=(server,)) for server in (pair.a, pair.a, pair.b, pair.b)]
    for writer in writers:
        writer.start()
    try:
        with opened(pair) as (connections, found):
            assert found.reverse is not None
            for _round in range(10):
                for upstream, downstream, link in (
                    (connections.source, connections.target, found.forward),
                    (connections.target, connections.source, found.reverse),
                ):
                    before = {row[0] for row in upstream.rows("SELECT id FROM shop.orders")}
                    fence.fence(upstream, downstream, link, 60)
                    after = {row[0] for row in downstream.rows("SELECT id FROM shop.orders")}
                    assert not before - after
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    pair.wait()


def test_events_that_came_back_to_their_origin_do_not_hold_the_fence(pair: Topology) -> None:
    with opened(pair) as (connections, found):
        assert found.reverse is not None
        for _round in range(5):
            pair.b.execute("INSERT INTO shop.orders (v) VALUES ('of B')")
            fence.fence(connections.target, connections.source, found.reverse, 20)
            started = time.monotonic()
            # The last events in A's log are B's own, which B skips.
            fence.fence(connections.source, connections.target, found.forward, 20)
            assert time.monotonic() - started < 10


def test_the_fence_waits_for_every_gtid_domain() -> None:
    with co_masters("mariadb-10.11", options={"slave_parallel_threads": "4"}) as pair:
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.stock (id INT PRIMARY KEY, v INT) ENGINE=InnoDB"])
        pair.a.execute("INSERT INTO shop.stock VALUES (1, 1)")
        pair.wait()
        with opened(pair) as (connections, found):
            with lock_on(pair.b):
                pair.a.execute(["SET gtid_domain_id=11", "UPDATE shop.stock SET v = 2 WHERE id = 1"])
                pair.a.execute(["SET gtid_domain_id=12", "INSERT INTO shop.stock VALUES (2, 2)"])
                with pytest.raises(Undecided) as undecided:
                    fence.fence(connections.source, connections.target, found.forward, 3)
                assert undecided.value.code == "lagging_link"
            fence.fence(connections.source, connections.target, found.forward, 20)
            assert connections.target.scalar("SELECT v FROM shop.stock WHERE id = 1") == "2"


def test_a_delayed_link_is_undecided(pair: Topology) -> None:
    mysql = pair.b.family == "mysql"
    stop, start = ("STOP REPLICA", "START REPLICA") if mysql else ("STOP SLAVE", "START SLAVE")
    change = "CHANGE REPLICATION SOURCE TO SOURCE_DELAY=" if mysql else "CHANGE MASTER TO MASTER_DELAY="
    pair.b.execute([stop, f"{change}30", start])
    try:
        until(pair.links_healthy)
        pair.a.execute("INSERT INTO shop.orders (v) VALUES ('later')")
        with opened(pair) as (connections, found):
            assert found.forward.delay == 30
            with pytest.raises(Undecided) as undecided:
                fence.fence(connections.source, connections.target, found.forward, 20)
            assert undecided.value.code == "delayed_link"
        assert "delayed_link" in codes(info.run(servers(pair)))
    finally:
        pair.b.execute([stop, f"{change}0", start])
        pair.wait()


def through(pair: Topology, port: int) -> list[str]:
    """Statements that let b reach a by another port."""
    mysql = pair.b.family == "mysql"
    word = "SOURCE" if mysql else "MASTER"
    settings = [f"{word}_PORT={port}"]
    if not pair.a.gtid:
        # By another port it is another server, whose first binary log would be read.
        file, position = pair.a.binlog_position()
        settings += [f"{word}_LOG_FILE='{file}'", f"{word}_LOG_POS={position}"]
    change = "CHANGE REPLICATION SOURCE TO " if mysql else "CHANGE MASTER TO "
    stop, start = ("STOP REPLICA", "START REPLICA") if mysql else ("STOP SLAVE", "START SLAVE")
    return [stop, change + ", ".join(settings), start]


def test_a_link_that_was_started_a_moment_ago_is_waited_for(pair: Topology) -> None:
    pair.wait()
    with Proxy(pair.a.port) as slow, pair.b.connect() as connection, connection.cursor() as cursor:
        slow.stall()
        try:
            for statement in through(pair, slow.port):
                cursor.execute(statement)
            until(lambda: pair.b.replica_status()["Replica_IO_Running"] in ("Connecting", "Preparing"))
            threading.Timer(1, slow.flow).start()
            found = codes(info.run(servers(pair, source=SourceLogin(port=pair.a.port))))
            assert not {"stopped_link", "link_error"}.intersection(found)
        finally:
            slow.flow()
            pair.b.execute(through(pair, pair.a.port))
            pair.wait()


# -- grants ------------------------------------------------------------------------------------

CHECK = {
    "mysql": ["SELECT, TRIGGER ON shop.*", "REPLICATION CLIENT, PROCESS ON *.*"],
    "mariadb": ["SELECT, TRIGGER ON shop.*", "BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.*"],
}
SHADOW = {
    "mysql": ["CREATE TEMPORARY TABLES ON shop.*", "SESSION_VARIABLES_ADMIN ON *.*"],
    "mariadb": ["CREATE TEMPORARY TABLES, CREATE, INSERT ON shop.*", "BINLOG ADMIN ON *.*"],
}


@contextmanager
def account(pair: Topology, name: str, rights: list[str], through_role: bool = False) -> Iterator[None]:
    """An account with these rights on both servers, direct or through a role that is its default."""
    holder = f"{name}_role" if through_role else f"{name}@'%'"
    login = f"{name}@'%'"
    statements = [f"CREATE USER {login} IDENTIFIED BY 'pw-{name}'"]
    if through_role:
        to_all = f"SET DEFAULT ROLE {holder} " + ("FOR " if pair.a.family == "mariadb" else "TO ") + login
        statements += [f"CREATE ROLE {holder}", f"GRANT {holder} TO {login}", to_all]
    statements += [f"GRANT {right} TO {holder}" for right in rights]
    pair.a.execute(statements)
    pair.wait()
    try:
        yield
    finally:
        pair.a.execute([f"DROP USER {login}", *([f"DROP ROLE {holder}"] if through_role else [])])
        pair.wait()


@pytest.mark.parametrize("through_role", [False, True], ids=["direct", "role"])
def test_the_documented_grants_suffice_and_each_is_needed(pair: Topology, through_role: bool) -> None:
    family = pair.a.family
    needed = CHECK[family] + SHADOW[family]
    with account(pair, "tool", needed, through_role):
        target = endpoint(pair.b, "tool", "pw-tool")
        report = info.run(Servers(target))
        assert not {"missing_grant_check", "missing_grant_repair", "replicas_unknown"} & codes(report), report.hazards
        assert report.reverse is not None
    for line in needed:
        for privilege in line.split(" ON ")[0].split(", "):
            fewer = [other if other is not line else _without(line, privilege) for other in needed]
            with account(pair, "tool", [right for right in fewer if right], through_role):
                told = info.run(Servers(endpoint(pair.b, "tool", "pw-tool")))
                if privilege == "SELECT":
                    continue  # without a database named, the account's own rights say what is compared
                lacking = [hazard for hazard in told.hazards if hazard.code.startswith("missing_grant")]
                assert lacking, f"{privilege} is not missed"
                assert any(privilege.replace("SLAVE", "") in hazard.remedy for hazard in lacking)


def _without(line: str, privilege: str) -> str:
    names, scope = line.split(" ON ")
    left = ", ".join(name for name in names.split(", ") if name != privilege)
    return f"{left} ON {scope}" if left else ""


def test_the_statements_given_are_ready_to_run(pair: Topology) -> None:
    with account(pair, "bare", ["SELECT ON shop.*"]):
        with connect(endpoint(pair.b, "bare", "pw-bare"), "target") as session:
            found = grants.read(session)
            statements = found.missing_for_check(session.dialect) + found.missing_for_shadow(session.dialect, ["shop"])
        pair.a.execute(list(statements))
        pair.wait()
        report = info.run(Servers(endpoint(pair.b, "bare", "pw-bare")))
        assert not {code for code in codes(report) if code.startswith("missing_grant")}


def test_an_account_that_sees_nothing_is_told_so(pair: Topology) -> None:
    with account(pair, "blind", ["SELECT ON shop.*"]):
        with connect(endpoint(pair.b, "blind", "pw-blind"), "target") as session:
            assert facts.read_replicas(session) is None
        report = info.run(Servers(endpoint(pair.b, "blind", "pw-blind")))
        assert codes(report) == {"missing_grant_check"}
        assert "GRANT " in report.hazards[0].remedy
