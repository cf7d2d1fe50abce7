# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that knows MySQL's words from MariaDB's.

Facts: https://dev.mysql.com/doc/refman/8.4/en/replication-statements.html and
https://mariadb.com/kb/en/replication-commands/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from . import sqltext

MYSQL = "mysql"
MARIADB = "mariadb"

# Never compared, never repaired, on either vendor, even when named (law 12).
SYSTEM_DATABASES = frozenset(
    {"mysql", "sys", "information_schema", "performance_schema", "ndbinfo", "innodb", "mysql_innodb_cluster_metadata"}
)

# How long a transaction may pause on MariaDB (https://mariadb.com/kb/en/transaction-timeouts/): ours ends by wait_timeout.
_IDLE_LIMITS = ("idle_transaction_timeout", "idle_readonly_transaction_timeout", "idle_write_transaction_timeout")


@dataclass(frozen=True)
class Dialect:
    """The words one server understands, from its flavor and version."""

    flavor: str
    version: tuple[int, int, int]
    version_text: str

    @property
    def is_mariadb(self) -> bool:
        """Whether the server is a MariaDB."""
        return self.flavor == MARIADB

    def _mysql_since(self, *version: int) -> bool:
        return not self.is_mariadb and self.version >= version

    # -- replication ---------------------------------------------------------------------------

    @property
    def show_binlog_position(self) -> str:
        """Statement that gives File and Position of the binary log (needs REPLICATION CLIENT / BINLOG MONITOR)."""
        return "SHOW BINARY LOG STATUS" if self._mysql_since(8, 2) else "SHOW MASTER STATUS"

    @property
    def show_replica_status(self) -> str:
        """Statement that gives one row for each replication channel of this server."""
        if self.is_mariadb:
            return "SHOW ALL SLAVES STATUS"
        return "SHOW REPLICA STATUS" if self._mysql_since(8, 0, 22) else "SHOW SLAVE STATUS"

    @property
    def show_replicas(self) -> str:
        """Statement that lists the replicas connected to this server."""
        return "SHOW REPLICAS" if self._mysql_since(8, 0, 22) else "SHOW SLAVE HOSTS"

    def start_applier(self, channel: str) -> str:
        """Statement that lets a stopped applier go on."""
        name = sqltext.string(channel)
        if self.is_mariadb:
            return f"START SLAVE {name} SQL_THREAD"
        return f"START {'REPLICA' if self._mysql_since(8, 0, 22) else 'SLAVE'} SQL_THREAD FOR CHANNEL {name}"

    @property
    def channel_column(self) -> str:
        """Column of the replica status (as normalised by normal_status_name) that names the channel."""
        return "Connection_name" if self.is_mariadb else "Channel_Name"

    @property
    def has_applier_rules(self) -> bool:
        """Whether a channel may be told to refuse logged statements, or to check an account's rights."""
        return self._mysql_since(8, 0, 18)

    @property
    def counts_warnings(self) -> bool:
        """Whether performance_schema counts each kind of warning."""
        return self._mysql_since(8)

    def wait_for_position(self, file: str, position: int, seconds: float, channel: str) -> str:
        """Query that returns once the applier has executed up to a source's position.

        NULL: the applier is not running; -1: the time is over.
        (https://dev.mysql.com/doc/refman/8.4/en/replication-functions-synchronization.html,
        https://mariadb.com/kb/en/master_pos_wait/)
        """
        function = "SOURCE_POS_WAIT" if self._mysql_since(8, 0, 26) else "MASTER_POS_WAIT"
        # Whole seconds: MariaDB rounds 0.4 down to 0, which waits for ever (10.11, measured).
        arguments = [sqltext.string(file), str(position), str(max(1, round(seconds)))]
        if channel:
            arguments.append(sqltext.string(channel))
        return f"SELECT {function}({', '.join(arguments)})"

    def wait_for_gtids(self, gtids: str, seconds: float) -> str:
        """MySQL only: query that returns 0 once all of ``gtids`` are applied, 1 when the time is over."""
        return f"SELECT WAIT_FOR_EXECUTED_GTID_SET({sqltext.string(gtids)}, {max(1, round(seconds))})"

    @property
    def index_is_usable(self) -> str:
        """Expression on information_schema.STATISTICS: 1 if queries may use the index."""
        if self.is_mariadb:
            return "IGNORED = 'NO'" if self.version >= (10, 6) else "1"
        return "IS_VISIBLE = 'YES'" if self._mysql_since(8) else "1"

    def sorts_otherwise(self, collation: str) -> bool:
        """Whether an index sorts CHAR columns of a collation otherwise than the server compares their values (measured).

        MariaDB sorts those of NOPAD collations, which MySQL's names of version 9.0.0 stand for there, with their padding and
        compares them without; the order of tis620_thai_ci depends on what follows. A range of such an index has not all rows.
        """
        unpadded = self.is_mariadb and ("nopad" in collation or "0900" in collation)
        return unpadded or collation == "tis620_thai_ci"

    # -- optimizer -----------------------------------------------------------------------------

    @property
    def explain(self) -> str:
        """What to put before a query to get its plan as a table."""
        return "EXPLAIN" if self.is_mariadb else "EXPLAIN FORMAT=TRADITIONAL"

    def runnable(self, expression: str) -> str:
        """An expression of a definition as information_schema shows it, as a query takes it: MySQL's are escaped there."""
        return expression if self.is_mariadb else sqltext.unescaped(expression)

    # -- locks and sessions --------------------------------------------------------------------

    @property
    def share_lock(self) -> str:
        """Suffix of a SELECT that locks rows and gaps against writers; needs only SELECT."""
        return "FOR SHARE" if self._mysql_since(8) else "LOCK IN SHARE MODE"

    @property
    def session_settings(self) -> dict[str, str]:
        """Server-specific session variables: no limit may cut a read or a lock short, no column be left out of a table.

        A primary key that MySQL generated and hides is a key like any other: without it, rows would be taken for rows that
        cannot be told apart and come out under new keys (https://dev.mysql.com/doc/refman/8.4/en/create-table-gipks.html).
        """
        if self.is_mariadb:
            return dict.fromkeys(("max_statement_time", *(_IDLE_LIMITS if self.version >= (10, 3) else ())), "0")
        hidden = {"show_gipk_in_create_table_and_information_schema": "1"} if self._mysql_since(8, 0, 30) else {}
        return {"max_execution_time": "0", **hidden}

    @property
    def foreign_keys(self) -> str:
        """InnoDB's list of all foreign keys, in information_schema."""
        return "INNODB_SYS_FOREIGN" if self.is_mariadb or self.version < (8,) else "INNODB_FOREIGN"

    @property
    def has_roles(self) -> bool:
        """Whether CURRENT_ROLE() exists."""
        return self.is_mariadb or self._mysql_since(8)

    @property
    def _or_super(self) -> str:
        """SUPER as an alternative; MariaDB took the finer rights out of it (https://mariadb.com/kb/en/grant/#super)."""
        return "" if self.is_mariadb and self.version >= (11, 0, 1) else "|SUPER"

    @property
    def monitor_privileges(self) -> tuple[str, ...]:
        """Global rights needed to watch replication (either of a group separated by '|')."""
        if self.is_mariadb and self.version >= (10, 5):
            binlog, replicas = "BINLOG MONITOR|REPLICATION CLIENT", "SLAVE MONITOR|REPLICA MONITOR"
            return (binlog + self._or_super, replicas + self._or_super, "PROCESS")
        return ("REPLICATION CLIENT|SUPER", "PROCESS")

    @property
    def shadow_privileges(self) -> tuple[str, ...]:
        """Global rights needed on the source to log through a shadow table."""
        if self.is_mariadb:
            return ("BINLOG ADMIN" + self._or_super,) if self.version >= (10, 5) else ("SUPER",)
        return ("SESSION_VARIABLES_ADMIN|SYSTEM_VARIABLES_ADMIN|SUPER",) if self.version >= (8,) else ("SUPER",)

    @property
    def applier_privilege(self) -> str:
        """Global right needed on a replica to set its exec mode."""
        if self.is_mariadb:
            return "REPLICATION SLAVE ADMIN" + self._or_super if self.version >= (10, 5) else "SUPER"
        return "SYSTEM_VARIABLES_ADMIN|SUPER" if self.version >= (8,) else "SUPER"

    @property
    def replicas_privilege(self) -> str:
        """Global right needed to see the addresses that replicas report."""
        if self.is_mariadb and self.version >= (10, 5):
            return "REPLICATION MASTER ADMIN" + self._or_super
        return "REPLICATION SLAVE"

    @property
    def shadow_data_privileges(self) -> tuple[str, ...]:
        """Rights needed on the data of the source to make a shadow table; none of them can overwrite a row."""
        if self.is_mariadb:
            # Its shadow gets the real name by ALTER TABLE ... RENAME, which wants CREATE and INSERT on it.
            return ("CREATE TEMPORARY TABLES", "CREATE", "INSERT")
        return ("CREATE TEMPORARY TABLES",)


# Older words of SHOW SLAVE STATUS and their newer names, so that the rest of the engine knows one set.
_STATUS_WORDS = (("Master", "Source"), ("Slave", "Replica"), ("master", "source"), ("slave", "replica"))


def normal_status_name(column: str) -> str:
    """Translate a column of SHOW SLAVE STATUS / SHOW SLAVE HOSTS into the newer words."""
    for old, new in _STATUS_WORDS:
        column = column.replace(old, new)
    return column


def detect(version: str, comment: str) -> Dialect:
    """Tell the dialect from ``@@version`` and ``@@version_comment``.

    Raises ValueError when no version number can be read.
    """
    # 5.5.5- is a prefix that old MariaDB servers put there for the sake of old replicas.
    found = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)\.(\d+)", version)
    if not found:
        raise ValueError(f"cannot read a version number from {version!r}")
    mariadb = "mariadb" in f"{version} {comment}".lower()
    numbers = (int(found[1]), int(found[2]), int(found[3]))
    return Dialect(MARIADB if mariadb else MYSQL, numbers, version)
