# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables the user means, on either server (law 12: never those of the system)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from .catalog import read_tables
from .dialect import SYSTEM_DATABASES
from .errors import UsageError
from .options import Selection
from .schema import Table, TableName
from .session import Session, at_once


@dataclass(frozen=True)
class Selected:
    """A table the user means, as each server defines it; None where it does not exist."""

    name: TableName
    source: Table | None
    target: Table | None

    @property
    def rows_estimate(self) -> int:
        """About how many rows the larger copy has."""
        return max((table.rows_estimate for table in (self.source, self.target) if table), default=0)


def select(source: Session, target: Session, wanted: Selection) -> tuple[Selected, ...]:
    """Read both servers' definitions of the selected tables, in order of name.

    Raises UsageError for a name without globs that neither server has, and for a system schema;
    ServerError.
    """
    _refuse_system_databases(wanted)
    databases = sorted(_databases(source, wanted) | _databases(target, wanted))
    ours, theirs = at_once(source, target, lambda session: read_tables(session, databases))
    names = sorted(
        (name for name in ours.keys() | theirs.keys() if _is_table_wanted(name, wanted)),
        key=lambda name: (name.database, name.table),
    )
    _refuse_unknown(wanted, databases, names)
    return tuple(Selected(name, ours.get(name), theirs.get(name)) for name in names)


def named_databases(wanted: Selection) -> tuple[str, ...]:
    """Give the databases a selection is limited to; none: it names no database, or some only by globs."""
    names = {*wanted.databases, *(name.split(".", 1)[0] for name in wanted.tables)}
    if any(_is_glob(name) for name in names):
        return ()
    return tuple(sorted(name for name in names if name.lower() not in SYSTEM_DATABASES))


def ignored_columns(name: TableName, patterns: t.Iterable[str]) -> frozenset[str]:
    """Names of the columns of a table that ``ignore_columns`` leaves out."""
    found = set()
    for pattern in patterns:
        column = pattern.rsplit(".", 1)[-1]
        if pattern in (column, f"{name.table}.{column}", f"{name}.{column}"):
            found.add(column)
    return frozenset(found)


def _databases(session: Session, wanted: Selection) -> set[str]:
    names = {str(row["Database"]) for row in session.records("SHOW DATABASES")}
    patterns = [*wanted.databases, *(database for pattern in wanted.tables for database in _before_dots(pattern))]
    return {
        name
        for name in names
        if name.lower() not in SYSTEM_DATABASES
        and (not patterns or _matches(name, patterns))
        and not _matches(name, wanted.ignore_databases)
    }


def _before_dots(pattern: str) -> t.Iterator[str]:
    """What may be the database in ``db.table``: either name may hold dots."""
    parts = pattern.split(".")
    return (".".join(parts[:place]) for place in range(1, len(parts)))


def _is_table_wanted(name: TableName, wanted: Selection) -> bool:
    if _matches(str(name), wanted.ignore_tables):
        return False
    if not wanted.databases and not wanted.tables:
        return True
    return _matches(name.database, wanted.databases) or _matches(str(name), wanted.tables)


def _matches(name: str, patterns: t.Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(name) for pattern in patterns)


def _pattern(glob: str) -> re.Pattern[str]:
    """``*`` is any run of characters, ``?`` one character; everything else stands for itself."""
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in glob), re.DOTALL)


def _is_glob(name: str) -> bool:
    return "*" in name or "?" in name


def _refuse_system_databases(wanted: Selection) -> None:
    for option, names in (("databases", wanted.databases), ("tables", wanted.tables)):
        for name in names:
            database = name.split(".", 1)[0] if option == "tables" else name
            if database.lower() in SYSTEM_DATABASES:
                raise UsageError(
                    option,
                    f"{name} belongs to the server itself, which differs by design between servers.",
                    "System schemas are never compared or repaired; name databases of your own.",
                )
    for name in wanted.tables:
        if "." not in name:
            raise UsageError("tables", f"{name!r} does not say which database.", "Write it as database.table.")


def _refuse_unknown(wanted: Selection, databases: t.Sequence[str], names: t.Sequence[TableName]) -> None:
    known = {str(name) for name in names}
    for name in wanted.tables:
        if not _is_glob(name) and name not in known and not _matches(name, wanted.ignore_tables):
            raise UsageError(
                "tables",
                f"{name} exists neither on the source nor on the target, or the account may not see it.",
                "Check the name, and that the account has SELECT on it on both servers.",
            )
    for name in wanted.databases:
        if not _is_glob(name) and name not in databases and not _matches(name, wanted.ignore_databases):
            raise UsageError(
                "databases",
                f"{name} exists neither on the source nor on the target, or the account may not see it.",
                "Check the name, and that the account has SELECT on it on both servers.",
            )
