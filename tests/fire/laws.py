# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a scenario and judges it: what must hold whatever the tables, the rows, the drift and the options are."""

from __future__ import annotations

import re
import tempfile
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pymysql

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import errors, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import SandboxError, Topology

from .hands import Hands, Image
from .scenario import Scenario
from .tables import ON_B, Step, Table
from .values import quoted
from .writers import Writers

USER, PASSWORD = "fire_repair", "s3cret-Fire-Pass"

#: The documented rights of a repairing account.
_GRANTS = {
    "mysql": "SELECT, TRIGGER, CREATE TEMPORARY TABLES, REPLICATION CLIENT, PROCESS, SESSION_VARIABLES_ADMIN",
    "mariadb": "SELECT, TRIGGER, CREATE TEMPORARY TABLES, CREATE, INSERT, BINLOG MONITOR, SLAVE MONITOR, PROCESS, BINLOG ADMIN",
}


class Broken(AssertionError):
    """A law does not hold."""


@dataclass
class Tally:
    """What a run of many scenarios went through."""

    scenarios: int = 0
    tables: int = 0
    differences: int = 0
    repaired: int = 0
    undone: int = 0
    checks: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def hold(self, condition: object, law: str) -> None:
        """A law must hold here; raises Broken."""
        self.checks += 1
        if not condition:
            raise Broken(law)


@cache
def documented_codes() -> frozenset[str]:
    """The codes that docs/hazards.md explains."""
    page = Path(__file__).parents[2] / "docs" / "hazards.md"
    return frozenset(re.findall(r"^(?:### |\| )`(\w+)`", page.read_text("utf-8"), re.MULTILINE))


class Stage:
    """A running pair, ready for scenarios.

    ``plain``: the tool connects by sockets. ``passing``: the pair is thrown away soon, so that nothing need be cleared.
    """

    def __init__(self, pair: Topology, plain: bool = False, passing: bool = False) -> None:
        self.pair, self.plain, self.passing = pair, plain, passing
        self.hands = Hands(pair)
        who = f"'{USER}'@'%'"
        self.hands.run("a", f"CREATE USER IF NOT EXISTS {who} IDENTIFIED BY '{PASSWORD}'", logged=True)
        self.hands.run("a", f"GRANT {_GRANTS[pair.a.family]} ON *.* TO {who}", logged=True)
        pair.wait()

    def servers(self, as_root: bool, **more: Any) -> options.Servers:
        """The pair as the engine takes it: logged in to b; by TCP the source is to be found from there."""
        user, password = ("root", self.pair.b.root_password) if as_root else (USER, PASSWORD)
        if self.plain:
            target = Endpoint(unix_socket=self.pair.b.socket, user=user, password=password)
            return options.Servers(target=target, source=options.SourceLogin(unix_socket=self.pair.a.socket), **more)
        return options.Servers(target=Endpoint(self.pair.b.host, self.pair.b.port, user=user, password=password), **more)

    def clear(self, database: str) -> None:
        """Drop a database on both sides; raises when the links are broken."""
        if self.passing:
            self.pair.wait(20)
            return
        drop = f"DROP DATABASE IF EXISTS {quoted(database)}"
        self.hands.run("a", drop, logged=True)
        self.hands.run("b", drop)
        self.pair.wait(20)


def run(stage: Stage, scenario: Scenario, tally: Tally) -> None:
    """Run one scenario. Raises Broken, with the law, or whatever the engine should not have raised."""
    with tempfile.TemporaryDirectory(prefix="fire-") as folder:
        try:
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
        self.repair = options.Repair(
            extra_rows=said["extra_rows"],
            max_deletes=said.get("max_deletes", 1000),
            max_changes=said.get("max_changes", 10000),
            batch_rows=said["batch_rows"],
            undo_dir=str(folder / "undo"),
        )

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
        lost, surplus = _multiset(a0, b0), _multiset(b0, a0)
        found = self.check(a0, b0, lost, surplus)
        if self.scenario.writers:
            with Writers(self.stage, self.database, self.scenario, a0, b0) as writers:
                self.columns.clear()  # their table came
                report = self.sync(apply=True)
                self.pair.wait()
            self.hold_alive(report, writers.adjust(a0))
            return
        try:
            dry = self.sync(apply=False)
        except errors.Refusal as refusal:
            self.hold(refusal.code == "max_changes" and self.scenario.with_plan_file, "nothing refuses the whole run", refusal)
            self.unchanged(a0, b0, "a refused run")
            return
        self.unchanged(a0, b0, "a check mode run")
        position, here = self.pair.b.binlog_position(), self.pair.a.binlog_position()
        report = self.sync(apply=True)
        self.pair.wait()
        a1, b1 = self.images()
        self.hold(a1 == a0, "the source is byte-identical after a repair", _difference(a0, a1))
        written = self.hands.written_here("b", position)
        self.hold(not written, "the tool writes nothing on the target", written)
        self.judge(dry, report, found, a0, b0, b1)
        self.no_data_logged_in_vain(report, here)
        self.again(report, a0, b1)
        self.undo(report, a0, b0, b1)

    def hold(self, condition: object, law: str, more: object = "") -> None:
        self.tally.hold(condition, f"{law} {more}".strip())

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
        report = checksum.run(
            self.stage.servers(self.scenario.as_root), self.selection, self.pace, self.scenario.options["sample_rows"], plan_file
        )
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

    def sync(self, apply: bool) -> Any:
        plan_file = str(self.folder / "plan") if self.scenario.with_plan_file else ""
        return sync.run(
            self.stage.servers(self.scenario.as_root),
            self.selection,
            self.pace,
            self.repair,
            self.scenario.options["sample_rows"],
            apply,
            plan_file,
        )

    def unchanged(self, a0: Image, b0: Image, what: str) -> None:
        a, b = self.images()
        self.hold(a == a0, f"{what} leaves the source as it is", _difference(a0, a))
        self.hold(b == b0, f"{what} leaves the target as it is", _difference(b0, b))

    def judge(self, dry: Any, report: Any, found: dict[str, Any], a0: Image, b0: Image, b1: Image) -> None:
        """Every table is repaired, or refused and left as it was."""
        self.hold(self.pair.links_healthy(), "links are up")
        capped = report.failed and report.changes.total == 0 and not report.undo_file
        keep = self.repair.extra_rows == "keep"
        changes: Counter[str] = Counter()
        for table in report.tables:
            name = table.table
            if name not in b1 or name not in a0:
                continue
            rest_lost, rest_surplus = _only(a0[name], b1[name]), _only(b1[name], a0[name])
            if table.status == "error" or capped or table.status == "skipped":
                if table.status in ("error", "skipped"):
                    self.documented(table)
                self.tally.refused[table.reason or "cap"] += 1
                self.left_or_better(name, a0[name], b0[name], b1[name])
                known = self.by_name.get(name)
                # A row to be kept may be in the way of another whose key of prefixes begins alike.
                by_plan = (self.scenario.with_plan_file and table.reason == "no_key") or (
                    keep and table.reason == "unique_collision"
                )
                self.hold(capped or by_plan or not (known and known.repairable), f"{name} is repaired, not refused", table)
                continue
            self.hold(not rest_lost, f"{name}: the target has all of the source's rows", rest_lost)
            if keep:
                self.hold(not _only(rest_surplus, b0[name]), f"{name}: only old rows are kept", rest_surplus)
                gone = _only(b0[name], b1[name])
                self.hold(len(gone) == found[name].different, f"{name}: no extra row is lost", gone)
            else:
                self.hold(not rest_surplus, f"{name}: the target has no other rows", rest_surplus)
            before = found[name]
            changes.update(inserted=before.missing, updated=before.different, deleted=0 if keep else before.extra)
            self.tally.repaired += before.missing + before.different + before.extra
        if not any(table.status == "error" for table in report.tables) and not capped:
            told = {"inserted": report.changes.inserted, "updated": report.changes.updated, "deleted": report.changes.deleted}
            self.hold(told == {name: changes[name] for name in told}, "changes are counted right", (told, changes))
            dried = (dry.changes.inserted, dry.changes.updated, dry.changes.deleted)
            self.hold(dried == tuple(told.values()), "check mode tells what apply does", (dried, told))
            self.hold(dry.changed == report.changed, "check mode tells changed")
            self.hold(dry.diff == report.diff and dry.statements == report.statements, "check mode shows what apply does")
            self.hold(report.verified or not report.changed, "it is verified", report.message)

    def left_or_better(self, name: str, a0: list[Any], b0: list[Any], b1: list[Any]) -> None:
        """A row of a refused table is as it was, or as the source has it; nothing else."""
        strange = _only(_only(b1, b0), a0)
        self.hold(not strange, f"{name}: a refused table has no rows that neither side had", strange)
        gone = _only(_only(b0, b1), a0)
        kept = _only(b0, gone)
        self.hold(not _only(kept, b1), f"{name}: a refused table lost no row that the source has", _only(kept, b1))

    def no_data_logged_in_vain(self, report: Any, position: tuple[str, int]) -> None:
        """What is in sync is not written again."""
        if not report.changed:
            written = self.hands.written_here("a", position)
            self.hold(not written, "nothing is logged where nothing is changed", written)

    def again(self, report: Any, a0: Image, b1: Image) -> None:
        """A second run has nothing to do, where the first was allowed to do everything."""
        if report.failed or self.repair.extra_rows == "keep" or self.scenario.with_plan_file:
            return
        second = self.sync(apply=True)
        self.hold(not second.changed, "a second run changes nothing", second.changes)
        self.hold(second.in_sync and not second.failed, "a second run finds everything in sync", second.message)
        self.unchanged(a0, b1, "a second run")

    def undo(self, report: Any, a0: Image, b0: Image, b1: Image) -> None:
        """Undo gives the target its old rows back, through the source."""
        self.hold(self.columns == {name: self.hands.columns(name, self.database) for name in self.columns}, "no column changed")
        if not report.undo_file:
            return
        servers = self.stage.servers(as_root=True)
        dry = undo.run(servers, report.undo_file, apply=False)
        a, b = self.images()
        self.hold(a == a0 and b == b1, "an undo in check mode changes nothing")
        done = undo.run(servers, report.undo_file, undo_dir=str(self.folder / "undo"), batch_rows=self.repair.batch_rows)
        self.pair.wait()
        a2, b2 = self.images()
        self.hold(self.pair.links_healthy(), "links are up after an undo")
        refused = {row.table for row in done.refused}
        for row in done.refused:
            self.hold(row.reason in documented_codes(), f"an undo refuses with a documented code: {row.reason}", row.message)
            self.tally.refused[f"undo {row.reason}"] += 1
        if not refused:
            self.hold(dry.changes == done.changes, "check mode of an undo tells what it does", (dry.changes, done.changes))
        errors = {table.table for table in report.tables if table.status == "error"}
        for name in b2:
            known = self.by_name.get(name)
            if f"{self.database}.{name}" in refused:
                self.hold(not (known and known.undoable and name not in errors), f"{name} is undone, not refused", done.message)
                continue
            if name in errors or name not in a0:
                continue
            self.hold(b2[name] == b0[name], f"{name}: the target has its old rows again", _difference(b0, b2))
            if self.repair.extra_rows == "delete" and b1[name] == a0[name]:
                self.hold(a2[name] == b0[name], f"{name}: the source has the target's old rows", _difference(b0, a2))
            self.tally.undone += 1

    def hold_alive(self, report: Any, a_now: Image) -> None:
        """With an application writing: the source has just what it wrote, and the target is equal."""
        a1, b1 = self.images()
        self.hold(self.pair.links_healthy(), "links are up")
        self.hold(a1 == a_now, "the source has what the application wrote, and nothing else", _difference(a_now, a1))
        keep = self.repair.extra_rows == "keep"
        for table in report.tables:
            name = table.table
            if table.status in ("error", "undecided", "skipped") or report.failed:
                self.documented(table) if table.status in ("error", "undecided") else None
                self.tally.refused[table.reason or "cap"] += 1
                continue
            self.hold(not _only(a1[name], b1[name]), f"{name}: the target has the source's rows", _only(a1[name], b1[name]))
            self.hold(keep or not _only(b1[name], a1[name]), f"{name}: the target has no others", _only(b1[name], a1[name]))


def _only(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Rows that one has more often than the other."""
    return list((Counter(ours) - Counter(theirs)).elements())


def _multiset(ours: Image, theirs: Image) -> Image:
    return {name: _only(ours.get(name, []), theirs.get(name, [])) for name in ours.keys() | theirs.keys()}


def _difference(before: Image, after: Image) -> str:
    gone, new = _multiset(before, after), _multiset(after, before)
    return "; ".join(f"{name}: gone {gone[name][:3]}, new {new[name][:3]}" for name in gone if gone[name] or new[name])


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
