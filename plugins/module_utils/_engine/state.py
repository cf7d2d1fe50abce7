# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file: where a check stood, so that the next run goes on from there.

One JSON file, mode 0600 (it holds sample rows), replaced as a whole each time. It is bound to what was asked
for (servers, selection, condition): another question starts anew. Each table's part is bound to its
definition: an altered table is read from its beginning. The file is removed when a run has finished.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
import typing as t
from dataclasses import asdict

from . import report
from .errors import UsageError
from .report import Copies, Position, SampleRow, TableReport
from .schema import Table
from .session import Row

FORMAT = "comaster.mysql_repl check state 4"

# Seconds between two writes of the file.
_WRITE_EVERY = 5.0

_DECIDED = frozenset({report.IDENTICAL, report.DRIFT})


class StateFile:
    """The state of one run of the check. ``path`` empty: nothing is kept."""

    def __init__(self, path: str, question: object) -> None:
        """Read the file if it is there and answers the same ``question`` (any value with a stable repr).

        Raises UsageError when it cannot be read or is something else.
        """
        self._path = os.path.abspath(os.path.expanduser(path)) if path else ""
        self._question = hashlib.sha256(repr(question).encode()).hexdigest()
        self._tables: dict[str, dict[str, t.Any]] = self._load()
        self._written = time.monotonic()

    def finished(self, table: Table) -> TableReport | None:
        """The verdict on a table that an earlier run had finished."""
        part = self._part(table)
        return _report(part["report"]) if part and part["finished"] else None

    def checkpoint(self, table: Table) -> tuple[Row, TableReport] | None:
        """The key up to which an earlier run had compared a table, and what it had found."""
        part = self._part(table)
        if not part or part["finished"] or part["key"] is None:
            return None
        return tuple(None if value is None else base64.b64decode(value) for value in part["key"]), _report(part["report"])

    def note(self, table: Table, upper: Row | None, found: TableReport, finished: bool = False) -> None:
        """Note how far a table is. Written now and then: the file tells of all tables, which may be many. Raises UsageError."""
        if not self._path or (finished and found.status not in _DECIDED):
            return
        key = None if upper is None else [None if value is None else base64.b64encode(value).decode() for value in upper]
        self._tables[_place(table)] = {
            "shape": table.shape,
            "finished": finished,
            "key": key,
            "report": asdict(found),
        }
        if self.is_due:
            self.write()

    @property
    def is_due(self) -> bool:
        """Whether it is time to note how far a table is."""
        return bool(self._path) and time.monotonic() - self._written >= _WRITE_EVERY

    def write(self) -> None:
        """Replace the file. Raises UsageError."""
        if not self._path:
            return
        temporary = f"{self._path}.{os.getpid()}"
        try:
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                said = {"format": FORMAT, "question": self._question, "tables": self._tables}
                json.dump({**said, "sum": _sum(said)}, file)
            os.replace(temporary, self._path)
        except OSError as exc:
            raise UsageError(
                "state_file", f"{self._path} cannot be written: {exc.strerror}.", "Name a file in a writable directory."
            ) from exc
        self._written = time.monotonic()

    def remove(self) -> None:
        """The run has finished: the next one starts anew."""
        if self._path:
            with contextlib.suppress(FileNotFoundError):
                os.remove(self._path)

    def _part(self, table: Table) -> dict[str, t.Any] | None:
        part = self._tables.get(_place(table))
        return part if part and part["shape"] == table.shape else None

    def _load(self) -> dict[str, dict[str, t.Any]]:
        if not self._path or not os.path.exists(self._path):
            return {}
        try:
            with open(self._path, encoding="utf-8") as file:
                said = json.load(file)
            known = said["format"] == FORMAT
            if known and said.pop("sum") != _sum(said):
                raise ValueError("it is damaged")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise UsageError(
                "state_file",
                f"{self._path} is no state file of this collection ({exc}).",
                "Name another file, or remove it.",
            ) from exc
        if not known:
            raise UsageError("state_file", f"{self._path} was written by another version.", "Remove it to start anew.")
        tables: dict[str, dict[str, t.Any]] = said["tables"] if said["question"] == self._question else {}
        return tables


def _place(table: Table) -> str:
    """A table's name as a key of JSON; ``a.b``.``c`` and ``a``.``b.c`` are two tables."""
    return json.dumps([table.name.database, table.name.table])


def _sum(said: dict[str, t.Any]) -> str:
    """What tells a damaged file: a wrong checkpoint would let a part of a table go unread."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _report(said: dict[str, t.Any]) -> TableReport:
    sample = tuple(
        SampleRow(**{**row, "columns": tuple(row["columns"]), "copies": Copies(**row["copies"]) if row["copies"] else None})
        for row in said["sample"]
    )
    positions = tuple(Position(**mark) for mark in said["positions"])
    return TableReport(**{**said, "sample": sample, "positions": positions})
