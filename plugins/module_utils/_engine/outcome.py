# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the repair of one table tells."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .errors import ReplError
from .session import Row


@dataclass(frozen=True)
class Skipped:
    """A row that was left as it is.

    ``reason``: unique_collision, check_constraint, triggers, max_deletes or keeps_changing; of rows that the source was to
    get also changed_since, foreign_key, side_effects or not_as_intended.
    """

    key: Row
    reason: str
    message: str


T = t.TypeVar("T")


class Told(t.Generic[T]):
    """What is told of rows that were not repaired: the first thousand, and how many more there are."""

    _MOST = 1000

    def __init__(self) -> None:
        self._first: list[T] = []
        #: How many beyond the first.
        self.more = 0

    def add(self, rows: t.Iterable[T]) -> None:
        """More of them."""
        for row in rows:
            if len(self._first) < self._MOST:
                self._first.append(row)
            else:
                self.more += 1

    @property
    def told(self) -> tuple[T, ...]:
        """The first."""
        return tuple(self._first)

    def __len__(self) -> int:
        return len(self._first) + self.more


@dataclass(frozen=True)
class TableRepair:
    """What was done to one table of the target; ``adopted``: rows that the source got from it.

    ``verified``: every row of the plan was seen equal on both servers, replication drained. ``skipped`` and
    ``unverified`` list rows that were left as they are, or that still differ; ``more_skipped`` and ``more_unverified``
    count those beyond the first. ``stopped``: what ended the repair before its end; the counts tell what had been logged
    until then.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    adopted: int = 0
    skipped: tuple[Skipped, ...] = ()
    more_skipped: int = 0
    statements: tuple[str, ...] = ()
    verified: bool = False
    unverified: tuple[Row, ...] = ()
    more_unverified: int = 0
    stopped: ReplError | None = None

    @property
    def rows_skipped(self) -> int:
        """Rows left as they are."""
        return len(self.skipped) + self.more_skipped

    @property
    def rows_unverified(self) -> int:
        """Rows that still differ."""
        return len(self.unverified) + self.more_unverified

    def __add__(self, later: TableRepair) -> TableRepair:
        """Two repairs of one table, one after the other."""
        return TableRepair(
            inserted=self.inserted + later.inserted,
            updated=self.updated + later.updated,
            deleted=self.deleted + later.deleted,
            adopted=self.adopted + later.adopted,
            skipped=self.skipped + later.skipped,
            more_skipped=self.more_skipped + later.more_skipped,
            statements=self.statements + later.statements,
            verified=self.verified and later.verified,
            unverified=self.unverified + later.unverified,
            more_unverified=self.more_unverified + later.more_unverified,
            stopped=self.stopped or later.stopped,
        )
