# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put rows back in a table without transactions (MyISAM, Aria, MEMORY): nothing could be rolled back there.

So the whole table is locked, for writers and readers, for one batch; each row is read, must still be what the journaled run
made of it, and is written by a statement of its own, which is applied and logged as a whole or not at all. Killed at any
instant, each row is as it was or as it shall be, on both servers, and the next undo goes on with the rest. None of the
statements takes another row away (IGNORE): one whose unique value another row holds waits until that one has gone. Two rows
that hold each other's cannot be put back so; they are refused.
"""

from __future__ import annotations

import typing as t
from contextlib import suppress
from dataclasses import dataclass

from . import arrival, rewrite
from .confirm import DIFFERENT, EXTRA, Difference, read_rows
from .errors import AccessDenied, LockConflict, LostConnection, Refusal, ReplError, ServerError, TableProblem
from .present import key_text
from .putback import CHANGED, TAKEN, Written, failure, naming_grants, see_that_it_is_unaltered
from .schema import Table
from .session import Row, Session
from .takeback import Return


@dataclass(frozen=True)
class Singly:
    """Rows told apart by their key, each written by itself."""

    session: Session
    packet: int
    what: Return
    rights: str = "INSERT, UPDATE, DELETE"

    @property
    def table(self) -> Table:
        """The table."""
        return self.what.plan.table

    def transaction(self, batch: t.Sequence[Difference]) -> Written:
        """Write some rows under one lock. Raises LockConflict, Refusal ``missing_grant``, TableProblem, ServerError."""
        written = Written()
        self._lock()
        try:
            see_that_it_is_unaltered(self.session, self.what)
            # Rows that go first, then those that change: they may hold what others want.
            for change in sorted(batch, key=lambda each: (each.kind != EXTRA, each.kind != DIFFERENT)):
                with naming_grants(self.rights):
                    self._row(change, written)
        except ReplError as exc:
            written.stopped = exc
        finally:
            with suppress(ServerError):
                self.session.unlock_tables()
        if written.stopped and not written.done:
            raise written.stopped
        return written

    def wanting(self, target: Session, done: t.Sequence[Difference], drained: t.Callable[[], None]) -> list[Row]:
        """The keys of written rows that have not arrived, after draining."""
        return arrival.wanting(self.session, target, self.table, [change.key for change in done], drained)

    def _lock(self) -> None:
        try:
            self.session.lock_table(f"{self.table.name.sql} WRITE")
        except AccessDenied as exc:
            raise Refusal(
                "missing_grant",
                f"{self.table.name} is of the engine {self.table.engine}, so it is locked as a whole while rows are put back;"
                f" the account may not: {exc.message}.",
                "GRANT LOCK TABLES on the database to the account on the source, for the time of the undo.",
            ) from exc

    def _row(self, change: Difference, written: Written) -> None:
        if read_rows(self.session, self.table, [change.key]).get(change.key) != change.target:
            written.refused.append((change, *CHANGED))
            return
        try:
            passed_over = self._execute(change)
        except (LostConnection, LockConflict, AccessDenied):
            raise
        except ServerError as exc:
            written.failed[change.key] = (change, *failure(exc))
            return
        now = read_rows(self.session, self.table, [change.key]).get(change.key)
        if now == change.source:
            written.done.append(change)
        elif now == change.target:
            written.failed[change.key] = (change, *passed_over)
        else:
            raise TableProblem(
                "not_undone",
                f"{key_text(self.table, change.key)} was stored otherwise than it was written, and in a table of the engine"
                f" {self.table.engine} that cannot be rolled back. Both images are in the undo's own journal.",
                "Put this row right by hand.",
            )

    def _execute(self, change: Difference) -> tuple[str, str]:
        """Write the row; returns why the server passed it over, if it did. MariaDB says nothing of unique values then."""
        told = []
        for statement in self._statement(change):
            self.session.execute(statement)
            told += [(int(each["Code"] or 0), each["Message"] or "") for each in self.session.records("SHOW WARNINGS")]
        return failure(ServerError(*told[0], self.session.name)) if told else TAKEN

    def _statement(self, change: Difference) -> t.Iterator[str]:
        if change.source is None:
            return rewrite.deletes(self.table, [change.key], self.packet)
        if change.target is None:
            return rewrite.inserts(self.table, [change.source], self.packet, ignore=True)
        return rewrite.updates(self.table, [(change.key, change.source)], self.packet)
