# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our engine as a contender: each run in a fresh Python process that measures itself.

Seconds are those of the operation, from before its first connection to its verdict; Python's and
Ansible's own start are told apart (see ansible_start).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options, progress
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import (
    checksum,
    sync,
    undo,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import Topology

from . import CHECKOUT, LINK
from .measure import ContenderFailed, peak_memory


@dataclass(frozen=True)
class Job:
    """One operation on a pair, as plain values. *repair* are fields of options.Repair.

    *plan_file*: what a check writes and a sync applies; the journal that an undo replays.
    """

    operation: str  # checksum | plan | sync | undo
    host: str
    port: int
    password: str
    database: str
    repair: dict[str, object] = field(default_factory=dict)
    plan_file: str = ""


@dataclass(frozen=True)
class Outcome:
    """What an operation found, took and held."""

    seconds: float
    memory: float  # peak resident MiB of the process
    rows: int
    differences: int
    changes: int
    problems: str
    repairing: float = 0.0  # seconds of it from the finished plan to the end


def job(pair: Topology, operation: str, database: str, **repair: object) -> Job:
    """An operation on one database of the pair, `b` being the target."""
    return Job(operation, pair.b.host, pair.b.port, pair.b.root_password, database, repair)


def run(wanted: Job) -> Outcome:
    """Run a job in a Python process of its own. Raises ContenderFailed."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.ours"],
        input=json.dumps(asdict(wanted)),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ContenderFailed(f"{wanted.operation}: {done.stderr[-2000:]}")
    outcome = Outcome(**json.loads(done.stdout))
    if outcome.problems:
        raise ContenderFailed(f"{wanted.operation}: {outcome.problems}")
    return outcome


def ansible_start(wanted: Job) -> float:
    """Seconds that `ansible -m mysql_repl_checksum` takes beyond the operation it runs."""
    arguments = (
        f"login_host={wanted.host} login_port={wanted.port} login_user=root"
        f" login_password={wanted.password} databases={wanted.database}"
    )
    command = [
        *[sys.executable, "-m", "ansible", "adhoc", "localhost", "-c", "local"],
        *["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}"],
        *["-m", "comaster.mysql_repl.mysql_repl_checksum", "-a", arguments],
    ]
    home = CHECKOUT / ".cache" / "ansible"
    settings = {
        "ANSIBLE_COLLECTIONS_PATH": str(LINK),
        "ANSIBLE_HOME": str(home),
        "LC_ALL": "C.UTF-8",
    }
    started = time.monotonic()
    done = subprocess.run(
        command,
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - started
    inside = re.search(r'"summary": \{[^}]*"seconds": ([\d.]+)', done.stdout)
    if done.returncode or not inside:
        raise ContenderFailed(f"ansible: {done.stdout[-2000:]}")
    return seconds - float(inside.group(1))


def _main() -> None:
    wanted = Job(**json.load(sys.stdin))
    login = Endpoint(host=wanted.host, port=wanted.port, user="root", password=wanted.password)
    servers = options.Servers(target=login)
    selection = options.Selection(databases=(wanted.database,))
    pace = options.Pace()
    planned: list[float] = []

    def listen(now: progress.Progress) -> None:
        if now.stage == progress.REPAIR and not planned:
            planned.append(time.monotonic())

    started = time.monotonic()
    if wanted.operation == "undo":
        undone = undo.run(servers, wanted.plan_file, **wanted.repair)  # type: ignore[arg-type]
        seconds, total = time.monotonic() - started, undone.changes.total
        outcome = Outcome(seconds, peak_memory(), total, total, total, undone.message or "")
        json.dump(asdict(outcome), sys.stdout)
        return
    if wanted.operation == "checksum":
        checked = checksum.run(servers, selection, pace, sample_rows=10, plan_file=wanted.plan_file)
        seconds, changes, tables, summary = (
            time.monotonic() - started,
            0,
            checked.tables,
            checked.summary,
        )
        failed = ""
    else:
        repair = options.Repair(**wanted.repair)  # type: ignore[arg-type]
        apply = wanted.operation == "sync"
        synced = sync.run(servers, selection, pace, repair, 10, apply, wanted.plan_file, listen)
        seconds, tables, summary = time.monotonic() - started, synced.tables, synced.summary
        changes, failed = synced.changes.total, synced.message or "" if synced.failed else ""
    problems = [f"{table.name}: {table.status} {table.message}" for table in tables if table.message]
    outcome = Outcome(
        seconds=seconds,
        memory=peak_memory(),
        rows=summary.rows,
        differences=summary.missing + summary.extra + summary.different,
        changes=changes,
        problems=failed or "; ".join(problems[:3]),
        repairing=started + seconds - planned[0] if planned else 0.0,
    )
    json.dump(asdict(outcome), sys.stdout)


if __name__ == "__main__":
    _main()
