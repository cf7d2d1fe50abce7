# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the old rows of a journal back, on both servers, by real writes on the source.

Which rows may be: takeback.py. How they are written: putback.py.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field, replace

from .. import arrival, journal, present, putback
from ..confirm import Difference
from ..errors import Refusal, ReplError
from ..fence import check_links, fence_both
from ..journal import Journal
from ..options import Repair, Servers
from ..plan import TablePlan, check_caps
from ..progress import UNDO, Listener, Meter, nobody
from ..report import Changes, DiffBlock
from ..session import Row
from ..spool import Differences, in_batches
from ..takeback import RefusedRow, Takeback, refused
from ..topology import OpenPair, Pair, open_pair
from . import info
from .shared import journal_header, only_run


@dataclass(frozen=True)
class UndoReport:
    """What was put back, or would be without ``apply``. ``verified``: seen on both servers, replication drained."""

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
    batch_rows: int = 1000,
    undo_dir: str = "",
    apply: bool = True,
    listener: Listener = nobody,
) -> UndoReport:
    """Plan, and with ``apply`` put the old rows back, drain and verify.

    A row whose target copy is the old one already needs nothing. Raises ReplError before anything is changed:
    ``journal_unreadable``, ``other_pair``, ``max_changes``, ``max_deletes``, ``missing_grant``, ``source_read_only``, and
    what preflight, fences and the ``listener`` raise. Later trouble is in the report, which then says ``failed``.
    """
    old = journal.read(undo_file)
    limits = Repair(max_changes=max_changes, max_deletes=max_deletes, batch_rows=batch_rows, undo_dir=undo_dir)
    with open_pair(servers) as connections:
        databases = tuple(sorted({table.name.database for table in old.tables.values()}))
        pair, _hazards = info.preflight(connections.source, connections.target, servers, False, databases)
        _refuse_other_pair(old, pair)
        with only_run(connections.source, pair):
            undo = _Undo(connections, pair, servers.fence_timeout, limits, Meter(listener))
            undo.plan(old)
            check_caps(undo.plans, limits)
            if apply and undo.plans:
                undo.apply()
            return undo.report(apply)


class _Undo:
    """One run."""

    def __init__(self, connections: OpenPair, pair: Pair, fence_timeout: float, limits: Repair, meter: Meter) -> None:
        self._connections = connections
        self._source, self._target = connections.source, connections.target
        self._pair = pair
        self._fence_timeout = fence_timeout
        self._limits = limits
        self._meter = meter
        self.plans: list[TablePlan] = []
        self._refused: list[RefusedRow] = []
        self._done = Changes()
        self._unverified = 0
        self._undo_file: str | None = None
        self._stopped: ReplError | None = None

    def report(self, apply: bool) -> UndoReport:
        """Sum up."""
        planned = sum((plan.counts for plan in self.plans), Changes())
        changes = replace(self._done if apply else planned, skipped=len(self._refused))
        problems = [str(self._stopped)] if self._stopped else []
        if self._refused:
            first = self._refused[0]
            problems.append(f"{len(self._refused)} rows were not put back; first: {first.table} {first.key}: {first.message}")
        if self._unverified:
            problems.append(f"{self._unverified} rows were put back on the source but have not arrived on the target.")
        return UndoReport(
            changed=changes.total > 0,
            changes=changes,
            refused=tuple(self._refused),
            undo_file=self._undo_file,
            verified=apply and not problems,
            diff=tuple(self._diff(plan) for plan in self.plans),
            failed=bool(problems),
            message=" ".join(problems) or None,
        )

    def _diff(self, plan: TablePlan) -> DiffBlock:
        block = present.diff(plan.table, plan.changes, self._pair.source.name, self._pair.target.name)
        return replace(
            block,
            before_header=f"{plan.table.name} on both servers",
            after_header=f"{plan.table.name} as it was on {self._pair.target.name}",
        )

    def _fence(self) -> None:
        fence_both(self._source, self._target, self._pair, self._fence_timeout, self._meter.draining)

    def plan(self, old: Journal) -> None:
        """Find out which rows can be put back. Stops counting one beyond ``max_changes``."""
        self._fence()
        takeback = Takeback(self._source, self._target, old)
        self.plans = takeback.plans(self._limits.batch_rows, self._limits.max_changes, self._meter.hold)
        self._refused = takeback.refused

    def apply(self) -> None:
        """Put the rows back, journaled, batch after batch."""
        if self._pair.source.read_only:
            raise Refusal(
                "source_read_only",
                f"{self._pair.source.name} is read_only; an undo writes to it.",
                "Make it writable, or check which server is the authority.",
            )
        header = journal_header("undo", self._pair, self._connections)
        with journal.create(self._limits.undo_dir, header) as writer, self._connections.new_source() as session:
            self._undo_file = writer.path
            putback.prepare(session)
            self._meter.begin(UNDO, len(self.plans), sum(len(plan.changes) for plan in self.plans))
            try:
                for plan in self.plans:
                    self._meter.table(plan.table.name, len(plan.changes))
                    self._table(plan, putback.choose(session, self._target, plan), writer)
            except ReplError as exc:
                if not self._done.total:
                    raise
                self._stopped = exc

    def _table(self, plan: TablePlan, way: putback.PutBack, writer: journal.Writer) -> None:
        ids = dict(zip((change.key for change in plan.changes), writer.plan(plan.table, plan.changes)))
        put_off: list[Difference] = []
        done = 0
        for some in in_batches(plan.changes, self._limits.batch_rows):
            self._meter.reached(done)
            put_off += [change for change, _problem in self._batch(plan, way, some, writer, ids)]
            done += len(some)
        # Together: rows that waited for one another's unique values, and were in different batches.
        for change, problem in self._batch(plan, way, put_off, writer, ids) if put_off else ():
            self._refused.append(refused(plan.table, change.key, "not_undone", problem))

    def _batch(
        self,
        plan: TablePlan,
        way: putback.PutBack,
        batch: t.Sequence[Difference],
        writer: journal.Writer,
        ids: dict[Row, int],
    ) -> list[tuple[Difference, str]]:
        """Write and verify some rows; returns those that the server did not take, with the reason."""
        written = putback.write(way, batch)
        self._refused += written.refused
        writer.committed([ids[change.key] for change in written.done])
        writer.flush()
        self._done += TablePlan(plan.table, Differences(written.done)).counts
        wrong = way.wanting(self._target, written.done, self._drain)
        writer.verified([ids[change.key] for change in written.done if change.key not in wrong])
        self._unverified += len(wrong)
        return list(written.failed.values())

    def _drain(self) -> None:
        arrival.drain(self._fence, lambda: check_links(self._source, self._target, self._pair))


def _refuse_other_pair(old: Journal, pair: Pair) -> None:
    for role, identity, facts in (("source", old.header.source, pair.source), ("target", old.header.target, pair.target)):
        if (identity.server_id, identity.uuid) != (facts.server_id, facts.uuid):
            raise Refusal(
                "other_pair",
                f"the journal was written for the {role} {identity.address} (server_id {identity.server_id}"
                f"{f', uuid {identity.uuid}' if identity.uuid else ''}), but the {role} is now {facts.name}, {facts.identity}.",
                "Log in to the target of the run that wrote the journal.",
            )
