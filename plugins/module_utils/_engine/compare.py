# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One pass over a table on both servers at once: which rows may differ.

The key space is cut into chunks of about ``chunk_time`` seconds (cuts.py). Each server reads them from a queue of its
own, so neither waits for the other, and answers with one fingerprint for each strip of a chunk; only strips that
differ are looked into, row by row (strips.py). Where the ends of strips must be counted, a chunk is one strip until something
differs; then it is parted, and so are all later ones at once: a clean table should not pay for it. A key that cannot be walked
along makes the table one chunk (buckets.py). What comes out are suspicions: the two servers are not read at the same instant, so
confirm.py decides.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass

from . import cuts
from .buckets import Buckets
from .crew import Hands
from .cuts import Chunk, Cut, Cuts
from .fingerprint import BucketSum, Fingerprint
from .keyspace import KeyRange
from .pace import ChunkSizer, StripSizer
from .session import Row, Session
from .strips import Strip, Strips

# Strips in one statement: each repeats the expression over all columns. A server takes statements up to
# max_allowed_packet, which is 16 MiB or more; much smaller ones are quick to parse.
_MAX_STRIPS = 256
_STATEMENT_BYTES = 1 << 19


@dataclass(frozen=True)
class _Reading:
    """A chunk that both servers are reading: each gives the sums of its strips and the seconds it took."""

    cut: Cut
    strips: tuple[KeyRange, ...]
    ours: Future[tuple[list[BucketSum], float]]
    theirs: Future[tuple[list[BucketSum], float]]


def compare(
    hands: Hands,
    larger: Session,
    fingerprint: Fingerprint,
    estimate: int,
    chunk_time: float,
    may_go_on: t.Callable[[], None],
    lower: Row | None = None,
) -> t.Iterator[Chunk]:
    """Compare a table chunk by chunk; yields them in key order, those with very many suspects in pieces.

    ``larger``: the scout on the server with more rows; ``estimate``: about how many it has. ``may_go_on`` is asked
    before each chunk and returns when it may begin. ``lower``: begin after this key. Raises what ``may_go_on``
    raises, and ServerError: a read that failed is never taken for the end of the data; TableProblem ``impossible_answer``.
    """
    return _Comparison(hands, larger, fingerprint, ChunkSizer(chunk_time)).run(estimate, may_go_on, lower)


class _Comparison:
    """The comparison of one table."""

    def __init__(self, hands: Hands, larger: Session, fingerprint: Fingerprint, sizer: ChunkSizer) -> None:
        self._hands = hands
        self._larger = larger
        self._fingerprint = fingerprint
        self._sizer = sizer
        self._strip_sizer = StripSizer()
        self._most_strips = max(1, min(_MAX_STRIPS, _STATEMENT_BYTES // fingerprint.statement_bytes))
        self._drifted = False
        self._strips = Strips(hands, fingerprint, self._most_strips)
        self._buckets = Buckets(hands, fingerprint)

    def run(self, estimate: int, may_go_on: t.Callable[[], None], lower: Row | None) -> t.Iterator[Chunk]:
        """See compare()."""
        cutter = cuts.choose(self._fingerprint.space, self._hands.scouts, self._larger)
        coming = self._cut(cutter, estimate, lower)
        reading: deque[_Reading] = deque()
        more = True
        try:
            while more or reading:
                # Each reader has its next chunk waiting when it has finished one.
                while more and len(reading) < 2 * self._hands.workers:
                    may_go_on()
                    cut = next(coming, None)
                    more = cut is not None
                    if cut is not None:
                        reading.append(self._read(cut))
                if reading:
                    yield from self._judge(reading[0], cutter)
                    reading.popleft()
        finally:
            futures = [future for each in reading for future in (each.ours, each.theirs)]
            for future in futures:
                future.cancel()
            wait(futures)  # sessions must be at rest when this ends

    def _cut(self, cutter: Cuts, estimate: int, lower: Row | None) -> t.Iterator[Cut]:
        rest = KeyRange(lower)
        if not self._fingerprint.space.is_walkable or (estimate <= self._sizer.rows and self._is_small(rest)):
            yield Cut(rest, estimate)
            return
        while True:
            strip = self._strip_sizer.rows
            cut = cutter.after(lower, min(self._sizer.rows, strip * self._most_strips), strip if self._drifted else 0)
            yield cut
            lower = cut.span.upper
            if lower is None:
                return

    def _is_small(self, rest: KeyRange) -> bool:
        """Whether what seems to be one chunk is no more: an estimate may be from long ago."""
        space, rows = self._fingerprint.space, self._sizer.rows
        return not any(self._hands.scouts.both(lambda session: space.boundary(session, rest, rows)))

    def _read(self, cut: Cut) -> _Reading:
        """Let both servers read a chunk, as soon as they are free for it."""
        strips = cut.strips(self._strip_sizer.rows, self._most_strips)

        def scan(session: Session) -> tuple[list[BucketSum], float]:
            started = time.monotonic()
            return self._fingerprint.strips(session, strips), time.monotonic() - started

        return _Reading(cut, strips, self._hands.source.submit(scan), self._hands.target.submit(scan))

    def _judge(self, reading: _Reading, cutter: Cuts) -> t.Iterator[Chunk]:
        (ours, one), (theirs, other) = reading.ours.result(), reading.theirs.result()
        seconds = max(one, other)
        rows = sum(each.rows for each in ours)
        # With a condition, rows that do not meet it took time as well.
        walked = rows if self._fingerprint.where is None and reading.cut.keys else reading.cut.rows
        self._sizer.feedback(walked, seconds)
        cutter.feedback(reading.cut, walked)
        suspects = 0
        if ours == theirs:
            yield Chunk(reading.cut.span, rows, {}, seconds)
        else:
            self._drifted = True
            for chunk in self._look_into(reading, ours, theirs, seconds):
                suspects += len(chunk.suspects)
                yield chunk
        self._strip_sizer.feedback(rows, suspects)

    def _look_into(self, reading: _Reading, ours: list[BucketSum], theirs: list[BucketSum], seconds: float) -> t.Iterator[Chunk]:
        if not self._fingerprint.space.is_walkable:
            (mine,), (other,) = ours, theirs
            return self._buckets.look_into(reading.cut.span, mine, other, seconds)
        strips = [Strip(*each) for each in zip(reading.strips, ours, theirs)]
        return self._strips.look_into(reading.cut, strips, seconds)
