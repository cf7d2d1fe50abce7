# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was written has arrived: both copies of some rows are equal, also while the application writes them."""

from __future__ import annotations

import typing as t

from . import fingerprint
from .confirm import read_rows
from .errors import LockConflict, Undecided
from .keyspace import KeySpace
from .options import Selection
from .schema import Key, Table
from .session import Row, Session, at_once

K = t.TypeVar("K", bound=t.Hashable)

#: Reads what one server has for some keys: the value by key; an absent key has none.
Reader = t.Callable[[t.Sequence[t.Any]], t.Mapping[t.Any, t.Any]]

# Keys whose rows are compared by one fingerprint; so many at least, or the rows themselves are read.
_KEYS_AT_ONCE = 200

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


def refuse_on_their_way(
    known: t.Mapping[K, object],
    ours: t.Mapping[K, object],
    theirs: t.Mapping[K, object],
    settled: t.Callable[[], bool],
    source: Session,
) -> None:
    """Raise LockConflict where the target has written rows since the verdict on them, and that may still be on its way (law 3).

    To be asked while the rows are locked on the source: what arrives there first gets the lock, and the repair tries again.
    ``known``: what the target had; ``ours`` and ``theirs``: what is under the lock, and what the target has; ``settled``:
    whether the source has all that the target has committed. Raises what it does.
    """
    strange = (key for key, had in known.items() if theirs.get(key) not in (had, ours.get(key)))
    if next(strange, None) is not None and not settled():
        raise LockConflict(0, "rows that were written on the target meanwhile have not arrived yet", source.name)


def wanting(source: Session, target: Session, table: Table, keys: t.Sequence[Row], drained: t.Callable[[], None]) -> list[Row]:
    """The keys whose rows differ, after draining; empty if all have arrived.

    Raises what ``drained`` does, and ServerError.
    """
    if len(keys) > _KEYS_AT_ONCE and table.key:
        keys = _differing(source, target, table, table.key, keys, drained)
        if not keys:
            return []
    return unequal(lambda some: read_rows(source, table, some), lambda some: read_rows(target, table, some), keys, drained)


def _differing(
    source: Session, target: Session, table: Table, key: Key, keys: t.Sequence[Row], drained: t.Callable[[], None]
) -> list[Row]:
    """The keys that may differ, found by one fingerprint for many rows: far cheaper than reading them."""
    prints = fingerprint.choose(KeySpace(table, key), source.dialect, target.dialect, Selection())
    groups = [keys[start : start + _KEYS_AT_ONCE] for start in range(0, len(keys), _KEYS_AT_ONCE)]
    before = prints.of(source, groups)
    drained()
    found = zip(groups, before, *at_once(source, target, lambda session: prints.of(session, groups)))
    return [key for group, ours, now, theirs in found if not ours == now == theirs for key in group]


def unequal(ours: Reader, theirs: Reader, keys: t.Sequence[K], drained: t.Callable[[], None]) -> list[K]:
    """The keys that the two readers do not agree on, after draining.

    The source is read before replication is drained, and again after the target is read: a row is wrong for good when
    the source kept it and the drained target has another one. A row that a live writer changes meanwhile is read again, also
    where both agreed: it may be the target's own write, which came to the source behind the repair's lock while the repair
    replaced it on the target. What the source had after one draining holds all such writes.
    ``drained`` returns when replication is drained; it is called even for no keys. Raises what it and the readers do.
    """
    pending = list(keys)
    wrong: list[K] = []
    before = ours(pending)
    for reading in range(_READINGS):
        drained()
        arrived = theirs(pending)
        after = ours(pending)
        kept = {key for key in pending if before.get(key) == after.get(key)}
        agreed = {key for key in pending if before.get(key) == arrived.get(key)}
        wrong += [key for key in pending if key in kept and key not in agreed]
        pending = [key for key in pending if key not in kept and (key not in agreed or reading == 0)]
        before = after
        if not pending:
            break
    return wrong + pending
