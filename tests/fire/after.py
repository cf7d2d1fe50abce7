# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas below the two after a run that was struck: each runs and is strict, or the run has said what to do about it."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pymysql

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ReplError
from sandbox import ReplicationBroken, Server

from .stage import Stage, Tally, mode, mode_variable

#: What stops a strict replica at rows that it has already, or lacks.
AT_ROWS = (1062, 1032)


class After:
    """What became of them. ``outcome``: the report or the error of the run; None: it was killed and could not say anything.

    ``unseen``: one that came when the run had looked for the last time.
    """

    def __init__(self, stage: Stage, tally: Tally, outcome: Any, unseen: Server | None = None) -> None:
        self._stage, self._tally, self._outcome, self._unseen = stage, tally, outcome, unseen
        self._servers = {name: stage.pair.servers[name] for name in stage.below}

    def _said(self, server: Server) -> str:
        """What the run has said of a server."""
        told = None if isinstance(self._outcome, ReplError) else getattr(self._outcome, "message", None)
        words = str(told or self._outcome or "")
        return words if str(server.port) in words else ""

    def settle(self) -> None:
        """Everything arrives everywhere; where a replica below has stopped, once what the run has told to do is done."""
        for _each in (*self._servers, None):
            try:
                return self._stage.pair.wait(60)
            except ReplicationBroken:
                mended = [self._mend(server) for server in self._servers.values()]
                if not any(mended):
                    raise
        return self._stage.pair.wait(60)

    def _mend(self, server: Server) -> bool:
        status = server.replica_status()
        if status.get("Last_SQL_Errno") not in AT_ROWS:
            return False
        said = self._said(server)
        wanted = (f"SET GLOBAL {mode_variable(server)} = 'IDEMPOTENT'", "START ")
        told = all(words in said for words in wanted)
        self._tally.hold(told or server is self._unseen, "of a replica that stopped is told how to mend it", self._outcome)
        with suppress(pymysql.MySQLError):
            server.stop_replica()
        server.execute(f"SET GLOBAL {mode_variable(server)} = 'IDEMPOTENT'")
        server.start_replica()
        time.sleep(0.2)
        return True

    def hold_strict(self, again: Any, somebodys: bool) -> None:
        """None is left lenient, unless the run has said so or somebody else did it, and no later run has written anything."""
        for name, server in self._servers.items():
            if mode(server) == "IDEMPOTENT":
                # A run sets only those below a target that logs row changes; the others keep what somebody gave them.
                never_set = self._stage.pair.binlog_format == "STATEMENT" or self._stage.below[name] != "b"
                unwritten = not getattr(again, "changed", False)
                excused = (somebodys and (never_set or unwritten)) or (self._said(server) and unwritten) or server is self._unseen
                self._tally.hold(excused, f"no replica is left IDEMPOTENT: {name}", self._outcome)
                server.execute(f"SET GLOBAL {mode_variable(server)} = 'STRICT'")
