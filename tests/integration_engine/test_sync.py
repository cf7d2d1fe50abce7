# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The repair on real pairs: the target equals the source, the source is untouched, both links run."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from integration_engine.support import PASSWORD, account, assert_repaired, image, repair_account, servers
from integration_engine.types_zoo import specimens

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, report
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    ReplError,
    UsageError,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")

KEYS = {
    "by_int": ("k int", "{n}"),
    "by_char": ("k char(10)", "'k{n}'"),
    "by_binary": ("k binary(16)", "X'{n:032x}'"),
    "by_datetime": ("k datetime(3)", "'2024-02-01 10:00:00.{n:03}'"),
    "by_decimal": ("k decimal(20,6)", "{n}.000001"),
    "by_two": ("k int, l varchar(5) CHARACTER SET latin1 DEFAULT 'q'", "{n}"),
}


def create_and_spoil(pair, database, tables=None, rows=30):
    """Tables with each kind of key, with missing, extra and different rows on b; returns the good copy's image."""
    tables = tables or KEYS
    for table, (definition, value) in tables.items():
        key = "k, l" if table == "by_two" else "k"
        pair.a.execute(
            [
                f"CREATE TABLE {table} ({definition}, v varchar(20) CHARACTER SET utf8mb4, d double, PRIMARY KEY ({key}))",
                f"INSERT INTO {table} (k, v, d) VALUES "
                + ", ".join(f"({value.format(n=n)}, CONCAT('v', {n}), {n} / 7e0)" for n in range(rows)),
            ],
            database=database,
        )
    pair.wait()
    good = image(pair.a, database)
    for table, (_definition, value) in tables.items():
        pair.b.execute(
            [
                f"DELETE FROM {table} WHERE v IN ('v1', 'v2')",
                f"UPDATE {table} SET d = d * (1 + 1e-15) WHERE v = 'v7'",
                f"UPDATE {table} SET v = 'it''s \\\\ {table}' WHERE v = 'v8'",
                f"INSERT INTO {table} (k, v) VALUES ({value.format(n=rows + 1)}, 'extra')",
            ],
            database=database,
            logged=False,
        )
    return good


def run(pair, database, undo_dir, apply=True, selection=None, repair=None, **login):
    """Run the sync on one database."""
    wanted = selection or options.Selection(databases=(database,))
    limits = repair or options.Repair()
    return sync.run(
        servers(pair, **login),
        wanted,
        options.Pace(),
        replace(limits, undo_dir=str(undo_dir)),
        sample_rows=10,
        apply=apply,
    )


@pytest.mark.parametrize("gtid", [True, False], ids=["gtid", "no-gtid"])
@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_seed_scenario_with_the_minimal_account(pairs, fresh_database, tmp_path, flavor, binlog_format, gtid):
    pair = pairs(flavor, binlog_format, gtid)
    with fresh_database(pair) as database:
        good = create_and_spoil(pair, database)
        with repair_account(pair, database) as user:
            before = pair.a.binlog_position(), pair.b.binlog_position()
            preview = run(pair, database, tmp_path, apply=False, user=user, password=PASSWORD)
            assert (pair.a.binlog_position(), pair.b.binlog_position()) == before, "check mode wrote something"
            assert preview.changed
            assert not list(tmp_path.iterdir()), "check mode wrote a journal"

            result = run(pair, database, tmp_path, user=user, password=PASSWORD)
            assert not result.failed, result.message
            assert result.changes == preview.changes == report.Changes(inserted=12, updated=12, deleted=6)
            assert result.diff == preview.diff
            assert result.verified
            assert_repaired(pair, database, good)

            again = run(pair, database, tmp_path, user=user, password=PASSWORD)
            assert (again.changed, again.in_sync, again.undo_file) == (False, True, None)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_every_type_is_repaired_byte_for_byte(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    zoo = specimens(flavor)
    session = ["SET SESSION sql_mode = 'ALLOW_INVALID_DATES'", "SET SESSION time_zone = '+00:00'"]
    columns = ", ".join(f"`{each.name}` {each.definition} NULL" for each in zoo)
    with fresh_database(pair) as database:
        values = ", ".join(each.good for each in zoo)
        inserts = [f"INSERT INTO zoo VALUES ({row}, {values})" for row in range(len(zoo) + 2)]
        pair.a.execute([*session, f"CREATE TABLE zoo (id int PRIMARY KEY, {columns})", *inserts], database=database)
        pair.wait()
        good = image(pair.a, database)
        spoil = [f"UPDATE zoo SET `{each.name}` = {each.bad} WHERE id = {row}" for row, each in enumerate(zoo)]
        pair.b.execute([*session, *spoil, f"DELETE FROM zoo WHERE id = {len(zoo)}"], database=database, logged=False)
        assert image(pair.b, database) != good
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert result.changes.updated == len(zoo)
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_repair_under_live_writes(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    stop = threading.Event()

    def write(database):
        with pair.a.connect(database=database) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                # Never a row that b lacks: its application event would break replication without us.
                row = 10 * random.randrange(300) + random.randrange(1, 10)
                cursor.execute(f"UPDATE t SET v = v + 1 WHERE id = {row}")
                cursor.execute(f"DELETE FROM t WHERE id = {row}")
                cursor.execute(f"INSERT IGNORE INTO t VALUES ({row}, {row})")

    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (id int PRIMARY KEY, v int)", database=database)
        pair.a.execute("INSERT INTO t VALUES " + ", ".join(f"({n}, 0)" for n in range(3000)), database=database)
        pair.wait()
        pair.b.execute(
            [
                "DELETE FROM t WHERE id % 10 = 0",
                "UPDATE t SET v = -1 WHERE id % 10 = 1",
                "INSERT INTO t VALUES (5000, 1)",
            ],
            database=database,
            logged=False,
        )
        writers = [threading.Thread(target=write, args=(database,)) for _writer in range(2)]
        for writer in writers:
            writer.start()
        try:
            for _attempt in range(5):
                result = run(pair, database, tmp_path)
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        assert not result.failed, result.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database)
        assert pair.links_healthy()


# -- refusals: clear, and nothing changed --------------------------------------------------------


def refused(pair, database, undo_dir, code, **arguments):
    """Run, expect the refusal with this code, and that both copies are as they were."""
    before = image(pair.a, database), image(pair.b, database)
    positions = pair.a.binlog_position(), pair.b.binlog_position()
    try:
        result = run(pair, database, undo_dir, **arguments)
    except ReplError as exc:
        text = str(exc)
    else:
        assert result.failed
        assert not result.changed
        text = result.message or ""
    assert code in text
    assert (image(pair.a, database), image(pair.b, database)) == before
    assert (pair.a.binlog_position(), pair.b.binlog_position()) == positions
    return text


@pytest.mark.parametrize("flavor", FLAVORS)
def test_caps_refuse_before_the_first_write(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        refused(pair, database, tmp_path, "max_changes", repair=options.Repair(max_changes=29))
        refused(pair, database, tmp_path, "max_deletes", repair=options.Repair(max_deletes=5))
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flavor", FLAVORS)
def test_unwritable_journal_refuses_before_the_first_write(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        message = refused(pair, database, blocked / "undo", "journal_unwritable")
        assert "undo_dir" in message


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_stopped_links_refuse(pairs, fresh_database, tmp_path, flavor, side):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        server = pair.servers[side]
        server.stop_replica()
        try:
            refused(pair, database, tmp_path, "stopped_link")
        finally:
            server.start_replica()
            pair.wait()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_lagging_reverse_link_refuses(pairs, fresh_database, tmp_path, flavor):
    """Known failure 1: a fresh row on the target must not be taken for an extra one."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database, {"by_int": KEYS["by_int"]})
        with pair.a.connect(database=database) as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES by_int READ")  # a's applier waits behind this
            pair.b.execute("INSERT INTO by_int (k, v) VALUES (777, 'fresh')", database=database)
            refused(pair, database, tmp_path, "lagging_link", fence_timeout=2)
            cursor.execute("UNLOCK TABLES")
        pair.wait()
        run(pair, database, tmp_path)
        assert pair.b.query("SELECT v FROM by_int WHERE k = 777", database=database) == [("fresh",)]
        assert image(pair.a, database) == image(pair.b, database)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_names_that_do_not_exist_or_belong_to_the_server_are_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        for selection in (
            options.Selection(tables=(f"{database}.nothing",)),
            options.Selection(databases=("no_such_database",)),
            options.Selection(databases=("mysql",)),
            options.Selection(tables=("sys.sys_config",)),
        ):
            with pytest.raises(UsageError):
                run(pair, database, tmp_path, selection=selection)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_wrong_source_is_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    other = pairs(flavor, "MIXED")
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        third = options.SourceLogin(host=other.a.host, port=other.a.port)
        refused(pair, database, tmp_path, "wrong_source", source=third)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_replica_below_the_target_is_refused(fresh_database, tmp_path, flavor):
    """Known failure 12. A pair of its own: a new replica replays the whole log, and other tests' drift is not in it."""
    with co_masters(flavor) as pair, fresh_database(pair) as database:
        create_and_spoil(pair, database)
        replica = pair.add_replica(of=pair.b, name="c")
        message = refused(pair, database, tmp_path, "downstream_replicas")
        assert str(replica.port) in message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_that_cannot_be_repaired_is_left_alone_and_the_others_are_repaired(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = create_and_spoil(pair, database)
        pair.a.execute(
            [
                "CREATE TABLE audited (id int PRIMARY KEY, v int)",
                "CREATE TABLE log (id int PRIMARY KEY AUTO_INCREMENT, what int)",
                "INSERT INTO audited VALUES (1, 1)",
                "CREATE TABLE old (v int) ENGINE=MyISAM",
                "INSERT INTO old VALUES (1)",
                "CREATE TRIGGER spy AFTER INSERT ON audited FOR EACH ROW INSERT INTO log (what) VALUES (NEW.id)",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(
            ["DELETE FROM audited", "DELETE FROM old"],
            database=database,
            logged=False,
        )
        spoilt = image(pair.b, database)
        result = run(pair, database, tmp_path)
        assert result.failed
        reasons = {table.table: table.reason for table in result.tables if table.reason}
        assert reasons == {"audited": "triggers", "old": "engine_not_transactional"}
        assert "spy (AFTER INSERT)" in result.message
        pair.wait()
        ours, theirs = image(pair.a, database), image(pair.b, database)
        assert {name: ours[name] for name in KEYS} == {name: theirs[name] for name in KEYS} == good
        assert {name: theirs[name] for name in reasons} == {name: spoilt[name] for name in reasons}
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_without_a_grant_the_refusal_names_it(pairs, fresh_database, tmp_path, flavor):
    from integration_engine.support import REPAIR_GRANTS

    pair = pairs(flavor)
    data, everywhere = REPAIR_GRANTS[flavor.split("-")[0]]
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        for missing in [*data, *everywhere]:
            less = [right for right in data if right != missing], [right for right in everywhere if right != missing]
            with account(pair, *less, database=database) as user:
                if missing == "SELECT":
                    with pytest.raises(ReplError):
                        run(pair, database, tmp_path, user=user, password=PASSWORD)
                    continue
                message = refused(pair, database, tmp_path, "grant", user=user, password=PASSWORD)
                assert missing.replace("SLAVE MONITOR", "MONITOR") in message, missing


@pytest.mark.parametrize("flavor", FLAVORS)
def test_check_needs_only_the_documented_read_grants_and_writes_nothing(pairs, fresh_database, flavor):
    from integration_engine.support import CHECK_GRANTS

    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        with account(pair, *CHECK_GRANTS[flavor.split("-")[0]], database=database) as user:
            before = pair.a.binlog_position(), pair.b.binlog_position()
            login = servers(pair, user=user, password=PASSWORD)
            result = checksum.run(login, options.Selection(databases=(database,)), options.Pace(), 10)
            assert (pair.a.binlog_position(), pair.b.binlog_position()) == before
    assert (result.summary.drift, result.summary.errors) == (len(KEYS), 0)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_extra_rows_can_be_left_alone(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database, {"by_int": KEYS["by_int"]})
        result = run(pair, database, tmp_path, repair=options.Repair(extra_rows="keep"))
        assert not result.failed, result.message
        assert result.changes == report.Changes(inserted=2, updated=2, deleted=0, skipped=1)
        pair.wait()
        assert len(image(pair.b, database)["by_int"]) == len(image(pair.a, database)["by_int"]) + 1


@pytest.mark.parametrize("flavor", FLAVORS)
def test_one_run_at_a_time(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        with pair.a.connect() as other, other.cursor() as cursor:
            cursor.execute(f"SELECT GET_LOCK('comaster.mysql_repl.{pair.b.server_id}', 0)")
            refused(pair, database, tmp_path, "already_running")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_no_password_in_what_is_returned_or_journaled(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        with repair_account(pair, database) as user:
            result = run(pair, database, tmp_path, user=user, password=PASSWORD)
            assert PASSWORD not in repr(result)
            assert PASSWORD not in repr(servers(pair, user=user, password=PASSWORD))
            journal = Path(result.undo_file)
            assert PASSWORD not in journal.read_text()
            assert oct(journal.stat().st_mode & 0o777) == "0o600"


# -- killed at any instant (law 13) -------------------------------------------------------------

KILLED = """
    import sys
    sys.path[:0] = {path!r}
    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
    print("started", flush=True)
    sync.run(
        options.Servers(Endpoint(host="127.0.0.1", port={port}, user="root", password={password!r})),
        options.Selection(databases=({database!r},)), options.Pace(),
        options.Repair(undo_dir={undo_dir!r}, batch_rows=5), 10, True)
"""


@pytest.mark.parametrize("flavor", FLAVORS)
def test_killed_at_a_dozen_random_instants_the_source_is_unchanged_and_a_rerun_converges(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    chance = random.Random(20261122)
    with fresh_database(pair) as database:
        good = create_and_spoil(pair, database, rows=200)
        script = textwrap.dedent(KILLED).format(
            path=[entry for entry in sys.path if entry],
            port=pair.b.port,
            password=pair.b.root_password,
            database=database,
            undo_dir=str(tmp_path),
        )
        for instant in range(12):
            pair.b.execute(
                [f"DELETE FROM by_int WHERE k % 3 = {instant % 3}", f"UPDATE by_char SET v = 'spoilt {instant}'"],
                database=database,
                logged=False,
            )
            process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
            assert process.stdout
            process.stdout.readline()
            time.sleep(chance.uniform(0.05, 1.2))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
            assert image(pair.a, database) == good, f"instant {instant}"
            pair.wait()
            assert pair.links_healthy(), f"instant {instant}"
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavors", [("mariadb-10.11", "mariadb-11.8"), ("mariadb-11.8", "mariadb-10.11")])
def test_servers_of_different_versions(tmp_path, flavors):
    with co_masters(flavors[0], "MIXED", flavor_b=flavors[1]) as pair:
        pair.a.execute("CREATE DATABASE shop")
        good = create_and_spoil(pair, "shop")
        result = run(pair, "shop", tmp_path)
        assert not result.failed, result.message
        assert "version_differs" in {hazard.code for hazard in result.hazards}
        assert_repaired(pair, "shop", good)


# -- plan files --------------------------------------------------------------------------------


def write_plan(pair, database, path):
    """Run the check with a plan file."""
    wanted = options.Selection(databases=(database,))
    return checksum.run(servers(pair), wanted, options.Pace(), 10, plan_file=str(path))


def apply_plan(pair, undo_dir, path, apply=True):
    """Run the sync from a plan file."""
    limits = options.Repair(undo_dir=str(undo_dir))
    return sync.run(servers(pair), options.Selection(), options.Pace(), limits, 10, apply=apply, plan_file=str(path))


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_plan_is_applied_exactly(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    path = tmp_path / "plan"
    with fresh_database(pair) as database:
        good = create_and_spoil(pair, database)
        found = write_plan(pair, database, path)
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        assert "extra" in path.read_text(), "kinds are there"
        assert "it''s" not in path.read_text(), "data is not"
        pair.b.execute("DELETE FROM by_int WHERE k = 20", database=database, logged=False)  # not in the plan
        result = apply_plan(pair, tmp_path / "undo", path)
        assert not result.failed, result.message
        assert result.changes == report.Changes(inserted=12, updated=12, deleted=6)
        assert found.summary.missing == 12
        pair.wait()
        theirs = image(pair.b, database)
        assert [row for row in good["by_int"] if row not in theirs["by_int"]] == [
            row for row in good["by_int"] if row[0] == b"20"
        ]
        assert image(pair.a, database) == good
        again = apply_plan(pair, tmp_path / "undo", path)
        assert (again.changed, again.changes.skipped) == (False, 30)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_stale_rows_of_a_plan_are_left_alone_and_counted(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    path = tmp_path / "plan"
    with fresh_database(pair) as database:
        create_and_spoil(pair, database)
        write_plan(pair, database, path)
        pair.a.execute("UPDATE by_int SET v = 'new' WHERE v = 'v7'", database=database)  # heals by replication
        pair.b.execute("UPDATE by_int SET v = 'other' WHERE v = 'extra'", database=database, logged=False)
        pair.b.execute("ALTER TABLE by_char ADD COLUMN w int", database=database, logged=False)
        pair.wait()
        result = apply_plan(pair, tmp_path / "undo", path)
        tables = {table.table: table for table in result.tables}
        assert tables["by_int"].reason == "stale_rows"
        assert tables["by_char"].reason == "schema_mismatch"
        assert result.failed
        assert result.changes.skipped == 2
        pair.wait()
        assert pair.b.query("SELECT v FROM by_int WHERE v = 'other'", database=database)
        pair.b.execute("ALTER TABLE by_char DROP COLUMN w", database=database, logged=False)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_damaged_or_foreign_plan_is_refused(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    path = tmp_path / "plan"
    with fresh_database(pair) as database:
        create_and_spoil(pair, database, {"by_int": KEYS["by_int"]})
        write_plan(pair, database, path)
        whole = path.read_text().splitlines(keepends=True)
        for text in (
            "",
            "{}\n",
            "".join(whole[:-1]),
            "".join(whole[:2] + whole[3:]),
            "".join(whole) + whole[-1],
            "\x00",
        ):
            path.write_text(text)
            with pytest.raises(UsageError, match="plan"):
                apply_plan(pair, tmp_path / "undo", path)
        path.write_text("".join(whole).replace(f'"server_id":{pair.b.server_id}', '"server_id":77', 1))
        with pytest.raises(ReplError, match="wrong_plan"):
            apply_plan(pair, tmp_path / "undo", path)
        with pytest.raises(UsageError, match="plan_file"):
            apply_plan(pair, tmp_path / "undo", tmp_path / "none")
