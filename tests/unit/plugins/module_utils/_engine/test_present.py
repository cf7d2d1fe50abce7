# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows as people read them."""

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import confirm, present
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)


def column(name: str, data_type: str, **more) -> Column:
    """A nullable column."""
    values = {
        "column_type": data_type,
        "charset": None,
        "collation": None,
        "nullable": True,
        "generated": "",
        "expression": "",
    }
    return Column(name, data_type, **{**values, **more})


TABLE = Table(
    TableName("shop", "orders"),
    "BASE TABLE",
    "InnoDB",
    (
        column("id", "int", nullable=False),
        column("status", "varchar", charset="latin1"),
        column("total", "decimal"),
        column("raw", "blob"),
        column("size", "enum", column_type="enum('S','M','it''s')"),
    ),
    (Key("PRIMARY", (KeyPart("id", None, False),)),),
    0,
)


def row(number: int, status: bytes | None = b"new", raw: bytes | None = None, size: bytes = b"3"):
    """A row of TABLE as read from a server."""
    return (str(number).encode(), status, b"7.00", raw, size)


def test_diff_is_what_a_person_can_review():
    differences = [
        confirm.Difference(confirm.DIFFERENT, (b"17",), row(17, b"refunded"), row(17, b"paid")),
        confirm.Difference(confirm.MISSING, (b"9",), row(9), None),
        confirm.Difference(confirm.EXTRA, (b"100",), None, row(100, None, b"\x00\xff")),
    ]
    block = present.diff(TABLE, differences, "db1", "db2")
    assert block.before_header == "shop.orders on db2 (target)"
    assert block.after_header == "shop.orders as on db1 (source)"
    assert block.before.splitlines() == [
        "id=17 | status='paid'",
        "id=100 | status=NULL | total=7.00 | raw=0x00ff | size='it''s'",
    ]
    assert block.after.splitlines() == [
        "id=9 | status='new' | total=7.00 | raw=NULL | size='it''s'",
        "id=17 | status='refunded'",
    ]


def test_diff_says_what_it_leaves_out():
    many = [confirm.Difference(confirm.MISSING, (str(n).encode(),), row(n), None) for n in range(600)]
    block = present.diff(TABLE, many, "db1", "db2")
    assert len(block.after.splitlines()) == 501
    assert block.after.splitlines()[-1] == "... and 100 more rows"


def test_data_cannot_steer_a_terminal():
    evil = confirm.Difference(confirm.DIFFERENT, (b"1",), row(1, b"\x1b[2J\n\xe9"), row(1))
    (line,) = present.diff(TABLE, [evil], "db1", "db2").after.splitlines()
    assert line == r"id=1 | status='\x1b[2J\n" + "é'"


def test_sample_has_the_key_and_only_the_columns_that_differ():
    shown = present.sample(TABLE, confirm.Difference(confirm.DIFFERENT, (b"17",), row(17, b"x" * 80), row(17, None)))
    assert shown.key == {"id": 17}
    assert shown.columns == ("status",)
    assert shown.source == {"status": "x" * 64 + "...(80 bytes)"}
    assert shown.target == {"status": None}
