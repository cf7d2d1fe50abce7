# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random unlogged changes of one side's copy of a table."""

from __future__ import annotations

from .tables import AGE, ON_A, ON_B, Step, Table, random_row
from .values import Dice

_LIKELY = (
    ("delete", 6), ("insert", 6), ("update", 10), ("same", 4), ("swap", 3), ("key", 3), ("case", 2), ("all", 1), ("double", 2),
    ("empty", 1), ("shift", 1),
)  # fmt: skip


def make(dice: Dice, table: Table) -> list[Step]:
    """Some statements; ones that a server refuses are no drift."""
    if dice.random() < 0.2:
        return []
    kinds, weights = zip(*_LIKELY)
    found: list[Step] = []
    for how in dice.choices(kinds, weights, k=dice.choice([1, 1, 2, 3, 5])):
        side = ON_B if dice.random() < 0.85 else ON_A
        found += [Step(side, sql) for sql in _statements(dice, table, how)]
    return found


def _statements(dice: Dice, table: Table, how: str) -> list[str]:
    rows = [dice.choice(table.rows) for _each in range(dice.choice([1, 1, 2, 4]))] if table.rows else []
    column = dice.choice(table.columns)
    if how == "insert" or not rows:
        return [table.insert((random_row(dice, table.columns),)) for _each in range(dice.choice([1, 1, 3, 8]))]
    if how == "delete":
        return [f"DELETE FROM {table.sql} WHERE {table.at(row)}" for row in rows]
    if how == "update":
        return [f"UPDATE {table.sql} SET {column.sql} = {column.value(dice)} WHERE {table.at(row)}" for row in rows]
    if how == "same":  # the same edit in an even number of rows
        value = column.value(dice)
        return [f"UPDATE IGNORE {table.sql} SET {column.sql} = {value} WHERE {table.at(row)}" for row in (rows * 2)[:2] + rows]
    if how == "swap":
        return _swap(dice, table)
    if how == "key":
        keys = [each for each in table.columns if each.name in table.key] or [column]
        changed = dice.choice(keys)
        return [f"UPDATE IGNORE {table.sql} SET {changed.sql} = {changed.value(dice)} WHERE {table.at(rows[0])}"]
    if how == "case":
        texts = [each for each in table.columns if each.kind.texts and "char" in each.kind.definition]
        function = dice.choice(["UPPER({})", "LOWER({})", "CONCAT({}, ' ')", "TRIM({})"])
        return [f"UPDATE IGNORE {table.sql} SET {each.sql} = {function.format(each.sql)}" for each in texts[:2]]
    if how == "double":  # equal rows once more, which only a table without a key can hold
        return [table.insert((row,)) for row in rows]
    if how == "all":
        return [f"UPDATE IGNORE {table.sql} SET {column.sql} = {column.value(dice)}"]
    if how == "shift":
        numbers = [each for each in table.columns if "int" in each.kind.definition and "point" not in each.kind.definition]
        return [f"UPDATE IGNORE {table.sql} SET {each.sql} = {each.sql} + 1 ORDER BY {each.sql} DESC" for each in numbers[:1]]
    return [dice.choice([f"DELETE FROM {table.sql}", f"TRUNCATE TABLE {table.sql}"])]


def touched(dice: Dice, table: Table) -> list[Step]:
    """Rows that were changed on one side, with the column that tells when; that column need not be there."""
    ages = [column for column in table.columns if column.name == AGE]
    others = [column for column in table.columns if column.name not in (AGE, *table.key)]
    found = []
    for row in dice.sample(table.rows, min(len(table.rows), 5)) if ages else ():
        column = dice.choice(others) if others else ages[0]
        sets = {column.sql: column.value(dice), ages[0].sql: ages[0].value(dice)}
        words = ", ".join(f"{name} = {value}" for name, value in sets.items())
        found.append(Step(dice.choice([ON_B, ON_B, ON_A]), f"UPDATE IGNORE {table.sql} SET {words} WHERE {table.at(row)}"))
    return found


def _swap(dice: Dice, table: Table) -> list[str]:
    """Two rows exchange their values of a column, which may be unique."""
    if len(table.rows) < 2:
        return []
    one, other = dice.sample(range(len(table.rows)), 2)
    names = [column.name for column in table.columns]
    name = dice.choice(table.uniques) if table.uniques and dice.random() < 0.7 else dice.choice(names)
    place = names.index(name)
    column = table.columns[place]
    first, second = table.rows[one], table.rows[other]
    return [
        *([f"UPDATE {table.sql} SET {column.sql} = NULL WHERE {table.at(first)}"] if column.nullable else []),
        f"UPDATE IGNORE {table.sql} SET {column.sql} = {first[place]} WHERE {table.at(second)}",
        f"UPDATE IGNORE {table.sql} SET {column.sql} = {second[place]} WHERE {table.at(first)}",
    ]
