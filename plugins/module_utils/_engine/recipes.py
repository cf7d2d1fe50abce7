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
whole row      none on DELETE       DELETE             every row equal to it in all columns, byte for byte, when
(no key)                                               the source, locked, has none
whole row      none on INSERT and   DELETE, REPLACE    afterwards the target has as many copies as the source,
(no key)       none on DELETE                          however many it had; REPLACE as above
any other                           none: refused      triggers would change other rows, or stop replication
=============  ===================  =================  ========================================================

All of them are logged although they find nothing on the empty shadow (measured on MariaDB and MySQL), and none can
fail on a duplicate key. Where a REPLACE may run, it is preferred: it alone solves swapped unique values.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .confirm import DIFFERENT, EXTRA, MISSING
from .errors import TableProblem
from .schema import Table, Trigger
from .spool import Differences

REPLACE, INSERT, UPDATE, DELETE = "REPLACE", "INSERT IGNORE", "UPDATE IGNORE", "DELETE"


@dataclass(frozen=True)
class Recipe:
    """The statement for each kind of row; None: there is none that fires no trigger."""

    missing: str | None = REPLACE
    different: str | None = REPLACE
    extra: str | None = DELETE

    def verb(self, kind: str) -> str | None:
        """The statement for a kind of row."""
        return {MISSING: self.missing, DIFFERENT: self.different, EXTRA: self.extra}[kind]

    @property
    def takes_rows_away(self) -> bool:
        """Whether a new row pushes out others that hold its unique values; else these must be gone before."""
        return REPLACE in (self.missing, self.different)


#: For a target without triggers.
PLAIN = Recipe()


def choose(triggers: t.Iterable[Trigger], has_key: bool = True) -> Recipe:
    """Choose the statements by the triggers of the target."""
    events = {trigger.event.upper() for trigger in triggers}
    extra = None if "DELETE" in events else DELETE
    if not events & {"INSERT", "DELETE"}:
        return Recipe(REPLACE, REPLACE, extra)
    if not has_key:
        return Recipe(None, None, extra)
    return Recipe(None if "INSERT" in events else INSERT, None if "UPDATE" in events else UPDATE, extra)


def choose_for(table: Table, target_table: Table, changes: Differences) -> Recipe:
    """Choose the statements for a plan. Raises TableProblem ``triggers`` when a row of it has none."""
    recipe = choose(target_table.triggers, table.key is not None)
    if table.key is None:
        kinds = {MISSING if change.source_copies else change.kind for change in changes}
    else:
        kinds = {kind for kind, rows in changes.rows.items() if rows}
    without = [kind for kind in (MISSING, DIFFERENT, EXTRA) if kind in kinds and recipe.verb(kind) is None]
    if without:
        listed = ", ".join(f"{trigger.name} ({trigger.timing} {trigger.event})" for trigger in target_table.triggers)
        raise TableProblem(
            "triggers",
            f"{table.name} has triggers on the target that every statement for its {' and '.join(without)} rows would"
            f" fire: {listed}. They would change other rows there, or stop replication.",
            "Drop these triggers on the target for the time of the repair, or repair the table by hand.",
        )
    return recipe
