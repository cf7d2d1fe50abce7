# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows of the target a REPLACE would take away, because they hold one of the new row's other unique values.

REPLACE deletes them (https://dev.mysql.com/doc/refman/8.4/en/replace.html). A row that the plan puts right itself may
go, its images are journaled; any other row must not. One that the plan cannot put right, because a row that stays is in
its way, must not either: it would be gone for good, and an undo could not bring it back.

Those that may go are deleted before the REPLACE. Left to it, a server makes of such a row the new one and logs the two
as one change; a replica below that has no such row any more, or still the right one, passes over that change, and has
lost the row that was deleted for it (measured on MariaDB and MySQL).
"""

from __future__ import annotations

import itertools
import typing as t
from collections import defaultdict

from . import codec, sqltext
from .confirm import Difference, read_rows
from .errors import TableProblem
from .keyspace import KeySpace
from .schema import Column, Key, KeyPart, Table
from .session import Row, Session
from .spool import Keys, in_batches

# Branches of one UNION; each is a look-up by key.
_BRANCHES = 100

# Rows of a plan looked at together before the first write.
_ROWS_AT_ONCE = 500

#: Other rows in the way: place in the given rows → the exact keys of these on the target.
Holders = t.Mapping[int, t.Sequence[Row]]


class InTheWay(t.NamedTuple):
    """Rows of the target that a REPLACE would take away: those that must not go, and those that may.

    ``conditions``: place in the given rows → condition for those that may, as long as they are in its way.
    """

    staying: Holders
    leaving: Holders
    conditions: t.Mapping[int, str]


class RowSpace(t.Protocol):
    """How the rows of a table are told apart."""

    @property
    def read_list(self) -> str:
        """SELECT items that give a row's key."""

    def key_of(self, row: Row) -> Row:
        """The key of a row of all stored columns."""

    def any_of(self, keys: t.Sequence[Row]) -> str:
        """Condition for the rows with one of these keys."""


def going(table: Table, changes: t.Iterable[Difference]) -> t.Iterator[Row]:
    """The keys of the target's rows of a plan."""
    key_of = KeySpace(table, t.cast(Key, table.key)).key_of
    return (key_of(change.target) for change in changes if change.target)


class Collisions:
    """Looks unique values up on the target, for one table and its whole plan."""

    def __init__(
        self,
        source: Session,
        target: Session,
        table: Table,
        planned: t.Iterable[Row],
        space: RowSpace | None = None,
        takes_rows_away: bool = True,
    ) -> None:
        """``planned``: keys of the target's rows that may be taken away, read only where there is anything to look up;
        ``space``: how rows are told apart, by key unless given otherwise.

        ``takes_rows_away``: whether what is done with the answers may push out other rows. Then a unique value that cannot
        be known from the row is a danger: raises TableProblem ``functional_unique_key``."""
        if table.functional_keys and takes_rows_away:
            raise TableProblem(
                "functional_unique_key",
                f"{table.name} has unique keys over expressions or periods ({', '.join(table.functional_keys)}); whether a"
                " repaired row would push out another one on the target cannot be looked up.",
                "Leave the table out with ignore_tables.",
            )
        self._source = source
        self._target = target
        self._table = table
        self._space = space or KeySpace(table, t.cast(Key, table.key))
        self._columns = {column.name: column for column in table.columns}
        self._places = {column.name: place for place, column in enumerate(table.stored_columns)}
        # Two rows may have different keys that begin alike, where the table's key holds only the beginning.
        self.keys = tuple(key for key in table.unique_keys if key != table.key or key.has_prefix)
        self._planned = Keys(planned if self.keys else ())
        # Of these, the rows that cannot be put right themselves; see keep_blocked().
        self._blocked: set[Row] = set()

    def keep_blocked(self, changes: t.Collection[Difference], refused: t.Callable[[t.Sequence[Row]], t.Container[Row]]) -> None:
        """Before the first write: take from the plan's rows that may go those whose own repair a row that stays is in the way of,
        those whose source's row is ``refused`` (told by its key), and those that only another one of these made room for.

        Raises ServerError.
        """
        key_of = KeySpace(self._table, t.cast(Key, self._table.key)).key_of
        for some in in_batches((each for each in changes if each.source) if self.keys else (), _ROWS_AT_ONCE):
            rows = [t.cast(Row, each.source) for each in some]
            keys = [key_of(row) for row in rows]
            never = refused(keys)
            in_the_way = {*self.find(rows), *(place for place, key in enumerate(keys) if key in never)}
            self._keep([theirs for theirs in (some[place].target for place in sorted(in_the_way)) if theirs])

    def _keep(self, rows: t.Iterable[Row]) -> None:
        """Keep rows of the target, and those that only these made room for."""
        key_of = KeySpace(self._table, t.cast(Key, self._table.key)).key_of
        # Who would take them away has one of their unique values on the source.
        takers = Collisions(self._target, self._source, self._table, (), self._space, takes_rows_away=False)
        while new := {key_of(row): row for row in rows if key_of(row) not in self._blocked}:
            self._blocked.update(new)
            found = itertools.chain.from_iterable(takers.find(list(new.values())).values())
            rows = read_rows(self._target, self._table, list(dict.fromkeys(found))).values()

    def find(self, rows: t.Sequence[Row]) -> Holders:
        """The rows of the target that must not go and that a REPLACE of ``rows`` would delete. Raises ServerError."""
        return self.find_all(rows).staying

    def find_all(self, rows: t.Sequence[Row]) -> InTheWay:
        """All other rows of the target that a REPLACE of ``rows`` would delete. Raises ServerError."""
        staying: dict[int, list[Row]] = defaultdict(list)
        leaving: dict[int, list[Row]] = defaultdict(list)
        conditions: dict[int, list[str]] = defaultdict(list)
        for key in self.keys if rows else ():
            for place, holder, may_go, condition in self._find(key, rows):
                (leaving if may_go else staying)[place].append(holder)
                if may_go:
                    conditions[place].append(f"(({self._space.any_of([holder])}) AND {condition})")
        return InTheWay(staying, leaving, {place: " OR ".join(some) for place, some in conditions.items()})

    def _find(self, key: Key, rows: t.Sequence[Row]) -> t.Iterator[tuple[int, Row, bool, str]]:
        parts = [(part, self._columns[part.column]) for part in key.parts]
        # NULLs are never equal.
        unique = [(place, values) for place, values in enumerate(self._unique_values(parts, rows)) if None not in values]
        if self._is_free(parts, [values for _place, values in unique]):
            return
        wanted = []
        for place, values in unique:
            same = [_equal(part, column, value) for (part, column), value in zip(parts, values)]
            # Its own copy on the target is in no one's way.
            own = self._space.any_of([self._space.key_of(rows[place])])
            wanted.append((place, sqltext.conjunction([*same, f"NOT ({own})"])))
        for start in range(0, len(wanted), _BRANCHES):
            some = wanted[start : start + _BRANCHES]
            holders = self._holders(" OR ".join(f"({condition})" for _place, condition in some))
            conditions = dict(some)
            for place, holder in self._attribute(some, list(holders)) if holders else ():
                # One that was not there a moment ago stays.
                yield place, holder, holders.get(holder, False), conditions[place]

    def _is_free(self, parts: t.Sequence[tuple[KeyPart, Column]], values: t.Sequence[Row]) -> bool:
        """Whether no row at all has any of these values, as in a table that is filled again; False: some may have."""
        if len(parts) != 1 or parts[0][0].prefix or not values:
            return not values
        ((_part, column),) = parts
        literals = ", ".join(codec.literals(column, [value for (value,) in values]))
        return not self._target.rows(f"SELECT 1 FROM {self._table.name.sql} WHERE {column.sql} IN ({literals}) LIMIT 1")

    def _holders(self, condition: str) -> dict[Row, bool]:
        """Keys of rows, and whether they may go."""
        holders = self._target.rows(f"SELECT {self._space.read_list} FROM {self._table.name.sql} WHERE {condition}")
        planned = self._planned.of(holders) if holders else ()
        return {holder: holder in planned and holder not in self._blocked for holder in holders}

    def _attribute(self, wanted: t.Sequence[tuple[int, str]], holders: t.Sequence[Row]) -> t.Iterator[tuple[int, Row]]:
        """Tell which row each holder is in the way of."""
        among = self._space.any_of(holders)
        branches = (
            f"SELECT {place}, {self._space.read_list} FROM {self._table.name.sql} WHERE ({among}) AND {condition}"
            for place, condition in wanted
        )
        for found in self._target.rows(" UNION ALL ".join(branches)):
            yield int(found[0] or b""), found[1:]

    def _unique_values(self, parts: t.Sequence[tuple[KeyPart, Column]], rows: t.Sequence[Row]) -> t.Iterator[Row]:
        virtual = [column for _part, column in parts if not column.is_stored]
        computed = self._compute(virtual, rows) if virtual else {}
        for row in rows:
            extra = dict(zip((column.name for column in virtual), computed.get(self._space.key_of(row), ())))
            # A row that is gone meanwhile has no virtual values; it will not be there under the lock either.
            yield tuple(
                extra.get(column.name) if not column.is_stored else row[self._places[column.name]] for _part, column in parts
            )

    def _compute(self, virtual: t.Sequence[Column], rows: t.Sequence[Row]) -> dict[Row, Row]:
        items = ", ".join([self._space.read_list, *(codec.read_expression(column) for column in virtual)])
        found = self._source.rows(
            f"SELECT {items} FROM {self._table.name.sql} WHERE {self._space.any_of([self._space.key_of(row) for row in rows])}"
        )
        return {row[: -len(virtual)]: row[-len(virtual) :] for row in found}


def _equal(part: KeyPart, column: Column, value: bytes | None) -> str:
    if not part.prefix:
        return codec.equals(column, value)
    # MariaDB 11.8 would make a range of LEFT(column, n) = value, which misses rows in sjis; nobody makes one of a CONCAT.
    return f"CONCAT(LEFT({column.sql}, {part.prefix}), '') = LEFT({codec.literal(column, value)}, {part.prefix})"
