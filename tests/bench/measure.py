# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time and memory of a program, and numbers made of many measurements."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

_POLL = 0.02
"""Seconds between looks at a program's memory; its high-water mark only rises, so few suffice."""
_LONGEST = 3600.0
ENOUGH = 40.0
"""Seconds after which a contender sits out the rounds that are left."""


@dataclass(frozen=True)
class Finished:
    """A program that came to its end."""

    code: int
    output: str
    seconds: float
    memory: float  # peak resident MiB


def run(command: Sequence[str], environment: Mapping[str, str]) -> Finished:
    """Run a program to its end and measure it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        started = time.monotonic()
        child = subprocess.Popen(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        memory = 0.0
        try:
            while child.poll() is None:
                memory = peak_memory(child.pid) or memory
                if time.monotonic() - started > _LONGEST:
                    raise TimeoutError(f"{command[-1]} still runs after {_LONGEST:.0f} s")
                try:
                    child.wait(_POLL)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
        seconds = time.monotonic() - started
        output.seek(0)
        return Finished(child.returncode, output.read(), seconds, memory)


def peak_memory(pid: int | str = "self") -> float:
    """The peak resident MiB of a process; 0 when it is gone.

    The kernel's ru_maxrss would count what the parent held at the fork.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found.group(1)) / 1024 if found else 0.0


@dataclass(frozen=True)
class Sample:
    """One measurement of one contender."""

    seconds: float
    memory: float = 0.0  # peak resident MiB; 0 where nobody asks
    processor: float = 0.0  # seconds of CPU, of the servers and the contender together
    repairing: float = 0.0  # seconds of it after the plan was made


Contender = Callable[[], Sample]


@dataclass
class Rounds:
    """What contenders took, round by round, and why one of them gave up."""

    samples: dict[str, list[Sample]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def seconds(self, name: str) -> list[float]:
        """A contender's seconds; empty if it is missing or gave up."""
        return [sample.seconds for sample in self.samples.get(name, [])]

    def memory(self, name: str) -> float:
        """The most memory a contender ever held; not-a-number if it is missing."""
        return max((sample.memory for sample in self.samples.get(name, [])), default=float("nan"))

    def ratios(self, name: str, other: str) -> list[float]:
        """How many times longer one took than another, round by round."""
        return [one / two for one, two in zip(self.seconds(name), self.seconds(other))]

    def work_ratio(self, name: str, other: str) -> float:
        """How many times more CPU one used than another: what a busy machine cannot blur."""
        one, two = (median([sample.processor for sample in self.samples.get(each, [])]) for each in (name, other))
        return one / two if two else float("nan")


def in_turn(contenders: Mapping[str, Contender], count: int, servers: Sequence[int | None] = ()) -> Rounds:
    """Run all contenders one after the other, *count* times over, beginning with another each time.

    One that fails is left out from then on, its measurements dropped, its words kept; one that has
    taken very long already sits out the rest. *servers* are the processes that work for them.
    """
    names = list(contenders)
    rounds = Rounds({name: [] for name in names})
    for turn in range(count):
        first = turn % len(names)
        for name in [*names[first:], *names[:first]]:
            if name in rounds.failures or sum(rounds.seconds(name)) > ENOUGH:
                continue
            try:
                before = _processor(servers)
                sample = contenders[name]()
                used = _processor(servers) - before
                rounds.samples[name].append(replace(sample, processor=used))
            except (ContenderFailed, TimeoutError) as error:
                rounds.failures[name] = str(error)
                rounds.samples[name] = []
    return rounds


def _processor(servers: Sequence[int | None]) -> float:
    """CPU seconds used so far: by us, by the programs we ran, and by servers."""
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = sum(sum(resource.getrusage(each)[:2]) for each in who)
    for pid in servers:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


class ContenderFailed(RuntimeError):
    """A contender did not do its work; the message has its last words."""


def median(values: Sequence[float]) -> float:
    """The median; not-a-number of nothing."""
    return statistics.median(values) if values else float("nan")


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* of the values do not exceed; not-a-number of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
