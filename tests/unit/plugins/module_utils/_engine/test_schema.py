# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which differences of two definitions matter, and which key tells rows apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import schema
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)

ID = Column("id", "int", "int(11)", None, None, False, "", "")
NAME = Column("name", "varchar", "varchar(20)", "utf8mb3", "utf8mb3_general_ci", True, "", "")
SUM = Column("sum", "int", "int(11)", None, None, True, "stored", "`id` + 1")
PRIMARY = Key("PRIMARY", (KeyPart("id", None, False),))
BY_NAME = Key("by_name", (KeyPart("name", None, False),))
TABLE = Table(TableName("d", "t"), "BASE TABLE", "InnoDB", (ID, NAME, SUM), (PRIMARY,), 10)


def with_column(column: Column) -> Table:
    """TABLE with one column defined otherwise."""
    return replace(TABLE, columns=tuple(column if each.name == column.name else each for each in TABLE.columns))


@pytest.mark.parametrize(
    "other",
    [
        replace(TABLE, rows_estimate=99),
        replace(TABLE, engine="MyISAM"),
        replace(TABLE, columns=TABLE.columns[::-1]),
        with_column(replace(ID, column_type="int")),
        with_column(replace(NAME, collation="utf8mb3_bin")),
        with_column(replace(SUM, expression="ID + 1")),
        replace(with_column(replace(SUM, expression="(id+1)")), shown_by="another"),
        with_column(replace(NAME, column_type="varchar(20) /*M!100301 COMPRESSED*/")),
    ],
)
def test_differences_that_do_not_matter(other):
    assert schema.differences(TABLE, other) == ()


@pytest.mark.parametrize(
    ("ours", "theirs", "same"),
    [
        ("`a` * (`b` + 1)", "`a` * `b` + 1", False),
        ("concat('A b',`a`)", "concat('a b',`a`)", False),
        ("concat('a b',`a`)", "concat('ab',`a`)", False),
        ("concat('a(',`a`)", "concat('a`',`a`)", False),
        ("concat(_utf8mb4\\'it\\\\\\'s A\\',`a`)", "concat('it\\'s A',`a`)", True),
        ("concat(_utf8mb4\\'it\\\\\\'s A\\',`a`)", "concat('it\\'s a',`a`)", False),
        ("concat('it''s  ',`a`)", "CONCAT( 'it''s  ', a )", True),
    ],
)
def test_what_an_expression_says(ours, theirs, same):
    tables = (with_column(replace(SUM, expression=text)) for text in (ours, theirs))
    assert (schema.differences(*tables) == ()) is same


def test_how_each_make_shows_an_expression():
    ours, theirs = (
        with_column(replace(SUM, expression=text)) for text in ("concat('no. ',`id`)", "concat(_utf8mb4\\'no. \\',`id`)")
    )
    assert schema.differences(ours, theirs) == ()
    assert schema.differences(ours, with_column(replace(SUM, expression="concat('nr. ',`id`)"))) != ()


@pytest.mark.parametrize(
    ("mariadb", "mysql", "same"),
    [
        (("year", "year(4)"), ("year", "year"), True),
        (("geometrycollection", "geometrycollection"), ("geomcollection", "geomcollection"), True),
        (("longtext", "longtext"), ("json", "json"), False),
        (("int", "int(5) unsigned zerofill"), ("int", "int(6) unsigned zerofill"), False),
    ],
)
def test_what_each_make_calls_a_type(mariadb, mysql, same):
    ours, theirs = (with_column(replace(ID, data_type=name, column_type=shown)) for name, shown in (mariadb, mysql))
    assert (schema.differences(ours, theirs) == ()) is same
    assert (schema.column_order(ours) == schema.column_order(theirs)) is same


def test_row_changes_carry_columns_by_position_and_compressed_ones_as_such():
    order = schema.column_order(TABLE)
    assert schema.column_order(with_column(replace(NAME, name="NAME"))) == order
    assert schema.column_order(replace(TABLE, columns=TABLE.columns[::-1])) != order
    assert schema.column_order(with_column(replace(NAME, column_type="varchar(20) /*M!100301 COMPRESSED*/"))) != order
    label = "enum('/* COMPRESSED */')"
    assert schema.column_order(with_column(replace(NAME, data_type="enum", column_type=label)))[1][-1] is False


@pytest.mark.parametrize(
    ("shown", "plain"),
    [
        ("int(11) unsigned", "int unsigned"),
        ("tinyint(1)", "tinyint"),
        ("varchar(20) /*M!100301 COMPRESSED*/", "varchar(20)"),
        ("enum('int(1)')", "enum('int(1)')"),
        ("geometrycollection", "geomcollection"),
        ("int(5) unsigned zerofill", "int(5) unsigned zerofill"),
        ("point srid 4326", "point srid 4326"),
    ],
)
def test_a_type_without_what_says_nothing_of_its_values(shown, plain):
    assert schema.plain_type(shown) == plain


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (replace(TABLE, columns=(ID, NAME)), "missing on the target"),
        (with_column(replace(ID, column_type="int(10) unsigned")), "unsigned"),
        (with_column(replace(NAME, charset="latin1")), "latin1"),
        (with_column(replace(NAME, nullable=False)), "NOT NULL"),
        (with_column(replace(SUM, expression="`id` + 2")), "`id` + 2"),
        (with_column(replace(SUM, generated="")), "column sum"),
        (replace(TABLE, unique_keys=(PRIMARY, BY_NAME)), "UNIQUE(name)"),
        (replace(TABLE, unique_keys=(Key("PRIMARY", (KeyPart("id", None, True),)),)), "id DESC"),
    ],
)
def test_differences_that_matter(other, word):
    (difference,) = schema.differences(TABLE, other)
    assert word in difference


def test_a_collation_matters_where_rows_are_looked_up_by_it():
    keyed = replace(TABLE, unique_keys=(PRIMARY, BY_NAME))
    other = replace(with_column(replace(NAME, collation="utf8mb3_bin")), unique_keys=(PRIMARY, BY_NAME))
    assert "utf8mb3_bin" in schema.differences(keyed, other)[0]


def test_the_key_is_the_primary_one_or_unique_without_nulls():
    assert TABLE.key == PRIMARY
    assert replace(TABLE, unique_keys=(BY_NAME,)).key is None, "a unique key may hold many NULLs"
    not_null = replace(with_column(replace(NAME, nullable=False)), unique_keys=(BY_NAME,))
    assert not_null.key == BY_NAME
    virtual = replace(with_column(replace(ID, generated="virtual")), unique_keys=(PRIMARY,))
    assert virtual.key is None, "a virtual column is not among the values read"


def test_a_comment_among_labels_is_a_label():
    choice = Column("c", "enum", "enum('/*a*/','b')", "latin1", "latin1_bin", True, "", "")
    other = replace(choice, column_type="enum('','b')")
    assert schema.differences(replace(TABLE, columns=(ID, choice)), replace(TABLE, columns=(ID, other)))


def test_ignored_columns_may_be_unlike_unless_a_key_holds_them():
    other = replace(TABLE, columns=(ID, replace(SUM, generated="")))
    assert schema.differences(TABLE, other, frozenset({"name", "SUM"})) == ()
    assert schema.without_unlike(TABLE, other, frozenset({"name", "sum"})).columns == (ID,)
    assert schema.without_unlike(TABLE, TABLE, frozenset({"name"})) is TABLE
    assert schema.differences(replace(TABLE, unique_keys=(PRIMARY, BY_NAME)), other, frozenset({"name"}))


def test_a_key_that_queries_may_not_use_or_walk_along_comes_last_or_never():
    one, two = Column("one", "int", "int", None, None, False, "", ""), Column("two", "int", "int", None, None, False, "", "")
    hashed = Key("a", (KeyPart("one", None, False),), ordered=False)
    walked = Key("b", (KeyPart("one", None, False), KeyPart("two", None, False)))
    hidden = Key("c", (KeyPart("two", None, False),), usable=False)
    table = replace(TABLE, columns=(one, two), unique_keys=(hashed, walked, hidden))
    assert table.key == walked
    assert replace(table, unique_keys=(hidden, hashed)).key == hashed
    assert replace(table, unique_keys=(hidden,)).key is None
    renamed = replace(walked, name="d")
    assert schema.differences(table, replace(table, unique_keys=(hashed, renamed, hidden)))
