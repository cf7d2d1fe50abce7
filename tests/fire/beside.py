# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several runs beside each other, as processes: most of a scenario is waiting for one of its servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from . import quick


def run(words: Sequence[str], jobs: int) -> int:
    """Run that many of them with these arguments, each with seeds of its own; returns 1 when one of them says so."""
    children = [
        subprocess.Popen([sys.executable, "-m", "fire", *words, "--jobs", "1", "--job", str(number)]) for number in range(jobs)
    ]
    with quick.ending(*children):
        return max([child.wait() != 0 for child in children])
