# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Spares a long run what costs time and proves nothing. Nothing of it touches the tool or the judge."""

from __future__ import annotations

import gc
import ssl
from functools import lru_cache
from typing import Any

from pymysql import connections
from pymysql.protocol import FieldDescriptorPacket


def hurry() -> None:
    """Make this process quick. For `python -m fire` alone: it changes the driver for good."""
    # Each connection would read the system's certificates (40 ms); the sandbox's servers sign their own.
    ssl.SSLContext.load_default_certs = lambda *unused: None  # type: ignore[method-assign]
    # SHOW REPLICA STATUS has sixty columns, always the same: their descriptions are most of what the driver parses.
    _result._get_descriptions = _descriptions
    gc.freeze()
    gc.set_threshold(50_000)


def use_tls(wanted: bool) -> None:
    """Let new connections use TLS where the server offers it, as they do by themselves, or not (3 of 4 ms of connecting)."""
    connections.SSL_ENABLED = wanted


@lru_cache(maxsize=20_000)
def _described(data: bytes, encoding: str) -> tuple[FieldDescriptorPacket, Any]:
    field: Any = FieldDescriptorPacket(data, encoding)
    return field, field.description()


_result: Any = connections.MySQLResult
_read_all = _result._get_descriptions


def _descriptions(result: Any) -> None:
    """As the driver's, which is asked for what has to be decoded: each known column costs a look-up."""
    connection = result.connection
    if connection.use_unicode or connection.decoders:
        _read_all(result)
        return
    known = [_described(connection._read_packet()._data, connection.encoding) for _each in range(result.field_count)]
    result.fields = [field for field, _description in known]
    result.description = tuple(description for _field, description in known)
    result.converters = [(None, None)] * result.field_count
    assert connection._read_packet().is_eof_packet()
