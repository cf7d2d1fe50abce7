# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The house keeps its order: no Ansible in the engine, no circle, no room too large, one version."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _engine

ENGINE = Path(_engine.__file__).parent
ROOMS = sorted(path.relative_to(ENGINE) for path in ENGINE.rglob("*.py") if path.name != "__init__.py")


def name_of(room: Path) -> str:
    """A room's name: confirm, operations.sync."""
    return ".".join(room.with_suffix("").parts)


def imports(room: Path) -> set[str]:
    """Names of the rooms that a room imports, also those for type checking."""
    package = room.parent.parts
    found = set()
    for node in ast.walk(ast.parse((ENGINE / room).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            found |= {module} if node.module else {".".join([*base, alias.name]) for alias in node.names}
            if node.level == 0:
                assert node.module is not None
                found.add(node.module)
    return found


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_no_room_knows_of_ansible(room):
    assert not [name for name in imports(room) if name.split(".")[0].startswith("ansible")]


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_no_room_is_too_large(room):
    assert len((ENGINE / room).read_text(encoding="utf-8").splitlines()) <= 400


def test_rooms_import_in_one_direction_only():
    graph = {name_of(room): imports(room) for room in ROOMS}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, needs in graph.items() if name not in done and not (needs & graph.keys()) - done}
        assert free, f"a circle among {sorted(graph.keys() - done)}"
        done |= free


def test_operations_are_imported_by_no_other_room():
    for room in ROOMS:
        if room.parts[0] != "operations":
            assert not [name for name in imports(room) if name.startswith("operations")], room


def root() -> Path:
    """The collection's."""
    found = next((path for path in ENGINE.parents if (path / "galaxy.yml").exists()), None)
    if found is None:
        pytest.skip("installed without galaxy.yml")
    return found


def test_every_room_has_its_place_on_the_map():
    plan = (root() / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert [room.stem for room in ROOMS if not re.search(rf"[`/]{room.stem}`", plan)] == []


def test_the_engine_and_the_collection_have_one_version():
    assert f"version: {_engine.__version__}" in (root() / "galaxy.yml").read_text(encoding="utf-8").splitlines()
