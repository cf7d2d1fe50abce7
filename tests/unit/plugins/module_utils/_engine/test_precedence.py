# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whoever goes in has, at that instant, all that it waits for; whoever is left never could."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.precedence import Need, RowId, settle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import TableName


def row(number):
    return RowId(TableName("d", f"t{number % 2}"), (b"%06d" % number,))


def need(*numbers, together=True):
    return Need(frozenset(map(row, numbers)), "foreign_key", "waits in vain", together)


NEEDS = st.builds(
    lambda numbers, together: need(*numbers, together=together), st.sets(st.integers(0, 7), max_size=3), st.booleans()
)
WAITING = st.dictionaries(st.integers(0, 6).map(row), st.lists(NEEDS, min_size=1, max_size=3), max_size=7)


def is_met(each, out):
    return not each.rows <= out


def may_enter(waiting, out, group):
    """Whether these rows may go in at the same instant while those are out."""
    needs = (each for one in group for each in waiting[one])
    return all(is_met(each, out) or (each.may_come_together and each.rows & group) for each in needs)


@given(WAITING)
def test_everyone_that_can_goes_in_and_nobody_else(waiting):
    settled = settle(waiting, most=7)
    # Replay: whatever waits for none, then one circle after the other.
    out = set(waiting)

    def let_in():
        while free := {one for one in out if all(is_met(each, out) for each in waiting[one])}:
            out.difference_update(free)

    let_in()
    for circle in settled.circles:
        group = frozenset(circle)
        let_in()
        if group <= out:  # else what it waited for came with an earlier one
            assert may_enter(waiting, frozenset(out), group)
        out -= group
        let_in()
    assert out == set(settled.left)
    # No group of those that are left could go in.
    for size in range(1, len(out) + 1):
        for some in itertools.combinations(out, size):
            assert not may_enter(waiting, frozenset(out), frozenset(some))
    for one, unmet in settled.left.items():
        assert unmet in waiting[one]


def test_the_order_in_which_rows_come_does_not_matter():
    waiting = {row(1): [need(2)], row(2): [need(3)], row(3): [need(1), need(9)], row(4): [need(3, together=False)]}
    backwards = dict(reversed(waiting.items()))
    assert settle(waiting, 9) == settle(backwards, 9)
    assert settle(waiting, 9).circles == ((row(2), row(1), row(3)),)


@pytest.mark.parametrize(("most", "left"), [(3, 0), (2, 4)])
def test_a_circle_that_is_too_large_is_left_and_it_is_said_why(most, left):
    waiting = {row(1): [need(2)], row(2): [need(3)], row(3): [need(1)], row(4): [need(3)], row(5): [need(6)], row(6): [need(5)]}
    settled = settle(waiting, most)
    assert len(settled.left) == left
    assert (row(6), row(5)) in settled.circles
    assert all("batch_rows" in each.why for each in settled.left.values())


def test_long_chains_and_many_circles_take_no_time():
    number = 30000
    chain = {row(n): [need(n + 1)] for n in range(number)}
    chain[row(number)] = [need(number + 1)]
    chain[row(number + 1)] = [need(number)]
    pairs = {row(n): [need(n ^ 1)] for n in range(number + 2, 2 * number)}
    begin = time.process_time()
    settled = settle({**chain, **pairs}, 500)
    assert not settled.left
    assert time.process_time() - begin < 20
