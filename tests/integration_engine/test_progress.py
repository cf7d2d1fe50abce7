# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run tells how far it is; ended by its listener at any moment, it leaves both servers right and the next one converges."""

from __future__ import annotations

import pytest
from integration_engine.support import assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, progress, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo


class End:
    """A listener that remembers, and ends the run at a certain call of a stage."""

    def __init__(self, stage: str = "never", at: int = 0) -> None:
        self.told: list[progress.Progress] = []
        self._stage, self._at = stage, at

    def __call__(self, now: progress.Progress) -> None:
        self.told.append(now)
        self._at -= now.stage == self._stage
        if self._at < 0 and self._stage == now.stage:
            raise Undecided("interrupted", "enough")


def run(pair, database, undo_dir, listener, apply=True):
    repair = options.Repair(undo_dir=str(undo_dir), batch_rows=5)
    wanted = options.Selection(databases=(database,))
    return sync.run(servers(pair), wanted, options.Pace(), repair, 10, apply, listener=listener)


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_run_ended_anywhere_leaves_the_servers_right(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, {n})" for n in range(200))
        for table in ("a", "b"):
            pair.a.execute(
                [f"CREATE TABLE {table} (id int PRIMARY KEY, v int)", f"INSERT INTO {table} VALUES {rows}"], database=database
            )
        pair.wait()
        good = image(pair.a, database)
        spoil = ["UPDATE a SET v = 0 WHERE id BETWEEN 1 AND 20", "DELETE FROM b WHERE id < 20"]
        pair.b.execute(spoil, database=database, logged=False)
        spoilt = image(pair.b, database)

        # The comparison: whenever it is ended, the run fails as a whole and nothing is repaired.
        whole = End()
        run(pair, database, tmp_path, whole, apply=False)
        calls = sum(now.stage == progress.COMPARE for now in whole.told)
        assert calls >= 6
        wanted = options.Selection(databases=(database,))
        for at in range(calls):
            with pytest.raises(Undecided, match="enough"):
                run(pair, database, tmp_path, End(progress.COMPARE, at))
        for at in (0, calls - 1):
            with pytest.raises(Undecided, match="enough"):
                checksum.run(servers(pair), wanted, options.Pace(), 10, listener=End(progress.COMPARE, at))
        assert not list(tmp_path.iterdir())
        assert image(pair.b, database) == spoilt

        # The repair: what was logged is complete and in the report, nothing more is begun.
        for at, done in ((2, 0), (4, 5)):
            found = run(pair, database, tmp_path, End(progress.REPAIR, at))
            assert found.failed
            assert "enough" in str(found.message)
            assert found.changes == report.Changes(updated=done)
            pair.wait()
            assert image(pair.a, database) == good
            assert sum(row not in good["a"] for row in image(pair.b, database)["a"]) == 20 - done
            assert image(pair.b, database)["b"] == spoilt["b"]
            assert pair.links_healthy()

        last = End()
        found = run(pair, database, tmp_path, last)
        assert not found.failed
        assert_repaired(pair, database, good)
        told = [now for now in last.told if now.stage == progress.REPAIR]
        assert (told[-1].table, told[-1].number, told[-1].tables) == (f"{database}.b", 2, 2)
        assert (told[-1].expected, told[-1].differences) == (35, 35)
        assert [now.rows for now in told] == sorted(now.rows for now in told)

        listener = End(progress.UNDO, 4)
        put_back = undo.run(servers(pair), found.undo_file, batch_rows=5, undo_dir=str(tmp_path), listener=listener)
        assert put_back.failed
        assert put_back.changes.total == 5
        undo.run(servers(pair), found.undo_file, batch_rows=5, undo_dir=str(tmp_path), listener=End())
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database)
