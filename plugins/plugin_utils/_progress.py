# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""How far a module is, in one line for people."""

from __future__ import annotations

import typing as t
from collections import deque

# Seconds over which the pace is measured: an hour ago tells nothing of the time left.
_WINDOW = 120.0

# However long a run takes, and however many pairs are worked on beside each other, their lines must fit on a page of AWX
# (4,000): they come more seldom as it goes on.
_LINES_AT_FULL_RATE = 100
_LONGEST = 60.0

_VERBS = {"compare": "comparing", "repair": "repairing", "undo": "putting back"}


def next_pause(interval: float, seconds: float, runs: int = 1) -> float:
    """Seconds until the next line, of a run that has taken so many already; ``runs``: how many speak at the same time."""
    return max(interval, runs * min(_LONGEST, seconds / _LINES_AT_FULL_RATE))


class Lines:
    """Turns what a module says of itself, again and again, into lines."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stage = ""
        self._marks: deque[tuple[float, int, int]] = deque()

    def line(self, said: dict[str, t.Any]) -> str:
        """Give the line for the newest word of the module; empty where there is nothing to say yet.

        ``said``: the fields of the engine's Progress and ``seconds`` since the module began. Raises KeyError, TypeError and
        ValueError for anything else.
        """
        stage = str(said["stage"])
        if stage not in _VERBS:
            return ""
        if stage != self._stage:
            self._stage = stage
            self._marks.clear()
        seconds, rows, done, expected = float(said["seconds"]), int(said["rows"]), int(said["done"]), int(said["expected"])
        self._marks.append((seconds, rows, done))
        while seconds - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        parts = [_VERBS[stage]]
        if expected:
            # What is expected is an estimate; it is over when it is over.
            parts.append(f"{min(99, 100 * done // expected)} %")
        table = "".join(character if character.isprintable() else "?" for character in str(said["table"]))
        if table:
            parts.append(f"{table} (table {int(said['number'])} of {int(said['tables'])})")
        parts.append(f"{rows:,} rows")
        parts += self._pace(expected)
        differences = int(said["differences"])
        if stage == "compare":
            parts.append(f"{differences:,} differences" if differences else "no differences so far")
        waiting = "".join(character if character.isprintable() else "?" for character in str(said["waiting"]))
        return f"{self._label}: {', '.join(parts)}" + (f"; waiting: {waiting}" if waiting else "")

    def _pace(self, expected: int) -> list[str]:
        (before, rows_before, done_before), (now, rows, done) = self._marks[0], self._marks[-1]
        took = now - before
        if took <= 0:
            return []
        found = [f"{(rows - rows_before) / took:,.0f} rows/s"]
        if done > done_before and expected > done:
            found.append(f"about {duration((expected - done) * took / (done - done_before))} left")
        return found


def duration(seconds: float) -> str:
    """Give a time in the largest units that matter."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
