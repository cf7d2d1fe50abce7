# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repairs of many rows: in batches, ended between two of them, in memory that does not grow, beside a writer."""

from __future__ import annotations

import random
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from integration_engine.support import assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal, options, report, throttle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import apply, sync
from bench import ours
from bench.datasets import DATABASE, DATASETS

FLAVORS = ("mariadb-10.11", "mysql-9")


def run(pair, database, undo_dir, **repair):
    """Run the sync on one database."""
    selection = options.Selection(databases=(database,))
    limits = options.Repair(undo_dir=str(undo_dir), **repair)
    return sync.run(servers(pair), selection, options.Pace(), limits, sample_rows=10, apply=True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_ended_in_mid_repair_all_that_was_logged_is_verified_and_the_next_run_goes_on(
    pairs, fresh_database, tmp_path, monkeypatch, flavor
):
    class Ending(throttle.Throttle):
        """Ends the repair before its third batch."""

        asked = 0

        def wait(self):
            self.asked += 1
            if self.asked == 3:
                raise Undecided("max_runtime", "the time is over")

    pair = pairs(flavor)
    with fresh_database(pair) as database:
        for table in "abc":
            pair.a.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)", database=database)
            pair.a.execute(f"INSERT INTO {table} VALUES {', '.join(f'({n}, {n})' for n in range(10))}", database=database)
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(["DELETE FROM a", "DELETE FROM b", "UPDATE c SET v = 0"], database=database, logged=False)
        with monkeypatch.context() as patch:
            patch.setattr(apply, "Throttle", Ending)
            ended = run(pair, database, tmp_path, batch_rows=4)
        assert [(table.status, table.reason) for table in ended.tables] == [(report.UNDECIDED, "max_runtime")] * 3
        assert "b was not begun" in ended.tables[1].message
        assert (ended.failed, ended.verified, ended.changes.inserted) == (True, False, 8)
        assert len(image(pair.b, database)["a"]) == 8, "what was logged had not arrived"
        entries = list(journal.read(ended.undo_file).entries())
        assert [entry.committed for entry in entries] == [True] * 8 + [False] * 2
        assert '"is":"verified","rows":[1,2,3,4]' in Path(ended.undo_file).read_text(encoding="ascii")
        done = run(pair, database, tmp_path)
        assert (done.failed, done.verified, done.changes.inserted, done.changes.updated) == (False, True, 12, 9)
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_lost_table_is_refilled_beside_a_writer_in_little_memory(pairs, tmp_path, flavor):
    pair = pairs(flavor)
    lost = replace(DATASETS["1m12"], rows=60_000)
    lost.load(pair)
    stop = threading.Event()

    def write():
        with closing(pair.a.connect(database=DATABASE)) as connection, connection.cursor() as cursor:
            # A changed row that the target lacks would stop a link that carries rows.
            cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
            while not stop.is_set():
                row = random.randint(1, lost.rows)
                cursor.execute(f"UPDATE t SET quantity = quantity + 1 WHERE id = {row}")
                cursor.execute(f"UPDATE t SET name = 'it''s \\\\ new', note = NULL WHERE id = {row % 100 + 1}")
                time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        pair.b.execute(f"DELETE FROM {DATABASE}.t WHERE id > 1000", logged=False)
        limits = {"max_changes": 10**6, "max_deletes": 10**6}
        outcome = ours.run(ours.job(pair, "sync", DATABASE, undo_dir=str(tmp_path), **limits))
    finally:
        stop.set()
        writer.join()
    try:
        assert outcome.changes == 59_000
        assert outcome.memory < 80, "MiB; the rows with both images are far more"
        pair.wait()
        assert image(pair.a, DATABASE) == image(pair.b, DATABASE)
        assert pair.links_healthy()
    finally:
        lost.drop(pair)
