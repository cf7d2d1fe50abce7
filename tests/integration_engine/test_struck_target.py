# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happens to the target while a repair by row changes keeps it lenient: it is taken up again, or the run says what to do."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from integration_engine.support import assert_repaired, image, servers, until
from integration_engine.test_downstream import mode
from integration_engine.test_struck_below import restart

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.journal import Writer
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")


def run(pair, undo_dir, fence_timeout=30):
    how = options.Repair(undo_dir=str(undo_dir), method="row")
    logins = servers(pair, fence_timeout=fence_timeout)
    return sync.run(logins, options.Selection(databases=("d",)), options.Pace(), how, 10, apply=True)


@contextmanager
def struck(flavor, monkeypatch, strike):
    """A pair whose target is struck when a row that it lacks was written, and before it could apply that."""
    with co_masters(flavor) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3)"])
        pair.wait()
        pair.b.execute("DELETE FROM d.t WHERE id = 2", logged=False)
        strikes = [strike]
        committed = Writer.committed

        def strike_once(writer, ids):
            committed(writer, ids)
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
