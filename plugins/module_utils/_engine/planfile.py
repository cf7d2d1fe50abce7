# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan file: confirmed differences, written by a check for a later repair to apply exactly.

One JSON object a line, mode 0600, put in its place only when it is complete. ``is`` names the kind of line:

``header``  first line: ``format``, ``version``, ``created`` (UTC), ``source`` and ``target`` (``server_id``, ``uuid``)
``table``   ``id``, ``database``, ``table``, ``shape`` (a fingerprint of its definition)
``row``     ``table`` (its id), ``kind`` (missing, extra, different), ``key``, ``source`` and ``target``: fingerprints
            of both images, null where there is no such row
``end``     last line: ``rows``, the number of rows; a plan without it was cut short and is refused

It holds keys and fingerprints, no other data.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
from dataclasses import dataclass

from . import images
from .confirm import Difference
from .errors import Refusal, UsageError
from .facts import ServerFacts
from .schema import Table, TableName
from .session import Row
from .spool import Spool, SpoolFile, row_bytes

FORMAT = "comaster.mysql_repl plan"
VERSION = 1

# Of both images' fingerprints, in memory.
_DIGESTS_BYTES = 200


@dataclass(frozen=True)
class PlannedRow:
    """One difference as it was confirmed; the images' fingerprints are None where there was no such row."""

    kind: str
    key: Row
    source: str | None
    target: str | None

    def fits(self, difference: Difference) -> bool:
        """Whether a difference found now is the planned one, byte for byte on both sides."""
        found = (difference.kind, images.digest(difference.source), images.digest(difference.target))
        return found == (self.kind, self.source, self.target)


@dataclass(frozen=True)
class PlannedTable:
    """The planned rows of one table, which had this ``shape``."""

    name: TableName
    shape: str
    rows: t.Collection[PlannedRow]


class _Rows:
    """Planned rows in bounded memory."""

    def __init__(self, file: SpoolFile) -> None:
        self._spool = Spool(file)

    def append(self, row: PlannedRow) -> None:
        self._spool.append((row.kind, row.key, row.source, row.target), row_bytes(row.key) + _DIGESTS_BYTES)

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> t.Iterator[PlannedRow]:
        for record in self._spool:
            yield PlannedRow(*record)

    def __contains__(self, row: object) -> bool:
        return any(each == row for each in self)


class Writer:
    """Writes a plan while differences are confirmed. ``path`` empty: nothing is kept. Use as a context manager.

    Raises UsageError when the file cannot be written. Left by an error, it leaves no file.
    """

    def __init__(self, path: str, source: ServerFacts, target: ServerFacts) -> None:
        self._path = os.path.abspath(os.path.expanduser(path)) if path else ""
        self._temporary = f"{self._path}.{os.getpid()}.part"
        self._tables: dict[TableName, int] = {}
        self._rows = 0
        self._file: t.TextIO | None = None
        if path:
            try:
                descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except OSError as exc:
                raise self._unwritable(exc) from exc
            self._file = os.fdopen(descriptor, "w", encoding="ascii")
            created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            servers = {facts.role: {"server_id": facts.server_id, "uuid": facts.uuid} for facts in (source, target)}
            self._write({"is": "header", "format": FORMAT, "version": VERSION, "created": created, **servers})

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: object, *unused: object) -> None:
        if self._file is None:
            return
        try:
            if kind is None:
                self._write({"is": "end", "rows": self._rows})
                self._file.flush()
                os.fsync(self._file.fileno())
            self._file.close()
            if kind is None:
                os.replace(self._temporary, self._path)
            else:
                os.remove(self._temporary)
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def add(self, table: Table, difference: Difference) -> None:
        """Write one difference."""
        if self._file is None:
            return
        if table.name not in self._tables:
            self._tables[table.name] = len(self._tables) + 1
            name = {"database": table.name.database, "table": table.name.table}
            self._write({"is": "table", "id": self._tables[table.name], **name, "shape": table.shape})
        self._rows += 1
        self._write(
            {
                "is": "row",
                "table": self._tables[table.name],
                "kind": difference.kind,
                "key": images.encode(difference.key),
                "source": images.digest(difference.source),
                "target": images.digest(difference.target),
            }
        )

    def _write(self, line: dict[str, t.Any]) -> None:
        try:
            t.cast(t.TextIO, self._file).write(json.dumps(line, separators=(",", ":")) + "\n")
        except OSError as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, error: OSError) -> UsageError:
        return UsageError(
            "plan_file",
            f"{self._path} cannot be written: {error.strerror}.",
            "Name a file in a writable directory with room.",
        )


def read(path: str, source: ServerFacts, target: ServerFacts, limit: int) -> tuple[PlannedTable, ...]:
    """Read a plan that was made for this pair.

    Raises UsageError when it is no complete plan, Refusal ``wrong_plan`` when it is another pair's or
    ``max_changes`` when it has more rows than ``limit``.
    """
    path = os.path.abspath(os.path.expanduser(path))
    tables: dict[int, dict[str, t.Any]] = {}
    rows: dict[int, _Rows] = {}
    spool = SpoolFile()
    count, ended, line = 0, False, 1
    try:
        with open(path, encoding="ascii") as file:
            _check_header(json.loads(file.readline()), source, target)
            for text in file:
                line += 1
                said = json.loads(text)
                if ended:
                    raise ValueError("something follows its end")
                if said["is"] == "table":
                    tables[said["id"]] = said
                    rows[said["id"]] = _Rows(spool)
                elif said["is"] == "row":
                    count += 1
                    if count > limit:
                        raise Refusal(
                            "max_changes",
                            f"{path} has more rows than max_changes allows ({limit}); nothing was changed.",
                            "Raise max_changes if this is really intended.",
                        )
                    key = images.decode(said["key"])
                    rows[said["table"]].append(PlannedRow(said["kind"], t.cast(Row, key), said["source"], said["target"]))
                else:
                    ended = said["is"] == "end" and said["rows"] == count
        if not ended:
            raise ValueError("it was cut short")
    except OSError as exc:
        raise UsageError(
            "plan_file", f"{path} cannot be read: {exc.strerror}.", "Name the plan_file that a check wrote."
        ) from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise UsageError(
            "plan_file",
            f"{path} is no complete plan of this collection (line {line}): {exc}.",
            "Name the plan_file that a check wrote.",
        ) from exc
    return tuple(
        PlannedTable(TableName(said["database"], said["table"]), said["shape"], rows[number]) for number, said in tables.items()
    )


def _check_header(said: dict[str, t.Any], source: ServerFacts, target: ServerFacts) -> None:
    if said.get("is") != "header" or said.get("format") != FORMAT:
        raise ValueError("it is something else")
    if said["version"] != VERSION:
        raise ValueError(f"it has version {said['version']} of the format; this collection reads version {VERSION}")
    for facts in (source, target):
        planned = said[facts.role]
        if (planned["server_id"], planned["uuid"]) != (facts.server_id, facts.uuid):
            raise Refusal(
                "wrong_plan",
                f"The plan was made for another {facts.role} (server_id {planned['server_id']}) than {facts.name}.",
                "Run the check on this pair again and apply that plan.",
            )
