# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an undo journal says, as values; journal.py writes and reads it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .multiset import Rows
from .schema import Table, TableName, plain_type
from .session import Row


@dataclass(frozen=True)
class Identity:
    """Which server this is; ``uuid`` is MySQL's, None on MariaDB."""

    address: str
    server_id: int
    uuid: str | None

    def is_same(self, other: Identity) -> bool:
        """Whether both are one server; its address may have been written otherwise."""
        return (self.server_id, self.uuid) == (other.server_id, other.uuid)


@dataclass(frozen=True)
class Header:
    """Which run wrote the journal. ``kind``: sync or undo."""

    kind: str
    source: Identity
    target: Identity
    created: str = ""
    run: str = ""
    tool: str = ""


@dataclass(frozen=True)
class JournaledTable:
    """A table as it was defined when it was changed: ``columns`` are (name, type, charset or None).

    ``digest_by``: in a table without a key, which way of making fingerprints its rows are told apart by.
    """

    name: TableName
    columns: tuple[tuple[str, str, str | None], ...]
    key: tuple[str, ...]
    digest_by: str = ""

    def is_alike(self, other: JournaledTable) -> bool:
        """Whether rows of one table may be written to the other, by their columns' names.

        What schema.differences() passes over does not matter here either: order, case of names, display widths, compression.
        """
        return self._plain == other._plain and self.digest_by == other.digest_by

    @property
    def _plain(self) -> tuple[t.Collection[object], t.Collection[object]]:
        columns = {(name.lower(), plain_type(kind), charset) for name, kind, charset in self.columns}
        return columns, tuple(name.lower() for name in self.key)

    def places_in(self, other: JournaledTable) -> tuple[int, ...]:
        """Where the values of its columns are in a row of the other, which is alike."""
        places = {name.lower(): place for place, (name, _type, _charset) in enumerate(other.columns)}
        return tuple(places[name.lower()] for name, _type, _charset in self.columns)


@dataclass(frozen=True)
class Entry:
    """One row of the journal. ``before`` and ``after``: the changed server's row before and after; None: no row.

    ``copies`` and ``digest``: in a table without a key, how many equal rows there were before and are after, and their
    fingerprint. ``on_source``: the source was changed, to what the target has; else the target.
    """

    id: int
    table: JournaledTable
    kind: str
    key: Row
    before: Row | None
    after: Row | None
    committed: bool
    copies: tuple[int, int] = (1, 1)
    on_source: bool = False
    digest: bytes = b""

    def placed(self, places: t.Sequence[int]) -> Entry:
        """The same with the values of its rows in another order. (Keys stay: that of a table without one is never reordered.)"""
        before, after = (row and tuple(row[place] for place in places) for row in (self.before, self.after))
        return replace(self, before=before, after=after)


def describe(table: Table) -> JournaledTable:
    """Reduce a definition to what a later undo has to find unchanged."""
    columns = tuple((column.name, column.column_type, column.charset) for column in table.stored_columns)
    if table.key:
        return JournaledTable(table.name, columns, table.key.columns)
    return JournaledTable(table.name, columns, (), Rows(table, table.stored_columns).way)
