# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write old rows to the source's real tables, for an undo; replication carries them to the target.

Unlike a repair this changes the source, because the user asked for it. Each row is locked, must still be what the journaled
run made of it, and is read again before COMMIT: one byte other than intended and the transaction is rolled back. So it is when
the transaction has changed more rows, in whatever table, than these statements by themselves: a trigger did it. The table and
its triggers must be what they were when the undo was planned; the locked rows keep them so until COMMIT. Foreign keys are not
checked, so nothing cascades. A table without a key is written by row values: all equal rows go, and as many as there were
come back. In such a table the server reads all rows for each batch, and the target for each row that goes. Tables without
transactions: singly.py.
"""

from __future__ import annotations

import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from . import arrival, locks, rewrite, sqltext
from .catalog import definition
from .collisions import Collisions
from .confirm import DIFFERENT, Difference, read_rows
from .errors import AccessDenied, LockConflict, LostConnection, Refusal, ReplError, ServerError, TableProblem
from .keyspace import KeySpace
from .modified import miscounted_by, only_miscounted, records_of_update, rows_modified
from .multiset import Fingerprints, Rows
from .returns import Way, choose_format
from .schema import Key, Table
from .session import Row, Session
from .spool import row_bytes
from .takeback import Return

# Bytes of all copies of one row value: more would make a transaction too large for a replica.
_MAX_BYTES = 64 << 20

CHANGED = ("changed_since", "the row changed while the undo ran")
TAKEN = ("unique_collision", "another row has one of its unique values now")

_DUPLICATE = 1062


class NotAsIntended(Exception):
    """What was read back before COMMIT is not what was to be written."""


#: A row that the server did not take: the row, the reason's code and words.
Failed = tuple[Difference, str, str]


@dataclass
class Written:
    """What became of a batch: rows written, refused, and those that the server did not take (yet), by key.

    ``stopped``: what ended it in its midst.
    """

    done: list[Difference] = field(default_factory=list)
    refused: list[Failed] = field(default_factory=list)
    failed: dict[Row, Failed] = field(default_factory=dict)
    stopped: ReplError | None = None

    def add(self, other: Written) -> None:
        """Take in another part of the batch."""
        self.done += other.done
        self.refused += other.refused
        self.failed.update(other.failed)
        self.stopped = self.stopped or other.stopped


class PutBack(t.Protocol):
    """How the rows of one table are written."""

    @property
    def rights(self) -> str:
        """What the account needs on the source's table."""

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        """Write some rows, all or none of those not refused or failed. Raises ServerError, NotAsIntended, TableProblem."""

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        """The keys of written rows that have not arrived, after draining."""


def prepare(session: Session, table: Table, way: Way) -> None:
    """Give a session, which is used for this table alone, its settings. Raises TableProblem ``missing_grant``, ServerError."""
    waits = f"SESSION innodb_lock_wait_timeout = {locks.WAIT}, SESSION lock_wait_timeout = {locks.WAIT}"
    session.execute(f"SET SESSION foreign_key_checks = 0, {waits}")
    if session.dialect.is_mariadb:
        session.execute("SET SESSION check_constraint_checks = 0")
    rewrite.be_logged(session)
    choose_format(session, table, way)
    session.execute(f"USE {sqltext.quote_name(table.name.database)}")


def in_transactions(session: Session, target: Session, what: Return) -> PutBack:
    """The way of a table with transactions. Raises ServerError."""
    packet = rewrite.largest_packet(session, target)
    table = what.plan.table
    if table.key is None:
        rows = Rows(table, table.stored_columns)
        space = Fingerprints(rows)
        return _Copies(session, packet, what, space, Collisions(session, target, table, (), space, takes_rows_away=False))
    # Whoever holds a unique value is asked for: it may be a row that goes first. On the target too: there it may be a row that
    # the source does not have, and replication would stop.
    collisions = tuple(Collisions(session, server, table, (), takes_rows_away=False) for server in (session, target))
    return _Rows(session, packet, what, collisions)


def write(way: PutBack, batch: t.Sequence[Difference]) -> Written:
    """Write a batch in one transaction; if that fails, its halves, so that a bad row costs only itself.

    The application goes first: a row that it keeps locked is given up for now, and its batch with it.
    Raises LostConnection, TableProblem, Refusal ``missing_grant``.
    """
    why = ("not_undone", "")
    for attempt in range(1, locks.ATTEMPTS + 1):
        try:
            with naming_grants(way.rights):
                return way.transaction(batch)
        except LostConnection:
            raise
        except LockConflict as exc:
            if attempt == locks.ATTEMPTS:
                return Written(failed={change.key: (change, "not_undone", str(exc)) for change in batch})
            locks.pause()
        except (ServerError, NotAsIntended) as exc:
            why = failure(exc)
            break
    if len(batch) == 1:
        return Written(failed={batch[0].key: (batch[0], *why)})
    middle = len(batch) // 2
    found = write(way, batch[:middle])
    if not found.stopped:
        try:
            found.add(write(way, batch[middle:]))
        except ReplError as exc:
            if not found.done:
                raise
            found.stopped = exc  # what was written is told all the same
    return found


def failure(problem: Exception) -> tuple[str, str]:
    """Why the server did not take a row: code and words."""
    if isinstance(problem, ServerError) and problem.errno == _DUPLICATE:
        return TAKEN
    return "not_undone", str(problem)


@contextmanager
def naming_grants(rights: str) -> t.Iterator[None]:
    """Turn a write that the account may not make into a Refusal ``missing_grant``."""
    try:
        yield
    except AccessDenied as exc:
        raise Refusal(
            "missing_grant",
            f"an undo writes to the real tables of the source, which the account may not: {exc.message}.",
            f"GRANT {rights} on these tables to the account on the source, for the time of the undo.",
        ) from exc


def see_that_it_is_unaltered(session: Session, what: Return) -> None:
    """Raise TableProblem ``schema_changed`` if the table or a trigger of it was altered since the plan. Raises ServerError.

    Rows of it must be locked already: until these are released nobody alters it.
    """
    if definition(session, what.plan.table.name) != what.definition:
        raise TableProblem("schema_changed", "the table, or a trigger of it, was altered while the undo ran", "Run it again.")


def see_that_nothing_else_changes(session: Session, what: Return, expected: int) -> None:
    """Raise TableProblem ``trigger_side_effects`` unless the open transaction changed just so many rows, in all tables.

    Raises Refusal ``missing_grant``, ServerError.
    """
    name = what.plan.table.name
    try:
        counted = rows_modified(session)
    except AccessDenied as exc:
        raise Refusal(
            "missing_grant",
            f"whether an undo changes other rows cannot be counted: {exc.message}.",
            "GRANT PROCESS ON *.* to the account on the source.",
        ) from exc
    if counted is None:
        raise TableProblem(
            "trigger_side_effects",
            f"{name}: information_schema.INNODB_TRX of {session.name} is read by others all the time and never renewed, so"
            " whether other rows would change as well cannot be counted. It was rolled back.",
            "Hold the monitoring that reads it back for the time of the undo.",
        )
    if counted < expected or (counted > expected and not only_miscounted(session, what.plan.table)):
        cause = miscounted_by(session, what.plan.table)
        others = (
            f"a trigger writes the others, or InnoDB counts too many because of {cause}"
            if cause
            else "a trigger writes the others"
        )
        raise TableProblem(
            "trigger_side_effects",
            f"{name}: {counted} rows of the source would change instead of {expected}; {others}. It was rolled back.",
            "Drop the triggers of this table on the source for the time of the undo, and see to what they do yourself.",
        )


@dataclass(frozen=True)
class _Rows:
    """Rows told apart by their key."""

    session: Session
    packet: int
    what: Return
    collisions: tuple[Collisions, ...]

    @property
    def table(self) -> Table:
        return self.what.plan.table

    @property
    def rights(self) -> str:
        return "INSERT, UPDATE, DELETE" if self.what.way.updates or self.what.way.fires else "INSERT, DELETE"

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        with _open(self.session):
            ours = read_rows(self.session, self.table, [change.key for change in batch], "FOR UPDATE")
            see_that_it_is_unaltered(self.session, self.what)
            there = [change for change in batch if ours.get(change.key) == change.target]
            changed = [(each, *CHANGED) for each in batch if ours.get(each.key) != each.target]
            blocked = self._blocked(there)
            good = [change for change in there if change.key not in blocked]
            if good:
                written = self._write(good)
                now = read_rows(self.session, self.table, [change.key for change in good])
                if any(now.get(change.key) != change.source for change in good):
                    raise NotAsIntended("the server did not store what was written")
                see_that_nothing_else_changes(self.session, self.what, written)
            self.session.commit()
        return Written(good, changed, {each.key: (each, *TAKEN) for each in there if each.key in blocked})

    def _blocked(self, batch: t.Sequence[Difference]) -> set[Row]:
        """The keys of rows whose unique values others hold that do not go in the same batch."""
        new = [change for change in batch if change.source]
        holders: dict[int, set[Row]] = {}
        for collisions in self.collisions:
            for place, keys in collisions.find([t.cast(Row, change.source) for change in new]).items():
                holders.setdefault(place, set()).update(keys)
        if not holders:
            return set()
        key_of = KeySpace(self.table, t.cast(Key, self.table.key)).key_of
        going = {key_of(change.target): change.key for change in batch if change.target}
        blocked: set[Row] = set()
        while True:
            more = {
                new[place].key
                for place, keys in holders.items()
                if new[place].key not in blocked and any(going.get(key, key) in blocked or key not in going for key in keys)
            }
            if not more:
                return blocked
            blocked |= more

    def _write(self, good: t.Sequence[Difference]) -> int:
        """Write the rows; returns how many row changes that is by itself."""
        updates = [change for change in good if self.what.way.updates and change.kind == DIFFERENT]
        others = [change for change in good if not (self.what.way.updates and change.kind == DIFFERENT)]
        # All present rows go before the first old one comes, so that unique values may have been swapped.
        gone = [change.key for change in others if change.target]
        back = [change.source for change in others if change.source]
        changed = self._execute(rewrite.deletes(self.table, gone, self.packet))
        changed += self._update([(t.cast(Row, change.target), t.cast(Row, change.source)) for change in updates])
        changed += self._execute(rewrite.inserts(self.table, back, self.packet))
        if self.what.way.fires:
            # What BEFORE triggers made of our rows is put right.
            now = read_rows(self.session, self.table, [change.key for change in good if change.source])
            altered = [change for change in good if change.key in now and now[change.key] != change.source]
            changed += self._update([(now[change.key], t.cast(Row, change.source)) for change in altered])
        return changed

    def _update(self, rows: t.Sequence[tuple[Row, Row]]) -> int:
        """Give rows other values; ``rows``: as they are, and as they shall be."""
        if not rows:
            return 0
        key_of = KeySpace(self.table, t.cast(Key, self.table.key)).key_of
        self._execute(rewrite.updates(self.table, ((key_of(old), new) for old, new in rows), self.packet))
        return sum(records_of_update(self.table, old, new) for old, new in rows)

    def _execute(self, statements: t.Iterable[str]) -> int:
        return sum([self.session.execute(statement) for statement in statements])

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        return arrival.wanting(self.session, target, self.table, [change.key for change in done], drained)


@dataclass(frozen=True)
class _Copies:
    """Rows of a table without a key, told apart by their fingerprint, and counted."""

    session: Session
    packet: int
    what: Return
    space: Fingerprints
    on_target: Collisions
    rights: str = "INSERT, DELETE"

    @property
    def rows(self) -> Rows:
        return self.space.rows

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        table = self.rows.table
        for change in batch:
            if change.source_copies * row_bytes(change.key) > _MAX_BYTES:
                raise NotAsIntended(f"{change.source_copies} copies of one row would be written at once")
        with _open(self.session):
            ours = self.rows.count(self.session, [change.digest for change in batch], "FOR UPDATE")
            see_that_it_is_unaltered(self.session, self.what)
            there = [change for change in batch if ours.get(change.digest, 0) == change.target_copies]
            blocked = self._blocked(there)
            good = [change for change in there if change.digest not in blocked]
            changed = [change for change in batch if ours.get(change.digest, 0) != change.target_copies]
            gone = [change.digest for change in good if change.target_copies]
            back = [change.key for change in good for _copy in range(change.source_copies)]
            written = 0
            for statement in rewrite.deletes_of_equal(table, gone, self.packet):
                written += self.session.execute(statement)
            for statement in rewrite.inserts(table, back, self.packet):
                written += self.session.execute(statement)
            now = self.rows.count(self.session, [change.digest for change in good]) if good else {}
            if any(now.get(change.digest, 0) != change.source_copies for change in good):
                raise NotAsIntended("the server did not store what was written")
            if good:
                see_that_nothing_else_changes(self.session, self.what, written)
            self.session.commit()
        return Written(
            good,
            [(change, *CHANGED) for change in changed],
            {change.key: (change, *TAKEN) for change in there if change.digest in blocked},
        )

    def _blocked(self, batch: t.Sequence[Difference]) -> set[bytes]:
        """The fingerprints of rows whose unique values rows of the target hold that do not go in the same batch."""
        new = [change for change in batch if change.source_copies] if self.on_target.keys else []
        self.space.digests = {change.key: change.digest for change in new}
        going = {(change.digest,) for change in batch if change.target_copies}
        holders = self.on_target.find([change.key for change in new])
        return {new[place].digest for place, keys in holders.items() if not going.issuperset(keys)}

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        keys = {change.digest: change.key for change in done}
        wrong = arrival.unequal(
            lambda some: self.rows.count(self.session, some) if some else {},
            lambda some: self.rows.count(target, some) if some else {},
            list(keys),
            drained,
        )
        return [keys[digest] for digest in wrong]


@contextmanager
def _open(session: Session) -> t.Iterator[None]:
    """A transaction, rolled back when the block is left by an error."""
    session.begin()
    try:
        yield
    except BaseException:
        with suppress(ServerError):
            session.roll_back()
        raise
