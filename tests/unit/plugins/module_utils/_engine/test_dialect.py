# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of MySQL 5.7 to 9.7 and MariaDB 10.4 to 11.8."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import (
    MARIADB,
    MYSQL,
    detect,
    normal_status_name,
)

MYSQL57 = detect("5.7.44-log", "MySQL Community Server (GPL)")
MYSQL80 = detect("8.0.21", "MySQL Community Server - GPL")
MYSQL84 = detect("8.4.3", "MySQL Community Server - GPL")
MYSQL97 = detect("9.7.4", "(Debian)")
PERCONA = detect("8.0.36-28", "Percona Server (GPL), Release 28, Revision 47601f19")
MARIADB104 = detect("5.5.5-10.4.34-MariaDB-log", "MariaDB Server")
MARIADB1011 = detect("10.11.19-MariaDB-0+deb12u1-log", "Debian 12")
MARIADB106 = detect("10.6.21-MariaDB-log", "MariaDB Server")
MARIADB114 = detect("11.4.5-MariaDB", "MariaDB Server")
MARIADB13 = detect("13.1.2-MariaDB", "MariaDB Server")
MYSQL10 = detect("10.2.0", "MySQL Community Server - GPL")
MARIADB118 = detect("11.8.6-MariaDB-0+deb13u1", "Debian")


def test_make_and_version_are_told():
    assert (PERCONA.flavor, PERCONA.version) == (MYSQL, (8, 0, 36))
    assert (MARIADB104.flavor, MARIADB104.version) == (MARIADB, (10, 4, 34))
    with pytest.raises(ValueError, match="version"):
        detect("unknown", "")


@pytest.mark.parametrize(
    ("dialect", "position", "status", "replicas"),
    [
        (MYSQL57, "SHOW MASTER STATUS", "SHOW SLAVE STATUS", "SHOW SLAVE HOSTS"),
        (MYSQL80, "SHOW MASTER STATUS", "SHOW SLAVE STATUS", "SHOW SLAVE HOSTS"),
        (PERCONA, "SHOW MASTER STATUS", "SHOW REPLICA STATUS", "SHOW REPLICAS"),
        (MYSQL84, "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS", "SHOW REPLICAS"),
        (MYSQL97, "SHOW BINARY LOG STATUS", "SHOW REPLICA STATUS", "SHOW REPLICAS"),
        (MARIADB1011, "SHOW MASTER STATUS", "SHOW ALL SLAVES STATUS", "SHOW SLAVE HOSTS"),
    ],
)
def test_replication_statements(dialect, position, status, replicas):
    assert (dialect.show_binlog_position, dialect.show_replica_status, dialect.show_replicas) == (
        position,
        status,
        replicas,
    )


def test_waits_never_last_for_ever():
    assert MYSQL57.wait_for_position("bin.000001", 4, 0.2, "") == "SELECT MASTER_POS_WAIT('bin.000001', 4, 1)"
    assert MYSQL97.wait_for_position("bin.000001", 4, 1.0, "c") == "SELECT SOURCE_POS_WAIT('bin.000001', 4, 1, 'c')"
    assert MARIADB1011.wait_for_position("bin.000001", 4, -3, "c") == "SELECT MASTER_POS_WAIT('bin.000001', 4, 1, 'c')"
    assert MYSQL97.wait_for_gtids("u:1-3", 0) == "SELECT WAIT_FOR_EXECUTED_GTID_SET('u:1-3', 1)"


def test_rights_by_their_names_in_each_version():
    assert MYSQL57.shadow_privileges == ("SUPER",)
    assert MARIADB104.monitor_privileges == ("REPLICATION CLIENT|SUPER", "PROCESS")
    assert "SUPER" in MARIADB1011.shadow_privileges[0].split("|")
    assert "SUPER" not in MARIADB118.shadow_privileges[0].split("|")
    assert (MYSQL57.has_roles, MYSQL80.has_roles, MARIADB104.has_roles) == (False, True, True)


def test_old_words_become_new_ones():
    assert normal_status_name("Slave_IO_Running") == "Replica_IO_Running"
    assert normal_status_name("Relay_Master_Log_File") == "Relay_Source_Log_File"
    assert normal_status_name("Seconds_Behind_Master") == "Seconds_Behind_Source"


@pytest.mark.parametrize("dialect", [MARIADB106, MARIADB1011, MARIADB114, MARIADB118, MARIADB13])
def test_all_words_of_mariadb(dialect):
    assert dialect.show_replica_status == "SHOW ALL SLAVES STATUS"
    assert (dialect.show_binlog_position, dialect.show_replicas) == ("SHOW MASTER STATUS", "SHOW SLAVE HOSTS")
    assert dialect.wait_for_position("b.1", 4, 1, "") == "SELECT MASTER_POS_WAIT('b.1', 4, 1)"
    assert dialect.share_lock == "LOCK IN SHARE MODE"
    assert [words.split("|")[0] for words in dialect.monitor_privileges] == ["BINLOG MONITOR", "SLAVE MONITOR", "PROCESS"]
    assert [words.split("|")[0] for words in dialect.shadow_privileges] == ["BINLOG ADMIN"]
    assert dialect.shadow_data_privileges == ("CREATE TEMPORARY TABLES", "CREATE", "INSERT")
    assert (dialect.has_roles, dialect.has_applier_rules) == (True, False)
    idle = ["idle_transaction_timeout", "idle_readonly_transaction_timeout", "idle_write_transaction_timeout"]
    assert list(dialect.session_settings) == ["max_statement_time", *idle]


@pytest.mark.parametrize("dialect", [MYSQL84, MYSQL97, MYSQL10])
def test_all_words_of_mysql_now_and_later(dialect):
    assert dialect.show_replica_status == "SHOW REPLICA STATUS"
    assert (dialect.show_binlog_position, dialect.show_replicas) == ("SHOW BINARY LOG STATUS", "SHOW REPLICAS")
    assert dialect.wait_for_position("b.1", 4, 1, "") == "SELECT SOURCE_POS_WAIT('b.1', 4, 1)"
    assert dialect.share_lock == "FOR SHARE"
    assert dialect.shadow_privileges[0].split("|")[0] == "SESSION_VARIABLES_ADMIN"
    assert dialect.shadow_data_privileges == ("CREATE TEMPORARY TABLES",)
    assert (dialect.has_roles, dialect.has_applier_rules) == (True, True)
    assert list(dialect.session_settings) == ["max_execution_time", "show_gipk_in_create_table_and_information_schema"]


def test_words_of_mysql_that_came_and_went():
    assert (MYSQL57.share_lock, MYSQL80.share_lock) == ("LOCK IN SHARE MODE", "FOR SHARE")
    assert (MYSQL57.has_applier_rules, MYSQL80.has_applier_rules) == (False, True)
    assert MYSQL80.wait_for_position("b.1", 4, 1, "").startswith("SELECT MASTER_POS_WAIT")
    assert detect("8.0.26", "").wait_for_position("b.1", 4, 1, "").startswith("SELECT SOURCE_POS_WAIT")
    assert (detect("8.0.22", "").show_replica_status, detect("8.1.0", "").show_binlog_position) == (
        "SHOW REPLICA STATUS",
        "SHOW MASTER STATUS",
    )
