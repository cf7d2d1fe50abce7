# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each module hands to the engine, and what of the answer makes it fail."""

from __future__ import annotations

import io
import json
import os
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

import pytest
from ansible.module_utils import basic

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import (
    Pace,
    Repair,
    Selection,
    Servers,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.report import (
    TableReport,
    summarize,
)
from ansible_collections.comaster.mysql_repl.plugins.modules import (
    mysql_repl_checksum,
    mysql_repl_info,
    mysql_repl_sync,
    mysql_repl_undo,
)

pytest.importorskip("pymysql")


@dataclass(frozen=True)
class Report:
    """As much of a report as the modules look at."""

    in_sync: bool = True
    summary: t.Any = None
    failed: bool = False
    message: str | None = None


class Engine:
    """Stands for the engine: keeps what it was called with."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.arguments: tuple[t.Any, ...] = ()
        self.options: dict[str, t.Any] = {}
        self.listener: t.Any = None

    def run(self, *arguments: t.Any, **options: t.Any) -> Report:
        self.listener = options.pop("listener", None)
        self.arguments, self.options = arguments, options
        return self.report


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> t.Callable[..., tuple[Engine, dict[str, t.Any]]]:
    """Run a module's main() with arguments; give the engine's stand-in and the JSON it printed."""

    def run_module(
        module: t.Any, name: str, report: Report | None = None, check: bool = False, **given: t.Any
    ) -> tuple[Engine, dict[str, t.Any]]:
        engine = Engine(report or Report())
        monkeypatch.setattr(module, name, engine)
        arguments = {"config_file": "", "_ansible_check_mode": check, **given}
        text = json.dumps({"ANSIBLE_MODULE_ARGS": arguments})
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", text.encode(), raising=False)
        monkeypatch.setattr(basic, "_ANSIBLE_PROFILE", "legacy", raising=False)
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit):
            module.main()
        return engine, json.loads(capsys.readouterr().out.splitlines()[-1])

    return run_module


def test_info(run: t.Any) -> None:
    engine, result = run(mysql_repl_info, "info", login_host="db2", channel="c")
    (servers,) = engine.arguments
    assert isinstance(servers, Servers)
    assert (servers.target.host, servers.channel) == ("db2", "c")
    assert (result["changed"], result.get("failed")) == (False, None)


def test_checksum(run: t.Any) -> None:
    engine, result = run(
        mysql_repl_checksum,
        "checksum",
        databases=["shop"],
        ignore_columns=["seen"],
        workers=3,
        sample_rows=0,
        fence_timeout=5,
        max_lag=10,
        max_runtime=60,
        state_file="/var/tmp/state",
        plan_file="/var/tmp/plan",
        source={"login_host": "db1", "ssl_ca": "/ca.pem"},
    )
    servers, selection, pace, sample_rows, plan_file = engine.arguments
    assert (servers.source.host, servers.source.ca_cert) == ("db1", "/ca.pem")
    assert servers.fence_timeout == 5
    assert selection == Selection(databases=("shop",), ignore_columns=("seen",))
    expected = Pace(workers=3, max_lag=10, max_runtime=60, state_file="/var/tmp/state")
    assert (pace, sample_rows, plan_file) == (expected, 0, "/var/tmp/plan")
    assert result["in_sync"] is True


def test_checksum_fails_on_drift_only_when_told(run: t.Any) -> None:
    tables = [TableReport("shop", "a", "drift", missing=2), TableReport("shop", "b", "undecided")]
    drift = Report(in_sync=False, summary=summarize(tables, 1.0))
    _engine, result = run(mysql_repl_checksum, "checksum", drift)
    assert not result.get("failed")
    _engine, result = run(mysql_repl_checksum, "checksum", drift, fail_on_drift=True)
    assert result["failed"] is True
    assert "1 of 2 tables differ (2 rows missing, " in result["msg"]
    assert "1 could not be compared" in result["msg"]
    assert result["summary"]["tables"] == 2


@pytest.mark.parametrize("check", [True, False])
def test_sync(run: t.Any, tmp_path: Path, check: bool) -> None:
    given = {"extra_rows": "keep", "max_deletes": 0, "undo_dir": str(tmp_path), "where": "id > 7"}
    engine, _result = run(mysql_repl_sync, "sync", check=check, **given)
    _servers, selection, pace, repair, sample_rows = engine.arguments
    assert (selection, pace, sample_rows) == (Selection(where="id > 7"), Pace(), 10)
    assert repair == Repair(extra_rows="keep", max_deletes=0, undo_dir=str(tmp_path))
    assert engine.options == {"apply": not check, "plan_file": ""}


def test_sync_from_a_plan(run: t.Any, tmp_path: Path) -> None:
    plan = str(tmp_path / "plan")
    engine, _result = run(mysql_repl_sync, "sync", plan_file=plan)
    assert engine.options == {"apply": True, "plan_file": plan}
    _engine, result = run(mysql_repl_sync, "sync", plan_file=plan, tables=["shop.a"])
    assert (result["failed"], result["option"]) == (True, "plan_file")


@pytest.mark.parametrize("module", ["sync", "undo"])
def test_failed_report_fails_the_module(run: t.Any, module: str) -> None:
    modules = {"sync": mysql_repl_sync, "undo": mysql_repl_undo}
    given = {"undo_file": __file__} if module == "undo" else {}
    report = Report(failed=True, message="shop.a was left alone")
    _engine, result = run(modules[module], module, report, **given)
    assert (result["failed"], result["msg"]) == (True, "shop.a was left alone")
    assert result["in_sync"] is True


@pytest.mark.parametrize("check", [True, False])
def test_undo(run: t.Any, check: bool) -> None:
    given = {"max_lag": 3, "max_threads_running": 4, "max_runtime": 5, "pause_file": "/var/tmp/pause", "allow_triggers": True}
    given["downstream"] = "idempotent"
    engine, _result = run(mysql_repl_undo, "undo", check=check, undo_file=__file__, batch_rows=7, fence_timeout=2, **given)
    assert engine.arguments[0].fence_timeout == 2
    undo_dir = os.path.expanduser("~/.mysql_repl/undo")
    assert engine.arguments[1:] == (__file__, 10000, 1000, 7, undo_dir)
    pace = Pace(max_lag=3, max_threads_running=4, max_runtime=5, pause_file="/var/tmp/pause")
    assert engine.options == {"apply": not check, "pace": pace, "allow_triggers": True, "downstream": "idempotent"}


def test_passwords_come_from_the_environment(run: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYSQL_REPL_LOGIN_PASSWORD", "of the target")
    monkeypatch.setenv("MYSQL_REPL_SOURCE_LOGIN_PASSWORD", "of the source")
    engine, _result = run(mysql_repl_info, "info")
    (servers,) = engine.arguments
    assert servers.target.password == "of the target"
    assert servers.source.password == "of the source"
    engine, result = run(mysql_repl_info, "info", login_password="typed secret")
    assert engine.arguments[0].target.password == "typed secret"
    assert "secret" not in json.dumps(result)
