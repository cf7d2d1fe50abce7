# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The commands of docs/split-brain.md, with the account that it describes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

Site = Any  # conftest.Site

GUIDE = Path(__file__).parents[2] / "docs" / "split-brain.md"


@pytest.mark.parametrize("flavor", ["mysql-9"])
def test_the_commands_of_the_guide_merge_both_copies(site: Site) -> None:
    """A row on each side, and one that the target has newer: all are on both servers, nothing else has changed."""
    site.drift(
        "DELETE FROM sakila.film WHERE film_id = 17",
        "UPDATE sakila.film SET rental_rate = 9.99, last_update = '2026-03-01 10:00:00' WHERE film_id = 42",
        "INSERT INTO sakila.film VALUES (2001, 'SPLIT BRAIN', 1.00, NULL, NULL, '2026-03-01 10:00:00')",
    )
    commands = re.findall(
        r"^\$ ansible-playbook comaster\.mysql_repl\.sync -i inventory\.yml (.+)$", GUIDE.read_text("utf-8"), re.M
    )
    preview, apply = (command.split() for command in commands)
    ours, theirs = site.contents(site.source), site.contents(site.target)

    # It says which right it lacks, and does nothing.
    before = site.positions()
    refused = site.playbook("sync", *apply)
    assert refused.returncode != 0
    assert "UPDATE ON `sakila`.* TO" in refused.output
    assert site.positions() == before
    site.source.execute("GRANT INSERT, UPDATE ON sakila.* TO repl_fix@'127.0.0.1'", logged=False)

    before = site.positions()
    planned = site.playbook("sync", *preview)
    assert planned.returncode == 0
    assert re.search(r"^--- before: sakila.film on \S+ \(source\)$", planned.output, re.MULTILINE)
    assert re.search(r"^\+\+\+ after: sakila.film as on \S+ \(target\)$", planned.output, re.MULTILINE)
    assert re.search(r"^\+film_id=2001 \| title='SPLIT BRAIN'", planned.output, re.MULTILINE)
    assert re.search(r"^\+film_id=42 \| rental_rate=9.99", planned.output, re.MULTILINE)
    assert re.search(r"^\+film_id=17 \| title='FILM Ünö 17'", planned.output, re.MULTILINE)
    assert site.positions() == before

    run = site.playbook("sync", *apply)
    assert run.returncode == 0
    said = "rows: 1 inserted, 0 updated, 0 deleted, 2 adopted by the source, 0 left alone; verified equal"
    assert f"REPAIRED: server2 through server1; {said}" in run.output
    assert said in GUIDE.read_text("utf-8")
    site.pair.wait()
    merged = site.contents(site.source)
    assert merged == site.contents(site.target)
    assert set(merged["film"]) - set(ours["film"]) == set(theirs["film"]) - set(ours["film"])
    assert len(set(merged["film"]) - set(theirs["film"])) == 1
    assert site.pair.links_healthy()
