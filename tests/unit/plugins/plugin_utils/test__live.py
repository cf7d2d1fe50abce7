# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The action plugin beside a module, when Ansible is interrupted."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import types
import typing as t
from contextlib import suppress
from dataclasses import asdict

import pytest
from ansible.executor.task_queue_manager import FinalQueue
from ansible.utils.display import Display
from ansible.utils.multiprocessing import context

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import Progress
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils import _live as live

PROGRESS = asdict(Progress(stage="compare", table="t", rows=1)) | {"seconds": 1}


class Host:
    """Stands for the action and its connection: every look finds a module at work, and what is run is noted."""

    def __init__(self, notes: t.Any) -> None:
        self._connection = types.SimpleNamespace()
        self._task = types.SimpleNamespace(action="mysql_repl_checksum", delegate_to=None, args={}, no_log=False)
        self._notes = notes

    def _low_level_execute_command(self, command: str) -> dict[str, t.Any]:
        self._notes.put(command)
        return {"rc": 0, "stdout": json.dumps(PROGRESS)}


def worker(queue: t.Any, notes: t.Any) -> None:
    """What Ansible's worker process does, as far as it matters here."""

    def end(number: int, frame: object) -> None:
        os._exit(1)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    Display().set_queue(queue)
    with live.Beside(t.cast(t.Any, Host(notes)), {}):
        time.sleep(60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_does_not_end_a_worker_that_is_about_to_say_something(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """Its end would leave the queue of all workers locked, and Ansible waiting for ever."""
    monkeypatch.setattr(live, "_TICK", 0.05)
    monkeypatch.setattr(live, "next_pause", lambda *unused: 0.0)
    queue, notes = FinalQueue(), context.SimpleQueue()
    # Nobody reads yet, and there is no room for another line.
    pipe = queue._writer.fileno()
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, bytes(4096))
    os.set_blocking(pipe, True)
    process = context.Process(target=worker, args=(queue, notes))
    process.start()
    assert "alive" in notes.get()
    deadline = time.monotonic() + 60
    while queue._wlock.acquire(block=False):
        queue._wlock.release()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.pid
    os.kill(process.pid, number)
    time.sleep(0.5)
    os.read(queue._reader.fileno(), 1 << 20)
    process.join(10)
    assert process.exitcode == 1
    assert queue._wlock.acquire(timeout=10), "the queue is locked for ever"
    assert "stop" in notes.get()


def deaf_worker(notes: t.Any) -> None:
    """One whose main thread does not hear a signal, as in a system call that was not interrupted."""
    with live.Beside(t.cast(t.Any, Host(notes)), {}):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        notes.put("deaf")
        time.sleep(60)


def read_until(notes: t.Any, word: str) -> None:
    """Return once a note with that word has come."""
    too_late = threading.Timer(20, notes.put, ["too late"])
    too_late.start()
    note = ""
    while word not in note:
        note = notes.get()
        assert note != "too late", word
    too_late.cancel()


def test_a_signal_that_finds_another_thread_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_TICK", 0.05)
    notes = context.SimpleQueue()
    process = context.Process(target=deaf_worker, args=(notes,))
    process.start()
    try:
        read_until(notes, "deaf")
        time.sleep(0.5)  # until it sleeps: before, Python itself would look
        assert process.pid
        os.kill(process.pid, signal.SIGTERM)
        read_until(notes, "stop")
    finally:
        process.kill()
