# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tests/fire found, made small: each was a broken law, docs/fire.md lists them."""

from __future__ import annotations

import pytest
from integration_engine.support import PASSWORD, REPAIR_GRANTS, account, assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import copies, options, spool
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info, sync, undo
from fire import cramped, pieces
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")


def repair(pair, database, tmp_path, apply=True, selection=None, login=None, **more):
    chosen = selection or options.Selection(databases=(database,))
    how = options.Repair(undo_dir=str(tmp_path), **more)
    return sync.run(login or servers(pair), chosen, options.Pace(), how, 10, apply)


def check(pair, database, **more):
    return checksum.run(servers(pair), options.Selection(databases=(database,), **more), options.Pace(), 10)


def assert_all_is_found(pair, database, tmp_path, good, missing, extra, different):
    """A check finds just so many rows, and a repair makes both copies equal to what the source had."""
    (table,) = check(pair, database).tables
    assert (table.missing, table.extra, table.different) == (missing, extra, different)
    report = repair(pair, database, tmp_path)
    assert (report.changes.total, report.verified) == (missing + extra + different, True)
    assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_servers_sql_select_limit_is_no_end_of_the_data(pairs, fresh_database, tmp_path, flavor):
    """SET SESSION sql_select_limit = DEFAULT is the server's limit, not none: good rows looked absent on the source."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute([f"CREATE TABLE {database}.t (id int PRIMARY KEY, v int)"])
        pair.a.execute(f"INSERT INTO {database}.t VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(f"UPDATE {database}.t SET v = 9 WHERE id > 2", logged=False)
        try:
            pair.a.execute("SET GLOBAL sql_select_limit = 1")
            pair.b.execute("SET GLOBAL sql_select_limit = 2")
            report = repair(pair, database, tmp_path)
        finally:
            for server in (pair.a, pair.b):
                server.execute("SET GLOBAL sql_select_limit = 18446744073709551615")
        assert (report.changes.updated, report.changes.total, report.verified) == (3, 3, True)
        assert_repaired(pair, database, good)


def test_a_refused_tables_rows_use_up_no_other_tables_allowance(pairs, fresh_database, tmp_path):
    """The cap was counted over what was kept of all tables, so that a part of a table was repaired and called the whole."""
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        for table in ("refused", "wanted"):
            pair.a.execute(f"CREATE TABLE {database}.{table} (id int PRIMARY KEY)")
        pair.a.execute(f"ALTER TABLE {database}.refused ADD SYSTEM VERSIONING")
        pair.wait()
        for table in ("refused", "wanted"):
            pair.b.execute(f"INSERT INTO {database}.{table} VALUES (1), (2), (3), (4)", logged=False)
        before = image(pair.b, database)
        report = repair(pair, database, tmp_path, max_changes=3)
        assert report.failed
        assert not report.changed
        assert "max_changes" in (report.message or "")
        assert image(pair.b, database) == before
        assert repair(pair, database, tmp_path, max_changes=4).changes.deleted == 4
        assert image(pair.b, database) == {"refused": before["refused"], "wanted": []}
        # Rows to be left alone must not hide the others either.
        pair.a.execute(f"INSERT INTO {database}.wanted VALUES (8), (9)")
        pair.wait()
        pair.b.execute(
            [f"INSERT INTO {database}.wanted VALUES (1), (2), (3), (4)", f"DELETE FROM {database}.wanted WHERE id = 9"],
            logged=False,
        )
        selection = options.Selection(tables=(f"{database}.wanted",))
        report = repair(pair, database, tmp_path, selection=selection, max_changes=2, extra_rows="keep")
        assert report.failed
        assert not report.changed


def test_a_kept_row_whose_key_begins_alike_is_not_pushed_out(pairs, fresh_database, tmp_path):
    """A primary key of prefixes was not looked up: REPLACE took a row away that was to be kept, and was in no journal."""
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (k varchar(20), v int, PRIMARY KEY (k(2)))")
        pair.a.execute(f"INSERT INTO {database}.t VALUES ('aab', 1), ('bbb', 2)")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(f"UPDATE {database}.t SET k = 'aaz' WHERE v = 1", logged=False)
        pair.b.execute(f"DELETE FROM {database}.t WHERE v = 2", logged=False)
        before = image(pair.b, database)
        report = repair(pair, database, tmp_path, extra_rows="keep")
        assert [table.reason for table in report.tables] == ["unique_collision"]
        assert [row for row in before["t"] if row not in image(pair.b, database)["t"]] == []
        assert repair(pair, database, tmp_path).verified
        assert_repaired(pair, database, good)


def test_a_server_with_autocommit_off_is_connected_to(pairs, fresh_database, tmp_path):
    """The driver failed with a TypeError of its own when it had to switch it on."""
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY)")
        pair.wait()
        pair.b.execute(f"INSERT INTO {database}.t VALUES (1)", logged=False)
        try:
            for server in (pair.a, pair.b):
                server.execute("SET GLOBAL autocommit = 0")
            report = repair(pair, database, tmp_path)
        finally:
            for server in (pair.a, pair.b):
                server.execute("SET GLOBAL autocommit = 1")
        assert report.verified
        assert_repaired(pair, database, {"t": []})


def test_how_a_server_quotes_names_makes_no_constraint_another(pairs, fresh_database, tmp_path):
    """With sql_quote_show_create off, CHECK clauses come without backticks: they looked foreign, and may be no SQL at all."""
    pair = pairs("mariadb-10.11")
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, `a b` json)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (1, '[]')")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(f"UPDATE {database}.t SET `a b` = '[1]'", logged=False)
        try:
            pair.b.execute("SET GLOBAL sql_quote_show_create = 0")
            report = repair(pair, database, tmp_path)
        finally:
            pair.b.execute("SET GLOBAL sql_quote_show_create = 1")
        assert report.verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_that_may_not_be_locked_is_refused_before_anything_is_logged(pairs, fresh_database, tmp_path, flavor):
    """The right to LOCK TABLES was missed only when the shadow was made, which MariaDB logs, and not at all by check mode."""
    pair = pairs(flavor)
    data, everywhere = REPAIR_GRANTS[pair.a.family]
    with fresh_database(pair) as database, account(pair, data, everywhere, database) as user:
        pair.a.execute([f"CREATE TABLE {database}.t (id int PRIMARY KEY) ENGINE=MEMORY"])
        pair.wait()
        pair.b.execute(f"INSERT INTO {database}.t VALUES (1)", logged=False)
        login = servers(pair, user=user, password=PASSWORD)
        position = pair.a.binlog_position()
        for apply in (False, True):
            report = repair(pair, database, tmp_path, apply, login=login)
            assert [(table.reason, "LOCK TABLES" in table.message) for table in report.tables] == [("missing_grant", True)]
        assert pair.a.binlog_position() == position


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_rights_that_docs_name_for_replicas_below_are_enough_and_are_named(tmp_path, flavor):
    """The account of the guides could not see what replicas report, and the refusal did not say which right shows it."""
    data, everywhere = REPAIR_GRANTS[flavor.split("-")[0]]
    more = {"mysql": ["REPLICATION SLAVE", "SYSTEM_VARIABLES_ADMIN"]}.get(flavor.split("-")[0])
    more = more or ["REPLICATION MASTER ADMIN", "REPLICATION SLAVE ADMIN"]
    with co_masters(flavor) as pair:
        below = pair.add_replica(pair.b, "c")
        pair.a.execute(["CREATE DATABASE shop", "CREATE TABLE shop.t (id int PRIMARY KEY)", "INSERT INTO shop.t VALUES (1)"])
        pair.wait()
        pair.b.execute("DELETE FROM shop.t", logged=False)
        with account(pair, data, everywhere, "shop") as user:
            login = servers(pair, user=user, password=PASSWORD)
            with pytest.raises(Refusal, match=f"GRANT {more[0]} ON") as refused:
                repair(pair, "shop", tmp_path, login=login, downstream="idempotent")
            assert refused.value.code == "downstream_unknown"
            pair.a.execute([f"GRANT {right} ON *.* TO '{user}'@'%'" for right in more])
            pair.wait()
            assert repair(pair, "shop", tmp_path, login=login, downstream="idempotent").verified
            assert image(pair.b, "shop") == image(below, "shop") == image(pair.a, "shop")
            assert below.query("SELECT @@GLOBAL.slave_exec_mode") == [("STRICT",)]


def test_triggers_that_can_no_longer_be_seen_are_not_taken_for_none(pairs, fresh_database, tmp_path, monkeypatch):
    """TRIGGER was revoked behind the preflight's back: a REPLACE fired the target's trigger, whose row was there: error 1062."""
    pair = pairs("mysql-9")  # where what is revoked is gone for open sessions too
    data, everywhere = REPAIR_GRANTS[pair.a.family]
    with fresh_database(pair) as database, account(pair, data, everywhere, database) as user:
        pair.a.execute(
            [
                "CREATE TABLE t (id int PRIMARY KEY)",
                "CREATE TABLE side (id int PRIMARY KEY)",
                "CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO side VALUES (NEW.id)",
                "INSERT INTO t VALUES (1), (2)",
            ],
            database=database,
        )
        pair.wait()
        pair.b.execute(f"DELETE FROM {database}.t WHERE id = 1", logged=False)
        before = image(pair.b, database)
        preflight = info.preflight

        def revoking(*arguments):
            found = preflight(*arguments)
            pair.b.execute(f"REVOKE TRIGGER ON `{database}`.* FROM {user}@'%'", logged=False)
            return found

        monkeypatch.setattr(info, "preflight", revoking)
        report = repair(pair, database, tmp_path, login=servers(pair, user=user, password=PASSWORD))
        assert [table.reason for table in report.tables if table.table == "t"] == ["missing_grant"]
        assert "GRANT TRIGGER" in report.message
        pair.wait()
        assert image(pair.b, database) == before


def test_an_undo_does_not_take_triggers_that_can_no_longer_be_seen_for_none(pairs, fresh_database, tmp_path, monkeypatch):
    """As above: its INSERT, logged as a statement, fired the target's trigger, whose row was there: error 1062."""
    pair = pairs("mysql-9", "MIXED")
    data, everywhere = REPAIR_GRANTS[pair.a.family]
    with fresh_database(pair) as database, account(pair, [*data, "INSERT", "DELETE"], everywhere, database) as user:
        pair.a.execute(["CREATE TABLE t (id int PRIMARY KEY)", "CREATE TABLE side (id int PRIMARY KEY)"], database=database)
        pair.wait()
        pair.b.execute(f"INSERT INTO {database}.t VALUES (1)", logged=False)
        undo_file = repair(pair, database, tmp_path).undo_file
        trigger = "CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW INSERT INTO side VALUES (NEW.id)"
        pair.b.execute(["INSERT INTO side VALUES (1)", trigger], database=database, logged=False)
        before = image(pair.b, database)
        preflight = info.preflight

        def revoking(*arguments):
            found = preflight(*arguments)
            pair.b.execute(f"REVOKE TRIGGER ON `{database}`.* FROM {user}@'%'", logged=False)
            return found

        monkeypatch.setattr(info, "preflight", revoking)
        done = undo.run(servers(pair, user=user, password=PASSWORD), undo_file, undo_dir=str(tmp_path))
        assert [row.reason for row in done.refused] == ["missing_grant"]
        assert "GRANT TRIGGER" in done.message
        pair.wait()
        assert image(pair.b, database) == before


@pytest.mark.parametrize("apply", [False, True], ids=["plan", "apply"])
def test_an_undo_of_a_table_with_a_unique_expression(pairs, fresh_database, tmp_path, apply):
    """It ended the whole run, or raised, when it came to such a table; check mode had promised it and all that follow."""
    pair = pairs("mysql-9")
    with fresh_database(pair) as database:
        for table in "abc":
            key = ", UNIQUE KEY fx ((v * 2))" if table == "b" else ""
            pair.a.execute(f"CREATE TABLE {database}.{table} (id int PRIMARY KEY, v int{key})")
            pair.a.execute(f"INSERT INTO {database}.{table} VALUES (1, 1), (2, 2), (3, 3)")
        pair.wait()
        for table in "abc":
            pair.b.execute(f"DELETE FROM {database}.{table} WHERE id = 1", logged=False)
            pair.b.execute(f"UPDATE {database}.{table} SET v = 7 WHERE id = 3", logged=False)
        old, good = image(pair.b, database), image(pair.a, database)
        undo_file = repair(pair, database, tmp_path).undo_file
        # An application has taken the value whose row should come back: that row alone is left out.
        pair.a.execute(f"INSERT INTO {database}.b VALUES (9, 7)")
        done = undo.run(servers(pair), undo_file, undo_dir=str(tmp_path), apply=apply)
        pair.wait()
        if apply:
            assert [(row.key, row.reason) for row in done.refused] == [("id=3", "unique_collision")]
            assert (done.changes.deleted, done.changes.updated) == (3, 2)
            old["b"] = [(b"2", b"2"), (b"3", b"3"), (b"9", b"7")]
            assert_repaired(pair, database, old)
        else:
            assert (done.changes.deleted, done.changes.updated, done.refused) == (3, 3, ())
            assert_repaired(pair, database, {**good, "b": [*good["b"], (b"9", b"7")]})


@pytest.mark.parametrize("flavor", FLAVORS)
def test_more_rows_wait_for_each_others_unique_values_than_memory_holds(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """What is put off goes to a file, which takes plain tuples only: the repair ended in a traceback."""
    monkeypatch.setattr(spool, "_BLOCK_BYTES", 1)
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, code int UNIQUE)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (1, 1), (2, 2), (3, 3)")
        pair.wait()
        good = image(pair.a, database)
        # No row may be taken away, and each has the code that the one before should have: the last one goes first.
        pair.b.execute(
            [
                f"CREATE TRIGGER {database}.gone AFTER DELETE ON {database}.t FOR EACH ROW SET @gone = 1",
                f"UPDATE {database}.t SET code = code + 10",
                f"UPDATE {database}.t SET code = id - 1",
            ],
            logged=False,
        )
        report = repair(pair, database, tmp_path, batch_rows=1)
        assert (report.changes.updated, report.verified) == (3, True)
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_copies_that_an_earlier_batch_took_away_are_counted(pairs, fresh_database, tmp_path, flavor, monkeypatch):
    """A REPLACE of one batch takes away a row of the next: less was told than check mode had said."""
    monkeypatch.setattr(copies, "BATCH_VALUES", 1)
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (v varchar(9), code int NULL UNIQUE)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES ('a', 1), ('b', 2), ('c', 3), ('d', 4)")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(f"UPDATE {database}.t SET v = 'x'", logged=False)
        bad = image(pair.b, database)
        promised = repair(pair, database, tmp_path, apply=False)
        report = repair(pair, database, tmp_path)
        assert report.changes == promised.changes
        assert (report.changes.inserted, report.changes.deleted, report.verified) == (4, 4, True)
        assert_repaired(pair, database, good)
        taken_back = undo.run(servers(pair), report.undo_file, undo_dir=str(tmp_path), apply=True)
        assert (taken_back.changes.inserted, taken_back.changes.deleted) == (4, 4)
        assert image(pair.a, database) == image(pair.b, database) == bad


@pytest.mark.parametrize("flavor", [*FLAVORS, "mariadb-11.8"])
def test_a_range_of_a_key_of_prefixes_has_every_row(pairs, fresh_database, tmp_path, flavor):
    """A collation may pass over the first character: its prefix sorts elsewhere than the value, and a range missed such rows."""
    collation = "utf8mb4_0900_ai_ci" if flavor == "mysql-9" else "utf8mb4_unicode_ci"
    pair = pairs(flavor)
    with fresh_database(pair) as database, pieces.of(1):
        create = f"k varchar(9) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL, v int, PRIMARY KEY (k(1))"
        pair.a.execute(f"CREATE TABLE {database}.t ({create})")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (', !', 1), ('--', 2), (X'001B5D30', 3), ('? ', 4), ('_ |', 5)")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(["INSERT INTO t VALUES (':`', 6), (X'5C30', 7)", "UPDATE t SET v = 8 WHERE v = 3"], database, logged=False)
        assert_all_is_found(pair, database, tmp_path, good, 0, 2, 1)


@pytest.mark.parametrize("where", ["PRIMARY KEY (k)", "PRIMARY KEY (k(3))", "PRIMARY KEY (n, k)"])
@pytest.mark.parametrize("flavor", [*FLAVORS, "mariadb-11.8"])
def test_a_range_of_a_key_that_is_sorted_with_padding_has_every_row(pairs, fresh_database, tmp_path, flavor, where):
    """MariaDB sorts CHAR of NOPAD collations padded in an index, but compares it without: it seeks '' where it is not."""
    collation = "utf8mb4_0900_bin" if flavor == "mysql-9" else "utf8mb4_nopad_bin"
    pair = pairs(flavor)
    with fresh_database(pair) as database, pieces.of(1):
        create = f"n int DEFAULT 1, k char(9) CHARACTER SET utf8mb4 COLLATE {collation} NOT NULL, v int, {where}"
        pair.a.execute(f"CREATE TABLE {database}.t ({create})")
        keys = ["''", "X'0A'", "X'0A78'", "X'1B'", "'a'", "X'610A'", "X'62'"]
        pair.a.execute(f"INSERT INTO {database}.t (k, v) VALUES " + ", ".join(f"({key}, 1)" for key in keys))
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(["UPDATE t SET v = 2", "DELETE FROM t WHERE k = 'b'"], database, logged=False)
        assert_all_is_found(pair, database, tmp_path, good, 1, 0, 6)


@pytest.mark.parametrize("column", ["char(1) CHARACTER SET ucs2", "char(1) CHARACTER SET utf8mb3", "char(2) CHARACTER SET utf32"])
@pytest.mark.parametrize("flavor", [*FLAVORS, "mariadb-11.8"])
def test_a_range_up_to_a_character_that_the_collation_passes_over_has_every_row(pairs, fresh_database, tmp_path, flavor, column):
    """MariaDB finds nothing by an index up to a CHAR that fills its column and ends in such a character."""
    pair = pairs(flavor)
    charset = column.rsplit(" ", 1)[1]
    filled = "\u202e" * (2 if charset == "utf32" else 1)
    with fresh_database(pair) as database, pieces.of(1):
        create = f"k {column} COLLATE {charset}_unicode_ci NOT NULL, n int, v int, PRIMARY KEY (k, n)"
        pair.a.execute(f"CREATE TABLE {database}.t ({create})")
        keys = ["", "", filled, "", "", filled, "a", "b"]
        rows = (f"(CONVERT(_utf8mb4 X'{key.encode().hex()}' USING {charset}), {number}, 1)" for number, key in enumerate(keys))
        pair.a.execute(f"INSERT INTO {database}.t VALUES " + ", ".join(rows))
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(["UPDATE t SET v = 2", "DELETE FROM t WHERE k = 'b'"], database, logged=False)
        assert_all_is_found(pair, database, tmp_path, good, 1, 0, 7)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_rows_that_an_earlier_row_change_took_away_count_as_planned(pairs, fresh_database, tmp_path, flavor):
    """By row changes the target drops who holds a unique value; such rows of the plan were told as inserted, not as updated."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, code int UNIQUE)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (1, 1), (2, 2), (3, 3)")
        pair.wait()
        good = image(pair.a, database)
        shift = ["UPDATE t SET code = NULL", "UPDATE t SET code = id - 1 WHERE id > 1", "UPDATE t SET code = 3 WHERE id = 1"]
        pair.b.execute(shift, database, logged=False)
        bad = image(pair.b, database)
        how = {"allow_triggers": True, "method": "row", "batch_rows": 1}
        promised = repair(pair, database, tmp_path, apply=False, **how)
        report = repair(pair, database, tmp_path, **how)
        assert (report.changes.updated, report.changes.total, report.verified) == (3, 3, True)
        assert report.changes == promised.changes
        assert_repaired(pair, database, good)
        undo.run(servers(pair), report.undo_file, undo_dir=str(tmp_path))
        assert image(pair.a, database) == image(pair.b, database) == bad


@pytest.mark.parametrize("method", ["shadow", "row"])
@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_row_that_cannot_be_repaired_makes_no_room_for_others(pairs, fresh_database, tmp_path, flavor, method):
    """A row of the plan was taken away for a unique value, then its own repair was refused: it was gone, for an undo too.

    9 stays and has the value of 2, which has that of 1, which has that of 0; 3 is in nobody's way.
    """
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, u int UNIQUE)")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (0, 4), (1, 5), (2, 7), (3, 8)")
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(f"REPLACE INTO {database}.t VALUES (2, 5), (1, 4), (0, 3), (9, 7), (3, 6)", logged=False)
        before = image(pair.b, database)
        report = repair(pair, database, tmp_path, extra_rows="keep", method=method, batch_rows=1)
        assert [table.reason for table in report.tables] == ["unique_collision"]
        assert (report.changes.updated, report.changes.skipped) == (1, 4)
        pair.wait()
        assert image(pair.a, database) == good
        left = [(b"3", b"8") if row == (b"3", b"6") else row for row in before["t"]]
        assert image(pair.b, database) == {"t": left}
        assert repair(pair, database, tmp_path, method=method).verified
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", [*FLAVORS, "mariadb-11.8"])
def test_the_holder_of_a_prefix_is_found_in_every_character_set(pairs, fresh_database, tmp_path, flavor):
    """MariaDB 11.8 makes a range of LEFT(column, n) = value, which has no rows in sjis: who held a unique value was not seen,
    and a row that was to be adopted was taken away for another one."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(f"CREATE TABLE {database}.t (id int PRIMARY KEY, c text CHARACTER SET sjis, UNIQUE KEY (c(20)))")
        pair.a.execute(f"INSERT INTO {database}.t VALUES (37, 'z_;')")
        pair.wait()
        pair.b.execute(f"UPDATE {database}.t SET id = 47", logged=False)
        before = image(pair.a, database), image(pair.b, database)
        report = repair(pair, database, tmp_path, extra_rows="adopt")
        assert ([table.reason for table in report.tables], report.changes.total) == (["unique_collision"], 0)
        assert (image(pair.a, database), image(pair.b, database)) == before


@pytest.mark.parametrize("index", ["PRIMARY KEY (c(2))", "KEY (c(2))", "PRIMARY KEY (id), KEY (id, c(2))"])
def test_an_index_by_which_mysql_misses_rows_is_told(pairs, fresh_database, tmp_path, index):
    """MEMORY's hash of a beginning does not find longer values: rows looked absent that were there."""
    for flavor, reasons in (("mysql-9", ["unreliable_index"]), ("mariadb-10.11", [None])):
        pair = pairs(flavor)
        with fresh_database(pair) as database:
            table = f"id int, c varchar(4) CHARACTER SET latin1 NOT NULL, {index}"
            pair.a.execute(f"CREATE TABLE {database}.t ({table}) ENGINE=MEMORY")
            pair.a.execute(f"INSERT INTO {database}.t VALUES (1, 'NULL'), (2, 'w')")
            pair.wait()
            pair.b.execute(f"DELETE FROM {database}.t WHERE id = 2", logged=False)
            before = image(pair.a, database), image(pair.b, database)
            assert [each.reason for each in check(pair, database).tables] == reasons
            if flavor == "mysql-9":
                assert [each.reason for each in repair(pair, database, tmp_path).tables] == reasons
            assert (image(pair.a, database), image(pair.b, database)) == before


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_full_temporary_tablespace_is_named_and_changes_nothing(tmp_path, flavor):
    """It holds the shadow table, or on MySQL what takes changes of it back."""
    name = "innodb_temp_data_file_path"
    with co_masters(flavor, options={name: cramped.options(flavor.split("-")[0])[name]}) as pair:
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2)"])
        pair.wait()
        good = image(pair.a, "d")
        pair.b.execute("DELETE FROM d.t", logged=False)
        give_back = cramped.fill_innodb(pair.a)
        report = repair(pair, "d", tmp_path)
        assert [table.reason for table in report.tables] == ["server_error"], report.message
        assert "make room there" in report.message
        assert (image(pair.a, "d"), image(pair.b, "d"), pair.links_healthy()) == (good, {"t": []}, True)
        give_back()
        assert repair(pair, "d", tmp_path).verified
        assert_repaired(pair, "d", good)
