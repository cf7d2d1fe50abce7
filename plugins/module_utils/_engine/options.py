# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the user asked for, as plain immutable values. Field names are option names."""

from __future__ import annotations

from dataclasses import dataclass, field

from .session import Endpoint


@dataclass(frozen=True)
class SourceLogin:
    """What the user said of the source; None: found from the target or inherited from its login."""

    host: str | None = None
    port: int | None = None
    unix_socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connect_timeout: int | None = None
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    check_hostname: bool | None = None

    @property
    def is_named(self) -> bool:
        """Whether the user gave the source's address instead of leaving it to be found."""
        return bool(self.host or self.unix_socket)


@dataclass(frozen=True)
class Servers:
    """The pair: how to reach the target, what is known of the source, and which channel joins them.

    ``channel``: None: the only one; empty: the nameless one.
    ``fence_timeout``: seconds to wait for replication to drain, each time.
    """

    target: Endpoint
    source: SourceLogin = SourceLogin()
    channel: str | None = None
    fence_timeout: float = 60.0


@dataclass(frozen=True)
class Selection:
    """Which tables: names are ``db`` and ``db.table``, with the globs ``*`` and ``?``; empty: all.

    ``where`` is an SQL condition that limits the rows compared; ``ignore_columns`` (``column``,
    ``table.column`` or ``db.table.column``) are left out of the comparison. ``float_precision``: decimals
    to which FLOAT and DOUBLE are rounded before they are compared; None: they are compared bit by bit.
    """

    databases: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
    ignore_databases: tuple[str, ...] = ()
    ignore_tables: tuple[str, ...] = ()
    ignore_columns: tuple[str, ...] = ()
    where: str | None = None
    float_precision: int | None = None


@dataclass(frozen=True)
class Pace:
    """How hard to work, and when to hold back.

    ``workers``: chunks in parallel on each server; ``chunk_time``: seconds one chunk should take. Work
    waits while a link between the two lags more than ``max_lag`` seconds, while a server runs more than
    ``max_threads_running`` statements, and while the file ``pause_file`` exists. After ``max_runtime``
    seconds no new work is begun. ``state_file``: where a check notes how far it is, to go on from there.
    """

    workers: int = 1
    chunk_time: float = 0.5
    max_lag: float | None = None
    max_threads_running: int | None = None
    max_runtime: float | None = None
    pause_file: str | None = None
    state_file: str = ""


@dataclass(frozen=True)
class Repair:
    """Whose rows are kept, how far a repair may go, where its journal is kept, what becomes of replicas below the target.

    ``conflict_column`` tells with ``conflict: newest`` which copy is newer (policy.py).
    """

    extra_rows: str = "delete"  # delete | keep | adopt
    conflict: str = "source"  # source | newest | skip
    conflict_column: str = ""
    max_changes: int = 10000
    max_deletes: int = 1000
    batch_rows: int = 2000
    undo_dir: str = ""
    downstream: str = "refuse"  # refuse | idempotent
    method: str = "auto"  # auto | shadow | row
    allow_triggers: bool = False
