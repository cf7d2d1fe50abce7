# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Links and topology from recorded answers of MariaDB 10.11 and MySQL 9.7, and older words from the manuals."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import facts as server_facts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import topology
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import detect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    AccessDenied,
    Refusal,
    UsageError,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.facts import Replica, ServerFacts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import Filters, Link, link_from
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Servers, SourceLogin
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint

MARIADB = detect("10.11.19-MariaDB", "")
MYSQL57 = detect("5.7.44-log", "")
MYSQL97 = detect("9.7.4", "")

# What SHOW ALL SLAVES STATUS and SHOW REPLICA STATUS gave, the columns of interest.
MARIADB_ROW = {
    "Connection_name": "",
    "Slave_SQL_State": "Slave has read all relay log; waiting for more updates",
    "Master_Host": "127.0.0.1", "Master_Port": "34511", "Master_Log_File": "bin.000001",
    "Read_Master_Log_Pos": "322", "Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes",
    "Replicate_Do_DB": "", "Replicate_Ignore_DB": "", "Replicate_Wild_Ignore_Table": "",
    "Last_Errno": "0", "Exec_Master_Log_Pos": "322", "Seconds_Behind_Master": "0",
    "Last_IO_Errno": "0", "Last_IO_Error": "", "Last_SQL_Errno": "0", "Last_SQL_Error": "",
    "Replicate_Ignore_Server_Ids": "", "Master_Server_Id": "1", "Using_Gtid": "Slave_Pos",
    "Gtid_IO_Pos": "0-1-302", "SQL_Delay": "0", "Replicate_Rewrite_DB": "",
    "Gtid_Slave_Pos": "0-1-302",
}  # fmt: skip
MYSQL_ROW = {
    "Source_Host": "127.0.0.1", "Source_Port": "60311", "Source_Log_File": "bin.000001",
    "Read_Source_Log_Pos": "158", "Replica_IO_Running": "Yes", "Replica_SQL_Running": "Yes",
    "Replicate_Do_DB": "", "Last_Errno": "0", "Seconds_Behind_Source": "0", "Last_IO_Errno": "0",
    "Last_IO_Error": "", "Last_SQL_Errno": "0", "Last_SQL_Error": "", "Source_Server_Id": "1",
    "Source_UUID": "0379e8c5-e679-11f1-97e3-02fc00000001", "SQL_Delay": "0",
    "Retrieved_Gtid_Set": "0379e8c5-e679-11f1-97e3-02fc00000001:1-2",
    "Executed_Gtid_Set": "0379e8c5-e679-11f1-97e3-02fc00000001:1-2", "Auto_Position": "1",
    "Channel_Name": "",
}  # fmt: skip


# As the manuals print them: https://docs.oracle.com/cd/E17952_01/mysql-5.7-en/show-slave-status.html and
# https://dev.mysql.com/doc/refman/8.0/en/show-replica-status.html, with the columns that the latter names only in words.
MYSQL57_ANSWER = """
Slave_IO_State: Waiting for master to send event|Master_Host: localhost|Master_User: repl|Master_Port: 13000|Connect_Retry: 60
Master_Log_File: source-bin.000002|Read_Master_Log_Pos: 1307|Relay_Log_File: replica-relay-bin.000003|Relay_Log_Pos: 1508
Relay_Master_Log_File: source-bin.000002|Slave_IO_Running: Yes|Slave_SQL_Running: Yes|Replicate_Do_DB: |Replicate_Ignore_DB:
Replicate_Do_Table: |Replicate_Ignore_Table: |Replicate_Wild_Do_Table: |Replicate_Wild_Ignore_Table: |Last_Errno: 0|Last_Error:
Skip_Counter: 0|Exec_Master_Log_Pos: 1307|Relay_Log_Space: 1858|Until_Condition: None|Until_Log_File: |Until_Log_Pos: 0
Master_SSL_Allowed: No|Master_SSL_CA_File: |Seconds_Behind_Master: 0|Master_SSL_Verify_Server_Cert: No|Last_IO_Errno: 0
Last_IO_Error: |Last_SQL_Errno: 0|Last_SQL_Error: |Replicate_Ignore_Server_Ids: |Master_Server_Id: 1
Master_UUID: 3e11fa47-71ca-11e1-9e33-c80aa9429562|SQL_Delay: 0|SQL_Remaining_Delay: NULL|Master_Retry_Count: 10
Retrieved_Gtid_Set: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5|Executed_Gtid_Set: 3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5
Auto_Position: 1|Replicate_Rewrite_DB: |Channel_name: |Master_TLS_Version: TLSv1.2
"""
MYSQL80_ANSWER = """
Replica_IO_State: Waiting for source to send event|Source_Host: 127.0.0.1|Source_User: root|Source_Port: 13000|Connect_Retry: 1
Source_Log_File: master-bin.000001|Read_Source_Log_Pos: 927|Relay_Log_File: slave-relay-bin.000002|Relay_Log_Pos: 1145
Relay_Source_Log_File: master-bin.000001|Replica_IO_Running: Yes|Replica_SQL_Running: Yes|Replicate_Do_DB: |Replicate_Ignore_DB:
Last_Errno: 0|Last_Error: |Skip_Counter: 0|Exec_Source_Log_Pos: 927|Seconds_Behind_Source: 0|Last_IO_Errno: 0|Last_IO_Error:
Last_SQL_Errno: 0|Last_SQL_Error: |Source_Server_Id: 1|Source_UUID: 73f86016-978b-11ee-ade5-8d2a2a562feb|SQL_Delay: 0
Retrieved_Gtid_Set: 73f86016-978b-11ee-ade5-8d2a2a562feb:1-3|Executed_Gtid_Set: 73f86016-978b-11ee-ade5-8d2a2a562feb:1-3
Auto_Position: 1|Replicate_Rewrite_DB: |Channel_Name: |Source_TLS_Version: TLSv1.3
"""


def answer(text: str) -> dict[str, str]:
    fields = (field.partition(":") for line in text.strip().splitlines() for field in line.split("|"))
    return {name: value.strip() for name, _tab, value in fields}


def facts(role: str = "source", server_id: int = 1, uuid: str | None = None) -> ServerFacts:
    return ServerFacts(role, "db", 3306, "mysql", "9.7.4", server_id, uuid)


def link(**more) -> Link:
    given = {"channel": "", "source_host": "db1", "source_port": 3306, "source_server_id": 1, "source_uuid": None}
    return Link(**{**given, "io_running": True, "sql_running": True, **more})


def test_a_recorded_mariadb_link():
    found = link_from(MARIADB_ROW, MARIADB)
    assert (found.source_host, found.source_port, found.source_server_id, found.source_uuid) == (
        "127.0.0.1",
        34511,
        1,
        None,
    )
    assert found.healthy
    assert found.auto_position
    assert (found.executed_gtids, found.read_file, found.read_position, found.lag) == ("0-1-302", "bin.000001", 322, 0)
    assert found.filters == Filters()


@pytest.mark.parametrize(
    ("text", "version", "address", "uuid", "read"),
    [
        (MYSQL57_ANSWER, "5.7.44", "localhost:13000", "3e11fa47-71ca-11e1-9e33-c80aa9429562", ("source-bin.000002", 1307)),
        (MYSQL80_ANSWER, "8.0.36", "127.0.0.1:13000", "73f86016-978b-11ee-ade5-8d2a2a562feb", ("master-bin.000001", 927)),
        (MYSQL80_ANSWER, "8.4.3", "127.0.0.1:13000", "73f86016-978b-11ee-ade5-8d2a2a562feb", ("master-bin.000001", 927)),
    ],
)
def test_answers_of_older_mysql(text, version, address, uuid, read):
    found = link_from(answer(text), detect(version, ""))
    assert (found.address, found.source_server_id, found.source_uuid) == (address, 1, uuid)
    assert (found.read_file, found.read_position) == read
    assert (found.healthy, found.auto_position, found.lag, found.delay, found.channel) == (True, True, 0, 0, "")
    assert found.executed_gtids.startswith(uuid)
    assert found.filters == Filters()
    for column in ("Channel_name", "Channel_Name"):
        assert link_from({**answer(text), column: "east"}, detect(version, "")).channel == "east"
    stopped = {name: value.replace("Yes", "No") for name, value in answer(text).items()}
    assert not link_from(stopped, detect(version, "")).healthy


def test_a_recorded_mysql_link_and_its_older_words():
    found = link_from(MYSQL_ROW, MYSQL97)
    older = {name.replace("Source", "Master").replace("Replica_", "Slave_"): value for name, value in MYSQL_ROW.items()}
    assert link_from(older, MYSQL57) == found
    assert found.source_uuid == MYSQL_ROW["Source_UUID"]
    assert found.healthy


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        ({"Slave_IO_Running": "Connecting"}, "receiver"),
        ({"Slave_IO_Running": "Preparing"}, "receiver"),
        ({"Slave_SQL_Running": "No"}, "applier"),
        ({"Slave_SQL_Running": "No", "Last_SQL_Errno": "1062", "Last_SQL_Error": "Duplicate entry '1'"}, "error 1062"),
        ({"Slave_IO_Running": "No", "Last_IO_Errno": "1236", "Last_IO_Error": "purged"}, "error 1236"),
    ],
)
def test_problems_are_told_in_words(status, problem):
    found = link_from({**MARIADB_ROW, **status}, MARIADB)
    assert not found.healthy
    assert problem in str(found.problem)


def test_a_link_that_never_connected_has_no_identity():
    found = link_from({**MYSQL_ROW, "Source_Server_Id": "0", "Source_UUID": "", "Seconds_Behind_Source": None}, MYSQL97)
    assert (found.source_server_id, found.source_uuid, found.lag) == (None, None, None)
    assert topology.leads_to(found, facts()) is None


@pytest.mark.parametrize(
    ("upstream", "known", "expected"),
    [
        (facts(uuid="u1"), {"source_uuid": "u1"}, True),
        (facts(uuid="u2"), {"source_uuid": "u1"}, False),
        (facts(server_id=2), {}, False),
        (facts(uuid="u1"), {"source_uuid": "u1", "source_server_id": None, "io_running": False}, True),
        (facts(server_id=2), {"io_running": False}, None),  # MariaDB's stale id proves nothing
    ],
)
def test_identity(upstream, known, expected):
    assert topology.leads_to(link(**known), upstream) is expected


@pytest.mark.parametrize(
    ("filters", "skipped"),
    [
        (Filters(), False),
        (Filters(do_db=("other",)), True),
        (Filters(ignore_db=("shop",)), True),
        (Filters(do_table=("shop.orders",)), False),
        (Filters(do_table=("shop.other",)), True),
        (Filters(ignore_table=("shop.orders",)), True),
        (Filters(wild_do_table=("sh%.ord_rs",), wild_ignore_table=("%.%",)), False),
        (Filters(wild_ignore_table=(r"shop.order\_",)), False),
        (Filters(wild_ignore_table=("shop.%",)), True),
        (Filters(rewrite_db="(shop,store),(a,b)"), True),
        (Filters(rewrite_db="a->shop"), True),
        (Filters(rewrite_db="(shopping,b)"), False),
    ],
)
def test_filters_by_the_order_of_the_manual(filters, skipped):
    assert filters.may_skip("shop", "orders") is skipped


def test_filters_are_read_and_shown():
    found = link_from({**MARIADB_ROW, "Replicate_Ignore_DB": "a,b", "Replicate_Wild_Ignore_Table": "c.%"}, MARIADB)
    assert found.filters.ignore_db == ("a", "b")
    assert found.filters.text == "ignore_db=a,b; wild_ignore_table=c.%"


def test_the_channel_must_be_clear():
    target = Endpoint("db2")
    two = (link(channel="east"), link(channel="west", source_host="db9"))
    assert topology.choose_link(two, Servers(target, channel="west")) is two[1]
    with pytest.raises(UsageError, match=r"'east' \(from db1:3306\), 'west'"):
        topology.choose_link(two, Servers(target))
    with pytest.raises(UsageError, match="no channel 'north'"):
        topology.choose_link(two, Servers(target, channel="north"))
    with pytest.raises(Refusal) as refused:
        topology.choose_link((), Servers(target))
    assert refused.value.code == "not_a_replica"


def test_the_nameless_channel_among_others_and_names_in_any_case():
    target = Endpoint(host="db2")
    two = (link(channel=""), link(channel="West", source_host="db9"))
    assert topology.choose_link(two, Servers(target, channel="")) is two[0]
    assert topology.choose_link(two, Servers(target, channel="wEST")) is two[1]
    with pytest.raises(UsageError, match="two quotes for the nameless one"):
        topology.choose_link(two, Servers(target))


class FakeSession:
    """Answers statements by a table; an error in it is raised."""

    role, name = "target", "target (db2)"

    def __init__(self, dialect, answers):
        self.dialect = dialect
        self.answers = answers

    def records(self, sql):
        answer = self.answers[sql]
        if isinstance(answer, Exception):
            raise answer
        return answer

    rows = records


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (SourceLogin(), Endpoint("10.0.0.1", 3307, None, "dba", "secret")),
        (SourceLogin(host="db1"), Endpoint("db1", 3307, None, "dba", "secret")),
        (SourceLogin(port=3310, user="other", password=""), Endpoint("10.0.0.1", 3310, None, "other", "")),
        (SourceLogin(unix_socket="/run/a.sock"), Endpoint("10.0.0.1", 3307, "/run/a.sock", "dba", "secret")),
    ],
)
def test_the_source_is_found_and_overridden(said, expected):
    session = FakeSession(
        MARIADB, {"SHOW ALL SLAVES STATUS": [{**MARIADB_ROW, "Master_Host": "10.0.0.1", "Master_Port": "3307"}]}
    )
    target = Endpoint("localhost", 3306, "/run/mysqld.sock", "dba", "secret")
    assert topology.locate_source(session, Servers(target, said)) == expected


def test_replicas_by_either_list_or_not_at_all():
    denied = AccessDenied(1227, "Access denied", "target")
    dumps = [
        {"Command": "Binlog Dump GTID", "Host": "10.0.0.3:50718"},
        {"Command": "Query", "Host": "localhost"},
    ]
    probe = "SELECT COUNT(*) FROM information_schema.INNODB_TRX"
    listed = [{"Server_Id": "2", "Host": "", "Port": "53391", "Source_Id": "1", "Replica_UUID": "05d35234"}]
    older = [{"Server_id": "2", "Host": "db2", "Port": "3306", "Master_id": "1", "Slave_UUID": "05d35234"}]
    assert server_facts.read_replicas(FakeSession(MYSQL97, {"SHOW REPLICAS": listed})) == (Replica(2, "", 53391, "05d35234"),)
    assert server_facts.read_replicas(FakeSession(MYSQL57, {"SHOW SLAVE HOSTS": older})) == (Replica(2, "db2", 3306, "05d35234"),)
    counted = FakeSession(MYSQL97, {"SHOW REPLICAS": denied, probe: [], "SHOW PROCESSLIST": dumps})
    assert server_facts.read_replicas(counted) == (Replica(None, "10.0.0.3", 0),)
    assert server_facts.read_replicas(FakeSession(MYSQL97, {"SHOW REPLICAS": denied, probe: denied})) is None


def test_the_partner_is_not_counted_among_the_replicas():
    partner = facts(server_id=2, uuid="u2")
    listed = (Replica(2, "db2", 3306, "u2"), Replica(2, "clone", 3306, "u9"), Replica(3, "db3", 3306, "u3"))
    assert topology.besides(listed, partner, True) == listed[1:]
    nameless = (Replica(None, "10.0.0.2", 0), Replica(None, "10.0.0.3", 0))
    assert topology.besides(nameless, partner, True) == nameless[1:]
    assert topology.besides(nameless, partner, False) == nameless
    assert topology.besides(None, partner, True) is None


@pytest.mark.parametrize(
    ("setting", "service"),
    [
        ({"basedir": "/rdsdbbin/mysql-8.0.36.R1/"}, "Amazon RDS"),
        ({"basedir": "/rdsdbbin/oscar/", "aurora_version": "3.05.2"}, "Amazon Aurora"),
        ({"version_comment": "(Google)"}, "Google Cloud SQL"),
        ({"aad_auth_only": "OFF"}, "Azure Database"),
        ({"basedir": "/usr/", "version_comment": "(Debian)"}, ""),
    ],
)
def test_cloud_services_are_told_by_their_settings(setting, service):
    assert server_facts._managed_by(setting) == service


def test_every_further_connection_must_reach_the_same_server(monkeypatch):
    class Answering:
        role, endpoint, closed = "source", Endpoint(host="proxy"), False

        def __init__(self, **found):
            self.found = {"server_id": "1", "hostname": "db1", "port": "3306", "datadir": "/data/", "server_uuid": "u1", **found}
            self.dialect = MYSQL97

        def record(self, sql):
            return {name: value for name, value in self.found.items() if f"@@global.{name}" in sql}

        def close(self):
            self.closed = True

    first = Answering()
    pair = topology.OpenPair(first, first)
    for other in ({"server_id": "2"}, {"hostname": "db2"}, {"server_uuid": "u2"}, {"datadir": "/data2/"}):
        another = Answering(**other)
        monkeypatch.setattr(topology, "connect", lambda *unused, another=another: another)
        for opened in (pair.new_source, pair.new_target):
            with pytest.raises(Refusal, match="lead to different servers") as refused:
                opened()
            assert refused.value.code == "another_server"
            assert another.closed
    same = Answering()
    monkeypatch.setattr(topology, "connect", lambda *unused: same)
    assert pair.new_source() is same
    assert not same.closed
