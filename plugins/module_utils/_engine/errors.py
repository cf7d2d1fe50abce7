# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What may go wrong, in the words of the domain.

Only the outermost layer (a module, a test) turns these into its own kind of failure.
Every error says what was found, why it matters and what would allow or mend it.
"""

from __future__ import annotations


class ReplError(Exception):
    """Base of all errors the engine raises on purpose.

    ``code`` is stable and documented (docs/), ``message`` says what was found and why it is
    dangerous, ``remedy`` which option, grant or action would allow it.
    """

    def __init__(self, code: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy

    @property
    def text(self) -> str:
        """What was found and what to do about it: what a user is told."""
        return f"{self.message} {self.remedy}".strip()

    def __str__(self) -> str:
        return f"{self.text} [{self.code}]"


class UsageError(ReplError):
    """An option has a value that cannot be used; ``option`` is its name as the user typed it."""

    def __init__(self, option: str, message: str, remedy: str = "") -> None:
        super().__init__("bad_option", f"{option}: {message}", remedy)
        self.option = option


class ConnectError(ReplError):
    """No session could be opened to a server."""


class Refusal(ReplError):
    """The whole run is refused before anything was changed."""


class BecameReadOnly(Refusal):
    """The source was made read_only during the run, and takes nothing more. ``server``: its role and address."""

    def __init__(self, server: str, message: str = "it takes no writes any more") -> None:
        super().__init__(
            "source_read_only",
            f"{server} was made read_only during the run: {message}.",
            "Check which server is the authority; SET GLOBAL read_only=0 on the source, then run again.",
        )


class TableProblem(ReplError):
    """One table cannot be compared or repaired; the other tables go on."""


class BadValue(TableProblem, ValueError):
    """What a file of ours holds for a column is no value of that column's type: the file is damaged, or another's."""


class Undecided(ReplError):
    """No verdict is possible within the limits given (law 3 of the safety model)."""


class Interrupted(Undecided):
    """The run was told to end; ``reason`` says by whom. What it had done until then is complete."""

    def __init__(self, reason: str) -> None:
        super().__init__("interrupted", f"The run was ended early: {reason}.", "Nothing more was begun; run it again.")


# Where the server's own words name a limit, and not what to do about it.
ACCOUNT_LIMIT = "A limit of the account is used up: ALTER USER … WITH MAX_QUERIES_PER_HOUR 0, or run again when its hour is over."
_ENDED = (
    "Somebody, or a limit of statement time on the server or of the account, ended a statement of the run. Run it again; a"
    " smaller 'chunk_time' makes statements shorter."
)
_NO_SPACE = "The server has no space left, or none for its temporary files (tmpdir): make room there, and run again."
_REMEDIES = {1226: ACCOUNT_LIMIT, 1317: _ENDED, 1969: _ENDED, 3024: _ENDED, 1021: _NO_SPACE, 1114: _NO_SPACE, 3019: _NO_SPACE}


class ServerError(ReplError):
    """A statement failed on a server. ``errno`` is the server's error number (0: the connection)."""

    def __init__(self, errno: int, message: str, server: str) -> None:
        super().__init__("server_error", f"{server}: {message} (error {errno})", _REMEDIES.get(errno, ""))
        self.errno = errno
        self.server = server


class LostConnection(ServerError):
    """The session is gone: server stopped, session killed, network cut. Never reconnected silently."""

    def __init__(self, errno: int, message: str, server: str) -> None:
        super().__init__(errno, message, server)
        self.code = "lost_connection"


class AccessDenied(ServerError):
    """The account lacks a right; ``message`` carries the server's own words, which name it."""

    def __init__(self, errno: int, message: str, server: str) -> None:
        super().__init__(errno, message, server)
        self.code = "missing_grant"


class LockConflict(ServerError):
    """Lock wait timeout or deadlock: the application goes first, the caller may try again."""

    def __init__(self, errno: int, message: str, server: str) -> None:
        super().__init__(errno, message, server)
        self.code = "lock_conflict"
