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

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.precedence import Need, RowId, Wave, settle
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import TableName


def row(number):
    return RowId(TableName("d", f"t{number % 2}"), (b"%06d" % number,))


def need(*numbers, together=True, unless_left=()):
    return Need(tuple(map(row, numbers)), "foreign_key", "waits in vain", together, tuple(map(row, unless_left)))


NUMBERS = st.sets(st.integers(0, 7), max_size=3)
NEEDS = st.builds(
    lambda numbers, together, unless: need(*numbers, together=together, unless_left=unless),
    NUMBERS,
    st.booleans(),
    st.just(()) | st.sets(st.integers(0, 6), max_size=1),
)
WAITING = st.dictionaries(st.integers(0, 6).map(row), st.lists(NEEDS, min_size=1, max_size=3), max_size=7)


def is_met(each, out, left=frozenset()):
    return not out.issuperset(each.rows) or bool(left & set(each.unless_left))


def may_enter(waiting, out, group, left=frozenset()):
    """Whether these rows may go in at the same instant while those are out. ``left``: of these, who never goes in."""
    needs = [each for one in group for each in waiting[one]]
    return all(is_met(each, out, left) or (each.may_come_together and group & set(each.rows)) for each in needs)


@given(WAITING)
def test_everyone_that_can_goes_in_and_nobody_else(waiting):
    settled = settle(waiting, most=7)
    left = frozenset(settled.left)
    out = set(waiting)
    for wave in settled.waves:
        assert out.issuperset(wave.rows)
        for group in [wave.rows] if wave.is_circle else [[one] for one in wave.rows]:
            assert may_enter(waiting, frozenset(out), frozenset(group), left)
        out.difference_update(wave.rows)
    assert out == left
    # Of those that are left nobody could go in, unless another one relies on it.
    relied_on = {each for needs in waiting.values() for some in needs for each in some.unless_left}
    for size in range(1, len(out) + 1):
        for some in map(frozenset, itertools.combinations(out, size)):
            assert some & relied_on or not may_enter(waiting, frozenset(out), some, frozenset(relied_on) & left)
    for one, unmet in settled.left.items():
        assert unmet in waiting[one]


def test_the_order_in_which_rows_come_does_not_matter():
    waiting = {row(1): [need(2)], row(2): [need(3)], row(3): [need(1), need(9)], row(4): [need(3, together=False)]}
    backwards = dict(reversed(waiting.items()))
    assert settle(waiting, 9) == settle(backwards, 9)
    assert settle(waiting, 9).waves == (Wave((row(2), row(1), row(3)), is_circle=True), Wave((row(4),)))


def test_one_of_a_circle_that_goes_in_behind_an_earlier_one_does_not_go_in_twice():
    """Any of two is enough for it: the one of its own circle, or the one of the other."""
    waiting = {row(1): [need(2)], row(2): [need(1)], row(6): [need(1, 4)], row(4): [need(6)]}
    settled = settle(waiting, 9)
    gone = [one for wave in settled.waves for one in wave.rows]
    assert sorted(gone, key=str) == sorted(waiting, key=str)


def test_one_that_relies_on_another_goes_in_last_and_only_if_that_one_stays():
    follows = {row(1): [need(9, unless_left=[2])], row(9): [need(2)], row(2): [need(3)], row(3): [need(8)]}
    assert settle(follows, 9).waves == (Wave((row(3),)), Wave((row(2),)), Wave((row(9),)), Wave((row(1),)))
    stays = {**follows, row(3): [need()]}
    assert settle(stays, 9).waves == (Wave((row(1),)),)
    assert set(settle(stays, 9).left) == {row(2), row(3), row(9)}
    # Nor does it go in later, though what kept it has gone: it is relied on.
    assert set(settle({row(1): [need(unless_left=[2])], row(2): [need(1)]}, 9).left) == {row(2)}


@pytest.mark.parametrize(("most", "left"), [(3, 0), (2, 4)])
def test_a_circle_that_is_too_large_is_left_and_it_is_said_why(most, left):
    waiting = {row(1): [need(2)], row(2): [need(3)], row(3): [need(1)], row(4): [need(3)], row(5): [need(6)], row(6): [need(5)]}
    settled = settle(waiting, most)
    assert len(settled.left) == left
    assert Wave((row(6), row(5)), is_circle=True) in settled.waves
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
