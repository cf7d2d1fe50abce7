# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Build the collection's tarball from the checkout, check what is in it, install it.

.cache/dist gets the tarball, .cache/installed is an ANSIBLE_COLLECTIONS_PATH.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import tree

DIST = tree.ROOT / ".cache" / "dist"
INSTALLED = tree.ROOT / ".cache" / "installed"
GALAXY = [str(Path(sys.prefix, "bin", "ansible-galaxy")), "collection"]

# Nothing else belongs to a user of the collection.
WANTED = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "COPYING",
    "FILES.json",
    "LICENSES/",
    "MANIFEST.json",
    "README.md",
    "bindep.txt",
    "changelogs/",
    "docs/",
    "meta/",
    "playbooks/",
    "plugins/",
    "requirements.txt",
    "roles/",
    "tests/config.yml",
    "tests/sanity/",
)


def main() -> None:
    with (tree.ROOT / ".cache" / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(DIST, ignore_errors=True)
        galaxy("build", str(tree.ROOT), "--output-path", str(DIST))
        (tarball,) = DIST.glob("*.tar.gz")
        check(tarball)
        install(tarball)
    print(f"package: {os.path.relpath(tarball)}, installed in {os.path.relpath(INSTALLED)}")


def install(tarball: Path) -> None:
    """Beside the installed one first: another run of the tests may be using that."""
    new, old = INSTALLED.with_suffix(".new"), INSTALLED.with_suffix(".old")
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    galaxy("install", str(tarball), "--offline", "--no-deps", "--collections-path", str(new))
    if INSTALLED.exists():
        INSTALLED.rename(old)
    new.rename(INSTALLED)
    shutil.rmtree(old, ignore_errors=True)


def galaxy(*arguments: str) -> None:
    done = subprocess.run([*GALAXY, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"package: ansible-galaxy {arguments[0]} failed\n{done.stdout}{done.stderr}")


def check(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        packed = {member.name for member in archive if not member.isdir()}
    sources = set(tree.source_files())
    wrong = [
        *(f"{name}: not for users; add it to build_ignore in galaxy.yml, or to package.py"
          for name in packed if not name.startswith(WANTED)),
        *(f"{name}: in the package though .gitignore excludes it; add it to build_ignore"
          for name in packed - sources - {"FILES.json", "MANIFEST.json"}),
        *(f"{name}: missing in the package; build_ignore takes too much"
          for name in sources - packed if name.startswith(WANTED)),
    ]  # fmt: skip
    if wrong:
        sys.exit("package: " + "\n         ".join(sorted(wrong)))


if __name__ == "__main__":
    main()
