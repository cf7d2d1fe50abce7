# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which server's copy of a row is kept."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import plan, policy
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import DIFFERENT, EXTRA, MISSING, Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, TableProblem, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.examine import Examination
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Repair
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.report import Changes, TableReport
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

NEWEST = Repair(conflict="newest", conflict_column="Changed")


def table(data_type="datetime", **more):
    """A table with a key and a column that may tell old from new."""
    columns = (
        Column("id", "int", "int", None, None, False, "", ""),
        Column("changed", data_type, data_type, None, None, True, "", ""),
    )
    values = {"engine": "InnoDB", "kind": "BASE TABLE", "unique_keys": (Key("PRIMARY", (KeyPart("id", None, False),)),)}
    return Table(**{"name": TableName("d", "t"), "columns": columns, "rows_estimate": 0, **values, **more})


def different(ours, theirs):
    """A row that differs."""
    return Difference(DIFFERENT, (b"1",), (b"1", ours), (b"1", theirs))


ROWS = (
    Difference(MISSING, (b"1",), (b"1", None), None),
    Difference(EXTRA, (b"2",), None, (b"2", None)),
    Difference(DIFFERENT, (b"3",), (b"3", b"2024-01-01 00:00:00"), (b"3", b"2025-01-01 00:00:00")),
    Difference(DIFFERENT, (b"4",), (b"4", b"2024-01-01 00:00:00"), (b"4", b"2023-01-01 00:00:00")),
)


@pytest.mark.parametrize(
    ("data_type", "ours", "theirs", "winner"),
    [
        ("datetime", b"2024-01-01 00:00:00", b"2024-01-01 00:00:01", policy.TO_SOURCE),
        ("datetime", b"2024-01-01 00:00:01", b"2024-01-01 00:00:00", policy.TO_TARGET),
        ("timestamp", b"2024-01-01 00:00:00.10", b"2024-01-01 00:00:00.11", policy.TO_SOURCE),
        ("date", b"1999-12-31", b"2000-01-01", policy.TO_SOURCE),
        ("datetime", b"2024-01-01 00:00:00", b"2024-01-01 00:00:00", policy.TO_TARGET),
        ("datetime", None, b"2024-01-01 00:00:00", policy.TO_TARGET),
        ("datetime", b"2024-01-01 00:00:00", None, policy.TO_TARGET),
        ("datetime", None, None, policy.TO_TARGET),
        ("datetime", b"0000-00-00 00:00:00", b"2024-01-01 00:00:00", policy.TO_TARGET),
        ("int", b"9", b"10", policy.TO_SOURCE),
        ("int", b"-1", b"-2", policy.TO_TARGET),
        ("bigint", b"9007199254740992", b"9007199254740993", policy.TO_SOURCE),
        ("decimal", b"1.10", b"1.20", policy.TO_SOURCE),
        ("double", b"1e300", b"2e300", policy.TO_SOURCE),
        ("float", b"-0", b"0", policy.TO_TARGET),
    ],
)
def test_the_target_wins_only_where_its_value_is_provably_greater(data_type, ours, theirs, winner):
    assert policy.policy_of(NEWEST).goes(table(data_type), different(ours, theirs)) == winner


@pytest.mark.parametrize(
    ("options", "target", "source", "left"),
    [
        ({}, 4, 0, 0),
        ({"extra_rows": "keep"}, 3, 0, 1),
        ({"extra_rows": "adopt"}, 3, 1, 0),
        ({"conflict": "skip"}, 2, 0, 2),
        ({"conflict": "newest", "conflict_column": "changed"}, 3, 1, 0),
        ({"extra_rows": "adopt", "conflict": "newest", "conflict_column": "changed"}, 2, 2, 0),
        ({"extra_rows": "adopt", "conflict": "skip"}, 1, 1, 2),
    ],
)
def test_every_row_goes_one_way_and_the_caps_count_both(options, target, source, left):
    found = Examination(TableReport("d", "t", "drift"), table(), table(), ROWS)
    made = plan.plan_table(found, Repair(**options))
    assert (len(made.changes), len(made.adopted), made.left_alone) == (target, source, left)
    assert made.counts.total == target + source
    assert (made.counts.adopted, made.counts.skipped) == (source, left)
    plan.check_caps([made], Repair(max_changes=target + source))
    with pytest.raises(Refusal, match="max_changes"):
        plan.check_caps([made], Repair(max_changes=target + source - 1))
    assert made.counts + made.counts == Changes(
        *(2 * value for value in (made.counts.inserted, made.counts.updated, made.counts.deleted)), 2 * source, 2 * left
    )


@pytest.mark.parametrize(
    "options",
    [{"conflict": "newest"}, {"conflict_column": "changed"}, {"conflict": "skip", "conflict_column": "x"}],
)
def test_options_that_do_not_go_together(options):
    with pytest.raises(UsageError) as caught:
        policy.policy_of(Repair(**options))
    assert caught.value.option == "conflict_column"


@pytest.mark.parametrize("data_type", ["varchar", "time", "enum", "json", "bit", "blob"])
def test_a_column_that_does_not_tell_old_from_new(data_type):
    chosen = policy.policy_of(NEWEST)
    with pytest.raises(UsageError, match="does not tell old from new"):
        policy.refuse_unknown_column(chosen, [table(data_type)])
    policy.refuse_unknown_column(chosen, [table(data_type), table()])
    with pytest.raises(TableProblem, match="conflict_column"):
        chosen.goes(table(data_type), different(b"1", b"2"))


def test_a_column_that_is_nowhere():
    chosen = policy.policy_of(Repair(conflict="newest", conflict_column="chnaged"))
    with pytest.raises(UsageError, match="is in no table compared"):
        policy.refuse_unknown_column(chosen, [table(), table()])
    policy.refuse_unknown_column(chosen, [])
    policy.refuse_unknown_column(policy.Policy(), [table()])


def test_a_plan_that_was_cut_short_is_refused():
    """Rows that are left alone must not crowd others out in silence."""
    limits = Repair(extra_rows="keep", conflict="skip", max_changes=3)
    cut = Examination(TableReport("d", "t", "drift", missing=2, extra=1, different=2), table(), table(), ROWS)
    plans = [plan.plan_table(cut, limits)]
    plan.check_caps(plans, limits)
    with pytest.raises(Refusal, match=r"5 rows of d\.t differ"):
        plan.refuse_cut([cut], plans, limits)
    plan.refuse_cut([cut], [], limits)
    whole = Examination(TableReport("d", "t", "drift", missing=1, extra=1, different=2), table(), table(), ROWS)
    plan.refuse_cut([whole], plans, limits)
