# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A run shows how far it is while it runs; interrupted, it ends on the servers too, and leaves them right."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from running import Running, folders, interpreter, owners, sessions, wait_for_no_sessions

Site = Any  # conftest.Site
one_flavor = pytest.mark.parametrize("flavor", ["mysql-9"], indirect=True)


@pytest.mark.parametrize(
    ("flavor", "arguments"),
    [("mysql-9", ["comaster.mysql_repl.check"]), ("mariadb-10.11", ["comaster.mysql_repl.sync", "--check"])],
    ids=["check", "plan"],
    indirect=["flavor"],
)
def test_lines_appear_while_it_runs(site: Site, arguments: list[str]) -> None:
    site.drift()
    pause = site.folder / "pause"
    pause.touch()
    before = folders()
    running = Running(site, *arguments, "-e", f"mysql_repl_pause_file={pause}")
    running.wait_for("waiting: ", times=2)
    assert sessions(site) > 0
    pause.unlink()
    assert running.end() == 0
    label = r"\[server2\] mysql_repl_(checksum|sync)"
    said = r"comparing, 0 %, sakila\.film \(table 1 of 2\), 0 rows, (0 rows/s, )?no differences so far"
    assert re.fullmatch(rf"{label}: {said}; waiting: {re.escape(str(pause))} exists", running.lines()[0])
    assert "1 missing, 1 extra, 2 different" in running.output
    assert folders() <= before


@one_flavor
def test_nothing_is_left_on_the_host_of_a_module_that_was_killed(site: Site) -> None:
    pause = site.folder / "pause"
    pause.touch()
    before = folders()
    running = Running(site, "comaster.mysql_repl.check", "-e", f"mysql_repl_pause_file={pause}")
    running.wait_for("waiting: ")
    (module,) = {pid for path in Path("/tmp").glob(".mysql_repl-*") for pid in module_below(running, path)}
    os.kill(module, signal.SIGKILL)
    assert running.end() != 0
    assert folders() <= before
    wait_for_no_sessions(site, 10)


def module_below(running: Running, folder: Path) -> set[int]:
    """The module that uses a folder, if it was started by this playbook."""
    return {pid for pid in owners(folder) if is_below(pid, running.process.pid)}


def is_below(process: int, ancestor: int) -> bool:
    """Whether a process was started by another, or by one that was."""
    while process > 1 and process != ancestor:
        process = int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    return process == ancestor


@pytest.fixture
def everybodys_python() -> Iterator[Path]:
    """An interpreter with PyMySQL that each account of this machine may use."""
    python, folder = Path("/usr/bin/python3"), Path(tempfile.mkdtemp(prefix="mysql_repl-test-", dir="/tmp"))
    if os.geteuid() != 0 or not python.exists():
        pytest.skip("no python3 of the system, or no right to become another user")
    folder.chmod(0o755)
    yield interpreter(folder, python)
    shutil.rmtree(folder)


@pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)
@pytest.mark.parametrize("pipelining", ["true", "false"])
def test_as_another_user_without_rights(
    site: Site, everybodys_python: Path, monkeypatch: pytest.MonkeyPatch, pipelining: str
) -> None:
    """Ansible works as root and the module as nobody: its lines are seen, and an interrupt reaches it."""
    monkeypatch.setenv("ANSIBLE_PIPELINING", pipelining)
    site.group_vars.update(
        ansible_python_interpreter=str(everybodys_python),
        ansible_become=True,
        ansible_become_user="nobody",
        ansible_become_method="su",
        ansible_become_flags="-s /bin/sh",
    )
    site.drift()
    pause = Path(f"{everybodys_python.parent}/pause")
    pause.touch()
    before = folders()
    running = Running(site, "comaster.mysql_repl.check", "-e", f"mysql_repl_pause_file={pause}")
    running.wait_for("waiting: ")
    assert {path.owner() for path in Path("/tmp").glob(".mysql_repl-*") if module_below(running, path)} == {"nobody"}
    running.process.send_signal(signal.SIGINT)
    assert running.end() != 0
    wait_for_no_sessions(site, 10)
    assert folders() <= before


@one_flavor
def test_short_runs_are_quiet_and_no_log_says_nothing(site: Site) -> None:
    run = site.playbook("check")
    assert run.returncode == 0
    assert "comparing" not in run.output
    pause = site.folder / "pause"
    pause.touch()
    hidden = """
- hosts: server2
  gather_facts: false
  tasks:
    - comaster.mysql_repl.mysql_repl_checksum:
        login_host: 127.0.0.1
        login_port: "{{ mysql_repl_login_port }}"
        login_user: repl_fix
        login_password: "{{ mysql_repl_login_password }}"
        config_file: ""
        pause_file: "{{ inventory_dir }}/pause"
        max_runtime: 3
        progress_interval: 1
      no_log: "{{ hidden }}"
"""
    assert "comparing" not in site.play(hidden, "-e", "{hidden: true}").output
    shown = site.play(hidden, "-e", "{hidden: false}", ANSIBLE_STDOUT_CALLBACK="ansible.builtin.minimal")
    assert "[server2] mysql_repl_checksum: comparing" in shown.output


@pytest.mark.parametrize(("flavor", "how"), [("mysql-9", "interrupted"), ("mariadb-10.11", "killed")], indirect=["flavor"])
def test_an_interrupted_repair_ends_on_the_servers_and_leaves_them_right(site: Site, how: str) -> None:
    good = site.contents(site.source)
    site.drift()
    spoilt = site.contents(site.target)
    with row_locked(site, "SELECT * FROM sakila.film WHERE film_id = 42 FOR UPDATE"):
        running = Running(site, "comaster.mysql_repl.sync", "-e", "mysql_repl_batch_rows=1")
        running.wait_for("repairing")
        if how == "interrupted":
            running.process.send_signal(signal.SIGINT)
        else:  # as AWX cancels a job
            os.killpg(running.process.pid, signal.SIGKILL)
        assert running.end() != 0
        wait_for_no_sessions(site, 10)
    site.pair.wait()
    assert site.contents(site.source) == good
    for table, rows in site.contents(site.target).items():
        assert set(rows) <= set(good[table]) | set(spoilt[table])
    assert site.pair.links_healthy()
    assert site.playbook("sync").returncode == 0
    site.pair.wait()
    assert site.contents(site.target) == site.contents(site.source) == good


@contextmanager
def row_locked(site: Site, query: str) -> Iterator[None]:
    """The application holds a row of the source: a repair of it waits."""
    connection = site.source.connect()
    try:
        connection.begin()
        connection.cursor().execute(query)
        yield
    finally:
        connection.rollback()
        connection.close()


@one_flavor
def test_the_timeout_of_a_task_ends_the_module_too(site: Site) -> None:
    (site.folder / "pause").touch()
    run = site.play(
        """
- hosts: server2
  gather_facts: false
  tasks:
    - comaster.mysql_repl.mysql_repl_checksum:
        login_host: 127.0.0.1
        login_port: "{{ mysql_repl_login_port }}"
        login_user: repl_fix
        login_password: "{{ mysql_repl_login_password }}"
        config_file: ""
        pause_file: "{{ inventory_dir }}/pause"
      timeout: 4
"""
    )
    assert run.returncode != 0
    wait_for_no_sessions(site, 5)


def test_a_module_alone_ends_when_told_whatever_statement_it_is_at(site: Site) -> None:
    """Without an action plugin: SIGTERM, in the midst of a statement that would take minutes."""
    site.source.execute(["CREATE TABLE sakila.slow (n INT, v INT)", "INSERT INTO sakila.slow VALUES (1, 1), (2, 2)"])
    site.pair.wait()
    arguments = {
        "login_host": "127.0.0.1",
        "login_port": site.target.port,
        "login_user": "repl_fix",
        "login_password": site.group_vars["mysql_repl_login_password"],
        "config_file": "",
        "tables": ["sakila.slow"],
        "where": "SLEEP(100) = 0",
    }
    (site.folder / "arguments.json").write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}), encoding="utf-8")
    with (site.folder / "result").open("w") as output:
        module = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ansible_collections.comaster.mysql_repl.plugins.modules.mysql_repl_checksum",
                "arguments.json",
            ],
            cwd=site.folder,
            env={**os.environ, "PYTHONPATH": os.environ["ANSIBLE_COLLECTIONS_PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=output,
        )
    deadline = time.monotonic() + 30
    while not any(
        "SLEEP(100)" in str(row[0])
        for row in site.source.query("SELECT INFO FROM information_schema.PROCESSLIST WHERE USER = 'repl_fix'")
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    module.send_signal(signal.SIGTERM)
    module.wait(20)
    result = json.loads((site.folder / "result").read_text(encoding="utf-8"))
    assert (result["failed"], result["code"]) == (True, "interrupted")
    assert "by SIGTERM" in result["msg"]
    wait_for_no_sessions(site, 2)


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A server for ssh on the loopback; yields the variables of a host that is reached through it."""
    folder = tmp_path_factory.mktemp("sshd")
    may_install = os.geteuid() == 0 and shutil.which("apt-get") and not Path("/run/systemd/system").exists()
    if not Path("/usr/sbin/sshd").exists() and may_install:
        for command in (["update"], ["install", "-y", "--no-install-recommends", "openssh-server"]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                check=False,
                stdin=subprocess.DEVNULL,
            )
    if os.geteuid() != 0 or not Path("/usr/sbin/sshd").exists():
        pytest.skip("no sshd that root could start here: apt-get install openssh-server")
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port = 20000 + os.getpid() % 10000
    options = {
        "Port": port,
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "user.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
    }
    (folder / "config").write_text("".join(f"{name} {value}\n" for name, value in options.items()), encoding="utf-8")
    process = subprocess.Popen(["/usr/sbin/sshd", "-D", "-f", str(folder / "config"), "-E", str(folder / "log")])
    yield {
        "ansible_connection": "ssh",
        "ansible_host": "127.0.0.1",
        "ansible_port": port,
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(folder / "user"),
        "ansible_ssh_common_args": "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null",
    }
    process.terminate()
    process.wait()


@one_flavor
def test_over_ssh_and_as_another_user_too(site: Site, sshd: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a terminal, whose end would end the module.
    monkeypatch.setenv("ANSIBLE_PIPELINING", "true")
    site.group_vars.update(sshd, ansible_become=True, ansible_become_method="su")
    site.drift()
    pause = site.folder / "pause"
    pause.touch()
    running = Running(site, "comaster.mysql_repl.check", "-e", f"mysql_repl_pause_file={pause}")
    running.wait_for("waiting: ")
    running.process.send_signal(signal.SIGINT)
    assert running.end() != 0
    wait_for_no_sessions(site, 10)
