# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of a plan as they are now: what of it still stands, what has healed, what has changed."""

from __future__ import annotations

import itertools
import time
import typing as t
from dataclasses import replace

from . import multiset
from .catalog import read_tables
from .confirm import Difference, Readings
from .errors import ReplError, TableProblem, Undecided
from .examine import Examination, rows_at_once
from .lanes import Lane
from .plan import refuse_unlike
from .planfile import PlannedRow, PlannedTable
from .progress import Meter
from .report import ERROR, UNDECIDED, TableReport
from .schema import Table
from .session import Row
from .spool import in_batches
from .tally import Tally


def examine_planned(
    lane: Lane, planned: t.Sequence[PlannedTable], fence: t.Callable[[], None], sample_rows: int, meter: Meter
) -> tuple[Examination, ...]:
    """Confirm the rows of a plan; the table is not read otherwise.

    Only rows that differ exactly as planned are handed on; the others are counted as stale, for they have
    healed or changed since. Raises ServerError when the definitions cannot be read, and what the meter's listener raises.
    """
    databases = sorted({table.name.database for table in planned})
    ours, theirs = lane.both(lambda session: read_tables(session, databases))
    found = []
    for each in planned:
        started = time.monotonic()
        meter.table(each.name, len(each.rows))
        try:
            examination = _examine(lane, each, ours.get(each.name), theirs.get(each.name), fence, sample_rows, meter)
        except Undecided as exc:
            examination = Examination(_problem(each, UNDECIDED, exc))
        except TableProblem as exc:
            examination = Examination(_problem(each, ERROR, exc))
        found.append(replace(examination, report=replace(examination.report, seconds=round(time.monotonic() - started, 3))))
    return tuple(found)


def _examine(
    lane: Lane,
    planned: PlannedTable,
    table: Table | None,
    target_table: Table | None,
    fence: t.Callable[[], None],
    sample_rows: int,
    meter: Meter,
) -> Examination:
    if table is None or target_table is None or not _is_same(table, planned):
        raise TableProblem(
            "stale_plan",
            f"{planned.name} is not defined as it was when the plan was made.",
            "Run the check again and apply that plan.",
        )
    refuse_unlike(table, target_table)
    _refuse_untold(planned, table)
    tally = Tally(table, sample_rows, len(planned.rows))
    healed = changed = looked = 0
    for some, now in _now(lane, table, planned.rows, fence):
        standing: list[Difference] = []
        for row in some:
            difference = now.get(row.key if table.key else (row.digest,))
            if difference is None:
                healed += 1
            elif row.fits(difference):
                standing.append(difference)
            else:
                changed += 1
        tally.add(standing)
        looked += len(some)
        meter.reached(looked, tally.total)
    report = tally.report()
    if healed or changed:
        said = f"{healed} planned rows are equal now and {changed} differ otherwise than planned; these were left alone."
        report = replace(report, reason="stale_rows", message=said)
    return Examination(report, table, target_table, tally.kept, stale=healed + changed)


def _is_same(table: Table, planned: PlannedTable) -> bool:
    way = "" if table.key else multiset.Rows(table, table.stored_columns).way
    return (table.shape, way) == (planned.shape, planned.digest_by)


# Some rows of a plan, and what still differs of them, by key, or by fingerprint in a table without one.
_Now = tuple[list[PlannedRow], dict[Row, Difference]]


def _now(lane: Lane, table: Table, planned: t.Iterable[PlannedRow], fence: t.Callable[[], None]) -> t.Iterator[_Now]:
    batches = in_batches(planned, rows_at_once(table))
    if table.key is None:
        rows = multiset.Rows(table, table.stored_columns)
        for some in batches:
            yield some, {(each.digest,): each for each in multiset.confirm(lane, rows, [row.digest for row in some], fence)}
        return
    readings: Readings[list[PlannedRow]] = Readings(lane.source, lane.target, table, fence)
    with readings:
        stepwise = (readings.step([row.key for row in some], some) for some in batches)
        for differences, some in itertools.chain(itertools.chain.from_iterable(stepwise), readings.rest()):
            yield some, {each.key: each for each in differences}


def _refuse_untold(planned: PlannedTable, table: Table) -> None:
    """Rows of a table without a key are found again by all their bytes, or not at all."""
    if table.key is None and not all(row.digest for row in planned.rows):
        raise TableProblem(
            "no_key",
            f"{planned.name} has no key, and its plan left some columns out of the comparison; its rows cannot be found again.",
            "Make the plan without ignore_columns and float_precision, or add a primary key.",
        )


def _problem(planned: PlannedTable, status: str, problem: ReplError) -> TableReport:
    return TableReport(planned.name.database, planned.name.table, status, problem.code, problem.text)
