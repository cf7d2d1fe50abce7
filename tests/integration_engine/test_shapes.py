# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of odd shapes, names and engines: compared exactly; and what happens to a table in mid-run."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from integration_engine.support import servers
from integration_engine.test_compare import SevenRows, check, verdict

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import compare, options, report, throttle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum

FLAVORS = ("mariadb-10.11", "mysql-9")

SIXTEEN = ", ".join(f"k{n} tinyint" for n in range(16))
SIXTEEN_KEYS = ", ".join(f"k{n}" for n in range(16))
SIXTEEN_VALUES = ", ".join(f"{{n}} >> {n % 6} & 1" if n else "{n} % 50" for n in range(16))

#: Name → (definition, a row of n as VALUES, flavors); every table has a column v.
SHAPES = {
    "sixteen": (f"({SIXTEEN}, v int, PRIMARY KEY ({SIXTEEN_KEYS}))", f"{SIXTEEN_VALUES}, {{n}}", "mariadb mysql"),
    "descending": ("(a int, b int, v int, PRIMARY KEY (a DESC, b))", "{n} % 5, {n}, {n}", "mariadb mysql"),
    "key_last": ("(v int, x varchar(9), id int PRIMARY KEY)", "{n}, 'x', {n}", "mariadb mysql"),
    "unique_only": ("(id int NOT NULL, v int, UNIQUE KEY u (id))", "{n}, {n}", "mariadb mysql"),
    "nullable_unique": ("(id int, v int, UNIQUE KEY u (id))", "NULLIF({n}, 3), {n}", "mariadb mysql"),
    "prefix_text": ("(id text NOT NULL, v int, PRIMARY KEY (id(3)))", "'{n}k', {n}", "mariadb mysql"),
    "partitioned": (
        "(id int PRIMARY KEY, v int) PARTITION BY RANGE (id)"
        " (PARTITION a VALUES LESS THAN (10), PARTITION b VALUES LESS THAN MAXVALUE)",
        "{n}, {n}",
        "mariadb mysql",
    ),
    "generated_stored": ("(id int PRIMARY KEY, v int, w int AS (v + 1) STORED)", "{n}, {n}, DEFAULT", "mariadb mysql"),
    "generated_virtual": (
        "(id int PRIMARY KEY, v int, w int AS (v + 1) VIRTUAL)",
        "{n}, {n}, DEFAULT",
        "mariadb mysql",
    ),
    "functional": ("(id int PRIMARY KEY, v int, UNIQUE KEY f ((v + 1)))", "{n}, {n}", "mysql"),
    "invisible": ("(id int PRIMARY KEY, v int INVISIBLE)", "{n}", "mariadb mysql"),
    "compressed": ("(id int PRIMARY KEY, v int) ROW_FORMAT=COMPRESSED", "{n}, {n}", "mariadb mysql"),
    "myisam": ("(id int PRIMARY KEY, v int) ENGINE=MyISAM", "{n}, {n}", "mariadb mysql"),
    "aria": ("(id int PRIMARY KEY, v int) ENGINE=Aria", "{n}, {n}", "mariadb"),
    "memory": ("(id int PRIMARY KEY, v int) ENGINE=MEMORY", "{n}, {n}", "mariadb mysql"),
    "csv": ("(id int NOT NULL, v int NOT NULL) ENGINE=CSV", "{n}, {n}", "mariadb mysql"),
    "archive": ("(id int PRIMARY KEY AUTO_INCREMENT, v int) ENGINE=ARCHIVE", "{n} + 1, {n}", "mysql"),
    "versioned": ("(id int PRIMARY KEY, v int) WITH SYSTEM VERSIONING", "{n}, {n}", "mariadb"),
    "enum_key": ("(id enum('z','m','a','q') PRIMARY KEY, v int)", "1 + {n} % 4, {n}", "mariadb mysql"),
    "od`d na.me, %s\n☃ 'select'": ("(`i``d. ,%` int PRIMARY KEY, v int)", "{n}, {n}", "mariadb mysql"),
    "l" * 64: ("(`" + "c" * 64 + "` int PRIMARY KEY, v int)", "{n}, {n}", "mariadb mysql"),
}


def quoted(name):
    """A quoted identifier, by the test's own means."""
    return "`" + name.replace("`", "``") + "`"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_wrong_row_is_found_in_tables_of_every_shape(pairs, fresh_database, flavor, monkeypatch):
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    shapes = {name: shape for name, shape in SHAPES.items() if flavor.split("-")[0] in shape[2]}
    with fresh_database(pair) as database:
        for name, (definition, values, _flavors) in shapes.items():
            rows = range(4 if name == "enum_key" else 30)
            pair.a.execute(
                [
                    f"CREATE TABLE {quoted(name)} {definition}",
                    f"INSERT INTO {quoted(name)} VALUES " + ", ".join(f"({values.format(n=n)})" for n in rows),
                ],
                database=database,
            )
        if "invisible" in shapes:
            pair.a.execute("UPDATE invisible SET v = id", database=database)
        pair.wait()
        first = check(pair, database)
        assert {table.table: table.status for table in first.tables} == dict.fromkeys(shapes, report.IDENTICAL), first
        assert first.in_sync
        for name in shapes:
            spoil = "DELETE FROM {} WHERE v = 2" if name not in ("archive", "csv") else "INSERT INTO {} (id, v) VALUES (99, 99)"
            pair.b.execute(spoil.format(quoted(name)), database=database, logged=False)
        found = check(pair, database)
        assert {table.table: table.missing + table.extra for table in found.tables} == dict.fromkeys(shapes, 1), found


def test_sequences_and_views_are_left_out_with_the_reason(pairs, fresh_database):
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        pair.a.execute(["CREATE SEQUENCE s", "CREATE VIEW looks AS SELECT 1 AS one"], database=database)
        pair.wait()
        result = check(pair, database)
    assert {(table.table, table.status, table.reason) for table in result.tables} == {
        ("s", "skipped", "sequence"),
        ("looks", "skipped", "view"),
    }
    assert result.in_sync, "neither holds rows of its own"


@pytest.mark.parametrize("change", ["ALTER TABLE t DROP COLUMN v", "DROP TABLE t", "TRUNCATE TABLE t", "RENAME TABLE t TO u"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_changed_in_mid_run_gets_a_clear_status(pairs, fresh_database, flavor, change, monkeypatch):
    monkeypatch.setattr(compare, "ChunkSizer", SevenRows)
    pair = pairs(flavor)
    chunks = itertools.count()

    def change_it(_throttle):
        if next(chunks) == 20:
            pair.a.execute(change, database=database)
            pair.wait()

    monkeypatch.setattr(throttle.Throttle, "wait", change_it)
    with fresh_database(pair) as database:
        rows = ", ".join(f"({n}, {n})" for n in range(1000))
        pair.a.execute(
            ["CREATE TABLE t (id int PRIMARY KEY, v int)", f"INSERT INTO t VALUES {rows}", "ANALYZE TABLE t"],
            database=database,
        )
        pair.wait()
        found = verdict(check(pair, database), "t")
        assert next(chunks) > 20
        pair.wait()
        assert pair.links_healthy()
    if change.startswith("TRUNCATE"):
        assert found.status == report.IDENTICAL, found
    else:
        assert (found.status, found.reason) == (report.ERROR, "server_error"), found
        assert found.message
    assert (found.missing, found.extra, found.different) == (0, 0, 0)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_check_locks_nothing_and_holds_no_snapshot(pairs, fresh_database, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(200))", database=database)
        for start in range(0, 60_000, 20_000):
            rows = ", ".join(f"({n}, REPEAT('x', 200))" for n in range(start, start + 20_000))
            pair.a.execute(f"INSERT INTO t VALUES {rows}", database=database)
        pair.wait()
        seen: list[tuple[int, int]] = []
        stop = threading.Event()

        def watch():
            with pair.a.connect() as connection, connection.cursor() as cursor:
                while not stop.is_set():
                    cursor.execute(
                        "SELECT COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, trx_started, NOW(6))), 0),"
                        " COALESCE(MAX(trx_rows_locked), 0)"
                        " FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID()"
                        " AND trx_mysql_thread_id IN"
                        " (SELECT id FROM information_schema.processlist WHERE user = 'root')"
                    )
                    seen.append(cursor.fetchone())
                    time.sleep(0.02)

        positions = pair.a.binlog_position(), pair.b.binlog_position()
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            wanted = options.Selection(databases=(database,))
            for _run in range(3):
                result = checksum.run(servers(pair), wanted, options.Pace(chunk_time=0.2), 10)
        finally:
            stop.set()
            watcher.join()
        assert result.in_sync
        assert (pair.a.binlog_position(), pair.b.binlog_position()) == positions
        assert max(locked for _age, locked in seen) == 0
        # innodb_trx counts whole seconds on MariaDB; a chunk of 0.2 s on a busy machine stays far below this.
        assert max(age for age, _locked in seen) < 3_000_000
