# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Results to make reports of: small and large, well and ill, harmless and hostile."""

from __future__ import annotations

import random
import typing as t
from pathlib import Path

from ansible_collections.comaster.mysql_repl.plugins.filter.mysql_repl_report import mysql_repl_report
from ansible_collections.comaster.mysql_repl.plugins.module_utils import _bounds as bounds
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import report

Result = dict[str, t.Any]

TEMPLATES = Path(report.__file__).parents[3] / "roles" / "report" / "templates"
SERVERS = {
    role: {"host": f"10.0.4.{number}", "port": 3306, "server_id": number, "version": "9.7.0", "flavor": "mysql"}
    for number, role in enumerate(("source", "target"), 1)
}
LINKS = {
    "forward": {"io_running": True, "sql_running": True, "lag": 0},
    "reverse": {"io_running": True, "sql_running": True, "lag": 3},
}


def table(name: str, status: str = "identical", rows: int = 1000, **more: t.Any) -> Result:
    """A table's report, with every key that the module returns."""
    keys = {"reason": None, "message": None, "missing": 0, "extra": 0, "different": 0, "sample": [], "positions": []}
    database, _dot, name = name.partition(".")
    return {"database": database, "table": name, "status": status, "rows": rows, **keys, "chunks": 1, "seconds": 0.02, **more}


def different(number: int, source: t.Any, target: t.Any, column: str = "rate") -> Result:
    """A sample row that both have."""
    sides = {"source": {column: source}, "target": {column: target}}
    return {"kind": "different", "key": {"id": number}, "columns": [column], **sides, "copies": None}


def drifted(name: str = "sakila.film", value: str = "2.99") -> Result:
    """A table with a row of each kind."""
    rows = [
        {"kind": "missing", "key": {"id": 17}, "columns": [], "source": {"rate": value}, "target": None, "copies": None},
        {"kind": "extra", "key": {"id": 999}, "columns": [], "source": None, "target": {"rate": None}, "copies": None},
        different(42, value, "0.99"),
    ]
    places = [
        {"start": 0.016, "end": 0.017, "missing": 1, "extra": 0, "different": 0},
        {"start": 0.041, "end": 0.042, "missing": 0, "extra": 0, "different": 1},
        {"start": 0.999, "end": 1.0, "missing": 0, "extra": 1, "different": 0},
    ]
    return table(name, "drift", missing=1, extra=1, different=1, sample=rows, positions=places)


def checked(*tables: Result, **more: t.Any) -> Result:
    """What mysql_repl_checksum returns."""
    in_sync = all(each["status"] == "identical" for each in tables)
    return {
        "changed": False,
        "in_sync": in_sync,
        "tables": list(tables),
        "summary": {"seconds": 1.5},
        **SERVERS,
        "hazards": [],
        **more,
    }


def synced(*tables: Result, applied: bool = True, **more: t.Any) -> Result:
    """What mysql_repl_sync returns after a repair, or a plan of one."""
    changes = {"inserted": 1, "updated": 1, "deleted": 1, "adopted": 0, "skipped": 0}
    undo_file = "/var/lib/undo/sync-1.jsonl" if applied else None
    done = {"changed": True, "changes": changes, "statements": ["DELETE FROM `a`"], "undo_file": undo_file, "verified": applied}
    return {**checked(*tables), **done, **more}


def pair(
    result: Result | None, look: Result | None = None, name: str = "", source: str = "db1", target: str = "db2"
) -> list[Result]:
    """The variables of the two hosts of a pair after a play."""
    known = {"mysql_repl_pair": name, "mysql_repl_source_host": source, "mysql_repl_target_host": target}
    return [
        {"inventory_hostname": source, **known, "__mysql_repl_result": {"changed": False, "skipped": True}},
        {"inventory_hostname": target, **known, "__mysql_repl_found": look or LINKS, "__mysql_repl_result": result or {}},
    ]


def render(hosts: t.Sequence[Result], form: str = "html", title: str = "") -> str:
    """A report as the role writes it."""
    return mysql_repl_report(hosts, form, "2026-01-02 03:04 UTC", title, str(TEMPLATES))


def fleet() -> list[Result]:
    """Pairs with a verdict each."""
    refused = {
        "failed": True,
        "msg": "The link from db7 to db8 is stopped. Repair it, then start replication.",
        "code": "stopped_link",
        "remedy": "Repair it, then start replication.",
    }
    hazard = {
        "code": "both_writable",
        "severity": "warning",
        "server": "link",
        "message": "Both take writes.",
        "remedy": "Close one.",
    }
    undecided = table("sakila.log", "undecided", reason="rows_keep_changing", message="12 rows kept changing.")
    return [
        *pair(checked(table("sakila.film")), name="a"),
        *pair(checked(drifted(), undecided, hazards=[hazard]), name="b", source="db3", target="db4"),
        *pair(synced(drifted()), name="c", source="db5", target="db6"),
        *pair(refused, name="d", source="db7", target="db8"),
        *pair(synced(drifted(), applied=False), name="e", source="db9", target="db10"),
        *pair(None, name="f", source="db11", target="db12"),
    ]


def large() -> list[Result]:
    """500 tables, a fifth of them with 100 differences, all of which are shown."""
    chance = random.Random(1)
    tables = []
    for number in range(500):
        name = f"shop_{number % 7}.orders_{number:03}"
        if number % 5:
            tables.append(table(name, rows=chance.randrange(1_000_000)))
            continue
        sample = [different(row, f"value {row}", None if row % 9 == 0 else f"value {row + 1}") for row in range(100)]
        places = sorted(chance.sample(range(1000), 60))
        marks = [{"start": n / 1000, "end": (n + 1) / 1000, "missing": 0, "extra": 0, "different": 1} for n in places]
        tables.append(table(name, "drift", rows=100_000, different=100, sample=sample, positions=marks))
    return pair(checked(*tables))


def huge() -> list[Result]:
    """5,000 tables, 600 of them with 167 differences each: as much as a module returns of them."""
    tables = [table(f"shop.orders_{number:04}", rows=10_000) for number in range(5000)]
    for number in range(0, 5000, 8)[:600]:
        places = [{"start": n / 40, "end": n / 40 + 0.01, "missing": 1, "extra": 0, "different": 0} for n in range(40)]
        rows = [different(row, f"value {row}", f"value {row + 1}") for row in range(10)]
        drift = {"different": 167, "sample": rows, "positions": places}
        tables[number] = table(f"shop.orders_{number:04}", "drift", rows=10_000, **drift)
    summary = {
        "tables": 5000, "identical": 4400, "drift": 600, "undecided": 0, "skipped": 0, "errors": 0,
        "rows": 50_000_000, "missing": 0, "extra": 0, "different": 100_200, "seconds": 61.0,
    }  # fmt: skip
    result = checked(*tables, summary=summary)
    bounds.cut(result)
    return pair(result)
