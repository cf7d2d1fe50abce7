# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is measured: the check of each dataset, writers beside it, repairs, Ansible's own start."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pymysql.connections import Connection

from sandbox import Server

from . import ours
from .datasets import DATABASE, SCATTERED, Dataset
from .limit import bare_loop, full_scan
from .measure import ENOUGH, Contender, ContenderFailed, Rounds, Sample, in_turn
from .stage import Stage, loaded, say

LIMIT = "full scan"
OURS = "check"
TOOLKIT = "pt-table-checksum"

PLAN = "plan"
SYNC = "sync"
FROM_PLAN = "sync from a plan"
PT_PLAIN = "pt-table-sync"
PT_CHECKSUM = TOOLKIT
PT_REPLICATE = "pt-table-sync --replicate"
BARE = "bare loop of REPLACE"
#: Rows a second that a refill is asked for, its check included.
REFILLED = 20_000
PACED = f"{BARE}, {REFILLED:,} rows/s"

_UNBOUNDED = {"max_changes": 10**9, "max_deletes": 10**9}


# -- the check -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """The check of one dataset, clean and drifted."""

    dataset: Dataset
    row_bytes: int
    clean: Rounds
    drifted: Rounds


def check(on: Stage, name: str) -> Checked:
    """Compare one dataset by all contenders, clean and with scattered differences."""
    with loaded(on, name) as dataset:
        full_scan(on.pair, DATABASE)  # into memory
        clean = in_turn(_checkers(on, 0), on.scale.rounds, on.processes)
        tell(clean)
        dataset.spoil(on.pair.b)
        contenders = _checkers(on, SCATTERED)
        if sum(clean.seconds(TOOLKIT)) > ENOUGH:
            del contenders[TOOLKIT]  # minutes for a ratio that is known
        drifted = in_turn(contenders, on.scale.rounds, on.processes)
        tell(drifted)
        return Checked(dataset, dataset.row_bytes(on.pair.a), clean, drifted)


def _checkers(on: Stage, expected: int | None) -> dict[str, Contender]:
    def limit() -> Sample:
        return Sample(full_scan(on.pair, DATABASE))

    contenders = {LIMIT: limit, OURS: lambda: _check(on, expected)}
    return {**contenders, **_toolkit(on)}


def _check(on: Stage, expected: int | None) -> Sample:
    outcome = ours.run(ours.job(on.pair, "checksum", DATABASE))
    if expected is not None and outcome.differences != expected:
        raise ContenderFailed(f"found {outcome.differences} differences, not {expected}")
    return Sample(outcome.seconds, outcome.memory)


def _toolkit(on: Stage) -> dict[str, Contender]:
    toolkit = on.toolkit
    if toolkit is None:
        return {}

    def checksum() -> Sample:
        done = toolkit.checksum(on.pair, DATABASE)
        return Sample(done.seconds, done.memory)

    return {TOOLKIT: checksum}


# -- writers ---------------------------------------------------------------------------------------

ALONE = "alone"
_PAUSE = 0.001
"""Seconds between two writes: a writer that waits shows, a writer that fills a core does not."""


@dataclass
class Latencies:
    """Seconds each write took, alone and beside each contender."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """A writer's latencies: as they were, and with the writer first on the CPU, as on a server with an idle core."""

    usual: Latencies
    first: Latencies


def writers(on: Stage) -> Written:
    """Watch a writer of single rows on the source while nobody, a bare query, we, or the toolkit compare."""

    def rest() -> Sample:
        time.sleep(on.scale.writing_seconds)
        return Sample(on.scale.writing_seconds)

    contenders = {ALONE: rest, **_checkers(on, None)}
    found = Written(Latencies(), Latencies())
    with loaded(on, "1m12") as dataset:
        for _round in range(on.scale.repair_rounds):
            for latencies, first in ((found.usual, False), (found.first, True)):
                for name, contender in contenders.items():
                    if name not in latencies.failures:
                        _write_beside(on, dataset, name, contender, latencies, first)
    return found


def _write_beside(on: Stage, dataset: Dataset, name: str, contender: Contender, latencies: Latencies, first: bool) -> None:
    try:
        with _writing(on.pair.a, dataset.rows, first=first) as seconds:
            _for_a_while(contender, on.scale.writing_seconds)
    except (ContenderFailed, PermissionError) as error:
        latencies.failures[name] = str(error)
    else:
        latencies.seconds.setdefault(name, []).extend(seconds)
    on.pair.wait(600)


def _for_a_while(contender: Contender, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        contender()


@contextmanager
def _writing(server: Server, rows: int, binlog_format: str = "ROW", first: bool = False) -> Iterator[list[float]]:
    """Change one row after the other, each in its own transaction, for the time of a block.

    *first*: the writer, and the server's thread that serves it, get the CPU as soon as they ask for it. What still
    holds a write up is the server: locks, its mutexes, its disk. Raises PermissionError where nobody may be put first.
    """
    latencies: list[float] = []
    stop = threading.Event()

    def write() -> None:
        with (
            closing(server.connect(database=DATABASE)) as connection,
            connection.cursor() as cursor,
            _first(server, connection, first),
        ):
            cursor.execute(f"SET SESSION binlog_format = '{binlog_format}'")
            while not stop.is_set():
                row = random.randint(1, rows)
                started = time.monotonic()
                cursor.execute("UPDATE t SET quantity = quantity + 1 WHERE id = %s", (row,))
                latencies.append(time.monotonic() - started)
                time.sleep(_PAUSE)

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="writer") as pool:
        writing = pool.submit(write)
        try:
            yield latencies
        finally:
            stop.set()
        writing.result()


_THREAD = {
    "mariadb": "SELECT TID FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID()",
    "mysql": "SELECT THREAD_OS_ID FROM performance_schema.threads WHERE PROCESSLIST_ID = CONNECTION_ID()",
}


@contextmanager
def _first(server: Server, connection: Connection[Any], first: bool) -> Iterator[None]:
    """Put the caller's thread and the one that serves its connection before all others, for the time of a block."""
    threads: list[int] = []
    if first:
        with connection.cursor() as cursor:
            cursor.execute(_THREAD[server.family])
            threads = [threading.get_native_id(), *(int(thread) for (thread,) in cursor.fetchall())]
    try:
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))
        yield
    finally:
        # The server keeps its thread for the next connection, which may be that of a contender.
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


# -- repairs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repaired:
    """Repairs of one drift: how many rows, and what each way took."""

    rows: int
    rounds: Rounds


def repairs(on: Stage) -> list[Repaired]:
    """Repair scattered rows several times, and a tenth of the table once."""
    found = []
    with loaded(on, "1m12") as dataset:
        for rows, count in ((SCATTERED, on.scale.repair_rounds), (dataset.rows // 10, 1)):
            rounds = in_turn(_repairers(on, dataset, rows), count)
            tell(rounds)
            found.append(Repaired(rows, rounds))
    return found


def _repairers(on: Stage, dataset: Dataset, rows: int) -> dict[str, Contender]:
    """All ways to repair; each leaves both sides equal, or it has failed."""
    few = rows == SCATTERED

    def spoil() -> None:
        if few:
            dataset.spoil(on.pair.b)
        else:
            dataset.spoil_tenth(on.pair.b)

    def mend() -> None:
        on.pair.wait(600)
        if few:
            dataset.mend(on.pair.b)
        else:
            dataset.mend_tenth(on.pair.b)

    def repaired_by(work: Callable[[], Sample]) -> Contender:
        def contend() -> Sample:
            spoil()
            try:
                sample = work()
                on.pair.wait(600)
                _check(on, 0)
            finally:
                mend()
            return sample

        return contend

    def plan() -> Sample:
        spoil()
        try:
            return _sync(on, "plan", rows)
        finally:
            mend()

    contenders: dict[str, Contender] = {
        PLAN: plan,
        FROM_PLAN: repaired_by(lambda: _from_plan(on, rows)),
        SYNC: repaired_by(lambda: _sync(on, "sync", rows)),
    }
    toolkit = on.toolkit
    if toolkit is None:
        return contenders

    def plain() -> Sample:
        done = toolkit.sync(on.pair, DATABASE, "t", replicate=False)
        return Sample(done.seconds, done.memory)

    def replicate() -> Sample:
        toolkit.checksum(on.pair, DATABASE)
        done = toolkit.sync(on.pair, DATABASE, "t", replicate=True)
        return Sample(done.seconds, done.memory)

    def checksum() -> Sample:
        spoil()
        try:
            done = toolkit.checksum(on.pair, DATABASE)
        finally:
            mend()
        return Sample(done.seconds, done.memory)

    contenders[PT_CHECKSUM] = checksum
    contenders[PT_PLAIN] = repaired_by(plain)
    if few:  # with many rows it takes as long as the plain one, and minutes
        contenders[PT_REPLICATE] = repaired_by(replicate)
    return contenders


def _sync(on: Stage, operation: str, expected: int, plan_file: str = "") -> Sample:
    with tempfile.TemporaryDirectory() as journals:
        wanted = ours.job(on.pair, operation, DATABASE, undo_dir=journals, **_UNBOUNDED)
        outcome = ours.run(replace(wanted, plan_file=plan_file))
    if outcome.changes != expected:
        raise ContenderFailed(f"{operation}: {outcome.changes} changes, not {expected}")
    return Sample(outcome.seconds, outcome.memory, repairing=outcome.repairing)


def _from_plan(on: Stage, expected: int) -> Sample:
    """Apply a plan; making it is not counted, as pt-table-checksum is not for pt-table-sync --replicate."""
    with tempfile.TemporaryDirectory() as folder:
        plan_file = f"{folder}/plan"
        ours.run(replace(ours.job(on.pair, "checksum", DATABASE), plan_file=plan_file))
        return _sync(on, "sync", expected, plan_file)


@dataclass(frozen=True)
class Refilled(Repaired):
    """A lost table refilled: alone, and beside a writer of all of its rows."""

    written: Written


def bulk(on: Stage) -> Refilled:
    """Refill a table that the target lost; then once more while a writer is watched. And so by a bare loop."""
    with loaded(on, "1m12", on.scale.refilled_rows) as dataset:

        def lose() -> None:
            on.pair.b.execute(f"TRUNCATE TABLE {DATABASE}.t", logged=False)

        def refill() -> Sample:
            lose()
            sample = _sync(on, "sync", dataset.rows)
            on.pair.wait(600)
            return sample

        def bare(pace: int | None = None) -> Sample:
            lose()
            return Sample(bare_loop(on.pair, DATABASE, "t", pace))

        contenders = {BARE: bare, SYNC: refill}
        rounds = in_turn(contenders, on.scale.repair_rounds, on.processes)
        tell(rounds)
        written = Written(Latencies(), Latencies())

        def rest() -> Sample:
            time.sleep(on.scale.writing_seconds)
            return Sample(on.scale.writing_seconds)

        for latencies, first in ((written.usual, False), (written.first, True)):
            for name, contender in {ALONE: rest, **contenders, PACED: lambda: bare(REFILLED)}.items():
                _refill_beside(on, dataset, name, contender, latencies, first)
        return Refilled(dataset.rows, rounds, written)


def _refill_beside(on: Stage, dataset: Dataset, name: str, contender: Contender, latencies: Latencies, first: bool) -> None:
    try:
        # Statements: a changed row that the target lacks would stop a link that carries rows.
        with _writing(on.pair.a, dataset.rows, "STATEMENT", first) as latencies.seconds[name]:
            contender()
    except (ContenderFailed, PermissionError) as error:
        latencies.failures[name] = str(error)
    on.pair.wait(600)


# -- Ansible ---------------------------------------------------------------------------------------


def ansible_start(on: Stage) -> Rounds:
    """What Ansible takes beyond the engine, for one task on one small table."""
    with loaded(on, "small"):
        wanted = ours.job(on.pair, "checksum", DATABASE)
        rounds = in_turn({"ansible": lambda: Sample(ours.ansible_start(wanted))}, on.scale.repair_rounds)
    tell(rounds)
    return rounds


def tell(rounds: Rounds) -> None:
    """Print what each contender took."""
    for name, samples in rounds.samples.items():
        seconds = " ".join(f"{sample.seconds:.2f}" for sample in samples)
        say(f"    {name:28} {seconds or 'failed: ' + rounds.failures.get(name, '')[:300]}")
