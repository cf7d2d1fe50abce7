# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments with one version of ansible-core each, in .cache/cores, made when they are first asked for."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ansible_test import real_path

CORES = Path(__file__).resolve().parents[2] / ".cache" / "cores"


@dataclass(frozen=True)
class Core:
    """A version that the collection is for: Pythons of a controller; and the Python and the PyMySQL of a managed host."""

    pythons: tuple[str, ...]
    module_python: str
    driver: str


#: All Pythons from 3.9 to 3.13 are among these, and PyMySQL from the oldest one that is promised.
VERSIONS = {
    "2.16": Core(("3.12", "3.11", "3.10"), "3.9", "1.0.2"),
    "2.17": Core(("3.12", "3.11", "3.10"), "3.10", "1.0.3"),
    "2.18": Core(("3.13", "3.12", "3.11"), "3.11", "1.0.2"),
    "2.19": Core(("3.13", "3.12", "3.11"), "3.12", "1.1.1"),
    "2.20": Core(("3.14", "3.13", "3.12"), "3.12", "1.1.2"),
    "2.21": Core(("3.14", "3.13", "3.12"), "3.13", "1.2.4"),
}


class Missing(Exception):
    """This machine has no interpreter for it."""


def binaries(version: str) -> Path:
    """The directory of ansible-playbook and the others of this version. Raises Missing."""
    where = CORES / version
    with _alone(where) as is_made:
        if not is_made:
            _run(str(_first(VERSIONS[version].pythons)), "-m", "venv", "--without-pip", "--clear", str(where))
            _install("--python", str(where / "bin" / "python"), "install", f"ansible-core=={version}.*")
    return where / "bin"


def module_python(version: str) -> Path:
    """The interpreter that modules are tried on beside this version. Raises Missing."""
    return _first((VERSIONS[version].module_python,))


def driver(version: str) -> Path:
    """The directory of the package pymysql that modules are tried with beside this version."""
    wanted = VERSIONS[version].driver
    where = CORES / f"PyMySQL-{wanted}"
    with _alone(where) as is_made:
        if not is_made:
            _install("install", "--no-deps", "--upgrade", "--target", str(where), f"PyMySQL=={wanted}")
    return where / "pymysql"


def _first(versions: tuple[str, ...]) -> Path:
    for version in versions:
        found = shutil.which(f"python{version}", path=real_path())
        if found:
            return Path(found)
    raise Missing(f"no Python {' or '.join(versions)} on this machine")


@contextmanager
def _alone(where: Path) -> Iterator[bool]:
    """Nobody else makes it meanwhile; yields whether it is made."""
    CORES.mkdir(parents=True, exist_ok=True)
    with where.with_name(f"{where.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield (where / "ready").exists()
        (where / "ready").touch()


def _install(*arguments: str) -> None:
    _run(sys.executable, "-m", "pip", "-qq", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
