# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make .venv from tests/requirements.txt: python3 bootstrap.py

Runs on a bare python3 (standard library only). What Debian leaves out of python3,
the venv module, is installed with apt-get. A second run finds its stamp and does nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
STAMP = VENV / "ready"
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
OLDEST = (3, 10)
VERSION = "{}.{}".format(*sys.version_info)
# not sys.executable: make puts .venv first on PATH, so that may be the environment to replace
INTERPRETER = Path(sys.base_prefix, "bin", f"python{VERSION}")


def main() -> None:
    if sys.version_info < OLDEST:
        sys.exit(
            "setup: the controller needs Python {}.{} or newer, this is {}: make setup PYTHON=python3.11".format(*OLDEST, VERSION)
        )
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with (cache / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        link_checkout(cache)
        if not is_ready():
            build()


def key() -> str:
    """What the environment was made from; scripts in it name the interpreter by full path."""
    parts = (str(VENV), sys.version, REQUIREMENTS.read_text(), Path(__file__).read_text())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_ready() -> bool:
    return STAMP.exists() and STAMP.read_text() == key() and (VENV / "bin" / "python").exists()


def build() -> None:
    say(f"making .venv with Python {VERSION}")
    need_venv_module()
    shutil.rmtree(VENV, ignore_errors=True)
    run(str(INTERPRETER), "-m", "venv", str(VENV))
    # -qq leaves pip's errors and hides its warnings about indexes that lack a package
    run(str(VENV / "bin" / "python"), "-m", "pip", "install", "-qq",
        "--disable-pip-version-check", "-r", str(REQUIREMENTS))  # fmt: skip
    STAMP.write_text(key())
    say("done")


def need_venv_module() -> None:
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        return
    package = f"python{VERSION}-venv"
    become = [] if os.geteuid() == 0 else ["sudo"]
    if not all(map(shutil.which, [*become, "apt-get"])):
        sys.exit(
            "setup: this python3 cannot make virtual environments, and there is no way to add that "
            f"from here; as root run: apt-get install {package}"
        )
    say(f"installing {package}")
    apt_get = [*become, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    run(*apt_get, "update")
    run(*apt_get, "install", "-y", "--no-install-recommends", package)


def link_checkout(cache: Path) -> None:
    """.cache/link: this checkout under the name it is imported by, for pytest.ini and mypy."""
    link = cache / "link" / "ansible_collections" / "comaster" / "mysql_repl"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(ROOT, link.parent))


def run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        sys.exit("setup: failed ({}): {}".format(error.returncode, " ".join(command)))


def say(text: str) -> None:
    print(f"setup: {text}", flush=True)


if __name__ == "__main__":
    main()
