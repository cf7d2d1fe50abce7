# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a suspected row counts as drift: two drained readings in a row find both copies as they were."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import confirm
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

COLUMNS = tuple(Column(name, "int", "int", None, None, False, "", "") for name in ("id", "v"))
TABLE = Table(TableName("d", "t"), "BASE TABLE", "InnoDB", COLUMNS, (Key("PRIMARY", (KeyPart("id", None, False),)),), 1)
KEY = (b"1",)


class Rows(tuple):
    """An answer; to know it again all of it is needed."""

    bare = property(lambda self: self)
    whole = property(lambda self: b"".join(value for row in self for value in row))


class Server:
    """Answers with one value of the row after another."""

    def __init__(self, values):
        self._values = iter(values)

    def ask(self, statements, hear, known=()):
        for _statement in statements:
            hear(Rows([(b"1", b"%d" % next(self._values))]))

    def rows_of(self, answer):
        return answer


@pytest.mark.parametrize(("held", "together"), [(1, [2, 2, 2, 2, 2, 2, 2, 2, 2]), (1000, [2, 4, 6, 4, 2])], ids=["full", "room"])
def test_no_more_is_begun_with_while_long_rows_are_held(monkeypatch, held, together):
    monkeypatch.setattr(confirm, "_HELD_BYTES", held)
    asked = []

    class Counting(Server):
        def ask(self, statements, hear, known=()):
            statements = list(statements)
            asked[-1] += len(statements)
            super().ask(statements, hear, known)

    def read(*arguments):
        asked.append(0)
        really(*arguments)

    really = confirm._read
    monkeypatch.setattr(confirm, "_read", read)
    source, target = Counting([10] * 20), Counting([20] * 20)
    found = []
    with confirm.Readings(source, target, TABLE, lambda: None) as readings:
        for number in range(3):
            found += readings.step([KEY], number)
        found += readings.rest()
    assert [tag for _differences, tag in found] == [0, 1, 2]
    assert asked == together


def test_rows_between_the_keys_are_not_given():
    """They may come with the others, where keys lie close together."""

    class Between(Server):
        def ask(self, statements, hear, known=()):
            (statement,) = statements
            assert "BETWEEN 1 AND 3" in statement
            hear(Rows([(b"1", b"10"), (b"2", b"20"), (b"3", b"30")]))

    assert confirm.read_rows(Between([]), TABLE, [(b"1",), (b"3",)]) == {(b"1",): (b"1", b"10"), (b"3",): (b"3", b"30")}


def confirmed(readings):
    """What is confirmed of a row with these values on source and target, reading after reading, and how often was drained."""
    fences = []
    source, target = (Server(values) for values in zip(*readings))
    found = confirm.confirm(source, target, TABLE, [KEY], lambda: fences.append(1))
    return [(each.source[1], each.target[1]) for each in found], len(fences)


@pytest.mark.parametrize(
    ("readings", "found"),
    [
        ([(1, 2), (1, 2), (1, 2)], [(b"1", b"2")]),  # stays
        ([(1, 2), (1, 1)], []),  # was on its way
        ([(1, 2), (1, 2), (2, 2)], []),  # came back to what it was for one reading
        ([(1, 2), (3, 2), (3, 2), (3, 3)], []),
        ([(1, 2), (3, 2), (3, 2), (3, 2)], [(b"3", b"2")]),
    ],
)
def test_only_what_stays_is_drift(readings, found):
    assert confirmed(readings) == (found, len(readings) - 1)


def test_a_row_that_never_stays_is_undecided():
    with pytest.raises(Undecided, match="rows_keep_changing"):
        confirmed([(number, 0) for number in range(1, 100)])


class Spelling(Server):
    """Has the row 'A' of the key 'a'; asked for it alone, the first answer came while it was gone for a moment."""

    def __init__(self, gone):
        super().__init__(())
        self._gone = gone

    def ask(self, statements, hear, known=()):
        for _statement in statements:
            hear(Rows([(b"A", b"1")]))

    def rows(self, _statement):
        gone, self._gone = self._gone, False
        return [] if gone else [(b"A", b"1")]


def test_a_key_spelt_otherwise_is_looked_at_anew_with_each_reading():
    """Its row is asked for a second time, by itself: the first answer being as before says nothing of the second."""
    name = Column("id", "varchar", "varchar(9)", "utf8mb4", "utf8mb4_general_ci", False, "", "")
    key = Key("PRIMARY", (KeyPart("id", None, False),))
    table = Table(TableName("d", "t"), "BASE TABLE", "InnoDB", (name, COLUMNS[1]), (key,), 1)
    assert confirm.confirm(Spelling(gone=True), Spelling(gone=False), table, [(b"a",)], lambda: None) == []
