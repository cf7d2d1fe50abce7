# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Write old rows to the source's real tables, for an undo; replication carries them to the target.

Unlike a repair this changes the source, because the user asked for it. Each row is locked, must still be what the journaled
run made of it, and is read again before COMMIT: one byte other than intended and the transaction is rolled back. Foreign
keys are not checked, so nothing cascades. A table without a key is written by row values: all equal rows go, and as many as
there were come back. In such a table the server reads all rows for each batch, and the target for each row that goes.
"""

from __future__ import annotations

import typing as t
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from . import arrival, locks, rewrite, sqltext
from .collisions import Collisions, going
from .confirm import Difference, read_rows
from .errors import AccessDenied, LostConnection, Refusal, ServerError
from .multiset import Rows
from .plan import TablePlan
from .schema import Table
from .session import Row, Session
from .spool import row_bytes
from .takeback import RefusedRow, refused

# Bytes of all copies of one row value: more would make a transaction too large for a replica.
_MAX_BYTES = 64 << 20

_CHANGED = ("changed_since", "the row changed while the undo ran")
_TAKEN = ("unique_collision", "another row has one of its unique values now")


class NotAsIntended(Exception):
    """What was read back before COMMIT is not what was to be written."""


@dataclass
class Written:
    """What became of a batch: rows written, refused, and those that the server did not take, with the reason."""

    done: list[Difference] = field(default_factory=list)
    refused: list[RefusedRow] = field(default_factory=list)
    failed: dict[Row, tuple[Difference, str]] = field(default_factory=dict)

    def add(self, other: Written) -> None:
        """Take in another part of the batch."""
        self.done += other.done
        self.refused += other.refused
        self.failed.update(other.failed)


class PutBack(t.Protocol):
    """How the rows of one table are written."""

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        """Write some rows, all or none of those not refused. Raises ServerError, NotAsIntended."""

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        """The keys of written rows that have not arrived, after draining."""


def prepare(session: Session) -> None:
    """Give the writing session its settings. Raises ServerError."""
    session.execute(f"SET SESSION foreign_key_checks = 0, SESSION innodb_lock_wait_timeout = {locks.WAIT}")
    if session.dialect.is_mariadb:
        session.execute("SET SESSION check_constraint_checks = 0")


def choose(session: Session, target: Session, plan: TablePlan) -> PutBack:
    """The way for one table; makes its database the session's. Raises TableProblem ``row_too_large``, ServerError."""
    packet = rewrite.largest_packet(session, target)
    rewrite.refuse_too_large(plan.table, plan.changes, packet)
    session.execute(f"USE {sqltext.quote_name(plan.table.name.database)}")
    if plan.table.key is None:
        return _Copies(session, packet, Rows(plan.table, plan.table.stored_columns))
    return _Rows(session, packet, plan.table, Collisions(session, session, plan.table, going(plan.table, plan.changes)))


def write(way: PutBack, batch: t.Sequence[Difference]) -> Written:
    """Write a batch in one transaction; if that fails, row by row, so that a bad row costs only itself.

    Raises LostConnection, Refusal ``missing_grant``.
    """
    try:
        return way.transaction(batch)
    except LostConnection:
        raise
    except AccessDenied as exc:
        raise Refusal(
            "missing_grant",
            f"an undo writes to the real tables of the source, which the account may not: {exc.message}.",
            "GRANT INSERT, DELETE on these tables to the account on the source, for the time of the undo.",
        ) from exc
    except (ServerError, NotAsIntended) as exc:
        if len(batch) == 1:
            return Written(failed={batch[0].key: (batch[0], str(exc))})
    found = Written()
    for each in batch:
        found.add(write(way, [each]))
    return found


@dataclass(frozen=True)
class _Rows:
    """Rows told apart by their key."""

    session: Session
    packet: int
    table: Table
    collisions: Collisions

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        with _open(self.session):
            ours = read_rows(self.session, self.table, [change.key for change in batch], "FOR UPDATE")
            there = [change for change in batch if ours.get(change.key) == change.target]
            problems = {change.key: _CHANGED for change in batch if ours.get(change.key) != change.target}
            new = [change for change in there if change.source]
            for place in self.collisions.find([t.cast(Row, change.source) for change in new]):
                problems[new[place].key] = _TAKEN
            good = [change for change in there if change.key not in problems]
            # All present rows go before the first old one comes, so that unique values may have been swapped.
            gone = [change.key for change in good if change.target]
            back = [change.source for change in good if change.source]
            for statement in (*rewrite.deletes(self.table, gone, self.packet), *rewrite.inserts(self.table, back, self.packet)):
                self.session.execute(statement)
            now = read_rows(self.session, self.table, [change.key for change in good])
            if any(now.get(change.key) != change.source for change in good):
                raise NotAsIntended("the server did not store what was written")
            self.session.commit()
        return Written(good, [refused(self.table, key, *why) for key, why in problems.items()])

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        return arrival.wanting(self.session, target, self.table, [change.key for change in done], drained)


@dataclass(frozen=True)
class _Copies:
    """Rows of a table without a key, told apart by their fingerprint, and counted."""

    session: Session
    packet: int
    rows: Rows

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        table = self.rows.table
        for change in batch:
            if change.source_copies * row_bytes(change.key) > _MAX_BYTES:
                raise NotAsIntended(f"{change.source_copies} copies of one row would be written at once")
        with _open(self.session):
            ours = self.rows.count(self.session, [change.digest for change in batch], "FOR UPDATE")
            good = [change for change in batch if ours.get(change.digest, 0) == change.target_copies]
            changed = [change for change in batch if ours.get(change.digest, 0) != change.target_copies]
            gone = [change.digest for change in good if change.target_copies]
            back = (change.key for change in good for _copy in range(change.source_copies))
            for statement in rewrite.deletes_of_equal(table, gone, self.packet):
                self.session.execute(statement)
            for statement in rewrite.inserts(table, back, self.packet):
                self.session.execute(statement)
            now = self.rows.count(self.session, [change.digest for change in good]) if good else {}
            if any(now.get(change.digest, 0) != change.source_copies for change in good):
                raise NotAsIntended("the server did not store what was written")
            self.session.commit()
        return Written(good, [refused(table, change.key, *_CHANGED) for change in changed])

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
