# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a repair would change, and whether it may (law 8: the caps come before the first write)."""

from __future__ import annotations

import itertools
import typing as t
from dataclasses import dataclass, field

from . import adopt, codec, recipes, schema
from .confirm import DIFFERENT, EXTRA, MISSING, Difference
from .errors import Refusal, TableProblem
from .examine import Examination
from .options import Repair
from .policy import policy_of
from .present import key_text
from .recipes import PLAIN, Recipe
from .report import Changes
from .schema import Table
from .spool import Differences, gather


@dataclass(frozen=True)
class TablePlan:
    """The rows of one table that the target gets, how many the user wants left alone, and those that the source gets."""

    table: Table
    changes: Differences
    left_alone: int = 0
    recipe: Recipe = PLAIN
    adopted: Differences = field(default_factory=Differences)

    @property
    def counts(self) -> Changes:
        """The plan in numbers, from the target's point of view."""

        rows = self.changes.rows
        return Changes(rows[MISSING], rows[DIFFERENT], rows[EXTRA], len(self.adopted), self.left_alone)


def plan_table(examination: Examination, repair: Repair, rows_below: bool = False) -> TablePlan | None:
    """Plan one table's repair; None if nothing differs.

    ``rows_below``: the target logs the repair as row changes for replicas of its own.
    Raises TableProblem when the table cannot be repaired safely.
    """
    table, target_table = examination.table, examination.target_table
    if table is None or target_table is None or not (examination.differences or examination.stale):
        return None
    refuse_unlike(table, target_table)
    found = gather(examination.differences)
    changes, adopted, kept = policy_of(repair).divide(table, found)
    if adopted:
        adopt.refuse_unsafe(table, target_table, adopted)
    if found:
        _refuse_unsafe(table, target_table, changes)
        if rows_below and table.key is None:
            raise TableProblem(
                "downstream_replicas",
                f"{table.name} has no key; replicas below the target would get inserted rows a second time.",
                "Detach them for the time of the repair, or add a primary key.",
            )
    _refuse_unwritable(table, itertools.chain(changes, adopted))
    recipe = recipes.choose_for(table, target_table, changes, repair.method, repair.allow_triggers)
    return TablePlan(table, changes, kept + examination.stale, recipe, adopted)


def refuse_unlike(table: Table, target_table: Table) -> None:
    """Raise TableProblem ``schema_mismatch`` where only ``ignore_columns`` made the definitions comparable."""
    unlike = schema.differences(table, target_table)
    if unlike:
        raise TableProblem(
            "schema_mismatch",
            f"{table.name} is defined differently on the two servers: {'; '.join(unlike)}. It can be compared without these"
            " (ignore_columns), but a repair writes whole rows; the target's would lose what they have there.",
            "Make the definitions equal (on the source; replication carries it), then plan again.",
        )


def refuse_cut(examined: t.Iterable[Examination], plans: t.Iterable[TablePlan], repair: Repair) -> None:
    """Raise a Refusal when more rows of a table differ than were handed on: it would be repaired in part, unsaid.

    Rows that are left alone count here too: they may have crowded out others.
    """
    planned = {plan.table.name for plan in plans}
    for each in examined:
        found = each.report.missing + each.report.extra + each.report.different
        if each.table and each.table.name in planned and found > sum(gather(each.differences).rows.values()):
            raise Refusal(
                "max_changes",
                f"{found} rows of {each.table.name} differ, those that the options leave alone included; no more than"
                f" {repair.max_changes} are planned. So much drift may mean that the wrong server was taken for the source;"
                " nothing was changed.",
                "Look at the check's result, then raise max_changes if this is really intended.",
            )


def check_caps(plans: t.Iterable[TablePlan], repair: Repair) -> None:
    """Raise a Refusal when the plans together exceed ``max_changes`` or ``max_deletes``."""
    counts = sum((plan.counts for plan in plans), Changes())
    for option, limit, planned, what in (
        ("max_changes", repair.max_changes, counts.total, "rows to change"),
        ("max_deletes", repair.max_deletes, counts.deleted, "rows to delete from the target"),
    ):
        if planned > limit:
            raise Refusal(
                option,
                f"There are {planned}{'' if option == 'max_deletes' else ' or more'} {what}, the limit is {limit}."
                " So much drift may mean that the wrong server was taken for the source; nothing was changed.",
                f"Look at the check's result, then raise {option} if this is really intended.",
            )


def _refuse_unwritable(table: Table, changes: t.Iterable[Difference]) -> None:
    """Raise TableProblem ``typed_json`` where a row's old or new values could not be written as they are."""
    columns = table.stored_columns
    places = [place for place, column in enumerate(columns) if column.data_type == "json"]
    for change in changes if places else ():
        for row in filter(None, (change.source, change.target)):
            for place in places:
                if not codec.is_writable(columns[place], row[place]):
                    name = columns[place].name
                    raise TableProblem(
                        "typed_json",
                        f"{table.name} has JSON documents with values that JSON text cannot hold ({name},"
                        f" first: {key_text(table, change.key)}), as functions put them in: a DECIMAL, a date, binary data."
                        " Written again from text they would be numbers and strings of other types.",
                        "Where that does no harm, write these documents anew on the source from their text; else leave the table"
                        " out with ignore_tables.",
                    )


def _refuse_unsafe(table: Table, target_table: Table, changes: t.Iterable[Difference]) -> None:
    if table.key is None and not all(change.digest for change in changes):
        raise TableProblem(
            "no_key",
            f"{table.name} has neither a primary key nor a unique key without NULLs. Its rows can only be told apart by"
            " all their bytes, but some of these were left out of the comparison.",
            "Repair it without ignore_columns and float_precision, or add a primary key.",
        )
    for where, each in (("source", table), ("target", target_table)):
        if not each.is_transactional and not (each.is_lockable and table.key):
            raise TableProblem(
                "engine_not_transactional",
                f"{table.name} uses the engine {each.engine} on the {where}, which cannot lock or roll back rows"
                f"{', and has no key' if each.is_lockable else ''}, so what is logged could not be proved to be what is there.",
                "Convert the table to InnoDB, or leave it out with ignore_tables.",
            )
    if table.is_versioned or target_table.is_versioned:
        raise TableProblem(
            "system_versioned",
            f"{table.name} is system-versioned: a repair would write history, on the target and on every other replica, and"
            " may lose some that is there.",
            "Repair it by hand, or drop the versioning for the time of the repair.",
        )
