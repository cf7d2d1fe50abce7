# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the differences lie: few marks, no difference lost, order kept."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.positions import MARKS, Positions
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.report import Position


def test_few_differences_are_told_one_by_one():
    found = Positions()
    for before in (999, 0, 500, 500):
        found.add("missing", before)
    assert found.marks(1000) == (
        Position(0.0, 0.001, missing=1),
        Position(0.5, 0.501, missing=2),
        Position(0.999, 1.0, missing=1),
    )


def test_many_differences_share_marks_and_none_is_lost():
    found = Positions()
    for before in range(100_000):
        found.add("different" if before % 2 else "extra", before)
    marks = found.marks(100_000)
    assert 40 <= len(marks) <= MARKS
    assert sum(mark.different for mark in marks) == sum(mark.extra for mark in marks) == 50_000
    assert [mark.end for mark in marks[:-1]] == [mark.start for mark in marks[1:]]
    assert (marks[0].start, marks[-1].end) == (0.0, 1.0)


def test_rows_beyond_the_source_s_end_are_the_strip_s_end():
    found = Positions()
    found.add("extra", 3, rows=2)
    assert found.marks(0) == (Position(0.75, 1.0, extra=2),)
    assert Positions().marks(0) == ()


def test_a_later_run_goes_on_from_an_earlier_one():
    first, second = Positions(), Positions()
    first.add("missing", 10)
    first.add("different", 10)
    second.resume(first.marks(50), 50)
    second.add("extra", 90)
    assert second.marks(100) == (Position(0.1, 0.11, missing=1, different=1), Position(0.9, 0.91, extra=1))
