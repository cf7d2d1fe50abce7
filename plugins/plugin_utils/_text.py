# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""Text from a database in a place where it must do nothing but be read.

Control characters move cursors, bidirectional ones turn lines around, some are forbidden in XML: they
are shown instead. What HTML and XML mean by ``<`` is the templates' business (autoescape).
"""

from __future__ import annotations

import re
import typing as t

# C0 and C1, soft hyphen, whatever has no width or turns the direction of writing, surrogates, non-characters.
# The joiners U+200C and U+200D stay: scripts and emoji need them.
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-!|~:@$^=.])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def visible(value: object) -> str:
    """The text of a value with every unseen character shown: control characters as ␊, others as ⟨U+202E⟩."""
    return _UNSEEN.sub(_show, str(value))


def sentence(value: object) -> str:
    """A message on one line: line breaks and tabs become spaces, other unseen characters are shown."""
    return visible(re.sub(r"\s+", " ", str(value)).strip())


def markdown(value: object) -> str:
    """A text for Markdown in which nothing is markup, also within a table."""
    text = re.sub("[&<>]", lambda found: _ENTITIES[found[0]], visible(value))
    return _MARKUP.sub(r"\\\1", text)


def number(value: t.Any) -> str:
    """1,234,567"""
    return f"{int(value):,}"


def count(value: t.Any, one: str, many: str = "") -> str:
    """1 row, 1,234 rows"""
    return f"{number(value)} {one if int(value) == 1 else many or one + 's'}"


def short(value: float) -> str:
    """950, 16 k, 1.61 M"""
    for unit, name in ((1_000_000, " M"), (10_000, " k")):
        if value >= unit:
            scaled = value / (1_000_000 if name == " M" else 1000)
            return f"{scaled:.3g}{name}" if scaled < 1000 else f"{scaled:,.0f}{name}"
    return number(value)


def duration(seconds: t.Any) -> str:
    """12 ms, 4.2 s, 42 s, 3 min 5 s, 2 h 5 min"""
    value = float(seconds or 0)
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def _show(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else f"⟨U+{code:04X}⟩"
