# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""IDEMPOTENT mode of a replica's applier: missing and duplicate rows are passed over instead of stopping it.

A repair that reaches a replica as row changes needs it for its duration (downstream.py, rowwise.py). It is a danger while
it is on, since other errors are passed over too: so it is put back as soon as what needed it has been applied, and a run
that sets it on the target notes that in its journal before, for the next run to put it back should this one be killed.
https://dev.mysql.com/doc/refman/8.4/en/replication-options-replica.html#sysvar_replica_exec_mode
"""

from __future__ import annotations

import typing as t
from contextlib import contextmanager

from . import grants
from .errors import AccessDenied, Refusal, ReplError
from .fence import fence
from .journal import Identity, Writer, left_lenient, note_strict
from .links import Link
from .session import Session

IDEMPOTENT, STRICT = "IDEMPOTENT", "STRICT"


class Applier:
    """The applier of one replica."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: The variable as this server calls it.
        self.variable = min(session.variables(("slave_exec_mode", "replica_exec_mode")))

    @property
    def mode(self) -> str:
        """STRICT or IDEMPOTENT."""
        return (self._session.variables((self.variable,)).get(self.variable) or "").upper()

    def set(self, mode: str, otherwise: str) -> None:
        """Set the mode. ``otherwise``: what the user can do without the right. Raises Refusal ``missing_grant``."""
        try:
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

    def restore(self, upstream: Session, link: Link, timeout: float) -> t.Iterator[str]:
        """Wait until the upstream's changes have arrived and set STRICT; yields what went wrong.

        ``timeout``: seconds. A replica that does not catch up stays IDEMPOTENT: STRICT would break it.
        """
        try:
            fence(upstream, self._session, link, timeout)
            self.set(STRICT, f"set {self.variable} yourself")
        except ReplError as exc:
            yield (
                f"{self._session.name} is still in IDEMPOTENT mode: {exc.message}"
                f" When it has caught up, run there: SET GLOBAL {self.variable} = 'STRICT'."
            )


@contextmanager
def lenient_target(
    source: Session, target: Session, link: Link, identity: Identity, journal: Writer, timeout: float, problems: list[str]
) -> t.Iterator[None]:
    """Keep the target IDEMPOTENT while the context lasts; drain it and set STRICT then. ``problems`` gets what went wrong.

    Found IDEMPOTENT, it is left so: somebody else wants it. Raises Refusal ``missing_grant``, ``journal_unwritable``.
    """
    applier = Applier(target)
    if applier.mode == IDEMPOTENT:
        yield
        return
    journal.lenient(identity, True)
    try:
        applier.set(IDEMPOTENT, "leave 'allow_triggers' off and 'method' at 'auto'")
    except ReplError:
        journal.lenient(identity, False)
        raise
    try:
        yield
    finally:
        found = list(applier.restore(source, link, timeout))
        problems += found
        if not found:
            journal.lenient(identity, False)


def put_back(source: Session, target: Session, link: Link, identity: Identity, directory: str, timeout: float) -> str:
    """Set the target STRICT if a run of ours that was killed has left it IDEMPOTENT, by the journals in ``directory``.

    Returns what was done in words; empty: nothing had to be. Raises Refusal ``idempotent_left_on`` if it cannot be.
    """
    applier = Applier(target)
    path = left_lenient(directory, identity) if applier.mode == IDEMPOTENT else None
    if not path:
        return ""
    problems = list(applier.restore(source, link, timeout))
    if problems:
        raise Refusal("idempotent_left_on", f"{problems[0]} A run that was killed left it so ({path}).", "Then run again.")
    note_strict(path, identity)
    return f"{target.name} was in IDEMPOTENT mode, left so by a run that was killed ({path}); it is STRICT again."
