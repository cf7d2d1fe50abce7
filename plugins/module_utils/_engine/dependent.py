# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Expressions of a table whose value hangs on who writes the row: on the session's time zone or sql_mode, or on the server.

What a repair writes is replayed under its own settings (UTC, session.py). A stored generated column then gets another value, an
index on a virtual one an entry that no query finds, and a row that the application could write breaks a CHECK, which stops the
applier (3819, 1690). Which settings the rows were written under is not known; the servers' own are taken for them.
"""

from __future__ import annotations

import re
import typing as t

from . import sqltext
from .constraints import read_clauses, read_partitions
from .errors import LostConnection, ServerError, TableProblem
from .keyspace import KeySpace
from .present import key_text
from .schema import Table
from .session import SQL_MODE, Row, Session
from .spool import in_batches

# A day in winter and one in summer, at which the zone of a server is looked at.
_DAYS = ("2024-01-15 12:00:00", "2024-07-15 12:00:00")
# Besides columns of the type TIMESTAMP.
_OF_A_ZONE = ("from_unixtime", "unix_timestamp")

# What may make a date or time of a text, or take a part of one.
_OF_DATES = frozenset(
    {
        *("date", "datetime", "time", "timestamp", "interval", "str_to_date", "to_days", "to_seconds", "last_day", "datediff"),
        *("timestampdiff", "timediff", "addtime", "subtime", "date_format", "time_format", "extract", "year", "quarter", "month"),
        *("week", "weekofyear", "yearweek", "day", "dayofmonth", "dayofweek", "dayofyear", "weekday", "dayname", "monthname"),
    }
)
# Of a sql_mode, what decides over values that are read. Not NO_ZERO_DATE: zeros are mostly there because somebody wrote without.
_OF_VALUES = frozenset(
    {
        "ALLOW_INVALID_DATES",
        "TIME_TRUNCATE_FRACTIONAL",
        "TIME_ROUND_FRACTIONAL",
        "PAD_CHAR_TO_FULL_LENGTH",
    }
)
_ROWS_AT_ONCE = 500


def refuse_dependent(source: Session, target: Session, table: Table, target_table: Table) -> None:
    """Raise TableProblem where a repair could give an expression another value than the application did.

    ``depends_on_settings``: by the servers' time zone or sql_mode; ``schema_mismatch``: by a column's collation, which the target
    has otherwise, or in an index over an expression that the source has not. Raises ServerError.
    """
    ours, theirs = _indexed(source, table), _indexed(target, target_table)
    foreign = sorted(theirs - ours)
    if foreign:
        raise TableProblem(
            "schema_mismatch",
            f"{table.name} has indexes over expressions on the target only ({'; '.join(foreign)}); a row of which one cannot be"
            " reckoned would stop replication (error 3751 to 3903).",
            "Give the source's table the same index, or drop it on the target for the time of the repair.",
        )
    told = _told(source, table, ours), _told(target, target_table, theirs)
    stamps = {column.name.lower() for column in table.columns if column.data_type == "timestamp"}
    zoned = _mentioning({*stamps, *_OF_A_ZONE}, told)
    for session in (source, target) if zoned else ():
        days = session.rows("SELECT " + ", ".join(f"CONVERT_TZ('{day}', @@global.time_zone, '+00:00')" for day in _DAYS))
        if [value and value.decode("ascii")[:19] for value in days[0]] != list(_DAYS):
            raise _depends(
                table,
                f"depends on the time zone of whoever writes a row ({', '.join(zoned)}), and {session.name} is not in UTC. A"
                " repair writes in UTC: it would give other values, or stop replication.",
            )
    for session in (source, target) if any("-" in each for each in told) else ():
        if "NO_UNSIGNED_SUBTRACTION" in (session.scalar("SELECT @@global.sql_mode") or ""):
            raise _depends(
                table,
                f"subtracts, and {session.name} has NO_UNSIGNED_SUBTRACTION in its sql_mode. A repair writes without: it could"
                " stop replication (error 1690).",
            )
    collations = {column.name.lower(): column.collation for column in target_table.columns}
    unlike = {column.name.lower() for column in table.columns if column.collation != collations.get(column.name.lower())}
    compared = _mentioning(unlike, [*told, " ".join(read_partitions(target, table.name)).lower()]) if unlike else []
    if compared:
        raise TableProblem(
            "schema_mismatch",
            f"{table.name}: columns that its partitions, CHECK constraints or generated columns are made by have another"
            f" collation on the target ({', '.join(compared)}); a row could belong to no partition there, or break a constraint.",
            "Make the definitions equal first.",
        )


def refuse_other_dates(session: Session, table: Table, keys: t.Iterable[Row]) -> None:
    """Raise TableProblem ``depends_on_settings`` where, for one of these rows of the server's, an expression has another value
    under our sql_mode than under the server's own.

    So it is where a text is no date of the calendar, as 30 February: for us it is one, as we must be able to write whatever is
    stored. Raises ServerError.
    """
    modes = (session.scalar("SELECT @@global.sql_mode") or "").split(",")
    wanted = [each for each in _reckoned(session, table, _indexed(session, table)) if _is_of_dates(each, modes)]
    if not wanted or table.key is None:
        return
    space = KeySpace(table, table.key)
    items = ", ".join([space.read_list, *(f"({session.dialect.runnable(each)})" for each in wanted)])
    for some in in_batches(keys, _ROWS_AT_ONCE):
        query = f"SELECT {items} FROM {table.name.sql} WHERE {space.any_of(some)}"
        try:
            before, theirs = set(session.rows(query)), set(_as_the_server(session, modes, query))
            # Rows that somebody wrote meanwhile are not compared.
            ours = [row for row in session.rows(query) if row in before]
        except LostConnection:
            raise
        except ServerError:  # nothing is known then
            continue
        there = {row[: len(space.columns)] for row in theirs}
        other = [row[: len(space.columns)] for row in ours if row not in theirs and row[: len(space.columns)] in there]
        if other:
            raise _depends(
                table,
                f"makes dates of what are none under the sql_mode of {session.name} (first: {key_text(table, other[0])}). A"
                " repair writes with ALLOW_INVALID_DATES: it would give other values, or stop replication.",
            )


def _is_of_dates(expression: str, modes: t.Sequence[str]) -> bool:
    """Whether the sql_mode may matter to the value."""
    return "PAD_CHAR_TO_FULL_LENGTH" in modes or bool(_mentioning(_OF_DATES, [sqltext.code_of(expression).lower()]))


def _as_the_server(session: Session, modes: t.Sequence[str], query: str) -> list[Row]:
    """The rows of a query under what matters of the server's own sql_mode; the rest of it decides how the query is read."""
    kept = [mode for mode in SQL_MODE.split(",") if mode not in _OF_VALUES] + [mode for mode in modes if mode in _OF_VALUES]
    session.execute(f"SET SESSION sql_mode = '{','.join(kept)}'")
    try:
        return session.rows(query)
    finally:
        session.execute(f"SET SESSION sql_mode = '{SQL_MODE}'")


def _depends(table: Table, how: str) -> TableProblem:
    return TableProblem(
        "depends_on_settings",
        f"{table.name} has a CHECK constraint, or a stored or indexed generated column, that {how}",
        "Leave the table out with ignore_tables, or drop the constraint or column for the time of the repair.",
    )


def _mentioning(names: t.AbstractSet[str], told: t.Sequence[str]) -> list[str]:
    """Which of these names, columns' or functions', are in expressions."""
    return sorted(name for name in names if any(re.search(rf"(?<![\w$]){re.escape(name)}(?![\w$])", each) for each in told))


def _indexed(session: Session, table: Table) -> set[str]:
    """The expressions that indexes are over: MySQL's, since 8.0.13."""
    if session.dialect.is_mariadb or session.dialect.version < (8, 0, 13):
        return set()
    parts = session.records(
        "SELECT EXPRESSION AS expression FROM information_schema.STATISTICS WHERE EXPRESSION IS NOT NULL"
        f" AND TABLE_SCHEMA = {sqltext.string(table.name.database)} AND TABLE_NAME = {sqltext.string(table.name.table)}"
    )
    return {part["expression"] or "" for part in parts}


def _told(session: Session, table: Table, indexes: set[str]) -> str:
    """All that is reckoned when a row of a table is written, in lower case, without strings and quotes of names."""
    return " ".join(sqltext.code_of(each).lower() for each in _reckoned(session, table, indexes))


def _reckoned(session: Session, table: Table, indexes: set[str]) -> list[str]:
    """The expressions that are reckoned when a row of a table is written. ``indexes``: those that indexes are over."""
    where = f"WHERE TABLE_SCHEMA = {sqltext.string(table.name.database)} AND TABLE_NAME = {sqltext.string(table.name.table)}"
    parts = session.records(f"SELECT COLUMN_NAME AS name FROM information_schema.STATISTICS {where}")
    indexed = {(part["name"] or "").lower() for part in parts}
    found = [*indexes, *read_clauses(session, table.name)]
    return found + [
        column.expression for column in table.columns if column.generated and (column.is_stored or column.name.lower() in indexed)
    ]
