# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names and values as SQL text that no sql_mode and no character set can change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import sqltext


@pytest.mark.parametrize(
    ("name", "quoted"), [("film", "`film`"), ("a`b", "`a``b`"), ("a.b, c", "`a.b, c`"), ("`", "````"), ("", "``")]
)
def test_identifiers_are_quoted_in_backticks(name, quoted):
    assert sqltext.quote_name(name) == quoted


def test_lists_of_identifiers():
    assert sqltext.quote_names(["a", "b`"]) == "`a`, `b```"


@pytest.mark.parametrize(("value", "literal"), [(b"", "''"), (b"\x00\xff", "X'00FF'"), (b"'", "X'27'")])
def test_bytes(value, literal):
    assert sqltext.hex_literal(value) == literal


@pytest.mark.parametrize(
    ("value", "charset", "literal"),
    [
        (b"plain", "utf8mb4", "'plain'"),
        (b"", "latin1", "''"),
        (b"it's", "utf8mb4", "_utf8mb4 X'69742773'"),
        (b"back\\slash", "latin1", "_latin1 X'6261636B5C736C617368'"),
        (b"\xe9", "latin1", "_latin1 X'E9'"),
        (b"\xf0\x9f\x98\x80", "utf8mb4", "_utf8mb4 X'F09F9880'"),
        (b"line\n", "utf8mb4", "_utf8mb4 X'6C696E650A'"),
        (b"\x00a", "ucs2", "_ucs2 X'0061'"),
        (b"a", "sjis", "_sjis X'61'"),
        (b"x" * 256, "utf8mb4", "_utf8mb4 X'" + "78" * 256 + "'"),
        (b'"quoted"', "utf8mb4", "'\"quoted\"'"),
    ],
)
def test_text_is_readable_where_harmless_and_exact_everywhere(value, charset, literal):
    assert sqltext.text_literal(value, charset) == literal


@given(st.binary(max_size=300), st.sampled_from(["utf8mb4", "latin1", "utf16", "gbk", "cp932"]))
def test_no_literal_depends_on_a_mode(value, charset):
    literal = sqltext.text_literal(value, charset)
    assert literal.isascii()
    assert literal.isprintable()
    inner = literal.split("'")
    assert len(inner) == 3, "exactly two quotes"
    assert "\\" not in literal
    if inner[0]:
        assert inner[0].strip() in (f"_{charset}", f"_{charset} X")
        assert bytes.fromhex(inner[1]) == value
    else:
        assert inner[1].encode() == value


def test_strings_and_conjunctions():
    assert sqltext.string("a'b") == "_utf8mb4 X'612762'"
    assert sqltext.conjunction(["a", "b"]) == "a AND b"
    assert sqltext.conjunction([]) == "TRUE"
