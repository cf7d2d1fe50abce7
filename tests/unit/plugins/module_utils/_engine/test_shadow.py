# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of the shadow's statements, and that it never writes without being there."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import shadow
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import Dialect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    LostConnection,
    ReplError,
    ServerError,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)

MYSQL = Dialect("mysql", (9, 7, 4), "9.7.4")
MARIADB = Dialect("mariadb", (10, 11, 19), "10.11.19-MariaDB")

TABLE = Table(
    TableName("shop", "film"),
    "BASE TABLE",
    "InnoDB",
    tuple(
        Column(name, data_type, data_type, None, None, name != "id", generated, "")
        for name, data_type, generated in (
            ("id", "int", ""),
            ("title", "varchar", ""),
            ("stamp", "timestamp", ""),
            ("twin", "int", "stored"),
            ("ghost", "int", "virtual"),
        )
    ),
    (Key("PRIMARY", (KeyPart("id", None, False),)),),
    0,
)
DEFINITION = (
    "(`id` LONGBLOB NULL, `title` TINYINT NULL, `stamp` TIMESTAMP(6) NULL, `twin` DOUBLE NULL)"
    " ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4"
)


class FakeSession:
    """A session that notes what it is told; ``failing``: start of a statement → the error it raises."""

    name = "source (fake)"

    def __init__(self, dialect, failing=None):
        self.dialect = dialect
        self.said = []
        self.shown = "CREATE TEMPORARY TABLE `film` (...)"
        self.failing = failing or {}
        self.closed = False
        self.read_only = "0"

    def execute(self, sql):
        self.said.append(sql)
        for start, error in self.failing.items():
            if sql.startswith(start):
                raise error
        return 0

    def execute_all(self, statements, meanwhile):
        for sql in statements:
            self.execute(sql)
        meanwhile()

    def record(self, _sql):
        self.said.append("assert")
        return {"Table": "film", "Create Table": self.shown}

    def scalar(self, sql):
        self.said.append(sql)
        return self.read_only

    def variables(self, _names):
        return {"sql_require_primary_key": "ON"}

    def close(self):
        self.closed = True


def test_mysql():
    session = FakeSession(MYSQL)
    with shadow.Shadow(session, TABLE) as hidden:
        hidden.log(["one", "two"])
    assert session.said == [
        "USE `shop`",
        "SET SESSION sql_log_bin = 0",
        f"CREATE TEMPORARY TABLE `film` {DEFINITION}",
        "SET SESSION sql_log_bin = 1, SESSION wait_timeout = 100",
        "assert",
        "assert",
        "BEGIN",
        "one",
        "two",
        "COMMIT",
        "assert",
        "SET SESSION sql_log_bin = 0",
        "DROP TEMPORARY TABLE `film`",
        "SET SESSION sql_log_bin = 1, SESSION wait_timeout = 604800",
    ]
    assert not session.closed


def test_mariadb():
    session = FakeSession(MARIADB)
    with shadow.Shadow(session, TABLE) as hidden:
        hidden.log(["one"])
    name = session.said[1].split()[3]
    assert name.startswith("`mysql_repl_shadow_")
    assert session.said == [
        "USE `shop`",
        f"CREATE TEMPORARY TABLE {name} {DEFINITION}",
        "SELECT @@GLOBAL.read_only",
        "SET SESSION sql_log_bin = 0",
        f"ALTER TABLE {name} RENAME TO `film`",
        "SET SESSION sql_log_bin = 1, SESSION wait_timeout = 100",
        "assert",
        "assert",
        "BEGIN",
        "one",
        "COMMIT",
        "assert",
        "SET SESSION sql_log_bin = 0",
        f"ALTER TABLE `film` RENAME TO {name}",
        "SET SESSION sql_log_bin = 1, SESSION wait_timeout = 604800",
        f"DROP TEMPORARY TABLE IF EXISTS {name}",
    ]


@pytest.mark.parametrize(
    ("data_type", "column_type", "expected"),
    [
        ("decimal", "decimal(10,2)", "DOUBLE"),
        ("enum", "enum('(999)')", "DOUBLE"),
        ("varchar", "varchar(255)", "BLOB"),
        ("varchar", "varchar(256)", "TINYINT"),
        ("binary", "binary(16)", "BLOB"),
        ("datetime", "datetime", "BLOB"),
        ("timestamp", "timestamp(3)", "TIMESTAMP(6)"),
        ("text", "text", "TINYINT"),
        ("longblob", "longblob", "TINYINT"),
    ],
)
def test_short_values_are_taken_as_they_are_unless_columns_are_many(data_type, column_type, expected):
    column = Column("c", data_type, column_type, None, None, True, "", "")
    assert shadow._shadow_type(column, is_sought=False, roomy=True) == expected
    assert shadow._shadow_type(column, is_sought=False, roomy=False) == ("TIMESTAMP(6)" if "stamp" in data_type else "TINYINT")


@pytest.mark.parametrize("dialect", [MYSQL, MARIADB])
@pytest.mark.parametrize("shown", ["CREATE TABLE `film` (...)", ""])
def test_nothing_is_written_without_the_shadow(dialect, shown):
    session = FakeSession(dialect)
    hidden = shadow.Shadow(session, TABLE).__enter__()
    session.said.clear()
    session.shown = shown
    with pytest.raises(ReplError, match="no_shadow"):
        hidden.log(["one"])
    with pytest.raises(ReplError, match="no_shadow"):
        hidden.__exit__()
    assert session.said == ["assert", "assert"]
    assert session.closed


@pytest.mark.parametrize("dialect", [MYSQL, MARIADB])
def test_a_failed_creation_closes_the_session(dialect):
    session = FakeSession(dialect, {"CREATE TEMPORARY": ServerError(1005, "no", "source")})
    with pytest.raises(ServerError), shadow.Shadow(session, TABLE):
        raise AssertionError("never entered")
    assert session.closed


def test_a_failed_statement_is_rolled_back_and_the_shadow_removed():
    session = FakeSession(MYSQL, {"two": ServerError(1064, "no", "source")})
    with pytest.raises(ServerError, match="1064"), shadow.Shadow(session, TABLE) as hidden:
        hidden.log(["one", "two", "three"])
    assert session.said[session.said.index("BEGIN") : session.said.index("BEGIN") + 4] == [
        "BEGIN",
        "one",
        "two",
        "ROLLBACK",
    ]
    assert "DROP TEMPORARY TABLE `film`" in session.said
    assert "COMMIT" not in session.said


def test_a_lost_connection_is_never_tried_again():
    lost = LostConnection(2013, "gone", "source")
    session = FakeSession(MYSQL, {"two": lost, "ROLLBACK": lost})
    hidden = shadow.Shadow(session, TABLE).__enter__()
    session.failing["SET SESSION sql_log_bin"] = lost
    with pytest.raises(LostConnection):
        hidden.log(["one", "two"])
    hidden.__exit__()
    assert session.closed
    assert session.said.count("COMMIT") == 0


@pytest.mark.parametrize("dialect", [MYSQL, MARIADB])
def test_no_statement_could_ever_reach_a_real_table(dialect):
    session = FakeSession(dialect)
    with shadow.Shadow(session, TABLE):
        pass
    for statement in session.said:
        assert "TRUNCATE" not in statement
        assert not statement.startswith("DROP TABLE")
        assert not statement.startswith("CREATE TABLE")


def test_prepare_sets_the_format_first_of_all():
    session = FakeSession(MYSQL)
    shadow.prepare(session)
    (said,) = session.said
    assert said.startswith("SET SESSION binlog_format = 'STATEMENT', ")
    assert "SESSION foreign_key_checks = 0" in said
    assert "SESSION unique_checks = 1" in said, "REPLACE rests on the look-up of duplicates"
    assert "SESSION sql_require_primary_key = 0" in said
    assert "sql_generate_invisible_primary_key" not in said, "this server does not know it"
    session = FakeSession(MARIADB)
    shadow.prepare(session)
    assert "SESSION check_constraint_checks = 0" in session.said[0]
    assert "sql_require_primary_key" not in session.said[0]
