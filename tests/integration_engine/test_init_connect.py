# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a server's init_connect does to every session of the account: nothing of it may hide, alter or keep back a change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ConnectError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from sandbox import Topology

HOSTILE = (
    "SET SESSION sql_log_bin = 0, SESSION autocommit = 0, SESSION character_set_client = latin1, SESSION sql_select_limit = 1,"
    " SESSION sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES', SESSION time_zone = '-07:00', SESSION foreign_key_checks = 0,"
    " SESSION max_join_size = 1, SESSION transaction_isolation = 'READ-UNCOMMITTED', SESSION transaction_read_only = 1"
)


@contextmanager
def _init_connect(pair: Topology, statement: str) -> Iterator[None]:
    """Both servers run a statement at the begin of each session but root's."""
    if pair.a.flavor == "mariadb-10.11":  # which has other names for two of them
        statement = statement.replace("transaction_isolation", "tx_isolation").replace("transaction_read_only", "tx_read_only")
    for server in (pair.a, pair.b):
        server.execute("SET GLOBAL init_connect = '" + statement.replace("'", "''") + "'")
    try:
        yield
    finally:
        for server in (pair.a, pair.b):
            server.execute("SET GLOBAL init_connect = ''")


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_no_change_is_kept_out_of_the_log(pairs, fresh_database, tmp_path: Path, flavor: str) -> None:
    pair: Topology = pairs(flavor)
    data, everywhere = REPAIR_GRANTS[pair.a.family]
    writes = [right for right in ("INSERT", "DELETE") if right not in data]
    with fresh_database(pair) as database, account(pair, [*data, *writes], everywhere, database) as user:
        pair.a.execute(
            [
                "CREATE TABLE `größe` (`straße` varchar(20) CHARACTER SET utf8mb4 PRIMARY KEY, at timestamp NULL, n double)",
                "INSERT INTO `größe` VALUES ('ä', '2024-10-27 00:30:00', 0.1), ('b', NULL, 2), ('c', NULL, 3)",
            ],
            database=database,
        )
        pair.wait()
        good = image(pair.a, database)
        spoil = [
            "DELETE FROM `größe` WHERE n = 2",
            "UPDATE `größe` SET at = NULL WHERE n < 1",
            "INSERT INTO `größe` VALUES ('x', NULL, 9)",
        ]
        pair.b.execute(spoil, database=database, logged=False)
        bad = image(pair.b, database)
        login = servers(pair, user, PASSWORD)
        chosen = options.Selection(databases=(database,))
        with _init_connect(pair, HOSTILE):
            (table,) = checksum.run(login, chosen, options.Pace(), 5).tables
            assert (table.status, table.missing, table.extra, table.different) == (report.DRIFT, 1, 1, 1)
            repair = options.Repair(undo_dir=str(tmp_path))
            done = sync.run(login, chosen, options.Pace(), repair, 5, apply=True)
            assert (done.verified, done.failed) == (True, False), done.message
            assert_repaired(pair, database, good)

            taken_back = undo.run(login, done.undo_file, undo_dir=str(tmp_path))
            assert (taken_back.verified, taken_back.failed) == (True, False), taken_back.message
            assert_repaired(pair, database, bad)

            # A row that only the target has is copied to the source, and logged there for the replicas beside.
            pair.b.execute("INSERT INTO `größe` VALUES ('only here', NULL, 11)", database=database, logged=False)
            adopt = options.Repair(extra_rows="adopt", undo_dir=str(tmp_path))
            before = pair.a.binlog_position()
            done = sync.run(login, chosen, options.Pace(), adopt, 5, apply=True)
            assert (done.verified, done.failed) == (True, False), done.message
            assert pair.a.binlog_position() > before, "what was written on the source is not in its log"
            assert_repaired(pair, database, image(pair.b, database))


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_one_that_fails_is_told(pairs, fresh_database, flavor: str) -> None:
    pair: Topology = pairs(flavor)
    data, everywhere = REPAIR_GRANTS[pair.a.family]
    with (
        fresh_database(pair) as database,
        account(pair, data, everywhere, database) as user,
        _init_connect(pair, "SELECT nonsense"),
        pytest.raises(ConnectError) as refused,
    ):
        checksum.run(servers(pair, user, PASSWORD), options.Selection(databases=(database,)), options.Pace(), 5)
    assert "init_connect" in str(refused.value)
