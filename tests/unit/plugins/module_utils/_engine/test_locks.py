# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A MyISAM table that a crash of the target would leave unusable is not repaired."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import TableProblem
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.locks import refuse_fragile
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Table, TableName


class Target:
    """A server with this myisam_recover_options; None: it knows no such variable."""

    def __init__(self, value):
        self.value = value

    def variables(self, names):
        return dict.fromkeys(names, self.value) if self.value is not None else {}


def table(engine):
    return Table(TableName("shop", "log"), "BASE TABLE", engine, (), (), 0)


@pytest.mark.parametrize("value", ["OFF", "", None])
def test_a_server_that_does_not_mend_it(value):
    with pytest.raises(TableProblem) as refused:
        refuse_fragile(Target(value), table("MyISAM"))
    assert refused.value.code == "engine_not_crash_safe"
    assert "myisam_recover_options" in refused.value.remedy
    refuse_fragile(Target(value), table("InnoDB"))


@pytest.mark.parametrize("value", ["BACKUP,QUICK", "FORCE"])
def test_a_server_that_does(value):
    refuse_fragile(Target(value), table("MyISAM"))
