# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever way rows are repaired: between two batches the run holds back when asked to, and may be ended.

What had been done by then is complete and in the report; the next run goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from integration_engine.support import servers, until_behind

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import copies, options, progress, throttle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from sandbox import co_masters

ROWS = 50
BATCH = 5

# How rows are repaired: the options, and what is done to the target for it.
WAYS = {
    "shadow": ({}, "UPDATE t SET v = -1"),
    "row": ({"method": "row"}, "UPDATE t SET v = -1"),
    "adopt": ({"extra_rows": "adopt"}, "INSERT INTO t SELECT id + 100, v + 100, w FROM t"),
    "newest": ({"conflict": "newest", "conflict_column": "w"}, "UPDATE t SET v = -1, w = 1"),
    "keyless": ({}, "UPDATE t SET v = -1 - v"),
}


class Acts:
    """A listener that does something at some calls of a repair, and remembers what was waited for."""

    def __init__(self, acts: dict[int, Callable[[], None]], waiting: Callable[[str], None] = lambda why: None) -> None:
        self._acts, self._waiting = acts, waiting
        self._calls = 0

    def __call__(self, now: progress.Progress) -> None:
        if now.stage != progress.REPAIR:
            return
        if now.waiting and "applied" not in now.waiting:
            self._waiting(now.waiting)
            return
        self._calls += 1
        self._acts.pop(self._calls, lambda: None)()


class Clock:
    """Time as the throttle sees it, which may jump."""

    ahead = 0.0
    sleep = staticmethod(time.sleep)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def jump(self) -> None:
        self.ahead += 1000


def end() -> None:
    raise Undecided("interrupted", "enough")


def run(pair, database, undo_dir, way, listener=progress.nobody, **pace):
    limits = options.Repair(undo_dir=str(undo_dir), batch_rows=BATCH, downstream="idempotent", **WAYS[way][0])
    wanted = options.Selection(databases=(database,))
    return sync.run(servers(pair), wanted, options.Pace(**pace), limits, 0, apply=True, listener=listener)


def spoil(pair, database, way):
    """Make the tables equal, then spoil all rows of the target."""
    key = "" if way == "keyless" else "PRIMARY KEY"
    rows = ", ".join(f"({n}, {n}, 0)" for n in range(ROWS))
    made = [
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (id int {key}, v int, w int)",
        f"INSERT INTO t VALUES {rows}",
    ]
    pair.a.execute(made, database=database)
    pair.wait()
    pair.b.execute(WAYS[way][1], database=database, logged=False)


def content(server, database):
    """All rows of the table."""
    return sorted(server.query("SELECT * FROM t", database=database))


def differing(pair, database):
    """Rows that only one of the two has."""
    pair.wait()
    ours, theirs = (set(content(server, database)) for server in (pair.a, pair.b))
    return ours ^ theirs


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(copies, "BATCH_VALUES", BATCH)
    monkeypatch.setattr(throttle, "_LOOK_EVERY", 0.02)


@pytest.mark.parametrize(
    ("flavor", "way"),
    [
        ("mariadb-10.11", "shadow"),
        ("mariadb-10.11", "adopt"),
        ("mariadb-10.11", "keyless"),
        ("mysql-9", "row"),
        ("mysql-9", "newest"),
        ("mysql-9", "keyless"),
    ],
)
def test_a_repair_may_be_ended_or_held_back_inside_a_table(pairs, fresh_database, tmp_path, monkeypatch, flavor, way):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        spoil(pair, database, way)
        whole = len(differing(pair, database))

        # Ended by whoever listens, or by the clock: what was done until then is in the report and on both servers.
        ended = run(pair, database, tmp_path, way, Acts({6: end}))
        assert ended.failed
        assert "enough" in str(ended.message)
        first = len(differing(pair, database))
        assert 0 < first < whole, "not ended inside the table"
        clock = Clock()
        with monkeypatch.context() as patch:
            patch.setattr(throttle, "time", clock)
            ended = run(pair, database, tmp_path, way, Acts({5: clock.jump}), max_runtime=500)
        assert [table.reason for table in ended.tables] == ["max_runtime"]
        second = differing(pair, database)
        assert 0 < len(second) < first

        # Held back by a file and by busy servers: nothing moves meanwhile; then the rest is done.
        pause = tmp_path / "pause"
        held = []

        with closing(pair.b.connect()) as holder, holder.cursor() as lock:
            lock.execute("SELECT GET_LOCK('busy', 0)")
            assert lock.fetchone() == (1,)

            def busy():
                for _each in range(20):
                    threading.Thread(target=pair.b.query, args=("SELECT GET_LOCK('busy', 30)",), daemon=True).start()
                while int(pair.b.query("SHOW GLOBAL STATUS LIKE 'Threads_running'")[0][1]) < 20:
                    time.sleep(0.05)

            def waiting(why):
                held.append((why.split()[-1], frozenset(differing(pair, database))))
                if len(held) == 3:
                    busy()
                    pause.unlink()
                if sum(reason == "running" for reason, _rows in held) == 3:
                    lock.execute("DO RELEASE_LOCK('busy')")

            pace = {"pause_file": str(pause), "max_threads_running": 15}
            done = run(pair, database, tmp_path, way, Acts({4: pause.touch}, waiting), **pace)
        assert (done.failed, done.verified) == (False, True), done.message
        assert {why for why, _rows in held} == {"exists", "running"}
        for reason in ("exists", "running"):
            assert len({rows for why, rows in held if why == reason}) == 1, f"rows were changed while {reason}"
        assert not differing(pair, database)


def lagging(pair, replica, undo_dir, way):
    """A repair in whose midst the replica falls behind for a while; returns what the tables held when it was waited for."""
    held: list[tuple[Any, Any]] = []
    with closing(replica.connect()) as holder, holder.cursor() as cursor:

        def lag():
            cursor.execute("LOCK TABLES e.other WRITE")
            pair.a.execute("INSERT INTO e.other VALUES (1)")
            until_behind(replica, 1)

        def waiting(why):
            if "replica below" in why:
                held.append((content(pair.a, "d"), content(pair.b, "d")))
            if len(held) == 3:
                cursor.execute("UNLOCK TABLES")

        done = run(pair, "d", undo_dir, way, Acts({4: lag}, waiting), max_lag=1)
    assert (done.failed, done.verified) == (False, True), done.message
    return held


@pytest.mark.parametrize("flavor", ["mariadb-10.11"])
def test_a_repair_waits_for_replicas_below_inside_a_table(tmp_path, flavor):
    with co_masters(flavor) as pair:
        replica = pair.add_replica(of=pair.a, name="c")
        pair.a.execute(["CREATE DATABASE d", "CREATE DATABASE e", "CREATE TABLE e.other (n int)"])
        for way in ("shadow", "adopt", "keyless"):
            spoil(pair, "d", way)
            held = lagging(pair, replica, tmp_path, way)
            assert len(held) >= 3, way
            assert held[0] == held[2], f"{way}: rows were changed while a replica lagged"
            assert not differing(pair, "d")
            assert content(replica, "d") == content(pair.a, "d")
