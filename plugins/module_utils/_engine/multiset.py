# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables without a key: rows cannot be told apart, but equal rows can be counted.

Such a table is a multiset: which row values it holds, and how many copies of each. There is no key to
cut it by, so each pass is one statement over the whole table on both servers at once, whatever
``chunk_time`` says. Fingerprints of rows are added up instead of XORed: two equal copies would cancel.
"""

from __future__ import annotations

import hashlib
import typing as t
from collections import Counter
from dataclasses import dataclass, field

from . import codec, sqltext
from .confirm import EXTRA, MISSING, Difference
from .errors import Undecided
from .fingerprint import BucketSum, joined
from .lanes import Lane
from .schema import Column, Table
from .session import Row, Session

_BUCKET_ROWS = 500
_MAX_BUCKETS = 1024

# Row values counted at once.
_VALUES_IN_MEMORY = 20_000

# As in confirm.py: readings over which a count must stay as it is, and readings before giving up.
_STABLE_READINGS = 2
_MAX_READINGS = 20


@dataclass(frozen=True)
class Copies:
    """One row value and how many rows have it."""

    row: Row
    number: int


_NONE = Copies((), 0)


@dataclass(frozen=True)
class _Counted:
    """The copies of one row value on each side."""

    ours: Copies
    theirs: Copies

    @property
    def numbers(self) -> tuple[int, int]:
        """How many on the source and on the target."""
        return self.ours.number, self.theirs.number

    @property
    def are_equal(self) -> bool:
        """Whether both sides have as many."""
        return self.ours.number == self.theirs.number


@dataclass(frozen=True)
class Rows:
    """The rows of a table without a key, as both servers can count them."""

    table: Table
    columns: tuple[Column, ...]
    where: str | None = None
    float_precision: int | None = None

    def sums(self, session: Session, buckets: int) -> dict[int, BucketSum]:
        """Count and add up the rows, bucket by bucket, in one pass. Raises ServerError."""
        # 60 bits of each row's digest: their sum over 2**60 rows still fits into the server's DECIMAL.
        digest = f"CAST(CONV(LEFT(SHA2({self._string}, 256), 15), 16, 10) AS UNSIGNED)"
        found = session.rows(
            f"SELECT {self._bucket(buckets)}, COUNT(*), SUM({digest}) FROM {self.table.name.sql}{self._where()}"
            + (" GROUP BY 1" if buckets > 1 else "")
        )
        return {int(bucket or 0): BucketSum(int(rows or 0), total or b"") for bucket, rows, total in found if rows != b"0"}

    def copies(self, session: Session, buckets: int, chosen: t.Sequence[int]) -> Counter[bytes]:
        """How many rows there are of each digest in the chosen buckets. Raises ServerError."""
        within = f"{self._bucket(buckets)} IN ({', '.join(map(str, chosen))})" if buckets > 1 else None
        found = session.rows(f"SELECT {self.digest}, COUNT(*) FROM {self.table.name.sql}{self._where(within)} GROUP BY 1")
        return Counter({digest: int(copies or 0) for digest, copies in found if digest is not None})

    def read(self, session: Session, digests: t.Sequence[bytes]) -> dict[bytes, Copies]:
        """How many rows there are of each of these digests, and one of them, all columns. Raises ServerError."""
        columns = self.table.stored_columns
        items = [codec.read_expression(column) for column in columns]
        digest, rows = self.digest, f"{self.table.name.sql}{self._where(self.equal_to(digests))}"
        if any(column.data_type == "json" for column in columns):
            # MySQL looks into no document of a grouped row (error 1210): into those of the rows before they are grouped.
            shown = ", ".join(f"{item} AS c{place}" for place, item in enumerate(items))
            rows = f"(SELECT {digest} AS digest, {shown} FROM {rows}) AS found"
            digest, items = "/*+ NO_MERGE(found) */ digest", [f"c{place}" for place in range(len(items))]
        # One row stands for all of its group: sessions run without ONLY_FULL_GROUP_BY.
        found = session.rows(f"SELECT {digest}, COUNT(*), {', '.join(items)} FROM {rows} GROUP BY 1")
        return {row[0]: Copies(row[2:], int(row[1] or 0)) for row in found if row[0] is not None}

    def count(self, session: Session, digests: t.Sequence[bytes], lock: str = "") -> dict[bytes, int]:
        """How many rows there are of each of these digests; ``lock`` is appended to the query. Raises ServerError."""
        found = session.rows(
            f"SELECT {self.digest}, COUNT(*) FROM {self.table.name.sql} WHERE {self.equal_to(digests)} GROUP BY 1 {lock}"
        )
        return {digest: int(copies or 0) for digest, copies in found if digest is not None}

    def equal_to(self, digests: t.Iterable[bytes]) -> str:
        """Condition for the rows that have one of these digests."""
        return f"{self.digest} IN ({', '.join(map(sqltext.hex_literal, digests))})"

    @property
    def are_exact(self) -> bool:
        """Whether a digest stands for exactly these bytes in all columns."""
        return self.columns == self.table.stored_columns and self.float_precision is None

    @property
    def way(self) -> str:
        """Tells one way of making fingerprints from another: what was noted by a different one finds nothing."""
        return hashlib.sha256(self.digest.encode()).hexdigest()[:16]

    @property
    def digest(self) -> str:
        """SQL for the fingerprint of one row."""
        return f"UNHEX(LEFT(SHA2({self._string}, 256), 32))"

    @property
    def _string(self) -> str:
        return joined(self.columns, self.float_precision)

    def _bucket(self, buckets: int) -> str:
        return f"CRC32({self._string}) MOD {buckets}" if buckets > 1 else "0"

    def _where(self, condition: str | None = None) -> str:
        given = [sqltext.bracketed(each) for each in (self.where, condition) if each]
        return f" WHERE {sqltext.conjunction(given)}" if given else ""


@dataclass
class Fingerprints:
    """Rows told apart by their fingerprints, which are known of the rows of the present batch."""

    rows: Rows
    digests: t.Mapping[Row, bytes] = field(default_factory=dict)

    @property
    def read_list(self) -> str:
        """SELECT item that gives a row's fingerprint."""
        return self.rows.digest

    def key_of(self, row: Row) -> Row:
        """The fingerprint of a row of the batch."""
        return (self.digests[row],)

    def any_of(self, keys: t.Sequence[Row]) -> str:
        """Condition for the rows with one of these fingerprints."""
        return self.rows.equal_to([key[0] or b"" for key in keys])


@dataclass(frozen=True)
class Scan:
    """What the first pass found: rows of the source, and digests of row values whose number of copies may differ, in groups."""

    rows: int
    suspects: t.Iterator[list[bytes]]


def scan(lane: Lane, rows: Rows, estimate: int) -> Scan:
    """Compare the whole table on both servers at once; looks into what differs as the groups are taken. Raises ServerError."""
    buckets = min(_MAX_BUCKETS, estimate // _BUCKET_ROWS + 1)
    ours, theirs = lane.both(lambda session: rows.sums(session, buckets))
    differing = sorted(bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket))

    def suspects() -> t.Iterator[list[bytes]]:
        largest = max([side[bucket].rows for side in (ours, theirs) for bucket in differing if bucket in side], default=1)
        step = max(1, _VALUES_IN_MEMORY // max(1, largest))
        for start in range(0, len(differing), step):
            some = differing[start : start + step]
            here, there = lane.both(lambda session, some=some: rows.copies(session, buckets, some))  # type: ignore[misc]
            # In order, so that two runs plan alike.
            yield sorted(digest for digest in here.keys() | there.keys() if here[digest] != there[digest])

    return Scan(sum(bucket.rows for bucket in ours.values()), suspects())


def confirm(lane: Lane, rows: Rows, suspects: t.Sequence[bytes], fence: t.Callable[[], None]) -> list[Difference]:
    """Count the copies again, replication drained, until each number is equal or stably different.

    Raises Undecided and ServerError.
    """
    if not suspects:
        return []
    verdicts: dict[bytes, Difference] = {}
    pending = _read_both(lane, rows, list(suspects))
    stable = dict.fromkeys(pending, 0)
    for _reading in range(_MAX_READINGS):
        pending = {digest: counted for digest, counted in pending.items() if not counted.are_equal}
        if not pending:
            return list(verdicts.values())
        fence()
        again = _read_both(lane, rows, list(pending))
        for digest, counted in again.items():
            stable[digest] = stable[digest] + 1 if counted.numbers == pending[digest].numbers else 0
            if stable[digest] >= _STABLE_READINGS:
                verdicts[digest] = _difference(counted, digest if rows.are_exact else b"")
        pending = {digest: counted for digest, counted in again.items() if stable[digest] < _STABLE_READINGS}
    raise Undecided(
        "rows_keep_changing",
        f"{rows.table.name}: {len(pending)} suspected rows kept changing over {_MAX_READINGS} readings.",
        "Run again at a quieter time.",
    )


def _difference(counted: _Counted, digest: bytes) -> Difference:
    row = (counted.ours if counted.ours.number else counted.theirs).row
    return Difference(
        kind=MISSING if counted.ours.number > counted.theirs.number else EXTRA,
        key=row,
        source=row if counted.ours.number else None,
        target=row if counted.theirs.number else None,
        source_copies=counted.ours.number,
        target_copies=counted.theirs.number,
        digest=digest,
    )


def _read_both(lane: Lane, rows: Rows, digests: t.Sequence[bytes]) -> dict[bytes, _Counted]:
    ours, theirs = lane.both(lambda session: rows.read(session, digests))
    return {digest: _Counted(ours.get(digest, _NONE), theirs.get(digest, _NONE)) for digest in digests}
