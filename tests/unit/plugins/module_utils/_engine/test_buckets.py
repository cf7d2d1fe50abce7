# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Buckets that differ are read in portions."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import buckets
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.fingerprint import BucketSum


def test_differing_buckets_are_read_in_groups_that_fit_into_memory():
    ours = [BucketSum(rows, b"") for rows in (9000, 9000, 9000, 9000, 9000, 0)]
    theirs = [BucketSum(rows, b"x") for rows in (9000, 0, 0, 0, 0, 70_000)]
    groups = list(buckets._batches([0, 1, 2, 3, 4, 5], ours, theirs))
    assert sorted(bucket for group in groups for bucket in group) == [0, 1, 2, 3, 4, 5]
    assert [len(group) for group in groups] == [2, 2, 1, 1]
