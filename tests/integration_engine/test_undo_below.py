# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An undo where there are replicas below the target and the source: none stops, each is STRICT and equal afterwards (law 10)."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from integration_engine.support import CHECK_GRANTS, PASSWORD, image, servers
from integration_engine.test_downstream import mode

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync, undo
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")
DRIFT = [
    "DELETE FROM t WHERE id IN (3, 4)",
    "UPDATE t SET v = 'bad', u = NULL WHERE id = 5",
    "INSERT INTO t VALUES (70, NULL, 'extra')",
]


@contextmanager
def repaired(flavor, undo_dir, binlog_format="ROW", below="", key="PRIMARY KEY"):
    """A⇄B, and a replica c below one of them; B drifted and was repaired; yields the pair, c, what B had and the journal."""
    with co_masters(flavor, binlog_format) as pair:
        replica = pair.add_replica(of=getattr(pair, below), name="c") if below else None
        rows = ", ".join(f"({n}, {n}, 'v{n}')" for n in range(1, 11))
        create = f"CREATE TABLE d.t (id int {key}, u int NULL UNIQUE, v varchar(20))"
        pair.a.execute(["CREATE DATABASE d", create, f"INSERT INTO d.t VALUES {rows}"])
        pair.wait()
        pair.b.execute(DRIFT, database="d", logged=False)
        old = image(pair.b, "d")
        limits = options.Repair(undo_dir=str(undo_dir), downstream="idempotent")
        done = sync.run(servers(pair), options.Selection(databases=("d",)), options.Pace(), limits, 10, True)
        assert done.verified, done.message
        pair.wait()
        yield pair, replica, old, done.undo_file


def put_back(pair, path, undo_dir, login=None, **how):
    """Run the undo."""
    return undo.run(login or servers(pair), path, undo_dir=str(undo_dir), **how)


@pytest.mark.parametrize("binlog_format", ["ROW", "MIXED", "STATEMENT"])
@pytest.mark.parametrize("flavor", FLAVORS)
@pytest.mark.parametrize("below", ["b", "a"])
def test_a_replica_that_would_stop_is_never_let_through(tmp_path, flavor, binlog_format, below):
    """It lacks a row that goes (1032), and has one that comes (1062): refused, or all copies are equal afterwards."""
    with repaired(flavor, tmp_path, binlog_format, below) as (pair, replica, old, path):
        replica.execute(["DELETE FROM t WHERE id = 3", "INSERT INTO t VALUES (70, NULL, 'mine')"], database="d", logged=False)
        before = [image(server, "d") for server in (pair.a, pair.b, replica)]
        for apply in (False, True):
            with pytest.raises(Refusal, match="downstream: idempotent") as refused:
                put_back(pair, path, tmp_path, apply=apply)
            assert refused.value.code == "downstream_replicas"
            assert str(replica.port) in str(refused.value)
        assert [image(server, "d") for server in (pair.a, pair.b, replica)] == before
        plan = put_back(pair, path, tmp_path, apply=False, downstream="idempotent")
        assert mode(replica) == "STRICT"
        done = put_back(pair, path, tmp_path, downstream="idempotent")
        pair.wait()
        assert pair.links_healthy()
        assert mode(replica) == "STRICT"
        if flavor == "mysql-9" and binlog_format == "STATEMENT":  # the target would stop on rows, the replica on statements
            assert {row.reason for row in (*plan.refused, *done.refused)} == {"row_not_logged"}
            assert [image(server, "d") for server in (pair.a, pair.b, replica)] == before
            return
        assert (done.verified, done.failed, done.message) == (True, False, None)
        assert plan.changes == done.changes
        for server in (pair.a, pair.b, replica):
            assert image(server, "d") == old, server


@pytest.mark.parametrize("flavor", FLAVORS)
def test_an_adopted_row_is_taken_back_from_all(tmp_path, flavor):
    """Replicas of the target never got it."""
    with co_masters(flavor) as pair:
        below, sibling = pair.add_replica(of=pair.b, name="c"), pair.add_replica(of=pair.a, name="d")
        pair.a.execute(["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1)"])
        pair.wait()
        good = image(pair.a, "d")
        pair.b.execute("INSERT INTO t VALUES (70)", database="d", logged=False)
        limits = options.Repair(undo_dir=str(tmp_path), extra_rows="adopt", downstream="idempotent")
        done = sync.run(servers(pair), options.Selection(databases=("d",)), options.Pace(), limits, 10, True)
        assert (done.verified, done.changes.adopted) == (True, 1)
        pair.wait()
        assert image(pair.a, "d") == image(pair.b, "d") != good
        assert put_back(pair, done.undo_file, tmp_path, downstream="idempotent").verified
        pair.wait()
        assert pair.links_healthy()
        for server in (pair.a, pair.b, below, sibling):
            assert image(server, "d") == good, server
            assert mode(server) == "STRICT"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_replica_that_does_not_keep_up_is_named_and_left_lenient(tmp_path, flavor):
    with repaired(flavor, tmp_path, below="b") as (pair, replica, old, path):
        with replica.connect(database="d") as blocker, blocker.cursor() as cursor:
            cursor.execute("LOCK TABLES t READ")
            logins = servers(pair, fence_timeout=3)
            done = undo.run(logins, path, undo_dir=str(tmp_path), downstream="idempotent")
            assert (done.failed, done.verified) == (True, True)
            assert str(replica.port) in done.message
            assert mode(replica) == "IDEMPOTENT"
            cursor.execute("UNLOCK TABLES")
        pair.wait()
        assert image(pair.b, "d") == image(replica, "d") == old
        # The next undo finds it so, and sets it right.
        assert put_back(pair, done.undo_file, tmp_path, downstream="idempotent").verified
        assert mode(replica) == "STRICT"


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_table_without_key_is_refused(tmp_path, flavor):
    """IDEMPOTENT mode does not help there: a replica that has the rows would get them a second time."""
    with repaired(flavor, tmp_path, key="NULL") as (pair, _replica, _old, path):
        pair.add_replica(of=pair.a, name="c")
        good = image(pair.a, "d")
        for apply in (False, True):
            done = put_back(pair, path, tmp_path, apply=apply, downstream="idempotent")
            assert {row.reason for row in done.refused} == {"downstream_replicas"}
        pair.wait()
        assert image(pair.a, "d") == image(pair.b, "d") == good
        assert pair.links_healthy()


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_is_not_known_is_refused_before_anything_is_changed(tmp_path, flavor):
    with repaired(flavor, tmp_path) as (pair, _replica, _old, path):
        below = pair.add_replica(of=pair.a, name="c")
        pair.add_replica(of=below, name="e")
        before, journals = image(pair.a, "d"), list(tmp_path.iterdir())
        with pytest.raises(Refusal, match="replicas of its own") as refused:
            put_back(pair, path, tmp_path, downstream="idempotent")
        assert refused.value.code == "downstream_replicas"
        assert image(pair.a, "d") == before
        assert list(tmp_path.iterdir()) == journals


#: What docs/connections.md says that it takes besides the rights of a check: on the source's tables, on all of the source, on
#: the target, on the replicas.
BELOW = {
    "mariadb": (["INSERT", "DELETE"], ["BINLOG ADMIN"], ["REPLICATION MASTER ADMIN"], ["REPLICATION SLAVE ADMIN"]),
    "mysql": (["INSERT", "DELETE"], ["SESSION_VARIABLES_ADMIN"], ["REPLICATION SLAVE"], ["SYSTEM_VARIABLES_ADMIN"]),
}


def refusal_of(pair, path, undo_dir, **how):
    """The code with which the whole undo, or every row of it, is refused; a grant is named."""
    try:
        done = put_back(pair, path, undo_dir, **how)
    except Refusal as refusal:
        code, message = refusal.code, str(refusal)
    else:
        (code,) = {row.reason for row in done.refused}
        message = done.message
        assert (done.failed, done.changed) == (True, False)
    return code if "GRANT" in message.upper() else message


@pytest.mark.parametrize("flavor", FLAVORS)
def test_the_documented_rights_suffice_and_each_is_needed(tmp_path, flavor):
    """With replicas of both servers; one right less is named, in check mode as well, and nothing is changed."""
    with repaired(flavor, tmp_path, "MIXED", "b") as (pair, below, old, path):
        sibling = pair.add_replica(of=pair.a, name="e")
        family = pair.a.family
        data, source, shows, applier = BELOW[family]
        everywhere = [f"GRANT {', '.join(CHECK_GRANTS[family][1])} ON *.* TO u@'%'", "GRANT SELECT, TRIGGER ON d.* TO u@'%'"]
        pair.a.execute([f"CREATE USER u@'%' IDENTIFIED BY '{PASSWORD}'", *everywhere])
        pair.wait()
        rights = [
            *((pair.a, f"{right} ON d.*") for right in data),
            *((pair.a, f"{right} ON *.*") for right in (*source, *shows)),
            *((pair.b, f"{right} ON *.*") for right in shows),
            *((replica, f"{right} ON *.*") for replica in (below, sibling) for right in applier),
        ]
        login = servers(pair, user="u", password=PASSWORD)
        for server, right in rights:
            server.execute(f"GRANT {right} TO u@'%'", logged=False)
        good, journals = image(pair.a, "d"), set(tmp_path.iterdir())
        for server, right in rights:
            server.execute(f"REVOKE {right} FROM u@'%'", logged=False)
            for apply in (False, True):
                code = refusal_of(pair, path, tmp_path, login=login, apply=apply, downstream="idempotent")
                assert code == ("downstream_unknown" if right.split(" ON")[0] in shows else "missing_grant"), right
            assert set(tmp_path.iterdir()) == journals
            server.execute(f"GRANT {right} TO u@'%'", logged=False)
        assert image(pair.a, "d") == image(pair.b, "d") == good
        done = put_back(pair, path, tmp_path, login=login, downstream="idempotent")
        assert (done.verified, done.failed, done.message) == (True, False, None)
        pair.wait()
        for server in (pair.a, pair.b, below, sibling):
            assert image(server, "d") == old, server
            assert mode(server) == "STRICT"
