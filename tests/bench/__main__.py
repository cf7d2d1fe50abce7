# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m bench`: measure, print, and after a full run write docs/performance.md."""

from __future__ import annotations

import argparse
import signal
import sys

from sandbox import FLAVORS, PackageUnavailable, SandboxError

from . import page, scenes
from .datasets import DATASETS
from .figures import Results
from .stage import Scale, Stage, say, stage

_FLAVORS = ("mariadb-10.11", "mysql-9")
_OTHERS = ("writers", "repairs", "bulk", "ansible")
_SCENES = (*DATASETS, *_OTHERS)


def main() -> int:
    """Measure what is asked for; return the exit code (1: nothing could be measured)."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale = Scale(arguments.quick, arguments.rounds or (2 if arguments.quick else 5))
    wanted = arguments.only or list(_SCENES)
    flavors = arguments.flavor or list(_FLAVORS)
    found = []
    for flavor in flavors:
        say(f"{flavor}:")
        try:
            with stage(flavor, scale) as on:
                found.append(_measure(on, wanted))
        except (PackageUnavailable, SandboxError) as error:
            say(f"  cannot be measured: {error}")
            continue
        print("\n" + page.terminal(found[-1]), flush=True)
    if {results.flavor for results in found} >= set(_FLAVORS) and set(wanted) == set(_SCENES) and not scale.quick:
        page.PAGE.write_text(page.render(found, scale), encoding="utf-8")
        say(f"written: {page.PAGE}")
    else:
        say("Not a full run: no page is written" + (", and targets do not hold for small tables." if scale.quick else "."))
    return 0 if found else 1


def _measure(on: Stage, wanted: list[str]) -> Results:
    toolkit = on.toolkit.version if on.toolkit else f"not to be had: {on.no_toolkit}"
    results = Results(on.flavor, on.version, toolkit, judged=not on.scale.quick)
    for name in DATASETS:
        if name in wanted:
            results.checks[name] = scenes.check(on, name)
    if "writers" in wanted:
        say("  writers")
        results.writers = scenes.writers(on)
    if "repairs" in wanted:
        say("  repairs")
        results.repairs = scenes.repairs(on)
    if "bulk" in wanted:
        say("  bulk")
        results.bulk = scenes.bulk(on)
    if "ansible" in wanted:
        say("  Ansible's own start")
        results.ansible = scenes.ansible_start(on)
    return results


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables, few rounds: a try-out")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (5; quick: 2)")
    parser.add_argument("--flavor", action="append", choices=FLAVORS, help="may be repeated")
    parser.add_argument("--only", action="append", choices=_SCENES, help="may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
