# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks into a table whose key cannot be walked along: its index is one of hashes, or out of order.

A range of it cannot be read without all the rest. The rows are grouped by their key into buckets, all in one scan, and
those of the buckets that differ are picked out by another.
"""

from __future__ import annotations

import typing as t

from .crew import Hands
from .cuts import Chunk
from .errors import TableProblem
from .fingerprint import BucketSum, Fingerprint
from .keyspace import KeyRange
from .session import Row, Session

# Rows a bucket should hold: reading them one by one takes a few milliseconds.
_BUCKET_ROWS = 200
_MAX_BUCKETS = 2048

# Rows (keys and hashes) held in memory at once while looking into what differs, and suspects told at once.
_ROWS_IN_MEMORY = 20_000

_NOTHING = BucketSum(0, b"")


class Buckets:
    """Looks into one table."""

    def __init__(self, hands: Hands, fingerprint: Fingerprint) -> None:
        self._hands = hands
        self._fingerprint = fingerprint

    def look_into(self, span: KeyRange, ours: BucketSum, theirs: BucketSum, seconds: float) -> t.Iterator[Chunk]:
        """Read row by row what differs in a range; ``ours`` and ``theirs`` are its sums.

        Raises ServerError; TableProblem ``impossible_answer``.
        """
        rows = max(ours.rows, theirs.rows)
        buckets = min(_MAX_BUCKETS, rows // _BUCKET_ROWS + 1) if rows > _BUCKET_ROWS else 1
        mine, others = [ours], [theirs]
        if buckets > 1:
            mine, others = self._hands.both(lambda session: self._sums(session, span, buckets))
        differing = [bucket for bucket, (one, other) in enumerate(zip(mine, others)) if one != other]
        suspects: dict[Row, float] = {}
        for some in _batches(differing, mine, others):
            here, there = self._hands.both(lambda session, some=some: self._fingerprint.rows(session, span, buckets, some))  # type: ignore[misc]
            suspects.update(_places(here, there))
            suspects.update(_places(there, here))
            if len(suspects) > _ROWS_IN_MEMORY:
                yield from self._row_by_row(span, ours.rows >= theirs.rows)
                return
        yield Chunk(span, sum(each.rows for each in mine), suspects, seconds)

    def _sums(self, session: Session, span: KeyRange, buckets: int) -> list[BucketSum]:
        found = self._fingerprint.scan(session, span, buckets)
        sums = [found.pop(bucket, _NOTHING) for bucket in range(buckets)]
        if found:
            raise TableProblem(
                "impossible_answer",
                f"{self._fingerprint.space.table.name}: {session.name} put rows into the groups {sorted(found)}, and"
                f" was asked for 0 to {buckets - 1}: what it says of this table is not to be relied on.",
                "This is never expected; please report it, with the server's version and the table's definition.",
            )
        return sums

    def _row_by_row(self, span: KeyRange, source_has_more: bool) -> t.Iterator[Chunk]:
        """Where very many rows differ: read all of them, in counted pieces that fit into memory."""
        scouts = self._hands.scouts
        scout = scouts.source if source_has_more else scouts.target
        while True:
            upper = self._fingerprint.space.boundary(scout, span, _ROWS_IN_MEMORY)
            piece = KeyRange(span.lower, upper or span.upper)
            here, there = self._hands.both(lambda session, piece=piece: self._fingerprint.rows(session, piece, 1, frozenset()))  # type: ignore[misc]
            yield Chunk(piece, len(here), {**dict(_places(here, there)), **dict(_places(there, here))}, 0.0)
            if upper is None:
                return
            span = KeyRange(upper, span.upper)


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
