# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Servers and how they replicate: pairs of co-masters, chains, and replicas added to either."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import pymysql

from . import packages
from .errors import ReplicationBroken
from .link import Link
from .server import Server
from .settings import COMMON_GROUND, Options


class Topology:
    """Running servers by name: `topology.a`, `topology.servers["a"]`.

    As a context manager it discards them at its end. *options* hold for every server,
    *options_by_name* for one.
    """

    def __init__(
        self,
        flavor: str,
        names: Iterable[str],
        binlog_format: str = "ROW",
        gtid: bool = True,
        options: Options | None = None,
        options_by_name: Mapping[str, Options] | None = None,
        flavors_by_name: Mapping[str, str] | None = None,
    ) -> None:
        self.flavor = flavor
        self.binlog_format = binlog_format
        self.gtid = gtid
        self.options = {"binlog_format": binlog_format, **(options or {})}
        self.servers: dict[str, Server] = {}
        own, flavors = options_by_name or {}, flavors_by_name or {}
        for name in names:
            self._new_server(name, flavors.get(name, flavor), own.get(name))
        try:
            with ThreadPoolExecutor(max_workers=len(self.servers)) as pool:
                list(pool.map(Server.start, self.servers.values()))
        except BaseException:
            self.stop()
            raise

    def _new_server(self, name: str, flavor: str, options: Options | None) -> Server:
        if name in self.servers:
            raise ValueError(f"there is a server {name!r} already")
        settings = {**self.options, **(options or {})}
        server = Server(name, flavor, len(self.servers) + 1, self.gtid, settings)
        self.servers[name] = server
        return server

    def __getattr__(self, name: str) -> Server:
        servers: dict[str, Server] = self.__dict__.get("servers", {})
        if name in servers:
            return servers[name]
        raise AttributeError(f"no server or attribute {name!r}")

    def __enter__(self) -> Topology:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every server and remove its data."""
        for server in self.servers.values():
            server.discard()

    @property
    def links(self) -> list[Link]:
        """Every configured link, as made by `Server.replicate_from`."""
        return [
            Link(source, replica, channel) for replica in self.servers.values() for channel, source in replica.sources.items()
        ]

    def links_healthy(self) -> bool:
        """Tell whether both threads of every link run without an error."""
        return all(link.healthy() for link in self.links)

    def wait(self, timeout: float = 30) -> None:
        """Return when every replica has applied, through every hop, all there was at the call.

        *timeout* is in seconds. Raises ReplicationBroken or ReplicationTimeout, naming the link.
        """
        deadline = time.monotonic() + timeout
        before = None
        try:
            for _hop in self.servers:
                positions = {link: link.source_position() for link in self.links}
                if positions == before:
                    break
                for link, position in positions.items():
                    link.wait(position, deadline)
                before = positions
        except pymysql.MySQLError as error:
            raise ReplicationBroken(f"one of {[*self.servers.values()]} is silent: {error}") from error

    def add_replica(self, of: Server, name: str, options: Options | None = None, channel: str | None = None) -> Server:
        """Start a server *name* below *of*, let it catch up and return it.

        It reads from the oldest binary log on, so it gets what was logged, not what was not.
        """
        server = self._new_server(name, of.flavor, options)
        try:
            server.start()
            server.replicate_from(of, channel)
            self.wait(60)
        except BaseException:
            self.remove(name)
            raise
        return server

    def remove(self, name: str) -> None:
        """End one server, remove its data and forget it."""
        self.servers.pop(name).discard()


def co_masters(
    flavor: str,
    binlog_format: str = "ROW",
    gtid: bool = True,
    options: Options | None = None,
    options_a: Options | None = None,
    options_b: Options | None = None,
    flavor_b: str | None = None,
) -> Topology:
    """Start two servers `a` and `b`, each a replica of the other, both writable.

    Their auto-increments are interleaved. *flavor_b* gives `b` another version of the same make.
    """
    interleaved = {"auto_increment_increment": "2"}
    own = {
        "a": {**interleaved, "auto_increment_offset": "1", **(options_a or {})},
        "b": {**interleaved, "auto_increment_offset": "2", **(options_b or {})},
    }
    pair = Topology(flavor, own, binlog_format, gtid, options, own, {"b": flavor_b or flavor})
    return _linked(pair, [("a", "b"), ("b", "a")])


def two_makes(flavor_a: str, flavor_b: str) -> Topology:
    """Start co-masters `a` and `b` of different makes, set up so that replication between them runs at all.

    That is by file and position, with collations both know, and with MariaDB logging statements: MySQL 9 reads no row
    changes of it.
    """
    flavors = {"a": flavor_a, "b": flavor_b}
    families = {name: packages.flavor(flavor).family for name, flavor in flavors.items()}
    own = {}
    for offset, (name, family) in enumerate(families.items(), 1):
        own[name] = {**COMMON_GROUND[family], "auto_increment_increment": "2", "auto_increment_offset": str(offset)}
        if family == "mariadb":
            own[name]["plugin_dir"] = str(packages.client_plugins(flavors[name]))
    pair = Topology(flavor_a, own, gtid=False, options_by_name=own, flavors_by_name=flavors)
    for server in pair.servers.values():
        setting = (
            "GLOBAL default_collation_for_utf8mb4 = utf8mb4_general_ci"
            if server.family == "mysql"
            else "@@GLOBAL.character_set_collations = ''"
        )
        if server.flavor != "mariadb-10.11":  # which knows no other
            server.execute(f"SET {setting}")
    return _linked(pair, [("a", "b"), ("b", "a")])


def chain(
    flavor: str,
    names: Iterable[str] = ("a", "b", "c"),
    binlog_format: str = "ROW",
    gtid: bool = True,
    options: Options | None = None,
    options_by_name: Mapping[str, Options] | None = None,
) -> Topology:
    """Start servers that each replicate from the one before; two are a source and its replica."""
    order = list(names)
    topology = Topology(flavor, order, binlog_format, gtid, options, options_by_name)
    return _linked(topology, list(zip(order, order[1:])))


def _linked(topology: Topology, links: list[tuple[str, str]]) -> Topology:
    """Link (source, replica) pairs and drain them; a failure leaves no server behind."""
    try:
        for source, replica in links:
            topology.servers[replica].replicate_from(topology.servers[source])
        topology.wait(60)
    except BaseException:
        topology.stop()
        raise
    return topology
