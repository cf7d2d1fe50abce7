# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""The folder in which a module and its action plugin meet, and how it goes away whatever becomes of the module.

A module locks a file in its folder for as long as it lives; the lock goes with its process, however that ends. So the next
module of the same account can tell a folder that a killed one left from one that is in use, and removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
import typing as t
from contextlib import suppress

#: How the names of all such folders begin; the action plugin gives the whole name.
PREFIX = ".mysql_repl-"

_LOCK = "lock"

# Seconds for which a folder is let alone after it was made: it gets its lock a moment later.
_YOUNG = 60.0


class Folder:
    """A folder of one's own, readable to its owner only. Raises OSError when it cannot be made."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.mkdir(path, 0o700)
        try:
            self._lock = open(self.file(_LOCK), "w", encoding="utf-8")  # noqa: SIM115 - as long as the folder is in use
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def file(self, name: str) -> str:
        """The path of a file in it."""
        return os.path.join(self.path, name)

    def remove(self) -> None:
        """Remove it with what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep(parent: str) -> None:
    """Remove what killed modules of this account left in ``parent``, a directory that may be everybody's (/tmp)."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with suppress(OSError):  # in use, gone meanwhile, or nothing of ours
                    _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[t.Any]) -> None:
    # Not through a link: nobody else may lead us anywhere.
    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or time.time() - found.st_mtime < _YOUNG:
        return
    with open(os.path.join(entry.path, _LOCK), encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path, ignore_errors=True)
