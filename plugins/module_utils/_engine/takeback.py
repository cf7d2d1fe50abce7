# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows of an undo journal can be put back: those that both servers still have as the journaled run left them.

A row that the changed server has as it was before needs nothing. One that is neither was changed since; it is refused.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import journal, present
from .confirm import DIFFERENT, EXTRA, MISSING, Difference, read_rows
from .entries import Entry, JournaledTable
from .multiset import Rows
from .plan import TablePlan
from .schema import Table, TableName, read_tables
from .session import Row, Session
from .spool import Differences, in_batches

_CHANGED_SINCE = "the row is no more what the journaled run made of it"


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not put back.

    ``reason`` is a stable code: changed_since, unique_collision, schema_changed, triggers, no_key, not_undone.
    """

    table: str
    key: str
    reason: str
    message: str


def refused(table: Table, key: Row, reason: str, message: str) -> RefusedRow:
    """Say that a row is not put back."""
    return RefusedRow(str(table.name), present.key_text(table, key), reason, message)


class Takeback:
    """The rows of one journal, compared with what both servers have. Replication must be drained."""

    def __init__(self, source: Session, target: Session, old: journal.Journal) -> None:
        """Raises ServerError."""
        self._source, self._target, self._old = source, target, old
        databases = sorted({table.name.database for table in old.tables.values()})
        self._ours, self._theirs = (read_tables(session, databases) for session in (source, target))
        self.refused: list[RefusedRow] = []

    def plans(self, batch_rows: int, limit: int, go_on: t.Callable[[], None]) -> list[TablePlan]:
        """What to put back, table by table; what may not be is noted in ``refused``.

        Stops when there are more than ``limit`` rows. Raises ServerError, and what ``go_on`` does, which is asked for each
        ``batch_rows`` rows.
        """
        found: list[TablePlan] = []
        for described, entries in _by_table(self._old.entries()):
            table, problem = self._usable(described)
            if table is None:
                self.refused += [RefusedRow(str(described.name), _shown(entry), *problem) for entry in entries]
                continue
            look = self._look if table.key else self._count
            changes = Differences()
            for some in in_batches(entries, batch_rows):
                go_on()
                for change in look(table, some):
                    changes.append(change)
            if changes:
                found.append(TablePlan(table, changes))
            if sum(plan.counts.total for plan in found) > limit:
                break
        return found

    def _look(self, table: Table, entries: t.Sequence[Entry]) -> t.Iterator[Difference]:
        keys = [entry.key for entry in entries]
        ours, theirs = (read_rows(session, table, keys) for session in (self._source, self._target))
        for entry in entries:
            if (ours if entry.on_source else theirs).get(entry.key) == entry.before:
                continue  # never changed, or put back already
            if ours.get(entry.key) == theirs.get(entry.key) == entry.after:
                kind = EXTRA if entry.before is None else MISSING if entry.after is None else DIFFERENT
                # The way back as a difference: ``target`` is what both servers have, ``source`` what they will have.
                yield Difference(kind, entry.key, entry.before, entry.after)
            else:
                self.refused.append(refused(table, entry.key, "changed_since", _CHANGED_SINCE))

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
                kind = MISSING if before > after else EXTRA
                both = (entry.key if before else None, entry.key if after else None)
                yield Difference(kind, entry.key, *both, before, after, entry.digest)
            else:
                self.refused.append(refused(table, entry.key, "changed_since", _CHANGED_SINCE))

    def _usable(self, described: JournaledTable) -> tuple[Table | None, tuple[str, str]]:
        """The table if its rows can be put back, else None and why not."""
        table, target = self._ours.get(described.name), self._theirs.get(described.name)
        if table is None or target is None:
            return None, ("schema_changed", "the table is not on both servers any more")
        if table.key is None and not described.digest_by:
            return None, (
                "no_key",
                "the table has no key, and the journal is of a version that noted no fingerprints",
            )
        if journal.describe(table) != described or journal.describe(target) != described:
            return None, ("schema_changed", "the table is defined otherwise than when the journal was written")
        if table.triggers or target.triggers:
            return None, ("triggers", "the table has triggers, which would change other rows as well")
        if not table.is_transactional or table.is_versioned:
            return None, ("schema_changed", "the table cannot be changed in a transaction without a trace")
        return table, ("", "")


def _by_table(entries: t.Iterable[Entry]) -> t.Iterator[tuple[JournaledTable, list[Entry]]]:
    found: dict[TableName, tuple[JournaledTable, list[Entry]]] = {}
    for entry in entries:
        found.setdefault(entry.table.name, (entry.table, []))[1].append(entry)
    return iter(found.values())


def _shown(entry: Entry) -> str:
    values = ("NULL" if value is None else value.decode("utf-8", "backslashreplace") for value in entry.key)
    names = entry.table.key or tuple(name for name, _type, _charset in entry.table.columns)
    return " | ".join(f"{name}={value}" for name, value in zip(names, values))
