# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The documented rights, on the selected databases alone: they suffice for each operation, and each is needed.

Given to the account itself or through a role; one right less is told by name before anything happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from integration_engine.support import CHECK_GRANTS, PASSWORD, REPAIR_GRANTS, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal, UsageError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum, sync, undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.options import Pace, Repair, Selection
from sandbox import Topology

FLAVORS = ["mariadb-10.11", "mysql-9"]
UNDO = ["INSERT", "DELETE"]


@contextmanager
def account(
    pair: Topology, data: list[str], everywhere: list[str], scopes: list[str], through_role: bool = False
) -> Iterator[dict[str, Any]]:
    """The login of an account with these rights."""
    statements = [f"CREATE USER g@'%' IDENTIFIED BY '{PASSWORD}'"]
    holder = "g@'%'"
    if through_role:
        holder = "g_role"
        default = f"SET DEFAULT ROLE g_role {'FOR' if pair.a.family == 'mariadb' else 'TO'} g@'%'"
        statements += ["CREATE ROLE g_role", "GRANT g_role TO g@'%'", default]
    statements += [f"GRANT {', '.join(data)} ON {scope} TO {holder}" for scope in scopes if data]
    statements += [f"GRANT {right} ON *.* TO {holder}" for right in everywhere]
    pair.a.execute(statements)
    pair.wait()
    try:
        yield {"user": "g", "password": PASSWORD}
    finally:
        pair.a.execute(["DROP USER g@'%'", *(["DROP ROLE g_role"] if through_role else [])])
        pair.wait()


def fewer(rights: tuple[list[str], list[str]]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Each right with what is left without it."""
    data, everywhere = rights
    for right in data:
        yield right, [other for other in data if other != right], everywhere
    for right in everywhere:
        yield right, data, [other for other in everywhere if other != right]


def drifted(pair: Topology, database: str) -> None:
    pair.a.execute(
        [
            f"CREATE TABLE {database}.film (id INT PRIMARY KEY, v VARCHAR(20)) ENGINE=InnoDB",
            f"INSERT INTO {database}.film VALUES (1, 'a'), (2, 'b'), (3, 'c')",
        ]
    )
    pair.wait()
    pair.b.execute([f"DELETE FROM {database}.film WHERE id = 1", f"INSERT INTO {database}.film VALUES (9, 'x')"], logged=False)


@pytest.mark.parametrize("through_role", [False, True], ids=["direct", "role"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_check_of_named_databases(pairs, fresh_database, flavor, through_role):
    pair = pairs(flavor)
    rights = CHECK_GRANTS[pair.a.family]
    with fresh_database(pair) as database, fresh_database(pair) as other:
        drifted(pair, database)
        pair.a.execute(f"CREATE TABLE {other}.t (id INT PRIMARY KEY)")
        pair.wait()
        chosen = Selection(databases=(database,))
        with account(pair, *rights, [f"{database}.*"], through_role) as login:
            report = checksum.run(servers(pair, **login), chosen, Pace(), 1)
            assert [(table.status, table.missing, table.extra) for table in report.tables] == [("drift", 1, 1)]
            # Of a database it may not see at all, nobody can tell the account whether it exists.
            with pytest.raises(UsageError, match="SELECT on it"):
                checksum.run(servers(pair, **login), Selection(tables=(f"{other}.t",)), Pace(), 1)
        # Rights on the one table that is meant are enough.
        with account(pair, *rights, [f"{database}.film"], through_role) as login:
            report = checksum.run(servers(pair, **login), Selection(tables=(f"{database}.film",)), Pace(), 1)
            assert [table.status for table in report.tables] == ["drift"]
        for right, data, everywhere in fewer(rights):
            with account(pair, data, everywhere, [f"{database}.*"], through_role) as login:
                with pytest.raises(Refusal, match=f"GRANT .*{right.rpartition('SLAVE ')[2]}") as refused:
                    checksum.run(servers(pair, **login), chosen, Pace(), 1)
                assert refused.value.code == "missing_grant_check"


@pytest.mark.parametrize("through_role", [False, True], ids=["direct", "role"])
@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_repair_of_named_databases_and_its_undo(pairs, fresh_database, tmp_path, flavor, through_role):
    pair = pairs(flavor)
    rights = REPAIR_GRANTS[pair.a.family]
    with fresh_database(pair) as database:
        drifted(pair, database)
        good, bad = image(pair.a, database), image(pair.b, database)

        def run(login: dict[str, Any]) -> Any:
            where = Repair(undo_dir=str(tmp_path))
            return sync.run(servers(pair, **login), Selection(databases=(database,)), Pace(), where, 1, apply=True)

        for right, data, everywhere in fewer(rights):
            with account(pair, data, everywhere, [f"{database}.*"], through_role) as login:
                with pytest.raises(Refusal, match=f"GRANT .*{right.rpartition('SLAVE ')[2]}") as refused:
                    run(login)
                assert refused.value.code in ("missing_grant_check", "missing_grant_repair")
        assert (image(pair.a, database), image(pair.b, database)) == (good, bad)
        with account(pair, *rights, [f"{database}.*"], through_role) as login:
            report = run(login)
            assert (report.verified, report.failed) == (True, False), report.message
        pair.wait()
        assert image(pair.b, database) == good
        # Taking it back writes to the source, which takes two more rights.
        for without in UNDO:
            data = [*(right for right in rights[0] if right not in UNDO), *(right for right in UNDO if right != without)]
            with account(pair, data, rights[1], [f"{database}.*"], through_role) as login:
                with pytest.raises(Refusal, match=without) as refused:
                    undo.run(servers(pair, **login), report.undo_file, undo_dir=str(tmp_path))
                assert refused.value.code == "missing_grant"
                assert image(pair.a, database) == image(pair.b, database) == good
        with account(pair, [*rights[0], *UNDO], rights[1], [f"{database}.*"], through_role) as login:
            done = undo.run(servers(pair, **login), report.undo_file, undo_dir=str(tmp_path))
            assert (done.verified, done.failed) == (True, False), done.message
        pair.wait()
        assert image(pair.a, database) == image(pair.b, database) == bad
