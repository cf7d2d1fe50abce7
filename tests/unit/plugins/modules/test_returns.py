# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules say they return is what the engine reports, and what several of them return is described in the same words.

Documentation fragments of Ansible do not share return values, so the texts stand in each module.
"""

from __future__ import annotations

import ast
import dataclasses
import typing as t
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import hazards, report, takeback
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import undo

yaml = pytest.importorskip("yaml")
pytest.importorskip("pymysql")

Values = dict[str, t.Any]
MODULES = Path(__file__).resolve().parents[4] / "plugins" / "modules"
#: Everything that is returned also where nothing was reported: what kept the module from its work.
OF_REFUSALS = {"code", "remedy", "option"}
#: Said by Ansible in its own way, for all modules.
OF_ANSIBLE = {"changed", "failed", "message"}
#: Where modules mean different things by one name, on purpose.
DIFFERENT = {
    ("checksum", "sync"): {"in_sync", "tables", "tables.positions"},
    ("sync", "undo"): {
        "changes", "changes.inserted", "changes.updated", "changes.deleted", "changes.adopted", "changes.skipped",
        "undo_file", "verified", "diff", "diff.before_header", "diff.after_header", "diff.before", "diff.after",
    },
    ("checksum", "undo"): set(),
}  # fmt: skip


def returns(name: str) -> Values:
    """The return values that a module documents."""
    body = ast.parse((MODULES / f"mysql_repl_{name}.py").read_text("utf-8")).body
    (text,) = [
        node.value.value
        for node in body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "RETURN"
        if isinstance(node.value, ast.Constant)
    ]
    return t.cast("Values", yaml.safe_load(str(text)))


def flat(values: Values, prefix: str = "") -> Values:
    """By full names: tables.sample.key."""
    found: Values = {}
    for name, said in values.items():
        found[f"{prefix}{name}"] = {key: value for key, value in said.items() if key != "contains"}
        found.update(flat(said.get("contains", {}), f"{prefix}{name}."))
    return found


def fields(kind: t.Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("pair", DIFFERENT, ids="-".join)
def test_what_two_modules_return_is_described_in_the_same_words(pair: tuple[str, str]) -> None:
    first, second = (flat(returns(name)) for name in pair)
    shared = set(first) & set(second)
    assert len(shared) >= len(OF_REFUSALS)
    assert {name for name in shared if first[name] != second[name]} == DIFFERENT[pair]


def test_what_a_check_returns_a_repair_returns_too() -> None:
    assert set(flat(returns("checksum"))) <= set(flat(returns("sync")))


@pytest.mark.parametrize(
    ("module", "kind"), [("checksum", report.ChecksumReport), ("sync", report.SyncReport), ("undo", undo.UndoReport)]
)
def test_what_is_reported_is_documented_and_nothing_else(module: str, kind: t.Any) -> None:
    documented = returns(module)
    assert set(documented) == (fields(kind) | OF_REFUSALS) - OF_ANSIBLE
    shapes = {
        "tables": report.TableReport,
        "summary": report.Summary,
        "source": report.ServerReport,
        "target": report.ServerReport,
        "hazards": hazards.Hazard,
        "changes": report.Changes,
        "diff": report.DiffBlock,
    }
    for name, shape in shapes.items():
        if name in documented:
            assert set(documented[name]["contains"]) == fields(shape), name
    if "tables" in documented:
        inside = documented["tables"]["contains"]
        assert set(inside["sample"]["contains"]) == fields(report.SampleRow)
        assert set(inside["positions"]["contains"]) == fields(report.Position)
    if "refused" in documented:
        assert set(documented["refused"]["contains"]) == fields(takeback.RefusedRow)


@pytest.mark.parametrize("module", ["checksum", "sync"])
def test_samples_have_what_is_documented(module: str) -> None:
    documented = returns(module)
    (table,) = documented["tables"]["sample"]
    assert set(table) == fields(report.TableReport)
    assert set(documented["summary"]["sample"]) == fields(report.Summary)
    assert set(documented["source"]["sample"]) == fields(report.ServerReport)
