# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the old rows of a journal back, on both servers, by real writes on the source.

Which rows may be: takeback.py, returns.py. How they are written: putback.py, singly.py.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from .. import arrival, journal, present
from ..downstream import LOG_IT, get_real_writes, losing, put_back, refuse_undo, refuse_unsettable
from ..errors import Refusal, ReplError, Undecided
from ..journal import Journal
from ..newcomers import Newcomers
from ..options import Pace, Repair, Servers
from ..plan import TablePlan, check_caps
from ..progress import COMPARE, UNDO, Listener, Meter, nobody
from ..report import Changes, DiffBlock
from ..rewind import Rewind
from ..takeback import Refusals, RefusedRow, Return, Takeback
from ..throttle import Throttle, watch
from ..topology import Pair, open_pair
from . import info
from .shared import Lenient, Run, collecting_seldom, journal_header, only_run, useless_if_this_fails


@dataclass(frozen=True)
class UndoReport:
    """What was put back, or would be without ``apply``. ``verified``: seen on both servers, replication drained.

    ``refused``: the first rows that were left alone; ``changes.skipped`` counts all of them.
    """

    changed: bool = False
    changes: Changes = field(default_factory=Changes)
    refused: tuple[RefusedRow, ...] = ()
    undo_file: str | None = None
    verified: bool = False
    diff: tuple[DiffBlock, ...] = ()
    failed: bool = False
    message: str | None = None


def run(
    servers: Servers,
    undo_file: str,
    max_changes: int = 10000,
    max_deletes: int = 1000,
    batch_rows: int = 2000,
    undo_dir: str = "",
    apply: bool = True,
    listener: Listener = nobody,
    pace: Pace | None = None,
    allow_triggers: bool = False,
    downstream: str = "refuse",
) -> UndoReport:
    """Plan, and with ``apply`` put the old rows back, drain and verify.

    A row whose target copy is the old one already needs nothing. Raises ReplError before anything is changed:
    ``journal_unreadable``, ``other_pair``, ``max_changes``, ``max_deletes``, ``missing_grant``, ``source_read_only``, those
    of downstream.py, and what preflight, fences, ``pace`` and the ``listener`` raise. Later trouble is in the report, which
    then says ``failed``.
    """
    started, pace = time.monotonic(), pace or Pace()
    old = journal.read(undo_file)
    limits = Repair(
        max_changes=max_changes,
        max_deletes=max_deletes,
        batch_rows=batch_rows,
        undo_dir=undo_dir,
        allow_triggers=allow_triggers,
        downstream=downstream,
    )
    with ExitStack() as stack:
        stack.enter_context(collecting_seldom())
        connections = stack.enter_context(open_pair(servers))
        databases = tuple(sorted({table.name.database for table in old.tables.values()}))
        pair, _hazards = info.preflight(connections.source, connections.target, servers, False, databases)
        _refuse_other_pair(old, pair)
        _refuse_read_only(pair)
        refuse_undo(connections.source, connections.target, pair, downstream)
        stack.enter_context(only_run(connections.source, connections.target, pair))
        one = Run(connections, pair, servers, limits, pace, Meter(listener), started)
        others = ((connections.source, pair.source_replicas), (connections.target, pair.target_replicas))
        below = stack.enter_context(watch(pace, others))
        throttle = Throttle(pace, connections.source, connections.target, one.meter, started, below)
        undo = _Undo(one, throttle)
        if apply:  # before anything is waited for
            one.aftermath().put_back(servers.fence_timeout)
        undo.plan(old)
        check_caps([each.plan for each in undo.returns], limits)
        if apply:
            undo.put_back()
        if undo.returns:  # before a journal is begun and the first of them is set
            written_to = tuple(get_real_writes(connections.source, connections.target, pair))
            refuse_unsettable(written_to)
            for said in filter(None, (losing(each.plan.table, written_to) for each in undo.returns)):
                raise Refusal("downstream_replicas", said, LOG_IT)
        if apply and undo.returns:
            undo.apply()
        return undo.report(apply)


class _Undo:
    """What one run finds out, does and reports."""

    def __init__(self, one: Run, throttle: Throttle) -> None:
        self._run = one
        self._meter = one.meter
        self._throttle = throttle
        self.returns: list[Return] = []
        self._refusals = Refusals()
        self._done = Changes()
        self._unverified = 0
        self._undo_file: str | None = None
        self._stopped: ReplError | None = None
        self._left_behind: tuple[str, ...] = ()

    def report(self, apply: bool) -> UndoReport:
        """Sum up."""
        planned = sum((each.plan.counts for each in self.returns), Changes())
        changes = replace(self._done if apply else planned, skipped=self._refusals.count)
        problems = [str(self._stopped)] if self._stopped else []
        if isinstance(self._stopped, Undecided):
            problems.append("What was put back stays; the next run goes on with the rest.")
        if self._refusals.count:
            first = self._refusals.told[0]
            problems.append(f"{self._refusals.count} rows were not put back; first: {first.table} {first.key}: {first.message}")
        if self._unverified:
            problems.append(f"{self._unverified} rows were put back on the source but have not arrived on the target.")
        verified = apply and not problems
        problems += self._left_behind
        return UndoReport(
            changed=changes.total > 0,
            changes=changes,
            refused=tuple(self._refusals.told),
            undo_file=self._undo_file,
            verified=verified,
            diff=tuple(self._diff(each.plan) for each in self.returns),
            failed=bool(problems),
            message=" ".join(problems) or None,
        )

    def _diff(self, plan: TablePlan) -> DiffBlock:
        pair = self._run.pair
        block = present.diff(plan.table, plan.changes, pair.source.name, pair.target.name)
        return replace(
            block,
            before_header=f"{plan.table.name} on both servers",
            after_header=f"{plan.table.name} as it was on {pair.target.name}",
        )

    def _reached(self, rows: int) -> None:
        """Tell how far it is; returns when the next rows may be begun. Raises what the throttle and the listener do."""
        self._meter.reached(rows)
        self._throttle.wait()

    def plan(self, old: Journal) -> None:
        """Find out which rows can be put back. Stops counting one beyond ``max_changes``."""
        connections, limits = self._run.connections, self._run.repair
        try:
            self._run.fence()
        except Undecided as exc:
            if exc.code != "link_error":
                raise
            raise self._run.advised(exc, self._run.aftermath()) from exc
        takeback = Takeback(connections.source, connections.target, self._run.pair, old, limits.allow_triggers)
        self._refusals = takeback.refusals
        self._meter.begin(COMPARE, len(set(old.tables.values())), len(old))
        self.returns = takeback.returns(
            limits.batch_rows,
            limits.max_changes,
            lambda table: self._meter.table(table.name, old.count(table)),
            self._reached,
        )

    def put_back(self) -> None:
        """Mend replicas that a run which was killed has left lenient, where the user lets them be set at all."""
        run = self._run
        if run.repair.downstream == "idempotent":
            others = get_real_writes(run.connections.source, run.connections.target, run.pair)
            said = put_back(others, run.repair.undo_dir, run.servers.fence_timeout, run.drain)
            self._left_behind = tuple(each.words for each in said if not each.is_strict)

    def apply(self) -> None:
        """Put the rows back, journaled, batch after batch; replicas besides the target are lenient meanwhile."""
        connections, pair = self._run.connections, self._run.pair
        header = journal_header("undo", pair, connections)
        with ExitStack() as stack:
            writer = stack.enter_context(journal.create(self._run.repair.undo_dir, header))
            lenient = Lenient(self._run, writer, stack)
            with useless_if_this_fails(writer):
                for some in get_real_writes(connections.source, connections.target, pair):
                    lenient(*some)
                newcomers = Newcomers(
                    connections.source, connections.target, pair, self._run.repair.downstream, lenient, True, False
                )
            self._undo_file = writer.path
            self._meter.begin(UNDO, len(self.returns), sum(len(each.plan.changes) for each in self.returns))
            try:
                for what in self.returns:
                    self._meter.table(what.plan.table.name, len(what.plan.changes))
                    self._table(what, writer, newcomers)
            except ReplError as exc:
                if not self._done.total:
                    raise
                self._stopped = exc
            came_late = newcomers.at_the_end()
        # Left behind is known only now that the stack has unwound.
        self._left_behind += (*came_late, *lenient.left_behind)

    def _table(self, what: Return, writer: journal.Writer, newcomers: Newcomers) -> None:
        connections, batch_rows = self._run.connections, self._run.repair.batch_rows
        by_default = self._run.pair.source.binlog_format.upper() == "ROW" and not what.way.as_statements
        as_rows = what.way.as_rows or by_default

        def reached(rows: int) -> None:
            self._reached(rows)
            newcomers.look(what.plan.table, as_rows)

        with connections.new_source() as session:
            rewind = Rewind(session, connections.target, what, writer, batch_rows, self._drain, reached, self._refusals)
            try:
                rewind.all()
            finally:
                self._done += rewind.done
                self._unverified += rewind.unverified

    def _drain(self) -> None:
        arrival.drain(self._run.fence, self._run.check_links)


def _refuse_other_pair(old: Journal, pair: Pair) -> None:
    for role, identity, facts in (("source", old.header.source, pair.source), ("target", old.header.target, pair.target)):
        if (identity.server_id, identity.uuid) != (facts.server_id, facts.uuid):
            raise Refusal(
                "other_pair",
                f"the journal was written for the {role} {identity.address} (server_id {identity.server_id}"
                f"{f', uuid {identity.uuid}' if identity.uuid else ''}), but the {role} is now {facts.name}, {facts.identity}.",
                "Log in to the target of the run that wrote the journal.",
            )


def _refuse_read_only(pair: Pair) -> None:
    if pair.source.read_only:
        raise Refusal(
            "source_read_only",
            f"{pair.source.name} is read_only; an undo writes to it.",
            "Make it writable, or check which server is the authority.",
        )
