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

Each batch: lock the rows on the target and then on the source (shared and exclusive locks, both for the length of this
transaction, never while waiting for replication), see that both are what was planned and journaled, write, read again, count
what the transaction changed, commit. One byte other than intended and it is rolled back; the row in question is left alone.
Foreign keys are checked by the source itself. Rows that wait for a parent, or for a unique value, are tried again after all
others.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass, field

from . import locks, rewrite, sqltext
from .arrival import drain, wanting
from .collisions import Collisions
from .confirm import EXTRA, Difference, read_rows
from .errors import AccessDenied, LockConflict, LostConnection, ReplError, ServerError, TableProblem
from .journal import Writer
from .keyspace import KeySpace
from .modified import miscounted_by, only_miscounted, records_of_update, rows_modified
from .outcome import Skipped, TableRepair, Told
from .policy import Policy
from .present import key_text
from .schema import Key, Table
from .session import Row, Session
from .spool import Spool, in_batches, row_bytes
from .unaltered import Unaltered, none_on

# What a server says of a row that it does not take, as a warning or as an error.
_DUPLICATE = 1062
_TOLD = {
    _DUPLICATE: ("unique_collision", "another row of the source has one of its unique values"),
    1452: ("foreign_key", "refers to a row that the source does not have"),
    3819: ("check_constraint", "breaks a CHECK constraint of its table"),
    4025: ("check_constraint", "breaks a CHECK constraint of its table"),
}
_OTHERWISE = ("not_as_intended", "was not stored as it is on the target; nothing of it was kept")
_SINCE = ("changed_since", "changed on one of the servers since it was planned")
_SIDE_EFFECTS = ("side_effects", "would change other rows of the source as well (a cascade, or a trigger)")


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
    events = {_event(change) for change in changes}
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


def _event(change: Difference) -> str:
    """What writing the row is to a trigger of the source."""
    return "INSERT" if change.kind == EXTRA else "UPDATE"


def statement(table: Table, change: Difference, policy: Policy, packet: int | None = None) -> str:
    """The statement that gives a row to the source, with the table's full name. Raises TableProblem ``row_too_large``."""
    if change.kind == EXTRA:
        return rewrite.adopting_insert(table, t.cast(Row, change.target), packet)
    guard = policy.column_of(table), policy.versions(table, change)[0]
    return rewrite.adopting_update(table, change.key, t.cast(Row, change.target), guard, packet)


@dataclass(frozen=True)
class Sessions:
    """Three sessions: one that writes to the source and is used for nothing else, one that locks on the target, one to read."""

    writing: Session
    target_lock: Session
    target: Session


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
    run = _Run(sessions, journal, lambda: drain(fence, check_links), go_on)
    try:
        check_links()
        run.prepare()
        waiting: list[tuple[Adoption, t.Collection[_Job]]] = []
        for adoption in adoptions:
            ids = journal.plan(adoption.table, (each.swapped for each in adoption.changes), on_source=True)
            waiting.append((adoption, _Waiting(map(_Job, ids, adoption.changes))))
        before = None
        # Again as long as it helps: a row whose parent came in the meantime goes in now.
        while waiting and before != [len(jobs) for _adoption, jobs in waiting]:
            before = [len(jobs) for _adoption, jobs in waiting]
            waiting = [(adoption, run.table(adoption, jobs, batch_rows)) for adoption, jobs in waiting]
            waiting = [(adoption, jobs) for adoption, jobs in waiting if jobs]
        for adoption, jobs in waiting:
            adoption.skipped.add(_skipped(adoption, job) for job in jobs)
        journal.flush()
    except ReplError as exc:
        run.release()
        return exc
    return None


class _Job(t.NamedTuple):
    """One row that the source is to get; ``reason``, ``message``: why it was not taken so far."""

    id: int
    change: Difference
    reason: str = ""
    message: str = ""


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


@dataclass
class _Run:
    """One run over all tables."""

    sessions: Sessions
    journal: Writer
    drained: t.Callable[[], None]
    go_on: t.Callable[[Adoption], None]
    packet: int = 0
    definitions: tuple[Unaltered, ...] = ()  # of the present table

    def prepare(self) -> None:
        """Give the sessions their settings. Raises ServerError."""
        writing, target_lock = self.sessions.writing, self.sessions.target_lock
        writing.execute("SET SESSION binlog_format = 'STATEMENT'")
        rewrite.be_logged(writing)
        for session in (writing, target_lock):
            session.execute(f"SET SESSION innodb_lock_wait_timeout = {locks.WAIT}")
        self.packet = rewrite.largest_packet(writing, self.sessions.target)

    def release(self) -> None:
        """Give all locks up."""
        for session in (self.sessions.writing, self.sessions.target_lock):
            with contextlib.suppress(ServerError):
                session.roll_back()

    def table(self, adoption: Adoption, jobs: t.Iterable[_Job], batch_rows: int) -> _Waiting:
        """Write rows of one table; returns those to try again. A problem of the table alone ends only it."""
        waiting = _Waiting()
        try:
            # The default database decides, as for the application, what filters by database let through.
            self.sessions.writing.execute(f"USE {sqltext.quote_name(adoption.table.name.database)}")
            self.definitions = self._watched(adoption)
            for some in in_batches(jobs, batch_rows):
                self.go_on(adoption)
                self._batch(adoption, some, waiting)
        except TableProblem as exc:
            self.release()
            adoption.stopped = exc
            return _Waiting()
        return waiting

    def _watched(self, adoption: Adoption) -> tuple[Unaltered, Unaltered]:
        """The table on both servers, which must stay as it was when its rows were compared."""
        writing, locking, table = self.sessions.writing, self.sessions.target_lock, adoption.table
        quiet = none_on({_event(change) for change in adoption.changes})
        return Unaltered.of_source(writing, table, quiet), Unaltered.of_target(locking, table, quiet)

    def _batch(self, adoption: Adoption, batch: list[_Job], waiting: _Waiting) -> None:
        """Write a batch, without the rows that turn out not to go in; verify it."""
        done: list[_Job] = []
        parts = [batch]
        while parts:
            part = parts.pop()
            bad = self._with_locks(adoption, [job.change for job in part])
            if not bad:
                done += part
                continue
            if len(bad) == len(part) > 1 and all(code == _SIDE_EFFECTS[0] for code, _words in bad.values()):
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

    def _with_locks(self, adoption: Adoption, part: t.Sequence[Difference]) -> dict[Row, tuple[str, str]]:
        """One transaction; the keys of rows that do not go in, with the reason, if there are any: then nothing was written."""
        for attempt in range(1, locks.ATTEMPTS + 1):
            try:
                return self._transaction(adoption, part)
            except LockConflict:
                self.release()
                if attempt == locks.ATTEMPTS:
                    raise
            locks.pause()
        return {}

    def _transaction(self, adoption: Adoption, part: t.Sequence[Difference]) -> dict[Row, tuple[str, str]]:
        table, keys = adoption.table, [change.key for change in part]
        source, target = self.sessions.writing, self.sessions.target_lock
        target.begin()
        theirs = read_rows(target, table, keys, target.dialect.share_lock)
        source.begin()
        # Where the row is absent there is nothing to update later, and a shared lock needs no right but SELECT.
        lock = source.dialect.share_lock if all(change.kind == EXTRA for change in part) else "FOR UPDATE"
        ours = read_rows(source, table, keys, lock)
        for definition in self.definitions:
            definition.check()
        bad = {
            change.key: _SINCE
            for change in part
            if (ours.get(change.key), theirs.get(change.key)) != (change.source, change.target)
        }
        if not bad:
            bad = self._write(adoption, part)
        if bad:
            self.release()
            return bad
        source.commit()
        target.roll_back()
        return {}

    def _write(self, adoption: Adoption, part: t.Sequence[Difference]) -> dict[Row, tuple[str, str]]:
        source, table = self.sessions.writing, adoption.table
        bad: dict[Row, tuple[str, str]] = {}
        for change in part:
            text = statement(table, change, adoption.policy, self.packet)
            try:
                if source.execute(text) == 0:
                    bad[change.key] = self._said(table, change)
            except (LostConnection, LockConflict, AccessDenied):
                raise
            except ServerError as exc:
                bad[change.key] = _TOLD.get(exc.errno, (_OTHERWISE[0], f"was not taken by the source: {exc.text.rstrip('.')}"))
        if bad:
            return bad
        now = read_rows(source, table, [_new_key(table, change) for change in part])
        bad = {change.key: _OTHERWISE for change in part if now.get(_new_key(table, change)) != change.target}
        counted, expected = (0, 0) if bad else (self._changed(table), sum(_records(table, change) for change in part))
        updates = any(change.kind != EXTRA for change in part)
        if counted < expected or (counted > expected and not only_miscounted(source, table, cascades=updates)):
            cause = miscounted_by(source, table)
            why = f"{_SIDE_EFFECTS[1]}, or InnoDB counts too many because of {cause}" if cause else _SIDE_EFFECTS[1]
            bad = {change.key: (_SIDE_EFFECTS[0], why) for change in part}
        return bad

    def _said(self, table: Table, change: Difference) -> tuple[str, str]:
        """Why the last statement passed its row over."""
        source = self.sessions.writing
        numbers = [int(each["Code"] or 0) for each in source.records("SHOW WARNINGS")]
        told = next((_TOLD[number] for number in numbers if number in _TOLD), None)
        # MariaDB does not tell of a unique value that keeps UPDATE IGNORE from its row.
        if told or not Collisions(source, source, table, (), takes_rows_away=False).find([t.cast(Row, change.target)]):
            return told or _OTHERWISE
        return _TOLD[_DUPLICATE]

    def _changed(self, table: Table) -> int:
        """Records that the open transaction has changed, in all tables. Raises TableProblem ``side_effects``."""
        counted = rows_modified(self.sessions.writing)
        if counted is None:
            raise TableProblem(
                "side_effects",
                f"{table.name}: information_schema.INNODB_TRX of {self.sessions.writing.name} is read by others all the time and"
                " never renewed, so whether other rows of the source would change as well cannot be counted.",
                "Hold the monitoring that reads it back for the time of the run.",
            )
        return counted

    def _put_off(self, adoption: Adoption, job: _Job, why: tuple[str, str], waiting: _Waiting) -> None:
        job = _Job(job.id, job.change, *why)
        if job.reason in ("unique_collision", "foreign_key", "not_as_intended"):
            waiting.append(job)
        else:
            adoption.skipped.add([_skipped(adoption, job)])

    def _account(self, adoption: Adoption, done: t.Sequence[_Job]) -> None:
        """Note what was committed, drain replication and compare both copies."""
        adoption.adopted += len(done)
        ids = {_new_key(adoption.table, job.change): job.id for job in done}
        self.journal.committed(ids.values())
        wrong = wanting(self.sessions.writing, self.sessions.target, adoption.table, list(ids), self.drained)
        adoption.unverified.add(wrong)
        self.journal.verified([ids[key] for key in ids.keys() - set(wrong)])


def _skipped(adoption: Adoption, job: _Job) -> Skipped:
    return Skipped(job.change.key, job.reason, f"{key_text(adoption.table, job.change.key)} {job.message}.")


def _new_key(table: Table, change: Difference) -> Row:
    return KeySpace(table, t.cast(Key, table.key)).key_of(t.cast(Row, change.target))


def _records(table: Table, change: Difference) -> int:
    """Records that writing this row changes."""
    return 1 if change.kind == EXTRA else records_of_update(table, t.cast(Row, change.source), t.cast(Row, change.target))
