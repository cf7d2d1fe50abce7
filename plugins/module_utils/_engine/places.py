# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where each row of an undo journal stands in its file, in 17 bytes a row: a journal may hold more than memory should."""

from __future__ import annotations

import itertools
import typing as t
from array import array
from bisect import bisect_right


class Place(t.NamedTuple):
    """A row of a journal: its number (1, 2, ...), where its line and its latest image begin, whether it was committed."""

    number: int
    row_at: int
    image_at: int
    committed: bool


class Places:
    """The places of all rows, in order; those of one table follow each other in a few runs."""

    def __init__(self) -> None:
        self._rows = array("Q")
        self._images = array("Q")
        self._committed = bytearray()
        # Where a run of rows of one table begins, and which table that is.
        self._starts: list[int] = []
        self._tables: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, table: int, offset: int) -> None:
        """The next row stands there; it is of this table."""
        if not self._tables or self._tables[-1] != table:
            self._starts.append(len(self))
            self._tables.append(table)
        self._rows.append(offset)
        self._images.append(offset)
        self._committed.append(0)

    def image(self, number: int, offset: int) -> int:
        """The row's latest image stands there; returns the row's table. Raises ValueError if there is no such row."""
        place = self._place(number)
        self._images[place] = offset
        return self._tables[bisect_right(self._starts, place) - 1]

    def commit(self, numbers: t.Iterable[int]) -> None:
        """These rows were committed. Raises ValueError if one of them is not there."""
        for number in numbers:
            self._committed[self._place(number)] = 1

    def of(self, tables: t.Container[int]) -> t.Iterator[Place]:
        """The rows of these tables, in order."""
        for _table, start, end in self._runs(tables):
            for place in range(start, end):
                yield Place(place + 1, self._rows[place], self._images[place], bool(self._committed[place]))

    def count(self, tables: t.Container[int]) -> int:
        """How many rows of these tables there are."""
        return sum(end - start for _table, start, end in self._runs(tables))

    def _runs(self, tables: t.Container[int]) -> t.Iterator[tuple[int, int, int]]:
        ends = itertools.chain(self._starts[1:], [len(self)])
        return (run for run in zip(self._tables, self._starts, ends) if run[0] in tables)

    def _place(self, number: int) -> int:
        if not 0 < number <= len(self):
            raise ValueError(f"no row {number}")
        return number - 1
