# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas below the two: what must hold of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .hands import Image, difference, only
from .stage import Stage, mode, mode_variable


class Below:
    """The replicas of a stage, as they are before a run."""

    def __init__(self, stage: Stage, database: str) -> None:
        self._stage, self._database = stage, database
        self._before = self._images()

    def _images(self) -> dict[str, Image]:
        return {name: self._stage.hands.image(name, self._database) for name in self._stage.below}

    def leave_lenient(self) -> None:
        """As a run that was killed would have left them."""
        for name in self._stage.below:
            server = self._stage.pair.servers[name]
            server.execute(f"SET GLOBAL {mode_variable(server)} = 'IDEMPOTENT'")

    def put_back(self, hold: Callable[..., None], written: bool) -> None:
        """Those of the target are strict again, if a run has ``written`` and they log row changes; then all are."""
        for name, of in self._stage.below.items():
            server = self._stage.pair.servers[name]
            made_strict = written and of == "b" and self._stage.pair.binlog_format != "STATEMENT"
            hold(not made_strict or mode(server) == "STRICT", f"{name} is STRICT again, which somebody had left IDEMPOTENT")
            server.execute(f"SET GLOBAL {mode_variable(server)} = 'STRICT'")

    def unchanged(self, hold: Callable[..., None], what: str) -> None:
        """They are as they were."""
        for name, now in self._images().items():
            hold(now == self._before[name], f"{what} leaves {name} as it is", partial(difference, self._before[name], now))

    def follow(self, hold: Callable[..., None], before: Image, now: Image) -> None:
        """What was equal to the source is equal again, after an undo."""
        for name, image in self._images().items():
            for table in image.keys() & before.keys() & now.keys():
                if self._before[name][table] == before[table]:
                    wrong = difference({table: now[table]}, {table: image[table]})
                    hold(not wrong, f"{name}, below {self._stage.below[name]}, follows an undo", wrong)

    def judge(self, hold: Callable[..., None], a0: Image, b0: Image, a1: Image, repaired: set[str]) -> None:
        """What is repaired is equal on them too, where they had what one of the two had; else nothing new comes up."""
        for name, now in self._images().items():
            for table in now.keys() & a0.keys() & b0.keys():
                was = self._before[name][table]
                strange = only(list(set(now[table])), [*was, *a0[table], *b0[table]])
                hold(not strange, f"{name}.{table} has rows of the others only", strange)
                if table in repaired and was in (a0[table], b0[table]):
                    wrong = difference({table: a1[table]}, {table: now[table]})
                    hold(not wrong, f"{name}, below {self._stage.below[name]}, is equal to the source", wrong)
