# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One pass over a table on both servers at once: which rows may differ.

The key space is cut into chunks of about ``chunk_time`` seconds (cuts.py). Each server reads them from a queue of its
own, so neither waits for the other, and answers with one fingerprint for each strip of a chunk; only strips that
differ are looked into, row by row. Where keys cannot be reckoned with, a chunk is one strip until something differs;
then its rows, and those of all later chunks at once, are grouped into buckets by their key (which costs a
tenth to a third of a scan, so a clean table should not pay it). What comes out are suspicions: the two servers
are not read at the same instant, so confirm.py decides.
"""

from __future__ import annotations

import time
import typing as t
from collections import deque
from concurrent.futures import Future, wait
from dataclasses import dataclass

from . import cuts
from .crew import Hands
from .cuts import Cut, Cuts
from .errors import TableProblem
from .fingerprint import BucketSum, Fingerprint
from .keyspace import KeyRange
from .pace import ChunkSizer, StripSizer
from .session import Row, Session

# Rows a bucket should hold: reading them one by one takes a few milliseconds.
_BUCKET_ROWS = 200
_MAX_BUCKETS = 2048

# Strips in one statement: each repeats the expression over all columns. A server takes statements up to
# max_allowed_packet, which is 16 MiB or more; much smaller ones are quick to parse.
_MAX_STRIPS = 256
_STATEMENT_BYTES = 1 << 19

# Rows (keys and hashes) held in memory at once while looking into what differs, and suspects told at once.
_ROWS_IN_MEMORY = 20_000

T = t.TypeVar("T")


@dataclass(frozen=True)
class Chunk:
    """One compared range: rows the source has there, and keys whose rows seem to differ.

    A suspect comes with the fraction (0 to 1) of the chunk's rows that lie before it, about.
    """

    span: KeyRange
    rows: int
    suspects: dict[Row, float]
    seconds: float


@dataclass(frozen=True)
class _Reading:
    """A chunk that both servers are reading: each gives its sums and the seconds it took."""

    cut: Cut
    strips: tuple[KeyRange, ...]
    buckets: int
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
        # An index of hashes cannot be walked along: for each chunk the whole table would be read.
        if estimate <= self._sizer.rows or not self._fingerprint.space.key.ordered:
            yield Cut(KeyRange(lower), estimate)
            return
        while True:
            cut = cutter.after(lower, min(self._sizer.rows, self._strip_sizer.rows * self._most_strips))
            yield cut
            lower = cut.span.upper
            if lower is None:
                return

    def _read(self, cut: Cut) -> _Reading:
        """Let both servers read a chunk, as soon as they are free for it."""
        strips = cut.strips(self._strip_sizer.rows, self._most_strips)
        buckets = min(_MAX_BUCKETS, cut.rows // _BUCKET_ROWS + 1) if self._drifted and not cut.keys else 1

        def scan(session: Session) -> tuple[list[BucketSum], float]:
            started = time.monotonic()
            return self._sums(session, strips, buckets), time.monotonic() - started

        return _Reading(cut, strips, buckets, self._hands.source.submit(scan), self._hands.target.submit(scan))

    def _sums(self, session: Session, strips: tuple[KeyRange, ...], buckets: int) -> list[BucketSum]:
        """The sums of strips, or those of the buckets of a single one."""
        if buckets == 1:
            return self._fingerprint.strips(session, strips)
        found = self._fingerprint.scan(session, strips[0], buckets)
        sums = [found.pop(bucket, _NOTHING) for bucket in range(buckets)]
        if found:
            raise TableProblem(
                "impossible_answer",
                f"{self._fingerprint.space.table.name}: {session.name} put rows of a chunk into the groups {sorted(found)}, and"
                f" was asked for 0 to {buckets - 1}: what it says of this table is not to be relied on.",
                "This is never expected; please report it, with the server's version and the table's definition.",
            )
        return sums

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
            look = self._look_into_strips if reading.cut.keys else self._look_into_one
            for chunk in look(reading, ours, theirs, seconds):
                suspects += len(chunk.suspects)
                yield chunk
        self._strip_sizer.feedback(rows, suspects)

    def _both(self, work: t.Callable[[Session], T]) -> tuple[T, T]:
        ours, theirs = self._hands.source.submit(work), self._hands.target.submit(work)
        wait((ours, theirs))
        return ours.result(), theirs.result()

    # -- strips: ranges of the key -------------------------------------------------------------

    def _look_into_strips(
        self, reading: _Reading, ours: list[BucketSum], theirs: list[BucketSum], seconds: float
    ) -> t.Iterator[Chunk]:
        """Read differing strips row by row, in pieces that end where memory asks for it."""
        cut = reading.cut
        strips = self._bounded([_Strip(*each) for each in zip(reading.strips, ours, theirs)], t.cast(t.Any, cut.keys))
        lower = cut.span.lower
        pieces = list(_pieces(strips, self._most_strips))
        for piece in pieces:
            upper = cut.span.upper if piece is pieces[-1] else piece[-1].span.upper
            yield Chunk(KeyRange(lower, upper), sum(strip.ours.rows for strip in piece), self._suspects(piece), seconds)
            lower, seconds = upper, 0.0

    def _bounded(self, strips: list[_Strip], keys: tuple[int, int]) -> list[_Strip]:
        """Split differing strips that hold more rows than fit into memory: keys may crowd where few were expected."""
        for _round in range(_MAX_ROUNDS):
            if not any(strip.is_too_large for strip in strips):
                break
            finer: list[_Strip] = []
            for strip in strips:
                if not strip.is_too_large:
                    finer.append(strip)
                    continue
                parts = cuts.split(strip.span, strip.keys(keys), min(self._most_strips, strip.rows // _FINE_ROWS))
                sums = self._both(lambda session, parts=parts: self._fingerprint.strips(session, parts))  # type: ignore[misc]
                finer.extend(_Strip(*each) for each in zip(parts, *sums))
            strips = finer
        return strips

    def _suspects(self, strips: list[_Strip]) -> dict[Row, float]:
        """Keys whose rows differ in strips, and what part of all the strips' rows lies before each."""
        differing = [strip for strip in strips if strip.differs]
        if not differing:
            return {}
        # Where one server has no rows, those of the other are suspects whatever is in them; it alone is asked.
        alone = {place for place, strip in enumerate(differing) if not (strip.ours.rows and strip.theirs.rows)}
        # By the scouts: the readers have the next chunk before them, and would be waited for.
        scouts = self._hands.scouts
        read = iter(zip(*scouts.both(lambda session: self._rows_of(session, differing, session is scouts.source, alone))))
        total, before = max(1, sum(strip.ours.rows for strip in strips)), 0
        suspects: dict[Row, float] = {}
        for strip in strips:
            if strip.differs:
                here, there = next(read)
                for side, others in ((here, set(there)), (there, set(here))):
                    for place, pair in enumerate(side):
                        if pair not in others:
                            suspects[(pair.partition(b":")[0],)] = (before + place / len(side) * strip.ours.rows) / total
            before += strip.ours.rows
        return suspects

    def _rows_of(self, session: Session, strips: list[_Strip], ours: bool, alone: t.Container[int]) -> list[list[bytes]]:
        """Every row of strips on one server: the source (``ours``) or the target. Of those ``alone`` the keys are enough."""
        found: list[list[bytes]] = [[] for _strip in strips]
        asked = [place for place, strip in enumerate(strips) if (strip.ours if ours else strip.theirs).rows]
        keys_only = {number for number, place in enumerate(asked) if place in alone}
        answers = self._fingerprint.rows_of_strips(session, [strips[place].span for place in asked], keys_only)
        for place, answer in zip(asked, answers):
            found[place] = answer
        return found

    # -- buckets: rows from all over a chunk ---------------------------------------------------

    def _look_into_one(
        self, reading: _Reading, ours: list[BucketSum], theirs: list[BucketSum], seconds: float
    ) -> t.Iterator[Chunk]:
        """Group the rows of a chunk into buckets, if they are not yet, and read those that differ row by row."""
        span, buckets = reading.cut.span, reading.buckets
        counts = [sum(each.rows for each in side) for side in (ours, theirs)]
        if buckets == 1 and max(counts) > _BUCKET_ROWS:
            self._drifted = True
            buckets = min(_MAX_BUCKETS, max(counts) // _BUCKET_ROWS + 1)
            ours, theirs = self._both(lambda session: self._sums(session, (span,), buckets))
        differing = [bucket for bucket, (mine, other) in enumerate(zip(ours, theirs)) if mine != other]
        suspects: dict[Row, float] = {}
        for some in _batches(differing, ours, theirs):
            here, there = self._both(lambda session, some=some: self._fingerprint.rows(session, span, buckets, some))  # type: ignore[misc]
            suspects.update(_places(here, there))
            suspects.update(_places(there, here))
            if len(suspects) > _ROWS_IN_MEMORY:
                yield from self._row_by_row(span, counts[0] >= counts[1])
                return
        yield Chunk(span, sum(each.rows for each in ours), suspects, seconds)

    def _row_by_row(self, span: KeyRange, source_has_more: bool) -> t.Iterator[Chunk]:
        """Where very many rows differ: read all of them, in counted pieces that fit into memory."""
        scouts = self._hands.scouts
        scout = scouts.source if source_has_more else scouts.target
        while True:
            upper = self._fingerprint.space.boundary(scout, span, _ROWS_IN_MEMORY)
            piece = KeyRange(span.lower, upper or span.upper)
            here, there = self._both(lambda session, piece=piece: self._fingerprint.rows(session, piece, 1, frozenset()))  # type: ignore[misc]
            yield Chunk(piece, len(here), {**dict(_places(here, there)), **dict(_places(there, here))}, 0.0)
            if upper is None:
                return
            span = KeyRange(upper, span.upper)


_NOTHING = BucketSum(0, b"")

# Rows of a part of a strip that held too many, and how often parts are parted again: keys are at most 2**64 apart.
_FINE_ROWS = 1000
_MAX_ROUNDS = 8


@dataclass(frozen=True)
class _Strip:
    """A range of integer keys and what both servers have there."""

    span: KeyRange
    ours: BucketSum
    theirs: BucketSum

    @property
    def differs(self) -> bool:
        """Whether its rows must be looked into."""
        return self.ours != self.theirs

    @property
    def rows(self) -> int:
        """Rows on the side that has more of them."""
        return max(self.ours.rows, self.theirs.rows)

    @property
    def is_too_large(self) -> bool:
        """Whether its rows must be looked into and do not fit into memory."""
        return self.differs and self.rows > _ROWS_IN_MEMORY

    def keys(self, keys: tuple[int, int]) -> tuple[int, int]:
        """Its first and last key; ``keys`` are those of the chunk."""
        lower, upper = self.span.lower, self.span.upper
        low = keys[0] if lower is None else max(keys[0], int(lower[0] or 0) + 1)
        return low, max(low, keys[1] if upper is None else int(upper[0] or 0))


def _pieces(strips: list[_Strip], most: int) -> t.Iterator[list[_Strip]]:
    """Group strips so that the differing rows of a group fit into memory, and ``most`` of those strips into a statement."""
    piece: list[_Strip] = []
    rows = differing = 0
    for strip in strips:
        more = strip.rows if strip.differs else 0
        if piece and more and (rows + more > _ROWS_IN_MEMORY or differing == most):
            yield piece
            piece, rows, differing = [], 0, 0
        piece.append(strip)
        rows += more
        differing += strip.differs
    if piece:
        yield piece


def _places(rows: t.Mapping[Row, bytes], others: t.Mapping[Row, bytes]) -> t.Iterator[tuple[Row, float]]:
    """Rows that the other side has not so, and where they lie: servers read along the key, buckets take from all over it."""
    return ((key, place / len(rows)) for place, (key, digest) in enumerate(rows.items()) if others.get(key) != digest)


def _batches(differing: list[int], ours: t.Sequence[BucketSum], theirs: t.Sequence[BucketSum]) -> t.Iterator[frozenset[int]]:
    """Group differing buckets so that the rows of a group fit into memory."""
    some: list[int] = []
    rows = 0
    for bucket in differing:
        size = max(ours[bucket].rows, theirs[bucket].rows)
        if some and rows + size > _ROWS_IN_MEMORY:
            yield frozenset(some)
            some, rows = [], 0
        some.append(bucket)
        rows += size
    if some:
        yield frozenset(some)
