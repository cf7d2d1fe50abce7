# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where one chunk of a table ends and the next begins.

To find the key so many rows ahead, a server has to walk along the index: a second, if cheaper, scan. Where the key
is one integer, ends are reckoned instead: from how densely the keys lay so far, from the next key that exists (so
that a gap of any size is one step), and from the server's own estimate of the rows in a range, which is read off the
index in no time and stops a chunk from swallowing a crowd that nobody expected.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .keyspace import KeyRange, KeySpace
from .lanes import Lane
from .session import Row, Session

# A chunk may seem to hold so many times more rows than wanted before it is made smaller. InnoDB looks at a few pages
# and was seen to estimate more than twice the rows there are.
_TOLERANCE = 4

# Keys are taken to lie at most so many times more thinly than before: the next chunk may be a crowd again.
_MAX_THINNING = 8


@dataclass(frozen=True)
class Cut:
    """One chunk: its range, about how many rows it has, and the integer keys between which they lie, if known."""

    span: KeyRange
    rows: int
    keys: tuple[int, int] | None = None

    def strips(self, rows: int, most: int) -> tuple[KeyRange, ...]:
        """The chunk in strips of about ``rows`` rows, ``most`` strips or fewer; in one if keys cannot be reckoned with."""
        return split(self.span, self.keys, min(most, self.rows // rows)) if self.keys else (self.span,)


class Cuts(t.Protocol):
    """Cuts a table into chunks, in key order."""

    def after(self, lower: Row | None, rows: int) -> Cut:
        """The chunk of about ``rows`` rows after a key. The last one has no upper end, so that rows beyond are seen.

        Raises ServerError.
        """

    def feedback(self, cut: Cut, rows: int) -> None:
        """Tell how many rows a chunk turned out to have."""


def choose(space: KeySpace, scouts: Lane, larger: Session) -> Cuts:
    """Choose how a table is cut. ``larger``: the scout on the server that has more rows."""
    return ReckonedCuts(space, scouts, larger) if space.has_integers else CountedCuts(space, larger)


class CountedCuts:
    """For keys of any kind: a server counts along the key."""

    def __init__(self, space: KeySpace, scout: Session) -> None:
        self._space = space
        self._scout = scout

    def after(self, lower: Row | None, rows: int) -> Cut:
        """As in Cuts."""
        return Cut(KeyRange(lower, self._space.boundary(self._scout, KeyRange(lower), rows)), rows)

    def feedback(self, cut: Cut, rows: int) -> None:
        """Counted rows need no correction."""


class ReckonedCuts:
    """For a key that is one integer: ends are reckoned."""

    def __init__(self, space: KeySpace, scouts: Lane, larger: Session) -> None:
        self._space = space
        self._scouts = scouts
        self._larger = larger
        self._density = 0.0  # rows per key; 0: not known yet

    def after(self, lower: Row | None, rows: int) -> Cut:
        """As in Cuts."""
        ends = [found for found in self._scouts.both(lambda session: self._space.ends(session, lower)) if found]
        if not ends:
            return Cut(KeyRange(lower), 0)
        first, last = min(low for low, _high in ends), max(high for _low, high in ends)
        if not self._density:
            # The first chunk is counted, on the larger side: statistics may be missing, or wrong.
            upper = self._space.boundary(self._larger, KeyRange(lower), rows)
            if upper is None:
                return Cut(KeyRange(lower), rows, (first, last))
            end = int(upper[0] or 0)
            self._density = rows / max(1, end - first + 1)
            return Cut(KeyRange(lower, upper), rows, (first, end))
        density = self._density
        while True:
            width = max(1, round(rows / density))
            end = min(last, first + width - 1)
            span = KeyRange(lower, None if end == last else (str(end).encode(),))
            expected = max(self._scouts.both(lambda session, span=span: self._space.estimate(session, span)))  # type: ignore[misc]
            if width == 1 or expected <= _TOLERANCE * rows:
                return Cut(span, min(rows, max(1, round((end - first + 1) * density))), (first, end))
            density = max(2 * density, expected / (end - first + 1))

    def feedback(self, cut: Cut, rows: int) -> None:
        """As in Cuts."""
        if cut.keys and cut.span.upper is not None:
            low, high = cut.keys
            self._density = max(rows / (high - low + 1), self._density / _MAX_THINNING)


def split(span: KeyRange, keys: tuple[int, int], parts: int) -> tuple[KeyRange, ...]:
    """Split a range whose ``keys`` are integers from the first to the last one into at most so many equal parts."""
    first, last = keys
    parts = max(1, min(parts, last - first + 1))
    ends: list[Row] = [(str(first - 1 + (last - first + 1) * part // parts).encode(),) for part in range(1, parts)]
    return tuple(KeyRange(lower, upper) for lower, upper in zip([span.lower, *ends], [*ends, span.upper]))
