# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Put the target's old rows of a journal back, on both servers, by real writes on the source.

Unlike a repair this changes the source, because the user asked for it. So every row is locked there, must still be
what the journaled run made of it, on both servers, and is read again before COMMIT: one byte other than intended and the
transaction is rolled back. Foreign keys are not checked, so nothing cascades; tables with triggers are refused.
"""

from __future__ import annotations

import typing as t
from contextlib import suppress
from dataclasses import dataclass, field, replace

from .. import arrival, journal, present, rewrite, schema, sqltext
from ..collisions import Collisions
from ..confirm import DIFFERENT, EXTRA, MISSING, Difference, read_rows
from ..errors import AccessDenied, LostConnection, Refusal, ReplError, ServerError
from ..fence import check_links, fence_both
from ..journal import Entry, Journal, JournaledTable
from ..options import Repair, Servers
from ..plan import TablePlan, check_caps
from ..progress import UNDO, Listener, Meter, nobody
from ..report import Changes, DiffBlock
from ..schema import Table, TableName
from ..session import Row, Session
from ..spool import Differences, in_batches
from ..topology import OpenPair, Pair, open_pair
from . import info
from .sync import journal_header, only_run

# Seconds; the application goes first.
_LOCK_WAIT = 1

_CHANGED_SINCE = "changed_since"


@dataclass(frozen=True)
class RefusedRow:
    """A row that was not put back.

    ``reason`` is a stable code: changed_since, unique_collision, schema_changed, triggers, not_undone.
    """

    table: str
    key: str
    reason: str
    message: str


@dataclass(frozen=True)
class UndoReport:
    """What was put back, or would be without ``apply``. ``verified``: seen on both servers, replication drained."""

    changed: bool = False
    changes: Changes = field(default_factory=Changes)
    refused: tuple[RefusedRow, ...] = ()
    undo_file: str | None = None
    verified: bool = False
    diff: tuple[DiffBlock, ...] = ()
    failed: bool = False
    message: str | None = None


def run(
    servers: Servers,
    undo_file: str,
    max_changes: int = 10000,
    max_deletes: int = 1000,
    batch_rows: int = 500,
    undo_dir: str = "",
    apply: bool = True,
    listener: Listener = nobody,
) -> UndoReport:
    """Plan, and with ``apply`` put the old rows back, drain and verify.

    A row whose target copy is the old one already needs nothing. Raises ReplError before anything is changed:
    ``journal_unreadable``, ``other_pair``, ``max_changes``, ``max_deletes``, ``missing_grant``, ``source_read_only``, and
    what preflight, fences and the ``listener`` raise. Later trouble is in the report, which then says ``failed``.
    """
    old = journal.read(undo_file)
    limits = Repair(max_changes=max_changes, max_deletes=max_deletes, batch_rows=batch_rows, undo_dir=undo_dir)
    with open_pair(servers) as connections:
        databases = tuple(sorted({table.name.database for table in old.tables.values()}))
        pair, _hazards = info.preflight(connections.source, connections.target, servers, False, databases)
        _refuse_other_pair(old, pair)
        with only_run(connections.source, pair):
            undo = _Undo(connections, pair, servers.fence_timeout, limits, Meter(listener))
            undo.plan(old)
            check_caps(undo.plans, limits)
            if apply and undo.plans:
                undo.apply()
            return undo.report(apply)


class _Undo:
    """One run."""

    def __init__(self, connections: OpenPair, pair: Pair, fence_timeout: float, limits: Repair, meter: Meter) -> None:
        self._connections = connections
        self._source, self._target = connections.source, connections.target
        self._pair = pair
        self._fence_timeout = fence_timeout
        self._limits = limits
        self._meter = meter
        self.plans: list[TablePlan] = []
        self._refused: list[RefusedRow] = []
        self._done = Changes()
        self._unverified = 0
        self._undo_file: str | None = None
        self._stopped: ReplError | None = None

    def report(self, apply: bool) -> UndoReport:
        """Sum up."""
        planned = sum((plan.counts for plan in self.plans), Changes())
        changes = replace(self._done if apply else planned, skipped=len(self._refused))
        problems = [str(self._stopped)] if self._stopped else []
        if self._refused:
            first = self._refused[0]
            problems.append(f"{len(self._refused)} rows were not put back; first: {first.table} {first.key}: {first.message}")
        if self._unverified:
            problems.append(f"{self._unverified} rows were put back on the source but have not arrived on the target.")
        return UndoReport(
            changed=changes.total > 0,
            changes=changes,
            refused=tuple(self._refused),
            undo_file=self._undo_file,
            verified=apply and not problems,
            diff=tuple(self._diff(plan) for plan in self.plans),
            failed=bool(problems),
            message=" ".join(problems) or None,
        )

    def _diff(self, plan: TablePlan) -> DiffBlock:
        block = present.diff(plan.table, plan.changes, self._pair.source.name, self._pair.target.name)
        return replace(
            block,
            before_header=f"{plan.table.name} on both servers",
            after_header=f"{plan.table.name} as it was on {self._pair.target.name}",
        )

    def _fence(self) -> None:
        fence_both(self._source, self._target, self._pair, self._fence_timeout, self._meter.draining)

    def plan(self, old: Journal) -> None:
        """Find out which rows can be put back. Stops counting one beyond ``max_changes``."""
        databases = sorted({table.name.database for table in old.tables.values()})
        ours, theirs = (schema.read_tables(session, databases) for session in (self._source, self._target))
        self._fence()
        for described, entries in _by_table(old.entries()):
            table, problem = _usable(described, ours, theirs)
            if table is None:
                code, message = problem
                self._refused += [RefusedRow(str(described.name), _shown(entry), code, message) for entry in entries]
                continue
            changes = Differences()
            for some in in_batches(entries, self._limits.batch_rows):
                self._meter.hold()
                for change in self._look(table, some):
                    changes.append(change)
            if changes:
                self.plans.append(TablePlan(table, changes))
            if sum(plan.counts.total for plan in self.plans) > self._limits.max_changes:
                return

    def _look(self, table: Table, entries: t.Sequence[Entry]) -> list[Difference]:
        keys = [entry.key for entry in entries]
        ours, theirs = (read_rows(session, table, keys) for session in (self._source, self._target))
        changes = []
        for entry in entries:
            if (ours if entry.on_source else theirs).get(entry.key) == entry.before:
                continue  # never changed, or put back already
            if ours.get(entry.key) == theirs.get(entry.key) == entry.after:
                changes.append(_back(entry))
            else:
                self._refuse(table, entry.key, _CHANGED_SINCE, "the row is no more what the journaled run made of it")
        return changes

    def _refuse(self, table: Table, key: Row, code: str, message: str) -> None:
        self._refused.append(RefusedRow(str(table.name), present.key_text(table, key), code, message))

    def apply(self) -> None:
        """Put the rows back, journaled, batch after batch."""
        if self._pair.source.read_only:
            raise Refusal(
                "source_read_only",
                f"{self._pair.source.name} is read_only; an undo writes to it.",
                "Make it writable, or check which server is the authority.",
            )
        header = journal_header("undo", self._pair, self._connections)
        with journal.create(self._limits.undo_dir, header) as writer, self._connections.new_source() as session:
            self._undo_file = writer.path
            _prepare(session)
            self._meter.begin(UNDO, len(self.plans), sum(len(plan.changes) for plan in self.plans))
            try:
                for plan in self.plans:
                    self._meter.table(plan.table.name, len(plan.changes))
                    self._apply_table(plan, writer, session)
            except ReplError as exc:
                problem = _missing_grant(session, exc) if isinstance(exc, AccessDenied) else exc
                if not self._done.total:
                    raise problem from exc
                self._stopped = problem

    def _apply_table(self, plan: TablePlan, writer: journal.Writer, session: Session) -> None:
        table = plan.table
        packet = rewrite.largest_packet(session, self._target)
        rewrite.refuse_too_large(table, plan.changes, packet)
        work = _Work(table, session, packet, Collisions(session, session, table, plan.changes))
        ids = dict(zip((change.key for change in plan.changes), writer.plan(table, plan.changes)))
        session.execute(f"USE {sqltext.quote_name(table.name.database)}")
        put_off: list[Difference] = []
        done = 0
        for some in in_batches(plan.changes, self._limits.batch_rows):
            self._meter.reached(done)
            put_off += self._batch(work, some, writer, ids)
            done += len(some)
        # Together: rows that waited for one another's unique values, and were in different batches.
        for change in self._batch(work, put_off, writer, ids) if put_off else ():
            self._refuse(table, change.key, "not_undone", work.problems[change.key])

    def _batch(self, work: _Work, batch: t.Sequence[Difference], writer: journal.Writer, ids: dict[Row, int]) -> list[Difference]:
        """Write and verify some rows; returns those that the server did not take."""
        done, failed = self._write(work, batch)
        writer.committed([ids[change.key] for change in done])
        writer.flush()
        self._done += TablePlan(work.table, Differences(done)).counts
        self._verify(work.table, done, writer, ids)
        return failed

    def _write(self, work: _Work, batch: t.Sequence[Difference]) -> tuple[list[Difference], list[Difference]]:
        """Write a batch in one transaction; if that fails, row by row, so that a bad row costs only itself."""
        try:
            return self._transaction(work, batch), []
        except (LostConnection, AccessDenied):
            raise
        except (ServerError, _NotAsIntended) as exc:
            work.problems.update((change.key, str(exc)) for change in batch)
            if len(batch) == 1:
                return [], list(batch)
        parts = [self._write(work, [each]) for each in batch]
        return [change for done, _failed in parts for change in done], [change for _done, failed in parts for change in failed]

    def _transaction(self, work: _Work, batch: t.Sequence[Difference]) -> list[Difference]:
        table, session = work.table, work.session
        refused: list[tuple[Difference, str, str]] = []
        session.begin()
        try:
            ours = read_rows(session, table, [change.key for change in batch], "FOR UPDATE")
            there = [change for change in batch if ours.get(change.key) == change.target]
            changed = [change for change in batch if ours.get(change.key) != change.target]
            refused += [(change, _CHANGED_SINCE, "the row changed while the undo ran") for change in changed]
            new = [change for change in there if change.source]
            holders = work.collisions.find([t.cast(Row, change.source) for change in new])
            blocked = [new[place] for place in sorted(holders)]
            refused += [(change, "unique_collision", "another row has one of its unique values now") for change in blocked]
            in_the_way = {change.key for change in blocked}
            good = [change for change in there if change.key not in in_the_way]
            # All present rows go before the first old one comes, so that unique values may have been swapped.
            for statement in rewrite.deletes(table, [change.key for change in good if change.target], work.packet):
                session.execute(statement)
            for statement in rewrite.inserts(table, [change.source for change in good if change.source], work.packet):
                session.execute(statement)
            now = read_rows(session, table, [change.key for change in good])
            if any(now.get(change.key) != change.source for change in good):
                raise _NotAsIntended("the server did not store what was written")
            session.commit()
        except BaseException:
            with suppress(ServerError):
                session.roll_back()
            raise
        for change, code, message in refused:
            self._refuse(table, change.key, code, message)
        return good

    def _verify(self, table: Table, done: t.Sequence[Difference], writer: journal.Writer, ids: dict[Row, int]) -> None:
        wrong = arrival.wanting(self._source, self._target, table, [change.key for change in done], self._drain)
        writer.verified([ids[change.key] for change in done if change.key not in wrong])
        self._unverified += len(wrong)

    def _drain(self) -> None:
        arrival.drain(self._fence, lambda: check_links(self._source, self._target, self._pair))


@dataclass(frozen=True)
class _Work:
    """What writing one table takes. ``problems``: why the server did not take a row, by key."""

    table: Table
    session: Session
    packet: int
    collisions: Collisions
    problems: dict[Row, str] = field(default_factory=dict)


class _NotAsIntended(Exception):
    """What was read back before COMMIT is not what was to be written."""


def _back(entry: Entry) -> Difference:
    """The way back as a difference: ``target`` is what both servers have, ``source`` what they will have."""
    kind = EXTRA if entry.before is None else MISSING if entry.after is None else DIFFERENT
    return Difference(kind, entry.key, entry.before, entry.after)


def _by_table(entries: t.Iterable[Entry]) -> t.Iterator[tuple[JournaledTable, list[Entry]]]:
    found: dict[TableName, tuple[JournaledTable, list[Entry]]] = {}
    for entry in entries:
        found.setdefault(entry.table.name, (entry.table, []))[1].append(entry)
    return iter(found.values())


def _usable(
    described: JournaledTable, ours: dict[TableName, Table], theirs: dict[TableName, Table]
) -> tuple[Table | None, tuple[str, str]]:
    """The table if its rows can be put back, else None and why not."""
    table, target = ours.get(described.name), theirs.get(described.name)
    if table is None or target is None:
        return None, ("schema_changed", "the table is not on both servers any more")
    if table.key is None:
        return None, ("no_key", "the table has no key; the journal says which rows, how often, it had before")
    if journal.describe(table) != described or journal.describe(target) != described:
        return None, ("schema_changed", "the table is defined otherwise than when the journal was written")
    if table.triggers or target.triggers:
        return None, ("triggers", "the table has triggers, which would change other rows as well")
    if not table.is_transactional or table.is_versioned:
        return None, ("schema_changed", "the table cannot be changed in a transaction without a trace")
    return table, ("", "")


def _shown(entry: Entry) -> str:
    values = ("NULL" if value is None else value.decode("utf-8", "backslashreplace") for value in entry.key)
    return " | ".join(f"{name}={value}" for name, value in zip(entry.table.key, values))


def _missing_grant(session: Session, problem: AccessDenied) -> Refusal:
    return Refusal(
        "missing_grant",
        f"an undo writes to the real tables of {session.name}, which the account may not: {problem.message}.",
        "GRANT INSERT, DELETE on these tables to the account on the source, for the time of the undo.",
    )


def _prepare(session: Session) -> None:
    session.execute(f"SET SESSION foreign_key_checks = 0, SESSION innodb_lock_wait_timeout = {_LOCK_WAIT}")
    if session.dialect.is_mariadb:
        session.execute("SET SESSION check_constraint_checks = 0")


def _refuse_other_pair(old: Journal, pair: Pair) -> None:
    for role, identity, facts in (("source", old.header.source, pair.source), ("target", old.header.target, pair.target)):
        if (identity.server_id, identity.uuid) != (facts.server_id, facts.uuid):
            raise Refusal(
                "other_pair",
                f"the journal was written for the {role} {identity.address} (server_id {identity.server_id}"
                f"{f', uuid {identity.uuid}' if identity.uuid else ''}), but the {role} is now {facts.name}, {facts.identity}.",
                "Log in to the target of the run that wrote the journal.",
            )
