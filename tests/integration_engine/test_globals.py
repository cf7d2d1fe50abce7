# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever global settings the servers have, on one side or both: drift is found rightly and repaired to the byte."""

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import replace

import pymysql
import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync

FLAVORS = ("mariadb-10.11", "mysql-9")

TABLES = [
    "CREATE TABLE mixed (id int PRIMARY KEY, u varchar(20) NULL UNIQUE, f double, g float, d timestamp(6) NULL, z datetime,"
    " j json, b longblob, c char(10), e enum('a', '', 'é'), n decimal(30, 10), t time(3), y year, bits bit(13))",
    "CREATE TABLE composed (a char(10), b varbinary(8), v int, s int AS (v + 1) STORED, w int AS (v * 2) VIRTUAL,"
    " PRIMARY KEY (a, b), UNIQUE (s), UNIQUE (w))",
    "CREATE TABLE keyless (a int, v varchar(20), d timestamp NULL, x double)",
    "CREATE TABLE parted (id int, y int, v text, PRIMARY KEY (id, y)) PARTITION BY RANGE (y)"
    " (PARTITION p0 VALUES LESS THAN (10), PARTITION p1 VALUES LESS THAN MAXVALUE)",
    "CREATE TABLE tree (id int AUTO_INCREMENT PRIMARY KEY, parent int, v varchar(10),"
    " FOREIGN KEY (parent) REFERENCES tree (id) ON DELETE CASCADE ON UPDATE CASCADE) ROW_FORMAT=COMPRESSED",
]
LENIENT = "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', time_zone = '+00:00', NAMES utf8mb4"
ROWS = [
    r"INSERT INTO mixed VALUES"
    r" (1, 'a\\b''c\"', 0.1, 0.1, '2024-10-27 00:30:00.123456', '0000-00-00 00:00:00', '{\"a\": [1, null]}',"
    r" x'00275c220aff1a', 'pad', '', 1.5, '-838:59:59', 2024, b'1010101010101'),"
    r" (2, 'two\\', -0.0, 1e10, NULL, '2024-02-30 00:00:00', NULL, repeat(x'ff', 3000), '', 'é', -1, NULL, NULL, NULL),"
    r" (3, '', 1e308, 3.4e38, '2001-01-01 00:00:00', NULL, '[]', '', 'x  ', 'a', 0, '00:00:00.5', 0, b'0')",
    r"INSERT INTO composed (a, b, v) VALUES ('k', x'0020', 1), ('k', x'00', 2), ('K2', '\\', 3), ('', '', 4)",
    r"INSERT INTO keyless VALUES (1, 'x', '2024-10-27 00:30:00', 0.1),"
    r" (1, 'x', '2024-10-27 00:30:00', 0.1), (2, '\\', NULL, NULL)",
    "INSERT INTO parted VALUES (1, 5, 'p'), (2, 15, 'q'), (3, 25, repeat('r', 500))",
    "INSERT INTO tree VALUES (0, NULL, 'zero'), (1, 0, 'one'), (2, 1, 'two'), (3, 2, 'three')",
]
DRIFT = [
    "SET SESSION foreign_key_checks = 0",
    "DELETE FROM mixed WHERE id = 1",
    "UPDATE mixed SET u = NULL, b = '', z = NULL WHERE id = 2",
    "UPDATE mixed SET u = 'two\\\\', j = NULL, f = 0 WHERE id = 3",
    "INSERT INTO mixed (id, u, b) VALUES (9, NULL, 'extra')",
    "UPDATE composed SET v = 9 WHERE v = 1",
    "DELETE FROM composed WHERE v = 3",
    "INSERT INTO composed (a, b, v) VALUES ('extra', '', 7)",
    "DELETE FROM keyless WHERE a = 1 LIMIT 1",
    "INSERT INTO keyless VALUES (3, 'extra', NULL, 1)",
    "UPDATE parted SET v = NULL WHERE id = 3",
    "DELETE FROM parted WHERE id = 2",
    "DELETE FROM tree WHERE id IN (0, 2)",
    "UPDATE tree SET parent = NULL WHERE id = 3",
]
# Missing, extra and different rows of each table.
FOUND = [("composed", 1, 1, 1), ("keyless", 1, 1, 0), ("mixed", 1, 1, 2), ("parted", 1, 0, 1), ("tree", 2, 0, 1)]
STRICT = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO"
ODD = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_UNSIGNED_SUBTRACTION"

# What is set globally: on both servers, on the source, on the target. A setting that a server does not have is left out.
CLIMATES = {
    "modes on the target": ({}, {"sql_mode": "''"}, {"sql_mode": f"'{STRICT},{ODD}'"}),
    "modes on the source": (
        {},
        {"sql_mode": f"'{STRICT},{ODD}'", "time_zone": "'+13:00'"},
        {"sql_mode": "''", "time_zone": "'-09:30'"},
    ),
    "modes of mariadb": ({"sql_mode": "'EMPTY_STRING_IS_NULL,ONLY_FULL_GROUP_BY'"}, {}, {}),
    "impatient": (
        {
            "max_statement_time": "1",
            "max_execution_time": "1000",
            "wait_timeout": "1",
            "interactive_timeout": "1",
            "lock_wait_timeout": "1",
            "innodb_lock_wait_timeout": "1",
            "net_read_timeout": "1",
            "net_write_timeout": "1",
            "idle_transaction_timeout": "1",
        },
        {},
        {},
    ),
    "small row images": (
        {
            "transaction_isolation": "'READ-COMMITTED'",
            "binlog_row_image": "'MINIMAL'",
            "binlog_row_value_options": "'PARTIAL_JSON'",
            "binlog_transaction_compression": "ON",
            "binlog_rows_query_log_events": "ON",
            "binlog_annotate_row_events": "ON",
            "log_bin_compress": "ON",
            "log_bin_compress_min_len": "10",
            "binlog_checksum": "'NONE'",
        },
        {},
        {},
    ),
    "images without blobs": ({"binlog_row_image": "'NOBLOB'", "transaction_isolation": "'SERIALIZABLE'"}, {}, {}),
    "careless": (
        {
            "foreign_key_checks": "0",
            "unique_checks": "0",
            "check_constraint_checks": "0",
            "explicit_defaults_for_timestamp": "OFF",
            "event_scheduler": "ON",
            "autocommit": "0",
            "completion_type": "'CHAIN'",
            "sql_auto_is_null": "1",
        },
        {},
        {},
    ),
    "narrow": (
        {
            "sql_select_limit": "1",
            "group_concat_max_len": "4",
            "max_error_count": "0",
            "tmp_table_size": "1024",
            "max_heap_table_size": "16384",
            "max_sort_length": "8",
            "default_storage_engine": "'MyISAM'",
            "max_allowed_packet": "1048576",
            "character_set_server": "'latin1'",
            "collation_connection": "'latin1_german2_ci'",
            "lc_time_names": "'de_DE'",
            "div_precision_increment": "0",
            "innodb_strict_mode": "OFF",
        },
        {},
        {},
    ),
    "read-only target": ({}, {}, {"read_only": "ON", "super_read_only": "ON"}),
    "what each connection begins with": (
        {"init_connect": "'SET NAMES latin1; SET autocommit = 0; SET time_zone = ''+05:00''; SET sql_mode = ''ANSI_QUOTES'''"},
        {},
        {},
    ),
    "appliers": (
        {
            "gtid_strict_mode": "ON",
            "slave_parallel_threads": "4",
            "slave_parallel_mode": "'aggressive'",
            "replica_parallel_workers": "4",
            "replica_preserve_commit_order": "ON",
        },
        {},
        {},
    ),
    "keys demanded of mysql": ({"sql_require_primary_key": "ON", "sql_generate_invisible_primary_key": "OFF"}, {}, {}),
}


def words(server):
    return ("STOP ALL SLAVES", "START ALL SLAVES") if server.family == "mariadb" else ("STOP REPLICA", "START REPLICA")


@contextmanager
def climate(pair, both, source, target):
    """Set these globally, appliers included, while the context lasts.

    MariaDB garbles its relay log (1594) if binlog_checksum changes at the source while it connects, so links are up by then.
    """
    before = []
    stop, start = words(pair.a)
    try:
        for server, more in ((pair.a, source), (pair.b, target)):
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(stop)
                for name, value in {**both, **more}.items():
                    cursor.execute(f"SHOW GLOBAL VARIABLES LIKE '{name}'")
                    found = cursor.fetchone()
                    if not found:
                        continue
                    try:
                        cursor.execute(f"SET GLOBAL {name} = {value}")
                    except pymysql.MySQLError as error:
                        if error.args[0] not in (1193, 1231, 1238, 1239):
                            raise
                    else:
                        before.append((server, name, found[1]))
                cursor.execute(start)
            pair.wait()
        yield [(server.name, name) for server, name, _value in before]
    finally:
        for server in (pair.a, pair.b):
            with closing(server.connect()) as connection, connection.cursor() as cursor:
                cursor.execute(stop)
                for one, name, value in reversed(before):
                    if one is server:
                        text = value.lstrip("-").replace(".", "").isdigit()
                        cursor.execute(
                            f"SET GLOBAL {name} = %s", (float(value) if "." in value else int(value),) if text else (value,)
                        )
                cursor.execute(start)
            pair.wait()


def run(pair, database, undo_dir, user, **repair):
    limits = replace(options.Repair(), undo_dir=str(undo_dir), **repair)
    chosen = options.Selection(databases=(database,))
    login = {"user": user, "password": PASSWORD}
    return sync.run(servers(pair, **login), chosen, options.Pace(), limits, 10, apply=True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_global_settings(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    on_data, everywhere = REPAIR_GRANTS[pair.a.family]
    with fresh_database(pair) as database, account(pair, on_data, everywhere, database) as user:
        pair.a.execute([LENIENT, *TABLES, *ROWS], database=database)
        pair.wait()
        good = image(pair.a, database)
        for name, settings in CLIMATES.items():
            if " of m" in name and not name.endswith(pair.a.family):
                continue
            pair.b.execute([LENIENT, *DRIFT], database=database, logged=False)
            try:
                with climate(pair, *settings) as taken:
                    assert taken
                    result = run(pair, database, tmp_path, user)
                    again = run(pair, database, tmp_path, user)
                assert not result.failed, result.message
                assert sorted((table.table, table.missing, table.extra, table.different) for table in result.tables) == FOUND
                assert_repaired(pair, database, good)
                assert again.in_sync
            except Exception as error:
                raise AssertionError(f"{name}: {error}") from error
