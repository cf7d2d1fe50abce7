# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Column types and values that break naive tools, as SQL text. Written without the engine's quoting, on purpose."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Dice = random.Random
Maker = Callable[[Dice], str]


@dataclass(frozen=True)
class Kind:
    """A column type: its definition, how to make a value of it, and what it may serve as.

    ``in_key``: "" never, "whole" as it is, "prefix" only its beginning. ``texts``: equal values may be spelt otherwise.
    """

    definition: str
    make: Maker
    in_key: str = "whole"
    texts: bool = False


def one_of(*values: str) -> Maker:
    """A maker that picks."""
    return lambda dice: dice.choice(values)


# -- numbers -----------------------------------------------------------------------------------

_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}


def integer(dice: Dice) -> Kind:
    """An integer type of any width."""
    name = dice.choice(list(_BITS))
    unsigned = dice.random() < 0.4
    low, high = (0, 2 ** _BITS[name] - 1) if unsigned else (-(2 ** (_BITS[name] - 1)), 2 ** (_BITS[name] - 1) - 1)

    def make(dice: Dice) -> str:
        if dice.random() < 0.3:
            return str(dice.choice([low, low + 1, high - 1, high, 0, 1]))
        return str(dice.randint(max(low, -60), min(high, 60)))

    zerofill = " zerofill" if unsigned and dice.random() < 0.1 else ""
    return Kind(f"{name}{' unsigned' if unsigned else ''}{zerofill}", make)


def _decimal(dice: Dice) -> Kind:
    digits = dice.choice([1, 5, 18, 38, 65])
    scale = dice.choice([0, min(2, digits), min(30, digits), min(30, digits) // 2])

    def make(dice: Dice) -> str:
        def some(count: int) -> str:
            return "".join(dice.choice("0123456789") for _each in range(dice.randint(1, count))) if count else ""

        text = (some(digits - scale) or "0") + (f".{some(scale)}" if scale else "")
        return dice.choice(["", "-"]) + text

    return Kind(f"decimal({digits},{scale})", make)


_FLOATS = (
    "0e0", "-0e0", "1e0", "0.1", "0.10000000149011612", "16777217", "3.4028234e38", "1.17549435e-38", "1.401298464324817e-45",
    "-1e-5", "123456.789", "1e15", "1e16", "0.30000000000000004",
)  # fmt: skip
_DOUBLES = (
    *_FLOATS, "315.2599999999994", "315.25999999999936", "1.797e308", "5e-324", "2.2250738585072014e-308", "9007199254740993",
    "-1.7976931348623157e308",
)  # fmt: skip


def _float(dice: Dice) -> Kind:
    name = dice.choice(["float", "double", "float unsigned", "double(12,4)" if dice.random() < 0.3 else "double"])
    pool: tuple[str, ...] = _FLOATS if name.startswith("float") else _DOUBLES
    if "(" in name or "unsigned" in name:
        pool = ("0", "1.5", "99999.1234", "0.0001")

    def make(dice: Dice) -> str:
        return dice.choice(pool) if dice.random() < 0.7 else repr(dice.uniform(0, 1000))

    return Kind(name, make)


def _bit(dice: Dice) -> Kind:
    width = dice.choice([1, 7, 8, 9, 33, 64])
    return Kind(f"bit({width})", lambda dice: str(dice.choice([0, 1, 2**width - 1, dice.getrandbits(width)])) + " + 0")


# -- text and bytes ----------------------------------------------------------------------------

_CHARSETS = {
    "ascii": "ascii", "latin1": "cp1252", "latin2": "iso8859-2", "cp1251": "cp1251", "koi8r": "koi8-r", "greek": "iso8859-7",
    "hebrew": "iso8859-8", "utf8mb3": "utf-8", "utf8mb4": "utf-8", "ucs2": "utf-16-be", "utf16": "utf-16-be",
    "utf16le": "utf-16-le", "utf32": "utf-32-be", "sjis": "shift_jis", "cp932": "cp932", "ujis": "euc_jp", "gbk": "gbk",
    "big5": "big5", "euckr": "euc_kr", "latin5": "iso8859-9", "cp1250": "cp1250",
}  # fmt: skip
_LIKELY = ("utf8mb4",) * 12 + ("latin1",) * 5 + ("ascii",) * 2 + ("utf8mb3",) * 2
_PIECES = (
    "a", "A", "b", "B", "z", "ä", "Ä", "é", "e", "ß", "ss", "ı", "I", "i", "\\", "'", '"', "`", "%", "_", "#", ",", ";", "--",
    "/*", "\0", "\n", "\r", "\t", "\x1a", "\x1b[31m", "\x1b]0;t\x07", "\x7f", "NULL", "0x41", " ", "  ", "€", "я", "表", "ソ",
    "한", "😀", "👩‍💻", "\u202e", "\ufeff", "<script>", "{{ 7*7 }}", "0", "1", "10", "-1", "1e1",
)  # fmt: skip
_COLLATIONS = {
    "utf8mb4": ("utf8mb4_bin", "utf8mb4_general_ci", "utf8mb4_unicode_ci", "utf8mb4_unicode_520_ci", "utf8mb4_swedish_ci"),
    "utf8mb3": ("utf8mb3_bin", "utf8mb3_general_ci", "utf8mb3_unicode_ci"),
    "latin1": ("latin1_bin", "latin1_swedish_ci", "latin1_general_cs", "latin1_german2_ci"),
    "ucs2": ("ucs2_bin", "ucs2_unicode_ci", "ucs2_general_ci"),
    "utf16": ("utf16_bin", "utf16_unicode_ci"),
    "utf32": ("utf32_bin", "utf32_general_ci"),
}
_OWN_COLLATIONS = {
    "mysql": ("utf8mb4_0900_ai_ci", "utf8mb4_0900_as_cs", "utf8mb4_0900_bin", "utf8mb4_de_pb_0900_as_cs"),
    "mariadb": ("utf8mb4_nopad_bin", "utf8mb4_general_nopad_ci", "utf8mb4_uca1400_ai_ci", "utf8mb4_uca1400_as_cs"),
}


def hexed(value: bytes) -> str:
    """A binary literal."""
    return f"X'{value.hex()}'" if value else "''"


def _words(dice: Dice, codec: str, length: int) -> bytes:
    """Up to ``length`` characters that the character set has."""
    text = ""
    for _piece in range(dice.choice([0, 1, 1, 2, 3, 5])):
        text += dice.choice(_PIECES) if dice.random() < 0.8 else dice.choice(string.printable)
    if dice.random() < 0.2:
        text += " " * dice.randint(1, 2)
    kept = ""
    for char in text[:length]:
        try:
            char.encode(codec)
        except UnicodeEncodeError:
            continue
        kept += char
    return kept.encode(codec)


def text(dice: Dice, family: str, long: bool = True) -> Kind:
    """A character type of any character set and collation."""
    charset = dice.choice(_LIKELY) if dice.random() < 0.75 else dice.choice(list(_CHARSETS))
    codec = _CHARSETS[charset]
    choices = _COLLATIONS.get(charset, ()) + (_OWN_COLLATIONS[family] if charset == "utf8mb4" else ())
    collation = f" COLLATE {dice.choice(choices)}" if choices and dice.random() < 0.7 else ""
    length = dice.choice([1, 4, 10, 20, 40])
    name = dice.choice([f"char({length})", f"varchar({length})", f"varchar({length})"])
    in_key = "whole"
    if long and dice.random() < 0.25:
        name, in_key, length = dice.choice(["tinytext", "text", "mediumtext", "longtext"]), "prefix", 30

    def make(dice: Dice) -> str:
        value = _words(dice, codec, length)
        if charset in ("utf8mb3", "ucs2"):  # the basic plane only
            value = "".join(char for char in value.decode(codec) if ord(char) < 0x10000).encode(codec, "ignore")
        if long and in_key == "prefix" and dice.random() < 0.05:
            value *= dice.choice([50, 1000]) if len(value) < 60 and name != "tinytext" else 1
        return f"_{charset} {hexed(value)}"

    return Kind(f"{name} CHARACTER SET {charset}{collation}", make, in_key, texts=True)


def _bytes(dice: Dice) -> Kind:
    length = dice.choice([1, 4, 16, 30])
    name = dice.choice([f"binary({length})", f"varbinary({length})", "tinyblob", "blob", "mediumblob", "longblob"])

    def make(dice: Dice) -> str:
        size = dice.randint(0, length)
        return hexed(bytes(dice.choice([0, 32, 39, 92, 0xFF, dice.getrandbits(8)]) for _each in range(size)))

    return Kind(name, make, "whole" if "(" in name else "prefix")


# -- the others --------------------------------------------------------------------------------

_LABELS = ("a", "z", "m", "", "it''s", "x y", "0", "1", "ü", '"', "#", "B")


def _choice(dice: Dice) -> Kind:
    labels = dice.sample(_LABELS, dice.randint(1, 6))
    if dice.random() < 0.7:
        return Kind(
            f"enum({', '.join(f'{chr(39)}{label}{chr(39)}' for label in labels)}) CHARACTER SET utf8mb4",
            lambda dice: str(dice.randint(1, len(labels))),
            texts=True,
        )
    labels = [label for label in labels if label] or ["q"]
    return Kind(
        f"set({', '.join(f'{chr(39)}{label}{chr(39)}' for label in labels)}) CHARACTER SET utf8mb4",
        lambda dice: str(dice.randrange(2 ** len(labels))),
        texts=True,
    )


def _temporal(dice: Dice) -> Kind:
    digits = dice.choice([0, 0, 3, 6])
    part = f"({digits})" if digits else ""

    def fraction(dice: Dice) -> str:
        return "." + "".join(dice.choice("0159") for _each in range(digits)) if digits else ""

    days = ("0000-00-00", "1000-01-01", "9999-12-31", "2024-02-29", "2024-00-10", "2024-03-31", "2024-10-27", "1970-01-01")
    kind = dice.choice(["date", "datetime", "timestamp", "time", "year"])
    if kind == "date":
        return Kind("date", lambda dice: f"'{dice.choice(days)}'")
    if kind == "datetime":
        return Kind(f"datetime{part}", lambda dice: f"'{dice.choice(days)} {dice.randint(0, 23):02}:30:59{fraction(dice)}'")
    if kind == "time":
        hours = ("-838", "838", "00", "-00", "23", "100")
        return Kind(f"time{part}", lambda dice: f"'{dice.choice(hours)}:{dice.choice(['00', '59'])}:01{fraction(dice)}'")
    if kind == "year":
        return Kind("year", one_of("0", "1901", "2155", "2000", "1970"))
    stamps = ("1970-01-01 00:00:01", "2024-10-27 00:30:00", "2024-10-27 01:30:00", "2024-03-31 01:30:00", "2038-01-19 03:14:07")
    return Kind(f"timestamp{part} NULL DEFAULT NULL", lambda dice: f"'{dice.choice(stamps)}{fraction(dice)}'")


def moment(dice: Dice) -> Kind:
    """A type that tells old rows from new ones, with few values, so that many are equal."""
    days = ("'2024-01-01 00:00:00'", "'2024-01-01 00:00:01'", "'2024-03-09 12:00:00'", "'2025-01-01 00:00:00'")
    if dice.random() < 0.6:
        kind = dice.choice(["datetime", "datetime(6)", "timestamp", "timestamp(3)", "date"])
        return Kind(kind, one_of(*days, "'0000-00-00 00:00:00'"), in_key="")
    return Kind(
        dice.choice(["int", "bigint", "decimal(20,3)", "double", "smallint"]), one_of("-5", "0", "1", "2", "10"), in_key=""
    )


def _json(dice: Dice) -> Kind:
    pool = ("{}", "[]", "null", '"x"', "9007199254740993", '{"b": 1, "a": [1, 2.50, 1e400]}'.replace("1e400", "1e10"),
            '{"k": "\\\\u00fc\\\\"<b>"}', '[0.1, 0.30000000000000004, -0.0]', "true", '{"a": {"a": {"a": []}}}')  # fmt: skip
    return Kind("json", lambda dice: f"'{dice.choice(pool)}'", in_key="")


def _geometry(dice: Dice) -> Kind:
    shapes = ("POINT(1 2)", "POINT(-0.1 1e-7)", "LINESTRING(0 0, 1 1, 2 0)", "POLYGON((0 0, 0 3, 3 3, 0 0))",
              "MULTIPOINT(1 1, 2 2)", "GEOMETRYCOLLECTION(POINT(1 1))")  # fmt: skip
    if dice.random() < 0.5:
        return Kind("geometry", lambda dice: f"ST_GeomFromText('{dice.choice(shapes)}', {dice.choice([0, 4326])})", in_key="")
    return Kind("point", lambda dice: f"ST_GeomFromText('{dice.choice(shapes[:2])}', {dice.choice([0, 4326])})", in_key="")


def _special(dice: Dice, flavor: str) -> Kind:
    if flavor.startswith("mariadb"):
        made = [
            Kind("uuid", lambda dice: f"'123e4567-e89b-12d3-a456-4266554400{dice.randrange(16):02x}'"),
            Kind("inet6", one_of("'::'", "'2001:db8::ff00:42:8329'", "'::ffff:10.0.0.1'", "'fe80::1'")),
            Kind("inet4", one_of("'0.0.0.0'", "'10.0.0.1'", "'255.255.255.255'")),
        ]
        if flavor != "mariadb-10.11":
            made.append(_vector("VEC_FromText"))
        return dice.choice(made)
    return _vector("STRING_TO_VECTOR")


def _vector(function: str) -> Kind:
    return Kind("vector(2)", lambda dice: f"{function}('[{dice.randint(0, 3)},{dice.choice(_FLOATS)}]')", in_key="")


def any_kind(dice: Dice, flavor: str) -> Kind:
    """Any type that the server knows."""
    family = flavor.split("-")[0]
    makers: Sequence[tuple[int, Callable[[], Kind]]] = (
        (5, lambda: integer(dice)),
        (8, lambda: text(dice, family)),
        (2, lambda: _decimal(dice)),
        (3, lambda: _float(dice)),
        (1, lambda: _bit(dice)),
        (3, lambda: _bytes(dice)),
        (3, lambda: _choice(dice)),
        (4, lambda: _temporal(dice)),
        (1, lambda: _json(dice)),
        (1, lambda: _geometry(dice)),
        (1, lambda: _special(dice, flavor)),
    )
    return dice.choices([make for _weight, make in makers], [weight for weight, _make in makers])[0]()


def key_kind(dice: Dice, flavor: str) -> Kind:
    """A type that can be part of a key; integers more often than others."""
    while True:
        kind = integer(dice) if dice.random() < 0.4 else any_kind(dice, flavor)
        if kind.in_key:
            return kind


#: Names that break quoting.
NAMES = (
    "select", "order", "a b", "a.b", "a,b", "a`b", "a'b", 'a"b', "a%b", "a\\b", "naïve", "日本", "x\ny", "a;b", "#c", "--d",
    "n" * 64, "?", "%s", "{0}", "$e", "a/*b", "*",
)  # fmt: skip


def quoted(name: str) -> str:
    """A quoted identifier."""
    return "`" + name.replace("`", "``") + "`"
