# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small size of `make fire`: some of its scenarios, the same ones every time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from fire import climate, laws, scenario, struck
from fire.stage import WAYS, Stage, Tally

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_no_law_breaks_in_random_scenarios(pairs, flavor, monkeypatch):
    """Replay one with: make fire T='--server FLAVOR --mild --count 1 --seed SEED'."""
    plain = flavor != FLAVORS[0]  # by sockets, without TLS: quicker
    monkeypatch.setattr("pymysql.connections.SSL_ENABLED", not plain)
    stage, tally = Stage(pairs(flavor), plain), Tally()
    problems = {}
    for seed in range(1000, 1020):
        problem = laws.attempt(stage, scenario.make(seed, flavor), tally)
        if problem:
            problems[seed] = problem
    stage.hands.drop()
    assert not problems
    assert (tally.scenarios, tally.repaired > 50, tally.undone > 10) == (20, True, True), tally
    assert set(tally.ways) == set(WAYS), tally


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_law_breaks_under_faults(pairs, flavor):
    """Replay one with: make fire T='--faults --server FLAVOR --count 1 --seed SEED'."""
    stage, tally, hit = Stage(pairs(flavor)), Tally(), Counter()
    problems = {}
    for trial in (struck.make(seed, roomy=True) for seed in range(2000, 2025)):
        if not trial.fault.rare:
            problem = struck.attempt(stage, trial, tally, hit)
            if problem:
                problems[trial.seed] = problem
    stage.hands.drop()
    assert not problems
    assert hit.total() > 12, hit
    assert set(tally.ways) == set(WAYS), tally


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_law_breaks_with_replicas_below_and_little_room(flavor):
    """Replicas of both servers; then their temporary space runs full (where nothing may be mounted: on MariaDB alone).

    Replay one with: make fire T='--server FLAVOR --mild --below ab --count 1 --seed SEED'.
    """
    with climate.start(flavor, replace(climate.MILD, below="ab", cramped=True)) as pair:
        stage, tally, hit = Stage(pair, passing=True), Tally(), Counter()
        problems = {seed: laws.attempt(stage, scenario.make(seed, flavor), tally) for seed in range(1100, 1108)}
        for seed, way in zip((3003, 3004, 3007), WAYS):
            problems[seed] = struck.attempt(stage, struck.make(seed, "temporary", way=way), tally, hit)
        stage.hands.drop()
    assert not {seed: problem for seed, problem in problems.items() if problem}
    assert tally.repaired > 20, tally
    assert tally.refused["downstream_replicas"] > 0, tally
    assert hit.total() > 1, hit
