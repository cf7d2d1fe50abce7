# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles print: a line a table and one for all, and however many tables there are, not more than a page takes."""

from __future__ import annotations

import sys
import typing as t
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import reports
from reports import checked, synced, table

jinja2 = pytest.importorskip("jinja2")

ROLES = Path(__file__).resolve().parents[3] / "roles"
SUMMARY = {
    "identical": 1,
    "drift": 2,
    "undecided": 3,
    "skipped": 4,
    "errors": 5,
    "rows": 6,
    "missing": 7,
    "extra": 8,
    "different": 9,
}
BOTH = pytest.mark.parametrize(("role", "template", "result"), [("check", "verdict", checked), ("sync", "repair", synced)])


def lines(role: str, template: str, result: reports.Result) -> list[str]:
    """As the role gives them to debug."""
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.filters.update(split=lambda text, mark: text.split(mark), bool=bool)
    said = environment.from_string((ROLES / role / "templates" / f"{template}.j2").read_text("utf-8")).render(
        __mysql_repl_result={**result, "summary": SUMMARY},
        __mysql_repl_planned=False,
        __mysql_repl_target="db2",
        mysql_repl_source_host="db1",
        mysql_repl_target_host="db2",
    )
    return [line for line in said.split("\n") if line]


@BOTH
def test_a_line_a_table(role: str, template: str, result: t.Any) -> None:
    undecided = table("a.u", "undecided", reason="stopped_link", message="The link\nhas stopped.")
    said = lines(role, template, result(table("a.i"), table("a.d", "drift", missing=1), undecided))
    assert said[:3] == [
        "a.i: identical (1000 rows)",
        "a.d: drift, 1 missing, 0 extra, 0 different (1000 rows)",
        "a.u: undecided: The link has stopped. [stopped_link]",
    ]
    assert said[3].partition(":")[0] in ("NOT IN SYNC", "REPAIRED")


@BOTH
def test_many_identical_tables_are_counted_only(role: str, template: str, result: t.Any) -> None:
    same = [table(f"a.i{number}") for number in range(5000)]
    said = lines(role, template, result(*same, table("a.d", "drift", missing=1)))
    assert said[0].startswith("a.d: drift")
    assert len(said) < 5
    assert len(lines(role, template, result(*same[:200], table("a.d", "drift")))) > 200


@BOTH
def test_very_many_other_tables_are_cut(role: str, template: str, result: t.Any) -> None:
    said = lines(role, template, result(*(table(f"a.d{number}", "drift") for number in range(3000))))
    assert said[1000] == "... and 2000 more tables"
    assert len(said) < 1005
