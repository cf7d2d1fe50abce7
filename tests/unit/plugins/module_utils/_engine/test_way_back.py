# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How an undo writes a table, by its engine and triggers; what it refuses. That the ways are right: integration_engine."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import grants, returns
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import Dialect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.returns import Way, way_back
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
    Trigger,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.spool import Differences

ROW = (b"1",)
KINDS = {
    "comes": Difference("missing", ROW, ROW, None),
    "goes": Difference("extra", ROW, None, ROW),
    "differs": Difference("different", ROW, ROW, ROW),
}


def table(events=(), engine="InnoDB", kind="BASE TABLE", key=True):
    """A table with a trigger for each event."""
    keys = (Key("PRIMARY", (KeyPart("id", None, False),)),) if key else ()
    triggers = tuple(Trigger(f"on_{event}", event, "AFTER") for event in events)
    columns = (Column("id", "int", "int", None, None, False, "", ""),)
    return Table(TableName("shop", "t"), kind, engine, columns, keys, 0, triggers)


class Pair(SimpleNamespace):
    """As much of the pair as is looked at."""

    def __init__(self, stops_on_rows=False, others=(), only_rows=False):
        source = SimpleNamespace(name="db1")
        target = SimpleNamespace(stops_on_rows=stops_on_rows, log_replica_updates=True)
        rules = SimpleNamespace(row_format_only=only_rows, checked_account="")
        super().__init__(
            source=source,
            target=target,
            source_replicas=others,
            target_replicas=(),
            applier=rules,
            forward=SimpleNamespace(name="db1->db2"),
        )


class Server(SimpleNamespace):
    """A session that knows variables, of an account that holds ``rights``."""

    dialect = Dialect("mysql", (9, 7, 4), "9.7.4")
    rights = ("INSERT", "UPDATE", "DELETE", "LOCK TABLES")

    def scalar(self, _sql):
        return "ROW"

    def execute(self, _sql):
        """Sets the format of its log."""

    def variables(self, names):
        return {name: value for name, value in vars(self).items() if name in names}


@pytest.fixture(autouse=True)
def _harmless(monkeypatch):
    """What triggers write is looked at on real servers."""
    monkeypatch.setattr(returns, "written_by", lambda *unused: frozenset())

    def read(session):
        return grants.parse("`u`@`%`", [f"GRANT {', '.join(session.rights)} ON `shop`.* TO `u`@`%`"] if session.rights else [])

    monkeypatch.setattr(returns.grants, "read", read)


def way(ours, theirs, *kinds, pair=None, source=None, target=None, allowed=False):
    """The way for rows of these kinds."""
    changes = Differences(KINDS[kind] for kind in kinds)
    return way_back(ours, theirs, changes, source or Server(), target or Server(), pair or Pair(), allowed)


@pytest.mark.parametrize(
    ("ours", "theirs", "kinds", "expected"),
    [
        ((), (), ("comes", "goes", "differs"), Way()),
        (("UPDATE",), ("UPDATE",), ("comes", "goes", "differs"), Way()),
        (("INSERT",), (), ("goes",), Way()),
        (("DELETE",), (), ("comes",), Way()),
        (("INSERT",), (), ("differs",), Way(updates=True)),
        (("INSERT", "DELETE"), ("UPDATE",), ("differs",), Way(updates=True, as_rows=True)),
        ((), ("INSERT", "UPDATE", "DELETE"), ("comes", "goes", "differs"), Way(as_rows=True)),
    ],
)
def test_statements_that_fire_no_trigger_of_the_source(ours, theirs, kinds, expected):
    assert way(table(ours), table(theirs), *kinds) == expected


@pytest.mark.parametrize(
    ("events", "kinds"), [(("INSERT",), ("comes",)), (("DELETE",), ("goes",)), (("INSERT", "UPDATE"), ("differs",))]
)
def test_where_there_is_none_it_must_be_allowed(events, kinds):
    with pytest.raises(TableProblem, match="allow_triggers") as refused:
        way(table(events), table(), *kinds)
    assert refused.value.code == "triggers"
    assert way(table(events), table(), *kinds, allowed=True) == Way(as_rows=True, fires=True)


def test_rows_are_logged_where_other_replicas_get_them():
    assert way(table(), table(), "comes", pair=Pair(others=("db3",))) == Way(as_rows=True)


def test_where_columns_are_in_another_order_statements_are_logged_or_nothing():
    more = (Column("v", "int", "int", None, None, True, "", ""),)
    ours, theirs = (replace(table(), columns=columns) for columns in (table().columns + more, more + table().columns))
    assert way(ours, theirs, "comes") == Way(as_statements=True)
    for pair, target, code in (
        (Pair(others=("db3",)), Server(), "schema_mismatch"),
        (Pair(), Server(sql_safe_updates="ON"), "schema_mismatch"),
        (Pair(only_rows=True), Server(), "row_format_required"),
    ):
        with pytest.raises(TableProblem, match="another order") as refused:
            way(ours, theirs, "comes", pair=pair, target=target)
        assert refused.value.code == code


@pytest.mark.parametrize("ours", ["MyISAM", "Aria", "MEMORY", "InnoDB"])
def test_without_transactions_rows_are_written_singly(ours):
    assert way(table(engine=ours), table(engine="MEMORY"), "differs", "goes") == Way(singly=True, updates=True)
    with pytest.raises(TableProblem, match="no transactions"):
        way(table(("UPDATE",), ours), table(engine="MEMORY"), "differs", allowed=True)
    assert way(table(("INSERT",), ours), table(engine="MEMORY"), "differs").singly


@pytest.mark.parametrize(
    ("code", "ours", "theirs", "how"),
    [
        ("engine_not_transactional", table(engine="CSV"), table(), {}),
        ("engine_not_transactional", table(), table(engine="MEMORY", key=False), {}),
        ("system_versioned", table(), table(kind="SYSTEM VERSIONED"), {}),
        ("engine_not_crash_safe", table(), table(engine="MyISAM"), {}),
        ("triggers", table(("INSERT",), key=False), table(), {"allowed": True}),
        ("triggers", table(), table(("INSERT",)), {"target": Server(slave_run_triggers_for_rbr="LOGGING")}),
        ("row_not_logged", table(), table(("INSERT",)), {"pair": Pair(stops_on_rows=True)}),
        ("row_not_logged", table(), table(), {"pair": Pair(stops_on_rows=True, others=("db3",))}),
        ("downstream_replicas", table(key=False), table(key=False), {"pair": Pair(others=("db3",))}),
    ],
)
def test_what_is_refused_and_that_it_says_what_would_mend_it(code, ours, theirs, how):
    ours = replace(ours, unique_keys=theirs.unique_keys) if not theirs.key else ours
    with pytest.raises(TableProblem) as refused:
        way(ours, theirs, "comes", **how)
    assert refused.value.code == code
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("engine", "kinds", "rights", "lacking"),
    [
        ("InnoDB", ("goes",), ("DELETE",), None),
        ("InnoDB", ("comes",), ("INSERT",), "DELETE"),  # or another, without which MySQL locks no row
        ("InnoDB", ("comes",), ("INSERT", "UPDATE"), None),
        ("InnoDB", ("differs",), ("INSERT", "UPDATE"), "DELETE"),
        ("InnoDB", ("differs", "goes"), (), "DELETE, INSERT"),
        ("MyISAM", ("differs",), ("INSERT", "UPDATE", "DELETE"), "LOCK TABLES"),
        ("MyISAM", ("differs",), ("UPDATE", "LOCK TABLES"), None),
    ],
)
def test_the_rights_that_the_rows_take_are_asked_for_before(engine, kinds, rights, lacking):
    ours, theirs = table(engine=engine), table(engine=engine.replace("MyISAM", "MEMORY"))
    if lacking is None:
        assert way(ours, theirs, *kinds, source=Server(rights=rights))
        return
    with pytest.raises(Refusal, match=f"GRANT {lacking} ON `shop`") as refused:
        way(ours, theirs, *kinds, source=Server(rights=rights))
    assert refused.value.code == "missing_grant"
