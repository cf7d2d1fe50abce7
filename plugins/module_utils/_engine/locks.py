# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How rows are kept as they are on the source while they are logged (law 5): row locks, or the whole table.

InnoDB locks the rows that are read. MyISAM, Aria and MEMORY know no row locks; there the table is locked, for as long as one
batch takes. It must keep away also a transaction that has written the table and not committed yet: under STATEMENT its
statement is logged at its COMMIT, after ours, and is then applied a second time. LOCK TABLES ... READ waits for such a
transaction on MySQL 9.7, but not on MariaDB 10.11 and 11.8, where the copies diverged (measured, all formats, all three
engines); LOCK TABLES ... WRITE waits on all of them, at the price that readers wait as well.
"""

from __future__ import annotations

import contextlib
import random
import time
import typing as t

from . import grants
from .errors import AccessDenied, ServerError, TableProblem
from .schema import Table
from .session import Session

#: The application goes first: seconds to wait for a lock (1 is the least that InnoDB knows), and tries to get one.
WAIT = 1
ATTEMPTS = 12

# Seconds between two tries, at random, so that two that are in each other's way do not meet again.
_PAUSE = (0.05, 0.5)


def pause() -> None:
    """Let the application have its turn after a try that failed."""
    time.sleep(random.uniform(*_PAUSE))


class Locks(t.Protocol):
    """Taken before the rows are read, released after they are in the binary log."""

    def take(self) -> None:
        """Begin. Raises LockConflict, ServerError."""

    def assert_held(self) -> None:
        """Raise LostConnection if the session, and the lock with it, was ended meanwhile."""

    def release(self) -> None:
        """End. Raises ServerError."""

    def give_up(self) -> None:
        """End after an error; raises nothing."""


def locks_for(session: Session, table: Table) -> Locks:
    """What suits the table. ``session`` reads the rows, and nothing of other tables meanwhile. Raises ServerError."""
    session.execute(f"SET SESSION innodb_lock_wait_timeout = {WAIT}, SESSION lock_wait_timeout = {WAIT}")
    return _Rows(session) if table.is_transactional else _WholeTable(session, table)


def refuse_fragile(target: Session, table: Table) -> None:
    """Raise TableProblem ``engine_not_crash_safe`` if a crash of the target while it replays a repair would stop it.

    MyISAM marks a table as crashed then, and MySQL's applier stops on it (error 126, measured), unless the server repairs
    it when it opens it. MariaDB does so by default.
    """
    if table.engine.lower() != "myisam":
        return
    if (target.variables(("myisam_recover_options",)).get("myisam_recover_options") or "OFF").upper() == "OFF":
        raise TableProblem(
            "engine_not_crash_safe",
            f"{table.name} is of MyISAM on the target, whose myisam_recover_options is OFF: were that server to crash in the"
            " midst, the table would be unusable and replication would stop.",
            "Start the target with myisam_recover_options=BACKUP,FORCE, or convert the table to InnoDB.",
        )


def refuse_unlockable(source: Session, table: Table) -> None:
    """Raise TableProblem ``missing_grant`` if the table must be locked as a whole and the account may not.

    Asked before the shadow is made, which is logged on MariaDB.
    """
    if table.is_transactional:
        return
    rights = grants.read(source)
    if not rights.unparsed and not rights.has("LOCK TABLES", table.name.database, table.name.table):
        raise _may_not_lock(source, table)


def _may_not_lock(session: Session, table: Table, words: str = "") -> TableProblem:
    return TableProblem(
        "missing_grant",
        f"{table.name} is of the engine {table.engine}, so it is locked as a whole while rows are logged;"
        f" the account may not{words and ': '}{words}.",
        f"GRANT LOCK TABLES on the database to the account on the source; on {session.name} writers"
        f"{' and readers' if _kind(session) == 'WRITE' else ''} of the table then wait while a batch is logged.",
    )


def _kind(session: Session) -> str:
    return "WRITE" if session.dialect.is_mariadb else "READ"


class _Rows:
    """A transaction, in which each reading locks what it reads."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def take(self) -> None:
        self._session.begin()

    def assert_held(self) -> None:
        self._session.assert_alive()

    def release(self) -> None:
        self._session.commit()

    def give_up(self) -> None:
        with contextlib.suppress(ServerError):
            self._session.roll_back()


class _WholeTable:
    """LOCK TABLES."""

    def __init__(self, session: Session, table: Table) -> None:
        self._session = session
        self._table = table

    def take(self) -> None:
        try:
            self._session.lock_table(f"{self._table.name.sql} {_kind(self._session)}")
        except AccessDenied as exc:  # taken away meanwhile
            raise _may_not_lock(self._session, self._table, exc.message) from exc

    def assert_held(self) -> None:
        self._session.assert_alive()

    def release(self) -> None:
        self._session.unlock_tables()

    def give_up(self) -> None:
        with contextlib.suppress(ServerError):
            self._session.unlock_tables()
