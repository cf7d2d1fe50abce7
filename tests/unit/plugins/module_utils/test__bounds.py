# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""However much a run found, its result can be looked at, and what was left out is said and counted."""

from __future__ import annotations

import json
import typing as t

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _bounds as bounds

Result = dict[str, t.Any]
ROW = {"kind": "different", "key": {"id": 1}, "columns": ["v"], "source": {"v": "x" * 500}, "target": {"v": "y" * 500}}


def table(number: int, status: str = "identical", **more: t.Any) -> Result:
    """A table's entry as a module returns it."""
    keys = {
        "reason": None,
        "message": None,
        "rows": 1000,
        "missing": 0,
        "extra": 0,
        "different": 0,
        "sample": [],
        "positions": [],
    }
    return {"database": "shop", "table": f"orders_{number}", "status": status, **keys, "chunks": 1, "seconds": 0.012, **more}


def drifted(number: int, samples: int = 10, **more: t.Any) -> Result:
    """A table with 20 differences."""
    return table(number, "drift", missing=20, sample=[dict(ROW) for _each in range(samples)], **more)


def block(lines: int, width: int = 20) -> dict[str, str]:
    """One table's part of a diff."""
    return {"before_header": "t", "after_header": "t", "before": ("x" * width + "\n") * lines, "after": "y\n"}


def cut(tables: t.Sequence[Result], **more: t.Any) -> tuple[str, Result]:
    """What is said, and what is left; it never is too large."""
    result = {"tables": list(tables), "summary": {"tables": len(tables)}, **more}
    said = bounds.cut(result)
    assert len(json.dumps(result)) <= bounds.MOST_CHARACTERS
    assert result["summary"] == {"tables": len(tables)}
    return said, result


@pytest.mark.parametrize(("tables", "kept"), [(20, 10), (60, 5), (200, 1), (500, 0)])
def test_sample_rows_become_fewer(tables: int, kept: int) -> None:
    said, result = cut([drifted(number) for number in range(tables)])
    assert said == ("" if kept == 10 else f"sample rows beyond {kept} of a table")
    assert {len(each["sample"]) for each in result["tables"]} == {kept}
    assert sum(each["missing"] for each in result["tables"]) == 20 * tables


def test_identical_tables_go_before_rows_of_those_that_differ() -> None:
    said, result = cut([drifted(number) if number % 100 == 0 else table(number) for number in range(5000)])
    assert said == "4,450 of 4,950 identical tables; sample rows beyond 5 of a table"
    differing = [each["table"] for each in result["tables"] if each["status"] == "drift"]
    assert differing == [f"orders_{number}" for number in range(0, 5000, 100)]
    assert len(result["tables"]) == 50 + bounds.FEW_IDENTICAL


def test_identical_tables_stay_while_there_is_room() -> None:
    said, result = cut([*map(drifted, range(60)), *map(table, range(60, 400))])
    assert said.startswith("sample rows")
    assert len(result["tables"]) == 400
    said, result = cut([table(number) for number in range(2000)])
    assert (said, len(result["tables"])) == ("", 2000)
    said, result = cut([table(number) for number in range(5000)])
    assert (said, len(result["tables"])) == ("4,500 of 5,000 identical tables", bounds.FEW_IDENTICAL)


def test_a_diff_has_bounds_of_its_own() -> None:
    said, result = cut([], diff=[block(500) for _each in range(10)])
    assert said == "the diff of 5 tables"
    assert sum(each["before"].count("\n") for each in result["diff"]) <= bounds.MOST_DIFF_LINES
    assert [each["before_header"] for each in result["diff"]] == ["t"] * 5 + ["5 tables left out"]
    # What is too wide is left out, what comes after it is not.
    said, result = cut([], diff=[block(1), block(500, 5000), block(1)])
    assert said == "the diff of 1 table"
    assert [each["before"].count("x") for each in result["diff"]] == [20, 20, 0]
    assert result["diff"][-1]["before"] != result["diff"][-1]["after"]


def test_a_diff_of_thousands_of_tables_takes_no_time() -> None:
    said, result = cut([drifted(number) for number in range(5000)], diff=[block(20) for _each in range(5000)])
    assert "the diff; " in said
    assert "the diff of" not in said
    assert len(result["diff"]) == 1


def test_places_go_after_the_rows() -> None:
    places = [{"start": 0.123456, "end": 0.234567, "missing": 1, "extra": 0, "different": 0}] * 64
    said, result = cut([drifted(number, positions=list(places)) for number in range(500)])
    assert said == "sample rows beyond 0 of a table; where in the tables the differences lie"
    assert not any(each["positions"] for each in result["tables"])


def test_long_statements_and_refused_rows_go() -> None:
    said, result = cut([], statements=["x" * 10_000] * 100, refused=[{"key": "y" * 500}] * 2000)
    assert said == "the statements; the rows refused, but for 100"
    assert (result["statements"], len(result["refused"])) == ([], 100)


def test_what_is_so_for_all_tables_is_said_once() -> None:
    stopped = "The link has stopped, so that nothing can be proven. " * 4
    tables = [table(number, "undecided", reason="stopped_link", message=stopped) for number in range(1500)]
    said, result = cut([*tables, table(1500, "error", reason="other", message="Its own.")])
    assert said == ""
    assert [each["message"] for each in result["tables"]] == [stopped, *["As for shop.orders_0."] * 1499, "Its own."]


def test_long_messages_are_cut() -> None:
    tables = [table(number, "error", reason="schema_mismatch", message=f"{number} " + "x" * 5000) for number in range(200)]
    said, result = cut(tables)
    assert said == "the ends of long messages"
    assert {len(each["message"]) for each in result["tables"]} == {1003}


def test_of_too_many_tables_those_stay_that_need_somebody() -> None:
    tables = [drifted(number) if number % 10 == 0 else table(number, "skipped", reason="view") for number in range(5000)]
    said, result = cut([*tables, table(5000, "error")])
    kept = [int(each["table"].rpartition("_")[2]) for each in result["tables"]]
    assert kept == sorted(kept)
    assert {0, 4990, 5000} <= set(kept)
    assert said.endswith(f"{5001 - len(kept):,} tables (select fewer to see them)")
