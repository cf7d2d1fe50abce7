# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reckoned ends of chunks: no gap, no overlap, no crowd in one chunk, however the keys lie."""

from __future__ import annotations

import bisect
import random

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.cuts import CountedCuts, ReckonedCuts, count, split
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import KeyRange

WANTED = 100


class Keys:
    """A key space whose sessions are sorted lists of keys; ``error``: how far an estimate is off, in factors."""

    def __init__(self, error: float = 1.0) -> None:
        self.error = error
        self.asked = 0

    @staticmethod
    def within(keys: list[int], span: KeyRange) -> list[int]:
        """The keys of a range."""
        low = 0 if span.lower is None else bisect.bisect_right(keys, int(span.lower[0]))
        high = len(keys) if span.upper is None else bisect.bisect_right(keys, int(span.upper[0]))
        return keys[low:high]

    def ends(self, keys, lower):
        """As in KeySpace."""
        self.asked += 1
        found = self.within(keys, KeyRange(lower))
        return (found[0], found[-1]) if found else None

    def boundary(self, keys, span, rows):
        """As in KeySpace."""
        self.asked += rows
        found = self.within(keys, span)
        return (str(found[rows - 1]).encode(),) if len(found) >= rows else None

    def estimate(self, keys, span):
        """As in KeySpace."""
        self.asked += 1
        return int(len(self.within(keys, span)) * self.error)


class Scouts:
    """Both servers' keys."""

    def __init__(self, source: list[int], target: list[int]) -> None:
        self.source, self.target = source, target

    def both(self, work):
        """As in Lane."""
        return work(self.source), work(self.target)


some = random.Random(3)
DISTRIBUTIONS = {
    "dense": list(range(1, 20_001)),
    "negative": list(range(-10_000, 10_000)),
    "a huge gap": [*range(1, 5_001), *range(2**62, 2**62 + 5_000)],
    "sparse": sorted({some.getrandbits(64) for _key in range(20_000)}),
    "thin, then a crowd": [*range(0, 10**9, 10**6), *range(10**9, 10**9 + 20_000)],
    "crowds far apart": sorted({block * 2**40 + n for block in range(100) for n in range(200)}),
    "ever denser": sorted({2**40 - int(1.001**n) for n in range(20_000)}),
    "one": [7],
    "none": [],
}


@pytest.mark.parametrize("error", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_chunks_cover_everything_once_and_none_is_too_large(name, error):
    source = DISTRIBUTIONS[name]
    target = [*source[: len(source) // 2], *source[len(source) // 2 + 3 :]]
    space = Keys(error)
    cuts = ReckonedCuts(space, Scouts(source, target), source)
    lower, seen, sizes = None, [], []
    for _chunk in range(20_000):
        cut = cuts.after(lower, WANTED, 0)
        rows = space.within(source, cut.span)
        strips = cut.strips(10, 64)
        assert [strips[0].lower, strips[-1].upper] == [cut.span.lower, cut.span.upper]
        assert all(one.upper == other.lower for one, other in zip(strips, strips[1:]))
        seen += rows
        sizes.append(len(rows))
        cuts.feedback(cut, len(rows))
        lower = cut.span.upper
        if lower is None:
            break
    assert seen == source
    assert max(sizes) <= WANTED * 4 / min(error, 1)
    assert len(sizes) <= 10 + 4 * len(source) / WANTED
    assert space.asked <= WANTED + 30 * len(sizes), "ends are reckoned, not counted"


@pytest.mark.parametrize("parts", [1, 2, 7, 100])
def test_a_range_is_split_into_ranges_that_follow_one_another(parts):
    span = KeyRange((b"3",), None)
    found = split(span, (5, 24), parts)
    assert len(found) == min(parts, 20)
    assert (found[0].lower, found[-1].upper) == ((b"3",), None)
    assert all(one.upper == other.lower for one, other in zip(found, found[1:]))
    assert len({each.upper for each in found}) == len(found)


@pytest.mark.parametrize("strip", [0, 10, 30, 100, 5000])
@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_counted_chunks_cover_everything_once_and_so_do_their_strips(name, strip):
    source = DISTRIBUTIONS[name]
    space = Keys()
    cuts = CountedCuts(space, source)
    lower, seen = None, []
    while True:
        cut = cuts.after(lower, WANTED, strip)
        strips = cut.strips(7, 64)
        assert [strips[0].lower, strips[-1].upper] == [cut.span.lower, cut.span.upper]
        assert all(one.upper == other.lower for one, other in zip(strips, strips[1:]))
        rows = [len(space.within(source, each)) for each in strips]
        assert sum(rows) <= WANTED
        assert max(rows) <= (strip or WANTED)
        seen += space.within(source, cut.span)
        lower = cut.span.upper
        if lower is None:
            break
    assert seen == source
    assert space.asked <= len(source) + 3 * WANTED + 2 * len(source) // WANTED, "nobody walks twice"


def test_a_range_is_counted_into_parts():
    keys = list(range(100))
    found = count(Keys(), keys, KeyRange((b"9",), (b"49",)), 10, 3)
    assert [(int(each.lower[0]), int(each.upper[0])) for each in found] == [(9, 19), (19, 29), (29, 49)]
    assert count(Keys(), keys, KeyRange((b"98",)), 10, 3) == (KeyRange((b"98",)),)
