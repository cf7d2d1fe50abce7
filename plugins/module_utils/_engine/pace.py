# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much work to take at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

_FIRST_CHUNK_ROWS = 10_000
_MAX_CHUNK_ROWS = 2_000_000
_MAX_GROWTH = 8.0

# One strip more costs a server about 0.1 ms, one row read again a little over a microsecond (measured on MariaDB
# 10.11 and MySQL 9.7): so many rows are read again in the time of one strip.
_ROWS_A_STRIP_COSTS = 80
_MIN_STRIP_ROWS = 250
_MAX_STRIP_ROWS = 5_000


@dataclass
class ChunkSizer:
    """Learns from each finished chunk how many rows take about ``chunk_time`` seconds."""

    chunk_time: float
    rows: int = _FIRST_CHUNK_ROWS

    def feedback(self, rows: int, seconds: float) -> None:
        """Tell how long a chunk of ``rows`` rows took; grows and shrinks the next ones, within bounds."""
        if rows < self.rows // 2:
            return  # the end of a table or a gap says nothing about speed
        factor = min(self.chunk_time / max(seconds, 0.001), _MAX_GROWTH)
        self.rows = max(1, min(_MAX_CHUNK_ROWS, int(self.rows * factor)))


@dataclass
class StripSizer:
    """Learns how many rows a strip of a chunk should hold.

    A strip that differs is read again row by row. Many strips cost time on a table without differences, few
    cost time on one with many: the sum is least where both cost the same.
    """

    rows: int = _MAX_STRIP_ROWS
    _seen: int = 0
    _suspects: int = 0

    def feedback(self, rows: int, suspects: int) -> None:
        """Tell how many of ``rows`` rows seemed to differ."""
        self._seen += rows
        self._suspects += suspects
        if self._suspects:
            best = math.sqrt(_ROWS_A_STRIP_COSTS * max(self._seen, self._suspects) / self._suspects)
            self.rows = max(_MIN_STRIP_ROWS, min(_MAX_STRIP_ROWS, int(best)))
