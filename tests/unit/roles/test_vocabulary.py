# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One vocabulary: each option of a module is a variable of its role, and said wherever a user looks for it."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

import pytest
import yaml

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.modules import (
    mysql_repl_checksum,
    mysql_repl_sync,
    mysql_repl_undo,
)

pytest.importorskip("pymysql")

ROLES = Path(arguments.__file__).parents[2] / "roles"
OF_ROLE = {"check": mysql_repl_checksum, "sync": mysql_repl_sync, "undo": mysql_repl_undo}
CONNECTION = arguments.connection_spec()

Spec = dict[str, dict[str, t.Any]]


@pytest.fixture(params=sorted(OF_ROLE))
def role(request: pytest.FixtureRequest) -> str:
    """A role that runs a module."""
    return str(request.param)


@pytest.fixture
def spec(role: str, monkeypatch: pytest.MonkeyPatch) -> Spec:
    """The argument spec of a role's module, as the module gives it to Ansible, without the connection."""
    given: Spec = {}

    class Caught(Exception):
        pass

    def catch(argument_spec: Spec, **_more: t.Any) -> None:
        given.update(argument_spec)
        raise Caught

    monkeypatch.setattr(OF_ROLE[role], "AnsibleModule", catch)
    with pytest.raises(Caught):
        OF_ROLE[role].main()
    return {name: option for name, option in given.items() if name not in CONNECTION and not name.startswith("_")}


def read(role: str, name: str) -> t.Any:
    """A YAML file of a role."""
    return yaml.safe_load((ROLES / role / name).read_text(encoding="utf-8"))


def options_of(role: str) -> Spec:
    """What the role's argument spec says of each variable."""
    return t.cast(Spec, read(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"])


def variables_in(readme: Path) -> set[str]:
    """Variables that a README names."""
    return set(re.findall(r"`(mysql_repl_\w+)`", readme.read_text(encoding="utf-8")))


def test_each_option_of_the_module_is_handed_on(role: str, spec: Spec) -> None:
    assert sorted(read(role, "vars/main.yml")["__mysql_repl_options"]) == sorted(spec)


def test_each_option_has_a_variable_with_its_default(role: str, spec: Spec) -> None:
    defaults, options = read(role, "defaults/main.yml"), options_of(role)
    for name, option in spec.items():
        variable = f"mysql_repl_{name}"
        assert variable in options, f"roles/{role}/meta/argument_specs.yml lacks {variable}"
        if option.get("required"):
            assert options[variable]["required"] is True
            continue
        assert variable in defaults, f"roles/{role}/defaults/main.yml lacks {variable}"
        wanted = "" if option.get("default") is None else option["default"]
        assert defaults[variable] == options[variable]["default"] == wanted, variable
        if "choices" in option:
            assert options[variable]["choices"] == ["", *option["choices"]], variable


def test_an_empty_value_passes_for_each_variable(role: str) -> None:
    for name in ("authority", role):
        for variable, option in options_of(name).items():
            assert option["type"] in ("raw", "str") or option.get("required"), f"roles/{name}: {variable}"
            assert "" in option.get("choices", [""]), f"roles/{name}: {variable}"


def test_defaults_specs_and_readme_name_the_same_variables() -> None:
    for folder in sorted(ROLES.iterdir()):
        defaults = read(folder.name, "defaults/main.yml")
        options = options_of(folder.name)
        required = {name for name, option in options.items() if option.get("required")}
        assert set(options) - required == set(defaults), folder.name
        said = variables_in(folder / "README.md")
        assert set(options) - said == set(), f"roles/{folder.name}/README.md lacks some"


def test_the_connection_is_that_of_the_role_authority() -> None:
    variables = {f"mysql_repl_{name}" for name in CONNECTION}
    assert variables <= set(options_of("authority"))
    assert variables <= set(read("authority", "defaults/main.yml"))


def test_roles_that_run_a_module_decide_the_authority_first(role: str) -> None:
    assert read(role, "meta/main.yml")["dependencies"] == [{"role": "comaster.mysql_repl.authority"}]


def test_nothing_is_included_in_mid_run() -> None:
    """Tags of a role reach what is imported; what is included would be left out by --tags, without a word."""
    for path in ROLES.rglob("tasks/*.yml"):
        assert "include_" not in path.read_text(encoding="utf-8"), path
