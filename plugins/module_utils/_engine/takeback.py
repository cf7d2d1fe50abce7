# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows of an undo journal can be put back: those that both servers still have as the journaled run left them.

A row that the changed server has as it was before needs nothing. One that is neither was changed since; it is refused.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

from . import journal, present, rewrite, schema
from .admission import refuse_blind
from .catalog import definition, read_tables
from .confirm import DIFFERENT, EXTRA, MISSING, Difference, read_rows
from .dependent import refuse_dependent
from .entries import Entry, JournaledTable
from .errors import LostConnection, ReplError, ServerError, TableProblem
from .multiset import Rows
from .plan import TablePlan
from .proof import Counter, read_counter
from .returns import Way, way_back
from .schema import Table, TableName
from .session import Row, Session
from .spool import Differences, in_portions, row_bytes
from .topology import Pair

_CHANGED_SINCE = "the row is no more what the journaled run made of it"

# Refused rows that are told; the rest is counted.
_TOLD = 1000


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not put back.

    ``reason`` is a stable code: changed_since, unique_collision, auto_increment, schema_changed, triggers, no_key, not_undone,
    or one that keeps the whole table from being undone.
    """

    table: str
    key: str
    reason: str
    message: str


def refused(table: Table, key: Row, reason: str, message: str) -> RefusedRow:
    """Say that a row is not put back."""
    return RefusedRow(str(table.name), present.key_text(table, key), reason, message)


@dataclass
class Refusals:
    """Rows that were not put back: the first of them, and how many."""

    told: list[RefusedRow] = field(default_factory=list)
    count: int = 0

    def add(self, rows: t.Iterable[RefusedRow]) -> None:
        """Some more."""
        for row in rows:
            self.count += 1
            if len(self.told) < _TOLD:
                self.told.append(row)

    def refuse(self, table: Table, changes: t.Iterable[Difference], problem: ReplError) -> None:
        """These rows of a table, for one reason."""
        why = problem.code, problem.text
        self.add(refused(table, change.key, *why) for change in changes)


@dataclass(frozen=True)
class Return:
    """What to put back in one table, and how. ``definition``: what the source said of the table when that was decided."""

    plan: TablePlan
    way: Way
    definition: str


class Takeback:
    """The rows of one journal, compared with what both servers have. Replication must be drained."""

    def __init__(self, source: Session, target: Session, pair: Pair, old: journal.Journal, allow_triggers: bool) -> None:
        """Raises ServerError."""
        self._source, self._target, self._pair, self._old = source, target, pair, old
        self._allow_triggers = allow_triggers
        self._packet = rewrite.largest_packet(source, target)
        # First, so that whatever is altered from here on is seen before anything is written.
        self._definitions = dict(_definitions(source, {table.name for table in old.tables.values()}))
        databases = sorted({table.name.database for table in old.tables.values()})
        self._ours, self._theirs = (read_tables(session, databases) for session in (source, target))
        self._counter: Counter | None = None  # of the present table
        self.refusals = Refusals()

    def returns(
        self, batch_rows: int, limit: int, begin: t.Callable[[JournaledTable], None], reached: t.Callable[[int], None]
    ) -> list[Return]:
        """What to put back, table by table; what may not be is noted in ``refusals``.

        Stops when there are more than ``limit`` rows. ``begin`` is told of each table, ``reached`` asked for each
        ``batch_rows`` rows whether to go on. Raises ServerError, and what these two do.
        """
        found: list[Return] = []
        for described in dict.fromkeys(self._old.tables.values()):
            begin(described)
            try:
                table, theirs = self._usable(described)
            except TableProblem as exc:
                name, why = str(described.name), (exc.code, exc.text)
                self.refusals.add(RefusedRow(name, _shown(entry), *why) for entry in self._old.entries(described))
                continue
            self._counter = read_counter(self._source, table)
            changes = self._changes(table, described, batch_rows, reached)
            try:
                if changes:
                    refuse_blind(self._source, self._target, table.name)
                    refuse_dependent(self._source, self._target, table, theirs)
                    rewrite.refuse_too_large(table, changes, self._packet)
                    way = way_back(table, theirs, changes, self._source, self._target, self._pair, self._allow_triggers)
                    found.append(Return(TablePlan(table, changes), way, self._definitions[table.name]))
            except TableProblem as exc:
                self.refusals.refuse(table, changes, exc)
            if sum(each.plan.counts.total for each in found) > limit:
                break
        return found

    def _changes(self, table: Table, described: JournaledTable, batch_rows: int, reached: t.Callable[[int], None]) -> Differences:
        look = self._look if table.key else self._count
        changes, done = Differences(), 0
        entries = self._old.entries(described)
        places = journal.describe(table).places_in(described)
        if places != tuple(range(len(places))):
            entries = (entry.placed(places) for entry in entries)
        for some in in_portions(entries, batch_rows, _bytes):
            reached(done)
            for change in look(table, some):
                changes.append(change)
            done += len(some)
        return changes

    def _look(self, table: Table, entries: t.Sequence[Entry]) -> t.Iterator[Difference]:
        keys = [entry.key for entry in entries]
        ours, theirs = (read_rows(session, table, keys) for session in (self._source, self._target))
        for entry in entries:
            if (ours if entry.on_source else theirs).get(entry.key) == entry.before:
                continue  # never changed, or put back already
            if ours.get(entry.key) == theirs.get(entry.key) == entry.after:
                if self._would_jump(table, entry):
                    continue
                kind = EXTRA if entry.before is None else MISSING if entry.after is None else DIFFERENT
                # The way back as a difference: ``target`` is what both servers have, ``source`` what they will have.
                yield Difference(kind, entry.key, entry.before, entry.after)
            else:
                self.refusals.add([refused(table, entry.key, "changed_since", _CHANGED_SINCE)])

    def _count(self, table: Table, entries: t.Sequence[Entry]) -> t.Iterator[Difference]:
        """The same for a table without a key."""
        rows = Rows(table, table.stored_columns)
        digests = [entry.digest for entry in entries]
        ours, theirs = (rows.count(session, digests) for session in (self._source, self._target))
        for entry in entries:
            before, after = entry.copies
            if theirs.get(entry.digest, 0) == before:
                continue
            if ours.get(entry.digest, 0) == theirs.get(entry.digest, 0) == after:
                if before > after and self._would_jump(table, entry):
                    continue
                kind = MISSING if before > after else EXTRA
                both = (entry.key if before else None, entry.key if after else None)
                yield Difference(kind, entry.key, *both, before, after, entry.digest)
            else:
                self.refusals.add([refused(table, entry.key, "changed_since", _CHANGED_SINCE)])

    def _would_jump(self, table: Table, entry: Entry) -> bool:
        """Refuse a row that would leave the application few numbers for new rows, or none: the source's counter follows it."""
        row = entry.before if table.key else entry.key
        if not (self._counter and row and self._counter.would_jump(row)):
            return False
        message = (
            f"it would move the source's AUTO_INCREMENT, which is at {self._counter.next_value}, far ahead for good; if that is"
            " meant, insert it on the source by hand"
        )
        self.refusals.add([refused(table, entry.key, "auto_increment", message)])
        return True

    def _usable(self, described: JournaledTable) -> tuple[Table, Table]:
        """The table on both servers. Raises TableProblem if its rows cannot be put back."""
        name = described.name
        table, target = self._ours.get(name), self._theirs.get(name)
        if table is None or target is None or name not in self._definitions:
            raise TableProblem("schema_changed", "the table is not on both servers any more")
        if table.key is None and not described.digest_by:
            raise TableProblem("no_key", "the table has no key, and the journal is of a version that noted no fingerprints")
        # Both are read and written by the names of the source's.
        if not described.is_alike(journal.describe(table)) or schema.differences(table, target):
            raise TableProblem("schema_changed", "the table is defined otherwise than when the journal was written")
        filtered = self._pair.filter_on(name.database, name.table)
        if filtered:
            raise TableProblem("filtered", f"what is put back would not reach the other server: {filtered}")
        return table, target


def _definitions(session: Session, names: t.Iterable[TableName]) -> t.Iterator[tuple[TableName, str]]:
    for name in names:
        try:
            yield name, definition(session, name)
        except LostConnection:
            raise
        except ServerError:
            continue  # gone, or not to be seen; that is said where its rows are


def _bytes(entry: Entry) -> int:
    return row_bytes(entry.before) + row_bytes(entry.after)


def _shown(entry: Entry) -> str:
    values = ("NULL" if value is None else value.decode("utf-8", "backslashreplace") for value in entry.key)
    names = entry.table.key or tuple(name for name, _type, _charset in entry.table.columns)
    return " | ".join(f"{name}={value}" for name, value in zip(names, values))
