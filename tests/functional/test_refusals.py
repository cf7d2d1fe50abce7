# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is refused: each with a code and words that help, and nothing changed on either server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import Server, Topology, co_masters

Site = Any  # conftest.Site

# For what does not depend on the server.
one_flavor = pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)


@contextmanager
def nothing_written(site: Site) -> Iterator[None]:
    """Hold that neither server's rows nor binary log change, and that no journal appears."""
    before = site.contents(site.source), site.contents(site.target), site.positions()
    yield
    assert (site.contents(site.source), site.contents(site.target), site.positions()) == before
    assert not site.undo_dir.exists() or not list(site.undo_dir.iterdir())


def refused(site: Site, **options: Any) -> dict[str, Any]:
    """Run a repair that must fail without writing anything, and return its result."""
    site.drift()
    with nothing_written(site):
        result: dict[str, Any] = site.module("sync", **{"databases": ["sakila"], "undo_dir": str(site.undo_dir), **options})
    assert result["failed"] is True
    return result


def test_source_that_is_another_server(site: Site) -> None:
    with Topology(site.pair.flavor, ["stranger"], options={"server_id": "99"}) as other:
        other.stranger.execute("CREATE USER repl_fix@'%' IDENTIFIED BY 'correct-horse-battery'")
        other.stranger.execute("GRANT ALL ON *.* TO repl_fix@'%'")
        where = {"login_host": "127.0.0.1", "login_port": other.stranger.port}
        result = refused(site, source=where)
    assert result["code"] == "wrong_source"
    assert "server_id" in result["msg"]


def test_source_that_is_the_target_itself(site: Site) -> None:
    result = refused(site, source={"login_host": "127.0.0.1", "login_port": site.target.port})
    assert result["code"] == "same_server"


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_stopped_link(site: Site, direction: str) -> None:
    replica = site.target if direction == "forward" else site.source
    replica.stop_replica()  # even with nothing left to apply there is no verdict
    try:
        result = refused(site)
        assert result["code"] == "stopped_link"
        assert "start replication" in result["msg"]
        check = site.module("checksum", databases=["sakila"], fence_timeout=2)
        assert check["in_sync"] is False
        assert {table["status"] for table in check["tables"]} == {"undecided"}
    finally:
        replica.start_replica()


@one_flavor
@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"tables": ["sakila.nobody"]}, "tables"),
        ({"databases": ["nowhere"]}, "databases"),
        ({"databases": ["mysql"]}, "databases"),
        ({"databases": [], "tables": ["sys.sys_config"]}, "tables"),
        ({"databases": [], "tables": ["film"]}, "tables"),
        ({"login_port": 70000}, "login_port"),
        ({"source": {"login_port": 0}}, "source.login_port"),
        ({"workers": 0}, "workers"),
        ({"chunk_time": 0}, "chunk_time"),
        ({"batch_rows": 0}, "batch_rows"),
        ({"max_deletes": -1}, "max_deletes"),
        ({"config_file": "/nowhere/my.cnf"}, "config_file"),
        ({"channel": "no_such_channel"}, "channel"),
    ],
)
def test_option_that_cannot_be_used(site: Site, options: dict[str, Any], option: str) -> None:
    result = refused(site, **options)
    assert result["code"] == "bad_option"
    assert result["option"] == option
    assert result["msg"].startswith(f"{option}: ")


def test_where_that_is_no_condition(site: Site) -> None:
    result = refused(site, where="no_such_column = 1")
    assert "no_such_column" in str(result)


@pytest.mark.parametrize("option", ["max_changes", "max_deletes"])
def test_more_changes_than_allowed(site: Site, option: str) -> None:
    result = refused(site, **{option: 0})
    assert option in result["msg"]
    assert result["changed"] is False
    assert result["summary"]["drift"] == 2


@one_flavor
def test_undo_dir_that_cannot_be_written(site: Site) -> None:
    result = refused(site, undo_dir="/proc/undo")
    assert "/proc/undo" in result["msg"]


def test_table_that_cannot_be_repaired_is_left_alone_and_the_others_repaired(site: Site) -> None:
    site.source.execute(
        [
            "CREATE TABLE sakila.notes (note TEXT) ENGINE=MyISAM",
            "INSERT INTO sakila.notes VALUES ('x')",
            "CREATE TABLE sakila.keyless (note TEXT)",
            "INSERT INTO sakila.keyless VALUES ('x'), ('x')",
        ]
    )
    site.pair.wait()
    good = site.contents(site.source)
    site.drift("DELETE FROM sakila.notes", "DELETE FROM sakila.keyless", "DELETE FROM sakila.film WHERE film_id = 17")
    result = site.module("sync", databases=["sakila"], undo_dir=str(site.undo_dir))
    assert result["failed"] is True
    assert "sakila.notes" in result["msg"]
    assert result["changes"] == {"inserted": 3, "updated": 0, "deleted": 0, "adopted": 0, "skipped": 0}
    assert {t["table"]: t["reason"] for t in result["tables"]}["notes"] == "engine_not_transactional"
    site.pair.wait()
    assert site.contents(site.source) == good
    assert site.contents(site.target) == {**good, "notes": []}
    assert site.pair.links_healthy()


def test_table_whose_target_has_triggers(site: Site) -> None:
    site.target.execute(
        [
            "CREATE TABLE sakila.log (id INT AUTO_INCREMENT PRIMARY KEY)",
            "CREATE TRIGGER sakila.t AFTER INSERT ON sakila.film FOR EACH ROW INSERT INTO sakila.log VALUES ()",
        ]
    )
    site.pair.wait()
    site.drift("DELETE FROM sakila.film WHERE film_id = 17")
    with nothing_written(site):
        result = site.module("sync", tables=["sakila.film"], undo_dir=str(site.undo_dir))
    assert result["failed"] is True
    assert "trigger" in result["msg"]


def test_replica_below_the_target(flavor: str, new_site: Callable[[Topology], Site]) -> None:
    with co_masters(flavor) as pair:
        site = new_site(pair)
        pair.add_replica(pair.b, "c")
        result = refused(site)
        assert result["code"] == "downstream_replicas"
        assert pair.links_healthy()


def test_table_that_only_one_side_has(site: Site) -> None:
    site.drift("DROP TABLE sakila.film_actor")
    result = site.module("sync", tables=["sakila.film_actor"], undo_dir=str(site.undo_dir))
    assert result["failed"] is True
    assert result["tables"][0]["reason"] == "missing_on_target"


def right_less(site: Site, server: Server, right: str) -> None:
    """Take one right from the account on one server."""
    server.execute(f"REVOKE {right} FROM repl_fix@'127.0.0.1'", logged=False)


def test_account_that_may_not_repair_may_check(site: Site) -> None:
    if site.source.family == "mysql":
        right_less(site, site.source, "SESSION_VARIABLES_ADMIN ON *.*")
        missing = "SESSION_VARIABLES_ADMIN"
    else:
        right_less(site, site.source, "BINLOG ADMIN ON *.*")
        missing = "BINLOG ADMIN"
    result = refused(site)
    assert result["code"] == "missing_grant_repair"
    assert f"GRANT {missing} ON *.* TO" in result["remedy"]
    check = site.module("checksum", databases=["sakila"])
    assert not check.get("failed")
    assert check["summary"]["drift"] == 2


def test_account_that_may_not_watch_replication(site: Site) -> None:
    right_less(site, site.target, "PROCESS ON *.*")
    result = refused(site)
    assert result["code"] == "missing_grant_check"
    assert "GRANT PROCESS ON *.* TO" in result["remedy"]


def test_wrong_password_is_not_repeated(site: Site) -> None:
    result = refused(site, login_password="wrong-horse-battery")
    assert result["code"] == "cannot_connect"
    assert "wrong-horse-battery" not in str(result)


@one_flavor
def test_undo_of_something_else(site: Site, tmp_path: Path) -> None:
    absent = site.module("undo", undo_file=str(tmp_path / "nothing"), undo_dir=str(site.undo_dir))
    assert (absent["failed"], absent["option"]) == (True, "undo_file")
    other = tmp_path / "other.jsonl"
    other.write_text("# not a journal\n", encoding="utf-8")
    with nothing_written(site):
        result = site.module("undo", undo_file=str(other), undo_dir=str(site.undo_dir))
    assert result["failed"] is True
    assert str(other) in result["msg"]
