# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was written has arrived: both copies of some rows are equal, also while the application writes them."""

from __future__ import annotations

import typing as t
from concurrent.futures import Future, ThreadPoolExecutor, wait

from . import fingerprint
from .confirm import read_rows
from .errors import LockConflict, Undecided
from .keyspace import KeySpace
from .options import Selection
from .schema import Table
from .session import Row, Session

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
    wrong: list[Row] = []
    with Arrivals(source, target, table, drained, lambda _ids, keys: wrong.extend(keys)) as arrivals:
        arrivals.expect(enumerate(keys))
    return wrong


class Arrivals:
    """Sees whether the rows of one repair have arrived. Use as a context manager."""

    def __init__(
        self,
        source: Session,
        target: Session,
        table: Table,
        drained: t.Callable[[], None],
        told: t.Callable[[list[int], list[Row]], None],
        aside: tuple[Session, ...] = (),
    ) -> None:
        """``drained`` drains replication; ``told`` is given the ids of rows seen equal on both servers and the keys of those
        that are not; ``aside``: other sessions to source and target, to look there while more is logged already."""
        self._source = source
        self._target = target
        self._table = table
        self._drained = drained
        self._told = told
        self._aside = aside
        self._looking: _Looking | None = None
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="arrivals")

    def __enter__(self) -> Arrivals:
        return self

    def __exit__(self, *unused: object) -> None:
        self._pool.shutdown(wait=True)

    def expect(self, tried: t.Iterable[tuple[int, Row]]) -> None:
        """Drain replication, and look after rows, given by id and key; told at the latest by the next call, or by finish().

        Raises what ``drained`` does, and ServerError.
        """
        self.finish()
        ids = {key: number for number, key in tried}
        keys = list(ids)
        if len(keys) <= _KEYS_AT_ONCE or not self._table.key:
            self._tell(ids, self._unequal(keys))
            return
        # Many rows are compared by one fingerprint: far cheaper than reading them.
        space = KeySpace(self._table, self._table.key)
        prints = fingerprint.choose(space, self._source.dialect, self._target.dialect, Selection())
        groups = [keys[start : start + _KEYS_AT_ONCE] for start in range(0, len(keys), _KEYS_AT_ONCE)]
        self._drained()
        # What the target itself had written before the repair came is on the source by now, so rows that both have alike have
        # arrived, whatever is written from now on.
        sessions = self._aside or (self._source, self._target)
        now, theirs = (self._pool.submit(prints.of, session, groups) for session in sessions)
        self._looking = _Looking(ids, groups, now, theirs)
        if not self._aside:
            self.finish()

    def finish(self) -> None:
        """Tell of all rows that have not been told of. Raises as expect()."""
        looking, self._looking = self._looking, None
        if looking:
            keys = looking.differing()
            self._tell(looking.ids, self._unequal(keys) if keys else [])

    def _unequal(self, keys: list[Row]) -> list[Row]:
        ours, theirs = (self._reader(session) for session in (self._source, self._target))
        return unequal(ours, theirs, keys, self._drained)

    def _reader(self, session: Session) -> Reader:
        return lambda keys: read_rows(session, self._table, keys)

    def _tell(self, ids: dict[Row, int], wrong: list[Row]) -> None:
        unseen = set(wrong)
        self._told([number for key, number in ids.items() if key not in unseen], wrong)


class _Looking(t.NamedTuple):
    """A look at both servers that may go on still: rows by key, in groups, and the fingerprint of each group."""

    ids: dict[Row, int]
    groups: list[list[Row]]
    now: Future[list[fingerprint.BucketSum]]
    theirs: Future[list[fingerprint.BucketSum]]

    def differing(self) -> list[Row]:
        """The keys that may differ. Raises what either look does, once both have ended."""
        wait((self.now, self.theirs))
        found = zip(self.groups, self.now.result(), self.theirs.result())
        return [key for group, ours, theirs in found if ours != theirs for key in group]


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
