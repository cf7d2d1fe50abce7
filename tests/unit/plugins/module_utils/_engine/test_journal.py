# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The undo journal: exact, private, durable, and readable after a crash."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import journal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.confirm import Difference
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import (
    Column,
    Key,
    KeyPart,
    Table,
    TableName,
)

HEADER = journal.Header(
    "sync", journal.Identity("db1:3306", 1, "u-1"), journal.Identity("../../etc/x y;[::1]:3306", 2, None), tool="1.0.0"
)


def table(name="film"):
    """A table with an integer key and a latin1 text."""
    columns = (
        Column("id", "int", "int", None, None, False, "", ""),
        Column("v", "varchar", "varchar(9)", "latin1", "latin1_swedish_ci", True, "", ""),
    )
    return Table(TableName("shop", name), "BASE TABLE", "InnoDB", columns, (Key("PRIMARY", (KeyPart("id", None, False),)),), 0)


MISSING = Difference("missing", (b"1",), (b"1", b"caf\xe9"), None)
EXTRA = Difference("extra", (b"2",), None, (b"2", None))
DIFFERENT = Difference("different", (b"3",), (b"3", b"it's \\ \""), (b"3", b""))


def written(directory, *changes):
    """A finished journal; returns its path."""
    with journal.create(str(directory), HEADER) as writer:
        writer.plan(table(), changes)
    return writer.path


def test_what_is_written_is_read(tmp_path):
    with journal.create(str(tmp_path), HEADER) as writer:
        assert writer.plan(table(), [MISSING, EXTRA]) == range(1, 3)
        assert writer.plan(table("actor"), [DIFFERENT]) == range(3, 4)
        writer.image(3, (b"3", b"seen"), None)
        writer.committed([1, 3])
        writer.verified([1])
    found = journal.read(writer.path)
    assert (found.header.kind, found.header.source, found.header.target, found.header.tool) == (
        "sync",
        HEADER.source,
        HEADER.target,
        "1.0.0",
    )
    assert found.header.created.endswith("Z")
    assert len(found) == 3
    first, second, third = found.entries()
    assert (first.kind, first.key, first.before, first.after, first.committed) == (
        "missing",
        (b"1",),
        None,
        (b"1", b"caf\xe9"),
        True,
    )
    assert (second.before, second.after, second.committed) == ((b"2", None), None, False)
    assert (third.before, third.after, third.committed) == ((b"3", b"seen"), None, True)
    assert third.table == journal.describe(table("actor"))


def test_copies_of_rows_without_a_key(tmp_path):
    loose = replace(table(), unique_keys=())
    row = (b"1", None)
    change = Difference("missing", row, row, None, source_copies=3, target_copies=0, digest=b"x")
    with journal.create(str(tmp_path), HEADER) as writer:
        writer.plan(loose, [change, change])
        writer.image(2, row, row, (1, 2))
    assert [entry.copies for entry in journal.read(writer.path).entries()] == [(0, 3), (1, 2)]
    assert [entry.copies for entry in journal.read(written(tmp_path, MISSING)).entries()] == [(1, 1)]


def test_what_a_table_may_have_become_and_still_take_its_rows():
    then, described = table(), journal.describe(table())
    number, text = then.columns
    turned = journal.describe(replace(then, columns=(replace(text, name="V"), replace(number, column_type="int(11)"))))
    assert described.is_alike(turned)
    assert turned.places_in(described) == (1, 0)
    old = journal.Entry(1, described, "different", (b"3",), (b"3", b"a"), None, True).placed((1, 0))
    assert (old.key, old.before, old.after) == ((b"3",), (b"a", b"3"), None)
    for other in (
        replace(then, columns=(number,)),
        replace(then, columns=(number, replace(text, column_type="varchar(8)"))),
        replace(then, columns=(number, replace(text, charset="utf8mb4"))),
        replace(then, unique_keys=(Key("PRIMARY", (KeyPart("id", None, False), KeyPart("v", None, False))),)),
        replace(then, unique_keys=()),
    ):
        assert not described.is_alike(journal.describe(other))


def test_only_images_need_be_on_disk_before_a_commit(tmp_path, monkeypatch):
    """What is noted afterwards costs no fsync of its own; the next image, or the end, takes it along."""
    synced = []
    with journal.create(str(tmp_path), HEADER) as writer:
        writer.plan(table(), [MISSING])
        monkeypatch.setattr(journal.os, "fsync", synced.append)
        writer.committed([1])
        writer.flush()
        assert synced == []
        writer.image(1, None, None)
        writer.flush()
        assert len(synced) == 1
        writer.verified([1])
    assert len(synced) == 2


def test_readable_text_stays_readable(tmp_path):
    lines = [json.loads(line) for line in Path(written(tmp_path, MISSING, DIFFERENT)).read_text("ascii").splitlines()]
    assert [line["is"] for line in lines] == ["header", "table", "row", "row"]
    assert lines[2]["after"] == ["1", {"hex": "636166e9"}]
    assert lines[3]["after"] == ["3", "it's \\ \""]


def test_only_the_owner_may_read_it_and_its_name_is_harmless(tmp_path):
    old = os.umask(0)
    try:
        path = written(tmp_path / "new" / "dir")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert os.path.dirname(path) == str(tmp_path / "new" / "dir")
    name = os.path.basename(path)
    assert name.startswith("sync-2")
    assert name.endswith(".jsonl")
    assert not set(name) & set("/; []:")
    assert written(tmp_path / "new" / "dir") != path


def test_a_directory_that_is_there_keeps_its_mode(tmp_path):
    tmp_path.chmod(0o755)
    written(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_the_default_directory_is_that_of_the_modules(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert os.path.dirname(written("")) == str(tmp_path / ".mysql_repl" / "undo")


def test_everything_planned_is_on_disk_when_plan_returns(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(
        journal.os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_size), fsync(descriptor))[1]
    )
    with journal.create(str(tmp_path), HEADER) as writer:
        assert len(synced) == 2, "the file and its directory"
        writer.plan(table(), [MISSING])
        assert synced[-1] == os.path.getsize(writer.path)
        count = len(synced)
        writer.flush()
        assert len(synced) == count, "nothing new, nothing to wait for"
        writer.image(1, None, None)
        writer.flush()
        assert synced[-1] == os.path.getsize(writer.path)
        assert len(synced) == count + 1


def test_unwritable(tmp_path, monkeypatch):
    plain = tmp_path / "file"
    plain.write_text("x", encoding="ascii")
    with pytest.raises(Refusal, match="journal_unwritable") as caught:
        journal.create(str(plain), HEADER)
    assert "undo_dir" in caught.value.remedy
    assert str(plain) in caught.value.message

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    writer = journal.create(str(tmp_path), HEADER)
    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        with pytest.raises(Refusal, match="No space left"):
            writer.plan(table(), [MISSING])
    writer.close()


def test_a_device_that_is_full(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    writer = journal.Writer("/dev/full", os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(Refusal, match="journal_unwritable"):
        writer.plan(table(), [MISSING])
    writer.close()  # it was refused: nothing hides the result of what was done before
    writer = journal.Writer("/dev/full", os.open("/dev/full", os.O_WRONLY))
    writer.verified([1])
    with pytest.raises(Refusal, match="journal_unwritable"):
        writer.close()


def test_an_unfinished_last_line_is_no_damage(tmp_path):
    path = written(tmp_path, MISSING)
    with open(path, "ab") as file:
        file.write(b'{"is":"row","id":2,"tab')
    assert len(journal.read(path)) == 1


def test_a_journal_can_be_read_while_it_is_written(tmp_path):
    with journal.create(str(tmp_path), HEADER) as writer:
        writer.plan(table(), [MISSING, EXTRA])
        assert [entry.id for entry in journal.read(writer.path).entries()] == [1, 2]
        writer.plan(table("actor"), [DIFFERENT])
        assert len(journal.read(writer.path)) == 3


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: [], "no header"),
        (lambda lines: ["hello world"], "line 1"),
        (lambda lines: ['{"is":"header","format":"other","version":1}'], "line 1"),
        (lambda lines: [lines[0].replace('"version":2', '"version":3'), *lines[1:]], "version 3"),
        (lambda lines: [lines[0], lines[1], "garbage", lines[2]], "line 3"),
        (lambda lines: [lines[0], lines[2], lines[1]], "line 2"),
        (lambda lines: [*lines, lines[2]], "line 4"),
        (lambda lines: [*lines, '{"is":"image","id":9,"before":null,"after":null}'], "line 4"),
        (lambda lines: [lines[0], lines[1], lines[2].replace('"1",{"hex"', '{"hex"')], "line 3"),
        (lambda lines: [*lines, '{"is":"surprise"}'], "line 4"),
        (lambda lines: [*lines, "[1]"], "line 4"),
    ],
)
def test_damage_is_named_by_line(tmp_path, damage, said):
    path = written(tmp_path, MISSING)
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{line}\n" for line in damage(lines))
    with pytest.raises(Refusal, match="journal_unreadable") as caught:
        journal.read(path)
    assert said in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(Refusal, match="journal_unreadable"):
        journal.read(str(tmp_path / "none"))
    with pytest.raises(Refusal, match="journal_unreadable"):
        journal.read(str(tmp_path))


def test_a_journal_that_cannot_begin_leaves_no_file(tmp_path, monkeypatch):
    """A full disk: nothing was changed, and no file without a header is left to puzzle over."""

    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal.os, "fsync", full)
    with pytest.raises(Refusal, match="No space left"):
        journal.create(str(tmp_path), HEADER)
    assert list(tmp_path.iterdir()) == []
