# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shadow table on real pairs: statements reach the binary log and the target, never the source's rows."""

from __future__ import annotations

import pytest
from integration_engine.repairing import FLAVORS, Rig, endpoint, minimal_account

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import rewrite, session, shadow
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    AccessDenied,
    LostConnection,
    ReplError,
    ServerError,
)

TABLE = "CREATE TABLE t (id int PRIMARY KEY, v varchar(20))"
ROWS = "INSERT INTO t VALUES (1, 'one'), (2, 'two')"
PACKET = 1 << 22


@pytest.fixture
def rig(pairs, fresh_database, tmp_path, request):
    """A pair with a small table, its target drifted, reached with the documented rights only."""
    pair = pairs(request.param)
    with fresh_database(pair) as database, minimal_account(pair, database) as login:
        pair.a.execute([TABLE, ROWS], database=database)
        pair.wait()
        pair.b.execute(["DELETE FROM t WHERE id = 1", "INSERT INTO t VALUES (9, 'extra')"], database=database, logged=False)
        with Rig(pair, database, tmp_path, *login) as rig:
            yield rig


every_flavor = pytest.mark.parametrize("rig", FLAVORS, indirect=True)


def logged(rig, since):
    """The statements of the binary log from a position on."""
    file, offset = since
    rows = rig.pair.a.query(f"SHOW BINLOG EVENTS IN '{file}' FROM {offset}")
    return [row[5] for row in rows if row[2] in ("Query", "Query_log_event")]


def statements(table):
    """One delete, one replace."""
    return [
        *rewrite.deletes(table, [(b"9",)], PACKET),
        *rewrite.replaces(table, [(b"1", b"one")], PACKET),
    ]


def open_temporary_tables(rig):
    """How many the target's applier holds."""
    return rig.pair.b.query("SHOW GLOBAL STATUS WHERE Variable_name IN ('Slave_open_temp_tables', 'Replica_open_temp_tables')")


@every_flavor
def test_statements_are_logged_and_nothing_else_happens(rig):
    table = rig.table("t")
    before = rig.content(rig.source, "t")
    open_before = open_temporary_tables(rig)
    shadow.prepare(rig.log)
    for _twice in range(2):
        since = rig.pair.a.binlog_position()
        with shadow.Shadow(rig.log, table) as hidden:
            hidden.log(statements(table))
        said = logged(rig, since)
        assert [text for text in said if "DELETE FROM" in text or "REPLACE INTO" in text] != []
        assert not [text for text in said if "RENAME" in text]
    rig.pair.wait()
    assert rig.content(rig.source, "t") == before == rig.content(rig.target, "t")
    # No temporary table stays behind in the applier (a run that was killed in another test may have left one).
    assert open_temporary_tables(rig) == open_before
    assert rig.log.rows("SELECT * FROM t") == before


@every_flavor
def test_without_the_shadow_the_server_refuses_the_same_statements(rig):
    """The second lock: were the shadow gone, the account could not do it either."""
    table = rig.table("t")
    shadow.prepare(rig.log)
    rig.log.execute(f"USE `{rig.database}`")
    before = rig.content(rig.source, "t")
    for statement in statements(table):
        with pytest.raises(AccessDenied):
            rig.log.execute(statement)
    assert rig.content(rig.source, "t") == before


@every_flavor
def test_a_shadow_that_vanished_is_noticed_before_anything_is_written(rig):
    table = rig.table("t")
    before = rig.content(rig.source, "t")
    shadow.prepare(rig.log)
    hidden = shadow.Shadow(rig.log, table).__enter__()
    rig.log.execute("SET SESSION sql_log_bin = 0")
    rig.log.execute("DROP TEMPORARY TABLE t")
    rig.log.execute("SET SESSION sql_log_bin = 1")
    since = rig.pair.a.binlog_position()
    with pytest.raises(ReplError, match="no_shadow"):
        hidden.log(statements(table))
    # Leaving must not rename or drop the real table, even for an account that could; the session is given up.
    with pytest.raises(ReplError, match="no_shadow"):
        hidden.__exit__()
    with pytest.raises(LostConnection):
        rig.log.execute("SELECT 1")
    assert [text for text in logged(rig, since) if "DELETE" in text or "REPLACE" in text] == []
    assert rig.content(rig.source, "t") == before


@every_flavor
def test_a_session_killed_before_commit_logs_nothing(rig):
    table = rig.table("t")
    before = rig.content(rig.source, "t")
    drifted = rig.content(rig.target, "t")
    shadow.prepare(rig.log)
    since = rig.pair.a.binlog_position()

    def some():
        yield from statements(table)
        rig.pair.a.execute(f"KILL {rig.log.connection_id}")
        yield "SELECT 1"

    with pytest.raises(LostConnection), shadow.Shadow(rig.log, table) as hidden:
        hidden.log(some())
    rig.pair.wait()
    assert [text for text in logged(rig, since) if "REPLACE" in text or "DELETE" in text] == []
    assert rig.content(rig.source, "t") == before
    assert rig.content(rig.target, "t") == drifted
    rig.check_links()


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_way_of_asking_opens_a_lost_session_again(pairs, flavor):
    """Its locks and its temporary tables are gone; whatever came next would run without them."""
    pair = pairs(flavor)
    several = (
        lambda lost, sql: lost.ask([sql], lambda _answer: None),
        lambda lost, sql: lost.execute_all([sql]),
    )
    for ask in (session.Session.execute, session.Session.rows, session.Session.records, session.Session.scalar, *several):
        with session.connect(endpoint(pair.a), "source") as lost:
            lost.begin()
            pair.a.execute(f"KILL {lost.connection_id}")
            for _twice in range(2):
                with pytest.raises(LostConnection):
                    ask(lost, "SELECT 1")


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_answer_is_ever_taken_for_that_of_another_question(pairs, flavor):
    def failing(*_unused):
        raise KeyError("of the caller")

    def breaking_off():
        yield "SELECT 1"
        yield "SELECT 2"
        failing()

    pair = pairs(flavor)
    with session.connect(endpoint(pair.a), "source") as one:
        heard = []
        one.ask((f"SELECT {number}" for number in range(5)), heard.append)
        assert [one.rows_of(answer) for answer in heard] == [[(b"%d" % number,)] for number in range(5)]
        for ask in (lambda questions: one.ask(questions, heard.append), one.execute_all):
            with pytest.raises(ServerError, match="no_such_table"):
                ask(["SELECT 1", "SELECT * FROM mysql.no_such_table", "SELECT 3"])
            assert one.rows("SELECT 42") == [(b"42",)]
        for meanwhile in (lambda: one.execute_all(breaking_off()), lambda: one.execute_all(["SELECT 1"], failing)):
            with pytest.raises(KeyError):
                meanwhile()
            assert one.rows("SELECT 42") == [(b"42",)]
    for broken in (lambda two: two.ask(["SELECT 1", "SELECT 2"], failing), lambda two: two.ask(breaking_off(), heard.append)):
        with session.connect(endpoint(pair.a), "source") as two:
            with pytest.raises(KeyError):
                broken(two)
            with pytest.raises(LostConnection):
                two.rows("SELECT 42")


@every_flavor
def test_what_fails_while_a_statement_is_logged_takes_it_back(rig):
    def failing():
        raise KeyError("the next batch")

    table = rig.table("t")
    drifted = rig.content(rig.target, "t")
    shadow.prepare(rig.log)
    since = rig.pair.a.binlog_position()
    with pytest.raises(KeyError), shadow.Shadow(rig.log, table) as hidden:
        hidden.log(statements(table), meanwhile=failing)
    rig.pair.wait()
    assert [text for text in logged(rig, since) if "REPLACE" in text or "DELETE" in text] == []
    assert rig.content(rig.target, "t") == drifted


@every_flavor
def test_a_statement_that_fails_rolls_the_others_back(rig):
    table = rig.table("t")
    drifted = rig.content(rig.target, "t")
    shadow.prepare(rig.log)
    since = rig.pair.a.binlog_position()
    with pytest.raises(ServerError), shadow.Shadow(rig.log, table) as hidden:
        hidden.log([*statements(table), "REPLACE INTO t (nothing) VALUES (1)"])
    rig.pair.wait()
    assert [text for text in logged(rig, since) if "REPLACE" in text or "DELETE" in text] == []
    assert rig.content(rig.target, "t") == drifted


@pytest.mark.parametrize("flavor", FLAVORS)
def test_without_its_rights_the_session_is_refused_at_once(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database, minimal_account(pair, database) as login:
        for right in ("SESSION_VARIABLES_ADMIN",) if pair.a.family == "mysql" else ("BINLOG ADMIN",):
            pair.a.execute(f"REVOKE {right} ON *.* FROM {login[0]}@'%'")
        with Rig(pair, database, tmp_path, *login) as rig, pytest.raises(AccessDenied):
            shadow.prepare(rig.log)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_travels_with_each_statement(pairs, fresh_database, tmp_path, flavor):
    """The checks, modes and character sets under which the target replays it are ours, not the servers'."""
    pair = pairs(flavor, options_a={"sql_mode": "ANSI_QUOTES,STRICT_ALL_TABLES", "character_set_server": "latin1"})
    with fresh_database(pair) as database:
        pair.a.execute("CREATE TABLE t (s timestamp NOT NULL PRIMARY KEY, v varchar(20))", database=database)
        with Rig(pair, database, tmp_path) as rig:
            table = rig.table("t")
            shadow.prepare(rig.log)
            file, offset = pair.a.binlog_position()
            for some in (
                rewrite.deletes(table, [(b"2024-01-01 00:00:00",)], PACKET),
                rewrite.replaces(table, [(b"2024-01-01 00:00:00", b"x")], PACKET),
            ):
                with shadow.Shadow(rig.log, table) as hidden:
                    hidden.log(some)
            dump = pair.a.binlog_dump(file, f"--start-position={offset}")
        assert "foreign_key_checks=0" in dump
        assert "unique_checks=1" in dump
        assert dump.count("time_zone='+00:00'") >= 1
        assert "sql_mode=" in dump


def test_mysql_servers_that_demand_primary_keys(pairs, fresh_database, tmp_path):
    pair = pairs("mysql-9", options={"sql_require_primary_key": "ON"})
    with fresh_database(pair) as database, minimal_account(pair, database) as login:
        pair.a.execute([TABLE, ROWS], database=database)
        pair.wait()
        pair.b.execute("DELETE FROM t", database=database, logged=False)
        with Rig(pair, database, tmp_path, *login) as rig:
            rig.repaired("t")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_target_that_restarts_while_the_shadow_is_there(pairs, fresh_database, tmp_path, flavor):
    """Its applier forgets MariaDB's logged temporary table; the drop that follows must not stop it."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute([TABLE, ROWS], database=database)
        pair.wait()
        pair.b.execute("DELETE FROM t WHERE id = 1", database=database, logged=False)
        with Rig(pair, database, tmp_path) as rig:
            table = rig.table("t")
            shadow.prepare(rig.log)
            with shadow.Shadow(rig.log, table) as hidden:
                pair.wait()
                pair.b.kill()
                pair.b.start()
                hidden.log(rewrite.replaces(table, [(b"1", b"one")], PACKET))
        pair.wait()
        with Rig(pair, database, tmp_path) as rig:
            assert rig.differences("t") == []
            rig.check_links()
