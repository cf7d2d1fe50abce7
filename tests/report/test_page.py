# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The page of a report in a real browser, as people use it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from unit.roles import reports

Browser = Any  # chromium.Browser

# Contrast of each text with what is behind it, by the formula of WCAG 2; returns those that are too weak.
WEAK_CONTRASTS = """
const rgb = c => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 && m[3] === 0 ? null : m.slice(0, 3); };
const light = c => c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
const ground = e => rgb(getComputedStyle(e).backgroundColor);
const behind = e => e ? ground(e) ?? behind(e.parentElement) : [255, 255, 255];
const hasText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
const weak = new Set();
for (const e of document.querySelectorAll("body *")) {
  if (e.closest("svg, script") || !e.checkVisibility() || !hasText(e)) continue;
  const style = getComputedStyle(e), [a, b] = [light(rgb(style.color)), light(behind(e))].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05), large = parseFloat(style.fontSize) >= 24;
  if (ratio < (large ? 3 : 4.5)) weak.add(`${e.tagName}.${e.className} ${ratio.toFixed(2)}`);
}
return [...weak];
"""


def write(folder: Path, hosts: list[dict[str, Any]]) -> Path:
    """A page as the role writes it."""
    path = folder / "report.html"
    path.write_text(reports.render(hosts, title="Nightly check"), encoding="utf-8")
    return path


def nothing_was_wrong(browser: Browser) -> None:
    """No error on the console, and no request but for the page itself."""
    assert [entry["message"] for entry in browser.log("browser")] == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
    assert len([address for address in asked if not address.startswith("data:")]) <= 1, asked
    assert all(address.startswith(("file:", "data:")) for address in asked), asked


def test_a_page_for_many_pairs(browser: Browser, tmp_path: Path, pictures: Path) -> None:
    browser.size(1200, 900)
    browser.open(write(tmp_path, reports.fleet()))
    assert browser.visible("h1") == ["✕\n3 of 6 pairs need attention"]
    rows = browser.visible("section[aria-label=Pairs] tbody tr")
    assert [row.split("\t")[1].split("\n")[-1] for row in rows] == [
        "Run failed", "No result", "Drift", "Repair planned", "Repaired", "In sync",
    ]  # fmt: skip
    browser.screenshot(pictures / "fleet.png")

    browser.click("section[aria-label=Pairs] a", "db3 → db4")
    assert 0 <= browser.run("return document.querySelector('#pair-2').getBoundingClientRect().top") < 100
    assert browser.visible("#pair-2 .sample") == []
    browser.click("#pair-2 summary", "sakila.film")
    (sample,) = browser.visible("#pair-2 .sample")
    assert [word in sample for word in ("missing", "extra", "different", "no such row", "2.99", "NULL")] == [True] * 6
    assert browser.visible("#pair-2 .sample mark") == ["2.99", "0.99"]
    assert browser.run("return document.querySelectorAll('#pair-2 details[open] .inside rect').length") == 3
    browser.screenshot(pictures / "pair.png")
    assert browser.visible("#pair-4 .card.failed .remedy") == ["Repair it, then start replication."]
    # What is well is closed, a link to it opens it.
    assert browser.visible("#pair-3 .card") == []
    browser.click("section[aria-label=Pairs] a", "db5 → db6")
    assert "/var/lib/undo/sync-1.jsonl" in browser.awaited("#pair-3 .card code")
    assert browser.visible("#pair-3 pre") == []
    browser.click("#pair-3 summary", "Statements")
    assert browser.visible("#pair-3 pre") == ["DELETE FROM `a`;\n"]
    nothing_was_wrong(browser)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_wide_and_narrow(browser: Browser, tmp_path: Path, pictures: Path, scheme: str) -> None:
    browser.scheme(scheme)
    for width in (1200, 390):
        browser.size(width, 1600)
        browser.open(write(tmp_path, reports.fleet()))
        browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
        paper = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, paper[4:-1].split(","))) > 380) is (scheme == "light")
        assert browser.run(WEAK_CONTRASTS) == []
        assert browser.run("return document.scrollingElement.scrollWidth") <= width
        browser.screenshot(pictures / f"{scheme}-{width}.png")
    browser.scheme("light")


def test_it_prints(browser: Browser, tmp_path: Path, pictures: Path) -> None:
    browser.size(1200, 900)
    browser.scheme("dark")
    browser.open(write(tmp_path, reports.fleet()))
    printed = browser.pdf()
    (pictures / "fleet.pdf").write_bytes(printed)
    assert printed.startswith(b"%PDF")
    assert 2 <= printed.count(b"/Type /Page\n") <= 8
    browser.scheme("light")


def test_a_large_page_is_quick(browser: Browser, tmp_path: Path, pictures: Path) -> None:
    """500 tables, 10,000 differences. The limits are for a busy machine; on an idle one it takes a tenth of them."""
    browser.size(1200, 900)
    began = time.monotonic()
    page = write(tmp_path, reports.large())
    browser.open(page)
    opened = time.monotonic() - began
    assert opened < 20
    assert page.stat().st_size < 12_000_000
    assert len(browser.visible("li[data-status]")) == 100
    assert browser.visible("details.same > summary") == ["✓\n400 identical tables"]
    browser.screenshot(pictures / "large.png")

    def timed(act: Any) -> float:
        started = time.monotonic()
        act()
        browser.run("return document.body.offsetHeight")
        return time.monotonic() - started

    assert timed(lambda: browser.type("input[type=search]", "_005")) < 5
    assert browser.visible("output") == ["1 of 500"]
    assert [text.split("\n")[1] for text in browser.visible("li[data-status]")] == ["shop_5.orders_005"]
    browser.run("const i = document.querySelector('input'); i.value = 'orders_00'; i.dispatchEvent(new Event('input'))")
    assert browser.visible("output") == ["10 of 500"]
    browser.click("button[data-status=identical]")
    assert browser.visible("output") == ["8 of 500"]
    browser.click("button[data-status=identical]")
    browser.run("const i = document.querySelector('input'); i.value = ''; i.dispatchEvent(new Event('input'))")
    assert len(browser.visible(".tables > li.drift")) == 100
    assert timed(lambda: browser.click("button[data-open]")) < 10
    assert browser.run("return document.querySelectorAll('li.drift details[open]').length") == 100
    assert browser.run("return document.querySelectorAll('li.drift .sample tbody tr').length") == 10_000
    assert browser.visible("button[data-open]") == ["Close all"]
    nothing_was_wrong(browser)


def test_a_page_of_thousands_of_tables(browser: Browser, tmp_path: Path, pictures: Path) -> None:
    browser.size(1200, 900)
    page = write(tmp_path, reports.huge())
    assert page.stat().st_size < 12_000_000
    browser.open(page)
    assert browser.visible(".verdict .words") == ["600 of 5,000 tables differ on db2: 100,200 rows different."]
    assert len(browser.visible("li[data-status]")) == 600
    assert browser.visible("details.same > summary") == ["✓\n500 identical tables"]
    (unlisted,) = browser.visible(".list > .facts")
    assert unlisted.startswith("3,900 more tables are counted above and not listed")
    browser.screenshot(pictures / "huge.png")
    nothing_was_wrong(browser)


def test_without_script_everything_can_be_reached(browser: Browser, tmp_path: Path) -> None:
    browser.devtools("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(write(tmp_path, reports.fleet()))
    finally:
        browser.devtools("Emulation.setScriptExecutionDisabled", value=False)
    assert browser.visible(".tools") == []
    browser.click("#pair-2 summary", "sakila.film")
    assert len(browser.visible("#pair-2 .sample")) == 1


def test_hostile_values_do_nothing(browser: Browser, tmp_path: Path) -> None:
    value = "</td></style></script><script>window.harm = 1</script><img src=x onerror='window.harm = 2'>\"'><svg onload=harm()>"
    hosts = reports.pair(
        reports.synced(reports.drifted(f"{value}.{value}", value), statements=[value]), source=value, target=value
    )
    browser.open(write(tmp_path, hosts))
    browser.run("for (const each of document.querySelectorAll('details')) each.open = true")
    assert browser.run("return window.harm ?? null") is None
    assert browser.run("return document.scripts.length") == 1
    assert browser.run("return document.images.length") == 0
    assert value in browser.visible(".sample")[0].replace("\n", "")
    nothing_was_wrong(browser)
