# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose copy of a differing row is to be kept: what ``extra_rows`` and ``conflict`` mean, row by row.

==========  ====================  ==========================================================================
row         option                which copy stays
==========  ====================  ==========================================================================
missing                           the source's
extra       extra_rows: delete    none: it goes from the target
extra       extra_rows: keep      each server keeps what it has
extra       extra_rows: adopt     the target's; the source gets it
different   conflict: source      the source's
different   conflict: skip        each server keeps what it has
different   conflict: newest      the target's where both have a value in ``conflict_column`` and its is the greater;
                                  else the source's: equal values, NULL or a zero date prove nothing against it
==========  ====================  ==========================================================================
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from decimal import Decimal

from . import codec
from .codec import Kind
from .confirm import DIFFERENT, EXTRA, Difference
from .errors import TableProblem, UsageError
from .options import Repair
from .schema import Column, Table
from .session import Row
from .spool import Differences

#: Which server gets a row of the other one.
TO_TARGET, TO_SOURCE, LEFT = "target", "source", "left"

# A time of the day comes round again; all others only grow.
_MOMENTS = frozenset({"date", "datetime", "timestamp"})

_REMEDY = "Name a column with a time or a number that grows with each change, or use conflict: source or skip."


@dataclass(frozen=True)
class Policy:
    """The options that decide; see above."""

    extra_rows: str = "delete"
    conflict: str = "source"
    conflict_column: str = ""

    @property
    def source_writes(self) -> tuple[str, ...]:
        """The rights to the source's real tables that it needs."""
        wanted = (("INSERT", self.extra_rows == "adopt"), ("UPDATE", self.conflict == "newest"))
        return tuple(right for right, needed in wanted if needed)

    def goes(self, table: Table, difference: Difference) -> str:
        """Which server gets the other's copy of a row. Raises TableProblem ``conflict_column``."""
        if difference.kind == EXTRA:
            return {"delete": TO_TARGET, "keep": LEFT, "adopt": TO_SOURCE}[self.extra_rows]
        if difference.kind != DIFFERENT or self.conflict == "source":
            return TO_TARGET
        if self.conflict == "skip":
            return LEFT
        column = self.column_of(table)
        ours, theirs = (_age(column, value) for value in self.versions(table, difference))
        return TO_SOURCE if ours is not None and theirs is not None and theirs > ours else TO_TARGET

    def divide(self, table: Table, found: Differences) -> tuple[Differences, Differences, int]:
        """The rows that the target gets, those that the source gets, and how many stay as they are.

        Raises TableProblem ``conflict_column``, Refusal ``no_room``.
        """
        if self == Policy():
            return found, Differences(), 0
        to_target, to_source, left = Differences(), Differences(), 0
        for each in found:
            where = self.goes(table, each)
            if where == LEFT:
                left += each.rows
            else:
                (to_target if where == TO_TARGET else to_source).append(each)
        return to_target, to_source, left

    def versions(self, table: Table, difference: Difference) -> tuple[bytes | None, bytes | None]:
        """The two copies' values of the column, the source's first. Raises TableProblem ``conflict_column``."""
        place = table.stored_columns.index(self.column_of(table))
        return t.cast(Row, difference.source)[place], t.cast(Row, difference.target)[place]

    def column_of(self, table: Table) -> Column:
        """The column that tells which copy is newer. Raises TableProblem ``conflict_column`` where there is none."""
        column = _named(table, self.conflict_column)
        if column is None:
            raise TableProblem("conflict_column", f"{table.name} has no column {self.conflict_column}.", _REMEDY)
        if not _grows(column):
            raise TableProblem(
                "conflict_column",
                f"{table.name}: {self.conflict_column} is of the type {column.column_type}, which does not tell old from new.",
                _REMEDY,
            )
        return column


def policy_of(repair: Repair) -> Policy:
    """The policy that the user asked for. Raises UsageError for options that do not go together."""
    column = repair.conflict_column.strip()
    if (repair.conflict == "newest") != bool(column):
        raise UsageError(
            "conflict_column",
            "is needed with conflict: newest, to tell which copy of a row is newer."
            if not column
            else f"has no meaning with conflict: {repair.conflict}.",
            _REMEDY if not column else "Use it with conflict: newest only.",
        )
    return Policy(repair.extra_rows, repair.conflict, column)


def refuse_unknown_column(policy: Policy, tables: t.Collection[Table]) -> None:
    """Raise UsageError when the column tells old from new in none of the tables compared: it is misspelt, or another."""
    if policy.conflict != "newest" or not tables:
        return
    found = [column for column in (_named(table, policy.conflict_column) for table in tables) if column]
    if not any(_grows(column) for column in found):
        what = f"is of the type {found[0].column_type}, which does not tell old from new" if found else "is in no table compared"
        raise UsageError("conflict_column", f"{policy.conflict_column} {what}.", _REMEDY)


def _named(table: Table, name: str) -> Column | None:
    return next((column for column in table.stored_columns if column.name.lower() == name.lower()), None)


def _grows(column: Column) -> bool:
    return column.data_type in _MOMENTS or codec.kind(column) in (Kind.NUMBER, Kind.FLOAT)


def _age(column: Column, value: bytes | None) -> t.Any:
    """What orders two values of the column; None: it says nothing."""
    if value is None:
        return None
    if column.data_type in _MOMENTS:
        # The same digits on both sides, the greatest unit first; '0000-00-00' is no moment.
        return None if value.startswith(b"0000-00-00") else value
    return float(value) if codec.kind(column) is Kind.FLOAT else Decimal(value.decode("ascii"))
