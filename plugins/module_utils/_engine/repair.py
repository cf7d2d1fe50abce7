# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the rows of one table right on the target, by statements that exist only in the source's binary log.

Each batch: look at the target, lock the rows on the source, journal what is new, log what is locked, release the lock.
Then drain, see that the links are up, and compare both copies. No lock is held while waiting for replication or for the
target. Killed at any instant, the source is unchanged and the target is as it was or as the source is.
"""

from __future__ import annotations

import contextlib
import functools
import typing as t
from collections import defaultdict
from dataclasses import dataclass, field

from . import rewrite
from .arrival import Arrivals, drain, refuse_on_their_way
from .collisions import Collisions, going
from .confirm import DIFFERENT, EXTRA, MISSING, Difference, read_rows
from .constraints import Constraints
from .errors import LockConflict, Refusal, ReplError, TableProblem, Undecided
from .journal import Writer
from .keyspace import KeySpace
from .locks import ATTEMPTS, Locks, locks_for, pause
from .outcome import Skipped, TableRepair
from .present import key_text
from .recipes import DELETE, INSERT, PLAIN, REPLACE, UPDATE, Recipe
from .schema import Key, Table
from .session import Row, Session
from .shadow import Shadow, prepare
from .spool import Ahead, Spool, gather, in_batches, in_portions, row_bytes
from .unaltered import Unaltered, none_on

# Batches logged between two drainings. It starts with one, so that a problem shows early, and doubles.
_MAX_BATCHES_AT_ONCE = 16

# Rows that changed meanwhile, or that others were in the way of, are taken up again after the others, so often.
_PASSES = 3

_WOULD_GO = "would be deleted, and is not in the plan or cannot be put right itself"
_CANNOT_GO = "cannot be taken away first by a statement that fires no trigger"

# Rows left alone, and rows not verified, that the result names; the rest is counted.
_TOLD = 1000

# Statements shown of one table; the journal has all rows.
_STATEMENTS_SHOWN = 100


def repair_table(
    source_lock: Session,
    source_log: Session,
    target: Session,
    table: Table,
    changes: t.Collection[Difference],
    batch_rows: int,
    journal: Writer,
    fence: t.Callable[[], None],
    check_links: t.Callable[[], None],
    spare_deletes: int = 0,
    recipe: Recipe = PLAIN,
    reached: t.Callable[[int], None] = lambda rows: None,
    settled: t.Callable[[], bool] = lambda: True,
    aside: tuple[Session, ...] = (),
) -> TableRepair:
    """Repair the rows of one plan by the statements of ``recipe``. Tables without a key: see copies.py.

    ``source_lock`` and ``source_log`` are two sessions to the source, used for nothing else meanwhile. ``fence`` drains
    replication both ways, ``check_links`` raises when a link is broken. ``spare_deletes``: rows planned otherwise that
    may be deleted because the source has deleted them meanwhile. ``reached`` is told the rows done, before each batch, and
    may raise Undecided to end it there. ``settled``: whether the source has all that the target has written so far.
    ``aside``: more sessions to source and target, to verify rows while the next are logged.
    Raises before anything is written: TableProblem, Refusal ``journal_unwritable`` or ``broken_link``, ServerError. What
    goes wrong later is in the result.
    """
    _refuse_unsafe(table)
    changes = gather(changes)
    check_links()
    unaltered = Unaltered.of_source(source_lock, table), Unaltered.of_target(target, table, none_on(recipe.fires))
    packet = rewrite.largest_packet(source_log, target)
    rewrite.refuse_too_large(table, changes, packet)
    takes = recipe.takes_rows_away
    collisions = Collisions(source_lock, target, table, going(table, changes if takes else ()), takes_rows_away=takes)
    constraints = Constraints(source_lock, target, table)
    if takes:
        collisions.keep_blocked(changes, constraints.violations)
    prepare(source_log)
    ids = journal.plan(table, changes)
    run = _Run(
        source_lock,
        source_log,
        target,
        table,
        packet,
        recipe,
        collisions,
        constraints,
        *unaltered,
        locks_for(source_lock, table),
        journal,
        spare_deletes,
        reached,
        settled,
    )
    jobs = (_Job(number, *record[:4]) for number, record in zip(ids, changes.records))
    batches = in_batches(jobs, batch_rows) if changes.fit_together(batch_rows) else _portions(jobs, batch_rows)
    drained = functools.partial(drain, fence, check_links)
    with Arrivals(source_lock, target, table, drained, run.seen, aside) as arrivals:
        run.all(batches, batch_rows, arrivals)
    return run.result(changes)


class _Job(t.NamedTuple):
    """One row to put right, with both copies as last journaled. ``reason``, ``message``: why it is put off."""

    id: int
    kind: str
    key: Row
    source: Row | None
    target: Row | None
    reason: str = ""
    message: str = ""

    @property
    def size(self) -> int:
        """Bytes of both images."""
        return row_bytes(self.source) + row_bytes(self.target)


# What is to be verified: id and key.
_Tried = tuple[int, Row]

# What becomes of the target's row.
_INSERTED, _UPDATED, _DELETED = "inserted", "updated", "deleted"
_WRITTEN = frozenset((_INSERTED, _UPDATED, _DELETED))
_PLANNED = {MISSING: _INSERTED, DIFFERENT: _UPDATED, EXTRA: _DELETED}
_EQUAL = "equal"  # nothing to do any more
_CHANGED = "changed"  # put off
_KEPT = "kept"  # skipped
_ILLEGAL = "illegal"  # skipped
_FIRES = "fires"  # skipped
_LEFT_ALONE = {
    _CHANGED: ("keeps_changing", "changed on the source since its unique values were looked up on the target"),
    _KEPT: ("max_deletes", "was deleted on the source meanwhile, and no more deletes are allowed"),
    _ILLEGAL: (
        "check_constraint",
        "breaks a CHECK constraint of its table; the target would refuse it and replication would stop",
    ),
    _FIRES: ("triggers", "changed meanwhile, so that it now takes a statement that fires triggers on the target"),
}


class _Step(t.NamedTuple):
    """What to do about a locked row: ``source`` is the row under the lock, ``target`` the target's present one."""

    job: _Job
    source: Row | None
    target: Row | None
    action: str

    @property
    def kind(self) -> str:
        """What the row is now."""
        return EXTRA if self.source is None else MISSING if self.target is None else DIFFERENT


@dataclass
class _Run:
    """The repair of one table while it goes on."""

    source_lock: Session
    source_log: Session
    target: Session
    table: Table
    packet: int
    recipe: Recipe
    collisions: Collisions
    constraints: Constraints
    source_definition: Unaltered
    target_definition: Unaltered
    locks: Locks
    journal: Writer
    spare_deletes: int
    reached: t.Callable[[int], None]
    settled: t.Callable[[], bool]
    meanwhile: t.Callable[[], None] = lambda: None
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys((_INSERTED, _UPDATED, _DELETED), 0))
    put_off: Spool = field(default_factory=Spool)
    skipped: list[Skipped] = field(default_factory=list)
    rows_skipped: int = 0
    unverified: list[Row] = field(default_factory=list)
    rows_unverified: int = 0
    rows_to_verify: int = 0
    stopped: ReplError | None = None

    def all(self, batches: t.Iterable[list[_Job]], batch_rows: int, arrivals: Arrivals) -> None:
        """Work through the jobs, then through those put off."""
        put_off = Spool()
        try:
            for _pass in range(_PASSES):
                self._pass(batches, arrivals)
                put_off, self.put_off = self.put_off, Spool()
                if not put_off:
                    break
                batches = _portions(map(_Job._make, put_off), batch_rows)
            for job in map(_Job._make, put_off):
                self._skip(job)
            self.journal.flush()
        except ReplError as exc:
            self._release()
            self.stopped = exc
            with contextlib.suppress(ReplError):  # of what was logged before
                arrivals.finish()

    def result(self, changes: t.Iterable[Difference]) -> TableRepair:
        """Sum up."""
        return TableRepair(
            **self.counts,
            skipped=tuple(self.skipped),
            more_skipped=self.rows_skipped - len(self.skipped),
            statements=rewrite.preview(self.table, changes, _STATEMENTS_SHOWN, self.recipe),
            verified=not (self.stopped or self.rows_skipped or self.rows_unverified or self.rows_to_verify),
            unverified=tuple(self.unverified),
            more_unverified=self.rows_unverified - len(self.unverified),
            stopped=self.stopped,
        )

    def _pass(self, batches: t.Iterable[list[_Job]], arrivals: Arrivals) -> None:
        at_once, logged = 1, 0
        tried: list[_Tried] = []
        coming = Ahead(batches)
        self.meanwhile = coming.fetch
        for batch in coming:
            if logged == at_once:
                arrivals.expect(tried)
                at_once, logged, tried = min(2 * at_once, _MAX_BATCHES_AT_ONCE), 0, []
            try:
                some = self._batch(batch)
            except (Undecided, Refusal):  # told to end
                self._release()
                arrivals.expect(tried)
                raise
            tried += [(job.id, job.key) for job in some]
            self.rows_to_verify += len(some)
            logged += 1
        arrivals.expect(tried)
        arrivals.finish()

    def seen(self, arrived: list[int], wrong: list[Row]) -> None:
        """Note which rows were verified, by id, and which are not, by key."""
        self.rows_to_verify -= len(arrived) + len(wrong)
        self.rows_unverified += len(wrong)
        self.unverified += wrong[: _TOLD - len(self.unverified)]
        self.journal.verified(arrived)

    def _put_off(self, job: _Job) -> None:
        self.put_off.append(tuple(job), job.size)

    def _skip(self, job: _Job) -> None:
        self.rows_skipped += 1
        if len(self.skipped) < _TOLD:
            self.skipped.append(Skipped(job.key, job.reason, job.message))

    # -- one batch -----------------------------------------------------------------------------

    def _batch(self, jobs: t.Sequence[_Job], attempt: int = 1) -> list[_Job]:
        """Log one batch; returns the jobs to verify: all but those put off or skipped."""
        self.reached(sum(self.counts.values()))
        theirs = read_rows(self.target, self.table, [job.key for job in jobs])
        self.target_definition.check()
        free, leaving = self._free_of_collisions(jobs)
        if not free:
            return []
        try:
            with Shadow(self.source_log, self.table) as shadow:
                return self._log(free, theirs, leaving, shadow, attempt > 1)
        except LockConflict:
            self._release()
            if attempt == ATTEMPTS:
                raise
        pause()
        # From the second failure on, the batch is halved as well.
        middle = len(free) // 2 if attempt > 1 else 0
        parts = (free[:middle], free[middle:])
        return [job for part in parts if part for job in self._batch(part, attempt + 1)]

    def _free_of_collisions(self, jobs: t.Sequence[_Job]) -> tuple[list[_Job], dict[int, str]]:
        """Put off the jobs whose unique values another row has that may not be taken away (yet); conditions for the rest."""
        candidates = [job for job in jobs if job.source is not None]
        found = self.collisions.find_all([t.cast(Row, job.source) for job in candidates])
        blocked = {candidates[place].id: keys for place, keys in found.staying.items()}
        for job in candidates:
            if job.id in blocked:
                others = ", ".join(key_text(self.table, key) for key in blocked[job.id])
                message = (
                    f"{key_text(self.table, job.key)} shares a unique value with {others} on the target,"
                    f" which {_WOULD_GO if self.recipe.takes_rows_away else _CANNOT_GO}."
                )
                self._put_off(job._replace(reason="unique_collision", message=message))
        leaving = {candidates[place].id: condition for place, condition in found.conditions.items()}
        return [job for job in jobs if job.id not in blocked], leaving

    def _log(self, jobs: list[_Job], theirs: dict[Row, Row], leaving: dict[int, str], shadow: Shadow, again: bool) -> list[_Job]:
        """Lock, journal, log, release. ``again``: an earlier try may have journaled other images."""
        self.locks.take()
        share_lock, likely = self.source_lock.dialect.share_lock, all(job.source for job in jobs)
        ours = read_rows(self.source_lock, self.table, [job.key for job in jobs], share_lock, likely)
        self.source_definition.check()
        refuse_on_their_way({job.key: job.target for job in jobs}, ours, theirs, self.settled, self.source_lock)
        steps = self._decide(jobs, ours, theirs)
        illegal = self.constraints.violations(list(ours))
        if illegal:
            key_of = KeySpace(self.table, t.cast(Key, self.table.key)).key_of
            steps = [step._replace(action=_ILLEGAL) if step.source and key_of(step.source) in illegal else step for step in steps]
        for step in steps:
            # A row that is gone may have been taken away by a REPLACE of ours: what was there first is what counts.
            before = step.target or step.job.target
            if step.action != _EQUAL and (again or (before, step.source) != (step.job.target, step.job.source)):
                self.journal.image(step.job.id, before, step.source)
        self.journal.flush()
        wanted = [step for step in steps if step.action in _WRITTEN]
        if wanted:
            shadow.log(self._statements(wanted, leaving), self.recipe.together, self.meanwhile, self.locks.assert_held)
        self.locks.release()
        self.journal.committed([step.job.id for step in wanted])
        return self._account(steps)

    def _statements(self, steps: t.Sequence[_Step], leaving: dict[int, str]) -> t.Iterator[str]:
        """What puts these rows right: deletes and updates first, while the shadow is empty."""
        by_verb: dict[str | None, list[_Step]] = defaultdict(list)
        for step in steps:
            by_verb[self.recipe.verb(step.kind)].append(step)
        new = {verb: [t.cast(Row, step.source) for step in by_verb[verb]] for verb in (UPDATE, REPLACE, INSERT)}
        yield from rewrite.deletes(self.table, [step.job.key for step in by_verb[DELETE]], self.packet)
        yield from rewrite.updates(self.table, zip((step.job.key for step in by_verb[UPDATE]), new[UPDATE]), self.packet)
        in_the_way = (leaving[step.job.id] for step in by_verb[REPLACE] if step.job.id in leaving)
        yield from rewrite.deletes_of(self.table, in_the_way, self.packet)
        yield from rewrite.replaces(self.table, new[REPLACE], self.packet)
        yield from rewrite.inserts(self.table, new[INSERT], self.packet, ignore=True)

    def _decide(self, jobs: t.Sequence[_Job], ours: dict[Row, Row], theirs: dict[Row, Row]) -> list[_Step]:
        spare = self.spare_deletes
        without_verb = None in (self.recipe.verb(kind) for kind in _PLANNED)
        steps = []
        for job in jobs:
            source, target = ours.get(job.key), theirs.get(job.key)
            if source == target:
                action = _EQUAL
            elif source is None:
                # Absent under the lock: the positive proof that a delete needs (law 4).
                action = _DELETED if job.kind == EXTRA or spare > 0 else _KEPT
                spare -= action == _DELETED and job.kind != EXTRA
            elif self.collisions.keys and source != job.source:
                action = _CHANGED
            else:
                action = _INSERTED if job.kind == MISSING else _UPDATED
            step = _Step(job, source, target, action)
            if without_verb and action in _WRITTEN and self.recipe.verb(step.kind) is None:
                step = step._replace(action=_FIRES)
            steps.append(step)
        return steps

    def _account(self, steps: t.Sequence[_Step]) -> list[_Job]:
        to_verify = []
        for step in steps:
            if step.action in _LEFT_ALONE:
                reason, message = _LEFT_ALONE[step.action]
                job = step.job._replace(source=step.source, target=step.target or step.job.target, reason=reason)
                job = job._replace(message=f"{key_text(self.table, job.key)} {message}.")
                (self._put_off if step.action == _CHANGED else self._skip)(job)
                continue
            to_verify.append(step.job)
            # A row of the plan that is right already (a REPLACE before it took it away) is one repaired too.
            self.counts[_PLANNED[step.job.kind] if step.action == _EQUAL else step.action] += 1
            self.spare_deletes -= step.action == _DELETED and step.job.kind != EXTRA
        return to_verify

    def _release(self) -> None:
        self.locks.give_up()


def _portions(jobs: t.Iterable[_Job], batch_rows: int) -> t.Iterator[list[_Job]]:
    return in_portions(jobs, batch_rows, lambda job: job.size)


def _refuse_unsafe(table: Table) -> None:
    """The operation refuses these before; a caller that does not must not get through either."""
    for code, found, what in (
        ("no_key", table.key is None, "has no key that tells its rows apart"),
        ("engine_not_transactional", not (table.is_transactional or table.is_lockable), "cannot lock and roll back single rows"),
        ("system_versioned", table.is_versioned, "keeps its own history"),
        ("not_a_table", not table.is_base_table, "holds no rows of its own"),
    ):
        if found:
            raise TableProblem(code, f"{table.name} {what}, so it is not repaired.", "Leave it out with ignore_tables.")
