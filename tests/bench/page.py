# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The results as text: for the terminal, and as docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import CHECKOUT, figures
from .figures import Results, number
from .measure import median
from .stage import Scale

PAGE = CHECKOUT / "docs" / "performance.md"

_HEAD = """\
<!--
SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
SPDX-License-Identifier: GPL-3.0-or-later
-->

# Performance

Written by `make bench`; every number below was measured by it, in one run.

All contenders ran in turn on the same pair of co-masters, {rounds} times over, each time beginning
with another. A ratio is the median over these rounds, of runs made right after one another; the
lowest and highest round are in brackets. On a machine that has other work, seconds mean little
and ratios are what to read. CPU is that of both servers, of the contender and of what it starts,
which other work hardly touches.

- **check**: seconds of our engine from before its first connection to its verdict, both
  directions of replication drained. Ansible's own start is told apart.
- **full scan**: the least any comparison can cost: the same hash over the whole table, as one
  query on both servers at once, with no chunks and no search for what differs.
- **bare loop of REPLACE**: the least a refill can cost: read 500 rows under a lock, log them as one
  statement through the shadow, and so on until all have arrived; no check, journal or verification.
- **pt-table-checksum**, **pt-table-sync**: Percona Toolkit with its default settings, from the
  start of its process to its end. Its hash is CRC32 under XOR, which misses equal edits in an even
  number of rows; ours is strong.
"""


_FOOT = """\
## Where the time goes

Profiled on the table of 1,000,000 rows and 12 columns, in shares of a full scan.

| | MariaDB 10.11 | MySQL 9 |
|---|---|---|
| reading the rows | 12 % | 12 % |
| making one unambiguous string of each row | 38 % | 67 % |
| SHA-256 of it | 30 % | 18 % |
| combining | 20 % | 3 % |

What the check takes beyond a full scan: 20 to 40 ms until the first row is read (connections, hazards, both fences), one
or two percent for the strips that a chunk is read in, and that chunks begin small. Ends of chunks are reckoned where the
key is one integer. For any other key a server counts along the index: 5 to 15 percent, on one server.

With scattered differences strips become narrower (about 5 %), those that differ are read again (about 6 %), and suspected
rows three times more (1 to 2 %). For a key that is not one integer the ends of strips are counted, from when something
differs: the first chunks are read twice then, and each strip costs as much as 200 rows, half of it for finding its end. To
compare rows with the ends of a range costs 15 % of a scan (MariaDB) to 25 % (MySQL) for such keys, with strips or without.

## What a writer waits for

For a core. A check keeps one core of each server busy; here the writer, two servers and the contender share two. A writer
that wakes up while both are busy waits for the end of somebody's turn, which Linux lets last some milliseconds. A bare
full scan holds it up as long as a check does, and so do two processes that only count, with no database at work (p99 4 to 6
ms). With the writer and the server's thread that serves it first on the CPU, nothing of it is left beside a check, on
either server. So leave a core idle for the check, and it is not noticed; where none is, see `max_threads_running` and
`pause_file` in [tuning.md](tuning.md).

A refill keeps both servers at work, and no client can change that: with all on two cores, a bare loop that logs no more than
20,000 rows/s holds a writer up more than twice as long as nobody does, even where its own process yields to every other one
(nice 19, or SCHED_IDLE). Here too nothing is left of it with the writer first on the CPU.

## What a refill takes

CPU, measured on MariaDB 10.11 beside other work, in µs for each row of 238 bytes:

| | client | source | target |
|---|---|---|---|
| check: fingerprints, then each row read three times, twice of them drained | 17 | 13 | 4 |
| repair: journal, locked row, statement, replay, verification | 27 | 18 | 15 |

That is 94 together: where client and both servers share two cores, no more than about 21,000 rows/s could come of it, even if
no core ever waited. The three overlap in part: the source is at one statement while the client writes the next, and the target
replays meanwhile; a draining and a verification come between some batches.
"""


def render(found: Sequence[Results], scale: Scale) -> str:
    """The whole page."""
    parts = [_HEAD.format(rounds=scale.rounds), _machine(found)]
    for results in found:
        parts += [f"## {results.flavor} ({results.version})\n", *_sections(results)]
    return "\n".join([*parts, _FOOT])


def terminal(results: Results) -> str:
    """One flavour's tables, to be read at once."""
    return "\n".join(_sections(results))


def _sections(results: Results) -> Iterator[str]:
    promises = [["target", "measured", "bound", "verdict"]]
    promises += [
        [figure.what, figure.measured, figure.target, figure.verdict if results.judged else "–"]
        for figure in figures.figures(results)
    ]
    if len(promises) > 1:
        yield "### Targets\n\n" + _table(promises)
    if results.checks:
        yield "### The check\n\n" + _table(figures.check_table(results))
        for checked in results.checks.values():
            for state, rounds in (("clean", checked.clean), ("35 differ", checked.drifted)):
                for name, failure in rounds.failures.items():
                    title = f"{checked.dataset.title}, {state}"
                    yield f"{title}: {name} failed: {_last_line(failure)}\n"
    if results.writers:
        usual, first = results.writers.usual, results.writers.first
        yield (
            "### A writer on the source\n\nSingle-row updates of the compared table, one after the"
            " other, a millisecond apart.\n\n" + _table(figures.writer_table(usual))
        )
        if first.seconds:
            yield (
                "The same, the writer and the server's thread that serves it being first on the CPU (real-time priority), as"
                " where a core is idle. What is left is what the server itself lets a write wait for: locks, mutexes, the"
                " disk.\n\n" + _table(figures.writer_table(first))
            )
        for latencies in (usual, first):
            for name, failure in latencies.failures.items():
                yield f"{name} failed: {_last_line(failure)}\n"
    repairs = [*results.repairs, *([results.bulk] if results.bulk else [])]
    if repairs:
        yield "### Repair\n\n" + _table(figures.repair_table(repairs))
    if results.bulk and results.bulk.written.usual.seconds:
        written = results.bulk.written
        yield (
            "### A writer beside a refill\n\nSingle-row updates of any row of the table that the target lost, a millisecond"
            " apart.\n\n" + _table(figures.writer_table(written.usual))
        )
        if written.first.seconds:
            yield "The same, the writer being first on the CPU, as above.\n\n" + _table(figures.writer_table(written.first))
    if results.left_out:
        yield f"Not measured for want of time: {', '.join(results.left_out)}.\n"
    if results.ansible and results.ansible.seconds("ansible"):
        seconds = median(results.ansible.seconds("ansible"))
        yield f"Ansible's own start, for one task on one host: {number(seconds, 's')}.\n"


def _machine(found: Sequence[Results]) -> str:
    processor = _first("/proc/cpuinfo", r"model name\s*: (.*)")
    memory = int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)") or 0) / 2**20
    system = _first("/etc/os-release", r"PRETTY_NAME=.(.*).")
    lines = [
        f"- Date: {time.strftime('%Y-%m-%d')}",
        f"- Machine: {os.cpu_count()} cores of {processor}, {memory:.0f} GiB memory, shared by both"
        " servers, the contender and the writer",
        f"- System: {system}, Linux {platform.release()}, Python {platform.python_version()}",
    ]
    for results in found:
        lines.append(f"- {results.flavor}: server {results.version}; Percona Toolkit {results.toolkit}")
    return "\n".join(lines) + "\n"


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"))
    except OSError:
        found = None
    return found.group(1) if found else ""


def _table(rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns line up in a terminal too."""
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:300]
