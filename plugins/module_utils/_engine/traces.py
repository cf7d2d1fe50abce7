# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What on one server explains drift, or would break a repair, beyond what it says of itself in facts."""

from __future__ import annotations

from dataclasses import dataclass

from . import sqltext
from .dialect import SYSTEM_DATABASES
from .session import Session

_VARIABLES = (
    "sql_slave_skip_counter", "sql_replica_skip_counter", "sync_binlog", "innodb_flush_log_at_trx_commit",
    "innodb_force_primary_key", "enforce_storage_engine",
)  # fmt: skip

# Names are for a person to read; a server may have very many.
_TABLES_SHOWN = 50


@dataclass(frozen=True)
class Traces:
    """``shadow_obstacles`` and ``crash_unsafe`` are settings as ``name=value``; ``unsafe_tables``: ``db.table``, not all.

    ``skipped_errors``: replication errors passed over since the server started, where it counts them (MariaDB).
    """

    skip_counter: int = 0
    skipped_errors: int = 0
    shadow_obstacles: tuple[str, ...] = ()
    crash_unsafe: tuple[str, ...] = ()
    unsafe_tables: tuple[str, ...] = ()


def read_traces(session: Session, with_tables: bool) -> Traces:
    """Look for traces; ``with_tables`` also goes through all tables, which takes time on servers with very many.

    No right is needed; only tables that the account may see are found. Raises ServerError.
    """
    found = {name: value or "" for name, value in session.variables(_VARIABLES).items()}
    return Traces(
        skip_counter=int(found.get("sql_slave_skip_counter") or found.get("sql_replica_skip_counter") or 0),
        skipped_errors=_skipped_errors(session) if session.dialect.is_mariadb else 0,
        shadow_obstacles=_obstacles(found) if session.dialect.is_mariadb else (),
        crash_unsafe=tuple(
            f"{name}={found[name]}" for name in ("sync_binlog", "innodb_flush_log_at_trx_commit") if found.get(name, "1") != "1"
        ),
        unsafe_tables=_unsafe_tables(session) if with_tables else (),
    )


def _obstacles(found: dict[str, str]) -> tuple[str, ...]:
    """MariaDB logs the creation of the temporary table, so the target's settings count as well as the source's (measured)."""
    obstacles = []
    if found.get("innodb_force_primary_key", "OFF") == "ON":
        obstacles.append("innodb_force_primary_key=ON")
    engine = found.get("enforce_storage_engine", "")
    if engine and engine.lower() != "innodb":
        obstacles.append(f"enforce_storage_engine={engine}")
    return tuple(obstacles)


def _skipped_errors(session: Session) -> int:
    return int(session.record("SHOW GLOBAL STATUS LIKE 'Slave_skipped_errors'").get("Value") or 0)


def _unsafe_tables(session: Session) -> tuple[str, ...]:
    system = ", ".join(sqltext.string(name) for name in sorted(SYSTEM_DATABASES))
    rows = session.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE ENGINE IN ('MyISAM', 'Aria', 'MEMORY', 'CSV')"
        f" AND TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ({system}) ORDER BY 1, 2 LIMIT {_TABLES_SHOWN}"
    )
    return tuple(f"{(row[0] or b'').decode('utf-8', 'replace')}.{(row[1] or b'').decode('utf-8', 'replace')}" for row in rows)
