# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an undo journal says, as values; journal.py writes and reads it."""

from __future__ import annotations

from dataclasses import dataclass

from .multiset import Rows
from .schema import Table, TableName
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


def describe(table: Table) -> JournaledTable:
    """Reduce a definition to what a later undo has to find unchanged."""
    columns = tuple((column.name, column.column_type, column.charset) for column in table.stored_columns)
    if table.key:
        return JournaledTable(table.name, columns, table.key.columns)
    return JournaledTable(table.name, columns, (), Rows(table, table.stored_columns).way)
