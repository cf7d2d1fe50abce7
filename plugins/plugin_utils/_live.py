# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""The action plugin's side of a run that can be watched (module_utils/_live.py is the other one).

The module runs as every module does. Beside it, a thread looks into the module's folder over the same connection, shows
what it finds there, and by looking tells the module that somebody still waits.
"""

from __future__ import annotations

import contextvars
import copy
import json
import os
import secrets
import select
import signal
import threading
import time
import typing as t

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible.utils.vars import merge_hash

from ansible_collections.comaster.mysql_repl.plugins.module_utils._folder import PREFIX
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._progress import Lines, next_pause

# Seconds for which one sign of life counts. Generous: a network that is away for half a minute must not end a run of hours.
# An interrupted controller is noticed much sooner, by its closed connection or because it says so.
LEASE = 60.0

# Seconds between two signs of life at most, several within a lease.
_LONGEST_SILENCE = 15.0

# Seconds between two looks whether the controller itself is still there.
_TICK = 1.0

# How Ansible tells its workers that it was interrupted.
_SIGNALS = (signal.SIGINT, signal.SIGTERM)

display = Display()


class LiveAction(ActionBase):  # type: ignore[misc]
    """Runs the module of its own name and shows how far it is."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: object = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        """Run the module."""
        result = super().run(None, task_vars)
        arguments = dict(self._task.args)
        arguments.pop("_live", None)
        is_async = self._task.async_val and not self._connection.has_native_async
        if self._task.async_val or not boolean(arguments.get("progress", True), strict=False):
            outcome = self._execute_module(module_args=arguments, task_vars=task_vars, wrap_async=is_async)
        else:
            # The task's own timeout ends the plugin, not the module, which is told of it for that.
            with Beside(self, task_vars or {}) as beside:
                arguments["_live"] = {"folder": beside.folder, "lease": LEASE, "deadline": self._task.timeout or None}
                outcome = self._execute_module(module_args=arguments, task_vars=task_vars)
            if "module_stdout" in outcome:  # no result: it was killed, and could not clean up
                beside.clean_up()
            outcome.get("invocation", {}).get("module_args", {}).pop("_live", None)
        if not is_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return t.cast("dict[str, t.Any]", merge_hash(result, outcome))


class Beside:
    """What goes on beside the module. Use as a context manager around its run."""

    def __init__(self, action: LiveAction, task_vars: dict[str, t.Any]) -> None:
        self.folder = f"/tmp/{PREFIX}{secrets.token_hex(16)}"
        # Of one's own: a connection and its way to another account keep notes about the command they run.
        self._action = copy.copy(action)
        self._action._connection = copy.copy(action._connection)
        if getattr(action._connection, "become", None):
            self._action._connection.set_become_plugin(copy.copy(action._connection.become))
        task = action._task
        host = str(task_vars.get("inventory_hostname", "?"))
        label = f"[{host} -> {task.delegate_to}]" if task.delegate_to and task.delegate_to != host else f"[{host}]"
        self._lines = Lines(f"{label} {str(task.action).rpartition('.')[2]}")
        self._interval = _number(task.args.get("progress_interval"), 10.0)
        # One host of a pair does the work.
        hosts, forks = (
            len(task_vars.get("ansible_play_batch") or ()),
            int(task_vars.get("ansible_forks") or constants.DEFAULT_FORKS),
        )
        self._runs = max(1, min(hosts // 2, forks))
        # Results in JSON must stay JSON, and a task that hides its result does not tell its tables.
        self._is_silent = bool(task.no_log) or "json" in str(constants.DEFAULT_STDOUT_CALLBACK)
        self._parent = os.getppid()
        # Signals leave their numbers here, whichever thread they find. A handler waits for the main thread, which may be in a
        # system call that ends with the module; and it must take no lock: the next signal may come while that is held.
        self._heard, self._wake = os.pipe()
        self._before = -1
        self._is_over = self._has_said_stop = False
        self._terminated_by: int | None = None
        self._handlers: dict[int, t.Any] = {}
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._watch,), name="progress", daemon=True)

    def __enter__(self) -> Beside:
        os.set_blocking(self._wake, False)
        self._before = signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._handlers = {number: signal.signal(number, self._on_terminate) for number in _SIGNALS}
        self._thread.start()
        return self

    def __exit__(self, kind: object, *unused: object) -> None:
        self._is_over = True
        signal.set_wakeup_fd(self._before)
        os.write(self._wake, b"\0")
        self._thread.join(_TICK)
        if not self._thread.is_alive():
            os.close(self._heard)
            os.close(self._wake)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if kind is not None:
            # Timed out or interrupted: nobody will read what the module finds.
            self._command("stop")
        if self._terminated_by:  # when the thread had gone already
            os.kill(os.getpid(), self._terminated_by)

    def _on_terminate(self, number: int, frame: object) -> None:
        """Ansible was interrupted; it may say so twice. Died we without a word, the module far away would not notice.

        And died we while the thread hands a line to Ansible, the lock of the queue that all workers share would stay locked:
        Ansible would wait for it for ever. So the thread ends the process.
        """
        if self._has_said_stop:
            signal.signal(number, self._handlers[number])
            os.kill(os.getpid(), number)
        self._terminated_by = number

    def _listen(self) -> None:
        """Wait for a signal, or the end, for a tick at most."""
        listening = select.poll()  # of many forks, numbers of files go beyond what select() takes
        listening.register(self._heard, select.POLLIN)
        if listening.poll(_TICK * 1000):
            for number in os.read(self._heard, 64):
                if number in _SIGNALS:
                    self._terminated_by = number

    def _watch(self) -> None:
        started = shown = looked = time.monotonic()
        while not self._is_over:
            self._listen()
            if self._terminated_by or os.getppid() != self._parent:
                # A controller that was killed had no time to say so: nobody else would ever end this process.
                self._command("stop")
                self._has_said_stop = True
                signal.pthread_kill(t.cast(int, threading.main_thread().ident), self._terminated_by or signal.SIGTERM)
                return
            now = time.monotonic()
            is_time = now - shown >= next_pause(self._interval, now - started, self._runs)
            if is_time or now - looked >= _LONGEST_SILENCE:
                looked = now
                said = self._command("alive && cat progress")
                if is_time and not self._is_silent and not self._is_over and self._show(said):
                    shown = now

    def clean_up(self) -> None:
        """Remove the folder of a module that is no more."""
        self._execute(f"rm -rf {self.folder}")

    def _command(self, sign: str) -> str:
        """Leave a sign in the module's folder and give what the command says; empty when there is no such folder."""
        return self._execute(f"cd {self.folder} && : > {sign}")

    def _execute(self, command: str) -> str:
        try:
            done = self._action._low_level_execute_command(command)
        except Exception as exc:  # whatever the connection trips over: the module itself is not concerned
            display.vvv(f"no look at the progress: {exc}")
            return ""
        return str(done.get("stdout", "")) if done.get("rc") == 0 else ""

    def _show(self, said: str) -> bool:
        try:
            line = self._lines.line(json.loads(said[said.index("{") :]))
        except (ValueError, KeyError, TypeError):  # not there yet, or gone already
            return False
        if line:
            display.display(line)
        return bool(line)


def _number(given: t.Any, default: float) -> float:
    """The module says what is wrong with an option."""
    try:
        return max(1.0, float(given))
    except (TypeError, ValueError):
        return default
