# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a listener is told, and that it may end a run."""

from __future__ import annotations

import types

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import errors, options, progress, throttle


@pytest.fixture
def told():
    return []


@pytest.fixture
def meter(told):
    meter = progress.Meter(told.append)
    meter.begin(progress.COMPARE, 3, 1000)
    return meter


def test_a_run_is_counted_over_its_tables(told, meter):
    meter.table("db.a", 400)
    meter.reached(100, 2)
    meter.reached(450, 3)
    meter.table("db.b", 500)
    meter.reached(50, 1)
    assert told[2:4] == [
        progress.Progress("compare", "db.a", 1, 3, 100, 400, 100, 100, 1000, 2),
        progress.Progress("compare", "db.a", 1, 3, 450, 400, 450, 400, 1000, 3),
    ]
    assert told[-1] == progress.Progress("compare", "db.b", 2, 3, 50, 500, 500, 450, 1000, 4)


def test_the_share_done_does_not_go_back_where_a_table_has_fewer_rows_than_expected(told, meter):
    meter.table("db.a", 400)
    meter.reached(10)
    meter.table("db.b", 500)
    assert told[-1].done == 400


def test_a_later_stage_keeps_what_was_found(told, meter):
    meter.table("db.a", 400)
    meter.reached(100, 7)
    meter.begin(progress.REPAIR, 1, 7)
    meter.table("db.a", 7)
    meter.reached(5)
    assert told[-1] == progress.Progress("repair", "db.a", 1, 1, 5, 7, 5, 5, 7, 7)


def test_what_holds_the_work_back_is_told_until_it_goes_on(told, meter):
    meter.table("db.a", 400)
    meter.hold("target lags 9 s behind")
    assert told[-1].waiting == "target lags 9 s behind"
    meter.reached(1)
    assert not told[-1].waiting
    meter.draining()
    meter.hold()
    assert not told[-1].waiting


@pytest.mark.parametrize("pause", ["", "held"])
def test_a_listener_can_end_a_run_wherever_it_asks_to_go_on(tmp_path, pause):
    def end(now):
        raise errors.Undecided("interrupted", now.waiting)

    pause_file = tmp_path / "pause"
    if pause:
        pause_file.touch()
    session = types.SimpleNamespace()
    asked = throttle.Throttle(options.Pace(pause_file=str(pause_file)), session, session, progress.Meter(end))
    with pytest.raises(errors.Undecided, match="pause exists" if pause else None):
        asked.wait()


def test_a_run_that_is_held_back_says_so_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(throttle, "_LOOK_EVERY", 0.01)
    pause_file = tmp_path / "pause"
    pause_file.touch()
    told = []

    def listen(now):
        told.append(now.waiting)
        if len(told) == 3:
            pause_file.unlink()

    throttle.Throttle(options.Pace(pause_file=str(pause_file)), None, None, progress.Meter(listen)).wait()
    assert told == [f"{pause_file} exists"] * 3 + [""]
