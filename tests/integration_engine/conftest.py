# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pairs of real co-masters for the tests: kept alive and reused, never more than four at a time.

Tests run server by server, not file by file: those of one server share its pairs.
"""

from __future__ import annotations

import itertools
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pymysql
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sandbox import FLAVORS, PackageUnavailable, SandboxError, Topology, co_masters

_ALIVE = 4
"""Pairs kept running; the one not used for longest is stopped when another is wanted."""

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of one server behind one another; the order among these stays."""
    items.sort(key=_flavor)


def _flavor(item: pytest.Item) -> str:
    """The server that a test is for, empty where it names none."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return next((value for value in parameters.values() if isinstance(value, str) and value in FLAVORS), "")


class Pairs:
    """A small store of running pairs by what they were asked to be."""

    def __init__(self) -> None:
        self._running: OrderedDict[str, Topology] = OrderedDict()

    def __call__(self, flavor: str, binlog_format: str = "ROW", gtid: bool = True, **options: Any) -> Topology:
        """Return a healthy, drained pair that `co_masters` made of the same arguments.

        It may have served other tests: leave it as it was found. Skips the test where the server
        cannot be had.
        """
        key = repr((flavor, binlog_format, gtid, sorted(options.items())))
        pair = self._running.pop(key, None)
        if pair and not self._is_well(pair):
            pair.stop()
            pair = None
        while pair is None and len(self._running) >= _ALIVE:
            self._running.popitem(last=False)[1].stop()
        try:
            self._running[key] = pair or co_masters(flavor, binlog_format, gtid, **options)
        except PackageUnavailable as error:
            pytest.skip(str(error))
        return self._running[key]

    @staticmethod
    def _is_well(pair: Topology) -> bool:
        """Tell whether the pair is two servers in one ring that drain."""
        try:
            pair.wait(10)
            return set(pair.servers) == {"a", "b"} and len(pair.links) == 2 and pair.links_healthy()
        except (SandboxError, pymysql.MySQLError):
            return False

    def drop(self, pair: Topology) -> None:
        """Stop a pair that a test broke; the next use starts a new one."""
        self._running = OrderedDict((key, kept) for key, kept in self._running.items() if kept is not pair)
        pair.stop()

    def stop(self) -> None:
        """Stop every pair."""
        while self._running:
            self._running.popitem()[1].stop()


@pytest.fixture(scope="session", name="pairs")
def pairs_fixture() -> Iterator[Pairs]:
    """`pairs(flavor, binlog_format="ROW", gtid=True, **options) -> Topology`."""
    store = Pairs()
    yield store
    store.stop()


@pytest.fixture
def fresh_database(pairs: Pairs) -> Callable[[Topology], AbstractContextManager[str]]:
    """`with fresh_database(pair) as name:` an empty database on both servers, and gone from both.

    When it cannot be dropped through healthy links (a test broke them), the pair is given up.
    """

    @contextmanager
    def make(pair: Topology, options: str = "") -> Iterator[str]:
        name = f"t{next(_numbers)}"
        pair.a.execute(f"CREATE DATABASE {name} {options}")
        pair.wait()
        try:
            yield name
        finally:
            try:
                drop = ["SET SESSION lock_wait_timeout=5", f"DROP DATABASE IF EXISTS {name}"]
                pair.a.execute(drop)
                pair.b.execute(drop, logged=False)  # what only b had
                pair.wait(10)
            except (SandboxError, pymysql.MySQLError):
                pairs.drop(pair)

    return make
