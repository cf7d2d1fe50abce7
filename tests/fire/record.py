# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of docs/fire.md: what was really run, added up run by run."""

from __future__ import annotations

import fcntl
import re
import time
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "fire.md"

_ROW = re.compile(r"^\| (\S+) \((\S+)\) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\S+) \|$", re.MULTILINE)


class Account:
    """What one run adds to the page, bit by bit, so that one which is ended has counted too."""

    def __init__(self, server: str, version: str, counts: bool) -> None:
        self._server, self._version, self._counts = server, version, counts
        self._noted = (0, 0, 0, 0, 0)

    def so_far(self, *sums: int) -> None:
        """Scenarios, tables, faults, checks and failures since the beginning."""
        more = [now - before for now, before in zip(sums, self._noted)]
        if self._counts and any(more):
            add(self._server, self._version, *more)
        self._noted = (sums[0], sums[1], sums[2], sums[3], sums[4])


def add(
    server: str, version: str, scenarios: int = 0, tables: int = 0, faults: int = 0, checks: int = 0, failed: int = 0
) -> None:
    """Add a run to the server's row; raises ValueError where the page has no row for it."""
    with open(PAGE, "r+", encoding="utf-8") as page:
        fcntl.flock(page, fcntl.LOCK_EX)
        text = page.read()
        page.seek(0)
        page.write(renewed(text, server, version, (scenarios, tables, faults, checks, failed), time.strftime("%Y-%m-%d")))
        page.truncate()


def renewed(text: str, server: str, version: str, more: tuple[int, int, int, int, int], day: str) -> str:
    """The page with a run added. Another version of the server takes the place of the one before, with the sum of both."""
    for found in _ROW.finditer(text):
        if found[1] == server:
            sums = [int(found[3 + place]) + number for place, number in enumerate(more)]
            row = f"| {server} ({version}) | {' | '.join(map(str, sums))} | {day} |"
            return text[: found.start()] + row + text[found.end() :]
    raise ValueError(f"docs/fire.md has no row for {server}")
