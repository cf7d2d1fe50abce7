# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Key ranges as SQL, checked by running the conditions on Python rows."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import BadValue
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import (
    KeyRange,
    KeySpace,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)


def column(name: str, data_type: str = "int") -> Column:
    """A column that is part of a key."""
    return Column(name, data_type, data_type, None, None, False, "", "")


def space(*parts: KeyPart, data_type: str = "int") -> KeySpace:
    """The key space of a table with one key."""
    key = Key("PRIMARY", parts)
    columns = tuple(column(part.column, data_type) for part in parts)
    return KeySpace(Table(TableName("d", "t"), "BASE TABLE", "InnoDB", columns, (key,), 0), key)


def evaluate(condition: str, **values: int) -> bool:
    """Evaluate one of our conditions on a row of integers as Python would."""
    text = condition.replace("`", "").replace(" = ", " == ").replace("AND", "and").replace("OR", "or")
    return bool(eval(text.replace("TRUE", "True"), {}, values))


@pytest.mark.parametrize("descending", [(False, False), (True, True), (False, True), (True, False)])
def test_ranges_follow_one_another_without_gap_or_overlap(descending):
    sort = [(-1 if down else 1) for down in descending]
    rows = sorted(((a, b) for a in range(4) for b in range(4)), key=lambda row: (row[0] * sort[0], row[1] * sort[1]))
    keys = space(KeyPart("a", None, descending[0]), KeyPart("b", None, descending[1]))
    bounds = [None, *((str(a).encode(), str(b).encode()) for a, b in rows[3::5]), None]
    spans = [KeyRange(lower, upper) for lower, upper in zip(bounds, bounds[1:])]
    for row in rows:
        hits = [span for span in spans if evaluate(keys.within(span), a=row[0], b=row[1])]
        assert len(hits) == 1
    in_order = [row for span in spans for row in rows if evaluate(keys.within(span), a=row[0], b=row[1])]
    assert in_order == rows


def test_unbounded_range_takes_every_row():
    assert space(KeyPart("a", None, False)).within(KeyRange()) == "TRUE"


def test_names_and_values_cannot_leave_their_place():
    odd = space(KeyPart("a`b", None, False), data_type="varchar")
    assert odd.any_of([(b"x'; DROP TABLE t -- ",)]) == "`a``b` IN (_utf8mb4 X'78273B2044524F50205441424C452074202D2D20')"


@pytest.mark.parametrize(
    ("numbers", "condition"),
    [
        ((7,), "`a` IN (7)"),
        ((8, 7, 9), "`a` BETWEEN 7 AND 9"),
        ((-1, 1, 3, 5), "`a` BETWEEN -1 AND 5"),  # co-masters that count in steps of two
        ((1, 2, 9), "`a` IN (1, 2, 9)"),
        ((2**64 - 2, 2**64 - 1), f"`a` BETWEEN {2**64 - 2} AND {2**64 - 1}"),
    ],
)
def test_integers_close_together_are_one_range_that_holds_no_more_than_twice_as_many(numbers, condition):
    keys = [(b"%d" % number,) for number in numbers]
    assert space(KeyPart("a", None, False)).near(keys) == condition


@pytest.mark.parametrize(
    ("keys", "condition"),
    [
        (space(KeyPart("a", None, True)), "`a` IN (1, 2)"),
        (space(KeyPart("a", None, False), data_type="decimal"), "`a` IN (1, 2)"),
        (space(KeyPart("a", None, False), data_type="varbinary"), "`a` IN (X'31', X'32')"),
    ],
)
def test_other_keys_are_looked_up_one_by_one(keys, condition):
    assert keys.near([(b"1",), (b"2",)]) == condition


@pytest.mark.parametrize(
    ("numbers", "condition"),
    [
        ((7,), "`a` IN (7)"),
        ((8, 7, 9), "`a` BETWEEN 7 AND 9 ORDER BY `a` LIMIT 3"),
        ((-1, 0), "`a` BETWEEN -1 AND 0 ORDER BY `a` LIMIT 2"),
        ((1, 2, 4), "`a` IN (1, 2, 4)"),
    ],
)
def test_a_reading_that_locks_takes_a_range_only_where_nothing_is_between(numbers, condition):
    assert space(KeyPart("a", None, False)).exactly([(b"%d" % number,) for number in numbers]) == condition


@pytest.mark.parametrize("keys", [[(b"1", b"a"), (b"2", b"b")], [(b"3", b"c")], []])
def test_rows_by_their_keys_are_those_of_key_of(keys):
    by_b = space(KeyPart("b", None, False), KeyPart("a", None, False))
    assert by_b.by_key(keys) == {by_b.key_of(row): row for row in keys}


def test_what_is_no_integer_is_no_end_of_a_range():
    """It comes from a file that somebody has changed."""
    keys = space(KeyPart("a", None, False))
    assert keys.near([(b"1",), (b"1.5",)]) == "`a` IN (1, 1.5)"
    with pytest.raises(BadValue):
        keys.near([(b"1",), (b"x",)])
