# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""examples/awx/controller/apply.yml against the argument specs of awx.awx.

There is no AWX here. awx_modules.json has what the modules of that collection say they take (their argument_spec as it is
when they run, read from version 24.6.1); modules that take just that and return it stand in for them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
CONTROLLER = CHECKOUT / "examples" / "awx" / "controller"
RECORDED = json.loads((Path(__file__).parent / "awx_modules.json").read_text("utf-8"))["modules"]

# What a module of awx.awx does before it asks AWX anything.
STAND_IN = """\
#!/usr/bin/python
import json
from ansible.module_utils.basic import AnsibleModule
said = json.loads({said!r})
module = AnsibleModule(argument_spec=said.pop("spec"), **said)
given = {{name: value for name, value in module.params.items() if value is not None}}
with open({log!r}, "a") as log:
    log.write(json.dumps([{name!r}, given]) + "\\n")
module.exit_json(changed=True)
"""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, dict[str, Any]]]:
    """What apply.yml asks AWX to make, in its order."""
    folder = tmp_path_factory.mktemp("awx")
    log = folder / "asked"
    modules = folder / "ansible_collections" / "awx" / "awx" / "plugins" / "modules"
    modules.mkdir(parents=True)
    for name, said in RECORDED.items():
        text = STAND_IN.format(said=json.dumps(said), log=str(log), name=name)
        (modules / f"{name}.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ansible-playbook"),
            str(CONTROLLER / "apply.yml"),
            "-e",
            '{"vault_mysql_repl_password": "correct-horse-battery"}',
        ],
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(folder),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "LC_ALL": "C.UTF-8",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout, done.stdout
    assert "correct-horse" not in done.stdout
    return [tuple(json.loads(line)) for line in log.read_text("utf-8").splitlines()]


def test_every_object_is_made_after_those_that_it_names(asked: list[tuple[str, dict[str, Any]]]) -> None:
    assert [name for name, _given in asked] == [
        "credential_type", "credential", "execution_environment", "project", "inventory", "inventory_source",
        *["job_template"] * 5, "workflow_job_template",
    ]  # fmt: skip
    made: dict[str, set[str]] = {}
    # Made by hand, docs/awx.md says so.
    made["credential"] = {"Database hosts"}
    for kind, given in asked:
        named = {
            "credential_type": [given.get("credential_type")],
            "execution_environment": [given.get("execution_environment"), given.get("default_environment")],
            "project": [given.get("project"), given.get("source_project")],
            "inventory": [given.get("inventory")],
            "credential": given.get("credentials", []),
        }
        for what, names in named.items():
            assert {name for name in names if name} <= made.get(what, set()), (kind, given["name"])
        made.setdefault(kind, set()).add(given["name"])


def test_what_awx_fills_in_by_itself_reaches_it_unfilled(asked: list[tuple[str, dict[str, Any]]]) -> None:
    given = dict(asked[:1])["credential_type"]
    assert given["injectors"]["env"]["MYSQL_REPL_LOGIN_PASSWORD"] == "{{ password }}"
    assert given["injectors"]["extra_vars"]["mysql_repl_login_user"] == "{{ user }}"
    given = dict(asked[1:2])["credential"]
    assert given["inputs"]["password"] == "correct-horse-battery"


def test_templates_that_ask_something_have_a_survey(asked: list[tuple[str, dict[str, Any]]]) -> None:
    templates = {given["name"]: given for kind, given in asked if kind == "job_template"}
    assert {name for name, given in templates.items() if given.get("survey_enabled")} == {
        "MySQL check", "MySQL repair", "MySQL undo",
    }  # fmt: skip
    for given in templates.values():
        assert given["job_slice_count"] == 1
        for question in given.get("survey_spec", {}).get("spec", ()):
            # What AWX itself asks of a question (awx/main/models, SurveyJobTemplateMixin).
            assert {"variable", "question_name", "type", "required", "default"} <= set(question)
            assert question["type"] in ("text", "textarea", "password", "integer", "float", "multiplechoice", "multiselect")
            assert question["type"] != "multiplechoice" or question["default"] in question["choices"]
    assert templates["MySQL notify"]["credentials"] == []


def test_nothing_of_the_objects_is_left_out(asked: list[tuple[str, dict[str, Any]]]) -> None:
    objects = yaml.safe_load((CONTROLLER / "objects.yml").read_text("utf-8"))
    wanted: list[set[str]] = [set(objects[name]) for name in ("credential_type", "credential", "execution_environment")]
    wanted += [set(objects[name]) for name in ("project", "inventory", "inventory_source")]
    wanted += [{*objects["job_template_defaults"], *template} for template in objects["job_templates"]]
    wanted.append(set(objects["workflow"]))
    for (kind, given), names in zip(asked, wanted, strict=True):
        assert names <= set(given), kind
