# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""SHOW GRANTS as MariaDB 10.11 and MySQL 9.7 print it (recorded), and MySQL 5.7 and 8.x by the manual."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import grants
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import detect

MYSQL = detect("9.7.4", "")
MARIADB = detect("10.11.19-MariaDB", "")

MARIADB_LINES = [
    "GRANT `r 2` TO `m`@`%`",
    "GRANT `r1` TO `m`@`%` WITH ADMIN OPTION",
    "GRANT REPLICATION SLAVE, BINLOG ADMIN, SLAVE MONITOR ON *.* TO `m`@`%` IDENTIFIED BY PASSWORD '*B69027D44F6E5EDC'",
    "GRANT SELECT, CREATE TEMPORARY TABLES, TRIGGER ON `shop`.* TO `m`@`%`",
    "GRANT ALL PRIVILEGES ON `od d`.* TO `m`@`%`",
    "GRANT SELECT, TRIGGER ON `shop\\_%`.* TO `m`@`%`",
    "GRANT SELECT (`id`, `v`), INSERT, UPDATE (`id`) ON `shop`.`t` TO `m`@`%`",
    "GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `m`@`%`",
    "GRANT `r1` TO `r 2`",
    "GRANT USAGE ON *.* TO `r 2`",
    "GRANT PROCESS, BINLOG MONITOR ON *.* TO `r1`",
    "GRANT PROXY ON ``@`%` TO `m`@`%` WITH GRANT OPTION",
    "SET DEFAULT ROLE `r 2` FOR `m`@`%`",
]
# Of 10.5.23, SHOW GRANTS of an account with a default role; 10.6 lies between it and 10.11.
MARIADB105_LINES = [
    "GRANT `r` TO `m`@`%`",
    "GRANT PROCESS, BINLOG MONITOR, BINLOG ADMIN, SLAVE MONITOR ON *.* TO `m`@`%` IDENTIFIED BY PASSWORD '*B69027D44F6E5EDC'",
    "GRANT SELECT, INSERT, CREATE, CREATE TEMPORARY TABLES, TRIGGER ON `shop\\_1`.* TO `m`@`%`",
    "GRANT USAGE ON *.* TO `r`",
    "GRANT SELECT ON `shop`.* TO `r`",
    "SET DEFAULT ROLE `r` FOR `m`@`%`",
]
MYSQL_LINES = [
    "GRANT SELECT, PROCESS, REPLICATION CLIENT ON *.* TO `m`@`%`",
    "GRANT BINLOG_ADMIN,SESSION_VARIABLES_ADMIN ON *.* TO `m`@`%` WITH GRANT OPTION",
    "GRANT INSERT (`a,b`, `c)`) ON `shop`.`t` TO `m`@`%`",
    "GRANT CREATE TEMPORARY TABLES, TRIGGER ON `a``b`.* TO `m`@`%`",
    "GRANT `r 2`@`%`,`r1`@`%` TO `m`@`%`",
    "REVOKE SELECT ON `mysql`.* FROM `m`@`%`",
]


def parse(lines: list[str], **more: bool) -> grants.Grants:
    return grants.parse("`m`@`%`", lines, **more)


def test_every_recorded_line_is_understood():
    assert parse(MARIADB_LINES).unparsed == ()
    old = parse(MARIADB105_LINES)
    assert old.unparsed == ()
    for words in (detect("10.5.23-MariaDB-0+deb11u1-log", ""), detect("10.6.21-MariaDB", "")):
        assert old.missing_for_check(words, ["shop_1"]) == old.missing_for_shadow(words, ["shop_1"]) == ()
        assert old.missing_for_shadow(words, ["shop"]) == (
            "GRANT CREATE TEMPORARY TABLES, CREATE, INSERT ON `shop`.* TO `m`@`%`",
        )
    assert parse(MYSQL_LINES).unparsed == ()


def test_rights_hold_where_they_were_given():
    found = parse(MARIADB_LINES)
    assert found.has("BINLOG MONITOR|REPLICATION CLIENT")
    assert not found.has("SUPER")
    assert not found.has("SELECT")
    assert found.has("SELECT", "shop")
    assert found.has("DELETE", "od d", "any")
    assert found.has("INSERT", "shop", "t")
    assert not found.has("INSERT", "shop", "other")
    assert not found.has("UPDATE", "shop", "t"), "a right on some columns is not one on the table"


def test_a_table_of_which_some_columns_may_be_read_is_not_read():
    some, other = "GRANT SELECT (`id`, `v`) ON `shop`.`t` TO `m`@`%`", "GRANT SELECT, TRIGGER ON `shop`.`u` TO `m`@`%`"
    wanted = "GRANT SELECT ON `shop`.`t` TO `m`@`%`"
    assert wanted in parse([some, other]).missing_for_check(MYSQL)
    assert wanted in parse([some, other]).missing_for_check(MYSQL, ["shop"])
    assert wanted not in parse([some, other]).missing_for_check(MYSQL, ["sales"])
    for whole in ("SELECT ON *.*", "SELECT ON `shop`.*", "SELECT, INSERT ON `shop`.`t`"):
        assert wanted not in parse([some, f"GRANT {whole} TO `m`@`%`"]).missing_for_check(MYSQL)


@pytest.mark.parametrize(("database", "expected"), [("shop_eu", True), ("shopXeu", False), ("SHOP_EU", True), ("my", False)])
def test_patterns_in_database_names(database, expected):
    assert parse(MARIADB_LINES).has("TRIGGER", database) is expected


def test_patterns_are_literal_with_partial_revokes():
    assert not parse(MARIADB_LINES, literal_names=True).has("TRIGGER", "shop_eu")


def test_a_partial_revoke_takes_a_global_right_away():
    found = parse(MYSQL_LINES)
    assert found.has("SELECT", "shop")
    assert not found.has("SELECT", "mysql")


@pytest.mark.parametrize(
    "line",
    [
        "GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION",  # MySQL 5.7
        "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` IDENTIFIED VIA unix_socket WITH GRANT OPTION",
    ],
)
def test_all_privileges(line):
    found = parse([line])
    assert found.has("SUPER")
    assert found.missing_for_check(MYSQL) == found.missing_for_shadow(MARIADB, ["x"]) == ()


def test_what_is_missing_comes_as_statements():
    found = parse(["GRANT SELECT ON `shop`.* TO `m`@`%`", "GRANT PROCESS ON *.* TO `m`@`%`"])
    assert found.missing_for_check(MYSQL) == (
        "GRANT REPLICATION CLIENT ON *.* TO `m`@`%`",
        "GRANT TRIGGER ON `shop`.* TO `m`@`%`",
    )
    assert found.missing_for_shadow(MARIADB, ["my_db"]) == (
        "GRANT BINLOG ADMIN ON *.* TO `m`@`%`",
        "GRANT CREATE TEMPORARY TABLES, CREATE, INSERT ON `my\\_db`.* TO `m`@`%`",
    )


def test_an_account_without_any_right_on_data_needs_it_everywhere():
    assert parse([]).missing_for_check(MYSQL)[-1] == "GRANT SELECT, TRIGGER ON *.* TO `m`@`%`"


def test_what_is_not_understood_is_kept_without_secrets():
    found = parse(["GRANT SOMETHING NEW UPON WORLD TO `m`@`%` IDENTIFIED BY PASSWORD '*SECRET'"])
    assert found.unparsed == ("GRANT SOMETHING NEW UPON WORLD",)
