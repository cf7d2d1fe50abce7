# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads how tables are defined, for all selected tables at once; memory and queries are spared where there are thousands.

Facts: https://dev.mysql.com/doc/refman/8.4/en/information-schema.html and
https://mariadb.com/kb/en/information-schema-tables/.
"""

from __future__ import annotations

import functools
import re
import typing as t
from collections import defaultdict
from dataclasses import replace

from . import sqltext
from .dialect import Dialect
from .schema import Column, Key, KeyPart, Table, TableName, Trigger
from .session import Session

_PERIODS = frozenset({"date", "datetime", "timestamp"})

T = t.TypeVar("T", bound=t.Hashable)


def read_tables(session: Session, databases: t.Sequence[str], names: t.Sequence[TableName] = ()) -> dict[TableName, Table]:
    """Read all tables, views and sequences of the databases, a thousand tables with each query.

    ``names``: only those whose table is called as one of these. Raises ServerError.
    """
    if not databases:
        return {}
    if not session.dialect.is_mariadb and session.dialect.version >= (8, 0, 0):
        # Fresh row estimates instead of ones cached for a day.
        session.execute("SET SESSION information_schema_stats_expiry = 0")
    wanted = ", ".join(sqltext.string(name) for name in databases)
    called = sorted({name.table for name in names})
    rows = {_name(row): row for row in _read_rows(session, wanted, called)}
    tables: dict[TableName, Table] = {}
    for some in _batches(sorted({name.table for name in rows})):
        within = f"TABLE_SCHEMA IN ({wanted}) AND {_among('TABLE_NAME', some)}"
        (columns, clustered), (keys, functional) = _read_columns(session, within), _read_unique_keys(session, within)
        unreliable = {} if session.dialect.is_mariadb else _read_unreliable_indexes(session, within)
        for table, key in _without_overlaps(session, keys, columns) if session.dialect.is_mariadb else ():
            functional[table].add(key)
        triggers = _read_triggers(session, f"EVENT_OBJECT_SCHEMA IN ({wanted}) AND {_among('EVENT_OBJECT_TABLE', some)}")
        these = set(some)
        for name, row in rows.items():
            if name.table in these:
                tables[name] = Table(
                    name=name,
                    kind=_text(row, "kind"),
                    engine=_text(row, "engine"),
                    columns=_shared(tuple(columns[name])),
                    unique_keys=_shared(tuple(_in_order(key, columns[name], session.dialect) for key in keys[name])),
                    rows_estimate=int(row["estimate"] or 0),
                    triggers=tuple(triggers[name]),
                    functional_keys=tuple(sorted(functional[name])),
                    unreliable_indexes=tuple(sorted(unreliable.get(name, ()))),
                    row_bytes=int(row["bytes"] or 0),
                    shown_by=_shared(f"{session.dialect.flavor} {'.'.join(map(str, session.dialect.version[:2]))}"),
                    clustered_by=_shared(clustered[name]),
                )
    return tables


def definition(session: Session, name: TableName) -> str:
    """How the server words a table and its triggers: to see later whether both are still the same. Raises ServerError."""
    table = session.rows(f"SHOW CREATE TABLE {name.sql}")[0][1] or b""
    triggers = session.rows(
        "SELECT TRIGGER_NAME, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT FROM information_schema.TRIGGERS"
        f" WHERE EVENT_OBJECT_SCHEMA = {sqltext.string(name.database)} AND EVENT_OBJECT_TABLE = {sqltext.string(name.table)}"
        " ORDER BY 1"
    )
    return repr((re.sub(rb" AUTO_INCREMENT=\d+", b"", table), triggers))


# Tables that one query on columns, keys or triggers is for: its result is held in memory.
_AT_ONCE = 1000


def _batches(names: t.Sequence[str]) -> t.Iterator[t.Sequence[str]]:
    return (names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE))


def _among(column: str, names: t.Iterable[str]) -> str:
    return f"{column} IN ({', '.join(map(sqltext.string, names))})"


@functools.lru_cache(maxsize=1 << 16)
def _shared(value: T) -> T:
    """The first value that equals this one: thousands of tables, on two servers, are made of much the same."""
    return value


def _facts(session: Session, items: dict[str, str], rest: str) -> t.Iterator[dict[str, str | None]]:
    """Rows of a query on metadata as text by name, one at a time; ``items``: name to expression. Raises ServerError."""
    selected = ", ".join(f"{expression} AS {name}" for name, expression in items.items())
    for row in session.rows(f"SELECT {selected} {rest}"):
        yield {name: None if value is None else _shared(value.decode("utf-8", "replace")) for name, value in zip(items, row)}


_TABLE = {"db": "TABLE_SCHEMA", "tbl": "TABLE_NAME"}


def _read_rows(session: Session, databases: str, names: t.Sequence[str]) -> t.Iterator[dict[str, str | None]]:
    items = {**_TABLE, "kind": "TABLE_TYPE", "engine": "ENGINE", "estimate": "TABLE_ROWS", "bytes": "AVG_ROW_LENGTH"}
    for some in _batches(names) if names else [()]:
        called = f" AND {_among('TABLE_NAME', some)}" if some else ""
        yield from _facts(session, items, f"FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({databases}){called}")


def _read_columns(session: Session, within: str) -> tuple[dict[TableName, list[Column]], dict[TableName, frozenset[str]]]:
    """The columns, and the names of those that a table is clustered by.

    Where there is no primary key that is the first unique one, in the server's order, over whole columns without NULLs, none
    of them virtual; both makes show its columns as PRI too (measured on MariaDB 10.11, 11.8 and MySQL 9.7).
    """
    found: dict[TableName, list[Column]] = defaultdict(list)
    clustered: dict[TableName, frozenset[str]] = defaultdict(frozenset)
    items = {
        **_TABLE,
        "name": "COLUMN_NAME",
        "data_type": "DATA_TYPE",
        "column_type": "COLUMN_TYPE",
        "charset": "CHARACTER_SET_NAME",
        "collation": "COLLATION_NAME",
        "nullable": "IS_NULLABLE",
        "extra": "EXTRA",
        "expression": "GENERATION_EXPRESSION",
        "part_of": "COLUMN_KEY",
    }
    if not session.dialect.is_mariadb and session.dialect.version >= (8,):
        # MySQL refuses a shape of another reference system than the column's, if that names one.
        items["srid"] = "SRS_ID"
    for row in _facts(
        session, items, f"FROM information_schema.COLUMNS WHERE {within} ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
    ):
        column = Column(
            name=_text(row, "name"),
            data_type=_shared(_text(row, "data_type").lower()),
            column_type=_text(row, "column_type") + (f" srid {row['srid']}" if row.get("srid") else ""),
            charset=_utf8_name(row["charset"]),
            collation=_utf8_name(row["collation"]),
            nullable=row["nullable"] == "YES",
            generated=_generated(_text(row, "extra")),
            expression=_text(row, "expression"),
        )
        found[_name(row)].append(_shared(column))
        if row["part_of"] == "PRI":
            clustered[_name(row)] |= {column.name}
    return found, clustered


def _read_unique_keys(session: Session, within: str) -> tuple[dict[TableName, list[Key]], dict[TableName, set[str]]]:
    """The keys over plain columns, and the names of those over expressions."""
    parts: dict[tuple[TableName, str], list[KeyPart]] = defaultdict(list)
    functional: dict[TableName, set[str]] = defaultdict(set)
    usable, hashed = set(), set()
    items = {
        **_TABLE,
        "idx": "INDEX_NAME",
        "name": "COLUMN_NAME",
        "prefix": "SUB_PART",
        "direction": "COLLATION",
        "kind": "INDEX_TYPE",
        "usable": session.dialect.index_is_usable,
    }
    for row in _facts(
        session,
        items,
        f"FROM information_schema.STATISTICS WHERE NON_UNIQUE = 0 AND {within}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX",
    ):
        place = (_name(row), _text(row, "idx"))
        if row["name"] is None:
            functional[place[0]].add(place[1])
        prefix = int(row["prefix"]) if row["prefix"] else None
        parts[place].append(KeyPart(_text(row, "name"), prefix, row["direction"] == "D"))
        if row["kind"] == "HASH":
            hashed.add(place)
        if row["usable"] == "1":
            usable.add(place)
    found: dict[TableName, list[Key]] = defaultdict(list)
    for place, columns in parts.items():
        table, key = place
        if key not in functional.get(table, ()):
            found[table].append(_shared(Key(key, tuple(columns), place not in hashed, place in usable)))
    return found, functional


def _in_order(key: Key, columns: t.Iterable[Column], dialect: Dialect) -> Key:
    """The key, not ``ordered`` where its index sorts a column otherwise than the server compares it."""
    sorted_otherwise = any(
        column.data_type == "char" and dialect.sorts_otherwise(column.collation or "")
        for column in columns
        if column.name in key.columns
    )
    return replace(key, ordered=False) if sorted_otherwise else key


def _read_unreliable_indexes(session: Session, within: str) -> dict[TableName, set[str]]:
    """The names of hash indexes of a beginning."""
    found: dict[TableName, set[str]] = defaultdict(set)
    what = "FROM information_schema.STATISTICS WHERE INDEX_TYPE = 'HASH' AND SUB_PART IS NOT NULL"
    for row in _facts(session, {**_TABLE, "idx": "INDEX_NAME"}, f"{what} AND {within}"):
        found[_name(row)].add(_text(row, "idx"))
    return found


def _without_overlaps(
    session: Session, keys: t.Mapping[TableName, list[Key]], columns: t.Mapping[TableName, list[Column]]
) -> t.Iterator[tuple[TableName, str]]:
    """Keys over a period, such as ``UNIQUE (id, p WITHOUT OVERLAPS)``: rows with other values meet, a REPLACE fails on them.

    Only the definition tells (https://mariadb.com/kb/en/application-time-periods/#without-overlaps); it is asked for where
    the key ends in two columns that could be a period, as few do.
    """
    for table, some in keys.items():
        moments = {column.name for column in columns[table] if column.data_type in _PERIODS and not column.nullable}
        over = [key.name for key in some if len(key.parts) > 2 and moments.issuperset(key.columns[-2:])]
        if over and "WITHOUT OVERLAPS" in (session.record(f"SHOW CREATE TABLE {table.sql}").get("Create Table") or ""):
            yield from ((table, name) for name in over)


def _read_triggers(session: Session, within: str) -> dict[TableName, list[Trigger]]:
    """Triggers as far as the account may see them: it needs TRIGGER on the table (grants.py checks)."""
    found: dict[TableName, list[Trigger]] = defaultdict(list)
    items = {
        "db": "EVENT_OBJECT_SCHEMA",
        "tbl": "EVENT_OBJECT_TABLE",
        "name": "TRIGGER_NAME",
        "event": "EVENT_MANIPULATION",
        "timing": "ACTION_TIMING",
        "body": "SHA2(ACTION_STATEMENT, 256)",
    }
    for row in _facts(session, items, f"FROM information_schema.TRIGGERS WHERE {within} ORDER BY 1, 2, 3"):
        found[_name(row)].append(Trigger(*(_text(row, what) for what in ("name", "event", "timing", "body"))))
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
