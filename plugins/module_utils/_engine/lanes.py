# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sessions side by side: a lane is one session on each server, working at the same time."""

from __future__ import annotations

import typing as t
from concurrent.futures import ThreadPoolExecutor

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
