# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of a fence that need no server."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fence
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import detect
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Undecided
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import Link

LINK = Link("", "db1", 3306, 1, None, io_running=True, sql_running=True)
MARIADB = detect("10.11.19-MariaDB", "")
A, B = "de4c76d0-e67b-11f1-aedd-02fc00000001", "12345678-e67b-11f1-ad8f-02fc00000001"


class FakeSession:
    """Answers queries by their beginning; a list of answers is given one by one."""

    name = "target (db2:3306)"

    def __init__(self, dialect, **answers):
        self.dialect = dialect
        self.answers = answers

    def _answer(self, sql):
        key = next(key for key in self.answers if key in sql.replace(" ", "_"))
        answer = self.answers[key]
        return (
            answer.pop(0) if isinstance(answer, list) and len(answer) > 1 else answer[0] if isinstance(answer, list) else answer
        )

    scalar = record = rows = records = _answer

    def answers_within(self, seconds):
        return contextlib.nullcontext()


def test_owned_gtids_are_a_set_after_all():
    # As MySQL 9.7 prints it: no separator between the uuids, thread ids in between.
    owned = f"{A}:1438#14:1437#13{B}:929#1"
    assert fence._owned_set(owned) == f"{A}:1438:1437,{B}:929"
    assert fence._owned_set("") == ""
    # Tagged ones, and a thread's id that runs into the next uuid.
    assert fence._owned_set(f"{B}:9#15{A}:99#13{A}:blue:7#12") == f"{B}:9,{A}:99,{A}:blue:7"


def test_what_is_visible_but_not_executed_yet_is_waited_for_too():
    asked = []

    class Busy:
        """A server that has a transaction of its own between the two."""

        dialect = detect("9.7.4", "MySQL")

        def scalar(self, sql):
            asked.append(sql)
            return f"{A}:6#3" if "owned" in sql else f"{A}:1-5"

    assert fence._gtids(Busy()) == f"{A}:1-5,{A}:6"
    assert ["owned" in sql for sql in asked] == [True, False], "in this order none is missed"


def test_own_transactions_are_not_waited_for():
    assert fence._last_of_domains("0-2-152,0-1-302,11-1-7,12-2-9", except_server=2) == {0: 302, 11: 7}
    assert fence._last_of_domains("", except_server=0) == {}


def test_parallel_domains_are_waited_for():
    target = FakeSession(
        MARIADB,
        POS_WAIT=["0"],
        parallel_threads=[[(b"2", b"4")]],
        gtid_slave_pos=["0-1-4,12-1-1", "0-1-4,12-1-1", "0-1-4,11-1-1,12-1-1"],
    )
    link = Link("", "db1", 3306, 1, None, True, True, auto_position=True)
    assert fence._reached(target, link, fence.Position("bin.1", 4, "0-1-4,11-1-1,12-1-1"), 1)
    assert len(target.answers["gtid_slave_pos"]) == 1


def test_no_binary_log_no_fence():
    with pytest.raises(Undecided) as undecided:
        fence.current_position(FakeSession(MARIADB, SHOW_MASTER_STATUS={}))
    assert undecided.value.code == "binlog_off"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ({"Slave_SQL_Running": "No", "Last_SQL_Errno": "1062", "Last_SQL_Error": "Duplicate entry"}, "link_error"),
        ({"Slave_IO_Running": "Connecting", "Last_IO_Errno": "2003", "Last_IO_Error": "cannot connect"}, "link_error"),
        ({"Slave_IO_Running": "No"}, "stopped_link"),
        ({"SQL_Delay": "30"}, "delayed_link"),
        ({"Connection_name": "another"}, "stopped_link"),
    ],
)
def test_waiting_in_vain_is_noticed(status, code):
    record = {
        "Connection_name": "",
        "Master_Host": "db1",
        "Slave_IO_Running": "Yes",
        "Slave_SQL_Running": "Yes",
        **status,
    }
    target = FakeSession(MARIADB, POS_WAIT="-1", SHOW_ALL=[[record]])
    upstream = FakeSession(MARIADB, SHOW_MASTER_STATUS={"File": "bin.1", "Position": "4"}, gtid_binlog_state="")
    with pytest.raises(Undecided) as undecided:
        fence.fence(upstream, target, LINK, 60)
    assert undecided.value.code == code
