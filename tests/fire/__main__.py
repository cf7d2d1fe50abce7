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
from itertools import count

from sandbox import SandboxError, Topology, packages

from . import climate, laws, quick, record, scenario, shrink, struck
from .stage import Stage, Tally

SERVERS = ("mariadb-10.11", "mariadb-11.8", "mysql-9")


def main() -> int:
    """Run; returns 1 when a law was broken."""
    arguments = _parser().parse_args()
    quick.hurry()
    ended = time.monotonic() + arguments.seconds
    failures = 0
    for place, flavor in enumerate(arguments.server or SERVERS):
        share = (ended - time.monotonic()) / (len(arguments.server or SERVERS) - place)
        if not arguments.faults:
            failures += _scenarios(flavor, arguments, time.monotonic() + share * (1 if arguments.scenarios else 0.5))
        if not arguments.scenarios:
            failures += _faults(flavor, arguments, time.monotonic() + share * (1 if arguments.faults else 0.5))
    return 1 if failures else 0


def _faults(flavor: str, arguments: argparse.Namespace, until: float) -> int:
    tally, failures, started = Tally(), 0, time.monotonic()
    hit: Counter[str] = Counter()
    first = arguments.seed if arguments.seed is not None else int(time.time()) % 10_000_000 * 100
    stage: Stage | None = None
    block, done, seed = None, 0, first
    try:
        for seed in count(first):
            if time.monotonic() >= until or (arguments.count and done >= arguments.count):
                break
            if block != seed // climate.BLOCK or stage is None:
                stage = _renew(stage, flavor, climate.for_faults(seed))
                block = seed // climate.BLOCK
            done += 1
            problem = struck.attempt(
                stage, struck.make(seed, arguments.only, roomy=not climate.for_faults(seed).cramped), tally, hit
            )
            if problem:
                failures += 1
                print(f"\nFAILED  --faults --server {flavor} --seed {seed}\n{problem}", flush=True)
                _close(stage)
                stage = None
                if failures >= arguments.failures:
                    break
    finally:
        _close(stage)
    if arguments.seed is None:
        record.add(flavor, _version(flavor), faults=hit.total(), checks=tally.checks, failed=failures)
    took = time.monotonic() - started
    print(f"{flavor}: {done} faults, {hit.total()} of them struck, {failures} failed, {took:.0f} s, last seed {seed}", flush=True)
    print(f"  {dict(hit)} {tally.checks} checks {dict(tally.refused)}", flush=True)
    return failures


def _scenarios(flavor: str, arguments: argparse.Namespace, until: float) -> int:
    tally, failures, started = Tally(), 0, time.monotonic()
    first = arguments.seed if arguments.seed is not None else int(time.time()) % 10_000_000 * 100
    seed = first
    stage: Stage | None = None
    block = None
    try:
        for seed in count(first):
            if time.monotonic() >= until or (arguments.count and tally.scenarios + failures >= arguments.count):
                break
            if block != seed // climate.BLOCK or stage is None:
                stage = _renew(stage, flavor, _climate(flavor, seed, arguments))
                block = seed // climate.BLOCK
            made = scenario.make(seed, flavor)
            problem = laws.attempt(stage, made, tally)
            if problem:
                failures += 1
                print(f"\nFAILED  --server {flavor} --seed {seed}\n{problem}", flush=True)
                if arguments.shrink:
                    made = shrink.smallest(made, problem, partial(_renew, None, flavor, _climate(flavor, seed, arguments)))
                    print(f"climate: {_climate(flavor, seed, arguments)}\n{made.describe()}", flush=True)
                _close(stage)
                stage = None
                if failures >= arguments.failures:
                    break
    finally:
        _close(stage)
    if arguments.seed is None:
        record.add(flavor, _version(flavor), tally.scenarios + failures, tally.tables, checks=tally.checks, failed=failures)
    took = time.monotonic() - started
    print(f"{flavor}: {tally}, {failures} failed, {took:.0f} s, last seed {seed}", flush=True)
    return failures


def _version(flavor: str) -> str:
    return packages.version(packages.tree(flavor))


def _climate(flavor: str, seed: int, arguments: argparse.Namespace) -> climate.Climate:
    wanted = climate.MILD if arguments.mild else climate.of_seed(seed, flavor)
    return replace(wanted, tls=True, below=arguments.below) if arguments.below else wanted


def _renew(stage: Stage | None, flavor: str, wanted: climate.Climate) -> Stage:
    _close(stage)
    try:
        pair: Topology = climate.start(flavor, wanted)
    except SandboxError as error:
        raise SystemExit(f"{flavor} cannot live in {wanted}: {error}") from error
    return Stage(pair, plain=not wanted.tls, passing=True)


def _close(stage: Stage | None) -> None:
    if stage is not None:
        stage.hands.drop()
        stage.pair.stop()


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
    return parser


if __name__ == "__main__":
    sys.exit(main())
