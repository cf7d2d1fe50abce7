# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loops of three real servers, chains, and a third server above both: fenced the long way round, or refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fence, options, topology
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Servers, SourceLogin
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import Server, Topology, chain

_TABLES = [
    "CREATE DATABASE shop",
    "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
    "INSERT INTO shop.t VALUES (1, 1)",
]


@contextmanager
def ring(flavor: str, gtid: bool = True) -> Iterator[Topology]:
    """A → B → C → A."""
    with Topology(flavor, ["a", "b", "c"], gtid=gtid) as found:
        for upstream, downstream in (("a", "b"), ("b", "c"), ("c", "a")):
            found.servers[downstream].replicate_from(found.servers[upstream])
        found.wait(60)
        found.a.execute(_TABLES)
        found.wait()
        yield found


def between(source: Server, target: Server, named: bool = True, channel: str | None = None) -> Servers:
    login = Endpoint(host=target.host, port=target.port, user="root", password=target.root_password, connect_timeout=10)
    where = SourceLogin(host=source.host, port=source.port) if named else SourceLogin()
    return Servers(login, where, channel=channel)


@contextmanager
def opened(wanted: Servers) -> Iterator[tuple[topology.OpenPair, topology.Pair]]:
    with topology.open_pair(wanted) as connections:
        yield connections, topology.inspect(connections.source, connections.target, wanted)


def preflight(wanted: Servers, for_repair: bool = False) -> dict[str, str]:
    with topology.open_pair(wanted) as connections:
        hazards = info.preflight(connections.source, connections.target, wanted, for_repair)[1]
    return {hazard.code: hazard.severity for hazard in hazards}


def refusal(wanted: Servers, for_repair: bool = False) -> str:
    with pytest.raises(Refusal) as refused:
        preflight(wanted, for_repair)
    return str(refused.value)


@contextmanager
def applier_held(server: Server) -> Iterator[None]:
    """Hold a row that the applier needs."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION sql_log_bin=0")
        cursor.execute("BEGIN")
        cursor.execute("UPDATE shop.t SET v = v + 1000 WHERE id = 1")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def test_a_ring_of_mysql_is_fenced_the_long_way_round() -> None:
    with ring("mysql-9") as servers:
        wanted = between(servers.a, servers.b)
        assert "[source_is_replica]" in refusal(between(servers.a, servers.b, named=False))
        assert preflight(wanted)["long_loop"] == "info"
        assert "[long_loop]" in refusal(wanted, for_repair=True)
        with opened(wanted) as (connections, pair):
            assert pair.reverse is None
            assert f"server_id {servers.c.server_id}" in pair.detour
            assert fence.errant_gtids(connections.source, connections.target, pair) == ""
            with applier_held(servers.c):
                servers.b.execute(["UPDATE shop.t SET v = 2 WHERE id = 1", "INSERT INTO shop.t VALUES (2, 2)"])
                started = time.monotonic()
                with pytest.raises(Undecided, match=str(servers.c.port)) as undecided:
                    fence.fence_both(connections.source, connections.target, pair, 3)
                assert undecided.value.code == "lagging_link"
                assert time.monotonic() - started < 20
                report = checksum.run(
                    Servers(wanted.target, wanted.source, fence_timeout=2.0), options.Selection(("shop",)), options.Pace(), 1
                )
                assert [(table.status, table.reason) for table in report.tables] == [("undecided", "lagging_link")]
            fence.fence_both(connections.source, connections.target, pair, 30)
            assert connections.source.scalar("SELECT v FROM shop.t WHERE id = 2") == "2"
            servers.a.stop_replica()
            servers.b.execute("INSERT INTO shop.t VALUES (3, 3)")
            with pytest.raises(Undecided) as undecided:
                fence.fence_both(connections.source, connections.target, pair, 30)
            assert undecided.value.code == "stopped_link"
            servers.a.start_replica()
            servers.wait()
        # Rows written all the time on the target are no drift.
        stop = threading.Event()

        def write() -> None:
            number = 1000
            with servers.b.connect() as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(f"INSERT INTO shop.t VALUES ({number}, 0)")
                    number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _round in range(3):
                report = checksum.run(wanted, options.Selection(("shop",)), options.Pace(), 1)
                assert [table.status for table in report.tables] == ["identical"], report.tables
        finally:
            stop.set()
            writer.join()
        servers.wait()
        servers.b.execute("INSERT INTO shop.t VALUES (9, 9)", logged=False)
        report = checksum.run(wanted, options.Selection(("shop",)), options.Pace(), 1)
        assert [(table.status, table.extra) for table in report.tables] == [("drift", 1)]


@pytest.mark.parametrize(("flavor", "gtid"), [("mysql-9", False), ("mariadb-10.11", True), ("mariadb-10.11", False)])
def test_a_ring_that_cannot_be_fenced_is_refused(flavor: str, gtid: bool) -> None:
    with ring(flavor, gtid) as servers:
        wanted = between(servers.a, servers.b)
        for for_repair in (False, True):
            said = refusal(wanted, for_repair)
            assert "[long_loop]" in said
            assert f"server_id {servers.c.server_id}" in said
        with opened(wanted) as (connections, pair):
            with pytest.raises(Undecided) as undecided:
                fence.fence_both(connections.source, connections.target, pair, 5)
            assert undecided.value.code == "long_loop"
        # With the third one not connected only what the target has written before tells.
        servers.b.execute("INSERT INTO shop.t VALUES (5, 5)")
        servers.wait()
        servers.c.stop_replica()
        servers.b.execute("INSERT INTO shop.t VALUES (6, 6)")
        if flavor.startswith("mariadb"):
            assert "[long_loop]" in refusal(wanted)


@pytest.mark.parametrize("flavor", ["mysql-9", "mariadb-10.11"])
def test_the_middle_of_a_chain_is_no_ring(flavor: str) -> None:
    with chain(flavor, ("a", "b", "c", "d")) as servers:
        servers.a.execute(_TABLES)
        servers.wait()
        wanted = between(servers.b, servers.c)
        assert "[source_is_replica]" in refusal(between(servers.b, servers.c, named=False))
        assert "long_loop" not in preflight(wanted)
        assert "[downstream_replicas]" in refusal(wanted, for_repair=True)
        with opened(wanted) as (connections, pair):
            assert pair.detour == ""
            fence.fence_both(connections.source, connections.target, pair, 20)


@pytest.mark.parametrize("flavor", ["mysql-9", "mariadb-10.11"])
def test_a_third_server_above_both_is_seen(flavor: str) -> None:
    with Topology(flavor, ["a", "b", "c"]) as servers:
        servers.c.execute(_TABLES)
        servers.a.replicate_from(servers.c)
        servers.wait(60)
        servers.b.replicate_from(servers.a, channel="by_a")
        servers.wait(60)
        position = servers.c.binlog_position()
        servers.b.replicate_from(servers.c, channel="by_c", position=None if flavor == "mysql-9" else position)
        servers.wait(60)
        wanted = between(servers.a, servers.b, channel="by_a")
        found = preflight(wanted)
        assert found["shared_upstream"] == found["multi_source_target"] == "warning"
        assert "[shared_upstream]" in refusal(wanted, for_repair=True)
