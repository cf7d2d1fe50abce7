# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must become of a target that has died with the tool: it goes on, with the next run or by what that says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from sandbox import ReplicationBroken

from .after import AT_ROWS
from .stage import Stage, Tally, mode

# Seconds until the source reads from the target again.
_RECONNECTS = 20


def take_up(stage: Stage, tally: Tally, run: Callable[[], Any]) -> None:
    """Have the target go on where it has stopped. ``run``: a repair."""
    source = stage.pair.a
    deadline = time.monotonic() + _RECONNECTS
    while source.replica_status().get("Replica_IO_Running") != "Yes" and time.monotonic() < deadline:
        time.sleep(0.1)
    try:
        stage.pair.wait(60)
    except ReplicationBroken:
        _have_it_go_on(stage, tally, run)


def _have_it_go_on(stage: Stage, tally: Tally, run: Callable[[], Any]) -> None:
    target = stage.pair.b
    status = target.replica_status()
    tally.hold(status.get("Last_SQL_Errno") in AT_ROWS, "nothing but rows stops a target that died with the tool", status)
    try:
        run()
    except Refusal as refusal:
        told = str(refusal)
        tally.hold("SET GLOBAL" in told, "of a target that stopped is told how to have it go on", refusal)
        tally.refused["told how to go on"] += 1
        lenient, start, *_strict = told[told.index("SET GLOBAL") :].split("; ")
        target.execute([lenient, start])
        stage.pair.wait(60)
        target.execute(lenient.replace("IDEMPOTENT", "STRICT"))
    else:
        tally.refused["went on"] += 1
    tally.hold(mode(target) == "STRICT", "a target that died with the tool is STRICT in the end")
