# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run ansible-test on a fresh copy of the checkout: ansible_test.py sanity [ARGUMENT…]

It needs neither git nor a host other than the package index, and keeps all that it makes
under .cache.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.metadata import distribution
from pathlib import Path

import tree

BIN = Path(sys.prefix, "bin")
HOME = tree.ROOT / ".cache" / "home"  # ansible-test keeps its environments below ~/.ansible


def main(arguments: list[str]) -> None:
    where = tree.refresh()
    make_home()
    provide_get_pip()
    environment = {
        **os.environ,
        "HOME": str(HOME),
        "PATH": real_path(),
        # or ansible-test asks the git checkout above it, which ignores .cache
        "ANSIBLE_TEST_CONTENT_ROOT": str(where),
    }
    os.chdir(where)
    os.execve(BIN / "ansible-test", ["ansible-test", *arguments], environment)


def real_path() -> str:
    """PATH with the interpreters themselves: ansible-test stumbles over pyenv's shims."""
    folders = [str(BIN), str(Path(sys.base_prefix, "bin"))]
    inherited = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders += [folder for folder in inherited if "shims" not in Path(folder).parts]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    folders += [str(path) for path in sorted(pyenv.glob("3.*/bin"))]
    return os.pathsep.join(dict.fromkeys(folders))


def make_home() -> None:
    """A home of its own, with the user's settings of pip."""
    for name in (".config/pip", ".pip", ".cache/pip"):
        own, user = HOME / name, Path.home() / name
        own.parent.mkdir(parents=True, exist_ok=True)
        if user.exists() and not own.is_symlink():
            own.symlink_to(user)


def provide_get_pip() -> None:
    package = Path(str(distribution("ansible-core").locate_file("ansible_test")))
    source = (package / "_internal" / "python_requirements.py").read_text()
    for version in re.findall(r"\bpip='([\d.]+)'", source):
        cached = HOME / ".ansible/test/cache" / "get_pip_{}.py".format(version.replace(".", "_"))
        cached.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_name("get_pip.py"), cached)


if __name__ == "__main__":
    main(sys.argv[1:])
