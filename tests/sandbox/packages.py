# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers themselves: which flavours there are, and where their programs lie on this machine.

Each flavour is a *tree* of unpacked Debian packages with its own loader and libraries, fetched
once into a cache, so that a server newer than the host's libraries runs on it and nothing of the
host is changed.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .apt import MIRROR_VARIABLE, PackageUnavailable, PrivateApt, host_sources, suite_sources

CACHE_VARIABLE = "MYSQL_REPL_SANDBOX_CACHE"
"""Environment variable: where servers are kept, instead of `.cache/servers` in the checkout."""

_UNNEEDED = re.compile(r"perl|debconf|libgdbm|libdb5|gcc-\d+-base|libc-gconv")


@dataclass(frozen=True)
class Flavor:
    """One kind of server and the packages it comes in.

    *suite* None means the host's own release. *extras* are fetched without what they depend on
    (client tools). *by_name_only*: fetched when asked for, not with all; its suite may be gone from a mirror one day.
    """

    name: str
    family: str
    suite: str | None
    package: str
    extras: tuple[str, ...] = ()
    host_daemon: str | None = None
    by_name_only: bool = False


FLAVORS: dict[str, Flavor] = {
    flavor.name: flavor
    for flavor in (
        Flavor(
            "mariadb-10.11",
            "mariadb",
            None,
            "mariadb-server-core",
            ("mariadb-client",),
            "/usr/sbin/mariadbd",
        ),
        Flavor("mariadb-10.5", "mariadb", "bullseye", "mariadb-server-core-10.5", ("mariadb-client-10.5",), by_name_only=True),
        Flavor("mariadb-11.8", "mariadb", "trixie", "mariadb-server-core", ("mariadb-client",)),
        Flavor("mysql-9", "mysql", "sid", "mysql-server-core", ("mysql-client-core",)),
    )
}


@dataclass(frozen=True)
class Tree:
    """The root folder a flavour's programs lie in: `/` for the host's own, else an unpacked one."""

    root: Path

    @property
    def usr(self) -> Path:
        """The tree's /usr, the server's --basedir."""
        return self.root / "usr"

    def has(self, program: str) -> bool:
        """Tell whether *program* (a path below /usr, as `bin/mariadb-binlog`) is here."""
        return (self.usr / program).is_file()

    def command(self, program: str) -> list[str]:
        """Return the words that run *program*, a path below /usr, with the tree's own libraries."""
        if self.root == Path("/"):
            return [str(self.usr / program)]
        libraries = [path for path in sorted(self.usr.glob("lib/*-linux-gnu*")) if path.is_dir()]
        loader = next(found for folder in libraries for found in folder.glob("ld-linux*.so.*"))
        return [
            str(loader),
            "--library-path",
            ":".join(map(str, libraries)),
            str(self.usr / program),
        ]

    @property
    def daemon(self) -> str:
        """The server program, as a path below /usr."""
        return "sbin/mariadbd" if self.has("sbin/mariadbd") else "sbin/mysqld"

    @property
    def share(self) -> Path:
        """The folder of error messages, character sets and bootstrap SQL."""
        return next(path for path in (self.usr / "share/mariadb", self.usr / "share/mysql") if path.is_dir())


def cache_folder() -> Path:
    """Return the folder that keeps fetched servers, made on first use and ignored by git."""
    folder = os.environ.get(CACHE_VARIABLE)
    path = Path(folder) if folder else Path(__file__).resolve().parents[2] / ".cache" / "servers"
    path.mkdir(parents=True, exist_ok=True)
    ignore = path / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf-8")
    return path.resolve()


def flavor(name: str) -> Flavor:
    """Return the flavour called *name*; raises ValueError naming the known ones."""
    try:
        return FLAVORS[name]
    except KeyError:
        raise ValueError(f"no flavour {name!r}; known: {', '.join(FLAVORS)}") from None


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """Hold the lock of one flavour's corner of the cache against other runs; yield that folder."""
    folder = cache_folder() / name
    with open(cache_folder() / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir(exist_ok=True)
        yield folder


def installed(name: str) -> Tree | None:
    """Return the flavour's tree when it is here already, without fetching anything."""
    kind = flavor(name)
    if kind.host_daemon and os.access(kind.host_daemon, os.X_OK):
        return Tree(Path("/"))
    root = cache_folder() / name / "tree"
    return Tree(root) if root.is_dir() else None


def tree(name: str) -> Tree:
    """Return the flavour's tree, fetching it the first time (some seconds).

    Raises PackageUnavailable, saying why and what to do, where it cannot be had.
    """
    found = installed(name)
    if found:
        return found
    with locked(name) as folder:
        return installed(name) or _fetch(flavor(name), folder)


def addon(name: str, package: str) -> Path:
    """Return the folder of one more package of a flavour's release, unpacked by itself, as /usr; fetched once.

    For plugins that the server's own package does not have. Raises PackageUnavailable.
    """
    kind = flavor(name)
    with locked(name) as folder:
        root = folder / f"addon-{package}"
        if not root.is_dir():
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
            try:
                apt = PrivateApt(building / "apt", suite_sources(kind.suite) if kind.suite else host_sources())
                apt.update()
                apt.unpack([package], building / "tree")
                (building / "tree").rename(root)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        return root / "usr"


def client_plugins(name: str) -> Path:
    """Return the folder of the plugins with which a MariaDB server logs in to others, as to MySQL; fetched once.

    Raises PackageUnavailable.
    """
    return next(addon(name, "libmariadb3").glob("lib/*/libmariadb3/plugin"))


def forget(name: str) -> None:
    """Drop what the cache holds of a flavour, so that the next use fetches the newest packages."""
    with locked(name) as folder:
        shutil.rmtree(folder)


def _fetch(kind: Flavor, folder: Path) -> Tree:
    """Build the tree beside its final place and move it there whole."""
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        apt = PrivateApt(building / "apt", suite_sources(kind.suite) if kind.suite else host_sources())
        apt.update()
        wanted = [package for package in apt.closure(kind.package) if not _UNNEEDED.search(package)]
        apt.unpack([*wanted, *kind.extras], building / "tree")
        version(Tree(building / "tree"))
        (building / "tree").rename(folder / "tree")
    except PackageUnavailable as error:
        raise PackageUnavailable(
            f"{kind.name} cannot be fetched from Debian's packages (does this host's "
            f"apt, or {MIRROR_VARIABLE}, name a mirror that answers?): {error}"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return Tree(folder / "tree")


@cache
def version(where: Tree) -> str:
    """Return the server's version, as `10.11.19`; raises PackageUnavailable if it does not run."""
    command = [*where.command(where.daemon), "--no-defaults", "--version"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"Ver (\d+\.\d+\.\d+)", done.stdout)
    if done.returncode or not found:
        raise PackageUnavailable(f"{where.usr / where.daemon} does not run on this machine:\n{done.stdout[-800:]}")
    return found.group(1)
