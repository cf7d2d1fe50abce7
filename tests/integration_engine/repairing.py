# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Repairs of single tables without the operations around them: sessions, fences, verdicts, one account."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    catalog,
    confirm,
    fence,
    journal,
    repair,
    schema,
    session,
    topology,
)
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import KeySpace
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Servers
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.recipes import PLAIN

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")

LENIENT = ["SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'", "SET SESSION time_zone = '+00:00'"]

#: What the documentation says a repairing account needs on the source: (on the database, on everything).
MINIMAL = {
    "mysql": ("SELECT, TRIGGER, CREATE TEMPORARY TABLES", "REPLICATION CLIENT, PROCESS, SESSION_VARIABLES_ADMIN"),
    "mariadb": (
        "SELECT, TRIGGER, CREATE TEMPORARY TABLES, CREATE, INSERT",
        "BINLOG ADMIN, BINLOG MONITOR, SLAVE MONITOR, PROCESS",
    ),
}
PASSWORD = "sandbox-minimal"


def endpoint(server, user="root", password=None):
    """A server as the engine takes it."""
    return session.Endpoint(host=server.host, port=server.port, user=user, password=password or server.root_password)


@contextmanager
def minimal_account(pair, database):
    """An account with the documented rights and no others; yields (user, password)."""
    on_database, on_all = MINIMAL[pair.a.family]
    user = f"min_{database}"
    pair.a.execute(
        [
            f"CREATE USER {user}@'%' IDENTIFIED BY '{PASSWORD}'",
            f"GRANT {on_database} ON `{database}`.* TO {user}@'%'",
            f"GRANT {on_all} ON *.* TO {user}@'%'",
        ]
    )
    pair.wait()
    try:
        yield user, PASSWORD
    finally:
        pair.a.execute(f"DROP USER {user}@'%'")


class Rig:
    """A pair of servers, with sessions of one account, ready to repair tables. Use as a context manager."""

    def __init__(self, pair, database, undo_dir, user="root", password=None):
        self.pair = pair
        self.database = database
        self.undo_dir = str(undo_dir)
        self._login = (user, password)
        self._stack = ExitStack()
        self.source = self.session(pair.a, "source")
        self.lock = self.session(pair.a, "source")
        self.log = self.session(pair.a, "source")
        self.target = self.session(pair.b, "target")
        self.links = topology.inspect(self.source, self.target, Servers(endpoint(pair.b, *self._login)))
        self.fences = 0
        self.journal = ""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._stack.close()

    def session(self, server, role):
        """Another session of the account."""
        return self._stack.enter_context(session.connect(endpoint(server, *self._login), role))

    def fence(self):
        """Drain both ways."""
        self.fences += 1
        fence.fence_both(self.source, self.target, self.links, 20)

    def check_links(self):
        """Raise when a link is broken."""
        fence.check_links(self.source, self.target, self.links)

    def table(self, name):
        """The table as the source defines it."""
        return catalog.read_tables(self.source, [self.database])[schema.TableName(self.database, name)]

    def content(self, server, name):
        """All rows, exactly, in no order."""
        return sorted(server.rows(f"SELECT * FROM {schema.TableName(self.database, name).sql}"), key=repr)

    def differences(self, name):
        """All differences of a table, by reading all of it."""
        table = self.table(name)
        space = KeySpace(table, table.key)
        keys = {}
        for server in (self.source, self.target):
            keys.update(dict.fromkeys(server.rows(f"SELECT {space.read_list} FROM {table.name.sql}")))
        found = confirm.confirm(self.source, self.target, table, list(keys), self.fence)
        return list({change.key: change for change in found}.values())

    def writer(self):
        """A new journal."""
        source, target = (
            journal.Identity(f"{facts.host}:{facts.port}", facts.server_id, facts.uuid)
            for facts in (self.links.source, self.links.target)
        )
        return journal.create(self.undo_dir, journal.Header("sync", source, target))

    def repair(self, name, changes=None, batch_rows=500, spare_deletes=0, journal_writer=None, fence=None, recipe=PLAIN):
        """Repair a table; the source must be untouched by it."""
        changes = self.differences(name) if changes is None else changes
        with journal_writer or self.writer() as writer:
            self.journal = writer.path
            return repair.repair_table(
                self.lock,
                self.log,
                self.target,
                self.table(name),
                changes,
                batch_rows,
                writer,
                fence or self.fence,
                self.check_links,
                spare_deletes,
                recipe,
            )

    def repaired(self, name, **how):
        """Repair a table and see that the source kept every byte and that both copies are equal; returns the result."""
        before = self.content(self.source, name)
        result = self.repair(name, **how)
        assert result.stopped is None, result.stopped
        assert result.verified, result
        assert self.content(self.source, name) == before
        assert self.differences(name) == []
        self.check_links()
        return result
