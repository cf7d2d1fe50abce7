# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where one chunk of a table ends and the next begins.

To find the key so many rows ahead, a server has to walk along the index: a second, if cheaper, scan. Where the key
is one integer, ends are reckoned instead: from how densely the keys lay so far, from the next key that exists (so
that a gap of any size is one step), and from the server's own estimate of the rows in a range, which is read off the
index in no time and stops a chunk from swallowing a crowd that nobody expected. Other keys are counted: once to the end of
a chunk or, where its strips are wanted too, from each of their ends to the next, which is the same walk.
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

# Strips whose ends are counted before the chunk is read: the readers have nothing else to do at first, and the more at once the
# longer they wait.
_COUNTED_AT_ONCE = 32


@dataclass(frozen=True)
class Cut:
    """One chunk: its range, about how many rows it has, and what is known of the keys inside.

    ``keys``: the integers between which they lie; ``ends``: where counted strips end, but for the last one.
    """

    span: KeyRange
    rows: int
    keys: tuple[int, int] | None = None
    ends: tuple[Row, ...] = ()

    def strips(self, rows: int, most: int) -> tuple[KeyRange, ...]:
        """The chunk in strips of about ``rows`` rows, ``most`` strips or fewer; in one if nothing is known of its keys."""
        return split(self.span, self.keys, min(most, self.rows // rows)) if self.keys else _parted(self.span, self.ends)


@dataclass(frozen=True)
class Chunk:
    """A chunk, or a piece of one, that was compared: rows the source has there, and keys whose rows seem to differ.

    A suspect comes with the fraction (0 to 1) of the chunk's rows that lie before it, about.
    """

    span: KeyRange
    rows: int
    suspects: dict[Row, float]
    seconds: float


class Cuts(t.Protocol):
    """Cuts a table into chunks, in key order."""

    def after(self, lower: Row | None, rows: int, strip: int) -> Cut:
        """The chunk of about ``rows`` rows after a key. The last one has no upper end, so that rows beyond are seen.

        ``strip``: rows that a strip of it should have, where only counting tells; 0: it is not going to be parted.
        Raises ServerError.
        """

    def feedback(self, cut: Cut, rows: int) -> None:
        """Tell how many rows a chunk turned out to have."""


def choose(space: KeySpace, scouts: Lane, larger: Session) -> Cuts:
    """Choose how a table is cut. ``larger``: the scout on the server that has more rows."""
    return ReckonedCuts(space, scouts, larger) if space.has_integers else CountedCuts(space, larger)


class CountedCuts:
    """For keys of any kind: a server counts along the key.

    Also where all of the rest seems to be wanted: an estimate of it is no more than half of what the server takes the table
    to have, which may be long ago.
    """

    def __init__(self, space: KeySpace, scout: Session) -> None:
        self._space = space
        self._scout = scout

    def after(self, lower: Row | None, rows: int, strip: int) -> Cut:
        """As in Cuts."""
        rest = KeyRange(lower)
        step = min(strip or rows, rows)
        wanted = max(1, min(rows // step, _COUNTED_AT_ONCE))
        ends = _counted(self._space, self._scout, rest, step, wanted)
        if len(ends) < wanted:
            return Cut(rest, rows, ends=ends)
        return Cut(KeyRange(lower, ends[-1]), wanted * step, ends=ends[:-1])

    def feedback(self, cut: Cut, rows: int) -> None:
        """Counted rows need no correction."""


class ReckonedCuts:
    """For a key that is one integer: ends are reckoned."""

    def __init__(self, space: KeySpace, scouts: Lane, larger: Session) -> None:
        self._space = space
        self._scouts = scouts
        self._larger = larger
        self._density = 0.0  # rows per key; 0: not known yet

    def after(self, lower: Row | None, rows: int, strip: int) -> Cut:
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
    return _parted(span, [(str(first - 1 + (last - first + 1) * part // parts).encode(),) for part in range(1, parts)])


def count(space: KeySpace, session: Session, span: KeyRange, rows: int, parts: int) -> tuple[KeyRange, ...]:
    """Part a range so that each part has ``rows`` rows on a server; into ``parts`` at most. Raises ServerError."""
    return _parted(span, _counted(space, session, span, rows, parts - 1))


def _counted(space: KeySpace, session: Session, span: KeyRange, rows: int, most: int) -> tuple[Row, ...]:
    """The keys of every ``rows``-th row in a range, ``most`` of them or as many as there are."""
    ends: list[Row] = []
    while len(ends) < most:
        end = space.boundary(session, KeyRange(ends[-1] if ends else span.lower, span.upper), rows)
        if end is None:
            break
        ends.append(end)
    return tuple(ends)


def _parted(span: KeyRange, ends: t.Sequence[Row]) -> tuple[KeyRange, ...]:
    """A range in the parts that end at these keys inside it, and the rest."""
    return tuple(KeyRange(lower, upper) for lower, upper in zip([span.lower, *ends], [*ends, span.upper]))
