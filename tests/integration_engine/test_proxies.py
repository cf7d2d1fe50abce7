# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers behind tunnels and proxies: the replication status names an address that is not the module's."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from integration_engine.support import assert_repaired, image, repair_account, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import (
    Pace,
    Repair,
    Selection,
    Servers,
    SourceLogin,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint, Row, Session, connect
from sandbox import Server, Topology, co_masters


@contextmanager
def proxy(*behind: Server) -> Iterator[SourceLogin]:
    """An address that leads to these servers, one for each connection in turn, the last one from then on."""
    turns = itertools.chain(behind, itertools.repeat(behind[-1]))
    open_sockets: list[socket.socket] = []

    def pump(here: socket.socket, there: socket.socket) -> None:
        with suppress(OSError):
            while data := here.recv(65536):
                there.sendall(data)
        for each in (here, there):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client = listening.accept()[0]
                upstream = socket.create_connection((behind[0].host, next(turns).port))
                open_sockets.extend((client, upstream))
                for ends in ((client, upstream), (upstream, client)):
                    threading.Thread(target=pump, args=ends, daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=accept, args=(listening,), daemon=True).start()
        try:
            yield SourceLogin(host="127.0.0.1", port=listening.getsockname()[1])
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            for each in open_sockets:
                each.close()


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_source_behind_a_proxy(pairs, fresh_database, tmp_path, flavor):
    pair: Topology = pairs(flavor)
    repair = Repair(undo_dir=str(tmp_path))
    with fresh_database(pair) as database, repair_account(pair, database) as user:
        login = {"user": user, "password": "s3cret-Repair-Pass"}
        pair.a.execute(
            [
                f"CREATE TABLE {database}.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB",
                f"INSERT INTO {database}.t VALUES (1, 1), (2, 2), (3, 3)",
            ]
        )
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute([f"DELETE FROM {database}.t WHERE id = 1", f"UPDATE {database}.t SET v = 9 WHERE id = 2"], logged=False)
        bad = image(pair.b, database)
        chosen = Selection(databases=(database,))

        # The server at the end of the tunnel is another one: the target itself.
        with proxy(pair.b) as wrong:
            with pytest.raises(Refusal) as refused:
                sync.run(servers(pair, **login, source=wrong), chosen, Pace(), repair, 1, apply=True)
            assert refused.value.code == "same_server"

        # A balancer that leads the first connection to the source and a later one to the target.
        for first in range(1, 5):
            with proxy(*[pair.a] * first, pair.b) as spread:
                wanted = servers(pair, **login, source=spread)
                try:
                    told = sync.run(wanted, chosen, Pace(), repair, 1, apply=True).message or ""
                except Refusal as refusal:
                    told = str(refusal)
                assert "lead to different servers" in told
                pair.wait()
                assert (image(pair.a, database), image(pair.b, database)) == (good, bad), first

        with proxy(pair.a) as tunnel:
            wanted = servers(pair, **login, source=tunnel)
            assert {hazard.code for hazard in info.run(wanted).hazards if hazard.severity == "blocker"} == set()
            found = checksum.run(wanted, chosen, Pace(), 1).tables
            assert [(table.status, table.missing, table.different) for table in found] == [("drift", 1, 1)]
            done = sync.run(wanted, chosen, Pace(), repair, 1, apply=True)
            assert (done.verified, done.failed) == (True, False), done.message
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_proxy_that_sends_reads_elsewhere_is_refused(pairs, fresh_database, flavor, monkeypatch):
    """Every SELECT to the source reaches the target: the target would be compared with itself (law 16)."""
    pair: Topology = pairs(flavor)
    wanted = servers(pair)
    with fresh_database(pair) as database, connect(wanted.target, "reader") as reader:
        pair.a.execute([f"CREATE TABLE {database}.t (id INT PRIMARY KEY)", f"INSERT INTO {database}.t VALUES (1), (2)"])
        pair.wait()
        pair.b.execute(f"DELETE FROM {database}.t WHERE id = 1", logged=False)
        rows = Session.rows

        def split(session: Session, sql: str) -> list[Row]:
            return rows(reader if session.role == "source" and sql.startswith("SELECT") else session, sql)

        monkeypatch.setattr(Session, "rows", split)
        with pytest.raises(Refusal, match="another_server"):
            checksum.run(wanted, Selection(databases=(database,)), Pace(), 10)


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_the_nameless_channel_among_several(pairs, fresh_database, tmp_path, flavor):
    """A target that replicates from the source by the nameless channel, and from a third server by a named one."""
    pair: Topology = pairs(flavor)
    with Topology(
        flavor,
        ["third"],
        options={"server_id": "77", "gtid_domain_id": "77"} if pair.a.family == "mariadb" else {"server_id": "77"},
    ) as other:
        position = other.third.binlog_position()
        pair.b.replicate_from(other.third, channel="east", position=None if pair.a.family == "mysql" else position)
        try:
            with fresh_database(pair) as database:
                pair.a.execute([f"CREATE TABLE {database}.t (id INT PRIMARY KEY)", f"INSERT INTO {database}.t VALUES (1)"])
                pair.wait()
                pair.b.execute(f"DELETE FROM {database}.t", logged=False)
                chosen = Selection(databases=(database,))
                with pytest.raises(UsageError, match="two quotes for the nameless one"):
                    checksum.run(servers(pair), chosen, Pace(), 1)
                wanted = servers(pair, channel="")
                done = sync.run(wanted, chosen, Pace(), Repair(undo_dir=str(tmp_path)), 1, apply=True)
                assert (done.verified, done.failed) == (True, False), done.message
                assert "multi_source_target" in {hazard.code for hazard in done.hazards}
                pair.wait()
                assert image(pair.b, database) == image(pair.a, database) != {}
        finally:
            pair.b.stop_replica("east")
            pair.b.reset_replica("east")


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_pair_on_ipv6(flavor):
    """The target, and the source as its replication status names it, by IPv6 addresses; brackets make no difference."""
    with co_masters(flavor, options={"bind_address": "127.0.0.1,::1"}) as pair:
        for server in (pair.a, pair.b):
            server.execute(
                ["CREATE USER u@'::1' IDENTIFIED BY 'some-secret'", "GRANT ALL ON *.* TO u@'::1' WITH GRANT OPTION"], logged=False
            )
        pair.b.stop_replica()
        word = "SOURCE" if pair.b.family == "mysql" else "MASTER"
        change = "CHANGE REPLICATION SOURCE TO" if pair.b.family == "mysql" else "CHANGE MASTER TO"
        pair.b.execute(f"{change} {word}_HOST = '::1', {word}_USER = 'u', {word}_PASSWORD = 'some-secret'")
        pair.b.start_replica()
        pair.wait()
        for host in ("::1", "[::1]"):
            login = Servers(Endpoint(host=host, port=pair.b.port, user="u", password="some-secret"))
            found = info.run(login)
            assert found.source is not None, found.hazards
            assert found.forward is not None
            assert found.forward.address == f"[::1]:{pair.a.port}"
            assert found.source.name == f"the source ([::1]:{pair.a.port}, server_id 1)"
            assert not [hazard for hazard in found.hazards if hazard.severity == "blocker"]
