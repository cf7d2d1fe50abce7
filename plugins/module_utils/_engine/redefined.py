# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables that are altered while a run looks at them: a verdict speaks of the columns that were there when it began.

Definitions are read for all tables at once, before the first is compared. A column that is added afterwards would be
compared by nobody, so they are read again, many tables at once, when their tables have been compared.
"""

from __future__ import annotations

import time
import typing as t
from dataclasses import replace

from .catalog import read_tables
from .errors import ReplError
from .examine import Examination
from .report import ERROR, UNDECIDED, TableReport
from .schema import Table, TableName
from .session import Session, at_once

# Seconds after which the tables compared since are looked at, or so many of them.
_LOOK_EVERY = 10.0
_AT_ONCE = 1000


class Examinations:
    """Collects what is found, table by table, and takes verdicts back that speak of another definition."""

    def __init__(self, source: Session, target: Session) -> None:
        self._source = source
        self._target = target
        self._settled: list[Examination] = []
        self._fresh: list[Examination] = []
        self._looked = time.monotonic()

    def add(self, examination: Examination) -> None:
        """Add the next one."""
        self._fresh.append(examination)
        if len(self._fresh) >= _AT_ONCE or time.monotonic() - self._looked > _LOOK_EVERY:
            self._settle()

    def all(self) -> tuple[Examination, ...]:
        """Give all that were added, in that order, each as its table is defined now."""
        self._settle()
        return tuple(self._settled)

    def _settle(self) -> None:
        names = [each.table.name for each in self._fresh if each.table]
        databases = sorted({name.database for name in names})
        try:
            ours, theirs = at_once(self._source, self._target, lambda session: read_tables(session, databases, names))
        except ReplError as exc:
            self._settled += [_without_verdict(each, ERROR, exc.code, exc.text) for each in self._fresh]
        else:
            self._settled += [_altered(each) if _is_altered(each, ours, theirs) else each for each in self._fresh]
        self._fresh = []
        self._looked = time.monotonic()


def _is_altered(examination: Examination, ours: t.Mapping[TableName, Table], theirs: t.Mapping[TableName, Table]) -> bool:
    then = (examination.table, examination.target_table)
    # One that is gone was there when its last row was read.
    return any(
        table is not None and table.name in side and side[table.name].shape != table.shape
        for table, side in zip(then, (ours, theirs))
    )


def _altered(examination: Examination) -> Examination:
    name = f"{examination.report.database}.{examination.report.table}"
    return _without_verdict(examination, UNDECIDED, "altered", f"{name} was altered while it was compared. Run again.")


def _without_verdict(examination: Examination, status: str, reason: str, message: str) -> Examination:
    if examination.table is None:
        return examination
    report = TableReport(examination.report.database, examination.report.table, status, reason, message)
    return Examination(replace(report, seconds=examination.report.seconds))
