# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""A result that is not too large to be looked at: what is least needed goes first, the counts never.

The rows themselves are in the plan and in the undo journal, whatever is left out here.
"""

from __future__ import annotations

import json
import typing as t

Result = dict[str, t.Any]
_Step = t.Callable[[Result], str]

# AWX loses the data of an event with 700,000 characters; what comes with a result (arguments, warnings) needs room too.
MOST_CHARACTERS = 500_000

# Of a diff. The page of a job in AWX does not get beyond about 4,000 lines.
MOST_DIFF_LINES = 3_000
MOST_DIFF_CHARACTERS = 300_000

# Identical tables that are named where room is short: there is nothing more to say of them.
FEW_IDENTICAL = 500

# Characters of a message; one that lists all columns of a table may be longer.
_LONG_MESSAGE = 1_000

# Statuses of tables, the most urgent first.
_BY_NEED = ("error", "drift", "undecided", "skipped", "identical")


def cut(result: Result) -> str:
    """Make a result that is too large smaller, in place; says what was left out, nothing if it is whole.

    ``summary`` and all other counts stay as they are, so that they tell of what is left out too.
    """
    left_out = [_rest_of_diff(result)]
    for step in _STEPS:
        if _size(result) <= MOST_CHARACTERS:
            break
        left_out.append(step(result))
    return "; ".join(each for place, each in enumerate(left_out) if each and not _is_said_later(each, left_out[place + 1 :]))


def _is_said_later(one: str, later: t.Sequence[str]) -> bool:
    """Whether a later step left out more of the same."""
    return any(one.startswith(start) and other.startswith(start) for start in (_SAMPLES, _DIFF) for other in later)


def _identical(result: Result) -> str:
    identical = [place for place, table in enumerate(result.get("tables", ())) if table.get("status") == "identical"]
    left_out = set(identical[FEW_IDENTICAL:])
    if left_out:
        result["tables"] = [table for place, table in enumerate(result["tables"]) if place not in left_out]
    return f"{len(left_out):,} of {len(identical):,} identical tables" if left_out else ""


_SAMPLES = "sample rows beyond "


def _samples(kept: int) -> _Step:
    def step(result: Result) -> str:
        cut_down = [table for table in result.get("tables", ()) if len(table.get("sample") or ()) > kept]
        for table in cut_down:
            table["sample"] = table["sample"][:kept]
        return f"{_SAMPLES}{kept} of a table" if cut_down else ""

    return step


_DIFF = "the diff"


def _rest_of_diff(result: Result) -> str:
    """Keep the first tables that have room. A table's rows are shown all or none: of a part, the others would seem equal."""
    kept, rest = [], []
    lines, characters = MOST_DIFF_LINES, MOST_DIFF_CHARACTERS
    for block in result.get("diff", ()):
        its_lines, its_characters = block["before"].count("\n") + block["after"].count("\n"), _size(block)
        if its_lines > lines or its_characters > characters:
            rest.append(block)
        else:
            kept.append(block)
            lines, characters = lines - its_lines, characters - its_characters
    if not rest:
        return ""
    what = f"{len(rest):,} table{'' if len(rest) == 1 else 's'}"
    result["diff"] = [*kept, _note(f"{what} left out")]
    return f"{_DIFF} of {what}"


def _whole_diff(result: Result) -> str:
    if not result.get("diff"):
        return ""
    result["diff"] = [_note("all tables left out")]
    return _DIFF


def _note(header: str) -> dict[str, str]:
    """An entry of a diff that tells what it lacks; Ansible prints only what differs."""
    return {"before_header": header, "after_header": header, "before": "... left out\n", "after": "... left out, too large\n"}


def _positions(result: Result) -> str:
    marked = [table for table in result.get("tables", ()) if table.get("positions")]
    for table in marked:
        table["positions"] = []
    return "where in the tables the differences lie" if marked else ""


def _statements(result: Result) -> str:
    has_some = bool(result.get("statements"))
    if has_some:
        result["statements"] = []
    return "the statements" if has_some else ""


def _refused(result: Result) -> str:
    if len(result.get("refused", ())) <= 100:
        return ""
    result["refused"] = result["refused"][:100]
    return "the rows refused, but for 100"


def _messages(result: Result) -> str:
    """What is said of many tables is said once: a link that has stopped is so for each of them."""
    first: dict[str, str] = {}
    is_cut = False
    for table in result.get("tables", ()):
        message = table.get("message") or ""
        name = f"{table.get('database')}.{table.get('table')}"
        if message and first.setdefault(message, name) != name:
            table["message"] = f"As for {first[message]}."
        elif len(message) > _LONG_MESSAGE:
            table["message"] = f"{message[:_LONG_MESSAGE]}..."
            is_cut = True
    return "the ends of long messages" if is_cut else ""


def _tables(result: Result) -> str:
    """At last tables themselves, those that need nobody first."""
    tables = result.get("tables", [])
    room = MOST_CHARACTERS - _size({**result, "tables": []})
    needs = {status: place for place, status in enumerate(_BY_NEED)}
    kept: set[int] = set()
    for place in sorted(range(len(tables)), key=lambda place: needs.get(tables[place].get("status"), 0)):
        room -= _size(tables[place]) + len(", ")
        if room < 0:
            break
        kept.add(place)
    result["tables"] = [table for place, table in enumerate(tables) if place in kept]
    return f"{len(tables) - len(kept):,} tables (select fewer to see them)"


_STEPS: tuple[_Step, ...] = (
    _identical,
    _samples(5),
    _samples(1),
    _samples(0),
    _whole_diff,
    _positions,
    _statements,
    _refused,
    _messages,
    _tables,
)


def _size(value: t.Any) -> int:
    return len(json.dumps(value))
