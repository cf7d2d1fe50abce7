# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How to reach a server: the login, what TLS must prove, and what to say when it cannot be reached."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from functools import lru_cache

from .errors import ACCOUNT_LIMIT, ConnectError

# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
_WRONG_LOGIN = frozenset({1045, 1698})
_HOST_REFUSED = frozenset({1129, 1130})
_TLS_REQUIRED = 3159
_BAD_HANDSHAKE = 1043
_USED_UP = 1226
_NO_ROOM = frozenset({1040, 1203, _USED_UP})


def host_and_port(host: str, port: int) -> str:
    """Give host:port for messages, an IPv6 address in brackets."""
    return f"[{host.strip('[]')}]:{port}" if ":" in host else f"{host}:{port}"


@dataclass(frozen=True)
class Endpoint:
    """How to reach one server. ``unix_socket`` beats host and port; an IPv6 address may stand in brackets."""

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
        return self.unix_socket or host_and_port(self.host, self.port)

    @property
    def demands_tls(self) -> bool:
        """Whether a connection without TLS is refused, instead of TLS being used where the server offers it."""
        return bool(self.ca_cert or self.client_cert or self.client_key) or self.check_hostname is not None

    @property
    def secret(self) -> bytes:
        """The password as the server hashes it; bytes of an option file that are no UTF-8 are kept."""
        return (self.password or "").encode("utf-8", "surrogateescape")

    def at(self, host: str, port: int) -> Endpoint:
        """Give the same login at another address."""
        return replace(self, host=host, port=port, unix_socket=None)


@lru_cache(maxsize=4)
def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Build what TLS must prove for an endpoint that demands it.

    With ``ca_cert`` the server's certificate must come from it, with ``check_hostname`` alone from one that the system
    trusts; the name is checked too, unless that is switched off or the server is reached by its socket. Without either
    (``check_hostname`` off, or a client certificate alone) the connection is encrypted, to whomever.
    Made once for all sessions of a run: to read what the system trusts takes longer than to connect. Raises OSError
    (ssl.SSLError) for files that cannot be used.
    """
    for path in filter(None, (endpoint.ca_cert, endpoint.client_cert, endpoint.client_key)):
        # The ssl module's own error does not say which file it is.
        with open(path, "rb"):
            pass
    context = ssl.create_default_context(cafile=endpoint.ca_cert)
    # From Python 3.13 on the certificates that MySQL makes for itself would not pass.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    by_default = bool(endpoint.ca_cert) and not endpoint.unix_socket
    context.check_hostname = by_default if endpoint.check_hostname is None else endpoint.check_hostname
    if not (endpoint.ca_cert or endpoint.check_hostname):
        context.verify_mode = ssl.CERT_NONE
    if endpoint.client_cert:
        # The password: for a key that is encrypted OpenSSL would ask on the terminal, for ever.
        context.load_cert_chain(endpoint.client_cert, endpoint.client_key, password=lambda: b"")
    elif endpoint.client_key:
        raise ssl.SSLError("client_key is given without client_cert")
    return context


def refused(endpoint: Endpoint, role: str, error: BaseException) -> ConnectError:
    """Say why no session could be opened, in a message without secrets, and which options to look at."""
    coded = len(error.args) > 1 and isinstance(error.args[0], int) and not isinstance(error, OSError)
    number = error.args[0] if coded else 0
    cause = getattr(error, "original_exception", error)  # the driver's wrapping of the system's error
    prefix = "source." if role == "source" else ""
    return ConnectError(
        "cannot_connect",
        f"cannot connect to the {role} at {endpoint.address} as {endpoint.user!r}: {_reason(error, number)}.",
        _remedy(endpoint, prefix, number, cause, _reason(error, number)) + (_INHERITED if prefix else ""),
    )


_INHERITED = " What is not given under 'source' is taken from the target's login."


def _reason(error: BaseException, number: int) -> str:
    if not number:
        text = str(error) if isinstance(error, (OSError, RuntimeError)) else f"{type(error).__name__}: {error}"
        return text.rstrip(".")
    return str(error.args[1]).rstrip(".") + (f" (error {number})" if number < 2000 or number >= 3000 else "")


def _remedy(endpoint: Endpoint, prefix: str, number: int, cause: object, text: str) -> str:
    def option(*names: str) -> str:
        return ", ".join(f"'{prefix}{name}'" for name in names)

    tls = option("ca_cert", "client_cert", "client_key")
    if isinstance(cause, ssl.SSLCertVerificationError):
        if endpoint.check_hostname is not False and ("match" in text or "not valid for" in text):
            return (
                f"The certificate is not made out to {endpoint.host!r}: give {option('login_host')} as the certificate has it,"
                f" or set {option('check_hostname')} to false."
            )
        return f"Give the authority that signed the server's certificate as {option('ca_cert')}."
    if isinstance(cause, ssl.SSLError):
        return (
            f"Check {tls}: certificate and key must belong together, unencrypted, in PEM format, and the server must trust them."
        )
    if isinstance(cause, OSError) and cause.filename:
        return f"Check {tls}: the files are read on the host where the module runs."
    if number in _WRONG_LOGIN:
        return (
            f"Check {option('login_user', 'login_password')}, and for which hosts the account is. An account that requires"
            f" TLS or a certificate gives the same answer without: see {tls}."
        )
    if number in _HOST_REFUSED:
        return "The server refuses the host where the module runs: make an account for it, or run the module elsewhere."
    # PyMySQL before 1.2 asks for TLS all the same where the server offers none.
    no_tls = "SSL is required" in text or (number == _BAD_HANDSHAKE and endpoint.demands_tls)
    if number == _TLS_REQUIRED or no_tls:
        return f"Both sides must use TLS: see {tls}, and whether the server has certificates."
    if number == _USED_UP and "max_user_connections" not in text:
        return ACCOUNT_LIMIT
    if number in _NO_ROOM:
        return (
            "The server or the account has nothing left of what the limit counts. A run takes three connections to each server, "
            "a fourth where many rows differ, and one more for each of 'workers' beyond the first: raise the limit, or try again"
            " later with fewer 'workers'."
        )
    if "package is required" in text:
        package = "PyNaCl" if "nacl" in text.lower() else "cryptography"
        return (
            f"Install the Python package {package} on the host where the module runs"
            + (f", connect with TLS ({tls})" if package == "cryptography" else "")
            + ", or use an account with another authentication plugin."
        )
    if "plugin" in text.lower():
        return "Use an account with mysql_native_password, caching_sha2_password, sha256_password or ed25519."
    if number and not 2000 <= number < 3000:  # the client's own numbers are of the network
        return f"The server refuses the account ({option('login_user')}) for the reason it gives."
    where = option("login_unix_socket") if endpoint.unix_socket else option("login_host", "login_port")
    answer = f", {option('connect_timeout')} ({endpoint.connect_timeout} s)" if "timed out" in text else ""
    return f"Check {where}{answer}, and that the server runs and can be reached from the host where the module runs."
