# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cutting and batching of the comparison."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import compare
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.fingerprint import BucketSum
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import KeyRange
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.pace import ChunkSizer, StripSizer


def test_differing_buckets_are_read_in_groups_that_fit_into_memory():
    ours = [BucketSum(rows, b"") for rows in (9000, 9000, 9000, 9000, 9000, 0)]
    theirs = [BucketSum(rows, b"x") for rows in (9000, 0, 0, 0, 0, 70_000)]
    groups = list(compare._batches([0, 1, 2, 3, 4, 5], ours, theirs))
    assert sorted(bucket for group in groups for bucket in group) == [0, 1, 2, 3, 4, 5]
    assert [len(group) for group in groups] == [2, 2, 1, 1]


def test_chunks_grow_and_shrink_towards_their_time():
    sizer = ChunkSizer(0.5, rows=10_000)
    sizer.feedback(10_000, 0.01)
    assert sizer.rows == 80_000
    sizer.feedback(80_000, 1.0)
    assert sizer.rows == 40_000
    sizer.feedback(3, 0.0001)
    assert sizer.rows == 40_000, "the small rest of a table says nothing about speed"


def test_differing_strips_are_looked_into_in_pieces_that_fit_into_memory():
    def strip(rows, differs):
        return compare._Strip(KeyRange(), BucketSum(rows, b""), BucketSum(rows, b"x" if differs else b""))

    strips = [strip(9000, True), strip(500_000, False), strip(9000, True), strip(9000, True), strip(70_000, True)]
    pieces = list(compare._pieces(strips, most=256))
    assert [strip for piece in pieces for strip in piece] == strips
    assert [len(piece) for piece in pieces] == [3, 1, 1]
    assert len(list(compare._pieces([strip(1, True)] * 600, most=256))) == 3, "a statement has a bounded number of strips"


def test_strips_get_finer_as_more_rows_differ_and_stay_within_bounds():
    sizer = StripSizer()
    widest = sizer.rows
    sizer.feedback(1_000_000, 0)
    assert sizer.rows == widest, "nothing differs: few strips"
    sizer.feedback(1_000_000, 70)
    assert 1_000 < sizer.rows < 2_000
    sizer.feedback(1_000_000, 900_000)
    assert sizer.rows == 250
