# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When rows count as arrived: two servers that are dictionaries, and what happens while replication is drained."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.arrival import unequal


class World:
    """Both copies; ``events`` are what the first, second, ... draining brings."""

    def __init__(self, source, target, *events):
        self.source, self.target = dict(source), dict(target)
        self.events = list(events)
        self.drainings = 0

    def drained(self):
        self.drainings += 1
        if self.events:
            self.events.pop(0)(self)

    def unequal(self):
        keys = sorted({*self.source, *self.target})
        return unequal(lambda some: self._of(self.source, some), lambda some: self._of(self.target, some), keys, self.drained)

    @staticmethod
    def _of(rows, keys):
        return {key: rows[key] for key in keys if key in rows}


def put(side, key, value):
    """A row of one copy gets a value, or goes (None)."""

    def event(world):
        rows = getattr(world, side)
        rows.pop(key, None)
        if value is not None:
            rows[key] = value

    return event


def test_equal_rows_take_one_draining():
    world = World({1: "a", 2: "b"}, {1: "a", 2: "b"})
    assert (world.unequal(), world.drainings) == ([], 1)


def test_what_the_source_kept_and_the_target_has_otherwise_is_wrong():
    world = World({1: "a", 2: "b", 3: "c"}, {1: "x", 2: "b", 4: "d"})
    assert (world.unequal(), world.drainings) == ([1, 3, 4], 1)


@pytest.mark.parametrize("late", ["written on the target", None])
def test_a_write_of_the_target_that_comes_to_the_source_late_is_seen(late):
    """The repair has replaced it on the target, after it had been logged there: the copies are as the repair wants them, and
    then the source takes the write."""
    world = World({1: "repaired", 2: "b"}, {1: "repaired", 2: "b"}, put("source", 1, late))
    assert (world.unequal(), world.drainings) == ([1], 2)


def test_a_live_writer_of_the_source_does_not_make_a_row_wrong():
    """It writes between the two readings of each round, and the target follows a round later."""

    def written(world):
        world.target[1] = world.source[1]
        world.source[1] += 1

    world = World({1: 0}, {1: 0}, *[written] * 20)
    assert (world.unequal(), world.drainings) == ([], 2)


def test_a_row_that_never_agrees_is_given_up():
    def written(world):
        world.source[1] += 1

    world = World({1: 0}, {1: -1}, *[written] * 20)
    assert (world.unequal(), world.drainings) == ([1], 10)
