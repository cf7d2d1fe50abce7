# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The shadow table: a repair that exists only in the binary log (law 2).

A TEMPORARY table with the name of the real one hides the real one in this session alone. Statements run against it,
are logged as statements, and act on the real table of every replica, where no such temporary table exists. The
source's own rows are out of reach: they cannot be changed by a bug here, and the account needs no right to.

What the servers log of temporary tables:
https://dev.mysql.com/doc/refman/8.4/en/replication-features-temptables.html and
https://mariadb.com/kb/en/temporary-tables-and-replication/. MySQL logs statements on one whose creation was not logged.
MariaDB does not; so there it is created, logged, under a name that nobody has, and renamed unlogged.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import typing as t

from . import codec, sqltext
from .errors import BecameReadOnly, LockConflict, LostConnection, ReplError, ServerError
from .rewrite import is_timestamp
from .schema import Column, Table
from .session import IDLE, LOCKED_IDLE, Session

# The settings that make the shadow work, and those that go into the log with each statement and hold where it is replayed.
# unique_checks stays on: off, InnoDB may skip the very look-up of duplicates that REPLACE rests on
# (https://dev.mysql.com/doc/refman/8.4/en/server-system-variables.html#sysvar_unique_checks).
_SETTINGS = {
    "binlog_format": "'STATEMENT'",
    "sql_log_bin": "1",
    "foreign_key_checks": "0",
    "unique_checks": "1",
    # Seconds. A backup may hold the binary log for a while (FLUSH TABLES WITH READ LOCK), the application's commits with ours.
    "lock_wait_timeout": "60",
    # Local only: values need not fit the shadow's columns, and nobody reads the warnings about it.
    "innodb_strict_mode": "0",
    "max_error_count": "0",
}
# The row may be older than the constraint that it breaks.
_MARIADB_SETTINGS = {"check_constraint_checks": "0"}
# Seconds that the session may be idle while its shadow stands. Should this host be halted in the midst of a batch, what was not
# committed must be gone before the locks are, which last LOCKED_IDLE; else stale rows would be logged when it goes on.
_IDLE = LOCKED_IDLE // 3
# Where the server demands keys of its tables, the shadow is an exception: it must have none.
_MYSQL_OPTIONAL = {"sql_require_primary_key": "0", "sql_generate_invisible_primary_key": "0"}


def prepare(session: Session) -> None:
    """Give a session, before any temporary table is made in it, the settings that the shadow needs.

    Raises AccessDenied without BINLOG ADMIN (MariaDB) or SESSION_VARIABLES_ADMIN (MySQL).
    """
    settings = {**_SETTINGS, **(_MARIADB_SETTINGS if session.dialect.is_mariadb else {})}
    if not session.dialect.is_mariadb:
        known = session.variables(_MYSQL_OPTIONAL)
        settings.update({name: value for name, value in _MYSQL_OPTIONAL.items() if name in known})
    session.execute("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items()))


def refusal(session: Session) -> str:
    """Whether the server lets this session log statements: its words where it does not, empty where it does.

    Changes nothing but the session, and that back again. Raises LostConnection.
    """
    try:
        session.execute("SET SESSION binlog_format = 'STATEMENT', SESSION sql_log_bin = 1")
        session.execute("SET SESSION binlog_format = DEFAULT")
    except LostConnection:
        raise
    except ServerError as exc:
        return exc.message
    return ""


class Shadow:
    """Hides one table of the source in one prepared session for as long as the context lasts.

    The session must be used for nothing else meanwhile. After any error in making or removing the shadow the session
    is closed, so that no statement can ever reach the real table through it.
    """

    def __init__(self, session: Session, table: Table) -> None:
        self._session = session
        self._name = sqltext.quote_name(table.name.table)
        self._database = sqltext.quote_name(table.name.database)
        self._definition = _definition(table)
        # MariaDB: the name under which the creation is logged. Nobody else's: 16 random digits.
        self._logged_name = sqltext.quote_name(f"mysql_repl_shadow_{secrets.token_hex(8)}")

    def __enter__(self) -> Shadow:
        try:
            # The default database decides, as for the application, what filters by database let through.
            self._session.execute(f"USE {self._database}")
            self._make()
            self.assert_shadowed()
        except LockConflict as exc:
            raise self._given_up(exc) from exc
        except BaseException:
            self._session.close()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        try:
            self._remove()
        except LostConnection:
            self._session.close()  # the server drops the table with the session
        except LockConflict as exc:
            raise self._given_up(exc) from exc
        except BaseException:
            self._session.close()
            raise

    def log(
        self,
        statements: t.Iterable[str],
        together: bool = True,
        meanwhile: t.Callable[[], None] = lambda: None,
        assert_locked: t.Callable[[], None] = lambda: None,
    ) -> None:
        """Log statements as one transaction. When this returns they are in the binary log; if it raises, they are not.

        ``meanwhile`` is done while the server is at the last of them; what it raises takes them back as well.
        Except LostConnection at COMMIT, where nobody can know. Not ``together``: each as a transaction of its own, for
        tables without transactions; MySQL's GTIDs allow nothing else there (error 1837 on the target, measured).
        ``assert_locked`` raises where the rows are not locked any more; it is asked right before anything counts.
        Raises what it does, ServerError, ReplError ``no_shadow``.
        """
        self.assert_shadowed()
        if not together:
            for statement in statements:
                assert_locked()
                self._session.execute(statement)
            return
        self._session.execute("BEGIN")
        try:
            self._session.execute_all(statements, meanwhile)
            assert_locked()
        except BaseException:
            with contextlib.suppress(ServerError):
                self._session.execute("ROLLBACK")
            raise
        self._session.execute("COMMIT")

    def assert_shadowed(self) -> None:
        """Raise ReplError ``no_shadow`` unless the table's name means the temporary table in this session."""
        shown = self._session.record(f"SHOW CREATE TABLE {self._name}").get("Create Table") or ""
        if not shown.startswith("CREATE TEMPORARY TABLE"):
            raise ReplError(
                "no_shadow",
                f"{self._session.name}: the temporary table that hides {self._name} is not there;"
                " a statement would reach the real one.",
                "Nothing was written. This is never expected; please report it.",
            )

    def _given_up(self, problem: LockConflict) -> LostConnection:
        """Close the session; what to raise instead, for with it nobody can try again."""
        self._session.close()
        return LostConnection(problem.errno, f"given up: {problem.message}", self._session.name)

    def _make(self) -> None:
        if self._session.dialect.is_mariadb:
            self._session.execute(f"CREATE TEMPORARY TABLE {self._logged_name} {self._definition}")
            # Where it is read_only, the creation was not logged, and nothing that is done with the table will be (measured).
            if self._session.scalar("SELECT @@GLOBAL.read_only") != "0":
                raise BecameReadOnly(self._session.name, "MariaDB logs no repair then")
            self._unlogged(f"ALTER TABLE {self._logged_name} RENAME TO {self._name}", _IDLE)
        else:
            self._unlogged(f"CREATE TEMPORARY TABLE {self._name} {self._definition}", _IDLE)

    def _remove(self) -> None:
        # Without the shadow the rename would hit the real table.
        self.assert_shadowed()
        if self._session.dialect.is_mariadb:
            self._unlogged(f"ALTER TABLE {self._name} RENAME TO {self._logged_name}", IDLE)
            self._session.execute(f"DROP TEMPORARY TABLE IF EXISTS {self._logged_name}")
        else:
            self._unlogged(f"DROP TEMPORARY TABLE {self._name}", IDLE)

    def _unlogged(self, statement: str, idle: int) -> None:
        """Run one statement unlogged; ``idle``: seconds that the session may be idle from then on."""
        self._session.execute("SET SESSION sql_log_bin = 0")
        self._session.execute(statement)
        self._session.execute(f"SET SESSION sql_log_bin = 1, SESSION wait_timeout = {idle}")


# A shadow of no more columns than this takes values as they are, which spares the server a warning for nearly every one of them
# (a fifth of the CPU, both vendors); in a wider one, and from columns that may be long, as little as possible is kept.
_ROOMY_COLUMNS = 32
_SHORT = 255  # characters
_NUMBERS = frozenset({codec.Kind.NUMBER, codec.Kind.FLOAT, codec.Kind.ORDINAL})


def _definition(table: Table) -> str:
    """All columns that statements name, without any key: no optimizer may see that no row can match, and log nothing."""
    unique = {name for key in table.unique_keys for name in key.columns}
    # A virtual one is given no value, but rows in the way are found by it.
    named = [column for column in table.columns if column.is_stored or column.name in unique]
    roomy = len(named) <= _ROOMY_COLUMNS
    columns = ", ".join(f"{column.sql} {_shadow_type(column, column.name in unique, roomy)} NULL" for column in named)
    return f"({columns}) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4"


def _shadow_type(column: Column, is_sought: bool, roomy: bool) -> str:
    if is_timestamp(column):
        return "TIMESTAMP(6)"  # so that the time zone is logged, see rewrite.py
    if is_sought:
        return "LONGBLOB"  # of a shorter or a numeric type MySQL would see that it cannot have the value, and log nothing
    how = codec.kind(column)
    if roomy and how in _NUMBERS:
        return "DOUBLE"
    length = re.search(r"\((\d+)", column.column_type)
    is_short = how is codec.Kind.TEMPORAL or (length and int(length[1]) <= _SHORT)
    return "BLOB" if roomy and is_short else "TINYINT"
