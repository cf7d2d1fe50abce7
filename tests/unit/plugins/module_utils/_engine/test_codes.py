# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""docs/hazards.md explains every code that the engine can give, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import errors

ENGINE = Path(errors.__file__).parent
PAGE = Path(__file__).parents[5] / "docs" / "hazards.md"

# Calls whose first argument is a code.
GIVING = {
    "Hazard", "Refusal", "Undecided", "ConnectError", "TableProblem", "ReplError", "RefusedRow", "__init__", "_missing",
}  # fmt: skip
# Those that come about in other ways: from tables of messages, from options, put together.
ELSEWHERE = {
    "missing_on_source", "missing_on_target", "view", "sequence", "filtered", "max_deletes", "keeps_changing",
    "check_constraint", "changed_since", "schema_changed", "not_undone",
}  # fmt: skip
PUT_TOGETHER = {"missing_on_source", "missing_on_target"}


def words(node: ast.AST) -> set[str]:
    texts = (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str))
    return {text for text in texts if re.fullmatch(r"[a-z]+(_[a-z]+)*", text)}


def name(node: ast.AST) -> str:
    return getattr(node, "id", "") or getattr(node, "attr", "")


def given(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if name(node.func) in GIVING and node.args:
                yield from words(node.args[0])
            for keyword in node.keywords:
                if keyword.arg in ("code", "reason"):
                    yield from words(keyword.value)
        elif isinstance(node, ast.Assign) and any(name(target) in ("code", "reason") for target in node.targets):
            yield from words(node.value)
        elif isinstance(node, ast.For) and isinstance(node.target, ast.Tuple) and name(node.target.elts[0]) == "code":
            for row in getattr(node.iter, "elts", ()):
                yield from words(row.elts[0])


def test_every_code_is_explained_and_no_unknown_one():
    sources = [path.read_text("utf-8") for path in ENGINE.rglob("*.py")]
    codes = {code for source in sources for code in given(ast.parse(source))} | ELSEWHERE
    explained = re.findall(r"^(?:### |\| )`(\w+)`", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(explained) == len(set(explained)), "explained twice"
    assert codes - set(explained) == set(), "not explained in docs/hazards.md"
    known = {code for code in explained if any(f'"{code}"' in source for source in sources)}
    assert set(explained) - known - PUT_TOGETHER == set(), "explained in docs/hazards.md, given by nobody"


def test_every_error_of_a_full_disk_has_a_remedy():
    assert all("make room there" in errors.ServerError(number, "full", "the source").remedy for number in (1021, 1114, 3019))
