# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reports as the playbooks and roles write them: of many pairs, of a run that failed, of a repair."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

Site = Any  # conftest.Site

one_flavor = pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)

STUB = "- ansible.builtin.import_playbook: comaster.mysql_repl.check\n"
# One host after the other: each pair is torn apart, and the report runs four times.
SERIAL = """
- hosts: mysql_comasters
  gather_facts: false
  serial: 1
  tasks:
    - block:
        - ansible.builtin.import_role:
            name: comaster.mysql_repl.sync
      always:
        - ansible.builtin.import_role:
            name: comaster.mysql_repl.report
"""
HOSTILE = "<script>alert(1)</script>{{ 6 * 7 }}\x1b[31m"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reports go; not there yet."""
    return tmp_path / "new" / "reports"


@pytest.fixture
def two_pairs(site: Site, folder: Path) -> Site:
    """A site with a second pair, the same servers by other names."""
    for host, like, pair in (("server3", "server1", "south"), ("server4", "server2", "south")):
        site.host_vars[host] = {**site.host_vars[like], "mysql_repl_pair": pair}
    site.group_vars["mysql_repl_report_dir"] = str(folder)
    return site


@one_flavor
def test_one_report_for_many_pairs_also_of_a_run_that_failed(two_pairs: Site, folder: Path) -> None:
    site = two_pairs
    site.drift()
    site.target.execute(f"INSERT INTO sakila.film VALUES (7000, 0x{HOSTILE.encode().hex()}, 1, NULL, NULL, NOW())", logged=False)
    site.host_vars["server4"]["mysql_repl_login_port"] = 1
    before = site.positions()
    run = site.play(STUB, "--check", "--diff", ANSIBLE_SHOW_CUSTOM_STATS="1")
    assert run.returncode != 0
    assert [run.changed(host) for host in ("server1", "server2", "server3", "server4")] == [0, 0, 0, 0]
    assert site.positions() == before
    assert "2 pairs: 1 run failed, 1 drift." in run.output.partition("CUSTOM STATS")[2]
    assert "<!DOCTYPE html>" not in run.output

    files = {path.name: path for path in folder.iterdir()}
    assert sorted(files) == ["mysql_repl.html", "mysql_repl.json", "mysql_repl.md", "mysql_repl.xml"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    said = json.loads(files["mysql_repl.json"].read_text())
    north, south = said["pairs"]
    assert (north["source"], north["target"], south["target"]) == ("server1", "server2", "server4")
    assert south["result"]["code"] == "cannot_connect"
    film = next(table for table in north["result"]["tables"] if table["table"] == "film")
    assert film["sample"][-1]["target"]["title"] == HOSTILE.replace("\x1b", "\\x1b")
    assert sum(mark["extra"] for mark in film["positions"]) == 2
    page = files["mysql_repl.html"].read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;{{ 6 * 7 }}\\x1b[31m" in page
    assert page.count("<script>") == 1
    assert "server3 → server4" in page
    assert HOSTILE[:8] not in files["mysql_repl.md"].read_text()
    suites = ElementTree.parse(files["mysql_repl.xml"]).getroot()
    assert [(suite.get("failures"), suite.get("errors")) for suite in suites] == [("2", "0"), ("0", "1")]


@one_flavor
def test_a_report_of_repairs_host_after_host(two_pairs: Site, folder: Path) -> None:
    site = two_pairs
    site.drift()
    extra = {
        "mysql_repl_report_formats": "json,\nhtml",
        "mysql_repl_report_name": "nightly",
        "mysql_repl_report_mode": "",
        "mysql_repl_report_host": "server1",
    }
    run = site.play(SERIAL, "-e", json.dumps(extra))
    assert run.returncode == 0
    assert "[server4 -> server1]" in run.output
    assert sorted(path.name for path in folder.iterdir()) == ["nightly.html", "nightly.json"]
    said = json.loads((folder / "nightly.json").read_text())
    first, second = said["pairs"]
    assert (first["result"]["verified"], second["result"]["changed"]) == (True, False)
    assert said["verdict"] == "repaired"
    page = (folder / "nightly.html").read_text()
    assert first["result"]["undo_file"] in page
    assert "All 2 pairs well" in page
