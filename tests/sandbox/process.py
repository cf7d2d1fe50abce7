# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Server processes and their folders: none outlives this Python process, however it ends.

A server is tied to us by the kernel's parent-death signal, which fires when the *thread* that
started it ends; so one thread that lives as long as the process starts them all. Folders are
removed at exit; those of a run that was killed are known by a lock nobody holds any more, and are
swept by the next run.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .errors import SandboxError

_PREFIX = "mysql_repl_sandbox-"
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
_LIBC = ctypes.CDLL(None, use_errno=True)
_PORTS = range(15000, 32000)
"""Below the range of outgoing connections, so that nobody takes the port of a stopped server."""
_LONGEST_FOLDER = 107 - len("/mysqld.sock.lock")

_MEMORY = Path("/dev/shm")
_ROOM = 6 << 30
"""Bytes free there for it to be used: what many servers take, several runs beside each other."""

_children: list[subprocess.Popen[bytes]] = []
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-spawner")
_lock = threading.Lock()
_run_folder: tuple[int, Path] | None = None


def spawn(command: list[str], folder: Path, output: Path) -> subprocess.Popen[bytes]:
    """Start *command* in *folder*, appending to *output*; it dies when this process does."""
    us = os.getpid()

    def tie_to_us() -> None:
        _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != us:
            os._exit(1)  # we were gone before the tie was made

    def start() -> subprocess.Popen[bytes]:
        with open(output, "ab") as log:
            return subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=tie_to_us,
                start_new_session=True,  # a Ctrl-C is ours to handle, not the servers'
            )

    child = _spawner.submit(start).result()
    _children[:] = [known for known in _children if known.poll() is None] + [child]
    return child


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now."""
    for port in random.sample(_PORTS, 200):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SandboxError(f"no free port on 127.0.0.1 between {_PORTS.start} and {_PORTS.stop}")


def new_folder(name: str) -> Path:
    """Make an empty folder for one server, below this process's run folder."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=_our_run_folder()))
    if len(str(folder)) > _LONGEST_FOLDER:
        raise SandboxError(
            f"{folder} is too long a path: that of a unix socket in it would be over 107 bytes; "
            "set TMPDIR to a folder with a shorter name, as /tmp"
        )
    return folder


def temporary() -> Path:
    """Where run folders are: in memory where there is room, so that no server waits for a disk; TMPDIR has precedence.

    A server that is killed loses no more there than on a disk.
    """
    if "TMPDIR" not in os.environ and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())


def _our_run_folder() -> Path:
    """Return this process's folder; the first call makes it and sweeps what killed runs left."""
    global _run_folder
    with _lock:
        if _run_folder is None or _run_folder[0] != os.getpid():
            _run_folder = (os.getpid(), _claim_run_folder())
        return _run_folder[1]


def _claim_run_folder() -> Path:
    place = temporary()
    with open(place / f"{_PREFIX}{os.getuid()}.lock", "w", encoding="utf-8") as all_runs:
        fcntl.flock(all_runs, fcntl.LOCK_EX)
        for folder in place.glob(f"{_PREFIX}*/"):
            if folder.is_dir() and folder.stat().st_uid == os.getuid() and not _is_held(folder):
                shutil.rmtree(folder, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        owner = os.open(folder / "owner", os.O_RDWR | os.O_CREAT)  # never closed: it is our claim
        fcntl.flock(owner, fcntl.LOCK_EX)
        os.write(owner, f"{os.getpid()}\n".encode())
    atexit.register(_remove_run_folder, os.getpid(), folder)
    return folder


def _is_held(folder: Path) -> bool:
    """Tell whether the run that made *folder* is still alive."""
    try:
        with open(folder / "owner", "r+", encoding="utf-8") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _remove_run_folder(maker: int, folder: Path) -> None:
    """At exit: end the servers and take their data away (but not at the exit of a fork of ours)."""
    if os.getpid() == maker:
        for child in _children:
            child.kill()
        for child in _children:
            child.wait()
        shutil.rmtree(folder, ignore_errors=True)
