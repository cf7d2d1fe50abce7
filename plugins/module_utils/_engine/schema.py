# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a table is made of, read for all selected tables at once, and whether two definitions agree.

Facts: https://dev.mysql.com/doc/refman/8.4/en/information-schema.html and
https://mariadb.com/kb/en/information-schema-tables/.
"""

from __future__ import annotations

import hashlib
import re
import typing as t
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

from . import sqltext
from .session import Session

# Bytes that a value takes in memory besides its own.
_VALUE_BYTES = 50

_BASE_TABLES = frozenset({"BASE TABLE", "SYSTEM VERSIONED"})
_TRANSACTIONAL = frozenset({"innodb", "rocksdb"})
_LOCKABLE = frozenset({"myisam", "aria", "memory"})
_PERIODS = frozenset({"date", "datetime", "timestamp"})
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

    ``ordered``: whether its index can be walked along (one made of hashes cannot). ``usable``: whether the server lets
    queries use it (not if it is INVISIBLE or IGNORED).
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
    """A trigger: ``event`` is INSERT, UPDATE or DELETE."""

    name: str
    event: str
    timing: str


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
    #: About how many bytes a row takes; 0: not known.
    row_bytes: int = 0

    def rows_within(self, size: int, most: int) -> int:
        """How many rows take about ``size`` bytes of our memory: at least one, no more than ``most``."""
        return max(1, min(most, size // (self.row_bytes + _VALUE_BYTES * len(self.columns))))

    @cached_property
    def stored_columns(self) -> tuple[Column, ...]:
        """The columns that are compared, in table order."""
        return tuple(column for column in self.columns if column.is_stored)

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


def read_tables(session: Session, databases: t.Sequence[str], names: t.Sequence[TableName] = ()) -> dict[TableName, Table]:
    """Read all tables, views and sequences of the databases in a constant number of queries.

    ``names``: only those whose table is called as one of these. Raises ServerError.
    """
    if not databases:
        return {}

    def within(schema: str = "TABLE_SCHEMA", table: str = "TABLE_NAME") -> str:
        given = [(schema, databases), *([(table, sorted({name.table for name in names}))] if names else [])]
        return sqltext.conjunction(f"{column} IN ({', '.join(map(sqltext.string, values))})" for column, values in given)

    if not session.dialect.is_mariadb and session.dialect.version >= (8, 0, 0):
        # Fresh row estimates instead of ones cached for a day.
        session.execute("SET SESSION information_schema_stats_expiry = 0")
    columns = _read_columns(session, within())
    keys, functional = _read_unique_keys(session, within())
    if session.dialect.is_mariadb:
        functional |= _without_overlaps(session, keys, columns)
    triggers = _read_triggers(session, within("EVENT_OBJECT_SCHEMA", "EVENT_OBJECT_TABLE"))
    return {
        name: Table(
            name=name,
            kind=_text(row, "kind"),
            engine=_text(row, "engine"),
            columns=tuple(columns[name]),
            unique_keys=tuple(keys[name]),
            rows_estimate=int(row["estimate"] or 0),
            triggers=tuple(triggers[name]),
            functional_keys=tuple(key for table, key in sorted(functional, key=str) if table == name),
            row_bytes=int(row["bytes"] or 0),
        )
        for row in session.records(
            "SELECT TABLE_SCHEMA AS db, TABLE_NAME AS tbl, TABLE_TYPE AS kind, ENGINE AS engine, TABLE_ROWS AS estimate,"
            " AVG_ROW_LENGTH AS bytes"
            f" FROM information_schema.TABLES WHERE {within()}"
        )
        for name in (_name(row),)
    }


def definition(session: Session, name: TableName) -> str:
    """How the server words a table and its triggers: to see later whether both are still the same. Raises ServerError."""
    table = session.rows(f"SHOW CREATE TABLE {name.sql}")[0][1] or b""
    triggers = session.rows(
        "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT FROM information_schema.TRIGGERS"
        f" WHERE EVENT_OBJECT_SCHEMA = {sqltext.string(name.database)} AND EVENT_OBJECT_TABLE = {sqltext.string(name.table)}"
        " ORDER BY 1"
    )
    return repr((re.sub(rb" AUTO_INCREMENT=\d+", b"", table), triggers))


def _read_columns(session: Session, within: str) -> dict[TableName, list[Column]]:
    found: dict[TableName, list[Column]] = defaultdict(list)
    for row in session.records(
        "SELECT TABLE_SCHEMA AS db, TABLE_NAME AS tbl, COLUMN_NAME AS name, DATA_TYPE AS data_type,"
        " COLUMN_TYPE AS column_type, CHARACTER_SET_NAME AS charset, COLLATION_NAME AS collation,"
        " IS_NULLABLE AS nullable, EXTRA AS extra, GENERATION_EXPRESSION AS expression"
        f" FROM information_schema.COLUMNS WHERE {within}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    ):
        found[_name(row)].append(
            Column(
                name=_text(row, "name"),
                data_type=_text(row, "data_type").lower(),
                column_type=_text(row, "column_type"),
                charset=_utf8_name(row["charset"]),
                collation=_utf8_name(row["collation"]),
                nullable=row["nullable"] == "YES",
                generated=_generated(_text(row, "extra")),
                expression=_text(row, "expression"),
            )
        )
    return found


def _read_unique_keys(session: Session, within: str) -> tuple[dict[TableName, list[Key]], set[tuple[TableName, str]]]:
    """The keys over plain columns, and the names of those over expressions."""
    parts: dict[tuple[TableName, str], list[KeyPart]] = defaultdict(list)
    functional: set[tuple[TableName, str]] = set()
    usable, hashed = set(), set()
    for row in session.records(
        "SELECT TABLE_SCHEMA AS db, TABLE_NAME AS tbl, INDEX_NAME AS idx, COLUMN_NAME AS name, SUB_PART AS prefix,"
        f" COLLATION AS direction, INDEX_TYPE AS kind, {session.dialect.index_is_usable} AS usable"
        f" FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {within}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    ):
        place = (_name(row), _text(row, "idx"))
        if row["name"] is None:
            functional.add(place)
        prefix = int(row["prefix"]) if row["prefix"] else None
        parts[place].append(KeyPart(_text(row, "name"), prefix, row["direction"] == "D"))
        if row["kind"] == "HASH":
            hashed.add(place)
        if row["usable"] == "1":
            usable.add(place)
    found: dict[TableName, list[Key]] = defaultdict(list)
    for (table, key), columns in parts.items():
        if (table, key) not in functional:
            found[table].append(Key(key, tuple(columns), (table, key) not in hashed, (table, key) in usable))
    return found, functional


def _without_overlaps(
    session: Session, keys: t.Mapping[TableName, list[Key]], columns: t.Mapping[TableName, list[Column]]
) -> set[tuple[TableName, str]]:
    """Keys over a period, such as ``UNIQUE (id, p WITHOUT OVERLAPS)``: rows with other values meet, a REPLACE fails on them.

    Only the definition tells (https://mariadb.com/kb/en/application-time-periods/#without-overlaps); it is asked for where
    the key ends in two columns that could be a period, as few do.
    """
    found = set()
    for table, some in keys.items():
        moments = {column.name for column in columns[table] if column.data_type in _PERIODS and not column.nullable}
        over = [key.name for key in some if len(key.parts) > 2 and moments.issuperset(key.columns[-2:])]
        if over and "WITHOUT OVERLAPS" in (session.record(f"SHOW CREATE TABLE {table.sql}").get("Create Table") or ""):
            found |= {(table, name) for name in over}
    return found


def _read_triggers(session: Session, within: str) -> dict[TableName, list[Trigger]]:
    """Triggers as far as the account may see them: it needs TRIGGER on the table (grants.py checks)."""
    found: dict[TableName, list[Trigger]] = defaultdict(list)
    for row in session.records(
        "SELECT EVENT_OBJECT_SCHEMA AS db, EVENT_OBJECT_TABLE AS tbl, TRIGGER_NAME AS name,"
        " EVENT_MANIPULATION AS event, ACTION_TIMING AS timing"
        f" FROM information_schema.TRIGGERS WHERE {within} ORDER BY 1, 2, 3"
    ):
        found[_name(row)].append(Trigger(_text(row, "name"), _text(row, "event"), _text(row, "timing")))
    return found


def _name(row: dict[str, str | None]) -> TableName:
    return TableName(_text(row, "db"), _text(row, "tbl"))


def _text(row: dict[str, str | None], column: str) -> str:
    return row[column] or ""


def _utf8_name(name: str | None) -> str | None:
    """MySQL renamed utf8 to utf8mb3 (and so its collations); both mean the same."""
    return re.sub(r"^utf8(?=_|$)", "utf8mb3", name) if name else None


def _generated(extra: str) -> str:
    extra = extra.upper()
    if "VIRTUAL GENERATED" in extra or extra.startswith("VIRTUAL"):
        return "virtual"
    if "STORED GENERATED" in extra or "PERSISTENT" in extra:
        return "stored"
    return ""


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
    for name in sorted((ours.keys() | theirs.keys()) - ignored):
        if name not in theirs:
            found.append(f"column {name} is missing on the target")
        elif name not in ours:
            found.append(f"column {name} is missing on the source")
        elif _shape(ours[name], name in unique) != _shape(theirs[name], name in unique):
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

    def is_alike(column: Column) -> bool:
        other = theirs.get(column.name.lower())
        return other is not None and _shape(column, in_unique_key=False) == _shape(other, in_unique_key=False)

    unlike = {column.name for column in source.columns if column.name in ignored and not is_alike(column)} - unique
    return replace(source, columns=tuple(column for column in source.columns if column.name not in unlike)) if unlike else source


def column_order(table: Table) -> tuple[tuple[str, str, str | None, str], ...]:
    """The columns as row changes carry them: by position."""
    return tuple((column.name.lower(), _plain_type(column), column.charset, column.generated) for column in table.columns)


def _shape(column: Column, in_unique_key: bool) -> tuple[object, ...]:
    return (
        _plain_type(column),
        column.charset,
        column.collation if in_unique_key else None,
        column.nullable,
        column.generated,
        re.sub(r"[\s`()]+|\b_utf8mb[34]\b", "", column.expression).lower(),
    )


def _plain_type(column: Column) -> str:
    """The type without what says nothing of its values.

    That is the display width of integers and years, which MySQL 8 no longer shows, and MariaDB's comments on how values
    are stored: ``/* mariadb-5.3 */`` for dates of an old table, ``/*M!100301 COMPRESSED*/``.
    """
    plain = re.sub(r"/\*.*?\*/", "", column.column_type).strip() if column.data_type not in _LABELLED else column.column_type
    if (column.is_integer or column.data_type == "year") and "zerofill" not in plain:
        return re.sub(r"\(\d+\)", "", plain)
    return plain


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
            f"{part.column}{f'({part.prefix})' if part.prefix else ''}{' DESC' if part.descending else ''}" for part in key.parts
        )
        shown.append(f"{'PRIMARY' if key.name == 'PRIMARY' else 'UNIQUE'}({', '.join(parts)})")
    return ", ".join(sorted(shown)) or "none"
