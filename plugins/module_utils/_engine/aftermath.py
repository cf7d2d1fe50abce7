# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs that were killed have left of the leniency of servers, as their journals tell, and how it is put back.

A server that such a run had made lenient still is, and is to be STRICT again. Or it was restarted since, as where the run died
with it on one host: then it came up STRICT, and has stopped at the first row that it was to pass over. It is made lenient once
more, until it has caught up. That the row is ours is proved by the journal, which tells between which places of the source's
binary log the run wrote; what others wrote there meanwhile the run would have passed over too.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass

from . import journal
from .entries import Header, Identity
from .errors import Refusal
from .facts import read_identity
from .leniency import IDEMPOTENT, Applier
from .links import Link
from .logplace import LogSpan
from .session import Session
from .topology import another


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


def find(directory: str, server: Identity) -> Leftover | None:
    """The latest in ``directory`` ("": the default one) of this server. A journal that cannot be read tells nothing."""
    directory = journal.folder(directory)
    try:
        names = [name for name in os.listdir(directory) if name.endswith(".jsonl")]
    except OSError:
        return None
    found = []
    for path in (os.path.join(directory, name) for name in names):
        with suppress(Refusal, OSError):
            if not _may_tell(path):
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


def note_strict(left: Leftover) -> None:
    """Note in its journal that the server is not in IDEMPOTENT mode any more. Raises Refusal ``journal_unwritable``."""
    with journal.writing(left.path), open(left.path, "rb+") as file:
        whole = file.read().rfind(b"\n") + 1
        file.seek(whole)
        file.truncate()  # a line that was not finished says nothing
        line = {"is": "lenient", "server": asdict(left.server), "on": False}
        file.write(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
        file.flush()
        os.fsync(file.fileno())


def advice(left: Leftover, applier: Applier, link: Link) -> str:
    """What to do about a server that has stopped, where nothing proves that it did so at a row of that run."""
    return (
        f"A run that died had it in IDEMPOTENT mode ({left.path}). If it has stopped at a row of that run,"
        f" {applier.mending(link.channel)}"
    )


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
        self.left = find(self._directory, self._pair.target) if self._is_on or self._link.stopped_at_rows else None

    @property
    def is_ours(self) -> bool:
        """Whether it is proved that the state in which the target was found is that run's doing."""
        return bool(self.left and (self._is_on or self._stopped_at_ours(self.left)))

    def _stopped_at_ours(self, left: Leftover) -> bool:
        if not left.header.source.is_same(self._pair.source) or self._link.names_none_of(left.tables):
            return False  # the same places come again where a log began anew
        return bool(left.within and self._link.stopped_within(left.within))

    @property
    def advice(self) -> str:
        """What to do about a target that has stopped; empty where no journal tells of anything."""
        if not self.left:
            return ""
        if self.is_ours:
            return f"A run that died has left it so ({self.left.path}): a run that is no check mode has it go on."
        return advice(self.left, self._applier, self._link)

    def put_back(self, timeout: float) -> str:
        """Have the target apply what is still to come, and set it STRICT. Returns what was done in words, "" for nothing.

        ``timeout``: seconds. A target that a living run keeps lenient is left alone. Raises Refusal ``idempotent_left_on`` if it
        cannot be.
        """
        if not self.is_ours:
            return ""
        expected = read_identity(self._target)
        with ExitStack() as sessions:
            applier = Applier(self._target, lambda: sessions.enter_context(another(self._target, expected)))
            if not sessions.enter_context(applier.alone()):
                return ""
            self._look()  # who had it alone may have put it back since
            if not (self.left and self.is_ours):
                return ""
            problems = list(applier.restore(self._source, self._link, timeout))
        path = self.left.path
        if problems:
            raise Refusal("idempotent_left_on", f"{problems[0]} A run that was killed left it so ({path}).", "Then run again.")
        note_strict(self.left)
        was = "was in IDEMPOTENT mode, left so" if self._is_on else "had stopped at a row that was logged"
        return f"{self._target.name} {was} by a run that was killed ({path}); it is STRICT again."
