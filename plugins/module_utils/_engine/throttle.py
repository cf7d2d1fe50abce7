# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When to hold back: the application and the replicas go first, and the user may pause or end the run."""

from __future__ import annotations

import os
import time
import typing as t
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from .errors import ConnectError, ServerError, Undecided
from .facts import Replica, read_facts
from .links import read_links
from .options import Pace
from .progress import Meter
from .session import Session, connect

# Seconds between two looks at the servers: a look costs a few queries.
_LOOK_EVERY = 0.5


@dataclass
class Throttle:
    """Asked before each piece of work; returns when the work may go on.

    ``source`` and ``target`` are sessions of the caller's thread. ``meter`` is told what holds the work back. Time counts
    from its making, or from ``started``. ``below``: sessions to other replicas of either server (watch()), whose lag
    counts too; one that is lost is asked no more.
    """

    pace: Pace
    source: Session
    target: Session
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.monotonic)
    below: list[Session] = field(default_factory=list)
    _looked: float = 0.0

    def wait(self) -> None:
        """Return once nothing asks to hold back. Raises Undecided ``max_runtime``, what the meter raises, and ServerError."""
        while True:
            self._end()
            due = time.monotonic() - self._looked >= _LOOK_EVERY
            reason = self.reason() if due else ""
            self.meter.hold(reason)
            if not reason:
                self._looked = time.monotonic() if due else self._looked
                return
            time.sleep(_LOOK_EVERY)

    def reason(self) -> str:
        """Why work must wait at this moment; empty when it need not. Raises ServerError."""
        if self.pace.pause_file and os.path.exists(self.pace.pause_file):
            return f"{self.pace.pause_file} exists"
        for session in (self.source, self.target):
            if self.pace.max_threads_running is not None:
                running = _threads_running(session)
                if running > self.pace.max_threads_running:
                    return f"{session.name} has {running} threads running"
            lagging = self._lagging(session)
            if lagging:
                return lagging
        for session in tuple(self.below):
            try:
                lagging = self._lagging(session)
            except ServerError:
                self.below.remove(session)
            else:
                if lagging:
                    return f"{session.name}: {lagging}"
        return ""

    def _lagging(self, session: Session) -> str:
        if self.pace.max_lag is None:
            return ""
        links = [link for link in read_links(session) if link.healthy]
        # What a replica is told to be behind is no load.
        late = [link for link in links if (link.lag or 0) - link.delay > self.pace.max_lag]
        return f"{late[0].name} lags {late[0].lag} s behind" if late else ""

    def _end(self) -> None:
        if self.pace.max_runtime is not None and time.monotonic() - self.started > self.pace.max_runtime:
            raise Undecided(
                "max_runtime",
                f"The time given by max_runtime ({self.pace.max_runtime:g} s) is over.",
                "Raise max_runtime, or select fewer tables for each run.",
            )


@contextmanager
def watch(pace: Pace, below: t.Iterable[tuple[Session, t.Iterable[Replica] | None]]) -> t.Iterator[list[Session]]:
    """Sessions to the replicas of servers, where ``max_lag`` asks for their lag, while the context lasts.

    Each is reached with its upstream's login at the address it reports. One that reports none, does not answer, is another
    server, or does not show its replication status to the account is left out: its lag cannot be seen.
    """
    with ExitStack() as sessions:
        found = []
        for upstream, replicas in below if pace.max_lag is not None else ():
            for replica in replicas or ():
                if replica.host and replica.port:
                    try:
                        address = upstream.endpoint.at(replica.host, replica.port)
                        session = sessions.enter_context(connect(address, f"replica below the {upstream.role}"))
                        if read_facts(session).server_id == replica.server_id and read_links(session):
                            found.append(session)
                    except (ConnectError, ServerError):
                        continue
        yield found


def _threads_running(session: Session) -> int:
    """Statements at work on a server, ours among them."""
    return int(session.record("SHOW GLOBAL STATUS LIKE 'Threads_running'").get("Value") or 0)
