# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a killed module leaves is removed by the next one, and nothing else is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _folder as folder


def made(parent: Path, name: str, age: float = 3600) -> folder.Folder:
    """A folder with progress in it, made so many seconds ago."""
    new = folder.Folder(str(parent / f"{folder.PREFIX}{name}"))
    Path(new.file("progress")).write_text("{}", encoding="utf-8")
    _grow_old(new.path, age)
    return new


def _grow_old(path: str, age: float) -> None:
    then = os.stat(path).st_mtime - age
    os.utime(path, (then, then))


def _kill(owner: folder.Folder) -> None:
    """What the end of its process does to a folder."""
    owner._lock.close()


def test_one_that_is_left_goes_and_one_in_use_stays(tmp_path: Path) -> None:
    left, used = made(tmp_path, "left"), made(tmp_path, "used")
    _kill(left)
    folder.sweep(str(tmp_path))
    assert not os.path.exists(left.path)
    assert sorted(os.listdir(used.path)) == ["lock", "progress"]
    used.remove()
    assert os.listdir(tmp_path) == []


def test_one_just_made_stays(tmp_path: Path) -> None:
    """Its owner may not have locked it yet."""
    _kill(made(tmp_path, "new", age=0))
    folder.sweep(str(tmp_path))
    assert len(os.listdir(tmp_path)) == 1


def test_what_is_not_of_a_module_stays(tmp_path: Path) -> None:
    elsewhere = made(tmp_path, "elsewhere")
    _kill(elsewhere)
    crowd = tmp_path / "tmp"
    crowd.mkdir()
    (crowd / f"{folder.PREFIX}link").symlink_to(elsewhere.path)
    (crowd / f"{folder.PREFIX}file").write_text("", encoding="utf-8")
    (crowd / f"{folder.PREFIX}without").mkdir()
    _kill(made(crowd, "x"))
    (crowd / f"{folder.PREFIX}x").rename(crowd / "another-name")
    for path in crowd.iterdir():
        if not path.is_symlink():
            _grow_old(str(path), 3600)
    before = sorted(os.listdir(crowd))
    folder.sweep(str(crowd))
    assert sorted(os.listdir(crowd)) == before
    assert os.path.exists(elsewhere.path)
    folder.sweep(str(crowd / "nowhere"))


def test_one_of_another_account_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = made(tmp_path, "theirs")
    _kill(theirs)
    monkeypatch.setattr(folder.os, "geteuid", lambda: os.stat(theirs.path).st_uid + 1)
    folder.sweep(str(tmp_path))
    assert os.path.exists(theirs.path)


def test_one_that_exists_is_nobodys_to_take(tmp_path: Path) -> None:
    made(tmp_path, "")
    with pytest.raises(FileExistsError):
        made(tmp_path, "")
