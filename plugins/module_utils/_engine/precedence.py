# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows that wait for others can go in: one after another, or those of a circle together."""

from __future__ import annotations

import typing as t
from collections import defaultdict
from dataclasses import dataclass

from .schema import TableName
from .session import Row


class RowId(t.NamedTuple):
    """One row of one table, by its exact key."""

    table: TableName
    key: Row


class Need(t.NamedTuple):
    """What a row waits for: that any one of ``rows`` has gone in. None of them: it waits in vain.

    ``reason``, ``why``: code and words, should nothing come of it. ``may_come_together``: it suffices that the other one goes
    in at the same instant. ``unless_left``: it suffices too that one of these turns out not to go in, ever.
    """

    rows: tuple[RowId, ...]
    reason: str
    why: str
    may_come_together: bool = False
    unless_left: tuple[RowId, ...] = ()


#: Rows that wait, with all that each waits for. A row that is named in a need and does not wait itself goes in by itself.
Waiting = t.Mapping[RowId, t.Sequence[Need]]

# Of rows that refer to one another.
_TOO_MANY = "waits, as others for it, for more rows than go in together (batch_rows)"


@dataclass(frozen=True)
class Wave:
    """Rows that may go in once all earlier waves have, in any order; those of a circle at the same instant."""

    rows: tuple[RowId, ...]
    is_circle: bool = False


@dataclass(frozen=True)
class Settled:
    """``waves``: in which order rows go in that wait; ``left``: rows that never will, with the first need that is not met."""

    waves: tuple[Wave, ...]
    left: t.Mapping[RowId, Need]


def settle(waiting: Waiting, most: int) -> Settled:
    """Let in whatever can go in. ``most``: rows of a circle; larger ones are left."""
    room = _WaitingRoom(waiting)
    room.let_in(waiting)
    while (circles := room.circles(most)) or room.excuse():
        for circle in circles:
            room.enter(circle)
    left = {row: next(room.unmet(row), waiting[row][0]) for row in waiting if row in room.rows}
    left.update({row: left[row]._replace(why=_TOO_MANY) for row in room.closed()})
    return Settled(tuple(room.waves), left)


class _WaitingRoom:
    """Rows that have not gone in yet."""

    def __init__(self, waiting: Waiting) -> None:
        self._needs = waiting
        #: Those that wait still.
        self.rows = set(waiting)
        #: Those that have gone in.
        self.waves: list[Wave] = []
        self._awaited_by: dict[RowId, list[RowId]] = defaultdict(list)
        for row, needs in waiting.items():
            for need in needs:
                for other in need.rows:
                    self._awaited_by[other].append(row)
        #: Those that others rely on never to go in.
        self._stuck: set[RowId] = set()

    def unmet(self, row: RowId) -> t.Iterator[Need]:
        """What the row still waits for."""
        return (need for need in self._needs[row] if self.rows.issuperset(need.rows) and self._stuck.isdisjoint(need.unless_left))

    def let_in(self, rows: t.Iterable[RowId]) -> None:
        """Let in those of these rows that need not wait any more, and all that waited for no others."""
        asked = rows
        while ready := [row for row in dict.fromkeys(asked) if self._may_enter(row)]:
            self.rows.difference_update(ready)
            self.waves.append(Wave(tuple(ready)))
            asked = [other for row in ready for other in self._awaited_by.get(row, ())]

    def _may_enter(self, row: RowId) -> bool:
        return row in self.rows and row not in self._stuck and not any(self.unmet(row))

    def excuse(self) -> bool:
        """Where nobody can go in any more: those that are left never will, and others may rely on it. Whether any do."""
        relied_on = {each for row in self.rows for need in self.unmet(row) for each in need.unless_left} & self.rows
        self._stuck |= relied_on
        if relied_on:
            self.let_in(self._needs)
        return bool(relied_on)

    def enter(self, circle: t.Sequence[RowId]) -> None:
        """Let these in, whatever they wait for, and all that waited for no others."""
        # Some may have gone in behind an earlier circle: any one of several was enough for them.
        rest = tuple(row for row in circle if row in self.rows)
        if rest:
            self.rows.difference_update(rest)
            self.waves.append(Wave(rest, is_circle=True))
            self.let_in(other for row in rest for other in self._awaited_by.get(row, ()))

    def circles(self, most: int) -> list[list[RowId]]:
        """Groups of rows that wait for nothing but one another, or for an earlier group."""
        others = self.closed()
        seen: dict[RowId, RowId] = {}
        taken: set[RowId] = set()
        found = []
        for start in others:
            row = start
            while row not in seen:
                seen[row] = start
                row = others[row][0]
            # The walk has come back to itself: in whatever group of the kind it is, it leads round a circle there.
            group = _reached(others, row, most, taken) if seen[row] == start else []
            taken.update(group)
            found += [group] if group else []
        return found

    def closed(self) -> dict[RowId, list[RowId]]:
        """Rows with others that they may go in together with, as long as each has all it waits for among these rows."""
        others: dict[RowId, list[RowId]] = {}
        inside = {row for row in self.rows - self._stuck if all(need.may_come_together for need in self.unmet(row))}
        asked = list(inside)
        while asked:
            row = asked.pop()
            if row not in inside:
                continue
            chosen = [min((each for each in need.rows if each in inside), key=_order, default=None) for need in self.unmet(row)]
            if None in chosen:
                inside.remove(row)
                others.pop(row, None)
                asked += self._awaited_by[row]
            else:
                others[row] = t.cast("list[RowId]", chosen)
        return {row: others[row] for row in sorted(inside, key=_order)}


def _order(row: RowId) -> tuple[str, str, Row]:
    """Any, so that a run does what another one has told."""
    return row.table.database, row.table.table, row.key


def _reached(others: t.Mapping[RowId, t.Sequence[RowId]], start: RowId, most: int, taken: t.Container[RowId]) -> list[RowId]:
    """All rows that one leads to; none if they are too many. Those ``taken`` go in before."""
    group = {start: None} if start not in taken else {}
    asked = list(group)
    while asked and len(group) <= most:
        for other in others[asked.pop()]:
            if other not in group and other not in taken:
                group[other] = None
                asked.append(other)
    return sorted(group, key=_order) if len(group) <= most else []
