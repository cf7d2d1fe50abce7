# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Percona Toolkit: fetched like the servers, never installed, and how its programs are called.

A tree holds the tools together with the perl and the driver of the same Debian suite, and is run
with its own loader and libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sandbox import ROOT_PASSWORD, PackageUnavailable, Server, Topology
from sandbox.apt import PrivateApt, host_sources, suite_sources
from sandbox.packages import Tree, cache_folder, locked

from .measure import ContenderFailed, Finished, run

_SUITES = {"mariadb": None, "mysql": "sid"}
"""The toolkit of Debian 12 cannot speak to MySQL 9; that of unstable can."""
_RUNTIME = ("libdbd-mysql-perl", "libterm-readkey-perl")
_UNNEEDED = re.compile(r"debconf|dpkg|tar|ucf|sensible-utils|gcc-.*-base|readline-common|media-types|libc-gconv.*")
_DRIFT_FOUND = 16
"""Bit of pt-table-checksum's exit code that says: at least one difference."""
_ROWS_CHANGED = 2
"""Exit code of pt-table-sync when it found and repaired differences."""

_BOOK = "percona"
"""The database the toolkit keeps its results in."""


@dataclass(frozen=True)
class Toolkit:
    """One unpacked Percona Toolkit."""

    tree: Tree
    version: str

    def checksum(self, pair: Topology, database: str) -> Finished:
        """Run pt-table-checksum on a database, with `a` as the source; its defaults otherwise."""
        done = self._run(
            "pt-table-checksum",
            _login(pair.a),
            f"--databases={database}",
            f"--replicate={_BOOK}.checksums",
            f"--recursion-method=dsn=h={pair.a.host},P={pair.a.port},D={_BOOK},t=dsns",
            "--no-check-binlog-format",
            "--no-check-replication-filters",
            "--no-version-check",
        )
        if done.code & ~_DRIFT_FOUND:
            raise ContenderFailed(f"pt-table-checksum ended with {done.code}:\n{done.output[-2000:]}")
        return done

    def sync(self, pair: Topology, database: str, table: str, replicate: bool) -> Finished:
        """Run pt-table-sync on one table of `b`, through its master.

        *replicate*: only the chunks that the last pt-table-checksum found different.
        """
        how = [f"--replicate={_BOOK}.checksums"] if replicate else []
        done = self._run(
            "pt-table-sync",
            *how,
            "--execute",
            "--sync-to-master",
            "--no-version-check",
            f"--databases={database}",
            f"--tables={table}",
            _login(pair.b) + ("" if replicate else f",D={database},t={table}"),
        )
        if done.code & ~_ROWS_CHANGED:
            raise ContenderFailed(f"pt-table-sync ended with {done.code}:\n{done.output[-2000:]}")
        return done

    def _run(self, program: str, *arguments: str) -> Finished:
        return run(
            [*_perl(self.tree), str(self.tree.usr / "bin" / program), *arguments],
            _environment(self.tree),
        )


def toolkit(family: str) -> Toolkit:
    """Return the toolkit for servers of a family, fetching it the first time.

    Raises PackageUnavailable where it cannot be had.
    """
    suite = _SUITES[family]
    name = f"percona-toolkit-{suite or 'host'}"
    where = Tree(cache_folder() / name / "tree")
    if not where.root.is_dir():
        with locked(name) as folder:
            if not where.root.is_dir():
                _fetch(suite, folder)
    return Toolkit(where, _version(where))


def prepare(pair: Topology) -> None:
    """Tell the toolkit, in a table on the source, that `b` is the replica to look at."""
    pair.a.execute(
        [
            f"CREATE DATABASE IF NOT EXISTS {_BOOK}",
            f"CREATE TABLE {_BOOK}.dsns (id INT PRIMARY KEY AUTO_INCREMENT, parent_id INT, dsn VARCHAR(255) NOT NULL)",
            f"INSERT INTO {_BOOK}.dsns (dsn) VALUES ('{_login(pair.b)}')",
        ]
    )
    pair.wait()


def _login(server: Server) -> str:
    return f"h={server.host},P={server.port},u=root,p={ROOT_PASSWORD}"


def _fetch(suite: str | None, folder: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=folder))
    try:
        apt = PrivateApt(building / "apt", suite_sources(suite) if suite else host_sources())
        apt.update()
        packages = {package for wanted in _RUNTIME for package in apt.closure(wanted)}
        needed = [package for package in sorted(packages) if not _UNNEEDED.fullmatch(package)]
        apt.unpack([*needed, "percona-toolkit"], building / "tree")
        _version(Tree(building / "tree"))
        (building / "tree").rename(folder / "tree")
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _perl(tree: Tree) -> list[str]:
    return tree.command("bin/perl")


def _environment(tree: Tree) -> dict[str, str]:
    """Perl looks for its own modules below /usr; these are the same folders below the tree."""
    shares = [tree.usr / "share/perl5"]
    for pattern in ("lib/*/perl5/5.*", "lib/*/perl-base", "lib/*/perl/5.*", "share/perl/5.*"):
        shares += [path for path in sorted(tree.usr.glob(pattern)) if path.is_dir()]
    plugins = next(iter(tree.usr.glob("lib/*/libmariadb3/plugin")), None)
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "HOME": "/nonexistent",  # no option files of the user
        "PERL5LIB": ":".join(map(str, shares)),
        **({"MARIADB_PLUGIN_DIR": str(plugins)} if plugins else {}),
    }


def _version(tree: Tree) -> str:
    command = [*_perl(tree), str(tree.usr / "bin/pt-table-checksum"), "--version"]
    done = subprocess.run(
        command,
        env=_environment(tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = re.search(r"pt-table-checksum (\d[\d.]*\d)", done.stdout)
    if done.returncode or not found:
        raise PackageUnavailable(f"pt-table-checksum of {tree.root} does not run:\n{done.stdout[-800:]}")
    return found.group(1)
