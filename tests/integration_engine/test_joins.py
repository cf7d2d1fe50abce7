# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A replica that comes below the target or the source in the midst of a run is not broken unseen (law 10)."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, attached, image, servers, until
from integration_engine.test_downstream import mode
from integration_engine.test_struck_below import killed_before_it_puts_back

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import newcomers, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import REPAIR, UNDO
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")
ROWS = ", ".join(f"({n}, 'v{n}')" for n in range(1, 11))
CREATE = ["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY, v varchar(9))", f"INSERT INTO d.t VALUES {ROWS}"]
DRIFT = ["DELETE FROM t WHERE id > 6", "INSERT INTO t VALUES (70, 'extra'), (71, 'extra')"]

#: No statement repairs a table where these are: it goes by row changes.
MIRROR = [
    "CREATE TABLE m (k int PRIMARY KEY)",
    "CREATE TRIGGER i1 AFTER INSERT ON t FOR EACH ROW INSERT INTO m VALUES (NEW.id)",
    "CREATE TRIGGER d1 AFTER DELETE ON t FOR EACH ROW DELETE FROM m WHERE k = OLD.id",
    "CREATE TRIGGER u1 AFTER UPDATE ON t FOR EACH ROW UPDATE m SET k = NEW.id WHERE k = OLD.id",
]


def detach(replica, upstream):
    """Returns when the upstream no longer knows of it."""
    before = attached(upstream)
    replica.stop_replica()
    until(lambda: attached(upstream) != before)


def join(replica, upstream):
    """Returns when it is there, and has read what was logged while it was away."""
    before = attached(upstream)
    replica.start_replica()
    until(lambda: attached(upstream) != before and replica.replica_status().get("Replica_IO_Running") == "Yes")
    time.sleep(0.5)


@contextmanager
def lonely(flavor, of="b", binlog_format="ROW", create=(*CREATE,), drift=(*DRIFT,)):
    """A⇄B; c, below one of them, is away and has the right rows while B drifts. Yields the pair, c, its upstream, A's rows."""
    with co_masters(flavor, binlog_format) as pair:
        upstream = getattr(pair, of)
        replica = pair.add_replica(of=upstream, name="c")
        pair.a.execute(list(create), database=None)
        pair.wait()
        detach(replica, upstream)
        pair.b.execute(list(drift), database="d", logged=False)
        yield pair, replica, upstream, image(pair.a, "d")


def at_batch(number, action, stage=REPAIR):
    """A listener that acts once, when so many rows are done."""
    done = []

    def listen(now):
        if now.stage == stage and now.table_rows >= number and not done:
            done.append(now)
            action()

    return listen


def run(pair, undo_dir, downstream, listener=lambda now: None, login=None, **how):
    """Repair one row at a time."""
    how = options.Repair(undo_dir=str(undo_dir), downstream=downstream, **{"batch_rows": 1, **how})
    wanted = options.Selection(databases=("d",))
    login = login or servers(pair, fence_timeout=20)
    return sync.run(login, wanted, options.Pace(), how, 10, True, listener=listener)


def mend(replica, words):
    """Do what the run has said."""
    variable = "replica_exec_mode" if replica.family == "mysql" else "slave_exec_mode"
    start = "START REPLICA SQL_THREAD FOR CHANNEL ''" if replica.family == "mysql" else "START SLAVE '' SQL_THREAD"
    lenient = [f"SET GLOBAL {variable} = 'IDEMPOTENT'", start]
    assert "; ".join(lenient) in words, words
    strict = f"SET GLOBAL {variable} = 'STRICT'"
    assert strict in words
    if replica.replica_status()["Replica_SQL_Running"] != "Yes":
        replica.execute(lenient)
    return strict


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_run_stops_before_the_next_batch_and_says_what_to_do(tmp_path, flavor):
    with lonely(flavor) as (pair, replica, upstream, good):
        report = run(pair, tmp_path, "refuse", at_batch(2, lambda: join(replica, upstream)))
        assert (report.failed, report.changes.total, report.verified) == (True, 2, False), report.message
        (table,) = report.tables
        assert (table.status, table.reason) == ("error", "downstream_replicas")
        assert str(replica.port) in report.message
        assert "downstream: idempotent" in report.message
        strict = mend(replica, report.message)
        pair.wait()
        replica.execute(strict)
        assert pair.links_healthy()
        assert run(pair, tmp_path, "idempotent").verified
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.b, "d") == image(replica, "d") == good


@pytest.mark.parametrize("batch", [0, 2, 5])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_it_is_lenient_as_the_others(tmp_path, flavor, batch):
    """Also where it has stopped already, at what was logged before it came."""
    with lonely(flavor) as (pair, replica, upstream, good):
        report = run(pair, tmp_path, "idempotent", at_batch(batch, lambda: join(replica, upstream)))
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.a, "d") == image(pair.b, "d") == image(replica, "d") == good


@pytest.mark.parametrize("downstream", ["refuse", "idempotent"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_comes_behind_the_last_batch_is_seen_to(tmp_path, flavor, downstream, monkeypatch):
    with lonely(flavor) as (pair, replica, upstream, good):
        look = newcomers.Newcomers.at_the_end

        def late(self):
            join(replica, upstream)
            return look(self)

        monkeypatch.setattr(newcomers.Newcomers, "at_the_end", late)
        report = run(pair, tmp_path, downstream)
        assert (report.changes.total, report.verified) == (6, True)
        assert report.failed == (downstream == "refuse")
        if report.failed:
            assert "[downstream_replicas]" in report.message
            strict = mend(replica, report.message)
            pair.wait()
            replica.execute(strict)
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.b, "d") == image(replica, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_a_killed_run_has_left_lenient_is_strict_after_the_next(tmp_path, flavor, monkeypatch):
    with lonely(flavor) as (pair, replica, upstream, good):
        with killed_before_it_puts_back(monkeypatch):
            run(pair, tmp_path, "idempotent", at_batch(2, lambda: join(replica, upstream)))
        pair.wait()
        assert (mode(replica), image(replica, "d")) == ("IDEMPOTENT", good)
        report = run(pair, tmp_path, "idempotent")
        assert (report.changed, report.failed, mode(replica)) == (False, False, "STRICT")


@pytest.mark.parametrize("of", ["a", "b"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_by_row_changes(tmp_path, flavor, of):
    """The source's replicas may stop as well: one that has not just its rows."""
    with lonely(flavor, of, create=(*CREATE[:2], "USE d", *MIRROR, CREATE[2])) as (pair, replica, upstream, good):
        if of == "a":
            replica.execute(["DELETE FROM t WHERE id > 6"], database="d", logged=False)
        stopped = run(pair, tmp_path, "refuse", at_batch(2, lambda: join(replica, upstream)), allow_triggers=True)
        assert (stopped.failed, stopped.changes.total) == (True, 2), stopped.message
        assert [table.reason for table in stopped.tables if table.table == "t"] == ["downstream_replicas"]
        if replica.replica_status()["Replica_SQL_Running"] != "Yes":
            mend(replica, stopped.message)
        pair.wait()
        detach(replica, upstream)
        report = run(pair, tmp_path, "idempotent", at_batch(2, lambda: join(replica, upstream)), allow_triggers=True)
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.a, "d") == image(pair.b, "d") == image(replica, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_merge_stops_while_the_source_is_given_rows(tmp_path, flavor):
    with lonely(flavor) as (pair, replica, upstream, _good):
        how = {"extra_rows": "adopt"}
        report = run(pair, tmp_path, "refuse", at_batch(1, lambda: join(replica, upstream)), **how)
        assert (report.failed, report.changes.total, report.changes.adopted) == (True, 1, 1), report.message
        assert [table.reason for table in report.tables] == ["downstream_replicas"]
        pair.wait()
        assert pair.links_healthy()
        detach(replica, upstream)
        report = run(pair, tmp_path, "idempotent", at_batch(1, lambda: join(replica, upstream)), **how)
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_without_a_key_goes_no_further(tmp_path, flavor):
    """IDEMPOTENT mode does not help there; the others are repaired."""
    create = ("CREATE TABLE d.a (v int)", "INSERT INTO d.a VALUES (1), (2), (3)")
    with lonely(flavor, create=(*CREATE, *create), drift=(*DRIFT, "DELETE FROM a")) as (pair, replica, upstream, good):
        spoilt = image(pair.b, "d")
        report = run(pair, tmp_path, "idempotent", at_batch(0, lambda: join(replica, upstream)))
        assert [(table.table, table.reason) for table in report.tables if table.status == "error"] == [
            ("a", "downstream_replicas")
        ]
        assert str(replica.port) in report.message
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.b, "d") == {**good, "a": spoilt["a"]}
        assert image(replica, "d") == good


@pytest.mark.parametrize("batch", [0, 2])
def test_one_that_would_lose_generated_values_is_not_made_lenient(tmp_path, batch):
    """As one that was there from the start: test_downstream."""
    columns = "id int PRIMARY KEY, v varchar(9), g int GENERATED ALWAYS AS (id MOD 7) STORED"
    rows = f"INSERT INTO d.t (id, v) VALUES {ROWS}"
    with co_masters("mariadb-11.8", "ROW") as pair:
        replica = pair.add_replica(of=pair.b, name="c", options={"log_slave_updates": "OFF"})
        pair.a.execute(["CREATE DATABASE d", f"CREATE TABLE d.t ({columns})", rows])
        pair.wait()
        good = image(pair.a, "d")
        detach(replica, pair.b)
        pair.b.execute("DELETE FROM t WHERE id > 4", database="d", logged=False)
        result = run(pair, tmp_path, "idempotent", at_batch(batch, lambda: join(replica, pair.b)))
        assert result.failed
        assert "log_slave_updates=ON" in result.message
        assert result.changes.total == batch
        assert image(pair.a, "d") == image(replica, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_had_stopped_for_a_reason_of_its_own_is_not_started(tmp_path, flavor):
    with lonely(flavor) as (pair, replica, upstream, _good):
        replica.execute("INSERT INTO t VALUES (99, 'mine')", database="d", logged=False)
        pair.a.execute("INSERT INTO t VALUES (99, 'right')", database="d")
        report = run(pair, tmp_path, "idempotent", at_batch(2, lambda: join(replica, upstream)))
        assert [table.reason for table in report.tables] == ["stopped_link"], report.message
        assert (mode(replica), replica.replica_status()["Last_SQL_Errno"]) == ("STRICT", 1062)
        assert replica.query("SELECT v FROM d.t WHERE id = 99") == [("mine",)]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_it_is_seen_without_the_right_to_see_its_address(tmp_path, flavor):
    """By the process list; with 'idempotent' the right is named."""
    data, everywhere = REPAIR_GRANTS["mysql" if flavor == "mysql-9" else "mariadb"]
    make = [f"CREATE USER u@'%' IDENTIFIED BY '{PASSWORD}'", f"GRANT {', '.join(data)} ON d.* TO u@'%'"]
    make += [f"GRANT {', '.join(everywhere)} ON *.* TO u@'%'"]
    with lonely(flavor, create=(*CREATE, *make)) as (pair, replica, upstream, good):
        login = servers(pair, user="u", password=PASSWORD)
        for how, code in (("refuse", "downstream_replicas"), ("idempotent", "downstream_unknown")):
            report = run(pair, tmp_path, how, at_batch(1, lambda: join(replica, upstream)), login=login)
            assert [table.reason for table in report.tables] == [code], report.message
            if how == "refuse":
                mend(replica, report.message)
                pair.wait()
                detach(replica, upstream)
        assert "GRANT REPLICATION" in report.message
        assert image(pair.a, "d") == good


def test_one_that_takes_row_changes_only(tmp_path):
    with lonely("mysql-9", "a") as (pair, replica, upstream, good):
        replica.execute("CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT = 1")
        report = run(pair, tmp_path, "idempotent", at_batch(2, lambda: join(replica, upstream)))
        assert [table.reason for table in report.tables] == ["row_format_required"], report.message
        assert image(pair.a, "d") == good


@pytest.mark.parametrize("of", ["a", "b"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_undo(tmp_path, flavor, of):
    with lonely(flavor, of) as (pair, replica, upstream, good):
        old = image(pair.b, "d")
        path = run(pair, tmp_path, "refuse").undo_file
        if of == "a":  # it has not just the source's rows
            replica.execute("DELETE FROM t WHERE id > 6", database="d", logged=False)

        def put_back(downstream):
            listener = at_batch(1, lambda: join(replica, upstream), UNDO)
            how = {"undo_dir": str(tmp_path), "downstream": downstream, "listener": listener}
            return undo.run(servers(pair), path, batch_rows=1, **how)

        stopped = put_back("refuse")
        assert (stopped.failed, stopped.changes.total) == (True, 1), stopped
        assert "[downstream_replicas]" in stopped.message
        mend(replica, stopped.message)
        pair.wait()
        detach(replica, upstream)
        done = put_back("idempotent")
        assert (done.failed, done.verified) == (False, True), done.message
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.a, "d") == image(pair.b, "d") == image(replica, "d") == old != good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_that_is_logged_as_statements_goes_no_further(tmp_path, flavor):
    """IDEMPOTENT mode passes over row changes alone; the next undo makes these."""
    with lonely(flavor, "a", "MIXED") as (pair, replica, upstream, good):
        old = image(pair.b, "d")
        path = run(pair, tmp_path, "refuse").undo_file
        listener = at_batch(1, lambda: join(replica, upstream), UNDO)
        how = {"batch_rows": 1, "undo_dir": str(tmp_path), "downstream": "idempotent"}
        done = undo.run(servers(pair), path, listener=listener, **how)
        assert {row.reason for row in done.refused} == {"downstream_replicas"}, done
        assert undo.run(servers(pair), path, **how).verified
        pair.wait()
        assert (pair.links_healthy(), mode(replica)) == (True, "STRICT")
        assert image(pair.a, "d") == image(pair.b, "d") == image(replica, "d") == old != good
