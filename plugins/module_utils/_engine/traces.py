# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What on one server explains drift, or would break a repair, beyond what it says of itself in facts."""

from __future__ import annotations

from dataclasses import dataclass

from . import sqltext
from .dialect import SYSTEM_DATABASES
from .errors import AccessDenied
from .session import Row, Session

_VARIABLES = (
    "sql_slave_skip_counter", "sql_replica_skip_counter", "sync_binlog", "innodb_flush_log_at_trx_commit",
    "innodb_force_primary_key", "enforce_storage_engine", "sql_safe_updates",
)  # fmt: skip

# Names are for a person to read; a server may have very many.
_TABLES_SHOWN = 50

_SYSTEM = ", ".join(sqltext.string(name) for name in sorted(SYSTEM_DATABASES))

# ER_BINLOG_UNSAFE_STATEMENT, and functions that are unsafe in a logged statement
# (https://dev.mysql.com/doc/refman/8.4/en/replication-rbr-safe-unsafe.html).
_UNSAFE_STATEMENT = 1592
_UNSAFE_CALLS = (
    "uuid",
    "uuid_short",
    "sysdate",
    "rand",
    "load_file",
    "get_lock",
    "row_count",
    "found_rows",
    "user",
    "version",
    "sleep",
)


@dataclass(frozen=True)
class Traces:
    """``shadow_obstacles`` and ``crash_unsafe`` are settings as ``name=value``; ``unsafe_tables``: ``db.table``, not all.

    ``skipped_errors``: replication errors passed over since the server started, where it counts them (MariaDB).
    ``unsafe_statements``: how often since then the server has warned that a logged statement may not have the same effect
    everywhere, where it counts that and the account may see it (MySQL 8.0). ``unsafe_code``: triggers and routines whose
    text calls what differs from server to server, not all. ``safe_updates``: new sessions, an applier's too, refuse a DELETE
    or UPDATE for which they use no key.
    """

    skip_counter: int = 0
    skipped_errors: int = 0
    shadow_obstacles: tuple[str, ...] = ()
    crash_unsafe: tuple[str, ...] = ()
    unsafe_tables: tuple[str, ...] = ()
    unsafe_statements: int = 0
    unsafe_code: tuple[str, ...] = ()
    safe_updates: bool = False


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
        unsafe_statements=_unsafe_statements(session) if session.dialect.counts_warnings else 0,
        unsafe_code=_unsafe_code(session) if with_tables else (),
        safe_updates=found.get("sql_safe_updates", "OFF") == "ON",
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
    rows = session.rows(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE ENGINE IN ('MyISAM', 'Aria', 'MEMORY', 'CSV')"
        f" AND TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN ({_SYSTEM}) ORDER BY 1, 2 LIMIT {_TABLES_SHOWN}"
    )
    return _names(rows)


def _unsafe_statements(session: Session) -> int:
    try:
        found = session.scalar(
            "SELECT SUM_ERROR_RAISED FROM performance_schema.events_errors_summary_global_by_error"
            f" WHERE ERROR_NUMBER = {_UNSAFE_STATEMENT}"
        )
    except AccessDenied:
        return 0
    return int(found or 0)


def _unsafe_code(session: Session) -> tuple[str, ...]:
    """Triggers and routines by what their text calls; texts that the account may not see are empty."""
    pattern = sqltext.string(r"(^|[^a-z_.])(" + "|".join(_UNSAFE_CALLS) + r")[[:space:]]*[(]")
    return _names(
        session.rows(
            "SELECT TRIGGER_SCHEMA, TRIGGER_NAME FROM information_schema.TRIGGERS"
            f" WHERE LOWER(ACTION_STATEMENT) REGEXP {pattern} AND TRIGGER_SCHEMA NOT IN ({_SYSTEM})"
            " UNION ALL SELECT ROUTINE_SCHEMA, ROUTINE_NAME FROM information_schema.ROUTINES"
            f" WHERE LOWER(ROUTINE_DEFINITION) REGEXP {pattern} AND ROUTINE_SCHEMA NOT IN ({_SYSTEM})"
            f" ORDER BY 1, 2 LIMIT {_TABLES_SHOWN}"
        )
    )


def _names(rows: list[Row]) -> tuple[str, ...]:
    return tuple(".".join((part or b"").decode("utf-8", "replace") for part in row) for row in rows)
