# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every hazard: found when it is there, silent when not, and grave only where it must be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.causes import unexplained
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.facts import Replica, ServerFacts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.grants import parse
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.hazards import (
    BLOCKER,
    INFO,
    WARNING,
    Evidence,
    blockers,
    judge,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import ApplierRules, Filters, Link
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.topology import Pair
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.traces import Traces

ALL = parse("`m`@`%`", ["GRANT ALL PRIVILEGES ON *.* TO `m`@`%`"])
SOURCE = ServerFacts(
    "source",
    "db1",
    3306,
    "mariadb",
    "10.11.19-MariaDB",
    1,
    binlog_format="ROW",
    log_replica_updates=True,
    auto_increment_increment=2,
    auto_increment_offset=1,
)
TARGET = replace(SOURCE, role="target", host="db2", server_id=2, auto_increment_offset=2, read_only=True)
FORWARD = Link("", "db1", 3306, 1, None, io_running=True, sql_running=True)
REVERSE = replace(FORWARD, source_host="db2", source_server_id=2)
PAIR = Pair(SOURCE, TARGET, FORWARD, REVERSE)
BY_STATEMENT = replace(SOURCE, binlog_format="STATEMENT")
REPLICA = Replica(3, "db3", 3306)


def found(repair: bool = True, named: bool = False, gtids: str = "", **changes) -> dict[str, str]:
    pair = replace(PAIR, **changes)
    return {hazard.code: hazard.severity for hazard in judge(Evidence(pair, ALL, ALL, named, (), gtids, repair))}


def traced(repair: bool = True, source: Traces | None = None, target: Traces | None = None, **changes) -> dict[str, str]:
    evidence = Evidence(
        replace(PAIR, **changes), ALL, ALL, repair=repair, source_traces=source or Traces(), target_traces=target or Traces()
    )
    return {hazard.code: hazard.severity for hazard in judge(evidence)}


def test_replicas_below_the_target_are_no_blocker_when_they_are_made_idempotent():
    pair = replace(PAIR, target_replicas=(REPLICA,))
    (hazard,) = judge(Evidence(pair, ALL, ALL, repair=True, downstream="idempotent"))
    assert (hazard.code, hazard.severity) == ("downstream_replicas", INFO)


@pytest.mark.parametrize("facts", [{"binlog_format": "STATEMENT"}, {"log_replica_updates": False}])
def test_replicas_below_the_target_are_no_blocker_when_no_rows_reach_them(facts):
    pair = replace(PAIR, target=replace(TARGET, **facts), target_replicas=(REPLICA,))
    severities = {hazard.code: hazard.severity for hazard in judge(Evidence(pair, ALL, ALL, repair=True))}
    assert severities["downstream_replicas"] == INFO


def test_a_sound_pair_has_none():
    assert found() == {}
    assert found(repair=False) == {}


@pytest.mark.parametrize(
    ("changes", "code", "for_check", "for_repair"),
    [
        ({"forward": replace(FORWARD, io_running=False)}, "stopped_link", WARNING, BLOCKER),
        ({"reverse": replace(REVERSE, sql_running=False)}, "stopped_link", WARNING, BLOCKER),
        ({"forward": replace(FORWARD, sql_running=False, sql_error="1062")}, "link_error", WARNING, BLOCKER),
        ({"forward": replace(FORWARD, delay=60)}, "delayed_link", WARNING, BLOCKER),
        ({"forward": replace(FORWARD, filters=Filters(ignore_db=("x",)))}, "replication_filter", WARNING, WARNING),
        ({"source": replace(SOURCE, binlog_filters="Binlog_Do_DB=x")}, "replication_filter", WARNING, WARNING),
        ({"unverified": (REVERSE,), "reverse": None}, "unverified_channel", WARNING, BLOCKER),
        ({"source_upstreams": (FORWARD,)}, "source_is_replica", BLOCKER, BLOCKER),
        ({"target_upstreams": (FORWARD,)}, "multi_source_target", WARNING, WARNING),
        ({"source": replace(SOURCE, read_only=True)}, "source_read_only", WARNING, BLOCKER),
        ({"target": replace(TARGET, read_only=False)}, "both_writable", INFO, INFO),
        ({"source": replace(SOURCE, binlog=False)}, "binlog_off", WARNING, BLOCKER),
        ({"target": replace(TARGET, binlog=False)}, "binlog_off", WARNING, BLOCKER),
        ({"target": replace(TARGET, skip_errors="1062")}, "skip_errors", WARNING, WARNING),
        ({"target": replace(TARGET, exec_mode="IDEMPOTENT")}, "idempotent_left_on", WARNING, WARNING),
        ({"target": replace(TARGET, binlog_format="MIXED")}, "binlog_format_differs", INFO, INFO),
        ({"target": replace(TARGET, time_zone="SYSTEM", system_time_zone="CET")}, "time_zone_differs", INFO, INFO),
        ({"target": replace(TARGET, sql_mode="ANSI_QUOTES")}, "sql_mode_differs", INFO, INFO),
        ({"target": replace(TARGET, collation_server="utf8mb4_bin")}, "collation_differs", INFO, INFO),
        ({"target": replace(TARGET, version="11.8.6-MariaDB")}, "version_differs", INFO, INFO),
        ({"target": replace(TARGET, flavor="mysql", version="9.7.4")}, "different_makes", WARNING, BLOCKER),
        ({"target": replace(TARGET, galera=True)}, "galera", BLOCKER, BLOCKER),
        ({"source": replace(SOURCE, group_replication=True)}, "group_replication", BLOCKER, BLOCKER),
        ({"target_replicas": (REPLICA,)}, "downstream_replicas", INFO, BLOCKER),
        ({"source_replicas": (REPLICA,)}, "sibling_replicas", INFO, WARNING),
        ({"target_replicas": None}, "replicas_unknown", INFO, BLOCKER),
        ({"detour": "C lies between"}, "long_loop", BLOCKER, BLOCKER),
        ({"target": replace(TARGET, managed_by="Amazon RDS")}, "managed_service", INFO, INFO),
        ({"source": BY_STATEMENT, "target": replace(TARGET, binlog_format="STATEMENT")}, "statement_logging", INFO, INFO),
    ],
)
def test_each_danger(changes, code, for_check, for_repair):
    assert found(repair=False, **changes) == {code: for_check}
    assert found(repair=True, **changes) == {code: for_repair}


def test_a_plain_replica_may_be_without_binary_log():
    assert found(reverse=None, target=replace(TARGET, binlog=False)) == {}


def test_a_read_only_mysql_source_still_logs_a_repair():
    servers = {"source": replace(SOURCE, flavor="mysql", version="9.7.4", read_only=True)}
    assert found(**servers, target=replace(TARGET, flavor="mysql", version="9.7.4")) == {"source_read_only": WARNING}


@pytest.mark.parametrize(
    ("steps", "collide"), [((2, 1, 2, 2), False), ((1, 1, 1, 1), True), ((2, 1, 2, 1), True), ((10, 1, 5, 3), False)]
)
def test_auto_increments_collide_by_arithmetic(steps, collide):
    source = replace(SOURCE, auto_increment_increment=steps[0], auto_increment_offset=steps[1])
    target = replace(TARGET, auto_increment_increment=steps[2], auto_increment_offset=steps[3], read_only=False)
    assert ("auto_increment_collision" in found(source=source, target=target)) is collide


def test_the_user_may_name_a_source_that_is_a_replica():
    assert found(named=True, source_upstreams=(FORWARD,)) == {"source_is_replica": WARNING}


def test_errant_gtids_are_shown_and_cut():
    (hazard,) = judge(Evidence(PAIR, ALL, ALL, errant_gtids="u:1," * 100))
    assert (hazard.code, hazard.severity) == ("errant_gtids", WARNING)
    assert len(hazard.message) < 400


def test_missing_grants_name_the_server_and_the_statement():
    few = parse("`m`@`%`", ["GRANT SELECT, TRIGGER ON `shop`.* TO `m`@`%`"])
    hazards = judge(Evidence(PAIR, few, ALL, repair=True))
    assert [(hazard.code, hazard.server) for hazard in blockers(hazards)] == [
        ("missing_grant_check", "source"),
        ("missing_grant_repair", "source"),
    ]
    assert "GRANT BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.* TO `m`@`%`" in hazards[0].remedy
    assert "GRANT CREATE TEMPORARY TABLES, CREATE, INSERT ON `shop`.* TO `m`@`%`" in hazards[1].remedy
    assert [hazard.code for hazard in judge(Evidence(PAIR, few, ALL))] == ["missing_grant_check"]


def test_grants_that_were_not_understood_do_not_block():
    odd = parse("`m`@`%`", ["GRANT SOMETHING NEW"])
    hazards = judge(Evidence(PAIR, odd, ALL, repair=True))
    assert blockers(hazards) == ()
    assert "SOMETHING NEW" in hazards[0].message


def test_every_hazard_says_what_to_do():
    changes = {
        "target": replace(TARGET, galera=True, read_only=False),
        "source_replicas": (REPLICA,),
        "target_replicas": (REPLICA,),
    }
    assert all(hazard.remedy and hazard.message for hazard in judge(Evidence(replace(PAIR, **changes), ALL, ALL)))


@pytest.mark.parametrize(
    ("traces", "code", "for_check", "for_repair"),
    [
        (Traces(skip_counter=1), "skipped_events", WARNING, WARNING),
        (Traces(skipped_errors=7), "skipped_events", WARNING, WARNING),
        (Traces(unsafe_tables=("shop.log",)), "non_transactional_tables", INFO, INFO),
        (Traces(crash_unsafe=("sync_binlog=0",)), "not_crash_safe", INFO, INFO),
        (Traces(shadow_obstacles=("innodb_force_primary_key=ON",)), "shadow_refused", None, BLOCKER),
    ],
)
def test_each_trace(traces, code, for_check, for_repair):
    for role in ("source", "target"):
        assert traced(repair=False, **{role: traces}) == ({code: for_check} if for_check else {})
        assert traced(repair=True, **{role: traces}) == {code: for_repair}


def test_an_applier_that_wants_keys_stops_on_statements_only():
    for careful in ({"target_traces": Traces(safe_updates=True)}, {"safe_updates_below": (Replica(7, "db7", 3306),)}):
        for wanted, codes in (
            ({"repair": True}, ["safe_updates"]),
            ({"repair": True, "method": "row", "source_writes": ("INSERT",)}, ["safe_updates"]),
            ({"repair": True, "method": "row"}, []),
            ({"repair": False}, []),
        ):
            assert [hazard.code for hazard in judge(Evidence(PAIR, ALL, ALL, **careful, **wanted))] == codes, wanted
    assert not judge(Evidence(PAIR, ALL, ALL, repair=True, source_traces=Traces(safe_updates=True)))


def test_evidence_makes_statement_logging_a_warning():
    changes = {"source": BY_STATEMENT, "target": replace(TARGET, binlog_format="STATEMENT")}
    for traces, told in (
        (Traces(unsafe_statements=3), "warned of 3 such statements"),
        (Traces(unsafe_code=("shop.tr",)), "shop.tr"),
    ):
        evidence = Evidence(replace(PAIR, **changes), ALL, ALL, source_traces=traces)
        first, second = judge(evidence)
        assert (first.code, first.severity, second.severity) == ("statement_logging", WARNING, INFO)
        assert told in first.message


def test_a_server_that_logs_no_statements_blocks_a_repair_only():
    refused = Evidence(PAIR, ALL, ALL, repair=True, logging_refused="Unknown system variable 'binlog_format'")
    (hazard,) = judge(refused)
    assert (hazard.code, hazard.severity, hazard.server) == ("statement_logging_refused", BLOCKER, "source")
    assert "Unknown system variable 'binlog_format'" in hazard.message
    assert judge(replace(refused, repair=False)) == ()
    # Where a right is known to be missing, that is said, once.
    data = "SELECT, TRIGGER, CREATE TEMPORARY TABLES, CREATE, INSERT"
    few = parse("`m`@`%`", [f"GRANT {data}, PROCESS, REPLICATION CLIENT, SLAVE MONITOR ON *.* TO `m`@`%`"])
    service = replace(PAIR, source=replace(SOURCE, managed_by="Amazon RDS"))
    hazards = judge(replace(refused, pair=service, source_grants=few))
    assert [hazard.code for hazard in hazards] == ["missing_grant_repair", "managed_service"]
    assert "Amazon RDS may let nobody have them" in hazards[0].message


def test_what_remains_is_told_only_of_drift_that_nothing_explains():
    (hazard,) = unexplained((), drift=True)
    assert (hazard.code, hazard.severity) == ("unlogged_change", INFO)
    assert "sql_log_bin=0" in hazard.message
    assert unexplained((), drift=False) == ()
    assert unexplained(judge(Evidence(replace(PAIR, target=replace(TARGET, skip_errors="1062")), ALL, ALL)), drift=True) == ()
    harmless = judge(Evidence(replace(PAIR, target=replace(TARGET, sql_mode="ANSI_QUOTES")), ALL, ALL))
    assert len(unexplained(harmless, drift=True)) == 1


def test_what_a_plain_source_skipped_is_not_told():
    assert traced(repair=False, source=Traces(skip_counter=1), reverse=None) == {}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (ApplierRules(), {}),
        (ApplierRules(row_format_only=True), {"row_format_required": BLOCKER}),
        (ApplierRules(checked_account="`u`@`h`"), {"row_format_required": BLOCKER}),
        (ApplierRules(row_format_only=None), {"row_format_unknown": WARNING}),
    ],
)
def test_channels_that_take_no_statements(rules, expected):
    assert found(repair=False, applier=rules) == {}
    assert found(repair=True, applier=rules) == expected


@pytest.mark.parametrize(
    ("wanted", "severity", "says"),
    [
        ({"method": "row"}, INFO, "all tables are repaired by row changes"),
        ({"allow_triggers": True}, INFO, "all tables are repaired by row changes"),
        ({}, BLOCKER, "a repair is logged as statements"),
        ({"method": "shadow", "allow_triggers": True}, BLOCKER, "a repair is logged as statements"),
        ({"method": "row", "source_writes": ("INSERT",)}, BLOCKER, "rows for the source are logged as statements"),
    ],
)
def test_a_channel_for_rows_alone_lets_rows_through(wanted, severity, says):
    pair = replace(PAIR, applier=ApplierRules(row_format_only=True))
    (hazard,) = (each for each in judge(Evidence(pair, ALL, ALL, repair=True, **wanted)) if each.code == "row_format_required")
    assert hazard.severity == severity
    assert says in hazard.message
    assert ("method: row" in hazard.remedy) == (severity == BLOCKER and "source_writes" not in wanted)


def test_what_an_account_may_apply_is_not_known_of_rows_either():
    pair = replace(PAIR, applier=ApplierRules(row_format_only=True, checked_account="`u`@`h`"))
    (hazard,) = judge(Evidence(pair, ALL, ALL, repair=True, method="row"))
    assert (hazard.code, hazard.severity) == ("row_format_required", BLOCKER)
    assert "REQUIRE_ROW_FORMAT=0, PRIVILEGE_CHECKS_USER=NULL" in hazard.remedy


def test_a_sibling_that_takes_rows_alone_is_not_stopped_by_statements():
    sibling = Replica(3, "c", 3306)
    for rules, wanted, severity in (
        (ApplierRules(row_format_only=True), {}, BLOCKER),
        (ApplierRules(row_format_only=True), {"method": "row", "source_writes": ("INSERT",)}, BLOCKER),
        (ApplierRules(row_format_only=True), {"method": "row"}, INFO),
        (ApplierRules(row_format_only=True), {"allow_triggers": True}, INFO),
        (ApplierRules(row_format_only=True, checked_account="`u`@`h`"), {"method": "row"}, BLOCKER),
    ):
        seen = judge(Evidence(PAIR, ALL, ALL, repair=True, row_only_siblings=((sibling, rules),), **wanted))
        (hazard,) = (each for each in seen if each.code == "row_format_required")
        assert hazard.severity == severity, wanted
        assert "c:3306" in hazard.message


def test_the_remedy_for_a_channel_names_it():
    changes = {"applier": ApplierRules(row_format_only=True), "forward": replace(FORWARD, channel="east")}
    (hazard,) = judge(Evidence(replace(PAIR, **changes), ALL, ALL, repair=True))
    assert hazard.remedy.endswith(
        "STOP REPLICA FOR CHANNEL 'east'; CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT=0 FOR CHANNEL 'east'; "
        "START REPLICA FOR CHANNEL 'east'"
    )


def test_with_gtids_a_long_loop_can_be_compared():
    mysql = {"flavor": "mysql", "version": "9.7.4", "gtid_mode": "ON"}
    servers = {"source": replace(SOURCE, **mysql), "target": replace(TARGET, **mysql)}
    assert found(repair=False, detour="C lies between", **servers) == {"long_loop": INFO}
    assert found(repair=True, detour="C lies between", **servers) == {"long_loop": BLOCKER}


def test_a_third_server_above_both():
    third = replace(FORWARD, source_server_id=9)
    changes = {"source_upstreams": (third,), "target_upstreams": (third,)}
    assert found(named=True, **changes)["shared_upstream"] == BLOCKER
    assert found(named=True, repair=False, **changes)["shared_upstream"] == WARNING
    apart = {**changes, "target_upstreams": (replace(third, source_server_id=8),)}
    assert "shared_upstream" not in found(named=True, **apart)


def test_a_server_that_shows_the_past_is_not_compared():
    past = replace(TARGET, as_of="2001-01-01 00:00:00.000000")
    assert found(repair=False, target=past)["shows_the_past"] == BLOCKER
    assert "shows_the_past" not in found(repair=False)
