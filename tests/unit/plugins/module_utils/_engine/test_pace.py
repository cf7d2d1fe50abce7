# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How large chunks and strips are."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.pace import ChunkSizer, StripSizer


def test_chunks_grow_and_shrink_towards_their_time():
    sizer = ChunkSizer(0.5, rows=10_000)
    sizer.feedback(10_000, 0.01)
    assert sizer.rows == 80_000
    sizer.feedback(80_000, 1.0)
    assert sizer.rows == 40_000
    sizer.feedback(3, 0.0001)
    assert sizer.rows == 40_000, "the small rest of a table says nothing about speed"


def test_strips_get_finer_as_more_rows_differ_and_stay_within_bounds():
    sizer = StripSizer()
    widest = sizer.rows
    sizer.feedback(1_000_000, 0)
    assert sizer.rows == widest, "nothing differs: few strips"
    sizer.feedback(1_000_000, 70)
    assert 1_000 < sizer.rows < 2_000
    sizer.feedback(1_000_000, 900_000)
    assert sizer.rows == 250
