# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real MySQL and MariaDB servers on loopback, as co-masters, replicas or chains: for demo, tests
and benchmarks.

    with co_masters("mariadb-10.11") as pair:
        pair.a.execute("CREATE DATABASE shop")
        pair.wait()
        pair.b.execute("DROP DATABASE shop", logged=False)   # drift

Needs Debian (packages are fetched, never installed) and PyMySQL; nothing runs or stays after the
process.
"""

from __future__ import annotations

from .apt import PackageUnavailable
from .errors import ReplicationBroken, ReplicationTimeout, SandboxError, ServerFailed
from .link import Link
from .packages import FLAVORS
from .process import temporary
from .server import Server
from .template import REPL_PASSWORD, REPL_USER, ROOT_PASSWORD
from .topology import Topology, chain, co_masters, two_makes

__all__ = [
    "FLAVORS",
    "REPL_PASSWORD",
    "REPL_USER",
    "ROOT_PASSWORD",
    "Link",
    "PackageUnavailable",
    "ReplicationBroken",
    "ReplicationTimeout",
    "SandboxError",
    "Server",
    "ServerFailed",
    "Topology",
    "chain",
    "co_masters",
    "temporary",
    "two_makes",
]
