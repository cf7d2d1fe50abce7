# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a table is still what a plan was made for, asked while its rows are locked.

Between the reading of the definitions and a batch of the repair, somebody may have altered the table. A column that was added
would be given its default by every statement of ours, on the target and, where the source is written, there too, and no
comparison would tell, for none knows the column. A trigger that was added would fire on the target. Rows that are locked keep
ALTER TABLE and CREATE TRIGGER waiting on that server, so what is found under the lock holds until the lock is released.
"""

from __future__ import annotations

import typing as t

from . import catalog, schema
from .errors import TableProblem
from .schema import Table, Trigger
from .session import Session

#: Whether triggers may be there.
MayHave = t.Callable[[tuple[Trigger, ...]], bool]


def none_on(events: t.Collection[str]) -> MayHave:
    """No triggers on these events: INSERT, UPDATE, DELETE."""
    return lambda found: not any(trigger.event.upper() in events for trigger in found)


class Unaltered:
    """Watches one table on one server."""

    def __init__(
        self,
        session: Session,
        table: Table,
        is_same: t.Callable[[Table], bool],
        may_have: MayHave = lambda found: True,
    ) -> None:
        """``table``: as the plan was made for it; ``is_same``: whether a definition found later will do; ``may_have``: whether
        the triggers found later will. Raises ServerError."""
        self._session = session
        self._table = table
        self._is_same = is_same
        self._may_have = may_have
        self._text = catalog.definition(session, table.name)
        self._is_compared = False

    @classmethod
    def of_source(cls, session: Session, table: Table, may_have: MayHave = lambda found: True) -> Unaltered:
        """The source's table, as it was read for the comparison."""
        return cls(session, table, lambda now: now.shape == table.shape, may_have)

    @classmethod
    def of_target(cls, session: Session, table: Table, may_have: MayHave = lambda found: True) -> Unaltered:
        """The target's table, which agrees with the source's ``table``."""
        return cls(session, table, lambda now: not schema.differences(table, now), may_have)

    def check(self) -> None:
        """Raise TableProblem ``stale_plan`` if the table was altered, ServerError. To be asked under the lock, if any."""
        if not self._is_compared:
            # Once: the server's own text, which is quick to get, holds what the engine does not read too, as partitions are.
            name = self._table.name
            now = catalog.read_tables(self._session, [name.database], [name]).get(name)
            self._refuse(now is None or not self._is_same(now) or not self._may_have(now.triggers))
            self._is_compared = True
        self._refuse(catalog.definition(self._session, self._table.name) != self._text)

    def _refuse(self, altered: bool) -> None:
        if altered:
            raise TableProblem(
                "stale_plan",
                f"{self._table.name} was altered on {self._session.name}, or got a trigger, since its rows were compared; what"
                " would be written might lack a column.",
                "Run again.",
            )
