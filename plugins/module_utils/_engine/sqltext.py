# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place where names and values become SQL text.

Sessions run with a fixed ``sql_mode`` and ``character_set_connection = utf8mb4`` (session.py), and no
literal written here holds a quote or a backslash, so neither ``ANSI_QUOTES`` nor
``NO_BACKSLASH_ESCAPES`` nor a character set can change what a statement means, on the server it
is sent to or on the one that replays it from a binary log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

# Printable ASCII without the two characters that any sql_mode could give a meaning inside '...'.
_PLAIN = re.compile(rb"[\x20-\x26\x28-\x5b\x5d-\x7e]*")

_PLAIN_BYTES = bytes(byte for byte in range(0x20, 0x7F) if byte not in b"'\\")

# Longer plain text is written in hex as well: nobody reads it, and hex cannot be mistaken.
_PLAIN_LIMIT = 255

# Character sets in which the bytes 0x20-0x7e mean the same as in ASCII. Text in any other one
# (ucs2, utf16, utf32, sjis, cp932, gbk with their second bytes, ...) is always written in hex.
_ASCII_COMPATIBLE = frozenset({"ascii", "latin1", "latin2", "latin5", "latin7", "utf8", "utf8mb3", "utf8mb4"})


def quote_name(name: str) -> str:
    """Quote one identifier.

    Backticks are quoting characters in every sql_mode
    (https://dev.mysql.com/doc/refman/8.4/en/identifiers.html).
    """
    return "`" + name.replace("`", "``") + "`"


def quote_names(names: Iterable[str]) -> str:
    """Quote identifiers and join them with commas."""
    return ", ".join(quote_name(name) for name in names)


def hex_literal(value: bytes) -> str:
    """Write bytes as a binary string literal; the empty string has no hex form in MariaDB's grammar."""
    return f"X'{value.hex().upper()}'" if value else "''"


def text_literal(value: bytes, charset: str) -> str:
    """Write the bytes of a character string of ``charset``: readable if harmless, else exact hex.

    The introducer tells the server the character set of the bytes, so it converts nothing.
    """
    if charset in _ASCII_COMPATIBLE and len(value) <= _PLAIN_LIMIT and _PLAIN.fullmatch(value):
        return f"'{value.decode('ascii')}'"
    return f"_{charset} {hex_literal(value)}"


def plain_literals(values: Sequence[bytes], charset: str) -> list[str] | None:
    """Write many strings as text_literal() does; None: one of them is not plain and short, or there is none."""
    if charset not in _ASCII_COMPATIBLE or not values or max(map(len, values)) > _PLAIN_LIMIT:
        return None
    joined = b"\0".join(values)
    if joined.translate(None, _PLAIN_BYTES) != b"\0" * (len(values) - 1):
        return None
    return [f"'{value}'" for value in joined.decode("ascii").split("\0")]


def string(value: str) -> str:
    """Write a Python string (a name, a position, a pattern) as a literal."""
    return text_literal(value.encode("utf-8"), "utf8mb4")


def bracketed(condition: str) -> str:
    """A condition in brackets, also one that ends with a comment."""
    return f"({condition}\n)"


# A string literal in an expression as servers show it, and how MySQL escapes a whole expression that has any.
_LITERAL = re.compile(r"('(?:[^'\\]|''|\\.)*')", re.DOTALL)
_ESCAPED = re.compile(r"_\w+\\'")


def outside_literals(expression: str, change: Callable[[str], str]) -> str:
    """An expression as a server shows it (of a generated column, a CHECK, a partition), changed but for its string literals."""
    return "".join(part if part.startswith("'") else change(part) for part in _LITERAL.split(unescaped(expression)))


def code_of(expression: str) -> str:
    """An expression as a server shows it, without its string literals and the quotes of its names."""
    return _LITERAL.sub("", unescaped(expression)).replace("`", "")


def unescaped(expression: str) -> str:
    """An expression as a server shows it, without MySQL's escapes of a whole expression. What MariaDB shows may only look so."""
    return re.sub(r"\\(.)", r"\1", expression, flags=re.DOTALL) if _ESCAPED.search(expression) else expression


def conjunction(conditions: Iterable[str]) -> str:
    """Join conditions with AND; an empty list is TRUE."""
    return " AND ".join(conditions) or "TRUE"
