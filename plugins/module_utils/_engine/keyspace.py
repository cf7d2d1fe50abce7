# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a row lies among the others: ranges of a table's key, and conditions that pick rows by it.

A range is open below and closed above, so that ranges follow one another without gap or overlap,
and the first and last are unbounded, so that rows beyond the other side's ends are seen too.
Order is always the server's own: the key's collation and direction decide, never Python.
"""

from __future__ import annotations

import re
import typing as t
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from . import codec, sqltext
from .schema import Column, Key, Table
from .session import Row, Session

# Integer keys are looked up by one range where it has no more than so many times their places: co-masters may count in steps of
# two. For each single key a server descends the index anew, the next row of a range is at hand.
_LOOSE = 2

# Bytes of the longest character of character sets that have collations by the Unicode Collation Algorithm.
_UNICODE = {"utf8mb3": 3, "utf8mb4": 4, "ucs2": 2, "utf16": 4, "utf16le": 4, "utf32": 4}


@dataclass(frozen=True)
class KeyRange:
    """Rows after ``lower`` up to and including ``upper``, in key order; None is unbounded."""

    lower: Row | None = None
    upper: Row | None = None


@dataclass(frozen=True)
class KeySpace:
    """The rows of one table in the order of its key."""

    table: Table
    key: Key

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The key's columns, in key order."""
        by_name = {column.name: column for column in self.table.columns}
        return tuple(by_name[name] for name in self.key.columns)

    @property
    def read_list(self) -> str:
        """SELECT items that give the key's exact bytes."""
        return ", ".join(codec.read_expression(column) for column in self.columns)

    @property
    def rows_in_order(self) -> str:
        """FROM clause that makes the server walk along the key."""
        return f"{self.table.name.sql} FORCE INDEX ({sqltext.quote_name(self.key.name)})"

    def rows_of(self, span: KeyRange) -> str:
        """FROM clause for the rows of a range: along the key, unless they would not all be found so.

        A key of prefixes is in the order of these. A collation with ignorable characters, contractions or expansions sorts
        some beginnings elsewhere than the values, and both servers then miss rows that they seek by the key: the whole
        table is read (https://unicode.org/reports/tr10/#Common_Misperceptions: concatenation does not preserve the order).
        """
        misleads = not self.is_walkable or any(map(self._misleads, (span.lower, span.upper)))
        return f"{self.table.name.sql} USE INDEX ()" if misleads else self.rows_in_order

    def _misleads(self, bound: Row | None) -> bool:
        """Whether MariaDB may miss rows that it seeks by their index up to a bound.

        So it does where a CHAR of a Unicode collation is as long as the column can be and ends in a character that the
        collation passes over (measured: ``<=`` and ``<`` then find nothing); others are padded, which such an end is not.
        """
        if bound is None or not self._unicode_chars:
            return False
        return any(len(bound[place] or b"") >= longest for place, longest in self._unicode_chars)

    @cached_property
    def _unicode_chars(self) -> tuple[tuple[int, int], ...]:
        """Places of the key's CHAR columns of a Unicode collation, and the bytes that their values have at most."""
        found = []
        for place, column in enumerate(self.columns):
            bytes_each = _UNICODE.get(column.charset or "")
            length = re.fullmatch(r"char\((\d+)\).*", column.column_type)
            if bytes_each and length and not re.search("_(bin|general_ci)$", column.collation or ""):
                found.append((place, bytes_each * int(length[1])))
        return tuple(found)

    @cached_property
    def _is_out_of_order(self) -> bool:
        return any(
            part.prefix and codec.kind(column) is codec.Kind.TEXT and not (column.collation or "").endswith("_bin")
            for part, column in zip(self.key.parts, self.columns)
        )

    @property
    def is_walkable(self) -> bool:
        """Whether the rows of a range are next to one another: an index of hashes, or out of order, is no help to find them."""
        return self.key.ordered and not self._is_out_of_order

    @property
    def has_spellings(self) -> bool:
        """Whether different bytes can be one key: letter case, accents, trailing spaces, -0 and 0."""
        return any(codec.kind(column) in (codec.Kind.TEXT, codec.Kind.FLOAT) for column in self.columns)

    @property
    def has_integers(self) -> bool:
        """Whether the key is one integer in rising order, so that its ranges can be reckoned."""
        return len(self.columns) == 1 and self.columns[0].is_integer and not self.key.parts[0].descending

    def key_of(self, row: Row) -> Row:
        """The key values of a row of all stored columns."""
        return tuple([row[place] for place in self._places])

    def by_key(self, rows: t.Sequence[Row]) -> dict[Row, Row]:
        """Rows of all stored columns by their key: key_of() of all of them, in a fraction of the time."""
        return dict(zip(zip(*(map(itemgetter(place), rows) for place in self._places)), rows))

    @property
    def written(self) -> str | None:
        """SQL for the arguments of a CONCAT that give a key as one text without ``;``. None: there is none.

        Numbers and times are as they are read, other bytes in hexadecimal, with ``/`` between the columns.
        """
        if any(codec.kind(column) is codec.Kind.FLOAT for column in self.columns):
            return None  # as text in an expression, a server may write it otherwise than as a value
        return ", '/', ".join(
            f"HEX({column.sql})" if _is_hex(column) else codec.read_expression(column) for column in self.columns
        )

    def as_written(self, key: Row) -> bytes:
        """A key as ``written`` gives it."""
        return b"/".join(
            (value or b"").hex().upper().encode() if _is_hex(column) else (value or b"")
            for column, value in zip(self.columns, key)
        )

    def parsed(self, written: bytes) -> Row:
        """The key that was written so."""
        if self.has_integers:
            return (written,)
        return tuple(
            [
                bytes.fromhex(part.decode("ascii")) if _is_hex(column) else part
                for column, part in zip(self.columns, written.split(b"/"))
            ]
        )

    @cached_property
    def _places(self) -> tuple[int, ...]:
        """Where the key's columns are among the stored ones."""
        places = {column.name: place for place, column in enumerate(self.table.stored_columns)}
        return tuple(places[name] for name in self.key.columns)

    def within(self, span: KeyRange) -> str:
        """Condition for the rows of a range."""
        conditions = []
        if span.lower is not None:
            conditions.append(self._beyond(span.lower, after=True))
        if span.upper is not None:
            conditions.append(self._beyond(span.upper, after=False))
        return sqltext.conjunction(conditions)

    def any_of(self, keys: t.Sequence[Row]) -> str:
        """Condition for the rows whose key equals one of ``keys`` (not empty) in the key's collation."""
        if len(self.columns) == 1:
            (column,) = self.columns
            return f"{column.sql} IN ({', '.join(codec.literals(column, [key[0] for key in keys]))})"
        return " OR ".join(
            f"({sqltext.conjunction(codec.equals(column, value) for column, value in zip(self.columns, key))})" for key in keys
        )

    def near(self, keys: t.Sequence[Row]) -> str:
        """Condition for the rows of these keys, and perhaps for others between them, no more than as many again.

        Where integers lie close together it is one range. Not for a reading that locks: it would lock what is between.
        """
        span = self._span(keys)
        if span and span[1] - span[0] < _LOOSE * len(keys):
            return f"{self.columns[0].sql} BETWEEN {span[0]} AND {span[1]}"
        return self.any_of(keys)

    def exactly(self, keys: t.Sequence[Row]) -> str:
        """Condition for the rows of these keys, all different and all likely to be there, for a reading that locks.

        Integers without a gap are one range, half the work of as many look-ups, with nothing between them that could be
        locked. The limit ends the reading with the last of them: servers lock the row that tells them that a range is over.
        So they do where one of these rows is gone after all.
        """
        span = self._span(keys)
        if span and span[1] - span[0] == len(keys) - 1:
            name = self.columns[0].sql
            return f"{name} BETWEEN {span[0]} AND {span[1]} ORDER BY {name} LIMIT {len(keys)}"
        return self.any_of(keys)

    def _span(self, keys: t.Sequence[Row]) -> tuple[int, int] | None:
        """The first and the last of several integer keys; None: they are something else."""
        if self.has_integers and len(keys) > 1:
            with suppress(ValueError):  # a number, but no integer: it came from outside
                numbers = list(map(int, codec.literals(self.columns[0], [key[0] for key in keys])))
                return min(numbers), max(numbers)
        return None

    def boundary(self, session: Session, span: KeyRange, rows: int) -> Row | None:
        """The key of the row that is number ``rows`` in a range, or None if it has fewer. Raises ServerError."""
        found = session.rows(
            f"SELECT {self.read_list} FROM {self.rows_of(span)} WHERE {self.within(span)}"
            f" ORDER BY {self._order} LIMIT 1 OFFSET {rows - 1}"
        )
        return found[0] if found else None

    def ends(self, session: Session, lower: Row | None) -> tuple[int, int] | None:
        """The first and the last integer key after ``lower``; None: there is none. Raises ServerError."""
        name = self.columns[0].sql
        ((first, last),) = session.rows(
            f"SELECT MIN({name}), MAX({name}) FROM {self.rows_in_order} WHERE {self.within(KeyRange(lower))}"
        )
        return None if first is None or last is None else (int(first), int(last))

    def estimate(self, session: Session, span: KeyRange) -> int:
        """About how many rows a range has, as the optimizer estimates from the index. Raises ServerError."""
        query = f"SELECT COUNT(*) FROM {self.rows_of(span)} WHERE {self.within(span)}"
        return int(session.record(f"{session.dialect.explain} {query}").get("rows") or 0)

    @property
    def _order(self) -> str:
        return ", ".join(f"{sqltext.quote_name(part.column)}{' DESC' if part.descending else ''}" for part in self.key.parts)

    def _beyond(self, bound: Row, after: bool) -> str:
        """Rows after a bound, or (not ``after``) up to and including it.

        Written as ``a >= x AND (a > x OR (a = x AND b > y))``: row constructors are not used for
        ranges by either server, this form is, also where millions of rows share the first column.
        """
        alternatives = []
        equal: list[str] = []
        for place, (column, part, value) in enumerate(zip(self.columns, self.key.parts, bound)):
            last = place == len(bound) - 1
            sign = ">" if after != part.descending else "<"
            closed = "=" if last and not after else ""
            alternatives.append(sqltext.conjunction([*equal, f"{column.sql} {sign}{closed} {codec.literal(column, value)}"]))
            equal.append(codec.equals(column, value))
        if len(alternatives) == 1:
            return alternatives[0]
        first, part = self.columns[0], self.key.parts[0]
        edge = ">=" if after != part.descending else "<="
        some = " OR ".join(f"({alternative})" for alternative in alternatives)
        return f"{first.sql} {edge} {codec.literal(first, bound[0])} AND ({some})"


def _is_hex(column: Column) -> bool:
    """Whether a key's text holds the value's bytes in hexadecimal: what has a character set or is binary may be any bytes."""
    kind = codec.kind(column)
    return kind is codec.Kind.BINARY or (kind is codec.Kind.TEXT and column.charset is not None)
