# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tags select a role as a whole: no way to repair without what decides the authority before, or looks at the links."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"


def listed(folder: Path, how: str, role: str, *arguments: str) -> list[str]:
    """The tasks that would run of a play with that role, tagged ``mine``, and a task beside it."""
    imported = {"ansible.builtin.import_role": {"name": f"comaster.mysql_repl.{role}"}, "tags": ["mine"]}
    beside = {"name": "Beside", "ansible.builtin.debug": {"msg": "x"}, "tags": ["other"]}
    play: dict[str, object] = {"hosts": "localhost", "gather_facts": False, "tasks": [beside]}
    if how == "roles":
        play["roles"] = [{"role": f"comaster.mysql_repl.{role}", "tags": ["mine"]}]
    else:
        play["tasks"] = [imported, beside]
    (folder / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), "play.yml", "-i", "localhost,", "--list-tasks", *arguments],
        cwd=folder,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    tasks = re.findall(r"^ {6}(.+?)\s*TAGS: \[", done.stdout, re.MULTILINE)
    # Ansible's own check of arguments runs always and does nothing else.
    return [task.rpartition(" : ")[2] for task in tasks if "Validating arguments" not in task]


def named(path: Path) -> set[str]:
    """The names of all tasks in a file."""
    return set(re.findall(r"^\s*- name: (.+)$", path.read_text("utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("role", "how"), [("check", "import_role"), ("sync", "roles"), ("undo", "import_role")])
def test_a_tag_takes_the_whole_role_or_nothing_of_it(tmp_path: Path, role: str, how: str) -> None:
    every = listed(tmp_path, how, role)
    authority = named(ROLES / "authority" / "tasks" / "main.yml")
    assert len(authority & set(every)) >= 5
    assert "Stop where the authority would be a guess" in every
    assert listed(tmp_path, how, role, "--tags", "mine") == [task for task in every if task != "Beside"]
    assert listed(tmp_path, how, role, "--tags", "other") == ["Beside"]
    assert listed(tmp_path, how, role, "--skip-tags", "mine") == ["Beside"]
