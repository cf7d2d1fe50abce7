# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs that were killed have left of the leniency of servers, as their journals tell, and how it is put back.

A server that such a run had made lenient still is, and is to be STRICT again. Or it was restarted since, as where the run died
with it on one host: then it came up STRICT, and stops at the first row that it was to pass over, or has done so. It is made
lenient once more, until it has caught up. That the row is ours is proved by the journal, which tells between which places of the
source's binary log the run wrote, and into which tables; what others wrote there meanwhile the run would have passed over too.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass

from . import journal
from .entries import Header, Identity
from .errors import Refusal, Undecided
from .facts import read_identity
from .leniency import IDEMPOTENT, Applier
from .links import Link
from .logplace import LogSpan
from .session import Session
from .topology import another

#: What there is to say of a server that was put back: nobody knows what it has passed over besides the rows of that run.
STRICT_AGAIN = (
    "it is STRICT again. What others wrote meanwhile and it could not apply was passed over too: check the other tables as well."
)

Problem = t.TypeVar("Problem", Refusal, Undecided)

# Seconds before a server's last start: a journal that was last written earlier is of no run that died with it.
_DAY = 86400.0

# Seconds by which the time of that start, which is told in whole ones, may be wrong.
_BLUR = 2.0


@dataclass(frozen=True)
class Leftover:
    """A journal by which a run has left ``server`` lenient, and did not live to put it back.

    ``within``: what it was lenient for in the binary log of the ``header``'s source; None: not known, or not the target.
    ``tables``: names of those that the run was to change.
    """

    path: str
    header: Header
    server: Identity
    within: LogSpan | None
    tables: frozenset[str] = frozenset()


def find(directory: str, server: Identity, written: tuple[float, float] | None = None) -> Leftover | None:
    """The latest in ``directory`` ("": the default one) of this server. A journal that cannot be read tells nothing.

    ``written``: between which two times, in seconds of this host's clock, it must have been written last.
    """
    directory = journal.folder(directory)
    try:
        names = [name for name in os.listdir(directory) if name.endswith(".jsonl")]
    except OSError:
        return None
    found = []
    for path in (os.path.join(directory, name) for name in names):
        with suppress(Refusal, OSError):
            if (written and not written[0] <= os.path.getmtime(path) <= written[1]) or not _may_tell(path):
                continue
            read = journal.read(path)
            same = (each for each in read.left_lenient if each.is_same(server))
            tables = frozenset(str(table.name) for table in read.tables.values())
            found += [Leftover(path, read.header, each, read.lenient_for(each), tables) for each in same]
    return max(found, key=lambda each: (each.header.created, each.path), default=None)


def _may_tell(path: str) -> bool:
    """Whether a journal notes leniency at all. To read one takes forty times as long, and most are of no use here."""
    with open(path, "rb") as file:
        return any(line.startswith(b'{"is":"lenient"') for line in file)


def note_strict(left: Leftover) -> str:
    """Note in its journal that the server is not in IDEMPOTENT mode any more. Returns in words what kept it from that, or ""."""
    try:
        with open(left.path, "rb+") as file:
            whole = file.read().rfind(b"\n") + 1
            file.seek(whole)
            file.truncate()  # a line that was not finished says nothing
            line = {"is": "lenient", "server": asdict(left.server), "on": False}
            file.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:  # it is STRICT all the same
        return f" That could not be noted in {left.path}: {exc.strerror or exc}."
    return ""


def advice(left: Leftover, applier: Applier, link: Link) -> str:
    """What to do about a server that has stopped, where nothing proves that it did so at a row of that run."""
    return (
        f"A run that died had it in IDEMPOTENT mode ({left.path}). If it has stopped at a row of that run,"
        f" {applier.mending(link.channel)}"
    )


def advice_on(session: Session, link: Link | None, server: Identity, directory: str) -> str:
    """As advice(), of a server whose ``link`` has stopped at a row; empty where no journal in ``directory`` tells of it."""
    left = find(directory, server) if link and link.stopped_at_rows else None
    return advice(left, Applier(session), link) if left and link else ""


class Aftermath:
    """What a run of ours that was killed has left of the target's leniency.

    ``link``: the target's, as it was found; ``pair``: who the two servers are; ``directory``: where journals are.
    """

    def __init__(self, source: Session, target: Session, link: Link, pair: Header, directory: str) -> None:
        self._source, self._target, self._link, self._pair = source, target, link, pair
        self._directory = directory
        self._applier = Applier(target)
        self._look()

    def _look(self) -> None:
        self._is_on = self._applier.mode == IDEMPOTENT
        #: What a journal tells of it.
        self.left: Leftover | None = None
        if self._is_on or self._link.stopped_at_rows:
            self.left = find(self._directory, self._pair.target)
        elif self._link.healthy:  # as mostly: only what was written shortly before it was started is read
            self.left = find(self._directory, self._pair.target, self._before_its_start())

    def _before_its_start(self) -> tuple[float, float]:
        uptime = self._target.record("SHOW GLOBAL STATUS LIKE 'Uptime'").get("Value")
        started = time.time() - int(uptime or 0)
        return started - _DAY, started + _BLUR

    @property
    def is_ours(self) -> bool:
        """Whether it is proved that the state in which the target was found is that run's doing."""
        return bool(self.left and (self._is_on or self._stopped_at_ours or self._has_ours_before_it))

    @property
    def _span(self) -> LogSpan | None:
        """What that run wrote in the binary log of this source; None: that is not known."""
        is_known = self.left and self.left.header.source.is_same(self._pair.source)
        return self.left.within if self.left and is_known else None

    @property
    def _stopped_at_ours(self) -> bool:
        if not self.left or self._link.names_none_of(self.left.tables):
            return False  # the same places come again where a log began anew
        return bool(self._span and self._link.stopped_within(self._span))

    @property
    def _has_ours_before_it(self) -> bool:
        return bool(self._link.healthy and self._span and self._span.until.is_beyond(self._link.applied))

    @property
    def _has_passed_ours(self) -> bool:
        """Whether it is STRICT and runs, and has applied what that run wrote: somebody mended it by hand."""
        applied, span = self._link.applied, self._span
        is_fine = self._link.healthy and not self._is_on
        return bool(is_fine and span and (applied == span.until or applied.is_beyond(span.until)))

    @property
    def advice(self) -> str:
        """What to do about a target that has stopped; empty where no journal tells of anything."""
        if not self.left:
            return ""
        if self.is_ours:
            return f"A run that died has left it so ({self.left.path}): a run that is no check mode has it go on."
        return advice(self.left, self._applier, self._link)

    def advised(self, problem: Problem, otherwise: str = "") -> Problem:
        """The same problem, with what to do about such a target in its remedy; ``otherwise``: where there is none."""
        return type(problem)(problem.code, problem.message, f"{problem.remedy} {self.advice or otherwise}".strip())

    def put_back(self, timeout: float) -> str:
        """Have the target apply what is still to come, and set it STRICT. Returns what was done in words, "" for nothing.

        ``timeout``: seconds. A target that a living run keeps lenient is left alone. Raises Refusal ``idempotent_left_on`` if it
        cannot be.
        """
        if self.left and self._has_passed_ours:
            note_strict(self.left)  # where that is not possible, the next run looks once more
        if not self.is_ours:
            return ""
        expected, upstream = read_identity(self._target), read_identity(self._source)
        with ExitStack() as sessions:
            applier = Applier(self._target, lambda: sessions.enter_context(another(self._target, expected)))
            if not sessions.enter_context(applier.alone()):
                return ""
            self._look()  # who had it alone may have put it back since
            if not (self.left and self.is_ours):
                return ""
            problems = list(applier.restore(self._source, upstream, self._link, timeout))
        path = self.left.path
        if problems:
            raise Refusal("idempotent_left_on", f"{problems[0]} A run that was killed left it so ({path}).", "Then run again.")
        not_noted = note_strict(self.left)
        stood = "had stopped at a row that was logged" if self._link.stopped_at_rows else "had still to apply what was logged"
        was = "was in IDEMPOTENT mode, left so" if self._is_on else stood
        return f"{self._target.name} {was} by a run that was killed ({path}); {STRICT_AGAIN}{not_noted}"
