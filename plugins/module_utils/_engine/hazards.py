# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What about two servers and their links endangers a comparison or a repair.

One small function for each danger, pure: evidence in, hazards out. The list at the end names them all.
A *blocker* makes the run impossible or unsafe (law 15); a *warning* is for a person to weigh; *info* is good to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from . import dialect as dialects
from . import downstream
from .causes import CAUSES
from .evidence import BLOCKER, INFO, WARNING, Evidence, Hazard
from .facts import Replica, ServerFacts
from .grants import Grants
from .statements import STATEMENTS

__all__ = ["BLOCKER", "INFO", "WARNING", "Evidence", "Hazard", "blockers", "judge"]


def judge(evidence: Evidence) -> tuple[Hazard, ...]:
    """Give all hazards, blockers first."""
    order = (BLOCKER, WARNING, INFO)
    return tuple(
        sorted((hazard for check in _HAZARDS for hazard in check(evidence)), key=lambda hazard: order.index(hazard.severity))
    )


def blockers(hazards: Iterable[Hazard]) -> tuple[Hazard, ...]:
    """Give those that stop a run."""
    return tuple(hazard for hazard in hazards if hazard.severity == BLOCKER)


def _link_state(evidence: Evidence) -> Iterator[Hazard]:
    for link in evidence.links:
        code = "link_error" if link.io_error or link.sql_error else "stopped_link"
        if link.problem:
            message = f"{link.name} does not replicate: {link.problem}. What differs may only be on its way."
            yield Hazard(code, evidence.grave, "link", message, "Mend and start replication, then run again.")


def _delayed_link(evidence: Evidence) -> Iterator[Hazard]:
    for link in evidence.links:
        if link.delay:
            message = f"{link.name} is delayed on purpose by {link.delay} s, so the copies differ by design."
            yield Hazard("delayed_link", evidence.grave, "link", message, "Set its delay to 0 for the time of the run.")


def _replication_filter(evidence: Evidence) -> Iterator[Hazard]:
    remedy = "Leave such tables out with 'ignore_databases' or 'ignore_tables'."
    for link in evidence.links:
        if link.filters.text:
            message = f"{link.name} leaves changes out ({link.filters.text}); such tables cannot be repaired."
            yield Hazard("replication_filter", WARNING, "link", message, remedy)
    for server in evidence.servers:
        if server.binlog_filters:
            message = f"{server.name} does not log everything ({server.binlog_filters}); what it does not log reaches no replica."
            yield Hazard("replication_filter", WARNING, server.role, message, remedy)


def _unverified_channel(evidence: Evidence) -> Iterator[Hazard]:
    for link in evidence.pair.unverified:
        message = (
            f"{link.name} of the source is not connected, so whether it brings changes of the target is unknown; "
            "rows written on the target could still be on their way."
        )
        yield Hazard(
            "unverified_channel",
            evidence.grave,
            "source",
            message,
            "Start it, or drop it with RESET REPLICA ALL if it is a leftover.",
        )


def _source_is_replica(evidence: Evidence) -> Iterator[Hazard]:
    names = ", ".join(link.name for link in evidence.pair.source_upstreams)
    if names:
        message = f"the source replicates from a third server ({names}), which may be the one whose copy is right."
        severity = WARNING if evidence.source_named else BLOCKER
        yield Hazard(
            "source_is_replica",
            severity,
            "source",
            message,
            "If the source is the authority nevertheless, name it with 'source: {host: ...}'.",
        )


def _multi_source_target(evidence: Evidence) -> Iterator[Hazard]:
    names = ", ".join(link.name for link in evidence.pair.target_upstreams)
    if names:
        message = f"the target replicates from other servers too ({names}); their rows would be taken for surplus ones."
        yield Hazard("multi_source_target", WARNING, "target", message, "Select only tables that come from the source.")


def _long_loop(evidence: Evidence) -> Iterator[Hazard]:
    pair = evidence.pair
    if not pair.detour:
        return
    message = f"changes of the target may reach the source through other servers: {pair.detour}."
    if pair.gtids_everywhere and not evidence.repair:
        message += " They are waited for by their GTIDs."
        yield Hazard("long_loop", INFO, "link", message, "Nothing to do for a comparison.")
    elif evidence.repair:
        message += " A repair would go round all of them, which may stop on it."
        remedy = "Open the loop between target and source for the time of the repair, so that the servers are a chain."
        yield Hazard("long_loop", BLOCKER, "link", message, remedy)
    else:
        message += " Without MySQL's GTIDs nothing tells when they have arrived: what differs may only be on its way."
        remedy = "Turn GTIDs on (MySQL); else compare when nothing is written, with the loop opened between target and source."
        yield Hazard("long_loop", BLOCKER, "link", message, remedy)


def _shared_upstream(evidence: Evidence) -> Iterator[Hazard]:
    names = ", ".join(link.name for link in evidence.pair.shared_upstreams)
    if names:
        message = (
            f"both servers replicate from the same third one ({names}): its rows may be on the target before the source has "
            "them, and would be taken for surplus ones."
        )
        remedy = "Repair both from that server instead, each as its target; or stop writing there and on that channel first."
        yield Hazard("shared_upstream", evidence.grave, "target", message, remedy)


def _managed_service(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers:
        if server.managed_by:
            message = (
                f"{server.name} is run by {server.managed_by}: some rights cannot be granted there to anybody, and some settings "
                "are in the service's own parameter groups."
            )
            remedy = "Check as usual. Whether a repair is possible there, the blockers say: none, or the right that is lacking."
            yield Hazard("managed_service", INFO, server.role, message, remedy)


def _source_read_only(evidence: Evidence) -> Iterator[Hazard]:
    source = evidence.pair.source
    if source.read_only or source.super_read_only:
        message = "the source is read_only: usually the mark of the server that is not the authority"
        # MySQL logs a repair even under super_read_only (9.7, measured).
        silent = source.flavor == dialects.MARIADB
        message += ", and MariaDB does not log a repair then." if silent else "."
        remedy = "Check which server is the authority; SET GLOBAL read_only=0 on the source for the repair."
        if evidence.source_writes and not silent:
            message += " Rows of the target are to be copied to it."
        blocks = silent or evidence.source_writes
        yield Hazard("source_read_only", evidence.grave if blocks else WARNING, "source", message, remedy)


def _binlog_off(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers if evidence.pair.reverse else (evidence.pair.source,):
        if not server.binlog:
            message = f"{server.name} writes no binary log, so nothing of it can reach the other one."
            yield Hazard("binlog_off", evidence.grave, server.role, message, "Enable log_bin there (needs a restart).")


def _shows_the_past(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers:
        if server.as_of:
            message = f"{server.name} shows the rows that system-versioned tables had at {server.as_of}, not those they have."
            yield Hazard("shows_the_past", BLOCKER, server.role, message, "SET GLOBAL system_versioning_asof = DEFAULT there.")


def _different_makes(evidence: Evidence) -> Iterator[Hazard]:
    a, b = evidence.servers
    if a.flavor != b.flavor:
        message = (
            f"the servers are of different makes (source {a.flavor} {a.version}, target {b.flavor} {b.version}). A repair is "
            "logged as statements, and at those of the other make an applier may stop, or pass them over without an error."
        )
        remedy = "A comparison is exact. Repair from a server of the target's make, or bring the rows to the target by hand."
        yield Hazard("different_makes", evidence.grave, "link", message, remedy)


def _version_differs(evidence: Evidence) -> Iterator[Hazard]:
    a, b = evidence.servers
    if a.flavor == b.flavor and a.version != b.version:
        message = f"the servers' versions differ (source {a.flavor} {a.version}, target {b.flavor} {b.version})."
        yield Hazard("version_differs", INFO, "link", message, "The target should not be older than the source.")


def _clusters(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers:
        for code, name, present in (
            ("galera", "Galera", server.galera),
            ("group_replication", "Group Replication", server.group_replication),
        ):
            if present:
                message = f"{server.name} is a member of a {name} cluster, where a change made for one copy reaches all of them."
                yield Hazard(code, BLOCKER, server.role, message, f"{name} has its own ways to rebuild a member; use those.")


def _downstream_replicas(evidence: Evidence) -> Iterator[Hazard]:
    if evidence.pair.target_replicas:
        message = (
            f"replicas hang below the target: {_names(evidence.pair.target_replicas)}. The target logs a repair again, "
            "as row changes that they may already have: they would stop with error 1062 or 1032."
        )
        severity = BLOCKER if evidence.repair else INFO
        if downstream.is_harmless(evidence.pair.target):
            message = f"replicas hang below the target: {_names(evidence.pair.target_replicas)}. A repair runs on them too."
            severity = INFO
        elif evidence.downstream == "idempotent":
            severity = INFO
            message += " They run in IDEMPOTENT mode meanwhile, as 'downstream' says."
        yield Hazard(
            "downstream_replicas",
            severity,
            "target",
            message,
            "Set 'downstream: idempotent', or detach them for the time of the repair.",
        )


def _sibling_replicas(evidence: Evidence) -> Iterator[Hazard]:
    if evidence.pair.source_replicas:
        message = f"a repair runs on the source's other replicas too: {_names(evidence.pair.source_replicas)}."
        yield Hazard(
            "sibling_replicas",
            WARNING if evidence.repair else INFO,
            "source",
            message,
            "Check them as well, each as a target of its own.",
        )


def _replicas_unknown(evidence: Evidence) -> Iterator[Hazard]:
    for server, replicas, rights in (
        (evidence.pair.target, evidence.pair.target_replicas, evidence.target_grants),
        (evidence.pair.source, evidence.pair.source_replicas, evidence.source_grants),
    ):
        if replicas is None:
            message = f"the account may not see which replicas hang below {server.name}; a repair could break them."
            severity = BLOCKER if evidence.repair else INFO
            yield Hazard(
                "replicas_unknown",
                severity,
                server.role,
                message,
                f"Run on the {server.role}: GRANT PROCESS ON *.* TO {rights.account}",
            )


def _missing_grants(evidence: Evidence) -> Iterator[Hazard]:
    for server, rights in zip(evidence.servers, (evidence.source_grants, evidence.target_grants)):
        words = dialects.detect(server.version, server.flavor)
        yield from _missing("missing_grant_check", server, rights, rights.missing_for_check(words, evidence.databases), "compare")
        if evidence.repair and server.role == "source":
            wanted = rights.missing_for_rows if evidence.method == "row" else rights.missing_for_shadow
            yield from _missing("missing_grant_repair", server, rights, wanted(words, evidence.databases), "repair")
            writes = rights.missing_for_writes(evidence.source_writes, evidence.databases)
            purpose = "copy rows of the target to the source (extra_rows: adopt needs INSERT, conflict: newest UPDATE)"
            yield from _missing("missing_grant_adopt", server, rights, writes, purpose)


def _missing(code: str, server: ServerFacts, rights: Grants, statements: tuple[str, ...], purpose: str) -> Iterator[Hazard]:
    if statements:
        message = f"the account {rights.account} lacks rights on {server.name} that are needed to {purpose}."
        if server.managed_by:
            message += (
                f" ({server.managed_by} may let nobody have them; then compare here, and repair from a server of your own.)"
            )
        if rights.unparsed:
            message += f" (Not sure: these of its grants were not understood: {'; '.join(rights.unparsed)}.)"
        yield Hazard(
            code,
            WARNING if rights.unparsed else BLOCKER,
            server.role,
            message,
            f"Run on the {server.role}: {'; '.join(statements)}",
        )


def _names(replicas: tuple[Replica, ...]) -> str:
    return ", ".join(map(str, replicas))


_HAZARDS: tuple[Callable[[Evidence], Iterator[Hazard]], ...] = (
    _clusters,
    _missing_grants,
    _link_state,
    _delayed_link,
    _unverified_channel,
    _source_is_replica,
    _source_read_only,
    _binlog_off,
    _shows_the_past,
    _downstream_replicas,
    _replicas_unknown,
    _sibling_replicas,
    _multi_source_target,
    _replication_filter,
    _long_loop,
    _shared_upstream,
    *STATEMENTS,
    _managed_service,
    _different_makes,
    _version_differs,
    *CAUSES,
)
