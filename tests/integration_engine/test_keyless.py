# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables without a key beyond one run: their plans are applied exactly, their repairs can be undone, exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from integration_engine.support import image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")

LOOSE = [
    "SET time_zone = '+00:00'",
    "CREATE TABLE loose (a int, d double, f float, s timestamp(3) NULL, b varbinary(9), j json, u int NULL UNIQUE,"
    " g int AS (a + 1) STORED, c varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci)",
    "INSERT INTO loose (a, d, f, s, b, j, c) VALUES (1, 0.1, 0.1, '2024-06-01 12:00:00.5', X'00', '{\"k\": 1}', 'x'),"
    " (1, 0.1, 0.1, '2024-06-01 12:00:00.5', X'00', '{\"k\": 1}', 'x'), (2, NULL, NULL, NULL, NULL, NULL, 'Abc'),"
    " (3, 1e300, 3.14, NULL, X'', NULL, ''), (4, 0, -0e0, NULL, NULL, NULL, 'same'), (4, 0, -0e0, NULL, NULL, NULL, 'same')",
    "INSERT INTO loose (a, u) VALUES (8, 80), (9, 90)",
]
DRIFT = [
    "SET time_zone = '+00:00'",
    "DELETE FROM loose WHERE a = 1 LIMIT 1",
    "UPDATE loose SET c = 'ABC' WHERE a = 2",
    "UPDATE loose SET c = NULL, s = '2020-01-01' WHERE a = 3",
    "INSERT INTO loose (a, d, f, c) VALUES (4, 0, -0e0, 'same')",
    "INSERT INTO loose (a, u) VALUES (7, 70)",
    "UPDATE loose SET u = 91 WHERE a = 9",
]


@pytest.mark.parametrize(("flavor", "binlog_format"), [("mysql-9", "ROW"), ("mariadb-10.11", "ROW"), ("mariadb-11.8", "MIXED")])
def test_a_plan_its_repair_its_undo_and_back(pairs, fresh_database, tmp_path, flavor, binlog_format):
    pair = pairs(flavor, binlog_format)
    plan, undo_dir = tmp_path / "plan", tmp_path / "undo"
    with fresh_database(pair) as database:
        pair.a.execute(LOOSE, database=database)
        pair.wait()
        pair.b.execute(DRIFT, database=database, logged=False)
        good, drifted = image(pair.a, database), image(pair.b, database)
        wanted = options.Selection(databases=(database,))
        found = checksum.run(servers(pair), wanted, options.Pace(), 10, plan_file=str(plan))
        assert (found.summary.missing, found.summary.extra) == (4, 5)
        assert "Abc" not in plan.read_text("ascii"), "a plan holds no data"

        # One row heals, another changes once more: both are left alone and counted.
        pair.b.execute("DELETE FROM loose WHERE a = 7", database=database, logged=False)
        pair.b.execute("INSERT INTO loose (a, d, f, c) VALUES (4, 0, -0e0, 'same')", database=database, logged=False)
        limits = options.Repair(undo_dir=str(undo_dir))
        result = sync.run(servers(pair), options.Selection(), options.Pace(), limits, 10, True, plan_file=str(plan))
        assert "1 planned rows are equal now and 1 differ otherwise than planned" in result.tables[0].message
        assert (result.verified, result.changes.inserted, result.changes.deleted, result.changes.skipped) == (True, 4, 3, 2)
        pair.b.execute("DELETE FROM loose WHERE a = 4 LIMIT 1", database=database, logged=False)
        pair.b.execute("INSERT INTO loose (a, u) VALUES (7, 70)", database=database, logged=False)

        # All of it now, by another plan.
        checksum.run(servers(pair), wanted, options.Pace(), 10, plan_file=str(plan))
        rest = sync.run(servers(pair), options.Selection(), options.Pace(), limits, 10, True, plan_file=str(plan))
        assert (rest.verified, rest.changes.deleted) == (True, 2)
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == good

        # Back, the latest first; the source gets the target's old rows.
        for journal in (rest.undo_file, result.undo_file):
            preview = undo.run(servers(pair), journal, undo_dir=str(undo_dir), apply=False)
            done = undo.run(servers(pair), journal, undo_dir=str(undo_dir))
            assert done.verified, done.message
            assert (done.changes, done.refused) == (preview.changes, ())
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == drifted
        again = undo.run(servers(pair), result.undo_file, undo_dir=str(undo_dir))
        assert (again.changed, again.undo_file, again.failed) == (False, None, False)

        # The undo undone, but for a row of which there is a copy more by now.
        pair.a.execute("INSERT INTO loose (a, d, c) VALUES (2, NULL, 'ABC')", database=database)
        redone = undo.run(servers(pair), done.undo_file, undo_dir=str(undo_dir))
        assert [row.reason for row in redone.refused] == ["changed_since"]
        assert "c='ABC'" in redone.refused[0].key
        assert pair.links_healthy()
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database)

        # What was told apart otherwise is not looked for: it would not be found, and taken for put back.
        old = Path(rest.undo_file)
        lines = [json.loads(line) for line in old.read_text("ascii").splitlines()]
        for name, reason in (("other", "schema_changed"), ("", "no_key")):
            table = next(line for line in lines if line["is"] == "table")
            table["digest_by"] = name
            old.write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")
            refused = undo.run(servers(pair), str(old), undo_dir=str(undo_dir)).refused
            assert {row.reason for row in refused} == {reason}
