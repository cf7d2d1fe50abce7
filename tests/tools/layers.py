# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make targets, all of them whatever fails, and close with what passed.

    layers.py engine functional units lint

Three at a time, in the order given: the tests on real servers wait as much as they compute, so
they fill two cores, and what takes longest comes first. What a target prints comes in one
piece, when it has ended.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

_AT_ONCE = 3
_printing = Lock()


@dataclass(frozen=True)
class Result:
    layer: str
    passed: bool
    seconds: float

    def __str__(self) -> str:
        return f"{'passed' if self.passed else 'FAILED'}  {self.layer:16} {self.seconds:6.1f} s"


def main(layers: list[str]) -> int:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(run, layers))
    print("\n== summary", *done, sep="\n")
    passed = sum(result.passed for result in done)
    print(f"layers: {passed} passed, {len(done) - passed} failed", flush=True)
    return 0 if passed == len(done) else 1


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
