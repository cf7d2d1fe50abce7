# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spares a long run what costs time and proves nothing. Nothing of it touches the tool or the judge."""

from __future__ import annotations

import gc
import random
import signal
import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from pymysql import connections, err
from pymysql.protocol import FieldDescriptorPacket

from sandbox import temporary


def hurry() -> None:
    """Make this process quick. For `python -m fire` alone: it changes the driver for good."""
    # SHOW REPLICA STATUS has sixty columns, always the same: their descriptions are most of what the driver parses.
    _result._get_descriptions = _descriptions
    _result._read_row_from_packet = _row
    if hasattr(gc, "freeze"):  # PyPy collects in its own way
        gc.freeze()
        gc.set_threshold(50_000)
    tempfile.tempdir = str(temporary())


@contextmanager
def ending(*children: subprocess.Popen[bytes]) -> Iterator[threading.Event]:
    """Within the block SIGTERM sets the event that is given, and is passed on to processes: what is begun comes to its end."""
    over = threading.Event()

    def end(*unused: object) -> None:
        over.set()
        for child in children:
            child.terminate()

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield over
    finally:
        signal.signal(signal.SIGTERM, before)


def options(family: str, dice: random.Random) -> dict[str, str]:
    """Settings of servers that are not going to crash: what is only for the day after a crash, and in most pairs statistics."""
    found = {"innodb_flush_log_at_trx_commit": "0", "innodb_doublewrite": "OFF"}
    if dice.random() < 0.7:
        found["innodb_stats_persistent"] = "OFF"
    if family == "mysql" and dice.random() < 0.7:
        found["performance_schema"] = "OFF"
    return found


def use_tls(wanted: bool) -> None:
    """Let new connections use TLS where the server offers it, as they do by themselves, or not (3 of 4 ms of connecting)."""
    connections.SSL_ENABLED = wanted


@lru_cache(maxsize=20_000)
def _described(data: bytes, encoding: str) -> tuple[FieldDescriptorPacket, Any]:
    field: Any = FieldDescriptorPacket(data, encoding)
    return field, field.description()


_result: Any = connections.MySQLResult
_read_all, _read_row = _result._get_descriptions, _result._read_row_from_packet


def _descriptions(result: Any) -> None:
    """As the driver's, which is asked for what has to be decoded: each known column costs a look-up."""
    connection = result.connection
    if connection.use_unicode or connection.decoders:
        _read_all(result)
        return
    read, encoding, number = connection._rfile.read, connection.encoding, connection._next_seq_id
    known = []
    try:
        for _each in range(result.field_count):
            head = read(4)
            if len(head) < 4 or head[3] != number:
                raise OSError("a packet is missing")
            number = (number + 1) & 0xFF
            data = read(head[0] | head[1] << 8 | head[2] << 16)
            if data[:4] != b"\3def":
                raise OSError("no description of a column")
            known.append(_described(data, encoding))
    except (OSError, struct.error, AssertionError, IndexError) as error:
        connection._force_close()
        raise err.OperationalError(2013, f"Lost connection to MySQL server during query ({error})") from error
    connection._next_seq_id = number
    result.fields = [field for field, _description in known]
    result.description = tuple(description for _field, description in known)
    result.converters = [(None, None)] * result.field_count
    result.of_bytes = True
    assert connection._read_packet().is_eof_packet()


def _row(result: Any, packet: Any) -> tuple[bytes | None, ...]:
    """As the driver's, which asks three functions for each value."""
    if not getattr(result, "of_bytes", False):
        return _read_row(result, packet)  # type: ignore[no-any-return]
    data, place, end = packet._data, 0, len(packet._data)
    row: list[bytes | None] = []
    while place < end:
        length = data[place]
        place += 1
        if length == 0xFB:
            row.append(None)
            continue
        if length > 0xFB:
            size = {0xFC: 2, 0xFD: 3, 0xFE: 8}[length]
            length = int.from_bytes(data[place : place + size], "little")
            place += size
        row.append(data[place : place + length])
        place += length
    assert len(row) == len(result.converters)
    return tuple(row)
