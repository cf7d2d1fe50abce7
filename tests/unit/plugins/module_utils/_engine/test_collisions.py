# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What looking for rows in the way costs: not more than the rows. What is found: integration_engine/test_repair.py."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import collisions
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

COLUMNS = tuple(Column(name, "int", "int", None, None, False, "", "") for name in ("id", "u"))
KEYS = tuple(Key(name, (KeyPart(column, None, False),)) for name, column in (("PRIMARY", "id"), ("u", "u")))
TABLE = Table(TableName("d", "t"), "BASE TABLE", "InnoDB", COLUMNS, KEYS, 1)
ROWS = [(b"%d" % number, b"%d" % (number + 5000)) for number in range(1000)]


class Target:
    """Has rows with these values, or none; the answers to what looks for other rows than a row's own copy are given."""

    def __init__(self, has_values, others=()):
        self._has_values = has_values
        self._others = others
        self.asked = []

    def rows(self, sql):
        self.asked.append(sql)
        if sql.endswith("LIMIT 1"):
            return [(b"1",)] if self._has_values else []
        return list(self._others)


def looked_up(target, planned=()):
    """What is found of the rows, and how often it was looked for among the planned ones."""
    found = collisions.Collisions(target, target, TABLE, planned)
    asked = []
    look = found._planned.of
    found._planned.of = lambda keys: (asked.append(len(keys)), look(keys))[1]
    return found.find(ROWS), asked


def test_where_nobody_has_the_values_one_question_is_for_all_rows():
    target = Target(has_values=False)
    assert looked_up(target) == ({}, [])
    (asked,) = target.asked
    assert "`u` IN (5000, 5001," in asked


def test_a_rows_own_copy_is_never_looked_for_among_the_planned_ones():
    target = Target(has_values=True)
    assert looked_up(target, [row[:1] for row in ROWS]) == ({}, [])
    conditions = " ".join(target.asked[1:])
    assert all(f"(`u` = {5000 + number} AND NOT (`id` IN ({number})))" in conditions for number in range(1000))


def test_a_row_that_may_go_is_deleted_only_as_long_as_it_is_in_the_way():
    """An earlier batch may have put it right meanwhile, which the target has not applied yet."""

    class Answering(Target):
        def rows(self, sql):
            super().rows(sql)
            return [(b"0", b"7")] if sql.startswith("SELECT 0, ") else [(b"7",)]

    target = Answering(has_values=True)
    found = collisions.Collisions(target, target, TABLE, [(b"7",)]).find_all(ROWS[:1])
    assert found == ({}, {0: [(b"7",)]}, {0: "((`id` IN (7)) AND `u` = 5000 AND NOT (`id` IN (0)))"})
