# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""More rows than memory should hold: kept in order, appended to, read any number of times.

The first few stay in memory, the rest goes to a file that has no name: nobody else can open it, and it is gone when the
process ends, however it ends. It lies in $TMPDIR, else in /var/tmp (a /tmp is often memory itself).
"""

from __future__ import annotations

import hashlib
import itertools
import marshal
import os
import tempfile
import typing as t
import weakref
from collections import Counter

from .confirm import Difference
from .errors import Refusal
from .session import Row

# Bytes of the rows that are written, and read again, at once.
_BLOCK_BYTES = 256 << 10

# The newest version of the format that looks for no objects used twice: twice as fast.
_MARSHAL = 2

# Bytes of row images in one batch: bounds memory, the transaction and the time that locks are held.
_PORTION_BYTES = 4 << 20

# Bytes that a record takes besides its values, about.
_RECORD_BYTES = 64

# Bytes of a key's digest, keys whose digests are kept in memory, and bytes of digests of one part written at once.
_DIGEST = 16
_KEYS_IN_MEMORY = 1 << 14
_PIECE_BYTES = 256 * _DIGEST

#: What a spool keeps: nested tuples of bytes, text, numbers and None.
Record = tuple[t.Any, ...]


class SpoolFile:
    """An unnamed temporary file, made when it is first written to. Several spools may share one."""

    def __init__(self) -> None:
        self._descriptor: int | None = None
        self._end = 0

    def append(self, data: bytes) -> int:
        """Write at the end; returns where. Raises Refusal ``no_room``."""
        place = self._end
        directory = _directory()
        try:
            if self._descriptor is None:
                self._descriptor, name = tempfile.mkstemp(prefix=".mysql_repl-", dir=directory)
                weakref.finalize(self, os.close, self._descriptor)
                os.unlink(name)
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, self._end)
                self._end += written
                view = view[written:]
        except OSError as exc:
            raise Refusal(
                "no_room",
                f"the rows of the plan do not fit into {directory}: {exc.strerror or exc}.",
                "Set TMPDIR to a directory with more room, or repair fewer tables at once.",
            ) from exc
        return place

    def read(self, place: int, size: int) -> bytes:
        """Read what append() wrote there. Any thread may, at any time."""
        return os.pread(t.cast(int, self._descriptor), size, place)


class Spool:
    """Records in the order they came. Memory: one block, and a few bytes for each block in the file.

    May be read while it is appended to: what comes later is not read.
    """

    def __init__(self, file: SpoolFile | None = None) -> None:
        self._file = file or SpoolFile()
        self._blocks: list[tuple[int, int]] = []
        self._last: list[Record] = []
        self._size = 0
        self._length = 0

    def append(self, record: Record, size: int) -> None:
        """Keep a record of about ``size`` bytes. Raises Refusal ``no_room``."""
        self._last.append(record)
        self._length += 1
        self._size += size + _RECORD_BYTES
        if self._size >= _BLOCK_BYTES:
            data = marshal.dumps(self._last, _MARSHAL)
            self._blocks.append((self._file.append(data), len(data)))
            self._last, self._size = [], 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> t.Iterator[Record]:
        blocks, last = tuple(self._blocks), tuple(self._last)
        for place, size in blocks:
            # Our own data of this very process: no name led anybody else to the file.
            yield from marshal.loads(self._file.read(place, size))
        yield from last

    def __reversed__(self) -> t.Iterator[Record]:
        blocks, last = tuple(self._blocks), tuple(self._last)
        yield from reversed(last)
        for place, size in reversed(blocks):
            yield from reversed(marshal.loads(self._file.read(place, size)))


class Keys:
    """A set of keys of any number, in bounded memory: only their digests are kept, in a file in their order unless they are few.

    To look up a key costs some ten small readings, however many there are.
    """

    def __init__(self, keys: t.Iterable[Row] = (), file: SpoolFile | None = None) -> None:
        self._file = file or SpoolFile()
        digests = map(_digest, keys)
        some = list(itertools.islice(digests, _KEYS_IN_MEMORY + 1))
        is_few = len(some) <= _KEYS_IN_MEMORY
        self._few = frozenset(some if is_few else ())
        #: By the first byte of the digests: where they begin in the file, and how many they are.
        self._parts = () if is_few else tuple(self._sorted(itertools.chain(some, digests)))

    def of(self, keys: t.Iterable[Row]) -> set[Row]:
        """Those of these keys that are in the set."""
        has = self._has if self._parts else self._few.__contains__
        return {key for key in keys if has(_digest(key))}

    def _sorted(self, digests: t.Iterable[bytes]) -> t.Iterator[tuple[int, int]]:
        """Write them in order, part by part: digests fall into parts of much the same size, each of which memory holds."""
        parts = [bytearray() for _first in range(256)]
        pieces: list[list[int]] = [[] for _first in range(256)]
        for digest in digests:
            part = parts[digest[0]]
            part += digest
            if len(part) >= _PIECE_BYTES:
                pieces[digest[0]].append(self._file.append(bytes(part)))
                part.clear()
        for part, places in zip(parts, pieces):
            data = b"".join([*(self._file.read(place, _PIECE_BYTES) for place in places), part])
            ordered = sorted(data[at : at + _DIGEST] for at in range(0, len(data), _DIGEST))
            yield self._file.append(b"".join(ordered)), len(ordered)

    def _has(self, digest: bytes) -> bool:
        place, number = self._parts[digest[0]]
        low, high = 0, number
        while low < high:
            middle = (low + high) // 2
            found = self._file.read(place + middle * _DIGEST, _DIGEST)
            if found == digest:
                return True
            low, high = (middle + 1, high) if found < digest else (low, middle)
        return False


def _digest(key: Row) -> bytes:
    """Stands for a key: 128 bits of SHA-256, so that no two keys ever share one."""
    return hashlib.sha256(marshal.dumps(key, _MARSHAL)).digest()[:_DIGEST]


class Differences:
    """Confirmed differences of one table, in the order they were found, in bounded memory; counted by kind."""

    def __init__(self, differences: t.Iterable[Difference] = (), file: SpoolFile | None = None) -> None:
        self._spool = Spool(file)
        #: Rows of the target concerned, by kind.
        self.rows: Counter[str] = Counter()
        #: Bytes of the values of the largest row that the source has, and of both images of a row at most.
        self.largest = self.largest_images = 0
        for difference in differences:
            self.append(difference)

    def append(self, difference: Difference) -> None:
        """Keep one more. Raises Refusal ``no_room``."""
        self.add(difference, difference.rows)

    def add(self, difference: Difference, rows: int) -> None:
        """As append(); ``rows`` are those that the difference concerns."""
        self.rows[difference.kind] += rows
        size = row_bytes(difference.source)
        if size > self.largest:
            self.largest = size
        if difference.target:
            size += row_bytes(difference.target)
        if size > self.largest_images:
            self.largest_images = size
        self._spool.append(tuple(difference), size)

    def __len__(self) -> int:
        return len(self._spool)

    def __iter__(self) -> t.Iterator[Difference]:
        for record in self._spool:
            yield Difference._make(record)

    def __contains__(self, other: object) -> bool:
        return any(each == other for each in self)

    @property
    def records(self) -> t.Iterable[Record]:
        """The same as plain tuples."""
        return self._spool

    def fit_together(self, number: int) -> bool:
        """Whether any so many of them are no more than in_portions() puts together."""
        return number * self.largest_images <= _PORTION_BYTES


def gather(differences: t.Iterable[Difference]) -> Differences:
    """The same in bounded memory, if they are not already."""
    return differences if isinstance(differences, Differences) else Differences(differences)


T = t.TypeVar("T")


def in_batches(items: t.Iterable[T], most: int) -> t.Iterator[list[T]]:
    """The items in lists of at most so many, none of them empty."""
    rest = iter(items)
    while some := list(itertools.islice(rest, most)):
        yield some


class Ahead(t.Generic[T]):
    """Items, of which the next one can be fetched early: while a server is busy anyway."""

    def __init__(self, items: t.Iterable[T]) -> None:
        self._rest = iter(items)
        self._fetched: list[T] = []

    def fetch(self) -> None:
        """Have the next one at hand."""
        if not self._fetched:
            self._fetched = list(itertools.islice(self._rest, 1))

    def __iter__(self) -> t.Iterator[T]:
        self.fetch()
        while self._fetched:
            yield self._fetched.pop()
            self.fetch()


def in_portions(items: t.Iterable[T], most: int, size_of: t.Callable[[T], int]) -> t.Iterator[list[T]]:
    """The items in lists of at most so many, and of no more than about 4 MiB unless a single one is larger."""
    some: list[T] = []
    size = 0
    for item in items:
        weight = size_of(item)
        if some and (len(some) >= most or size + weight > _PORTION_BYTES):
            yield some
            some, size = [], 0
        some.append(item)
        size += weight
    if some:
        yield some


def row_bytes(row: Row | None) -> int:
    """Bytes of all values of a row."""
    if not row:
        return 0
    if None in row:
        return sum([len(value) for value in row if value])
    return len(b"".join(t.cast("tuple[bytes, ...]", row)))


def sync_directory(directory: str) -> None:
    """Make the names of new files in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _directory() -> str:
    wanted = os.environ.get("TMPDIR") or "/var/tmp"
    return wanted if os.access(wanted, os.W_OK | os.X_OK) else tempfile.gettempdir()
