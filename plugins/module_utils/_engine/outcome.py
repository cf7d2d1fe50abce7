# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the repair of one table tells."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ReplError
from .session import Row


@dataclass(frozen=True)
class Skipped:
    """A row that was left as it is.

    ``reason``: unique_collision, check_constraint, triggers, max_deletes or keeps_changing.
    """

    key: Row
    reason: str
    message: str


@dataclass(frozen=True)
class TableRepair:
    """What was done to one table of the target.

    ``verified``: every row of the plan was seen equal on both servers, replication drained. ``unverified`` lists keys
    that were not. ``stopped``: what ended the repair before its end; the counts tell what had been logged until then.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    skipped: tuple[Skipped, ...] = ()
    statements: tuple[str, ...] = ()
    verified: bool = False
    unverified: tuple[Row, ...] = ()
    stopped: ReplError | None = None
