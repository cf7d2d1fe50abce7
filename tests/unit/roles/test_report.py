# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report: verdicts that hold, and values that do nothing but be read, in every format."""

from __future__ import annotations

import json
import sys
import typing as t
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import reports
from reports import checked, drifted, pair, render, synced, table

FORMATS = ("html", "json", "markdown", "junit")
HOSTILE = (
    "<script>alert(1)</script>",
    "</td></table></style></script><img src=x onerror=alert(2)>",
    "\"'><svg/onload=alert(3)>",
    "{{ 6 * 7 }}{% raw %}{# ",
    "\x1b[31mred\x1b[0m\x07\x00\r\n\t",
    "]]> --> <!-- <![CDATA[ &amp; &lt;",
    "a | b `code` ```\n# title\n- [x](javascript:alert(4)) **bold** <https://evil.example> \\",
    "\u202eabc\u2066 \ufeff\u200b שלום 👍🏽 \ud800 \uffff",
    "1. one\n\n    indented",
)
UNSEEN = [chr(code) for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x202E, 0x2066, 0xFEFF, 0xD800, 0xFFFF)]


def spoiled(value: str) -> list[reports.Result]:
    """A fleet in which every text from outside is this value."""
    key = {
        "kind": "different",
        "key": {value: value},
        "columns": [value],
        "source": {value: value},
        "target": {value: f"{value}x"},
    }
    lost = {"kind": "missing", "key": {value: value}, "columns": [], "source": {value: value}, "target": None, "copies": None}
    bad = drifted(f"{value}.{value}", value)
    bad["sample"] += [key, lost]
    hazard = dict.fromkeys(("code", "severity", "server", "message", "remedy"), value)
    hazard["severity"] = "warning"
    server = dict.fromkeys(("host", "port", "version", "flavor", "server_id"), value)
    no = table(f"{value}.{value}", "error", reason=value, message=value)
    links = {"forward": {"io_running": False, "sql_running": True, "sql_error": value, "lag": None}}
    result = synced(bad, no, hazards=[hazard], statements=[value], undo_file=value, source=server, target=server)
    failed = {"failed": True, "msg": f"{value} {value}", "code": value, "remedy": "", "module_stderr": value}
    return [
        *pair(result, links, name="a", source=f"s{value}", target=f"t{value}"),
        *pair(failed, name="b", source=f"s{value}", target=f"t{value}"),
    ]


class Skeleton(HTMLParser):
    """A page without its texts: tags, and the names of their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[t.Any] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _value in attrs]))

    def handle_endtag(self, tag: str) -> None:
        self.found.append(f"/{tag}")

    def handle_comment(self, data: str) -> None:
        self.found.append(f"!{data}")


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_leave_a_page_as_it_is(value: str) -> None:
    page = render(spoiled(value), "html", title=value)
    assert Skeleton(page).found == Skeleton(render(spoiled("tame"), "html", title="tame")).found
    assert not [sign for sign in UNSEEN if sign in page]
    page.encode("utf-8")


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_leave_xml_as_it_is(value: str) -> None:
    def skeleton(text: str) -> list[tuple[str, list[str]]]:
        return [(element.tag, list(element.attrib)) for element in ElementTree.fromstring(text).iter()]

    assert skeleton(render(spoiled(value), "junit", title=value)) == skeleton(render(spoiled("tame"), "junit", title="tame"))


@pytest.mark.parametrize("value", HOSTILE)
def test_hostile_values_leave_markdown_as_it_is(value: str) -> None:
    markdown_it = pytest.importorskip("markdown_it")
    reader = markdown_it.MarkdownIt("gfm-like", {"linkify": False})

    def skeleton(text: str) -> list[str]:
        blocks = reader.parse(text)
        # Marks within a cell come from ourselves, in pairs; a value that differs at its end only gets none.
        inline = {child.type for block in blocks for child in block.children or ()} - {"text", "strong_open", "strong_close"}
        return [block.type for block in blocks] + sorted(inline - {"text_special"})

    said = render(spoiled(value), "markdown", title=value)
    assert skeleton(said) == skeleton(render(spoiled("tame"), "markdown", title="tame"))
    assert not [sign for sign in UNSEEN if sign in said]


@pytest.mark.parametrize("value", HOSTILE)
def test_json_has_the_values_as_they_are(value: str) -> None:
    text = render(spoiled(value), "json", title=value)
    assert text.isascii()
    assert not [sign for sign in UNSEEN if sign in text]
    row = json.loads(text)["pairs"][0]["result"]["tables"][0]["sample"][2]
    assert row["source"]["rate"] == value


@pytest.mark.parametrize("form", FORMATS)
def test_all_formats_take_all_kinds_of_runs(form: str) -> None:
    for hosts in (reports.fleet(), pair(None), [], pair(checked()), pair({"refused": [], "changes": {}, "changed": False})):
        assert render(hosts, form)


@pytest.mark.parametrize(
    ("result", "verdict", "words"),
    [
        (checked(table("a.b")), "IN SYNC", "The only table on db2 is identical to db1's."),
        (checked(table("a.b"), table("a.c")), "IN SYNC", "All 2 tables on db2 are identical"),
        (checked(drifted()), "DRIFT", "1 of 1 table differs on db2: 1 row missing, 1 row extra, 1 row different."),
        (checked(drifted(), msg="The copies are not proven equal"), "DRIFT", ""),
        (checked(table("a.b", "undecided")), "NOT PROVEN", "No difference was found, but 1 of 1 tables could not"),
        (checked(table("a.b"), table("a.v", "skipped", reason="view")), "IN SYNC", ""),
        (checked(table("a.b"), table("a.v", "skipped", reason="filtered")), "NOT PROVEN", ""),
        (
            synced(drifted(), applied=False),
            "REPAIR PLANNED",
            "Rows on db2: 1 to insert, 1 to update, 1 to delete. Nothing was changed",
        ),
        (synced(drifted()), "REPAIRED", "On db2, through db1: 1 row inserted, 1 updated, 1 deleted; verified equal."),
        (
            synced(drifted(), changes={"inserted": 0, "updated": 2, "deleted": 0, "adopted": 1, "skipped": 3}),
            "REPAIRED",
            "On db2, through db1: 0 rows inserted, 2 updated, 0 deleted, 1 copied to db1; verified equal. 3 rows are left alone.",
        ),
        (synced(drifted(), msg="1 tables were not repaired"), "REPAIR INCOMPLETE", "On db2: 1 row inserted"),
        (
            synced(drifted(), changed=False, undo_file=None, msg="There are 9 rows", code="max_deletes"),
            "REPAIR INCOMPLETE",
            "Nothing was changed.",
        ),
        ({"failed": True, "msg": "No right.", "code": "missing_grant"}, "RUN FAILED", "No right."),
        ({}, "NO RESULT", ""),
    ],
)
def test_verdict(result: reports.Result, verdict: str, words: str) -> None:
    said = render(pair(result), "summary")
    assert said.startswith(f"{verdict} db1 → db2: ")
    assert words in said


def test_a_table_is_called_repaired_only_if_that_was_verified() -> None:
    assert 'data-status="repaired"' in render(pair(synced(drifted())))
    for other in (
        synced(drifted(), applied=False),
        synced(drifted(), verified=False, msg="not verified"),
        synced(drifted(), changes={"inserted": 1, "skipped": 1}),
        checked(drifted()),
    ):
        page = render(pair(other))
        assert 'data-status="drift"' in page
        assert 'data-status="repaired"' not in page


def test_a_preflight_that_failed_beats_the_result_of_an_earlier_play() -> None:
    hosts = pair(checked(table("a.b")), {"failed": True, "msg": "The link is stopped.", "code": "stopped_link"})
    assert render(hosts, "summary") == "RUN FAILED db1 → db2: The link is stopped."


def test_a_pair_whose_authority_nobody_knows_has_no_direction() -> None:
    hosts = [{"inventory_hostname": name} for name in ("db1", "db2")]
    assert render(hosts, "summary").startswith("NO RESULT db1, db2: ")


@pytest.mark.parametrize("value", ["short", "ü" * 3000])
def test_the_summary_is_short_and_says_the_worst_first(value: str) -> None:
    hosts = reports.fleet()
    for number in range(100):
        hosts += pair({"failed": True, "msg": value}, name=f"pair {number}")
    said = render(hosts, "summary")
    assert len(said.encode()) < 1000
    assert said.splitlines()[0].startswith("106 pairs: 101 run failed, 1 no result, 1 drift, ")
    assert said.splitlines()[1].startswith("RUN FAILED ")
    assert said.splitlines()[-1].startswith("… and ")


def test_junit_counts_what_fails() -> None:
    suites = ElementTree.fromstring(render(reports.fleet(), "junit"))
    counts = {
        suite.get("name"): [int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")] for suite in suites
    }
    assert counts["db1 → db2"] == [2, 0, 0, 0]
    assert counts["db3 → db4"] == [3, 1, 1, 0]
    assert counts["db5 → db6"] == [2, 0, 0, 0]
    assert counts["db7 → db8"] == [1, 0, 1, 0]
    assert counts["db9 → db10"] == [2, 1, 0, 0]
    for suite in suites:
        assert len(suite) == int(suite.get("tests", ""))
        assert len(suite.findall(".//failure")) == int(suite.get("failures", ""))
        assert len(suite.findall(".//error")) == int(suite.get("errors", ""))


def test_the_differing_part_of_a_value_is_marked() -> None:
    row = reports.different(1, "ARTIST COLDBLOODED II", "ARTIST COLDBLOODED", "title")
    page = render(pair(checked(table("a.b", "drift", different=1, sample=[row]))))
    assert "<bdi>ARTIST COLDBLOODED</bdi><mark><bdi> II</bdi></mark>" in page
    numbers = reports.different(1, "1000.50", "1000.49")
    page = render(pair(checked(table("a.b", "drift", different=1, sample=[numbers]))))
    assert "<mark><bdi>1000.50</bdi></mark>" in page


def test_a_page_is_bound_to_its_own_script_and_fetches_nothing() -> None:
    page = render(reports.fleet())
    policy = page.partition('Content-Security-Policy" content="')[2].partition('"')[0]
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert "http://" not in page
    assert "https://" not in page


def test_what_a_large_result_lacks_is_counted_all_the_same() -> None:
    hosts = reports.huge()
    (listed,) = [len(host["__mysql_repl_result"]["tables"]) for host in hosts if "tables" in host["__mysql_repl_result"]]
    assert listed < 1500
    assert "600 of 5,000 tables differ on db2: 100,200 rows different" in render(hosts, "summary")
    page = render(hosts)
    assert f"{5000 - listed:,} more tables are counted above and not listed" in page
    assert "<dd>50,000,000</dd>" in page
    assert f"{5000 - listed:,} more tables are counted" in render(hosts, "markdown")
    (suite,) = ElementTree.fromstring(render(hosts, "junit"))
    assert (suite.get("tests"), suite.get("failures")) == (str(len(suite.findall("testcase"))), "600")
    assert len(suite.findall("testcase/failure")) == 600


def test_a_large_result_without_drift_is_in_sync() -> None:
    summary = {"tables": 5000, "identical": 5000, "rows": 7}
    assert "IN SYNC db1 → db2: All 5,000 tables" in render(pair(checked(summary=summary)), "summary")
    repaired = synced(drifted(), summary={"tables": 3000, "drift": 2000, "identical": 1000})
    assert "REPAIRED" in render(pair(repaired), "summary")
    assert "DRIFT" in render(pair(checked(summary={"tables": 3, "drift": 2, "missing": 1, "identical": 1})), "summary")
