# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Random tables: columns, keys, constraints, triggers, partitions, engines, and the rows they begin with."""

from __future__ import annotations

from dataclasses import dataclass, field

from .values import NAMES, Dice, Kind, any_kind, integer, key_kind, moment, quoted, text

#: Sides on which a statement runs, and whether it is logged there.
LOGGED, ON_A, ON_B = "logged", "a", "b"

#: The column that tells old rows from new ones.
AGE = "upd"


@dataclass(frozen=True)
class Step:
    """One statement: logged on a, or on one side alone, unlogged."""

    where: str
    sql: str


@dataclass(frozen=True)
class Column:
    """A column that statements give a value to."""

    name: str
    kind: Kind
    nullable: bool

    def value(self, dice: Dice) -> str:
        """A random value as SQL."""
        return "NULL" if self.nullable and dice.random() < 0.15 else self.kind.make(dice)

    @property
    def sql(self) -> str:
        """Its quoted name."""
        return quoted(self.name)


@dataclass(frozen=True)
class Table:
    """A table of a scenario. ``key``: columns of the key that tells its rows apart (as text, for WHERE); none: it has none.

    ``repairable``: it must be repaired; else it may be, or refused. ``undoable``: likewise.
    """

    name: str
    create: tuple[Step, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    uniques: tuple[str, ...] = ()
    exact_key: bool = False
    repairable: bool = True
    undoable: bool = True
    traits: tuple[str, ...] = field(default=())

    @property
    def sql(self) -> str:
        """Its quoted name."""
        return quoted(self.name)

    def insert(self, rows: tuple[tuple[str, ...], ...], verb: str = "INSERT IGNORE") -> str:
        """A statement that writes rows."""
        names = ", ".join(column.sql for column in self.columns)
        return f"{verb} INTO {self.sql} ({names}) VALUES " + ", ".join(f"({', '.join(row)})" for row in rows)

    def at(self, row: tuple[str, ...]) -> str:
        """WHERE for a row: by its key, else by all its values."""
        pairs = zip(self.columns, row)
        if self.key:
            return " AND ".join(f"{column.sql} = {value}" for column, value in pairs if column.name in self.key)
        return " AND ".join(f"{column.sql} <=> {value}" for column, value in pairs)


def random_row(dice: Dice, columns: tuple[Column, ...]) -> tuple[str, ...]:
    """Values for all columns."""
    return tuple(column.value(dice) for column in columns)


def make(dice: Dice, flavor: str, name: str, largest: int = 25, aged: bool = False, busy: bool = False) -> Table:
    """A random table. ``aged``: with a column that tells old from new; ``busy``: with triggers, as likely as not."""
    maker = _Maker(dice, flavor, name)
    maker.aged, maker.busy = aged, busy
    return maker.make(largest)


class _Maker:
    """Puts one table together."""

    def __init__(self, dice: Dice, flavor: str, name: str) -> None:
        self.dice, self.flavor, self.name = dice, flavor, name
        self.is_mariadb = flavor.startswith("mariadb")
        self.columns: list[Column] = []
        self.lines: list[str] = []
        self.options = ""
        self.traits: list[str] = []
        self.repairable = self.undoable = True
        self.engine = "InnoDB"
        self.aged = self.busy = False

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def column(self, kind: Kind, nullable: bool, attributes: str = "") -> Column:
        taken = {column.name.lower() for column in self.columns}
        name = f"c{len(self.columns)}"
        if self.chance(0.08):
            odd = self.dice.choice(NAMES)
            name = odd if odd.lower() not in taken else name
        made = Column(name, kind, nullable)
        null = "" if "NULL" in kind.definition else " NULL" if nullable else " NOT NULL"
        self.lines.append(f"{made.sql} {kind.definition}{null}{attributes}")
        self.columns.append(made)
        return made

    def make(self, largest: int) -> Table:
        key, exact = self._key()
        for _each in range(self.dice.choice([0, 1, 2, 2, 3, 5])):
            kind = any_kind(self.dice, self.flavor)
            hidden = " INVISIBLE" if self.chance(0.03) else ""
            self.column(kind, self.chance(0.6) or bool(hidden), hidden)
        if len(self.columns) <= 1 or self.chance(0.3):
            self.column(text(self.dice, self.flavor.split("-")[0]), True)
        if self.aged:
            made = Column(AGE, moment(self.dice), True)
            self.lines.append(f"{made.sql} {made.kind.definition} NULL")
            self.columns.append(made)
        uniques = self._uniques()
        self._generated()
        self._constraint()
        self._place(key)
        lines = ", ".join(self.lines)
        create = [Step(LOGGED, f"CREATE TABLE {quoted(self.name)} ({lines}) ENGINE={self.engine}{self.options}")]
        create += self._triggers()
        columns = tuple(self.columns)
        count = 0 if self.chance(0.05) else self.dice.randint(1, largest)
        rows = tuple(random_row(self.dice, columns) for _each in range(count))
        return Table(
            self.name, tuple(create), columns, key, rows, uniques, exact, self.repairable, self.undoable, tuple(self.traits)
        )

    # -- keys ----------------------------------------------------------------------------------

    def _key(self) -> tuple[tuple[str, ...], bool]:
        how = self.dice.choices(["int", "any", "composite", "unique", "prefix", "nullable", "none"], [30, 20, 15, 10, 5, 8, 12])[
            0
        ]
        self.traits.append(f"key:{how}")
        if how == "none":
            self.undoable = False
            if self.chance(0.3):
                self.column(integer(self.dice), True)
            return (), False
        if how == "nullable":
            self.undoable = self.repairable = False
            column = self.column(key_kind(self.dice, self.flavor), True)
            part = self._part(column)
            self.lines.append(f"UNIQUE KEY uk ({part})")
            return (), False
        if how == "int":
            automatic = self.chance(0.5)
            kind = integer(self.dice)
            column = self.column(kind, False, " AUTO_INCREMENT" if automatic else "")
            self.lines.append(f"PRIMARY KEY ({column.sql})")
            return (column.name,), True
        counts = {"any": [1], "prefix": [1], "unique": [1, 2, 2, 3, 4], "composite": [2, 3, 4]}
        count = self.dice.choice(counts[how])
        kinds = [key_kind(self.dice, self.flavor) for _each in range(count)]
        if how == "prefix":
            kinds = [text(self.dice, self.flavor.split("-")[0])]
        # A TIMESTAMP that is NOT NULL, without a default, is given one by the server; so none in a key here.
        kinds = [integer(self.dice) if kind.definition.startswith("timestamp") else kind for kind in kinds]
        made = [self.column(kind, False) for kind in kinds]
        parts = ", ".join(self._part(column, prefix=how == "prefix") + self._direction() for column in made)
        name = quoted(self.dice.choice(NAMES))
        self.lines.append(f"UNIQUE KEY {name} ({parts})" if how == "unique" else f"PRIMARY KEY ({parts})")
        exact = not any(column.kind.texts or column.kind.definition.startswith(("float", "double")) for column in made)
        return tuple(column.name for column in made), exact and how != "prefix"

    def _part(self, column: Column, prefix: bool = False) -> str:
        if column.kind.in_key == "prefix":
            return f"{column.sql}({self.dice.choice([1, 3, 20])})"
        definition = column.kind.definition
        if prefix and definition.startswith("varchar") and not definition.startswith("varchar(1)"):
            return f"{column.sql}({self.dice.choice([1, 2])})"
        return column.sql

    def _direction(self) -> str:
        return " DESC" if self.chance(0.15) else ""

    def _uniques(self) -> tuple[str, ...]:
        found = []
        for number in range(self.dice.choice([0, 0, 0, 1, 1, 2])):
            candidates = [column for column in self.columns if column.kind.in_key and column.nullable]
            if not candidates:
                break
            chosen = self.dice.sample(candidates, min(len(candidates), self.dice.choice([1, 1, 2])))
            self.lines.append(f"UNIQUE KEY u{number} ({', '.join(self._part(column) for column in chosen)})")
            if len(chosen) == 1 and chosen[0].kind.in_key == "whole":
                found.append(chosen[0].name)
            self.repairable = False  # another row may hold the value: a unique_collision is a right answer
            self.undoable = False
            self.traits.append("secondary unique")
        if self.chance(0.03) and not self.is_mariadb and self.columns[-1].kind.texts:
            self.lines.append(f"UNIQUE KEY fx ((CONCAT({self.columns[-1].sql}, 'x')))")
            self.repairable = self.undoable = False
            self.traits.append("functional unique")
        return tuple(found)

    # -- what else may be about a table --------------------------------------------------------

    def _generated(self) -> None:
        numbers = [column for column in self.columns if "int" in column.kind.definition and "point" not in column.kind.definition]
        if not (self.chance(0.2) and numbers):
            return
        column = self.dice.choice(numbers)
        how = self.dice.choice(["VIRTUAL", "STORED"])
        self.lines.append(f"g1 int GENERATED ALWAYS AS ({column.sql} MOD 7) {how}")
        self.traits.append(f"generated {how.lower()}")
        if self.chance(0.15):
            self.lines.append("UNIQUE KEY ug (g1)")
            self.repairable = self.undoable = False

    def _constraint(self) -> None:
        if self.chance(0.06):
            self.lines.append(f"CHECK ({self.columns[-1].sql} IS NULL OR LENGTH({self.columns[-1].sql}) < 1000)")
            self.traits.append("check")
            self.repairable = self.undoable = False
        if self.chance(0.1):
            indexable = [column for column in self.columns if column.kind.in_key == "whole"]
            if indexable:
                self.lines.append(f"KEY ix ({self.dice.choice(indexable).sql})")

    def _place(self, key: tuple[str, ...]) -> None:
        if self.chance(0.06):
            self.engine = self.dice.choice(["MyISAM", "MEMORY", "Aria" if self.is_mariadb else "MyISAM"])
            self.repairable = self.undoable = False
            self.traits.append(f"engine {self.engine}")
            return
        if self.chance(0.08):
            self.options += self.dice.choice([" ROW_FORMAT=COMPRESSED", " ROW_FORMAT=REDUNDANT", " ROW_FORMAT=COMPACT"])
            # InnoDB counts a row twice for which a compressed page has no room: a trigger is suspected, and the undo refused.
            self.undoable = self.undoable and "COMPRESSED" not in self.options
        if self.is_mariadb and self.chance(0.03):
            self.options += " WITH SYSTEM VERSIONING"
            self.repairable = self.undoable = False
            self.traits.append("versioned")
        elif len(key) == 1 and "key:int" in self.traits and self.chance(0.1) and not any("UNIQUE" in line for line in self.lines):
            by = self.dice.choice([f"HASH ({quoted(key[0])}) PARTITIONS 3", f"KEY ({quoted(key[0])}) PARTITIONS 2"])
            self.options += f" PARTITION BY {by}"
            self.traits.append("partitioned")

    def _triggers(self) -> list[Step]:
        if self.busy and self.chance(0.5):
            return self._mirror() if "key:int" in self.traits and self.chance(0.6) else self._stamp()
        if not self.chance(0.12):
            return []
        log = quoted(f"{self.name[:50]}_log")
        steps = [Step(LOGGED, f"CREATE TABLE {log} (id int AUTO_INCREMENT PRIMARY KEY, what varchar(20))")]
        where = self.dice.choice([LOGGED, LOGGED, ON_A, ON_B])
        if self.engine != "InnoDB" and not self.is_mariadb:
            where = LOGGED  # with GTIDs MySQL refuses to write tables of both kinds at once (1785): on b, its applier would stop
        timing, event = self.dice.choice(["BEFORE", "AFTER"]), self.dice.choice(["INSERT", "UPDATE", "DELETE"])
        name = quoted("tr_" + self.name[:50])
        body = f"{timing} {event} ON {quoted(self.name)} FOR EACH ROW INSERT INTO {log} (what) VALUES ('{event}')"
        steps.append(Step(where, f"CREATE TRIGGER {name} {body}"))
        self.traits.append(f"trigger on {where}")
        self.repairable = self.repairable and where == ON_A
        self.undoable = False
        return steps

    def _mirror(self) -> list[Step]:
        """Triggers that keep another table in step, as Sakila's film_text with film."""
        side, key = quoted(f"{self.name[:50]}_mir"), self.columns[0]
        body = {
            "INSERT": f"INSERT INTO {side} (k) VALUES (NEW.{key.sql})",
            "DELETE": f"DELETE FROM {side} WHERE k = OLD.{key.sql}",
            "UPDATE": f"UPDATE {side} SET k = NEW.{key.sql} WHERE k = OLD.{key.sql}",
        }
        steps = [Step(LOGGED, f"CREATE TABLE {side} (k {key.kind.definition} NOT NULL PRIMARY KEY, n int NOT NULL DEFAULT 0)")]
        for event in self.dice.sample(sorted(body), self.dice.choice([3, 3, 2])):
            name = quoted(f"tr_{event}_{self.name[:40]}")
            steps.append(Step(LOGGED, f"CREATE TRIGGER {name} AFTER {event} ON {quoted(self.name)} FOR EACH ROW {body[event]}"))
        self.traits.append("trigger that mirrors")
        self.repairable = self.undoable = False
        return steps

    def _stamp(self) -> list[Step]:
        """A trigger that alters the row which is written."""
        column = self.dice.choice(self.columns)
        event = self.dice.choice(["INSERT", "UPDATE"])
        set_to = f"SET NEW.{column.sql} = {column.kind.make(self.dice)}"
        name = quoted("tr_" + self.name[:50])
        self.traits.append("trigger that alters")
        self.repairable = self.undoable = False
        return [Step(LOGGED, f"CREATE TRIGGER {name} BEFORE {event} ON {quoted(self.name)} FOR EACH ROW {set_to}")]
