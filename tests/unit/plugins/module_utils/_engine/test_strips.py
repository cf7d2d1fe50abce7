# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strips that differ are read in portions."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import strips
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.fingerprint import BucketSum
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import KeyRange


def test_differing_strips_are_looked_into_in_pieces_that_fit_into_memory():
    def strip(rows, differs):
        return strips.Strip(KeyRange(), BucketSum(rows, b""), BucketSum(rows, b"x" if differs else b""))

    some = [strip(9000, True), strip(500_000, False), strip(9000, True), strip(9000, True), strip(70_000, True)]
    pieces = list(strips._pieces(some, most=256))
    assert [strip for piece in pieces for strip in piece] == some
    assert [len(piece) for piece in pieces] == [3, 1, 1]
    assert len(list(strips._pieces([strip(1, True)] * 600, most=256))) == 3, "a statement has a bounded number of strips"
