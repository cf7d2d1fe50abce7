# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A row as one unambiguous string, and a set of rows as one number.

The string of a row is ``NULL map , lengths of text and binary values , values``. It can be read
back in only one way (the NULL map says which values follow, the lengths where each ends; numbers
and dates hold no comma, floats have a fixed length), so two different rows never give the same
string (law 6).

Each row's string goes through SHA-256; rows are combined by XOR of 64 bits of it (128 on MySQL, whose
BIT_XOR takes binary strings). SHA-256 is not linear, so equal edits in an even number of rows, swapped
values and the like do not cancel (law 7), as they do with CRC32.

The bound: rows of a table with a key are all different, so are their strings, so their digests are as good as
independent and uniform. The rows that differ between the servers leave the XOR of at least one digest; it is 0, and
the difference missed, with probability 2**-64 (2**-128 on MySQL) for each set of rows combined: a strip, a bucket, a
chunk. Sets of different size differ anyway, by their count. A check of 2**30 strips that all differ would miss
one of them with probability 2**-34. This holds for drift, which does not know the hash; it is no defence against
somebody who chooses rows to deceive.

What was measured, as shares of a full scan (MariaDB 10.11, MySQL 9.7): the string 38 and 67 %, SHA-256 30 and 18 %, making
a number of it 20 % on MariaDB. SHA-224 costs the same, SHA-512 more, MD5 half as much again on MariaDB and is gone
from MySQL 9. CRC32 costs next to nothing, but it is 32 bits and linear, and no second independent value can be had
without making the string again.
https://dev.mysql.com/doc/refman/8.4/en/encryption-functions.html#function_sha2
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from . import codec, sqltext, wire
from .dialect import Dialect
from .errors import TableProblem
from .keyspace import KeyRange, KeySpace
from .options import Selection
from .schema import Column, Table
from .session import Row, Session

# Types whose values may exceed 64 KiB are digested one by one, so that a row's string stays far
# below max_allowed_packet (a longer one would silently become NULL).
_LARGE = frozenset({"mediumtext", "longtext", "mediumblob", "longblob", "json", "vector", *codec.SHAPES})
_LARGE_KINDS_LIMIT = 8  # more TEXT / BLOB columns (64 KiB each) than this, and they are digested too
_MEDIUM = frozenset({"text", "blob"})

# Bytes: a max_allowed_packet for any row's string; what TEXT or BLOB may have; what all other columns may have together.
_ENOUGH = 1 << 20
_MEDIUM_BYTES = 1 << 16
_REST = 1 << 17

# What a row is of which no column is compared.
_NOTHING = "''"

# As strong as a column's own collation (a literal is not), so that no server converts character sets.
_SEPARATOR = "CAST(',' AS BINARY)"


@dataclass(frozen=True)
class BucketSum:
    """The rows of one bucket on one server: how many, and their combined fingerprint."""

    rows: int
    digest: bytes


@dataclass(frozen=True)
class Fingerprint:
    """How the rows of one table are fingerprinted so that both servers give the same for the same rows."""

    space: KeySpace
    columns: tuple[Column, ...]
    wide: bool  # 128 instead of 64 bits
    where: str | None = None
    float_precision: int | None = None

    def scan(self, session: Session, span: KeyRange, buckets: int) -> dict[int, BucketSum]:
        """Count and combine the rows of a range, bucket by bucket, in one pass.

        Rows are spread over ``buckets`` by their key. Raises ServerError.
        """
        rows = session.rows(
            f"SELECT {self._bucket(buckets)}, COUNT(*), {self._combined}"
            f" FROM {self.space.rows_of(span)} WHERE {self._condition(span)}" + (" GROUP BY 1" if buckets > 1 else "")
        )
        return {int(bucket or 0): BucketSum(int(count or 0), digest or b"") for bucket, count, digest in rows if count != b"0"}

    def strips(self, session: Session, spans: t.Sequence[KeyRange]) -> list[BucketSum]:
        """Count and combine the rows of several ranges in one statement, so that all are of one instant. Raises ServerError."""
        found = dict.fromkeys(range(len(spans)), BucketSum(0, b""))
        for place, rows, digest in session.rows(
            " UNION ALL ".join(
                f"SELECT {place}, COUNT(*), {self._combined} FROM {self.space.rows_of(span)} WHERE {self._condition(span)}"
                for place, span in enumerate(spans)
            )
        ):
            if rows != b"0":
                found[int(place or 0)] = BucketSum(int(rows or 0), digest or b"")
        return list(found.values())

    @property
    def statement_bytes(self) -> int:
        """About how long the part of a statement is that reads one strip."""
        return len(self._combined) + len(self._condition(KeyRange())) + 2 * len(self.space.table.name.sql)

    def rows_of_strips(
        self, session: Session, spans: t.Sequence[KeyRange], keys_only: t.Container[int] = ()
    ) -> list[list[bytes]]:
        """Every row of several ranges as ``fingerprint:key``, of which KeySpace.parsed() gives the key. Raises ServerError.

        ``keys_only``: places of the ranges whose rows come as ``:key``, without a fingerprint, which costs most of the rest.
        The rows of a range come as one value: to take it apart costs a fraction of what the driver needs for as many rows.
        """
        key = self.space.written
        if not spans or key is None:
            return [self._one_by_one(session, span) for span in spans]
        found: list[list[bytes]] = [[] for _span in spans]
        with_digest = f"LEFT({self._row_digest}, 32), "
        for place, rows, values in session.rows(
            " UNION ALL ".join(
                f"SELECT {place}, COUNT(*), GROUP_CONCAT({'' if place in keys_only else with_digest}':', {key}, ';' SEPARATOR '')"
                f" FROM {self.space.rows_of(span)} WHERE {self._condition(span)}"
                for place, span in enumerate(spans)
            )
        ):
            number = int(place or 0)
            *pairs, rest = (values or b"").split(b";")
            # If they end in the midst of one, they were cut short at the server's max_allowed_packet.
            whole = not rest and len(pairs) == int(rows or 0)
            found[number] = pairs if whole else self._one_by_one(session, spans[number])
        return found

    def _one_by_one(self, session: Session, span: KeyRange) -> list[bytes]:
        rows = self.rows(session, span, 1, frozenset())
        return [digest.hex().encode() + b":" + self.space.as_written(key) for key, digest in rows.items()]

    def rows(self, session: Session, span: KeyRange, buckets: int, chosen: frozenset[int]) -> dict[Row, bytes]:
        """The fingerprint of each row of a range that falls into the chosen buckets, by key. Raises ServerError."""
        conditions = [self._condition(span)]
        if buckets > 1:
            conditions.append(f"{self._bucket(buckets)} IN ({', '.join(map(str, sorted(chosen)))})")
        found = session.rows(
            f"SELECT {self.space.read_list}, {self._row_hash} FROM {self.space.rows_of(span)}"
            f" WHERE {sqltext.conjunction(conditions)}"
        )
        return {row[:-1]: row[-1] or b"" for row in found}

    def of(self, session: Session, groups: t.Iterable[t.Sequence[Row]]) -> list[BucketSum]:
        """Count and combine the rows with these keys, and perhaps some between them, group by group. Raises ServerError."""
        head = f"SELECT COUNT(*), {self._combined} FROM {self.space.rows_in_order} WHERE "
        answers: list[wire.Answer] = []
        session.ask((head + self.space.near(keys) for keys in groups), answers.append)
        rows = (session.rows_of(answer)[0] for answer in answers)
        return [BucketSum(int(count or 0), digest or b"") for count, digest in rows]

    def _condition(self, span: KeyRange) -> str:
        within = self.space.within(span)
        return f"{within} AND {sqltext.bracketed(self.where)}" if self.where else within

    def _bucket(self, buckets: int) -> str:
        if buckets <= 1:
            return "0"
        columns = self.space.columns
        if len(columns) == 1 and columns[0].is_integer:
            # A key below zero leaves a remainder below zero; of the remainder, for there is no ABS of the lowest BIGINT.
            return f"ABS({columns[0].sql} MOD {buckets})"
        return f"CRC32({joined(columns)}) MOD {buckets}"

    @property
    def _combined(self) -> str:
        if self.wide:
            return f"BIT_XOR({self._row_hash})"
        return f"BIT_XOR(CAST(CONV(LEFT({self._row_digest}, 16), 16, 10) AS UNSIGNED))"

    @property
    def _row_hash(self) -> str:
        return f"UNHEX(LEFT({self._row_digest}, 32))"

    @property
    def _row_digest(self) -> str:
        return f"SHA2({joined(self.columns, self.float_precision)}, 256)"


def choose(
    space: KeySpace, source: Dialect, target: Dialect, wanted: Selection, ignored: frozenset[str] = frozenset()
) -> Fingerprint:
    """Choose what both servers can do. ``ignored``: column names left out (never those of the key).

    Raises TableProblem for a column type that cannot be compared.
    """
    columns = compared_columns(space.table, ignored - set(space.key.columns))
    both_mysql = not source.is_mariadb and not target.is_mariadb
    wide = both_mysql and min(source.version, target.version) >= (8, 0, 0)
    return Fingerprint(space, columns, wide, wanted.where, wanted.float_precision)


def compared_columns(table: Table, ignored: frozenset[str]) -> tuple[Column, ...]:
    """The columns that are compared. Raises TableProblem for a type that cannot be."""
    columns = tuple(column for column in table.stored_columns if column.name not in ignored)
    for column in columns:
        codec.kind(column)
    return columns


def refuse_too_long(table: Table, packet: int) -> None:
    """Refuse a table whose rows may have strings above max_allowed_packet (bytes): NULL, and as good as not there.

    1 MiB is always enough: 8 columns of 64 KiB, a row of 64 KiB besides, digests and lengths. Raises TableProblem.
    """
    if packet >= _ENOUGH:
        return
    rest = _REST + sum(_MEDIUM_BYTES for column in table.stored_columns if column.data_type in _MEDIUM)
    if rest > packet:
        raise TableProblem(
            "row_too_large",
            f"{table.name} may have rows that cannot be compared with max_allowed_packet = {packet}.",
            "Raise max_allowed_packet to 1M or more on both servers.",
        )


def joined(columns: tuple[Column, ...], float_precision: int | None = None) -> str:
    """SQL for a row's string; binary, so that the server converts no character set."""
    medium = sum(column.data_type in _MEDIUM for column in columns)
    large = _LARGE | (_MEDIUM if medium > _LARGE_KINDS_LIMIT else frozenset())
    nulls = [f"ISNULL({column.sql})" for column in columns if column.nullable]
    lengths = [
        f"LENGTH({column.sql})" for column in columns if codec.is_variable_length(column) and column.data_type not in large
    ]
    values = [f"SHA2({column.sql}, 256)" if column.data_type in large else _value(column, float_precision) for column in columns]
    return f"CONCAT_WS({_SEPARATOR}, {', '.join([*nulls, *lengths, *values]) or _NOTHING})"


def _value(column: Column, float_precision: int | None) -> str:
    if codec.kind(column) is not codec.Kind.FLOAT:
        return codec.read_expression(column)
    if float_precision is not None:
        return f"ROUND({codec.read_expression(column)}, {float_precision})"
    # A point's binary form holds the bits of its coordinates: exact, of fixed length, and much cheaper
    # than printing a double in decimal.
    return f"POINT({column.sql}, 0)"
