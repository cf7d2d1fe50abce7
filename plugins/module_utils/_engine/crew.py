# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions that examine tables."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass

from .lanes import Lane, Side
from .session import Session

T = t.TypeVar("T")


@dataclass(frozen=True)
class Hands:
    """A lane of scouts that cut chunks and read suspected rows again, and ``workers`` readers on each server."""

    scouts: Lane
    source: Side
    target: Side
    workers: int

    def both(self, work: t.Callable[[Session], T]) -> tuple[T, T]:
        """Let a reader on each server do the same; returns both results, or raises an error of either."""
        ours, theirs = self.source.submit(work), self.target.submit(work)
        wait((ours, theirs))
        return ours.result(), theirs.result()

    def close(self) -> None:
        """Close all sessions, once what they do has ended."""
        for each in (self.source, self.target, self.scouts):
            each.close()


class Crew:
    """Opens the sessions when they are first needed.

    After an error they may be anywhere; ``close`` them, and ``ready`` opens new ones.
    """

    def __init__(self, open_source: t.Callable[[], Session], open_target: t.Callable[[], Session], workers: int) -> None:
        self._open_source = open_source
        self._open_target = open_target
        self._workers = workers
        self._hands: Hands | None = None
        self._lookers: Lane | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def ready(self) -> Hands:
        """Open what is not open yet, on both servers at once. Raises ConnectError, Refusal."""
        if self._hands is None:
            with ExitStack() as opened, ThreadPoolExecutor(max_workers=1, thread_name_prefix="target") as other:

                def some(connect: t.Callable[[], Session]) -> list[Session]:
                    return [opened.enter_context(connect()) for _number in range(self._workers + 1)]

                theirs = other.submit(some, self._open_target)
                try:
                    sources = some(self._open_source)
                finally:
                    theirs.exception()  # wait: what is opened must be known when this ends
                targets = theirs.result()
                self._hands = Hands(Lane(sources[0], targets[0]), Side(sources[1:]), Side(targets[1:]), self._workers)
                opened.pop_all()
        return self._hands

    def lookers(self) -> Lane:
        """One more lane, opened where it is first needed: it looks at suspected rows while the scouts go on cutting chunks.

        Raises ConnectError, Refusal.
        """
        if self._lookers is None:
            with ExitStack() as opened:
                source = opened.enter_context(self._open_source())
                self._lookers = Lane(source, self._open_target())
                opened.pop_all()
        return self._lookers

    def close(self) -> None:
        """Close all sessions."""
        if self._hands is not None:
            self._hands.close()
            self._hands = None
        if self._lookers is not None:
            self._lookers.close()
            self._lookers = None
