# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a run is, told while it goes on to whoever wants to know, and who may end it there.

A listener is called between two pieces of work, about twice a second or more often, in the thread that runs the operation,
while no row is locked. What it does must be quick. It may raise Interrupted to end the run: whatever has been logged by then
is complete, nothing more is begun.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

COMPARE = "compare"
REPAIR = "repair"
UNDO = "undo"


@dataclass(frozen=True)
class Progress:
    """Where a run stands at one moment.

    ``stage``: compare, repair or undo, empty before the first. ``table`` is number ``number`` of ``tables``, of which one whose
    rows go both ways is two in a repair;
    ``table_rows`` of about ``table_expected`` of its rows are done, ``rows`` in all tables. ``done`` of ``expected`` is the
    share of the whole stage, in rows as the servers estimate them. ``differences``: confirmed so far. ``waiting``: what the
    work is held back by, empty when it is not.
    """

    stage: str = ""
    table: str = ""
    number: int = 0
    tables: int = 0
    table_rows: int = 0
    table_expected: int = 0
    rows: int = 0
    done: int = 0
    expected: int = 0
    differences: int = 0
    waiting: str = ""


Listener = t.Callable[[Progress], None]


def nobody(progress: Progress) -> None:
    """A listener that does not care."""


class Meter:
    """Keeps count of where a run stands and tells its listener. Every method raises what the listener raises."""

    def __init__(self, listener: Listener = nobody) -> None:
        self._listener = listener
        self._now = Progress()
        # Of the tables that are finished.
        self._before = Progress()

    def begin(self, stage: str, tables: int, expected: int) -> None:
        """A stage begins: so many tables, with about so many rows in all of them."""
        self._before = Progress()
        self._tell(Progress(stage, tables=tables, expected=expected, differences=self._now.differences))

    def table(self, name: object, expected: int) -> None:
        """The next table begins; the one before is finished."""
        now = self._now
        self._before = replace(now, done=self._before.done + now.table_expected)
        ahead = replace(now, table=str(name), number=now.number + 1, table_rows=0, table_expected=expected)
        self._tell(replace(ahead, done=self._before.done, waiting=""))

    def reached(self, rows: int, differences: int | None = None) -> None:
        """So many rows of the present table are done, and so many differences confirmed in it."""
        before, now = self._before, self._now
        self._tell(
            replace(
                now,
                table_rows=rows,
                rows=before.rows + rows,
                done=before.done + min(rows, now.table_expected),
                differences=now.differences if differences is None else before.differences + differences,
                waiting="",
            )
        )

    def hold(self, reason: str = "") -> None:
        """The work is held back, or not any more where there is no reason."""
        self._tell(self._now if reason == self._now.waiting else replace(self._now, waiting=reason))

    def draining(self) -> None:
        """The work waits for replication."""
        self.hold("until both servers have applied what the other has logged")

    def _tell(self, now: Progress) -> None:
        self._now = now
        self._listener(now)
