# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Roles: who has the right copy, which host does the work, and what stays secret."""

from __future__ import annotations

import json
import re
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

Site = Any  # conftest.Site

# For what does not depend on the server.
one_flavor = pytest.mark.parametrize("flavor", ["mariadb-10.11"], indirect=True)

AUTHORITY = """
- hosts: mysql_comasters
  gather_facts: false
  module_defaults:
    ansible.builtin.setup:
      fact_path: "{{ inventory_dir }}/{{ item | default('') }}"
  roles:
    - role: comaster.mysql_repl.authority
"""


@pytest.fixture
def undecided(site: Site) -> Site:
    """A site whose inventory names no authority."""
    del site.host_vars["server1"]["mysql_repl_authoritative"]
    return site


def authority(site: Site, *arguments: str) -> str:
    """Return what the role says of its choice."""
    run = site.play(AUTHORITY, *arguments)
    assert run.returncode == 0
    said = set(re.findall(r'"msg": "(source: .*)"', run.output))
    assert len(said) == 1
    return str(said.pop())


def no_authority(site: Site, *arguments: str) -> str:
    """Return the error of the role where it must not choose."""
    run = site.play(AUTHORITY, *arguments)
    assert run.returncode != 0
    assert "Say who has the right copy" not in run.output
    return str(run.output)


@one_flavor
@pytest.mark.parametrize("said", [True, "yes", "server2"])
def test_authority_by_inventory(undecided: Site, said: object) -> None:
    undecided.host_vars["server2"]["mysql_repl_authoritative"] = said
    reason = "source: server2 (mysql_repl_authoritative says so), target: server1"
    assert authority(undecided) == reason


@one_flavor
def test_authority_by_name_for_both(undecided: Site) -> None:
    said = authority(undecided, "-e", "mysql_repl_authoritative=server1")
    assert said.startswith("source: server1 (mysql_repl_authoritative")


@one_flavor
def test_authority_claimed_by_both_is_an_error(undecided: Site) -> None:
    undecided.group_vars["mysql_repl_authoritative"] = True
    output = no_authority(undecided)
    assert "Each of server1 and server2 could be the authoritative co-master" in output


@one_flavor
def test_authority_named_outside_the_pair_is_an_error(undecided: Site) -> None:
    output = no_authority(undecided, "-e", "mysql_repl_authoritative=server9")
    assert "mysql_repl_authoritative names server9, which is not of this pair" in output


def give_address(site: Site, host: str, address: str) -> None:
    """Let a host report an address: its interpreter finds an ip command of our own."""
    folder = site.folder / f"{host}-bin"
    folder.mkdir()
    shown = (
        "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN\n"
        "    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
        f"    inet {address}/24 scope global lo\n       valid_lft forever preferred_lft forever\n"
    )
    (folder / "ip").write_text(f"#!/bin/sh\ncat <<'END'\n{shown}END\n", encoding="utf-8")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPATH={folder}:$PATH exec {sys.executable} "$@"\n', encoding="utf-8")
    for program in folder.iterdir():
        program.chmod(0o755)
    site.host_vars[host]["ansible_python_interpreter"] = str(python)


@one_flavor
def test_authority_by_virtual_address(undecided: Site) -> None:
    give_address(undecided, "server1", "10.1.2.3")
    give_address(undecided, "server2", "10.1.2.99")
    undecided.group_vars["mysql_repl_vip"] = "10.1.2.99/24"
    said = "source: server2 (it holds the virtual address 10.1.2.99), target: server1"
    assert authority(undecided) == said
    # The peer's facts are there although the peer is not in the limit.
    assert authority(undecided, "--limit", "server1") == said


@one_flavor
def test_virtual_address_held_by_none_is_an_error(undecided: Site) -> None:
    give_address(undecided, "server1", "10.1.2.3")
    give_address(undecided, "server2", "10.1.2.4")
    undecided.group_vars["mysql_repl_vip"] = "10.1.2.99"
    undecided.target.execute("SET GLOBAL read_only=1")
    try:
        output = no_authority(undecided)
    finally:
        undecided.target.execute("SET GLOBAL read_only=0")
    assert "server1: mysql_repl_authoritative=unset; holds mysql_repl_vip 10.1.2.99: no." in output


def give_local_fact(site: Site, host: str, authoritative: object) -> None:
    """Put a local fact where the play of these tests lets setup look."""
    folder = site.folder / host
    folder.mkdir()
    fact = json.dumps({"authoritative": authoritative})
    (folder / "mysql_repl.fact").write_text(fact, encoding="utf-8")


@one_flavor
def test_authority_by_local_fact(undecided: Site) -> None:
    give_local_fact(undecided, "server1", False)
    give_local_fact(undecided, "server2", True)
    said = authority(undecided)
    assert said == "source: server2 (its local fact mysql_repl.authoritative says so), target: server1"


@one_flavor
def test_local_facts_of_both_are_an_error(undecided: Site) -> None:
    give_local_fact(undecided, "server1", True)
    give_local_fact(undecided, "server2", "yes")
    assert "ansible_local.mysql_repl.authoritative: true." in no_authority(undecided)


def test_authority_by_read_only(undecided: Site) -> None:
    said = "source: {} (it alone of the two accepts writes (read_only is off)), target: {}"
    for closed, other, names in (
        (undecided.target, undecided.source, ("server1", "server2")),
        (undecided.source, undecided.target, ("server2", "server1")),
    ):
        closed.execute("SET GLOBAL read_only=1")
        try:
            assert authority(undecided) == said.format(*names)
            other.execute("SET GLOBAL read_only=1")
            assert "Neither of server1 and server2 could be" in no_authority(undecided)
        finally:
            closed.execute("SET GLOBAL read_only=0")
            other.execute("SET GLOBAL read_only=0")


def test_two_writable_servers_are_an_error(undecided: Site) -> None:
    output = no_authority(undecided)
    assert re.search(r"server1: mysql_repl_authoritative=unset; .* read_only: off\.", output)
    assert re.search(r"server2: mysql_repl_authoritative=unset; .* read_only: off\.", output)
    table = [[cell.strip(' ",') for cell in line.split(" | ")] for line in output.splitlines() if re.match(r" +\".* \| ", line)]
    assert table == [
        ["rule", "server1", "server2"],
        ["1 mysql_repl_authoritative", "unset", "unset"],
        ["2 holds mysql_repl_vip (unset)", "no", "no"],
        ["3 ansible_local.mysql_repl.authoritative", "not true", "not true"],
        ["4 read_only", "off", "off"],
    ]


@one_flavor
def test_server_that_cannot_be_asked_is_no_candidate_and_leaves_none(undecided: Site) -> None:
    undecided.host_vars["server1"]["mysql_repl_login_port"] = 1
    output = no_authority(undecided)
    assert "read_only: unknown" in output
    assert "cannot connect" in output


@one_flavor
def test_pair_of_three_is_an_error(site: Site) -> None:
    site.host_vars["server3"] = {"mysql_repl_login_port": 1}
    assert "A pair is exactly two hosts of the group mysql_comasters" in no_authority(site)


@one_flavor
def test_pairs_are_told_apart(site: Site) -> None:
    for host in ("server1", "server2"):
        site.host_vars[host]["mysql_repl_pair"] = 7
    for host in ("server3", "server4"):
        site.host_vars[host] = {"mysql_repl_pair": "other"}
    site.host_vars["server4"]["mysql_repl_authoritative"] = True
    output = site.play(AUTHORITY).output
    assert '"source: server1 (mysql_repl_authoritative says so), target: server2"' in output
    assert '"source: server4 (mysql_repl_authoritative says so), target: server3"' in output


@pytest.mark.parametrize("limit", ["server1", "server2"])
def test_one_host_of_a_pair_suffices(site: Site, limit: str) -> None:
    good = site.contents(site.source)
    site.drift()
    run = site.playbook("sync", "--limit", limit)
    assert run.returncode == 0
    assert "REPAIRED: server2 through server1" in run.output
    site.pair.wait()
    assert site.contents(site.target) == site.contents(site.source) == good


@one_flavor
def test_the_authority_may_be_the_other_one(site: Site) -> None:
    del site.host_vars["server1"]["mysql_repl_authoritative"]
    site.host_vars["server2"]["mysql_repl_authoritative"] = True
    site.drift()
    run = site.playbook("check")
    assert '"sakila.film: drift, 1 missing, 1 extra, 2 different (100 rows)"' in run.output
    assert '"NOT IN SYNC: server1 against server2;' in run.output


@one_flavor
@pytest.mark.parametrize("tables", ["sakila.film\nsakila.film_actor\n", "sakila.film, sakila.film_actor", ["sakila.*"]])
def test_lists_come_as_lists_or_text(site: Site, tables: object) -> None:
    answers = {"mysql_repl_tables": tables, "mysql_repl_ignore_tables": "", "mysql_repl_where": ""}
    run = site.playbook("check", "-e", json.dumps({**answers, "mysql_repl_databases": ""}))
    assert run.returncode == 0
    assert "tables: 2 identical," in run.output


@one_flavor
def test_a_wrong_authority_is_stopped_by_the_cap_on_deletes(site: Site) -> None:
    """server2 has lost its rows and is named the authority all the same: server1 would lose them too."""
    for right in ("CREATE TEMPORARY TABLES, CREATE, INSERT ON sakila.*", "BINLOG ADMIN ON *.*"):
        site.target.execute(f"GRANT {right} TO repl_fix@'127.0.0.1'", logged=False)
    site.drift("DELETE FROM sakila.film WHERE film_id > 50")
    site.host_vars["server2"]["mysql_repl_authoritative"] = True
    del site.host_vars["server1"]["mysql_repl_authoritative"]
    before = site.contents(site.source), site.contents(site.target), site.positions()
    run = site.playbook("sync", "-e", "mysql_repl_max_deletes=49")
    assert run.returncode != 0
    assert "50 rows" in run.output
    assert "max_deletes" in run.output
    assert (site.contents(site.source), site.contents(site.target), site.positions()) == before
    assert not site.undo_dir.exists()


def test_source_behind_another_address(site: Site, tmp_path: Path) -> None:
    """The replication status names TCP; here the partner is reached by its socket instead."""
    site.host_vars["server2"]["mysql_repl_source"] = {"login_unix_socket": site.source.socket}
    site.source.execute("RENAME USER repl_fix@'127.0.0.1' TO repl_fix@localhost", logged=False)
    try:
        run = site.playbook("check")
    finally:
        site.source.execute("RENAME USER repl_fix@localhost TO repl_fix@'127.0.0.1'", logged=False)
    assert run.returncode == 0
    assert "IN SYNC: server2 against server1" in run.output


class Eavesdropper:
    """Looks at the command lines and environments of all processes, and at both servers' process lists, all the time."""

    def __init__(self, site: Site) -> None:
        self.seen: set[str] = set()
        self._site = site
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):
                    self.seen.add(path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
            for server in (self._site.source, self._site.target):
                self.seen.update(str(row) for row in server.watch("SHOW FULL PROCESSLIST"))

    def __enter__(self) -> Eavesdropper:
        self._thread.start()
        return self

    def __exit__(self, *unused: object) -> None:
        self._end.set()
        self._thread.join()


def test_passwords_of_the_two_may_differ_and_stand_nowhere(site: Site) -> None:
    """Neither in output at -vvvv and diffs, nor in process lists, general logs, binary logs, journals, plans and states."""
    secrets = ("secret-of-server1", "secret-of-server2", "secret-of-nobody")
    for server, secret in ((site.source, secrets[0]), (site.target, secrets[1])):
        server.execute(f"ALTER USER repl_fix@'127.0.0.1' IDENTIFIED BY '{secret}'", logged=False)
        server.execute("SET GLOBAL general_log_file='general.log', GLOBAL general_log=ON")
    site.host_vars["server1"]["mysql_repl_login_password"] = secrets[0]
    # Right only inside the nested option: what is beside it is overridden.
    site.host_vars["server2"]["mysql_repl_login_password"] = secrets[1]
    site.host_vars["server2"]["mysql_repl_source"] = {"login_password": secrets[0]}
    site.host_vars["server1"]["mysql_repl_login_password"] = secrets[2]
    site.drift()
    starts = [server.binlog_position() for server in (site.source, site.target)]
    files = {"mysql_repl_plan_file": str(site.folder / "plan"), "mysql_repl_state_file": str(site.folder / "state")}
    said = []
    try:
        with Eavesdropper(site) as ears:
            for name, more in (
                ("check", [*(f"-e{variable}={path}" for variable, path in files.items())]),
                ("sync", ["--diff"]),
            ):
                run = site.playbook(name, "-vvvv", *more)
                assert run.returncode == 0
                said.append(run.output)
            result = site.module("checksum", login_password=secrets[1], source={"login_password": secrets[2]})
            said.append(json.dumps(result, default=str))
    finally:
        for server in (site.source, site.target):
            server.execute("SET GLOBAL general_log=OFF")
    assert "verified equal" in said[1]
    assert '"login_password": "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"' in said[1]
    assert result["code"] == "cannot_connect"
    assert any("AnsiballZ" in line for line in ears.seen), "nobody listened"
    assert any("comaster" in line or "film" in line for line in ears.seen)
    logs = [(server.datadir / "general.log").read_text("utf-8", "replace") for server in (site.source, site.target)]
    assert all("film" in log for log in logs)
    dumps = [server.binlog_dump(start[0], "-vv") for server, start in zip((site.source, site.target), starts)]
    assert "film" in dumps[0]
    written = [*site.undo_dir.iterdir(), site.folder / "plan"]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in written)
    kept = [path.read_bytes().decode("utf-8", "replace") for path in written]
    for secret in secrets:
        for text in (*said, *ears.seen, *logs, *dumps, *kept):
            assert secret not in text


def test_passwords_may_come_from_the_environment_of_the_controller(site: Site) -> None:
    del site.group_vars["mysql_repl_login_password"]
    site.source.execute("ALTER USER repl_fix@'127.0.0.1' IDENTIFIED BY 'secret-of-server1'", logged=False)
    run = site.playbook(
        "check",
        "-vvvv",
        MYSQL_REPL_LOGIN_PASSWORD="correct-horse-battery",
        MYSQL_REPL_SOURCE_LOGIN_PASSWORD="secret-of-server1",
    )
    assert run.returncode == 0
    assert "IN SYNC: " in run.output
    assert "secret-of" not in run.output
    assert "correct-horse" not in run.output
