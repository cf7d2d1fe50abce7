# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How hard to work, and how long to wait for replication."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  workers:
    description:
      - Chunks that are read at the same time on each server, from 1 to 64.
    type: int
    default: 1
  chunk_time:
    description:
      - Seconds that reading one chunk should take. The number of rows in a chunk follows from it, and no snapshot is held
        much longer.
    type: float
    default: 0.5
"""

    FENCE = r"""
options:
  fence_timeout:
    description:
      - Seconds to wait, each time, until one server has applied everything that the other had logged.
      - When the time is over there is no verdict, and nothing is repaired.
    type: float
    default: 60.0
"""
