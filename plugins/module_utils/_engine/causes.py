# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What makes copies drift apart: hints at the cause of what a comparison finds, none of which stops a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from . import dialect as dialects
from .evidence import INFO, WARNING, Evidence, Hazard
from .facts import ServerFacts
from .topology import Pair


def _shortened(gtids: str) -> str:
    return gtids if len(gtids) <= 200 else f"{gtids[:200]}..."


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


def _errant_gtids(evidence: Evidence) -> Iterator[Hazard]:
    if evidence.errant_gtids:
        shown = _shortened(evidence.errant_gtids)
        how = (
            "The last ones of its own in gtid_binlog_state that the source has not"
            if evidence.pair.target.flavor == dialects.MARIADB
            else "GTID_SUBTRACT(gtid_executed of the target, gtid_executed of the source)"
        )
        message = f"the target has transactions that the source never saw: it was written to directly. {how}: {shown}."
        yield Hazard(
            "errant_gtids", WARNING, "target", message, "See with mysqlbinlog what they did; keep super_read_only on there."
        )


def written_meanwhile(gtids: str) -> Iterator[Hazard]:
    """``gtids``: what a plain replica was given to write, by others, while its rows were repaired."""
    if gtids:
        message = (
            f"the target was written to directly while it was repaired ({_shortened(gtids)}). Rows of the repair that this hit"
            " are as the source's now, and the undo journal may have them as they were before that write."
        )
        yield Hazard(
            "written_meanwhile", WARNING, "target", message, "See with mysqlbinlog what it did; keep super_read_only on."
        )


def _skipped_events(evidence: Evidence) -> Iterator[Hazard]:
    for server, traces in evidence.traces:
        if server not in evidence.appliers:
            continue
        if traces.skipped_errors:
            message = f"{server.name} has passed over {traces.skipped_errors} replication errors since it started: likely drift."
            yield Hazard("skipped_events", WARNING, server.role, message, "Remove slave_skip_errors from its configuration.")
        if traces.skip_counter:
            message = (
                f"{server.name} is told to skip the next {traces.skip_counter} events (sql_slave_skip_counter): drift to come."
            )
            yield Hazard("skipped_events", WARNING, server.role, message, "SET GLOBAL sql_slave_skip_counter=0 there.")


def _statement_logging(evidence: Evidence) -> Iterator[Hazard]:
    for server in evidence.servers if evidence.pair.reverse else (evidence.pair.source,):
        if server.binlog_format.upper() == "STATEMENT":
            message = (
                f"{server.name} logs statements: one whose effect is not the same everywhere (LIMIT without ORDER BY, UUID(), "
                "triggers, functions that write) makes the copies drift apart."
            )
            traces = evidence.source_traces if server.role == "source" else evidence.target_traces
            if traces.unsafe_statements:
                message += f" It has warned of {traces.unsafe_statements} such statements since it started (warning 1592)."
            if traces.unsafe_code:
                message += f" Candidates by their text: {_some(traces.unsafe_code)}."
            severity = WARNING if traces.unsafe_statements or traces.unsafe_code else INFO
            yield Hazard("statement_logging", severity, server.role, message, "Set binlog_format=ROW there.")


def _non_transactional_tables(evidence: Evidence) -> Iterator[Hazard]:
    for server, traces in evidence.traces:
        if traces.unsafe_tables:
            message = (
                f"{server.name} has tables whose engine cannot roll back ({_some(traces.unsafe_tables)}): a statement that fails "
                "half-way, or a crash, leaves rows there that replicas do not have."
            )
            yield Hazard(
                "non_transactional_tables",
                INFO,
                server.role,
                message,
                "ALTER TABLE ... ENGINE=InnoDB; a repair locks them whole.",
            )


def _not_crash_safe(evidence: Evidence) -> Iterator[Hazard]:
    for server, traces in evidence.traces:
        if server.binlog and traces.crash_unsafe:
            message = (
                f"{server.name} may lose its last transactions in a crash ({', '.join(traces.crash_unsafe)}) while its replicas "
                "keep them, or the other way round."
            )
            yield Hazard("not_crash_safe", INFO, server.role, message, "Set sync_binlog=1 and innodb_flush_log_at_trx_commit=1.")


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


def unexplained(hazards: Iterable[Hazard], drift: bool) -> tuple[Hazard, ...]:
    """What remains where rows differ and no hint explains it: a hazard more, or none."""
    if not drift or any(hazard.code in _EXPLAINING for hazard in hazards):
        return ()
    message = (
        "rows differ, and nothing that was found explains it. What remains leaves no trace on the servers: changes with "
        "sql_log_bin=0, writing on a replica that logs nothing, a restore or a copy that was not complete."
    )
    remedy = (
        "See the hints of mysql_repl_info, which goes through all tables; look at who may set sql_log_bin (SUPER, BINLOG ADMIN, "
        "SESSION_VARIABLES_ADMIN), and at how the target was set up."
    )
    return (Hazard("unlogged_change", INFO, "link", message, remedy),)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _both_write(pair: Pair) -> bool:
    return pair.reverse is not None and not (pair.source.read_only or pair.target.read_only)


def _zone(server: ServerFacts) -> str:
    return server.system_time_zone if server.time_zone.upper() == "SYSTEM" else server.time_zone


def _words(mode: str) -> str:
    return ",".join(sorted(mode.split(",")))


def _collation(server: ServerFacts) -> str:
    return f"{server.character_set_server}/{server.collation_server}"


# Hints that would explain drift by themselves; different settings do not touch rows that are there.
_EXPLAINING = frozenset(
    {
        "skip_errors", "idempotent_left_on", "skipped_events", "both_writable", "auto_increment_collision", "errant_gtids",
        "statement_logging", "non_transactional_tables", "not_crash_safe", "link_error", "replication_filter",
        "multi_source_target", "shared_upstream",
    }
)  # fmt: skip

CAUSES: tuple[Callable[[Evidence], Iterator[Hazard]], ...] = (
    _skip_errors,
    _idempotent_left_on,
    _skipped_events,
    _both_writable,
    _auto_increment_collision,
    _errant_gtids,
    _statement_logging,
    _non_transactional_tables,
    _not_crash_safe,
    _settings_differ,
)
