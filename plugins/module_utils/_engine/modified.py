# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many rows the open transaction has changed, in all tables: what triggers and cascades did shows before COMMIT.

Measured on MariaDB 10.11, 11.8 and MySQL 9.7: ``trx_rows_modified`` is 1 for an INSERT or UPDATE, 2 for DELETE + INSERT,
whatever the row holds (BLOBs, full-text indexes), one more with each row that a trigger or a cascade changes. Only where a
table is compressed (a row whose page has no room for it is taken out and put in again) or has a vector index (its graph is made
of rows) there are more; then it must be seen that nothing was there to write any other row. The view is a
copy, renewed only when nobody has read it for 0.1 s. Whether it shows this very moment is seen by the text of the query,
which it must hold: where a monitor reads it all the time it shows the transaction before.
https://dev.mysql.com/doc/refman/8.4/en/information-schema-innodb-trx-table.html
"""

from __future__ import annotations

import re
import secrets
import time

from . import grants, sqltext
from .errors import ServerError
from .schema import Table
from .session import Row, Session

# The copy behind the view: seconds until it is renewed, and how often that is waited for.
_CACHE = 0.11
_READINGS = 30

# Of TYPE in InnoDB's list of foreign keys: ON UPDATE CASCADE, ON UPDATE SET NULL.
_CASCADES = 4 | 8


def records_of_update(table: Table, old: Row, new: Row) -> int:
    """What an UPDATE of one row counts: one whose place changes, if only in spelling, is taken out and put in again."""
    places = zip(table.stored_columns, old, new)
    return 2 if any(column.name in table.clustered_by and before != after for column, before, after in places) else 1


def rows_modified(session: Session) -> int | None:
    """Row changes of the session's open transaction at this very moment; None: the view is never renewed.

    Raises ServerError.
    """
    for _reading in range(_READINGS):
        mark = secrets.token_hex(8)
        found = session.rows(
            "SELECT trx_rows_modified, trx_query FROM information_schema.INNODB_TRX"
            f" WHERE trx_mysql_thread_id = CONNECTION_ID() /* {mark} */"
        )
        if found and mark.encode() in (found[0][1] or b""):
            return int(found[0][0] or 0)
        time.sleep(_CACHE)
    return None


def miscounted_by(session: Session, table: Table) -> str:
    """What makes InnoDB count more row changes of a table than there are; empty: nothing known. Raises ServerError."""
    where = f"TABLE_SCHEMA = {sqltext.string(table.name.database)} AND TABLE_NAME = {sqltext.string(table.name.table)}"
    if session.scalar(f"SELECT COUNT(*) FROM information_schema.TABLES WHERE {where} AND ROW_FORMAT = 'Compressed'") != "0":
        return "ROW_FORMAT=COMPRESSED"
    if session.scalar(f"SELECT COUNT(*) FROM information_schema.STATISTICS WHERE {where} AND INDEX_TYPE = 'VECTOR'") != "0":
        return "VECTOR INDEX"
    return ""


def only_miscounted(session: Session, table: Table, cascades: bool = False) -> bool:
    """Whether the open transaction, which wrote only this table, has changed no other row however many are counted.

    So it is where the table is one that is miscounted, and has no trigger at all: what the transaction holds keeps others from
    making or dropping one. ``cascades``: foreign keys are checked, and rows were updated; then none that refers to the table may
    carry a change on. What cannot be seen is taken to be there. Raises ServerError.
    """
    database, name = table.name.database, table.name.table
    if not miscounted_by(session, table) or not grants.read(session).has("TRIGGER", database, name):
        return False
    triggers = session.scalar(
        "SELECT COUNT(*) FROM information_schema.TRIGGERS"
        f" WHERE EVENT_OBJECT_SCHEMA = {sqltext.string(database)} AND EVENT_OBJECT_TABLE = {sqltext.string(name)}"
    )
    return triggers == "0" and not (cascades and _may_cascade(session, table))


def _may_cascade(session: Session, table: Table) -> bool:
    """Whether an UPDATE of the table's rows may change those that refer to them.

    InnoDB's own list has all foreign keys, also of tables that the account may not see.
    """
    where = f"(TYPE & {_CASCADES}) <> 0"
    full = f"{table.name.database}/{table.name.table}"
    if re.fullmatch(r"[A-Za-z0-9_]+/[A-Za-z0-9_]+", full):  # others are encoded there: then any foreign key counts
        where += f" AND LOWER(REF_NAME) = {sqltext.string(full.lower())}"
    try:
        return session.scalar(f"SELECT COUNT(*) FROM information_schema.{session.dialect.foreign_keys} WHERE {where}") != "0"
    except ServerError:
        return True
