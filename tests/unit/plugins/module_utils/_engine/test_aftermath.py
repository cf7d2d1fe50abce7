# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What journals tell of servers that a killed run has left lenient, and what a stopped applier may be taken for."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import aftermath, journal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.entries import Header, Identity
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Refusal
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.links import Link
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.logplace import LogPlace, LogSpan

SOURCE, TARGET = Identity("db1:3306", 1, "u-1"), Identity("db2:3306", 2, "u-2")
SINCE, UNTIL = LogPlace("bin.000003", 400), LogPlace("bin.000004", 80)
SPAN = LogSpan(SINCE, UNTIL)


def killed(directory, *lines):
    """The journal of a run that did not come to its end; ``lines`` write into it. Returns its path."""
    writer = journal.create(str(directory), Header("sync", SOURCE, TARGET))
    for line in lines:
        line(writer)
    writer.flush()
    return writer.path


def described(to):
    """A table that the run was to change."""
    to._write({"is": "table", "id": 1, "database": "d", "table": "t", "columns": [], "key": []})


def test_what_a_run_left_lenient_is_found_with_what_it_was_for(tmp_path):
    path = killed(tmp_path, lambda to: to.lenient(TARGET, True, SINCE), lambda to: to.committed([], UNTIL))
    killed(tmp_path, lambda to: to.lenient(TARGET, True, SINCE), lambda to: to.lenient(TARGET, False))
    (tmp_path / "damaged.jsonl").write_bytes(b'{"is":"lenient"}\n')
    found = aftermath.find(str(tmp_path), replace(TARGET, address="elsewhere:3306"))
    assert (found.path, found.header.source, found.server, found.within) == (path, SOURCE, TARGET, SPAN)
    assert aftermath.find(str(tmp_path), SOURCE) is None
    assert aftermath.find(str(tmp_path / "none"), TARGET) is None


@pytest.mark.parametrize(("age", "found"), [(50, True), (86000, True), (90000, False), (-50, False)])
def test_journals_are_told_apart_by_when_they_were_last_written(tmp_path, age, found):
    path = killed(tmp_path, lambda to: to.lenient(TARGET, True, SINCE))
    os.utime(path, (1e9 - age, 1e9 - age))
    assert bool(aftermath.find(str(tmp_path), TARGET, (1e9 - 86400, 1e9))) is found


@pytest.mark.parametrize(
    "lines",
    [
        (lambda to: to.lenient(TARGET, True, SINCE),),
        (lambda to: to.lenient(TARGET, True, SINCE), lambda to: to.committed([])),
        (lambda to: to.lenient(TARGET, True), lambda to: to.committed([], UNTIL)),
    ],
)
def test_without_both_places_it_is_not_known_what_it_was_for(tmp_path, lines):
    killed(tmp_path, *lines)
    assert aftermath.find(str(tmp_path), TARGET).within is None


def test_it_is_noted_that_it_is_strict_again(tmp_path):
    path = killed(tmp_path, lambda to: to.lenient(SOURCE, True), lambda to: to.lenient(TARGET, True, SINCE))
    with open(path, "ab") as file:
        file.write(b'{"is":"comm')
    aftermath.note_strict(aftermath.find(str(tmp_path), TARGET))
    assert aftermath.find(str(tmp_path), TARGET) is None
    assert list(journal.read(path).left_lenient) == [SOURCE]


@pytest.mark.parametrize("place", ['{"file":1,"offset":2}', '{"file":"a","offset":"2"}', '{"file":"a"}', '"a:2"', "null"])
@pytest.mark.parametrize("line", ['{"is":"committed","rows":[],"until":%s}', '{"is":"lenient","server":%s,"on":true,"since":%s}'])
def test_a_place_that_is_none_is_damage(tmp_path, line, place):
    path = killed(tmp_path)
    server = '{"address":"a:1","server_id":1,"uuid":null}'
    with open(path, "a", encoding="ascii") as file:
        file.write((line % ((server, place) if line.count("%s") == 2 else place)) + "\n")
    with pytest.raises(Refusal, match="line 2 is damaged"):
        journal.read(path)


def test_the_place_is_on_disk_before_the_target_is_looked_at(tmp_path, monkeypatch):
    synced = []
    with journal.create(str(tmp_path), Header("sync", SOURCE, TARGET)) as writer:
        with monkeypatch.context() as patch:
            patch.setattr(journal.os, "fsync", lambda number: synced.append(os.fstat(number).st_size))
            writer.committed([], UNTIL)
        (size,) = synced
        assert size == os.path.getsize(writer.path)


@pytest.mark.parametrize(
    ("file", "offset", "start", "end"),
    [
        ("bin.000003", 400, True, False),
        ("bin.000003", 401, True, True),
        ("bin.000004", 80, False, True),
        ("bin.000004", 81, False, False),
        ("bin.000003", 399, False, False),
        ("other.000003", 401, False, False),
        ("", 0, False, False),
    ],
)
def test_what_lies_between_two_places(file, offset, start, end):
    place = LogPlace(file, offset)
    assert (SPAN.has_start(place), SPAN.has_end(place)) == (start, end)


@pytest.mark.parametrize(
    ("words", "applied", "within"),
    [
        ("the event's master log bin.000004, end_log_pos 80 (error 1032)", 4, True),
        ("Worker 1 failed executing transaction 'u:29' at source log bin.000003, end_log_pos 401. See (error 1062)", 4, True),
        ("the event's master log bin.000004, end_log_pos 81 (error 1032)", 500, False),
        ("the event's master log bin.000003, end_log_pos 400 (error 1032)", 500, False),
        # MariaDB 11.8
        ("the event's master log bin.000003, end_log_pos 0 (error 1032)", 400, True),
        ("the event's master log bin.000003, end_log_pos 0 (error 1032)", 399, False),
        ("Duplicate entry (error 1062)", 500, False),
        ("", 500, False),
    ],
)
def test_where_an_applier_has_stopped(words, applied, within):
    link = Link("", "db1", 3306, 1, None, True, False, sql_error=words, applied_file="bin.000003", applied_position=applied)
    assert link.stopped_within(SPAN) is within


@pytest.mark.parametrize(
    ("mode", "words", "source", "ours"),
    [
        ("STRICT", "master log bin.000004, end_log_pos 80 (error 1032)", SOURCE, True),
        ("STRICT", "master log bin.000004, end_log_pos 80 (error 1032)", Identity("db3:3306", 3, "u-3"), False),
        ("STRICT", "master log bin.000004, end_log_pos 81 (error 1032)", SOURCE, False),
        ("STRICT", "master log bin.000004, end_log_pos 80 (error 1146)", SOURCE, False),
        ("STRICT", "event on table D.t; Can't find; log bin.000004, end_log_pos 80 (error 1032)", SOURCE, True),
        # The places come again: the source's log began anew, or another server has taken its place.
        ("STRICT", "event on table d.other; Can't find; log bin.000004, end_log_pos 80 (error 1032)", SOURCE, False),
        ("STRICT", "", SOURCE, False),
        ("IDEMPOTENT", "", SOURCE, True),
    ],
)
def test_whose_doing_it_is(tmp_path, mode, words, source, ours):
    killed(tmp_path, described, lambda to: to.lenient(TARGET, True, SINCE), lambda to: to.committed([], UNTIL))
    target = SimpleNamespace(
        answers_within=lambda seconds: nullcontext(),
        variables=lambda names: {"slave_exec_mode": mode},
        dialect=SimpleNamespace(start_applier=lambda channel: "START"),
    )
    link = Link("", "db1", 3306, 1, None, True, False, sql_error=words)
    found = aftermath.Aftermath(None, target, link, Header("sync", source, TARGET), str(tmp_path))
    assert found.is_ours is ours
    if not ours:
        assert found.put_back(1.0) == ""
