# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Give rows of the target to the source: ``extra_rows: adopt``, and the newer copies of ``conflict: newest``.

Here the source's real table is written, because the user asked. The target has the row already, and what is logged on the
source reaches it: an ordinary insert, logged as a row event, would stop it with error 1062. So one statement is logged as a
statement (``binlog_format=STATEMENT``) which changes the source and, by its own words, nothing on the target:

==========  ======================================================  =================================================
row         statement                                               on the target
==========  ======================================================  =================================================
extra       INSERT IGNORE of all columns                            the key is there: passed over
different   UPDATE IGNORE … SET all columns WHERE key               its value is greater: no row matches, even one that
            AND conflict_column = the source's old value            was changed once more meanwhile
==========  ======================================================  =================================================

Seen on MariaDB 10.11 and 11.8 and MySQL 9.7, logging ROW, MIXED and STATEMENT, with and without GTIDs: replicas of the source
get the row with the same statement; one that has another row in its way passes it over, replication goes on; replicas below
the target see nothing, for the target changes nothing that it could log. Writing and logging are one transaction: killed at
any instant there is all of it or nothing. (Writing unlogged, beside a statement through the shadow, would be two.)

Each batch is one transaction (giving.py), in which both copies are locked, and read again before it commits: one byte other than
intended and it is rolled back; the row in question is left alone. Foreign keys are checked by the source itself. First come rows
that wait for no other, then those that wait for a parent or a unique value, in an order that is known before (waits.py); those
that wait for one another go in together. Who turns out to wait all the same is tried again after all others.
"""

from __future__ import annotations

import itertools
import typing as t
from contextlib import contextmanager
from dataclasses import dataclass, field

from .arrival import drain, wanting
from .confirm import Difference
from .errors import ReplError, TableProblem
from .giving import Bad, Giver, Portion, Sessions, Why, event_of
from .journal import Writer
from .outcome import Skipped, TableRepair, Told
from .policy import Policy
from .precedence import Need, RowId, Settled, Wave
from .present import key_text
from .schema import Table, TableName
from .session import Row
from .spool import Spool, in_batches, row_bytes
from .unaltered import Unaltered
from .waits import LACKS_PARENT, WOULD_CARRY_ON

# Why rows are tried again once others have gone in.
_MAY_PASS = frozenset({"unique_collision", "foreign_key", "side_effects", "not_as_intended"})

# Transactions of rows that wait for others whose rows are in memory at once.
_UNITS_AT_ONCE = 8


def refuse_unsafe(table: Table, target_table: Table, changes: t.Iterable[Difference]) -> None:
    """Raise TableProblem when rows of this table must not be written to the source: no_key, engine_not_transactional,
    system_versioned, triggers."""
    for code, found, what in (
        ("no_key", table.key is None, "has no key: its rows cannot be told apart"),
        ("engine_not_transactional", not (table.is_transactional and target_table.is_transactional), "cannot lock single rows"),
        ("system_versioned", table.is_versioned or target_table.is_versioned, "keeps its own history"),
    ):
        if found:
            raise TableProblem(
                code,
                f"{table.name} {what}, so no row of the target is copied to the source.",
                "Use extra_rows: keep and conflict: skip (or source) for this table, and copy such rows by hand.",
            )
    events = {event_of(change) for change in changes}
    fired = {
        f"{trigger.name} ({trigger.timing} {trigger.event})": None
        for trigger in (*table.triggers, *target_table.triggers)
        if trigger.event.upper() in events
    }
    if fired:
        raise TableProblem(
            "triggers",
            f"{table.name} has triggers that copying rows to the source would fire: {', '.join(fired)}. They would change"
            " other rows, on both servers.",
            "Drop these triggers for the time of the run, or use extra_rows: keep and conflict: skip for this table.",
        )


@dataclass
class Adoption:
    """The rows of one table that the source gets, and what has become of them."""

    table: Table
    changes: t.Collection[Difference]
    policy: Policy
    adopted: int = 0
    skipped: Told[Skipped] = field(default_factory=Told)
    unverified: Told[Row] = field(default_factory=Told)
    stopped: ReplError | None = None

    @property
    def done(self) -> int:
        """Rows that are dealt with."""
        return self.adopted + len(self.skipped)

    def result(self) -> TableRepair:
        """Sum up."""
        return TableRepair(
            adopted=self.adopted,
            skipped=self.skipped.told,
            more_skipped=self.skipped.more,
            verified=not (self.stopped or self.skipped or self.unverified),
            unverified=self.unverified.told,
            more_unverified=self.unverified.more,
            stopped=self.stopped,
        )


def adopt(
    sessions: Sessions,
    adoptions: t.Sequence[Adoption],
    settle: t.Callable[[], Settled],
    batch_rows: int,
    journal: Writer,
    fence: t.Callable[[], None],
    check_links: t.Callable[[], None],
    go_on: t.Callable[[Adoption], None],
) -> ReplError | None:
    """Write the rows of all tables to the source; what became of them is noted in ``adoptions``.

    Tables together, because a child waits for its parent; ``settle`` tells in which order. ``fence`` drains replication both
    ways, ``check_links`` raises when a link is broken, ``go_on`` returns when the next batch of a table may begin. Returns
    what ended the whole run before its end, if anything did. Raises nothing of the engine's.
    """
    giver = Giver(sessions)
    run = _Run(giver, sessions, journal, lambda: drain(fence, check_links), go_on, batch_rows)
    try:
        check_links()
        giver.prepare()
        run.all(adoptions, settle())
        journal.flush()
    except ReplError as exc:
        giver.release()
        return exc
    return None


class _Job(t.NamedTuple):
    """One row that the source is to get; ``reason``, ``message``: why it was not taken so far."""

    adoption: Adoption
    id: int
    change: Difference
    reason: str = ""
    message: str = ""

    @property
    def row(self) -> RowId:
        """Which row it is."""
        return RowId(self.adoption.table.name, self.change.key)


class _Waiting:
    """Rows of one table to write, in bounded memory."""

    def __init__(self, adoption: Adoption) -> None:
        self._adoption = adoption
        self._spool = Spool()

    def append(self, job: _Job) -> None:
        """One more. Raises Refusal ``no_room``."""
        change = job.change
        record = (job.id, (change.kind, change.key, change.source, change.target), job.reason, job.message)
        self._spool.append(record, row_bytes(change.source) + row_bytes(change.target))

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> t.Iterator[_Job]:
        return (_Job(self._adoption, number, Difference(*change), *why) for number, change, *why in self._spool)


@dataclass
class _Run:
    """One run over all tables. ``waiting``: rows that have turned out to wait, to be tried again."""

    giver: Giver
    sessions: Sessions
    journal: Writer
    drained: t.Callable[[], None]
    go_on: t.Callable[[Adoption], None]
    batch_rows: int
    waiting: dict[TableName, _Waiting] = field(default_factory=dict)
    watched: dict[TableName, tuple[Unaltered, Unaltered]] = field(default_factory=dict)

    def all(self, adoptions: t.Sequence[Adoption], settled: Settled) -> None:
        """Write what can be written. Raises ReplError, which ends the run."""
        steps = {row for wave in settled.waves for row in wave.rows}
        ids = [self.journal.plan(each.table, (change.swapped for change in each.changes), on_source=True) for each in adoptions]
        later = [_Waiting(adoption) for adoption in adoptions]
        for adoption, numbers, waiting in zip(adoptions, ids, later):
            jobs = map(_Job, itertools.repeat(adoption), numbers, adoption.changes)
            self._batches(_free(jobs, steps, settled.left, waiting) if steps or settled.left else jobs)
        self._in_steps(settled, later)
        self._again()

    def _in_steps(self, settled: Settled, later: t.Sequence[_Waiting]) -> None:
        """Write the rows that wait for others, in order."""
        for units in in_batches(_units(settled.waves, self.batch_rows), _UNITS_AT_ONCE):
            wanted = {row for unit in units for wave in unit for row in wave.rows}
            jobs = {job.row: job for waiting in later for job in waiting if job.row in wanted}
            for unit in units:
                if unit[0].is_circle:
                    self._circles([[jobs[row] for row in wave.rows] for wave in unit])
                else:
                    self._batches(jobs[row] for wave in unit for row in wave.rows)

    def _again(self) -> None:
        """Try rows again that have turned out to wait, as long as it helps."""
        before = None
        while self.waiting and before != (number := sum(map(len, self.waiting.values()))):
            before, waiting = number, self.waiting
            self.waiting = {}
            for jobs in waiting.values():
                self._batches(jobs)
        for jobs in self.waiting.values():
            for job in jobs:
                if not job.adoption.stopped:
                    job.adoption.skipped.add([_skipped(job)])

    def _batches(self, jobs: t.Iterable[_Job]) -> None:
        """Write rows. A problem of a table alone ends only that table."""
        for some in in_batches((job for job in jobs if not job.adoption.stopped), self.batch_rows):
            with self._of_tables(some):
                self.go_on(some[0].adoption)
                self._batch(some)

    def _circles(self, circles: t.Sequence[list[_Job]]) -> None:
        """Write circles in one transaction, or in several where some of them do not go in."""
        jobs = [job for circle in circles for job in circle]
        if any(job.adoption.stopped for job in jobs):
            circles = [circle for circle in circles if not any(job.adoption.stopped for job in circle)]
            jobs = [job for circle in circles for job in circle]
        if not jobs:
            return
        bad: Bad = {}
        with self._of_tables(jobs):
            self.go_on(jobs[0].adoption)
            bad = self.giver.give(self._portions(jobs), circle=True)
            if not bad:
                self._account(jobs)
        if bad and len(circles) > 1:
            middle = len(circles) // 2
            self._circles(circles[:middle])
            self._circles(circles[middle:])
        elif bad:
            for job in jobs:
                self._put_off(job, bad.get(job.row, LACKS_PARENT))

    @contextmanager
    def _of_tables(self, jobs: t.Sequence[_Job]) -> t.Iterator[None]:
        """A problem of a table ends the tables of these rows, and nothing else."""
        try:
            yield
        except TableProblem as exc:
            self.giver.release()
            for job in jobs:
                job.adoption.stopped = exc

    def _portions(self, jobs: t.Sequence[_Job]) -> list[Portion]:
        """The rows, in their order, by table."""
        found = []
        for name, some in itertools.groupby(jobs, key=lambda job: job.adoption.table.name):
            these = list(some)
            adoption = these[0].adoption
            if name not in self.watched:
                self.watched[name] = self.giver.watch(adoption.table, adoption.changes)
            found.append(Portion(adoption.table, [job.change for job in these], adoption.policy, self.watched[name]))
        return found

    def _batch(self, batch: list[_Job]) -> None:
        """Write a batch, without the rows that turn out not to go in; verify it. What was committed is told in any case."""
        done: list[_Job] = []
        try:
            self._give(batch, done)
        finally:
            if done:
                self._account(done)

    def _give(self, batch: list[_Job], done: list[_Job]) -> None:
        parts = [batch]
        while parts:
            part = parts.pop()
            bad = self.giver.give(self._portions(part))
            if not bad:
                done += part
                continue
            if len(bad) == len(part) > 1 and all(code == WOULD_CARRY_ON[0] for code, _words in bad.values()):
                # Some row of them: find out which.
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            for job in part:
                if job.row in bad:
                    self._put_off(job, bad[job.row])
            rest = [job for job in part if job.row not in bad]
            parts += [rest] if rest else []

    def _put_off(self, job: _Job, why: Why) -> None:
        reason, message = why
        job = job._replace(reason=reason, message=message)
        if reason in _MAY_PASS:
            self.waiting.setdefault(job.row.table, _Waiting(job.adoption)).append(job)
        else:
            job.adoption.skipped.add([_skipped(job)])

    def _account(self, done: t.Sequence[_Job]) -> None:
        """Note what was committed, drain replication and compare both copies."""
        by_table: dict[TableName, list[_Job]] = {}
        for job in done:
            by_table.setdefault(job.row.table, []).append(job)
        ids = {}
        for name, jobs in by_table.items():
            jobs[0].adoption.adopted += len(jobs)
            (portion,) = self._portions(jobs)
            ids[name] = dict(zip(portion.new_keys, (job.id for job in jobs)))
        self.journal.committed([number for some in ids.values() for number in some.values()])
        for name, jobs in by_table.items():
            adoption, arrived = jobs[0].adoption, ids[name]
            wrong = wanting(self.sessions.writing, self.sessions.target, adoption.table, list(arrived), self.drained)
            adoption.unverified.add(wrong)
            self.journal.verified([arrived[key] for key in arrived.keys() - set(wrong)])


def _free(jobs: t.Iterable[_Job], steps: t.Container[RowId], left: t.Mapping[RowId, Need], later: _Waiting) -> t.Iterator[_Job]:
    """The rows that wait for none; those that go in ``later`` are kept, those that are left are noted."""
    for job in jobs:
        if job.row in left:
            job.adoption.skipped.add([_skipped(job._replace(reason=left[job.row].reason, message=left[job.row].why))])
        elif job.row in steps:
            later.append(job)
        else:
            yield job


def _units(waves: t.Iterable[Wave], most: int) -> t.Iterator[list[Wave]]:
    """What goes in with one transaction each, of no more rows than that: circles, or rows of several waves one after another."""
    unit: list[Wave] = []
    size = 0
    for wave in waves:
        rows = sorted(wave.rows, key=lambda row: str(row.table))
        pieces = [wave] if wave.is_circle else [Wave(tuple(some)) for some in in_batches(rows, most)]
        for piece in pieces:
            if unit and (size + len(piece.rows) > most or unit[0].is_circle != piece.is_circle):
                yield unit
                unit, size = [], 0
            unit.append(piece)
            size += len(piece.rows)
    if unit:
        yield unit


def _skipped(job: _Job) -> Skipped:
    return Skipped(job.change.key, job.reason, f"{key_text(job.adoption.table, job.change.key)} {job.message}.")
