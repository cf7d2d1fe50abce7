# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables without a key: rows cannot be told apart, but equal rows can be counted.

Such a table is a multiset: which row values it holds, and how many copies of each. There is no key to
cut it by, so each pass is one statement over the whole table on both servers at once, whatever
``chunk_time`` says. Fingerprints of rows are added up instead of XORed: two equal copies would cancel.
"""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from . import codec, fingerprint, sqltext
from .confirm import EXTRA, MISSING, Difference
from .errors import Undecided
from .fingerprint import BucketSum
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
class Scan:
    """What the first pass found: rows of the source, and digests of row values whose number of copies may differ."""

    rows: int
    suspects: tuple[bytes, ...]


def scan(lane: Lane, table: Table, columns: tuple[Column, ...], estimate: int, where: str | None) -> Scan:
    """Compare the whole table on both servers at once. Raises ServerError."""
    buckets = min(_MAX_BUCKETS, estimate // _BUCKET_ROWS + 1)
    ours, theirs = lane.both(lambda session: _sums(session, table, columns, buckets, where))
    differing = sorted(bucket for bucket in ours.keys() | theirs.keys() if ours.get(bucket) != theirs.get(bucket))
    suspects: list[bytes] = []
    step = max(1, _VALUES_IN_MEMORY // _BUCKET_ROWS)
    for start in range(0, len(differing), step):
        some = differing[start : start + step]
        here, there = lane.both(lambda session, some=some: _copies(session, table, columns, buckets, some, where))  # type: ignore[misc]
        suspects.extend(digest for digest in here.keys() | there.keys() if here[digest] != there[digest])
    return Scan(sum(bucket.rows for bucket in ours.values()), tuple(suspects))


def confirm(
    lane: Lane, table: Table, columns: tuple[Column, ...], suspects: t.Sequence[bytes], fence: t.Callable[[], None]
) -> list[Difference]:
    """Count the copies again, replication drained, until each number is equal or stably different.

    Raises Undecided and ServerError.
    """
    if not suspects:
        return []
    verdicts: dict[bytes, Difference] = {}
    pending = _read_both(lane, table, columns, suspects)
    stable = dict.fromkeys(pending, 0)
    for _reading in range(_MAX_READINGS):
        pending = {digest: counted for digest, counted in pending.items() if counted.ours != counted.theirs}
        if not pending:
            return list(verdicts.values())
        fence()
        again = _read_both(lane, table, columns, list(pending))
        for digest, counted in again.items():
            stable[digest] = stable[digest] + 1 if counted == pending[digest] else 0
            if stable[digest] >= _STABLE_READINGS:
                verdicts[digest] = _difference(counted)
        pending = {digest: counted for digest, counted in again.items() if stable[digest] < _STABLE_READINGS}
    raise Undecided(
        "rows_keep_changing",
        f"{table.name}: {len(pending)} suspected rows kept changing over {_MAX_READINGS} readings.",
        "Run again at a quieter time.",
    )


@dataclass(frozen=True)
class _Counted:
    """One row value and its copies on each side."""

    row: Row | None
    ours: int
    theirs: int


def _difference(counted: _Counted) -> Difference:
    row = t.cast(Row, counted.row)
    return Difference(
        kind=MISSING if counted.ours > counted.theirs else EXTRA,
        key=row,
        source=row if counted.ours else None,
        target=row if counted.theirs else None,
        source_copies=counted.ours,
        target_copies=counted.theirs,
    )


def _sums(session: Session, table: Table, columns: tuple[Column, ...], buckets: int, where: str | None) -> dict[int, BucketSum]:
    # 60 bits of each row's digest: their sum over 2**60 rows still fits into the server's DECIMAL.
    digest = f"CAST(CONV(LEFT(SHA2({fingerprint.joined(columns)}, 256), 15), 16, 10) AS UNSIGNED)"
    found = session.rows(
        f"SELECT {_bucket(columns, buckets)}, COUNT(*), SUM({digest}) FROM {table.name.sql}{_where([where])}"
        + (" GROUP BY 1" if buckets > 1 else "")
    )
    return {int(bucket or 0): BucketSum(int(rows or 0), total or b"") for bucket, rows, total in found if rows != b"0"}


def _copies(
    session: Session, table: Table, columns: tuple[Column, ...], buckets: int, chosen: t.Sequence[int], where: str | None
) -> Counter[bytes]:
    within = f"{_bucket(columns, buckets)} IN ({', '.join(map(str, chosen))})" if buckets > 1 else None
    found = session.rows(
        f"SELECT {_digest(columns)}, COUNT(*) FROM {table.name.sql}{_where([where, within])} GROUP BY 1"
    )
    return Counter({digest: int(copies or 0) for digest, copies in found if digest is not None})


def _read_both(lane: Lane, table: Table, columns: tuple[Column, ...], digests: t.Sequence[bytes]) -> dict[bytes, _Counted]:
    ours, theirs = lane.both(lambda session: _read(session, table, columns, digests))
    return {
        digest: _Counted(next(iter(ours[digest] or theirs[digest]), None), ours[digest].total(), theirs[digest].total())
        for digest in digests
    }


class _Rows(Counter[Row]):
    """Row values and their copies."""

    def total(self) -> int:
        """All copies (Counter.total() is not there before Python 3.10)."""
        return sum(self.values())


def _read(session: Session, table: Table, columns: tuple[Column, ...], digests: t.Sequence[bytes]) -> dict[bytes, _Rows]:
    """The rows behind digests, all columns, each row counted."""
    wanted = ", ".join(sqltext.hex_literal(digest) for digest in digests)
    shown = ", ".join(codec.read_expression(column) for column in table.stored_columns)
    found: dict[bytes, _Rows] = {digest: _Rows() for digest in digests}
    for row in session.rows(f"SELECT {_digest(columns)}, {shown} FROM {table.name.sql} WHERE {_digest(columns)} IN ({wanted})"):
        if row[0] is not None:
            found[row[0]][row[1:]] += 1
    return found


def _digest(columns: tuple[Column, ...]) -> str:
    return f"UNHEX(LEFT(SHA2({fingerprint.joined(columns)}, 256), 32))"


def _bucket(columns: tuple[Column, ...], buckets: int) -> str:
    return f"CRC32({fingerprint.joined(columns)}) MOD {buckets}" if buckets > 1 else "0"


def _where(conditions: t.Sequence[str | None]) -> str:
    given = [f"({condition})" for condition in conditions if condition]
    return f" WHERE {sqltext.conjunction(given)}" if given else ""
