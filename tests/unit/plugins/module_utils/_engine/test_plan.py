# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plans and caps."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import confirm, plan
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import (
    Refusal,
    TableProblem,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.examine import Examination
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Repair
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.report import (
    Changes,
    TableReport,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
    Trigger,
)

DIFFERENCES = (
    confirm.Difference(confirm.MISSING, (b"1",), (b"1",), None),
    confirm.Difference(confirm.EXTRA, (b"2",), None, (b"2",)),
    confirm.Difference(confirm.DIFFERENT, (b"3",), (b"3",), (b"3",)),
)


def table(**changes) -> Table:
    """An InnoDB table with one integer key."""
    values = {
        "name": TableName("d", "t"),
        "kind": "BASE TABLE",
        "engine": "InnoDB",
        "columns": (Column("id", "int", "int", None, None, False, "", ""),),
        "unique_keys": (Key("PRIMARY", (KeyPart("id", None, False),)),),
        "rows_estimate": 0,
    }
    return Table(**{**values, **changes})


def examination(source: Table, target: Table, differences=DIFFERENCES) -> Examination:
    """A finished examination."""
    return Examination(TableReport("d", "t", "drift"), source, target, differences)


def test_counts():
    made = plan.plan_table(examination(table(), table()), Repair())
    assert made.counts == Changes(inserted=1, updated=1, deleted=1)


def test_extra_rows_are_left_alone_when_asked():
    made = plan.plan_table(examination(table(), table()), Repair(extra_rows="keep"))
    assert made.counts == Changes(inserted=1, updated=1, deleted=0, skipped=1)
    assert confirm.EXTRA not in {change.kind for change in made.changes}


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [
        (table(), table(triggers=(Trigger("x", "INSERT", "AFTER"),)), "triggers"),
        (table(engine="CSV"), table(), "engine_not_transactional"),
        (table(), table(engine="MRG_MyISAM"), "engine_not_transactional"),
        (table(kind="SYSTEM VERSIONED"), table(), "system_versioned"),
    ],
)
def test_unsafe_tables_are_refused(source, target, code):
    with pytest.raises(TableProblem) as caught:
        plan.plan_table(examination(source, target), Repair())
    assert caught.value.code == code


def test_an_identical_table_needs_no_plan_whatever_its_shape():
    odd = table(triggers=(Trigger("x", "INSERT", "AFTER"),), engine="MyISAM")
    assert plan.plan_table(examination(odd, odd, ()), Repair()) is None


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"max_changes": 5}, "max_changes"),
        ({"max_deletes": 1}, "max_deletes"),
        ({"max_changes": 6, "max_deletes": 2}, None),
    ],
)
def test_caps_count_all_tables_together(limits, code):
    made = plan.plan_table(examination(table(), table()), Repair())
    if code is None:
        plan.check_caps([made, made], Repair(**limits))
        return
    with pytest.raises(Refusal) as caught:
        plan.check_caps([made, made], Repair(**limits))
    assert caught.value.code == code
    assert code in caught.value.remedy
