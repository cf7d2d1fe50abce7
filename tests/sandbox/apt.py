# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian packages without touching the host: a private apt root, unpacked with dpkg-deb.

The mirror is the one that the host's own apt sources name; only the suite is ours.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MIRROR_VARIABLE = "MYSQL_REPL_SANDBOX_MIRROR"
"""Environment variable: a Debian mirror's address, for a host whose apt sources name none."""

_ETC_APT = Path("/etc/apt")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# dpkg-deb -x would replace the links of the merged /usr by folders.
_UNPACK = 'dpkg-deb --fsys-tarfile "$0" | tar -x --keep-directory-symlink --no-same-owner -C "$1"'


class PackageUnavailable(RuntimeError):
    """A server's packages cannot be had here; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """One apt source: where packages come from and which key vouches for them."""

    uri: str
    suite: str
    components: str = "main"
    signed_by: str = _KEYRING

    def __str__(self) -> str:
        return f"Types: deb\nURIs: {self.uri}\nSuites: {self.suite}\nComponents: {self.components}\nSigned-By: {self.signed_by}\n"


def host_release() -> str:
    """Return the code name of this host's Debian; raises PackageUnavailable on another system."""
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    facts = dict(line.split("=", 1) for line in lines if "=" in line)
    if facts.get("ID", "").strip('"') != "debian" or not facts.get("VERSION_CODENAME"):
        raise PackageUnavailable(
            "the sandbox takes its servers from Debian packages, and this host is no Debian; "
            "run it on Debian (a container will do), or install mariadb-server to have that one"
        )
    return facts["VERSION_CODENAME"].strip('"')


def host_sources() -> list[Source]:
    """Return the host's own sources of its Debian release: base, updates and security."""
    release = host_release()
    found = [source for source in _read_sources() if source.suite.split("/")[0].split("-")[0] == release]
    return [source for source in found if "main" in source.components.split()]


def suite_sources(suite: str) -> list[Source]:
    """Return *suite* (as `trixie`, `sid`) on the mirror the host uses for its own release."""
    if os.environ.get(MIRROR_VARIABLE):
        return [Source(os.environ[MIRROR_VARIABLE], suite)]
    base = [source for source in host_sources() if source.suite == host_release()]
    if not base:
        raise PackageUnavailable(
            f"{_ETC_APT} names no mirror of {host_release()} to take {suite} from; "
            f"set {MIRROR_VARIABLE} to the address of a Debian mirror"
        )
    return [Source(base[0].uri, suite, "main", base[0].signed_by)]


def _read_sources() -> Iterable[Source]:
    """Yield every source in the host's apt configuration, one per suite, in both file formats."""
    for path in [_ETC_APT / "sources.list", *sorted((_ETC_APT / "sources.list.d").glob("*"))]:
        if path.suffix not in (".list", ".sources") or not path.is_file():
            continue
        text = re.sub(r"(?m)^\s*#.*\n?", "", path.read_text(encoding="utf-8"))
        yield from _one_line_sources(text) if path.suffix == ".list" else _stanza_sources(text)


def _one_line_sources(text: str) -> Iterable[Source]:
    for options, uri, suite, components in re.findall(r"(?m)^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)[ \t]*(.*)$", text):
        key = re.search(r"signed-by=(\S+)", options)
        yield Source(uri, suite, components, key.group(1) if key else _KEYRING)


def _stanza_sources(text: str) -> Iterable[Source]:
    for stanza in re.split(r"\n\s*\n", text):
        fields = {name.lower(): value.strip() for name, value in re.findall(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", stanza)}
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield Source(uri, suite, fields.get("components", ""), fields.get("signed-by", _KEYRING))


class PrivateApt:
    """An apt of our own below *root*: own lists, and a package status that knows nothing installed.

    Of the host's apt it takes only how to reach a mirror.
    """

    def __init__(self, root: Path, sources: Iterable[Source]) -> None:
        self.root = root
        for folder in ("state/lists/partial", "cache/archives/partial", "parts", "debs"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        (root / "host.sources").write_text("\n".join(map(str, sources)), encoding="utf-8")
        (root / "apt.conf").write_text(self._configuration(), encoding="utf-8")

    def _configuration(self) -> str:
        settings = {
            "Dir::State": self.root / "state",
            "Dir::State::status": self.root / "status",
            "Dir::Cache": self.root / "cache",
            "Dir::Etc::sourcelist": self.root / "host.sources",
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": self.root / "parts",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
        }
        dump = _run(["apt-config", "dump"], cwd=self.root)
        # The host's ways to reach and to trust its mirror (proxy, certificates, date checks) hold
        # for us too.
        from_host = re.findall(r'(?mi)^Acquire::(?:http|https|Check-|Force|Queue|Max)\S* "[^"]+";$', dump)
        return "\n".join([*from_host, *(f'{name} "{value}";' for name, value in settings.items())]) + "\n"

    def _apt(self, *arguments: str) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self.root / "apt.conf"), "LC_ALL": "C"}
        return _run(["apt-get", "-q", "-y", *arguments], cwd=self.root / "debs", env=environment)

    def update(self) -> None:
        """Fetch the lists of packages; raises PackageUnavailable when no mirror answers."""
        self._apt("update", "--error-on=any")

    def closure(self, package: str) -> list[str]:
        """Return the names of *package* and of everything it depends on."""
        return re.findall(r"(?m)^Inst (\S+)", self._apt("install", "--simulate", package))

    def unpack(self, packages: Iterable[str], tree: Path) -> None:
        """Download *packages* (apt checks signature and hashes) and lay them out below *tree*."""
        self._apt("download", *packages)
        for folder in (
            "bin",
            "sbin",
            "lib",
            "lib64",
        ):  # merged /usr, which an empty root does not have yet
            (tree / "usr" / folder).mkdir(parents=True, exist_ok=True)
            (tree / folder).symlink_to(f"usr/{folder}")
        for archive in sorted((self.root / "debs").glob("*.deb")):
            _run(["sh", "-c", _UNPACK, str(archive), str(tree)], cwd=self.root)
            archive.unlink()
        for ballast in (
            "share/doc",
            "share/man",
            "share/locale",
            "share/lintian",
            "share/icu",
            "share/gcc",
        ):
            shutil.rmtree(tree / "usr" / ballast, ignore_errors=True)


def _run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run *command* and return what it printed; when it fails, raise its last words."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise PackageUnavailable(f"{command[0]} is needed to fetch Debian packages and is not installed") from error
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-8:])
        raise PackageUnavailable(f"{' '.join(command)[:120]} failed with exit code {done.returncode}:\n{tail}")
    return done.stdout
