# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts of one table while it is compared."""

from __future__ import annotations

import typing as t

from . import present
from .confirm import DIFFERENT, EXTRA, MISSING, Difference
from .keyspace import KeySpace
from .positions import Positions
from .report import DRIFT, IDENTICAL, SampleRow, TableReport
from .schema import Table
from .session import Row
from .spool import Differences, SpoolFile


class Tally:
    """Counts every confirmed difference, shows the first ``sample_rows``, keeps the first ``keep``, tells all."""

    def __init__(
        self,
        table: Table,
        sample_rows: int,
        keep: int,
        tell: t.Callable[[Table, Difference], None] = lambda table, difference: None,
        spool: SpoolFile | None = None,
    ) -> None:
        self._table = table
        self._sample_rows = sample_rows
        self._keep = keep
        self._tell = tell
        self._space = KeySpace(table, table.key) if table.key else None
        # Two spellings of one key are two suspects but one difference. Those since the last settled().
        self._seen: set[Row] = set()
        self.counts = {MISSING: 0, EXTRA: 0, DIFFERENT: 0}
        self.rows = 0
        self.chunks = 0
        self.sample: list[SampleRow] = []
        self._positions = Positions()
        self.kept = Differences(file=spool)

    @property
    def total(self) -> int:
        """Differences confirmed so far."""
        return sum(self.counts.values())

    def resume(self, report: TableReport) -> None:
        """Go on from what an earlier run had found."""
        self.counts = {MISSING: report.missing, EXTRA: report.extra, DIFFERENT: report.different}
        self.rows, self.chunks = report.rows, report.chunks
        self.sample = list(report.sample)
        self._positions.resume(report.positions, report.rows)

    def add(self, differences: t.Iterable[Difference], before: t.Mapping[Row, float] | None = None) -> None:
        """Count confirmed differences. ``before``: how many rows of the table lie before a key, where that is known."""
        for difference in differences:
            if difference.target is not None and self._has_two_spellings(difference):
                if difference.key in self._seen:
                    continue
                self._seen.add(difference.key)
            rows = difference.rows
            self.counts[difference.kind] += rows
            self._tell(self._table, difference)
            if before is not None:
                # A key spelt otherwise than it was suspected was read last, or nearly so.
                self._positions.add(difference.kind, before.get(difference.key, self.rows), rows)
            if len(self.sample) < self._sample_rows:
                self.sample.append(present.sample(self._table, difference))
            if len(self.kept) < self._keep:
                self.kept.add(difference, rows)

    def settled(self) -> None:
        """All suspects of the chunks so far are confirmed. No later one has other spellings of their keys: chunks are ranges
        of the key, in whose order they are equal."""
        self._seen.clear()

    def report(self) -> TableReport:
        """What was found so far."""
        return TableReport(
            database=self._table.name.database,
            table=self._table.name.table,
            status=DRIFT if any(self.counts.values()) else IDENTICAL,
            rows=self.rows,
            missing=self.counts[MISSING],
            extra=self.counts[EXTRA],
            different=self.counts[DIFFERENT],
            sample=tuple(self.sample),
            positions=self._positions.marks(self.rows),
            chunks=self.chunks,
        )

    def _has_two_spellings(self, difference: Difference) -> bool:
        return self._space is not None and self._space.key_of(t.cast(Row, difference.target)) != difference.key
