# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan file: confirmed differences, written by a check for a later repair to apply exactly.

One JSON object a line, mode 0600, put in its place only when it is complete. ``is`` names the kind of line:

``header``  first line: ``format``, ``version``, ``created`` (UTC), ``source`` and ``target`` (``server_id``, ``uuid``)
``table``   ``id``, ``database``, ``table``, ``shape`` (a fingerprint of its definition)
            and, in a table without a key, ``digest_by``: which fingerprints its rows are told apart by
``row``     ``table`` (its id), ``kind`` (missing, extra, different), ``key``, ``source`` and ``target``: fingerprints
            of both images, null where there is no such row; in a table without a key ``digest`` (the row's fingerprint)
            and ``copies`` ([how many equal rows the source has, the target]) instead of ``key``
``end``     last line: ``rows``, the number of rows; a plan without it was cut short and is refused

It holds keys and fingerprints, no other data. Version 2 is version 1 and tables without a key; both are read.
"""

from __future__ import annotations

import json
import os
import time
import typing as t
from dataclasses import dataclass

from . import images
from .confirm import DIFFERENT, EXTRA, MISSING, Difference
from .dialect import SYSTEM_DATABASES
from .errors import Refusal, UsageError
from .facts import ServerFacts
from .multiset import Rows
from .schema import Table, TableName
from .session import Row
from .spool import Spool, SpoolFile, row_bytes

FORMAT = "comaster.mysql_repl plan"
VERSION = 2
_READ = (1, 2)

# Of both images' fingerprints, in memory.
_DIGESTS_BYTES = 200


class PlannedRow(t.NamedTuple):
    """One difference as it was confirmed; the images' fingerprints are None where there was no such row.

    In a table without a key ``digest`` is the row's own fingerprint, and ``copies`` says how often each side has it.
    A million of them are made: a frozen dataclass takes five times as long.
    """

    kind: str
    key: Row
    source: str | None
    target: str | None
    digest: bytes = b""
    copies: tuple[int, int] = (1, 1)

    def fits(self, difference: Difference) -> bool:
        """Whether a difference found now is the planned one, byte for byte on both sides."""
        copies = (difference.source_copies, difference.target_copies)
        found = (difference.kind, images.digest(difference.source), images.digest(difference.target), copies)
        return found == (self.kind, self.source, self.target, self.copies)


@dataclass(frozen=True)
class PlannedTable:
    """The planned rows of one table, which had this ``shape``; ``digest_by`` as in Rows.way."""

    name: TableName
    shape: str
    rows: t.Collection[PlannedRow]
    digest_by: str = ""


class _Rows:
    """Planned rows in bounded memory."""

    def __init__(self, file: SpoolFile) -> None:
        self._spool = Spool(file)

    def append(self, row: PlannedRow) -> None:
        self._spool.append(tuple(row), row_bytes(row.key) + _DIGESTS_BYTES)

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> t.Iterator[PlannedRow]:
        for record in self._spool:
            yield PlannedRow._make(record)

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
            way = {} if table.key else {"digest_by": Rows(table, table.stored_columns).way}
            self._write({"is": "table", "id": self._tables[table.name], **name, "shape": table.shape, **way})
        self._rows += 1
        told_by: dict[str, t.Any] = {"key": images.encode(difference.key)}
        if not table.key:
            copies = [difference.source_copies, difference.target_copies]
            told_by = {"digest": difference.digest.hex(), "copies": copies}
        self._write(
            {
                "is": "row",
                "table": self._tables[table.name],
                "kind": difference.kind,
                **told_by,
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
                    if said["id"] in tables or not all(isinstance(said[name], str) for name in ("database", "table", "shape")):
                        raise ValueError("no description of a table")
                    if said["database"].lower() in SYSTEM_DATABASES:
                        raise ValueError("a table that belongs to the server itself")
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
                    rows[said["table"]].append(_planned(said))
                else:
                    ended = said["is"] == "end" and said["rows"] == count
        if not ended:
            raise ValueError("it was cut short")
    except OSError as exc:
        raise UsageError(
            "plan_file", f"{path} cannot be read: {exc.strerror}.", "Name the plan_file that a check wrote."
        ) from exc
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UsageError(
            "plan_file",
            f"{path} is no complete plan of this collection (line {line}): {exc}.",
            "Name the plan_file that a check wrote.",
        ) from exc
    return tuple(
        PlannedTable(
            TableName(said["database"], said["table"]),
            said["shape"],
            rows[number],
            said.get("digest_by", ""),
        )
        for number, said in tables.items()
    )


def _planned(said: dict[str, t.Any]) -> PlannedRow:
    images_of = said["kind"], said["source"], said["target"]
    if images_of[0] not in (MISSING, EXTRA, DIFFERENT):
        raise ValueError("no kind of row")
    if "key" in said:
        if not said["key"]:
            raise ValueError("a row without its key")
        return PlannedRow(images_of[0], t.cast(Row, images.decode(said["key"])), *images_of[1:])
    ours, theirs = said["copies"]
    return PlannedRow(images_of[0], (), *images_of[1:], bytes.fromhex(said["digest"]), (int(ours), int(theirs)))


def _check_header(said: dict[str, t.Any], source: ServerFacts, target: ServerFacts) -> None:
    if said.get("is") != "header" or said.get("format") != FORMAT:
        raise ValueError("it is something else")
    if said["version"] not in _READ:
        raise ValueError(f"it has version {said['version']} of the format; this collection reads {' and '.join(map(str, _READ))}")
    for facts in (source, target):
        planned = said[facts.role]
        if (planned["server_id"], planned["uuid"]) != (facts.server_id, facts.uuid):
            raise Refusal(
                "wrong_plan",
                f"The plan was made for another {facts.role} (server_id {planned['server_id']}) than {facts.name}.",
                "Run the check on this pair again and apply that plan.",
            )
