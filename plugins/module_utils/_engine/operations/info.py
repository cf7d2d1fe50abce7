# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at the pair without touching it: for mysql_repl_info, and as the preflight of the other operations."""

from __future__ import annotations

from dataclasses import dataclass

from .. import downstream as below
from .. import grants, shadow, topology
from ..errors import ConnectError, Refusal, ReplError
from ..facts import Replica, ServerFacts, read_facts
from ..fence import errant_gtids
from ..hazards import BLOCKER, Evidence, Hazard, blockers, judge
from ..links import Link
from ..options import Servers
from ..session import Session, connect
from ..topology import Pair
from ..traces import read_traces


@dataclass(frozen=True)
class InfoReport:
    """The pair as it was found. Without a proved source, ``source`` is None and the first hazard says why.

    ``*_replicas`` are None where the account may not see them.
    """

    target: ServerFacts
    source: ServerFacts | None = None
    forward: Link | None = None
    reverse: Link | None = None
    target_replicas: tuple[Replica, ...] | None = None
    source_replicas: tuple[Replica, ...] | None = None
    hazards: tuple[Hazard, ...] = ()


def run(servers: Servers) -> InfoReport:
    """Report on the pair, hazards judged as for a repair. Raises ConnectError (target), UsageError, ServerError."""
    with connect(servers.target, "target") as target:
        try:
            with topology.open_source(target, servers) as source:
                pair, hazards = _look(source, target, servers, for_repair=True, with_tables=True)
        except (Refusal, ConnectError) as problem:
            return InfoReport(read_facts(target), hazards=(_hazard(problem),))
    return InfoReport(pair.target, pair.source, pair.forward, pair.reverse, pair.target_replicas, pair.source_replicas, hazards)


def preflight(
    source: Session,
    target: Session,
    servers: Servers,
    for_repair: bool,
    databases: tuple[str, ...] = (),
    downstream: str = "refuse",
    method: str = "auto",
    source_writes: tuple[str, ...] = (),
    allow_triggers: bool = False,
) -> tuple[Pair, tuple[Hazard, ...]]:
    """Describe the pair and its hazards before an operation on ``databases`` (none named: on all the account may read).

    Raises Refusal naming every blocker; a comparison is blocked only by what makes it impossible or meaningless,
    while a stopped or delayed link leaves its tables undecided.
    """
    chosen = (downstream, method, source_writes, allow_triggers)
    pair, hazards = _look(source, target, servers, for_repair, databases, False, *chosen)
    blocking = blockers(hazards)
    if blocking:
        raise Refusal(
            blocking[0].code,
            " ".join(f"[{hazard.code}] {hazard.message}" for hazard in blocking),
            " ".join(dict.fromkeys(hazard.remedy for hazard in blocking)),
        )
    return pair, hazards


def _look(
    source: Session,
    target: Session,
    servers: Servers,
    for_repair: bool,
    databases: tuple[str, ...] = (),
    with_tables: bool = False,
    downstream: str = "refuse",
    method: str = "auto",
    source_writes: tuple[str, ...] = (),
    allow_triggers: bool = False,
) -> tuple[Pair, tuple[Hazard, ...]]:
    rights = {session.role: grants.read(session) for session in (source, target)}
    pair = topology.inspect(source, target, servers)
    siblings, deeper = below.Picky(), below.Picky()
    if for_repair:
        siblings = below.ask(source, pair.source, pair.source_replicas)
    if for_repair and pair.target.binlog_format.upper() != "ROW":  # else they get none of its statements
        deeper = below.ask(target, pair.target, pair.target_replicas)
    evidence = Evidence(
        pair,
        rights["source"],
        rights["target"],
        source_named=servers.source.is_named,
        databases=_visible(databases, source, target),
        errant_gtids=errant_gtids(source, target, pair),
        repair=for_repair,
        downstream=downstream,
        logging_refused=shadow.refusal(source) if for_repair and (method != "row" or source_writes) else "",
        method=method,
        source_writes=source_writes,
        allow_triggers=allow_triggers,
        row_only_siblings=siblings.row_only,
        safe_updates_below=(*siblings.safe_updates, *deeper.safe_updates),
        source_traces=read_traces(source, with_tables),
        target_traces=read_traces(target, with_tables),
    )
    return pair, judge(evidence)


def _visible(databases: tuple[str, ...], *sessions: Session) -> tuple[str, ...]:
    """Those that an account sees: to grant rights on one that may not exist would be no advice (selection.py says so)."""
    seen = {row["Database"] for session in sessions for row in session.records("SHOW DATABASES")}
    return tuple(name for name in databases if name in seen)


def _hazard(problem: ReplError) -> Hazard:
    return Hazard(problem.code, BLOCKER, "source", problem.message, problem.remedy)
