# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which loops are seen, and what is taken for one when nothing can be known."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import rings
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import detect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.facts import Replica, ServerFacts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import Link

C = Link("", "c", 3306, 3, "uuid-c", io_running=True, sql_running=True)
BELOW = Replica(7, "d", 3306, "uuid-d")


class FakeSession:
    def __init__(self, dialect, gtids):
        self.dialect, self.gtids = dialect, gtids

    def scalar(self, sql):
        return self.gtids


def detour(replicas, flavor="mysql", source="", target="", gtid_mode="ON", upstreams=(C,)):
    dialect = detect("9.7.4" if flavor == "mysql" else "10.11.19-MariaDB", "")
    facts = ServerFacts(
        "target", "b", 3306, flavor, dialect.version_text, 2, "uuid-b" if flavor == "mysql" else None, gtid_mode=gtid_mode
    )
    return rings.detour(FakeSession(dialect, source), FakeSession(dialect, target), facts, replicas, upstreams)


def test_a_source_without_upstream_is_in_no_loop():
    assert detour((BELOW,), source="uuid-b:1-5", upstreams=()) == ""


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
def test_the_server_between_is_seen(flavor):
    assert "c:3306 (server_id 3)" in detour((Replica(3, "c", 3306),), flavor)
    assert detour((BELOW,), flavor) == ""
    assert detour((Replica(3, "c", 3306, "uuid-of-another"),), flavor) == ""


@pytest.mark.parametrize(
    ("replicas", "source", "target", "expected"),
    [
        ((BELOW,), "0-1-7,0-2-5", "0-2-5", True),  # longer: by c and d
        ((), "0-1-7,0-2-5", "0-2-5", False),  # everything is there, and there is no way any more
        ((), "0-1-7,0-2-5", "0-2-6", True),  # the way is interrupted
        ((), "0-1-7", "0-2-6", False),  # nothing ever came: written on a plain replica
        (None, "0-1-7,0-2-5", "0-2-5", True),
    ],
)
def test_what_mariadb_remembers(replicas, source, target, expected):
    assert bool(detour(replicas, "mariadb", source, target)) is expected


@pytest.mark.parametrize(
    ("replicas", "gtid_mode", "source", "expected"),
    [
        ((), "ON", "uuid-a:1-5,\nuuid-b:1", True),
        ((BELOW,), "ON", "uuid-a:1-5", False),
        ((BELOW,), "OFF", "", True),  # no record: it may be
        (None, "OFF_PERMISSIVE", "", True),
        ((), "OFF", "", False),
    ],
)
def test_what_mysql_remembers(replicas, gtid_mode, source, expected):
    assert bool(detour(replicas, "mysql", source, gtid_mode=gtid_mode)) is expected
