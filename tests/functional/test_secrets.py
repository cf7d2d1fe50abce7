# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong at a login says much, at -vvvv too, but no secret. (What goes right: test_roles.py.)"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

_MODULES = ("info", "checksum", "sync", "undo")


def _tasks(site: Any, wrong: dict[str, dict[str, object]], journal: Path) -> str:
    """A play that runs each module with each of the wrong logins, whatever comes of it."""
    login = {"login_host": site.target.host, "login_port": site.target.port, "login_user": "repl_fix"}
    tasks = [
        {
            "name": f"{module} with {what}",
            f"comaster.mysql_repl.mysql_repl_{module}": {
                **login,
                **options,
                **({"undo_file": str(journal)} if module == "undo" else {}),
            },
            "ignore_errors": True,
            "diff": True,
        }
        for what, options in wrong.items()
        for module in _MODULES
    ]
    return json.dumps([{"hosts": "server2", "gather_facts": False, "tasks": tasks}])


@pytest.mark.parametrize("flavor", ["mysql-9"], indirect=True)
def test_logins_that_fail_tell_no_secret(site: Any, tmp_path: Path) -> None:
    site.drift()
    repaired = site.module("sync", databases=["sakila"], undo_dir=str(site.undo_dir))
    assert repaired["verified"] is True, repaired
    journal = Path(repaired["undo_file"])
    good = {"login_password": "correct-horse-battery"}
    key = "-----BEGIN PRIVATE KEY-----\nsecret-of-the-key\n-----END PRIVATE KEY-----\n"
    files = {
        "key.pem": key,
        "good.cnf": "[client]\npassword=secret-of-the-file\n",
        "torn.cnf": "[client\npassword=secret-of-the-torn-file\n",
        "odd.cnf": "[client]\npassword='secret-%(of)s-#;\\odd'\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    wrong: dict[str, dict[str, object]] = {
        "a wrong password": {"login_password": "secret-of-nobody", "config_file": ""},
        "a wrong password of the source": {**good, "source": {"login_password": "secret-of-the-source"}},
        "a key that is none": {**good, "client_cert": str(tmp_path / "key.pem"), "client_key": str(tmp_path / "key.pem")},
        "a key of the source": {**good, "source": {"client_cert": "/nowhere", "client_key": str(tmp_path / "key.pem")}},
        "a file with a wrong password": {"config_file": str(tmp_path / "good.cnf")},
        "a torn file": {"config_file": str(tmp_path / "torn.cnf")},
        "an odd file": {"config_file": str(tmp_path / "odd.cnf")},
        "files of the source": {**good, "source": {"config_file": str(tmp_path / "torn.cnf")}},
        "nothing but the environment": {"config_file": "", "source": {"login_port": 1}},
    }
    before = site.positions()
    run = site.play(
        _tasks(site, wrong, journal),
        "-vvvv",
        MYSQL_REPL_LOGIN_PASSWORD="secret-of-the-environment",
        MYSQL_REPL_SOURCE_LOGIN_PASSWORD="secret-of-the-other-environment",
    )
    assert run.returncode == 0
    assert run.output.count("...ignoring") >= len(wrong) * len(_MODULES) - 2, "info reports what it cannot reach"
    for text in (run.output, journal.read_text("utf-8")):
        assert "secret-" not in text
        assert "correct-horse" not in text
        assert "Traceback" not in text
    for option in ("'login_password'", "'source.login_password'", "'client_key'", "'source.client_key'", "'source.config_file'"):
        assert option in run.output or option.strip("'") in run.output
    assert site.positions() == before
