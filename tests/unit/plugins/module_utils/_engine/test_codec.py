# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Values as SQL and for people, one case for each kind of column."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import codec
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column


def column(data_type, column_type=None, charset=None):
    """A column named c."""
    return Column("c", data_type, column_type or data_type, charset, None, True, "", "")


@pytest.mark.parametrize(
    ("data_type", "charset", "value", "literal"),
    [
        ("int", None, b"-5", "-5"),
        ("decimal", None, b"1.50", "1.50"),
        ("year", None, b"0000", "0000"),
        ("float", None, b"0.10000000149011612", "0.10000000149011612e0"),
        ("double", None, b"-0", "-0e0"),
        ("double", None, b"1.797e308", "1.797e308"),
        ("double", None, b"5e-324", "5e-324"),
        ("bit", None, b"18446744073709551615", "18446744073709551615"),
        ("enum", "utf8mb4", b"2", "2"),
        ("set", "utf8mb4", b"5", "5"),
        ("datetime", None, b"2024-01-01 00:00:00.000001", "'2024-01-01 00:00:00.000001'"),
        ("date", None, b"0000-00-00", "'0000-00-00'"),
        ("time", None, b"-838:59:59", "'-838:59:59'"),
        ("varchar", "latin1", b"\xe9", "_latin1 X'E9'"),
        ("json", None, b'{"a": 1}', "'{\"a\": 1}'"),
        ("uuid", None, b"123e4567-e89b-12d3-a456-426655440000", "'123e4567-e89b-12d3-a456-426655440000'"),
        ("varbinary", None, b"\x00", "X'00'"),
        ("longblob", None, b"", "''"),
        ("point", None, b"\x01\x02", "X'0102'"),
        ("int", None, None, "NULL"),
    ],
)
def test_literals(data_type, charset, value, literal):
    assert codec.literal(column(data_type, charset=charset), value) == literal


@pytest.mark.parametrize("data_type", ["int", "double", "bit", "decimal"])
@pytest.mark.parametrize("value", [b"1; DROP TABLE t", b"", b"0x10", b"NaN", b"1e", b" 1"])
def test_bytes_that_are_no_number_never_become_sql(data_type, value):
    with pytest.raises(ValueError, match="not a number"):
        codec.literal(column(data_type), value)


KINDS = [
    column(data_type, charset=charset)
    for data_type, charset in (
        ("int", None),
        ("decimal", None),
        ("double", None),
        ("bit", None),
        ("datetime", None),
        ("varchar", "utf8mb4"),
        ("varchar", "ucs2"),
        ("json", None),
        ("varbinary", None),
    )
]
NUMBERS = [b"0", b"-1", b"12.50", b"1e5", b"-2.5e-300", b"99999999999999999999"]
STRINGS = [b"", b"plain", b"a,b", b"it's", b"back\\slash", b"\x00", b"\xff", b"x" * 300, b"-- ", b"'"]


@pytest.mark.parametrize("of", KINDS, ids=lambda of: f"{of.data_type}-{of.charset}")
def test_many_at_once_are_written_as_one_by_one(of):
    texts = codec.kind(of) in (codec.Kind.TEXT, codec.Kind.BINARY, codec.Kind.TEMPORAL)
    usable = [value for value in NUMBERS if b"e" not in value or codec.kind(of) is codec.Kind.FLOAT]
    pool = STRINGS if texts else usable
    for some in itertools.product([None, *pool], repeat=3):
        assert list(codec.literals(of, some)) == [codec.literal(of, value) for value in some]
    assert list(codec.literals(of, [])) == []


@pytest.mark.parametrize("data_type", ["int", "double", "bit", "decimal"])
@pytest.mark.parametrize("value", [b"1; DROP TABLE t", b"", b"1,2", b"1-2", b"--1", b"1e", b" 1", b"1,", b"1\n", b"\xff"])
def test_bytes_that_are_no_number_never_become_sql_among_others(data_type, value):
    for some in ([b"1", value], [value, b"1"], [b"1", value, b"2"], [None, value]):
        with pytest.raises(ValueError, match="not a number"):
            codec.literals(column(data_type), some)


def test_what_is_selected_keeps_every_bit():
    assert codec.read_expression(column("float")) == "(`c` * 1e0)"
    assert codec.read_expression(column("enum")) == "(`c` + 0)"
    assert codec.read_expression(column("varchar")) == "`c`"


def test_conditions():
    assert codec.equals(column("int"), b"1") == "`c` = 1"
    assert codec.equals(column("int"), None) == "`c` IS NULL"


def test_an_unknown_type_is_refused():
    with pytest.raises(TableProblem, match="unsupported_type"):
        codec.literal(column("hyperloglog"), b"x")


@pytest.mark.parametrize(
    ("data_type", "column_type", "charset", "value", "shown"),
    [
        ("varchar", None, "latin1", b"caf\xe9", "'café'"),
        ("varchar", None, "utf8mb4", b"it's", "'it''s'"),
        ("varchar", None, "utf8mb4", b"\x1b[31m", "'\\x1b[31m'"),
        ("varchar", None, "utf8mb4", b"bad\xff", "'bad\\xff'"),
        ("varchar", None, "ucs2", b"\x00a", "'a'"),
        ("varbinary", None, None, b"\x00\x01", "0x0001"),
        ("int", None, None, b"5", "5"),
        ("enum", "enum('a','it''s')", "utf8mb4", b"2", "'it''s'"),
        ("enum", "enum('a')", "utf8mb4", b"0", "'0'"),
        ("set", "set('x','y','z')", "utf8mb4", b"5", "'x,z'"),
        ("bit", "bit(4)", None, b"5", "b'101'"),
        ("int", None, None, None, "NULL"),
    ],
)
def test_readable(data_type, column_type, charset, value, shown):
    assert codec.readable(column(data_type, column_type, charset), value) == shown


def test_long_values_are_cut_and_say_how_long_they_are():
    assert codec.readable(column("text", charset="utf8mb4"), b"x" * 100, limit=4) == "'xxxx...(100 bytes)'"
    assert codec.readable(column("blob"), b"\x00" * 100, limit=2) == "0x0000...(100 bytes)"
