# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows as JSON carries them in files, exactly: for the undo journal and the plan file.

A value is null, a string (its characters are the bytes, all of them printable ASCII) or ``{"hex": ...}``.
"""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from .confirm import Difference
from .session import Row

_PLAIN = re.compile(rb"[\x20-\x7e]*")

# Bytes that a JSON string holds as they are.
_UNESCAPED = bytes(byte for byte in range(0x20, 0x7F) if byte not in b'"\\')

_json = json.JSONEncoder(separators=(",", ":")).encode

#: A value as JSON carries it.
Value = t.Union[None, str, dict[str, str]]


def encode(row: Row | None) -> list[Value] | None:
    """Give a row, or the absence of one, as JSON carries it."""
    if row is None:
        return None
    if _PLAIN.fullmatch(b"".join([value for value in row if value])):  # the usual case, in one look
        return [None if value is None else value.decode("ascii") for value in row]
    return [_encode_value(value) for value in row]


def text(row: Row | None) -> bytes:
    """Give what encode() gives as JSON text."""
    if row is None:
        return b"null"
    if None in row:
        said = b"[%b]" % b",".join([b"null" if value is None else b'"%b"' % value for value in row])
        quotes = 2 * (len(row) - row.count(None))
    else:
        said = b'["%b"]' % b'","'.join(t.cast("tuple[bytes, ...]", row)) if row else b"[]"
        quotes = 2 * len(row)
    # The usual case, many times cheaper: all that needs a look are the quotation marks put there.
    return said if len(said.translate(None, _UNESCAPED)) == quotes else _json(encode(row)).encode("ascii")


def planned_lines(changes: t.Sequence[Difference], first: int, table: int, with_copies: bool, more: bytes) -> bytes:
    """The lines of the undo journal for rows of a plan, numbered from ``first`` on; ``more`` ends each object.

    ``with_copies``: the table has no key.
    """
    lines = []
    kinds = {kind: kind.encode("ascii") for kind in {each.kind for each in changes}}
    for number, each in enumerate(changes, first):
        copies = b""
        if with_copies:
            digest = each.digest.hex().encode("ascii")
            copies = b',"copies":[%d,%d],"digest":"%b"' % (each.target_copies, each.source_copies, digest)
        said = (number, table, kinds[each.kind], text(each.key), text(each.target), text(each.source), copies, more)
        lines.append(b'{"is":"row","id":%d,"table":%d,"kind":"%b","key":%b,"before":%b,"after":%b%b%b}\n' % said)
    return b"".join(lines)


def decode(row: list[Value] | None) -> Row | None:
    """Take back what encode() gave. Raises ValueError, KeyError or TypeError for anything else."""
    return None if row is None else tuple(_decode_value(value) for value in row)


def digest(row: Row | None) -> str | None:
    """A fingerprint of a row's exact values: SHA-256 of each value behind its length, cut to 128 bits."""
    if row is None:
        return None
    parts = [b"-" if value is None else b"%d:%b" % (len(value), value) for value in row]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def _encode_value(value: bytes | None) -> Value:
    if value is None:
        return None
    return value.decode("ascii") if _PLAIN.fullmatch(value) else {"hex": value.hex()}


def _decode_value(value: Value) -> bytes | None:
    if value is None:
        return None
    return value.encode("ascii") if isinstance(value, str) else bytes.fromhex(value["hex"])
