# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables and rows."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  databases:
    description:
      - Databases to look at. Empty means all of them.
      - In all lists of names C(*) stands for any characters and C(?) for one. A list may be given as text too, with a name
        on each line or between commas.
      - The servers' own databases (C(mysql), C(sys), C(information_schema), C(performance_schema) and the like) are never
        touched. Naming one is an error.
    type: list
    elements: str
    default: []
  tables:
    description:
      - Tables to look at, as C(database.table). Empty means all tables of the O(databases).
      - A table that is named without C(*) and C(?) and that neither server has is an error.
    type: list
    elements: str
    default: []
  ignore_databases:
    description: Databases to leave out.
    type: list
    elements: str
    default: []
  ignore_tables:
    description: Tables to leave out, as C(database.table).
    type: list
    elements: str
    default: []
  where:
    description:
      - SQL condition that limits the rows looked at. It must hold for every table selected, so it is best used with one
        table in O(tables).
      - It is sent to both servers as it is, so it should come from a trusted author.
    type: str
"""
