# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to the target while a repair by row changes keeps it lenient: it is taken up again, or the run says what to do."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, assert_repaired, image, servers, until
from integration_engine.test_downstream import mode
from integration_engine.test_struck_below import kill_sessions, restart, unwritable

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import aftermath, journal, options, rowwise
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.endpoint import Endpoint
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.journal import Writer
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import REPAIR
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")
# The newer MariaDB does not say where in the log the row is at which it has stopped.
EACH = (*FLAVORS, "mariadb-11.8")


def run(pair, undo_dir, fence_timeout=30, apply=True, **login):
    how = options.Repair(undo_dir=str(undo_dir), method="row")
    logins = servers(pair, fence_timeout=fence_timeout, **login)
    return sync.run(logins, options.Selection(databases=("d",)), options.Pace(), how, 10, apply)


@contextmanager
def struck(flavor, monkeypatch, strike):
    """A pair whose target is struck when a row that it lacks was written, and before it could apply that."""
    with co_masters(flavor) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.wait()
        pair.b.execute("DELETE FROM d.t WHERE id = 2", logged=False)
        strikes = [strike]
        committed = Writer.committed

        def strike_once(writer, *told):
            committed(writer, *told)
            while strikes:
                strikes.pop()(pair.b)

        with pair.b.connect(database="d") as holder, holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM t WHERE id = 2 FOR UPDATE")  # the gap, so that it cannot be inserted yet
            monkeypatch.setattr(Writer, "committed", strike_once)
            yield pair, image(pair.a, "d")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_is_restarted_is_made_lenient_again(tmp_path, flavor, monkeypatch):
    """It comes up STRICT, and stops at the row that it is to be given (1032)."""
    with struck(flavor, monkeypatch, restart) as (pair, good):
        result = run(pair, tmp_path)
        assert result.failed
        assert mode(pair.b) == "STRICT"
        assert_repaired(pair, "d", good)
        again = run(pair, tmp_path)
        assert (again.failed, again.changes.total) == (False, 0), again.message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_of_one_that_does_not_come_back_is_said_what_to_do(tmp_path, flavor, monkeypatch):
    with struck(flavor, monkeypatch, lambda target: target.kill()) as (pair, good):
        result = run(pair, tmp_path, fence_timeout=2)
        assert result.failed
        pair.b.start()
        until(lambda: pair.b.replica_status().get("Last_SQL_Errno") == 1032)
        variable = "slave_exec_mode" if pair.b.family == "mariadb" else "replica_exec_mode"
        told = result.message[result.message.index(f"SET GLOBAL {variable} = 'IDEMPOTENT'") :]
        lenient, start, strict = told.split("; ")
        pair.b.execute([lenient, start])
        assert_repaired(pair, "d", good)
        pair.b.execute(strict[strict.index("SET GLOBAL") :].split(".")[0])
        assert mode(pair.b) == "STRICT"


@pytest.mark.parametrize("flavor", EACH)
def test_it_is_strict_in_the_end_also_where_the_sessions_to_the_source_are_lost(tmp_path, flavor):
    """Both servers were up, and it stayed IDEMPOTENT until the next run."""
    with co_masters(flavor) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.wait()
        good = image(pair.a, "d")
        pair.b.execute("DELETE FROM d.t WHERE id > 1", logged=False)
        done = []

        def listen(now):
            if now.stage == REPAIR and now.table_rows and not done:
                done.append(now)
                kill_sessions(pair.a)

        how = options.Repair(undo_dir=str(tmp_path), method="row", batch_rows=1)
        wanted = options.Selection(databases=("d",))
        report = sync.run(servers(pair, fence_timeout=20), wanted, options.Pace(), how, 10, True, listener=listen)
        assert (report.failed, report.changes.total, mode(pair.b)) == (True, 1, "STRICT"), report.message
        assert "IDEMPOTENT" not in report.message
        assert run(pair, tmp_path).verified
        assert_repaired(pair, "d", good)


DRIFTS = {
    "a row is missing": ("DELETE FROM d.t WHERE id = 2", 2, 1032),
    "a row is too much": ("INSERT INTO d.t VALUES (9)", 9, 1062),
}


def stands(pair, number):
    """Start the target again, until it has stopped at a row."""
    pair.b.start()
    until(lambda: pair.b.replica_status().get("Last_SQL_Errno") == number)


@contextmanager
def died(flavor, undo_dir, when=(rowwise._Run, "_verify"), drift="a row is missing", start=stands):
    """A pair whose target and the run that repairs it were killed in one instant, a row written that the target has not applied.

    As where the host of both loses its power. The target is up again, STRICT, and has
    stopped at that row; or what ``start`` makes of it.
    """
    statement, row, number = DRIFTS[drift]
    with co_masters(flavor) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.a.execute(["CREATE TABLE d.other (id int PRIMARY KEY, v int)", "INSERT INTO d.other VALUES (1, 1), (2, 2)"])
        pair.wait()
        pair.b.execute(statement, logged=False)
        with pair.b.connect(database="d") as holder, holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(f"SELECT * FROM t WHERE id = {row} FOR UPDATE")
            target = pair.b.pid
            child = os.fork()
            if not child:
                setattr(*when, lambda *_unused: [os.kill(each, signal.SIGKILL) for each in (target, os.getpid())])
                try:
                    run(pair, undo_dir)
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL
            pair.b.kill()
        start(pair, number)
        until(lambda: pair.a.replica_status()["Replica_IO_Running"] == "Yes")
        assert mode(pair.b) == "STRICT"
        yield pair, image(pair.a, "d")


def by_hand(pair):
    """What the documentation says to run on a target that stands at a row of a run which died."""
    variable = "replica_exec_mode" if pair.b.family == "mysql" else "slave_exec_mode"
    pair.b.execute(f"SET GLOBAL {variable} = 'IDEMPOTENT'")
    pair.b.start_replica()
    pair.wait()
    pair.b.execute(f"SET GLOBAL {variable} = 'STRICT'")


@pytest.mark.parametrize("drift", DRIFTS)
@pytest.mark.parametrize("flavor", EACH)
def test_the_next_run_takes_up_one_that_died_with_the_run(tmp_path, flavor, drift):
    with died(flavor, tmp_path, drift=drift) as (pair, good):
        before = image(pair.b, "d")
        with pytest.raises(Refusal, match="link_error") as told:
            run(pair, tmp_path, apply=False)
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        assert path in str(told.value)
        assert (image(pair.b, "d"), mode(pair.b)) == (before, "STRICT")
        result = run(pair, tmp_path)
        assert (result.failed, result.in_sync, result.changes.total) == (False, True, 0), result.message
        assert_repaired(pair, "d", good)
        assert mode(pair.b) == "STRICT"
        (said,) = (hazard.message for hazard in result.hazards if hazard.code == "idempotent_left_on")
        assert path in said
        assert "check the other tables as well" in said
        assert not journal.read(path).left_lenient


@pytest.mark.parametrize("flavor", EACH)
def test_one_that_has_stopped_at_anothers_row_since_is_left_alone(tmp_path, flavor):
    """Somebody mended it by hand, as the documentation says; what stopped it later is nothing that we know."""
    with died(flavor, tmp_path) as (pair, good):
        by_hand(pair)
        assert_repaired(pair, "d", good)
        pair.b.execute("DELETE FROM d.other WHERE id = 1", logged=False)
        pair.a.execute(["SET binlog_format = 'ROW'", "UPDATE d.other SET v = 9 WHERE id = 1"])
        until(lambda: pair.b.replica_status().get("Last_SQL_Errno") == 1032)
        before = image(pair.b, "d")
        with pytest.raises(Refusal, match="link_error"):
            run(pair, tmp_path)
        assert (image(pair.b, "d"), mode(pair.b)) == (before, "STRICT")
        assert pair.b.replica_status()["Last_SQL_Errno"] == 1032


@pytest.mark.parametrize("flavor", EACH)
def test_the_same_places_in_a_log_that_began_anew_prove_nothing(tmp_path, flavor):
    """Nobody had noted that it was mended by hand. The target stands at a row of a table that was none of the run's."""
    with died(flavor, tmp_path) as (pair, good):
        by_hand(pair)
        assert_repaired(pair, "d", good)
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        read = journal.read(path)
        (span,) = map(read.lenient_for, read.left_lenient)
        both = (pair.b, pair.a)
        for server in both:
            server.stop_replica()
        for server in both:
            mysql, mariadb = ["RESET BINARY LOGS AND GTIDS"], ["RESET MASTER", "SET GLOBAL gtid_slave_pos = ''"]
            server.execute(mysql if flavor == "mysql-9" else mariadb)
            server.reset_replica()
        for server, upstream in zip(both, reversed(both)):
            server.replicate_from(upstream)
        pair.wait()
        pair.b.execute("DELETE FROM d.other WHERE id = 1", logged=False)
        # The row's event must end within; of MariaDB 11.8 its transaction must begin there.
        while pair.a.binlog_position()[1] <= span.since.offset - (0 if flavor == "mariadb-11.8" else 100):
            pair.a.execute("UPDATE d.other SET v = v + 1 WHERE id = 2")
        pair.wait()
        pair.a.execute(["SET binlog_format = 'ROW'", "UPDATE d.other SET v = 9 WHERE id = 1"])
        until(lambda: pair.b.replica_status().get("Last_SQL_Errno") == 1032)
        with pytest.raises(Refusal, match="link_error"):
            run(pair, tmp_path)
        assert mode(pair.b) == "STRICT"


@pytest.mark.parametrize("flavor", EACH)
def test_where_it_cannot_be_told_whose_row_it_was_the_refusal_says_what_to_do(tmp_path, flavor):
    """The run died after the commit, and before it could note where in the binary log that is."""
    with died(flavor, tmp_path, when=(Writer, "committed")) as (pair, good):
        with pytest.raises(Refusal, match="link_error") as told:
            run(pair, tmp_path)
        lenient, start, strict = told.value.remedy[told.value.remedy.index("SET GLOBAL") :].split("; ")
        pair.b.execute([lenient, start])
        pair.wait()
        pair.b.execute(strict[strict.index("SET GLOBAL") :].split("'STRICT'")[0] + "'STRICT'")
        result = run(pair, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, "d", good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_where_the_two_were_exchanged_the_refusal_says_what_to_do(tmp_path, flavor):
    """The application has moved to the server that died, say: it is the source now, and stands."""
    with died(flavor, tmp_path) as (pair, _good):
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        login = Endpoint(host=pair.a.host, port=pair.a.port, user="root", password=pair.a.root_password)
        exchanged, how = options.Servers(target=login), options.Repair(undo_dir=str(tmp_path), method="row")
        with pytest.raises(Refusal, match="link_error") as told:
            sync.run(exchanged, options.Selection(databases=("d",)), options.Pace(), how, 10, True)
        assert path in told.value.remedy
        assert "SET GLOBAL" in told.value.remedy
        assert mode(pair.b) == "STRICT"


@pytest.mark.parametrize("flavor", EACH)
def test_one_that_has_not_come_to_the_row_yet_passes_over_it(tmp_path, flavor):
    """The next run was there sooner: the target replicates, STRICT, and has that row still before it."""
    held = []

    def start(pair, _number):
        pair.b.start(replicate=False)
        holder = pair.b.connect(database="d")
        held.append(holder)
        with holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM t WHERE id = 9 FOR UPDATE")
        pair.b.start_replica()
        until(pair.links_healthy)

    with died(flavor, tmp_path, drift="a row is too much", start=start) as (pair, good):
        release = threading.Timer(3, held[0].close)
        release.start()
        result = run(pair, tmp_path)
        release.join()
        assert (result.failed, result.in_sync) == (False, True), result.message
        assert_repaired(pair, "d", good)
        assert mode(pair.b) == "STRICT"
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        (said,) = (hazard.message for hazard in result.hazards if hazard.code == "idempotent_left_on")
        assert path in said
        assert not journal.read(path).left_lenient


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_was_mended_by_hand_is_nobodys_leftover_any_more(tmp_path, flavor):
    """Who sets it IDEMPOTENT later has a reason of his own."""
    with died(flavor, tmp_path) as (pair, good):
        by_hand(pair)
        assert not run(pair, tmp_path).failed
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        assert not journal.read(path).left_lenient
        variable = "replica_exec_mode" if flavor == "mysql-9" else "slave_exec_mode"
        pair.b.execute(f"SET GLOBAL {variable} = 'IDEMPOTENT'")
        assert not run(pair, tmp_path).failed
        assert mode(pair.b) == "IDEMPOTENT"
        assert_repaired(pair, "d", good)


@pytest.mark.parametrize("flavor", EACH)
def test_an_undo_takes_it_up_too(tmp_path, flavor):
    with died(flavor, tmp_path) as (pair, _good):
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        result = undo.run(servers(pair), path, undo_dir=str(tmp_path))
        assert (result.failed, result.changes.deleted) == (False, 1), result.message
        pair.wait()
        assert pair.links_healthy()
        assert mode(pair.b) == "STRICT"
        assert image(pair.a, "d") == image(pair.b, "d")
        assert image(pair.b, "d")["t"] == [(b"1",), (b"3",)]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_journal_that_may_be_read_only_does_not_stop_a_run_that_has_mended_the_target(tmp_path, flavor, monkeypatch):
    with died(flavor, tmp_path) as (pair, good):
        monkeypatch.setattr(aftermath, "open", unwritable, raising=False)
        result = run(pair, tmp_path)
        assert (result.failed, result.in_sync) == (False, True), result.message
        assert_repaired(pair, "d", good)
        (said,) = (hazard.message for hazard in result.hazards if hazard.code == "idempotent_left_on")
        assert "it is STRICT again" in said
        assert "Permission denied" in said
        # MySQL's parallel appliers note with some delay how far they are.
        until(lambda: pair.b.replica_status()["Exec_Source_Log_Pos"] == pair.a.binlog_position()[1])
        assert [hazard for hazard in run(pair, tmp_path).hazards if hazard.code == "idempotent_left_on"] == []


@pytest.mark.parametrize("case", ["in check mode", "not provable"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_undo_that_does_not_says_what_to_do(tmp_path, flavor, case):
    """It said no more than to mend replication."""
    when = (Writer, "committed") if case == "not provable" else (rowwise._Run, "_verify")
    with died(flavor, tmp_path, when=when) as (pair, _good):
        (path,) = map(str, tmp_path.glob("*.jsonl"))
        with pytest.raises(Undecided, match="link_error") as told:
            undo.run(servers(pair), path, undo_dir=str(tmp_path), apply=case == "not provable")
        assert path in told.value.remedy
        assert mode(pair.b) == "STRICT"


def test_without_the_right_to_start_it_the_refusal_says_how_to(tmp_path):
    """On MySQL the right to set the mode does not start an applier."""
    with died("mysql-9", tmp_path) as (pair, good):
        data, everywhere = REPAIR_GRANTS["mysql"]
        rights = [*data, "INSERT", "DELETE"], everywhere
        with account_without_replication(pair, *rights) as user:
            with pytest.raises(Refusal) as told:
                run(pair, tmp_path, user=user, password=PASSWORD)
            assert "START REPLICA SQL_THREAD FOR CHANNEL ''" in str(told.value)
            result = run(pair, tmp_path)  # root may
            assert not result.failed, result.message
        assert_repaired(pair, "d", good)


@contextmanager
def account_without_replication(pair, data, everywhere):
    """An account on both servers while the link between them stands still."""
    for server in (pair.a, pair.b):
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET sql_log_bin = 0")
            cursor.execute(f"CREATE USER u IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT {', '.join(data)} ON d.* TO u")
            cursor.execute(f"GRANT {', '.join(everywhere)} ON *.* TO u")
    yield "u"
