# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes a failing scenario smaller as long as it fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from .laws import attempt
from .scenario import Plot, Scenario
from .stage import Stage, Tally

_TRIES = 150


def smallest(scenario: Scenario, problem: str, fresh: Callable[[], Stage]) -> Scenario:
    """Take away tables, drift, rows and options, one at a time, as long as the same law breaks."""
    wanted = _gist(problem)
    stage = fresh()
    tries = 0
    progress = True
    while progress and tries < _TRIES:
        progress = False
        for candidate in _smaller(scenario):
            tries += 1
            found = attempt(stage, candidate, Tally())
            if found:
                stage.hands.drop()
                stage.pair.stop()
                stage = fresh()
            if found and _gist(found) == wanted:
                scenario, progress = candidate, True
                break
            if tries >= _TRIES:
                break
    stage.hands.drop()
    stage.pair.stop()
    return scenario


def _gist(problem: str) -> str:
    """What broke, without its details."""
    return re.sub(r"[^a-z ]+", "", re.split(r"[(\[:]", problem.split(":", 1)[-1])[0].lower())[:60]


def _smaller(scenario: Scenario) -> Iterator[Scenario]:
    plots = scenario.plots
    for place in range(len(plots)):
        if len(plots) > 1:
            yield scenario.but(plots=plots[:place] + plots[place + 1 :])
    if scenario.extra:
        yield scenario.but(extra=())
    for flag in ("with_plan_file", "writers"):
        if getattr(scenario, flag):
            yield scenario.but(**{flag: type(getattr(scenario, flag))()})
    for place, plot in enumerate(plots):
        for smaller in _smaller_plot(plot):
            yield scenario.but(plots=(*plots[:place], smaller, *plots[place + 1 :]))


def _smaller_plot(plot: Plot) -> Iterator[Plot]:
    rows = plot.table.rows
    size = max(1, len(rows) // 2)
    while rows and size:
        for start in range(0, len(rows), size):
            yield replace(plot, table=replace(plot.table, rows=rows[:start] + rows[start + size :]))
        size //= 2
    for place in range(len(plot.drift)):
        yield replace(plot, drift=plot.drift[:place] + plot.drift[place + 1 :])
