# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command in README.md and docs/ is run as it stands, in an empty directory with an empty home (pages.py)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from pages import CHECKOUT, Block, blocks, pages

from sandbox import Server, Topology

#: Pages that are run on more than one kind of server; the others on the first.
ON_BOTH = {"docs/quickstart.md"}
FAMILIES = {"mariadb": "mariadb-10.11", "mysql": "mysql-9"}
VERBS = {"example", "spoil", "unlogged", "sql", "file", "play", "fails", "only", "skip"}
PASSWORD = "correct-horse-battery"

EXAMPLE = [
    "CREATE DATABASE sakila CHARACTER SET utf8mb4",
    "CREATE TABLE sakila.film (film_id SMALLINT UNSIGNED PRIMARY KEY, title VARCHAR(128) NOT NULL,"
    " rental_rate DECIMAL(4,2) NOT NULL, last_update TIMESTAMP NOT NULL DEFAULT '2006-02-15 05:03:42') ENGINE=InnoDB",
    "INSERT INTO sakila.film (film_id, title, rental_rate) VALUES "
    + ", ".join(f"({n}, '{'ALONE TRIP' if n == 17 else f'FILM {n}'}', {0.99 if n == 17 else 2.99})" for n in range(1, 1001)),
]
SPOIL = [
    "DELETE FROM sakila.film WHERE film_id = 17",
    "UPDATE sakila.film SET rental_rate = 0.99 WHERE film_id = 42",
]
#: The documented account with what all pages do, undo too.
RIGHTS = {
    "mysql": [
        "SELECT, TRIGGER, CREATE TEMPORARY TABLES, INSERT, DELETE ON sakila.*",
        "REPLICATION CLIENT, PROCESS, SESSION_VARIABLES_ADMIN ON *.*",
    ],
    "mariadb": [
        "SELECT, TRIGGER, CREATE TEMPORARY TABLES, CREATE, INSERT, DELETE ON sakila.*",
        "BINLOG MONITOR, SLAVE MONITOR, PROCESS, BINLOG ADMIN ON *.*",
    ],
}


class Reader:
    """A user who follows one page to the letter."""

    def __init__(self, pair: Topology, folder: Path) -> None:
        self.pair = pair
        self.folder = folder / "work"
        self.home = folder / "home"
        self.exported: dict[str, str] = {}
        for each in (self.folder, self.home):
            each.mkdir()
        self._clean()
        self._introduce_servers()

    @property
    def servers(self) -> dict[str, Server]:
        """By the names that the pages use."""
        return {"server1": self.pair.a, "server2": self.pair.b}

    def _clean(self) -> None:
        system = {"mysql", "sys", "information_schema", "performance_schema"}
        for server in self.servers.values():
            names = [name for (name,) in server.query("SHOW DATABASES") if name not in system]
            users = server.query("SELECT User, Host FROM mysql.user WHERE User LIKE 'repl\\_%'")
            server.execute(
                [*(f"DROP DATABASE `{name}`" for name in names), *(f"DROP USER '{user}'@'{host}'" for user, host in users)],
                logged=False,
            )

    def _introduce_servers(self) -> None:
        """What is different in a sandbox: both hosts are this one, the servers listen on other ports."""
        folder = self.folder / "host_vars"
        folder.mkdir()
        for name, server in self.servers.items():
            here = {
                "ansible_connection": "local",
                "ansible_python_interpreter": sys.executable,
                "mysql_repl_login_host": "127.0.0.1",
                "mysql_repl_login_port": server.port,
                "vault_repl_fix_password": PASSWORD,
            }
            (folder / f"{name}.yml").write_text(yaml.safe_dump(here), "utf-8")

    def example(self) -> None:
        """The case of the README."""
        self.pair.a.execute(EXAMPLE)
        account = "repl_fix@'%'"
        self.pair.a.execute(
            [
                f"CREATE USER {account} IDENTIFIED BY '{PASSWORD}'",
                *(f"GRANT {right} TO {account}" for right in RIGHTS[self.pair.a.family]),
            ]
        )
        self.pair.wait()
        kept = next(block for block in blocks(CHECKOUT / "README.md") if block.order("file"))
        (self.folder / "inventory.yml").write_text(kept.text, "utf-8")

    def obey(self, block: Block) -> None:
        """Do what the orders say and the block tells."""
        only = block.order("only")
        if only and only.argument != self.pair.a.family:
            return
        for order in block.orders:
            if order.verb == "example":
                self.example()
            elif order.verb == "spoil":
                self.pair.b.execute(SPOIL, logged=False)
            elif order.verb in ("sql", "unlogged"):
                lines = (order.body or block.text).splitlines()
                statements = [line.strip().rstrip(";") for line in lines if line.strip() and not line.startswith("--")]
                for name in order.argument.split(","):
                    self.servers[name].execute(statements, logged=order.verb == "sql")
                self.pair.wait()
            elif order.verb == "file":
                path = self.folder / order.argument
                path.parent.mkdir(exist_ok=True)
                path.write_text(block.text, "utf-8")
        if block.order("skip"):
            return
        if block.order("play"):
            (self.folder / "play.yml").write_text(block.text, "utf-8")
            self.run("ansible-playbook play.yml -i inventory.yml", [], block)
        elif block.language == "console":
            for command, printed in block.commands:
                self.run(command, printed, block)

    def run(self, command: str, printed: list[str], block: Block) -> None:
        """Run one command and compare what it prints."""
        where = f"{block.page}:{block.line}: $ {command}"
        if export := re.fullmatch(r"export (\w+)='?([^']*)'?", command):
            self.exported[export[1]] = export[2]
            return
        done = subprocess.run(
            ["bash", "-c", self._complete(command)],
            cwd=self.folder,
            env={
                "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(self.home),
                "LC_ALL": "C.UTF-8",
                "ANSIBLE_COLLECTIONS_PATH": os.environ["ANSIBLE_COLLECTIONS_PATH"],
                "ANSIBLE_LOCALHOST_WARNING": "false",
                "ANSIBLE_NOCOLOR": "1",
                **self.exported,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
        )
        output = done.stdout
        for name, server in self.servers.items():
            output = output.replace(f"127.0.0.1:{server.port}", f"{name}:3306")
        print(where, output, sep="\n")  # shown by pytest where the test fails
        assert (done.returncode != 0) == bool(block.order("fails")), where
        rest = [_bare(line) for line in output.splitlines()]
        for line in printed:
            pattern = ".*".join(map(re.escape, re.split("…|\\.\\.\\.", _bare(line))))
            at = next((number for number, each in enumerate(rest) if re.fullmatch(pattern, each)), None)
            assert at is not None, f"{where}\nprints no line (any more): {line.strip()}"
            rest = rest[at + 1 :]

    def _complete(self, command: str) -> str:
        """Put the newest file in the place of a name with an ellipsis."""

        def newest(found: re.Match[str]) -> str:
            pattern = found[0].replace("…", "*").replace("~", str(self.home))
            return str(max(Path("/").glob(pattern.lstrip("/")), key=lambda path: path.stat().st_mtime))

        return re.sub(r"[~/][\w./~-]*…[\w./-]*", newest, command)


def _bare(line: str) -> str:
    return line.strip().removeprefix('"msg": ').rstrip(",").strip('"')


def runs(block: Block) -> bool:
    """Whether a server is needed for the block."""
    return not block.order("skip") and (block.language == "console" or bool(block.orders))


@pytest.mark.parametrize("path", pages(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_block_is_run_or_says_why_not(path: Path) -> None:
    for block in blocks(path):
        where = f"{block.page}:{block.line}"
        assert {order.verb for order in block.orders} <= VERBS, where
        skip = block.order("skip")
        assert not skip or len(skip.argument) > 10, f"{where}: say why it is not run"
        if block.language == "yaml":
            content = yaml.safe_load(block.text)
            if isinstance(content, list) and not skip:
                assert all(isinstance(each, dict) for each in content), where
        elif block.language == "console" and not skip:
            assert block.commands, f"{where}: no line begins with '$ '"
        elif block.language not in ("console", ""):
            assert skip or block.orders, f"{where}: run it (sql, file, play) or say why not (skip)"


def _cases() -> list[Any]:
    found = []
    for path in pages():
        if any(runs(block) for block in blocks(path)):
            page = str(path.relative_to(CHECKOUT))
            found += [
                pytest.param(path, family, id=f"{page}-{family}") for family in FAMILIES if family == "mariadb" or page in ON_BOTH
            ]
    return found


@pytest.mark.parametrize(("path", "family"), _cases())
def test_a_page_does_what_it_says(path: Path, family: str, pairs: Any, tmp_path: Path) -> None:
    pair = pairs.get(FAMILIES[family])
    reader = Reader(pair, tmp_path)
    try:
        for block in blocks(path):
            reader.obey(block)
    finally:
        reader._clean()
    pair.wait()
    assert pair.links_healthy()
