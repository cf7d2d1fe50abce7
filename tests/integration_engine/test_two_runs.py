# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Two runs at one time on different pairs that share a server: neither changes the mode in which the other keeps it."""

from __future__ import annotations

import pytest
from integration_engine.support import image
from integration_engine.test_downstream import mode

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import REPAIR
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint
from sandbox import co_masters

FLAVORS = ("mariadb-10.11", "mysql-9")


def run(source, target, undo_dir, meanwhile=None, **how):
    """Repair one row at a time; something happens before the second."""
    done = []

    def listen(now):
        if meanwhile and now.stage == REPAIR and now.table_rows and not done:
            done.append(now)
            meanwhile()

    login = Endpoint(host=target.host, port=target.port, user="root", password=target.root_password)
    logins = options.Servers(target=login, source=options.SourceLogin(host=source.host, port=source.port), fence_timeout=20)
    repair = options.Repair(undo_dir=str(undo_dir), batch_rows=1, **how)
    wanted = options.Selection(databases=("d",))
    return sync.run(logins, wanted, options.Pace(), repair, 10, True, listener=listen)


def five_rows(pair):
    """A table that all servers of the pair have; gives what is in it."""
    pair.a.execute(
        ["CREATE DATABASE d", "CREATE TABLE d.t (id int PRIMARY KEY)", "INSERT INTO d.t VALUES (1), (2), (3), (4), (5)"]
    )
    pair.wait()
    return image(pair.a, "d")


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_target_that_one_run_keeps_lenient_is_no_replica_to_be_kept_so_by_another(tmp_path, flavor):
    """A with the replicas B and D, both repaired by row: who ended first set the other's target STRICT, which then stopped."""
    with co_masters(flavor) as pair:
        sibling = pair.add_replica(of=pair.a, name="d")
        good = five_rows(pair)
        sibling.execute("DELETE FROM d.t WHERE id > 1", logged=False)
        pair.b.execute("DELETE FROM d.t WHERE id = 5", logged=False)
        by_row = {"method": "row", "downstream": "idempotent"}

        def other_run():
            with pytest.raises(Refusal, match="already_running"):
                run(pair.a, pair.b, tmp_path / "b", **by_row)
            assert (mode(sibling), mode(pair.b)) == ("IDEMPOTENT", "IDEMPOTENT")

        report = run(pair.a, sibling, tmp_path / "d", other_run, **by_row)
        assert (report.failed, report.verified) == (False, True), report.message
        assert run(pair.a, pair.b, tmp_path / "b", **by_row).verified
        pair.wait()
        assert [mode(each) for each in (pair.b, sibling)] == ["STRICT", "STRICT"]
        assert image(pair.a, "d") == image(pair.b, "d") == image(sibling, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_replica_that_another_run_keeps_lenient_is_not_repaired_by_row(tmp_path, flavor):
    """A⇄B→C: a run A→B keeps C lenient, which another one has as its target."""
    with co_masters(flavor) as pair:
        below = pair.add_replica(of=pair.b, name="c")
        good = five_rows(pair)
        pair.b.execute("DELETE FROM d.t WHERE id > 1", logged=False)
        below.execute("DELETE FROM d.t WHERE id = 1", logged=False)

        def other_run():
            report = run(pair.b, below, tmp_path / "c", extra_rows="keep", method="row", downstream="idempotent")
            assert (report.failed, report.changed) == (True, False)
            assert "already_running" in report.message
            assert mode(below) == "IDEMPOTENT"

        report = run(pair.a, pair.b, tmp_path / "b", other_run, downstream="idempotent")
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert [mode(each) for each in (pair.a, pair.b, below)] == ["STRICT"] * 3
        assert image(pair.a, "d") == image(pair.b, "d") == good


@pytest.mark.parametrize("flavor", FLAVORS)
def test_what_a_living_run_keeps_lenient_is_not_put_back_by_another(tmp_path, flavor):
    """A⇄B→C: a run A→B keeps C lenient; one B→C with the same undo_dir took it for what a killed one had left."""
    with co_masters(flavor) as pair:
        below = pair.add_replica(of=pair.b, name="c")
        good = five_rows(pair)
        pair.b.execute("DELETE FROM d.t WHERE id > 1", logged=False)

        def other_run():
            report = run(pair.b, below, tmp_path, extra_rows="keep")
            assert not [each for each in report.hazards if each.code == "idempotent_left_on" and each.severity == "info"]
            assert mode(below) == "IDEMPOTENT"

        report = run(pair.a, pair.b, tmp_path, other_run, downstream="idempotent")
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert mode(below) == "STRICT"
        assert image(pair.a, "d") == image(pair.b, "d") == image(below, "d") == good


def test_a_replica_of_both_is_kept_lenient_by_one_run_alone(tmp_path):
    """It is asked for twice: below the source, and below the target. MariaDB would apply all that comes by both twice."""
    with co_masters("mysql-9") as pair:
        both = pair.add_replica(of=pair.a, name="d")
        both.replicate_from(pair.b, channel="east")
        good = five_rows(pair)
        pair.b.execute("DELETE FROM d.t WHERE id > 3", logged=False)
        report = run(pair.a, pair.b, tmp_path, method="row", downstream="idempotent")
        assert (report.failed, report.verified) == (False, True), report.message
        pair.wait()
        assert mode(both) == "STRICT"
        assert image(pair.a, "d") == image(pair.b, "d") == image(both, "d") == good
