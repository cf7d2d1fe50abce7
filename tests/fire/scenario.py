# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A scenario as plain values, made from one integer: tables, their rows, drift, and the options of the run."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from . import drift, pieces, tables
from .stage import MERGE, PLAIN, ROW
from .tables import LOGGED, Step, Table
from .values import NAMES, Dice, quoted

#: Rows of a table that is taken one or two rows at a time: more pieces than this show nothing more.
_PIECES = 120


@dataclass(frozen=True)
class Plot:
    """One table, and what is done to it before the tool runs."""

    table: Table
    drift: tuple[Step, ...]


@dataclass(frozen=True)
class Scenario:
    """Everything that a run needs to be repeated. ``writers``: on which sides an application writes meanwhile."""

    seed: int
    flavor: str
    database: str
    database_options: str
    plots: tuple[Plot, ...]
    options: dict[str, Any]
    extra: tuple[Step, ...] = ()
    with_plan_file: bool = False
    as_root: bool = False
    writers: str = ""
    way: str = PLAIN

    def but(self, **changes: Any) -> Scenario:
        """A copy with other values."""
        return replace(self, **changes)

    def statements(self) -> list[Step]:
        """What builds the tables and their rows."""
        found: list[Step] = []
        for plot in self.plots:
            found += plot.table.create
            if plot.table.rows:
                found.append(Step(LOGGED, plot.table.insert(plot.table.rows)))
        return [*found, *self.extra]

    def describe(self) -> str:
        """For a person who wants to see it fail by hand."""
        lines = [f"-- seed {self.seed}, {self.flavor}, options {self.options}"]
        lines.append(f"-- plan_file {self.with_plan_file}, root {self.as_root}, writers {self.writers or 'none'}, {self.way}")
        lines.append(f"CREATE DATABASE {quoted(self.database)} {self.database_options};")
        lines += [f"/* {step.where} */ {step.sql};" for step in self.statements()]
        lines += [f"/* {step.where} */ {step.sql};" for plot in self.plots for step in plot.drift]
        return "\n".join(lines)


def make(seed: int, flavor: str) -> Scenario:
    """The scenario of a seed."""
    dice, way_dice = random.Random(f"{flavor} {seed}"), random.Random(f"way {flavor} {seed}")
    way = way_dice.choices([PLAIN, MERGE, ROW], [66, 20, 14])[0]
    sizes = random.Random(f"pieces {flavor} {seed}").choice(pieces.SIZES)
    database = f"f{seed}" if dice.random() < 0.93 else f"f{seed} " + dice.choice(NAMES)[:40].strip()
    taken: set[str] = set()
    plots = []
    for number in range(dice.choice([1, 2, 2, 3, 4])):
        name = dice.choice(NAMES) if dice.random() < 0.08 else f"t{number}"
        if name.lower() in taken or any("/" in each for each in name):
            name = f"t{number}"
        taken.add(name.lower())
        largest = 25 if dice.random() < 0.93 else 400
        table = tables.make(dice, flavor, name, largest, aged=way == MERGE and way_dice.random() < 0.85, busy=way == ROW)
        table = replace(table, rows=table.rows[:_PIECES] if 0 < sizes < 3 else table.rows)
        changes = [*drift.make(dice, table), *(drift.touched(way_dice, table) if way == MERGE else ())]
        plots.append(Plot(table, tuple(changes)))
    writers = dice.choice(["a", "b", "ab"]) if dice.random() < 0.06 else ""
    return Scenario(
        seed,
        flavor,
        database,
        dice.choice(["", "", "CHARACTER SET latin1", "CHARACTER SET utf8mb4", "CHARACTER SET ucs2", "CHARACTER SET sjis"]),
        tuple(plots),
        {
            **_options(dice, way_dice, way),
            "pieces": sizes,
            "left_lenient": random.Random(f"lenient {flavor} {seed}").random() < 0.15,
        },
        (*_family(dice), *(_aged(way_dice) if way == MERGE else ())),
        with_plan_file=dice.random() < 0.12,
        as_root=dice.random() < 0.2,
        writers="" if way == MERGE else writers,
        way=way,
    )


def _repair(dice: Dice, way: str) -> dict[str, Any]:
    """The options that only some ways have; they win over the others."""
    chosen: dict[str, Any] = {"downstream": dice.choice(["idempotent", "idempotent", "idempotent", "refuse"])}
    if way == ROW:
        chosen.update(allow_triggers=True, method=dice.choice(["row", "auto"]))
    if way == MERGE:
        chosen.update(extra_rows=dice.choice(["adopt", "adopt", "delete", "keep"]))
        chosen.update(conflict=dice.choice(["newest", "newest", "skip", "source"]))
        if chosen["conflict"] == "newest":
            chosen["conflict_column"] = dice.choice([tables.AGE, tables.AGE.upper()])
    return chosen


def _aged(dice: Dice) -> tuple[Step, ...]:
    """A table that surely has the column which tells old from new."""
    moments = ["'2024-01-01 10:00:00'", "'2024-06-01 00:00:00'", "NULL"]
    rows = ", ".join(f"({number}, {dice.choice(moments)}, 'v{number}')" for number in range(9))
    late = [
        f"UPDATE zage SET v = 'b', {tables.AGE} = {dice.choice(moments)} WHERE id = {dice.randrange(9)}" for _each in range(4)
    ]
    late += [f"DELETE FROM zage WHERE id = {dice.randrange(9)}", "INSERT INTO zage VALUES (20, NULL, 'extra')"]
    create = f"CREATE TABLE zage (id int PRIMARY KEY, {tables.AGE} datetime NULL, v varchar(9))"
    return (
        Step(LOGGED, create),
        Step(LOGGED, f"INSERT INTO zage VALUES {rows}"),
        *(Step("late", sql) for sql in dice.sample(late, 3)),
    )


def _options(dice: Dice, way_dice: Dice, way: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "batch_rows": dice.choice([1, 2, 3, 7, 50, 500]),
        "workers": dice.choice([1, 1, 1, 2, 3]),
        "chunk_time": dice.choice([0.5, 0.5, 0.01]),
    }
    repair: dict[str, Any] = {"extra_rows": dice.choice(["delete", "delete", "delete", "keep"])}
    options["sample_rows"] = dice.choice([0, 1, 10])
    if dice.random() < 0.04:
        repair["max_deletes"] = dice.choice([0, 2])
    if dice.random() < 0.04:
        repair["max_changes"] = dice.choice([1, 5])
    options["repair"] = {**repair, **_repair(way_dice, way)}
    return options


def _family(dice: Dice) -> tuple[Step, ...]:
    """Now and then a parent with children that would be deleted with it."""
    if dice.random() > 0.12:
        return ()
    action = dice.choice(["CASCADE", "SET NULL", "RESTRICT", "NO ACTION"])
    made = [
        "CREATE TABLE zparent (id int PRIMARY KEY, v varchar(10), dearest int NULL)",
        "CREATE TABLE zchild (id int PRIMARY KEY, pid int NULL, v varchar(10),"
        f" FOREIGN KEY (pid) REFERENCES zparent (id) ON DELETE {action} ON UPDATE {action})",
        "ALTER TABLE zparent ADD FOREIGN KEY (dearest) REFERENCES zchild (id)",
        "INSERT INTO zparent VALUES (1, 'a', NULL), (2, 'b', NULL), (3, 'c', NULL)",
        "INSERT INTO zchild VALUES (1, 1, 'x'), (2, 1, 'y'), (3, 2, 'z'), (4, NULL, 'n')",
    ]
    spoiled = dice.sample(
        [
            "UPDATE zparent SET v = 'drift' WHERE id = 1",
            "DELETE FROM zparent WHERE id = 2",
            "INSERT INTO zparent VALUES (9, 'extra', NULL)",
            "DELETE FROM zchild WHERE id = 3",
            "UPDATE zchild SET pid = 3 WHERE id = 2",
        ],
        dice.randint(1, 3),
    )
    if dice.random() < 0.5:
        # Each refers to the next.
        spoiled += ["INSERT INTO zparent VALUES (7, 'x', 8), (5, 'y', 6)", "INSERT INTO zchild VALUES (8, 5, 'x'), (6, 7, 'y')"]
    return (*(Step(LOGGED, sql) for sql in made), *(Step("late", sql) for sql in spoiled))
