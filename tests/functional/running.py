# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A playbook that is watched while it runs, and what it leaves on servers and hosts."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pymysql

Site = Any  # conftest.Site


class Running:
    """ansible-playbook at work, in a session of its own; its output is in a file."""

    def __init__(self, site: Site, name: str, *arguments: str, binaries: Path = Path(sys.executable).parent) -> None:
        self._path = site.folder / "output"
        environment = {**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
        # A shell that starts tests in the background lets them ignore SIGINT.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with self._path.open("w") as output:
            self.process = subprocess.Popen(
                ["ansible-playbook", name, "-i", str(site.inventory), "-e", "mysql_repl_progress_interval=1", *arguments],
                env={**environment, "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has said by now."""
        return str(self._path.read_text(encoding="utf-8"))

    def lines(self) -> list[str]:
        """The lines of progress."""
        return re.findall(r"^\[server.*", self.output, re.MULTILINE)

    def wait_for(self, pattern: str, times: int = 1) -> None:
        """Return when lines of progress say this; it must still be running."""
        deadline = time.monotonic() + 60
        while sum(bool(re.search(pattern, line)) for line in self.lines()) < times:
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.1)
        assert self.process.poll() is None

    def end(self) -> int:
        """Wait for its end."""
        code = self.process.wait(60)
        print(self.output)
        return code


def sessions(site: Site) -> int:
    """Sessions of ours on both servers."""
    query = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'repl_fix'"
    return sum(int(server.query(query)[0][0]) for server in (site.source, site.target))


def wait_for_no_sessions(site: Site, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while sessions(site):
        assert time.monotonic() < deadline, "sessions are left on the servers"
        time.sleep(0.1)


def interpreter(folder: Path, python: Path, driver: Path = Path(pymysql.__file__).parent) -> Path:
    """An interpreter for modules, in a folder: that Python with PyMySQL, and nothing else of the tests."""
    shutil.copytree(driver, folder / "driver" / "pymysql")
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/driver exec {python} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    return wrapper


def folders() -> set[Path]:
    """Folders that no module uses, left by one that was ended. Others of this machine may make and remove theirs just now."""
    unused = {path for path in Path("/tmp").glob(".mysql_repl-*") if not owners(path)}
    time.sleep(0.5)
    return {path for path in unused if path.exists()}


def owners(folder: Path) -> list[int]:
    """Processes that have the lock of a module's folder."""
    lock = str(folder / "lock")
    return [int(link.parts[2]) for link in Path("/proc").glob("[0-9]*/fd/*") if _target(link) == lock]


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:  # ended meanwhile, or of another account
        return ""
