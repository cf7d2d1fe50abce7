# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines that people read while a module runs."""

from __future__ import annotations

import typing as t
from dataclasses import asdict

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import Progress
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._progress import Lines, duration, next_pause


def said(seconds: float, **more: t.Any) -> dict[str, t.Any]:
    now = Progress(stage="compare", table="shop.orders", number=2, tables=12, expected=1_000_000, **more)
    return {**asdict(now), "seconds": seconds}


def test_a_line_says_where_how_much_how_fast_and_how_long_still() -> None:
    lines = Lines("[db2] mysql_repl_checksum")
    start = "[db2] mysql_repl_checksum: comparing, "
    assert lines.line(said(10, rows=100_000, done=100_000)) == (
        f"{start}10 %, shop.orders (table 2 of 12), 100,000 rows, no differences so far"
    )
    assert lines.line(said(20, rows=350_000, done=300_000, differences=1200, waiting="target lags 9 s behind")) == (
        f"{start}30 %, shop.orders (table 2 of 12), 350,000 rows, 25,000 rows/s, about 35 s left,"
        " 1,200 differences; waiting: target lags 9 s behind"
    )


def test_the_pace_is_that_of_the_last_minutes() -> None:
    lines = Lines("x")
    lines.line(said(0))
    for seconds in (3600, 3660, 3720):
        line = lines.line(said(seconds, rows=1000 * seconds, done=seconds))
    assert "1,000 rows/s" in line
    for seconds in (3780, 3840, 3900):
        line = lines.line(said(seconds, rows=3720_000, done=3720))
    assert ", 0 rows/s, no differences" in line


def test_a_repair_is_told_from_a_comparison_and_measured_anew() -> None:
    lines = Lines("x")
    lines.line(said(100, rows=900_000, done=900_000))
    repair = {**said(110, rows=10, done=10), "stage": "repair", "expected": 40}
    assert lines.line(repair) == "x: repairing, 25 %, shop.orders (table 2 of 12), 10 rows"
    assert lines.line({**repair, "seconds": 120, "rows": 20, "done": 20}).endswith("20 rows, 1 rows/s, about 20 s left")


def test_an_estimate_that_was_too_low_is_never_the_whole() -> None:
    line = Lines("x").line(said(5, rows=5_000_000, done=5_000_000))
    assert "99 %" in line
    assert "left" not in line


def test_names_cannot_alter_the_terminal() -> None:
    line = Lines("x").line({**said(5), "table": "shop.a\x1b[2J\nb", "waiting": "\r"})
    assert "shop.a?[2J?b (table" in line
    assert line.isprintable()


def test_nothing_is_said_before_the_first_stage() -> None:
    assert Lines("x").line({**asdict(Progress()), "seconds": 1}) == ""


@pytest.mark.parametrize("wrong", [{}, {"stage": "compare"}, {**said(1), "rows": "many"}, {**said(1), "rows": None}])
def test_what_is_no_progress_is_an_error(wrong: dict[str, t.Any]) -> None:
    with pytest.raises((KeyError, ValueError, TypeError)):
        Lines("x").line({"stage": "compare", **wrong})


@pytest.mark.parametrize("runs", [1, 20, 100])
def test_the_lines_of_ten_hours_fit_on_a_page_of_awx(runs: int) -> None:
    """However many pairs are worked on at the same time."""
    seconds, lines = 0.0, 0
    while seconds < 36_000:
        seconds += next_pause(10, seconds, runs)
        lines += runs
    assert lines < (1000 if runs == 1 else 2000)
    assert next_pause(10, 0) == 10
    assert next_pause(300, 36_000) == 300


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (5400, "1 h 30 min"), (90_000, "25 h 0 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
