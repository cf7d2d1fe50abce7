# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Find the drift of a pair and repair it through the source."""

from __future__ import annotations

import itertools
import time
import typing as t
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from .. import __version__, adopt, downstream, journal, planfile, present, sqltext
from ..causes import unexplained
from ..copies import repair_copies
from ..errors import Refusal, ReplError, ServerError, TableProblem, Undecided
from ..examine import Examination
from ..fence import check_links, fence_both
from ..hazards import INFO, Hazard
from ..lanes import Lane
from ..options import Pace, Repair, Selection, Servers
from ..outcome import TableRepair
from ..plan import TablePlan, check_caps, plan_table, refuse_cut
from ..planned import examine_planned
from ..policy import Policy, policy_of, refuse_unknown_column
from ..progress import COMPARE, REPAIR, Listener, Meter, nobody
from ..recipes import ROW
from ..repair import repair_table
from ..report import DRIFT, ERROR, SKIPPED, UNDECIDED, Changes, DiffBlock, SyncReport, TableReport, summarize
from ..rewrite import preview
from ..schema import TableName
from ..selection import named_databases
from ..session import Session
from ..throttle import Throttle, watch
from ..topology import OpenPair, Pair, open_pair
from . import info
from .by_rows import ByRows
from .checksum import NOT_TABLES, all_identical, examine_all, is_identical, server_report

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
    with open_pair(servers) as connections:
        databases = () if plan_file else named_databases(selection)
        pair, hazards = info.preflight(
            connections.source,
            connections.target,
            servers,
            True,
            databases,
            repair.downstream,
            repair.method,
            policy.source_writes,
        )
        by_rows = ByRows(connections, pair, servers, repair)
        with only_run(connections.source, pair):
            mended = by_rows.put_back() if apply else ""
            if plan_file:
                examined = _examine_plan(connections, pair, servers, repair, sample_rows, plan_file, meter)
            else:
                # One more than allowed is enough to know that there are too many.
                examined = examine_all(
                    connections, pair, servers, selection, pace, sample_rows, repair.max_changes + 1, meter=meter
                )
            refuse_unknown_column(policy, [each.table for each in examined if each.table])
            rows_below = bool(pair.target_replicas) and not downstream.is_harmless(pair.target)
            plans, tables = _plan(examined, repair, rows_below, by_rows)
            report = SyncReport(
                in_sync=all_identical(tables),
                verified=apply and all_identical(tables),
                tables=tables,
                summary=summarize(tables, time.monotonic() - started),
                source=server_report(pair.source),
                target=server_report(pair.target),
                hazards=(*hazards, *unexplained(hazards, any(table.status == DRIFT for table in tables))),
                changed=any(plan.counts.total for plan in plans),
                changes=sum((plan.counts for plan in plans), Changes()),
                statements=_first(_statements(plans, policy)),
                diff=_diff(plans, connections.source.endpoint.address, connections.target.endpoint.address),
            )
            try:
                refuse_cut(examined, plans, repair)
                check_caps(plans, repair)
            except Refusal as exc:
                return replace(report, changed=False, changes=Changes(), statements=(), diff=(), failed=True, message=str(exc))
            if apply and report.changed:
                report = _apply(connections, pair, servers, repair, plans, report, meter, by_rows, pace, started)
    if mended:
        report = replace(
            report, hazards=(*report.hazards, Hazard("idempotent_left_on", INFO, "target", mended, "Nothing to do."))
        )
    report = replace(report, summary=summarize(report.tables, time.monotonic() - started))
    return _with_problems(report)


@contextmanager
def only_run(source: Session, pair: Pair) -> t.Iterator[None]:
    """Keep a second run away from the same pair, until the session ends at the latest.

    Raises Refusal ``already_running``.
    """
    name = sqltext.string(f"comaster.mysql_repl.{pair.target.server_id}")
    if source.scalar(f"SELECT GET_LOCK({name}, 0)") != "1":
        raise Refusal(
            "already_running",
            f"Another run is repairing the same target (server_id {pair.target.server_id}) through {source.name}.",
            "Wait until it has finished; its lock goes with its connection.",
        )
    try:
        yield
    finally:
        with suppress(ServerError):
            source.execute(f"DO RELEASE_LOCK({name})")


def journal_header(kind: str, pair: Pair, connections: OpenPair) -> journal.Header:
    """Who is about to change what."""
    source, target = (
        journal.Identity(session.endpoint.address, facts.server_id, facts.uuid)
        for session, facts in ((connections.source, pair.source), (connections.target, pair.target))
    )
    return journal.Header(kind, source, target, tool=__version__)


def _examine_plan(
    connections: OpenPair, pair: Pair, servers: Servers, repair: Repair, sample_rows: int, plan_file: str, meter: Meter
) -> tuple[Examination, ...]:
    def fence() -> None:
        fence_both(connections.source, connections.target, pair, servers.fence_timeout, meter.draining)

    planned = planfile.read(plan_file, pair.source, pair.target, repair.max_changes)
    meter.begin(COMPARE, len(planned), sum(len(table.rows) for table in planned))
    fence()
    with Lane(connections.new_source(), connections.new_target()) as lane:
        return examine_planned(lane, planned, fence, sample_rows, meter)


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


def _apply(
    connections: OpenPair,
    pair: Pair,
    servers: Servers,
    repair: Repair,
    plans: t.Sequence[TablePlan],
    report: SyncReport,
    meter: Meter,
    by_rows: ByRows,
    pace: Pace,
    started: float,
) -> SyncReport:
    """Repair table after table; a broken link ends the run, a table's own trouble only that table."""

    def fence() -> None:
        fence_both(connections.source, connections.target, pair, servers.fence_timeout, meter.draining)

    def links() -> None:
        check_links(connections.source, connections.target, pair)

    def reached(rows: int) -> None:
        meter.reached(rows)
        throttle.wait()

    meter.begin(REPAIR, len(plans), sum(len(plan.changes) for plan in plans))
    spare = repair.max_deletes - report.changes.deleted
    done = Changes()
    problems: dict[str, ReplError] = {}
    verified = True
    with ExitStack() as stack:
        left_behind = [by_rows.problems]
        for upstream, facts, replicas in by_rows.replicas() if repair.downstream == "idempotent" else ():
            lenient = downstream.idempotent(upstream, facts, replicas, servers.fence_timeout)
            left_behind.append(stack.enter_context(lenient))
        others = ((connections.source, pair.source_replicas), (connections.target, pair.target_replicas))
        below = stack.enter_context(watch(pace, others))
        throttle = Throttle(pace, connections.source, connections.target, meter, started, below)
        writer = stack.enter_context(journal.create(repair.undo_dir, journal_header("sync", pair, connections)))
        # First: what the source gets may be what rows of the plan rest on, and what is wanted most.
        given, ended = _adopt(connections, plans, repair, writer, fence, links, throttle.wait)
        for plan in by_rows.in_order(plans):
            result = given.get(plan.table.name, TableRepair(verified=True))
            try:
                meter.table(plan.table.name, len(plan.changes))
                if plan.changes and not ended:
                    with connections.new_source() as lock, connections.new_source() as log:
                        sessions = (lock, log, connections.target)
                        if plan.recipe == ROW:
                            result += by_rows.repair(plan, (lock, log), writer, stack, fence, links, reached)
                        else:
                            result += _repair(plan, sessions, repair.batch_rows, writer, fence, links, spare, reached)
                elif plan.changes and ended and not result.stopped:
                    result += TableRepair(stopped=_not_begun(plan, ended))
            except ReplError as exc:  # what earlier tables got is in the result all the same
                result += TableRepair(stopped=exc)
            skipped = plan.left_alone + result.rows_skipped
            done += Changes(result.inserted, result.updated, result.deleted, result.adopted, skipped)
            spare -= max(0, result.deleted - plan.counts.deleted)
            verified &= result.verified
            problem = result.stopped or _unfinished(result, plan)
            if problem:
                problems[str(plan.table.name)] = problem
            if result.stopped and not isinstance(result.stopped, TableProblem):
                ended = ended or result.stopped
        undo_file = writer.path
    tables = tuple(_failed(table, problems[table.name]) if table.name in problems else table for table in report.tables)
    return replace(
        report,
        tables=tables,
        in_sync=verified
        and not (problems or done.skipped)
        and all(table.status == DRIFT or is_identical(table) for table in tables),
        changed=done.total > 0,
        changes=done,
        undo_file=undo_file,
        verified=verified and not problems,
        failed=any(left_behind),
        message=" ".join(itertools.chain.from_iterable(left_behind)) or None,
    )


def _adopt(
    connections: OpenPair,
    plans: t.Sequence[TablePlan],
    repair: Repair,
    writer: journal.Writer,
    fence: t.Callable[[], None],
    links: t.Callable[[], None],
    go_on: t.Callable[[], None],
) -> tuple[dict[TableName, TableRepair], ReplError | None]:
    """Give the source its rows of all tables; what became of each table, and what ended the whole run, if anything did."""
    adoptions = [adopt.Adoption(plan.table, plan.adopted, policy_of(repair)) for plan in plans if plan.adopted]
    if not adoptions:
        return {}, None
    with connections.new_source() as writing, connections.new_target() as target_lock:
        sessions = adopt.Sessions(writing, target_lock, connections.target)
        problem = adopt.adopt(sessions, adoptions, repair.batch_rows, writer, fence, links, go_on)
    results = {adoption.table.name: adoption.result() for adoption in adoptions}
    if problem:
        # The first whose rows are not all accounted for; else it broke at the very end.
        where = next((each for each in adoptions if each.adopted + len(each.skipped) < len(each.changes)), adoptions[-1])
        results[where.table.name] += TableRepair(stopped=problem)
    return results, problem


def _statements(plans: t.Sequence[TablePlan], policy: Policy) -> t.Iterator[str]:
    """In the order in which they are logged."""
    for plan in plans:
        yield from (adopt.statement(plan.table, change, policy) for change in plan.adopted)
    for plan in plans:
        yield from preview(plan.table, plan.changes, _STATEMENTS_SHOWN, plan.recipe)


def _diff(plans: t.Sequence[TablePlan], source: str, target: str) -> tuple[DiffBlock, ...]:
    """What changes on which server, table by table."""
    given = (present.source_diff(plan.table, plan.adopted, source, target) for plan in plans if plan.adopted)
    got = (present.diff(plan.table, plan.changes, source, target) for plan in plans if plan.changes)
    return (*given, *got)


def _repair(
    plan: TablePlan,
    sessions: tuple[Session, Session, Session],
    batch_rows: int,
    writer: journal.Writer,
    fence: t.Callable[[], None],
    links: t.Callable[[], None],
    spare: int,
    reached: t.Callable[[int], None],
) -> TableRepair:
    if plan.table.key is None:
        return repair_copies(*sessions, plan.table, plan.changes, writer, fence, links, spare, reached)
    return repair_table(*sessions, plan.table, plan.changes, batch_rows, writer, fence, links, spare, plan.recipe, reached)


def _unfinished(result: TableRepair, plan: TablePlan) -> TableProblem | None:
    """What keeps a table from being equal although its repair went to the end."""
    if result.skipped:
        first = result.skipped[0]
        return TableProblem(
            first.reason, f"{plan.table.name}: {result.rows_skipped} rows were left as they are; first: {first.message}"
        )
    if result.unverified:
        keys = "; ".join(present.key_text(plan.table, key) for key in result.unverified[:10])
        return TableProblem(
            "not_verified",
            f"{plan.table.name}: {result.rows_unverified} rows were logged but still differ on the target: {keys}.",
            "Run again; if they still differ, look at the target's applier (filters, triggers, sql_mode).",
        )
    return None


def _not_begun(plan: TablePlan, ended: ReplError) -> ReplError:
    kind = Undecided if isinstance(ended, Undecided) else TableProblem
    return kind(ended.code, f"{plan.table.name} was not begun: {ended.message}", ended.remedy)


def _failed(report: TableReport, problem: ReplError) -> TableReport:
    status = UNDECIDED if isinstance(problem, Undecided) else ERROR
    return replace(report, status=status, reason=problem.code, message=f"{problem.message} {problem.remedy}".strip())


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
