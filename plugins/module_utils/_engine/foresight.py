# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows of a plan a repair will leave as they are, known before: so that check mode promises no more than apply does.

A repair finds out when it writes (repair.py, rowwise.py); here the same questions are asked of the whole plan, and nothing is
locked or written.
"""

from __future__ import annotations

import typing as t
from dataclasses import replace

from .collisions import Collisions, going
from .constraints import Constraints
from .errors import TableProblem
from .keyspace import KeySpace
from .plan import TablePlan
from .present import key_text
from .session import Row, Session
from .spool import gather, in_batches

_ROWS_AT_ONCE = 500


def foresee(source: Session, target: Session, plan: TablePlan) -> tuple[TablePlan, TableProblem | None]:
    """The plan without the rows that will be left as they are, and what is to be said of these.

    Raises TableProblem ``check_mismatch``, ``functional_unique_key``, which keep the whole table from repair; ServerError.
    """
    table, changes = plan.table, plan.changes
    if table.key is None or not (changes and plan.recipe.takes_rows_away):
        return plan, None  # rows without a key, and those that wait for others to go first, only writing shows
    constraints = Constraints(source, target, table)
    collisions = Collisions(source, target, table, going(table, changes))
    collisions.keep_blocked(changes, constraints.violations)
    key_of = KeySpace(table, table.key).key_of
    left: dict[Row, tuple[str, str]] = {}
    for some in in_batches((change for change in changes if change.source), _ROWS_AT_ONCE):
        rows = [t.cast(Row, change.source) for change in some]
        illegal = constraints.violations([key_of(row) for row in rows])
        for place, holders in collisions.find(rows).items():
            others = ", ".join(key_text(table, key) for key in holders)
            left[some[place].key] = "unique_collision", f"shares a unique value with {others} on the target, which will not go"
        for change, row in zip(some, rows):
            if key_of(row) in illegal:
                left[change.key] = "check_constraint", "breaks a CHECK constraint of its table"
    if not left:
        return plan, None
    first, (reason, why) = next(iter(left.items()))
    said = f"{table.name}: {len(left)} rows would be left as they are; first: {key_text(table, first)} {why}."
    kept = gather(change for change in changes if change.key not in left)
    return replace(plan, changes=kept, left_alone=plan.left_alone + len(left)), TableProblem(reason, said)
