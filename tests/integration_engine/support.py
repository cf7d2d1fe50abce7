# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tests of operations share: how to call them, whole tables as raw bytes, the documented accounts.

Nothing here uses the engine to look at data: the oracle is independent of what it judges.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import Server, Topology

PASSWORD = "s3cret-Repair-Pass"

#: The documented minimal rights (README): on the data, and on *.*.
CHECK_GRANTS = {
    "mysql": (["SELECT", "TRIGGER"], ["REPLICATION CLIENT", "PROCESS"]),
    "mariadb": (["SELECT", "TRIGGER"], ["BINLOG MONITOR", "SLAVE MONITOR", "PROCESS"]),
}
REPAIR_GRANTS = {
    "mysql": (
        ["SELECT", "TRIGGER", "CREATE TEMPORARY TABLES"],
        ["REPLICATION CLIENT", "PROCESS", "SESSION_VARIABLES_ADMIN"],
    ),
    "mariadb": (
        ["SELECT", "TRIGGER", "CREATE TEMPORARY TABLES", "CREATE", "INSERT"],
        ["BINLOG MONITOR", "SLAVE MONITOR", "PROCESS", "BINLOG ADMIN"],
    ),
}


def servers(pair: Topology, user: str = "root", password: str | None = None, **more: Any) -> options.Servers:
    """The pair as the engine takes it: logged in to the target (b), the source to be found from there."""
    login = Endpoint(host=pair.b.host, port=pair.b.port, user=user, password=password or pair.b.root_password)
    return options.Servers(target=login, **more)


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Return once a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "gave up waiting"
        time.sleep(0.05)


def attached(upstream: Server) -> int:
    """How many replicas a server knows of; of one that is gone it knows a moment longer."""
    return len(upstream.query("SHOW SLAVE HOSTS" if upstream.family == "mariadb" else "SHOW REPLICAS"))


def until_behind(replica: Server, seconds: int) -> None:
    """Return once a replica lags more than that by its own count, which errs by a second."""
    until(lambda: (replica.replica_status()["Seconds_Behind_Source"] or 0) > seconds)


@contextmanager
def account(pair: Topology, data: list[str], everywhere: list[str], database: str) -> Iterator[str]:
    """An account with just these rights, on both servers; gone afterwards."""
    name = f"u_{database}"
    with_password = f"'{name}'@'%' IDENTIFIED BY '{PASSWORD}'"
    statements = [f"CREATE USER {with_password}"]
    if data:
        statements.append(f"GRANT {', '.join(data)} ON `{database}`.* TO '{name}'@'%'")
    statements += [f"GRANT {right} ON *.* TO '{name}'@'%'" for right in everywhere]
    pair.a.execute(statements)
    pair.wait()
    try:
        yield name
    finally:
        pair.a.execute(f"DROP USER '{name}'@'%'")
        pair.wait()


@contextmanager
def repair_account(pair: Topology, database: str) -> Iterator[str]:
    """The documented account for repairs."""
    with account(pair, *REPAIR_GRANTS[pair.b.flavor.split("-")[0]], database=database) as name:
        yield name


def image(server: Server, database: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a database, as the bytes stored, floats as doubles, in a stable order."""
    found = {}
    with closing(server.connect(database=database, use_unicode=False, conv={})) as connection:
        cursor = connection.cursor()
        cursor.execute("SET character_set_results = NULL, time_zone = '+00:00', sql_mode = ''")
        cursor.execute(
            "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.COLUMNS"
            f" WHERE TABLE_SCHEMA = '{database}' ORDER BY TABLE_NAME, ORDINAL_POSITION"
        )
        columns: dict[str, list[str]] = {}
        for table, column, kind in cursor.fetchall():
            quoted = "`" + column.decode().replace("`", "``") + "`"
            exact = {
                b"float": f"{quoted} * 1e0",
                b"enum": f"{quoted} + 0",
                b"set": f"{quoted} + 0",
                b"bit": f"{quoted} + 0",
            }
            columns.setdefault(table.decode(), []).append(exact.get(kind, quoted))
        for table, expressions in columns.items():
            quoted = "`" + table.replace("`", "``") + "`"
            cursor.execute(f"SELECT {', '.join(expressions)} FROM {quoted}")
            found[table] = sorted(cursor.fetchall(), key=repr)
    return found


def assert_repaired(pair: Topology, database: str, good: dict[str, list[tuple[Any, ...]]]) -> None:
    """The source is as it was, the target equals it byte for byte, both links run."""
    pair.wait()
    assert image(pair.a, database) == good, "the good copy was changed"
    assert image(pair.b, database) == good, "the target does not equal the source"
    assert pair.links_healthy()
