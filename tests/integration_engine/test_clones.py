# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A clone of the source, with its server_id and uuid, behind the address that was given for it."""

from __future__ import annotations

import shutil

import pytest
from integration_engine.support import servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import SourceLogin
from sandbox import Server, Topology


def _clone(pair: Topology) -> Server:
    """A third server that says of itself what the source says, and has more binary log than it."""
    clone = Server("c", pair.a.flavor, pair.a.server_id, pair.gtid)
    try:
        clone.start()
        if clone.family == "mysql":
            clone.stop()
            shutil.copy(pair.a.datadir / "auto.cnf", clone.datadir / "auto.cnf")
            clone.start()
        _write(clone, pair.a)
    except BaseException:
        clone.discard()
        raise
    return clone


def _write(clone: Server, model: Server) -> None:
    """Let the clone's binary log grow beyond the other's, in a file of the same number."""
    model.execute("FLUSH BINARY LOGS")  # what other tests have logged need not be outdone
    while clone.binlog_position()[0] < model.binlog_position()[0]:
        clone.execute("FLUSH BINARY LOGS")
    clone.execute(["CREATE DATABASE big", "CREATE TABLE big.t (v LONGBLOB)"])
    while clone.binlog_position() <= model.binlog_position():
        clone.execute("INSERT INTO big.t VALUES (REPEAT('x', 1000000))")


@pytest.mark.parametrize("flavor", ["mariadb-10.11", "mysql-9"])
def test_a_clone_of_the_source_is_not_the_source(pairs, flavor: str) -> None:
    pair: Topology = pairs(flavor)
    clone = _clone(pair)
    try:
        told = info.run(servers(pair, source=SourceLogin(host=clone.host, port=clone.port)))
        assert told.source is None
        assert [hazard.code for hazard in told.hazards] == ["wrong_source"]
        assert "clone" in told.hazards[0].message
        assert "'source'" in told.hazards[0].remedy
        assert info.run(servers(pair)).source is not None, "the real one is known as before"
    finally:
        clone.discard()
