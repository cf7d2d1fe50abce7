# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cutting and batching of the comparison."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import compare
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.fingerprint import BucketSum
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.pace import ChunkSizer


def test_differing_buckets_are_read_in_groups_that_fit_into_memory():
    sums = {n: BucketSum(9000, b"") for n in range(5)}
    groups = list(compare._batches([0, 1, 2, 3, 4, 9], sums, {9: BucketSum(70_000, b"")}))
    assert sorted(bucket for group in groups for bucket in group) == [0, 1, 2, 3, 4, 9]
    assert [len(group) for group in groups] == [2, 2, 1, 1]


def test_chunks_grow_and_shrink_towards_their_time():
    sizer = ChunkSizer(0.5, rows=10_000)
    sizer.feedback(10_000, 0.01)
    assert sizer.rows == 80_000
    sizer.feedback(80_000, 1.0)
    assert sizer.rows == 40_000
    sizer.feedback(3, 0.0001)
    assert sizer.rows == 40_000, "the small rest of a table says nothing about speed"
