# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""How a module runs: the pair of servers in, one JSON result out, and no secret in it.

The only place where the engine's reports and errors meet AnsibleModule.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import typing as t

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.module_utils import _bounds as bounds
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    ReplError,
    UsageError,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import (
    PYMYSQL_ERROR,
)

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Servers

    Operation = t.Callable[[Servers, arguments.Params], t.Any]
    #: Gives the message of a report that is complete and yet a failure, or nothing.
    Failure = t.Callable[[t.Any], t.Optional[str]]

# Ansible masks every occurrence of a no_log value in a result: a password like "12" would turn
# id=12 into id=********. That long a one is unlikely to occur in data by chance.
SHORT_PASSWORD = 8


def reported_failure(report: t.Any) -> str | None:
    """Give the message of a report that says itself that it failed."""
    return str(report.message) if report.failed else None


def never(report: t.Any) -> None:
    """Give no message: whatever was found, looking at it is no failure."""


def run_module(module: AnsibleModule, operation: Operation, failure: Failure = reported_failure) -> None:
    """Run one operation of the engine and leave the module with its result.

    A report whose ``failure`` gives a message fails the module with the result complete.
    """
    if PYMYSQL_ERROR is not None:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=str(PYMYSQL_ERROR))
    try:
        servers = arguments.servers(module.params)
        _guard_passwords(module, servers)
        report = operation(servers, module.params)
    except ReplError as error:
        module.fail_json(**error_result(error))
    result = report_result(report, with_diff=module._diff)
    left_out = bounds.cut(result)
    if left_out:
        module.warn(f"To keep the result readable, it lacks {left_out}. The counts in summary are complete.")
    message = failure(report)
    if message:
        module.fail_json(msg=message, **result)
    module.exit_json(**result)


def error_result(error: ReplError) -> dict[str, t.Any]:
    """Give the result of an operation that was refused or broke off."""
    result = {
        "msg": error.text,
        "code": error.code,
        "remedy": error.remedy,
    }
    if isinstance(error, UsageError):
        result["option"] = error.option
    return t.cast("dict[str, t.Any]", to_jsonable(result))


def report_result(report: t.Any, with_diff: bool) -> dict[str, t.Any]:
    """Give a report as the result of a module; its diff only where Ansible asks for diffs."""
    result = t.cast("dict[str, t.Any]", to_jsonable(report))
    # failed and message are said in Ansible's own way.
    for name in ("failed", "message"):
        result.pop(name, None)
    if not with_diff:
        result.pop("diff", None)
    return {"changed": False, **result}


def to_jsonable(value: t.Any) -> t.Any:
    """Give a value as JSON can carry it. Never fails; bytes that are no text become 0x…."""
    if value is None or (isinstance(value, (bool, int)) and not isinstance(value, enum.Enum)):
        return value
    if isinstance(value, enum.Enum):
        return to_jsonable(value.value)
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return _text(bytes(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, t.Mapping):
        return {_key(name): to_jsonable(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_jsonable(entry) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted((to_jsonable(entry) for entry in value), key=str)
    return to_jsonable(str(value))


def _key(name: t.Any) -> str:
    return str(to_jsonable(name))


def _text(value: bytes) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return "0x" + value.hex()
    is_readable = text.replace("\n", "").replace("\t", "").isprintable()
    return text if is_readable else "0x" + value.hex()


def _guard_passwords(module: AnsibleModule, servers: Servers) -> None:
    passwords = {password for password in (servers.target.password, servers.source.password) if password}
    # Those from option files are not known to Ansible yet.
    module.no_log_values.update(passwords)
    if any(len(password) < SHORT_PASSWORD for password in passwords):
        module.warn(
            f"A login password is shorter than {SHORT_PASSWORD} characters. Ansible masks its every"
            " occurrence in the results, so that rows and diffs may show ******** instead of"
            " data. What is compared, repaired and kept in undo journals is not affected."
        )
