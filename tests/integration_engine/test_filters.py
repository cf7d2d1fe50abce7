# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replication filters of real servers: what they hold back is left alone and said, what they let through is repaired."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from integration_engine.support import image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync
from sandbox import Server, Topology, co_masters


@dataclass(frozen=True)
class Case:
    """A filter (MySQL's value, MariaDB's value) of a replica, and the tables it holds back."""

    name: str
    mysql: str
    mariadb: str
    held: frozenset[str]
    on_source: bool = False


CASES = (
    Case("replicate_do_db", "(shop)", "shop", frozenset({"other.t"})),
    Case("replicate_ignore_db", "(other)", "other", frozenset({"other.t"})),
    Case("replicate_do_table", "(shop.a)", "shop.a", frozenset({"shop.b", "other.t"})),
    Case("replicate_ignore_table", "(shop.b)", "shop.b", frozenset({"shop.b"})),
    Case("replicate_wild_do_table", "('shop.%')", "shop.%", frozenset({"other.t"})),
    Case("replicate_wild_ignore_table", "('%.b')", "%.b", frozenset({"shop.b"})),
    Case("replicate_rewrite_db", "((other, elsewhere))", "other->elsewhere", frozenset({"other.t"})),
    Case("replicate_wild_ignore_table", "('shop.b')", "shop.b", frozenset({"shop.b"}), on_source=True),
)


@contextmanager
def _filtered(server: Server, case: Case) -> Iterator[None]:
    def put(mysql: str, mariadb: str) -> None:
        if server.family == "mysql":
            channel = "FOR CHANNEL ''"
            server.execute(
                [
                    f"STOP REPLICA SQL_THREAD {channel}",
                    f"CHANGE REPLICATION FILTER {case.name} = {mysql} {channel}",
                    f"START REPLICA SQL_THREAD {channel}",
                ]
            )
        else:
            server.execute(["STOP SLAVE", f"SET GLOBAL {case.name} = '{mariadb}'", "START SLAVE"])

    put(case.mysql, case.mariadb)
    try:
        yield
    finally:
        put("()", "")


def _tables(pair: Topology) -> None:
    """Three tables with the same rows on both servers."""
    for database in ("shop", "other"):
        pair.a.execute([f"DROP DATABASE IF EXISTS {database}", f"CREATE DATABASE {database}"])
    for table in ("shop.a", "shop.b", "other.t"):
        pair.a.execute([f"CREATE TABLE {table} (id int PRIMARY KEY, v int)", f"INSERT INTO {table} VALUES (1, 1), (2, 2)"])
    pair.wait()


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mariadb-11.8", "mysql-9"])
def test_what_a_filter_holds_back_is_left_alone(pairs, flavor: str, tmp_path: Path) -> None:
    pair: Topology = pairs(flavor)
    chosen = options.Selection(databases=("shop", "other"))
    for case in CASES:
        _tables(pair)
        with _filtered(pair.a if case.on_source else pair.b, case):
            pair.b.execute(
                [f"DELETE FROM {table} WHERE id = 2" for table in ("shop.a", "shop.b", "other.t")]
                + [f"UPDATE {table} SET v = 9 WHERE id = 1" for table in ("shop.a", "shop.b", "other.t")],
                logged=False,
            )
            spoilt = {database: image(pair.b, database) for database in ("shop", "other")}
            good = {database: image(pair.a, database) for database in ("shop", "other")}
            told = [hazard for hazard in info.run(servers(pair)).hazards if hazard.code == "replication_filter"]
            assert told, case
            tables = checksum.run(servers(pair), chosen, options.Pace(), 1).tables
            found = {f"{table.database}.{table.table}": table for table in tables}
            assert {name for name, table in found.items() if table.reason == "filtered"} == case.held, case
            assert {name for name, table in found.items() if table.status == report.DRIFT} == set(found) - case.held, case
            result = sync.run(servers(pair), chosen, options.Pace(), options.Repair(undo_dir=str(tmp_path)), 1, apply=True)
            pair.wait()
            after = {database: image(pair.b, database) for database in ("shop", "other")}
            assert {database: image(pair.a, database) for database in good} == good, "the good copy was changed"
            for name in found:
                database, table = name.split(".")
                expected = spoilt if name in case.held else good
                assert after[database][table] == expected[database][table], (case, name)
            assert result.verified is True, case
            assert pair.links_healthy()
    pair.a.execute(["DROP DATABASE shop", "DROP DATABASE other"])
    pair.wait()


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_what_a_server_does_not_log_is_left_alone(flavor: str, tmp_path: Path) -> None:
    """binlog_do_db and binlog_ignore_db of either server: the one keeps the repair from the target, the other the fence from
    the target's own changes."""
    setup = {"options_a": {"binlog_ignore_db": "unlogged"}, "options_b": {"binlog_do_db": "shop"}}
    databases = ("shop", "unlogged", "other")
    with co_masters(flavor, "MIXED", **setup) as pair:
        tables = ("keyed (id int PRIMARY KEY, v int)", "keyless (id int, v int)")
        for database in databases:
            create = [f"CREATE DATABASE {database}", *(f"CREATE TABLE {database}.{table}" for table in tables)]
            rows = [f"INSERT INTO {database}.{name} VALUES (1, 1), (2, 2)" for name in ("keyed", "keyless")]
            for server in (pair.a, pair.b):
                server.execute([*create, *rows], logged=False)
            drift = [f"UPDATE {database}.{name} SET v = 9 WHERE id = 1" for name in ("keyed", "keyless")]
            pair.b.execute([*drift, f"INSERT INTO {database}.keyed VALUES (5, 5)"], logged=False)
        good, spoilt = ({database: image(server, database) for database in databases} for server in (pair.a, pair.b))
        chosen = options.Selection(databases=databases)
        result = sync.run(servers(pair), chosen, options.Pace(), options.Repair(undo_dir=str(tmp_path)), 1, apply=True)
        pair.wait()
        assert {(table.database, table.status, table.reason) for table in result.tables} == {
            ("shop", "drift", None),
            ("unlogged", "skipped", "filtered"),
            ("other", "skipped", "filtered"),
        }
        assert result.verified
        assert result.failed
        assert {database: image(pair.a, database) for database in databases} == good
        assert {database: image(pair.b, database) for database in databases} == {**spoilt, "shop": good["shop"]}
        assert pair.links_healthy()
