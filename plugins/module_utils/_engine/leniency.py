# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IDEMPOTENT mode of a replica's applier: missing and duplicate rows are passed over instead of stopping it.

A repair that reaches a replica as row changes needs it for its duration (downstream.py, rowwise.py). It is a danger while
it is on, since other errors are passed over too: so it is put back as soon as what needed it has been applied, and a run
that sets it on the target notes that in its journal before, for the next run to put it back should this one be killed.
Runs on different pairs may share a replica: who makes it lenient or puts it back has it alone, by a lock on that server.
https://dev.mysql.com/doc/refman/8.4/en/replication-options-replica.html#sysvar_replica_exec_mode
"""

from __future__ import annotations

import time
import typing as t
from contextlib import ExitStack, contextmanager, suppress

from . import grants, sqltext
from .entries import Identity
from .errors import AccessDenied, ConnectError, LostConnection, Refusal, ReplError, ServerError, Undecided
from .facts import read_identity, read_log_end
from .fence import fence
from .journal import Writer
from .links import Link, read_links
from .session import Session
from .topology import another

IDEMPOTENT, STRICT = "IDEMPOTENT", "STRICT"

# Seconds: how long a server may take to tell or to set its mode; one that is frozen must not hold a run for ever.
_ANSWER = 60.0

# Seconds between two attempts to take up a replica again.
_RETRY = 0.5

# How often an applier that stopped at a row is started again: once should do.
_STARTS = 3

# Held there by whoever made a server lenient, until it is STRICT again; it goes with his session.
_LOCK = sqltext.string("comaster.mysql_repl.lenient")

# Seconds that a server is given to notice that a session of ours is gone, with what it held.
_GONE = 5


class Applier:
    """The applier of one replica. ``reopen``: logs in to it once more, where its session may be replaced by another.

    ``reopen`` raises ConnectError where the server does not answer, and Refusal where it is another one.
    """

    def __init__(self, session: Session, reopen: t.Callable[[], Session] | None = None) -> None:
        self._session = session
        self._reopen = reopen
        self._reopened = False
        self._is_alone = False
        self._starts = 0
        #: The variable as this server calls it.
        with session.answers_within(_ANSWER):
            self.variable = min(session.variables(("slave_exec_mode", "replica_exec_mode")))

    @property
    def mode(self) -> str:
        """STRICT or IDEMPOTENT."""
        with self._session.answers_within(_ANSWER):
            return (self._session.variables((self.variable,)).get(self.variable) or "").upper()

    @contextmanager
    def alone(self) -> t.Iterator[bool]:
        """Keep other runs from setting the mode while the context lasts, on sessions taken up meanwhile too.

        Gives whether that is so; False: another run does it just now. To be asked before the mode is looked at.
        """
        self._is_alone = self._lock()
        try:
            yield self._is_alone
        finally:
            if self._is_alone:  # the session may be used by others too, or be replaced sooner than the server sees that it ended
                self._is_alone = False
                with suppress(ServerError), self._session.answers_within(_ANSWER):
                    self._session.execute(f"DO RELEASE_LOCK({_LOCK})")

    @contextmanager
    def by_us(self) -> t.Iterator[None]:
        """As alone(). Raises Refusal ``already_running`` where another run sets the mode just now."""
        with self.alone() as is_alone:
            if not is_alone:
                raise self._in_use()
            yield

    def _lock(self, wait: int = 0) -> bool:
        with self._session.answers_within(_ANSWER):
            return self._session.scalar(f"SELECT GET_LOCK({_LOCK}, {wait})") == "1"

    def _lock_again(self, before: int) -> None:
        """As the session before did, which may still hold it where the server has not seen that it is gone."""
        if not self._lock(_GONE) and self._session.scalar(f"SELECT IS_USED_LOCK({_LOCK})") != str(before):
            raise self._in_use()

    def _in_use(self) -> Refusal:
        return Refusal(
            "already_running",
            f"Another run keeps {self._session.name} in {IDEMPOTENT} mode.",
            "Wait until it has finished; its lock goes with its connection.",
        )

    def set(self, mode: str, otherwise: str) -> None:
        """Set the mode. ``otherwise``: what the user can do without the right. Raises Refusal ``missing_grant``."""
        try:
            with self._session.answers_within(_ANSWER):
                self._session.execute(f"SET GLOBAL {self.variable} = '{mode}'")
        except AccessDenied as exc:
            raise self._may_not(otherwise, f": {exc.message}") from exc

    def refuse_unsettable(self, otherwise: str) -> None:
        """Raise Refusal ``missing_grant`` if set() will, as far as the account's rights tell."""
        rights = grants.read(self._session)
        if not (rights.unparsed or rights.has(self._session.dialect.applier_privilege)):
            raise self._may_not(otherwise)

    def _may_not(self, otherwise: str, words: str = "") -> Refusal:
        return Refusal(
            "missing_grant",
            f"{self._session.name}: the account may not set {self.variable}{words}.",
            f"GRANT {self._session.dialect.applier_privilege.split('|')[0]} ON *.* to the account there, or {otherwise}.",
        )

    def restore(self, upstream: Session, identity: str, link: Link, timeout: float) -> t.Iterator[str]:
        """Wait until the upstream's changes have arrived and set STRICT; yields what went wrong.

        ``timeout``: seconds. A replica that does not catch up stays IDEMPOTENT: STRICT would break it. One that was
        restarted meanwhile is STRICT, and may have been broken by it: where ``reopen`` is known it is taken up again. A lost
        session to the upstream is replaced for this alone, ``identity`` being what read_identity() told of the server before.
        """
        ends = time.monotonic() + timeout
        with ExitStack() as sessions:
            while True:
                try:
                    self._take_up_again(link)
                    upstream = alive(upstream, identity, sessions)
                    fence(upstream, self._session, link, max(_RETRY, ends - time.monotonic()))
                    self.set(STRICT, f"set {self.variable} yourself")
                    return
                except ReplError as exc:
                    if not self._reopen or time.monotonic() >= ends or not self._may_pass(exc, link):
                        yield self.words(exc, link)
                        return
                time.sleep(_RETRY)

    def _may_pass(self, problem: ReplError, link: Link) -> bool:
        """Whether to try again may help: one of the two is away or just back, or the replica stopped at a row."""
        if isinstance(problem, Undecided):
            with suppress(ServerError):
                return (self._reopened and problem.code == "stopped_link") or self._may_start(link)
        return isinstance(problem, (ConnectError, LostConnection))

    def take_up(self, link: Link) -> None:
        """Start it again where it has stopped at a row. Raises ServerError."""
        if self._may_start(link):
            self._starts += 1
            self._session.execute(self._session.dialect.start_applier(link.channel))

    def _take_up_again(self, link: Link) -> None:
        """After the session was lost, or the server restarted: as it was before. Raises ReplError."""
        if not self._reopen:
            return
        try:
            mode = self.mode
        except LostConnection:
            before = self._session.connection_id
            self._session = self._reopen()
            self._reopened = True
            if self._is_alone:
                self._lock_again(before)
            mode = self.mode
        if mode == STRICT:
            self.set(IDEMPOTENT, f"set {self.variable} yourself")
        self.take_up(link)

    def _may_start(self, link: Link) -> bool:
        """Whether the applier stopped at a row and has not been started in vain. Raises ServerError."""
        now = (now for now in read_links(self._session) if now.channel == link.channel)
        return self._starts < _STARTS and any(each.stopped_at_rows for each in now)

    def words(self, problem: ReplError, link: Link) -> str:
        """What the user has to do about a replica that was not seen to catch up."""
        strict = f"when it has caught up, run there: SET GLOBAL {self.variable} = 'STRICT'."
        if not self._reopen:
            return f"{self._session.name} is still in IDEMPOTENT mode: {problem.message} {strict[0].upper()}{strict[1:]}"
        return (
            f"{self._session.name} is still in IDEMPOTENT mode, unless it was restarted: {problem.message} If it stopped at a row"
            f" (error 1062 or 1032), {self.mending(link.channel)}"
        )

    def mending(self, channel: str) -> str:
        """What lets it go on that has stopped at rows of a run, for a person to do."""
        start = self._session.dialect.start_applier(channel)
        return (
            f"run there: SET GLOBAL {self.variable} = '{IDEMPOTENT}'; {start}; when it has caught up, run there: SET GLOBAL"
            f" {self.variable} = '{STRICT}'."
        )


def alive(session: Session, identity: str, sessions: ExitStack) -> Session:
    """The session, or where it is lost another one to the same server, for as long as ``sessions``.

    Only for what needs nothing that went with the old one. ``identity``: what read_identity() told of it. Raises ReplError.
    """
    try:
        with session.answers_within(_ANSWER):
            session.assert_alive()
        return session
    except LostConnection:
        return sessions.enter_context(another(session, identity))


@contextmanager
def lenient_target(
    source: Session, target: Session, link: Link, identity: Identity, journal: Writer, timeout: float, problems: list[str]
) -> t.Iterator[None]:
    """Keep the target IDEMPOTENT while the context lasts; drain it and set STRICT then. ``problems`` gets what went wrong.

    Found IDEMPOTENT, it is left so: somebody else wants it. Restarted meanwhile it comes up STRICT and may stop at a row that
    was written before: it is taken up again. Raises Refusal ``already_running``, ``missing_grant``, ``journal_unwritable``.
    """
    expected, upstream = read_identity(target), read_identity(source)
    with ExitStack() as sessions:
        applier = Applier(target, lambda: sessions.enter_context(another(target, expected)))
        sessions.enter_context(applier.by_us())
        if applier.mode == IDEMPOTENT:
            yield
            return
        journal.lenient(identity, True, read_log_end(source))
        try:
            applier.set(IDEMPOTENT, "leave 'allow_triggers' off and 'method' at 'auto'")
        except ReplError:
            journal.lenient(identity, False)
            raise
        try:
            yield
        finally:
            found = list(applier.restore(source, upstream, link, timeout))
            problems += found
            if not found:
                with suppress(Refusal):  # a full disk: what was done must be told all the same, and it is STRICT
                    journal.lenient(identity, False)
