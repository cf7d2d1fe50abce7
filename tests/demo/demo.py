# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The case this collection is for, played on real servers of its own.

    python tests/demo/demo.py [mariadb-10.11 | mariadb-11.8 | mysql-9]

Starts two co-masters on this machine, spoils a table on one of them, shows what the naive repair
does, then checks and repairs it with the collection's playbooks. Ends with 0 only if every step
came out as told.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pymysql

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests"))

from sandbox import FLAVORS, Server, Topology, co_masters  # noqa: E402

ROWS = 1000
PASSWORD = "not-a-secret-in-a-demo"
FILM = """
CREATE TABLE sakila.film (
  film_id SMALLINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  title VARCHAR(128) NOT NULL,
  release_year YEAR,
  rental_rate DECIMAL(4,2) NOT NULL DEFAULT 4.99,
  rating ENUM('G','PG','R') DEFAULT 'G',
  last_update TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  KEY idx_title (title)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
"""
#: The documented account: no right to update or delete data, on neither server.
GRANTS = {
    "mysql": {
        "both": ["SELECT, TRIGGER ON sakila.*", "REPLICATION CLIENT, PROCESS ON *.*"],
        "source": ["CREATE TEMPORARY TABLES ON sakila.*", "SESSION_VARIABLES_ADMIN ON *.*"],
    },
    "mariadb": {
        "both": ["SELECT, TRIGGER ON sakila.*", "BINLOG MONITOR, SLAVE MONITOR, PROCESS ON *.*"],
        "source": ["CREATE TEMPORARY TABLES, CREATE, INSERT ON sakila.*", "BINLOG ADMIN ON *.*"],
    },
}
DRIFT = [
    "DELETE FROM sakila.film WHERE film_id = 17",
    "UPDATE sakila.film SET rental_rate = 0.01 WHERE film_id IN (42, 43)",
    "UPDATE sakila.film SET title = 'LOST TITLE', rating = NULL WHERE film_id = 500",
    "INSERT INTO sakila.film VALUES (60000, 'GHOST OF SERVER2', 2001, 1.00, 'R', '2001-01-01')",
]


class Unexpected(Exception):
    """A step did not come out as the demo tells it."""


def heading(text: str) -> None:
    """Start a chapter."""
    print(f"\n\033[1m=== {text}\033[0m\n" if sys.stdout.isatty() else f"\n=== {text}\n", flush=True)


def say(text: str) -> None:
    """Tell what happens, in lines that fit a terminal."""
    print(textwrap.fill(textwrap.dedent(text).strip(), 96), flush=True)


def expect(condition: bool, claim: str) -> None:
    """Hold the demo to what it tells. Raises Unexpected."""
    if not condition:
        raise Unexpected(f"this should hold and does not: {claim}")
    print(f"  ok: {claim}", flush=True)


def make_table(pair: Topology) -> None:
    """Create sakila.film on server1 and let replication bring it to server2."""
    pair.a.execute(["CREATE DATABASE sakila", FILM])
    rows = ", ".join(
        f"({n}, 'FILM NUMBER {n}', {1990 + n % 30}, {n % 5}.99, 'PG', '2025-01-01 12:00:00')" for n in range(1, ROWS + 1)
    )
    pair.a.execute(f"INSERT INTO sakila.film VALUES {rows}")
    pair.wait()


def make_account(pair: Topology) -> None:
    """Create the documented account on both servers, each with just what it needs there."""
    for server, more in ((pair.a, "source"), (pair.b, "")):
        rights = GRANTS[server.family]
        account = "repl_fix@'127.0.0.1'"
        server.execute(
            [f"CREATE USER {account} IDENTIFIED BY '{PASSWORD}'"]
            + [f"GRANT {right} TO {account}" for right in rights["both"] + rights.get(more, [])],
            logged=False,
        )


def write_inventory(pair: Topology, folder: Path) -> Path:
    """Write what a user would write for this pair."""
    inventory = folder / "inventory.yml"
    inventory.write_text(
        textwrap.dedent(f"""\
        mysql_comasters:
          hosts:
            server1: {{mysql_repl_login_port: {pair.a.port}, mysql_repl_authoritative: true}}
            server2: {{mysql_repl_login_port: {pair.b.port}}}
          vars:
            ansible_connection: local
            ansible_python_interpreter: {sys.executable}
            mysql_repl_login_host: 127.0.0.1
            mysql_repl_login_user: repl_fix
            mysql_repl_login_password: {PASSWORD}
            mysql_repl_tables: sakila.film
            mysql_repl_undo_dir: {folder}/undo
        """),
        encoding="utf-8",
    )
    return inventory


def play(name: str, inventory: Path, *arguments: str) -> str:
    """Run one of the collection's playbooks, show and return what it prints. Raises Unexpected."""
    command = ["ansible-playbook", f"comaster.mysql_repl.{name}", "-i", inventory.name, *arguments]
    print(f"$ {' '.join(command)}\n", flush=True)
    installed = str(CHECKOUT / ".cache" / "installed")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_COLLECTIONS_PATH": os.environ.get("ANSIBLE_COLLECTIONS_PATH", installed),
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "false",
        "ANSIBLE_DISPLAY_OK_HOSTS": "true",
        "ANSIBLE_LOCALHOST_WARNING": "false",
    }
    done = subprocess.run(
        command,
        cwd=inventory.parent,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    # The authority's steps are the same each time; what follows them is the news.
    start = max(0, done.stdout.find("TASK [comaster.mysql_repl.authority : Say who"))
    print(textwrap.indent(done.stdout[start:], "    "), flush=True)
    if done.returncode != 0:
        raise Unexpected(f"ansible-playbook ended with {done.returncode}")
    return done.stdout


def content(server: Server) -> list[tuple[object, ...]]:
    """Every row of the table, every value as bytes in hexadecimal."""
    columns = [row[0] for row in server.query("SHOW COLUMNS FROM sakila.film")]
    values = ", ".join(f"HEX(CAST(`{column}` AS BINARY))" for column in columns)
    return server.query(f"SELECT {values} FROM sakila.film ORDER BY film_id")


def show_state(pair: Topology) -> None:
    """Print rows and checksum of the table on both servers, and the links."""
    for name, server in (("server1", pair.a), ("server2", pair.b)):
        rows = server.query("SELECT COUNT(*) FROM sakila.film")[0][0]
        checksum = server.query("CHECKSUM TABLE sakila.film")[0][1]
        print(f"  {name}: {rows} rows, CHECKSUM TABLE {checksum}")
    for link in pair.links:
        names = {"a": "server1", "b": "server2"}
        state = "running" if link.healthy() else "STOPPED"
        print(f"  {names[link.source.name]} -> {names[link.replica.name]}: {state}")
    print(flush=True)


def show_naive_repair(flavor: str) -> None:
    """Insert the missing row on the replica, on a pair that is thrown away."""
    with co_masters(flavor) as pair:
        make_table(pair)
        row = pair.b.query("SELECT * FROM sakila.film WHERE film_id = 17")[0]
        pair.b.execute("DELETE FROM sakila.film WHERE film_id = 17", logged=False)
        print("  server2> INSERT INTO film SELECT ... WHERE film_id = 17;   -- the missing row\n")
        connection = pair.b.connect()
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO sakila.film VALUES (%s, %s, %s, %s, %s, %s)", row)
        status: dict[str, object] = {}
        deadline = time.monotonic() + 30
        while not status.get("Last_SQL_Errno") and time.monotonic() < deadline:
            time.sleep(0.1)
            status = pair.a.replica_status()
        print("  server1> SHOW REPLICA STATUS")
        for key in ("Replica_SQL_Running", "Last_SQL_Errno"):
            print(f"    {key}: {status.get(key)}")
        print(textwrap.indent(textwrap.fill(str(status.get("Last_SQL_Error")), 90), "    "), "\n")
        expect(status.get("Last_SQL_Errno") == 1062, "replication to server1 has stopped with 1062")


def show_rights(pair: Topology) -> None:
    """Let the account try what it must not be able to do on the source."""
    connection = pair.a.connect("repl_fix", PASSWORD, host=pair.a.host)
    with connection, connection.cursor() as cursor:
        for statement in (
            "UPDATE sakila.film SET rental_rate = 0",
            "DELETE FROM sakila.film",
        ):
            try:
                cursor.execute(statement)
            except pymysql.err.OperationalError as error:
                print(f"  server1> {statement};\n    ERROR {error.args[0]}: {error.args[1]}")
            else:
                raise Unexpected(f"the account may run: {statement}")
    print(flush=True)


def story(flavor: str, folder: Path) -> None:
    """Tell the whole story. Raises Unexpected where the servers do not agree with it."""
    heading(f"Two co-masters of {flavor}, each a replica of the other")
    with co_masters(flavor) as pair:
        make_table(pair)
        make_account(pair)
        say(f"""
            server1 and server2 have the table sakila.film with {ROWS} rows. Now, on server2 alone
            and past the binary log (as after a crash or a restore), a row gets lost, three are
            spoiled, and one appears that server1 never had:
        """)
        print()
        for statement in DRIFT:
            print(f"  server2> {statement};")
        pair.b.execute(DRIFT, logged=False)
        print()
        show_state(pair)
        good = content(pair.a)
        expect(content(pair.b) != good, "the tables differ, and replication has not noticed")

        heading("What not to do: insert the missing row on server2 (on another pair, thrown away)")
        show_naive_repair(flavor)

        heading("The account that repairs it cannot change data")
        show_rights(pair)

        inventory = write_inventory(pair, folder)
        heading("1. Check")
        printed = play("check", inventory)
        expect("1 missing, 1 extra, 3 different" in printed, "the check finds exactly these rows")

        heading("2. What a repair would do: sync --check --diff")
        before = [server.binlog_position() for server in (pair.a, pair.b)]
        printed = play("sync", inventory, "--check", "--diff")
        expect("+film_id=17 " in printed, "the diff shows the missing row")
        after = [server.binlog_position() for server in (pair.a, pair.b)]
        expect(after == before, "nothing was written: both binary logs stand where they stood")

        heading("3. Repair: sync")
        printed = play("sync", inventory)
        expect("verified equal" in printed, "the rows were compared again and are equal")
        expect("undo journal" in printed, "there is an undo journal")

        heading("4. Check again")
        printed = play("check", inventory)
        expect("IN SYNC" in printed and "NOT IN SYNC" not in printed, "the check finds no drift")

        heading("What the servers themselves say")
        pair.wait()
        show_state(pair)
        expect(content(pair.a) == good, "server1's rows are byte for byte what they were")
        expect(content(pair.b) == good, "server2's rows are byte for byte the same")
        expect(pair.links_healthy(), "replication runs in both directions")


def main() -> int:
    """Run the demo; 0 when everything came out as told."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "flavor",
        nargs="?",
        default=os.environ.get("MYSQL_REPL_DEMO_FLAVOR", "mariadb-10.11"),
        choices=sorted(FLAVORS),
    )
    flavor = parser.parse_args().flavor
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mysql_repl_demo-") as folder:
        try:
            story(flavor, Path(folder))
        except Unexpected as error:
            print(f"\nFAILED: {error}", flush=True)
            return 1
    print(f"\nDone, all as told, in {time.monotonic() - started:.0f} seconds.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
