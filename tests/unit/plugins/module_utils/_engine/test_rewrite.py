# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of REPLACE and DELETE statements."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import recipes, rewrite
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.spool import Differences

PACKET = 1 << 24


def column(name, data_type="int", generated=""):
    """A column."""
    charset = "utf8mb4" if data_type == "varchar" else None
    return Column(name, data_type, data_type, charset, None, False, generated, "")


def table(*columns, key=("id",)):
    """A table called od`d."""
    keys = (Key("PRIMARY", tuple(KeyPart(name, None, False) for name in key)),) if key else ()
    return Table(TableName("shop", "od`d"), "BASE TABLE", "InnoDB", columns, keys, 0)


FILM = table(column("id"), column("v", "varchar"))


def test_replace_names_its_columns_and_leaves_generated_ones_to_the_server():
    odd = table(column("id"), column("g", generated="stored"), column("w", generated="virtual"), column("v", "varchar"))
    assert list(rewrite.replaces(odd, [(b"1", b"2", b"it's"), (b"3", b"4", None)], PACKET)) == [
        "REPLACE INTO `od``d` (`id`, `v`) VALUES (1, _utf8mb4 X'69742773'), (3, NULL)"
    ]
    assert list(rewrite.inserts(odd, [(b"1", b"2", b"x")], PACKET)) == ["INSERT INTO `od``d` (`id`, `v`) VALUES (1, 'x')"]


def test_delete_by_one_column_and_by_several():
    assert list(rewrite.deletes(FILM, [(b"1",), (b"2",)], PACKET)) == ["DELETE FROM `od``d` WHERE `id` IN (1, 2)"]
    wide = table(column("id"), column("k", "varchar"), key=("k", "id"))
    assert list(rewrite.deletes(wide, [(b"a", b"1"), (b"b", b"2")], PACKET)) == [
        "DELETE FROM `od``d` WHERE ((`k` = 'a' AND `id` = 1) OR (`k` = 'b' AND `id` = 2))"
    ]


def test_a_delete_by_timestamp_makes_the_server_log_the_time_zone():
    odd = table(column("id", "timestamp"))
    assert list(rewrite.deletes(odd, [(b"2024-01-01 00:00:00",)], PACKET)) == [
        "DELETE FROM `od``d` WHERE `id` IN ('2024-01-01 00:00:00') AND FROM_UNIXTIME(1) IS NOT NULL"
    ]
    both = table(column("id", "timestamp"), column("n"), key=("id", "n"))
    (statement,) = rewrite.deletes(both, [(b"2024-01-01 00:00:00", b"1"), (b"2024-01-01 00:00:00", b"2")], PACKET)
    assert statement.endswith("2)) AND FROM_UNIXTIME(1) IS NOT NULL"), "the condition must hold for every alternative"


def test_nothing_to_do_is_no_statement():
    assert list(rewrite.replaces(FILM, [], PACKET)) == []
    assert list(rewrite.deletes(FILM, [], PACKET)) == [], "a DELETE without condition would empty the target's table"


def test_statements_are_bounded():
    rows = [(str(number).encode(), b"\xff" * 1000) for number in range(2000)]
    found = list(rewrite.replaces(FILM, rows, PACKET))
    assert all(len(statement) < rewrite.STATEMENT_BYTES for statement in found)
    assert len(found) == 32
    assert sum(statement.count("X'") for statement in found) == 2000
    keys = [(str(number).encode(),) for number in range(300000)]
    assert sum(statement.count(",") + 1 for statement in rewrite.deletes(FILM, keys, PACKET)) == 300000


def test_a_large_row_has_a_statement_of_its_own_up_to_the_packet():
    rows = [(b"1", b"a"), (b"2", b"\xff" * 2_000_000), (b"3", b"b")]
    assert [len(statement) > rewrite.STATEMENT_BYTES for statement in rewrite.replaces(FILM, rows, PACKET)] == [
        False,
        True,
        False,
    ]
    with pytest.raises(TableProblem, match="row_too_large"):
        list(rewrite.replaces(FILM, rows, 4_000_000))
    changes = Differences(Difference("missing", row[:1], row, None) for row in rows)
    rewrite.refuse_too_large(FILM, changes, PACKET)
    with pytest.raises(TableProblem, match="row_too_large"):
        rewrite.refuse_too_large(FILM, changes, 4_000_000)
    rewrite.refuse_too_large(FILM, Differences([Difference("extra", (b"2",), None, rows[1])]), 4_000_000)


def test_preview_is_one_statement_a_row_with_the_full_name():
    changes = [
        Difference("extra", (b"1",), None, (b"1", b"x")),
        Difference("different", (b"2",), (b"2", b"y"), (b"2", b"z")),
        Difference("missing", (b"3",), (b"3", b"y"), None),
    ]
    assert rewrite.preview(FILM, changes, 2) == (
        "DELETE FROM `shop`.`od``d` WHERE `id` IN (1)",
        "REPLACE INTO `shop`.`od``d` (`id`, `v`) VALUES (2, 'y')",
    )


def test_a_table_without_key_is_refused():
    with pytest.raises(TableProblem, match="no_key"):
        list(rewrite.deletes(table(column("id"), key=()), [(b"1",)], PACKET))


def test_update_sets_every_column_of_one_row_and_makes_the_server_log_the_time_zone():
    assert list(rewrite.updates(FILM, [((b"1",), (b"1", b"x")), ((b"2",), (b"2", None))], PACKET)) == [
        "UPDATE IGNORE `od``d` SET `id` = 1, `v` = 'x' WHERE `id` IN (1)",
        "UPDATE IGNORE `od``d` SET `id` = 2, `v` = NULL WHERE `id` IN (2)",
    ]
    stamped = table(column("id"), column("g", generated="stored"), column("s", "timestamp"))
    (statement,) = rewrite.updates(stamped, [((b"1",), (b"1", b"2", None))], PACKET)
    assert statement == ("UPDATE IGNORE `od``d` SET `id` = 1, `s` = NULL WHERE `id` IN (1) AND FROM_UNIXTIME(1) IS NOT NULL")
    with pytest.raises(TableProblem, match="row_too_large"):
        list(rewrite.updates(FILM, [((b"1",), (b"1", b"\xff" * 1000))], 1000))


def test_rows_of_a_table_without_key_are_deleted_by_the_fingerprint_of_all_their_columns():
    loose = table(column("a"), column("s", "timestamp"), key=())
    (statement,) = rewrite.deletes_of_equal(loose, [b"\x01\x02", b"\x03"], PACKET)
    assert statement.startswith("DELETE FROM `od``d` WHERE UNHEX(LEFT(SHA2(")
    assert statement.endswith(" IN (X'0102', X'03') AND FROM_UNIXTIME(1) IS NOT NULL")
    assert list(rewrite.deletes_of_equal(loose, [], PACKET)) == []


def test_preview_says_what_is_really_done():
    recipe = recipes.Recipe(recipes.INSERT, recipes.UPDATE, None)
    changes = [
        Difference("different", (b"2",), (b"2", b"y"), (b"2", b"z")),
        Difference("missing", (b"3",), (b"3", b"y"), None),
    ]
    assert rewrite.preview(FILM, changes, 9, recipe) == (
        "UPDATE IGNORE `shop`.`od``d` SET `id` = 2, `v` = 'y' WHERE `id` IN (2)",
        "INSERT IGNORE INTO `shop`.`od``d` (`id`, `v`) VALUES (3, 'y')",
    )
    loose = table(column("a"), key=())
    twice = Difference("missing", (b"7",), (b"7",), (b"7",), source_copies=2, target_copies=1, digest=b"\x0f")
    shown = rewrite.preview(loose, [twice], 9)
    assert shown[0].startswith("DELETE FROM `shop`.`od``d` WHERE ")
    assert shown[1:] == ("REPLACE INTO `shop`.`od``d` (`a`) VALUES (7)",) * 2
