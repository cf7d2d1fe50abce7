# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which tables a selection means."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import selection
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Selection
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import TableName


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), True),
        (Selection(databases=("sh*",)), True),
        (Selection(databases=("sho?",)), True),
        (Selection(databases=("SHOP",)), False),
        (Selection(databases=("sho",)), False),
        (Selection(tables=("shop.orders",)), True),
        (Selection(tables=("*.orders",)), True),
        (Selection(tables=("shop.order",)), False),
        (Selection(ignore_tables=("shop.o*",)), False),
        (Selection(databases=("shop",), ignore_tables=("shop.orders",)), False),
    ],
)
def test_globs(wanted, expected):
    assert selection._is_table_wanted(TableName("shop", "orders"), wanted) is expected


def test_only_star_and_question_mark_are_special():
    assert selection._matches("a[1].b", ["a[1].b"])
    assert not selection._matches("a1.b", ["a[1].b"])
    assert not selection._matches("aXb", ["a.b"])


@pytest.mark.parametrize(
    "wanted",
    [
        Selection(databases=("mysql",)),
        Selection(databases=("Performance_Schema",)),
        Selection(tables=("sys.sys_config",)),
        Selection(tables=("mysql.*",)),
    ],
)
def test_system_schemas_are_refused_even_when_named(wanted):
    with pytest.raises(UsageError, match="belongs to the server"):
        selection._refuse_system_databases(wanted)


def test_a_table_without_its_database_is_refused():
    with pytest.raises(UsageError, match="database") as caught:
        selection._refuse_system_databases(Selection(tables=("orders",)))
    assert caught.value.option == "tables"


@pytest.mark.parametrize(
    ("pattern", "ignored"),
    [
        ("note", True),
        ("orders.note", True),
        ("shop.orders.note", True),
        ("other.note", False),
        ("shop.other.note", False),
    ],
)
def test_ignored_columns(pattern, ignored):
    assert ("note" in selection.ignored_columns(TableName("shop", "orders"), [pattern])) is ignored
