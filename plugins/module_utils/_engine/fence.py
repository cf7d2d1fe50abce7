# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Waits until a server has applied everything another one had committed (law 3), and watches that links stay up.

The wait rests on binary log positions, which cover every change that is visible, never on Seconds_Behind, which reads 0
on a replica whose receiver is behind.
"""

from __future__ import annotations

import re
import time
import typing as t
from dataclasses import dataclass

from . import rings, sqltext
from .errors import Refusal, Undecided
from .links import Link, read_links
from .session import Session
from .topology import Pair

# Seconds: how long a wait goes on before the link is looked at again.
_SLICE = 1.0

# Seconds: how long a server may take to say where it stands; one that stalls must not hold a run for ever.
_ANSWER = 60.0

_UUID = r"([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"

# Seconds between two looks at what MariaDB's parallel appliers have committed.
_POLL = 0.02


_CHANGED = "was set up anew meanwhile, to another upstream or with other filters"


@dataclass(frozen=True)
class Position:
    """Everything a server had committed at one moment. ``gtids`` is MySQL's set, or MariaDB's list of last GTIDs."""

    file: str
    offset: int
    gtids: str = ""


def fence(
    upstream: Session, downstream: Session, link: Link, timeout: float, waiting: t.Callable[[], None] = lambda: None
) -> None:
    """Return once ``downstream`` has applied, through ``link``, all that ``upstream`` has committed before the call.

    ``timeout`` is in seconds; ``waiting`` is called about once a second meanwhile. Raises Undecided: ``stopped_link`` or
    ``link_error`` at the latest a second after a thread stopped, ``delayed_link``, ``lagging_link`` when the time is over,
    ``binlog_off``, and what ``waiting`` raises; ServerError when a session fails.
    """
    link = _waiting_still(downstream, link)  # a stopped link gives no verdict, even if it has nothing left to apply
    with upstream.answers_within(_ANSWER):
        position = current_position(upstream)
    deadline = time.monotonic() + timeout
    with downstream.answers_within(_SLICE + _ANSWER):
        while not _reached(downstream, link, position, min(_SLICE, deadline - time.monotonic())):
            waiting()
            link = _waiting_still(downstream, link)
            if time.monotonic() >= deadline:
                raise Undecided(
                    "lagging_link",
                    f"{downstream.name} has not applied within {timeout:g} s what {upstream.name} had committed ({link.name}).",
                    "Wait until replication has caught up, or raise 'fence_timeout'.",
                )


def _fence_detour(source: Session, target: Session, pair: Pair, timeout: float, waiting: t.Callable[[], None]) -> None:
    """Return once the source has all that the target has committed, over whatever servers it comes; MySQL with GTIDs only.

    Raises Undecided: ``long_loop`` without GTIDs; as fence() does for the links by which it may come.
    """
    if not pair.gtids_everywhere:
        raise Undecided(
            "long_loop",
            f"Changes of the target may reach the source through other servers ({pair.detour}); "
            "without GTIDs nothing tells when they have.",
            "Turn GTIDs on (MySQL).",
        )
    with target.answers_within(_ANSWER):
        gtids = _gtids(target)
    deadline = time.monotonic() + timeout
    with source.answers_within(_SLICE + _ANSWER):
        while source.scalar(source.dialect.wait_for_gtids(gtids, _SLICE)) != "0":
            waiting()
            for link in pair.source_upstreams:
                _waiting_still(source, link)
            if time.monotonic() >= deadline:
                raise Undecided(
                    "lagging_link",
                    f"{source.name} has not got within {timeout:g} s what {target.name} had committed, though {pair.detour}.",
                    "Wait until all servers between them have caught up, or raise 'fence_timeout'.",
                )


def fence_both(
    source: Session, target: Session, pair: Pair, timeout: float, waiting: t.Callable[[], None] = lambda: None
) -> None:
    """Drain source→target, and target→source where the target is a master too; ``timeout`` seconds for each.

    Raises Undecided as fence() does, ``unverified_channel`` when a channel of the source could come from the target,
    ``long_loop`` when the target's changes go round by other servers and nothing tells when they have arrived.
    """
    if pair.unverified:
        names = ", ".join(link.name for link in pair.unverified)
        raise Undecided(
            "unverified_channel",
            f"{names} on the source is not connected: whether it would bring changes of the target is unknown.",
            "Start it, or remove it with RESET REPLICA ALL if it is a leftover.",
        )
    fence(source, target, pair.forward, timeout, waiting)
    if pair.reverse:
        fence(target, source, pair.reverse, timeout, waiting)
    elif pair.detour:
        _fence_detour(source, target, pair, timeout, waiting)


def has_what_target_wrote(source: Session, target: Session, pair: Pair, seconds: float = _SLICE) -> bool:
    """Whether the source has applied all that the target has committed up to now; that is waited for up to ``seconds``.

    Short enough to be asked while rows are locked on the source. Raises ServerError.
    """
    try:
        if pair.reverse:
            fence(target, source, pair.reverse, seconds)
        elif pair.detour:
            _fence_detour(source, target, pair, seconds, lambda: None)
    except Undecided:
        return False
    return True


def check_links(source: Session, target: Session, pair: Pair) -> None:
    """Raise Refusal ``broken_link`` when a link of the pair, in either direction, does not replicate any more."""
    for downstream, link in ((target, pair.forward), (source, pair.reverse)):
        if link is None:
            continue
        now = _now(downstream, link)
        problem = "the channel is gone" if not now else _CHANGED if now.is_other_than(link) else now.problem
        if problem:
            raise Refusal(
                "broken_link",
                f"{link.name} on {downstream.name} is broken: {problem}.",
                "Nothing more was written. Mend replication first, then run again.",
            )


def errant_gtids(source: Session, target: Session, pair: Pair) -> str:
    """Give the GTIDs that only a plain replica has: written there, on their way to nowhere. Empty: none, or not known.

    On a co-master they are on their way to the source, as long as the reverse link lives.
    """
    if pair.reverse or pair.detour or pair.unverified:
        return ""
    if source.dialect.is_mariadb and target.dialect.is_mariadb:
        return rings.made_alone(source, target, pair.target)
    if not pair.gtids_everywhere:
        return ""
    # The target first: what arrives there in between is on the source by then.
    here = sqltext.string(target.scalar("SELECT @@global.gtid_executed") or "")
    return (source.scalar(f"SELECT GTID_SUBTRACT({here}, @@global.gtid_executed)") or "").replace("\n", "")


def errant_since(source: Session, target: Session, pair: Pair, before: str) -> str:
    """Give the errant GTIDs that came to be since errant_gtids() gave ``before``. Empty: none, or not known."""
    now = errant_gtids(source, target, pair)
    if source.dialect.is_mariadb:
        return ",".join(gtid for gtid in now.split(",") if gtid not in before.split(","))
    new = source.scalar(f"SELECT GTID_SUBTRACT({sqltext.string(now)}, {sqltext.string(before)})")
    return (new or "").replace("\n", "")


def current_position(upstream: Session) -> Position:
    """Give the end of everything committed on a server. Raises Undecided ``binlog_off``."""
    record = upstream.record(upstream.dialect.show_binlog_position)
    file, offset = record.get("File"), record.get("Position")
    if not file or not offset:
        raise Undecided(
            "binlog_off", f"{upstream.name} writes no binary log, so there is nothing to wait for.", "Enable log_bin there."
        )
    return Position(file, int(offset), _gtids(upstream))


def _gtids(upstream: Session) -> str:
    """Everything that may be visible on a server, as GTIDs.

    On MySQL a transaction is visible for an instant before it counts as executed; until then it is owned. It moves from
    the one to the other, so in this order none is missed
    (https://dev.mysql.com/doc/refman/8.4/en/replication-options-gtids.html#sysvar_gtid_owned).
    """
    if upstream.dialect.is_mariadb:
        return upstream.scalar("SELECT @@global.gtid_binlog_state") or ""
    owned = _owned_set(upstream.scalar("SELECT @@global.gtid_owned") or "")
    executed = upstream.scalar("SELECT @@global.gtid_executed") or ""
    return ",".join(filter(None, (executed, owned)))


def _owned_set(owned: str) -> str:
    """Turn ``uuid:number#thread:number#threaduuid:...`` (no separator between two uuids, 9.7) into a GTID set."""
    parts = re.split(_UUID, owned)
    return ",".join(uuid + re.sub(r"#\d+", "", numbers).rstrip(",\n ") for uuid, numbers in zip(parts[1::2], parts[2::2]))


def _reached(downstream: Session, link: Link, position: Position, seconds: float) -> bool:
    """Wait up to ``seconds``; False: not there yet, for whatever reason."""
    dialect = downstream.dialect
    if not dialect.is_mariadb and link.auto_position and not link.filters.origins and position.gtids:
        # Exact at once, where positions of a multi-threaded applier come from a checkpoint each 300 ms
        # (https://dev.mysql.com/doc/refman/8.4/en/replication-options-replica.html#sysvar_replica_checkpoint_period).
        return downstream.scalar(dialect.wait_for_gtids(position.gtids, seconds)) == "0"
    end = time.monotonic() + seconds
    waited = downstream.scalar(dialect.wait_for_position(position.file, position.offset, seconds, link.channel))
    # NULL: no applier runs; -1: not in time; else the number of events waited for.
    if waited is None or int(waited) < 0:
        return False
    return not (dialect.is_mariadb and link.auto_position) or _domains_applied(downstream, position.gtids, end)


def _domains_applied(downstream: Session, binlog_state: str, end: float) -> bool:
    """MariaDB: wait until the parallel appliers have committed every domain; False: not by ``end``.

    With GTIDs it applies domains out of order and its position is the furthest of them, so that MASTER_POS_WAIT returns
    while another domain's transaction still waits for a lock (10.11, measured; https://mariadb.com/kb/en/parallel-replication/).
    """
    (own_id, threads) = downstream.rows("SELECT @@global.server_id, @@global.slave_parallel_threads")[0]
    wanted = _last_of_domains(binlog_state, except_server=int(own_id or 0))
    if len(wanted) < 2 or threads == b"0":
        return True
    while True:
        applied = _last_of_domains(downstream.scalar("SELECT @@global.gtid_slave_pos") or "", except_server=0)
        if all(applied.get(domain, -1) >= number for domain, number in wanted.items()):
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(_POLL)


def _last_of_domains(gtids: str, except_server: int) -> dict[int, int]:
    """Give the highest sequence number of each domain in ``domain-server-number,...``.

    A server's own transactions that came back to it are skipped, not applied: ``except_server`` leaves them out.
    """
    found: dict[int, int] = {}
    for gtid in filter(None, gtids.split(",")):
        domain, server, number = (int(part) for part in gtid.strip().split("-"))
        if server != except_server:
            found[domain] = max(number, found.get(domain, 0))
    return found


def _now(downstream: Session, link: Link) -> Link | None:
    return next((now for now in read_links(downstream) if now.channel == link.channel), None)


def _waiting_still(downstream: Session, link: Link) -> Link:
    """Look at the link again in the midst of a wait: return it as it is now, or raise Undecided when waiting is in vain."""
    now = _now(downstream, link)
    if now is None:
        raise Undecided("stopped_link", f"{link.name} is gone from {downstream.name}.", "Set up replication again.")
    if now.is_other_than(link):
        # Positions of one upstream mean nothing in the binary log of another.
        raise Undecided("link_changed", f"{link.name} on {downstream.name} {_CHANGED}, {now.name}.", "Run again.")
    if now.sql_error or now.io_error:
        raise Undecided(
            "link_error", f"{now.name} on {downstream.name} is broken: {now.problem}.", "Mend replication, then run again."
        )
    if now.problem:
        raise Undecided(
            "stopped_link", f"{now.name} on {downstream.name} is stopped: {now.problem}.", "Start replication, then run again."
        )
    if now.delay:
        raise Undecided(
            "delayed_link",
            f"{now.name} on {downstream.name} is delayed on purpose by {now.delay} s, so the copies differ by design.",
            "Set its delay to 0 for the time of the run.",
        )
    return now
