# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statement is chosen by the triggers of the target; a table for which there is none is refused."""

from __future__ import annotations

import itertools

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import recipes
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
    Trigger,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.spool import Differences

EVENTS = ("INSERT", "UPDATE", "DELETE")
# What the servers fire for each statement, as far as it may run against a row that is not there or is in the way.
FIRES = {
    "REPLACE": {"INSERT", "DELETE"},
    "INSERT IGNORE": {"INSERT"},
    "UPDATE IGNORE": {"UPDATE"},
    "DELETE": {"DELETE"},
}


def table(events=(), key=True):
    """A table with triggers for these events."""
    keys = (Key("PRIMARY", (KeyPart("id", None, False),)),) if key else ()
    columns = (Column("id", "int", "int", None, None, False, "", ""),)
    triggers = tuple(Trigger(f"on_{event.lower()}", event, "AFTER") for event in events)
    return Table(TableName("d", "t"), "BASE TABLE", "InnoDB", columns, keys, 0, triggers)


@pytest.mark.parametrize("has_key", [True, False])
@pytest.mark.parametrize("events", [set(some) for n in range(4) for some in itertools.combinations(EVENTS, n)])
def test_no_statement_fires_a_trigger(events, has_key):
    recipe = recipes.choose(table(events).triggers, has_key)
    for kind in ("missing", "different", "extra"):
        verb = recipe.verb(kind)
        assert verb is None or not FIRES[verb] & events
    assert (recipe.extra is None) == ("DELETE" in events)
    assert has_key or recipe.missing in (None, "REPLACE"), "copies are deleted first"


def test_replace_is_preferred_for_it_alone_solves_swapped_unique_values():
    assert recipes.choose(()) == recipes.choose(table(["UPDATE"]).triggers) == recipes.PLAIN
    assert recipes.PLAIN.takes_rows_away
    gentle = recipes.choose(table(["DELETE"]).triggers)
    assert (gentle.missing, gentle.different, gentle.extra) == ("INSERT IGNORE", "UPDATE IGNORE", None)
    assert not gentle.takes_rows_away


def test_only_the_rows_of_the_plan_count():
    target = table(["INSERT"])
    extra = Difference("extra", (b"1",), None, (b"1",))
    missing = Difference("missing", (b"2",), (b"2",), None)
    assert recipes.choose_for(table(), target, Differences([extra])).extra == "DELETE"
    with pytest.raises(TableProblem, match=r"missing rows .*on_insert \(AFTER INSERT\)") as caught:
        recipes.choose_for(table(), target, Differences([extra, missing]))
    assert caught.value.code == "triggers"


def test_fewer_copies_still_take_an_insert():
    fewer = Difference("extra", (b"1",), (b"1",), (b"1",), source_copies=1, target_copies=2, digest=b"x")
    none = Difference("extra", (b"1",), None, (b"1",), source_copies=0, target_copies=2, digest=b"x")
    loose, target = table(key=False), table(["INSERT"], key=False)
    recipes.choose_for(loose, target, Differences([none]))
    with pytest.raises(TableProblem, match="triggers"):
        recipes.choose_for(loose, target, Differences([none, fewer]))
