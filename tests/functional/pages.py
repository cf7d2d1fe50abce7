# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What in the documentation can be run: fenced blocks, and orders about them in HTML comments that readers do not see.

An order stands before the block it is about, one or more of them:

    <!-- test: example -->         the case of the README: equal copies, the account, its inventory.yml
    <!-- test: spoil -->           server2 drifts as the README tells
    <!-- test: unlogged server2    statements past the binary log, one a line, until the comment ends
    ... -->
    <!-- test: sql server1 -->     the block's statements, or those in the comment, on one server or more (server1,server2)
    <!-- test: file NAME -->       the block is kept under this name
    <!-- test: play -->            the block is a playbook and is run
    <!-- test: fails -->           the commands of the block end with an error
    <!-- test: only mysql -->      the block and its orders are for this family of servers
    <!-- test: skip REASON -->     the block is not run; the reason is for the reader of the page's source

Without orders the lines of a `console` block that begin with "$ " are run, the lines after each are what it prints, in this
order, other lines between them allowed, "…" standing for anything. A `yaml` block must be YAML, and plays in it must be plays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
_PIECE = re.compile(
    r"^<!-- test: (?P<order>.*?) ?-->|^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
_RUNNABLE = ("console", "yaml", "sql", "ini", "bash", "sh", "shell", "python")


@dataclass(frozen=True)
class Order:
    """What is to be done about the next block."""

    verb: str
    argument: str
    body: str


@dataclass(frozen=True)
class Block:
    """One fenced block with the orders before it; ``line`` is where it begins. Trailing orders have no block (no language)."""

    page: str
    line: int
    language: str
    text: str
    orders: tuple[Order, ...]

    def order(self, verb: str) -> Order | None:
        """The order of this kind, if there is one."""
        return next((order for order in self.orders if order.verb == verb), None)

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """Each command with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            elif found and line.strip():
                found[-1][1].append(line)
        return found


def pages() -> list[Path]:
    """Every page that a user reads."""
    guides = [path for path in sorted((CHECKOUT / "docs").glob("*.md")) if path.name != "README.md"]
    return [CHECKOUT / "README.md", *guides, CHECKOUT / "docs" / "README.md", *sorted(CHECKOUT.glob("roles/*/README.md"))]


def blocks(path: Path) -> Iterator[Block]:
    """Give the blocks of a page, in order."""
    text = path.read_text("utf-8")
    page = str(path.relative_to(CHECKOUT))
    orders: list[Order] = []
    for piece in _PIECE.finditer(text):
        line = text.count("\n", 0, piece.start()) + 1
        if piece["order"] is not None:
            head, _newline, body = piece["order"].partition("\n")
            verb, _space, argument = head.strip().partition(" ")
            orders.append(Order(verb, argument.strip(), body))
            continue
        if piece["language"] in _RUNNABLE or orders:
            indent = len(piece["indent"])
            content = "".join(each[indent:] for each in piece["text"].splitlines(keepends=True))
            yield Block(page, line, piece["language"], content, tuple(orders))
        orders = []
    if orders:
        yield Block(page, text.count("\n") + 1, "", "", tuple(orders))
