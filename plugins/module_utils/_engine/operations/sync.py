# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the drift of a pair and repair it through the source."""

from __future__ import annotations

import itertools
import time
import typing as t
from dataclasses import dataclass, replace

from .. import downstream, planfile, present
from ..causes import unexplained, written_meanwhile
from ..errors import Refusal, ReplError, TableProblem, Undecided
from ..examine import Examination
from ..foresight import foresee
from ..giving import statement
from ..hazards import Hazard
from ..lanes import Lane
from ..options import Pace, Repair, Selection, Servers
from ..plan import TablePlan, check_caps, plan_table, refuse_cut
from ..planned import examine_planned
from ..policy import Policy, policy_of, refuse_unknown_column
from ..progress import COMPARE, Listener, Meter, nobody
from ..recipes import AUTO, BY_ROWS
from ..report import DRIFT, ERROR, SKIPPED, UNDECIDED, Changes, DiffBlock, SyncReport, TableReport, summarize
from ..rewrite import preview
from ..selection import named_databases
from ..topology import OpenPair, Pair, inspect, open_pair
from . import info
from .apply import Applied, apply_plans
from .by_rows import ByRows
from .checksum import NOT_TABLES, all_identical, examine_all, is_identical, server_report
from .shared import Run, collecting_seldom, only_run, put_back

# Statements and rows handed back to the caller; all of them are in the journal.
_STATEMENTS_SHOWN = 100


def run(
    servers: Servers,
    selection: Selection,
    pace: Pace,
    repair: Repair,
    sample_rows: int,
    apply: bool,
    plan_file: str = "",
    listener: Listener = nobody,
) -> SyncReport:
    """Compare, plan, and with ``apply`` repair, drain and verify.

    With ``plan_file`` nothing is compared but the rows of that plan, and no others are repaired.
    Without ``apply`` nothing is written anywhere. Raises ReplError before anything is changed when
    the run must not happen at all, and what the ``listener`` raises; problems of single tables are in the report, which
    then says ``failed``. Ended by the listener while rows are repaired, it reports what was done until then.
    """
    started = time.monotonic()
    meter = Meter(listener)
    policy = policy_of(repair)
    with collecting_seldom(), open_pair(servers) as connections:
        databases = () if plan_file else named_databases(selection)
        start = _preflight(connections, servers, databases, repair, apply)
        pair, hazards = start.pair, start.hazards
        if repair.method == AUTO and any(hazard.code == "row_format_required" for hazard in hazards):
            # Some server takes no statements; since it does not block the run, rows may do it.
            repair = replace(repair, method=BY_ROWS)
        this = Run(connections, pair, servers, repair, pace, meter, started)
        by_rows = ByRows(this)
        with only_run(connections.source, connections.target, pair):
            mended = (*start.mended, *(by_rows.put_back(but_target=bool(start.mended)) if apply else ()))
            if plan_file:
                examined = _examine_plan(this, sample_rows, plan_file)
            else:
                # One more than allowed is enough to know that there are too many.
                examined = examine_all(
                    connections, pair, servers, selection, pace, sample_rows, repair.max_changes + 1, meter=meter
                )
            refuse_unknown_column(policy, [each.table for each in examined if each.table])
            rows_below = bool(pair.target_replicas) and not downstream.is_harmless(pair.target)
            plans, tables = _plan(examined, repair, rows_below, by_rows)
            refused = _refused(examined, plans, repair)
            if not apply and not refused:
                plans, tables = _foreseen(connections, plans, tables, repair)
            report = SyncReport(
                in_sync=all_identical(tables),
                verified=apply and all_identical(tables),
                tables=tables,
                summary=summarize(tables, time.monotonic() - started),
                source=server_report(pair.source),
                target=server_report(pair.target),
                hazards=(*hazards, *mended, *unexplained(hazards, any(table.status == DRIFT for table in tables))),
                changed=any(plan.counts.total for plan in plans),
                changes=sum((plan.counts for plan in plans), Changes()),
                statements=_first(_statements(plans, policy)),
                diff=_diff(plans, connections.source.endpoint.address, connections.target.endpoint.address),
            )
            if refused:
                return replace(
                    report, changed=False, changes=Changes(), statements=(), diff=(), failed=True, message=str(refused)
                )
            if apply and report.changed:
                report = _applied(report, apply_plans(this, plans, by_rows))
            elif report.changed and repair.downstream == "idempotent":
                downstream.refuse_unsettable(by_rows.replicas())
    report = replace(report, summary=summarize(report.tables, time.monotonic() - started))
    return _with_problems(report)


@dataclass(frozen=True)
class _Start:
    """How a run finds the servers. ``mended``: the target, which an earlier run had left lenient, was put back."""

    pair: Pair
    hazards: tuple[Hazard, ...]
    mended: tuple[Hazard, ...] = ()


def _preflight(connections: OpenPair, servers: Servers, databases: tuple[str, ...], repair: Repair, apply: bool) -> _Start:
    """As info.preflight(), for a repair.

    Where the target has stopped at what a run of ours had logged that died with it, ``apply`` has it go on first.
    """
    source, target = connections.source, connections.target
    wishes = (repair.downstream, repair.method, policy_of(repair).source_writes, repair.allow_triggers)
    try:
        return _Start(*info.preflight(source, target, servers, True, databases, *wishes))
    except Refusal as refused:
        if refused.code != "link_error":
            raise
        before = Run(connections, inspect(source, target, servers), servers, repair, Pace())
        aftermath = before.aftermath()
        if not (aftermath.is_ours and apply):
            raise before.advised(refused, aftermath) from refused
        with only_run(source, target, before.pair):
            words = aftermath.put_back(servers.fence_timeout)
    found = info.preflight(source, target, servers, True, databases, *wishes)
    return _Start(*found, (put_back(words),) if words else ())


def _examine_plan(this: Run, sample_rows: int, plan_file: str) -> tuple[Examination, ...]:
    planned = planfile.read(plan_file, this.pair.source, this.pair.target, this.repair.max_changes)
    this.meter.begin(COMPARE, len(planned), sum(len(table.rows) for table in planned))
    this.fence()
    with Lane(this.connections.new_source(), this.connections.new_target()) as lane:
        return examine_planned(lane, planned, this.fence, sample_rows, this.meter)


def _plan(
    examined: t.Sequence[Examination], repair: Repair, rows_below: bool, by_rows: ByRows
) -> tuple[tuple[TablePlan, ...], tuple[TableReport, ...]]:
    """Plan every table; one that cannot be repaired safely becomes an error, its counts kept."""
    plans: list[TablePlan] = []
    tables: list[TableReport] = []
    for examination in examined:
        report = examination.report
        try:
            plan = plan_table(examination, repair, rows_below)
            if plan and examination.target_table:
                by_rows.admit(plan, examination.target_table)
        except TableProblem as exc:
            report = _failed(report, exc)
        else:
            plans += [plan] if plan else []
        tables.append(report)
    return tuple(plans), tuple(tables)


def _refused(examined: t.Sequence[Examination], plans: t.Sequence[TablePlan], repair: Repair) -> Refusal | None:
    """What keeps all plans from being carried out: they are more than the user has allowed."""
    try:
        refuse_cut(examined, plans, repair)
        check_caps(plans, repair)
    except Refusal as exc:
        return exc
    return None


def _foreseen(
    connections: OpenPair, plans: t.Sequence[TablePlan], tables: t.Sequence[TableReport], repair: Repair
) -> tuple[tuple[TablePlan, ...], tuple[TableReport, ...]]:
    """The same, for a run that will not see what comes of it, without the rows that would not be written."""
    foreseen = foresee(connections.source, connections.target, plans, repair.batch_rows)
    problems = {str(each.plan.table.name): each.problem for each in foreseen if each.problem}
    return tuple(each.plan for each in foreseen), _with_failures(tables, problems)


def _applied(report: SyncReport, applied: Applied) -> SyncReport:
    """The report of what was planned, with what became of it."""
    problems, done = applied.problems, applied.changes
    tables = _with_failures(report.tables, problems)
    in_sync = applied.verified and not done.skipped and all(table.status == DRIFT or is_identical(table) for table in tables)
    return replace(
        report,
        tables=tables,
        hazards=(*report.hazards, *written_meanwhile(applied.errant_gtids)),
        in_sync=in_sync,
        changed=done.total > 0,
        changes=done,
        undo_file=applied.undo_file,
        verified=applied.verified,
        failed=bool(applied.left_behind),
        message=" ".join(applied.left_behind) or None,
    )


def _statements(plans: t.Sequence[TablePlan], policy: Policy) -> t.Iterator[str]:
    """In the order in which they are logged."""
    for plan in plans:
        yield from (statement(plan.table, change, policy) for change in plan.adopted)
    for plan in plans:
        yield from preview(plan.table, plan.changes, _STATEMENTS_SHOWN, plan.recipe)


def _diff(plans: t.Sequence[TablePlan], source: str, target: str) -> tuple[DiffBlock, ...]:
    """What changes on which server, table by table."""
    given = (present.source_diff(plan.table, plan.adopted, source, target) for plan in plans if plan.adopted)
    got = (present.diff(plan.table, plan.changes, source, target) for plan in plans if plan.changes)
    return (*given, *got)


def _with_failures(tables: t.Sequence[TableReport], problems: t.Mapping[str, ReplError]) -> tuple[TableReport, ...]:
    return tuple(_failed(table, problems[table.name]) if table.name in problems else table for table in tables)


def _failed(report: TableReport, problem: ReplError) -> TableReport:
    status = UNDECIDED if isinstance(problem, Undecided) else ERROR
    return replace(report, status=status, reason=problem.code, message=problem.text)


def _with_problems(report: SyncReport) -> SyncReport:
    """Fail the run when a table was left undecided, refused or in error (law 15)."""
    bad = [
        table
        for table in report.tables
        if table.status in (UNDECIDED, ERROR) or (table.status == SKIPPED and table.reason not in NOT_TABLES)
    ]
    if not bad:
        return report
    listed = "; ".join(f"{table.name} [{table.reason}] {table.message}" for table in bad[:10])
    more = f"; and {len(bad) - 10} more" if len(bad) > 10 else ""
    also = f" {report.message}" if report.message else ""
    return replace(report, failed=True, message=f"{len(bad)} tables were not repaired: {listed}{more}{also}")


def _first(statements: t.Iterable[str]) -> tuple[str, ...]:
    return tuple(itertools.islice(statements, _STATEMENTS_SHOWN))
