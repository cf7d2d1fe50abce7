# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What about two servers and their links endangers a comparison or a repair.

One small function for each danger, pure: evidence in, hazards out. The list at the end names them all.
A *blocker* makes the run impossible or unsafe (law 15); a *warning* is for a person to weigh; *info* is good to know.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from . import dialect as dialects
from .facts import Replica, ServerFacts
from .grants import Grants
from .links import Link
from .topology import Pair

INFO, WARNING, BLOCKER = "info", "warning", "blocker"


@dataclass(frozen=True)
class Hazard:
    """One danger: ``server`` is source, target or link; the message says what was found and why it matters."""

    code: str
    severity: str
    server: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Evidence:
    """What the hazards are judged from. ``source_named``: the user gave the source's address himself.

    ``repair``: judge for a repair instead of a comparison. No ``databases``: all that the account may read.
    """

    pair: Pair
    source_grants: Grants
    target_grants: Grants
    source_named: bool = False
    databases: tuple[str, ...] = ()
    errant_gtids: str = ""
    repair: bool = False

    @property
    def grave(self) -> str:
        """Severity of what makes a repair unsafe, but a comparison at worst undecided."""
        return BLOCKER if self.repair else WARNING

    @property
    def servers(self) -> tuple[ServerFacts, ServerFacts]:
        """Source and target."""
        return self.pair.source, self.pair.target

    @property
    def links(self) -> tuple[Link, ...]:
        """The links between the two, in both directions."""
        return tuple(link for link in (self.pair.forward, self.pair.reverse) if link)

    @property
    def appliers(self) -> tuple[ServerFacts, ...]:
        """The servers that apply changes of the other one."""
        return (self.pair.target, self.pair.source) if self.pair.reverse else (self.pair.target,)


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


def _source_read_only(evidence: Evidence) -> Iterator[Hazard]:
    source = evidence.pair.source
    if source.read_only or source.super_read_only:
        message = "the source is read_only: usually the mark of the server that is not the authority"
        # MySQL logs a repair even under super_read_only (9.7, measured).
        silent = source.flavor == dialects.MARIADB
        message += ", and MariaDB does not log a repair then." if silent else "."
        remedy = "Check which server is the authority; SET GLOBAL read_only=0 on the source for the repair."
        yield Hazard("source_read_only", evidence.grave if silent else WARNING, "source", message, remedy)


def _both_writable(evidence: Evidence) -> Iterator[Hazard]:
    if _both_write(evidence.pair):
        message = "both servers take writes (read_only is off); rows may change on the target during the run."
        yield Hazard(
            "both_writable", INFO, "link", message, "SET GLOBAL read_only=1 on the one that the application does not use."
        )


def _auto_increment_collision(evidence: Evidence) -> Iterator[Hazard]:
    a, b = evidence.servers
    apart = a.auto_increment_offset - b.auto_increment_offset
    if _both_write(evidence.pair) and apart % math.gcd(a.auto_increment_increment, b.auto_increment_increment) == 0:
        settings = ", ".join(f"{s.role} {s.auto_increment_increment}/{s.auto_increment_offset}" for s in (a, b))
        message = f"both servers take writes and hand out the same AUTO_INCREMENT values (increment/offset: {settings})."
        yield Hazard(
            "auto_increment_collision",
            WARNING,
            "link",
            message,
            "Set auto_increment_increment=2 on both, auto_increment_offset 1 and 2.",
        )


def _both_write(pair: Pair) -> bool:
    return pair.reverse is not None and not (pair.source.read_only or pair.target.read_only)


def _skip_errors(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.appliers:
        if server.skip_errors.upper() not in ("OFF", ""):
            message = f"{server.name} skips replication errors ({server.skip_errors}): a source of drift that goes unnoticed."
            yield Hazard(
                "skip_errors",
                WARNING,
                server.role,
                message,
                "Remove slave_skip_errors / replica_skip_errors from its configuration.",
            )


def _idempotent_left_on(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.appliers:
        if server.exec_mode.upper() != "STRICT":
            message = (
                f"{server.name} applies rows in {server.exec_mode} mode: missing and duplicate rows are passed over in silence."
            )
            yield Hazard("idempotent_left_on", WARNING, server.role, message, "SET GLOBAL slave_exec_mode='STRICT' there.")


def _binlog_off(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers if evidence.pair.reverse else (evidence.pair.source,):
        if not server.binlog:
            message = f"{server.name} writes no binary log, so nothing of it can reach the other one."
            yield Hazard("binlog_off", evidence.grave, server.role, message, "Enable log_bin there (needs a restart).")


def _settings_differ(evidence: Evidence) -> Iterator[Hazard]:
    a, b = evidence.servers
    for code, name, values, why in (
        ("binlog_format_differs", "binlog_format", (a.binlog_format, b.binlog_format), "statements may take other effects"),
        ("time_zone_differs", "time_zone", (_zone(a), _zone(b)), "the same TIMESTAMP prints differently"),
        ("sql_mode_differs", "sql_mode", (_words(a.sql_mode), _words(b.sql_mode)), "the same statement may store other values"),
        ("collation_differs", "character set and collation", (_collation(a), _collation(b)), "new tables may differ"),
    ):
        if values[0] != values[1]:
            message = f"{name} differs: source {values[0]!r}, target {values[1]!r}; {why}. The comparison is not affected."
            yield Hazard(code, INFO, "link", message, f"Configure the same {name} on both.")


def _version_differs(evidence: Evidence) -> Iterator[Hazard]:
    a, b = evidence.servers
    found = f"source {a.flavor} {a.version}, target {b.flavor} {b.version}"
    if a.flavor != b.flavor:
        message = f"the servers are of different makes ({found}); their functions and statements do not mean the same."
        yield Hazard("version_differs", evidence.grave, "link", message, "Repair between servers of one make.")
    elif a.version != b.version:
        message = f"the servers' versions differ ({found})."
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
        yield Hazard(
            "downstream_replicas",
            severity,
            "target",
            message,
            "Repair them from the source directly, or detach them for the time of the repair.",
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
            yield from _missing(
                "missing_grant_repair", server, rights, rights.missing_for_shadow(words, evidence.databases), "repair"
            )


def _missing(code: str, server: ServerFacts, rights: Grants, statements: tuple[str, ...], purpose: str) -> Iterator[Hazard]:
    if statements:
        message = f"the account {rights.account} lacks rights on {server.name} that are needed to {purpose}."
        if rights.unparsed:
            message += f" (Not sure: these of its grants were not understood: {'; '.join(rights.unparsed)}.)"
        yield Hazard(
            code,
            WARNING if rights.unparsed else BLOCKER,
            server.role,
            message,
            f"Run on the {server.role}: {'; '.join(statements)}",
        )


def _errant_gtids(evidence: Evidence) -> Iterator[Hazard]:
    if evidence.errant_gtids:
        shown = evidence.errant_gtids if len(evidence.errant_gtids) <= 200 else f"{evidence.errant_gtids[:200]}..."
        message = f"the target has transactions that the source never saw ({shown}): it was written to directly."
        yield Hazard(
            "errant_gtids", WARNING, "target", message, "See with mysqlbinlog what they did; keep super_read_only on there."
        )


def _zone(server: ServerFacts) -> str:
    return server.system_time_zone if server.time_zone.upper() == "SYSTEM" else server.time_zone


def _words(mode: str) -> str:
    return ",".join(sorted(mode.split(",")))


def _collation(server: ServerFacts) -> str:
    return f"{server.character_set_server}/{server.collation_server}"


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
    _downstream_replicas,
    _replicas_unknown,
    _sibling_replicas,
    _multi_source_target,
    _replication_filter,
    _skip_errors,
    _idempotent_left_on,
    _both_writable,
    _auto_increment_collision,
    _errant_gtids,
    _version_differs,
    _settings_differ,
)
