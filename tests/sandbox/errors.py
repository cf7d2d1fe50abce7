# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong with servers that were had and started."""

from __future__ import annotations


class SandboxError(RuntimeError):
    """Any failure of the sandbox itself."""


class ServerFailed(SandboxError):
    """A server did not start or stop; the message ends with its error log's last lines."""


class ReplicationBroken(SandboxError):
    """A link is stopped or in error; the message says which and carries the server's words."""


class ReplicationTimeout(SandboxError):
    """A link runs but did not drain in time."""
