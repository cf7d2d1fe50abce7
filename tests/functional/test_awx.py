# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""examples/awx as AWX runs it: its playbooks under ansible-runner, events and artifacts asserted, and its objects' sense."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_runner
import pytest
import yaml

Site = Any  # conftest.Site
CHECKOUT = Path(__file__).resolve().parents[2]
AWX = CHECKOUT / "examples" / "awx"
OBJECTS = yaml.safe_load((AWX / "controller" / "objects.yml").read_text("utf-8"))
one_flavor = pytest.mark.parametrize("flavor", ["mysql-9"], indirect=True)


@dataclass
class Job:
    """A job as AWX sees it: status, events as they came, artifacts."""

    status: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def output(self) -> str:
        """The log."""
        return "\n".join(event["stdout"] for event in self.events if event.get("stdout"))

    @property
    def artifacts(self) -> dict[str, Any]:
        """What set_stats left; AWX hands it to the next job as extra variables."""
        stats = [event for event in self.events if event["event"] == "playbook_on_stats"]
        return dict(stats[-1]["event_data"].get("artifact_data", {})) if stats else {}

    def progress(self) -> list[int]:
        """Places of the lines of progress among the events."""
        return [
            place
            for place, event in enumerate(self.events)
            if event["event"] == "verbose" and "mysql_repl_" in event["stdout"] and "comparing" in event["stdout"]
        ]


def run(site: Site, playbook: str, *options: str, on_progress: Callable[[], bool] = lambda: False, **extra: Any) -> Job:
    """Run a playbook of the project; ``on_progress`` is called once at the first line of progress, true cancels the job."""
    job = Job()
    is_canceled = []

    def handle(event: dict[str, Any]) -> bool:
        job.events.append(event)
        if len(job.progress()) == 1 and job.progress()[0] == len(job.events) - 1 and on_progress():
            is_canceled.append(True)
        return False

    folder = site.folder / f"job{len(list(site.folder.glob('job*')))}"
    folder.mkdir()
    done = ansible_runner.run(
        private_data_dir=str(folder),
        project_dir=str(AWX / "project"),
        playbook=playbook,
        inventory=str(site.inventory),
        cmdline=" ".join(options),
        extravars={"mysql_repl_progress_interval": 1, **extra},
        envvars={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"},
        event_handler=handle,
        cancel_callback=lambda: bool(is_canceled),
        quiet=True,
    )
    job.status = done.status
    print(job.output)
    return job


def sessions(site: Site) -> int:
    """Sessions of ours on both servers."""
    query = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'repl_fix'"
    return sum(int(server.query(query)[0][0]) for server in (site.source, site.target))


def test_the_workflow_checks_repairs_what_was_approved_and_tells(site: Site) -> None:
    good = site.contents(site.source)
    del site.group_vars["mysql_repl_databases"]
    site.drift()
    pause = site.folder / "pause"
    pause.touch()
    plan = {"workflow_plan_file": str(site.folder / "plan")}
    answers = {"check_databases": "sakila\n", "check_tables": ""}

    def go_on() -> bool:
        pause.unlink()
        return False

    check = run(
        site, "check.yml", **plan, **answers, mysql_repl_fail_on_drift=True, mysql_repl_pause_file=str(pause), on_progress=go_on
    )
    assert check.status == "failed"
    # The pause ended because a line had come: it came while the module ran.
    assert check.progress()
    assert "sakila.film: drift, 1 missing, 1 extra, 2 different" in check.output
    summary = check.artifacts["mysql_repl_summary"]
    assert len(summary.encode()) < 1000
    assert max(len(str(event)) for event in check.events) < 700_000

    # Written after the check: not in its plan, so not approved.
    site.drift("UPDATE sakila.film SET rental_rate = 0.55 WHERE film_id = 90")
    spoilt = site.contents(site.target)
    looked = run(site, "apply_plan.yml", "--check", "--diff", **plan, **answers, **check.artifacts)
    assert looked.status == "successful"
    assert site.contents(site.target) == spoilt

    applied = run(site, "apply_plan.yml", **plan, **answers, **check.artifacts)
    assert applied.status == "successful"
    site.pair.wait()
    assert site.contents(site.source) == good
    assert len(set(site.contents(site.target)["film"]) - set(good["film"])) == 1

    site.pair.b.execute("UPDATE sakila.film SET rental_rate = 0.99 WHERE film_id = 90", logged=False)
    again = run(site, "check.yml", **plan, **answers, mysql_repl_fail_on_drift=True)
    assert again.status == "successful"
    told = run(site, "notify.yml", **again.artifacts)
    assert told.status == "successful"
    assert again.artifacts["mysql_repl_summary"].splitlines()[0] in told.output


@one_flavor
def test_a_canceled_job_ends_on_the_servers(site: Site) -> None:
    (site.folder / "pause").touch()
    job = run(site, "check.yml", mysql_repl_pause_file=str(site.folder / "pause"), on_progress=lambda: True)
    assert job.status == "canceled"
    deadline = time.monotonic() + 60
    while sessions(site):
        assert time.monotonic() < deadline, "sessions are left on the servers"
        time.sleep(0.1)


@one_flavor
def test_a_fleet_is_split_by_limits_and_a_slice_that_tears_pairs_apart_is_refused(site: Site, pairs: Any, tmp_path: Path) -> None:
    other = pairs.get("mariadb-10.11")
    conftest = sys.modules[type(site).__module__]
    conftest.make_site(other, tmp_path, None)
    site.host_vars["server1"]["mysql_repl_pair"] = site.host_vars["server2"]["mysql_repl_pair"] = "one"
    for name, server in (("server3", other.a), ("server4", other.b)):
        site.host_vars[name] = {"mysql_repl_login_port": server.port, "mysql_repl_pair": "two"}
    site.host_vars["server3"]["mysql_repl_authoritative"] = True
    site.drift()
    pause = site.folder / "pause"
    pause.touch()
    halves = run(site, "check.yml", "--limit server1,server4", mysql_repl_pause_file=str(pause), mysql_repl_max_runtime=4)
    assert {line.partition("]")[0] for line in halves.output.splitlines() if "comparing" in line} == {
        "[server1 -> server2",
        "[server4",
    }
    pause.unlink()
    halves = run(site, "check.yml", "--limit server1,server4")
    assert halves.status == "successful"
    assert "NOT IN SYNC: server2 against server1" in halves.output
    assert "IN SYNC: server4 against server3" in halves.output

    # What AWX makes of job slicing: each second host, the others are not in the inventory at all.
    for name in ("server1", "server3"):
        del site.host_vars[name]
    sliced = run(site, "sync.yml")
    assert sliced.status == "failed"
    assert "A pair is exactly two hosts" in sliced.output
    assert not site.undo_dir.exists()


def test_the_execution_environment_has_a_build_context(tmp_path: Path) -> None:
    done = subprocess.run(
        ["ansible-builder", "create", "-f", str(AWX / "execution-environment.yml"), "-c", str(tmp_path)],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "ansible-galaxy collection install" in next(tmp_path.glob("*file")).read_text()
    assert "comaster.mysql_repl" in (tmp_path / "_build" / "requirements.yml").read_text()


def test_the_collection_says_what_an_execution_environment_needs() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "ansible-builder"), "introspect", os.environ["ANSIBLE_COLLECTIONS_PATH"]],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert re.search(r"PyMySQL.*\n.*cryptography", done.stdout)


def test_templates_ask_for_variables_that_exist_and_run_playbooks_that_exist() -> None:
    known = {"check_databases", "check_tables"}
    for role in ("authority", "check", "sync", "undo"):
        specs = yaml.safe_load((CHECKOUT / "roles" / role / "meta" / "argument_specs.yml").read_text("utf-8"))
        known |= set(specs["argument_specs"]["main"]["options"])
    for template in OBJECTS["job_templates"]:
        assert (AWX / "project" / template["playbook"]).exists()
        asked = {question["variable"] for question in template.get("survey_spec", {}).get("spec", ())}
        assert asked | set(template.get("extra_vars", ())) <= known, template["name"]


def test_the_workflow_leads_from_each_end_to_the_notification() -> None:
    nodes = {node["identifier"]: node for node in OBJECTS["workflow"]["workflow_nodes"]}
    names = {template["name"] for template in OBJECTS["job_templates"]}
    links = {
        (name, kind): target["identifier"]
        for name, node in nodes.items()
        for kind, targets in node.get("related", {}).items()
        for target in targets
    }
    assert links == {
        ("check", "success_nodes"): "notify",
        ("check", "failure_nodes"): "approval",
        ("approval", "success_nodes"): "apply",
        ("apply", "success_nodes"): "check_again",
        ("apply", "failure_nodes"): "notify",
        ("check_again", "always_nodes"): "notify",
    }
    jobs = {node["unified_job_template"]["name"] for node in nodes.values() if "timeout" not in node["unified_job_template"]}
    assert jobs <= names


def test_the_credential_hides_its_passwords() -> None:
    kind = OBJECTS["credential_type"]
    secret = {entry["id"] for entry in kind["inputs"]["fields"] if entry.get("secret")}
    assert secret == {"password", "source_password"}
    assert set(kind["injectors"]["env"]) == {"MYSQL_REPL_LOGIN_PASSWORD", "MYSQL_REPL_SOURCE_LOGIN_PASSWORD"}
    assert not [text for text in kind["injectors"]["extra_vars"].values() if "password" in text]
