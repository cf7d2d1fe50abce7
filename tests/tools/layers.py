# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets, all of them whatever fails, and close with what passed.

    layers.py lint,units package,engine

Targets joined by commas run one after the other, such lanes beside each other: the tests on
real servers mostly wait, the rest mostly computes. What a target prints comes in one piece,
when it has ended.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

_printing = Lock()


@dataclass(frozen=True)
class Result:
    layer: str
    passed: bool
    seconds: float

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.layer:16} {self.seconds:6.1f} s"


def main(lanes: list[str]) -> int:
    with ThreadPoolExecutor(len(lanes)) as pool:
        done = [result for lane in pool.map(run_lane, lanes) for result in lane]
    print("\n== summary", *done, sep="\n")
    passed = sum(result.passed for result in done)
    print(f"layers: {passed} passed, {len(done) - passed} failed", flush=True)
    return 0 if passed == len(done) else 1


def run_lane(lane: str) -> list[Result]:
    return [run(layer) for layer in lane.split(",")]


def run(layer: str) -> Result:
    with _printing:
        print(f"== {layer} started", flush=True)
    start = time.monotonic()
    # T, given to the whole, would be meant for the tool of one layer
    make = subprocess.run(
        ["make", "--no-print-directory", layer, "T="],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    result = Result(layer, make.returncode == 0, time.monotonic() - start)
    with _printing:
        print(f"\n== {layer}", flush=True)
        sys.stdout.buffer.write(make.stdout)
        print(f"\n{result}\n", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
