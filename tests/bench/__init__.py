# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our check and repair beside Percona Toolkit's and beside the least that a full scan costs.

All contenders run in turn on the same pair in the same minutes, several times over; what counts
are ratios, so the machine and its other work matter little. `make bench` runs it all and writes
docs/performance.md; `make bench T='--quick --only 1m12 --flavor mariadb-10.11'` is a try-out.
"""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LINK = CHECKOUT / ".cache" / "link"
"""Holds the checkout under the name it is imported by; `make setup` puts it there."""

if str(LINK) not in sys.path:
    sys.path.append(str(LINK))
