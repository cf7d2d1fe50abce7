# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small size of `make fire`: some of its scenarios, the same ones every time."""

from __future__ import annotations

from collections import Counter

import pytest

from fire import laws, scenario, struck

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_no_law_breaks_in_random_scenarios(pairs, flavor, monkeypatch):
    """Replay one with: make fire T='--server FLAVOR --mild --count 1 --seed SEED'."""
    monkeypatch.setattr("ssl.SSLContext.load_default_certs", lambda *unused: None)
    stage, tally = laws.Stage(pairs(flavor)), laws.Tally()
    problems = {}
    for seed in range(1000, 1020):
        problem = laws.attempt(stage, scenario.make(seed, flavor), tally)
        if problem:
            problems[seed] = problem
    stage.hands.drop()
    assert not problems
    assert (tally.scenarios, tally.repaired > 50, tally.undone > 10) == (20, True, True), tally


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_law_breaks_under_faults(pairs, flavor, monkeypatch):
    """Replay one with: make fire T='--faults --server FLAVOR --count 1 --seed SEED'."""
    monkeypatch.setattr("ssl.SSLContext.load_default_certs", lambda *unused: None)
    stage, tally, hit = laws.Stage(pairs(flavor)), laws.Tally(), Counter()
    problems = {}
    for trial in (struck.make(seed) for seed in range(2000, 2025)):
        if not trial.fault.rare:
            problem = struck.attempt(stage, trial, tally, hit)
            if problem:
                problems[trial.seed] = problem
    stage.hands.drop()
    assert not problems
    assert hit.total() > 12, hit
