# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attributes: what every module says of itself, and what only reading or changing ones say."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
      - This assumes that the system controlled/queried by the module has not changed in a relevant way.
  action_group:
    description: Use C(group/comaster.mysql_repl.mysql_repl) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - comaster.mysql_repl.mysql_repl
"""

    # Beside the standard fragment
    READS = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - This action does not modify state.
  diff_mode:
    support: N/A
    details:
      - This action does not modify state.
  idempotent:
    support: full
    details:
      - This action does not modify state.
"""

    # Beside the standard fragment
    CHANGES = r"""
options: {}
attributes:
  check_mode:
    support: full
    details:
      - In check mode the full comparison is made and nothing is written, to no server and no file.
  diff_mode:
    support: full
    details:
      - The rows of the target as they are and as they will be, one block a table.
  idempotent:
    support: full
"""
