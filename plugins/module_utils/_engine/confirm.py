# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""From suspicion to verdict: a row is drift only if it differs with replication drained (law 3)."""

from __future__ import annotations

import typing as t
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from . import codec
from .errors import Undecided
from .keyspace import KeySpace
from .schema import Column, Table
from .session import Row, Session, at_once
from .wire import Answer

# Keys looked up in one statement: enough to make round trips cheap, few enough for the optimizer.
_KEYS_PER_QUERY = 500

# Bytes of the rows read by one statement, about.
_QUERY_BYTES = 4 << 20

# Bytes of rows that may be held when more are begun with; they take three times as much, taken apart.
_HELD_BYTES = 6 << 20

# A row counts as drift when its two copies stay as they are over this many drained readings in a row.
_STABLE_READINGS = 2

# Readings after which a row that keeps changing is given up as undecided.
_MAX_READINGS = 20

MISSING = "missing"
EXTRA = "extra"
DIFFERENT = "different"


class Difference(t.NamedTuple):
    """One row that differs with replication drained.

    ``kind``: missing (the source has it alone), extra (the target alone) or different. ``key``
    holds the exact bytes of the key in key order, the source's where it has the row. ``source``
    and ``target`` are the values of the table's stored columns. In a table without a key, ``key`` is
    the whole row, the copies say how many equal rows each side has, and ``digest`` is the row's fingerprint over all
    columns (empty if some were left out of the comparison). A million of them are made: a frozen dataclass takes five times
    as long.
    """

    kind: str
    key: Row
    source: Row | None
    target: Row | None
    source_copies: int = 1
    target_copies: int = 1
    digest: bytes = b""

    @property
    def rows(self) -> int:
        """How many rows of the target are concerned."""
        return max(1, abs(self.source_copies - self.target_copies))

    @property
    def swapped(self) -> Difference:
        """The same row with the servers' parts swapped, for where the source is to get what the target has."""
        kind = {MISSING: EXTRA, EXTRA: MISSING}.get(self.kind, self.kind)
        copies = self.target_copies, self.source_copies
        return Difference(kind, self.key, self.target, self.source, *copies, self.digest)


@dataclass(frozen=True)
class Compared:
    """What makes two copies of a row equal: these columns, FLOAT and DOUBLE rounded to ``float_precision`` decimals."""

    columns: frozenset[str]
    float_precision: int | None = None

    def differ(self, table: Table, ours: Row, theirs: Row) -> bool:
        """Whether two copies of a row differ."""
        return any(
            column.name in self.columns and mine != other and not self._is_rounded_alike(column, mine, other)
            for column, mine, other in zip(table.stored_columns, ours, theirs)
        )

    def _is_rounded_alike(self, column: Column, mine: bytes | None, other: bytes | None) -> bool:
        if self.float_precision is None or mine is None or other is None or codec.kind(column) is not codec.Kind.FLOAT:
            return False
        return round(float(mine), self.float_precision) == round(float(other), self.float_precision)


# Both copies of a row at one reading: the source's, the target's.
_Copies = tuple[t.Optional[Row], t.Optional[Row]]


def read_rows(session: Session, table: Table, keys: t.Sequence[Row], lock: str = "", likely: bool = False) -> dict[Row, Row]:
    """Read rows by key: requested key → values of all stored columns; absent rows are not in the dict.

    Keys are equal as the key's collation says, so the row found for ``'a'`` may hold ``'A'``.
    ``lock`` is appended to the query; ``likely``: the keys are all different, and their rows have been there. Raises
    ServerError: an unreadable row is never an absent one.
    """
    questions = [_Question(session, table, wanted, lock, likely) for wanted in _portions(table, keys)]
    _ask(session, questions)
    found: dict[Row, Row] = {}
    for question in questions:
        found.update(question.rows())
    return found


def _portions(table: Table, keys: t.Sequence[Row]) -> t.Iterator[t.Sequence[Row]]:
    """The keys, as many at once as one question may ask for."""
    most = table.rows_within(_QUERY_BYTES, _KEYS_PER_QUERY)
    return (keys[start : start + most] for start in range(0, len(keys), most))


class _Question:
    """Asks one server for the rows of some keys, once or again and again."""

    def __init__(self, session: Session, table: Table, keys: t.Sequence[Row], lock: str = "", likely: bool = False) -> None:
        if table.key is None:
            raise ValueError(f"{table.name} has no key to read rows by")
        self._session = session
        self._space = KeySpace(table, table.key)
        self._keys = keys
        self._lock = lock
        self._likely = likely
        columns = ", ".join(codec.read_expression(column) for column in table.stored_columns)
        self._head = f"SELECT {columns} FROM {self._space.rows_in_order} WHERE "
        self.sql = self._of(keys)
        #: The last one, if nothing but this question was asked.
        self.answer: Answer | None = None
        self._rows: dict[Row, Row] = {}
        #: Whether every byte of the last answer is as it was in the one before.
        self.unchanged = False

    def hear(self, answer: Answer) -> None:
        """Take the answer to ``sql``. Raises ServerError."""
        self.unchanged = answer == self.answer
        if not self.unchanged:
            self.answer = answer.bare
            self._rows = self._space.by_key(self._session.rows_of(answer))

    def rows(self) -> dict[Row, Row]:
        """The rows of the last answer; see read_rows()."""
        rows = self._rows
        if self._lock and not self._space.has_spellings:
            return rows  # they were looked up one by one
        found = {key: rows[key] for key in self._keys if key in rows}
        if not self._space.has_spellings:
            return found  # a key is spelt in one way only
        unanswered = [key for key in self._keys if key not in rows]
        if unanswered and len(rows) > len(found):
            self.answer = None  # what is asked below may change while the answer to the whole stays as it was
        # A row may answer to a key spelt otherwise; if any does, find out which, one key at a time.
        if unanswered and self._session.rows(self._of(unanswered)):
            self.answer = None
            for key in unanswered:
                found.update((key, row) for row in self._session.rows(self._of([key])))
        return found

    def _of(self, keys: t.Sequence[Row]) -> str:
        # What is not asked for must not be locked.
        locking = self._space.exactly if self._likely else self._space.any_of
        condition = locking(keys) if self._lock else self._space.near(keys)
        return f"{self._head}{condition} {self._lock}"


def _ask(session: Session, questions: t.Sequence[_Question]) -> None:
    """Ask them all; answers are taken apart while the server is at the next question. Raises ServerError."""
    hearing = iter(questions)
    known = [question.answer for question in questions]
    session.ask([question.sql for question in questions], lambda answer: next(hearing).hear(answer), known)


def confirm(
    source: Session,
    target: Session,
    table: Table,
    keys: t.Sequence[Row],
    fence: t.Callable[[], None],
    compared: Compared | None = None,
) -> list[Difference]:
    """Read the suspected rows again on both servers until each is equal or stably different.

    ``fence`` drains replication in both directions. Both copies are read, replication is drained,
    both are read again: had either copy not yet arrived at the other side, one of them would
    have changed in between. ``compared``: what counts; None: every byte. Raises Undecided when
    replication cannot be drained or rows keep changing, and ServerError.
    """
    readings: Readings[None] = Readings(source, target, table, fence, compared)
    with readings:
        found = [*readings.step(keys, None), *readings.rest()]
    return [difference for differences, _tag in found for difference in differences]


T = t.TypeVar("T")


class Readings(t.Generic[T]):
    """Confirms the suspects of one table, as confirm() does, in groups: several are read together, and one draining is for all.

    A reading goes on after step() has returned: the sessions must not be used otherwise meanwhile. Use as a context manager.
    """

    def __init__(
        self,
        source: Session,
        target: Session,
        table: Table,
        fence: t.Callable[[], None],
        compared: Compared | None = None,
    ) -> None:
        self._sessions = source, target
        self._table = table
        self._fence = fence
        self._compared = compared
        self._groups: list[_Group[T]] = []
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="readings")
        self._reading: Future[None] | None = None

    def __enter__(self) -> Readings[T]:
        return self

    def __exit__(self, *unused: object) -> None:
        self._pool.shutdown(wait=True)

    def step(self, keys: t.Sequence[Row], tag: T) -> list[tuple[list[Difference], T]]:
        """Begin with one more group, and with the next reading of those before; what of them is confirmed, with its tag.

        Raises as confirm() does.
        """
        found: list[tuple[list[Difference], T]] = []
        while self._is_full():
            found += self._read_on()
        self._groups += [_Group(self._sessions, self._table, keys, tag)] if keys else []
        return found + self._read_on()

    def rest(self) -> t.Iterator[tuple[list[Difference], T]]:
        """Read until all groups are confirmed. Raises as confirm() does."""
        while self._groups:
            yield from self._read_on()

    def _is_full(self) -> bool:
        """Whether the groups hold as much as they may: how long rows are is known only when they are read."""
        if self._reading:
            wait((self._reading,))
        return sum(some.bytes for group in self._groups for some in group.suspects) > _HELD_BYTES

    def _read_on(self) -> list[tuple[list[Difference], T]]:
        reading, self._reading = self._reading, None
        if reading:
            reading.result()
            for group in self._groups:
                group.judge(self._compared)
        finished = [group for group in self._groups if not group.suspects]
        self._groups = [group for group in self._groups if group.suspects]
        if any(group.readings for group in self._groups):
            self._fence()
        if self._groups:
            suspects = [some for group in self._groups for some in group.suspects]
            self._reading = self._pool.submit(_read, *self._sessions, suspects)
            for group in self._groups:
                group.readings += 1
        return [(list(group.verdicts.values()), group.tag) for group in finished]


class _Group(t.Generic[T]):
    """Suspects that were begun with together, and what of them is confirmed."""

    def __init__(self, sessions: tuple[Session, Session], table: Table, keys: t.Sequence[Row], tag: T) -> None:
        self.tag = tag
        self.suspects = [_Suspects(*sessions, table, some) for some in _portions(table, keys)]
        self.readings = 0
        self.verdicts: dict[Row, Difference] = {}
        self._table = table
        self._space = KeySpace(table, t.cast(t.Any, table.key))

    def judge(self, compared: Compared | None) -> None:
        """Take note of the last reading, if there was one. Raises Undecided."""
        if not self.readings:
            return
        for some in self.suspects:
            if self.readings > 1:
                for copies in some.take_stable():
                    difference = _difference(self._space, copies)
                    self.verdicts[difference.key] = difference
            some.drop_equal(compared)
        self.suspects = [some for some in self.suspects if some.copies]
        if self.suspects and self.readings > _MAX_READINGS:
            raise Undecided(
                "rows_keep_changing",
                f"{self._table.name}: {sum(len(some.copies) for some in self.suspects)} suspected rows kept changing over"
                f" {_MAX_READINGS} readings.",
                "Run again at a quieter time.",
            )


class _Suspects:
    """Some suspected rows: ``copies`` are what both servers had at the last reading, by key."""

    def __init__(self, source: Session, target: Session, table: Table, keys: t.Sequence[Row]) -> None:
        self._sessions = (source, target)
        self._table = table
        self.copies: dict[Row, _Copies | None] = dict.fromkeys(keys)
        # How many drained readings in a row each stayed as it was before.
        self._stable = dict.fromkeys(keys, 0)
        self.questions = self._ask_for(keys)
        self._changed = True
        #: Of both servers' rows, as they came at the last reading.
        self.bytes = 0

    def heard(self) -> None:
        """Both servers have answered the questions."""
        self.bytes = sum(len(question.answer.whole) for question in self.questions if question.answer)
        self._changed = not all(question.unchanged for question in self.questions)
        if not self._changed:
            self._stable = {key: readings + 1 for key, readings in self._stable.items()}
            return
        before = self.copies
        ours, theirs = (question.rows().get for question in self.questions)
        self.copies = {key: (ours(key), theirs(key)) for key in before}
        # What differed and is as it was differs.
        self._stable = {key: self._stable[key] + 1 if copies == before[key] else 0 for key, copies in self.copies.items()}

    def drop_equal(self, compared: Compared | None) -> None:
        """Look on at those alone whose copies differ."""
        if not self._changed:
            return
        self._keep([key for key, copies in self.copies.items() if _differ(self._table, t.cast(_Copies, copies), compared)])

    def take_stable(self) -> list[_Copies]:
        """The copies that stayed as they are long enough; they are looked at no more."""
        stable = [self.copies[key] for key, readings in self._stable.items() if readings >= _STABLE_READINGS]
        self._keep([key for key, readings in self._stable.items() if readings < _STABLE_READINGS])
        return t.cast("list[_Copies]", stable)

    def _keep(self, keys: list[Row]) -> None:
        if len(keys) < len(self.copies):
            self.copies = {key: self.copies[key] for key in keys}
            self._stable = {key: self._stable[key] for key in keys}
            self.questions = self._ask_for(keys) if keys else ()

    def _ask_for(self, keys: t.Sequence[Row]) -> tuple[_Question, ...]:
        return tuple(_Question(session, self._table, keys) for session in self._sessions)


def _read(source: Session, target: Session, suspects: t.Sequence[_Suspects]) -> None:
    """Read both copies of all of them, on both servers at once. Raises ServerError."""
    sides = {id(session): side for side, session in enumerate((source, target))}
    at_once(source, target, lambda session: _ask(session, [some.questions[sides[id(session)]] for some in suspects]))
    for some in suspects:
        some.heard()


def _differ(table: Table, copies: _Copies, compared: Compared | None) -> bool:
    ours, theirs = copies
    if ours is None or theirs is None or compared is None:
        return ours != theirs
    return compared.differ(table, ours, theirs)


def _difference(space: KeySpace, copies: _Copies) -> Difference:
    ours, theirs = copies
    if ours is None:
        return Difference(EXTRA, space.key_of(t.cast(Row, theirs)), None, theirs)
    return Difference(MISSING if theirs is None else DIFFERENT, space.key_of(ours), ours, theirs)
