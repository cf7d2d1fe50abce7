# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import enum
import json
import typing as t
from dataclasses import dataclass
from decimal import Decimal
from types import SimpleNamespace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _module as module_utils
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    Refusal,
    UsageError,
)

pytest.importorskip("pymysql")


class Left(Exception):
    """The module ended; ``result`` is what it said."""

    def __init__(self, failed: bool, result: dict[str, t.Any]) -> None:
        super().__init__(str(result))
        self.failed = failed
        self.result = result


class FakeModule:
    """As much of AnsibleModule as run_module() uses."""

    def __init__(self, diff: bool = False, **given: t.Any) -> None:
        login = dict.fromkeys(module_utils.arguments.connection_spec())
        source = dict.fromkeys(module_utils.arguments.connection_spec()["source"]["options"])
        self.params = {**login, "source": source, **given}
        self._diff = diff
        self.no_log_values: set[str] = set()
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def fail_json(self, **result: t.Any) -> t.NoReturn:
        raise Left(True, result)

    def exit_json(self, **result: t.Any) -> t.NoReturn:
        raise Left(False, result)


@dataclass(frozen=True)
class Report:
    """A report such as the engine gives."""

    changed: bool = True
    rows: tuple[bytes, ...] = (b"\xff", b"text")
    diff: tuple[t.Mapping[str, str], ...] = ({"before": "a\n", "after": "b\n"},)
    failed: bool = False
    message: str | None = None


def left(module: FakeModule, operation: t.Callable[..., t.Any], **more: t.Any) -> Left:
    """Run an operation and give what the module left with."""
    with pytest.raises(Left) as caught:
        module_utils.run_module(t.cast("t.Any", module), operation, **more)
    return caught.value


class Color(enum.Enum):
    """Something with names."""

    RED = "red"


class Number(enum.IntEnum):
    """Numbers with names."""

    ONE = 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**80, 2**80),
        ("ü", "ü"),
        ("lone \udcff", "lone \\udcff"),
        (b"caf\xc3\xa9\n", "café\n"),
        (b"\x00\x01", "0x0001"),
        (bytearray(b"\xff"), "0xff"),
        (memoryview(b"x"), "x"),
        (Decimal("1.10"), "1.10"),
        (datetime.timedelta(hours=1), "1:00:00"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (float("nan"), "nan"),
        (1.5, 1.5),
        (Color.RED, "red"),
        (Number.ONE, 1),
        ((1, [b"a"]), [1, ["a"]]),
        ({b"k": {"v"}}, {"k": ["v"]}),
        (frozenset({2, 1}), [1, 2]),
        (Report, str(Report)),
        (SimpleNamespace(), "namespace()"),
    ],
)
def test_to_jsonable(value: object, expected: object) -> None:
    assert module_utils.to_jsonable(value) == expected
    json.dumps(module_utils.to_jsonable(value)).encode()


def test_report_becomes_the_result() -> None:
    gone = left(FakeModule(diff=True), lambda servers, params: Report())
    assert not gone.failed
    assert gone.result == {
        "changed": True,
        "rows": ["0xff", "text"],
        "diff": [{"before": "a\n", "after": "b\n"}],
    }


def test_diff_only_where_asked_for() -> None:
    gone = left(FakeModule(diff=False), lambda servers, params: Report())
    assert "diff" not in gone.result


def test_failed_report_fails_with_complete_result() -> None:
    report = Report(failed=True, message="t was left alone")
    gone = left(FakeModule(), lambda servers, params: report)
    assert gone.failed
    assert gone.result == {"msg": "t was left alone", "changed": True, "rows": ["0xff", "text"]}


def test_failure_may_be_judged_by_the_module() -> None:
    report = SimpleReport()
    assert not left(FakeModule(), lambda *unused: report, failure=module_utils.never).failed
    assert left(FakeModule(), lambda *unused: report, failure=lambda each: "no").failed


@dataclass(frozen=True)
class SimpleReport:
    """A report without failure or diff."""

    in_sync: bool = False


def test_refusal_fails_with_code_and_remedy() -> None:
    def refuse(*unused: object) -> t.NoReturn:
        raise Refusal("stopped_link", "The link has stopped.", "Start it.")

    gone = left(FakeModule(), refuse)
    assert gone.failed
    assert gone.result == {
        "msg": "The link has stopped. Start it.",
        "code": "stopped_link",
        "remedy": "Start it.",
    }


def test_option_that_cannot_be_used_is_named() -> None:
    def refuse(*unused: object) -> t.NoReturn:
        raise UsageError("tables", "no such table.")

    assert left(FakeModule(), refuse).result["option"] == "tables"
    assert left(FakeModule(login_port=0), lambda *unused: Report()).result["option"] == "login_port"


def test_missing_driver_is_said_in_ansible_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_utils, "PYMYSQL_ERROR", ImportError("no pymysql"))
    gone = left(FakeModule(), lambda *unused: Report())
    assert gone.failed
    assert "PyMySQL" in gone.result["msg"]


@pytest.mark.parametrize(("password", "warns"), [(None, False), ("", False), ("12", True), ("long enough", False)])
def test_short_passwords_are_warned_of(password: str | None, warns: bool) -> None:
    module = FakeModule(login_password=password)
    left(module, lambda *unused: Report())
    assert bool(module.warnings) is warns
    assert module.no_log_values == ({password} if password else set())
    assert not any(password in warning for warning in module.warnings if password)


def test_the_warning_tells_what_is_left_out() -> None:
    @dataclass(frozen=True)
    class Large:
        tables: tuple[dict[str, t.Any], ...] = ({"status": "drift", "sample": [{"v": "x" * 90_000}] * 10},)
        failed: bool = False
        message: str | None = None

    module = FakeModule()
    result = left(module, lambda servers, params: Large()).result
    assert len(result["tables"][0]["sample"]) == 5
    assert any("lacks sample rows beyond 5 of a table" in warning for warning in module.warnings)
