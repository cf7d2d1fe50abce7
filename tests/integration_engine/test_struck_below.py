# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to a replica below while a run keeps it lenient: it is taken up again, or the run says what to do (law 10)."""

from __future__ import annotations

import errno
import os
import signal
from contextlib import contextmanager

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, image, servers, until
from integration_engine.test_downstream import mode

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import aftermath, leniency, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import REPAIR
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")
SET_MODE = {"mysql": "SYSTEM_VARIABLES_ADMIN", "mariadb": "REPLICATION SLAVE ADMIN"}
SEE = {"mysql": "REPLICATION SLAVE", "mariadb": "REPLICATION MASTER ADMIN"}


class Killed(BaseException):
    """Stands for the end of the process."""


def unwritable(path, mode):
    """As where a run that was killed was another user's: what open() does for who may read its journal and no more."""
    if mode != "rb":
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return open(path, mode)


@contextmanager
def killed_before_it_puts_back(monkeypatch):
    """A run that dies when its rows are through, and leaves servers lenient."""

    def killed(*unused):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(leniency.Applier, "restore", killed)
        with pytest.raises(Killed):
            yield


@contextmanager
def drifted(flavor):
    """A⇄B→c; B lacks rows that c has: in STRICT mode c stops at them (1062)."""
    with co_masters(flavor) as pair:
        below = pair.add_replica(of=pair.b, name="c")
        rows = ", ".join(f"({n}, 'v{n}')" for n in range(1, 11))
        pair.a.execute(
            ["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY, v varchar(9))", f"INSERT INTO d.t VALUES {rows}"]
        )
        pair.a.execute(["CREATE TABLE d.good LIKE d.t", "INSERT INTO d.good SELECT * FROM d.t"])
        pair.wait()
        pair.b.execute("DELETE FROM t WHERE id > 3", database="d", logged=False)
        yield pair, below, image(pair.a, "d")


def run(pair, undo_dir, at_second_batch=lambda: None, fence_timeout=20, **login):
    """Repair one row at a time; something happens before the second."""
    done = []

    def listen(now):
        if now.stage == REPAIR and now.table_rows and not done:
            done.append(now)
            at_second_batch()

    how = options.Repair(undo_dir=str(undo_dir), batch_rows=1, downstream="idempotent")
    wanted = options.Selection(databases=("d",))
    return sync.run(servers(pair, fence_timeout=fence_timeout, **login), wanted, options.Pace(), how, 10, True, listener=listen)


def kill_sessions(server):
    """End all sessions of the run there; what replicates has an account of its own."""
    ours = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()"
    for (number,) in server.query(ours):
        server.execute(f"KILL {number}")


def restart(server):
    """As a crash would."""
    server.kill()
    server.start()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_is_restarted_is_made_lenient_again(tmp_path, flavor):
    """It was STRICT after the restart and stopped at the next row; the run said that it was still IDEMPOTENT."""
    with drifted(flavor) as (pair, below, good):
        report = run(pair, tmp_path, lambda: restart(below))
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert mode(below) == "STRICT"
        assert image(pair.a, "d") == image(pair.b, "d") == image(below, "d") == good


def test_where_its_applier_may_not_be_started_the_words_say_how_to(tmp_path):
    """On MySQL the right to set the mode does not start an applier."""
    with drifted("mysql-9") as (pair, below, good):
        rights = [*REPAIR_GRANTS["mysql"][1], SET_MODE["mysql"], SEE["mysql"]]
        with account(pair, REPAIR_GRANTS["mysql"][0], rights, "d") as user:
            report = run(pair, tmp_path, lambda: restart(below), user=user, password=PASSWORD)
            assert report.failed
            assert str(below.port) in report.message
            first = "SET GLOBAL replica_exec_mode = 'IDEMPOTENT'; START REPLICA SQL_THREAD FOR CHANNEL ''; "
            assert first in report.message
            assert "SET GLOBAL replica_exec_mode = 'STRICT'" in report.message
            below.execute(first.rstrip("; ").split("; "))
            pair.wait()
            below.execute("SET GLOBAL replica_exec_mode = 'STRICT'")
        assert image(pair.b, "d") == image(below, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_whose_session_is_lost_is_strict_in_the_end(tmp_path, flavor):
    with drifted(flavor) as (pair, below, good):
        report = run(pair, tmp_path, lambda: kill_sessions(below))
        assert not report.failed, report.message
        pair.wait()
        assert mode(below) == "STRICT"
        assert image(below, "d") == good


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_is_strict_in_the_end_also_where_the_pairs_own_sessions_are_lost(tmp_path, flavor, side):
    """All servers were up, and it stayed IDEMPOTENT."""
    with drifted(flavor) as (pair, below, good):
        report = run(pair, tmp_path, lambda: kill_sessions(getattr(pair, side)))
        assert (report.failed, mode(below)) == (True, "STRICT"), report.message
        assert "IDEMPOTENT" not in report.message
        assert run(pair, tmp_path).verified
        pair.wait()
        assert image(pair.b, "d") == image(below, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_is_frozen_does_not_hold_the_run_for_ever(tmp_path, flavor, monkeypatch):
    monkeypatch.setattr(leniency, "_ANSWER", 1.0)
    monkeypatch.setattr("ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.fence._ANSWER", 1.0)
    with drifted(flavor) as (pair, below, good):
        report = run(pair, tmp_path, below.pause, fence_timeout=3)
        below.resume()
        assert report.failed
        assert str(below.port) in report.message
        pair.wait()
        assert image(pair.b, "d") == image(below, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_a_killed_run_has_left_lenient_is_strict_after_the_next(tmp_path, flavor, monkeypatch):
    """The next run had nothing to repair, and left it so."""
    with drifted(flavor) as (pair, below, good):
        with killed_before_it_puts_back(monkeypatch):
            run(pair, tmp_path)
        pair.wait()
        assert (mode(below), image(below, "d")) == ("IDEMPOTENT", good)
        report = run(pair, tmp_path)
        assert (report.changed, mode(below)) == (False, "STRICT")
        assert "idempotent_left_on" in {hazard.code for hazard in report.hazards if str(below.port) in hazard.message}
        below.execute(f"SET GLOBAL {'replica' if flavor == 'mysql-9' else 'slave'}_exec_mode = 'IDEMPOTENT'")
        run(pair, tmp_path)
        assert mode(below) == "IDEMPOTENT"  # that was somebody else


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_is_said_to_be_strict_also_where_its_journal_may_be_read_only(tmp_path, flavor, monkeypatch):
    with drifted(flavor) as (pair, below, good):
        with killed_before_it_puts_back(monkeypatch):
            run(pair, tmp_path)
        monkeypatch.setattr(aftermath, "open", unwritable, raising=False)
        report = run(pair, tmp_path)
        assert (report.failed, mode(below)) == (False, "STRICT"), report.message
        said = [hazard.message for hazard in report.hazards if hazard.code == "idempotent_left_on"]
        assert any("check the other tables as well" in words and "Permission denied" in words for words in said), said
        pair.wait()
        assert image(pair.b, "d") == image(below, "d") == good


@pytest.mark.parametrize("rest", [True, False])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_of_one_that_died_with_the_run_the_next_says_what_to_do(tmp_path, flavor, rest):
    """It is STRICT after its restart and stopped (1062). Nobody was left to say so, and the next run did not know of it.

    ``rest``: whether anything is left to repair.
    """
    with drifted(flavor) as (pair, below, good):
        with below.connect(database="d") as holder, holder.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT * FROM t FOR UPDATE")
            child = os.fork()
            if not child:
                try:
                    run(pair, tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL))
                finally:
                    os._exit(1)
            assert os.waitpid(child, 0)[1] == signal.SIGKILL
            below.kill()
        below.start()
        until(lambda: below.replica_status().get("Last_SQL_Errno") == 1062)
        if not rest:
            pair.b.execute("REPLACE INTO t SELECT * FROM good", database="d", logged=False)
        if rest:
            with pytest.raises(Refusal, match="stopped_link") as told:
                run(pair, tmp_path)
            words = str(told.value)
        else:
            report = run(pair, tmp_path)
            assert not report.changed
            (words,) = (hazard.message for hazard in report.hazards if hazard.code == "idempotent_left_on")
        assert str(below.port) in words
        lenient, start, strict = words[words.index("SET GLOBAL") :].split("; ")
        below.execute([lenient, start])
        run(pair, tmp_path)
        pair.wait()
        below.execute(strict[strict.index("SET GLOBAL") :].split("'STRICT'")[0] + "'STRICT'")
        assert pair.links_healthy()
        assert image(pair.a, "d") == image(pair.b, "d") == image(below, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_that_a_killed_undo_has_left_lenient_is_strict_after_the_next(tmp_path, flavor, monkeypatch):
    with drifted(flavor) as (pair, below, _good):
        old = image(pair.b, "d")
        path = run(pair, tmp_path).undo_file
        with killed_before_it_puts_back(monkeypatch):
            undo.run(servers(pair), path, undo_dir=str(tmp_path), downstream="idempotent")
        pair.wait()
        assert (mode(below), image(below, "d")) == ("IDEMPOTENT", old)
        done = undo.run(servers(pair), path, undo_dir=str(tmp_path), downstream="idempotent")
        assert (done.failed, mode(below)) == (False, "STRICT")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_stays_lenient_while_the_target_has_not_applied_all(tmp_path, flavor):
    """The target's link stopped in mid-run; the replica was STRICT by the time the rest came, and stopped (1062)."""
    with drifted(flavor) as (pair, below, good):
        report = run(pair, tmp_path, pair.b.stop_replica, fence_timeout=3)
        assert report.failed
        assert str(below.port) in report.message
        assert mode(below) == "IDEMPOTENT"
        pair.b.start_replica()
        pair.wait()
        assert run(pair, tmp_path).verified
        pair.wait()
        assert (pair.links_healthy(), mode(below)) == (True, "STRICT")
        assert image(pair.b, "d") == image(below, "d") == good
