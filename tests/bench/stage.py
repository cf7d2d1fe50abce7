# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where contenders meet: a pair of co-masters, the toolkit that fits it, the sizes of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from sandbox import PackageUnavailable, Topology, co_masters

from . import incumbents
from .datasets import DATASETS, Dataset

_OPTIONS = {
    # Every table fits: what is measured is the work of the contenders, not the disk's.
    "mariadb": {"innodb_buffer_pool_size": "1G", "innodb_log_file_size": "512M"},
    "mysql": {"innodb_buffer_pool_size": "1G", "innodb_redo_log_capacity": "512M"},
}


@dataclass(frozen=True)
class Scale:
    """How big and how often."""

    quick: bool = False
    rounds: int = 3

    def dataset(self, name: str) -> Dataset:
        """A dataset at this scale."""
        return DATASETS[name].quick() if self.quick else DATASETS[name]

    @property
    def repair_rounds(self) -> int:
        """Repairs take long, their times spread little."""
        return min(self.rounds, 2)

    @property
    def refilled_rows(self) -> int:
        """Rows of a lost table that is refilled: as many as take some ten seconds."""
        return 20_000 if self.quick else 300_000

    @property
    def writing_seconds(self) -> float:
        """How long writers are watched, in each round, alone and beside each contender."""
        return 1.0 if self.quick else 6.0


@dataclass(frozen=True)
class Stage:
    """A running pair and its toolkit; without one, *no_toolkit* says why."""

    flavor: str
    version: str
    pair: Topology
    scale: Scale
    toolkit: incumbents.Toolkit | None
    no_toolkit: str = ""

    @property
    def processes(self) -> tuple[int | None, ...]:
        """The process ids of both servers."""
        return self.pair.a.pid, self.pair.b.pid


@contextmanager
def stage(flavor: str, scale: Scale) -> Iterator[Stage]:
    """Start a pair of a flavour and fetch what is to be measured beside it.

    Raises PackageUnavailable where the servers cannot be had.
    """
    family = flavor.split("-", maxsplit=1)[0]
    with co_masters(flavor, options=_OPTIONS[family]) as pair:
        ((version,),) = pair.a.query("SELECT VERSION()")
        try:
            toolkit = incumbents.toolkit(family)
            incumbents.prepare(pair)
        except PackageUnavailable as error:
            say(f"  no Percona Toolkit: {error}")
            yield Stage(flavor, version, pair, scale, None, str(error))
        else:
            yield Stage(flavor, version, pair, scale, toolkit)


@contextmanager
def loaded(on: Stage, name: str, rows: int | None = None) -> Iterator[Dataset]:
    """Load a dataset, or only its first *rows*, for the time of a block."""
    dataset = on.scale.dataset(name)
    dataset = replace(dataset, rows=min(rows or dataset.rows, dataset.rows))
    started = time.monotonic()
    dataset.load(on.pair)
    say(f"  {dataset.title}: loaded in {time.monotonic() - started:.1f} s")
    try:
        yield dataset
    finally:
        dataset.drop(on.pair)


def say(words: str) -> None:
    """Tell at once what happens."""
    print(words, flush=True)
