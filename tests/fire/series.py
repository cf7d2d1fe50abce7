# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One attempt after the other, with seeds one after the other, until the time is over; pairs are started and thrown away."""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

from sandbox import SandboxError

from .climate import BLOCK
from .stage import Stage

#: Seconds between two looks whether the file that asks to pause is still there.
_LOOK_EVERY = 1.0


class Series:
    """Attempts on one server. ``set_up``: a stage for a seed; ``over``: whether somebody wants it to end."""

    def __init__(
        self, arguments: argparse.Namespace, until: float, set_up: Callable[[int], Stage], over: threading.Event
    ) -> None:
        self._arguments, self._until, self._set_up, self._over = arguments, until, set_up, over
        self._stage: Stage | None = None
        self._began = time.monotonic()
        self._cpu = _cpu_seconds()
        self._seed = 0
        self.done = self.failures = 0

    def __str__(self) -> str:
        took, used = time.monotonic() - self._began, _cpu_seconds() - self._cpu
        each = f"{took / max(1, self.done):.2f} s each, {used / max(1, self.done):.2f} s of CPU"
        return f"{self.failures} failed, {took:.0f} s, {each} with the servers', last seed {self._seed}"

    def attempts(self, note: Callable[[], None]) -> Iterator[tuple[int, Stage]]:
        """Seeds and where to try them. ``note``: called now and then, and at the end, to write down what was done."""
        wanted = self._arguments
        first = wanted.seed if wanted.seed is not None else int(time.time()) % 10_000_000 * 100 + wanted.job * 10**9
        block = None
        try:
            for self._seed in count(first):
                self._pause()
                if self._is_over():
                    break
                if block != self._seed // BLOCK or self._stage is None:
                    self._close()
                    note()
                    self._stage = self._start(self._seed)
                    block = self._seed // BLOCK
                self.done += 1
                yield self._seed, self._stage
        finally:
            self._close()
            note()

    def failed(self, how: str, problem: str) -> None:
        """Tell of a failure; the next attempt gets a new stage."""
        self.failures += 1
        print(f"\nFAILED  {how}\n{problem}", flush=True)
        self._close()

    def _is_over(self) -> bool:
        wanted = self._arguments
        enough = bool(wanted.count) and self.done >= wanted.count
        return enough or self.failures >= wanted.failures or self._over.is_set() or time.monotonic() >= self._until

    def _pause(self) -> None:
        while self._arguments.pause_file and os.path.exists(self._arguments.pause_file) and not self._is_over():
            self._close()  # servers that only wait for each other use a processor too
            time.sleep(_LOOK_EVERY)

    def _start(self, seed: int) -> Stage:
        try:
            return self._set_up(seed)
        except SandboxError as error:
            raise SystemExit(f"no pair can live in the climate of seed {seed}: {error}") from error

    def _close(self) -> None:
        if self._stage is not None:
            self._stage.hands.drop()
            self._stage.pair.stop()
            self._stage = None


def _cpu_seconds() -> float:
    """What this process has used of a processor, and the servers that it has ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system
