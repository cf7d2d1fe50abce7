# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments with one version of ansible-core each, in .cache/cores, made when they are first asked for."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

from ansible_test import real_path

CORES = Path(__file__).resolve().parents[2] / ".cache" / "cores"

#: Every version that the collection is for, with the Pythons of a controller, and the one that modules are tried on beside it.
#: All of 3.9 to 3.13 are among these.
VERSIONS = {
    "2.16": (("3.12", "3.11", "3.10"), "3.9"),
    "2.17": (("3.12", "3.11", "3.10"), "3.10"),
    "2.18": (("3.13", "3.12", "3.11"), "3.11"),
    "2.19": (("3.13", "3.12", "3.11"), "3.12"),
    "2.20": (("3.14", "3.13", "3.12"), "3.12"),
    "2.21": (("3.14", "3.13", "3.12"), "3.13"),
}


class Missing(Exception):
    """This machine has no interpreter for it."""


def binaries(version: str) -> Path:
    """The directory of ansible-playbook and the others of this version. Raises Missing."""
    pythons, _modules = VERSIONS[version]
    where = CORES / version
    CORES.mkdir(parents=True, exist_ok=True)
    with (CORES / f"{version}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (where / "ready").exists():
            _make(where, _first(pythons), version)
    return where / "bin"


def module_python(version: str) -> Path:
    """The interpreter that modules are tried on beside this version. Raises Missing."""
    _pythons, modules = VERSIONS[version]
    return _first((modules,))


def _first(versions: tuple[str, ...]) -> Path:
    for version in versions:
        found = shutil.which(f"python{version}", path=real_path())
        if found:
            return Path(found)
    raise Missing(f"no Python {' or '.join(versions)} on this machine")


def _make(where: Path, python: Path, version: str) -> None:
    shutil.rmtree(where, ignore_errors=True)
    _run(str(python), "-m", "venv", "--without-pip", str(where))
    _run(sys.executable, "-m", "pip", "--python", str(where / "bin" / "python"),
         "install", "-qq", "--disable-pip-version-check", f"ansible-core=={version}.*")  # fmt: skip
    (where / "ready").touch()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": ""})
