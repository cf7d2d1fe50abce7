# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.common.validation import check_type_list

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import (
    Pace,
    Repair,
    Selection,
    SourceLogin,
)

pytest.importorskip("pymysql")

ALL: arguments.Spec = {
    **arguments.connection_spec(),
    **arguments.selection_spec(),
    **arguments.ignore_columns_spec(),
    **arguments.pace_spec(),
    **arguments.sample_spec(),
    **arguments.limits_spec(),
    **arguments.policy_spec(),
    "downstream": {"type": "str", "default": "refuse"},
    "method": {"type": "str", "default": "auto"},
    "allow_triggers": {"type": "bool", "default": False},
}


def params(**given: t.Any) -> dict[str, t.Any]:
    """Give parameters as Ansible hands them over: defaults filled in, paths expanded."""
    source_spec = ALL["source"]["options"]
    source = {**dict.fromkeys(source_spec), **given.pop("source", {})}
    defaults = {name: spec.get("default") for name, spec in ALL.items()}
    found = {**defaults, "config_file": "", **given, "source": source}
    paths = [name for name, spec in ALL.items() if spec["type"] == "path" and found[name]]
    return {**found, **{name: os.path.expanduser(found[name]) for name in paths}}


@pytest.fixture
def option_file(tmp_path: Path) -> Path:
    """An option file such as people have."""
    path = tmp_path / "my.cnf"
    path.write_text(
        "!includedir /etc/mysql/conf.d/\n"
        "[mysqld]\nport = 1\n"
        "[client]\nuser = 'from file'\npassword=\"p#ss=%word\"\nhost = db9\nport = 3309\n"
        "socket =\nssl_ca = /tls/ca.pem\nuser = last\nskip-reconnect\n",
        encoding="utf-8",
    )
    return path


def test_defaults() -> None:
    servers = arguments.servers(params())
    assert (servers.target.host, servers.target.port) == ("localhost", 3306)
    assert servers.target.unix_socket is None
    assert servers.target.connect_timeout == 30
    assert servers.source == SourceLogin()
    assert servers.channel is None
    assert arguments.selection(params()) == Selection()
    assert arguments.pace(params()) == Pace()
    undo_dir = os.path.expanduser("~/.mysql_repl/undo")
    assert arguments.repair(params()) == Repair(undo_dir=undo_dir)
    assert arguments.sample_rows(params()) == 10


def test_the_nameless_channel_is_named_as_sql_does() -> None:
    given = {"": None, "''": "", '""': "", "east": "east"}
    assert {text: arguments.servers(params(channel=text)).channel for text in given} == given


def test_option_file(option_file: Path) -> None:
    target = arguments.servers(params(config_file=str(option_file))).target
    assert (target.host, target.port) == ("db9", 3309)
    assert (target.user, target.password) == ("last", "p#ss=%word")
    assert target.ca_cert == "/tls/ca.pem"


def test_typed_options_beat_the_file(option_file: Path) -> None:
    typed = {"login_user": "me", "login_password": "mine", "login_host": "db2", "login_port": 3310}
    target = arguments.servers(params(config_file=str(option_file), **typed)).target
    assert (target.user, target.password, target.host, target.port) == ("me", "mine", "db2", 3310)


def test_socket_beats_host_but_not_a_typed_one(tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("[client]\nhost=db9\nsocket=/run/my.sock\n", encoding="utf-8")
    given = {"config_file": str(path)}
    assert arguments.servers(params(**given)).target.unix_socket == "/run/my.sock"
    assert arguments.servers(params(login_host="db2", **given)).target.unix_socket is None
    assert arguments.servers(params(login_port=3307, **given)).target.unix_socket is None
    both = arguments.servers(params(login_host="db2", login_unix_socket="/run/other.sock")).target
    assert both.unix_socket == "/run/other.sock"


def test_source_has_a_login_of_its_own(option_file: Path) -> None:
    given = {"login_host": "db1", "config_file": str(option_file), "connect_timeout": 5}
    source = arguments.servers(params(login_host="db2", source=given)).source
    assert (source.host, source.port, source.user) == ("db1", 3309, "last")
    assert source.connect_timeout == 5
    assert source.is_named


def test_target_s_option_file_is_not_the_source_s_address(option_file: Path) -> None:
    servers = arguments.servers(params(config_file=str(option_file)))
    assert servers.source == SourceLogin()


def test_default_option_file_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert arguments.servers(params(config_file="~/.my.cnf")).target.user is None


@pytest.mark.parametrize(
    "given",
    [{"config_file": "/nowhere/my.cnf"}, {"source": {"config_file": "/nowhere/my.cnf"}}],
)
def test_named_option_file_must_exist(given: dict[str, t.Any]) -> None:
    with pytest.raises(UsageError) as caught:
        arguments.servers(params(**given))
    assert caught.value.option == ("source." if "source" in given else "") + "config_file"


def test_broken_option_file_does_not_show_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("password=swordfish\n", encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        arguments.servers(params(config_file=str(path)))
    assert "swordfish" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("login_port", {"login_port": 0}),
        ("login_port", {"login_port": 65536}),
        ("source.login_port", {"source": {"login_port": -1}}),
        ("connect_timeout", {"connect_timeout": 0}),
        ("fence_timeout", {"fence_timeout": 0.5}),
        ("fence_timeout", {"fence_timeout": float("inf")}),
        ("fence_timeout", {"fence_timeout": float("nan")}),
        ("workers", {"workers": 0}),
        ("workers", {"workers": 65}),
        ("chunk_time", {"chunk_time": 0.0}),
        ("max_changes", {"max_changes": -1}),
        ("max_deletes", {"max_deletes": -1}),
        ("batch_rows", {"batch_rows": 0}),
        ("sample_rows", {"sample_rows": -1}),
        ("undo_dir", {"undo_dir": "relative/path"}),
        ("undo_dir", {"undo_dir": ""}),
        ("tables", {"tables": ["film"]}),
        ("tables", {"tables": [".film"]}),
        ("ignore_tables", {"ignore_tables": ["sakila."]}),
    ],
)
def test_what_cannot_be_used_is_named(option: str, given: dict[str, t.Any]) -> None:
    with pytest.raises(UsageError) as caught:
        read_all(params(**given))
    assert caught.value.option == option


def read_all(values: dict[str, t.Any]) -> None:
    """Turn every parameter into an engine option."""
    arguments.servers(values)
    arguments.selection(values)
    arguments.pace(values)
    arguments.repair(values)
    arguments.sample_rows(values)


def test_empty_names_are_unset_and_lines_may_end_in_space() -> None:
    given = params(databases=["", " "], tables=["shop.a\r", "shop. b"], where="  ")
    assert arguments.selection(given) == Selection(tables=("shop.a", "shop. b"))


def test_a_list_may_be_text_of_lines_and_commas() -> None:
    text = check_type_list("shop.a\n  shop.b\r\n\nshop.c, shop.d,\n")
    assert arguments.selection(params(tables=text)) == Selection(tables=("shop.a", "shop.b", "shop.c", "shop.d"))
    names = ["shop.a,b", "sh?p.*"]
    assert arguments.selection(params(tables=names)) == Selection(tables=tuple(names))


def test_undo_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="undo_file"):
        arguments.undo_file({"undo_file": str(tmp_path / "nothing")})
    assert arguments.undo_file({"undo_file": __file__}) == __file__


def test_every_password_is_no_log_with_a_fallback() -> None:
    spec = arguments.connection_spec()
    for login in (spec, spec["source"]["options"]):
        assert login["login_password"]["no_log"] is True
    assert spec["login_password"]["fallback"][1] == ["MYSQL_REPL_LOGIN_PASSWORD"]
    variables = spec["source"]["options"]["login_password"]["fallback"][1]
    assert variables == ["MYSQL_REPL_SOURCE_LOGIN_PASSWORD"]
