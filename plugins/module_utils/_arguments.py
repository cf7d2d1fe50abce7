# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""What may be typed: the argument specs of the modules, and their way into the engine's options.

Takes the parameters of a module, gives the plain values of ``_engine.options``, validated.
Whatever cannot be used raises a UsageError that names the option as the user typed it.
"""

from __future__ import annotations

import configparser
import os
import typing as t
from dataclasses import replace

from ansible.module_utils.basic import env_fallback

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import (
    Pace,
    Repair,
    Selection,
    Servers,
    SourceLogin,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint

try:
    from pymysql.optionfile import Parser
except ImportError:  # reported by run_module(), before anything is parsed
    Parser = None  # type: ignore[assignment,misc]

# As SQL writes the empty string; empty itself means unset, as everywhere.
_NAMELESS = ("''", '""')

Params = t.Mapping[str, t.Any]
Spec = dict[str, dict[str, t.Any]]

DEFAULT_CONFIG_FILE = "~/.my.cnf"

#: Options of a login and the names that [client] of an option file has for them.
_FILE_NAMES = {
    "login_user": "user",
    "login_password": "password",
    "login_host": "host",
    "login_port": "port",
    "login_unix_socket": "socket",
    "ca_cert": "ssl-ca",
    "client_cert": "ssl-cert",
    "client_key": "ssl-key",
}


def _login_spec(password_variable: str) -> Spec:
    return {
        "login_user": {"type": "str"},
        "login_password": {
            "type": "str",
            "no_log": True,
            "fallback": (env_fallback, [password_variable]),
        },
        "login_host": {"type": "str"},
        "login_port": {"type": "int"},
        "login_unix_socket": {"type": "path"},
        "config_file": {"type": "path"},
        "connect_timeout": {"type": "int"},
        "ca_cert": {"type": "path", "aliases": ["ssl_ca"]},
        "client_cert": {"type": "path", "aliases": ["ssl_cert"]},
        "client_key": {"type": "path", "aliases": ["ssl_key"]},
        "check_hostname": {"type": "bool"},
    }


def connection_spec() -> Spec:
    """Options that say how to reach the two servers."""
    target = _login_spec("MYSQL_REPL_LOGIN_PASSWORD")
    # No default for host and port here: only so can an option file say otherwise.
    target["config_file"]["default"] = DEFAULT_CONFIG_FILE
    target["connect_timeout"]["default"] = 30
    return {
        **target,
        "source": {
            "type": "dict",
            # Without it the password's environment variable would count only beside a source.
            "apply_defaults": True,
            "options": _login_spec("MYSQL_REPL_SOURCE_LOGIN_PASSWORD"),
        },
        "channel": {"type": "str"},
    }


def selection_spec() -> Spec:
    """Options that say which tables and rows."""
    names: dict[str, t.Any] = {"type": "list", "elements": "str", "default": []}
    return {
        "databases": dict(names),
        "tables": dict(names),
        "ignore_databases": dict(names),
        "ignore_tables": dict(names),
        "where": {"type": "str"},
    }


def ignore_columns_spec() -> Spec:
    """Options of the comparison alone: a repair always carries whole rows, exactly."""
    return {
        "ignore_columns": {"type": "list", "elements": "str", "default": []},
        "float_precision": {"type": "int"},
    }


def fence_spec() -> Spec:
    """Option that says how long to wait for replication."""
    return {"fence_timeout": {"type": "float", "default": 60.0}}


def pace_spec() -> Spec:
    """Options that say how hard to work."""
    return {
        "workers": {"type": "int", "default": 1},
        "chunk_time": {"type": "float", "default": 0.5},
        **hold_spec(),
        **fence_spec(),
    }


def hold_spec() -> Spec:
    """Options that say when to hold back, and when to end."""
    return {
        "max_lag": {"type": "float"},
        "max_threads_running": {"type": "int"},
        "max_runtime": {"type": "float"},
        "pause_file": {"type": "path"},
    }


def state_spec() -> Spec:
    """Option that says where a check notes how far it is."""
    return {"state_file": {"type": "path"}}


def plan_spec() -> Spec:
    """Option that names the plan which a check writes and a repair applies."""
    return {"plan_file": {"type": "path"}}


def sample_spec() -> Spec:
    """Option that says how much to show."""
    return {"sample_rows": {"type": "int", "default": 10}}


def limits_spec() -> Spec:
    """Options that say how far a change may go, and where its journal is kept."""
    return {
        "max_changes": {"type": "int", "default": 10000},
        "max_deletes": {"type": "int", "default": 1000},
        "batch_rows": {"type": "int", "default": 2000},
        "undo_dir": {"type": "path", "default": journal.DEFAULT_DIRECTORY},
    }


def policy_spec() -> Spec:
    """Options that say whose copy of a row is kept."""
    return {
        "extra_rows": {"type": "str", "choices": ["delete", "keep", "adopt"], "default": "delete"},
        "conflict": {"type": "str", "choices": ["source", "newest", "skip"], "default": "source"},
        "conflict_column": {"type": "str"},
    }


def servers(params: Params) -> Servers:
    """Give the pair of servers. Raises UsageError."""
    return Servers(
        target=_target(params),
        source=_source(params),
        channel="" if params["channel"] in _NAMELESS else params["channel"] or None,
        fence_timeout=_at_least(params, "fence_timeout", 1) if "fence_timeout" in params else 60.0,
    )


def selection(params: Params) -> Selection:
    """Give the tables and rows selected. Raises UsageError."""
    return Selection(
        databases=_names(params, "databases"),
        tables=_table_names(params, "tables"),
        ignore_databases=_names(params, "ignore_databases"),
        ignore_tables=_table_names(params, "ignore_tables"),
        ignore_columns=_names(params, "ignore_columns"),
        where=(params["where"] or "").strip() or None,
        float_precision=_if_given(params, "float_precision", 0) if "float_precision" in params else None,
    )


def pace(params: Params) -> Pace:
    """Give the pace. Raises UsageError."""
    workers = _at_least(params, "workers", 1)
    if workers > 64:
        raise UsageError("workers", f"{workers} is more than 64.", "Each is two connections.")
    return replace(
        hold(params),
        workers=workers,
        chunk_time=_at_least(params, "chunk_time", 0.01),
        state_file=_file(params, "state_file"),
    )


def hold(params: Params) -> Pace:
    """Give the pace of what is not cut into chunks. Raises UsageError."""
    return Pace(
        max_lag=_if_given(params, "max_lag", 0),
        max_threads_running=_if_given(params, "max_threads_running", 1),
        max_runtime=_if_given(params, "max_runtime", 1),
        pause_file=_file(params, "pause_file") or None,
    )


def plan_file(params: Params) -> str:
    """Give the path of the plan, empty for none. Raises UsageError."""
    return _file(params, "plan_file")


def plan_to_apply(params: Params) -> str:
    """Give the path of the plan to apply, empty for none. Raises UsageError, also beside a selection."""
    path = plan_file(params)
    if path and selection(params) != Selection():
        raise UsageError(
            "plan_file",
            "cannot be combined with a selection: a plan names its rows itself.",
            "Leave databases, tables, ignore_databases, ignore_tables and where out.",
        )
    return path


def repair(params: Params) -> Repair:
    """Give the limits of a repair. Raises UsageError."""
    return Repair(
        extra_rows=params["extra_rows"],
        conflict=params["conflict"],
        conflict_column=params["conflict_column"] or "",
        max_changes=_at_least(params, "max_changes", 0),
        max_deletes=_at_least(params, "max_deletes", 0),
        batch_rows=_at_least(params, "batch_rows", 1),
        undo_dir=undo_dir(params),
        downstream=params["downstream"],
        method=params["method"],
        allow_triggers=params["allow_triggers"],
    )


def undo_dir(params: Params) -> str:
    """Give the directory of the undo journals. Raises UsageError."""
    given = params["undo_dir"] or ""
    if not os.path.isabs(given):
        raise UsageError("undo_dir", f"{given!r} is no absolute path.", "Write it in full.")
    return str(given)


def sample_rows(params: Params) -> int:
    """Give the number of rows shown for each table. Raises UsageError."""
    return int(_at_least(params, "sample_rows", 0))


def limit(params: Params, option: str, minimum: int) -> int:
    """Give one whole number. Raises UsageError when it is below the minimum."""
    return int(_at_least(params, option, minimum))


def undo_file(params: Params) -> str:
    """Give the journal to replay. Raises UsageError."""
    given = params["undo_file"] or ""
    if not os.path.isfile(given):
        raise UsageError(
            "undo_file",
            f"there is no file {given!r} where this module runs.",
            "The journal is on the host where the repair ran; mysql_repl_sync returned its path.",
        )
    return str(given)


def _target(params: Params) -> Endpoint:
    named = os.path.expanduser(DEFAULT_CONFIG_FILE) != params["config_file"]
    login = _login(params, must_exist=named, prefix="")
    return Endpoint(
        host=login["login_host"] or "localhost",
        port=login["login_port"] or 3306,
        unix_socket=login["login_unix_socket"],
        user=login["login_user"],
        password=login["login_password"],
        connect_timeout=login["connect_timeout"] or 30,
        ca_cert=login["ca_cert"],
        client_cert=login["client_cert"],
        client_key=login["client_key"],
        check_hostname=login["check_hostname"],
    )


def _source(params: Params) -> SourceLogin:
    login = _login(params["source"], must_exist=True, prefix="source.")
    return SourceLogin(
        host=login["login_host"],
        port=login["login_port"],
        unix_socket=login["login_unix_socket"],
        user=login["login_user"],
        password=login["login_password"],
        connect_timeout=login["connect_timeout"],
        ca_cert=login["ca_cert"],
        client_cert=login["client_cert"],
        client_key=login["client_key"],
        check_hostname=login["check_hostname"],
    )


def _login(params: Params, must_exist: bool, prefix: str) -> dict[str, t.Any]:
    """Give the options of one login: what was typed, else what the option file says, else None."""
    typed = {name: params[name] for name in (*_FILE_NAMES, "connect_timeout", "check_hostname")}
    typed = {name: None if value == "" else value for name, value in typed.items()}
    login = dict(typed)
    option = f"{prefix}config_file"
    for name, value in _read_config_file(params["config_file"] or "", must_exist, option).items():
        if login[name] is None:
            login[name] = value
    # A socket beats a host, but not the file's socket a host or port that was typed.
    if (typed["login_host"] or typed["login_port"]) and not typed["login_unix_socket"]:
        login["login_unix_socket"] = None
    if login["login_port"] is not None:
        login["login_port"] = _port(login["login_port"], f"{prefix}login_port")
    if login["connect_timeout"] is not None and login["connect_timeout"] < 1:
        raise UsageError(f"{prefix}connect_timeout", "must be at least 1 second.")
    return login


def _read_config_file(path: str, must_exist: bool, option: str) -> dict[str, str]:
    """Give what the [client] section of a MySQL option file says, by our option names."""
    if not path or not (must_exist or os.path.exists(path)):
        return {}
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            # "!include" lines are MySQL's own and unknown to the parser.
            text = "".join(line for line in file if not line.lstrip().startswith("!"))
        parser = Parser(strict=False)
        parser.read_string(text, path)
    except OSError as error:
        raise UsageError(
            option,
            f"{path!r} cannot be read: {error.strerror}.",
            "Name a file that exists on the host where the module runs, or '' for none.",
        ) from error
    except configparser.Error as error:
        # The parser's own message quotes the line, which may hold a password.
        raise UsageError(
            option,
            f"{path!r} is no MySQL option file: {type(error).__name__}.",
            "It needs a [client] section; '' for no file at all.",
        ) from None
    given = dict(parser.items("client")) if parser.has_section("client") else {}
    return {option: parser.get("client", name) for option, name in _FILE_NAMES.items() if given.get(name)}


def _port(value: t.Any, option: str) -> int:
    try:
        port = int(value)
    except ValueError:
        port = 0
    if not 1 <= port <= 65535:
        raise UsageError(option, f"{value!r} is not a port.", "A port is a number from 1 to 65535.")
    return port


def _at_least(params: Params, option: str, minimum: float) -> t.Any:
    value = params[option]
    if value is None or not value >= minimum or value == float("inf"):
        raise UsageError(option, f"{value} cannot be used.", f"Give {minimum} or more.")
    return value


def _if_given(params: Params, option: str, minimum: float) -> t.Any:
    return None if params[option] is None else _at_least(params, option, minimum)


def _file(params: Params, option: str) -> str:
    given = params.get(option) or ""
    if given and not os.path.isabs(given):
        raise UsageError(option, f"{given!r} is no absolute path.", "Write it in full.")
    if given and os.path.isdir(given):
        raise UsageError(option, f"{given!r} is a directory.", "Name a file.")
    return str(given)


def _names(params: Params, option: str) -> tuple[str, ...]:
    """Give the names of a list. Text was split at commas by Ansible, here it is split into lines."""
    lines = (line.strip() for entry in params.get(option) or () for line in entry.replace("\r", "\n").split("\n"))
    return tuple(line for line in lines if line)


def _table_names(params: Params, option: str) -> tuple[str, ...]:
    names = _names(params, option)
    for name in names:
        database, dot, table = name.partition(".")
        if not (database and dot and table):
            raise UsageError(
                option,
                f"{name!r} does not name a table.",
                "Write database.table; * and ? stand for any characters and for one.",
            )
    return names
