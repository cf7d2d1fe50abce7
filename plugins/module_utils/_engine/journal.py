# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo journal: both images of every row to be changed, on disk before the change is committed (law 9).

One file for each run, mode 0600, one JSON object a line, only ever appended to. ``is`` names the kind of line:

``header``     first line: ``format``, ``version``, ``created`` (UTC), ``run`` (random), ``kind`` (sync or undo), ``tool``
               (its version), ``source`` and ``target`` (``address``, ``server_id``, ``uuid`` or null)
``table``      ``id``, ``database``, ``table``, ``columns`` (``name``, ``type``, ``charset``), ``key`` (column names);
               ``digest_by``, in a table without a key: which fingerprints its rows are told apart by
``row``        ``id`` (1, 2, ... over all tables), ``table``, ``kind`` (missing, extra, different), ``key``, ``before``
               (the target's row as it was) and ``after`` (as it will be, which is the source's row); null: no such row;
               ``copies``, in a table without a key: [how many equal rows the target had, how many it will have],
               and ``digest``, the row's fingerprint in hex;
               ``side``: "source" where the source gets the target's row, so that ``before`` is the source's old row,
               ``after`` the target's, and ``kind`` told from the source; without it the target is changed
``image``      ``id`` of a row and its ``before`` and ``after`` (and ``copies``) as read last; replaces what was said before
``committed``  ``rows``: the change of these is in the source's binary log; ``until``, where a server is lenient for it:
               where that log ended then (``file``, ``offset``); on disk before the target is looked at
``verified``   ``rows``: these are equal on both servers, replication drained
``lenient``    ``server`` (as in the header) and ``on``: whether the run has this server's applier in IDEMPOTENT mode from
               here on; on disk before it is set, and after it is put back; ``since``, of the target: where the source's
               binary log ended before

Version 2 is version 1 and ``side``, ``digest``, ``digest_by``; both are read. Images list the values of ``columns`` as
codec.read_expression reads them, in the form of images.py. A run may be killed at any instant: the last line may be
unfinished, and a row without ``committed`` may or may not have been changed; the servers' rows tell.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import time
import typing as t
from dataclasses import asdict

from . import images
from .confirm import DIFFERENT, EXTRA, MISSING, Difference
from .dialect import SYSTEM_DATABASES
from .entries import Entry, Header, Identity, JournaledTable, describe
from .errors import Refusal
from .logplace import LogPlace, LogSpan
from .places import Places
from .schema import Table, TableName
from .session import Row
from .spool import in_batches, sync_directory

__all__ = ["Entry", "Header", "Identity", "Journal", "JournaledTable", "Writer", "create", "describe", "read"]

#: Where journals go when the user names no directory.
DEFAULT_DIRECTORY = "~/.mysql_repl/undo"

FORMAT = "comaster.mysql_repl undo journal"
VERSION = 2
_READ = (1, 2)
_KINDS = frozenset({MISSING, EXTRA, DIFFERENT})

# Rows of a plan written at once, bytes flushed at once.
_ROWS_AT_ONCE = 500
_SYNC_BYTES = 16 << 20


# -- writing -----------------------------------------------------------------------------------


class Writer:
    """The journal of a run in progress. Use as a context manager.

    All methods raise Refusal ``journal_unwritable``; the caller must not commit anything then.
    """

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self._file = io.BufferedWriter(io.FileIO(descriptor, "wb"))
        self._in_trouble = False
        self._rows = 0
        self._tables = 0
        self._unsynced = 0  # bytes
        #: Servers that are noted to be in IDEMPOTENT mode.
        self.lenient_servers: set[Identity] = set()

    @property
    def directory(self) -> str:
        """Where it is, beside those of other runs."""
        return os.path.dirname(self.path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *unused: object) -> None:
        # Images are on disk since before their commit. What comes after says only what the servers say as well: that it cannot be
        # written must not hide what was done.
        with contextlib.suppress(Refusal):
            self.close()

    def plan(self, table: Table, changes: t.Iterable[Difference], on_source: bool = False) -> range:
        """Write the plan of a table (``on_source``: of the source's, seen from there) and flush it; returns the rows' ids."""
        described = describe(table)
        columns = [{"name": name, "type": kind, "charset": charset} for name, kind, charset in described.columns]
        self._tables += 1
        place = {"id": self._tables, "database": table.name.database, "table": table.name.table}
        way = {"digest_by": described.digest_by} if described.digest_by else {}
        self._write({"is": "table", **place, "columns": columns, "key": list(described.key), **way})
        side = b',"side":"source"' if on_source else b""
        first = self._rows + 1
        for some in in_batches(changes, _ROWS_AT_ONCE):
            self._append(images.planned_lines(some, self._rows + 1, self._tables, table.key is None, side))
            self._rows += len(some)
            if self._unsynced > _SYNC_BYTES:  # much at once would hold up what others want to be on the same disk
                self.flush()
        self.flush()
        return range(first, self._rows + 1)

    def image(self, row: int, before: Row | None, after: Row | None, copies: tuple[int, int] | None = None) -> None:
        """Write what a row was found to be, and will be, when that is not what was planned.

        ``copies``: how often, before and after, in a table without a key.
        """
        counted = {"copies": list(copies)} if copies else {}
        self._write({"is": "image", "id": row, "before": images.encode(before), "after": images.encode(after), **counted})

    def committed(self, rows: t.Iterable[int], until: LogPlace | None = None) -> None:
        """Note that the change of these rows is in the binary log, which ends at ``until`` now.

        That place is on disk when this returns: a target that dies with the run is taken up again by it. Without one this need
        not be on disk before anything else is.
        """
        place = {"until": asdict(until)} if until else {}
        self._write({"is": "committed", "rows": sorted(rows), **place}, urgent=False)
        if until:
            self._unsynced += 1
            self.flush()

    def verified(self, rows: t.Iterable[int]) -> None:
        """Note that these rows were seen equal on both servers."""
        self._write({"is": "verified", "rows": sorted(rows)}, urgent=False)

    def lenient(self, server: Identity, on: bool, since: LogPlace | None = None) -> None:
        """Note on disk that a server's applier is in IDEMPOTENT mode from here on, or no more.

        ``since``: for what is logged behind that place in the source's binary log; None where it is not the target.
        """
        place = {"since": asdict(since)} if since else {}
        self._write({"is": "lenient", "server": asdict(server), "on": on, **place})
        self.flush()
        (self.lenient_servers.add if on else self.lenient_servers.discard)(server)

    def flush(self) -> None:
        """Return once every image written is on disk."""
        if self._unsynced:
            with self._noting_trouble():
                self._file.flush()
                os.fsync(self._file.fileno())
            self._unsynced = 0

    def close(self) -> None:
        """Flush and close. What could not be written was refused already, and is not tried once more."""
        if self._in_trouble:
            with contextlib.suppress(OSError):
                self._file.raw.close()
            return
        self._unsynced += 1
        try:
            self.flush()
        finally:
            with writing(self.path):
                self._file.raw.close()

    def _write(self, line: dict[str, t.Any], urgent: bool = True) -> None:
        self._append(json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n", urgent)

    def _append(self, lines: bytes, urgent: bool = True) -> None:
        with self._noting_trouble():
            self._file.write(lines)
        self._unsynced += len(lines) if urgent else 0

    @contextlib.contextmanager
    def _noting_trouble(self) -> t.Iterator[None]:
        try:
            with writing(self.path):
                yield
        except Refusal:
            self._in_trouble = True
            raise


def create(directory: str, header: Header) -> Writer:
    """Start a journal in ``directory`` ("": the default one), which is made (0700) if it is not there.

    The header is on disk when this returns. Raises Refusal ``journal_unwritable``.
    """
    directory = folder(directory)
    run = secrets.token_hex(8)
    now = time.gmtime()
    place = re.sub(r"[^A-Za-z0-9.-]+", "_", header.target.address).strip("._-")[:64] or "target"
    path = os.path.join(directory, f"{header.kind}-{time.strftime('%Y%m%dT%H%M%SZ', now)}-{place}-{run}.jsonl")
    with writing(path):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    writer = Writer(path, descriptor)
    try:
        said = {**asdict(header), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", now), "run": run}
        writer._write({"is": "header", "format": FORMAT, "version": VERSION, **said})
        writer.flush()
        with writing(path):
            sync_directory(directory)
    except BaseException:
        # Nothing was changed; a file without a header would only puzzle whoever finds it.
        with contextlib.suppress(Refusal):
            writer.close()
        with contextlib.suppress(OSError):
            os.remove(path)
        raise
    return writer


def folder(directory: str) -> str:
    """Where the journals of ``directory`` ("": the default one) are."""
    return os.path.abspath(os.path.expanduser(directory or DEFAULT_DIRECTORY))


@contextlib.contextmanager
def writing(path: str) -> t.Iterator[None]:
    """Turn any trouble with the file into the refusal that stops the run."""
    try:
        yield
    except OSError as exc:
        raise Refusal(
            "journal_unwritable",
            f"the undo journal {path} cannot be written: {exc.strerror or exc}. Without it a repair could not be undone.",
            "Give a directory with free space that the module's user may write to as 'undo_dir'.",
        ) from exc


# -- reading -----------------------------------------------------------------------------------


class Journal:
    """A journal on disk. Keeps the places of its rows in memory, not the rows."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.tables: dict[int, JournaledTable] = {}
        self._places = Places()
        #: Servers that the run had set, or was about to set, to IDEMPOTENT mode, and did not put back; of the target, where the
        #: source's binary log ended before.
        self.left_lenient: dict[Identity, LogPlace | None] = {}
        self._until: LogPlace | None = None
        self.header = self._scan()

    def __len__(self) -> int:
        return len(self._places)

    def lenient_for(self, server: Identity) -> LogSpan | None:
        """What in the source's binary log a server was left lenient for; None: that is not known."""
        since = self.left_lenient[server]
        return LogSpan(since, self._until) if since and self._until else None

    def count(self, table: JournaledTable) -> int:
        """How many rows of one table there are."""
        return self._places.count(self._ids(table))

    def _ids(self, table: JournaledTable | None) -> set[int]:
        return {number for number, each in self.tables.items() if table in (None, each)}

    def entries(self, table: JournaledTable | None = None) -> t.Iterator[Entry]:
        """Every row in order (of one table), with the images read last."""
        with open(self.path, "rb") as file:
            for number, row_at, image_at, committed in self._places.of(self._ids(table)):
                row = _line_at(file, row_at)
                image = row if image_at == row_at else _line_at(file, image_at)
                yield Entry(
                    id=number,
                    table=self.tables[row["table"]],
                    kind=row["kind"],
                    key=t.cast(Row, images.decode(row["key"])),
                    before=images.decode(image["before"]),
                    after=images.decode(image["after"]),
                    committed=committed,
                    copies=tuple(image.get("copies", (1, 1))),
                    on_source=row.get("side") == "source",
                    digest=bytes.fromhex(row.get("digest", "")),
                )

    def _scan(self) -> Header:
        header: Header | None = None
        with open(self.path, "rb") as file:
            offset = 0
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n"):
                    break  # the run that wrote it was killed, or is writing just now
                try:
                    line = json.loads(raw)
                    if header is None:
                        header = _read_header(line)
                    else:
                        self._take(line, offset)
                except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as exc:
                    raise _unreadable(self.path, f"line {number} is damaged or no part of a journal: {exc!r}") from exc
                offset += len(raw)
        if header is None:
            raise _unreadable(self.path, "it has no header")
        return header

    def _take(self, line: dict[str, t.Any], offset: int) -> None:
        kind = line["is"]
        if kind == "table":
            columns = tuple((each["name"], each["type"], each["charset"]) for each in line["columns"])
            name = TableName(line["database"], line["table"])
            if line["id"] in self.tables or not all(map(_is_text, (name.database, name.table, *line["key"]))):
                raise ValueError("no description of a table")
            if name.database.lower() in SYSTEM_DATABASES:
                raise ValueError("a table that belongs to the server itself")
            self.tables[line["id"]] = JournaledTable(name, columns, tuple(line["key"]), line.get("digest_by", ""))
        elif kind == "row":
            if line["id"] != len(self) + 1:
                raise ValueError(f"row {line['id']} after row {len(self)}")
            table = self.tables[line["table"]]
            if line["kind"] not in _KINDS or len(images.decode(line["key"]) or ()) != len(table.key or table.columns):
                raise ValueError("no row of its table")
            bytes.fromhex(line.get("digest", ""))
            _check_images(line, len(table.columns))
            self._places.append(line["table"], offset)
        elif kind == "image":
            _check_images(line, len(self.tables[self._places.image(line["id"], offset)].columns))
        elif kind == "committed":
            self._places.commit(line["rows"])
            self._until = _read_place(line, "until") or self._until
        elif kind == "lenient":
            server = Identity(**line["server"])
            self.left_lenient.pop(server, None)
            if line["on"]:
                self.left_lenient[server] = _read_place(line, "since")
        elif kind != "verified":
            raise ValueError(f"unknown kind of line {kind!r}")


def read(path: str) -> Journal:
    """Read a journal, also one that is being written. Raises Refusal ``journal_unreadable``, which names the line."""
    try:
        return Journal(path)
    except OSError as exc:
        raise _unreadable(path, exc.strerror or str(exc)) from exc


def _read_header(line: dict[str, t.Any]) -> Header:
    if line.get("is") != "header" or line.get("format") != FORMAT:
        raise ValueError("not an undo journal of comaster.mysql_repl")
    if line["version"] not in _READ:
        raise ValueError(f"version {line['version']} of the format; this collection reads {' and '.join(map(str, _READ))}")
    if not all(map(_is_text, (line["kind"], line["created"], line["run"], line["tool"]))):
        raise ValueError("no header")
    return Header(
        line["kind"], Identity(**line["source"]), Identity(**line["target"]), line["created"], line["run"], line["tool"]
    )


def _read_place(line: dict[str, t.Any], name: str) -> LogPlace | None:
    if name not in line:
        return None
    place = LogPlace(**line[name])
    if not _is_text(place.file) or not isinstance(place.offset, int):
        raise ValueError("no place in a binary log")
    return place


def _line_at(file: t.BinaryIO, offset: int) -> dict[str, t.Any]:
    file.seek(offset)
    return t.cast(dict[str, t.Any], json.loads(file.readline()))


def _check_images(line: dict[str, t.Any], width: int) -> None:
    for name in ("before", "after"):
        image = images.decode(line[name])
        if image is not None and len(image) != width:
            raise ValueError(f"{len(image)} values for {width} columns")
    copies = line.get("copies", [1, 1])
    if len(copies) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) and each >= 0 for each in copies):
        raise ValueError("no numbers of copies")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _unreadable(path: str, why: str) -> Refusal:
    return Refusal(
        "journal_unreadable",
        f"{path} cannot be used as an undo journal: {why}.",
        "Give the 'undo_file' of a sync or undo.",
    )
