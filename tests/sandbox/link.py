# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One direction of replication: is it well, and has it applied everything?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import ReplicationBroken, ReplicationTimeout

if TYPE_CHECKING:
    from .server import Server

_SLICE = 1
"""Seconds to wait inside the replica before looking again whether the link still runs."""


@dataclass(frozen=True)
class Position:
    """How far a source has written: a place in its binary log, and MySQL's GTID set."""

    file: str
    offset: int
    gtid_set: str | None


@dataclass(frozen=True)
class Link:
    """A *replica* that reads from a *source* over a *channel* ('' is the default one)."""

    source: Server
    replica: Server
    channel: str = ""

    def __str__(self) -> str:
        return f"{self.source.name}->{self.replica.name}" + (f" ({self.channel})" if self.channel else "")

    def healthy(self) -> bool:
        """Tell whether both threads run without an error."""
        status = self.replica.replica_status(self.channel)
        running = all(status.get(f"Replica_{thread}_Running") == "Yes" for thread in ("IO", "SQL"))
        return running and not self._errors(status)

    @staticmethod
    def _errors(status: dict[str, object]) -> str:
        return "; ".join(
            f"{status[f'Last_{thread}_Errno']}: {status[f'Last_{thread}_Error']}"
            for thread in ("IO", "SQL")
            if status.get(f"Last_{thread}_Errno")
        )

    def source_position(self) -> Position:
        """Return how far the source has written now."""
        gtid_set = None
        if self.source.family == "mysql" and self.source.gtid:
            gtid_set = self.source.watch("SELECT @@GLOBAL.gtid_executed AS done")[0]["done"].replace("\n", "")
        return Position(*self.source.binlog_position(), gtid_set)

    def wait(self, target: Position, deadline: float) -> None:
        """Return when the replica has applied everything up to *target* and both its threads run.

        *deadline* is a time.monotonic() value. Raises ReplicationBroken when the link has stopped,
        ReplicationTimeout when it does not get there in time.
        """
        while not (self._reached(target) and self.healthy()):
            status = self.replica.replica_status(self.channel)
            threads = [status.get(f"Replica_{thread}_Running") for thread in ("IO", "SQL")]
            if "No" in threads or None in threads or status.get("Last_SQL_Errno"):
                words = self._errors(status) or f"threads running: IO {threads[0]}, SQL {threads[1]}"
                raise ReplicationBroken(f"{self} is broken: {words}")
            if time.monotonic() > deadline:
                words = self._errors(status) or f"IO {threads[0]}, SQL {threads[1]}"
                raise ReplicationTimeout(f"{self} has not applied {target} in time ({words})")
            time.sleep(0.02)

    def _reached(self, target: Position) -> bool:
        """Wait inside the replica for one slice; tell whether it got to *target* meanwhile."""
        if target.gtid_set is not None and self.replica.gtid:
            sql = "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s) AS answer"
            return bool(self.replica.watch(sql, (target.gtid_set, _SLICE))[0]["answer"] == 0)
        arguments = (target.file, target.offset, _SLICE, self.channel)
        answer = self.replica.watch(self.replica.words.drained, arguments)[0]["answer"]
        return answer is not None and answer >= 0  # NULL: the applier is not running, or only just starting
