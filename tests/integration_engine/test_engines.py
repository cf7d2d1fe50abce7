# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables without transactions: the whole table is locked while its rows are logged, and what is logged is what is there."""

from __future__ import annotations

import threading
import time

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")
ENGINES = {"mysql": ("MyISAM", "MEMORY"), "mariadb": ("MyISAM", "MEMORY", "Aria")}
RECOVERS = {"myisam_recover_options": "BACKUP,FORCE"}
MIXED = {"source_only": ("MyISAM", "InnoDB"), "target_only": ("InnoDB", "MyISAM")}


def run(pair, database, undo_dir, login=None, **repair):
    """Run the sync on a database."""
    limits = options.Repair(undo_dir=str(undo_dir), **repair)
    chosen = options.Selection(databases=(database,))
    return sync.run(servers(pair, **(login or {})), chosen, options.Pace(), limits, sample_rows=10, apply=True)


def reasons(result):
    """Reasons of the tables, by name."""
    return {table.table: table.reason for table in result.tables}


@pytest.mark.parametrize("flavor", FLAVORS)
def test_each_engine_on_either_side(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor, options=RECOVERS)
    engines = ENGINES[pair.a.family]
    tables = {**{f"t_{engine.lower()}": (engine, engine) for engine in engines}, **MIXED}
    rows = ", ".join(f"({n}, {n}, 'v{n}')" for n in range(1, 101))
    with fresh_database(pair) as database:
        for name, (engine, _other) in tables.items():
            create = f"CREATE TABLE {name} (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20)) ENGINE={engine}"
            pair.a.execute([create, f"INSERT INTO {name} VALUES {rows}"], database=database)
        pair.a.execute(["CREATE TABLE loose (a int) ENGINE=MyISAM", "INSERT INTO loose VALUES (1)"], database=database)
        pair.wait()
        good = image(pair.a, database)
        for name, (engine, other) in tables.items():
            drift = [
                *([f"ALTER TABLE {name} ENGINE={other}"] if other != engine else []),
                f"DELETE FROM {name} WHERE id MOD 10 = 1",
                f"UPDATE {name} SET v = 'bad', u = NULL WHERE id IN (2, 3)",
                f"UPDATE {name} SET u = 2 WHERE id = 3",
                f"INSERT INTO {name} VALUES (200, 1, 'extra')",
            ]
            pair.b.execute(drift, database=database, logged=False)
        spoilt = image(pair.b, database)
        data, everywhere = REPAIR_GRANTS[pair.a.family]
        with account(pair, data, everywhere, database) as user:
            login = {"user": user, "password": PASSWORD}
            without = run(pair, database, tmp_path, login)
            needs = {name: "missing_grant" for name, (engine, _other) in tables.items() if engine != "InnoDB"}
            assert reasons(without) == {**dict.fromkeys(tables), **needs, "loose": None}
            assert "LOCK TABLES" in without.message
            assert image(pair.a, database) == good
            pair.wait()
            assert image(pair.b, database) == {**spoilt, "target_only": good["target_only"]}
            pair.a.execute(f"GRANT LOCK TABLES ON {database}.* TO {user}@'%'")
            pair.wait()
            result = run(pair, database, tmp_path, login, batch_rows=7)
            assert not result.failed, result.message
            assert_repaired(pair, database, good)
        # Rows are not proved before a commit that there is not, and rows without a key would come twice after a crash.
        pair.b.execute(["DELETE FROM loose", "DELETE FROM t_myisam WHERE id = 1"], database=database, logged=False)
        assert reasons(run(pair, database, tmp_path))["loose"] == "engine_not_transactional"
        pair.b.execute("DELETE FROM t_myisam WHERE id = 1", database=database, logged=False)
        result = run(pair, database, tmp_path, method="row", allow_triggers=True)
        assert reasons(result)["t_myisam"] == "engine_not_transactional"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_transaction_that_wrote_the_table_and_is_open_is_waited_for(pairs, fresh_database, tmp_path, flavor):
    """Its statement is logged at its COMMIT only: a repair in between would be followed by the same change once more."""
    by_position = {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"} if flavor == "mysql-9" else {}
    pair = pairs(flavor, options={**RECOVERS, **by_position}, gtid=not by_position)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE m (id int PRIMARY KEY, v int) ENGINE=MyISAM",
                "CREATE TABLE i (id int PRIMARY KEY, v int)",
                "INSERT INTO m VALUES (1, 0), (2, 0)",
                "INSERT INTO i VALUES (1, 0)",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute("UPDATE m SET v = 70", database=database, logged=False)
        stop = threading.Event()

        def write():
            with pair.a.connect(database=database) as connection, connection.cursor() as cursor:
                cursor.execute("SET SESSION binlog_format = 'STATEMENT'")
                cursor.execute("BEGIN")
                cursor.execute("UPDATE i SET v = v + 1")
                cursor.execute("UPDATE m SET v = v + 1")
                stop.wait(1.5)
                connection.commit()

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.3)
        try:
            result = run(pair, database, tmp_path)
        finally:
            stop.set()
            writer.join()
        pair.wait()
        if result.failed:  # the row changed meanwhile, perhaps
            result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, image(pair.a, database))
        assert image(pair.a, database)["m"] == [(b"1", b"1"), (b"2", b"1")]
