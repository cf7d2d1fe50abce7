# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of a sync that goes by row changes instead of statements: admitted, in order, the target lenient meanwhile."""

from __future__ import annotations

import typing as t
from contextlib import ExitStack

from .. import downstream, journal
from ..admission import admit, refuse_blind
from ..catalog import read_tables
from ..confirm import DIFFERENT, MISSING
from ..constraints import refuse_unstorable
from ..dependent import refuse_dependent, refuse_other_dates
from ..errors import TableProblem
from ..hazards import Hazard
from ..keyspace import KeySpace
from ..leniency import lenient_target
from ..locks import refuse_fragile, refuse_unlockable
from ..options import Pace, Selection
from ..outcome import TableRepair
from ..plan import TablePlan
from ..progress import Meter, nobody
from ..recipes import ROW
from ..report import IDENTICAL
from ..rowwise import repair_rows
from ..schema import Table, TableName
from ..session import Session
from .checksum import examine_all
from .shared import Run, journal_header, put_back


class ByRows:
    """The tables of one run that are repaired by rowwise.py."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._connections = run.connections
        self._pair = run.pair
        self._servers = run.servers
        self._repair = run.repair
        self._sides: dict[TableName, frozenset[TableName]] = {}
        self._is_lenient = False
        #: What could not be put back.
        self.problems: list[str] = []

    def put_back(self, but_target: bool) -> tuple[Hazard, ...]:
        """Mend what a run that was killed has left behind; says what. Raises Refusal ``idempotent_left_on``.

        ``but_target``: that has been put back already. MySQL's parallel appliers note with some delay how far they are.
        """
        source, target = self._connections.source, self._connections.target
        directory, timeout = self._repair.undo_dir, self._servers.fence_timeout
        words = "" if but_target else self._run.aftermath().put_back(timeout)
        said = [put_back(words)] if words else []
        if self._repair.downstream == "idempotent":
            others = downstream.get_real_writes(source, target, self._pair)
            found = downstream.put_back(others, directory, timeout, self._run.drain)
            said += [put_back(each.words, each.is_strict) for each in found]
        return tuple(said)

    def admit(self, plan: TablePlan, target_table: Table) -> None:
        """See that a plan may be carried out on the target's table, and by rows, if it goes so. Raises TableProblem."""
        if plan.changes or plan.adopted:
            refuse_blind(self._connections.source, self._connections.target, plan.table.name)
            refuse_dependent(self._connections.source, self._connections.target, plan.table, target_table)
            self._refuse_other_dates(plan)
        if plan.changes:
            refuse_fragile(self._connections.target, target_table)
            refuse_unlockable(self._connections.source, plan.table)
            writes = plan.table.key is None or plan.changes.rows[MISSING] + plan.changes.rows[DIFFERENT] > 0
            refuse_unstorable(self._connections.source, self._connections.target, plan.table, writes)
            self._refuse_losing(plan)
        if plan.recipe == ROW and plan.changes:
            source, target = self._connections.source, self._connections.target
            self._sides[plan.table.name] = admit(source, target, self._pair, plan.table, target_table, self._repair.downstream)

    def _refuse_other_dates(self, plan: TablePlan) -> None:
        if plan.table.key:
            key_of = KeySpace(plan.table, plan.table.key).key_of
            ours = (key_of(change.source) for change in plan.changes if change.source)
            refuse_other_dates(self._connections.source, plan.table, ours)
            theirs = (key_of(change.target) for change in plan.adopted if change.target)
            refuse_other_dates(self._connections.target, plan.table, theirs)

    def _refuse_losing(self, plan: TablePlan) -> None:
        source, target, pair = self._connections.source, self._connections.target, self._pair
        by_rows = plan.recipe == ROW
        found = downstream.get_real_writes(source, target, pair) if by_rows else downstream.get_repairs(target, pair)
        said = downstream.losing(plan.table, found)
        if said:
            raise TableProblem("downstream_replicas", said, downstream.LOG_IT)

    def in_order(self, plans: t.Iterable[TablePlan]) -> list[TablePlan]:
        """Statements first, and a table after those that its triggers write: these must be equal by then."""
        return sorted(plans, key=lambda plan: (plan.recipe == ROW, len(self._sides.get(plan.table.name, ()))))

    @property
    def is_needed(self) -> bool:
        """Whether any table goes by row changes."""
        return bool(self._sides)

    def replicas(self) -> t.Iterator[downstream.Upstream]:
        """Servers whose replicas the run could break."""
        source, target, pair = self._connections.source, self._connections.target, self._pair
        if self._sides:
            yield from downstream.get_real_writes(source, target, pair)
        else:
            yield from downstream.get_repairs(target, pair)

    def repair(
        self,
        plan: TablePlan,
        sessions: tuple[Session, Session],
        writer: journal.Writer,
        stack: ExitStack,
        reached: t.Callable[[int], None],
    ) -> TableRepair:
        """Repair one table; the target is made lenient before the first, until ``stack`` unwinds. Raises ReplError."""
        sides = self._equal_sides(plan.table.name)
        if not self._is_lenient:
            source, target, link = self._connections.source, self._connections.target, self._pair.forward
            timeout = self._servers.fence_timeout
            identity = journal_header("sync", self._pair, self._connections).target
            stack.enter_context(lenient_target(source, target, link, identity, writer, timeout, self.problems))
            self._is_lenient = True
        target = self._connections.target
        rows, links = self._repair.batch_rows, (self._run.fence, self._run.check_links)
        below, settled = bool(self._pair.target_replicas), self._run.settled
        return repair_rows(
            *sessions, target, plan.table, sides, plan.changes, rows, writer, *links, reached, settled, replicas_below=below
        )

    def _equal_sides(self, name: TableName) -> list[Table]:
        """The tables that triggers of one write, seen to be equal on both servers; so no row of them is changed.

        Raises TableProblem ``side_table_differs``.
        """
        names = self._sides[name]
        if not names:
            return []
        chosen = Selection(tables=tuple(sorted(map(str, names))))
        found = examine_all(self._connections, self._pair, self._servers, chosen, Pace(), 0, 0, meter=Meter(nobody))
        seen = {TableName(each.report.database, each.report.table): each.report for each in found}
        for side in sorted(names, key=str):
            report = seen.get(side)
            if report is None or report.status != IDENTICAL:
                raise TableProblem(
                    "side_table_differs",
                    f"triggers of {name} write {side}, which is not equal on both servers"
                    f" ({(report.message or report.status) if report else 'not seen'}); its rows would be changed too, unseen.",
                    f"Select {side} as well, so that it is repaired first.",
                )
        tables = read_tables(self._connections.source, sorted({side.database for side in names}))
        return [tables[side] for side in sorted(names, key=str)]
