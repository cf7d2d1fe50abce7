# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rows of a plan a repair will leave as they are, known before: so that check mode promises no more than apply does.

A repair finds out when it writes (repair.py, rowwise.py); here the same questions are asked of the whole plan, and nothing is
locked or written.
"""

from __future__ import annotations

import typing as t
from collections import defaultdict
from dataclasses import replace

from .collisions import Collisions, going
from .constraints import Constraints
from .errors import TableProblem
from .keyspace import KeySpace
from .plan import TablePlan
from .present import key_text
from .schema import Key
from .session import Row, Session
from .spool import gather, in_batches

_ROWS_AT_ONCE = 500


#: Key of a row that will be left as it is → code and reason.
_Left = dict[Row, tuple[str, str]]


def foresee(source: Session, target: Session, plan: TablePlan) -> tuple[TablePlan, TableProblem | None]:
    """The plan without the rows that will be left as they are, and what is to be said of these.

    Of rows without a key, and of those that wait for others to go first on the target, only writing shows it; so it does of rows
    for the source that lack a parent. Raises TableProblem ``check_mismatch``, ``functional_unique_key``, which keep the whole
    table from repair; ServerError.
    """
    given = _left_on_source(source, plan) if plan.adopted else {}
    got = _left_on_target(source, target, plan) if plan.changes and plan.table.key and plan.recipe.takes_rows_away else {}
    left = {**given, **got}
    if not left:
        return plan, None
    first, (reason, why) = next(iter(left.items()))
    said = f"{plan.table.name}: {len(left)} rows would be left as they are; first: {key_text(plan.table, first)} {why}."
    adopted = gather(change for change in plan.adopted if change.key not in given)
    kept = gather(change for change in plan.changes if change.key not in got)
    return replace(plan, adopted=adopted, changes=kept, left_alone=plan.left_alone + len(left)), TableProblem(reason, said)


def _left_on_target(source: Session, target: Session, plan: TablePlan) -> _Left:
    """Those that break a constraint, or whose unique values a row of the target has that will not go."""
    table, changes = plan.table, plan.changes
    constraints = Constraints(source, target, table)
    collisions = Collisions(source, target, table, going(table, changes))
    collisions.keep_blocked(changes, constraints.violations)
    key_of = KeySpace(table, t.cast(Key, table.key)).key_of
    left: _Left = {}
    for some in in_batches((change for change in changes if change.source), _ROWS_AT_ONCE):
        rows = [t.cast(Row, change.source) for change in some]
        illegal = constraints.violations([key_of(row) for row in rows])
        for place, holders in collisions.find(rows).items():
            others = ", ".join(key_text(table, key) for key in holders)
            left[some[place].key] = "unique_collision", f"shares a unique value with {others} on the target, which will not go"
        for change, row in zip(some, rows):
            if key_of(row) in illegal:
                left[change.key] = "check_constraint", "breaks a CHECK constraint of its table"
    return left


def _left_on_source(source: Session, plan: TablePlan) -> _Left:
    """Those whose unique values a row of the source has that keeps them: it is none of these, or waits for them itself."""
    table = plan.table
    space = KeySpace(table, t.cast(Key, table.key))
    collisions = Collisions(source, source, table, (), takes_rows_away=False)
    waiting: dict[Row, set[Row]] = {}  # for these rows of the source to go
    old: dict[Row, Row] = {}
    freed: list[Row] = []  # rows of the source whose values go; a new row had none
    for some in in_batches(plan.adopted, _ROWS_AT_ONCE):
        found = collisions.find([t.cast(Row, change.target) for change in some])
        for place, change in enumerate(some):
            if place in found:
                waiting[change.key] = set(found[place])
            if change.source and place in found:
                old[change.key] = space.key_of(change.source)
            elif change.source:
                freed.append(space.key_of(change.source))
    waits_for: dict[Row, list[Row]] = defaultdict(list)
    for key, holders in waiting.items():
        for holder in holders:
            waits_for[holder].append(key)
    while freed:
        gone = freed.pop()
        for key in waits_for.pop(gone, ()):
            waiting[key].discard(gone)
            if not waiting[key]:
                del waiting[key]
                freed += [old[key]] if key in old else []
    return dict.fromkeys(waiting, ("unique_collision", "another row of the source has one of its unique values"))
