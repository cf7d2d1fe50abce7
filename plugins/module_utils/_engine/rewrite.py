# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The statements that put rows right: REPLACE for rows the source has, DELETE by key for rows it has not.

They mean the same on every server that replays them. The session's sql_mode, character set and checks travel with each
statement in the binary log, literals hold nothing that a mode could alter (sqltext.py), generated columns are left to
the server. The time zone travels only with a statement that is seen to use it, see ``_TIME_ZONE_USED``.
"""

from __future__ import annotations

import typing as t

from . import codec, sqltext
from .confirm import EXTRA, Difference
from .errors import TableProblem
from .keyspace import KeySpace
from .schema import Column, Key, Table
from .session import Row, Session

#: Bytes of one statement, typically; a single row may be larger, up to ``max_allowed_packet``.
STATEMENT_BYTES = 1 << 20

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
    return _bounded(table, head, (_values(table, row) for row in rows), ", ", "", packet)


def inserts(table: Table, rows: t.Iterable[Row], packet: int) -> t.Iterator[str]:
    """INSERT statements for rows of all stored columns; ``packet`` and errors as for replaces()."""
    head = _head("INSERT", table, sqltext.quote_name(table.name.table))
    return _bounded(table, head, (_values(table, row) for row in rows), ", ", "", packet)


def deletes(table: Table, keys: t.Iterable[Row], packet: int) -> t.Iterator[str]:
    """DELETE statements for keys. ``packet`` as for replaces(). Raises TableProblem ``row_too_large``."""
    space = KeySpace(table, _key(table))
    head = f"DELETE FROM {sqltext.quote_name(table.name.table)} WHERE "
    tail = _TIME_ZONE_USED if any(is_timestamp(column) for column in space.columns) else ""
    if len(space.columns) == 1:
        (column,) = space.columns
        literals = (codec.literal(column, key[0]) for key in keys)
        return _bounded(table, f"{head}{column.sql} IN (", literals, ", ", f"){tail}", packet)
    return _bounded(table, f"{head}(", (space.any_of([key]) for key in keys), " OR ", f"){tail}", packet)


def preview(table: Table, changes: t.Iterable[Difference], limit: int) -> tuple[str, ...]:
    """The first ``limit`` changes as statements for a person, one a row, with the table's full name."""
    space = KeySpace(table, _key(table))
    head = _head("REPLACE", table, table.name.sql)
    shown: list[str] = []
    for change in changes:
        if len(shown) == limit:
            break
        if change.kind == EXTRA or change.source is None:
            shown.append(f"DELETE FROM {table.name.sql} WHERE {space.any_of([change.key])}")
        else:
            shown.append(head + _values(table, change.source))
    return tuple(shown)


def refuse_too_large(table: Table, changes: t.Iterable[Difference], packet: int) -> None:
    """Raise TableProblem ``row_too_large`` when a row of the plan fits into no statement."""
    for change in changes:
        # Hex doubles a value; shorter rows cannot come near the limit.
        if change.source and 2 * sum(len(value) for value in change.source if value) > packet // 2:
            list(replaces(table, [change.source], packet))


def is_timestamp(column: Column) -> bool:
    """Whether the column's values are converted between UTC and the session's time zone."""
    return column.data_type == "timestamp"


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


def _values(table: Table, row: Row) -> str:
    pairs = zip(table.stored_columns, row)
    return "({})".format(", ".join([codec.literal(column, value) for column, value in pairs if not column.generated]))


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
