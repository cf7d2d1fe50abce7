# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on one table: structure first, then all rows, then what is confirmed of the differences."""

from __future__ import annotations

import time
import typing as t
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from . import compare, confirm, fingerprint, multiset, schema
from .crew import Crew
from .errors import ReplError, TableProblem, Undecided, UsageError
from .keyspace import KeySpace
from .lanes import Lane
from .options import Pace, Selection
from .progress import Meter
from .report import ERROR, SKIPPED, UNDECIDED, TableReport
from .schema import Table
from .selection import Selected, ignored_columns
from .session import Row
from .spool import SpoolFile, in_batches
from .state import StateFile
from .tally import Tally

# Suspected keys collected before they are read again: bounds memory, saves fences.
_SUSPECTS_AT_ONCE = 4000

# Bytes of rows read at once from one server: confirming holds both copies, as they came and taken apart, of three groups.
_BYTES_AT_ONCE = 3 << 20


@dataclass(frozen=True)
class Examination:
    """A table's report, its definitions (None if it was not compared) and the differences kept.

    ``stale``: rows of a plan that do not differ as planned any more.
    """

    report: TableReport
    table: Table | None = None
    target_table: Table | None = None
    differences: t.Collection[confirm.Difference] = ()
    stale: int = 0


@dataclass(frozen=True)
class Examiner:
    """Compares tables on both servers. Never raises an engine error for a table: it becomes its status.

    ``fence`` drains replication both ways (and raises Undecided where it cannot), ``may_go_on`` returns
    when a piece of work may begin. ``sample_rows``: differences shown for each table. ``tell`` is given
    each confirmed difference, ``meter`` how far the run is. ``packet``: the smaller max_allowed_packet, in bytes.
    """

    crew: Crew
    wanted: Selection
    pace: Pace
    fence: t.Callable[[], None]
    may_go_on: t.Callable[[], None]
    sample_rows: int
    state: StateFile
    packet: int
    tell: t.Callable[[Table, confirm.Difference], None]
    spool: SpoolFile = field(default_factory=SpoolFile)
    meter: Meter = field(default_factory=Meter)

    def examine(self, selected: Selected, keep: int) -> Examination:
        """Compare one table. ``keep``: how many confirmed differences are handed on; all are counted."""
        started = time.monotonic()
        try:
            self.meter.table(selected.name, selected.rows_estimate)
            found = self._examine(selected, keep)
        except Undecided as exc:
            found = Examination(_problem(selected, UNDECIDED, exc))
        except UsageError:
            raise
        except TableProblem as exc:
            found = Examination(_problem(selected, SKIPPED if exc.code in _LEFT_OUT else ERROR, exc))
        except ReplError as exc:
            self.crew.close()
            found = Examination(_problem(selected, ERROR, exc))
        return replace(found, report=replace(found.report, seconds=round(time.monotonic() - started, 3)))

    def _examine(self, selected: Selected, keep: int) -> Examination:
        self.may_go_on()
        table, target_table = _comparable(selected, ignored_columns(selected.name, self.wanted.ignore_columns))
        finished = self.state.finished(table)
        if finished:
            return Examination(finished, selected.source, target_table)
        fingerprint.refuse_too_long(table, self.packet)
        tally = Tally(table, self.sample_rows, keep, self.tell, self.spool)
        if table.key is None:
            self._examine_multiset(table, target_table, tally)
        else:
            theirs = {key.name.lower(): key.ordered for key in target_table.unique_keys}
            key = replace(table.key, ordered=table.key.ordered and theirs[table.key.name.lower()])
            self._examine_keyed(KeySpace(table, key), target_table, tally)
        found = tally.report()
        self.state.note(table, None, found, finished=True)
        return Examination(found, selected.source, target_table, tally.kept)

    def _examine_keyed(self, space: KeySpace, target_table: Table, tally: Tally) -> None:
        table, hands = space.table, self.crew.ready()
        scouts = hands.scouts
        ignored = ignored_columns(table.name, self.wanted.ignore_columns)
        prints = fingerprint.choose(space, scouts.source.dialect, scouts.target.dialect, self.wanted, ignored)
        larger = scouts.source if table.rows_estimate >= target_table.rows_estimate else scouts.target
        estimate = max(table.rows_estimate, target_table.rows_estimate)
        compared = confirm.Compared(frozenset(column.name for column in prints.columns), self.wanted.float_precision)
        lower = None
        checkpoint = self.state.checkpoint(table)
        if checkpoint:
            lower, found = checkpoint
            tally.resume(found)
        pending: _Places = {}
        at_once = rows_at_once(table)
        with ExitStack() as opened:
            readings: confirm.Readings[_Places] | None = None
            for chunk in compare.compare(hands, larger, prints, estimate, self.pace.chunk_time, self.may_go_on, lower):
                tally.chunks += 1
                pending.update((key, tally.rows + place * chunk.rows) for key, place in chunk.suspects.items())
                tally.rows += chunk.rows
                if len(pending) >= at_once and not space.has_spellings:
                    # So many that it pays to look at them while chunks are compared, and at several groups together.
                    if readings is None:
                        lane = self.crew.lookers()
                        readings = confirm.Readings(lane.source, lane.target, table, self.fence, compared)
                        opened.enter_context(readings)
                    for some in _groups(pending, at_once):
                        _add(tally, readings.step(list(some), some))
                    pending.clear()
                if len(pending) >= at_once or self.state.is_due:
                    _add(tally, readings.rest() if readings else ())
                    self._settle(scouts, table, pending, compared, tally, at_once)
                    self.state.note(table, chunk.span.upper, tally.report())
                self.meter.reached(tally.rows, tally.total)
            _add(tally, readings.rest() if readings else ())
        self._settle(scouts, table, pending, compared, tally, at_once)
        self.meter.reached(tally.rows, tally.total)

    def _settle(
        self,
        scouts: Lane,
        table: Table,
        pending: _Places,
        compared: confirm.Compared,
        tally: Tally,
        at_once: int,
    ) -> None:
        for some in _groups(pending, at_once):
            tally.add(confirm.confirm(scouts.source, scouts.target, table, list(some), self.fence, compared), some)
        pending.clear()
        tally.settled()

    def _examine_multiset(self, table: Table, target_table: Table, tally: Tally) -> None:
        lane = self.crew.ready().scouts
        columns = fingerprint.compared_columns(table, ignored_columns(table.name, self.wanted.ignore_columns))
        rows = multiset.Rows(table, columns, self.wanted.where, self.wanted.float_precision)
        estimate = max(table.rows_estimate, target_table.rows_estimate)
        found = multiset.scan(lane, rows, estimate)
        at_once = rows_at_once(table)
        tally.chunks, tally.rows = 1, found.rows
        for suspects in found.suspects:
            for start in range(0, len(suspects), at_once):
                tally.add(multiset.confirm(lane, rows, suspects[start : start + at_once], self.fence))
                self.meter.reached(tally.rows, tally.total)


# Suspected keys, and how many rows of the table lie before each.
_Places = dict[Row, float]


def _groups(pending: _Places, most: int) -> t.Iterator[_Places]:
    """The suspects in groups of so many."""
    return map(dict, in_batches(pending.items(), most))


def _add(tally: Tally, confirmed: t.Iterable[tuple[list[confirm.Difference], _Places]]) -> None:
    for differences, places in confirmed:
        tally.add(differences, places)


def rows_at_once(table: Table) -> int:
    """How many suspected rows are read again together: many share the waits for replication, few fit into little memory."""
    return max(20, table.rows_within(_BYTES_AT_ONCE, _SUSPECTS_AT_ONCE))


_LEFT_OUT = frozenset({"view", "sequence"})


def _problem(selected: Selected, status: str, problem: ReplError) -> TableReport:
    return TableReport(selected.name.database, selected.name.table, status, problem.code, problem.text)


def _comparable(selected: Selected, ignored: frozenset[str]) -> tuple[Table, Table]:
    """Both definitions, of the source's what can be compared; ``ignored`` columns need not. Raises TableProblem."""
    ours, theirs = selected.source, selected.target
    if ours is None or theirs is None:
        where, other = ("target", "source") if theirs is None else ("source", "target")
        raise TableProblem(
            f"missing_on_{where}",
            f"{selected.name} exists on the {other} only.",
            "Create or drop it on the source; replication carries that to the target.",
        )
    if ours.is_base_table != theirs.is_base_table:
        table, other = ("source", "target") if ours.is_base_table else ("target", "source")
        raise TableProblem(
            "schema_mismatch",
            f"{selected.name} is a table on the {table}, and none on the {other}.",
            "Make it the same on both (on the source; replication carries it).",
        )
    if not ours.is_base_table:
        kind = "sequence" if ours.kind == "SEQUENCE" else "view"
        raise TableProblem(kind, f"{selected.name} is a {kind}: it has no rows of its own.")
    unreliable = ours.unreliable_indexes or theirs.unreliable_indexes
    if unreliable:
        raise TableProblem(
            "unreliable_index",
            f"{selected.name} has hash indexes of the beginning of a column ({', '.join(unreliable)}); by them MySQL does not"
            " find rows that are there, so these would seem to be missing.",
            "Make them USING BTREE, or of the whole column; or leave the table out with ignore_tables.",
        )
    found = schema.differences(ours, theirs, ignored)
    if found:
        raise TableProblem(
            "schema_mismatch",
            f"{selected.name} is defined differently on the two servers: {'; '.join(found)}.",
            "Make the definitions equal (on the source; replication carries it) before comparing data.",
        )
    return schema.without_unlike(ours, theirs, ignored), theirs
