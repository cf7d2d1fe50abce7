# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas below the target: a repair must not break them (law 10).

What a repair does on the target, the target logs again for its own replicas, in its own format. Measured on MariaDB
and MySQL, for replicas that had the right row all along and for replicas with the target's drift:

* STATEMENT: the same statements again. Harmless.
* ROW: an inserted row stops a replica that has it (error 1062), a deleted row one that lacks it (1032). With the
  replica in IDEMPOTENT mode both are passed over, and all copies are equal afterwards; but not in a table without a
  key, where the replica gets inserted rows a second time.
* MIXED: statements as a rule, but rows under READ COMMITTED and the like. Taken for ROW.
"""

from __future__ import annotations

import typing as t
from contextlib import ExitStack, contextmanager

from .errors import AccessDenied, Refusal, ReplError
from .facts import Replica, ServerFacts, read_facts, read_replicas
from .fence import fence
from .links import Link, read_links
from .session import Session, connect
from .topology import leads_to

IDEMPOTENT = "IDEMPOTENT"


def is_harmless(target: ServerFacts) -> bool:
    """Whether replicas below the target cannot be broken by a repair."""
    return not target.log_replica_updates or target.binlog_format.upper() == "STATEMENT"


@contextmanager
def idempotent(target: Session, facts: ServerFacts, replicas: t.Iterable[Replica], timeout: float) -> t.Iterator[list[str]]:
    """Keep the replicas below the target in IDEMPOTENT mode while the context lasts; then drain them and set STRICT.

    STRICT also where a run that was killed had left IDEMPOTENT behind: that cannot be told from anything else.
    They are reached with the target's login at the addresses they report. ``timeout``: seconds for a replica to catch
    up; one that does not stays IDEMPOTENT, because STRICT would break it, and the list given, which is empty until
    the end, then says so. Where nothing can break, nothing is done. Raises Refusal before anything is changed
    (``downstream_unknown``, ``downstream_replicas``, ``stopped_link``, ``missing_grant``) and ConnectError.
    """
    problems: list[str] = []
    if is_harmless(facts):
        replicas = ()
    with ExitStack() as sessions:
        all_below = [_open(sessions, target, facts, replica) for replica in replicas]
        relaxed: list[_Below] = []
        try:
            for below in all_below:
                below.set(IDEMPOTENT)
                relaxed.append(below)
            yield problems
        finally:
            problems += [problem for below in relaxed for problem in below.restore(target, timeout)]


class _Below:
    """One replica below the target."""

    def __init__(self, session: Session, link: Link) -> None:
        self._session = session
        self._link = link
        self._name = min(session.variables(("slave_exec_mode", "replica_exec_mode")))

    def restore(self, target: Session, timeout: float) -> t.Iterator[str]:
        """Wait until the target's changes have arrived and put the mode back; yields what went wrong."""
        try:
            fence(target, self._session, self._link, timeout)
            self.set("STRICT")
        except ReplError as exc:
            yield (
                f"{self._session.name} is still in IDEMPOTENT mode: {exc.message}"
                f" When it has caught up, run there: SET GLOBAL {self._name} = 'STRICT'."
            )

    def set(self, mode: str) -> None:
        """Set the mode. Raises Refusal ``missing_grant``."""
        try:
            self._session.execute(f"SET GLOBAL {self._name} = '{mode}'")
        except AccessDenied as exc:
            right = "REPLICATION SLAVE ADMIN" if self._session.dialect.is_mariadb else "SYSTEM_VARIABLES_ADMIN"
            raise Refusal(
                "missing_grant",
                f"{self._session.name}: the account may not set {self._name}: {exc.message}.",
                f"GRANT {right} ON *.* to the account there, or leave 'downstream' at 'refuse'.",
            ) from exc


def _open(sessions: ExitStack, target: Session, facts: ServerFacts, replica: Replica) -> _Below:
    """Log in to a replica and prove that it is the one, and the last of its line."""
    if not (replica.host and replica.port and replica.server_id):
        raise Refusal(
            "downstream_unknown",
            f"{target.name} has a replica that does not report its address: {replica}.",
            "Set report_host and report_port on it, and let the account see it (SHOW REPLICAS).",
        )
    address = target.endpoint.at(replica.host, replica.port)
    session = sessions.enter_context(connect(address, "replica below the target"))
    found = read_facts(session)
    link = next((link for link in read_links(session) if leads_to(link, facts)), None)
    if link is None or (found.server_id, found.uuid) != (replica.server_id, replica.uuid or found.uuid):
        raise Refusal(
            "downstream_unknown",
            f"{session.name} is not the replica of the target that reports this address ({replica}).",
            "Correct its report_host and report_port.",
        )
    if link.problem:
        raise Refusal("stopped_link", f"{link.name} does not replicate: {link.problem}.", "Mend and start it first.")
    below = read_replicas(session)
    if below is None or [each for each in below if each.server_id != facts.server_id]:
        raise Refusal(
            "downstream_replicas",
            f"{session.name} has replicas of its own, or may have: what becomes of them is not known.",
            "Detach them for the time of the repair.",
        )
    return _Below(session, link)
