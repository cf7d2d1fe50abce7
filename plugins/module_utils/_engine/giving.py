# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One transaction that gives rows to the source: adopt.py says which and why.

Lock the rows on the target and then on the source (shared and exclusive locks, both for the length of this transaction, never
while waiting for replication), see that both are what was planned and journaled, write, read again, count what the transaction
changed, commit. One byte other than intended and it is rolled back.

Rows that refer to one another no server takes one after another; they are written with ``foreign_key_checks=0`` in one
transaction, and before it commits every row that they refer to is looked up, and locked, by ourselves. A server then checks, and
carries on, nothing; so only new rows are written so, to which nothing can refer yet.
"""

from __future__ import annotations

import contextlib
import typing as t
from dataclasses import dataclass

from . import locks, rewrite, sqltext
from .collisions import Collisions
from .confirm import EXTRA, Difference, read_rows
from .errors import AccessDenied, LockConflict, LostConnection, ServerError, TableProblem
from .keyspace import KeySpace
from .modified import miscounted_by, only_miscounted, records_of_update, rows_modified
from .policy import Policy
from .precedence import RowId
from .references import has_children, orphans
from .schema import Key, Table
from .session import Row, Session
from .unaltered import Unaltered, none_on
from .waits import BREAKS_CHECK, HAS_CHILDREN, LACKS_PARENT, SHARES_VALUE, WOULD_CARRY_ON

# What a server says of a row that it does not take, as a warning or as an error.
_TOLD = {1062: SHARES_VALUE, 1451: HAS_CHILDREN, 1452: LACKS_PARENT, 3819: BREAKS_CHECK, 4025: BREAKS_CHECK}
_OTHERWISE = ("not_as_intended", "was not stored as it is on the target; nothing of it was kept")
_SINCE = ("changed_since", "changed on one of the servers since it was planned")

#: Why a row does not go in: code and words.
Why = tuple[str, str]

#: Rows that do not go in.
Bad = dict[RowId, Why]


@dataclass(frozen=True)
class Sessions:
    """Three sessions: one that writes to the source and is used for nothing else, one that locks on the target, one to read."""

    writing: Session
    target_lock: Session
    target: Session


@dataclass(frozen=True)
class Portion:
    """Rows of one table for one transaction. ``watched``: the table on both servers, which must stay as it was."""

    table: Table
    changes: t.Sequence[Difference]
    policy: Policy
    watched: tuple[Unaltered, Unaltered]

    @property
    def ids(self) -> list[RowId]:
        """Which rows they are."""
        return [RowId(self.table.name, change.key) for change in self.changes]

    @property
    def new_keys(self) -> list[Row]:
        """Their keys as they will be on the source."""
        key_of = KeySpace(self.table, t.cast(Key, self.table.key)).key_of
        return [key_of(t.cast(Row, change.target)) for change in self.changes]


def event_of(change: Difference) -> str:
    """What writing the row is to a trigger of the source."""
    return "INSERT" if change.kind == EXTRA else "UPDATE"


def statement(table: Table, change: Difference, policy: Policy, packet: int | None = None) -> str:
    """The statement that gives a row to the source, with the table's full name. Raises TableProblem ``row_too_large``."""
    if change.kind == EXTRA:
        return rewrite.adopting_insert(table, t.cast(Row, change.target), packet)
    guard = policy.column_of(table), policy.versions(table, change)[0]
    return rewrite.adopting_update(table, change.key, t.cast(Row, change.target), guard, packet)


class Giver:
    """Gives rows to the source, a transaction at a time."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._source, self._target = sessions.writing, sessions.target_lock
        self._packet = 0

    def prepare(self) -> None:
        """Give the sessions their settings. Raises ServerError."""
        # A warning tells why a statement with IGNORE has passed its row over.
        self._source.execute("SET SESSION binlog_format = 'STATEMENT', SESSION max_error_count = 64")
        rewrite.be_logged(self._source)
        for session in (self._source, self._target):
            session.execute(f"SET SESSION innodb_lock_wait_timeout = {locks.WAIT}")
        self._packet = rewrite.largest_packet(self._source, self._sessions.target)

    def release(self) -> None:
        """Give all locks up."""
        for session in (self._source, self._target):
            with contextlib.suppress(ServerError):
                session.roll_back()

    def watch(self, table: Table, changes: t.Iterable[Difference]) -> tuple[Unaltered, Unaltered]:
        """The table on both servers, which must stay as it was when its rows were compared. Raises ServerError."""
        quiet = none_on({event_of(change) for change in changes})
        return Unaltered.of_source(self._source, table, quiet), Unaltered.of_target(self._target, table, quiet)

    def give(self, portions: t.Sequence[Portion], circle: bool = False) -> Bad:
        """One transaction; rows that do not go in, if there are any: then nothing was written. ``circle``: new rows that refer to
        one another. Raises ServerError, TableProblem."""
        for attempt in range(1, locks.ATTEMPTS + 1):
            try:
                return self._transaction(portions, circle)
            except LockConflict:
                self.release()
                if attempt == locks.ATTEMPTS:
                    raise
            locks.pause()
        return {}

    def _transaction(self, portions: t.Sequence[Portion], circle: bool) -> Bad:
        bad: Bad = {}
        self._target.begin()
        theirs = [self._read(self._target, portion, self._target.dialect.share_lock) for portion in portions]
        self._source.begin()
        for portion, there in zip(portions, theirs):
            # Where the row is absent there is nothing to update later, and a shared lock needs no right but SELECT.
            are_new = all(change.kind == EXTRA for change in portion.changes)
            here = self._read(self._source, portion, self._source.dialect.share_lock if are_new else "FOR UPDATE")
            for change, row in zip(portion.changes, portion.ids):
                if (here.get(change.key), there.get(change.key)) != (change.source, change.target):
                    bad[row] = _SINCE
        for portion in portions:
            for definition in portion.watched:
                definition.check()
        bad = bad or self._write(portions, circle)
        if bad:
            self.release()
            return bad
        self._source.commit()
        self._target.roll_back()
        return {}

    def _read(self, session: Session, portion: Portion, lock: str) -> dict[Row, Row]:
        return read_rows(session, portion.table, [change.key for change in portion.changes], lock)

    def _write(self, portions: t.Sequence[Portion], circle: bool) -> Bad:
        if circle:
            self._source.execute("SET SESSION foreign_key_checks = 0")
        try:
            bad = self._write_rows(portions)
        finally:
            if circle:
                self._source.execute("SET SESSION foreign_key_checks = 1")
        bad = bad or self._not_as_intended(portions)
        if circle and not bad:
            bad = self._orphans(portions)
        return bad or self._more_than_these(portions)

    def _write_rows(self, portions: t.Sequence[Portion]) -> Bad:
        bad: Bad = {}
        for portion in portions:
            # The default database decides, as for the application, what filters by database let through.
            self._source.execute(f"USE {sqltext.quote_name(portion.table.name.database)}")
            for change, row in zip(portion.changes, portion.ids):
                text = statement(portion.table, change, portion.policy, self._packet)
                try:
                    if self._source.execute(text) == 0:
                        bad[row] = self._said(portion.table, change)
                except (LostConnection, LockConflict, AccessDenied):
                    raise
                except ServerError as exc:
                    bad[row] = _TOLD.get(exc.errno, (_OTHERWISE[0], f"was not taken by the source: {exc.text.rstrip('.')}"))
        return bad

    def _said(self, table: Table, change: Difference) -> Why:
        """Why the last statement passed its row over."""
        numbers = [int(each["Code"] or 0) for each in self._source.records("SHOW WARNINGS")]
        told = next((_TOLD[number] for number in numbers if number in _TOLD), None)
        if told:
            return told
        # MariaDB does not tell what keeps UPDATE IGNORE from its row.
        row = t.cast(Row, change.target)
        if Collisions(self._sessions.target, self._source, table, (), takes_rows_away=False).find([row]):
            return SHARES_VALUE
        if change.source and has_children(self._source, table, change.source, row):
            return HAS_CHILDREN
        return LACKS_PARENT if orphans(self._source, table, [row]) else _OTHERWISE

    def _not_as_intended(self, portions: t.Sequence[Portion]) -> Bad:
        bad: Bad = {}
        for portion in portions:
            keys = portion.new_keys
            now = read_rows(self._source, portion.table, keys)
            for change, row, key in zip(portion.changes, portion.ids, keys):
                if now.get(key) != change.target:
                    bad[row] = _OTHERWISE
        return bad

    def _orphans(self, portions: t.Sequence[Portion]) -> Bad:
        """All rows of the circle, where one of them lacks a parent."""
        for portion in portions:
            rows = [t.cast(Row, change.target) for change in portion.changes]
            if orphans(self._source, portion.table, rows, self._source.dialect.share_lock):
                return {row: LACKS_PARENT for each in portions for row in each.ids}
        return {}

    def _more_than_these(self, portions: t.Sequence[Portion]) -> Bad:
        """All rows, where the transaction has changed others as well."""
        counted = self._changed(portions)
        expected = sum(_records(each.table, change) for each in portions for change in each.changes)
        if counted == expected or (counted > expected and all(map(self._is_miscounted, portions))):
            return {}
        causes = filter(None, (miscounted_by(self._source, portion.table) for portion in portions))
        more = "".join(f", or InnoDB counts too many because of {cause}" for cause in list(causes)[:1])
        return {row: (WOULD_CARRY_ON[0], WOULD_CARRY_ON[1] + more) for portion in portions for row in portion.ids}

    def _is_miscounted(self, portion: Portion) -> bool:
        updates = any(change.kind != EXTRA for change in portion.changes)
        return only_miscounted(self._source, portion.table, cascades=updates)

    def _changed(self, portions: t.Sequence[Portion]) -> int:
        """Records that the open transaction has changed, in all tables. Raises TableProblem ``side_effects``."""
        counted = rows_modified(self._source)
        if counted is None:
            raise TableProblem(
                "side_effects",
                f"{portions[0].table.name}: information_schema.INNODB_TRX of {self._source.name} is read by others all the time"
                " and never renewed, so whether other rows of the source would change as well cannot be counted.",
                "Hold the monitoring that reads it back for the time of the run.",
            )
        return counted


def _records(table: Table, change: Difference) -> int:
    """Records that writing this row changes."""
    return 1 if change.kind == EXTRA else records_of_update(table, t.cast(Row, change.source), t.cast(Row, change.target))
