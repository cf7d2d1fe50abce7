# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether rows have arrived: many are looked after beside other work, none is called equal that is not."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import arrival
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, ServerError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

COLUMNS = (Column("id", "int", "int", None, None, False, "", ""),)
TABLE = Table(TableName("d", "t"), "BASE TABLE", "InnoDB", COLUMNS, (Key("PRIMARY", (KeyPart("id", None, False),)),), 1)
KEYS = [(b"%d" % number,) for number in range(1000)]


class Server:
    """Rows by key; ``busy``: a look at it lasts until it is told to end."""

    dialect = None

    def __init__(self, rows):
        self.rows_by_key = dict(rows)
        self.go_on = threading.Event()
        self.go_on.set()
        self.lost = False


class World:
    """Both servers, what is told of them, and how often was drained."""

    def __init__(self, monkeypatch):
        self.source = Server((key, (*key, b"new")) for key in KEYS)
        self.target, self.aside, self.source_aside = Server({}), Server({}), Server({})
        self.aside.rows_by_key = self.target.rows_by_key
        self.source_aside.rows_by_key = self.source.rows_by_key
        self.on_drain = self.arrive
        self.drained = 0
        self.told = []

        class Prints:
            @staticmethod
            def of(server, groups):
                server.go_on.wait(20)
                if server.lost:
                    raise ServerError(2013, "lost", "target")
                return [[server.rows_by_key.get(key) for key in keys] for keys in groups]

        def read_rows(server, _table, keys):
            return {key: server.rows_by_key[key] for key in keys if key in server.rows_by_key}

        monkeypatch.setattr(arrival.fingerprint, "choose", lambda *_how: Prints)
        monkeypatch.setattr(arrival, "read_rows", read_rows)

    def arrive(self):
        self.target.rows_by_key.update(self.source.rows_by_key)

    def drain(self):
        self.drained += 1
        self.on_drain()

    def arrivals(self, aside=True):
        told = self.told
        return arrival.Arrivals(
            self.source,
            self.target,
            TABLE,
            self.drain,
            lambda ids, wrong: told.append((sorted(ids), sorted(wrong))),
            (self.source_aside, self.aside) if aside else (),
        )


def test_many_rows_are_looked_after_while_others_are_logged(monkeypatch):
    world = World(monkeypatch)
    world.aside.go_on.clear()
    with world.arrivals() as arrivals:
        arrivals.expect(enumerate(KEYS[:500]))
        assert (world.drained, world.told) == (1, []), "it returns while the target is looked at still"
        world.aside.go_on.set()
        arrivals.expect((number, KEYS[number]) for number in range(500, 1000))
        assert world.told == [(list(range(500)), [])]
        arrivals.finish()
        arrivals.finish()
    assert world.told == [(list(range(500)), []), (list(range(500, 1000)), [])]
    assert world.drained == 2


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("number", [100, 500])
def test_what_does_not_arrive_is_told(monkeypatch, number, aside):
    world = World(monkeypatch)

    def arrive_in_part():
        world.arrive()
        del world.target.rows_by_key[KEYS[7]]
        world.target.rows_by_key[KEYS[90]] = (b"90", b"old")

    world.on_drain = arrive_in_part
    with world.arrivals(aside) as arrivals:
        arrivals.expect(enumerate(KEYS[:number]))
        arrivals.finish()
    ((arrived, wrong),) = world.told
    assert wrong == [KEYS[7], KEYS[90]]
    assert arrived == [each for each in range(number) if each not in (7, 90)]


def test_a_row_that_is_written_while_it_is_looked_at_is_looked_at_again(monkeypatch):
    """The application writes it on the source, and it arrives: the look aside finds other bytes than those before."""
    world = World(monkeypatch)
    world.aside.go_on.clear()
    with world.arrivals() as arrivals:
        arrivals.expect(enumerate(KEYS[:500]))
        world.source.rows_by_key[KEYS[3]] = world.target.rows_by_key[KEYS[3]] = (b"3", b"newer")
        world.aside.go_on.set()
        arrivals.finish()
    assert world.told == [(list(range(500)), [])]


def test_few_rows_are_told_at_once(monkeypatch):
    world = World(monkeypatch)
    with world.arrivals() as arrivals:
        arrivals.expect(enumerate(KEYS[:3]))
        assert world.told == [([0, 1, 2], [])]


def test_trouble_is_raised_and_nothing_is_called_equal(monkeypatch):
    world = World(monkeypatch)
    world.aside.lost = True
    with world.arrivals() as arrivals:
        arrivals.expect(enumerate(KEYS[:500]))
        with pytest.raises(ServerError):
            arrivals.finish()
        arrivals.finish()
    assert world.told == []

    def broken():
        raise Refusal("broken_link", "broken")

    world.on_drain = broken
    with world.arrivals() as arrivals:
        with pytest.raises(Refusal):
            arrivals.expect(enumerate(KEYS[:500]))
        arrivals.finish()
    assert world.told == []


@pytest.mark.parametrize("aside", [False, True])
def test_a_late_write_of_the_target_is_seen_among_many(monkeypatch, aside):
    """The repair has replaced it on the target; it comes to the source while replication is drained."""
    world = World(monkeypatch)

    def late():
        if world.drained == 1:
            world.arrive()
            world.source.rows_by_key[KEYS[3]] = (b"3", b"of the target")

    world.on_drain = late
    with world.arrivals(aside) as arrivals:
        arrivals.expect(enumerate(KEYS[:500]))
        arrivals.finish()
    assert world.told == [([each for each in range(500) if each != 3], [KEYS[3]])]
