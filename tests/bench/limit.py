# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limit: the least a comparison can cost, one full-scan query on both servers at once.

The hash is the very expression that our own check uses, over the whole table, without chunks,
without buckets, without a look at what differs.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fingerprint
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import (
    KeyRange,
    KeySpace,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Selection
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.selection import select
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import (
    Endpoint,
    Session,
    connect,
)
from sandbox import Server, Topology


def full_scan(pair: Topology, database: str) -> float:
    """Seconds until both servers have hashed every row of a database."""
    with _session(pair.a, "source") as source, _session(pair.b, "target") as target:
        found = select(source, target, Selection(databases=(database,)))
        prints = []
        for selected in found:
            table = selected.source
            if table is None or table.key is None:
                raise ValueError(f"{selected.name} has no key, or is not there")
            space = KeySpace(table, table.key)
            prints.append(fingerprint.choose(space, source.dialect, target.dialect, Selection()))

        def scan(session: Session) -> None:
            for one in prints:
                one.scan(session, KeyRange(), 1)

        with ThreadPoolExecutor(max_workers=2) as pool:
            started = time.monotonic()
            list(pool.map(scan, (source, target)))
            return time.monotonic() - started


def _session(server: Server, role: str) -> Session:
    login = Endpoint(host=server.host, port=server.port, user="root", password=server.root_password)
    return connect(login, role)
