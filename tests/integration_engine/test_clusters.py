# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Members of real clusters are seen and refused, each a cluster of one."""

from __future__ import annotations

import pytest
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Pace, Selection
from sandbox import PackageUnavailable, Topology, chain, packages, process


def assert_refused(pair: Topology, code: str) -> None:
    report = info.run(servers(pair))
    found = {hazard.code: hazard for hazard in report.hazards}
    assert (found[code].severity, found[code].server) == ("blocker", "target"), report.hazards
    with pytest.raises(Refusal, match="cluster") as refused:
        checksum.run(servers(pair), Selection(), Pace(), 1)
    assert refused.value.code == code


def test_a_member_of_a_galera_cluster_is_refused() -> None:
    try:
        provider = packages.addon("mariadb-10.11", "galera-4") / "lib/libgalera_smm.so"
    except PackageUnavailable as error:
        pytest.skip(str(error))
    address = f"127.0.0.1:{process.free_port()}"
    member = {
        "wsrep_on": "ON",
        "wsrep_provider": str(provider),
        "wsrep_cluster_address": "gcomm://",
        "wsrep_provider_options": f"gmcast.listen_addr=tcp://{address}",
        "wsrep_node_address": address,
        "innodb_autoinc_lock_mode": "2",
    }
    with chain("mariadb-10.11", ("a", "b"), options_by_name={"b": member}) as pair:
        assert pair.b.query("SHOW STATUS LIKE 'wsrep_ready'") == [("wsrep_ready", "ON")]
        assert_refused(pair, "galera")


def test_a_member_of_a_replication_group_is_refused() -> None:
    address = f"127.0.0.1:{process.free_port()}"
    with chain("mysql-9", ("a", "b"), options_by_name={"b": {"plugin_load_add": "group_replication.so"}}) as pair:
        assert "group_replication" not in {hazard.code for hazard in info.run(servers(pair)).hazards}
        pair.b.execute(
            [
                "SET GLOBAL group_replication_group_name = UUID()",
                f"SET GLOBAL group_replication_local_address = '{address}'",
                "SET GLOBAL group_replication_bootstrap_group = ON",
                "START GROUP_REPLICATION",
            ]
        )
        assert pair.b.query("SELECT MEMBER_STATE FROM performance_schema.replication_group_members") == [("ONLINE",)]
        assert_refused(pair, "group_replication")
