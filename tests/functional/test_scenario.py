# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The seed scenario: two co-masters, drift on server2, found and repaired through server1.

Everything runs with the documented account, which may not update or delete data anywhere.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Any

import pytest

Site = Any  # conftest.Site


def test_checksum_finds_each_row_and_writes_nothing(site: Site) -> None:
    site.drift()
    before = site.contents(site.source), site.contents(site.target), site.positions()
    result = site.module("checksum", databases=["sakila"])
    assert not result.get("failed")
    assert result["changed"] is False
    assert result["in_sync"] is False
    film, film_actor = result["tables"]
    assert (film["database"], film["table"], film["status"]) == ("sakila", "film", "drift")
    assert (film["rows"], film["missing"], film["extra"], film["different"]) == (100, 1, 1, 2)
    assert (film_actor["status"], film_actor["different"]) == ("drift", 5)
    by_key = {(row["kind"], row["key"]["film_id"]): row for row in film["sample"]}
    assert set(by_key) == {("missing", 17), ("different", 42), ("different", 43), ("extra", 6000)}
    assert sorted(by_key["different", 42]["columns"]) == ["cover", "rental_rate"]
    assert by_key["missing", 17]["target"] is None
    assert by_key["extra", 6000]["source"] is None
    assert result["summary"]["drift"] == 2
    assert result["source"]["server_id"] == site.source.server_id
    assert result["target"]["server_id"] == site.target.server_id
    assert (site.contents(site.source), site.contents(site.target), site.positions()) == before


def test_checksum_of_equal_copies_is_in_sync(site: Site) -> None:
    result = site.module("checksum", databases=["sakila"], fail_on_drift=True, workers=2)
    assert not result.get("failed")
    assert result["in_sync"] is True
    assert [table["status"] for table in result["tables"]] == ["identical", "identical"]


def test_checksum_fails_on_drift_with_complete_results(site: Site) -> None:
    site.drift()
    result = site.module("checksum", databases=["sakila"], fail_on_drift=True, sample_rows=1)
    assert result["failed"] is True
    assert "2 of 2 tables differ" in result["msg"]
    assert [len(table["sample"]) for table in result["tables"]] == [1, 1]


def test_checksum_leaves_columns_and_rows_out_as_told(site: Site) -> None:
    site.drift("UPDATE sakila.film SET rental_rate = 0.01 WHERE film_id = 42")
    kept = {"databases": ["sakila"], "ignore_columns": ["film.rental_rate"]}
    assert site.module("checksum", **kept)["in_sync"] is True
    assert site.module("checksum", tables=["sakila.film"], where="film_id < 42")["in_sync"] is True
    assert site.module("checksum", tables=["sakila.film"], where="film_id <= 42")["in_sync"] is False
    assert site.module("checksum", databases=["sak*"], ignore_tables=["*.film"])["in_sync"] is True


def test_check_playbook_says_one_line_a_table(site: Site) -> None:
    site.drift()
    before = site.positions()
    run = site.playbook("check")
    assert run.returncode == 0
    assert '"sakila.film: drift, 1 missing, 1 extra, 2 different (100 rows)"' in run.output
    assert '"sakila.film_actor: drift, 0 missing, 0 extra, 5 different (100 rows)"' in run.output
    assert '"NOT IN SYNC: server2 against server1;' in run.output
    assert run.changed("server1") == run.changed("server2") == 0
    assert site.positions() == before
    assert site.playbook("check", "-e", "mysql_repl_fail_on_drift=true").returncode != 0


def test_check_mode_shows_the_plan_and_writes_nothing(site: Site) -> None:
    site.drift()
    before = site.contents(site.source), site.contents(site.target), site.positions()
    run = site.playbook("sync", "--check", "--diff")
    assert run.returncode == 0
    assert re.search(r"^--- before: sakila.film on .* \(target\)$", run.output, re.MULTILINE)
    assert re.search(r"^\+\+\+ after: sakila.film as on .* \(source\)$", run.output, re.MULTILINE)
    assert re.search(r"^\+film_id=17 \| title='FILM Ünö 17' \| ", run.output, re.MULTILINE)
    assert re.search(r"^-film_id=42 \| rental_rate=0.01 \| cover=0x00ff$", run.output, re.MULTILINE)
    assert re.search(r"^\+film_id=42 \| rental_rate=2.99 \| cover=0x002a00ff$", run.output, re.MULTILINE)
    assert re.search(r"^-film_id=6000 \| title='GHOST' \| .*rating=NULL", run.output, re.MULTILINE)
    assert "PLANNED: server2 through server1; rows: 1 inserted, 7 updated, 1 deleted" in run.output
    assert run.changed("server2") == 1
    assert not site.undo_dir.exists()
    assert (site.contents(site.source), site.contents(site.target), site.positions()) == before


@pytest.mark.parametrize("arguments", [("-e", "mysql_repl_apply=true", "--check"), ("-e", "mysql_repl_apply=false")])
def test_apply_and_check_mode_each_can_only_hold_back(site: Site, arguments: tuple[str, ...]) -> None:
    site.drift()
    before = site.contents(site.target), site.positions()
    run = site.playbook("sync", *arguments)
    assert run.returncode == 0
    assert "PLANNED: " in run.output
    assert (site.contents(site.target), site.positions()) == before


def test_sync_repairs_the_target_and_leaves_the_source(site: Site) -> None:
    good, definitions = site.contents(site.source), site.definitions(site.source)
    site.drift()
    run = site.playbook("sync")
    assert run.returncode == 0
    assert "REPAIRED: server2 through server1; rows: 1 inserted, 7 updated, 1 deleted" in run.output
    assert "verified equal" in run.output
    assert run.changed("server2") == 1
    assert run.changed("server1") == 0
    site.pair.wait()
    assert site.contents(site.source) == good
    assert site.definitions(site.source) == definitions
    assert site.contents(site.target) == good
    assert site.pair.links_healthy()

    journals = list(site.undo_dir.iterdir())
    assert str(journals[0]) in run.output
    assert [stat.S_IMODE(path.stat().st_mode) for path in journals] == [0o600]

    before = site.positions()
    again = site.playbook("sync")
    assert again.returncode == 0
    assert again.changed("server2") == 0
    assert site.positions() == before
    assert list(site.undo_dir.iterdir()) == journals
    assert site.pair.links_healthy()


def test_sync_returns_what_it_did(site: Site) -> None:
    site.drift()
    result = site.module("sync", databases=["sakila"], undo_dir=str(site.undo_dir))
    assert not result.get("failed")
    assert result["changed"] is True
    assert result["changes"] == {"inserted": 1, "updated": 7, "deleted": 1, "adopted": 0, "skipped": 0}
    assert result["verified"] is True
    assert any(s.startswith("DELETE FROM `sakila`.`film` ") for s in result["statements"])
    assert Path(result["undo_file"]).parent == site.undo_dir
    assert "diff" not in result
    again = site.module("sync", databases=["sakila"], undo_dir=str(site.undo_dir))
    assert (again["changed"], again["in_sync"], again["undo_file"]) == (False, True, None)


def test_sync_keeps_extra_rows_when_told(site: Site) -> None:
    site.drift()
    result = site.module("sync", databases=["sakila"], extra_rows="keep", max_deletes=0, undo_dir=str(site.undo_dir))
    assert not result.get("failed")
    assert result["changes"] == {"inserted": 1, "updated": 7, "deleted": 0, "adopted": 0, "skipped": 1}
    site.pair.wait()
    titles = site.target.query("SELECT title FROM sakila.film WHERE film_id IN (17, 6000) ORDER BY 1")
    assert titles == [("FILM Ünö 17",), ("GHOST",)]


def test_undo_puts_the_old_rows_back_on_both(site: Site) -> None:
    good = site.contents(site.source)
    site.drift()
    bad = site.contents(site.target)
    repair = site.module("sync", databases=["sakila"], undo_dir=str(site.undo_dir))
    site.pair.wait()
    assert site.contents(site.target) == good
    journal = ("-e", f"mysql_repl_undo_file={repair['undo_file']}")

    # What a repair does not need, an undo does: it writes to the source's tables.
    refused = site.playbook("undo", *journal)
    assert refused.returncode != 0
    # On MariaDB a repair has the right to INSERT already.
    assert re.search("it lacks DELETE(, INSERT)? on sakila.film. Run on the source, .*: GRANT DELETE", refused.output)
    assert site.contents(site.source) == site.contents(site.target) == good
    site.source.execute("GRANT INSERT, DELETE ON sakila.* TO repl_fix@'127.0.0.1'", logged=False)

    before = site.positions()
    planned = site.playbook("undo", *journal, "--check", "--diff")
    assert planned.returncode == 0
    assert re.search(r"^--- before: sakila.film on both servers$", planned.output, re.MULTILINE)
    assert re.search(r"^\+film_id=6000 ", planned.output, re.MULTILINE)
    assert site.positions() == before

    run = site.playbook("undo", *journal)
    assert run.returncode == 0
    assert "UNDONE on server1 and server2; rows: 1 inserted, 7 updated, 1 deleted, 0 refused" in run.output
    site.pair.wait()
    assert site.contents(site.target) == bad
    assert site.contents(site.source) == bad
    assert site.pair.links_healthy()

    again = site.playbook("undo", *journal)
    assert again.returncode == 0
    assert again.changed("server2") == 0


def test_info_describes_the_pair(site: Site) -> None:
    result = site.module("info")
    assert not result.get("failed")
    assert (result["source"]["server_id"], result["target"]["server_id"]) == (1, 2)
    assert result["forward"]["sql_running"] is True
    assert result["reverse"]["io_running"] is True
    assert result["target_replicas"] == []
    assert [h["code"] for h in result["hazards"] if h["severity"] == "blocker"] == []
