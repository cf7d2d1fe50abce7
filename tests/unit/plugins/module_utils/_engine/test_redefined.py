# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables whose definitions cannot be read again: no verdict, and the remedy is told."""

from __future__ import annotations

import typing as t

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import redefined
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ServerError
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.examine import Examination
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.report import ERROR, IDENTICAL, TableReport
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Table, TableName


def test_what_helps_is_said_where_definitions_cannot_be_read_again(monkeypatch):
    def read_tables(*_given):
        raise ServerError(1226, "User 'u' has exceeded the 'max_questions' resource (current value: 90)", "source")

    monkeypatch.setattr(redefined, "at_once", lambda source, target, work: (work(source), work(target)))
    monkeypatch.setattr(redefined, "read_tables", read_tables)
    session = t.cast(t.Any, None)
    examinations = redefined.Examinations(session, session)
    table = t.cast(Table, type("Defined", (), {"name": TableName("d", "t")})())
    examinations.add(Examination(TableReport("d", "t", IDENTICAL), table, table))

    (report,) = (each.report for each in examinations.all())

    assert (report.status, report.reason) == (ERROR, "server_error")
    assert "MAX_QUERIES_PER_HOUR 0" in report.message
