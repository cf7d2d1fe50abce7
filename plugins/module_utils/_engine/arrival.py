# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was written has arrived: both copies of some rows are equal, also while the application writes them."""

from __future__ import annotations

import typing as t

from .confirm import read_rows
from .errors import Undecided
from .schema import Table
from .session import Row, Session

# Drained readings of both copies until a row that keeps changing is given up.
_READINGS = 10


def drain(fence: t.Callable[[], None], check_links: t.Callable[[], None]) -> None:
    """Drain replication and see that every link is up. Raises what ``check_links`` does, else what ``fence`` does."""
    try:
        fence()
    except Undecided:
        check_links()  # says more of a broken link
        raise
    check_links()


def wanting(source: Session, target: Session, table: Table, keys: t.Sequence[Row], drained: t.Callable[[], None]) -> list[Row]:
    """The keys whose rows differ, after draining; empty if all have arrived.

    The source is read before replication is drained, and again after the target is read: a row is wrong for good when the
    source kept it and the drained target has another one. A row that a live writer changes meanwhile is read again.
    ``drained`` returns when replication is drained; it is called even for no keys. Raises what it raises, and ServerError.
    """
    pending = list(keys)
    wrong: list[Row] = []
    before = read_rows(source, table, pending)
    for _reading in range(_READINGS):
        drained()
        theirs = read_rows(target, table, pending)
        pending = [key for key in pending if before.get(key) != theirs.get(key)]
        after = read_rows(source, table, pending)
        wrong += [key for key in pending if before.get(key) == after.get(key)]
        pending = [key for key in pending if before.get(key) != after.get(key)]
        before = after
        if not pending:
            break
    return wrong + pending
