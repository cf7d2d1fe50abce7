# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the operations that write have in common: one run's servers and wishes, its lock, its journal's header."""

from __future__ import annotations

import gc
import os
import time
import typing as t
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

from .. import __version__, journal, sqltext
from ..aftermath import Aftermath, Problem, advice_on
from ..downstream import idempotent
from ..errors import Refusal, ServerError
from ..facts import Replica, read_identity
from ..fence import check_links, fence_both, has_what_target_wrote
from ..hazards import INFO, WARNING, Hazard
from ..leniency import alive
from ..logplace import LogPlace
from ..options import Pace, Repair, Servers
from ..progress import Meter
from ..session import Session
from ..topology import OpenPair, Pair, ServerFacts


@dataclass(frozen=True)
class Run:
    """One run: its two servers and how they are joined, what the user asked for, and who is told how far it is.

    ``started``: by the clock of time.monotonic(), in seconds.
    """

    connections: OpenPair
    pair: Pair
    servers: Servers
    repair: Repair
    pace: Pace
    meter: Meter = field(default_factory=Meter)
    started: float = field(default_factory=time.monotonic)

    def fence(self) -> None:
        """Wait until both servers have applied what the other has logged. Raises Undecided, and what the meter raises."""
        both, timeout = self.connections, self.servers.fence_timeout
        fence_both(both.source, both.target, self.pair, timeout, self.meter.draining)

    def drain(self) -> None:
        """As fence(), untold: where nobody may end the run."""
        fence_both(self.connections.source, self.connections.target, self.pair, self.servers.fence_timeout)

    def settled(self) -> bool:
        """Whether the source has all that the target has written so far; waits a moment at most. Raises ServerError."""
        return has_what_target_wrote(self.connections.source, self.connections.target, self.pair)

    def aftermath(self) -> Aftermath:
        """What an earlier run that was killed has left of the target's leniency. Raises ServerError."""
        both = self.connections
        header = journal_header("sync", self.pair, both)
        return Aftermath(both.source, both.target, self.pair.forward, header, self.repair.undo_dir)

    def advised(self, problem: Problem, aftermath: Aftermath) -> Problem:
        """The same problem, with what to do about a server that a run which died has left lenient in its remedy.

        That is the target; or it is the source by now. Raises ServerError.
        """
        source = journal_header("sync", self.pair, self.connections).source
        return aftermath.advised(problem, advice_on(self.connections.source, self.pair.reverse, source, self.repair.undo_dir))

    def check_links(self) -> None:
        """Raise Refusal ``broken_link`` unless replication runs, in each direction that there is."""
        check_links(self.connections.source, self.connections.target, self.pair)


# New objects until Python looks for garbage among them (700 is its own choice), and how many such looks until older ones are
# looked through as well.
_COLLECT_AFTER = (50_000, 20, 20)


@contextmanager
def collecting_seldom() -> t.Iterator[None]:
    """Let Python look for garbage in cycles seldom: rows are made by the million, are in no cycle, and go without it.

    A tenth of the time that a repair of many rows takes goes into looking otherwise.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*_COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def only_run(source: Session, target: Session, pair: Pair) -> t.Iterator[None]:
    """Keep a second run away from the same pair, until the sessions end at the latest.

    On each server a lock named after the other one: a run that takes the target for the source wants the same two, and would
    give each server the other's rows. Raises Refusal ``already_running``.
    """
    with _lock(source, pair.target), _lock(target, pair.source):
        yield


@contextmanager
def _lock(session: Session, partner: ServerFacts) -> t.Iterator[None]:
    name = sqltext.string(f"comaster.mysql_repl.{partner.server_id}")
    if session.scalar(f"SELECT GET_LOCK({name}, 0)") != "1":
        raise Refusal(
            "already_running",
            f"Another run is repairing the same target, or the other way round ({session.name}, server_id {partner.server_id}).",
            "Wait until it has finished; its lock goes with its connection.",
        )
    try:
        yield
    finally:
        with suppress(ServerError):
            session.execute(f"DO RELEASE_LOCK({name})")


@contextmanager
def useless_if_this_fails(writer: journal.Writer) -> t.Iterator[None]:
    """Remove a journal when the context is left by an error: nothing was begun, and no server is lenient on its account."""
    try:
        yield
    except BaseException:
        if not writer.lenient_servers:
            with suppress(OSError):
                os.remove(writer.path)
        raise


class Lenient:
    """Keeps replicas besides the pair's own two in IDEMPOTENT mode until ``stack`` unwinds; those that come meanwhile too."""

    def __init__(self, run: Run, writer: journal.Writer, stack: ExitStack) -> None:
        self._run, self._writer, self._stack = run, writer, stack
        self._found: list[list[str]] = []
        both = run.connections
        self._identities = read_identity(both.source), read_identity(both.target)

    def __call__(
        self, upstream: Session, facts: ServerFacts, replicas: tuple[Replica, ...], since: LogPlace | None = None
    ) -> None:
        """Make replicas of a server lenient. Raises what downstream.idempotent() does."""
        run = self._run
        lenient = idempotent(upstream, facts, replicas, run.servers.fence_timeout, self._writer, self._drain, since)
        self._found.append(self._stack.enter_context(lenient))

    def _drain(self) -> None:
        """As Run.drain(), though the run's own sessions may be lost: what ended it must not keep replicas lenient."""
        both, (source, target) = self._run.connections, self._identities
        with ExitStack() as sessions:
            drained = alive(both.source, source, sessions), alive(both.target, target, sessions)
            fence_both(*drained, self._run.pair, self._run.servers.fence_timeout)

    @property
    def left_behind(self) -> tuple[str, ...]:
        """What could not be put back, in words; known once the stack has unwound."""
        return tuple(words for found in self._found for words in found)


def put_back(words: str, is_done: bool = True) -> Hazard:
    """What has become of the leniency that an earlier run left behind, as a hazard of this one."""
    if is_done:
        return Hazard("idempotent_left_on", INFO, "target", words, "Nothing else to do.")
    return Hazard("idempotent_left_on", WARNING, "target", words)


def journal_header(kind: str, pair: Pair, connections: OpenPair) -> journal.Header:
    """Who is about to change what."""
    source, target = (
        journal.Identity(session.endpoint.address, facts.server_id, facts.uuid)
        for session, facts in ((connections.source, pair.source), (connections.target, pair.target))
    )
    return journal.Header(kind, source, target, tool=__version__)
