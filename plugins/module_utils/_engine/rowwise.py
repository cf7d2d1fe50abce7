# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Method ``row``: put rows right by writing the source's real table so that nothing of it changes in the end.

A locked row is deleted and inserted again in one transaction; a row that only the target has is inserted and deleted.
Logged as row changes, that gives the target the source's row whatever it has, if its applier is IDEMPOTENT (leniency.py).
Row changes fire no triggers where they are applied; on the source they do fire. So this is for tables whose target has
triggers that every statement of recipes.py would fire, and only where the source provably stays the same (law 2):

* every row is read again before COMMIT. A BEFORE trigger altered one: it is updated back. Still other bytes: ROLLBACK.
* rows that triggers changed elsewhere are counted by InnoDB (``trx_rows_modified`` of the open transaction). None: good.
  Some: the tables that the triggers write are known from their text (footprint.py), and their contents must be, as this
  transaction sees them, what everybody else sees: written and taken back, as with Sakila's film and film_text. Else ROLLBACK,
  and the table is refused.
* foreign keys are not checked, so nothing cascades, on either side.
"""

from __future__ import annotations

import contextlib
import itertools
import typing as t
from dataclasses import dataclass, field

from . import locks, rewrite, sqltext
from .arrival import drain, refuse_on_their_way, wanting
from .collisions import Collisions, going
from .confirm import DIFFERENT, EXTRA, MISSING, Difference, read_rows
from .constraints import Constraints
from .errors import AccessDenied, LockConflict, LostConnection, ReplError, ServerError, TableProblem
from .facts import read_log_end
from .journal import Writer
from .modified import records_of_update
from .outcome import Skipped, TableRepair, Told
from .present import key_text
from .proof import Counter, Proof, read_counter
from .recipes import ROW
from .schema import Table, column_order, differences
from .session import Row, Session
from .spool import gather, in_batches
from .unaltered import Unaltered

# Rows of one transaction: each holds locks that the application waits for, for about 0.2 s.
_BATCH_ROWS = 100

_STATEMENTS_SHOWN = 100

_SETTINGS = {
    "binlog_format": "'ROW'",
    "binlog_row_image": "'FULL'",
    "sql_log_bin": "1",
    "foreign_key_checks": "0",
    "unique_checks": "1",
    "innodb_lock_wait_timeout": str(locks.WAIT),
}


def repair_rows(
    source: Session,
    witness: Session,
    target: Session,
    table: Table,
    sides: t.Sequence[Table],
    changes: t.Iterable[Difference],
    batch_rows: int,
    journal: Writer,
    fence: t.Callable[[], None],
    check_links: t.Callable[[], None],
    reached: t.Callable[[int], None] = lambda rows: None,
    settled: t.Callable[[], bool] = lambda: True,
    replicas_below: bool = False,
) -> TableRepair:
    """Repair the rows of one plan by DELETE + INSERT on the real table, the target being in IDEMPOTENT mode.

    ``source`` and ``witness`` are two sessions to the source, used for nothing else meanwhile; ``sides``: the tables that
    triggers of ``table`` write there, known to be equal on both servers; ``replicas_below``: whether the target has any.
    Other arguments and errors as for repair.repair_table. Rows are skipped rather than forced; a trigger with lasting
    effects stops the table.
    """
    check_links()
    definitions = (
        Unaltered.of_source(source, table, lambda found: found == table.triggers),
        Unaltered(target, table, lambda now: not differences(table, now) and column_order(now) == column_order(table)),
    )
    changes = gather(changes)
    packet = rewrite.largest_packet(source, target)
    rewrite.refuse_too_large(table, changes, packet)
    collisions = Collisions(source, target, table, going(table, changes))
    constraints = Constraints(source, target, table)
    collisions.keep_blocked(changes, constraints.violations)
    prepare(source)
    prepare(witness)
    run = _Run(
        source,
        target,
        table,
        Proof(source, witness, table, sides),
        packet,
        collisions,
        constraints,
        read_counter(source, table),
        journal,
        lambda: drain(fence, check_links),
        *definitions,
        settled,
        replicas_below,
    )
    ids = journal.plan(table, changes)
    # Rows that only the target has come last: writing the others may have pushed them out already.
    jobs = (
        _Job(number, change.kind, change.key, change.source, change.target)
        for last in (False, True)
        for number, change in zip(ids, changes)
        if (change.kind == EXTRA) == last
    )
    run.all(jobs, min(batch_rows, _BATCH_ROWS), reached)
    return TableRepair(
        **run.counts,
        skipped=run.left.told,
        more_skipped=run.left.more,
        statements=rewrite.preview(table, changes, _STATEMENTS_SHOWN, ROW),
        verified=not (run.stopped or run.left or run.unverified),
        unverified=run.unverified.told,
        more_unverified=run.unverified.more,
        stopped=run.stopped,
    )


def prepare(session: Session) -> None:
    """Give a session the settings under which it logs row changes and sees what others commit. Raises ServerError."""
    settings = dict(_SETTINGS)
    if session.dialect.is_mariadb:
        settings["check_constraint_checks"] = "0"
    session.execute("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items()))
    # Each reading sees the moment, so that the two sessions can be compared.
    session.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")


@dataclass(frozen=True)
class _Job:
    """One row to put right, with both copies as planned."""

    id: int
    kind: str
    key: Row
    source: Row | None
    target: Row | None


@dataclass(frozen=True)
class _Step:
    """What to do about a locked row: ``source`` is the row under the lock, ``target`` the target's present one."""

    job: _Job
    source: Row | None
    target: Row | None

    @property
    def kind(self) -> str:
        """What the row is now, but for what an earlier one has taken away on the target."""
        return EXTRA if self.source is None else MISSING if self.before is None else DIFFERENT

    @property
    def before(self) -> Row | None:
        """The target's row, as the journal has it: one of the plan that is gone by now was dropped for a unique value."""
        return self.target or self.job.target


_COUNTED = {MISSING: "inserted", DIFFERENT: "updated", EXTRA: "deleted"}


@dataclass
class _Run:
    """The repair of one table while it goes on."""

    source: Session
    target: Session
    table: Table
    proof: Proof
    packet: int
    collisions: Collisions
    constraints: Constraints
    counter: Counter | None
    journal: Writer
    drained: t.Callable[[], None]
    source_definition: Unaltered
    target_definition: Unaltered
    settled: t.Callable[[], bool]
    replicas_below: bool
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED.values(), 0))
    skipped: dict[int, Skipped] = field(default_factory=dict)  # of this batch, by job: it may be tried again
    left: Told[Skipped] = field(default_factory=Told)
    unverified: Told[Row] = field(default_factory=Told)
    stopped: ReplError | None = None

    def all(self, jobs: t.Iterable[_Job], batch_rows: int, reached: t.Callable[[int], None]) -> None:
        """Write, drain and verify batch after batch; the first trigger with lasting effects ends it."""
        try:
            self.source.execute(f"USE {sqltext.quote_name(self.table.name.database)}")
            for batch in in_batches(jobs, batch_rows):
                reached(sum(self.counts.values()))
                self._verify(self._batch(batch))
                self._leave()
            self.journal.flush()
        except ReplError as exc:
            self._leave()
            self.stopped = exc

    def _leave(self) -> None:
        """The rows of a batch that were skipped stay so."""
        self.left.add(self.skipped.values())
        self.skipped.clear()

    def _batch(self, jobs: t.Sequence[_Job], again: bool = False) -> list[_Job]:
        """Write one batch; row by row if that fails, so that a row which the server refuses costs only itself."""
        jobs = self._free_of_collisions(jobs)
        for attempt in range(1, locks.ATTEMPTS + 1):
            if not jobs:
                return []
            theirs = read_rows(self.target, self.table, [job.key for job in jobs])
            self.target_definition.check()
            try:
                return self._transaction(jobs, theirs, again or attempt > 1)
            except LockConflict:
                if attempt == locks.ATTEMPTS:
                    raise
                locks.pause()
            except AccessDenied as exc:
                raise _missing_grant(self.source, self.table, exc) from exc
            except LostConnection:
                raise
            except ServerError as exc:
                if len(jobs) == 1:
                    return self._skip(jobs[0], "not_written", f"was refused by the source: {exc.text.rstrip('.')}")
                break
        return [done for job in jobs for done in self._batch([job], again=True)]

    def _transaction(self, jobs: t.Sequence[_Job], theirs: dict[Row, Row], again: bool) -> list[_Job]:
        """Lock, journal, write, prove that nothing has changed, commit. Returns the jobs to verify.

        ``again``: an earlier try may have journaled other images.
        """
        self.source.begin()
        try:
            steps, equal = self._decide(jobs, theirs)
            for step in steps:
                if again or (step.before, step.source) != (step.job.target, step.job.source):
                    self.journal.image(step.job.id, step.before, step.source)
            self.journal.flush()
            if steps:
                self.proof.check({step.job.key: step.source for step in steps}, self._write(steps))
            self.source.commit()
        except BaseException:
            with contextlib.suppress(ServerError):
                self.source.roll_back()
            raise
        for job in equal:
            self.counts[_COUNTED[job.kind]] += 1
        for step in steps:
            self.counts[_COUNTED[step.kind]] += 1
        if steps:
            self.journal.committed([step.job.id for step in steps], read_log_end(self.source))
        return [*(step.job for step in steps), *equal]

    def _decide(self, jobs: t.Sequence[_Job], theirs: dict[Row, Row]) -> tuple[list[_Step], list[_Job]]:
        """What to do under the lock, and the rows that are equal by now. What else has become of a row is skipped."""
        ours = read_rows(self.source, self.table, [job.key for job in jobs], "FOR UPDATE")
        self.source_definition.check()
        refuse_on_their_way({job.key: job.target for job in jobs}, ours, theirs, self.settled, self.source)
        illegal = self.constraints.violations([job.key for job in jobs if job.key in ours])
        steps, equal = [], []
        for job in jobs:
            source, target = ours.get(job.key), theirs.get(job.key)
            if source == target:
                equal.append(job)
            elif source is None and job.kind != EXTRA:
                self._skip(job, "keeps_changing", "was deleted on the source meanwhile")
            elif source and source != job.source and self.collisions.keys:
                self._skip(job, "keeps_changing", "changed on the source since its unique values were looked up on the target")
            elif source and job.key in illegal:
                self._skip(job, "check_constraint", "breaks a CHECK constraint of its table")
            elif source is None and self.counter and self.counter.would_jump(t.cast(Row, target)):
                message = f"would move the source's AUTO_INCREMENT, which is at {self.counter.next_value}, far ahead for good"
                self._skip(job, "auto_increment", message)
            else:
                steps.append(_Step(job, source, target))
        return steps, equal

    def _write(self, steps: t.Sequence[_Step]) -> int:
        """DELETE + INSERT, for surplus rows INSERT + DELETE; returns the row changes that this makes by itself."""
        ours = {step.job.key: step.source for step in steps if step.source}
        surplus = {step.job.key: step.target for step in steps if step.target and not step.source}
        changed = self._execute(rewrite.deletes(self.table, list(ours), self.packet))
        # Between the two, so that a surplus row may hold a unique value of a row of the same batch.
        changed += self._execute(rewrite.inserts(self.table, surplus.values(), self.packet))
        changed += self._execute(rewrite.deletes(self.table, list(surplus), self.packet))
        changed += self._execute(rewrite.inserts(self.table, ours.values(), self.packet))
        if changed != 2 * len(steps):
            raise self.proof.failed(f"{changed} rows were written instead of {2 * len(steps)}")
        return changed + self._write_back(ours)

    def _write_back(self, ours: dict[Row, Row]) -> int:
        """Undo what BEFORE triggers made of our rows; returns the row changes that this takes."""
        now = read_rows(self.source, self.table, list(ours))
        altered = {key: row for key, row in ours.items() if now.get(key) != row}
        if not altered:
            return 0
        self._execute(rewrite.updates(self.table, altered.items(), self.packet))
        return sum(records_of_update(self.table, now[key], row) for key, row in altered.items() if key in now)

    def _execute(self, statements: t.Iterable[str]) -> int:
        return sum([self.source.execute(statement) for statement in statements])

    def _free_of_collisions(self, jobs: t.Sequence[_Job]) -> list[_Job]:
        """Skip the jobs whose unique values another row of the target has that the plan does not take away."""
        candidates = [job for job in jobs if job.source]
        found = self.collisions.find_all([t.cast(Row, job.source) for job in candidates])
        for place in found.staying:
            message = (
                "shares a unique value with a row of the target that would be deleted, and is not in the plan or cannot be put"
                " right itself"
            )
            self._skip(candidates[place], "unique_collision", message)
        blocked = {candidates[place].id for place in found.staying}
        if self.replicas_below and found.leaving:
            # A new row that meets the value is logged there as a change of the row that has it. To a replica that has no such
            # row this says nothing, and the new row's old copy was deleted just before (collisions.py). In one batch the row that
            # only the target has goes first.
            keys = list(itertools.chain.from_iterable(found.leaving.values()))
            known = {*read_rows(self.source, self.table, keys), *(job.key for job in jobs)}
            for place, holders in found.leaving.items():
                if candidates[place].id not in blocked and any(key not in known for key in holders):
                    message = "shares a unique value with a row that only the target has; replicas below the target would lose it"
                    self._skip(candidates[place], "unique_collision", message)
                    blocked.add(candidates[place].id)
        return [job for job in jobs if job.id not in blocked]

    def _skip(self, job: _Job, reason: str, message: str) -> list[_Job]:
        self.skipped[job.id] = Skipped(job.key, reason, f"{key_text(self.table, job.key)} {message}.")
        return []

    def _verify(self, jobs: t.Sequence[_Job]) -> None:
        """Drain replication and compare both copies."""
        ids = {job.key: job.id for job in jobs}
        wrong = wanting(self.source, self.target, self.table, list(ids), self.drained)
        self.unverified.add(wrong)
        self.journal.verified([ids[key] for key in ids.keys() - set(wrong)])


def _missing_grant(session: Session, table: Table, problem: AccessDenied) -> TableProblem:
    return TableProblem(
        "missing_grant",
        f"{table.name}: the method 'row' writes the real table on {session.name}, which the account may not: {problem.message}.",
        f"GRANT INSERT, DELETE, UPDATE ON {table.name.sql} to the account on the source, for the time of the repair"
        " (UPDATE only where a BEFORE trigger alters rows).",
    )
