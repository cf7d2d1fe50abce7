# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module tells how far it is, and when it gives up."""

from __future__ import annotations

import json
import time
import typing as t
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _live as live
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Interrupted
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import Progress


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_TICK", 0.01)


@pytest.fixture
def started(tmp_path: Path) -> t.Iterator[t.Callable[..., tuple[live.Watch, Path]]]:
    """Start a watch; gives it and its folder."""
    watches: list[live.Watch] = []

    def start(lease: float | None = 60, deadline: float | None = None) -> tuple[live.Watch, Path]:
        folder = tmp_path / "folder"
        watches.append(live.Watch(str(folder), lease, deadline, fence_timeout=60))
        watches[-1].start()
        return watches[-1], folder

    yield start
    for watch in watches:
        watch.end()
    assert not (tmp_path / "folder").exists()


def until(true: t.Callable[[], t.Any]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(watch: live.Watch) -> str:
    """Return why the watch ends the run."""
    reasons: list[str] = []

    def is_ended() -> bool:
        try:
            watch.listen(Progress("compare"))
        except Interrupted as problem:
            reasons.append(problem.message)
        return bool(reasons)

    until(is_ended)
    return reasons[0]


def test_what_the_operation_tells_is_in_a_file_that_is_always_whole(started: t.Any) -> None:
    watch, folder = started()
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    watch.listen(Progress("compare", "shop.a", rows=7))
    told: list[dict[str, t.Any]] = []

    def is_told() -> bool:
        if (folder / "progress").exists():
            told.append(json.loads((folder / "progress").read_text()))
        return bool(told and told[-1]["stage"])  # before, that nothing has begun

    until(is_told)
    assert (told[-1]["stage"], told[-1]["table"], told[-1]["rows"]) == ("compare", "shop.a", 7)
    assert told[-1]["seconds"] < 60


def test_it_goes_on_while_signs_of_life_come_and_ends_when_they_cease(started: t.Any) -> None:
    watch, folder = started(lease=1)
    began = time.monotonic()
    while time.monotonic() < began + 1.5:
        (folder / "alive").write_text("")
        time.sleep(0.05)
        watch.listen(Progress("compare"))
    assert "nothing was heard of the controller for 1 s" in ended(watch)


def test_a_plugin_that_never_came_ends_nothing(started: t.Any) -> None:
    watch, _folder = started(lease=0.05)
    time.sleep(0.3)
    watch.listen(Progress("compare"))


def test_it_ends_when_told_to_stop(started: t.Any) -> None:
    watch, folder = started()
    (folder / "stop").write_text("")
    assert "Ansible was interrupted" in ended(watch)


def test_it_ends_at_the_timeout_of_its_task(started: t.Any) -> None:
    watch, _folder = started(deadline=0.1)
    assert "timeout of 0.1 s" in ended(watch)


def test_a_statement_that_goes_on_is_killed_but_not_while_a_repair_runs(started: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[float] = []
    monkeypatch.setattr(live, "_PATIENCE", 0.1)
    monkeypatch.setattr(live.session, "kill_all", lambda: killed.append(1))
    watch, folder = started()
    watch.listen(Progress("repair"))
    (folder / "stop").write_text("")
    time.sleep(0.4)
    assert not killed
    with pytest.raises(Interrupted):
        watch.listen(Progress("compare"))
    until(lambda: killed)


def test_a_folder_that_is_somebody_elses_is_not_used(tmp_path: Path) -> None:
    theirs = tmp_path / "folder"
    theirs.mkdir()
    (theirs / "stop").write_text("")
    watch = live.Watch(str(theirs), 60, None, 60)
    watch.start()
    time.sleep(0.1)
    watch.listen(Progress("compare"))
    watch.end()
    assert (theirs / "stop").exists()
