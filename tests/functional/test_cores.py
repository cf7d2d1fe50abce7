# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From a check to its undo with other versions of ansible-core than the tests', and with other Pythons and PyMySQLs of modules.

The oldest and the newest one; with CORES=all each, and more of it (make cores).
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import cores
from running import Running, interpreter, wait_for_no_sessions

Site = Any  # conftest.Site
IS_ALL = os.environ.get("CORES") == "all"
VERSIONS = list(cores.VERSIONS) if IS_ALL else [min(cores.VERSIONS), max(cores.VERSIONS)]
all_only = pytest.mark.skipif(not IS_ALL, reason="takes time: make cores")


@pytest.fixture(params=VERSIONS)
def core(request: pytest.FixtureRequest) -> str:
    """A version of ansible-core."""
    return str(request.param)


@pytest.fixture
def binaries(core: str) -> Path:
    """Its programs."""
    try:
        found = cores.binaries(core)
    except cores.Missing as missing:
        pytest.skip(str(missing))
    said = subprocess.run([found / "ansible", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert said.startswith(f"ansible [core {core}.")
    return found


@pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)
def test_from_the_check_to_the_undo(site: Site, core: str, binaries: Path) -> None:
    """All in one: each run of a playbook takes seconds."""
    try:
        python = interpreter(site.folder, cores.module_python(core), cores.driver(core))
    except cores.Missing as missing:
        pytest.skip(str(missing))
    site.group_vars["ansible_python_interpreter"] = str(python)
    good = site.contents(site.source)
    site.drift()
    spoilt = site.contents(site.target)
    pause = site.folder / "pause"
    pause.touch()
    path = f"{binaries}:{os.environ['PATH']}"

    check = Running(
        site,
        "comaster.mysql_repl.check",
        "-e",
        f"{{mysql_repl_pause_file: {pause}, mysql_repl_report_dir: {site.folder}}}",
        binaries=binaries,
    )
    check.wait_for("comparing.* waiting: ")
    pause.unlink()
    assert check.end() == 0
    assert "sakila.film: drift, 1 missing, 1 extra, 2 different" in check.output
    assert "deprecat" not in check.output.lower()
    assert {ending.suffix for ending in site.folder.glob("mysql_repl.*")} == {".html", ".json", ".md", ".xml"}

    planned = site.playbook("sync", "--check", "--diff", PATH=path)
    assert planned.returncode == 0
    assert re.search(r"^\+film_id=17 \| title='FILM Ünö 17'", planned.output, re.MULTILINE)
    assert (site.contents(site.source), site.contents(site.target)) == (good, spoilt)

    repaired = site.playbook("sync", PATH=path)
    assert repaired.returncode == 0
    assert "1 inserted, 7 updated, 1 deleted, 0 left alone; verified equal" in repaired.output
    site.pair.wait()
    assert site.contents(site.source) == site.contents(site.target) == good

    (journal,) = site.undo_dir.glob("*.jsonl")
    for right in ("INSERT", "DELETE"):
        site.source.execute([f"GRANT {right} ON sakila.* TO repl_fix@'127.0.0.1'"], logged=False)
    undone = site.playbook("undo", "-e", f"mysql_repl_undo_file={journal}", PATH=path)
    assert undone.returncode == 0
    site.pair.wait()
    assert site.contents(site.source) == site.contents(site.target) == spoilt


@all_only
@pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)
def test_an_interrupted_run_ends_on_the_servers(site: Site, binaries: Path) -> None:
    pause = site.folder / "pause"
    pause.touch()
    running = Running(site, "comaster.mysql_repl.sync", "-e", f"mysql_repl_pause_file={pause}", binaries=binaries)
    running.wait_for("waiting: ")
    running.process.send_signal(signal.SIGINT)
    assert running.end() != 0
    wait_for_no_sessions(site, 10)


@all_only
def test_each_page_of_ansible_doc(binaries: Path) -> None:
    names = [f"comaster.mysql_repl.mysql_repl_{name}" for name in ("info", "checksum", "sync", "undo")]
    roles = [f"comaster.mysql_repl.{name}" for name in ("authority", "check", "sync", "undo", "report")]
    for kind, pages in (("module", names), ("role", roles), ("filter", ["comaster.mysql_repl.mysql_repl_report"])):
        said = subprocess.run(
            [binaries / "ansible-doc", "-t", kind, *pages],
            env={**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stdout
        # Newer ones warn of a collection of Ansible's own.
        assert not re.search("WARNING.*comaster", said.stdout)
        assert all(name.rpartition(".")[2] in said.stdout.lower() for name in pages)
