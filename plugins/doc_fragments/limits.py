# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a change may go, and where its undo journal is kept."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  max_changes:
    description:
      - Rows that may be changed in one run, all tables together. More are refused before the first is written.
    type: int
    default: 10000
  max_deletes:
    description:
      - Rows that may be removed from the target in one run, all tables together. More are refused before the first is
        written.
    type: int
    default: 1000
  batch_rows:
    description:
      - Rows in one transaction, or fewer where they come to more than 4 MiB. The rows of a batch are locked against writers
        on the source (shared locks) while they are logged, 2000 of them for some 40 to 60 milliseconds. Rows beside them
        are not.
    type: int
    default: 2000
  undo_dir:
    description:
      - Directory of the undo journals, on the host where the module runs. It is made when it is missing, readable to its
        owner alone, and must be writable before anything is changed.
      - Where that host does not last (a container of a job runner), name a directory that does.
    type: path
    default: ~/.mysql_repl/undo
"""
