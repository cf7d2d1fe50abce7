# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each row that the source is to get waits for: parents, unique values, and rows that refer to the one it replaces.

adopt.py finds out by trying; here it is asked before, of all rows of a plan, and nothing is locked or written.
"""

from __future__ import annotations

import typing as t
from functools import cached_property
from operator import itemgetter

from .collisions import Collisions
from .confirm import Difference
from .constraints import breaking_on_source
from .keyspace import KeySpace
from .precedence import Need, RowId
from .references import Gift, Parents, Reference, references_to
from .schema import Key, Table, TableName
from .session import Row, Session
from .spool import in_batches

_ROWS_AT_ONCE = 500

# Rows that refer to one: more than these are not followed, it waits in vain.
_MOST_CHILDREN = 1000

# Why a row is left: as adopt.py tells it.
LACKS_PARENT = "foreign_key", "refers to a row that the source does not have"
HAS_CHILDREN = "foreign_key", "is referred to by rows of the source"
WOULD_CARRY_ON = "side_effects", "would change other rows of the source as well (a cascade, or a trigger)"
SHARES_VALUE = "unique_collision", "another row of the source has one of its unique values"
BREAKS_CHECK = "check_constraint", "breaks a CHECK constraint of its table"


class Waits:
    """Looks up what the rows of all tables wait for."""

    def __init__(self, source: Session, target: Session, gifts: t.Mapping[TableName, Gift]) -> None:
        self._source = source
        self._target = target
        self._gifts = gifts
        self._parents = Parents(source, target, gifts)

    def all(self) -> dict[RowId, list[Need]]:
        """Every row that waits for anything, in the order of the plans, with all that it waits for. Raises ServerError."""
        waiting: dict[RowId, list[Need]] = {}
        for name, gift in self._gifts.items():
            collisions = Collisions(self._source, self._source, gift.table, (), takes_rows_away=False)
            for some in in_batches(gift.changes, _ROWS_AT_ONCE):
                for place, need in sorted(self._of(gift.table, some, collisions), key=itemgetter(0)):
                    waiting.setdefault(RowId(name, some[place].key), []).append(need)
        return waiting

    def _of(self, table: Table, changes: t.Sequence[Difference], collisions: Collisions) -> t.Iterator[tuple[int, Need]]:
        rows = [t.cast(Row, change.target) for change in changes]
        key_of = KeySpace(table, t.cast(Key, table.key)).key_of
        illegal = breaking_on_source(self._source, self._target, table, [key_of(row) for row in rows])
        for place, row in enumerate(rows):
            if key_of(row) in illegal:
                yield place, Need(frozenset(), *BREAKS_CHECK)
        for place, holders in collisions.find(rows).items():
            for holder in holders:
                yield place, Need(self._moving(table.name, [holder]), *SHARES_VALUE)
        for place, parents in self._parents.lacking(table, rows).items():
            for candidates in parents:
                yield place, Need(candidates, *LACKS_PARENT, may_come_together=not changes[place].source)
        for place, change in enumerate(changes):
            yield from ((place, need) for need in (self._of_children(table, change) if change.source else ()))

    def _moving(self, table: TableName, keys: t.Sequence[Row]) -> frozenset[RowId]:
        """Those rows of the source that get other values."""
        gift = self._gifts.get(table)
        return frozenset(RowId(table, key) for key in gift.moving.of(keys)) if gift else frozenset()

    def _of_children(self, table: Table, change: Difference) -> t.Iterator[Need]:
        """The rows that refer to the old values: each must have gone elsewhere."""
        old, new = t.cast(Row, change.source), t.cast(Row, change.target)
        for reference in self._references_to(table.name):
            condition = reference.to_children(table, old) if reference.moves(table, old, new) else ""
            why = WOULD_CARRY_ON if reference.carries_on else HAS_CHILDREN
            for child in self._children(reference, condition) if condition else ():
                yield Need(child, *why)

    def _references_to(self, table: TableName) -> tuple[Reference, ...]:
        if table not in self._known:
            self._known[table] = references_to(self._source, table)
        return self._known[table]

    @cached_property
    def _known(self) -> dict[TableName, tuple[Reference, ...]]:
        return {}

    def _children(self, reference: Reference, condition: str) -> t.Iterator[frozenset[RowId]]:
        """For each row of the source that meets the condition: itself where its newer copy does not, else nothing."""
        child, gift = reference.child, self._gifts.get(reference.child)
        if gift is None:
            if self._source.rows(f"SELECT 1 FROM {child.sql} WHERE {condition} LIMIT 1"):
                yield frozenset()
            return
        space = KeySpace(gift.table, t.cast(Key, gift.table.key))
        query = f"SELECT {space.read_list} FROM {child.sql} WHERE {condition}"
        keys = self._source.rows(f"{query} LIMIT {_MOST_CHILDREN + 1}")
        staying = set(self._target.rows(f"{query} AND ({space.any_of(keys)})")) if 0 < len(keys) <= _MOST_CHILDREN else set(keys)
        for key in keys[:_MOST_CHILDREN]:
            yield frozenset() if key in staying else self._moving(child, [key])
