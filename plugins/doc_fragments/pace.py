# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How hard to work, and how long to wait for replication."""

from __future__ import annotations


class ModuleDocFragment:
    """Documentation shared by the modules."""

    DOCUMENTATION = r"""
options:
  workers:
    description:
      - Chunks that are read at the same time on each server, from 1 to 64.
    type: int
    default: 1
  chunk_time:
    description:
      - Seconds that reading one chunk should take. The number of rows in a chunk follows from it, and no snapshot is held
        much longer.
    type: float
    default: 0.5
"""

    HOLD = r"""
options:
  max_lag:
    description:
      - Work waits while a replication link of either server, or of a replica below either, lags more than this number of
        seconds. A repair and an undo ask before each batch.
      - Replicas are reached with the login of the server above them, at the address that they report (C(report_host)). One
        that reports none, or does not take the login, is not waited for.
      - Unset, it does not wait.
    type: float
  max_threads_running:
    description:
      - Work waits while either server runs more statements than this (C(Threads_running), ours among them).
      - Unset, it does not wait.
    type: int
  max_runtime:
    description:
      - Seconds after which no new chunk of a comparison and no new batch of a repair or an undo is begun. Tables not finished
        by then are V(undecided). What was written until then is complete and verified; the next run goes on.
      - Unset, there is no limit.
    type: float
  pause_file:
    description:
      - Work waits while this file exists on the host where the module runs, checked about twice a second.
    type: path
"""

    PROGRESS = r"""
options:
  progress:
    description:
      - Show lines with the progress while the module runs. Runs shorter than O(progress_interval) show none.
      - "The action plugin of the same name shows them: the table, the share done, rows a second, the time left, what was
        found so far, and what the work waits for. They appear at once on the terminal and in the job log of AWX, also in check
        mode. Not for tasks with C(async) or C(no_log), and not where the output of Ansible is JSON."
      - The module ends, at the next safe moment, when Ansible is interrupted, when the C(timeout) of the task is over, or
        when nothing was heard of the controller for a minute. V(false) turns this off as well.
    type: bool
    default: true
    version_added: 0.1.0
  progress_interval:
    description:
      - Seconds between two lines, and before the first, at least 1. After a quarter of an hour they come more seldom, up to one
        a minute, and sooner so where many pairs run at the same time, so that the log of a run of hours remains readable.
    type: float
    default: 10.0
    version_added: 0.1.0
  _live:
    description:
      - Where the module and its action plugin meet. Not for users, the action plugin replaces whatever is given.
    type: dict
    version_added: 0.1.0
"""

    STATE = r"""
options:
  state_file:
    description:
      - Where the check notes how far it is, on the host where the module runs. A run that was ended, by O(max_runtime) or
        otherwise, goes on from there the next time.
      - The file belongs to one question (servers, selection, condition); asked another one, the check starts anew. A table
        whose definition changed is read from its beginning. The file is removed when every table is decided.
      - It holds sample rows and is readable to its owner only.
    type: path
"""

    FENCE = r"""
options:
  fence_timeout:
    description:
      - Seconds to wait, each time, until one server has applied everything that the other had logged.
      - When the time is over there is no verdict, and nothing is repaired.
    type: float
    default: 60.0
"""
