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
from dataclasses import dataclass, field, replace

from . import dialect as dialects
from .errors import AccessDenied, ConnectError, LockConflict, LostConnection, ServerError

try:
    import pymysql
except ImportError as exc:  # reported by the module in Ansible's own way
    PYMYSQL_ERROR: ImportError | None = exc
else:
    PYMYSQL_ERROR = None

#: One row exactly as the server stores it: bytes in each column's own character set, or NULL.
Row = tuple[t.Optional[bytes], ...]

# Text is compared and repaired byte by byte, dates as UTC, floats as doubles. No strictness:
# a value is either carried exactly or the verification after the repair says so; a statement
# that fails on the applier would stop replication instead.
SQL_MODE = "NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION"

_SETTINGS = {
    "sql_mode": f"'{SQL_MODE}'",
    "time_zone": "'+00:00'",
    # NULL: results are sent in the character set they are stored in, unconverted.
    "character_set_results": "NULL",
    "collation_connection": "utf8mb4_bin",
    "autocommit": "1",
    "completion_type": "0",
    "sql_select_limit": "DEFAULT",
    "sql_big_selects": "1",
    "sql_safe_updates": "0",
    "sql_auto_is_null": "0",
    "foreign_key_checks": "1",
    "unique_checks": "1",
    "net_write_timeout": "600",
    "net_read_timeout": "600",
    "wait_timeout": "28800",
    # Seconds. The application goes first: we give up soon and try again.
    "innodb_lock_wait_timeout": "5",
    "lock_wait_timeout": "10",
}

_LOST = frozenset({0, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1927, 2006, 2013, 2055, 4031})
_LOCK_CONFLICT = frozenset({1205, 1213})
_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 3955})


@dataclass(frozen=True)
class Endpoint:
    """How to reach one server. ``unix_socket`` beats host and port."""

    host: str = "localhost"
    port: int = 3306
    unix_socket: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    connect_timeout: int = 30
    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    check_hostname: bool | None = None

    @property
    def address(self) -> str:
        """host:port or the socket, for messages."""
        return self.unix_socket or f"{self.host}:{self.port}"

    def at(self, host: str, port: int) -> Endpoint:
        """Give the same login at another address."""
        return replace(self, host=host, port=port, unix_socket=None)


class Session:
    """One connection to one server with fixed settings. Use as a context manager; never shared by threads."""

    def __init__(self, connection: t.Any, dialect: dialects.Dialect, role: str, endpoint: Endpoint) -> None:
        self._connection = connection
        self.dialect = dialect
        self.role = role
        self.endpoint = endpoint

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
        # close() would send COM_QUIT first and could block on a stalled server.
        self._connection._force_close()

    def rows(self, sql: str) -> list[Row]:
        """Run a query and return its rows as exact bytes.

        Raises a ServerError when the statement, or the reading of its result, fails for any
        reason. An incomplete result is never returned.
        """
        with self._errors():
            self._connection.query(sql)
            result = self._connection._result
            return list(result.rows or ())

    def execute(self, sql: str) -> int:
        """Run a statement and return the number of rows it affected. Raises ServerError."""
        with self._errors():
            return int(self._connection.query(sql))

    def records(self, sql: str) -> list[dict[str, str | None]]:
        """Run a query on metadata and return its rows as text by column name. Raises ServerError."""
        with self._errors():
            self._connection.query(sql)
            result = self._connection._result
            names = [column[0] for column in result.description or ()]
            return [
                {name: None if value is None else value.decode("utf-8", "replace") for name, value in zip(names, row)}
                for row in result.rows or ()
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


def _translate(error: BaseException, server: str) -> ServerError:
    number, text = 0, str(error)
    if len(error.args) > 1 and isinstance(error.args[0], int):
        number, text = error.args[0], str(error.args[1])
    if number in _LOST or isinstance(error, (pymysql.err.InterfaceError, OSError)):
        return LostConnection(number, text, server)
    if number in _LOCK_CONFLICT:
        return LockConflict(number, text, server)
    if number in _DENIED:
        return AccessDenied(number, text, server)
    return ServerError(number, text, server)


def connect(endpoint: Endpoint, role: str) -> Session:
    """Open a session with fixed settings.

    ``role`` ("source", "target") only serves messages. Raises ConnectError.
    """
    try:
        connection = pymysql.connect(
            host=endpoint.host,
            port=endpoint.port,
            unix_socket=endpoint.unix_socket,
            user=endpoint.user,
            password=(endpoint.password or "").encode("utf-8"),
            connect_timeout=endpoint.connect_timeout,
            charset="utf8mb4",
            use_unicode=False,
            conv={},
            autocommit=True,
            program_name="comaster.mysql_repl",
            **_tls(endpoint),
        )
    except (pymysql.err.Error, OSError, RuntimeError, ssl.SSLError) as exc:
        raise ConnectError(
            "cannot_connect",
            f"cannot connect to the {role} at {endpoint.address} as {endpoint.user!r}: {_reason(exc)}.",
            "Check the login options of this server (the source's are under 'source:') and that it is reachable from where the module runs.",
        ) from exc
    session = Session(connection, dialects.Dialect(dialects.MYSQL, (0, 0, 0), ""), role, endpoint)
    try:
        (version, comment) = session.rows("SELECT @@version, @@version_comment")[0]
        session.dialect = dialects.detect((version or b"").decode(), (comment or b"").decode())
        settings = {**_SETTINGS, **session.dialect.session_settings}
        session.execute("SET " + ", ".join(f"SESSION {name} = {value}" for name, value in settings.items()))
        session.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        session.execute("SET SESSION TRANSACTION READ WRITE")
    except BaseException:
        session.close()
        raise
    return session


def _tls(endpoint: Endpoint) -> dict[str, t.Any]:
    """PyMySQL's TLS arguments: with none of ours it uses TLS where the server offers it, unverified."""
    if not (endpoint.ca_cert or endpoint.client_cert or endpoint.client_key):
        return {}
    return {
        "ssl_ca": endpoint.ca_cert,
        "ssl_cert": endpoint.client_cert,
        "ssl_key": endpoint.client_key,
        "ssl_verify_cert": bool(endpoint.ca_cert),
        "ssl_verify_identity": bool(endpoint.ca_cert) if endpoint.check_hostname is None else endpoint.check_hostname,
    }


def _reason(error: BaseException) -> str:
    return str(error.args[1]) if len(error.args) > 1 else str(error)
