# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plan, state and undo files that were damaged, cut, or written by somebody else: refused in words, never a traceback.

What passes as whole is what was written, or fits the definitions: no row with a value too few reaches a statement.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal, planfile, report, state
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ReplError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.facts import ServerFacts
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

SOURCE = ServerFacts("source", "db1", 3306, "mysql", "9.0.0", 1, "u-1")
TARGET = ServerFacts("target", "db2", 3306, "mysql", "9.0.0", 2, "u-2")
HEADER = journal.Header("sync", journal.Identity("db1:3306", 1, "u-1"), journal.Identity("db2:3306", 2, "u-2"), tool="1")
COLUMNS = (
    Column("id", "int", "int", None, None, False, "", ""),
    Column("v", "varchar", "varchar(9)", "latin1", "latin1_swedish_ci", True, "", ""),
)
TABLE = Table(TableName("shop", "film"), "BASE TABLE", "InnoDB", COLUMNS, (Key("PRIMARY", (KeyPart("id", None, False),)),), 0)
CHANGES = (
    Difference("missing", (b"1",), (b"1", b"caf\xe9"), None),
    Difference("extra", (b"2",), None, (b"2", None)),
    Difference("different", (b"3",), (b"3", b"it's"), (b"3", b"")),
)
FOUND = report.TableReport("shop", "film", "drift", rows=3, missing=1)

GARBAGE = (b"[" * 20_000, b"{}", b"[]", b"null", b"1" * 5000, b"NaN", b"\xff\xfe", b'{"a":' * 20_000)
STRANGE = (None, True, 0, -1, 2**70, 1.5, "", "x", "\u20ac", [], {}, [None], {"hex": "zz"}, {"hex": 1}, [[]], ["1"], "1" * 5000)


def damaged(dice: random.Random, whole: bytes) -> bytes:
    """The file with something else in it."""
    how = dice.randrange(7)
    place = dice.randrange(len(whole))
    if how == 0:
        return whole[:place]
    if how == 1:
        return whole[:place] + bytes([dice.randrange(256)]) + whole[place + 1 :]
    if how == 2:
        return bytes(dice.randrange(256) for _each in range(dice.randrange(200)))
    lines = whole.splitlines(keepends=True)
    if how == 3:
        return b"".join(dice.sample(lines, dice.randrange(len(lines) + 1)))
    if how == 4:
        return b"".join([*lines, dice.choice(lines)])
    number = dice.randrange(len(lines))
    if how == 5:
        lines[number] = dice.choice(GARBAGE) + b"\n"
        return b"".join(lines)
    said = json.loads(lines[number])
    _change(dice, said)
    lines[number] = json.dumps(said).encode() + b"\n"
    return b"".join(lines)


def _change(dice: random.Random, said) -> None:
    """Another value, or none, somewhere inside."""
    places = list(said) if isinstance(said, dict) else list(range(len(said)))
    if not places:
        return
    place = dice.choice(places)
    if isinstance(said[place], (dict, list)) and said[place] and dice.random() < 0.7:
        _change(dice, said[place])
    elif dice.random() < 0.25:
        del said[place]
    else:
        said[place] = dice.choice(STRANGE)


def each_damage(path, whole: bytes, count: int = 600):
    """Write one damaged version after the other."""
    for seed in range(count):
        path.write_bytes(damaged(random.Random(seed), whole))
        yield seed


def test_undo_journals(tmp_path):
    with journal.create(str(tmp_path), HEADER) as writer:
        writer.plan(TABLE, CHANGES)
        writer.image(3, (b"3", b"seen"), None)
        writer.committed([1, 3])
    path = tmp_path / "journal"
    whole = Path(writer.path).read_bytes()
    refused, codes = 0, set()
    for seed in each_damage(path, whole):
        try:
            entries = list(journal.read(str(path)).entries())
        except ReplError as problem:
            codes.add(problem.code)
            refused += 1
            continue
        for entry in entries:
            assert isinstance(entry.key, tuple), seed
            assert len(entry.key) == len(entry.table.key), seed
            for image in (entry.before, entry.after):
                assert image is None or len(image) == len(entry.table.columns), seed
            assert entry.kind in ("missing", "extra", "different"), seed
            assert all(isinstance(count, int) for count in entry.copies), seed
            assert isinstance(entry.table.name.table, str), seed
    assert refused > 200, refused
    assert codes == {"journal_unreadable"}


def test_plan_files(tmp_path):
    path = tmp_path / "plan"
    with planfile.Writer(str(path), SOURCE, TARGET) as writer:
        for change in CHANGES:
            writer.add(TABLE, change)
    whole = path.read_bytes()
    refused, codes = 0, set()
    for seed in each_damage(path, whole):
        try:
            planned = planfile.read(str(path), SOURCE, TARGET, 100)
        except ReplError as problem:
            codes.add(problem.code)
            refused += 1
            continue
        for table in planned:
            assert isinstance(table.name.database, str), seed
            for row in table.rows:
                assert isinstance(row.key, tuple), seed
                assert row.kind in ("missing", "extra", "different"), seed
    assert refused > 200, refused
    assert codes == {"bad_option", "wrong_plan"}


def test_state_files(tmp_path):
    path = tmp_path / "state"
    made = state.StateFile(str(path), "question")
    made.note(TABLE, (b"2",), FOUND)
    made.write()
    whole = path.read_bytes()
    refused, codes = 0, set()
    for seed in each_damage(path, whole):
        try:
            kept = state.StateFile(str(path), "question")
            checkpoint = kept.checkpoint(TABLE)
            kept.finished(TABLE)
        except ReplError as problem:
            codes.add(problem.code)
            refused += 1
            continue
        if checkpoint:
            assert len(checkpoint[0]) == 1, seed
    assert refused > 200, refused
    assert codes == {"bad_option"}


@pytest.mark.parametrize("folder", ["journal", "plan", "state"])
def test_a_folder_is_no_file(tmp_path, folder):
    reading = {
        "journal": lambda: journal.read(str(tmp_path)),
        "plan": lambda: planfile.read(str(tmp_path), SOURCE, TARGET, 1),
        "state": lambda: state.StateFile(str(tmp_path), "question"),
    }
    with pytest.raises(ReplError):
        reading[folder]()
