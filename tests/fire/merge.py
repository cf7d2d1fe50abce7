# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What docs/split-brain.md promises of extra_rows and conflict, worked out from raw rows, and whether it came so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .hands import Image, only
from .tables import AGE, Table
from .values import quoted

Row = tuple[Any, ...]
Rows = dict[Row, Row]
Hold = Callable[..., None]

#: Tables that every scenario of the kind may have besides its own.
FIXED_KEYS = {"zage": ("id",), "zparent": ("id",), "zchild": ("id",)}


@dataclass
class Wanted:
    """What each side must have after the run, and after its undo, by key; and how many rows went which way."""

    a: Rows = field(default_factory=dict)
    b: Rows = field(default_factory=dict)
    undone_a: Rows = field(default_factory=dict)
    undone_b: Rows = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def put(self, key: Row, a: Row | None, b: Row | None, undone_a: Row | None, undone_b: Row | None, how: str = "") -> None:
        """Note what becomes of a row; None: it goes."""
        for rows, row in ((self.a, a), (self.b, b), (self.undone_a, undone_a), (self.undone_b, undone_b)):
            if row is not None:
                rows[key] = row
        if how:
            self.counts[how] += 1


def wanted(ours: Rows, theirs: Rows, repair: Any, age: Callable[[Row], Any]) -> Wanted:
    """The table of docs/split-brain.md. ``age``: what tells old from new, None where it says nothing."""
    made = Wanted()
    for key in ours.keys() | theirs.keys():
        a, b = ours.get(key), theirs.get(key)
        if a == b:
            made.put(key, a, b, a, b)
        elif b is None:
            made.put(key, a, a, None, None, "inserted")
        elif a is None and repair.extra_rows == "delete":
            made.put(key, None, None, b, b, "deleted")
        elif a is None and repair.extra_rows == "adopt":
            made.put(key, b, b, None, None, "adopted")
        elif a is None or repair.conflict == "skip":
            made.put(key, a, b, a, b, "skipped")
        elif repair.conflict == "newest" and None not in (age(a), age(b)) and age(b) > age(a):
            made.put(key, b, b, a, a, "adopted")
        else:
            made.put(key, a, a, b, b, "updated")
    return made


def wanted_of(ours: list[Row], theirs: list[Row], key: list[int], age: int, repair: Any) -> Wanted:
    """The same of lists of rows, by the places of the key's columns and of the one that tells old from new."""
    return wanted(_by_key(ours, key), _by_key(theirs, key), repair, lambda row: _age(row[age]))


class Judge:
    """Judges the tables of one run."""

    def __init__(self, hold: Hold, repair: Any, columns: dict[str, list[str]], tables: dict[str, Table]) -> None:
        self._hold, self._repair, self._columns, self._tables = hold, repair, columns, tables
        self.merged: dict[str, Wanted] = {}

    def plan(self, a0: Image, b0: Image) -> None:
        """Work out what is wanted of the tables whose keys are equal only if their bytes are."""
        for name in a0.keys() & b0.keys():
            places = self._key_places(name)
            if places:
                ours, theirs = (_by_key(rows, places) for rows in (a0[name], b0[name]))
                self.merged[name] = wanted(ours, theirs, self._repair, self._age_of(name))

    def table(self, name: str, failed: bool, before: tuple[Image, Image], after: tuple[Image, Image]) -> None:
        """A table is merged as documented; where some of its rows are in error, these stayed as they were."""
        (a0, b0), (a1, b1) = ((a[name], b[name]) for a, b in (before, after))
        strange = only(list({*a1, *b1}), [*a0, *b0])
        self._hold(not strange, f"{name}: no row but those that one of the sides had", strange)
        want = self.merged.get(name)
        if want is None:
            if self._repair.conflict != "newest":
                self._hold(not only(a0, a1), f"{name}: the source loses nothing", only(a0, a1))
            if self._repair.extra_rows != "delete" and self._repair.conflict == "skip":
                self._hold(not only(b0, b1), f"{name}: the target loses nothing", only(b0, b1))
            return
        places = self._key_places(name)
        ours, theirs, ours_now, theirs_now = (_by_key(rows, places) for rows in (a0, b0, a1, b1))
        for key in ours.keys() | theirs.keys():
            now, then = (ours_now.get(key), theirs_now.get(key)), (ours.get(key), theirs.get(key))
            right = (want.a.get(key), want.b.get(key))
            self._hold(now == right or (failed and now == then), f"{name}: {key} is merged as documented", (now, right, then))

    def must_be_repaired(self, name: str) -> bool:
        """Whether nothing about a table is a reason to refuse it, or a row of it."""
        table = self._tables.get(name)
        if table is None:
            return name == "zage"
        triggers = any(trait.startswith("trigger") for trait in table.traits)
        has_age = any(column.name == AGE for column in table.columns) or self._repair.conflict != "newest"
        return table.repairable and bool(table.key) and has_age and not triggers and name in self.merged

    def counts(self) -> Counter[str]:
        """How many rows go which way in all the tables."""
        return sum((want.counts for want in self.merged.values()), Counter())

    def undone(self, name: str, after: tuple[Image, Image]) -> None:
        """An undo puts the old row of the side that was changed back, on both."""
        want = self.merged.get(name)
        if want is not None:
            for rows, side, kept in ((want.undone_a, "source", after[0]), (want.undone_b, "target", after[1])):
                new, gone = only(kept[name], list(rows.values())), only(list(rows.values()), kept[name])
                self._hold(not new and not gone, f"{name}: undone on the {side}", (new, gone))

    def _key_places(self, name: str) -> list[int]:
        """Where the key's columns are in a row; empty: there is none that raw bytes tell apart."""
        table = self._tables.get(name)
        names: Iterable[str] = FIXED_KEYS.get(name, ())
        if table is not None:
            kinds = [column.kind.in_key for column in table.columns if column.name in table.key]
            names = table.key if table.exact_key and set(kinds) == {"whole"} else ()
        return [_place(self._columns[name], each) for each in names]

    def _age_of(self, name: str) -> Callable[[Row], Any]:
        if not any(each == quoted(AGE) for each in self._columns[name]):
            return lambda row: None
        place = _place(self._columns[name], AGE)
        return lambda row: _age(row[place])


def _age(value: bytes | None) -> Any:
    if value is None or value.startswith(b"0000-00-00"):
        return None
    return value if b"-" in value[1:] else Decimal(value.decode())


def _place(expressions: Sequence[str], name: str) -> int:
    return next(place for place, each in enumerate(expressions) if each.split(" * 1e0")[0].split(" + 0")[0] == quoted(name))


def _by_key(rows: list[Row], places: list[int]) -> Rows:
    return {tuple(row[place] for place in places): row for row in rows}
