# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repair a table without a key: give the target as many copies of each row value as the source has.

Equal rows cannot be told apart, so all of them are deleted and the source's number is written, in one transaction, by
statements that exist only in the source's binary log (shadow.py). That is right however many copies the target has when
they arrive. Rows are picked by the fingerprint of their bytes in all columns, on both servers by the same expression.

The price of having no key: each batch counts its row values on the source under a shared lock by reading the whole
table, so writers of this table wait for one such reading. Batches are therefore large, and few.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from . import locks, rewrite
from .arrival import drain, refuse_on_their_way, unequal
from .collisions import Collisions
from .confirm import Difference
from .constraints import Constraints
from .errors import LockConflict, ReplError, ServerError, TableProblem
from .journal import Writer
from .multiset import Fingerprints, Rows
from .outcome import Skipped, TableRepair, Told
from .present import key_text
from .schema import Table
from .session import Row, Session
from .shadow import Shadow, prepare
from .spool import gather, in_portions
from .unaltered import Unaltered, none_on

# Row values of one batch: one reading of the table for each.
BATCH_VALUES = 2000

# A value with more bytes than this in all its copies would make a transaction too large for a replica.
_MAX_BYTES = 64 << 20

_STATEMENTS_SHOWN = 100

# Why a value is left as it is.
SHARES_VALUE = "unique_collision", "shares a unique value with a row on the target that is not in the plan and would be deleted"
BREAKS_CHECK = (
    "check_constraint",
    "breaks a CHECK constraint of its table; the target would refuse it and replication would stop",
)
_FIRES = ("triggers", "came to the source meanwhile, and writing it fires triggers on the target")


def repair_copies(
    source_lock: Session,
    source_log: Session,
    target: Session,
    table: Table,
    changes: t.Collection[Difference],
    journal: Writer,
    fence: t.Callable[[], None],
    check_links: t.Callable[[], None],
    spare_deletes: int = 0,
    reached: t.Callable[[int], None] = lambda rows: None,
    settled: t.Callable[[], bool] = lambda: True,
) -> TableRepair:
    """Repair the row values of one plan; arguments and errors as for repair.repair_table."""
    if not (table.is_transactional and table.is_base_table) or table.is_versioned or not all(each.digest for each in changes):
        raise TableProblem("no_key", f"{table.name} cannot be repaired without a key.", "Leave it out with ignore_tables.")
    for change in changes:
        if change.source_copies * _size(change.key) > _MAX_BYTES:
            raise TableProblem(
                "too_many_copies",
                f"{table.name} has no key, and {change.source_copies} copies of one row would be written at once.",
                "Add a primary key.",
            )
    changes = gather(changes)
    check_links()
    inserts = any(change.source_copies for change in changes)
    fires = ("DELETE", "INSERT") if inserts else ("DELETE",)
    unaltered = Unaltered.of_source(source_lock, table), Unaltered.of_target(target, table, none_on(fires))
    packet = rewrite.largest_packet(source_log, target)
    rewrite.refuse_too_large(table, changes, packet)
    rows = Rows(table, table.stored_columns)
    space = Fingerprints(rows)
    planned = ((change.digest,) for change in changes if change.target)
    collisions = Collisions(source_lock, target, table, planned, space)
    constraints = Constraints(source_lock, target, table)
    prepare(source_log)
    source_lock.execute(f"SET SESSION innodb_lock_wait_timeout = {locks.WAIT}")
    jobs = (_Job(number, change) for number, change in zip(journal.plan(table, changes), changes))
    run = _Run(
        source_lock,
        source_log,
        target,
        rows,
        space,
        packet,
        collisions,
        constraints,
        journal,
        inserts,
        *unaltered,
        settled,
        spare_deletes,
    )
    run.all(jobs, lambda: drain(fence, check_links), reached)
    return TableRepair(
        inserted=run.inserted,
        deleted=run.deleted,
        skipped=run.left.told,
        more_skipped=run.left.more,
        statements=rewrite.preview(table, changes, _STATEMENTS_SHOWN),
        verified=not (run.stopped or run.left or run.unverified),
        unverified=run.unverified.told,
        more_unverified=run.unverified.more,
        stopped=run.stopped,
    )


@dataclass(frozen=True)
class _Job:
    """One row value to put right."""

    id: int
    change: Difference

    @property
    def digest(self) -> bytes:
        """What the value's rows are picked by."""
        return self.change.digest

    @property
    def size(self) -> int:
        """Bytes of all the copies to write."""
        return _size(self.change.key) * max(1, self.change.source_copies)


@dataclass(frozen=True)
class _Step:
    """What to do about one value: ``ours`` copies under the lock on the source, ``theirs`` on the target."""

    job: _Job
    ours: int
    theirs: int


@dataclass
class _Run:
    """The repair of one table while it goes on."""

    source_lock: Session
    source_log: Session
    target: Session
    rows: Rows
    space: Fingerprints
    packet: int
    collisions: Collisions
    constraints: Constraints
    journal: Writer
    may_insert: bool  # else the target may have triggers on that
    source_definition: Unaltered
    target_definition: Unaltered
    settled: t.Callable[[], bool]
    spare_deletes: int
    inserted: int = 0
    deleted: int = 0
    skipped: dict[int, Skipped] = field(default_factory=dict)  # of this batch, by job: it may be tried again
    left: Told[Skipped] = field(default_factory=Told)
    unverified: Told[Row] = field(default_factory=Told)
    stopped: ReplError | None = None

    def all(self, jobs: t.Iterable[_Job], drained: t.Callable[[], None], reached: t.Callable[[int], None]) -> None:
        """Repair, drain and verify batch after batch."""
        try:
            for batch in in_portions(jobs, BATCH_VALUES, lambda job: job.size):
                reached(self.inserted + self.deleted)
                self._verify(self._batch(batch), drained)
                self._leave()
            self.journal.flush()
        except ReplError as exc:
            self._release()
            self._leave()
            self.stopped = exc

    def _leave(self) -> None:
        """The values of a batch that were skipped stay so."""
        self.left.add(self.skipped.values())
        self.skipped.clear()

    def _batch(self, jobs: t.Sequence[_Job]) -> list[_Job]:
        """Log one batch; returns the jobs to verify."""
        self.space.digests = {job.change.key: job.digest for job in jobs}
        for attempt in range(1, locks.ATTEMPTS + 1):
            counted = self.rows.count(self.target, [job.digest for job in jobs])
            self.target_definition.check()
            theirs = {job.digest: counted.get(job.digest, 0) for job in jobs}
            jobs = self._free_of_collisions(jobs)
            if not jobs:
                return []
            try:
                with Shadow(self.source_log, self.rows.table) as shadow:
                    return self._log(jobs, theirs, shadow, attempt > 1)
            except LockConflict:
                self._release()
                if attempt == locks.ATTEMPTS:
                    raise
            locks.pause()
        return []

    def _free_of_collisions(self, jobs: t.Sequence[_Job]) -> list[_Job]:
        """Skip the values that hold a unique value (of a key with NULLs) of a row that is not in the plan."""
        candidates = [job for job in jobs if job.change.source]
        holders = self.collisions.find([job.change.key for job in candidates]) if self.collisions.keys else {}
        for place in holders:
            self._skip(candidates[place], *SHARES_VALUE)
        blocked = {candidates[place].id for place in holders}
        return [job for job in jobs if job.id not in blocked]

    def _log(self, jobs: t.Sequence[_Job], theirs: t.Mapping[bytes, int], shadow: Shadow, again: bool) -> list[_Job]:
        """Lock, journal, log, release. ``again``: an earlier try may have journaled other images."""
        digests = [job.digest for job in jobs]
        self.source_lock.begin()
        counted = self.rows.count(self.source_lock, digests, self.source_lock.dialect.share_lock)
        self.source_definition.check()
        ours = {digest: counted.get(digest, 0) for digest in digests}
        known = {job.digest: job.change.target_copies for job in jobs}
        refuse_on_their_way(known, ours, theirs, self.settled, self.source_lock)
        illegal = self.constraints.breaking(self.rows.digest, self.rows.table.name.sql, self.rows.equal_to(digests))
        steps = [_Step(job, ours[job.digest], theirs[job.digest]) for job in jobs]
        kept = []
        spare = self.spare_deletes
        for step in steps:
            if step.ours and (step.job.digest,) in illegal:
                self._skip(step.job, *BREAKS_CHECK)
            elif step.ours and not (step.job.change.source_copies or self.may_insert):
                self._skip(step.job, *_FIRES)
            elif _more_deletes(step) > max(0, spare):
                self._skip(step.job, "max_deletes", "has fewer copies on the source meanwhile, and no more deletes are allowed")
            elif step.ours * _size(step.job.change.key) > _MAX_BYTES:
                self._skip(step.job, "keeps_changing", "has many more copies on the source meanwhile")
            else:
                kept.append(step)
                spare -= _more_deletes(step)
        wanted = [step for step in kept if step.ours != step.theirs]
        for step in wanted:
            row = step.job.change.key
            if again or (step.ours, step.theirs) != (step.job.change.source_copies, step.job.change.target_copies):
                self.journal.image(
                    step.job.id, row if step.theirs else None, row if step.ours else None, (step.theirs, step.ours)
                )
        self.journal.flush()
        if wanted:
            shadow.log(self._statements(wanted), assert_locked=self.source_lock.assert_alive)
        self.source_lock.commit()
        self.journal.committed([step.job.id for step in wanted])
        for step in kept:
            # Copies of the plan that are gone already (a REPLACE before took them away) are repaired too.
            as_planned = step.ours == step.job.change.source_copies
            before = step.job.change.target_copies if as_planned else step.theirs
            self.inserted += max(0, step.ours - before)
            self.deleted += max(0, before - step.ours)
            self.spare_deletes -= _more_deletes(step)
        return [step.job for step in kept]

    def _statements(self, steps: t.Sequence[_Step]) -> t.Iterator[str]:
        yield from rewrite.deletes_of_equal(self.rows.table, [step.job.digest for step in steps], self.packet)
        copies = (step.job.change.key for step in steps for _copy in range(step.ours))
        yield from rewrite.replaces(self.rows.table, copies, self.packet)

    def _skip(self, job: _Job, reason: str, message: str) -> None:
        text = f"{key_text(self.rows.table, job.change.key)} {message}."
        self.skipped[job.id] = Skipped(job.change.key, reason, text)

    def _release(self) -> None:
        with contextlib.suppress(ServerError):
            self.source_lock.roll_back()

    def _verify(self, jobs: t.Sequence[_Job], drained: t.Callable[[], None]) -> None:
        """Drain replication and count the copies on both servers."""
        by_digest = {job.digest: job for job in jobs}
        wrong = unequal(
            lambda some: self.rows.count(self.source_lock, some) if some else {},
            lambda some: self.rows.count(self.target, some) if some else {},
            list(by_digest),
            drained,
        )
        self.unverified.add(by_digest[digest].change.key for digest in wrong)
        self.journal.verified([job.id for digest, job in by_digest.items() if digest not in wrong])


def _more_deletes(step: _Step) -> int:
    """Rows to delete beyond those of the plan."""
    planned = max(0, step.job.change.target_copies - step.job.change.source_copies)
    return max(0, step.theirs - step.ours - planned)


def _size(row: Row) -> int:
    return sum(len(value) for value in row if value) + len(row)
