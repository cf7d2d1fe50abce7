# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From measurements to figures, each beside its target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from .measure import Rounds, median, percentile
from .scenes import (
    ALONE,
    BARE,
    FROM_PLAN,
    LIMIT,
    OURS,
    PACED,
    PLAN,
    PT_CHECKSUM,
    PT_PLAIN,
    PT_REPLICATE,
    REFILLED,
    SYNC,
    TOOLKIT,
    Checked,
    Latencies,
    Refilled,
    Repaired,
    Written,
)

_AGAINST_TOOLKIT = {"mariadb": 0.75, "mysql": 0.45}


@dataclass
class Results:
    """All that was measured on one flavour; what was not asked for is empty."""

    flavor: str
    version: str
    toolkit: str  # its version, or why there is none
    left_out: list[str] = field(default_factory=list)  # scenes for which there was no time
    judged: bool = True  # whether sizes and rounds are those the targets are made for
    checks: dict[str, Checked] = field(default_factory=dict)
    writers: Written | None = None
    repairs: list[Repaired] = field(default_factory=list)
    bulk: Refilled | None = None
    ansible: Rounds | None = None


@dataclass(frozen=True)
class Figure:
    """One promise: what was measured, the bound, and on which side of it is good."""

    what: str
    value: float
    unit: str
    bound: float
    at_least: bool = False
    spread: tuple[float, float] | None = None
    remark: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the promise is kept; None if it was not measured."""
        if math.isnan(self.value):
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    @property
    def measured(self) -> str:
        """The value, with the lowest and highest round where there were several."""
        if math.isnan(self.value):
            return "–"
        text = number(self.value, self.unit)
        if self.spread and self.spread[0] != self.spread[1]:
            text += f" ({number(self.spread[0])}–{number(self.spread[1])})"
        return text

    @property
    def target(self) -> str:
        """The bound in words."""
        return f"{'≥' if self.at_least else '≤'} {number(self.bound, self.unit)}"

    @property
    def verdict(self) -> str:
        """Met, missed, or why there is nothing to say."""
        words = {True: "met", False: "**missed**", None: "not measured"}[self.met]
        return f"{words}: {self.remark}" if self.remark else words


def number(value: float, unit: str = "") -> str:
    """A value with as many digits as it deserves."""
    if math.isnan(value):
        return "–"
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 20 else 2
    return f"{value:,.{digits}f}{' ' if unit and unit != '×' else ''}{unit}"


def figures(results: Results) -> Iterator[Figure]:
    """Every target of the design that these results speak of."""
    yield from _check_figures(results)
    yield from _writer_figures(results)
    yield from _repair_figures(results)
    memory = [rounds.memory(OURS) for checked in results.checks.values() for rounds in (checked.clean, checked.drifted)]
    if memory:
        yield Figure("peak memory of a check, any dataset", max(memory), "MiB", 100)


def _check_figures(results: Results) -> Iterator[Figure]:
    main = results.checks.get("1m12")
    if main:
        family = results.flavor.split("-", maxsplit=1)[0]
        title, clean, drifted = main.dataset.title, main.clean, main.drifted
        for other, bound in ((LIMIT, 1.15), (TOOLKIT, _AGAINST_TOOLKIT[family])):
            remark = f"CPU {number(clean.work_ratio(OURS, other), '×')}"
            yield _relative(f"check of {title} ÷ {other}", clean.ratios(OURS, other), bound, remark)
        located = [one / two for one, two in zip(drifted.seconds(OURS), clean.seconds(OURS))]
        yield _relative("check with 35 scattered differences ÷ clean", located, 1.15)
    small = results.checks.get("small")
    if small:
        each = [second / small.dataset.tables * 1000 for second in small.clean.seconds(OURS)]
        yield _absolute(f"one of {small.dataset.tables} small tables", each, "ms", 4)


def _writer_figures(results: Results) -> Iterator[Figure]:
    if results.writers:
        usual, first = results.writers.usual, results.writers.first
        bare = f"beside a bare full scan {number(p99_ratio(usual, LIMIT), '×')}"
        yield Figure("writer p99 beside a check ÷ alone, all on the same cores", p99_ratio(usual, OURS), "×", 2, remark=bare)
        yield Figure(
            "writer p99 beside a check ÷ alone, the writer first on the CPU",
            p99_ratio(first, OURS),
            "×",
            2,
            remark=first.failures.get(OURS, "")[:200],
        )


def p99_ratio(latencies: Latencies, name: str, other: str = ALONE) -> float:
    """The p99 of a write beside somebody ÷ alone, or beside another one; not-a-number if either is missing."""
    beside, than = (percentile(latencies.seconds.get(each, []), 99) for each in (name, other))
    return beside / than


def _repair_figures(results: Results) -> Iterator[Figure]:
    if results.repairs:
        rounds = results.repairs[0].rounds
        whole = [
            sync / (checksum + repair)
            for sync, checksum, repair in zip(rounds.seconds(SYNC), rounds.seconds(PT_CHECKSUM), rounds.seconds(PT_PLAIN))
        ]
        yield _relative("check and repair of 35 rows ÷ (pt-table-checksum + pt-table-sync)", whole, 0.2)
        after = [sync - plan for sync, plan in zip(rounds.seconds(SYNC), rounds.seconds(PLAN))]
        yield _absolute("repair of 35 rows after the scan", after, "s", 1)
        for name, words in ((PT_REPLICATE, "pt-table-sync --replicate"), (PT_PLAIN, "pt-table-sync")):
            yield _relative(f"repair of 35 rows from a plan ÷ {words}", rounds.ratios(FROM_PLAN, name), 0.1)
    if results.bulk:
        yield from _bulk_figures(results.bulk)


# A bare loop reached 30,000 rows/s where 25,000 from a plan and 20,000 with the check were asked for.
_FROM_PLAN_BOUND, _WHOLE_BOUND = 30 / 25, 30 / 20


def _bulk_figures(bulk: Refilled) -> Iterator[Figure]:
    samples = bulk.rounds.samples.get(SYNC, [])
    remark = bulk.rounds.failures.get(SYNC, "")[:200]
    for what, seconds, bound, times in (
        ("from its plan to its verification", [each.repairing for each in samples], 25_000, _FROM_PLAN_BOUND),
        ("its check included", [each.seconds for each in samples], REFILLED, _WHOLE_BOUND),
    ):
        speeds = [bulk.rows / second for second in seconds if second]
        yield replace(_absolute(f"refill of a lost table, {what}", speeds, "rows/s", bound, remark), at_least=True)
        ratios = [one / two for one, two in zip(seconds, bulk.rounds.seconds(BARE))]
        yield _relative(f"refill of a lost table, {what} ÷ {BARE}", ratios, times)
    yield Figure("peak memory of a refill", bulk.rounds.memory(SYNC), "MiB", 100)
    usual, first = bulk.written.usual, bulk.written.first
    remark = usual.failures.get(SYNC, "")[:200] or f"beside the {PACED} {number(p99_ratio(usual, PACED), '×')}"
    yield Figure("writer p99 beside a refill ÷ alone, all on the same cores", p99_ratio(usual, SYNC), "×", 2, remark=remark)
    yield Figure(f"writer p99 beside a refill ÷ beside the {BARE}", p99_ratio(usual, SYNC, BARE), "×", 1)
    yield Figure("writer p99 beside a refill ÷ alone, the writer first on the CPU", p99_ratio(first, SYNC), "×", 2)


def _relative(what: str, ratios: Sequence[float], bound: float, remark: str = "") -> Figure:
    return _absolute(what, ratios, "×", bound, remark)


def _absolute(what: str, values: Sequence[float], unit: str, bound: float, remark: str = "") -> Figure:
    spread = (min(values), max(values)) if values else None
    return Figure(what, median(values), unit, bound, spread=spread, remark=remark)


def check_table(results: Results) -> list[list[str]]:
    """One row a dataset and state: seconds of each contender, ratios, memory."""
    head = ("dataset", "bytes/row", "state", "full scan, s", "check, s", f"{TOOLKIT}, s")
    work = ("CPU: check ÷ full scan", f"CPU: check ÷ {TOOLKIT}")
    rows = [
        [*head, "check ÷ full scan", f"check ÷ {TOOLKIT}", *work, "check, MiB", f"{TOOLKIT}, MiB"],
    ]
    for checked in results.checks.values():
        for state, rounds in (("clean", checked.clean), ("35 differ", checked.drifted)):
            rows.append(
                [
                    checked.dataset.title,
                    number(checked.row_bytes),
                    state,
                    *(number(median(rounds.seconds(name))) for name in (LIMIT, OURS, TOOLKIT)),
                    _spread(rounds.ratios(OURS, LIMIT)),
                    _spread(rounds.ratios(OURS, TOOLKIT)),
                    *(number(rounds.work_ratio(OURS, name)) for name in (LIMIT, TOOLKIT)),
                    *(number(rounds.memory(name)) for name in (OURS, TOOLKIT)),
                ]
            )
    return rows


def _spread(ratios: Sequence[float]) -> str:
    if not ratios:
        return "–"
    return f"{number(median(ratios))} ({number(min(ratios))}–{number(max(ratios))})"


def writer_table(latencies: Latencies) -> list[list[str]]:
    """One row a company: milliseconds of a write."""
    rows = [["beside", "writes", "p50, ms", "p99, ms", "longest, ms", "p99 ÷ alone"]]
    for name, seconds in latencies.seconds.items():
        percentiles = [percentile(seconds, percent) for percent in (50, 99)]
        longest = max(seconds, default=float("nan"))
        rows.append(
            [
                "nobody" if name == ALONE else name,
                f"{len(seconds):,}",
                *(number(second * 1000) for second in [*percentiles, longest]),
                number(p99_ratio(latencies, name)),
            ]
        )
    return rows


_WAYS = {
    PLAN: "our plan (check mode: whole check, nothing written)",
    SYNC: "our repair (whole check, repair, verification)",
    FROM_PLAN: "our repair from a plan (the check that wrote it not counted)",
    BARE: "a bare loop of 500-row REPLACEs through the shadow",
    PT_CHECKSUM: "pt-table-checksum alone",
    PT_PLAIN: "pt-table-sync (scans by itself)",
    PT_REPLICATE: "pt-table-sync --replicate (after pt-table-checksum, not counted)",
}


def repair_table(repairs: Sequence[Repaired]) -> list[list[str]]:
    """One row a way and drift: seconds, memory."""
    rows = [["rows that differ", "way", "seconds", "our repair ÷ it", "MiB"]]
    for repaired in repairs:
        for name, words in _WAYS.items():
            seconds = repaired.rounds.seconds(name)
            failure = repaired.rounds.failures.get(name)
            if not seconds and not failure:
                continue
            told = f"failed: {failure.splitlines()[-1][:160]}" if failure else number(median(seconds))
            rows.append(
                [
                    f"{repaired.rows:,}",
                    words,
                    told,
                    _spread(repaired.rounds.ratios(SYNC, name)) if name != SYNC else "",
                    number(repaired.rounds.memory(name)),
                ]
            )
    return rows
