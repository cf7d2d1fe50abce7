# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much work to take at once."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_CHUNK_ROWS = 10_000
_MAX_CHUNK_ROWS = 2_000_000
_MAX_GROWTH = 8.0


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
