# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operation tells: the shapes of the results that modules return (design: Returns)."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

IDENTICAL = "identical"
DRIFT = "drift"
UNDECIDED = "undecided"
SKIPPED = "skipped"
ERROR = "error"

#: A value as JSON can carry it.
Shown = t.Union[None, int, str]


@dataclass(frozen=True)
class Copies:
    """How many equal rows each side has, in a table without a key."""

    source: int
    target: int


@dataclass(frozen=True)
class SampleRow:
    """One differing row for people: its key, the columns that differ and both sides' values.

    In a table without a key, ``key`` is the whole row, ``source`` and ``target`` hold nothing more (or null
    where that side has no copy), and ``copies`` counts the equal rows.
    """

    kind: str
    key: dict[str, Shown]
    columns: tuple[str, ...]
    source: dict[str, Shown] | None
    target: dict[str, Shown] | None
    copies: Copies | None = None


@dataclass(frozen=True)
class Position:
    """A stretch of a table in key order that holds differing rows, and how many.

    ``start`` and ``end`` are the fractions (0 to 1) of the table's rows before and up to its end.
    """

    start: float
    end: float
    missing: int = 0
    extra: int = 0
    different: int = 0


@dataclass(frozen=True)
class TableReport:
    """The verdict on one table. ``reason`` is a stable code where the status needs one.

    ``positions``: where the differences lie, in key order; empty where rows have no order to tell it by.
    """

    database: str
    table: str
    status: str
    reason: str | None = None
    message: str | None = None
    rows: int = 0
    missing: int = 0
    extra: int = 0
    different: int = 0
    sample: tuple[SampleRow, ...] = ()
    positions: tuple[Position, ...] = ()
    chunks: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """database.table"""
        return f"{self.database}.{self.table}"


@dataclass(frozen=True)
class Summary:
    """Totals over all tables."""

    tables: int
    identical: int
    drift: int
    undecided: int
    skipped: int
    errors: int
    rows: int
    missing: int
    extra: int
    different: int
    seconds: float


@dataclass(frozen=True)
class ServerReport:
    """Which server this was."""

    host: str
    port: int
    server_id: int
    version: str
    flavor: str


@dataclass(frozen=True)
class ChecksumReport:
    """The result of a check. ``in_sync``: every selected table was compared and is identical."""

    in_sync: bool
    tables: tuple[TableReport, ...]
    summary: Summary
    source: ServerReport
    target: ServerReport
    hazards: tuple[t.Any, ...] = ()


@dataclass(frozen=True)
class Changes:
    """Rows of the target that were repaired, or would be in check mode.

    ``adopted``: rows of the target that the source got instead.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    adopted: int = 0
    skipped: int = 0

    @property
    def total(self) -> int:
        """Rows changed, on either server."""
        return self.inserted + self.updated + self.deleted + self.adopted

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.inserted + other.inserted,
            self.updated + other.updated,
            self.deleted + other.deleted,
            self.adopted + other.adopted,
            self.skipped + other.skipped,
        )


@dataclass(frozen=True)
class DiffBlock:
    """One table's rows on one server before and after, in the form Ansible prints."""

    before_header: str
    after_header: str
    before: str
    after: str


@dataclass(frozen=True)
class SyncReport:
    """The result of a repair. ``tables`` tell what was found before it, ``verified`` what holds after it.

    ``failed``: a table was left undecided, refused or in error; ``message`` names it.
    """

    in_sync: bool
    tables: tuple[TableReport, ...]
    summary: Summary
    source: ServerReport
    target: ServerReport
    hazards: tuple[t.Any, ...] = ()
    changed: bool = False
    changes: Changes = field(default_factory=Changes)
    statements: tuple[str, ...] = ()
    undo_file: str | None = None
    verified: bool = False
    diff: tuple[DiffBlock, ...] = ()
    failed: bool = False
    message: str | None = None


def summarize(tables: t.Sequence[TableReport], seconds: float) -> Summary:
    """Add up the verdicts; ``seconds`` is the time of the whole run."""

    def count(status: str) -> int:
        return sum(table.status == status for table in tables)

    return Summary(
        tables=len(tables),
        identical=count(IDENTICAL),
        drift=count(DRIFT),
        undecided=count(UNDECIDED),
        skipped=count(SKIPPED),
        errors=count(ERROR),
        rows=sum(table.rows for table in tables),
        missing=sum(table.missing for table in tables),
        extra=sum(table.extra for table in tables),
        different=sum(table.different for table in tables),
        seconds=round(seconds, 3),
    )
