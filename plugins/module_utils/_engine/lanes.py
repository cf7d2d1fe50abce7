# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions that work at the same time: a lane is one on each server, a side is several on one server."""

from __future__ import annotations

import queue
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from .session import Session

T = t.TypeVar("T")


class Lane:
    """A session on the source and one on the target. Used by one thread at a time."""

    def __init__(self, source: Session, target: Session) -> None:
        self.source = source
        self.target = target
        self._other = ThreadPoolExecutor(max_workers=1, thread_name_prefix="target")

    def __enter__(self) -> Lane:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both sessions."""
        self._other.shutdown(wait=True)
        self.source.close()
        self.target.close()

    def both(self, work: t.Callable[[Session], T]) -> tuple[T, T]:
        """Do the same on source and target at once; returns both results, or raises either's error."""
        theirs = self._other.submit(work, self.target)
        try:
            ours = work(self.source)
        finally:
            theirs.exception()  # wait: a session must be at rest when this returns
        return ours, theirs.result()


class Side:
    """Sessions on one server that take work from one queue, in order: neither waits for the other server."""

    def __init__(self, sessions: t.Sequence[Session]) -> None:
        self._sessions = sessions
        self._idle: queue.SimpleQueue[Session] = queue.SimpleQueue()
        for session in sessions:
            self._idle.put(session)
        self._pool = ThreadPoolExecutor(max_workers=len(sessions), thread_name_prefix="side")

    def submit(self, work: t.Callable[[Session], T]) -> Future[T]:
        """Do something with the next idle session."""
        return self._pool.submit(self._run, work)

    def close(self) -> None:
        """Drop what has not begun, wait for what has, close the sessions."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for session in self._sessions:
            session.close()

    def _run(self, work: t.Callable[[Session], T]) -> T:
        session = self._idle.get()
        try:
            return work(session)
        finally:
            self._idle.put(session)
