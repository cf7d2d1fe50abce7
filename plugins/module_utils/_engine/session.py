# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that opens connections, and fixes whatever could alter or hide a value.

A session is made once and never reconnected: a repair rests on temporary tables and locks that
would silently be gone after a reconnect (laws 2, 4, 5 and 13).
"""

from __future__ import annotations

import ssl
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from . import dialect as dialects
from . import wire
from .endpoint import Endpoint, refused, tls_context
from .errors import AccessDenied, BecameReadOnly, LockConflict, LostConnection, ReplError, ServerError
from .wire import Answer, Row

try:
    import pymysql
except ImportError as exc:  # reported by the module in Ansible's own way
    PYMYSQL_ERROR: ImportError | None = exc
else:
    PYMYSQL_ERROR = None

    class _Connection(pymysql.connections.Connection):
        """The driver's, which would read all certificates that the system trusts, to trust none, for every connection.

        It does so where it uses TLS because the server offers it (PyMySQL 1.2 and later): 16 ms each time.
        """

        _unasked: t.Any = None

        def _create_ssl_ctx(self, sslp: t.Any) -> t.Any:
            if sslp:
                return super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            if _Connection._unasked is None:
                _Connection._unasked = super()._create_ssl_ctx(sslp)  # type: ignore[misc]
            return _Connection._unasked


__all__ = ["PYMYSQL_ERROR", "Endpoint", "Row", "Session", "at_once", "connect"]

T = t.TypeVar("T")

# Text is compared and repaired byte by byte, dates as UTC, floats as doubles. No strictness:
# a value is either carried exactly or the verification after the repair says so; a statement
# that fails on the applier would stop replication instead.
SQL_MODE = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"

# Seconds that a session may be idle, without and with rows locked. A week: one that only fences has nothing to do while others
# read a huge table. The latter is far longer than logging a batch takes: were the lock given up before the logging transaction
# commits, the binlog order would not be the true one.
IDLE = 604800
LOCKED_IDLE = 300

_SETTINGS = {
    "sql_mode": f"'{SQL_MODE}'",
    "time_zone": "'+00:00'",
    # Of the names in statements, whatever init_connect made of it.
    "character_set_client": "utf8mb4",
    # NULL: results are sent in the character set they are stored in, unconverted.
    "character_set_results": "NULL",
    "collation_connection": "utf8mb4_bin",
    "autocommit": "1",
    "completion_type": "0",
    # DEFAULT would be what the server has been set to: a short read, which must never pass for the end of the data.
    "sql_select_limit": "18446744073709551615",
    "group_concat_max_len": "1073741824",
    # Clauses of CHECK constraints are shown as it says; they are compared, and used as SQL.
    "sql_quote_show_create": "1",
    "sql_big_selects": "1",
    "sql_safe_updates": "0",
    "sql_auto_is_null": "0",
    "foreign_key_checks": "1",
    "unique_checks": "1",
    "net_write_timeout": "600",
    "net_read_timeout": "600",
    "wait_timeout": str(IDLE),
    # Seconds. The application goes first: we give up soon and try again.
    "innodb_lock_wait_timeout": "5",
    "lock_wait_timeout": "10",
}

# What a server may do without: nothing can go wrong where it does not exist.
_OPTIONAL = frozenset(
    {
        "completion_type",
        "sql_big_selects",
        "sql_auto_is_null",
        "max_statement_time",
        "max_execution_time",
        "show_gipk_in_create_table_and_information_schema",
    }
)
_UNKNOWN_VARIABLE = 1193

_KINDS: dict[type[ServerError], frozenset[int]] = {
    LostConnection: frozenset({0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031}),
    LockConflict: frozenset({1205, 1213}),
    AccessDenied: frozenset({1044, 1045, 1142, 1143, 1227, 1370, 3955}),
}
_PREVENTED = 1290

# What kill_all() ends.
_open: weakref.WeakSet[Session] = weakref.WeakSet()


class Session:
    """One connection to one server with fixed settings. Use as a context manager; never shared by threads."""

    def __init__(self, connection: t.Any, dialect: dialects.Dialect, role: str, endpoint: Endpoint) -> None:
        self._connection = connection
        self.dialect = dialect
        self.role = role
        self.endpoint = endpoint
        _open.add(self)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Role and address, for messages."""
        return f"{self.role} ({self.endpoint.address})"

    @property
    def connection_id(self) -> int:
        """The server's id of this connection."""
        return int(self._connection.thread_id())

    def close(self) -> None:
        """Close the connection; what was not committed is rolled back by the server."""
        _open.discard(self)
        # close() would send COM_QUIT first and could block on a stalled server.
        self._connection._force_close()

    def rows(self, sql: str) -> list[Row]:
        """Run a query and return its rows as exact bytes.

        Raises a ServerError when the statement, or the reading of its result, fails for any
        reason. An incomplete result is never returned.
        """
        with self._errors():
            return wire.query(self._connection, sql)

    def ask(self, questions: t.Iterable[str], heard: t.Callable[[Answer], None], known: t.Iterable[Answer | None] = ()) -> None:
        """Run queries and hand on each answer, while the server is at the next one already.

        ``known``: answers likely to come again, by the order of the questions; one that does is handed on itself. ``heard``
        must not use this session. Raises as rows() does; left by any other error, the session is closed: an answer that
        nobody waits for must never be taken for that of a later query.
        """
        asked, likely = False, iter(known)
        try:
            for sql in questions:
                answer = None
                if asked:
                    asked = False
                    answer = self._receive(next(likely, None))
                self._send(sql)
                asked = True
                if answer:
                    heard(answer)
            if asked:
                asked = False
                heard(self._receive(next(likely, None)))
        except BaseException:
            if asked:
                self.close()
            raise

    def execute_all(self, statements: t.Iterable[str], meanwhile: t.Callable[[], None] = lambda: None) -> None:
        """Run statements in order: the next is drawn while the server is at one, ``meanwhile`` done while it is at the last.

        Raises ServerError of the first that fails, the later ones are not sent; and what the iterable and ``meanwhile``
        raise, once the server has come to an end with what it was at.
        """
        running = False
        try:
            for sql in statements:
                if running:
                    running = False
                    self._receive()
                self._send(sql)
                running = True
            meanwhile()
        finally:
            if running:
                self._receive()

    def _send(self, sql: str) -> None:
        with self._errors():
            wire.send(self._connection, sql)

    def _receive(self, known: Answer | None = None) -> Answer:
        with self._errors():
            return wire.receive(self._connection, known)

    def rows_of(self, answer: Answer) -> list[Row]:
        """The rows of an answer that this session gave. Raises ServerError for one that is not whole."""
        with self._errors():
            return answer.rows()

    def begin(self) -> None:
        """Start a transaction that will lock rows. Raises ServerError.

        Should this host vanish in the midst of it, the server gives the locks up after LOCKED_IDLE seconds,
        not after a working day.
        """
        self.execute(f"SET SESSION wait_timeout = {LOCKED_IDLE}")
        self.execute("START TRANSACTION")

    def commit(self) -> None:
        """Commit what begin() started. Raises ServerError."""
        self.execute("COMMIT")
        self.execute(f"SET SESSION wait_timeout = {IDLE}")

    def roll_back(self) -> None:
        """Give up what begin() started. Raises ServerError."""
        self.execute("ROLLBACK")
        self.execute(f"SET SESSION wait_timeout = {IDLE}")

    def assert_alive(self) -> None:
        """Raise LostConnection if the server has ended the session. What it holds is held for LOCKED_IDLE seconds more."""
        self.execute("DO 0")

    def lock_table(self, table_and_kind: str) -> None:
        """Lock one whole table; a vanished client holds it no longer than begin()'s locks. Raises ServerError."""
        self.execute(f"SET SESSION wait_timeout = {LOCKED_IDLE}")
        self.execute(f"LOCK TABLES {table_and_kind}")

    def unlock_tables(self) -> None:
        """Give up what lock_table() locked. Raises ServerError."""
        self.execute("UNLOCK TABLES")
        self.execute(f"SET SESSION wait_timeout = {IDLE}")

    def execute(self, sql: str) -> int:
        """Run a statement and return the number of rows it affected. Raises ServerError."""
        with self._errors():
            return int(self._connection.query(sql))

    def records(self, sql: str) -> list[dict[str, str | None]]:
        """Run a query on metadata and return its rows as text by column name. Raises ServerError."""
        with self._errors():
            found = wire.records(self._connection, sql)
        return [
            {name: None if value is None else value.decode("utf-8", "replace") for name, value in record.items()}
            for record in found
        ]

    def record(self, sql: str) -> dict[str, str | None]:
        """Return the first row of a metadata query, or an empty dict. Raises ServerError."""
        found = self.records(sql)
        return found[0] if found else {}

    def scalar(self, sql: str) -> str | None:
        """Return the first value of a metadata query, or None. Raises ServerError."""
        for row in self.rows(sql):
            return None if row[0] is None else row[0].decode("utf-8", "replace")
        return None

    def variables(self, names: t.Iterable[str]) -> dict[str, str | None]:
        """Return global system variables by name; one the server does not know is absent."""
        wanted = ", ".join(f"'{name}'" for name in names)
        found = self.records(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({wanted})")
        return {str(row["Variable_name"]).lower(): row["Value"] for row in found}

    @contextmanager
    def answers_within(self, seconds: float) -> t.Iterator[None]:
        """Give statements in this block a time limit: where none ends the session is lost (LostConnection).

        Only for what must be quick; a chunk of a big table may rightly take long.
        """
        self._connection._read_timeout = seconds
        try:
            yield
        finally:
            self._connection._read_timeout = None

    def _errors(self) -> _DriverErrors:
        return _DriverErrors(self.name)


class _DriverErrors:
    """Translate the driver's errors into the engine's."""

    def __init__(self, server: str) -> None:
        self._server = server

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: t.Any, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (pymysql.err.Error, OSError)):
            raise _translate(error, self._server) from error


def _translate(error: BaseException, server: str) -> ReplError:
    number, text = 0, str(error)
    if len(error.args) > 1 and isinstance(error.args[0], int):
        number, text = error.args[0], str(error.args[1])
    if isinstance(error, (pymysql.err.InterfaceError, OSError)):
        return LostConnection(number, text, server)
    if number == _PREVENTED and "read" in text:  # --read-only, --super-read-only
        return BecameReadOnly(server)
    return next((kind for kind, numbers in _KINDS.items() if number in numbers), ServerError)(number, text, server)


def connect(endpoint: Endpoint, role: str) -> Session:
    """Open a session with fixed settings.

    Every step of it has ``connect_timeout`` seconds; afterwards an answer may take any time (docs/connections.md).
    ``role`` ("source", "target") says where the options come from, in messages. Raises ConnectError.
    """
    try:
        connection = _Connection(
            host=endpoint.host.strip("[]"),
            port=endpoint.port,
            unix_socket=endpoint.unix_socket,
            user=endpoint.user,
            password=endpoint.secret,
            connect_timeout=endpoint.connect_timeout,
            # The driver's connect_timeout ends where the server accepts, before it has said anything.
            read_timeout=endpoint.connect_timeout,
            write_timeout=endpoint.connect_timeout,
            charset="utf8mb4",
            use_unicode=False,
            conv={},
            autocommit=None,  # set below: where the server has it off, the driver trips over conv={}
            program_name="comaster.mysql_repl",
            ssl=tls_context(endpoint) if endpoint.demands_tls else None,
        )
    except Exception as exc:  # whatever the driver trips over where no MySQL server answers
        raise refused(endpoint, role, exc) from exc
    session = Session(connection, dialects.Dialect(dialects.MYSQL, (0, 0, 0), ""), role, endpoint)
    try:
        _settle(session, connection)
    except (ServerError, ValueError) as exc:
        session.close()
        raise refused(endpoint, role, exc.__cause__ or exc) from exc
    except BaseException:
        session.close()
        raise
    return session


def at_once(source: Session, target: Session, work: t.Callable[[Session], T]) -> tuple[T, T]:
    """Do the same on two servers at the same time; returns both results, or raises either's error once both have ended."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="target") as other:
        theirs = other.submit(work, target)
        ours = work(source)
    return ours, theirs.result()


def kill_all() -> None:
    """Let the servers end every open session, whatever statement it is at; for another thread than the sessions' own.

    An account may end its own sessions without any right. A server that cannot be reached is left alone.
    """
    for session in list(_open):
        with suppress(ReplError), connect(session.endpoint, session.role) as other:
            other.execute(f"KILL {session.connection_id}")


def _settle(session: Session, connection: t.Any) -> None:
    """Fix the session's settings; then take the time limit of connecting away."""
    if session.endpoint.demands_tls and not isinstance(connection._sock, ssl.SSLSocket):
        # PyMySQL before 1.2 goes on without TLS where the server offers none.
        raise ServerError(0, "SSL is required but the server doesn't support it", session.name)
    (version, comment) = session.rows("SELECT @@version, @@version_comment")[0]
    session.dialect = dialects.detect((version or b"").decode(), (comment or b"").decode())
    settings = {**_SETTINGS, **session.dialect.session_settings}
    try:
        session.execute(_set(settings))
    except ServerError as exc:
        if exc.errno != _UNKNOWN_VARIABLE:
            raise
        # A newer server may have dropped one of those that only undo a setting nobody needs.
        known = session.variables(_OPTIONAL)
        session.execute(_set({name: value for name, value in settings.items() if name in known or name not in _OPTIONAL}))
    session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    session.execute("SET SESSION TRANSACTION READ WRITE")
    wire.keep_alive(connection._sock)
    connection._read_timeout = connection._write_timeout = None


def _set(settings: t.Mapping[str, str]) -> str:
    return "SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())
