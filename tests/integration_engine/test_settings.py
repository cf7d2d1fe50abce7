# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repairs on servers that are set up otherwise: isolation, GTID strictness, parallel appliers, named channels, a delay."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from integration_engine.support import assert_repaired, image, servers, until

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from sandbox.topology import Topology

FLAVORS = ("mariadb-10.11", "mysql-9")
SETTINGS = {
    "mariadb": {"gtid_strict_mode": "ON", "slave_parallel_threads": "4", "slave_parallel_mode": "optimistic"},
    "mysql": {"replica_parallel_workers": "4"},  # enforce_gtid_consistency is on in every sandbox with GTIDs
}
WORDS = {"mariadb": ("STOP ALL SLAVES", "CHANGE MASTER 'east' TO MASTER_DELAY={}", "START ALL SLAVES")}
WORDS["mysql"] = ("STOP REPLICA", "CHANGE REPLICATION SOURCE TO SOURCE_DELAY={} FOR CHANNEL 'east'", "START REPLICA")


def run(pair, undo_dir, **repair):
    """Repair database d over the channel."""
    limits = replace(options.Repair(), undo_dir=str(undo_dir), **repair)
    chosen = options.Selection(databases=("d",))
    return sync.run(servers(pair, channel="east", fence_timeout=20), chosen, options.Pace(), limits, 10, apply=True)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_pair_that_is_set_up_otherwise(tmp_path, flavor):
    family = flavor.partition("-")[0]
    settings = {"transaction_isolation": "READ-COMMITTED", **SETTINGS[family]}
    with Topology(flavor, ("a", "b"), "MIXED", options=settings) as pair:
        pair.b.replicate_from(pair.a, "east")
        pair.a.replicate_from(pair.b)
        rows = ", ".join(f"({n}, {n}, 'v{n}')" for n in range(300))
        pair.a.execute(
            [
                "CREATE DATABASE d",
                *(f"CREATE TABLE d.t{n} (id int PRIMARY KEY, u int NULL UNIQUE, v varchar(20))" for n in range(3)),
                "CREATE TABLE d.loose (a int, b int, v varchar(20))",
                *(f"INSERT INTO d.{name} VALUES {rows}" for name in ("t0", "t1", "t2", "loose")),
            ]
        )
        pair.wait()
        good = image(pair.a, "d")
        drift = [
            *(f"DELETE FROM t{n} WHERE id MOD 5 = 1" for n in range(3)),
            *(f"UPDATE t{n} SET v = 'bad', u = NULL WHERE id MOD 5 = 2" for n in range(3)),
            "INSERT INTO t1 VALUES (1000, 1, 'extra')",
            "DELETE FROM loose WHERE a MOD 7 = 1",
        ]
        for more in ({}, {"method": "row"}):
            pair.b.execute([each for each in drift if not more or "loose" not in each], database="d", logged=False)
            result = run(pair, tmp_path, batch_rows=40, **more)
            assert not result.failed, result.message
            assert_repaired(pair, "d", good)
        # Of a delay we say so at once, and wait for nothing.
        pair.b.execute("DELETE FROM t0 WHERE id = 7", database="d", logged=False)
        stop, change, start = WORDS[family]
        pair.b.execute([stop, change.format(60), start])
        began = time.monotonic()
        with pytest.raises(Refusal, match="delayed on purpose by 60 s") as refused:
            run(pair, tmp_path)
        assert refused.value.code == "delayed_link"
        assert time.monotonic() - began < 30
        pair.b.execute([stop, change.format(0), start])
        until(pair.links_healthy)  # it connects first
        assert not run(pair, tmp_path).failed
        assert_repaired(pair, "d", good)
