# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows in files: text() is encode() as JSON, decode() takes either back."""

from __future__ import annotations

import json

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import images

ROWS = [
    None,
    (),
    (b"1", b"plain text"),
    (b"1", None, b""),
    (None,),
    (b'with "quotes"', b"back\\slash", None),
    (b"\x00\xff", b"plain", None),
    ("é".encode(), b"\x7f", b"\n"),
]


@pytest.mark.parametrize("row", ROWS)
def test_text_is_what_encode_gives(row):
    text = images.text(row)
    assert text == json.dumps(images.encode(row), separators=(",", ":")).encode("ascii")
    assert images.decode(json.loads(text)) == row


def test_every_byte_survives():
    row = tuple(bytes([byte]) for byte in range(256))
    for some in (row, *((value,) for value in row)):
        assert images.decode(json.loads(images.text(some))) == some
