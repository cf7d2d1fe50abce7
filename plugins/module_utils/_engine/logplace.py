# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Places in a server's binary log: which of two comes first, and what lies between them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogPlace:
    """``offset`` bytes into a ``file`` of a binary log.

    The files of a log share a name and are numbered (https://dev.mysql.com/doc/refman/8.4/en/binary-log.html).
    """

    file: str
    offset: int

    @property
    def log(self) -> str:
        """The name that all files of the log share."""
        return self.file.rpartition(".")[0]

    def is_beyond(self, other: LogPlace) -> bool:
        """Whether this is known to come after another place; False also where they are of different logs."""
        numbers = [place.file.rpartition(".")[2] for place in (self, other)]
        if self.log != other.log or not all(map(str.isdigit, numbers)):
            return False
        return (int(numbers[0]), self.offset) > (int(numbers[1]), other.offset)


@dataclass(frozen=True)
class LogSpan:
    """What a server has logged behind one place up to another."""

    since: LogPlace
    until: LogPlace

    def has_end(self, place: LogPlace) -> bool:
        """Whether something that ends there lies within; False also where that cannot be told."""
        return place.is_beyond(self.since) and (place == self.until or self.until.is_beyond(place))

    def has_start(self, place: LogPlace) -> bool:
        """Whether something that begins there lies within; False also where that cannot be told."""
        return self.until.is_beyond(place) and (place == self.since or place.is_beyond(self.since))
