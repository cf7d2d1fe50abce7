# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides point at is there: tests of each law, other pages, sections."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
# Messages of Ansible itself and of the driver.
ANSIBLE_SAYS = (
    "couldn't resolve",
    "Module result deserialization",
    "MODULE FAILURE",
    "Failed to import",
    "Could not match",
    "package is required",
)
GUIDES = sorted((CHECKOUT / "docs").glob("*.md"))
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md", *GUIDES, *sorted(CHECKOUT.glob("roles/*/README.md"))]


def test_every_law_names_tests_and_each_of_them_exists():
    page = (CHECKOUT / "docs" / "safety.md").read_text("utf-8")
    laws = re.findall(r"^## (\d+)\. (.+?)\n(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, *_rest in laws] == list(range(1, 17))
    for _number, law, text in laws:
        named = re.findall(r"^- `([^`]+)`$", text, re.MULTILINE)
        assert named, f"no test of: {law}"
        for name in named:
            path, _colons, function = name.partition("::")
            source = (CHECKOUT / "tests" / path).read_text("utf-8")
            assert not function or re.search(rf"^def {function}\(", source, re.MULTILINE), f"there is no {name}"


def test_every_known_failure_names_a_test_and_each_of_them_exists():
    page = (CHECKOUT / "docs" / "known-failures.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    assert [int(number) for number, _row in rows] == list(range(1, 21))
    found = re.findall(r"`(test_\w+)`", (CHECKOUT / "docs" / "fire.md").read_text("utf-8"))
    named = [f"integration_engine/test_fire_found.py::{name}" for name in found]
    for _number, tests in rows:
        assert "::" in tests
        named += re.findall(r"`([^`]+)`", tests)
    for name in named:
        path, _colons, function = name.partition("::")
        assert f"def {function}(" in (CHECKOUT / "tests" / path).read_text("utf-8"), f"there is no {name}"


def test_numbers_of_runs_under_fire_are_added_up():
    record = pytest.importorskip("fire.record", reason="ansible-test does not have tests/ on its path; make units does")
    page = (CHECKOUT / "docs" / "fire.md").read_text("utf-8")
    rows = re.findall(r"^\| (mariadb-10.11|mariadb-11.8|mysql-9) \((\S+)\) \| (\d+) ", page, re.MULTILINE)
    assert len(rows) == 3
    for server, _version, scenarios in rows:
        more = record.renewed(page, server, "99.1", (5, 0, 0, 0, 0), "2030-01-01")
        assert f"| {server} (99.1) | {int(scenarios) + 5} |" in more
        assert more.count("2030-01-01") == 1


def _anchors(path: Path) -> set[str]:
    """The anchors of headings as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http:", "https:")):
            continue
        path, _hash, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name}: {target}"
        if anchor and found.suffix == ".md":
            assert anchor in _anchors(found), f"{page.name}: {target}"


def test_every_guide_is_in_the_index():
    index = (CHECKOUT / "docs" / "README.md").read_text("utf-8")
    assert {path.name for path in GUIDES} - {"README.md"} - set(re.findall(r"\((\S+\.md)\)", index)) == set()


def _texts() -> str:
    """Every text in the code that a user may see, an ellipsis for what is filled in."""
    found = []
    for path in sorted((CHECKOUT / "plugins").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    roles = [*CHECKOUT.glob("roles/*/tasks/*.yml"), *CHECKOUT.glob("roles/*/templates/*.j2")]
    return "\n".join(found + [path.read_text("utf-8") for path in sorted(roles)])


def test_the_messages_explained_are_messages_of_ours():
    page = (CHECKOUT / "docs" / "troubleshooting.md").read_text("utf-8")
    texts = _texts().replace("{role}", "…")
    explained = [each for line in re.findall(r'^### "(.+)"$', page, re.MULTILINE) for each in line.split('", "')]
    assert len(explained) > 20
    for message in explained:
        if message.startswith(ANSIBLE_SAYS):
            continue
        pattern = "[^\n]*?".join(map(re.escape, message.replace(" target at", " … at").replace(" source at", " … at").split("…")))
        assert re.search(pattern, texts), f"nothing says: {message}"
