# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site as a user has one: two real co-masters, an inventory, the documented account, Ansible.

Modules run through pytest-ansible, playbooks through ansible-playbook, both from the installed
collection (ANSIBLE_COLLECTIONS_PATH, by default .cache/installed).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))
# Before anything of Ansible is imported: it reads its settings only once.
os.environ.setdefault("ANSIBLE_COLLECTIONS_PATH", str(CHECKOUT / ".cache" / "installed"))
os.environ.setdefault("ANSIBLE_LOCALHOST_WARNING", "false")

from sandbox import PackageUnavailable, Server, Topology, co_masters  # noqa: E402

FLAVORS = ("mariadb-10.11", "mysql-9")
USER = "repl_fix"
PASSWORD = "correct-horse-battery"
ROWS = 100
#: The documented account: rights on both servers, and what the source needs besides.
GRANTS = {
    "mysql": (
        ["SELECT, TRIGGER ON sakila.*", "REPLICATION CLIENT, PROCESS ON *.*"],
        ["CREATE TEMPORARY TABLES ON sakila.*", "SESSION_VARIABLES_ADMIN ON *.*"],
    ),
    "mariadb": (
        ["SELECT, TRIGGER ON sakila.*", "BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.*"],
        ["CREATE TEMPORARY TABLES, CREATE, INSERT ON sakila.*", "BINLOG ADMIN ON *.*"],
    ),
}
TABLES = {
    "film": """(film_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        title VARCHAR(128) NOT NULL, rental_rate DECIMAL(4,2) NOT NULL,
        rating ENUM('G','PG','R'), cover BLOB,
        last_update TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))""",
    "film_actor": """(actor BINARY(16) NOT NULL, film_id SMALLINT UNSIGNED NOT NULL,
        billed DATETIME(3) NOT NULL, PRIMARY KEY (film_id, actor))""",
}
DRIFT = (
    "DELETE FROM sakila.film WHERE film_id = 17",
    "UPDATE sakila.film SET rental_rate = 0.01, cover = x'00ff' WHERE film_id IN (42, 43)",
    "INSERT INTO sakila.film VALUES (6000, 'GHOST', 1.00, NULL, NULL, '2001-01-01 00:00:00')",
    "UPDATE sakila.film_actor SET billed = '1999-12-31 23:59:59.999' WHERE film_id = 7",
)

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class Run:
    """What ansible-playbook said; every line of it is in ``output``."""

    returncode: int
    output: str

    def changed(self, host: str) -> int:
        """Number of changed tasks in the recap of a host."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        line = next(line for line in recap.splitlines() if line.startswith(host + " "))
        return int(line.partition("changed=")[2].split()[0])


@dataclass
class Site:
    """Two co-masters, server1 (the authority) and server2, and Ansible at work on them."""

    pair: Topology
    folder: Path
    hosts: Callable[..., Any]
    host_vars: dict[str, dict[str, Any]] = field(default_factory=dict)
    group_vars: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> Server:
        """server1"""
        return self.pair.a

    @property
    def target(self) -> Server:
        """server2"""
        return self.pair.b

    @property
    def undo_dir(self) -> Path:
        """Where undo journals go."""
        return self.folder / "undo"

    @property
    def inventory(self) -> Path:
        """Write the inventory file from host_vars and group_vars, and return it."""
        path = self.folder / "inventory.yml"
        content = {"mysql_comasters": {"hosts": self.host_vars, "vars": self.group_vars}}
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return path

    def module(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Run a module on server2's host through pytest-ansible and return its result."""
        login = {
            "login_host": self.target.host,
            "login_port": self.target.port,
            "login_user": USER,
            "login_password": PASSWORD,
            "config_file": "",
        }
        dispatcher = self.hosts(inventory=str(self.inventory), host_pattern="server2")["server2"]
        run = getattr(dispatcher, f"comaster.mysql_repl.mysql_repl_{name}")
        return dict(run(**{**login, **arguments}).contacted["server2"])

    def playbook(self, name: str, *arguments: str, **environment: str) -> Run:
        """Run a playbook of the collection, or a file of one's own."""
        playbook = name if name.endswith(".yml") else f"comaster.mysql_repl.{name}"
        done = subprocess.run(
            ["ansible-playbook", playbook, "-i", str(self.inventory), *arguments],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_NOCOLOR": "1",
                **environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        print(done.stdout)  # shown by pytest where the test fails
        return Run(done.returncode, done.stdout)

    def play(self, text: str, *arguments: str, **environment: str) -> Run:
        """Run a playbook given as text."""
        path = self.folder / "playbook.yml"
        path.write_text(text, encoding="utf-8")
        return self.playbook(str(path), *arguments, **environment)

    def drift(self, *statements: str) -> None:
        """Spoil server2 past the binary log."""
        self.target.execute(statements or DRIFT, logged=False)

    def contents(self, server: Server) -> dict[str, Rows]:
        """Every row of every table, every value as bytes in hexadecimal."""
        found: dict[str, Rows] = {}
        for (table,) in server.query("SHOW TABLES FROM sakila"):
            columns = [row[0] for row in server.query(f"SHOW COLUMNS FROM sakila.`{table}`")]
            values = ", ".join(f"HEX(CAST(`{column}` AS BINARY))" for column in columns)
            order = ", ".join(str(number + 1) for number in range(len(columns)))
            found[table] = server.query(f"SELECT {values} FROM sakila.`{table}` ORDER BY {order}")
        return found

    def definitions(self, server: Server) -> list[Rows]:
        """SHOW CREATE TABLE of every table: columns, keys, AUTO_INCREMENT."""
        tables = [table for (table,) in server.query("SHOW TABLES FROM sakila")]
        return [server.query(f"SHOW CREATE TABLE sakila.`{table}`") for table in tables]

    def positions(self) -> list[tuple[str, int]]:
        """How far both binary logs are written."""
        return [server.binlog_position() for server in (self.source, self.target)]


class Pairs:
    """One running pair for each flavour, started when it is first wanted."""

    def __init__(self) -> None:
        self._running: dict[str, Topology] = {}

    def get(self, flavor: str) -> Topology:
        """Return a pair whose links are well; skips the test where the server cannot be had."""
        pair = self._running.get(flavor)
        if pair and not self._is_well(pair):
            self._running.pop(flavor).stop()
            pair = None
        if not pair:
            try:
                pair = self._running[flavor] = co_masters(flavor)
            except PackageUnavailable as error:
                pytest.skip(str(error))
        return pair

    @staticmethod
    def _is_well(pair: Topology) -> bool:
        try:
            pair.wait(10)
        except Exception:  # whatever a test did to it, a new pair is the answer
            return False
        return len(pair.links) == 2 and len(pair.servers) == 2 and pair.links_healthy()

    def stop(self) -> None:
        """Stop every pair."""
        for pair in self._running.values():
            pair.stop()


@pytest.fixture(scope="session")
def pairs() -> Iterator[Pairs]:
    """Running pairs by flavour."""
    store = Pairs()
    yield store
    store.stop()


def make_account(server: Server, rights: list[str]) -> None:
    """Give the documented account exactly these rights on one server."""
    account = f"{USER}@'127.0.0.1'"
    statements = [
        f"DROP USER IF EXISTS {account}",
        f"CREATE USER {account} IDENTIFIED BY '{PASSWORD}'",
    ]
    server.execute(statements + [f"GRANT {right} TO {account}" for right in rights], logged=False)


def make_tables(pair: Topology) -> None:
    """Create the tables afresh on server1, and wait until server2 has them."""
    pair.b.execute("DROP DATABASE IF EXISTS sakila", logged=False)
    pair.a.execute("DROP DATABASE IF EXISTS sakila", logged=False)
    films = ", ".join(
        f"({n}, 'FILM Ünö {n}', {n % 5}.99, 'PG', x'{n:04x}00ff', '2025-01-01 12:00:00.{n:06}')" for n in range(1, ROWS + 1)
    )
    actors = ", ".join(f"(x'{n:032x}', {n % 20 + 1}, '2025-01-01')" for n in range(1, ROWS + 1))
    pair.a.execute(
        [
            "CREATE DATABASE sakila CHARACTER SET utf8mb4",
            *(f"CREATE TABLE sakila.{name} {columns} ENGINE=InnoDB" for name, columns in TABLES.items()),
            f"INSERT INTO sakila.film VALUES {films}",
            f"INSERT INTO sakila.film_actor VALUES {actors}",
        ]
    )
    pair.wait()


@pytest.fixture(params=FLAVORS)
def flavor(request: pytest.FixtureRequest) -> str:
    """The servers of the site."""
    return str(request.param)


@pytest.fixture
def site(flavor: str, pairs: Pairs, new_site: Callable[[Topology], Site]) -> Site:
    """A site with equal copies; a test spoils what it wants spoiled."""
    return new_site(pairs.get(flavor))


@pytest.fixture
def new_site(tmp_path: Path, ansible_adhoc: Any) -> Callable[[Topology], Site]:
    """Make a site of a pair of one's own."""
    return lambda pair: make_site(pair, tmp_path, ansible_adhoc)


def make_site(pair: Topology, folder: Path, hosts: Callable[..., Any]) -> Site:
    """Give a pair its tables and the documented account, and an inventory."""
    make_tables(pair)
    both, source = GRANTS[pair.a.family]
    make_account(pair.a, both + source)
    make_account(pair.b, both)
    return Site(
        pair,
        folder,
        hosts,
        host_vars={
            "server1": {"mysql_repl_login_port": pair.a.port, "mysql_repl_authoritative": True},
            "server2": {"mysql_repl_login_port": pair.b.port},
        },
        group_vars={
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "mysql_repl_login_host": "127.0.0.1",
            "mysql_repl_login_user": USER,
            "mysql_repl_login_password": PASSWORD,
            "mysql_repl_config_file": "",
            "mysql_repl_databases": "sakila",
            "mysql_repl_undo_dir": str(folder / "undo"),
        },
    )
