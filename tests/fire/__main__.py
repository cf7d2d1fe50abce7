# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m fire`: scenarios and faults until the time is over, or one of them again."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from functools import partial

from sandbox import packages

from . import beside, climate, laws, quick, record, scenario, shrink, struck
from .series import Series
from .stage import Stage, Tally

SERVERS = ("mariadb-10.11", "mariadb-11.8", "mysql-9")


def main() -> int:
    """Run; returns 1 when a law was broken."""
    arguments = _parser().parse_args()
    if arguments.jobs > 1:
        return beside.run(sys.argv[1:], arguments.jobs)
    quick.hurry()
    ended = time.monotonic() + arguments.seconds
    failures = 0
    servers = arguments.server or SERVERS
    # Jobs beside each other begin with different ones.
    servers = [*servers[arguments.job % len(servers) :], *servers[: arguments.job % len(servers)]]
    with quick.ending() as over:
        for place, flavor in enumerate(servers):
            share = (ended - time.monotonic()) / (len(servers) - place)
            if not arguments.faults:
                until = time.monotonic() + share * (1 if arguments.scenarios else 0.5)
                failures += _scenarios(flavor, arguments, Series(arguments, until, partial(_stage, flavor, arguments), over))
            if not arguments.scenarios:
                until = time.monotonic() + share * (1 if arguments.faults else 0.5)
                failures += _faults(flavor, arguments, Series(arguments, until, partial(_struck_stage, flavor, arguments), over))
    return 1 if failures else 0


def _faults(flavor: str, arguments: argparse.Namespace, series: Series) -> int:
    tally, noted = Tally(), _noted(flavor, arguments)
    hit: Counter[str] = Counter()
    for seed, stage in series.attempts(lambda: noted.so_far(0, 0, sum(hit.values()), tally.checks, series.failures)):
        wanted = _faulty(flavor, seed, arguments)
        trial = struck.make(seed, arguments.only, roomy=not wanted.cramped, alone=not wanted.below)
        problem = struck.attempt(stage, trial, tally, hit)
        if problem:
            series.failed(f"--faults --server {flavor} --seed {seed}", problem)
    print(f"{flavor}: {series.done} faults, {sum(hit.values())} of them struck, {series}", flush=True)
    print(f"  {dict(hit)} {tally.checks} checks {dict(tally.refused)}", flush=True)
    return series.failures


def _scenarios(flavor: str, arguments: argparse.Namespace, series: Series) -> int:
    tally, noted = Tally(), _noted(flavor, arguments)

    def so_far() -> None:
        noted.so_far(tally.scenarios + series.failures, tally.tables, 0, tally.checks, series.failures)

    for seed, stage in series.attempts(so_far):
        made = scenario.make(seed, flavor)
        problem = laws.attempt(stage, made, tally)
        if problem:
            series.failed(f"--server {flavor} --seed {seed}", problem)
            if arguments.shrink:
                made = shrink.smallest(made, problem, partial(_stage, flavor, arguments, seed))
                print(f"climate: {_climate(flavor, seed, arguments)}\n{made.describe()}", flush=True)
    print(f"{flavor}: {tally}, {series}", flush=True)
    return series.failures


def _noted(flavor: str, arguments: argparse.Namespace) -> record.Account:
    """Where a run is counted; one again of a seed is not."""
    return record.Account(flavor, packages.version(packages.tree(flavor)), counts=arguments.seed is None)


def _climate(flavor: str, seed: int, arguments: argparse.Namespace) -> climate.Climate:
    wanted = climate.MILD if arguments.mild else climate.of_seed(seed, flavor)
    return replace(wanted, tls=True, below=arguments.below) if arguments.below else wanted


def _stage(flavor: str, arguments: argparse.Namespace, seed: int) -> Stage:
    return _set_up(flavor, _climate(flavor, seed, arguments))


def _struck_stage(flavor: str, arguments: argparse.Namespace, seed: int) -> Stage:
    return _set_up(flavor, _faulty(flavor, seed, arguments))


def _faulty(flavor: str, seed: int, arguments: argparse.Namespace) -> climate.Climate:
    """Servers for faults; such as those that are wanted need, where only some are."""
    wanted = climate.for_faults(seed, flavor, arguments.below)
    chosen = struck.faults_named(arguments.only)
    if all(fault.below for fault in chosen) and not wanted.below:
        wanted = climate.for_faults(seed, flavor, "b")
    return replace(wanted, cramped=wanted.cramped or all(fault.cramped for fault in chosen))


def _set_up(flavor: str, wanted: climate.Climate) -> Stage:
    return Stage(climate.start(flavor, wanted), plain=not wanted.tls, passing=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fire", description=__doc__)
    parser.add_argument("--server", action="append", choices=SERVERS, help="which (all)")
    parser.add_argument("--seconds", type=float, default=3600, help="how long, over all servers (3600)")
    parser.add_argument("--seed", type=int, help="begin with this one")
    parser.add_argument("--count", type=int, help="so many scenarios at most")
    parser.add_argument("--failures", type=int, default=10, help="give up after so many (10)")
    parser.add_argument("--faults", action="store_true", help="faults only")
    parser.add_argument("--scenarios", action="store_true", help="scenarios only")
    parser.add_argument("--only", default="", help="a part of the name of the faults wanted")
    parser.add_argument("--mild", action="store_true", help="servers with default settings")
    parser.add_argument("--below", default="", choices=("", "a", "b", "ab"), help="whose replicas there are besides the pair")
    parser.add_argument("--shrink", action="store_true", help="find the least of a failing scenario that still fails")
    parser.add_argument("--jobs", type=int, default=1, help="so many processes beside each other, each with pairs of its own (1)")
    parser.add_argument("--job", type=int, default=0, help="which of them this one is; it has seeds of its own")
    parser.add_argument("--pause-file", default="", help="while this file exists no server runs and nothing is done")
    return parser


if __name__ == "__main__":
    sys.exit(main())
