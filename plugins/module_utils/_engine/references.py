# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Foreign keys: what a row refers to, what refers to it, and whether the source has it.

Whoever holds any right on a table sees all its foreign keys, also those that refer to tables it may not see (MariaDB 10.11, 11.8,
MySQL 9.7). A foreign key with a NULL refers to nothing
(https://dev.mysql.com/doc/refman/8.4/en/create-table-foreign-keys.html, MATCH SIMPLE).
"""

from __future__ import annotations

import re
import typing as t
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property

from . import codec, sqltext
from .confirm import Difference
from .errors import AccessDenied, ServerError
from .keyspace import KeySpace
from .precedence import RowId
from .schema import Column, Key, Table, TableName
from .session import Row, Session
from .spool import Keys, in_batches

# Branches of one UNION; each is a look-up by an index.
_BRANCHES = 100

_NO_SUCH_TABLE = 1146


@dataclass(frozen=True)
class Reference:
    """A foreign key: ``columns`` of ``child`` refer to ``parent_columns`` of ``parent``.

    ``carries_on``: whether a change of the parent's values changes the child's. ``is_alike``: whether the columns are of the
    same types; InnoDB finds no 1.50 by 1.5, which are equal to a query.
    """

    child: TableName
    columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    carries_on: bool = False
    is_alike: bool = False

    def is_stored_in(self, table: Table) -> bool:
        """Whether a row of the child's ``table`` tells what it refers to; virtual columns are not among its values."""
        return {name.lower() for name in self.columns} <= {column.name.lower() for column in table.stored_columns}

    def to_parent(self, table: Table, row: Row) -> str:
        """Condition for the rows that a row of the child's ``table`` refers to; empty: it refers to nothing."""
        return _equal(table, row, self.columns, self.parent_columns)

    def to_children(self, table: Table, row: Row) -> str:
        """Condition for the rows that refer to a row of the parent's ``table``; empty: there can be none."""
        return _equal(table, row, self.parent_columns, self.columns)

    def moves(self, table: Table, old: Row, new: Row) -> bool:
        """Whether a row of the parent's ``table`` gets other values where others refer to it."""
        return _values(table, old, self.parent_columns) != _values(table, new, self.parent_columns)


def references_of(session: Session, table: TableName) -> tuple[Reference, ...]:
    """The foreign keys of a table; whether they carry on is not read. Raises ServerError."""
    found = _read(session, table, "TABLE_SCHEMA", "TABLE_NAME")
    references = [reference for reference in found.values() if reference.child == table]
    return tuple(replace(each, is_alike=_types(session, each) == _types(session, each, True)) for each in references)


def references_to(session: Session, table: TableName) -> tuple[Reference, ...]:
    """The foreign keys that refer to a table, as far as the account may see their tables; whether the columns are alike is not
    read. Raises ServerError."""
    found = _read(session, table, "REFERENCED_TABLE_SCHEMA", "REFERENCED_TABLE_NAME")
    rules = session.rows(
        "SELECT CONSTRAINT_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, UPDATE_RULE FROM information_schema.REFERENTIAL_CONSTRAINTS"
        f" WHERE UNIQUE_CONSTRAINT_SCHEMA = {sqltext.string(table.database)}"
        f" AND REFERENCED_TABLE_NAME = {sqltext.string(table.table)}"
    )
    carrying = {_text(key) for *key, rule in rules if (rule or b"").upper() in (b"CASCADE", b"SET NULL")}
    return tuple(replace(reference, carries_on=key in carrying) for key, reference in found.items() if reference.parent == table)


def _read(session: Session, table: TableName, database: str, name: str) -> dict[tuple[str, ...], Reference]:
    """By database, table and name. Others, whose tables are called so in other letters, may be among them."""
    found = session.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, REFERENCED_TABLE_SCHEMA, REFERENCED_TABLE_NAME, COLUMN_NAME,"
        " REFERENCED_COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE WHERE REFERENCED_TABLE_NAME IS NOT NULL"
        f" AND {database} = {sqltext.string(table.database)} AND {name} = {sqltext.string(table.table)}"
        " ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
    )
    pairs: dict[tuple[str, ...], list[tuple[str, ...]]] = defaultdict(list)
    for each in map(_text, found):
        pairs[each[:5]].append(each[5:])
    return {
        key[:3]: Reference(TableName(*key[:2]), tuple(next(columns)), TableName(*key[3:]), tuple(next(columns)))
        for key, columns in ((key, zip(*some)) for key, some in pairs.items())
    }


def _types(session: Session, reference: Reference, of_parent: bool = False) -> list[tuple[str, ...]]:
    """The types of the columns on one side of a foreign key, without what does not matter to whether two values are equal."""
    table, columns = (reference.parent, reference.parent_columns) if of_parent else (reference.child, reference.columns)
    found = session.rows(
        "SELECT COLUMN_NAME, COLUMN_TYPE, COALESCE(COLLATION_NAME, '') FROM information_schema.COLUMNS"
        f" WHERE TABLE_SCHEMA = {sqltext.string(table.database)} AND TABLE_NAME = {sqltext.string(table.table)}"
        f" AND COLUMN_NAME IN ({', '.join(map(sqltext.string, columns))})"
    )
    types = {name.lower(): (kind, collation) for name, kind, collation in map(_text, found)}
    plain = [types.get(column.lower(), ("", column)) for column in columns]
    return [(re.sub(r"^((?:var)?char|\w*int)\(\d+\)|( zerofill)", r"\1", kind.lower()), other) for kind, other in plain]


def _text(values: t.Iterable[bytes | None]) -> tuple[str, ...]:
    return tuple((value or b"").decode() for value in values)


@dataclass(frozen=True)
class Gift:
    """The rows of one table that the source is to get."""

    table: Table
    changes: t.Collection[Difference]

    @cached_property
    def keys(self) -> Keys:
        """Of all of them."""
        return Keys(change.key for change in self.changes)

    @cached_property
    def moving(self) -> Keys:
        """Of those that the source has already, with other values."""
        return Keys(change.key for change in self.changes if change.source)

    @cached_property
    def spelt_otherwise(self) -> dict[Row, Row]:
        """Key on the target → key, where the source spells it otherwise."""
        key_of = KeySpace(self.table, t.cast(Key, self.table.key)).key_of
        pairs = ((key_of(t.cast(Row, change.target)), change.key) for change in self.changes if change.source)
        return {theirs: ours for theirs, ours in pairs if theirs != ours}

    @cached_property
    def has_moving(self) -> bool:
        """Whether there are any of these."""
        return any(change.source for change in self.changes)

    def ids(self, keys: t.Iterable[Row]) -> list[RowId]:
        """Of these rows of the target, those that the source is to get."""
        ours = [self.spelt_otherwise.get(key, key) for key in keys]
        coming = self.keys.of(ours)
        return [RowId(self.table.name, key) for key in ours if key in coming]


class Lacking(t.NamedTuple):
    """A parent that the source lacks, or may lose: any of ``heirs``, which it is to get, would be one; so are ``leaving``, which
    it has, until they get other values."""

    heirs: tuple[RowId, ...]
    leaving: tuple[RowId, ...]


class Parents:
    """Looks up what rows that the source is to get refer to."""

    def __init__(self, source: Session, target: Session, gifts: t.Mapping[TableName, Gift]) -> None:
        """``gifts``: all that the source is to get."""
        self._source = source
        self._target = target
        self._gifts = gifts
        self._references: dict[TableName, tuple[Reference, ...]] = {}
        #: Foreign keys whose parents the account may not read.
        self._unread: set[Reference] = set()

    def lacking(self, table: Table, rows: t.Sequence[Row]) -> dict[int, list[Lacking]]:
        """Place in ``rows`` → the parents that the source lacks or may lose.

        A parent that cannot be looked up is taken to be there. Raises ServerError.
        """
        found: dict[int, list[Lacking]] = defaultdict(list)
        for reference in self._of(table):
            wanted = _conditions(reference, table, rows) if reference.is_stored_in(table) else {}
            for condition, parent in self._lacking(reference, list(wanted)).items():
                for place in wanted[condition]:
                    found[place].append(parent)
        return found

    def sees_all(self, table: Table) -> bool:
        """Whether all that rows of a table refer to can be looked up; known once lacking() was asked of any of them."""
        return all(each.is_alike and each.is_stored_in(table) and each not in self._unread for each in self._of(table))

    def _of(self, table: Table) -> tuple[Reference, ...]:
        if table.name not in self._references:
            self._references[table.name] = references_of(self._source, table.name)
        return self._references[table.name]

    def _lacking(self, reference: Reference, conditions: t.Sequence[str]) -> dict[str, Lacking]:
        """Those conditions that no row of the source meets for good."""
        present = self._present(reference, conditions)
        gift = self._gifts.get(reference.parent)
        leaving = self._leaving(reference, gift, [each for each in conditions if each in present]) if gift else {}
        lacking = [each for each in conditions if each not in present or each in leaving]
        heirs = self._met(self._target, gift, lacking) if gift else {}
        return {
            each: Lacking(tuple(gift.ids(heirs.get(each, ()))) if gift else (), tuple(leaving.get(each, ()))) for each in lacking
        }

    def _present(self, reference: Reference, conditions: t.Sequence[str]) -> set[str]:
        """Those conditions that a row of the source meets."""
        present: set[str] = set()
        for some in in_batches(enumerate(conditions), _BRANCHES):
            branches = (
                f"SELECT {number} FROM DUAL WHERE EXISTS (SELECT 1 FROM {reference.parent.sql} WHERE {condition})"
                for number, condition in some
            )
            try:
                present.update(conditions[int(number or b"")] for (number,) in self._source.rows(" UNION ALL ".join(branches)))
            except AccessDenied:
                self._unread.add(reference)
                return set(conditions)
            except ServerError as exc:
                if exc.errno != _NO_SUCH_TABLE:
                    raise
        return present

    def _leaving(self, reference: Reference, gift: Gift, conditions: t.Sequence[str]) -> dict[str, list[RowId]]:
        """Condition → the rows of the source that meet it, if all of them get values that do not."""
        leaving: dict[str, list[RowId]] = {}
        for condition, keys in (self._met(self._source, gift, conditions) if gift.has_moving else {}).items():
            if gift.moving.of(keys) == set(keys):
                leaving[condition] = [RowId(reference.parent, key) for key in keys]
        staying = self._met(self._target, gift, list(leaving)) if leaving else {}
        return {condition: ids for condition, ids in leaving.items() if set(ids).isdisjoint(gift.ids(staying.get(condition, ())))}

    def _met(self, session: Session, gift: Gift, conditions: t.Sequence[str]) -> dict[str, list[Row]]:
        """Condition → the keys of the rows on a server that meet it."""
        found: dict[str, list[Row]] = defaultdict(list)
        read_list = KeySpace(gift.table, t.cast(Key, gift.table.key)).read_list
        for some in in_batches(enumerate(conditions), _BRANCHES):
            branches = (f"SELECT {number}, {read_list} FROM {gift.table.name.sql} WHERE {each}" for number, each in some)
            for number, *key in session.rows(" UNION ALL ".join(branches)):
                found[conditions[int(number or b"")]].append(tuple(key))
        return found


def has_children(session: Session, table: Table, old: Row, new: Row) -> bool:
    """Whether rows refer to values that a row would lose. Raises ServerError."""
    for reference in references_to(session, table.name):
        condition = reference.to_children(table, old) if reference.moves(table, old, new) else ""
        if condition and session.rows(f"SELECT 1 FROM {reference.child.sql} WHERE {condition} LIMIT 1"):
            return True
    return False


def orphans(session: Session, table: Table, rows: t.Sequence[Row], lock: str = "") -> set[int]:
    """Places of rows of which a parent is not on the server, or cannot be looked up. ``lock`` keeps those found from going until
    the session's transaction ends. Raises ServerError."""
    found: set[int] = set()
    for reference in references_of(session, table.name):
        if not (reference.is_alike and reference.is_stored_in(table)):
            return set(range(len(rows)))
        for condition, places in _conditions(reference, table, rows).items():
            query = f"SELECT 1 FROM {reference.parent.sql} WHERE {condition} LIMIT 1 {lock}"
            try:
                if not session.rows(query):
                    found.update(places)
            except AccessDenied:
                found.update(places)
    return found


def _conditions(reference: Reference, table: Table, rows: t.Sequence[Row]) -> dict[str, list[int]]:
    """Conditions for the parents of rows, each with the places of the rows that refer to it."""
    wanted: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        condition = reference.to_parent(table, row)
        if condition:
            wanted[condition].append(place)
    return wanted


def _equal(table: Table, row: Row, ours: t.Sequence[str], theirs: t.Sequence[str]) -> str:
    """Condition that columns of another table equal these of a row, in the collation of that table; empty for a NULL."""
    values = _values(table, row, ours)
    if any(value is None for _column, value in values):
        return ""
    return sqltext.conjunction(codec.equals(replace(column, name=other), value) for (column, value), other in zip(values, theirs))


def _values(table: Table, row: Row, names: t.Sequence[str]) -> list[tuple[Column, bytes | None]]:
    places = {column.name.lower(): place for place, column in enumerate(table.stored_columns)}
    return [(table.stored_columns[places[name.lower()]], row[places[name.lower()]]) for name in names]
