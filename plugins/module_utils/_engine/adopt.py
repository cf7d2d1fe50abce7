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
intended and it is rolled back; the row in question is left alone. Foreign keys are checked by the source itself. Rows that wait
for a parent, or for a unique value, are tried again after all others; those that wait for one another go in together.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from .arrival import drain, wanting
from .confirm import EXTRA, Difference
from .errors import ReplError, TableProblem
from .giving import Bad, Giver, Portion, Sessions, Why, event_of
from .journal import Writer
from .outcome import Skipped, TableRepair, Told
from .policy import Policy
from .precedence import Circle, Need, RowId, Settled, settle
from .present import key_text
from .references import Gift, Parents
from .schema import Table, TableName
from .session import Row
from .spool import Spool, gather, in_batches, row_bytes
from .unaltered import Unaltered
from .waits import LACKS_PARENT, WOULD_CARRY_ON

# Why rows are tried again once others have gone in.
_MAY_PASS = frozenset({"unique_collision", "foreign_key", "side_effects", "not_as_intended"})

# Transactions of rows that go in together whose rows are in memory at once.
_PACKS_AT_ONCE = 8


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

    def id_of(self, job: _Job) -> RowId:
        """Which row it is."""
        return RowId(self.table.name, job.change.key)

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
    batch_rows: int,
    journal: Writer,
    fence: t.Callable[[], None],
    check_links: t.Callable[[], None],
    go_on: t.Callable[[Adoption], None],
) -> ReplError | None:
    """Write the rows of all tables to the source; what became of them is noted in ``adoptions``.

    Tables together, because a child waits for its parent. ``fence`` drains replication both ways, ``check_links`` raises
    when a link is broken, ``go_on`` returns when the next batch of a table may begin. Returns what ended the whole run
    before its end, if anything did. Raises nothing of the engine's.
    """
    giver = Giver(sessions)
    run = _Run(giver, sessions, journal, lambda: drain(fence, check_links), go_on, batch_rows)
    try:
        check_links()
        giver.prepare()
        waiting: _AllWaiting = []
        for adoption in adoptions:
            ids = journal.plan(adoption.table, (each.swapped for each in adoption.changes), on_source=True)
            waiting.append((adoption, _Waiting(map(_Job, ids, adoption.changes))))
        before = None
        # Again as long as it helps: a row whose parent came in the meantime goes in now.
        while waiting and before != _number(waiting):
            before = _number(waiting)
            waiting = run.one_after_another(waiting)
            if before == _number(waiting):
                waiting = run.together(waiting)
        for adoption, jobs in waiting:
            adoption.skipped.add(_skipped(adoption, job) for job in jobs)
        journal.flush()
    except ReplError as exc:
        giver.release()
        return exc
    return None


class _Job(t.NamedTuple):
    """One row that the source is to get; ``reason``, ``message``: why it was not taken so far."""

    id: int
    change: Difference
    reason: str = ""
    message: str = ""

    @property
    def lacks_parent(self) -> bool:
        """Whether it is a new row, and only what it refers to keeps it out."""
        return self.change.kind == EXTRA and self.reason == LACKS_PARENT[0]


class _Waiting:
    """Rows to write, in bounded memory."""

    def __init__(self, jobs: t.Iterable[_Job] = ()) -> None:
        self._spool = Spool()
        for job in jobs:
            self.append(job)

    def append(self, job: _Job) -> None:
        """One more. Raises Refusal ``no_room``."""
        change = job.change
        record = (job.id, (change.kind, change.key, change.source, change.target), job.reason, job.message)
        self._spool.append(record, row_bytes(change.source) + row_bytes(change.target))

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> t.Iterator[_Job]:
        return (_Job(number, Difference(*change), *why) for number, change, *why in self._spool)

    def __contains__(self, other: object) -> bool:
        return any(each == other for each in self)


#: All tables with the rows of them that have not gone in.
_AllWaiting = list[tuple[Adoption, "_Waiting"]]


def _number(waiting: _AllWaiting) -> int:
    return sum(len(jobs) for _adoption, jobs in waiting)


@dataclass
class _Run:
    """One run over all tables."""

    giver: Giver
    sessions: Sessions
    journal: Writer
    drained: t.Callable[[], None]
    go_on: t.Callable[[Adoption], None]
    batch_rows: int
    watched: dict[TableName, tuple[Unaltered, Unaltered]] = field(default_factory=dict)

    def one_after_another(self, waiting: _AllWaiting) -> _AllWaiting:
        """Try all rows, table by table; returns those that wait still."""
        rest = [(adoption, self._table(adoption, jobs)) for adoption, jobs in waiting]
        return [(adoption, jobs) for adoption, jobs in rest if jobs]

    def together(self, waiting: _AllWaiting) -> _AllWaiting:
        """Write new rows that wait for one another; returns those that wait still, with what is known of the reason now."""
        settled = self._settle(waiting)
        gone: set[RowId] = set()
        why: Bad = {row: (need.reason, need.why) for row, need in settled.left.items()}
        for packs in in_batches(_packed(settled.circles, self.batch_rows), _PACKS_AT_ONCE):
            wanted = {row for pack in packs for circle in pack for row in circle}
            jobs = {row: (adoption, job) for adoption, some in waiting for job in some if (row := adoption.id_of(job)) in wanted}
            for pack in packs:
                gone.update(self._give_circles(pack, jobs, why))
        rest = [
            (adoption, _Waiting(_better_told(adoption, job, why) for job in jobs if adoption.id_of(job) not in gone))
            for adoption, jobs in waiting
            if not adoption.stopped
        ]
        return [(adoption, jobs) for adoption, jobs in rest if jobs]

    def _settle(self, waiting: _AllWaiting) -> Settled:
        """Which of the new rows that lack a parent may go in together."""
        gifts = {
            adoption.table.name: Gift(adoption.table, gather(job.change for job in jobs if job.lacks_parent))
            for adoption, jobs in waiting
        }
        parents = Parents(self.sessions.writing, self.sessions.target, gifts)
        needs: dict[RowId, list[Need]] = {}
        for name, gift in gifts.items():
            for some in in_batches(gift.changes, self.batch_rows):
                found = parents.lacking(gift.table, [t.cast(Row, change.target) for change in some])
                for place, wanted in found.items():
                    row = RowId(name, some[place].key)
                    needs[row] = [Need(candidates, *LACKS_PARENT, may_come_together=True) for candidates in wanted]
        return settle(needs, self.batch_rows)

    def _give_circles(
        self, pack: t.Sequence[Circle], jobs: t.Mapping[RowId, tuple[Adoption, _Job]], why: Bad
    ) -> t.Iterator[RowId]:
        """Write circles in one transaction, or one by one where some of them do not go in; returns the rows that did.

        ``why``: is told of the others.
        """
        some: dict[TableName, tuple[Adoption, list[_Job]]] = {}
        for circle in pack:
            for row in circle:
                adoption, job = jobs[row]
                some.setdefault(row.table, (adoption, []))[1].append(job)
        if any(adoption.stopped for adoption, _jobs in some.values()):
            return
        try:
            self.go_on(next(iter(some.values()))[0])
            bad = self.giver.give([self._portion(*each) for each in some.values()], circle=True)
        except TableProblem as exc:
            self.giver.release()
            for adoption, _jobs in some.values():
                adoption.stopped = exc
            return
        if not bad:
            for each in some.values():
                self._account(*each)
            yield from (row for circle in pack for row in circle)
        elif len(pack) > 1:
            for circle in pack:
                yield from self._give_circles([circle], jobs, why)
        else:
            why.update(bad)

    def _table(self, adoption: Adoption, jobs: t.Iterable[_Job]) -> _Waiting:
        """Write rows of one table; returns those to try again. A problem of the table alone ends only it."""
        waiting = _Waiting()
        try:
            for some in in_batches(jobs, self.batch_rows):
                self.go_on(adoption)
                self._batch(adoption, some, waiting)
        except TableProblem as exc:
            self.giver.release()
            adoption.stopped = exc
            return _Waiting()
        return waiting

    def _portion(self, adoption: Adoption, jobs: t.Sequence[_Job]) -> Portion:
        name = adoption.table.name
        if name not in self.watched:
            self.watched[name] = self.giver.watch(adoption.table, adoption.changes)
        return Portion(adoption.table, [job.change for job in jobs], adoption.policy, self.watched[name])

    def _batch(self, adoption: Adoption, batch: list[_Job], waiting: _Waiting) -> None:
        """Write a batch, without the rows that turn out not to go in; verify it."""
        done: list[_Job] = []
        parts = [batch]
        while parts:
            part = parts.pop()
            found = self.giver.give([self._portion(adoption, part)])
            bad = {row.key: why for row, why in found.items()}
            if not bad:
                done += part
                continue
            if len(bad) == len(part) > 1 and all(code == WOULD_CARRY_ON[0] for code, _words in bad.values()):
                # Some row of them: find out which.
                middle = len(part) // 2
                parts += [part[:middle], part[middle:]]
                continue
            for job in part:
                if job.change.key in bad:
                    self._put_off(adoption, job, bad[job.change.key], waiting)
            rest = [job for job in part if job.change.key not in bad]
            parts += [rest] if rest else []
        if done:
            self._account(adoption, done)

    def _put_off(self, adoption: Adoption, job: _Job, why: Why, waiting: _Waiting) -> None:
        job = _Job(job.id, job.change, *why)
        if job.reason in _MAY_PASS:
            waiting.append(job)
        else:
            adoption.skipped.add([_skipped(adoption, job)])

    def _account(self, adoption: Adoption, done: t.Sequence[_Job]) -> None:
        """Note what was committed, drain replication and compare both copies."""
        adoption.adopted += len(done)
        ids = dict(zip(self._portion(adoption, done).new_keys, (job.id for job in done)))
        self.journal.committed(ids.values())
        wrong = wanting(self.sessions.writing, self.sessions.target, adoption.table, list(ids), self.drained)
        adoption.unverified.add(wrong)
        self.journal.verified([ids[key] for key in ids.keys() - set(wrong)])


def _packed(circles: t.Iterable[Circle], most: int) -> t.Iterator[list[Circle]]:
    """As many circles together as have no more rows than that."""
    pack: list[Circle] = []
    for circle in circles:
        if pack and sum(map(len, pack)) + len(circle) > most:
            yield pack
            pack = []
        pack.append(circle)
    if pack:
        yield pack


def _better_told(adoption: Adoption, job: _Job, why: Bad) -> _Job:
    reason, message = why.get(adoption.id_of(job), (job.reason, job.message))
    return job._replace(reason=reason, message=message)


def _skipped(adoption: Adoption, job: _Job) -> Skipped:
    return Skipped(job.change.key, job.reason, f"{key_text(adoption.table, job.change.key)} {job.message}.")
