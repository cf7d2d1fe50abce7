# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas below the target and the source: after a repair each runs, is STRICT again and is equal (law 10)."""

from __future__ import annotations

from contextlib import closing

import pytest
from integration_engine.support import attached, image, servers, until, until_behind

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ReplError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")
DRIFT = [
    "DELETE FROM t WHERE id IN (3, 4)",
    "UPDATE t SET v = 'bad', u = NULL WHERE id = 5",
    "UPDATE t SET u = 5 WHERE id = 6",
    "UPDATE t SET u = 6 WHERE id = 5",
    "INSERT INTO t VALUES (70, NULL, 'extra')",
]


def mode(server):
    """How a server applies rows."""
    name = "slave_exec_mode" if server.family == "mariadb" else "replica_exec_mode"
    return server.query(f"SELECT @@global.{name}")[0][0]


def run(pair, undo_dir, downstream, pace=None, apply=True, how=None, **more):
    """Run the sync on the database; ``how``: more of options.Repair."""
    limits = options.Repair(downstream=downstream, undo_dir=str(undo_dir), **(how or {}))
    selection = options.Selection(databases=("d",))
    return sync.run(servers(pair, **more), selection, pace or options.Pace(), limits, sample_rows=10, apply=apply)


def family(pair):
    """A⇄B, C below B, D below A, all with the same tables; B drifts, C and D keep the right rows."""
    below, sibling = pair.add_replica(of=pair.b, name="c"), pair.add_replica(of=pair.a, name="d")
    rows = ", ".join(f"({n}, {n}, 'v{n}')" for n in range(1, 11))
    pair.a.execute(
        [
            "CREATE DATABASE d",
            "CREATE TABLE d.t (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20))",
            f"INSERT INTO d.t VALUES {rows}",
        ]
    )
    pair.wait()
    pair.b.execute(DRIFT, database="d", logged=False)
    return below, sibling, image(pair.a, "d")


@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT", "MIXED"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_replica_runs_and_is_equal_afterwards(tmp_path, flavor, binlog_format):
    with co_masters(flavor, binlog_format) as pair:
        below, sibling, good = family(pair)
        if binlog_format != "STATEMENT":
            with pytest.raises(ReplError, match="downstream_replicas") as refused:
                run(pair, tmp_path, "refuse")
            assert "downstream: idempotent" in str(refused.value)
            assert image(pair.b, "d") != good
        result = run(pair, tmp_path, "refuse" if binlog_format == "STATEMENT" else "idempotent")
        assert not result.failed, result.message
        pair.wait()
        assert pair.links_healthy()
        for server in (pair.a, pair.b, below, sibling):
            assert image(server, "d") == good, server
            assert mode(server) == "STRICT"


@pytest.mark.parametrize("logs", ["ON", "OFF"])
def test_a_replica_that_would_lose_generated_values_is_not_written_to(tmp_path, logs):
    """MariaDB, lenient and not logging what it applies, stores NULL in the rows that follow one which was there already."""
    with co_masters("mariadb-11.8", "ROW") as pair:
        below = pair.add_replica(of=pair.b, name="c", options={"log_slave_updates": logs})
        columns = "id int PRIMARY KEY, u varchar(9) UNIQUE, g int GENERATED ALWAYS AS (id MOD 7) STORED"
        rows = "(-127, ''), (-44, 'old'), (1, 'd')"
        pair.a.execute(["CREATE DATABASE d", f"CREATE TABLE d.t ({columns})", f"INSERT INTO d.t (id, u) VALUES {rows}"])
        pair.wait()
        pair.b.execute("UPDATE t SET id = -9 WHERE id = -127", database="d", logged=False)
        pair.a.execute("UPDATE t SET u = 'new' WHERE id = -44", database="d", logged=False)
        good, old = image(pair.a, "d"), image(below, "d")
        result = run(pair, tmp_path, "idempotent")
        pair.wait()
        assert result.failed == (logs == "OFF"), result.message
        if logs == "OFF":
            assert "log_slave_updates" in str(result.message)
        assert image(below, "d") == (good if logs == "ON" else old)


def test_a_replica_that_would_lose_generated_values_is_not_written_to_by_an_undo(tmp_path):
    with co_masters("mariadb-10.11", "ROW") as pair:
        columns = "id int PRIMARY KEY, v int, g int GENERATED ALWAYS AS (id MOD 7) STORED"
        pair.a.execute(["CREATE DATABASE d", f"CREATE TABLE d.t ({columns})", "INSERT INTO d.t (id, v) VALUES (1, 1), (2, 2)"])
        pair.wait()
        pair.b.execute("UPDATE t SET v = 3", database="d", logged=False)
        result = run(pair, tmp_path, "refuse")
        assert not result.failed, result.message
        good = image(pair.a, "d")
        pair.add_replica(of=pair.b, name="c", options={"log_slave_updates": "OFF"})
        with pytest.raises(Refusal, match="log_slave_updates"):
            undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path), apply=True, downstream="idempotent")
        assert image(pair.a, "d") == image(pair.b, "d") == good


@pytest.mark.parametrize(
    ("method", "unique"),
    [
        ("shadow", "UNIQUE KEY (u(3), w)"),
        ("shadow", "g varchar(30) CHARACTER SET latin1 AS (CONCAT(u, '\u00e4', w)) VIRTUAL UNIQUE"),
        ("shadow", "g datetime AS ('2026-01-01' + INTERVAL w SECOND) VIRTUAL UNIQUE"),
        ("row", "UNIQUE KEY (u(3), w)"),
        ("row", "g int AS (w * 2) VIRTUAL UNIQUE"),
    ],
)
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_replica_that_has_the_right_rows_keeps_them_where_unique_values_have_moved(tmp_path, flavor, method, unique):
    """A new row whose unique value another one has is logged as a change of that one, which the replica has not."""
    with co_masters(flavor, "ROW") as pair:
        below = pair.add_replica(of=pair.b, name="c")
        # So many columns that the shadow's are as short as can be, and a value that fits into no such column.
        columns = "id int ZEROFILL PRIMARY KEY, u varchar(9), w int, v varchar(20), " + ", ".join(f"c{n} int" for n in range(400))
        create = f"CREATE TABLE d.t ({columns}, {unique})"
        rows = ", ".join(f"({n}, 'u{n}', {n}000, 'v{n}')" for n in range(10, 100, 10))
        pair.a.execute(["CREATE DATABASE d", create, f"INSERT INTO d.t (id, u, w, v) VALUES {rows}"])
        pair.wait()
        good = image(pair.a, "d")
        pair.b.execute("UPDATE t SET id = id + 1 ORDER BY id DESC", database="d", logged=False)
        pair.b.execute("INSERT INTO t (id, u, w, v) VALUES (10, 'x', 1, 'v'), (50, 'y', 2, 'v')", database="d", logged=False)
        result = run(pair, tmp_path, "idempotent", how={"batch_rows": 1, "method": method, "allow_triggers": method == "row"})
        if method == "row":
            assert "replicas below the target would lose it" in str(result.message), result.message
        else:
            assert not result.failed, result.message
            assert image(pair.b, "d") == good
        pair.wait()
        assert pair.links_healthy()
        for server in (pair.a, below):
            assert image(server, "d") == good, server


@pytest.mark.parametrize("flavor", FLAVORS)
def test_work_waits_for_every_replica_of_both_servers(tmp_path, flavor):
    with co_masters(flavor, "STATEMENT") as pair:
        below, sibling, _good = family(pair)
        hasty = options.Pace(max_lag=1, max_runtime=2)
        for server in (below, sibling):
            with closing(server.connect()) as holder:
                holder.cursor().execute("LOCK TABLES d.t WRITE")
                pair.a.execute(f"INSERT INTO d.t VALUES ({80 + server.port % 2}, NULL, 'new')", database="d")
                until_behind(server, 1)
                held = run(pair, tmp_path, "refuse", hasty)
            assert [(table.status, table.reason) for table in held.tables] == [("undecided", "max_runtime")], held
            pair.wait()
            pair.a.execute("DELETE FROM t WHERE id >= 80", database="d")
            pair.wait()
        done = run(pair, tmp_path, "refuse", options.Pace(max_lag=1))
        assert (done.failed, done.verified) == (False, True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_replica_that_does_not_keep_up_is_named_and_left_lenient(tmp_path, flavor):
    with co_masters(flavor) as pair:
        below, _sibling, good = family(pair)
        with below.connect(database="d") as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES t READ")
            result = run(pair, tmp_path, "idempotent", fence_timeout=3)
            assert result.failed
            assert str(below.port) in result.message
            assert "IDEMPOTENT" in result.message
            assert result.changes.total
            assert mode(below) == "IDEMPOTENT"
            cursor.execute("UNLOCK TABLES")
        pair.wait()
        assert image(pair.b, "d") == image(below, "d") == good
        # The next run finds it so, and sets it right.
        pair.b.execute("DELETE FROM t WHERE id = 1", database="d", logged=False)
        assert not run(pair, tmp_path, "idempotent").failed
        assert mode(below) == "STRICT"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_is_not_known_or_not_allowed_is_refused_before_anything_is_changed(tmp_path, flavor):
    with co_masters(flavor) as pair:
        below, _sibling, good = family(pair)
        spoilt = image(pair.b, "d")
        pair.add_replica(of=below, name="e")
        for apply in (False, True):
            with pytest.raises(Refusal, match="downstream_replicas"):
                run(pair, tmp_path, "idempotent", apply=apply)
        pair.remove("e")
        until(lambda: not attached(below), 60)
        pair.a.execute(["CREATE USER w@'%' IDENTIFIED BY 'pw-w-Pw1'", "GRANT ALL PRIVILEGES ON *.* TO w@'%'"])
        pair.wait()
        right = "REPLICATION SLAVE ADMIN, SUPER" if pair.a.family == "mariadb" else "SYSTEM_VARIABLES_ADMIN, SUPER"
        below.execute(f"REVOKE {right} ON *.* FROM w@'%'", logged=False)
        for apply in (False, True):
            with pytest.raises(Refusal, match="missing_grant") as refused:
                run(pair, tmp_path, "idempotent", apply=apply, user="w", password="pw-w-Pw1")
            assert right.split(",", maxsplit=1)[0] in str(refused.value)
        assert (image(pair.a, "d"), image(pair.b, "d")) == (good, spoilt)
        assert mode(below) == "STRICT"
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("binlog_format", ["ROW", "STATEMENT"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_without_key_is_refused_where_rows_would_be_logged_again(tmp_path, flavor, binlog_format):
    """IDEMPOTENT mode does not help there: a replica that has the rows would get them a second time."""
    with co_masters(flavor, binlog_format) as pair:
        below = pair.add_replica(of=pair.b, name="c")
        create = ["CREATE DATABASE d", "CREATE TABLE d.loose (a int)", "INSERT INTO d.loose VALUES (1), (1), (2)"]
        pair.a.execute(create)
        pair.wait()
        good = image(pair.a, "d")
        pair.b.execute("DELETE FROM loose WHERE a = 1", database="d", logged=False)
        result = run(pair, tmp_path, "idempotent")
        pair.wait()
        assert image(pair.a, "d") == image(below, "d") == good
        assert pair.links_healthy()
        assert mode(below) == "STRICT"
        if binlog_format == "ROW":
            assert [table.reason for table in result.tables] == ["downstream_replicas"]
        else:
            assert not result.failed, result.message
            assert image(pair.b, "d") == good


DELAY = {
    "mariadb": ["STOP SLAVE", "CHANGE MASTER TO MASTER_DELAY = 3600", "START SLAVE"],
    "mysql": ["STOP REPLICA", "CHANGE REPLICATION SOURCE TO SOURCE_DELAY = 3600", "START REPLICA"],
}


@pytest.mark.parametrize("method", ["auto", "row"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_is_delayed_on_purpose_is_not_made_lenient(tmp_path, flavor, method):
    """It would be for an hour; that is known before anything is written."""
    with co_masters(flavor) as pair:
        below = pair.add_replica(of=pair.b, name="c")
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.wait()
        below.execute(DELAY[below.family])
        pair.b.execute("DELETE FROM d.t WHERE id > 1", logged=False)
        position = pair.a.binlog_position()
        repair = options.Repair(undo_dir=str(tmp_path), downstream="idempotent", method=method)
        try:
            report = sync.run(servers(pair), options.Selection(databases=("d",)), options.Pace(), repair, 10, True)
            said = " ".join([report.message or "", *(table.message or "" for table in report.tables)])
        except Refusal as refusal:
            said = str(refusal)
        assert "delayed on purpose by 3600 s" in said
        assert (mode(below), pair.a.binlog_position()) == ("STRICT", position)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_delay_on_purpose_is_no_lag(tmp_path, flavor):
    """With max_lag the run waited for a delayed sibling without end."""
    with co_masters(flavor) as pair:
        beside = pair.add_replica(of=pair.a, name="d")
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.wait()
        beside.execute(DELAY[beside.family])
        pair.b.execute("DELETE FROM d.t WHERE id > 1", logged=False)
        pair.a.execute("CREATE TABLE d.app (id int)")
        until_behind(beside, 3)
        pace = options.Pace(max_lag=1, max_runtime=60)
        report = sync.run(
            servers(pair), options.Selection(databases=("d",)), pace, options.Repair(undo_dir=str(tmp_path)), 10, True
        )
        assert (report.failed, report.changes.inserted) == (False, 2), report.message
