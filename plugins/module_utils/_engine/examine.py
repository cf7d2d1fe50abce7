# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on one table: structure first, then all rows, then what is confirmed of the differences."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass, replace

from . import compare, confirm, fingerprint, multiset, present, schema
from .errors import ReplError, TableProblem, Undecided
from .keyspace import KeySpace
from .lanes import Lane
from .options import Pace, Selection
from .report import DRIFT, ERROR, IDENTICAL, SKIPPED, UNDECIDED, TableReport
from .schema import Table
from .selection import Selected, ignored_columns
from .session import Row, Session

# Suspected keys collected before they are read again: bounds memory, saves fences.
_SUSPECTS_AT_ONCE = 2000


class Crew:
    """The sessions that examine tables: lanes that compare, and a scout on each server.

    After an error the sessions may be anywhere; ``renew`` replaces them for the next table.
    """

    def __init__(self, open_source: t.Callable[[], Session], open_target: t.Callable[[], Session], workers: int) -> None:
        self._open_source = open_source
        self._open_target = open_target
        self._workers = workers
        self.lanes: list[Lane] = []
        self.scouts: Lane | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def ready(self) -> Lane:
        """Open what is not open yet; returns the scouts. Raises ConnectError."""
        while len(self.lanes) < self._workers:
            self.lanes.append(self._open())
        if self.scouts is None:
            self.scouts = self._open()
        return self.scouts

    def close(self) -> None:
        """Close all sessions; ``ready`` opens new ones."""
        for lane in [*self.lanes, *([self.scouts] if self.scouts else [])]:
            lane.close()
        self.lanes, self.scouts = [], None

    def _open(self) -> Lane:
        source = self._open_source()
        try:
            return Lane(source, self._open_target())
        except BaseException:
            source.close()
            raise


@dataclass(frozen=True)
class Examination:
    """A table's report, its definition (None if it was not compared) and the differences kept."""

    report: TableReport
    table: Table | None = None
    target_table: Table | None = None
    differences: tuple[confirm.Difference, ...] = ()


def examine(
    crew: Crew,
    selected: Selected,
    wanted: Selection,
    pace: Pace,
    fence: t.Callable[[], None],
    may_go_on: t.Callable[[], None],
    sample_rows: int,
    keep: int,
) -> Examination:
    """Compare one table on both servers. Never raises an engine error: it becomes the table's status.

    ``fence`` drains replication both ways (and raises Undecided where it cannot), ``may_go_on`` returns
    when a piece of work may begin. ``keep``: how many confirmed differences are handed on; all are counted.
    """
    started = time.monotonic()
    try:
        found = _examine(crew, selected, wanted, pace, fence, may_go_on, sample_rows, keep)
    except Undecided as exc:
        found = Examination(_problem(selected, UNDECIDED, exc))
    except TableProblem as exc:
        found = Examination(_problem(selected, SKIPPED if exc.code in _LEFT_OUT else ERROR, exc))
    except ReplError as exc:
        crew.close()
        found = Examination(_problem(selected, ERROR, exc))
    return replace(found, report=replace(found.report, seconds=round(time.monotonic() - started, 3)))


_LEFT_OUT = frozenset({"view", "sequence"})


def _problem(selected: Selected, status: str, problem: ReplError) -> TableReport:
    message = f"{problem.message} {problem.remedy}".strip()
    return TableReport(selected.name.database, selected.name.table, status, problem.code, message)


def _examine(
    crew: Crew,
    selected: Selected,
    wanted: Selection,
    pace: Pace,
    fence: t.Callable[[], None],
    may_go_on: t.Callable[[], None],
    sample_rows: int,
    keep: int,
) -> Examination:
    may_go_on()
    table, target_table = _comparable(selected)
    scouts = crew.ready()
    tally = _Tally(table, sample_rows, keep)
    if table.key is None:
        _examine_multiset(scouts, table, wanted, max(table.rows_estimate, target_table.rows_estimate), fence, tally)
    else:
        _examine_keyed(crew, KeySpace(table, table.key), target_table, wanted, pace, fence, may_go_on, tally)
    return Examination(tally.report(), table, target_table, tuple(tally.kept))


def _examine_keyed(
    crew: Crew,
    space: KeySpace,
    target_table: Table,
    wanted: Selection,
    pace: Pace,
    fence: t.Callable[[], None],
    may_go_on: t.Callable[[], None],
    tally: _Tally,
) -> None:
    table, scouts = space.table, crew.ready()
    ignored = ignored_columns(table.name, wanted.ignore_columns)
    prints = fingerprint.choose(table, space, scouts.source.dialect, scouts.target.dialect, ignored, wanted.where)
    larger = scouts.source if table.rows_estimate >= target_table.rows_estimate else scouts.target
    estimate = max(table.rows_estimate, target_table.rows_estimate)
    compared = frozenset(column.name for column in prints.columns)
    pending: list[Row] = []

    def settle() -> None:
        tally.add(confirm.confirm(scouts.source, scouts.target, table, pending, fence, compared))
        pending.clear()

    for chunk in compare.compare(crew.lanes, larger, prints, estimate, pace.chunk_time, may_go_on):
        tally.chunks += 1
        tally.rows += chunk.rows
        pending.extend(chunk.suspects)
        if len(pending) >= _SUSPECTS_AT_ONCE:
            settle()
    settle()


def _examine_multiset(
    lane: Lane, table: Table, wanted: Selection, estimate: int, fence: t.Callable[[], None], tally: _Tally
) -> None:
    columns = fingerprint.compared_columns(table, ignored_columns(table.name, wanted.ignore_columns))
    found = multiset.scan(lane, table, columns, estimate, wanted.where)
    tally.chunks, tally.rows = 1, found.rows
    for start in range(0, len(found.suspects), _SUSPECTS_AT_ONCE):
        some = found.suspects[start : start + _SUSPECTS_AT_ONCE]
        tally.add(multiset.confirm(lane, table, columns, some, fence))


def _comparable(selected: Selected) -> tuple[Table, Table]:
    """Both definitions, if the table can be compared. Raises TableProblem."""
    ours, theirs = selected.source, selected.target
    if ours is None or theirs is None:
        where, other = ("target", "source") if theirs is None else ("source", "target")
        raise TableProblem(
            f"missing_on_{where}",
            f"{selected.name} exists on the {other} only.",
            "Create or drop it on the source; replication carries that to the target.",
        )
    for table in (ours, theirs):
        if not table.is_base_table:
            kind = "sequence" if table.kind == "SEQUENCE" else "view"
            raise TableProblem(kind, f"{selected.name} is a {kind}: it has no rows of its own.")
    found = schema.differences(ours, theirs)
    if found:
        raise TableProblem(
            "schema_mismatch",
            f"{selected.name} is defined differently on the two servers: {'; '.join(found)}.",
            "Make the definitions equal (on the source; replication carries it) before comparing data.",
        )
    return ours, theirs


class _Tally:
    """Counts of one table while it is compared."""

    def __init__(self, table: Table, sample_rows: int, keep: int) -> None:
        self._table = table
        self._sample_rows = sample_rows
        self._keep = keep
        self._counts = {confirm.MISSING: 0, confirm.EXTRA: 0, confirm.DIFFERENT: 0}
        # Two spellings of one key are two suspects but one difference.
        self._seen: set[Row] = set()
        self.rows = 0
        self.chunks = 0
        self.sample: list[confirm.Difference] = []
        self.kept: list[confirm.Difference] = []

    def add(self, differences: t.Iterable[confirm.Difference]) -> None:
        """Count confirmed differences; keep the first ones."""
        for difference in differences:
            if self._has_two_spellings(difference):
                if difference.key in self._seen:
                    continue
                self._seen.add(difference.key)
            self._counts[difference.kind] += difference.rows
            if len(self.sample) < self._sample_rows:
                self.sample.append(difference)
            if len(self.kept) < self._keep:
                self.kept.append(difference)

    def _has_two_spellings(self, difference: confirm.Difference) -> bool:
        if self._table.key is None or difference.target is None:
            return False
        return KeySpace(self._table, self._table.key).key_of(difference.target) != difference.key

    def report(self) -> TableReport:
        """The table's verdict."""
        drift = any(self._counts.values())
        return TableReport(
            database=self._table.name.database,
            table=self._table.name.table,
            status=DRIFT if drift else IDENTICAL,
            rows=self.rows,
            missing=self._counts[confirm.MISSING],
            extra=self._counts[confirm.EXTRA],
            different=self._counts[confirm.DIFFERENT],
            sample=tuple(present.sample(self._table, difference) for difference in self.sample),
            chunks=self.chunks,
        )
