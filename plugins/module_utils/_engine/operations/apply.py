# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carry out the plans of a sync: what the source gets first, then table after table what the target gets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from .. import adopt, journal, present
from ..copies import repair_copies
from ..errors import LostConnection, ReplError, ServerError, TableProblem, Undecided
from ..fence import errant_gtids, errant_since
from ..giving import Sessions
from ..newcomers import Newcomers
from ..outcome import TableRepair
from ..plan import TablePlan
from ..policy import policy_of
from ..progress import REPAIR
from ..recipes import BY_ROWS, ROW
from ..references import Gift
from ..repair import repair_table
from ..report import Changes
from ..schema import Table, TableName
from ..throttle import Throttle, watch
from ..waits import settle_gifts
from .by_rows import ByRows
from .shared import Lenient, Run, journal_header, useless_if_this_fails


@dataclass(frozen=True)
class Applied:
    """What became of the plans.

    ``problems``: what kept a table from being repaired whole, by its name. ``verified``: every row of the plans was seen
    equal on both servers. ``left_behind``: what could not be put back on servers, in words. ``errant_gtids``: what others wrote
    to a plain replica meanwhile.
    """

    changes: Changes
    problems: Mapping[str, ReplError]
    verified: bool
    undo_file: str
    left_behind: Sequence[str]
    errant_gtids: str = ""


def apply_plans(run: Run, plans: Sequence[TablePlan], by_rows: ByRows) -> Applied:
    """Repair table after table; a broken link ends the run, a table's own trouble only that table.

    Raises ReplError, and what the meter's listener raises, only before anything is changed.
    """
    pair, repair = run.pair, run.repair
    source, target = run.connections.source, run.connections.target
    parts = [rows for plan in plans for rows in (plan.adopted, plan.changes) if rows]
    errant = errant_gtids(source, target, pair)
    run.meter.begin(REPAIR, len(parts), sum(map(len, parts)))
    with ExitStack() as stack:
        writer = stack.enter_context(journal.create(repair.undo_dir, journal_header("sync", pair, run.connections)))
        lenient = Lenient(run, writer, stack)
        statements = repair.method != BY_ROWS or any(plan.adopted for plan in plans)
        with useless_if_this_fails(writer):
            for some in by_rows.replicas() if repair.downstream == "idempotent" else ():
                lenient(*some)
            newcomers = Newcomers(source, target, pair, repair.downstream, lenient, by_rows.is_needed, statements)
        others = ((source, pair.source_replicas), (target, pair.target_replicas))
        below = stack.enter_context(watch(run.pace, others))
        throttle = Throttle(run.pace, source, target, run.meter, run.started, below)
        spare = repair.max_deletes - sum(plan.counts.deleted for plan in plans)
        work = _Work(run, by_rows, writer, throttle, newcomers, stack, spare)
        # First: what the source gets may be what rows of the plan rest on, and what is wanted most.
        given = work.give(plans)
        for plan in by_rows.in_order(plans):
            work.table(plan, given.get(plan.table.name, TableRepair(verified=True)))
        came_late = newcomers.at_the_end()
    # Left behind is known only now that the stack has unwound.
    told = (*by_rows.problems, *came_late, *lenient.left_behind)
    try:
        new = errant_since(source, target, pair, errant)
    except ServerError:  # what was done must be told all the same
        new = ""
    return Applied(work.changes, work.problems, work.verified and not work.problems, writer.path, told, new)


@dataclass
class _Work:
    """The plans while they are carried out.

    ``spare``: rows planned otherwise that may still be deleted. ``ended``: what ended the whole run, if anything did.
    """

    run: Run
    by_rows: ByRows
    writer: journal.Writer
    throttle: Throttle
    newcomers: Newcomers
    stack: ExitStack
    spare: int
    ended: ReplError | None = None
    changes: Changes = field(default_factory=Changes)
    problems: dict[str, ReplError] = field(default_factory=dict)
    adopting: list[TableName] = field(default_factory=list)
    verified: bool = True

    def give(self, plans: Sequence[TablePlan]) -> dict[TableName, TableRepair]:
        """Give the source its rows of all tables; what became of each table."""
        run = self.run
        adoptions = [adopt.Adoption(plan.table, plan.adopted, policy_of(run.repair)) for plan in plans if plan.adopted]
        if not adoptions:
            return {}
        gifts = [Gift(each.table, each.changes) for each in adoptions]
        settle = partial(settle_gifts, run.connections.source, run.connections.target, gifts, run.repair.batch_rows)
        with run.connections.new_source() as writing, run.connections.new_target() as target_lock:
            sessions = Sessions(writing, target_lock, run.connections.target)
            rows = run.repair.batch_rows
            links = (run.fence, run.check_links)
            self.ended = adopt.adopt(sessions, adoptions, settle, rows, self.writer, *links, self._given)
        results = {adoption.table.name: adoption.result() for adoption in adoptions}
        if self.ended:
            # The first whose rows are not all accounted for; else it broke at the very end.
            unfinished = (each for each in adoptions if each.done < len(each.changes))
            results[next(unfinished, adoptions[-1]).table.name] += TableRepair(stopped=self.ended)
        return results

    def table(self, plan: TablePlan, given: TableRepair) -> None:
        """Repair one table, unless the run has ended, and note what became of it. ``given``: what the source got of it."""
        result = given
        try:  # what earlier tables got is in the result all the same
            if plan.changes:
                self.run.meter.table(plan.table.name, len(plan.changes))
            if plan.changes and not self.ended:
                result += self._repair(plan)
            elif plan.changes and self.ended and not result.stopped:
                result += TableRepair(stopped=_not_begun(plan, self.ended))
        except ReplError as exc:
            result += TableRepair(stopped=exc)
        skipped = plan.left_alone + result.rows_skipped
        self.changes += Changes(result.inserted, result.updated, result.deleted, result.adopted, skipped)
        self.spare -= max(0, result.deleted - plan.counts.deleted)
        self.verified &= result.verified
        problem = result.stopped or _unfinished(result, plan)
        if problem:
            self.problems[str(plan.table.name)] = problem
        if result.stopped and not _is_of_table(result.stopped):
            self.ended = self.ended or result.stopped

    def _repair(self, plan: TablePlan) -> TableRepair:
        run, spare, rows = self.run, self.spare, self.run.repair.batch_rows
        reached = partial(self._reached, plan.table)
        with run.connections.new_source() as lock, run.connections.new_source() as log:
            if plan.recipe == ROW:
                return self.by_rows.repair(plan, (lock, log), self.writer, self.stack, reached)
            table, changes, sessions = plan.table, plan.changes, (lock, log, run.connections.target)
            links = (run.fence, run.check_links)
            if table.key is None:
                return repair_copies(*sessions, table, changes, self.writer, *links, spare, reached, run.settled)
            with ExitStack() as opened:
                # Only where there is more than one batch it has anything to do.
                also = (run.connections.new_source, run.connections.new_target) if len(changes) > rows else ()
                aside = tuple(opened.enter_context(connect()) for connect in also)
                return repair_table(
                    *sessions, table, changes, rows, self.writer, *links, spare, plan.recipe, reached, run.settled, aside
                )

    def _given(self, adoption: adopt.Adoption) -> None:
        """The source has got so many rows of a table; returns when more may be."""
        name = adoption.table.name
        if name not in self.adopting:
            self.adopting.append(name)
            self.run.meter.table(name, len(adoption.changes))
        if name == self.adopting[-1]:  # not where rows of an earlier table are tried once more
            self.run.meter.reached(adoption.done)
        self.throttle.wait()
        self.newcomers.look(adoption.table)

    def _reached(self, table: Table, rows: int) -> None:
        """So many rows of the present table are done; returns when more may be."""
        self.run.meter.reached(rows)
        self.throttle.wait()
        self.newcomers.look(table)


def _is_of_table(problem: ReplError) -> bool:
    """Whether a problem is one table's own, as a lock that others hold or a table that is gone: the rest is repaired."""
    return isinstance(problem, (TableProblem, ServerError)) and not isinstance(problem, LostConnection)


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
