# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m bench`: measure, print, and after a full run write docs/performance.md."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time

from sandbox import FLAVORS, PackageUnavailable, SandboxError

from . import page, scenes
from .datasets import DATASETS
from .figures import Results
from .stage import Scale, Stage, say, stage

_FLAVORS = ("mariadb-10.11", "mysql-9")
_OTHERS = ("writers", "repairs", "bulk", "ansible")
_SCENES = (*DATASETS, *_OTHERS)
# What targets speak of comes first.
_ORDER = ("1m12", "writers", "bulk", "repairs", "small", "ansible", "wide", "narrow", "composite", "text")


def main() -> int:
    """Measure what is asked for; return the exit code (1: nothing could be measured)."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.setdefault("TMPDIR", tempfile.gettempdir())  # on a disk, as a server's data are
    scale = Scale(arguments.quick, arguments.rounds or (2 if arguments.quick else 3))
    wanted = arguments.only or list(_SCENES)
    flavors = arguments.flavor or list(_FLAVORS)
    found: list[Results] = []
    end = time.monotonic() + 60 * arguments.minutes
    for place, flavor in enumerate(flavors):
        say(f"{flavor}:")
        share = (end - time.monotonic()) / (len(flavors) - place)
        try:
            with stage(flavor, scale) as on:
                found.append(Results(on.flavor, on.version, _toolkit(on), judged=not scale.quick))
                _measure(on, wanted, found[-1], time.monotonic() + share)
        except KeyboardInterrupt:
            say("  ended by hand")
            break
        except (PackageUnavailable, SandboxError) as error:
            say(f"  cannot be measured: {error}")
            continue
        print("\n" + page.terminal(found[-1]), flush=True)
    whole = {results.flavor for results in found} >= set(_FLAVORS) and set(wanted) == set(_SCENES) and not scale.quick
    if found and (whole or arguments.page):
        page.PAGE.write_text(page.render(found, scale), encoding="utf-8")
        say(f"written: {page.PAGE}")
    else:
        say("Not a full run: no page is written" + (", and targets do not hold for small tables." if scale.quick else "."))
    return 0 if found else 1


def _toolkit(on: Stage) -> str:
    return on.toolkit.version if on.toolkit else f"not to be had: {on.no_toolkit}"


def _measure(on: Stage, wanted: list[str], results: Results, end: float) -> None:
    """Measure scene after scene; those that would begin after ``end`` (of time.monotonic) are left out, and said."""
    for name in _ORDER:
        if name not in wanted:
            continue
        if time.monotonic() > end:
            say(f"  {name}: left out, the time is over (see --minutes)")
            results.left_out.append(name)
            continue
        started = time.monotonic()
        if name in DATASETS:
            results.checks[name] = scenes.check(on, name)
        elif name == "writers":
            say("  writers")
            results.writers = scenes.writers(on)
        elif name == "repairs":
            say("  repairs")
            results.repairs = scenes.repairs(on)
        elif name == "bulk":
            say("  bulk")
            results.bulk = scenes.bulk(on)
        else:
            say("  Ansible's own start")
            results.ansible = scenes.ansible_start(on)
        say(f"    ({name}: {time.monotonic() - started:.0f} s in all)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small tables, few rounds: a try-out")
    parser.add_argument("--rounds", type=int, help="how often each contender runs (3; quick: 2)")
    parser.add_argument("--minutes", type=float, default=15, help="no scene is begun after so many minutes (15)")
    parser.add_argument("--page", action="store_true", help="write docs/performance.md also from a part of the scenes")
    parser.add_argument("--flavor", action="append", choices=FLAVORS, help="may be repeated")
    parser.add_argument("--only", action="append", choices=_SCENES, help="may be repeated")
    return parser


if __name__ == "__main__":
    sys.exit(main())
