# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Differing rows as a person wants to read them: samples and before/after texts."""

from __future__ import annotations

import heapq
import itertools
import typing as t
from dataclasses import replace

from . import codec
from .confirm import EXTRA, MISSING, Difference
from .keyspace import KeySpace
from .report import Copies, DiffBlock, SampleRow, Shown
from .schema import Column, Table
from .session import Row

# Rows of one table that a diff shows; the rest is counted in its last line.
_DIFF_ROWS = 500

# Rows of which these are the first in order of the key: more are not looked at only to be left out.
_ORDERED_ROWS = 20_000


def sample(table: Table, difference: Difference) -> SampleRow:
    """Show one difference: the key, the columns that differ, and both sides' values of these."""
    columns = _shown_columns(table, difference)
    return SampleRow(
        kind=difference.kind,
        key={column.name: _value(column, value) for column, value in zip(_key_columns(table), difference.key)},
        columns=tuple(column.name for column in columns) if difference.source and difference.target else (),
        source=_values(table, columns, difference.source),
        target=_values(table, columns, difference.target),
        copies=None if table.key else Copies(difference.source_copies, difference.target_copies),
    )


def diff(table: Table, differences: t.Collection[Difference], source_address: str, target_address: str) -> DiffBlock:
    """The target's rows before and after, one line a row, in order of the key; of very many, some from the beginning."""
    first = itertools.islice(differences, _ORDERED_ROWS)
    columns = _key_columns(table)
    shown = heapq.nsmallest(_DIFF_ROWS, first, key=lambda difference: _sort_key(columns, difference.key))
    left_out = len(differences) - len(shown)
    before = [_line(table, each, each.target) for each in shown if each.kind != MISSING]
    after = [_line(table, each, each.source) for each in shown if each.kind != EXTRA]
    if left_out > 0:
        before.append(f"... and {left_out} more rows")
        after.append(f"... and {left_out} more rows")
    return DiffBlock(
        before_header=f"{table.name} on {target_address} (target)",
        after_header=f"{table.name} as on {source_address} (source)",
        before="".join(f"{line}\n" for line in before),
        after="".join(f"{line}\n" for line in after),
    )


def source_diff(table: Table, adopted: t.Collection[Difference], source_address: str, target_address: str) -> DiffBlock:
    """The same for rows of the target that the source gets: the source's rows before and after."""
    swapped = [each.swapped for each in itertools.islice(adopted, _ORDERED_ROWS)]
    block = diff(table, swapped, source_address, target_address)
    return replace(
        block,
        before_header=f"{table.name} on {source_address} (source)",
        after_header=f"{table.name} as on {target_address} (target)",
    )


def key_text(table: Table, key: Row) -> str:
    """A key for messages: ``film_id=17``."""
    return " | ".join(f"{column.name}={codec.readable(column, value)}" for column, value in zip(_key_columns(table), key))


def _key_columns(table: Table) -> tuple[Column, ...]:
    return KeySpace(table, table.key).columns if table.key else table.stored_columns


def _shown_columns(table: Table, difference: Difference) -> tuple[Column, ...]:
    """All columns beside the key for a row that one side lacks, else those that differ."""
    keys = {column.name for column in _key_columns(table)}
    if difference.source is None or difference.target is None:
        return tuple(column for column in table.stored_columns if column.name not in keys)
    pairs = zip(table.stored_columns, difference.source, difference.target)
    return tuple(column for column, ours, theirs in pairs if ours != theirs)


def _values(table: Table, columns: t.Sequence[Column], row: Row | None) -> dict[str, Shown] | None:
    if row is None:
        return None
    by_name = {column.name: value for column, value in zip(table.stored_columns, row)}
    return {column.name: _value(column, by_name[column.name]) for column in columns}


def _value(column: Column, value: bytes | None) -> Shown:
    """JSON form: integers as numbers, NULL as null, everything else as text."""
    if value is None:
        return None
    if column.is_integer:
        return int(value)
    return codec.shown(column, value)


def _line(table: Table, difference: Difference, row: Row | None) -> str:
    columns = _shown_columns(table, difference)
    by_name = {column.name: value for column, value in zip(table.stored_columns, row or ())}
    values = [f"{column.name}={codec.readable(column, by_name[column.name])}" for column in columns]
    return " | ".join([key_text(table, difference.key), *values])


def _sort_key(columns: t.Sequence[Column], key: Row) -> tuple[tuple[int, bytes], ...]:
    """Numbers by value, everything else by bytes: an order for the eye, the same in every run."""
    return tuple(
        (int(value), b"") if column.is_integer and value is not None else (0, value or b"") for column, value in zip(columns, key)
    )
