# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the rows of a journal stand: exact, by table, in bounded memory."""

from __future__ import annotations

import tracemalloc

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.places import Place, Places


def some():
    """Rows of the tables 1, 2 and 1 again, at 10, 20, ..."""
    places = Places()
    for offset, table in enumerate((1, 1, 2, 1), 1):
        places.append(table, 10 * offset)
    return places


def test_rows_come_back_table_by_table_in_order():
    places = some()
    assert [places.image(number, 90 + number) for number in (3, 4)] == [2, 1]
    assert places.image(4, 99) == 1
    places.commit([2, 4])
    assert list(places.of({1})) == [Place(1, 10, 10, False), Place(2, 20, 20, True), Place(4, 40, 99, True)]
    assert list(places.of({2})) == [Place(3, 30, 93, False)]
    assert [place.number for place in places.of({1, 2})] == [1, 2, 3, 4]
    assert (len(places), places.count({1}), places.count({2}), places.count({3})) == (4, 3, 1, 0)
    assert list(Places().of({1})) == []


@pytest.mark.parametrize("number", [0, 5, -1])
def test_a_row_that_is_not_there_is_an_error(number):
    places = some()
    with pytest.raises(ValueError, match=str(number)):
        places.commit([1, number])
    with pytest.raises(ValueError, match=str(number)):
        places.image(number, 1)


def test_a_row_takes_some_twenty_bytes():
    rows = 100_000
    tracemalloc.start()
    try:
        places = Places()
        for offset in range(rows):
            places.append(offset * 10 // rows, offset + (1 << 40))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(places) == rows
    assert held < 24 * rows
