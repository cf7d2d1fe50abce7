# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MySQL and a MariaDB that replicate from each other: compared exactly, never repaired.

What was measured of such links (MySQL 9.7.4, MariaDB 10.11.19 and 11.8.9) stands in docs/hazards.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from integration_engine.support import image, servers
from integration_engine.types_zoo import Specimen, specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync
from fire import pieces
from sandbox import PackageUnavailable, Topology, two_makes

_LENIENT = ("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", "SET SESSION time_zone = '+00:00'")

#: As each make shows it, in other words than the other one.
_GENERATED = "total bigint AS (id * 2) STORED, label varchar(30) AS (CONCAT('no. ', id)) VIRTUAL, spots geometrycollection"


@pytest.fixture(
    scope="module",
    params=[("mysql-9", "mariadb-10.11"), ("mysql-9", "mariadb-11.8"), ("mariadb-10.11", "mysql-9")],
    ids="-to-".join,
)
def pair(request: pytest.FixtureRequest) -> Iterator[Topology]:
    """Co-masters of different makes."""
    try:
        made = two_makes(*request.param)
    except PackageUnavailable as error:
        pytest.skip(str(error))
    with made:
        yield made


def _zoo(pair: Topology) -> list[Specimen]:
    """The types both know and replication between them carries unchanged."""
    theirs = {(each.name, each.definition, each.good, each.bad) for each in specimens(pair.b.flavor)}
    ours = [each for each in specimens(pair.a.flavor) if (each.name, each.definition, each.good, each.bad) in theirs]
    # MariaDB's applier has no JSON of MySQL's; a statement with an SRID means other axes on the other make.
    return [each for each in ours if each.name not in ("doc", "place") and "vector" not in each.definition]


def _check(pair: Topology, database: str, fence_timeout: float = 30) -> report.ChecksumReport:
    wanted = options.Selection(databases=(database,))
    return checksum.run(servers(pair, fence_timeout=fence_timeout), wanted, options.Pace(), sample_rows=100)


def _make_zoo(pair: Topology) -> list[Specimen]:
    """The same table on both, its rows written on the source and replicated."""
    zoo = _zoo(pair)
    columns = ", ".join(f"`{each.name}` {each.definition}" + ("" if "null" in each.definition else " NULL") for each in zoo)
    create = [
        "CREATE DATABASE zoo CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        f"CREATE TABLE zoo.zoo (id int PRIMARY KEY, {_GENERATED}, {columns})",
    ]
    for server in (pair.a, pair.b):
        server.execute(create, logged=False)
    names = ", ".join(f"`{each.name}`" for each in zoo)
    good = ", ".join(each.good for each in zoo)
    pair.a.execute([*_LENIENT, *(f"INSERT INTO zoo.zoo (id, {names}) VALUES ({row}, {good})" for row in range(len(zoo) + 3))])
    pair.b.execute([*_LENIENT, f"INSERT INTO zoo.zoo (id, {names}) VALUES (1000, {good})"])
    pair.wait()
    return zoo


def test_the_check_is_exact_and_a_repair_is_refused(pair: Topology, tmp_path: Path) -> None:
    zoo = _make_zoo(pair)
    assert image(pair.a, "zoo") == image(pair.b, "zoo"), "replication between the makes changed a value"
    found = _check(pair, "zoo")
    assert [(table.status, table.message, table.rows) for table in found.tables] == [(report.IDENTICAL, None, len(zoo) + 4)]

    pair.b.execute(
        [
            *_LENIENT,
            *(f"UPDATE zoo.zoo SET `{each.name}` = {each.bad} WHERE id = {row}" for row, each in enumerate(zoo)),
            f"DELETE FROM zoo.zoo WHERE id = {len(zoo)}",
            "INSERT INTO zoo.zoo (id) VALUES (-1)",
        ],
        logged=False,
    )
    (table,) = _check(pair, "zoo").tables
    assert (table.missing, table.extra, table.different) == (1, 1, len(zoo))
    wrong = {row.key["id"]: row.columns for row in table.sample if row.kind == "different"}
    assert wrong == {row: (each.name,) for row, each in enumerate(zoo)}

    before = (image(pair.a, "zoo"), image(pair.b, "zoo"), pair.a.binlog_position(), pair.b.binlog_position())
    for apply in (False, True):
        repair = options.Repair(undo_dir=str(tmp_path))
        with pytest.raises(Refusal) as refused:
            sync.run(servers(pair), options.Selection(databases=("zoo",)), options.Pace(), repair, 5, apply)
        assert refused.value.code == "different_makes"
        assert "comparison is exact" in refused.value.remedy
    assert (image(pair.a, "zoo"), image(pair.b, "zoo"), pair.a.binlog_position(), pair.b.binlog_position()) == before
    assert pair.links_healthy()


def test_info_tells_of_both_links_and_why_not(pair: Topology) -> None:
    found = info.run(servers(pair))
    assert found.source is not None
    assert found.forward is not None
    assert found.reverse is not None
    assert (found.source.flavor, found.target.flavor) == (pair.a.family, pair.b.family)
    assert (found.forward.problem, found.reverse.problem) == (None, None)
    assert {hazard.severity for hazard in found.hazards if hazard.code == "different_makes"} == {"blocker"}


def test_there_is_no_verdict_before_both_directions_are_drained(pair: Topology) -> None:
    create = ["CREATE DATABASE queue", "CREATE TABLE queue.t (id int PRIMARY KEY, v int)"]
    pair.a.execute([*create, "INSERT INTO queue.t VALUES (1, 1)"])
    pair.wait()
    for upstream, downstream in ((pair.a, pair.b), (pair.b, pair.a)):
        with downstream.connect() as holding, holding.cursor() as cursor:
            cursor.execute("SET SESSION sql_log_bin = 0")
            cursor.execute("BEGIN")
            cursor.execute("UPDATE queue.t SET v = v + 1 WHERE id = 1")
            upstream.execute("UPDATE queue.t SET v = v + 10 WHERE id = 1")
            (table,) = _check(pair, "queue", fence_timeout=1).tables
            assert (table.status, table.reason) == (report.UNDECIDED, "lagging_link")
            cursor.execute("ROLLBACK")
        pair.wait()
        assert [table.status for table in _check(pair, "queue").tables] == [report.IDENTICAL]


def test_a_mariadb_that_counts_heartbeats_is_still_known_for_what_it_is(pair: Topology) -> None:
    if pair.b.family != "mariadb":
        pytest.skip("MySQL does not count them")
    file, offset = pair.a.binlog_position()
    from_here = f"MASTER_LOG_FILE = '{file}', MASTER_LOG_POS = {offset}, MASTER_HEARTBEAT_PERIOD = 0.2"
    pair.b.execute(["STOP SLAVE", f"CHANGE MASTER TO {from_here}", "START SLAVE"])
    deadline = time.monotonic() + 30
    while pair.b.replica_status()["Read_Source_Log_Pos"] <= pair.a.binlog_position()[1] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pair.b.replica_status()["Read_Source_Log_Pos"] > pair.a.binlog_position()[1], "it does not count them any more"
    assert info.run(servers(pair)).source is not None


def test_a_key_that_only_one_make_sorts_otherwise_is_read_at_once(pair: Topology) -> None:
    """MariaDB 11.8 takes MySQL's collations without padding by their names, and sorts a CHAR of them padded all the same."""
    create = "CREATE TABLE sorted.t (k char(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin PRIMARY KEY, v int)"
    if not all(server.query("SHOW COLLATION LIKE 'utf8mb4_0900_bin'") for server in (pair.a, pair.b)):
        pytest.skip("no collation of both")
    keys = ["'a'", "'b'", "'c'", "X'610A'"]
    more = ["''", "X'0A'", "X'0A78'", "X'1B'"]  # than the source has: nothing there points to them
    for server, there in ((pair.a, keys), (pair.b, keys + more)):
        rows = ", ".join(f"({key}, 1)" for key in there)
        server.execute(["CREATE DATABASE sorted", create, f"INSERT INTO sorted.t VALUES {rows}"], logged=False)
    with pieces.of(1):
        (table,) = _check(pair, "sorted").tables
    assert (table.missing, table.extra, table.different) == (0, len(more), 0), table
