# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One pass over a table on both servers at once: which rows may differ.

The key space is cut into chunks of about ``chunk_time`` seconds. A chunk is read once on each server
and answers with one fingerprint. The first chunk that differs is read again, grouped into up to two
thousand buckets of rows, and so are all later ones at once: grouping costs about a tenth of a scan,
which a clean table should not pay. Only buckets that differ are looked into, row by row. What comes
out are suspicions: the two servers are not read at the same instant, so confirm.py decides.
"""

from __future__ import annotations

import queue
import threading
import time
import typing as t
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from .fingerprint import BucketSum, Fingerprint
from .keyspace import KeyRange
from .lanes import Lane
from .pace import ChunkSizer
from .session import Row, Session

# Rows a bucket should hold: reading them one by one takes a few milliseconds.
_BUCKET_ROWS = 200
_MAX_BUCKETS = 2048

# Rows (keys and hashes) held in memory at once while looking into differing buckets.
_ROWS_IN_MEMORY = 20_000


@dataclass(frozen=True)
class Chunk:
    """One compared range: rows the source has there, and keys whose rows seem to differ.

    ``number`` counts the chunks in key order from 0. A suspect comes with the fraction (0 to 1) of the
    chunk's rows that lie before it, about.
    """

    number: int
    span: KeyRange
    rows: int
    suspects: dict[Row, float]
    seconds: float


def compare(
    lanes: t.Sequence[Lane],
    scout: Session,
    fingerprint: Fingerprint,
    estimate: int,
    chunk_time: float,
    may_go_on: t.Callable[[], None],
    lower: Row | None = None,
) -> t.Iterator[Chunk]:
    """Compare a table chunk by chunk, as many at once as there are lanes; yields in order of completion.

    ``scout`` is a session of its own, on the server with more rows, that finds where each chunk ends
    while the lanes work. ``estimate``: about how many rows that server has. ``may_go_on`` is asked before
    each chunk and returns when it may begin. ``lower``: begin after this key. Raises what ``may_go_on``
    raises, and ServerError: a read that failed is never taken for the end of the data.
    """
    sizer = ChunkSizer(chunk_time)
    drifted = threading.Event()
    idle: queue.SimpleQueue[Lane] = queue.SimpleQueue()
    for lane in lanes:
        idle.put(lane)

    def work(number: int, span: KeyRange, rows: int) -> Chunk:
        lane = idle.get()
        try:
            return _compare_chunk(lane, fingerprint, number, span, rows, drifted)
        finally:
            idle.put(lane)

    running: set[Future[Chunk]] = set()
    with ThreadPoolExecutor(max_workers=len(lanes), thread_name_prefix="lane") as pool:
        try:
            for number, (span, rows) in enumerate(_spans(scout, fingerprint, estimate, sizer, lower)):
                may_go_on()
                running.add(pool.submit(work, number, span, rows))
                # One chunk more than there are lanes is cut ahead, so that no lane waits for the scout.
                while len(running) > len(lanes):
                    yield from _finished(running, sizer)
            while running:
                yield from _finished(running, sizer)
        finally:
            for future in running:
                future.cancel()


def _finished(running: set[Future[Chunk]], sizer: ChunkSizer) -> t.Iterator[Chunk]:
    done, _rest = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        running.discard(future)
        chunk = future.result()
        sizer.feedback(chunk.rows, chunk.seconds)
        yield chunk


def _spans(
    scout: Session, fingerprint: Fingerprint, estimate: int, sizer: ChunkSizer, lower: Row | None
) -> t.Iterator[tuple[KeyRange, int]]:
    """Cut the key space; the last range has no upper end, so that rows beyond it are seen."""
    if estimate > sizer.rows:
        while True:
            rows = sizer.rows
            upper = fingerprint.space.boundary(scout, lower, rows, fingerprint.where)
            if upper is None:
                break
            yield KeyRange(lower, upper), rows
            lower = upper
    yield KeyRange(lower), sizer.rows if lower else estimate


def _compare_chunk(
    lane: Lane, fingerprint: Fingerprint, number: int, span: KeyRange, rows: int, drifted: threading.Event
) -> Chunk:
    """Compare one range, in one piece until a chunk of the table has ``drifted``."""
    started = time.monotonic()
    buckets = min(_MAX_BUCKETS, rows // _BUCKET_ROWS + 1) if drifted.is_set() else 1
    ours, theirs = lane.both(lambda session: fingerprint.scan(session, span, buckets))
    seconds = time.monotonic() - started
    found = sum(bucket.rows for bucket in ours.values())
    if ours == theirs:
        return Chunk(number, span, found, {}, seconds)
    largest = max(found, sum(bucket.rows for bucket in theirs.values()))
    if buckets == 1 and largest > _BUCKET_ROWS:
        drifted.set()
        buckets = min(_MAX_BUCKETS, largest // _BUCKET_ROWS + 1)
        ours, theirs = lane.both(lambda session: fingerprint.scan(session, span, buckets))
    differing = [bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket)]
    suspects: dict[Row, float] = {}
    for some in _batches(differing, ours, theirs):
        here, there = lane.both(lambda session, some=some: fingerprint.rows(session, span, buckets, some))  # type: ignore[misc]
        suspects.update(_places(here, there))
        suspects.update(_places(there, here))
    return Chunk(number, span, found, suspects, seconds)


def _places(rows: t.Mapping[Row, bytes], others: t.Mapping[Row, bytes]) -> t.Iterator[tuple[Row, float]]:
    """Rows that the other side has not so, and where they lie: servers read along the key, buckets take from all over it."""
    return ((key, place / len(rows)) for place, (key, digest) in enumerate(rows.items()) if others.get(key) != digest)


def _batches(differing: list[int], ours: dict[int, BucketSum], theirs: dict[int, BucketSum]) -> t.Iterator[frozenset[int]]:
    """Group differing buckets so that the rows of a group fit into memory."""
    some: list[int] = []
    rows = 0
    for bucket in differing:
        size = max(side[bucket].rows if bucket in side else 0 for side in (ours, theirs))
        if some and rows + size > _ROWS_IN_MEMORY:
            yield frozenset(some)
            some, rows = [], 0
        some.append(bucket)
        rows += size
    if some:
        yield frozenset(some)
