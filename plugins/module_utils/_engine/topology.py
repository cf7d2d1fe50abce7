# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who replicates from whom: finds the source from the target and proves that it is the one.

Nothing is concluded from addresses: a server is who its server_id (and on MySQL its uuid) says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields, replace

from . import grants, rings
from .errors import AccessDenied, Refusal, UsageError
from .facts import Replica, ServerFacts, feeds_replicas, read_facts, read_identity, read_log_end, read_replicas
from .links import ApplierRules, Link, read_applier_rules, read_links
from .logplace import LogPlace
from .options import Servers
from .session import Endpoint, Session, connect

__all__ = ["OpenPair", "Pair", "Replica", "ServerFacts", "another", "inspect", "locate_source", "open_pair", "open_source"]


# Seconds until the receiver of a link that says it is connected must show on the server that it reads from.
_SHOWS = 5.0
# Seconds that a receiver which was started a moment ago is given to connect.
_CONNECTS = 5.0
_POLL = 0.2


@dataclass(frozen=True)
class Pair:
    """Both servers and every link that touches them.

    ``forward``: source→target as the target sees it; ``reverse``: target→source as the source sees it, None when the
    source does not replicate from the target. ``*_replicas``: connected replicas other than the partner; None: the
    account may not see them, which is not the same as there being none. ``*_upstreams``: channels from third servers.
    ``unverified``: channels of the source that are not connected and whose upstream could be the target.
    ``detour``: how the target's changes may reach the source through other servers, in words; empty: they do not.
    """

    source: ServerFacts
    target: ServerFacts
    forward: Link
    reverse: Link | None = None
    target_replicas: tuple[Replica, ...] | None = ()
    source_replicas: tuple[Replica, ...] | None = ()
    source_upstreams: tuple[Link, ...] = ()
    target_upstreams: tuple[Link, ...] = ()
    unverified: tuple[Link, ...] = ()
    detour: str = ""
    applier: ApplierRules = field(default_factory=ApplierRules)

    @property
    def gtids_everywhere(self) -> bool:
        """Whether every change has a GTID of MySQL's, which tells that it arrived, over whatever path."""
        return self.source.gtid_mode == "ON" and self.target.gtid_mode == "ON"

    @property
    def shared_upstreams(self) -> tuple[Link, ...]:
        """The target's channels from third servers that the source replicates from too."""
        return tuple(
            link for link in self.target_upstreams if any(rings.same_upstream(link, other) for other in self.source_upstreams)
        )

    def filter_on(self, database: str, table: str) -> str:
        """What may keep changes of a table from flowing between the two, in either direction; empty if nothing does."""
        for upstream, link in ((self.source, self.forward), (self.target, self.reverse)):
            if link and not upstream.logs(database):
                return f"{upstream.name} does not log it ({upstream.binlog_filters})"
            if link and link.filters.may_skip(database, table):
                return f"{link.name} leaves it out ({link.filters.text})"
        return ""


def _links(session: Session) -> tuple[Link, ...]:
    """Read a server's links, once they have connected; without the right to, refuse with the GRANT that gives it."""
    deadline = time.monotonic() + _CONNECTS
    try:
        links = read_links(session)
        while any(link.connecting for link in links) and time.monotonic() < deadline:
            time.sleep(_POLL)
            links = read_links(session)
        return links
    except AccessDenied as denied:
        statements = grants.read(session).missing_for_check(session.dialect)
        raise Refusal(
            "missing_grant_check",
            f"the account may not see whom {session.name} replicates from: {denied.message}.",
            f"Run on the {session.role}: {'; '.join(statements)}",
        ) from denied


def choose_link(links: tuple[Link, ...], servers: Servers) -> Link:
    """Pick the target's channel: the one that ``channel`` names, or the only one.

    Raises Refusal ``not_a_replica`` when there is none, UsageError when there are several or none of that name.
    """
    if not links:
        raise Refusal(
            "not_a_replica",
            f"the target at {servers.target.address} is no replica: it has no replication channel.",
            "Log in to the co-master that is to be compared and repaired; a repair reaches it only through replication.",
        )
    # Both makes take names of channels without regard to case.
    wanted = None if servers.channel is None else servers.channel.lower()
    named = [link for link in links if wanted is None or link.channel.lower() == wanted]
    if len(named) == 1:
        return named[0]
    known = ", ".join(f"'{link.channel}' (from {link.address})" for link in links)
    if servers.channel is None:
        remedy = "Name the one to work on" + (
            ", two quotes for the nameless one." if any(not link.channel for link in links) else "."
        )
        raise UsageError("channel", f"the target has more than one replication channel: {known}.", remedy)
    raise UsageError("channel", f"the target has no channel '{servers.channel}'; it has: {known}.")


def locate_source(target: Session, servers: Servers) -> Endpoint:
    """Find where the source is: as the target's channel names it, overridden by what the user said of it.

    The login is the target's where none is given. Raises what choose_link() raises, Refusal ``missing_grant_check``.
    """
    link = choose_link(_links(target), servers)
    found = servers.target.at(link.source_host, link.source_port)
    said = {known.name: getattr(servers.source, known.name) for known in fields(servers.source)}
    return replace(found, **{name: value for name, value in said.items() if value is not None})


class OpenPair:
    """A session to each server, and a way to more of them. Use as a context manager."""

    def __init__(self, source: Session, target: Session) -> None:
        self.source = source
        self.target = target

    def __enter__(self) -> OpenPair:
        return self

    def __exit__(self, *unused: object) -> None:
        self.source.close()
        self.target.close()

    def new_source(self) -> Session:
        """Open another session to the source, the caller's to close. Raises ConnectError, Refusal ``another_server``."""
        return another(self.source, read_identity(self.source))

    def new_target(self) -> Session:
        """Open another session to the target, the caller's to close. Raises ConnectError, Refusal ``another_server``."""
        return another(self.target, read_identity(self.target))


def another(first: Session, expected: str) -> Session:
    """Open one more session to a server, after proof that a proxy or a name did not lead to another one this time.

    ``expected``: what read_identity() told of the first one, which may be lost by now. The caller has to close it. Raises
    ConnectError, ServerError, Refusal ``another_server``.
    """
    session = connect(first.endpoint, first.role)
    try:
        here = read_identity(session)
        if here != expected:
            raise Refusal(
                "another_server",
                f"connections to the {first.role} at {first.endpoint.address} lead to different servers: first to {expected}, "
                f"then to {here}. What is locked on one would be logged on the other.",
                "Give an address that always leads to the same server, not one of a load balancer or of several hosts.",
            )
    except BaseException:
        session.close()
        raise
    return session


def open_pair(servers: Servers) -> OpenPair:
    """Connect to the target, find the source from it, connect there.

    Raises ConnectError, UsageError, Refusal (``not_a_replica``, ``missing_grant_check``).
    """
    target = connect(servers.target, "target")
    try:
        return OpenPair(open_source(target, servers), target)
    except BaseException:
        target.close()
        raise


def open_source(target: Session, servers: Servers) -> Session:
    """Find the source from the target and connect there. Raises what open_pair() raises."""
    return connect(locate_source(target, servers), "source")


def inspect(source: Session, target: Session, servers: Servers) -> Pair:
    """Describe the pair, after proof that ``source`` is the server the target replicates from.

    Raises Refusal ``same_server``, ``wrong_source``, ``unverified_source`` or ``another_server``; what locate_source() raises.
    """
    source_facts, target_facts = read_facts(source), read_facts(target)
    for session, facts in ((source, source_facts), (target, target_facts)):
        _refuse_split(session, facts)
    target_links, source_links = _links(target), _links(source)
    forward = choose_link(target_links, servers)
    _prove(forward, source, source_facts, target_facts)
    reverse = next((link for link in source_links if leads_to(link, target_facts)), None)
    below = besides(read_replicas(target), source_facts, partner_connected=bool(reverse and reverse.io_running))
    upstreams = tuple(link for link in source_links if leads_to(link, target_facts) is False)
    return Pair(
        source=source_facts,
        target=target_facts,
        forward=forward,
        reverse=reverse,
        target_replicas=below,
        source_replicas=besides(read_replicas(source), target_facts, partner_connected=forward.io_running),
        source_upstreams=upstreams,
        target_upstreams=tuple(link for link in target_links if link is not forward),
        unverified=tuple(link for link in source_links if leads_to(link, target_facts) is None),
        # A link between the two carries everything that the target has, whoever made it.
        detour="" if reverse else rings.detour(source, target, target_facts, below, upstreams),
        applier=read_applier_rules(target, forward.channel),
    )


def _refuse_split(session: Session, facts: ServerFacts) -> None:
    """Refuse a proxy that sends reads elsewhere than the rest: SHOW goes where the writes go, SELECT where the reads go."""
    reads = session.scalar("SELECT @@global.server_id")
    if reads != str(facts.server_id):
        raise Refusal(
            "another_server",
            f"{session.endpoint.address}, the {session.role}, answers SELECT as server_id {reads} and SHOW as server_id"
            f" {facts.server_id}: it sends reads to other servers than writes. What is compared would not be what is repaired.",
            "Give the server's own address, not that of a proxy that splits reads and writes.",
        )


def leads_to(link: Link, upstream: ServerFacts) -> bool | None:
    """Whether the upstream end of a link is this server; None when the link cannot tell.

    MariaDB goes on showing the old server_id after CHANGE MASTER, RESET SLAVE and while it connects elsewhere
    (10.11, measured), so "another server" is believed only of a link that is connected.
    """
    proofs = [link.source_server_id == upstream.server_id] if link.source_server_id else []
    if link.source_uuid and upstream.uuid:
        proofs.append(link.source_uuid == upstream.uuid)
    if not proofs or not (all(proofs) or link.io_running):
        return None
    return all(proofs)


def _prove(forward: Link, source: Session, facts: ServerFacts, target: ServerFacts) -> None:
    here = f"the server at {source.endpoint.address}"
    remedy = "Give the source's address as the module can reach it under 'source' (host, port)."
    if (facts.uuid, facts.server_id) == (target.uuid, target.server_id):
        raise Refusal(
            "same_server", f"{here} is the target itself ({facts.identity}); it cannot be repaired from its own copy.", remedy
        )
    proof = leads_to(forward, facts)
    if proof is None:
        raise Refusal(
            "unverified_source",
            f"{forward.name} of the target is not connected ({forward.problem or 'no identity known'}), so {here} "
            f"({facts.identity}) cannot be proved to be the one the target replicates from.",
            "Start or mend replication on the target, then run again.",
        )
    if not proof:
        expected = f"server_id {forward.source_server_id}" + (f", uuid {forward.source_uuid}" if forward.source_uuid else "")
        raise _wrong_source(
            f"{here} ({facts.identity}) is not the one that the target replicates from ({expected}, {forward.name})", remedy
        )
    if _fetched_beyond(forward, source, same_make=facts.flavor == target.flavor) or _feeds_nobody(forward, source):
        raise _wrong_source(
            f"{here} has the identity of the one that the target replicates from ({facts.identity}, {forward.name}), but the "
            "target does not read from it: it may be a clone, or the connection between the two hangs",
            remedy,
        )


def _wrong_source(message: str, remedy: str) -> Refusal:
    return Refusal("wrong_source", f"{message}; repairs written there would never reach the target.", remedy)


def _feeds_nobody(link: Link, upstream: Session) -> bool:
    """Whether a link is connected, but no replica at all reads from this server.

    Clones share every identity, and server_ids repeat from pair to pair; who feeds nobody is not the one.
    """
    deadline = time.monotonic() + _SHOWS
    while link.io_running and feeds_replicas(upstream) is False:
        if time.monotonic() > deadline:
            return True
        time.sleep(_POLL)
    return False


def _fetched_beyond(link: Link, upstream: Session, same_make: bool) -> bool:
    """Whether a link has read binary log that this server does not have.

    Then it is another server with the same server_id, as clones have, and the same uuid where a whole data directory was copied.
    Of a MySQL a MariaDB counts the heartbeats too, so that only the file is to be believed (10.11 and 11.8 of 9.7, measured).
    """
    if not link.io_running:
        return False
    end, fetched = read_log_end(upstream), LogPlace(link.read_file, link.read_position)
    if not fetched.file or not end:
        return False
    here = end if same_make else LogPlace(end.file, fetched.offset)
    return fetched.log != here.log or fetched.is_beyond(here)


def besides(replicas: tuple[Replica, ...] | None, partner: ServerFacts, partner_connected: bool) -> tuple[Replica, ...] | None:
    """A server's replicas other than the partner; among nameless connections one is taken to be its own while it is connected."""
    if replicas is None:
        return None
    known = [replica for replica in replicas if replica.server_id and not _is(replica, partner)]
    nameless = [replica for replica in replicas if not replica.server_id]
    return (*known, *nameless[1 if partner_connected else 0 :])


def _is(replica: Replica, server: ServerFacts) -> bool:
    if replica.uuid and server.uuid:
        return replica.uuid == server.uuid
    return replica.server_id == server.server_id
