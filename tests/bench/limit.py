# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The limits: the least that a comparison, and the refill of a lost table, can cost.

A comparison: one full-scan query on both servers at once. The hash is the very expression that our own check uses, over
the whole table, without chunks, without buckets, without a look at what differs.

A refill: a loop that reads 500 rows under a lock and logs them as one REPLACE, with the very literals that our own repair
writes; without a check before, a journal, a look at the target, links or unique values, or a verification afterwards.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import codec, fingerprint, rewrite, shadow
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


_ROWS_AT_ONCE = 500


def bare_loop(pair: Topology, database: str, table_name: str, pace: int | None = None) -> float:
    """Seconds until `b`, whose table is empty, has all rows of `a` and has applied them; needs a key of one column.

    *pace*: rows a second, at most.
    """
    started, done = time.monotonic(), 0
    with _session(pair.a, "source") as lock, _session(pair.a, "source") as log:
        (found,) = select(lock, log, Selection(tables=(f"{database}.{table_name}",)))
        table = found.source
        if table is None or table.key is None:
            raise ValueError(f"{found.name} has no key, or is not there")
        space = KeySpace(table, table.key)
        (key,) = space.columns
        packet = rewrite.largest_packet(log)
        columns = ", ".join(codec.read_expression(column) for column in table.stored_columns)
        shadow.prepare(log)
        with shadow.Shadow(log, table) as hidden:
            after = KeyRange()
            while True:
                lock.begin()
                rows = lock.rows(
                    f"SELECT {columns} FROM {table.name.sql} WHERE {space.within(after)}"
                    f" ORDER BY {key.sql} LIMIT {_ROWS_AT_ONCE} {lock.dialect.share_lock}"
                )
                if rows:
                    hidden.log(rewrite.replaces(table, rows, packet))
                    after = KeyRange(space.key_of(rows[-1]))
                lock.commit()
                if not rows:
                    break
                done += len(rows)
                if pace:
                    time.sleep(max(0.0, done / pace - (time.monotonic() - started)))
    pair.wait(600)
    return time.monotonic() - started


def _session(server: Server, role: str) -> Session:
    login = Endpoint(host=server.host, port=server.port, user="root", password=server.root_password)
    return connect(login, role)
