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
from dataclasses import dataclass, replace

from .collisions import Collisions, going
from .constraints import Constraints
from .copies import BATCH_VALUES, BREAKS_CHECK, SHARES_VALUE
from .errors import TableProblem
from .keyspace import KeySpace
from .multiset import Fingerprints, Rows
from .plan import TablePlan
from .present import key_text
from .references import Gift
from .schema import Key, TableName
from .session import Row, Session
from .spool import Differences, gather, in_batches
from .waits import settle_gifts

_ROWS_AT_ONCE = 500

#: Key of a row that will be left as it is → code and reason.
_Left = t.Mapping[Row, tuple[str, str]]


@dataclass(frozen=True)
class Foreseen:
    """``plan``: without the rows that will be left as they are; ``problem``: what is to be said of these."""

    plan: TablePlan
    problem: TableProblem | None = None


def foresee(source: Session, target: Session, plans: t.Sequence[TablePlan], batch_rows: int) -> tuple[Foreseen, ...]:
    """What will come of each of the plans. ``batch_rows``: rows of one transaction.

    Of those that wait for others to go first on the target only writing shows it. Raises ServerError.
    """
    given = _left_on_source(source, target, plans, batch_rows)
    return tuple(_foresee(source, target, plan, given.get(plan.table.name, {})) for plan in plans)


def _foresee(source: Session, target: Session, plan: TablePlan, given: _Left) -> Foreseen:
    problem: TableProblem | None = None
    got: _Left = {}
    changes = plan.changes
    if plan.changes and (plan.table.key is None or plan.recipe.takes_rows_away):
        try:
            got = (_left_on_target if plan.table.key else _left_of_copies)(source, target, plan)
        except TableProblem as exc:  # the whole table's
            problem, changes = exc, Differences()
    if given or got:
        left = {**given, **got}
        first, (reason, why) = next(iter(left.items()))
        said = f"{plan.table.name}: {len(left)} rows would be left as they are; first: {key_text(plan.table, first)} {why}."
        problem = problem or TableProblem(reason, said)
    adopted = gather(change for change in plan.adopted if change.key not in given)
    kept = gather(change for change in changes if change.key not in got)
    skipped = plan.left_alone + len(given) + len(got)
    return Foreseen(replace(plan, adopted=adopted, changes=kept, left_alone=skipped) if problem else plan, problem)


def _left_on_target(source: Session, target: Session, plan: TablePlan) -> _Left:
    """Those that break a constraint, or whose unique values a row of the target has that will not go."""
    table, changes = plan.table, plan.changes
    constraints = Constraints(source, target, table)
    collisions = Collisions(source, target, table, going(table, changes))
    collisions.keep_blocked(changes, constraints.violations)
    key_of = KeySpace(table, t.cast(Key, table.key)).key_of
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
    return left


def _left_of_copies(source: Session, target: Session, plan: TablePlan) -> _Left:
    """As _left_on_target(), of a table without a key, whose rows are put right by value."""
    table = plan.table
    rows = Rows(table, table.stored_columns)
    space = Fingerprints(rows)
    planned = ((change.digest,) for change in plan.changes if change.target)
    collisions, constraints = Collisions(source, target, table, planned, space), Constraints(source, target, table)
    left: dict[Row, tuple[str, str]] = {}
    for some in in_batches((change for change in plan.changes if change.source), BATCH_VALUES):
        space.digests = {change.key: change.digest for change in some}
        illegal = constraints.breaking(rows.digest, table.name.sql, rows.equal_to(space.digests.values()))
        left.update({change.key: BREAKS_CHECK for change in some if (change.digest,) in illegal})
        holders = collisions.find(list(space.digests)) if collisions.keys else {}
        left.update({some[place].key: SHARES_VALUE for place in holders})
    return left


def _left_on_source(
    source: Session, target: Session, plans: t.Sequence[TablePlan], batch_rows: int
) -> t.Mapping[TableName, _Left]:
    """Those that wait in vain: for a parent, or for another row of the source to go."""
    gifts = [Gift(plan.table, plan.adopted) for plan in plans if plan.adopted]
    left: dict[TableName, dict[Row, tuple[str, str]]] = defaultdict(dict)
    for row, need in settle_gifts(source, target, gifts, batch_rows).left.items():
        left[row.table][row.key] = need.reason, need.why
    return left
