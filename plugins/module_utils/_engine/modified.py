# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many rows the open transaction has changed, in all tables: what triggers and cascades did shows before COMMIT.

Measured on MariaDB 10.11, 11.8 and MySQL 9.7: ``trx_rows_modified`` is 1 for an INSERT or UPDATE, 2 for DELETE + INSERT,
whatever the row holds (BLOBs, full-text indexes), one more with each row that a trigger or a cascade changes. The view is a
copy, renewed only when nobody has read it for 0.1 s. Whether it shows this very moment is seen by the text of the query,
which it must hold: where a monitor reads it all the time it shows the transaction before.
https://dev.mysql.com/doc/refman/8.4/en/information-schema-innodb-trx-table.html
"""

from __future__ import annotations

import secrets
import time

from .schema import Table
from .session import Row, Session

# The copy behind the view: seconds until it is renewed, and how often that is waited for.
_CACHE = 0.11
_READINGS = 30


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
