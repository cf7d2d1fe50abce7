# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs that end before their end: a broken link, a full disk, a kill. What is said, what is left, what the next run does."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from integration_engine.support import PASSWORD, assert_repaired, image, repair_account, servers
from integration_engine.test_downstream import mode

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal, options, shadow
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ReplError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo

FLAVORS = ("mariadb-10.11", "mysql-9")


def run(pair, database, undo_dir, batch_rows=500, method="auto", **login):
    """Run the sync on one database."""
    limits = options.Repair(undo_dir=str(undo_dir), batch_rows=batch_rows, method=method)
    selection = options.Selection(databases=(database,))
    return sync.run(servers(pair, **login), selection, options.Pace(), limits, sample_rows=10, apply=True)


def drift(pair, database):
    """Three tables; the first two differ."""
    tables = [f"CREATE TABLE t{n} (id int PRIMARY KEY, v varchar(2000))" for n in (1, 2, 3)]
    rows = ", ".join(f"({n}, REPEAT('{n}', 500))" for n in range(1, 41))
    pair.a.execute([*tables, *(f"INSERT INTO t{n} VALUES {rows}" for n in (1, 2))], database=database)
    pair.wait()
    pair.b.execute(["DELETE FROM t1 WHERE id > 10", "UPDATE t2 SET v = 'bad'"], database=database, logged=False)
    return image(pair.a, database), image(pair.b, database)


@pytest.mark.parametrize("questions", [40, 82, 85, 90, 130])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_account_that_may_ask_no_more(pairs, fresh_database, tmp_path, flavor, questions):
    """Wherever its limit strikes: the result says what helps, the source is as it was, and the next run converges."""
    pair = pairs(flavor)
    with fresh_database(pair) as database, repair_account(pair, database) as user:
        good, _drifted = drift(pair, database)

        def may_ask(number):
            pair.a.execute(f"ALTER USER '{user}'@'%' WITH MAX_QUERIES_PER_HOUR {number}")
            pair.wait()

        may_ask(questions)
        try:
            result = run(pair, database, tmp_path, batch_rows=5, user=user, password=PASSWORD)
        except ReplError as error:
            said = str(error)
        else:
            assert (result.failed, result.verified) == (True, False)
            said = " ".join([result.message or "", *(table.message or "" for table in result.tables)])
        assert "MAX_QUERIES_PER_HOUR 0" in said, said
        assert image(pair.a, database) == good
        may_ask(0)
        assert run(pair, database, tmp_path, user=user, password=PASSWORD).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_link_that_the_application_breaks_meanwhile(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """The result says which statement, which error, how to go on; nothing more is written; the next run converges."""
    pair = pairs(flavor)
    with fresh_database(pair) as database, repair_account(pair, database) as user:
        good, drifted = drift(pair, database)
        real = shadow.Shadow.log

        def log(self, statements, *how):
            real(self, statements, *how)
            pair.b.execute("INSERT INTO t3 VALUES (77, 'theirs')", database=database, logged=False)
            pair.a.execute("INSERT INTO t3 VALUES (77, 'ours')", database=database)

        with monkeypatch.context() as patched:
            patched.setattr(shadow.Shadow, "log", log)
            result = run(pair, database, tmp_path, batch_rows=5)
        assert (result.failed, result.verified, result.in_sync) == (True, False, False)
        assert [table.reason for table in result.tables] == ["broken_link", "broken_link", None]
        for said in ("the applier stopped", "1062", "Duplicate entry '77'", "t3", "Nothing more was written. Mend replication"):
            assert said in result.message
        # One batch of the first table, which the journal tells; nothing of the second.
        assert (result.changes.inserted, result.changes.updated) == (5, 0)
        entries = list(journal.read(result.undo_file).entries())
        assert sum(entry.committed for entry in entries) == 5
        assert image(pair.b, database)["t2"] == drifted["t2"]
        # MySQL does not show the error in full to everyone; then that is said.
        with pytest.raises(Refusal, match="1062") as refused:
            run(pair, database, tmp_path, user=user, password=PASSWORD)
        assert "Duplicate entry" in str(refused.value) or "lacks SELECT on performance_schema" in str(refused.value)
        pair.b.execute("DELETE FROM t3", database=database, logged=False)
        pair.b.start_replica()
        pair.wait()
        good["t3"] = image(pair.a, database)["t3"]
        assert run(pair, database, tmp_path).verified
        assert_repaired(pair, database, good)


@contextmanager
def files_no_larger_than(limit):
    """A disk that is full when a file of this process has so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_full_disk_changes_nothing_that_is_not_in_the_journal(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good, drifted = drift(pair, database)
        # Nothing of the journal, its header, the header and a part of the first table's rows.
        for limit in (0, 100, 4000):
            position = pair.a.binlog_position()
            with files_no_larger_than(limit):
                if limit < 4000:
                    with pytest.raises(Refusal, match="journal_unwritable"):
                        run(pair, database, tmp_path / str(limit))
                else:
                    result = run(pair, database, tmp_path / str(limit))
                    # The second table was not begun, and that is said.
                    assert [table.reason for table in result.tables] == ["journal_unwritable", "journal_unwritable", None]
                    assert (result.failed, result.changed) == (True, False)
            assert pair.a.binlog_position() == position
        # The first table fits, the second does not: it is as it was, what was done to the first is told and journaled.
        with files_no_larger_than(40_000):
            result = run(pair, database, tmp_path / "some")
        assert [table.reason for table in result.tables] == [None, "journal_unwritable", None]
        assert (result.failed, result.changes.inserted, result.changes.updated) == (True, 30, 0)
        pair.wait()
        assert image(pair.a, database) == good
        assert image(pair.b, database) == {**drifted, "t1": good["t1"]}
        assert sum(1 for entry in journal.read(result.undo_file).entries() if entry.table.name.table == "t1") == 30
        # An undo that cannot be journaled does not begin either.
        position = pair.a.binlog_position()
        with files_no_larger_than(4000), pytest.raises(Refusal, match="journal_unwritable"):
            undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path / "undo"))
        assert pair.a.binlog_position() == position
        assert undo.run(servers(pair), result.undo_file, undo_dir=str(tmp_path / "undo")).changes.deleted == 30
        pair.wait()
        assert image(pair.a, database)["t1"] == image(pair.b, database)["t1"] == drifted["t1"]


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_disk_that_fills_in_the_midst_of_row_changes_hides_nothing_that_was_done(pairs, fresh_database, tmp_path, flavor):
    """At whatever line of the journal: what was logged is told, the target is STRICT, and the next run ends the rest."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)"], database=database)
        pair.wait()
        good = image(pair.a, database)

        def spoilt_run(undo_dir):
            pair.b.execute("DELETE FROM t WHERE id > 1", database=database, logged=False)
            return run(pair, database, undo_dir, method="row", batch_rows=1)

        lines = Path(spoilt_run(tmp_path).undo_file).read_bytes().splitlines(True)
        for number in range(1, len(lines)):
            position = pair.a.binlog_position()
            told = False
            with files_no_larger_than(sum(map(len, lines[:number])) + 20), suppress(Refusal):
                result = spoilt_run(tmp_path / str(number))
                told = result.failed or result.verified  # what comes last says only what the servers say as well
            assert told or pair.a.binlog_position() == position, lines[number]
            assert mode(pair.b) == "STRICT"
            assert run(pair, database, tmp_path / str(number)).in_sync
            assert_repaired(pair, database, good)


def run_when_free(pair, database, undo_dir):
    """Run as soon as the lock of a killed run is gone, within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(Refusal):
            return run(pair, database, undo_dir)
    return run(pair, database, undo_dir)


HANGING = """
import sys, time
from integration_engine import test_run_ends as ends
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, shadow
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
port, password, database, undo_dir = sys.argv[1:]
real = shadow.Shadow.log
def log(self, statements, *how):
    real(self, statements, *how)
    print("logged", flush=True)
    time.sleep(600)
shadow.Shadow.log = log
target = options.Servers(target=Endpoint(host="127.0.0.1", port=int(port), user="root", password=password))
wanted = options.Selection(databases=(database,))
sync.run(target, wanted, options.Pace(), options.Repair(undo_dir=undo_dir, batch_rows=5), 10, True)
"""


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_run_for_a_pair_until_it_is_killed(pairs, fresh_database, tmp_path, flavor):
    """SIGKILL behind the commit, before the lock on the rows is given up: the lock goes, the next run converges."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good, drifted = drift(pair, database)
        arguments = [str(pair.b.port), pair.b.root_password, database, str(tmp_path)]
        paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        child = subprocess.Popen(
            [sys.executable, "-c", HANGING, *arguments], env={**os.environ, **paths}, stdout=subprocess.PIPE, text=True
        )
        try:
            assert child.stdout.readline() == "logged\n"
            with pytest.raises(Refusal, match="already_running"):
                run(pair, database, tmp_path / "second")
            # Its journal can be read while it goes on.
            (path,) = tmp_path.glob("*.jsonl")
            entries = list(journal.read(str(path)).entries())
            assert {entry.table.name.table for entry in entries} == {"t1"}
            assert {entry.after for entry in entries} <= set(good["t1"])
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
            child.stdout.close()
        result = run_when_free(pair, database, tmp_path / "second")
        assert (result.verified, result.changes.inserted, result.changes.updated) == (True, 25, 40)
        assert_repaired(pair, database, good)
        # What the killed run had logged can be taken back, by its unfinished journal.
        for left in (result.undo_file, str(path)):
            assert undo.run(servers(pair), left, undo_dir=str(tmp_path / "undo")).verified
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == drifted
