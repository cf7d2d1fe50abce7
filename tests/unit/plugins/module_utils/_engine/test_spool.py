# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows beyond memory: in order, counted, read as often as wanted, in a file that nobody sees."""

from __future__ import annotations

import os
import tracemalloc

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import spool
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal


def differences(count):
    """Many, of all kinds and values."""
    for number in range(count):
        key = (str(number).encode(),)
        row = (*key, None, b"", bytes(range(256)))
        yield Difference("missing", key, row, None) if number % 3 else Difference("extra", key, None, row, 0, 2, b"\0d")


def test_all_come_back_in_order_as_often_as_wanted(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    kept = spool.Differences(differences(3000))
    assert list(kept) == list(differences(3000)) == list(kept)
    assert (len(kept), kept.rows, kept.largest) == (3000, {"missing": 2000, "extra": 2000}, 260)
    both = zip(kept, kept)
    assert all(one == other for one, other in both)
    assert os.listdir(tmp_path) == [], "the file has no name"


def test_it_may_grow_while_it_is_read():
    kept = spool.Differences(differences(2000))
    reading = iter(kept)
    first = next(reading)
    for each in differences(1000):
        kept.append(each)
    assert [first, *reading] == list(differences(2000))
    assert len(list(kept)) == 3000


def test_it_may_be_read_from_its_end():
    kept = spool.Spool()
    for number in range(3000):
        kept.append((number, b"x" * 300), 300)
    assert [number for number, _text in reversed(kept)] == [*reversed(range(3000))]
    assert list(reversed(spool.Spool())) == []


def test_several_share_a_file():
    file = spool.SpoolFile()
    some, others = spool.Differences(file=file), spool.Differences(file=file)
    for each in differences(3000):
        (some if each.kind == "extra" else others).append(each)
    assert [*some] == [each for each in differences(3000) if each.kind == "extra"]
    assert [*others] == [each for each in differences(3000) if each.kind == "missing"]


def test_memory_does_not_grow_with_the_rows():
    tracemalloc.start()
    kept = spool.Differences(differences(20_000))
    assert sum(1 for _each in kept) == 20_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 << 20, "the rows are 5 MiB"


def test_what_fits_into_memory_needs_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_directory", lambda: str(tmp_path / "nowhere"))
    assert len(list(spool.Differences(differences(100)))) == 100


def test_a_full_disk_is_a_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(spool, "_directory", lambda: str(tmp_path / "nowhere"))
    with pytest.raises(Refusal, match="no_room") as caught:
        spool.Differences(differences(3000))
    assert "TMPDIR" in caught.value.remedy


def test_batches():
    assert list(spool.in_batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert not list(spool.in_batches([], 2))


def test_the_next_item_can_be_fetched_early_and_none_is_lost():
    drawn = []

    def items():
        for number in range(4):
            drawn.append(number)
            yield number

    ahead = spool.Ahead(items())
    got = []
    for each in ahead:
        got.append(each)
        assert drawn == got
        if each % 2 == 0:
            ahead.fetch()
            ahead.fetch()
            assert drawn == [*got, each + 1]
    assert got == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [0, 1, 7, 8, 9, 24, 25, 3000])
def test_keys_are_found_again_and_no_others(monkeypatch, number):
    monkeypatch.setattr(spool, "_KEYS_IN_MEMORY", 8)
    monkeypatch.setattr(spool, "_PIECE_BYTES", 32)
    kept = [(str(n).encode(), None, b"\x00") for n in range(number)]
    others = [(b"0", b"", b"\x00"), (b"0", None), (b"0", None, b"\x00\x00"), (b"00", None, b"\x00"), (None, b"0", b"\x00"), ()]
    keys = spool.Keys(iter(kept))
    assert keys.of([*kept, *others]) == set(kept)
    assert keys.of(kept[::2]) == set(kept[::2])
    assert keys.of(others) == set()
    assert keys.of([]) == set()


def test_many_keys_take_little_memory_and_a_look_up_reads_little(monkeypatch):
    tracemalloc.start()
    try:
        keys = spool.Keys((str(n).encode(),) for n in range(100_000))
        assert tracemalloc.get_traced_memory()[1] < 5 << 20, "the digests alone are 5 MiB as objects"
    finally:
        tracemalloc.stop()
    read, readings = spool.SpoolFile.read, []
    monkeypatch.setattr(spool.SpoolFile, "read", lambda *how: (readings.append(how[2]), read(*how))[1])
    assert keys.of([(b"99999",), (b"5",), (b"100000",)]) == {(b"99999",), (b"5",)}
    assert sum(readings) < 1000, "of 1.6 MB; a plan of as many rows asks as often"


def test_portions_are_bounded_by_number_and_size():
    mib = 1 << 20
    assert list(spool.in_portions([1, 2, 3, 4, 5], 2, lambda item: item)) == [[1, 2], [3, 4], [5]]
    sizes = [mib, 3 * mib, 1, 9 * mib, 1]
    assert list(spool.in_portions(sizes, 100, lambda item: item)) == [[mib, 3 * mib], [1], [9 * mib], [1]]
    assert list(spool.in_portions([], 2, lambda item: item)) == []
