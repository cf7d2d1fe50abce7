# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the value of a column is read exactly, and written back exactly (law 6).

One table of column kinds: what to select so that the bytes that arrive are the value itself,
and which literal gives these bytes back in any session, on either vendor.
"""

from __future__ import annotations

import re
import typing as t
from enum import Enum

from . import sqltext
from .errors import BadValue, TableProblem
from .schema import Column


class Kind(Enum):
    """How a column's value travels."""

    NUMBER = "number"  # its decimal text
    FLOAT = "float"  # widened to DOUBLE, whose text form holds all its bits
    ORDINAL = "ordinal"  # BIT, ENUM, SET: as the integer that is stored, whatever the labels look like
    TEMPORAL = "temporal"  # text, in UTC
    TEXT = "text"  # bytes in the column's own character set
    BINARY = "binary"  # bytes


#: Types of shapes of any size.
SHAPES = frozenset(
    {
        "geometry",
        "linestring",
        "polygon",
        "multipoint",
        "multilinestring",
        "multipolygon",
        "geomcollection",
        "geometrycollection",
    }
)

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"), Kind.NUMBER),
    **dict.fromkeys(("float", "double"), Kind.FLOAT),
    **dict.fromkeys(("bit", "enum", "set"), Kind.ORDINAL),
    **dict.fromkeys(("date", "time", "datetime", "timestamp"), Kind.TEMPORAL),
    **dict.fromkeys(
        ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "json", "uuid", "inet4", "inet6"), Kind.TEXT
    ),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "vector"), Kind.BINARY),
    **dict.fromkeys(("point", *SHAPES), Kind.BINARY),
}

_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?")
_NUMBERS = re.compile(rb"(?:-?[0-9]+(?:\.[0-9]+)?,)+")
_FLOATS = re.compile(rb"(?:-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?,)+")
_FLOAT = re.compile(rb"-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")

# Types without a character set of their own are sent as plain ASCII (UUID, INET) or as utf8mb4 (JSON).
_DEFAULT_CHARSET = "utf8mb4"


# In MySQL a JSON document made by functions, as JSON_SET(doc, '$.price', 19.90), holds values that no JSON text gives back: from
# text, a DECIMAL is a DOUBLE, a DATE or BLOB a string. What is read of such a document begins with this, as no JSON text does.
_TYPED = b"typed JSON "
_NOT_IN_TEXT = "('DECIMAL', 'DATE', 'TIME', 'DATETIME', 'BLOB', 'BIT', 'OPAQUE')"


def is_writable(column: Column, value: bytes | None) -> bool:
    """Whether literal() gives the very value back: not a JSON document that holds more than text can."""
    return not (column.data_type == "json" and value is not None and value.startswith(_TYPED))


def _json_expression(column: Column) -> str:
    """A document as text, marked if that is not all of it; MySQL can tell since 8.0.4, which has JSON_TABLE."""
    members = (
        f"EXISTS (SELECT 1 FROM JSON_TABLE({column.sql}, '{path}' COLUMNS (v JSON PATH '$')) AS mysql_repl_json"
        f" WHERE JSON_TYPE(mysql_repl_json.v) IN {_NOT_IN_TEXT})"
        for path in ("$**.*", "$**[*]")
    )
    typed = " OR ".join([f"JSON_TYPE({column.sql}) IN {_NOT_IN_TEXT}", *members])
    marked = f"CASE WHEN {typed} THEN CONCAT('{_TYPED.decode()}', {column.sql}) ELSE "
    return f"/*!80004 {marked} */{column.sql}/*!80004 END */"


def kind(column: Column) -> Kind:
    """Tell how the column's values travel. Raises TableProblem for a type this version does not know."""
    try:
        return _KINDS[column.data_type]
    except KeyError:
        raise TableProblem(
            "unsupported_type",
            f"column {column.name} has the type {column.column_type}, which this version cannot compare exactly.",
            "Leave the column out with ignore_columns, or the table with ignore_tables.",
        ) from None


def read_expression(column: Column) -> str:
    """The SELECT item whose bytes are the value itself."""
    how = kind(column)
    if how is Kind.FLOAT:
        # FLOAT is printed with 6 digits; its product with a DOUBLE 1 keeps every bit, also those of -0.
        return f"({column.sql} * 1e0)"
    if column.data_type == "set":
        # Its sum with 0 would be a DOUBLE, which does not hold all 64 members.
        return f"CAST({column.sql} AS UNSIGNED)"
    if how is Kind.ORDINAL:
        return f"({column.sql} + 0)"
    if column.data_type == "json":
        return _json_expression(column)
    if "zerofill" in column.column_type:
        return f"CONCAT({column.sql})"  # a UNION would give it without its zeros
    return column.sql


def is_variable_length(column: Column) -> bool:
    """Whether the bytes of two values could be mistaken for one another when joined."""
    return kind(column) in (Kind.TEXT, Kind.BINARY)


def literal(column: Column, value: bytes | None) -> str:
    """Write a value, as read by read_expression, as SQL. Raises BadValue for bytes that are no such value."""
    if value is None:
        return "NULL"
    how = kind(column)
    if how is Kind.TEXT:
        return sqltext.text_literal(value, column.charset or _DEFAULT_CHARSET)
    if how is Kind.BINARY:
        return sqltext.hex_literal(value)
    if how is Kind.TEMPORAL:
        return sqltext.text_literal(value, "ascii")
    if how is Kind.FLOAT and _FLOAT.fullmatch(value):
        # Without an exponent it would be a DECIMAL, which knows no -0 and fewer digits.
        return value.decode("ascii") if b"e" in value else value.decode("ascii") + "e0"
    if _NUMBER.fullmatch(value):
        return value.decode("ascii")
    raise BadValue(
        "bad_value",
        f"{column.name}: {value[:64]!r} is not a number, as {column.column_type} would need; nothing was written.",
        "The plan or journal that it comes from is damaged; make a new plan, or use another journal.",
    )


def literals(column: Column, values: t.Sequence[bytes | None]) -> t.Sequence[str]:
    """Write many values of a column, as literal() writes each: what they have in common is looked at once."""
    if len(values) > 1:
        there = [value for value in values if value is not None] if None in values else values
        written = _common_literals(column, t.cast(t.Sequence[bytes], there))
        if written is not None:
            if there is values:
                return written
            rest = iter(written)
            return ["NULL" if value is None else next(rest) for value in values]
    return [literal(column, value) for value in values]


def _common_literals(column: Column, values: t.Sequence[bytes]) -> list[str] | None:
    """The literals of values that are written alike; None: they are not."""
    how = kind(column)
    if how in (Kind.NUMBER, Kind.ORDINAL, Kind.FLOAT):
        joined = b",".join(values)
        if joined.count(b",") + 1 != len(values):
            return None  # one of them holds a comma
        # Digits alone are seen far faster than numbers of every kind; none may be empty.
        are_digits = not joined.translate(None, b"0123456789,") and b"" not in values
        if not (are_digits or (_FLOATS if how is Kind.FLOAT else _NUMBERS).fullmatch(joined + b",")):
            return None
        written = joined.decode("ascii").split(",")
        return [value if "e" in value else f"{value}e0" for value in written] if how is Kind.FLOAT else written
    if how in (Kind.TEXT, Kind.TEMPORAL):
        return sqltext.plain_literals(values, (column.charset or _DEFAULT_CHARSET) if how is Kind.TEXT else "ascii")
    return None


def equals(column: Column, value: bytes | None) -> str:
    """Condition that the column equals the value in the column's own collation."""
    return f"{column.sql} IS NULL" if value is None else f"{column.sql} = {literal(column, value)}"


def shown(column: Column, value: bytes, limit: int = 64) -> str:
    """Show a value to a person: text as text, bytes as 0x..., long ones cut with their length in bytes.

    Control characters are escaped, so that data cannot steer a terminal.
    """
    how = kind(column)
    if how is Kind.BINARY:
        return f"0x{value[:limit].hex()}" + _cut(value, limit, len(value))
    if how is Kind.ORDINAL:
        return _labels(column, int(value))
    text = value.decode(_PYTHON_CODECS.get(column.charset or "", "utf-8"), "backslashreplace")
    escaped = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[:limit])
    return "".join(escaped) + _cut(text, limit, len(value))


def readable(column: Column, value: bytes | None, limit: int = 64) -> str:
    """Like shown, with text in quotes and NULL told apart from the text 'NULL'."""
    if value is None:
        return "NULL"
    text = shown(column, value, limit)
    is_text = kind(column) in (Kind.TEXT, Kind.TEMPORAL) or column.data_type in ("enum", "set")
    return "'" + text.replace("'", "''") + "'" if is_text else text


_PYTHON_CODECS = {
    "latin1": "cp1252",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "latin2": "iso8859-2",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "cp1250": "cp1250",
    "cp1251": "cp1251",
    "koi8r": "koi8-r",
    "sjis": "shift_jis",
    "cp932": "cp932",
    "ujis": "euc_jp",
    "euckr": "euc_kr",
    "gbk": "gbk",
    "gb2312": "gb2312",
    "gb18030": "gb18030",
    "big5": "big5",
}


def _cut(value: t.Sized, limit: int, length: int) -> str:
    return "" if len(value) <= limit else f"...({length} bytes)"


def _labels(column: Column, number: int) -> str:
    """The label of an ENUM or the labels of a SET; the bits of a BIT, the number of an invalid ENUM."""
    if column.data_type == "bit":
        return f"b'{number:b}'"
    labels = [label.replace("''", "'") for label in re.findall(r"'((?:[^']|'')*)'", column.column_type)]
    if column.data_type == "enum":
        return labels[number - 1] if 0 < number <= len(labels) else str(number)
    return ",".join(label for bit, label in enumerate(labels) if number >> bit & 1)
