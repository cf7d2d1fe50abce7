# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""A module at work: tells its action plugin how far it is, and ends when nobody waits for it any more.

The two meet in a folder on the host where the module runs. The module keeps ``progress`` there; the action plugin touches
``alive`` while it waits and makes ``stop`` when it gives up. Without an action plugin there is no folder, and only signals
end the module.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
import time
import typing as t
from contextlib import contextmanager, suppress
from dataclasses import asdict

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import progress, session
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import Interrupted
from ansible_collections.comaster.mysql_repl.plugins.module_utils._folder import Folder, sweep

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

    from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.progress import Listener, Progress

# Seconds between two looks at the folder.
_TICK = 0.5

# Seconds for the operation to end by itself, between two pieces of work. A statement that runs longer is then killed on the
# server, but not while a repair goes on: what that has begun must be brought to its end.
_PATIENCE = 3.0

# Seconds after which the process ends whatever it is at; beside the time that a repair may wait for replication.
_LAST_RESORT = 30.0

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


def spec() -> dict[str, dict[str, t.Any]]:
    """Options of modules that tell how far they are. The last one is between them and their action plugin."""
    return {
        "progress": {"type": "bool", "default": True},
        "progress_interval": {"type": "float", "default": 10.0},
        "_live": {"type": "dict"},
    }


@contextmanager
def watched(module: AnsibleModule) -> t.Iterator[Listener]:
    """Watch over the run of a module; yields the listener for its operation."""
    given = module.params["_live"] or {}
    watch = Watch(given.get("folder") or "", given.get("lease"), given.get("deadline"), module.params["fence_timeout"])
    for name in _SIGNALS:
        with suppress(ValueError):  # not in the main thread: somebody else's process, who minds its signals
            signal.signal(getattr(signal, name), watch.on_signal)
    watch.start()
    try:
        yield watch.listen
    finally:
        watch.end()


class Watch:
    """Watches from a thread of its own. ``lease``: seconds for which one sign of life counts; ``deadline``: seconds in all.

    ``fence_timeout``: seconds that a repair may wait for replication before it ends.
    """

    def __init__(self, folder: str, lease: float | None, deadline: float | None, fence_timeout: float) -> None:
        self._place = folder
        self._folder: Folder | None = None
        self._lease = lease
        self._deadline = deadline
        self._fence_timeout = fence_timeout
        self._started = time.monotonic()
        self._now = progress.Progress()
        self._published: Progress | None = None
        self._sign: float | None = None
        self._sign_seen = 0.0
        self._reason = ""
        self._reason_since = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def start(self) -> None:
        """Make the folder and begin to watch."""
        if self._place:
            sweep(os.path.dirname(self._place))
            with suppress(OSError):  # then nobody sees anything, and the run goes on all the same
                self._folder = Folder(self._place)
        self._thread.start()

    def end(self) -> None:
        """The run is over."""
        self._is_over.set()
        self._thread.join(_PATIENCE)
        if self._folder:
            self._folder.remove()

    def listen(self, now: Progress) -> None:
        """The operation's listener. Raises Interrupted."""
        self._now = now
        if self._reason:
            raise Interrupted(self._reason)

    def on_signal(self, number: int, frame: object) -> None:
        """End the run; a second signal ends the process at once."""
        self._give_up(f"by {signal.Signals(number).name}")
        signal.signal(number, signal.SIG_DFL)

    def _watch(self) -> None:
        while not self._is_over.wait(_TICK):
            if self._folder:
                self._publish(self._folder)
                self._give_up(self._why_to_end(self._folder))
            if self._reason:
                self._press(time.monotonic() - self._reason_since)

    def _publish(self, folder: Folder) -> None:
        now = self._now
        if now == self._published:
            return
        path = folder.file("progress")
        with suppress(OSError):
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump({**asdict(now), "seconds": round(time.monotonic() - self._started, 1)}, file)
            os.replace(f"{path}.new", path)
            self._published = now

    def _why_to_end(self, folder: Folder) -> str:
        now = time.monotonic()
        if os.path.exists(folder.file("stop")):
            return "Ansible was interrupted, or the task's timeout was over"
        if self._deadline and now - self._started > self._deadline:
            return f"the task's timeout of {self._deadline:g} s was over"
        if _nobody_reads():
            return "nobody waits for the result any more"
        with suppress(OSError):
            sign = os.stat(folder.file("alive")).st_mtime
            if sign != self._sign:
                self._sign, self._sign_seen = sign, now
        # Only somebody who has come can be gone: a plugin that cannot reach the folder at all ends nothing.
        if self._lease and self._sign is not None and now - self._sign_seen > self._lease:
            return f"nothing was heard of the controller for {self._lease:g} s"
        return ""

    def _give_up(self, reason: str) -> None:
        if reason and not self._reason:
            self._reason, self._reason_since = reason, time.monotonic()

    def _press(self, waited: float) -> None:
        if self._now.stage in (progress.REPAIR, progress.UNDO):
            if waited > self._fence_timeout + _LAST_RESORT:
                os._exit(1)
        elif waited > _LAST_RESORT:
            os._exit(1)
        elif waited > _PATIENCE:
            session.kill_all()


def _nobody_reads() -> bool:
    """Whether the other end of our standard output is closed."""
    if not hasattr(select, "poll"):
        return False
    output = select.poll()
    output.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _descriptor, event in output.poll(0))
