# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run of the tool that a fault strikes, and what must hold afterwards."""

from __future__ import annotations

import glob
import itertools
import os
import pickle
import random
import shutil
import signal
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pymysql

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import errors, options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.newcomers import Newcomers
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import SandboxError, Server

from . import merge
from .after import After
from .faults import FAULTS, Fault, Field, Trigger
from .faults_below import BELOW
from .hands import Image, difference
from .host import take_up
from .proxy import Proxy
from .stage import MERGE, PASSWORD, PLAIN, ROW, STRUCK, Broken, Stage, Tally, documented_codes, user_of
from .tables import AGE, LOGGED, Step

#: Statements that a run of each kind has, about.
_STATEMENTS = {"check": 210, "sync": 700, "undo": 320}

#: Seconds after which a run that has not ended counts as hanging.
_PATIENCE = 90


#: Triggers that keep a table in step with t1: no statement can repair t1 where they run.
_MIRROR = (
    "CREATE TABLE m1 (k int PRIMARY KEY)",
    "CREATE TRIGGER i1 AFTER INSERT ON t1 FOR EACH ROW INSERT INTO m1 VALUES (NEW.id)",
    "CREATE TRIGGER d1 AFTER DELETE ON t1 FOR EACH ROW DELETE FROM m1 WHERE k = OLD.id",
    "CREATE TRIGGER u1 AFTER UPDATE ON t1 FOR EACH ROW UPDATE m1 SET k = NEW.id WHERE k = OLD.id",
)


@dataclass(frozen=True)
class Trial:
    """A fault, when it strikes, and what it strikes."""

    seed: int
    operation: str
    fault: Fault
    at: int
    batch_rows: int
    way: str = PLAIN

    def __str__(self) -> str:
        return f"{self.fault.name} at statement {self.at} of a {self.operation}, {self.way}"


def make(seed: int, only: str = "", roomy: bool = False, way: str = "", alone: bool = True) -> Trial:
    """The trial of a seed.

    ``only``: a part of the fault's name; ``roomy``: the servers have all the room they want; ``alone``: none is below.
    """
    dice, way_dice = random.Random(f"trial {seed}"), random.Random(f"way {seed}")
    choices = [fault for fault in faults_named(only) if not ((fault.cramped and roomy) or (fault.below and alone))]
    fault = dice.choices(choices, [0.3 if fault.rare else 1.0 for fault in choices])[0]
    operation = dice.choice(["check", "sync", "sync", "sync", "undo"])
    way = way or way_dice.choice([PLAIN, ROW, MERGE])
    at, batch_rows = dice.randint(1, _STATEMENTS[operation]), dice.choice([2, 5, 20])
    return Trial(seed, operation, fault, at, batch_rows, way if operation == "sync" else PLAIN)


def faults_named(only: str) -> list[Fault]:
    """Those that have this in their name."""
    return [fault for fault in (*FAULTS, *BELOW) if only.lower() in fault.name.lower()]


def attempt(stage: Stage, trial: Trial, tally: Tally, struck: Counter[str]) -> str:
    """Run a trial; returns what went wrong, "" if nothing did."""
    folder = tempfile.mkdtemp(prefix="fire-")
    if stage.pair.a.family == "mysql" and stage.pair.binlog_format == "STATEMENT":
        # Such a target takes no row changes, and is refused; an undo makes them where there are replicas below.
        way = PLAIN if trial.way == ROW else trial.way
        trial = replace(trial, way=way, operation="sync" if stage.below and trial.operation == "undo" else trial.operation)
    try:
        if _Struck(stage, trial, tally, folder).all():
            struck[trial.fault.name] += 1
            tally.ways[trial.way] += 1
        stage.clear(f"x{trial.seed}")
    except (Broken, SandboxError, pymysql.MySQLError) as error:
        return f"{trial}\n{type(error).__name__}: {error}\n{''.join(traceback.format_tb(error.__traceback__)[-2:])}"
    except Exception:
        return f"{trial}\n{traceback.format_exc()}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ""


class _Struck:
    """One trial on its way."""

    def __init__(self, stage: Stage, trial: Trial, tally: Tally, folder: str) -> None:
        self.stage, self.trial, self.tally, self.folder = stage, trial, tally, folder
        self.hands, self.pair = stage.hands, stage.pair
        self.database = f"x{trial.seed}"
        self.dice = random.Random(f"strike {trial.seed}")
        self.undo_dir = os.path.join(folder, "undo")
        self.looked: float | None = None

    @property
    def merges(self) -> bool:
        return self.trial.way == MERGE

    @property
    def spoils_copies(self) -> bool:
        """Whether the table without a key has drift: it can be repaired, and need not be taken back."""
        return self.trial.way == PLAIN and self.trial.operation != "undo" and not self.stage.below

    @property
    def repair(self) -> options.Repair:
        ways: dict[str, dict[str, Any]] = {
            PLAIN: {},
            ROW: {"allow_triggers": True},
            MERGE: {"extra_rows": "adopt", "conflict": "newest", "conflict_column": AGE},
        }
        more = ways[self.trial.way]
        return options.Repair(undo_dir=self.undo_dir, batch_rows=self.trial.batch_rows, downstream="idempotent", **more)

    def hold(self, condition: object, law: str, more: object = "") -> None:
        self.tally.hold(condition, law, more)

    def images(self) -> tuple[Image, Image]:
        return self.hands.image("a", self.database), self.hands.image("b", self.database)

    def all(self) -> bool:
        """Returns whether the fault struck before the run was over."""
        self.set_up()
        a0, b0 = self.images()
        journal = ""
        if self.trial.operation == "undo":
            journal = self.run_sync().undo_file or ""
            self.pair.wait()
            self.spoil(*self.spoilt_below)
        before = self.images()
        with ExitStack() as stack:
            proxies = {name: stack.enter_context(Proxy(self.pair.servers[name].port)) for name in ("a", "b")}
            place = Field(self.stage, self.database, self.dice, proxies, self.trial.way)
            try:
                struck, outcome = self.struck_run(place, journal)
            finally:
                place.heal()
                self.revive()
        self.typed(outcome)
        if self.trial.fault.host:
            take_up(self.stage, self.tally, self.run_sync)
        after = After(self.stage, self.tally, outcome, self.unseen(place))
        after.settle()
        self.hold(self.pair.links_healthy(), "links run")
        again = self.undo_again(journal, a0, b0, before) if self.trial.operation == "undo" else self.judge(place, a0, b0)
        after.hold_strict(again, self.trial.fault.name.endswith("left lenient"))
        self.stage.hold_strict(self.tally)
        return struck

    def set_up(self) -> None:
        self.hands.run("a", f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4", logged=True)
        self.pair.wait()
        self.hands.use(self.database)
        rows = 60
        numbers = ", ".join(f"({n}, 'v{n}', {n * 7})" for n in range(rows))
        words = ", ".join(f"('k{n % 9}', {n}, X'{n:04x}')" for n in range(rows))
        copies = ", ".join(f"({n % 5}, 'c{n % 3}')" for n in range(rows // 2))
        for sql in (
            "CREATE TABLE t1 (id int PRIMARY KEY, v varchar(20), u int UNIQUE)",
            "CREATE TABLE t2 (k varchar(9), n int, v varbinary(9), PRIMARY KEY (k, n))",
            "CREATE TABLE t3 (n int, v varchar(9))",
            *(_MIRROR if self.trial.way == ROW else ()),
            "CREATE TABLE breaker (id int PRIMARY KEY, v varchar(20))",
            f"INSERT INTO t1 VALUES {numbers}",
            f"INSERT INTO t2 VALUES {words}",
            f"INSERT INTO t3 VALUES {copies}",
            *(f"ALTER TABLE {name} ADD {AGE} int NOT NULL DEFAULT 1" for name in ("t1", "t2") if self.merges),
        ):
            self.hold(not self.hands.step(Step(LOGGED, sql)), "the setting can be made", sql)
        self.pair.wait()
        self.spoil("b", *(() if self.trial.operation == "undo" else self.spoilt_below))

    @property
    def spoilt_below(self) -> list[str]:
        """Replicas below the target that have its drift too; what becomes of that in a merge nobody has promised."""
        dice = random.Random(f"below {self.trial.seed}")
        if self.trial.fault.before and self.trial.operation == "undo" and self.pair.binlog_format != "ROW":
            return []  # what is logged as statements before it comes stops it, and lenient it would stop too (docs/undo.md)
        return [name for name, of in self.stage.below.items() if of == "b" and not self.merges and dice.random() < 0.5]

    def spoil(self, *names: str) -> None:
        """Give servers the drift of this trial, unlogged."""
        rows, dice = 60, random.Random(f"drift {self.trial.seed}")
        lost, wrong, more = (dice.sample(range(rows), 5) for _each in range(3))
        for name, sql in itertools.product(
            names,
            (
                f"DELETE FROM t1 WHERE id IN ({', '.join(map(str, lost))})",
                f"UPDATE t1 SET v = 'bad' WHERE id IN ({', '.join(map(str, wrong))})",
                "INSERT INTO t1 (id, v, u) VALUES " + ", ".join(f"({100 + n}, 'extra', {1000 + n})" for n in more),
                f"UPDATE t2 SET v = 'bad' WHERE n IN ({', '.join(map(str, wrong))})",
                f"DELETE FROM t2 WHERE n IN ({', '.join(map(str, more))})",
                f"INSERT INTO t2 (k, n, v) VALUES ('zz', {lost[0]}, 'extra')",
                *([f"UPDATE t1 SET {AGE} = id MOD 3 WHERE id IN ({', '.join(map(str, wrong))})"] if self.merges else []),
                *(["DELETE FROM t3 WHERE n = 2 LIMIT 2", "INSERT INTO t3 VALUES (1, 'c9')"] if self.spoils_copies else []),
            ),
        ):
            with suppress(pymysql.MySQLError):
                self.hands.run(name, sql)

    # -- the run that is struck ----------------------------------------------------------------

    def servers(self, proxies: dict[str, Proxy] | None = None) -> options.Servers:
        undoing = self.trial.operation == "undo"
        user, password = ("root", self.pair.b.root_password) if undoing else (user_of(self.trial.way, STRUCK), PASSWORD)
        source = options.SourceLogin()
        port = self.pair.b.port
        if proxies:
            port, source = proxies["b"].port, options.SourceLogin(host=Proxy.host, port=proxies["a"].port)
        target = Endpoint(self.pair.b.host, port, user=user, password=password, connect_timeout=5)
        return options.Servers(target=target, source=source, fence_timeout=10)

    def operate(self, servers: options.Servers, journal: str) -> Any:
        selection = options.Selection(databases=(self.database,))
        downstream = "refuse" if self.trial.fault.refuse else "idempotent"
        pace = options.Pace(workers=self.dice.choice([1, 2]))
        if self.trial.operation == "check":
            return checksum.run(servers, selection, pace, 3, os.path.join(self.folder, "plan"))
        if self.trial.operation == "undo":
            return undo.run(servers, journal, batch_rows=self.trial.batch_rows, undo_dir=self.undo_dir, downstream=downstream)
        return self.run_sync(servers, downstream)

    def run_sync(self, servers: options.Servers | None = None, downstream: str = "idempotent") -> Any:
        repair = replace(self.repair, downstream=downstream)
        selection = options.Selection(databases=(self.database,))
        return sync.run(servers or self.servers(), selection, options.Pace(), repair, 3, True)

    def struck_run(self, place: Field, journal: str) -> tuple[bool, Any]:
        """The fault strikes; returns whether it did, and the report or the error."""
        trial = self.trial
        servers = self.servers(place.proxies if trial.fault.network else None)
        if trial.fault.before:
            trial.fault.before(place)
        if trial.fault.process:
            return self.in_a_process(place, servers, journal)
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(self.operate(servers, journal))
            except Exception as error:  # judged by typed()
                outcome.append(error)

        strike = Trigger(trial.at, lambda: trial.fault.strike(place), trial.fault.beside)
        with self.noting_the_last_look(), strike as trigger:
            worker = threading.Thread(target=work, daemon=True)
            worker.start()
            worker.join(_PATIENCE)
            self.hold(outcome, "a run ends")
        return trigger.struck, outcome[0]

    @contextmanager
    def noting_the_last_look(self) -> Iterator[None]:
        """When the run looks for the last time whether a replica has come."""
        look = Newcomers.at_the_end

        def noted(newcomers: Newcomers) -> tuple[str, ...]:
            self.looked = time.monotonic()
            return look(newcomers)

        Newcomers.at_the_end = noted  # type: ignore[method-assign,assignment]
        try:
            yield
        finally:
            Newcomers.at_the_end = look  # type: ignore[method-assign]

    def unseen(self, place: Field) -> Server | None:
        """A replica that came when the run had looked for the last time, or not at all while it went on."""
        return place.away if place.came is None or self.looked is None or place.came > self.looked else None

    def in_a_process(self, place: Field, servers: options.Servers, journal: str) -> tuple[bool, Any]:
        result = os.path.join(self.folder, "result")
        self.hands.drop()
        child = os.fork()
        if not child:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            fault = self.trial.fault
            with suppress(BaseException), Trigger(self.trial.at, lambda: fault.strike(place), fault.beside):
                self.operate(servers, journal)
                with open(result, "wb") as file:
                    pickle.dump("done", file)
            os._exit(0)
        deadline = time.monotonic() + _PATIENCE
        while os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                raise Broken("a run ends")
            time.sleep(0.01)
        struck = not os.path.exists(result)
        if struck and self.trial.fault.host:
            self.pair.b.kill()
        return struck, None

    def revive(self) -> None:
        """Whatever the fault left: servers run, links are started."""
        for server in self.pair.servers.values():
            server.resume()
            server.start()
        for server in self.pair.servers.values():
            for _attempt in range(20):
                with suppress(pymysql.MySQLError, SandboxError):
                    status = server.replica_status()
                    if status.get("Replica_SQL_Running") != "Yes" or status.get("Replica_IO_Running") == "No":
                        server.start_replica()
                    break
                time.sleep(0.2)

    # -- what must hold ------------------------------------------------------------------------

    def typed(self, outcome: Any) -> None:
        """An error is one of the documented kinds, and says something; a report's problems too."""
        if isinstance(outcome, errors.ReplError):
            self.hold(outcome.code in documented_codes(), f"an error has a documented code: {outcome.code}", outcome)
            self.hold(outcome.message, "an error says why")
            return
        if isinstance(outcome, Exception):
            raise outcome
        for table in getattr(outcome, "tables", ()):
            if table.status in ("error", "undecided", "skipped"):
                self.hold(table.reason in documented_codes(), f"a table's problem has a documented code: {table.reason}", table)
                self.tally.refused[table.reason] += 1

    def judge(self, place: Field, a0: Image, b0: Image) -> Any:
        """Returns the report of the next run, None where there was none."""
        a1, b1 = self.images()
        if self.merges:
            for name in a1.keys() & a0.keys() if not place.notes else ():
                strange = Counter(a1[name]) - Counter(a0[name]) - Counter(b0[name])
                self.hold(not strange or name == "breaker", f"{name}: the source has rows of one of the two sides only", strange)
        elif not self.trial.fault.changes:
            self.hold(a1 == a0, "the source is byte-identical after a fault")
        else:
            self.hold(a1.get("t2") == a0["t2"] or place.notes, "the source's other tables are as they were")
        for name in a1.keys() & b1.keys() & b0.keys() if not place.notes else ():
            strange = Counter(b1[name]) - Counter(b0[name]) - Counter(a0[name])
            self.hold(not strange or name == "breaker", f"{name}: the target has rows of one of the two sides only", strange)
            if self.trial.operation == "check" and name != "breaker":
                self.hold(b1[name] == b0[name], "a check leaves the target as it is")
        journals = sorted(glob.glob(os.path.join(self.undo_dir, "sync-*")))
        if not place.notes and not self.trial.fault.changes and journals and self.may_put_back and self.dice.random() < 0.3:
            self.put_back(journals[0], b0, b1)
            return None
        again = self.run_sync()
        self.pair.wait()
        a2, b2 = self.images()
        if not self.merges:
            self.hold(a2 == a1, "the source is byte-identical after the next run")
        elif not place.notes and not self.trial.fault.changes:
            for name, key in (("t1", [0]), ("t2", [0, 1])):
                want = merge.wanted_of(a0[name], b0[name], key, -1, self.repair)
                self.hold(Counter(a2[name]) == Counter(want.a.values()), f"{name}: the next run ends the merge")
        self.hold(a2 == b2, "the next run converges", [table for table in again.tables if table.status != "identical"])
        self.hold(not again.failed, "the next run has no problem", again.message)
        for name in self.stage.below:
            replica = self.hands.image(name, self.database)
            self.hold(self.merges or replica == a2, f"{name}, below, is equal", partial(difference, a2, replica))
        return again

    @property
    def may_put_back(self) -> bool:
        return self.trial.way == PLAIN and not self.stage.below

    def put_back(self, journal: str, b0: Image, b1: Image) -> None:
        """The journal of a run that was struck is enough to undo whatever it did."""
        servers = options.Servers(
            target=Endpoint(self.pair.b.host, self.pair.b.port, user="root", password=self.pair.b.root_password)
        )
        try:
            undo.run(servers, journal, undo_dir=self.undo_dir)
        except errors.Refusal as refusal:  # killed before it had a header: then nothing was changed
            self.hold(refusal.code == "journal_unreadable" and b1 == b0, "what was changed is in the journal", refusal)
        self.pair.wait()
        _a2, b2 = self.images()
        for name in ("t1", "t2"):
            self.hold(
                b2[name] == b0[name], f"{name}: the journal of a struck run undoes it", Counter(b0[name]) - Counter(b2[name])
            )

    def undo_again(self, journal: str, a0: Image, b0: Image, before: tuple[Image, Image]) -> Any:
        """Returns the report of the next undo, None where there was none."""
        a1, b1 = self.images()
        if self.trial.fault.changes and not self.trial.fault.below:
            return None
        for name in ("t1", "t2"):
            strange = Counter(a1[name]) - Counter(a0[name]) - Counter(b0[name])
            self.hold(not strange, f"{name}: the source has rows of one of the two states only", strange)
        self.hold(a1 == b1, "both sides are equal after an undo that was struck")
        again = undo.run(self.servers(), journal, undo_dir=self.undo_dir, downstream="idempotent")
        self.pair.wait()
        a2, b2 = self.images()
        below = {name: self.hands.image(name, self.database) for name in self.stage.below}
        for name in ("t1", "t2"):
            self.hold(a2[name] == b2[name] == b0[name], f"{name}: the next undo ends what was begun")
            for replica, image in below.items():
                wrong = partial(difference, {name: a2[name]}, {name: image[name]})
                self.hold(image[name] == a2[name], f"{replica}, below, follows an undo", wrong)
        return again
