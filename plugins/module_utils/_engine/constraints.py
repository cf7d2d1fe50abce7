# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a logged statement would run into on the target, where an error stops replication: CHECK constraints, partitions.

MariaDB can hold rows that break them (written with check_constraint_checks = 0, or before the constraint), and that
setting is meant to travel with a statement, but 11.8 does not log it (measured).
"""

from __future__ import annotations

import re
import typing as t

from . import sqltext
from .errors import TableProblem
from .keyspace import KeySpace
from .schema import Key, Table, TableName
from .session import Row, Session


class Constraints:
    """The CHECK constraints of one table."""

    def __init__(self, source: Session, target: Session, table: Table) -> None:
        """Raises TableProblem ``check_mismatch`` if the target has one that the source has not; ServerError."""
        self._source = source
        self._table = table
        self._clauses = read_clauses(target, table.name)
        foreign = sorted(set(self._clauses) - set(read_clauses(source, table.name)))
        if foreign:
            raise TableProblem(
                "check_mismatch",
                f"{table.name} has CHECK constraints on the target only ({'; '.join(foreign)});"
                " a repaired row that breaks one would stop replication.",
                "Make the definitions equal first.",
            )

    def violations(self, keys: t.Sequence[Row]) -> frozenset[Row]:
        """The exact keys of the source's rows that break a constraint. Raises ServerError."""
        if not (keys and self._clauses):
            return frozenset()
        space = KeySpace(self._table, t.cast(Key, self._table.key))
        return self.breaking(space.read_list, space.rows_in_order, space.any_of(keys))

    def breaking(self, items: str, rows: str, condition: str) -> frozenset[Row]:
        """``items`` of those of the source's rows under a condition that break a constraint. Raises ServerError."""
        clauses = self._clauses if self._source.dialect.is_mariadb else ()  # MySQL cannot hold such rows
        return _breaking(self._source, clauses, items, rows, f"({condition})", self._source.dialect.share_lock)


def breaking_on_source(source: Session, target: Session, table: Table, keys: t.Sequence[Row]) -> frozenset[Row]:
    """The exact keys of the target's rows that break a constraint of the source's. Raises ServerError."""
    space = KeySpace(table, t.cast(Key, table.key))
    clauses = read_clauses(source, table.name)
    if not source.dialect.is_mariadb:  # there a row cannot break what is enforced
        theirs = read_clauses(target, table.name)
        clauses = [clause for clause in clauses if clause not in theirs]
    return _breaking(target, clauses, space.read_list, space.rows_in_order, f"({space.any_of(keys)})")


def _breaking(
    session: Session, clauses: t.Sequence[str], items: str, rows: str, condition: str, lock: str = ""
) -> frozenset[Row]:
    """``items`` of the rows that break one of the clauses."""
    if not clauses:
        return frozenset()
    holds = sqltext.conjunction(f"({session.dialect.runnable(clause)})" for clause in clauses)
    return frozenset(session.rows(f"SELECT {items} FROM {rows} WHERE {condition} AND NOT ({holds}) {lock}"))


# Bytes: what these formats keep of a long value in the row, and a row's room in the usual page, about.
_INLINE, _IN_PAGE = 788, 8000

# A full-text index takes such a number only if it is larger than all that it has had.
_FULL_TEXT_COLUMN = "FTS_DOC_ID"


def refuse_unstorable(source: Session, target: Session, table: Table, writes: bool) -> None:
    """Raise TableProblem if the target's table may not take every row of the source's.

    ``partitions_differ``: a row without a partition is error 1526; ``row_format_differs``: one too long for its page is 1118;
    ``fts_doc_id``: an old document number is 182. Each stops the applier. ``writes``: rows are written, not only deleted.
    Raises ServerError.
    """
    theirs = read_partitions(target, table.name) if writes else []
    if theirs and theirs != read_partitions(source, table.name):
        raise TableProblem(
            "partitions_differ",
            f"{table.name} has other partitions on the target ({'; '.join(theirs)}); a row that belongs to none of them would"
            " stop replication.",
            "Give the target's table the partitions of the source's (with sql_log_bin=0), then run again.",
        )
    if writes and _row_may_be_too_long(source, target, table.name):
        raise TableProblem(
            "row_format_differs",
            f"{table.name} has another row format on the target, which keeps the beginning of every long value in the row; a row"
            " that is too long for it would stop replication.",
            "ALTER TABLE ... ROW_FORMAT=DYNAMIC on the target (with sql_log_bin=0), then run again.",
        )
    if any(column.name == _FULL_TEXT_COLUMN for column in table.columns):
        raise TableProblem(
            "fts_doc_id",
            f"{table.name} numbers its documents itself ({_FULL_TEXT_COLUMN}); InnoDB takes no number that is smaller than one it"
            " has had, so a row that is written again would stop replication; nor can the table of a repair have such a column.",
            "Drop the full-text index and rename the column for the time of the repair, or copy the rows by hand.",
        )


def _row_may_be_too_long(source: Session, target: Session, name: TableName) -> bool:
    """Whether the target's row format holds less of a row than the source's, and the columns may be so long.

    https://dev.mysql.com/doc/refman/8.4/en/innodb-row-format.html
    """
    of_table = f"TABLE_SCHEMA = {sqltext.string(name.database)} AND TABLE_NAME = {sqltext.string(name.table)}"
    ours, theirs = (
        (session.scalar(f"SELECT ROW_FORMAT FROM information_schema.TABLES WHERE {of_table}") or "").lower()
        for session in (source, target)
    )
    if theirs == ours or theirs not in ("compact", "redundant"):
        return False
    longest = target.scalar(
        f"SELECT SUM(LEAST(COALESCE(CHARACTER_OCTET_LENGTH, 16), {_INLINE})) FROM information_schema.COLUMNS WHERE {of_table}"
    )
    return int(longest or 0) > _IN_PAGE


def read_partitions(session: Session, name: TableName) -> list[str]:
    """By range or list, where a row may belong to none: what the partitions are made by, and each one's limits."""
    found = session.records(
        "SELECT DISTINCT PARTITION_METHOD AS method, PARTITION_EXPRESSION AS expression, PARTITION_DESCRIPTION AS limits"
        " FROM information_schema.PARTITIONS"
        f" WHERE TABLE_SCHEMA = {sqltext.string(name.database)} AND TABLE_NAME = {sqltext.string(name.table)}"
    )
    rows = ((row["method"] or "", row["expression"] or "", row["limits"] or "") for row in found)
    shown = (f"{way}({by}):{limits}" for way, by, limits in rows if re.match("RANGE|LIST", way))
    return sorted(sqltext.outside_literals(each, lambda code: re.sub(r"[`\s]+", "", code)) for each in shown)


def read_clauses(session: Session, name: TableName) -> list[str]:
    """The texts of the constraints that are enforced.

    https://mariadb.com/kb/en/information-schema-check_constraints-table/,
    https://dev.mysql.com/doc/refman/8.4/en/information-schema-check-constraints-table.html
    """
    database, table = sqltext.string(name.database), sqltext.string(name.table)
    if session.dialect.is_mariadb:
        found = session.records(
            "SELECT CHECK_CLAUSE AS clause FROM information_schema.CHECK_CONSTRAINTS"
            f" WHERE CONSTRAINT_SCHEMA = {database} AND TABLE_NAME = {table}"
        )
    elif session.dialect.version >= (8, 0, 16):
        found = session.records(
            "SELECT c.CHECK_CLAUSE AS clause FROM information_schema.CHECK_CONSTRAINTS c"
            " JOIN information_schema.TABLE_CONSTRAINTS t USING (CONSTRAINT_SCHEMA, CONSTRAINT_NAME)"
            f" WHERE t.TABLE_SCHEMA = {database} AND t.TABLE_NAME = {table} AND t.ENFORCED = 'YES'"
        )
    else:
        found = []
    return [row["clause"] or "" for row in found]
