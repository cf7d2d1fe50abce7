# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sandbox itself: real servers of every flavour do what its words say, and leave nothing
behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from sandbox import FLAVORS, REPL_PASSWORD, REPL_USER, ReplicationBroken, chain, co_masters

TESTS = Path(__file__).resolve().parents[1]
EVERY = pytest.mark.parametrize("flavor", [name for name, kind in FLAVORS.items() if not kind.by_name_only])


@EVERY
@pytest.mark.parametrize(("binlog_format", "gtid"), [("ROW", True), ("MIXED", False)])
def test_writes_flow_both_ways(pairs, fresh_database, flavor, binlog_format, gtid):
    pair = pairs(flavor, binlog_format, gtid)
    assert pair.links_healthy()
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, said TEXT)", database)
        pair.wait()
        pair.a.execute("INSERT INTO t (said) VALUES ('é from a')", database)
        pair.b.execute("INSERT INTO t (said) VALUES ('ü from b')", database)
        pair.wait()
        rows = [(1, "é from a"), (2, "ü from b")]
        assert pair.a.query("SELECT * FROM t ORDER BY id", database=database) == rows
        assert pair.b.query("SELECT * FROM t ORDER BY id", database=database) == rows
    for server in pair.servers.values():
        assert server.query("SELECT @@GLOBAL.binlog_format") == [(binlog_format,)]
        assert server.query("SHOW DATABASES LIKE %s", (database,)) == []


@EVERY
def test_unlogged_change_stays_local(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id INT PRIMARY KEY, v INT)", "INSERT INTO t VALUES (1, 1)"], database)
        pair.wait()
        pair.b.execute("UPDATE t SET v = 2", database, logged=False)
        pair.wait()
        assert pair.a.query("SELECT v FROM t", database=database) == [(1,)]
        assert pair.b.query("SELECT v FROM t", database=database) == [(2,)]
        assert pair.links_healthy()


@EVERY
def test_broken_link_is_told(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id INT PRIMARY KEY)", database)
        pair.wait()
        pair.b.execute("INSERT INTO t VALUES (1)", database, logged=False)
        pair.a.execute("INSERT INTO t VALUES (1)", database)
        with pytest.raises(ReplicationBroken, match=r"a->b is broken.*1062"):
            pair.wait()
        assert not pair.links_healthy()
    assert pairs(flavor) is not pair


@EVERY
def test_accounts_and_identity(pairs, flavor):
    pair = pairs(flavor)
    with pair.a.connect(host=pair.a.host) as root, root.cursor() as cursor:
        cursor.execute("SELECT @@port, @@server_id")
        assert cursor.fetchone() == (pair.a.port, pair.a.server_id)
    with pytest.raises(pymysql.err.OperationalError):
        pair.a.connect(password="wrong")
    pair.b.connect(REPL_USER, REPL_PASSWORD, host=pair.b.host).close()
    status = pair.b.replica_status()
    assert (status["Source_Port"], status["Replica_SQL_Running"]) == (pair.a.port, "Yes")
    show = "SHOW REPLICAS" if flavor.startswith("mysql") else "SHOW SLAVE HOSTS"
    assert str(pair.b.port) in map(str, pair.a.query(show)[0])
    assert pair.a.binlog_position()[1] > 4
    assert "SET" in pair.a.binlog_dump()


@EVERY
def test_replicas_crashes_and_pauses(flavor):
    with co_masters(flavor) as pair:
        pair.a.execute(
            [
                "CREATE DATABASE d",
                "CREATE TABLE d.t (id INT PRIMARY KEY)",
                "INSERT INTO d.t VALUES (1)",
            ]
        )
        below = pair.add_replica(of=pair.b, name="c")
        assert pair.c is below
        assert below.query("SELECT id FROM d.t") == [(1,)]
        assert sorted(map(str, pair.links)) == ["a->b", "b->a", "b->c"]

        pair.a.kill()
        assert not pair.a.running
        pair.b.execute("INSERT INTO d.t VALUES (2)")
        pair.a.start()
        pair.wait()
        assert pair.a.query("SELECT id FROM d.t ORDER BY id") == [(1,), (2,)]

        pair.b.stop()
        pair.b.start(replicate=False)
        pair.a.execute("INSERT INTO d.t VALUES (3)")
        with pytest.raises(ReplicationBroken, match="a->b"):
            pair.wait()
        pair.b.start_replica()
        pair.wait()
        assert below.query("SELECT id FROM d.t ORDER BY id") == [(1,), (2,), (3,)]
        assert pair.links_healthy()

        below.pause()
        with pytest.raises(ReplicationBroken, match="silent"):
            pair.wait(1)
        below.resume()
        pair.wait()


@EVERY
def test_chain_channel_and_delay(flavor):
    with chain(flavor, names=("top", "low"), gtid=False, options={"sql_mode": "ANSI_QUOTES"}) as line:
        assert "ANSI_QUOTES" in line.low.query("SELECT @@GLOBAL.sql_mode")[0][0]
        line.low.reset_replica()
        assert line.low.replica_status() == {}
        line.low.replicate_from(line.top, channel="feed", delay=2, position=line.top.binlog_position())
        assert line.low.replica_status("feed")["SQL_Delay"] == 2
        line.top.execute("CREATE DATABASE late")
        began = time.monotonic()
        line.wait()
        assert time.monotonic() - began > 0.9
        assert line.low.query("SHOW DATABASES LIKE 'late'") == [("late",)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder with a name short enough to hold unix sockets, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="sbx-", dir="/tmp") as folder:
        yield Path(folder)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_its_process(temporary, how):
    """A Python that runs a pair is ended; its servers are gone, and so is their data by the next
    run at the latest.
    """
    child = _in_child(temporary, "mariadb-10.11")
    pids = [int(word) for word in child.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(_lives, pids))
    child.send_signal(how)
    child.wait(30)
    deadline = time.monotonic() + 10
    while any(map(_lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_lives, pids))
    if how is not signal.SIGINT:
        assert len(list(temporary.glob("*/"))) == 1
        following = _in_child(temporary, "mariadb-10.11")
        following.stdout.readline()
        assert len(list(temporary.glob("*/"))) == 1
        following.send_signal(signal.SIGINT)
        following.wait(30)
    assert not list(temporary.glob("*/"))


def _in_child(folder: Path, flavor: str) -> subprocess.Popen[str]:
    """Start a Python that starts a pair from a thread that ends, prints the servers' process ids
    and waits.
    """
    program = f"""
import signal, threading, time
from sandbox import co_masters
# A shell hands SIGINT to what it runs in the background as ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
made = []
thread = threading.Thread(target=lambda: made.append(co_masters({flavor!r})))
thread.start()
thread.join()
time.sleep(0.2)
print(*(server.pid for server in made[0].servers.values()), flush=True)
while True:  # a signal that comes right before a sleep does not end it
    time.sleep(0.1)
"""
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _lives(pid: int) -> bool:
    """Tell whether a process runs (one that is dead but not yet reaped does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
