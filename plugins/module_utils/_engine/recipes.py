# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which statement puts which row right on the target, so that no trigger of the target fires.

A statement fires the triggers of its events on every server that replays it; on the source it runs against the
shadow, which has none. So it is chosen by the triggers that the *target* has:

=============  ===================  =================  ========================================================
row            target's triggers    statement          why it is safe
=============  ===================  =================  ========================================================
extra          none on DELETE       DELETE             the key is absent on the source, under a lock
missing or     none on INSERT and   REPLACE            also where unique values were swapped or are held by a
different      none on DELETE                          row of the plan; any other row in the way is looked up
missing        none on INSERT       INSERT IGNORE      takes nothing away; meets it a row after all, it does
                                                       nothing, and the verification says so
different      none on UPDATE       UPDATE IGNORE      likewise where a unique value is in the way
missing or     unique key over an   INSERT IGNORE,     which row has the unique value cannot be looked up, so
different      expression, period   UPDATE IGNORE      none is taken away; where one is in the way, as above
whole row      none on DELETE       DELETE             every row equal to it in all columns, byte for byte, when
(no key)                                               the source, locked, has none
whole row      none on INSERT and   DELETE, REPLACE    afterwards the target has as many copies as the source,
(no key)       none on DELETE                          however many it had; REPLACE as above
any other                           none: refused, or  triggers would change other rows, or stop replication;
                                    method ``row``     row changes fire none there (rowwise.py)
=============  ===================  =================  ========================================================

All of them are logged although they find nothing on the empty shadow (measured on MariaDB and MySQL), and none can
fail on a duplicate key. Where a REPLACE may run, it is preferred: it alone solves swapped unique values.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .confirm import DIFFERENT, EXTRA, MISSING
from .errors import TableProblem
from .schema import Table, Trigger
from .spool import Differences

REPLACE, INSERT, UPDATE, DELETE = "REPLACE", "INSERT IGNORE", "UPDATE IGNORE", "DELETE"

# What a trigger may be on that fires for a statement where it is replayed.
_EVENTS = {REPLACE: ("INSERT", "DELETE"), INSERT: ("INSERT",), UPDATE: ("UPDATE",), DELETE: ("DELETE",)}


@dataclass(frozen=True)
class Recipe:
    """The statement for each kind of row; None: there is none that fires no trigger.

    ``together``: several of them in one transaction, which tables without transactions do not have.
    """

    missing: str | None = REPLACE
    different: str | None = REPLACE
    extra: str | None = DELETE
    together: bool = True

    def verb(self, kind: str) -> str | None:
        """The statement for a kind of row."""
        return {MISSING: self.missing, DIFFERENT: self.different, EXTRA: self.extra}[kind]

    @property
    def fires(self) -> frozenset[str]:
        """Events that the target must have no trigger on."""
        return frozenset(event for verb in (self.missing, self.different, self.extra) for event in _EVENTS.get(verb or "", ()))

    @property
    def takes_rows_away(self) -> bool:
        """Whether a new row pushes out others that hold its unique values; else these must be gone before."""
        return self == ROW or REPLACE in (self.missing, self.different)


#: For a target without triggers.
PLAIN = Recipe()

#: By row changes, for which no trigger fires on the target (rowwise.py).
ROW = Recipe("row", "row", "row")

#: The user's choice of method.
AUTO, SHADOW, BY_ROWS = "auto", "shadow", "row"


def choose(triggers: t.Iterable[Trigger], has_key: bool = True, may_take_rows_away: bool = True) -> Recipe:
    """Choose the statements by the triggers of the target.

    ``may_take_rows_away``: whether it can be looked up which rows a REPLACE would take away.
    """
    events = {trigger.event.upper() for trigger in triggers}
    extra = None if "DELETE" in events else DELETE
    if may_take_rows_away and not events & {"INSERT", "DELETE"}:
        return Recipe(REPLACE, REPLACE, extra)
    if not has_key:
        return Recipe(None, None, extra)
    return Recipe(None if "INSERT" in events else INSERT, None if "UPDATE" in events else UPDATE, extra)


def choose_for(
    table: Table, target_table: Table, changes: Differences, method: str = AUTO, allow_triggers: bool = False
) -> Recipe:
    """Choose the statements for a plan.

    ``method``: ``shadow`` or ``row`` alone, or ``auto``: ``row`` where there is no statement. Triggers run on the source
    with ``row``, so a table that has any is repaired so only with ``allow_triggers``.
    Raises TableProblem ``triggers`` when a row of the plan has no statement.
    """
    if method == BY_ROWS:
        if not allow_triggers and (table.triggers or target_table.triggers):
            raise TableProblem(
                "triggers",
                f"{table.name} has triggers, which the method 'row' runs on the source: {_listed(table, target_table)}.",
                "Set 'allow_triggers: true': what they change elsewhere is looked for before the commit and rolled back.",
            )
        return ROW
    if table.key is None and (table.functional_keys or target_table.functional_keys):
        raise TableProblem(
            "functional_unique_key",
            f"{table.name} has no key but unique ones over expressions or periods; whether a repaired row would push out another"
            " one on the target cannot be looked up.",
            "Add a primary key, or leave the table out with ignore_tables.",
        )
    recipe = choose(target_table.triggers, table.key is not None, not (table.functional_keys or target_table.functional_keys))
    if table.key is None:
        kinds = {MISSING if change.source_copies else change.kind for change in changes}
    else:
        kinds = {kind for kind, rows in changes.rows.items() if rows}
    without = [kind for kind in (MISSING, DIFFERENT, EXTRA) if kind in kinds and recipe.verb(kind) is None]
    if not without:
        return replace(recipe, together=table.is_transactional and target_table.is_transactional)
    if method == AUTO and allow_triggers and table.key is not None:
        return ROW
    remedy = "Drop these triggers on the target for the time of the repair"
    if table.key is not None:
        remedy += ", or set 'allow_triggers: true'" + (" and 'method: auto'" if method == SHADOW else "")
        remedy += ": the rows are then written on the source itself, in a way that leaves it as it was"
    raise TableProblem(
        "triggers",
        f"{table.name} has triggers on the target that every statement for its {' and '.join(without)} rows would"
        f" fire: {_listed(target_table)}. They would change other rows there, or stop replication.",
        f"{remedy}.",
    )


def _listed(*tables: Table) -> str:
    return ", ".join(dict.fromkeys(f"{each.name} ({each.timing} {each.event})" for table in tables for each in table.triggers))
