# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""MariaDB 10.5, the oldest that knows the documented rights: with 10.11 it brackets 10.6, which no package brings here."""

from __future__ import annotations

from pathlib import Path

from integration_engine.support import PASSWORD, account, assert_repaired, image, repair_account, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync, undo

FLAVOR = "mariadb-10.5"


def test_check_repair_and_undo_with_the_documented_rights(pairs, fresh_database, tmp_path: Path) -> None:
    pair = pairs(FLAVOR)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE t (id int PRIMARY KEY, v varchar(20), d double, at timestamp(3) NULL, UNIQUE (v))",
                "INSERT INTO t VALUES " + ", ".join(f"({n}, 'v{n}', {n} / 3, '2024-10-27 00:30:00')" for n in range(500)),
            ],
            database=database,
        )
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(
            [
                "DELETE FROM t WHERE id = 7",
                "UPDATE t SET d = d + 1e-9, at = NULL WHERE id = 8",
                "INSERT INTO t VALUES (-1, 'x', 0, NULL)",
            ],
            database=database,
            logged=False,
        )
        bad = image(pair.b, database)
        chosen = options.Selection(databases=(database,))
        with repair_account(pair, database) as user:
            login = servers(pair, user, PASSWORD)
            assert not [hazard for hazard in info.run(login).hazards if hazard.severity == "blocker"]
            (found,) = checksum.run(login, chosen, options.Pace(), 5).tables
            assert (found.status, found.missing, found.extra, found.different) == (report.DRIFT, 1, 1, 1)
            repair = options.Repair(undo_dir=str(tmp_path))
            done = sync.run(login, chosen, options.Pace(), repair, 5, apply=True)
            assert (done.verified, done.failed) == (True, False), done.message
            assert_repaired(pair, database, good)
        undo.run(servers(pair), done.undo_file, undo_dir=str(tmp_path))
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == bad
        with account(pair, ["SELECT", "TRIGGER"], ["BINLOG MONITOR", "PROCESS"], database) as user:
            told = info.run(servers(pair, user, PASSWORD)).hazards
            assert [hazard.code for hazard in told if hazard.severity == "blocker"] == ["missing_grant_check"]
            assert "GRANT SLAVE MONITOR" in told[0].remedy
