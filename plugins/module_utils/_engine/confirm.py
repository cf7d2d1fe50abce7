# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From suspicion to verdict: a row is drift only if it differs with replication drained (law 3)."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import codec
from .errors import Undecided
from .keyspace import KeySpace
from .schema import Column, Table
from .session import Row, Session

# Keys looked up in one statement: enough to make round trips cheap, few enough for the optimizer.
_KEYS_PER_QUERY = 500

# Bytes of the rows read by one statement, about.
_QUERY_BYTES = 4 << 20

# A row counts as drift when its two copies stay as they are over this many drained readings in a row.
_STABLE_READINGS = 2

# Readings after which a row that keeps changing is given up as undecided.
_MAX_READINGS = 20

MISSING = "missing"
EXTRA = "extra"
DIFFERENT = "different"


@dataclass(frozen=True)
class Difference:
    """One row that differs with replication drained.

    ``kind``: missing (the source has it alone), extra (the target alone) or different. ``key``
    holds the exact bytes of the key in key order, the source's where it has the row. ``source``
    and ``target`` are the values of the table's stored columns. In a table without a key, ``key`` is
    the whole row, the copies say how many equal rows each side has, and ``digest`` is the row's fingerprint over all
    columns (empty if some were left out of the comparison).
    """

    kind: str
    key: Row
    source: Row | None
    target: Row | None
    source_copies: int = 1
    target_copies: int = 1
    digest: bytes = b""

    @property
    def rows(self) -> int:
        """How many rows of the target are concerned."""
        return max(1, abs(self.source_copies - self.target_copies))

    @property
    def swapped(self) -> Difference:
        """The same row with the servers' parts swapped, for where the source is to get what the target has."""
        kind = {MISSING: EXTRA, EXTRA: MISSING}.get(self.kind, self.kind)
        copies = self.target_copies, self.source_copies
        return Difference(kind, self.key, self.target, self.source, *copies, self.digest)


@dataclass(frozen=True)
class Compared:
    """What makes two copies of a row equal: these columns, FLOAT and DOUBLE rounded to ``float_precision`` decimals."""

    columns: frozenset[str]
    float_precision: int | None = None

    def differ(self, table: Table, ours: Row, theirs: Row) -> bool:
        """Whether two copies of a row differ."""
        return any(
            column.name in self.columns and mine != other and not self._is_rounded_alike(column, mine, other)
            for column, mine, other in zip(table.stored_columns, ours, theirs)
        )

    def _is_rounded_alike(self, column: Column, mine: bytes | None, other: bytes | None) -> bool:
        if self.float_precision is None or mine is None or other is None or codec.kind(column) is not codec.Kind.FLOAT:
            return False
        return round(float(mine), self.float_precision) == round(float(other), self.float_precision)


# Both copies of a row at one reading: the source's, the target's.
_Copies = tuple[t.Optional[Row], t.Optional[Row]]


def read_rows(session: Session, table: Table, keys: t.Sequence[Row], lock: str = "") -> dict[Row, Row]:
    """Read rows by key: requested key → values of all stored columns; absent rows are not in the dict.

    Keys are equal as the key's collation says, so the row found for ``'a'`` may hold ``'A'``.
    ``lock`` is appended to the query. Raises ServerError: an unreadable row is never an absent one.
    """
    if table.key is None:
        raise ValueError(f"{table.name} has no key to read rows by")
    space = KeySpace(table, table.key)
    columns = ", ".join(codec.read_expression(column) for column in table.stored_columns)

    key_of, has_spellings = space.key_of, space.has_spellings

    def query(wanted: t.Sequence[Row]) -> dict[Row, Row]:
        rows = session.rows(f"SELECT {columns} FROM {space.rows_in_order} WHERE {space.any_of(wanted)} {lock}")
        return {key_of(row): row for row in rows}

    found: dict[Row, Row] = {}
    at_once = table.rows_within(_QUERY_BYTES, _KEYS_PER_QUERY)
    for start in range(0, len(keys), at_once):
        wanted = keys[start : start + at_once]
        rows = query(wanted)
        if not has_spellings:
            found.update(rows)  # only these keys were asked for, and they are spelt as they were
            continue
        found.update((key, rows[key]) for key in wanted if key in rows)
        unanswered = [key for key in wanted if key not in rows]
        # A row may answer to a key spelt otherwise; if any does, find out which, one key at a time.
        if unanswered and query(unanswered):
            for key in unanswered:
                for row in query([key]).values():
                    found[key] = row
    return found


def confirm(
    source: Session,
    target: Session,
    table: Table,
    keys: t.Sequence[Row],
    fence: t.Callable[[], None],
    compared: Compared | None = None,
) -> list[Difference]:
    """Read the suspected rows again on both servers until each is equal or stably different.

    ``fence`` drains replication in both directions. Both copies are read, replication is drained,
    both are read again: had either copy not yet arrived at the other side, one of them would
    have changed in between. ``compared``: what counts; None: every byte. Raises Undecided when
    replication cannot be drained or rows keep changing, and ServerError.
    """
    if not keys:
        return []
    space = KeySpace(table, t.cast(t.Any, table.key))
    verdicts: dict[Row, Difference] = {}
    pending = _read_both(source, target, table, keys)
    stable = dict.fromkeys(pending, 0)
    for _reading in range(_MAX_READINGS):
        pending = {key: copies for key, copies in pending.items() if _differ(table, copies, compared)}
        if not pending:
            return list(verdicts.values())
        fence()
        again = _read_both(source, target, table, list(pending))
        for key, copies in again.items():
            # What differed and is as it was differs.
            stable[key] = stable[key] + 1 if copies == pending[key] else 0
            if stable[key] >= _STABLE_READINGS:
                difference = _difference(space, copies)
                verdicts[difference.key] = difference
        pending = {key: copies for key, copies in again.items() if stable[key] < _STABLE_READINGS}
    raise Undecided(
        "rows_keep_changing",
        f"{table.name}: {len(pending)} suspected rows kept changing over {_MAX_READINGS} readings.",
        "Run again at a quieter time.",
    )


def _read_both(source: Session, target: Session, table: Table, keys: t.Sequence[Row]) -> dict[Row, _Copies]:
    ours = read_rows(source, table, keys)
    theirs = read_rows(target, table, keys)
    our, their = ours.get, theirs.get
    return {key: (our(key), their(key)) for key in keys}


def _differ(table: Table, copies: _Copies, compared: Compared | None) -> bool:
    ours, theirs = copies
    if ours is None or theirs is None or compared is None:
        return ours != theirs
    return compared.differ(table, ours, theirs)


def _difference(space: KeySpace, copies: _Copies) -> Difference:
    ours, theirs = copies
    if ours is None:
        return Difference(EXTRA, space.key_of(t.cast(Row, theirs)), None, theirs)
    return Difference(MISSING if theirs is None else DIFFERENT, space.key_of(ours), ours, theirs)
