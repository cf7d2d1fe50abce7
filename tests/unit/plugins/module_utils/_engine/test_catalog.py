# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Definitions of thousands of tables: what a server answers, made up, as no server makes so many tables in a moment."""

from __future__ import annotations

import re
import tracemalloc

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import catalog
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.dialect import detect

COLUMNS = ("id", "created", "changed", "name", "note", "amount", "state", "owner")


class Answers:
    """A session on a server with so many tables."""

    dialect = detect("10.11.19-MariaDB", "")

    def __init__(self, tables):
        self.names = [f"table_with_number_{number:05}" for number in range(tables)]
        self.largest = 0

    def rows(self, sql):
        """Answers the queries of the catalog."""
        if "information_schema.TABLES" in sql:
            return [(b"shop", name.encode(), b"BASE TABLE", b"InnoDB", b"1000", b"100") for name in self.names]
        if "TRIGGERS" in sql:
            return []
        asked = [name.encode() for name in re.findall(r"'(table_with_number_\d+)'", sql)]
        self.largest = max(self.largest, len(asked))
        if "STATISTICS" in sql:
            return [(b"shop", name, b"PRIMARY", b"id", None, b"A", b"BTREE", b"1") for name in asked]
        return [
            (
                b"shop",
                name,
                column.encode(),
                b"varchar",
                b"varchar(200)",
                b"utf8mb4",
                b"utf8mb4_general_ci",
                b"YES",
                b"",
                None,
                b"",
            )
            for name in asked
            for column in COLUMNS
        ]


def test_memory_is_for_what_is_different_and_for_a_thousand_tables_of_an_answer():
    source, target = Answers(3_000), Answers(3_000)
    tracemalloc.start()
    try:
        ours, theirs = (catalog.read_tables(session, ["shop"]) for session in (source, target))
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ours) == 3_000
    assert ours == theirs
    some = [next(iter(side.values())) for side in (ours, theirs)]
    assert some[0].columns is some[1].columns
    assert [column.name for column in some[0].columns] == list(COLUMNS)
    assert max(source.largest, target.largest) == 1000
    assert held < 5 << 20, held  # some 700 bytes a table and side
    assert peak < 10 << 20, peak
