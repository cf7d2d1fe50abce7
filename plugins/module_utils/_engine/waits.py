# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each row that the source is to get waits for: parents, unique values, and rows that refer to the one it replaces.

It is asked before any is written, of all rows of all plans, by check mode as by the run that writes them: so both know the same
order, and the same rows that will be left. Nothing is locked or written here.
"""

from __future__ import annotations

import itertools
import typing as t
from operator import itemgetter

from .collisions import Collisions
from .confirm import Difference
from .constraints import breaking_on_source
from .keyspace import KeySpace
from .precedence import Need, RowId, Settled, settle
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

# That wait in vain.
_LACKS_PARENT, _HAS_CHILDREN, _WOULD_CARRY_ON, _SHARES_VALUE, _BREAKS_CHECK = (
    Need((), *why) for why in (LACKS_PARENT, HAS_CHILDREN, WOULD_CARRY_ON, SHARES_VALUE, BREAKS_CHECK)
)
_PLACE = itemgetter(0)


def settle_gifts(source: Session, target: Session, gifts: t.Sequence[Gift], batch_rows: int) -> Settled:
    """In which order the source can get rows, and which of them it cannot get. ``batch_rows``: rows of one transaction.

    Takes about a kilobyte of memory for each row that waits for anything. Raises ServerError.
    """
    return settle(_Waits(source, target, {gift.table.name: gift for gift in gifts}).all(), batch_rows)


class _Waits:
    """Looks up what the rows of all tables wait for."""

    def __init__(self, source: Session, target: Session, gifts: t.Mapping[TableName, Gift]) -> None:
        self._source = source
        self._target = target
        self._gifts = gifts
        self._parents = Parents(source, target, gifts)
        self._references_to: dict[TableName, tuple[Reference, ...]] = {}

    def all(self) -> dict[RowId, tuple[Need, ...]]:
        """Every row that waits for anything, in the order of the plans, with all that it waits for."""
        waiting: dict[RowId, tuple[Need, ...]] = {}
        for name, gift in self._gifts.items():
            # Virtual values are those of the target's rows, which the source is to get.
            collisions = Collisions(self._target, self._source, gift.table, (), takes_rows_away=False)
            for some in in_batches(gift.changes, _ROWS_AT_ONCE):
                for place, needs in itertools.groupby(sorted(self._of(gift, some, collisions), key=_PLACE), key=_PLACE):
                    waiting[RowId(name, some[place].key)] = tuple(need for _place, need in needs)
        return waiting

    def _of(self, gift: Gift, changes: t.Sequence[Difference], collisions: Collisions) -> t.Iterator[tuple[int, Need]]:
        table, rows = gift.table, [t.cast(Row, change.target) for change in changes]
        key_of = KeySpace(table, t.cast(Key, table.key)).key_of
        illegal = breaking_on_source(self._source, self._target, table, [key_of(row) for row in rows])
        yield from ((place, _BREAKS_CHECK) for place, row in enumerate(rows) if key_of(row) in illegal)
        for place, holders in collisions.find(rows).items():
            yield from ((place, self._gone(table.name, holder, _SHARES_VALUE)) for holder in holders)
        for place, parents in self._parents.lacking(table, rows).items():
            # Of rows that go in together, we must see ourselves that all they refer to is there.
            together = not changes[place].source and self._parents.sees_all(table)
            for heirs, leaving in parents:
                if not changes[place].source and RowId(table.name, changes[place].key) in heirs:
                    continue  # a new row may refer to itself
                is_hopeless = not (heirs or leaving)
                yield place, _LACKS_PARENT if is_hopeless else Need(heirs, *LACKS_PARENT, together, leaving)
        for place, change in enumerate(changes):
            yield from ((place, need) for need in (self._of_children(table, change) if change.source else ()))

    def _gone(self, table: TableName, key: Row, never: Need) -> Need:
        """That a row of the source gets other values; ``never``: should it not."""
        gift = self._gifts.get(table)
        return never._replace(rows=(RowId(table, key),)) if gift and gift.moving.of([key]) else never

    def _of_children(self, table: Table, change: Difference) -> t.Iterator[Need]:
        """The rows that refer to the old values: each must have gone elsewhere."""
        old, new = t.cast(Row, change.source), t.cast(Row, change.target)
        if table.name not in self._references_to:
            self._references_to[table.name] = references_to(self._source, table.name)
        for reference in self._references_to[table.name]:
            condition = reference.to_children(table, old) if reference.moves(table, old, new) else ""
            if condition:
                yield from self._children(reference, condition, _WOULD_CARRY_ON if reference.carries_on else _HAS_CHILDREN)

    def _children(self, reference: Reference, condition: str, never: Need) -> t.Iterator[Need]:
        """For each row of the source that meets the condition: that it goes, where the target's copy does not meet it."""
        child, gift = reference.child, self._gifts.get(reference.child)
        if gift is None:
            if self._source.rows(f"SELECT 1 FROM {child.sql} WHERE {condition} LIMIT 1"):
                yield never
            return
        space = KeySpace(gift.table, t.cast(Key, gift.table.key))
        query = f"SELECT {space.read_list} FROM {child.sql} WHERE {condition}"
        keys = self._source.rows(f"{query} LIMIT {_MOST_CHILDREN + 1}")
        if len(keys) > _MOST_CHILDREN:
            yield never
            return
        staying = set(gift.ids(self._target.rows(f"{query} AND ({space.any_of(keys)})"))) if keys else set()
        for key in keys:
            yield never if RowId(child, key) in staying else self._gone(child, key, never)
