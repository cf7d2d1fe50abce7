# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""One differing row as cells: the columns that differ, and within two texts the part that does."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._text import visible

View = dict[str, t.Any]

# Two texts that share fewer characters than that are different as a whole.
_SHARED = 3
# Digits of a number mean nothing alone.
_NUMBER = re.compile(r"[-+0-9.eE]+\Z")


def shown_row(row: t.Mapping[str, t.Any]) -> View:
    """A sample row: ``kind``, ``key`` (name and value), and ``lines``, one a column, with both sides' parts.

    A side's parts are (text, whether it differs); None where that side does not have the row.
    """
    source, target = row.get("source"), row.get("target")
    names = list(source or target or ())
    copies = row.get("copies")
    return {
        "kind": str(row.get("kind")),
        "key": [(visible(name), _text(value)) for name, value in (row.get("key") or {}).items()],
        "lines": [
            {"column": visible(name), **_sides(source, target, name)} for name in names
        ],
        "copies": "" if not copies else f"{copies['source']} × on the source, {copies['target']} × on the target",
    }  # fmt: skip


def _sides(source: t.Mapping[str, t.Any] | None, target: t.Mapping[str, t.Any] | None, name: str) -> View:
    if source is None or target is None:
        return {
            "source": None if source is None else [(_text(source.get(name)), False)],
            "target": None if target is None else [(_text(target.get(name)), False)],
        }
    ours, theirs = source.get(name), target.get(name)
    head, tail = _common(ours, theirs)
    return {"source": _parts(ours, head, tail), "target": _parts(theirs, head, tail)}


def _common(ours: t.Any, theirs: t.Any) -> tuple[int, int]:
    """How many characters two texts have in common at their beginning and at their end."""
    if not isinstance(ours, str) or not isinstance(theirs, str) or (_NUMBER.match(ours) and _NUMBER.match(theirs)):
        return 0, 0
    shortest = min(len(ours), len(theirs))
    head = next((place for place in range(shortest) if ours[place] != theirs[place]), shortest)
    rest = shortest - head
    tail = next((place for place in range(rest) if ours[-1 - place] != theirs[-1 - place]), rest)
    return (head, tail) if head + tail >= _SHARED else (0, 0)


def _parts(value: t.Any, head: int, tail: int) -> list[tuple[str, bool]]:
    if not isinstance(value, str):
        return [(_text(value), True)]
    middle = len(value) - tail
    parts = ((value[:head], False), (value[head:middle], True), (value[middle:], False))
    return [(visible(text), differs) for text, differs in parts if text] or [("", True)]


def _text(value: t.Any) -> str:
    return "NULL" if value is None else visible(value)
