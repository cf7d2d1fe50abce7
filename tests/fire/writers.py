# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An application that writes while the tool runs, on rows that only it knows how to change."""

from __future__ import annotations

import random
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pymysql

from .hands import Image
from .scenario import Scenario

if TYPE_CHECKING:
    from .stage import Stage

_ROWS = 12
_LOST = 4


class Writers:
    """Counts up rows of a table of its own, which has drift as well, on a and on b, each with rows of its own.

    On b only rows that are equal on both sides are written: who changes a wrong row there sends the wrong row to a.
    """

    def __init__(self, stage: Stage, database: str, scenario: Scenario, a0: Image, b0: Image) -> None:
        self._stage, self._database, self._sides = stage, database, scenario.writers
        self._dice = random.Random(f"writers {scenario.seed}")
        self._stop = threading.Event()
        self._last: dict[int, int] = {}
        self._threads: list[threading.Thread] = []
        hands = stage.hands
        columns = "id int PRIMARY KEY, n int NOT NULL, v varchar(20)"
        hands.run("a", f"CREATE TABLE zz_live ({columns}) ENGINE=InnoDB CHARACTER SET latin1", logged=True)
        values = ", ".join(f"({number}, 0, 'good')" for number in range(2 * _ROWS))
        hands.run("a", f"INSERT INTO zz_live VALUES {values}", logged=True)
        stage.pair.wait()
        hands.run("b", "UPDATE zz_live SET v = 'bad' WHERE id < 3")
        hands.run("b", f"DELETE FROM zz_live WHERE id = {_LOST}")

    def __enter__(self) -> Writers:
        for side in self._sides:
            first = 0 if side == "a" else _ROWS
            thread = threading.Thread(target=self._write, args=(side, first), name=f"writer-{side}")
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *unused: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        self._stage.pair.wait()

    def _write(self, side: str, first: int) -> None:
        dice = random.Random(self._dice.random())
        server = self._stage.pair.servers[side]
        with closing(server.connect(database=self._database)) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION autocommit = 1, completion_type = 0, innodb_lock_wait_timeout = 20")
            cursor.execute("SET SESSION sql_mode = '', sql_safe_updates = 0")
            count = 0
            while not self._stop.is_set():
                count += 1
                row = first + dice.randrange(_ROWS)
                if row == _LOST:
                    continue  # an application that updates a row which its replica lacks breaks replication by itself
                try:
                    cursor.execute(f"UPDATE zz_live SET n = {count} WHERE id = {row}")
                except pymysql.err.OperationalError:  # a deadlock: the application would try again
                    continue
                self._last[row] = count
                # A run makes about as many statements in the same time; more would only keep processors busy.
                time.sleep(dice.choice([0, 0.002, 0.005]))

    def adjust(self, a0: Image) -> Image:
        """What the source must have now."""
        rows = [(str(row).encode(), str(self._last.get(row, 0)).encode(), b"good") for row in range(2 * _ROWS)]
        return {**a0, "zz_live": sorted(rows, key=repr)}
