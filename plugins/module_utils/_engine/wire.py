# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the rows of a result off the driver's connection, many at once.

The driver takes some 15 µs for a row of 12 columns, this takes 2: a repair reads every row several times. The rest of the
protocol stays the driver's. Packets:
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset.html
"""

from __future__ import annotations

import functools
import socket
import struct
import typing as t

import_error: ImportError | None = None
try:
    from pymysql import err
    from pymysql.constants import COMMAND, CR
    from pymysql.protocol import MysqlPacket
except ImportError as exc:  # session.py says so
    import_error = exc

#: One row exactly as the server stores it: bytes in each column's own character set, or NULL.
Row = tuple[t.Optional[bytes], ...]

# Bytes asked of the network at once.
_CHUNK = 1 << 16

# A packet of this size goes on in the next one.
_LONGEST = 0xFFFFFF

_header = struct.Struct("<I").unpack_from

# The first byte of a value's length says how many more bytes the length has.
_LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
_NULL = 0xFB
_EOF, _ERROR = 0xFE, 0xFF


# Given each packet of a result.
_Taker = t.Callable[[bytes], object]


class Answer(t.NamedTuple):
    """The rows of a result as they came: two answers are equal when every byte of them is.

    To compare two answers costs next to nothing, to take the rows apart most of what reading them takes. ``whole``: all that
    came behind the number of columns.
    """

    packets: list[bytes]
    width: int
    whole: bytes

    def rows(self) -> list[Row]:
        """The rows, taken apart. Raises the driver's OperationalError for one that is not whole."""
        width = self.width
        return [_values(packet, width) for packet in self.packets]

    @property
    def bare(self) -> Answer:
        """What is needed to know it again when it comes once more."""
        return self._replace(packets=[])


def query(connection: t.Any, sql: str) -> list[Row]:
    """Run a statement and read all rows of its result; none where it has no result.

    Raises the driver's errors and OSError. An incomplete result is never returned: the connection is closed then.
    """
    return _ask(connection, sql).rows


def records(connection: t.Any, sql: str) -> list[dict[str, bytes | None]]:
    """Like query(), each row by the names of its columns."""
    found = _ask(connection, sql)
    names = [_name(description) for description in found.descriptions]
    return [dict(zip(names, row)) for row in found.rows]


class _Found(t.NamedTuple):
    """The rows of a result, and the packets that describe its columns."""

    rows: list[Row]
    descriptions: list[bytes]


def _ask(connection: t.Any, sql: str) -> _Found:
    rows: list[Row] = []
    send(connection, sql)
    width = _columns(connection)
    if not width:
        return _Found(rows, [])
    with _Reading(connection, width, keep=False) as reading:
        return _Found(rows, reading.packets(lambda packet: rows.append(_values(packet, width))))


def send(connection: t.Any, sql: str) -> None:
    """Let the server begin with a statement. Its result must be received before anything else is done with the connection."""
    connection._execute_command(COMMAND.COM_QUERY, sql.encode(connection.encoding))


def receive(connection: t.Any, known: Answer | None = None) -> Answer:
    """Like query(), of the statement that was sent, but leaves the rows as they came.

    If every byte is as in ``known``, that is returned; it is compared as it comes, which costs less than to look for packets.
    """
    packets: list[bytes] = []
    width = _columns(connection)
    whole = b""
    if width:
        with _Reading(connection, width, keep=True) as reading:
            if known and known.width == width and reading.is_again(known.whole):
                return known
            reading.packets(packets.append)
            whole = b"".join(reading.came)
    return Answer(packets, width, whole)


def _columns(connection: t.Any) -> int:
    """Begin to receive a result: how many columns it has, 0 if there is none. All of it must be read then.

    The driver would take the descriptions of the columns apart, of which nobody asks for more than the names, at 8 µs each.
    """
    first = connection._read_packet()
    if first.is_ok_packet():
        return 0
    width = first.read_length_encoded_integer()
    if not width:
        connection._force_close()
        raise _lost("it asks for a file")
    return int(width)


class _Reading:
    """The reading of one result. Left by an error other than the server's own, the connection is closed."""

    def __init__(self, connection: t.Any, width: int, keep: bool) -> None:
        self._connection = connection
        self._width = width
        self._keep = keep
        #: All that has been read, in pieces, if it is kept.
        self.came: list[bytes] = []
        self._replayed = 0

    def __enter__(self) -> _Reading:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error and not getattr(error, "said_by_server", False):
            self._connection._force_close()

    def packets(self, take: _Taker) -> list[bytes]:
        """Hand on the packets of all rows, those too that is_again() has read; returns those that describe the columns."""
        return _read(self._connection, self._width, take, self._next)

    def is_again(self, known: bytes) -> bool:
        """Whether the result is this one, to its end. Reads no more than is the same, and what tells that it is not."""
        place = 0
        while place < len(known):
            part = self._read(min(_CHUNK, len(known) - place))
            if not known.startswith(part, place):
                return False
            place += len(part)
        return True

    def _read(self, size: int) -> bytes:
        part: bytes = self._connection._rfile.read1(size)
        if not part:
            raise _lost("the server closed it")
        if self._keep:
            self.came.append(part)
        return part

    def _next(self, size: int) -> bytes:
        if self._replayed == len(self.came):
            part = self._read(size)
            self._replayed = len(self.came)
            return part
        self._replayed += 1
        return self.came[self._replayed - 1]


def _read(connection: t.Any, width: int, take: _Taker, read: t.Callable[[int], bytes]) -> list[bytes]:
    """Read a result; returns the packets that describe its columns."""
    number = connection._next_seq_id
    data, place = b"", 0
    descriptions: list[bytes] = []
    taking: _Taker = descriptions.append
    while True:
        if len(data) - place < 4:
            data, place = _fill(read, data[place:], 4), 0
        (header,) = _header(data, place)
        size = header & 0xFFFFFF
        if header >> 24 != number:
            raise _lost("a packet is missing")
        number = (number + 1) & 0xFF
        start, end = place + 4, place + 4 + size
        if len(data) < end:
            data, start, end = _fill(read, data[start:], size), 0, size
        place = end
        if size == _LONGEST:
            row, data, number = _long(read, data[start:], number)
            place = 0
            taking(row)
            continue
        first = data[start]
        if first == _EOF and size < 9:
            if taking is take:
                break
            if len(descriptions) != width:
                raise _lost("a column is not described")
            taking = take
            continue
        if first == _ERROR:
            connection._next_seq_id = number
            _raise(data[start:end], connection)
        taking(data[start:end])
    if place != len(data):
        raise _lost("more came than one result")
    connection._next_seq_id = number
    return descriptions


@functools.lru_cache(maxsize=500)  # what a fence asks for again and again has sixty columns
def _name(description: bytes) -> str:
    """The name of a column: the fifth value, each behind its length.

    https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_column_definition.html
    """
    start = end = 0
    for _value in range(5):  # catalog, database, table, the table's own name, this
        length, start = description[end], end + 1
        if length > _NULL:
            more = _LENGTHS[length]
            length, start = int.from_bytes(description[start : start + more], "little"), start + more
        end = start + length
    return description[start:end].decode("utf-8", "replace")


def _values(packet: bytes, width: int) -> Row:
    """Cut a packet into the values of a row."""
    values: list[bytes | None] = []
    append = values.append
    place, end = 0, len(packet)
    while place < end:
        length = packet[place]
        place += 1
        if length >= _NULL:
            if length == _NULL:
                append(None)
                continue
            more = _LENGTHS[length]
            length = int.from_bytes(packet[place : place + more], "little")
            place += more
        stop = place + length
        append(packet[place:stop])
        place = stop
    if place != end or len(values) != width:
        raise _lost("a row is incomplete")
    return tuple(values)


def _long(read: t.Callable[[int], bytes], data: bytes, number: int) -> tuple[bytes, bytes, int]:
    """Read on a row that takes several packets; returns it, what came behind it, and the next packet's number."""
    parts = [data[:_LONGEST]]
    data = data[_LONGEST:]
    size = _LONGEST
    while size == _LONGEST:
        data = _fill(read, data, 4)
        (header,) = _header(data, 0)
        size = header & 0xFFFFFF
        if header >> 24 != number:
            raise _lost("a packet is missing")
        number = (number + 1) & 0xFF
        data = _fill(read, data, 4 + size)
        parts.append(data[4 : 4 + size])
        data = data[4 + size :]
    return b"".join(parts), data, number


def _fill(read: t.Callable[[int], bytes], data: bytes, wanted: int) -> bytes:
    """Read until there are so many bytes."""
    if len(data) >= wanted:
        return data
    parts, have = [data], len(data)
    while have < wanted:
        part = read(max(_CHUNK, min(wanted - have, 1 << 20)))
        parts.append(part)
        have += len(part)
    return b"".join(parts)


def _raise(packet: bytes, connection: t.Any) -> t.NoReturn:
    """Raise what the server says instead of more rows; the connection can be used on."""
    try:
        MysqlPacket(packet, connection.encoding).raise_for_error()
    except err.MySQLError as exc:
        exc.said_by_server = True  # type: ignore[attr-defined]
        raise
    raise _lost("an error that says nothing")


def _lost(why: str) -> Exception:
    return err.OperationalError(CR.CR_SERVER_LOST, f"Lost connection to MySQL server during query ({why})")


def keep_alive(connected: socket.socket) -> None:
    """Let a dead peer or a cut network be noticed within two minutes, however long an answer may take."""
    if connected.family == socket.AF_UNIX:
        return
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6), ("TCP_USER_TIMEOUT", 120_000)):
        if hasattr(socket, name):  # not every system has all of them
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
