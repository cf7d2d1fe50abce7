# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of one table are put back, batch after batch: journaled before, drained and seen on both servers after.

Rows may wait for one another, because one holds a unique value that another gets back. They are tried again, in turns from
either end, as long as that helps; as soon as they are few enough they go together, in one transaction.
"""

from __future__ import annotations

import typing as t

from .confirm import Difference
from .errors import TableProblem
from .journal import Writer
from .plan import TablePlan
from .putback import Failed, PutBack, in_transactions, prepare, write
from .report import Changes
from .rewrite import largest_packet
from .session import Session
from .singly import Singly
from .spool import Differences, Spool, in_portions, row_bytes
from .takeback import Refusals, Return, refused

# Rows that go together in one transaction: no more than these, it must not be too large for a replica.
_TOGETHER_ROWS = 20_000
_TOGETHER_BYTES = 64 << 20

#: A row and its number in the journal.
Numbered = tuple[int, Difference]


class Rewind:
    """One table. ``session``, to the source, is used for nothing else."""

    def __init__(
        self,
        session: Session,
        target: Session,
        what: Return,
        journal: Writer,
        batch_rows: int,
        drained: t.Callable[[], None],
        reached: t.Callable[[int], None],
        refusals: Refusals,
    ) -> None:
        """``drained`` returns when replication is drained and its links run; ``reached``, told how many rows are settled,
        when the next batch may begin. What is not put back is noted in ``refusals``."""
        self._session, self._target = session, target
        self._plan, self._what = what.plan, what
        self._journal = journal
        self._batch_rows = batch_rows
        self._drained, self._reached = drained, reached
        self._refusals = refusals
        self._settled = bytearray(len(what.plan.changes))
        self._first = 1
        #: What was put back.
        self.done = Changes()
        #: How many of these rows have not arrived.
        self.unverified = 0

    def all(self) -> None:
        """Do it. A problem of the table ends only the table. Raises what the callers' functions raise, and ReplError."""
        try:
            way = self._way()
            numbers = self._journal.plan(self._plan.table, self._plan.changes)
            self._first = numbers.start
            waiting = _Waiting()
            self._pass(way, zip(numbers, self._plan.changes), waiting)
            self._rest(way, waiting)
        except TableProblem as exc:
            open_ones = (change for settled, change in zip(self._settled, self._plan.changes) if not settled)
            self._refusals.refuse(self._plan.table, open_ones, exc)

    def _way(self) -> PutBack:
        prepare(self._session, self._plan.table, self._what.way)
        if self._what.way.singly:
            return Singly(self._session, largest_packet(self._session, self._target), self._what)
        return in_transactions(self._session, self._target, self._what)

    def _rest(self, way: PutBack, waiting: _Waiting) -> None:
        """Try again those that the server did not take."""
        from_the_end = True
        last = False
        while waiting and not last:
            left = _Waiting()
            last = waiting.is_small and not self._what.way.singly
            if last:
                self._reached(sum(self._settled))
                self._batch(way, list(waiting.rows()), left)
            else:
                self._pass(way, waiting.rows(from_the_end), left)
                last = len(left) == len(waiting)
            waiting, from_the_end = left, not from_the_end
        self._refuse(waiting.reasons())

    def _pass(self, way: PutBack, rows: t.Iterable[Numbered], waiting: _Waiting) -> None:
        for batch in in_portions(rows, self._batch_rows, _bytes):
            self._reached(sum(self._settled))
            self._batch(way, batch, waiting)

    def _batch(self, way: PutBack, batch: t.Sequence[Numbered], waiting: _Waiting) -> None:
        """Write and verify some rows; those that the server does not take go to ``waiting``."""
        numbers = {change.key: number for number, change in batch}
        written = write(way, [change for _number, change in batch])
        done = [numbers[change.key] for change in written.done]
        self._journal.committed(done)
        self.done += TablePlan(self._plan.table, Differences(written.done)).counts
        for number in done:
            self._settled[number - self._first] = 1
        self._refuse((numbers[each[0].key], each) for each in written.refused)
        for each in written.failed.values():
            waiting.append(numbers[each[0].key], each)
        if written.stopped:
            raise written.stopped
        if not done:
            return
        wrong = way.wanting(self._target, written.done, self._drained)
        self._journal.verified(numbers[change.key] for change in written.done if change.key not in wrong)
        self.unverified += len(wrong)

    def _refuse(self, rows: t.Iterable[tuple[int, Failed]]) -> None:
        for number, (change, code, message) in rows:
            self._settled[number - self._first] = 1
            self._refusals.add([refused(self._plan.table, change.key, code, message)])


class _Waiting:
    """Rows that the server did not take yet, and why; any number of them."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._bytes = 0

    def append(self, number: int, failed: Failed) -> None:
        """One more."""
        each, code, message = failed
        values = (each.kind, each.key, each.source, each.target, each.source_copies, each.target_copies, each.digest)
        size = _bytes((number, each))
        self._bytes += size
        self._spool.append((number, code, message, *values), size)

    def __len__(self) -> int:
        return len(self._spool)

    @property
    def is_small(self) -> bool:
        """Whether they may go in one transaction."""
        return len(self) <= _TOGETHER_ROWS and self._bytes <= _TOGETHER_BYTES

    def rows(self, from_the_end: bool = False) -> t.Iterator[Numbered]:
        """The rows."""
        for number, _code, _message, *values in reversed(self._spool) if from_the_end else self._spool:
            yield number, Difference(*values)

    def reasons(self) -> t.Iterator[tuple[int, Failed]]:
        """The rows with what kept them from being written."""
        for number, code, message, *values in self._spool:
            yield number, (Difference(*values), code, message)


def _bytes(row: Numbered) -> int:
    return row_bytes(row[1].source) + row_bytes(row[1].target)
