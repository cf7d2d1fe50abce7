# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a scenario and judges it: what must hold whatever the tables, the rows, the drift and the options are."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import errors, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from sandbox import SandboxError

from . import merge, pieces
from .below import Below
from .hands import Image, difference, multiset, only
from .scenario import Scenario
from .stage import MERGE, PLAIN, ROW, Broken, Stage, Tally, documented_codes
from .tables import ON_B, Step, Table
from .values import quoted
from .writers import Writers


def run(stage: Stage, scenario: Scenario, tally: Tally) -> None:
    """Run one scenario. Raises Broken, with the law, or whatever the engine should not have raised."""
    with tempfile.TemporaryDirectory(prefix="fire-") as folder:
        try:
            with pieces.of(scenario.options.get("pieces", 0)):
                _Run(stage, scenario, tally, Path(folder)).all()
        except BaseException:
            with suppress(Exception):  # what went wrong first is of interest
                stage.clear(scenario.database)
            raise
        stage.clear(scenario.database)
    tally.scenarios += 1


class _Run:
    """One scenario on its way."""

    def __init__(self, stage: Stage, scenario: Scenario, tally: Tally, folder: Path) -> None:
        self.stage, self.scenario, self.tally, self.folder = stage, scenario, tally, folder
        self.hands, self.pair = stage.hands, stage.pair
        self.database = scenario.database
        self.by_name: dict[str, Table] = {}
        self.columns: dict[str, dict[str, list[str]]] = {}
        said = scenario.options
        self.selection = options.Selection(databases=(self.database,), **said.get("selection", {}))
        self.pace = options.Pace(workers=said["workers"], chunk_time=said["chunk_time"])
        self.repair = options.Repair(undo_dir=str(folder / "undo"), batch_rows=said["batch_rows"], **said["repair"])
        self.merging: merge.Judge | None = None

    def images(self) -> tuple[Image, Image]:
        return self.image("a"), self.image("b")

    def image(self, name: str) -> Image:
        if name not in self.columns:
            self.columns[name] = self.hands.columns(name, self.database)
        made = self.hands.tables(name, self.database) ^ set(self.columns[name])
        self.hold(not made, "the tool makes and drops no table", made)
        return self.hands.image(name, self.database, self.columns[name])

    def all(self) -> None:
        self.set_up()
        a0, b0 = self.images()
        below = Below(self.stage, self.database)
        left_lenient = self.scenario.options.get("left_lenient", False)
        if left_lenient:
            below.leave_lenient()
        if self.scenario.way == MERGE:
            self.merging = merge.Judge(self.hold, self.repair, self.columns["a"], self.by_name)
            self.merging.plan(a0, b0)
        lost, surplus = multiset(a0, b0), multiset(b0, a0)
        found = self.check(a0, b0, lost, surplus)
        if self.scenario.writers and not self.stage.below:
            with Writers(self.stage, self.database, self.scenario, a0, b0) as writers:
                self.columns.clear()  # their table came
                report = self.refused_or(lambda: self.sync(apply=True))
                self.pair.wait()
            if report:
                self.hold_alive(report, writers.adjust(a0))
            return
        dry = self.refused_or(lambda: self.sync(apply=False))
        if not dry:
            self.unchanged(a0, b0, "a refused run")
            if left_lenient:
                below.put_back(self.hold, False)
            return
        self.unchanged(a0, b0, "a check mode run")
        position, here = self.pair.b.binlog_position(), self.pair.a.binlog_position()
        report = self.sync(apply=True)
        self.pair.wait()
        if left_lenient:
            below.put_back(self.hold, report.changed and not report.failed)
        a1, b1 = self.images()
        if not self.merging:
            self.hold(a1 == a0, "the source is byte-identical after a repair", lambda: difference(a0, a1))
        written = self.hands.written_here("b", position)
        self.hold(not written, "the tool writes nothing on the target", written)
        self.judge(dry, report, found, (a0, b0), (a1, b1))
        if self.stage.below or self.scenario.way == ROW:
            self.stage.hold_strict(self.tally)
        if not self.merging and self.repair.extra_rows == "delete":
            fine = {table.table for table in report.tables if table.status == "drift" and not report.failed}
            below.judge(self.hold, a0, b0, a1, fine)
        self.tally.ways[self.scenario.way + (" with replicas below" if self.stage.below else "")] += 1
        self.no_data_logged_in_vain(report, here)
        self.again(report, a1, b1)
        self.undo(report, (a0, b0), (a1, b1))

    def refused_or(self, run: Callable[[], Any]) -> Any:
        """The report of a run; None where it was refused as a whole, for one of the reasons that there are."""
        try:
            return run()
        except errors.Refusal as refusal:
            right = (refusal.code == "max_changes" and self.scenario.with_plan_file) or (
                refusal.code == "downstream_replicas" and "b" in self.stage.below.values() and self.repair.downstream == "refuse"
            )
            self.hold(right, "nothing refuses the whole run", refusal)
            self.tally.refused[refusal.code] += 1
            return None

    def hold(self, condition: object, law: str, more: object = "") -> None:
        self.tally.hold(condition, law, more)

    def set_up(self) -> None:
        self.hands.run("a", f"CREATE DATABASE {quoted(self.database)} {self.scenario.database_options}", logged=True)
        self.hands.use(self.database, "a")
        late: list[Step] = []
        for plot in self.scenario.plots:
            for step in plot.table.create:
                if step.where != "logged":
                    self.catch_up()
                problem = self.hands.step(step)
                if problem:
                    break
            else:
                self.by_name[plot.table.name] = plot.table
                self.fill(plot.table)
                late += plot.drift
        for step in self.scenario.extra:
            if step.where == "late":
                late.append(Step(ON_B, step.sql))
            else:
                self.hands.step(step)
        self.catch_up()
        for step in late:
            self.hands.step(step)
        self.tally.tables += len(self.by_name)

    def catch_up(self) -> None:
        self.pair.wait()
        self.hands.use(self.database, "b")

    def fill(self, table: Table) -> None:
        """All rows at once; where one of them is impossible, one by one."""
        if table.rows and self.hands.step(Step("logged", table.insert(table.rows))):
            for row in table.rows:
                self.hands.step(Step("logged", table.insert((row,))))

    # -- the tool ------------------------------------------------------------------------------

    def check(self, a0: Image, b0: Image, lost: Image, surplus: Image) -> dict[str, Any]:
        """A check finds what the images say, and changes nothing."""
        plan_file = str(self.folder / "plan") if self.scenario.with_plan_file else ""
        report = checksum.run(self.servers(), self.selection, self.pace, self.scenario.options["sample_rows"], plan_file)
        self.unchanged(a0, b0, "a check")
        found = {table.table: table for table in report.tables}
        self.hold(set(found) >= set(a0) & set(b0), "every table is in the report")
        for name, table in found.items():
            self.counted(name, table, lost[name], surplus[name])
        self.tally.differences += sum(table.missing + table.extra + table.different for table in report.tables)
        clean = not any(lost.values()) and not any(surplus.values())
        self.hold(report.in_sync == (clean and all(table.status == "identical" for table in report.tables)), "in_sync is true")
        return found

    def counted(self, name: str, table: Any, lost: list[Any], surplus: list[Any]) -> None:
        if table.status not in ("identical", "drift"):
            self.documented(table)
            self.tally.refused[table.reason] += 1
            self.hold(table.status != "undecided", f"{name} gets a verdict", table)
            return
        counts = (table.missing, table.different, table.extra)
        self.hold(table.missing + table.different == len(lost), f"{name}: all rows that the source has are told", (counts, lost))
        self.hold(
            table.extra + table.different == len(surplus), f"{name}: all rows that the target has are told", (counts, surplus)
        )
        self.hold((table.status == "identical") == (not lost and not surplus), f"{name}: the status is right", table)

    def documented(self, table: Any) -> None:
        self.hold(table.reason in documented_codes(), f"refused with a documented code: {table.reason}", table.message)
        self.hold(table.message, "a refusal says why")

    def servers(self) -> options.Servers:
        return self.stage.servers(self.scenario.way, self.scenario.as_root)

    def sync(self, apply: bool) -> Any:
        plan_file = str(self.folder / "plan") if self.scenario.with_plan_file else ""
        return sync.run(
            self.servers(),
            self.selection,
            self.pace,
            self.repair,
            self.scenario.options["sample_rows"],
            apply,
            plan_file,
        )

    def unchanged(self, a0: Image, b0: Image, what: str) -> None:
        a, b = self.images()
        self.hold(a == a0, f"{what} leaves the source as it is", lambda: difference(a0, a))
        self.hold(b == b0, f"{what} leaves the target as it is", lambda: difference(b0, b))

    def judge(
        self, dry: Any, report: Any, found: dict[str, Any], before: tuple[Image, Image], after: tuple[Image, Image]
    ) -> None:
        """Every table is repaired, or refused and left as it was."""
        (a0, b0), (a1, b1) = before, after
        self.hold(self.pair.links_healthy(), "links are up")
        capped = report.failed and report.changes.total == 0 and not report.undo_file
        keep = self.repair.extra_rows == "keep"
        changes: Counter[str] = Counter()
        for table in report.tables:
            name = table.table
            if name not in b1 or name not in a0:
                continue
            rest_lost, rest_surplus = only(a0[name], b1[name]), only(b1[name], a0[name])
            if table.status == "error" or capped or table.status == "skipped":
                if table.status in ("error", "skipped"):
                    self.documented(table)
                self.tally.refused[table.reason or "cap"] += 1
                if self.merging:
                    self.merging.table(name, True, before, after)
                    self.hold(capped or not self.merging.must_be_repaired(name), f"{name} is merged, not refused", table)
                    continue
                self.left_or_better(name, a0[name], b0[name], b1[name])
                known = self.by_name.get(name)
                # A row to be kept may be in the way of another whose key of prefixes begins alike.
                by_plan = (self.scenario.with_plan_file and table.reason == "no_key") or (
                    keep and table.reason == "unique_collision"
                )
                by_plan = by_plan or self.refused_by_way(table, known)
                self.hold(capped or by_plan or not (known and known.repairable), f"{name} is repaired, not refused", table)
                continue
            if self.merging:
                self.merging.table(name, False, before, after)
                self.tally.repaired += len(only(a0[name], a1[name])) + len(only(b0[name], b1[name]))
                continue
            self.hold(not rest_lost, f"{name}: the target has all of the source's rows", rest_lost)
            if keep:
                self.hold(not only(rest_surplus, b0[name]), f"{name}: only old rows are kept", rest_surplus)
                gone = only(b0[name], b1[name])
                self.hold(len(gone) == found[name].different, f"{name}: no extra row is lost", gone)
            else:
                self.hold(not rest_surplus, f"{name}: the target has no other rows", rest_surplus)
            seen = found[name]
            changes.update(inserted=seen.missing, updated=seen.different, deleted=0 if keep else seen.extra)
            self.tally.repaired += seen.missing + seen.different + seen.extra
        # What triggers do, and what waits for rows that triggers keep from going first, shows only when it is written.
        by_triggers = self.repair.allow_triggers or any("fires no trigger" in (each.message or "") for each in report.tables)
        told, came = ({table.name: table.reason for table in each.tables} for each in (dry, report))
        self.hold(by_triggers or told == came, "check mode tells what is refused, and why", (told, came))
        same = by_triggers or dry.changes == report.changes
        self.hold(same, "check mode tells what apply does", (dry.changes, report.changes))
        if not any(table.status == "error" for table in report.tables) and not capped:
            told = {"inserted": report.changes.inserted, "updated": report.changes.updated, "deleted": report.changes.deleted}
            if self.merging:
                told.update(adopted=report.changes.adopted, skipped=report.changes.skipped)
                changes = self.merging.counts()
            every = not self.merging or all(a0[name] == b0[name] for name in found if name not in self.merging.merged)
            self.hold(not every or told == {name: changes[name] for name in told}, "changes are counted right", (told, changes))
            self.hold(dry.changed == report.changed, "check mode tells changed")
            self.hold(dry.diff == report.diff, "check mode shows what apply does", (dry.diff, report.diff))
            self.hold(self.same_statements(dry, report), "check mode tells what apply logs", (dry.statements, report.statements))
            self.hold(report.verified or not report.changed, "it is verified", report.message)

    def same_statements(self, dry: Any, report: Any) -> bool:
        """Where a table is taken in pieces, in what order and how many rows together depends on how long each has taken."""
        if not self.scenario.options.get("pieces"):
            return bool(dry.statements == report.statements)
        words = [set(re.findall(r"[\w.'-]+", " ".join(each.statements))) for each in (dry, report)]
        return words[0] == words[1] or max(map(len, (dry.statements, report.statements))) >= 100

    def refused_by_way(self, table: Any, known: Table | None) -> bool:
        """Whether a table that statements would repair is refused because it was to be by rows, or for replicas below."""
        if table.reason == "downstream_replicas":
            is_fragile = not (known and known.key) or "generated stored" in known.traits
            return bool(self.stage.below) and (self.repair.downstream == "refuse" or is_fragile)
        if table.reason == "trigger_side_effects":  # of the source's own trigger, which the shadow would spare
            return self.repair.method == "row"
        return self.scenario.way == ROW and table.reason in ("no_key", "row_not_logged", "auto_increment")

    def left_or_better(self, name: str, a0: list[Any], b0: list[Any], b1: list[Any]) -> None:
        """A row of a refused table is as it was, or as the source has it; nothing else."""
        strange = only(only(b1, b0), a0)
        self.hold(not strange, f"{name}: a refused table has no rows that neither side had", strange)
        gone = only(only(b0, b1), a0)
        kept = only(b0, gone)
        self.hold(not only(kept, b1), f"{name}: a refused table lost no row that the source has", only(kept, b1))

    def no_data_logged_in_vain(self, report: Any, position: tuple[str, int]) -> None:
        """What is in sync is not written again."""
        if not report.changed:
            written = self.hands.written_here("a", position)
            self.hold(not written, "nothing is logged where nothing is changed", written)

    def again(self, report: Any, a1: Image, b1: Image) -> None:
        """A second run has nothing to do, where the first was allowed to do everything."""
        if report.failed or self.scenario.with_plan_file:
            return
        left = self.repair.extra_rows == "keep" or self.repair.conflict == "skip"
        second = self.sync(apply=True)
        self.hold(not second.changed, "a second run changes nothing", second.changes)
        self.hold((second.in_sync or left) and not second.failed, "a second run finds everything in sync", second.message)
        self.unchanged(a1, b1, "a second run")

    def takes_no_rows(self) -> bool:
        """Whether the target stops on row changes, which an undo makes where there are replicas below."""
        return self.pair.b.family == "mysql" and self.pair.b.query("SELECT @@GLOBAL.binlog_format") == [("STATEMENT",)]

    def undo(self, report: Any, before: tuple[Image, Image], after: tuple[Image, Image]) -> None:
        """Undo gives the target its old rows back, through the source."""
        (a0, b0), (a1, b1) = before, after
        self.hold(self.columns == {name: self.hands.columns(name, self.database) for name in self.columns}, "no column changed")
        if not report.undo_file:
            return
        servers = self.stage.servers(PLAIN, as_root=True)
        below = Below(self.stage, self.database)
        if self.stage.below:
            try:
                undo.run(servers, report.undo_file, apply=False)
                self.hold(False, "an undo with replicas below is refused unless these are made lenient")
            except errors.Refusal as refusal:
                self.hold(refusal.code == "downstream_replicas", "only replicas below refuse a whole undo", refusal)
        how = "idempotent" if self.stage.below else "refuse"
        dry = undo.run(servers, report.undo_file, apply=False, downstream=how)
        a, b = self.images()
        self.hold(a == a1 and b == b1, "an undo in check mode changes nothing")
        folder, rows = str(self.folder / "undo"), self.repair.batch_rows
        done = undo.run(servers, report.undo_file, undo_dir=folder, batch_rows=rows, downstream=how)
        self.pair.wait()
        a2, b2 = self.images()
        self.hold(self.pair.links_healthy(), "links are up after an undo")
        if self.stage.below:
            self.stage.hold_strict(self.tally)
            below.follow(self.hold, a1, a2)
        refused = {row.table for row in done.refused}
        for row in done.refused:
            self.hold(row.reason in documented_codes(), f"an undo refuses with a documented code: {row.reason}", row.message)
            self.tally.refused[f"undo {row.reason}"] += 1
        if not refused:
            self.hold(dry.changes == done.changes, "check mode of an undo tells what it does", (dry.changes, done.changes))
        failed = {table.table for table in report.tables if table.status == "error"}
        for name in b2:
            known = self.by_name.get(name)
            if f"{self.database}.{name}" in refused:
                if self.stage.below and (self.takes_no_rows() or not (known and known.key)):
                    continue
                if all(row.reason == "auto_increment" for row in done.refused if row.table == f"{self.database}.{name}"):
                    continue  # a key near the end of its type would use the source's counter up
                self.hold(not (known and known.undoable and name not in failed), f"{name} is undone, not refused", done.message)
                continue
            if name in failed or name not in a0:
                continue
            self.tally.undone += 1
            if self.merging:
                self.merging.undone(name, (a2, b2))
                continue
            self.hold(b2[name] == b0[name], f"{name}: the target has its old rows again", lambda: difference(b0, b2))
            if self.repair.extra_rows == "delete" and b1[name] == a0[name]:
                self.hold(a2[name] == b0[name], f"{name}: the source has the target's old rows", lambda: difference(b0, a2))

    def hold_alive(self, report: Any, a_now: Image) -> None:
        """With an application writing: the source has just what it wrote, and the target is equal."""
        a1, b1 = self.images()
        self.hold(self.pair.links_healthy(), "links are up")
        self.hold(a1 == a_now, "the source has what the application wrote, and nothing else", lambda: difference(a_now, a1))
        keep = self.repair.extra_rows == "keep"
        for table in report.tables:
            name = table.table
            if table.status in ("error", "undecided", "skipped") or report.failed:
                self.documented(table) if table.status in ("error", "undecided") else None
                self.tally.refused[table.reason or "cap"] += 1
                continue
            self.hold(not only(a1[name], b1[name]), f"{name}: the target has the source's rows", only(a1[name], b1[name]))
            self.hold(keep or not only(b1[name], a1[name]), f"{name}: the target has no others", only(b1[name], a1[name]))


def attempt(stage: Stage, scenario: Scenario, tally: Tally) -> str:
    """Run a scenario; returns what went wrong, "" if nothing did."""
    try:
        run(stage, scenario, tally)
    except (Broken, errors.ReplError, SandboxError, pymysql.MySQLError) as error:
        where = "" if isinstance(error, Broken) else "".join(traceback.format_tb(error.__traceback__)[-3:])
        return f"{type(error).__name__}: {error}\n{where}".strip()
    except Exception:  # a traceback is what this harness looks for
        return traceback.format_exc()
    return ""
