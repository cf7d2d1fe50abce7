# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a table is made of, and whether two definitions agree. catalog.py reads them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import cached_property

from . import sqltext

# Bytes that a value takes in memory besides its own.
_VALUE_BYTES = 50

_BASE_TABLES = frozenset({"BASE TABLE", "SYSTEM VERSIONED"})
_TRANSACTIONAL = frozenset({"innodb", "rocksdb"})
_LOCKABLE = frozenset({"myisam", "aria", "memory"})
# Their types hold labels, which may look like anything.
_LABELLED = frozenset({"enum", "set"})
_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})


@dataclass(frozen=True)
class TableName:
    """A table's full name."""

    database: str
    table: str

    @property
    def sql(self) -> str:
        """The quoted name."""
        return f"{sqltext.quote_name(self.database)}.{sqltext.quote_name(self.table)}"

    def __str__(self) -> str:
        return f"{self.database}.{self.table}"


@dataclass(frozen=True)
class Column:
    """One column. ``charset`` is None unless the type is a character string."""

    name: str
    data_type: str
    column_type: str
    charset: str | None
    collation: str | None
    nullable: bool
    generated: str  # "" | "virtual" | "stored"
    expression: str

    @property
    def sql(self) -> str:
        """The quoted name."""
        return sqltext.quote_name(self.name)

    @property
    def is_stored(self) -> bool:
        """Whether the value has a place in the row; a virtual one follows from the others."""
        return self.generated != "virtual"

    @property
    def is_integer(self) -> bool:
        """Whether the type is one of the integers."""
        return self.data_type in _INTEGERS


@dataclass(frozen=True)
class KeyPart:
    """One part of a key; ``prefix``: the key holds only that many characters (bytes) of the column."""

    column: str
    prefix: int | None
    descending: bool


@dataclass(frozen=True)
class Key:
    """A unique key over plain columns.

    ``ordered``: whether its index can be walked along (one made of hashes, or sorted otherwise than its values, cannot).
    ``usable``: whether the server lets queries use it (not if it is INVISIBLE or IGNORED).
    """

    name: str
    parts: tuple[KeyPart, ...]
    ordered: bool = True
    usable: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns' names in key order."""
        return tuple(part.column for part in self.parts)

    @property
    def has_prefix(self) -> bool:
        """Whether a part holds only the beginning of its column."""
        return any(part.prefix for part in self.parts)


@dataclass(frozen=True)
class Trigger:
    """A trigger: ``event`` is INSERT, UPDATE or DELETE; ``body`` tells what it does from anything else."""

    name: str
    event: str
    timing: str
    body: str = ""


@dataclass(frozen=True)
class Table:
    """A table's definition on one server, as far as comparison and repair need it."""

    name: TableName
    kind: str
    engine: str
    columns: tuple[Column, ...]
    unique_keys: tuple[Key, ...]
    rows_estimate: int
    triggers: tuple[Trigger, ...] = ()
    #: Unique keys of which no look-up tells what a row would meet: those over expressions, which are not in unique_keys, and
    #: MariaDB's WITHOUT OVERLAPS.
    functional_keys: tuple[str, ...] = ()
    #: Indexes by which MySQL misses rows: MEMORY's hashes of a beginning do not find longer values (9.7, one byte a character).
    unreliable_indexes: tuple[str, ...] = ()
    #: About how many bytes a row takes; 0: not known.
    row_bytes: int = 0
    #: Which make and version of a server has shown it: others show the same expression with more or fewer brackets.
    shown_by: str = ""
    #: The columns in whose order InnoDB keeps the rows; none: in an order of its own.
    clustered_by: frozenset[str] = frozenset()

    def rows_within(self, size: int, most: int) -> int:
        """How many rows take about ``size`` bytes of our memory: at least one, no more than ``most``."""
        return max(1, min(most, size // (self.row_bytes + _VALUE_BYTES * len(self.columns))))

    @cached_property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns that are compared, in table order."""
        stored = tuple(column for column in self.columns if column.is_stored)
        return stored if len(stored) < len(self.columns) else self.columns

    @property
    def stores_generated(self) -> bool:
        """Whether there are values in its rows that the server itself has reckoned."""
        return any(column.generated == "stored" for column in self.columns)

    @cached_property
    def key(self) -> Key | None:
        """The key that tells rows apart: the primary one, else the first unique one without NULLs."""
        stored = {column.name: column for column in self.stored_columns}
        whole = [
            key
            for key in self.unique_keys
            if key.usable and all(name in stored and not stored[name].nullable for name in key.columns)
        ]
        return min(
            whole,
            key=lambda key: (not key.ordered, key.name != "PRIMARY", key.has_prefix, len(key.parts), key.name),
            default=None,
        )

    @cached_property
    def shape(self) -> str:
        """A fingerprint of the definition: what was noted of the rows holds only while it stays the same."""
        definition = (self.columns, self.unique_keys, self.engine)
        return hashlib.sha256(repr(definition).encode()).hexdigest()

    @property
    def is_base_table(self) -> bool:
        """Whether it holds rows of its own (a view or a sequence does not)."""
        return self.kind in _BASE_TABLES

    @property
    def is_versioned(self) -> bool:
        """Whether MariaDB keeps the history of its rows."""
        return self.kind == "SYSTEM VERSIONED"

    @property
    def is_lockable(self) -> bool:
        """Whether its engine, though without transactions, keeps still what LOCK TABLES holds."""
        return self.engine.lower() in _LOCKABLE

    @property
    def is_transactional(self) -> bool:
        """Whether its engine locks rows and rolls back."""
        return self.engine.lower() in _TRANSACTIONAL


def differences(source: Table, target: Table, ignored: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Say how two definitions differ in what matters to the data; an empty tuple if they agree.

    ``ignored``: columns that are left out of the comparison; outside the keys, nothing of them matters.

    Column order, comments, defaults, secondary non-unique keys and the engine do not matter: the
    comparison names its columns and replication by statement does too. Nor does the collation of a
    column outside all unique keys: values are compared as bytes, and only keys are looked up by collation.
    """
    found = []
    unique = {name.lower() for table in (source, target) for key in table.unique_keys for name in key.columns}
    ours = {column.name.lower(): column for column in source.columns}
    theirs = {column.name.lower(): column for column in target.columns}
    ignored = frozenset(name.lower() for name in ignored) - unique
    same_words = source.shown_by == target.shown_by
    for name in sorted((ours.keys() | theirs.keys()) - ignored):
        if name not in theirs:
            found.append(f"column {name} is missing on the target")
        elif name not in ours:
            found.append(f"column {name} is missing on the source")
        elif _shape(ours[name], name in unique, same_words) != _shape(theirs[name], name in unique, same_words):
            found.append(f"column {name}: source {_describe(ours[name])}, target {_describe(theirs[name])}")
    if _keys(source) != _keys(target):
        found.append(f"unique keys: source {_keys(source)}, target {_keys(target)}")
    elif source.key and not any(key.usable and key.name.lower() == source.key.name.lower() for key in target.unique_keys):
        found.append(f"unique key {source.key.name} has another name on the target, or queries may not use it there")
    return tuple(found)


def without_unlike(source: Table, target: Table, ignored: frozenset[str]) -> Table:
    """The source's definition without those ``ignored`` columns that the target has not, or has otherwise."""
    theirs = {column.name.lower(): column for column in target.columns}
    unique = {name.lower() for key in source.unique_keys for name in key.columns}
    same_words = source.shown_by == target.shown_by

    def is_alike(column: Column) -> bool:
        other = theirs.get(column.name.lower())
        return other is not None and _shape(column, False, same_words) == _shape(other, False, same_words)

    columns = tuple(
        column for column in source.columns if column.name not in ignored or column.name.lower() in unique or is_alike(column)
    )
    return replace(source, columns=columns) if len(columns) < len(source.columns) else source


def column_order(table: Table) -> tuple[tuple[str, str, str | None, str, bool], ...]:
    """The columns as row changes carry them: by position.

    A value of a COMPRESSED column is carried as such; an applier stops where its column is not (error 1677, MariaDB 10.11, 11.8).
    """
    return tuple(
        (column.name.lower(), _plain_type(column), column.charset, column.generated, _is_compressed(column))
        for column in table.columns
    )


def _is_compressed(column: Column) -> bool:
    return column.data_type not in _LABELLED and re.search(r"/\*.*\bCOMPRESSED\b.*\*/", column.column_type) is not None


def plain_type(column_type: str) -> str:
    """A type as a server words it, without what says nothing of its values."""
    data_type = re.split(r"\W", column_type, maxsplit=1)[0].lower()
    return _plain_type(Column("", data_type, column_type, None, None, True, "", ""))


def _shape(column: Column, in_unique_key: bool, same_words: bool) -> tuple[object, ...]:
    return (
        _plain_type(column),
        column.charset,
        column.collation if in_unique_key else None,
        column.nullable,
        column.generated,
        sqltext.outside_literals(column.expression, _plain_code if same_words else _plain_code_without_brackets),
    )


def _plain_code(code: str) -> str:
    """A part of an expression without what says nothing; MySQL shows the character set of literals."""
    return re.sub(r"[\s`]+|\b_utf8mb[34]\b", "", code).lower()


def _plain_code_without_brackets(code: str) -> str:
    """The same for two servers that show one expression with more or fewer brackets."""
    return re.sub(r"[()]+", "", _plain_code(code))


def _plain_type(column: Column) -> str:
    """The type without what says nothing of its values.

    That is the display width of integers and years, which MySQL 8 no longer shows, and MariaDB's comments on how values
    are stored: ``/* mariadb-5.3 */`` for dates of an old table, ``/*M!100301 COMPRESSED*/``.
    """
    plain = re.sub(r"/\*.*?\*/", "", column.column_type).strip() if column.data_type not in _LABELLED else column.column_type
    if (column.is_integer or column.data_type == "year") and "zerofill" not in plain:
        return re.sub(r"\(\d+\)", "", plain)
    # The same type by the name that each make shows.
    return "geomcollection" if column.data_type == "geometrycollection" else plain


def _describe(column: Column) -> str:
    parts = [column.column_type]
    if column.charset:
        parts.append(f"{column.charset}/{column.collation}")
    parts.append("NULL" if column.nullable else "NOT NULL")
    if column.generated:
        parts.append(f"{column.generated} AS ({column.expression})")
    return " ".join(parts)


def _keys(table: Table) -> str:
    shown = []
    for key in table.unique_keys:
        parts = (
            f"{part.column.lower()}{f'({part.prefix})' if part.prefix else ''}{' DESC' if part.descending else ''}"
            for part in key.parts
        )
        shown.append(f"{'PRIMARY' if key.name == 'PRIMARY' else 'UNIQUE'}({', '.join(parts)})")
    return ", ".join(sorted(shown)) or "none"
