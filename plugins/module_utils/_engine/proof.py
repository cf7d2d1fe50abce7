# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof, before COMMIT, that a transaction on the source's real tables changes nothing (law 2; see rowwise.py)."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import sqltext
from .confirm import read_rows
from .errors import TableProblem
from .modified import miscounted_by, only_miscounted, rows_modified
from .multiset import Rows
from .present import key_text
from .schema import Table
from .session import Row, Session

# Comparisons of a side table, which others may write meanwhile.
_SIDE_READINGS = 10


@dataclass(frozen=True)
class Proof:
    """For one table. ``source`` has the transaction open, ``witness`` sees what others see; both READ COMMITTED.

    ``sides``: the other tables that triggers write.
    """

    source: Session
    witness: Session
    table: Table
    sides: t.Sequence[Table]

    def check(self, rows: t.Mapping[Row, Row | None], expected: int) -> None:
        """Raise TableProblem ``trigger_side_effects`` unless COMMIT leaves the source as it was.

        ``rows``: what each key had (None: nothing); ``expected``: the row changes that the statements made by themselves.
        """
        now = read_rows(self.source, self.table, list(rows))
        wrong = [key for key, row in rows.items() if now.get(key) != row]
        if wrong:
            raise self.failed(f"the row {key_text(self.table, wrong[0])} would not be stored as it was")
        counted = self._rows_modified()
        if counted == expected or (counted > expected and only_miscounted(self.source, self.table)):
            return
        if not self.sides:
            cause = miscounted_by(self.source, self.table)
            too_many = f" (or InnoDB counts too many because of {cause})" if cause else ""
            raise self.failed(f"{counted} rows would change instead of {expected}, in tables that are not known{too_many}")
        for side in self.sides:
            if not self._is_unchanged(side):
                raise self.failed(f"{side.name} would be changed, or is written too busily to tell")

    def failed(self, what: str) -> TableProblem:
        """The problem to raise, and to roll back for."""
        listed = ", ".join(f"{each.name} ({each.timing} {each.event})" for each in self.table.triggers) or "none"
        return TableProblem(
            "trigger_side_effects",
            f"{self.table.name}: its triggers on the source ({listed}) would leave a change there: {what}. It was rolled back.",
            "Drop these triggers on the target, for the time of the repair, and repair without 'method: row'.",
        )

    def _rows_modified(self) -> int:
        counted = rows_modified(self.source)
        if counted is None:
            raise TableProblem(
                "trigger_side_effects",
                f"{self.table.name}: information_schema.INNODB_TRX of {self.source.name} is read by others all the time and"
                " never renewed, so what the triggers change cannot be counted.",
                "Hold the monitoring that reads it back for the time of the repair.",
            )
        return counted

    def _is_unchanged(self, side: Table) -> bool:
        """Whether a side table is the same inside the transaction as outside.

        What we wrote is locked, so nobody else can have changed it; what others write shows in both, sooner or later.
        """
        rows = Rows(side, side.stored_columns)
        return any(rows.sums(self.witness, 1) == rows.sums(self.source, 1) for _reading in range(_SIDE_READINGS))


@dataclass(frozen=True)
class Counter:
    """A table's AUTO_INCREMENT: InnoDB raises it with every larger value inserted, and no ROLLBACK lowers it."""

    place: int  # of its column among the stored ones
    next_value: int
    largest: int

    def would_jump(self, row: Row) -> bool:
        """Whether the row would use up more than half of the column's range at once."""
        value = int(row[self.place] or 0)
        return value >= self.next_value and value > self.largest // 2


def read_counter(session: Session, table: Table) -> Counter | None:
    """The counter of a table that has one. Raises ServerError."""
    where = f"TABLE_SCHEMA = {sqltext.string(table.name.database)} AND TABLE_NAME = {sqltext.string(table.name.table)}"
    found = session.record(
        "SELECT COLUMN_NAME AS name, COLUMN_TYPE AS kind FROM information_schema.COLUMNS"
        f" WHERE {where} AND EXTRA LIKE '%auto_increment%'"
    )
    names = [column.name for column in table.stored_columns]
    if found.get("name") not in names or not (found["kind"] or "").partition("(")[0].partition(" ")[0].endswith("int"):
        return None
    if not session.dialect.is_mariadb and session.dialect.version >= (8,):
        session.execute("SET SESSION information_schema_stats_expiry = 0")
    bits = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
    kind = found["kind"] or ""
    largest = 2 ** (bits[kind.partition("(")[0].partition(" ")[0]] - ("unsigned" not in kind)) - 1
    counter = session.scalar(f"SELECT AUTO_INCREMENT FROM information_schema.TABLES WHERE {where}")
    return Counter(names.index(t.cast(str, found["name"])), int(counter or 0), largest)
