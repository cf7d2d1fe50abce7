# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state file: whom it tells apart, and how often it is written."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import report, state
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

ID = Column("id", "int", "int", None, None, False, "", "")
PRIMARY = Key("PRIMARY", (KeyPart("id", None, False),))


def table(database: str, name: str) -> Table:
    return Table(TableName(database, name), "BASE TABLE", "InnoDB", (ID,), (PRIMARY,), 10)


def verdict(database: str, name: str) -> report.TableReport:
    return report.TableReport(database, name, report.IDENTICAL, rows=7)


def test_two_tables_whose_full_names_are_written_alike(tmp_path):
    file = state.StateFile(str(tmp_path / "state"), "question")
    file.note(table("a.b", "c"), None, verdict("a.b", "c"), finished=True)
    file.write()
    again = state.StateFile(str(tmp_path / "state"), "question")
    assert again.finished(table("a", "b.c")) is None
    assert again.finished(table("a.b", "c")) == verdict("a.b", "c")


@pytest.mark.parametrize(("seconds", "written"), [(0.0, 5), (3600.0, 0)])
def test_it_is_written_now_and_then_however_many_tables_there_are(tmp_path, monkeypatch, seconds, written):
    monkeypatch.setattr(state, "_WRITE_EVERY", seconds)
    writes = []
    monkeypatch.setattr(state.os, "replace", lambda *paths: writes.append(paths))
    file = state.StateFile(str(tmp_path / "state"), "question")
    for number in range(5):
        file.note(table("a", f"t{number}"), None, verdict("a", f"t{number}"), finished=True)
    assert len(writes) == written
