# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What keeps the statements of a repair out of the binary log, or an applier from replaying them.

Hazards as in hazards.py, which lists them; method ``row`` is the way round most of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import dialect as dialects
from . import sqltext
from .evidence import BLOCKER, INFO, WARNING, Evidence, Hazard


def _row_format_required(evidence: Evidence) -> Iterator[Hazard]:
    pair = evidence.pair
    rules = pair.applier
    if not evidence.repair:
        return
    if rules.row_format_only is None:
        message = (
            f"the account may not see whether {pair.forward.name} takes logged statements (REQUIRE_ROW_FORMAT, "
            "PRIVILEGE_CHECKS_USER); if it does not, a repair stops it."
        )
        remedy = (
            "Run on the target: GRANT SELECT ON performance_schema.replication_applier_configuration"
            f" TO {evidence.target_grants.account}"
        )
        yield Hazard("row_format_unknown", WARNING, "target", message, remedy)
    elif rules.row_format_only and not rules.checked_account and evidence.can_go_by_rows:
        message = f"{pair.forward.name} has REQUIRE_ROW_FORMAT=1: all tables are repaired by row changes."
        yield Hazard("row_format_required", INFO, "target", message, "Nothing to do.")
    elif rules.row_format_only or rules.checked_account:
        what = {"REQUIRE_ROW_FORMAT=1": "REQUIRE_ROW_FORMAT=0"} if rules.row_format_only else {}
        if rules.checked_account:
            what[f"PRIVILEGE_CHECKS_USER={rules.checked_account}"] = "PRIVILEGE_CHECKS_USER=NULL"
        why = "a repair is logged as statements, which would stop this link."
        if evidence.can_go_by_rows:
            why = "whether that account may apply a repair is not known; where it may not, this link would stop."
        elif evidence.method == "row":
            why = "rows for the source are logged as statements, which would stop this link."
        message = f"{pair.forward.name} has {', '.join(what)}: {why}"
        channel = f" FOR CHANNEL {sqltext.string(pair.forward.channel)}" if pair.forward.channel else ""
        remedy = (
            f"For the time of the repair run on the target: STOP REPLICA{channel}; "
            f"CHANGE REPLICATION SOURCE TO {', '.join(what.values())}{channel}; START REPLICA{channel}"
        )
        if not (rules.checked_account or evidence.source_writes):
            remedy = f"Set 'method: row', which writes the source's real tables and leaves them as they were. Or: {remedy}"
        yield Hazard("row_format_required", BLOCKER, "target", message, remedy)


def _row_only_siblings(evidence: Evidence) -> Iterator[Hazard]:
    siblings = evidence.row_only_siblings
    if not (evidence.repair and siblings):
        return
    who = f"other replicas of the source take row changes only ({', '.join(str(replica) for replica, _rules in siblings)})"
    message = f"{who}: a repair is logged as statements, which would stop them."
    if evidence.can_go_by_rows:
        if not any(rules.checked_account for _replica, rules in siblings):
            message = f"{who}: all tables are repaired by row changes."
            yield Hazard("row_format_required", INFO, "source", message, "Nothing to do.")
            return
        message = (
            f"{who}: whether their PRIVILEGE_CHECKS_USER may apply a repair is not known; where it may not, they would stop."
        )
    remedy = (
        "For the time of the repair run there: STOP REPLICA; CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT=0,"
        " PRIVILEGE_CHECKS_USER=NULL; START REPLICA."
    )
    if not evidence.source_writes:
        remedy += " Or set 'method: row' and 'downstream: idempotent'."
    yield Hazard("row_format_required", BLOCKER, "source", message, remedy)


def _shadow_refused(evidence: Evidence) -> Iterator[Hazard]:
    for server, traces in evidence.traces:
        if evidence.repair and traces.shadow_obstacles:
            message = f"{server.name} refuses the temporary table of a repair ({', '.join(traces.shadow_obstacles)})" + (
                "; its applier would stop." if server.role == "target" else "."
            )
            remedy = "For the time of the repair: SET GLOBAL innodb_force_primary_key=OFF, enforce_storage_engine=NULL there."
            yield Hazard("shadow_refused", BLOCKER, server.role, message, remedy)


def _safe_updates(evidence: Evidence) -> Iterator[Hazard]:
    careful = [evidence.pair.target.name] if evidence.target_traces.safe_updates else []
    careful += [f"the replica {replica}" for replica in evidence.safe_updates_below]
    by_statements = evidence.method != "row" or evidence.source_writes
    if evidence.repair and by_statements and careful:
        message = (
            f"{', '.join(careful)}: sql_safe_updates is ON there, so the applier stops (error 1175) on a statement of the repair"
            " for which it uses no key."
        )
        remedy = "For the time of the repair run there: SET GLOBAL sql_safe_updates=OFF, and restart the applier."
        if not evidence.source_writes:
            remedy += " Or set 'method: row'."
        yield Hazard("safe_updates", BLOCKER, "target" if evidence.target_traces.safe_updates else "link", message, remedy)


def _statement_logging_refused(evidence: Evidence) -> Iterator[Hazard]:
    source, rights = evidence.pair.source, evidence.source_grants
    words = dialects.detect(source.version, source.flavor)
    # Where a right is known to be missing, that is said already.
    if evidence.repair and evidence.logging_refused and not rights.missing_for_shadow(words, evidence.databases):
        message = (
            f"{source.name} does not let {rights.account} log statements in a session of its own ({evidence.logging_refused}); "
            "that is how a repair gets into the binary log."
        )
        service = (
            f" Ask {source.managed_by} whether it can be had, or repair from a server of your own." if source.managed_by else ""
        )
        right = words.shadow_privileges[0].partition("|")[0]
        remedy = f"It takes {right} and a server that has binlog_format and sql_log_bin.{service}"
        yield Hazard("statement_logging_refused", BLOCKER, "source", message, remedy)


STATEMENTS: tuple[Callable[[Evidence], Iterator[Hazard]], ...] = (
    _row_format_required,
    _row_only_siblings,
    _shadow_refused,
    _safe_updates,
    _statement_logging_refused,
)
