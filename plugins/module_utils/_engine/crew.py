# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sessions that examine tables."""

from __future__ import annotations

import typing as t

from .lanes import Lane
from .session import Session


class Crew:
    """Lanes that compare, and a lane of scouts that cut chunks and read suspected rows again.

    After an error the sessions may be anywhere; ``close`` them, and ``ready`` opens new ones.
    """

    def __init__(self, open_source: t.Callable[[], Session], open_target: t.Callable[[], Session], workers: int) -> None:
        self._open_source = open_source
        self._open_target = open_target
        self._workers = workers
        self.lanes: list[Lane] = []
        self._scouts: Lane | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    def ready(self) -> Lane:
        """Open what is not open yet; returns the scouts. Raises ConnectError."""
        while len(self.lanes) < self._workers:
            self.lanes.append(self._open())
        if self._scouts is None:
            self._scouts = self._open()
        return self._scouts

    def close(self) -> None:
        """Close all sessions."""
        for lane in [*self.lanes, *([self._scouts] if self._scouts else [])]:
            lane.close()
        self.lanes, self._scouts = [], None

    def _open(self) -> Lane:
        source = self._open_source()
        try:
            return Lane(source, self._open_target())
        except BaseException:
            source.close()
            raise
