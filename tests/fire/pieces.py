# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Lets a table of ten rows go the ways of one with a million: chunks, strips, buckets, pieces, batches of a few rows.

Only sizes are set, nothing of what is done: whatever they are, every law must hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import (
    arrival,
    buckets,
    catalog,
    collisions,
    compare,
    confirm,
    copies,
    examine,
    journal,
    multiset,
    pace,
    redefined,
    rewrite,
    rowwise,
    spool,
    strips,
)

#: Rows taken at once where a few are meant; 0: as the engine has it.
SIZES = (0, 0, 1, 2, 3, 7)


@contextmanager
def of(rows: int) -> Iterator[None]:
    """Within the block the engine takes about ``rows`` rows at once, at most; 0 changes nothing."""
    with ExitStack() as stack:
        for place, name, value in _sizes(rows) if rows else ():
            stack.enter_context(patch.object(place, name, value))
        yield


def _sizes(rows: int) -> tuple[tuple[Any, str, Any], ...]:
    several, some_bytes = 3 * rows, 120 * rows
    whole, chunk_sizer, strip_sizer = compare.compare, pace.ChunkSizer, pace.StripSizer

    def as_if_large(hands: Any, larger: Any, fingerprint: Any, estimate: int, *more: Any) -> Any:
        return whole(hands, larger, fingerprint, estimate + 1000, *more)

    return (
        (compare, "compare", as_if_large),
        (compare, "ChunkSizer", lambda chunk_time: chunk_sizer(chunk_time, several)),
        (compare, "StripSizer", lambda: strip_sizer(rows)),
        (compare, "_MAX_STRIPS", several),
        (strips, "_COARSE_ROWS", several),
        (strips, "_ROWS_IN_MEMORY", several),
        (strips, "_FINE_ROWS", rows),
        (buckets, "_BUCKET_ROWS", rows),
        (buckets, "_MAX_BUCKETS", several),
        (buckets, "_ROWS_IN_MEMORY", several),
        (pace, "_MAX_CHUNK_ROWS", 2 * several),
        (pace, "_MIN_STRIP_ROWS", rows),
        (pace, "_MAX_STRIP_ROWS", several),
        (confirm, "_KEYS_PER_QUERY", rows),
        (confirm, "_QUERY_BYTES", some_bytes),
        (confirm, "_HELD_BYTES", some_bytes),
        (examine, "_SUSPECTS_AT_ONCE", rows),
        (examine, "_BYTES_AT_ONCE", some_bytes),
        (multiset, "_BUCKET_ROWS", rows),
        (multiset, "_MAX_BUCKETS", several),
        (multiset, "_VALUES_IN_MEMORY", several),
        (copies, "BATCH_VALUES", rows),
        (arrival, "_KEYS_AT_ONCE", rows),
        (collisions, "_BRANCHES", rows),
        (rewrite, "STATEMENT_BYTES", some_bytes),
        (rewrite, "_ROWS_AT_ONCE", rows),
        (rowwise, "_BATCH_ROWS", rows),
        (journal, "_ROWS_AT_ONCE", rows),
        (spool, "_BLOCK_BYTES", some_bytes),
        (spool, "_PORTION_BYTES", several * 100),
        (spool, "_KEYS_IN_MEMORY", rows),
        (catalog, "_AT_ONCE", rows),
        (redefined, "_AT_ONCE", rows),
    )
