# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copy the checkout to .cache/tree/ansible_collections/comaster/mysql_repl.

ansible-test and ansible-lint want a collection under that path and resolve links, so it is
a copy: every file that .gitignore does not exclude, committed or not; only what changed is
written, what is gone is removed. Needs no git.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pathspec

ROOT = Path(__file__).resolve().parents[2]
TREES = ROOT / ".cache" / "tree"
TREE = TREES / "ansible_collections" / "comaster" / "mysql_repl"
RESULTS = "tests/output"  # ansible-test's own, stays between runs


def source_files() -> Iterator[str]:
    """Paths below the checkout, as git would add them, sorted."""
    lines = (ROOT / ".gitignore").read_text().splitlines()
    ignored = pathspec.GitIgnoreSpec.from_lines([*lines, ".git"])
    for folder, folders, files in os.walk(ROOT):
        prefix = "" if folder == str(ROOT) else os.path.relpath(folder, ROOT) + "/"
        folders[:] = sorted(name for name in folders if not ignored.match_file(f"{prefix}{name}/"))
        yield from (prefix + name for name in sorted(files) if not ignored.match_file(prefix + name))


def refresh() -> Path:
    """Bring the copy up to date; return its path."""
    TREE.mkdir(parents=True, exist_ok=True)
    with (TREES / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = set(source_files())
        remove_others(wanted)
        for name in wanted:
            copy(ROOT / name, TREE / name)
    return TREE


def remove_others(wanted: set[str]) -> None:
    for folder, _folders, files in os.walk(TREE, topdown=False):
        relative = os.path.relpath(folder, TREE)
        if (relative + "/").startswith(RESULTS + "/"):
            continue
        for name in files:
            path = os.path.normpath(os.path.join(relative, name))
            if path not in wanted:
                os.unlink(os.path.join(folder, name))
        if not os.listdir(folder) and folder != str(TREE):
            os.rmdir(folder)


def copy(source: Path, copied: Path) -> None:
    try:
        new = source.lstat()
    except FileNotFoundError:  # an editor's file, gone since it was listed
        return
    if copied.is_symlink() or copied.exists():
        old = copied.lstat()
        if all(getattr(old, of) == getattr(new, of) for of in ("st_size", "st_mtime_ns", "st_mode")):
            return
        copied.unlink()
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, copied, follow_symlinks=False)


if __name__ == "__main__":
    print(os.path.relpath(refresh()))
