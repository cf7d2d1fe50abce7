# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text of the statements that put rows right; recipes.py tells which is for which row.

They mean the same on every server that replays them. The session's sql_mode, character set and checks travel with each
statement in the binary log, literals hold nothing that a mode could alter (sqltext.py), generated columns are left to
the server. The time zone travels only with a statement that is seen to use it, see ``_TIME_ZONE_USED``.
"""

from __future__ import annotations

import itertools
import sys
import typing as t

from . import codec, sqltext
from .confirm import EXTRA, Difference
from .errors import TableProblem
from .keyspace import KeySpace
from .multiset import Rows
from .recipes import PLAIN, REPLACE, ROW, UPDATE, Recipe
from .schema import Column, Key, Table
from .session import Row, Session
from .spool import Differences, in_batches, row_bytes

#: Bytes of one statement, typically; a single row may be larger, up to ``max_allowed_packet``. Few enough that the server
#: is at one while the next is written.
STATEMENT_BYTES = 1 << 17

# Rows whose literals are written at once.
_ROWS_AT_ONCE = 250

# A server logs the time zone only with a statement that used it, else the applier works with the zone of whatever it
# replayed before. Storing into a TIMESTAMP column counts (so the shadow keeps that type), comparing with one does
# not always (measured on MariaDB 10.11); this function does, everywhere, and costs nothing.
_TIME_ZONE_USED = " AND FROM_UNIXTIME(1) IS NOT NULL"


def written_columns(table: Table) -> tuple[Column, ...]:
    """The columns that a statement may give a value to."""
    return tuple(column for column in table.columns if not column.generated)


def replaces(table: Table, rows: t.Iterable[Row], packet: int) -> t.Iterator[str]:
    """REPLACE statements for rows of all stored columns.

    ``packet``: largest statement in bytes that every server on the way takes. Raises TableProblem ``row_too_large``.
    """
    head = _head("REPLACE", table, sqltext.quote_name(table.name.table))
    return _bounded(table, head, _all_values(table, rows), ", ", "", packet)


def inserts(table: Table, rows: t.Iterable[Row], packet: int, ignore: bool = False) -> t.Iterator[str]:
    """INSERT statements for rows of all stored columns; ``packet`` and errors as for replaces().

    ``ignore``: rows that meet a duplicate key are passed over in silence.
    """
    head = _head("INSERT IGNORE" if ignore else "INSERT", table, sqltext.quote_name(table.name.table))
    return _bounded(table, head, _all_values(table, rows), ", ", "", packet)


def updates(table: Table, rows: t.Iterable[tuple[Row, Row]], packet: int) -> t.Iterator[str]:
    """UPDATE IGNORE statements for (key, row), all columns set; ``packet`` and errors as for replaces()."""
    head = f"UPDATE IGNORE {sqltext.quote_name(table.name.table)} SET "
    return itertools.chain.from_iterable(
        _bounded(table, head, [_assignments(table, key, row)], "", "", packet) for key, row in rows
    )


def adopting_insert(table: Table, row: Row, packet: int | None = None) -> str:
    """INSERT IGNORE of one row that the target has, for the source (adopt.py); ``packet`` and errors as for replaces()."""
    return _one(table, _head("INSERT IGNORE", table, table.name.sql), _values(table, row), packet)


def adopting_update(table: Table, key: Row, row: Row, guard: tuple[Column, bytes | None], packet: int | None = None) -> str:
    """UPDATE IGNORE to a row that the target has, where ``guard`` still has the source's value; else as adopting_insert()."""
    condition = codec.equals(*guard)
    return _one(table, f"UPDATE IGNORE {table.name.sql} SET ", f"{_assignments(table, key, row)} AND {condition}", packet)


def deletes_of_equal(table: Table, digests: t.Iterable[bytes], packet: int) -> t.Iterator[str]:
    """DELETE statements for all rows whose bytes in all columns have these digests; ``packet`` as for replaces()."""
    head = f"DELETE FROM {sqltext.quote_name(table.name.table)} WHERE {_digest(table)} IN ("
    tail = f"){_zone(table.stored_columns)}"
    return _bounded(table, head, (sqltext.hex_literal(digest) for digest in digests), ", ", tail, packet)


def deletes(table: Table, keys: t.Iterable[Row], packet: int) -> t.Iterator[str]:
    """DELETE statements for keys. ``packet`` as for replaces(). Raises TableProblem ``row_too_large``."""
    space = KeySpace(table, _key(table))
    head = f"DELETE FROM {sqltext.quote_name(table.name.table)} WHERE "
    tail = _zone(space.columns)
    if len(space.columns) == 1:
        (column,) = space.columns
        literals = codec.literals(column, [key[0] for key in keys])
        return _bounded(table, f"{head}{column.sql} IN (", literals, ", ", f"){tail}", packet)
    return _bounded(table, f"{head}(", (space.any_of([key]) for key in keys), " OR ", f"){tail}", packet)


def deletes_of(table: Table, conditions: t.Iterable[str], packet: int) -> t.Iterator[str]:
    """DELETE statements for the rows of conditions; ``packet`` and errors as for replaces()."""
    head = f"DELETE FROM {sqltext.quote_name(table.name.table)} WHERE ("
    return _bounded(table, head, conditions, " OR ", f"){_zone(table.columns)}", packet)


def preview(table: Table, changes: t.Iterable[Difference], limit: int, recipe: Recipe = PLAIN) -> tuple[str, ...]:
    """The first ``limit`` statements for a person, one a row, with the table's full name."""
    return tuple(itertools.islice(itertools.chain.from_iterable(_preview(table, change, recipe) for change in changes), limit))


def _preview(table: Table, change: Difference, recipe: Recipe) -> t.Iterator[str]:
    name = table.name.sql
    if table.key is None:
        yield f"DELETE FROM {name} WHERE {_digest(table)} = {sqltext.hex_literal(change.digest)}"
        yield from itertools.repeat(_head("REPLACE", table, name) + _values(table, change.key), change.source_copies)
    elif recipe == ROW:
        remove = f"DELETE FROM {name} WHERE {KeySpace(table, table.key).any_of([change.key])}"
        if change.source:
            yield from (remove, _head("INSERT", table, name) + _values(table, change.source))
        elif change.target:
            yield from (_head("INSERT", table, name) + _values(table, change.target), remove)
    elif change.kind == EXTRA or change.source is None:
        yield f"DELETE FROM {name} WHERE {KeySpace(table, table.key).any_of([change.key])}"
    elif recipe.verb(change.kind) == UPDATE:
        yield f"{UPDATE} {name} SET {_assignments(table, change.key, change.source)}"
    else:
        yield _head(recipe.verb(change.kind) or REPLACE, table, name) + _values(table, change.source)


def refuse_too_large(table: Table, changes: Differences, packet: int) -> None:
    """Raise TableProblem ``row_too_large`` when a row of the plan fits into no statement."""
    # Hex doubles a value; shorter rows cannot come near the limit.
    limit = packet // 4
    for change in changes if changes.largest > limit else ():
        if change.source and row_bytes(change.source) > limit:
            list(replaces(table, [change.source], packet))


def is_timestamp(column: Column) -> bool:
    """Whether the column's values are converted between UTC and the session's time zone."""
    return column.data_type == "timestamp"


def be_logged(session: Session) -> None:
    """Make sure that what a session writes is logged, whatever the server's init_connect says. Raises ServerError."""
    if session.scalar("SELECT @@SESSION.sql_log_bin") == "0":
        session.execute("SET SESSION sql_log_bin = 1")


def largest_packet(*sessions: Session) -> int:
    """Bytes of the largest statement that all these servers take, from a client and from their own appliers."""
    names = ("max_allowed_packet", "replica_max_allowed_packet", "slave_max_allowed_packet")
    return min(int(value) for session in sessions for value in session.variables(names).values() if value)


def _key(table: Table) -> Key:
    if table.key is None:
        raise TableProblem("no_key", f"{table.name} has no key that tells its rows apart.", "Add a primary key.")
    return table.key


def _head(verb: str, table: Table, name: str) -> str:
    return f"{verb} INTO {name} ({sqltext.quote_names(column.name for column in written_columns(table))}) VALUES "


def _assignments(table: Table, key: Row, row: Row) -> str:
    """What follows SET. The key is set too: it may be spelt otherwise."""
    pairs = [f"{column.sql} = {codec.literal(column, value)}" for column, value in _written(table, row)]
    return f"{', '.join(pairs)} WHERE {KeySpace(table, _key(table)).any_of([key])}{_zone(table.stored_columns)}"


def _digest(table: Table) -> str:
    return Rows(table, table.stored_columns).digest


def _zone(columns: t.Iterable[Column]) -> str:
    return _TIME_ZONE_USED if any(is_timestamp(column) for column in columns) else ""


def _values(table: Table, row: Row) -> str:
    (values,) = _all_values(table, [row])
    return values


def _all_values(table: Table, rows: t.Iterable[Row]) -> t.Iterator[str]:
    """What follows VALUES for each row, written column by column: far cheaper than row by row."""
    for some in in_batches(rows, _ROWS_AT_ONCE):
        pairs = zip(table.stored_columns, zip(*some))
        written = [codec.literals(column, values) for column, values in pairs if not column.generated]
        for values in zip(*written):
            yield f"({', '.join(values)})"


def _written(table: Table, row: Row) -> t.Iterator[tuple[Column, bytes | None]]:
    return (pair for pair in zip(table.stored_columns, row) if not pair[0].generated)


def _one(table: Table, head: str, item: str, packet: int | None) -> str:
    return next(_bounded(table, head, [item], "", "", packet or sys.maxsize))


def _bounded(table: Table, head: str, items: t.Iterable[str], glue: str, tail: str, packet: int) -> t.Iterator[str]:
    """Join items to statements of bounded size. All text written here is counted in characters: it is ASCII but for names."""
    frame = len((head + tail).encode("utf-8")) + 1  # and the command byte
    batch: list[str] = []
    size = 0
    for item in items:
        if frame + len(item) > packet:
            raise TableProblem(
                "row_too_large",
                f"{table.name}: a row needs a statement of {frame + len(item)} bytes, the servers take {packet}.",
                "Raise max_allowed_packet on both servers, or leave the table out with ignore_tables.",
            )
        if batch and frame + size + len(item) > min(packet, STATEMENT_BYTES):
            yield head + glue.join(batch) + tail
            batch, size = [], 0
        batch.append(item)
        size += len(item) + len(glue)
    if batch:
        yield head + glue.join(batch) + tail
