# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compare the selected tables of a pair; read-only (law 11)."""

from __future__ import annotations

import time
import typing as t

from .. import planfile
from ..causes import unexplained
from ..confirm import Difference
from ..crew import Crew
from ..errors import Undecided
from ..examine import Examination, Examiner
from ..fence import fence_both
from ..options import Pace, Selection, Servers
from ..progress import COMPARE, Listener, Meter, nobody
from ..redefined import Examinations
from ..report import DRIFT, IDENTICAL, SKIPPED, UNDECIDED, ChecksumReport, ServerReport, TableReport, summarize
from ..schema import Table
from ..selection import Selected, named_databases, select
from ..spool import SpoolFile
from ..state import StateFile
from ..throttle import Throttle, watch
from ..topology import OpenPair, Pair, ServerFacts, open_pair
from . import info
from .shared import collecting_seldom

#: Reasons for leaving out something that is no table; they do not spoil ``in_sync``.
NOT_TABLES = frozenset({"view", "sequence"})


def run(
    servers: Servers, selection: Selection, pace: Pace, sample_rows: int, plan_file: str = "", listener: Listener = nobody
) -> ChecksumReport:
    """Compare and report; with ``plan_file`` also write the confirmed differences there, for a repair to apply.

    Raises ReplError when nothing at all can be compared, and what the ``listener`` raises.
    """
    started = time.monotonic()
    meter = Meter(listener)
    with collecting_seldom(), open_pair(servers) as connections:
        pair, hazards = info.preflight(connections.source, connections.target, servers, False, named_databases(selection))
        with planfile.Writer(plan_file, pair.source, pair.target) as plan:
            found = examine_all(connections, pair, servers, selection, pace, sample_rows, 0, plan.add, meter=meter)
        tables = tuple(examination.report for examination in found)
        return ChecksumReport(
            in_sync=all_identical(tables),
            tables=tables,
            summary=summarize(tables, time.monotonic() - started),
            source=server_report(pair.source),
            target=server_report(pair.target),
            hazards=(*hazards, *unexplained(hazards, any(table.status == DRIFT for table in tables))),
        )


def examine_all(
    connections: OpenPair,
    pair: Pair,
    servers: Servers,
    selection: Selection,
    pace: Pace,
    sample_rows: int,
    keep: int,
    tell: t.Callable[[Table, Difference], None] = lambda table, difference: None,
    *,
    meter: Meter,
) -> tuple[Examination, ...]:
    """Examine every selected table. ``keep``: differences of a table that are handed on; ``tell`` is given all.

    Raises UsageError for a selection that names what does not exist, and what the meter's listener raises. When
    replication cannot be drained at the start, every table is undecided and none is read.
    """
    chosen = select(connections.source, connections.target, selection)

    def fence() -> None:
        fence_both(connections.source, connections.target, pair, servers.fence_timeout, meter.draining)

    try:
        fence()
    except Undecided as exc:
        meter.hold()
        return tuple(Examination(_undecided(selected, exc)) for selected in chosen)
    meter.begin(COMPARE, len(chosen), sum(selected.rows_estimate for selected in chosen))
    state = StateFile(pace.state_file, (pair.source.identity, pair.target.identity, selection))
    found = Examinations(connections.source, connections.target)
    spool = SpoolFile()
    replicas = ((connections.source, pair.source_replicas), (connections.target, pair.target_replicas))
    with watch(pace, replicas) as below, Crew(connections.new_source, connections.new_target, pace.workers) as crew:
        packet = min(facts.max_allowed_packet for facts in (pair.source, pair.target))
        throttle = Throttle(pace, connections.source, connections.target, meter, below=below)
        examiner = Examiner(crew, selection, pace, fence, throttle.wait, sample_rows, state, packet, tell, spool, meter)
        for selected in chosen:
            filtered = pair.filter_on(selected.name.database, selected.name.table)
            if filtered:
                found.add(Examination(_filtered(selected, filtered)))
                continue
            # Each table has the whole allowance: one that is refused in the end must not have used that of another.
            found.add(examiner.examine(selected, keep))
    examinations = found.all()
    if any(examination.report.status == UNDECIDED for examination in examinations):
        state.write()
    else:
        state.remove()
    # Whoever ended the run made the remaining tables undecided so far; now the run ends.
    meter.hold()
    return examinations


def all_identical(tables: t.Iterable[TableReport]) -> bool:
    """Whether every table was compared and is identical."""
    return all(is_identical(table) for table in tables)


def is_identical(table: TableReport) -> bool:
    """Whether a table was compared and is identical, or is no table at all."""
    return table.status == IDENTICAL or (table.status == SKIPPED and table.reason in NOT_TABLES)


def server_report(facts: ServerFacts) -> ServerReport:
    """The short form of a server's facts."""
    return ServerReport(facts.host, facts.port, facts.server_id, facts.version, facts.flavor)


def _filtered(selected: Selected, filtered: str) -> TableReport:
    """A table that does not replicate differs by design; what is logged for it might reach nobody."""
    message = f"Changes of {selected.name} do not all flow between the two servers: {filtered}."
    return TableReport(selected.name.database, selected.name.table, SKIPPED, "filtered", message)


def _undecided(selected: Selected, problem: Undecided) -> TableReport:
    return TableReport(selected.name.database, selected.name.table, UNDECIDED, problem.code, problem.text)
