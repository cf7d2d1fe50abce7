# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tables: every row is a function of its number, so that both servers can make the same ones
by themselves, and any row can be spoilt and put right again.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sandbox import Server, Topology

DATABASE = "bench"
SCATTERED = 35
"""Rows that differ in a drifted table."""


@dataclass(frozen=True)
class Dataset:
    """Tables of one shape.

    *columns* maps each column to its definition and to its value as SQL on the row's number `n`;
    *change* is what an UPDATE sets in a row that is to differ.
    """

    name: str
    shape: str
    rows: int
    columns: dict[str, tuple[str, str]]
    key: tuple[str, ...]
    change: str
    tables: int = 1

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        many = f"{self.tables} tables of " if self.tables > 1 else ""
        return f"{many}{self.rows:,} rows, {self.shape}"

    @property
    def table_names(self) -> list[str]:
        """The tables, without their database."""
        return ["t"] if self.tables == 1 else [f"t{number:03}" for number in range(self.tables)]

    def quick(self) -> Dataset:
        """The same shape, small enough for a try-out."""
        tables = min(self.tables, 50)
        small = min(self.rows, 20_000)
        return Dataset(self.name, self.shape, small, self.columns, self.key, self.change, tables)

    def load(self, pair: Topology) -> None:
        """Make the tables on both servers at once, past replication."""
        statements = [
            f"DROP DATABASE IF EXISTS {DATABASE}",
            f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4",
        ]
        source = _numbers(pair.a.family, self.rows)
        statements += self._deep(pair.a.family)
        for table in self.table_names:
            statements.append(f"CREATE TABLE {self._sql(table)} ({self._definition})")
            statements.append(f"INSERT INTO {self._sql(table)} {self._select(source)}")
            statements.append(f"ANALYZE NO_WRITE_TO_BINLOG TABLE {self._sql(table)}")
        _on_both(pair, statements)

    def drop(self, pair: Topology) -> None:
        """Take the tables away again."""
        pair.wait(600)
        _on_both(pair, [f"DROP DATABASE {DATABASE}"])

    def spoil(self, server: Server, count: int = SCATTERED) -> None:
        """Make *count* rows of one server missing, extra or different, in turn, far apart."""
        server.execute(list(self._drift(count)), logged=False)

    def mend(self, server: Server, count: int = SCATTERED) -> None:
        """Undo `spoil` past replication."""
        statements = []
        for place, (table, number) in enumerate(self._places(count)):
            row = f"(SELECT {number} AS n) s"
            if place % 3 == 1:
                statements.append(f"DELETE FROM {self._sql(table)} WHERE {self._where(self.rows + number)}")
            else:
                statements.append(f"REPLACE INTO {self._sql(table)} {self._select(row)}")
        server.execute(statements, logged=False)

    def spoil_tenth(self, server: Server) -> None:
        """Make a tenth of the first table's rows missing, extra or different; needs a key `id`."""
        table, select = self._sql(self.table_names[0]), self._select(self._beyond(server.family))
        statements = [
            f"DELETE FROM {table} WHERE id MOD 30 = 0",
            f"UPDATE {table} SET {self.change} WHERE id MOD 30 = 10 AND id <= {self.rows}",
            *self._deep(server.family),
            f"INSERT INTO {table} {select}",
        ]
        server.execute(statements, logged=False)

    def mend_tenth(self, server: Server) -> None:
        """Undo `spoil_tenth` past replication."""
        table, source = self._sql(self.table_names[0]), _numbers(server.family, self.rows)
        statements = [
            *self._deep(server.family),
            f"DELETE FROM {table} WHERE id > {self.rows}",
            f"REPLACE INTO {table} {self._select(source)} WHERE n MOD 10 = 0",
        ]
        server.execute(statements, logged=False)

    def _beyond(self, family: str) -> str:
        """Numbers of the rows that `spoil_tenth` adds: as many as bring its changes to a tenth."""
        missing, different = self.rows // 30, (self.rows - 10) // 30 + 1
        extra = self.rows // 10 - missing - different
        return f"(SELECT n + {self.rows} AS n FROM {_numbers(family, extra)}) more"

    def _deep(self, family: str) -> list[str]:
        """What MySQL needs to count that far."""
        depth = f"SET SESSION cte_max_recursion_depth = {self.rows + 1}"
        return [depth] if family == "mysql" else []

    def row_bytes(self, server: Server) -> int:
        """The average bytes of a row as stored, from the server's own statistics."""
        ((length,),) = server.query(
            "SELECT CAST(SUM(DATA_LENGTH) / GREATEST(SUM(TABLE_ROWS), 1) AS SIGNED)"
            f" FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{DATABASE}'"
        )
        return int(length)

    def _drift(self, count: int) -> Iterator[str]:
        for place, (table, number) in enumerate(self._places(count)):
            name = self._sql(table)
            if place % 3 == 0:
                yield f"DELETE FROM {name} WHERE {self._where(number)}"
            elif place % 3 == 1:
                yield f"INSERT INTO {name} {self._select(f'(SELECT {self.rows + number} AS n) s')}"
            else:
                yield f"UPDATE {name} SET {self.change} WHERE {self._where(number)}"

    def _places(self, count: int) -> list[tuple[str, int]]:
        """Tables and row numbers, spread over all there are."""
        names, total = self.table_names, self.tables * self.rows
        spread = [(2 * place + 1) * total // (2 * count) for place in range(count)]
        return [(names[place // self.rows], place % self.rows + 1) for place in spread]

    def _sql(self, table: str) -> str:
        return f"{DATABASE}.{table}"

    @property
    def _definition(self) -> str:
        columns = [f"{name} {definition}" for name, (definition, _value) in self.columns.items()]
        return ", ".join([*columns, f"PRIMARY KEY ({', '.join(self.key)})"])

    def _select(self, source: str) -> str:
        values = ", ".join(value for _definition, value in self.columns.values())
        return f"SELECT {values} FROM {source}"

    def _where(self, number: int) -> str:
        row = f"(SELECT {number} AS n) s"
        return " AND ".join(f"{name} = (SELECT {self.columns[name][1]} FROM {row})" for name in self.key)


def _numbers(family: str, count: int) -> str:
    """A FROM clause of *count* rows, numbered by `n` from 1."""
    if family == "mariadb":
        return f"(SELECT seq AS n FROM {DATABASE}.seq_1_to_{count}) s"
    counting = f"WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count})"
    return f"({counting} SELECT n FROM c) s"


def _on_both(pair: Topology, statements: list[str]) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda server: server.execute(statements, logged=False), (pair.a, pair.b)))


_ORDERS = {
    "customer": ("INT NOT NULL", "CRC32(n) MOD 100000"),
    "product": ("BIGINT NOT NULL", "CRC32(n * 3) * 1000"),
    "quantity": ("SMALLINT NOT NULL", "n MOD 97"),
    "price": ("DECIMAL(10,2) NOT NULL", "(CRC32(n * 5) MOD 1000000) / 100"),
    "weight": ("DOUBLE NOT NULL", "(CRC32(n * 7) MOD 1000000) / 1024e0"),
    "state": ("TINYINT NOT NULL", "n MOD 5"),
    "created": ("DATETIME NOT NULL", "'2020-01-01' + INTERVAL n * 61 SECOND"),
    "changed": ("TIMESTAMP NOT NULL", "'2021-01-01' + INTERVAL n * 67 SECOND"),
    "code": ("CHAR(12) CHARACTER SET latin1 NOT NULL", "LEFT(SHA2(n, 256), 12)"),
    "name": ("VARCHAR(80) NOT NULL", "CONCAT('customer of row ', n, RIGHT(SHA2(n, 256), 16))"),
    "note": (
        "VARCHAR(255)",
        "IF(n MOD 10, CONCAT(SHA2(n * 11, 256), LEFT(SHA2(n * 13, 256), 52)), NULL)",
    ),
}
_ID = {"id": ("INT UNSIGNED NOT NULL", "n")}

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset("1m12", "12 columns", 1_000_000, {**_ID, **_ORDERS}, ("id",), "quantity = -1"),
        Dataset(
            "narrow",
            "3 narrow columns",
            1_000_000,
            {**_ID, "a": ("INT NOT NULL", "CRC32(n) MOD 1000000"), "b": ("INT", "n MOD 1000")},
            ("id",),
            "b = -1",
        ),
        Dataset(
            "wide",
            "wide text and blob",
            200_000,
            {
                **_ID,
                "title": ("VARCHAR(200) NOT NULL", "CONCAT('title of ', SHA2(n, 256))"),
                "body": ("TEXT", "REPEAT(SHA2(n * 3, 256), 8 + n MOD 16)"),
                "image": ("BLOB", "UNHEX(REPEAT(SHA2(n * 5, 256), 8 + n MOD 16))"),
            },
            ("id",),
            "body = CONCAT(body, 'x')",
        ),
        Dataset(
            "composite",
            "composite key",
            500_000,
            {
                "region": ("SMALLINT NOT NULL", "n MOD 200"),
                "day": ("DATE NOT NULL", "'2020-01-01' + INTERVAL n DIV 200 MOD 2000 DAY"),
                "number": ("INT NOT NULL", "n"),
                "amount": ("DECIMAL(12,2)", "(CRC32(n) MOD 1000000) / 100"),
                "remark": ("VARCHAR(60)", "LEFT(SHA2(n, 256), 40)"),
            },
            ("region", "day", "number"),
            "amount = -1",
        ),
        Dataset(
            "text",
            "text key",
            500_000,
            {
                "name": ("VARCHAR(60) NOT NULL", "CONCAT('user-', LEFT(SHA2(n, 256), 20))"),
                "amount": ("DECIMAL(12,2)", "(CRC32(n) MOD 1000000) / 100"),
                "remark": ("VARCHAR(60)", "RIGHT(SHA2(n, 256), 40)"),
            },
            ("name",),
            "amount = -1",
        ),
        Dataset("small", "12 columns", 100, {**_ID, **_ORDERS}, ("id",), "quantity = -1", 500),
    )
}
