# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One replication channel as the replica at its lower end describes it.

Facts: https://dev.mysql.com/doc/refman/8.4/en/show-replica-status.html and
https://mariadb.com/kb/en/show-replica-status/.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, replace

from . import dialect as dialects
from . import sqltext
from .endpoint import host_and_port
from .errors import AccessDenied, LostConnection, ServerError
from .logplace import LogPlace, LogSpan
from .session import Session

Record = t.Mapping[str, t.Optional[str]]


@dataclass(frozen=True)
class Filters:
    """What a replica is told to leave out (https://dev.mysql.com/doc/refman/8.4/en/replication-rules.html).

    ``rewrite_db`` holds the server's own text; ``origins`` the server and domain ids left out.
    """

    do_db: tuple[str, ...] = ()
    ignore_db: tuple[str, ...] = ()
    do_table: tuple[str, ...] = ()
    ignore_table: tuple[str, ...] = ()
    wild_do_table: tuple[str, ...] = ()
    wild_ignore_table: tuple[str, ...] = ()
    rewrite_db: str = ""
    origins: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The filters in one line for messages; empty when there are none."""
        return "; ".join(
            f"{name}={value if isinstance(value, str) else ','.join(value)}" for name, value in vars(self).items() if value
        )

    def may_skip(self, database: str, table: str) -> bool:
        """Whether changes of this table may not be applied, by the servers' order of rules.

        Assumes that the statement's default database is the table's own; when in doubt: True.
        """
        # "(from,to),(from,to)" on MySQL, "from->to,from->to" on MariaDB.
        rewritten = re.split(r"[(),]|->", self.rewrite_db)
        if (self.do_db and database not in self.do_db) or database in (*self.ignore_db, *rewritten):
            return True
        name = f"{database}.{table}"
        if name in self.do_table:
            return False
        if name in self.ignore_table:
            return True
        if any(_like(pattern, name) for pattern in self.wild_do_table):
            return False
        if any(_like(pattern, name) for pattern in self.wild_ignore_table):
            return True
        return bool(self.do_table or self.wild_do_table)


@dataclass(frozen=True)
class Link:
    """One channel. Its upstream's identity is known only once it has connected: until then id and uuid are None.

    ``lag`` and ``delay`` are seconds; the lag is the server's own guess and proves nothing (fence.py does).
    ``io_error``/``sql_error`` read "text (error number)", or are empty. ``read_file``/``read_position`` are
    how far the upstream's binary log was fetched, ``applied_file``/``applied_position`` how far everything of it was applied.
    ``connecting``: the receiver was started and has not failed yet; it delivers nothing, so ``io_running`` is false.
    """

    channel: str
    source_host: str
    source_port: int
    source_server_id: int | None
    source_uuid: str | None
    io_running: bool
    sql_running: bool
    io_error: str = ""
    sql_error: str = ""
    lag: int | None = None
    delay: int = 0
    filters: Filters = Filters()
    auto_position: bool = False
    retrieved_gtids: str = ""
    executed_gtids: str = ""
    read_file: str = ""
    read_position: int = 0
    applied_file: str = ""
    applied_position: int = 0
    connecting: bool = False

    @property
    def healthy(self) -> bool:
        """Whether both threads run and none reports an error."""
        return self.problem is None

    @property
    def problem(self) -> str | None:
        """What keeps this link from replicating, in words; None when nothing does."""
        if self.sql_error:
            return f"the applier stopped: {self.sql_error}"
        if self.io_error:
            return f"the receiver cannot read from {self.address}: {self.io_error}"
        stopped = [name for name, runs in (("receiver (IO)", self.io_running), ("applier (SQL)", self.sql_running)) if not runs]
        return f"the {' and the '.join(stopped)} thread is not running" if stopped else None

    @property
    def stopped_at_rows(self) -> bool:
        """Whether the applier stopped at a row that is there already or is not there, as IDEMPOTENT mode does not."""
        # More words may follow, where the account may not read all of it.
        return "(error 1062)" in self.sql_error or "(error 1032)" in self.sql_error

    @property
    def applied(self) -> LogPlace:
        """How far everything in the upstream's binary log was applied."""
        return LogPlace(self.applied_file, self.applied_position)

    def stopped_behind(self, place: LogPlace) -> bool:
        """Whether the applier has stopped at what the upstream logged behind that place; False also where that cannot be told.

        The error's own words tell; or all before was applied, which MySQL's parallel appliers note with some delay.
        """
        reached, end = self.applied, self._error_ends
        return reached == place or reached.is_beyond(place) or bool(end and end.is_beyond(place))

    def stopped_within(self, span: LogSpan) -> bool:
        """Whether the applier has stopped within that part of the upstream's binary log; False where that cannot be told.

        The error's own words tell where that ends. MariaDB 11.8 says 0 of a row change: then by where it begins, up to which all
        was applied.
        """
        end = self._error_ends
        if end and not end.offset:
            return span.has_start(self.applied)
        return bool(end and span.has_end(end))

    def names_none_of(self, tables: t.Iterable[str]) -> bool:
        """Whether the applier's error names the table at whose row it stopped, and it is none of these ("database.table")."""
        words = self.sql_error.casefold()  # the servers may write names in letters of their own
        return " on table " in words and not any(f" on table {name};".casefold() in words for name in tables)

    @property
    def _error_ends(self) -> LogPlace | None:
        """Where in the upstream's binary log that ends which stopped the applier, by the words of the error."""
        found = re.search(r"log (\S+), end_log_pos (\d+)", self.sql_error)
        return LogPlace(found[1], int(found[2])) if found else None

    def is_other_than(self, earlier: Link) -> bool:
        """Whether the channel has been set up anew since: to another upstream, or with other filters."""
        same = ("source_host", "source_port", "source_server_id", "source_uuid", "filters")
        pairs = ((getattr(self, name), getattr(earlier, name)) for name in same)
        return any(None not in pair and pair[0] != pair[1] for pair in pairs)

    @property
    def address(self) -> str:
        """Address of the upstream server, as this replica reaches it."""
        return host_and_port(self.source_host, self.source_port)

    @property
    def name(self) -> str:
        """The channel for messages; most servers have only the nameless one."""
        return f"channel '{self.channel}' from {self.address}" if self.channel else f"the channel from {self.address}"


@dataclass(frozen=True)
class ApplierRules:
    """What the applier of a channel demands of the events it is to apply (MySQL 8.0.18 and later).

    ``row_format_only``: logged statements stop it; None: that cannot be seen. ``checked_account``: the account
    whose rights decide what it may apply; empty: all is applied.
    """

    row_format_only: bool | None = False
    checked_account: str = ""


def read_applier_rules(session: Session, channel: str) -> ApplierRules:
    """Read what the applier of a channel demands. Raises ServerError."""
    if not session.dialect.has_applier_rules:
        return ApplierRules()
    try:
        found = session.record(
            "SELECT * FROM performance_schema.replication_applier_configuration WHERE CHANNEL_NAME = " + sqltext.string(channel)
        )
    except AccessDenied:
        return ApplierRules(row_format_only=None)
    if not found:
        return ApplierRules(row_format_only=None)
    return ApplierRules(found.get("REQUIRE_ROW_FORMAT") == "YES", found.get("PRIVILEGE_CHECKS_USER") or "")


def read_links(session: Session) -> tuple[Link, ...]:
    """Read all channels of a server; none: it is no replica. Raises AccessDenied without the monitoring right."""
    links = (link_from(record, session.dialect) for record in session.records(session.dialect.show_replica_status))
    # MySQL's group replication has channels of its own, without a source.
    found = (link for link in links if link.source_host and not link.channel.startswith("group_replication_"))
    return tuple(replace(link, sql_error=_in_full(session, link)) if link.sql_error else link for link in found)


# Of workers that were to commit behind the one that failed: ER_REPLICA_WORKER_STOPPED_PREVIOUS_THD_ERROR.
_FOLLOWED = 3030


def _in_full(session: Session, link: Link) -> str:
    """The applier's error with the statement or row it stopped at: MySQL keeps that with the worker that failed.

    https://dev.mysql.com/doc/refman/8.4/en/performance-schema-replication-applier-status-by-worker-table.html
    """
    if session.dialect.is_mariadb:
        return link.sql_error
    table = "performance_schema.replication_applier_status_by_worker"
    try:
        told = session.record(
            f"SELECT LAST_ERROR_NUMBER AS number, LAST_ERROR_MESSAGE AS text FROM {table}"
            f" WHERE LAST_ERROR_NUMBER <> 0 AND CHANNEL_NAME = {sqltext.string(link.channel)}"
            f" ORDER BY LAST_ERROR_NUMBER = {_FOLLOWED}"
        )
    except AccessDenied:
        return f"{link.sql_error} (This account may not read more: it lacks SELECT on {table}.)"
    except LostConnection:
        raise
    except ServerError:
        return link.sql_error
    return f"{told['text']} (error {told['number']})" if told else link.sql_error


def link_from(record: Record, dialect: dialects.Dialect) -> Link:
    """Build a Link from one row of the replica status, in old or new words."""
    status = {dialects.normal_status_name(name): value or "" for name, value in record.items()}
    lag = status.get("Seconds_Behind_Source", "")
    receiver, io_error = status.get("Replica_IO_Running", ""), _error(status, "Last_IO_Err")
    return Link(
        # MySQL 5.7's manual prints the name both ways.
        channel=status.get(dialect.channel_column) or status.get("Channel_name", ""),
        source_host=status.get("Source_Host", ""),
        source_port=_int(status, "Source_Port") or 3306,
        source_server_id=_int(status, "Source_Server_Id") or None,
        source_uuid=status.get("Source_UUID") or None,
        io_running=receiver == "Yes",
        sql_running=status.get("Replica_SQL_Running") == "Yes",
        io_error=io_error,
        sql_error=_error(status, "Last_SQL_Err"),
        lag=int(lag) if lag.isdigit() else None,
        delay=_int(status, "SQL_Delay"),
        filters=_filters(status),
        auto_position=status.get("Auto_Position") == "1" or status.get("Using_Gtid", "No") not in ("No", ""),
        retrieved_gtids=status.get("Retrieved_Gtid_Set") or status.get("Gtid_IO_Pos", ""),
        executed_gtids=status.get("Executed_Gtid_Set") or status.get("Gtid_Replica_Pos", ""),
        read_file=status.get("Source_Log_File", ""),
        read_position=_int(status, "Read_Source_Log_Pos"),
        applied_file=status.get("Relay_Source_Log_File", ""),
        applied_position=_int(status, "Exec_Source_Log_Pos"),
        connecting=receiver in ("Connecting", "Preparing") and not io_error,
    )


def _int(status: t.Mapping[str, str], name: str) -> int:
    value = status.get(name, "")
    return int(value) if value.isdigit() else 0


def _error(status: t.Mapping[str, str], name: str) -> str:
    number, text = _int(status, f"{name}no"), status.get(f"{name}or", "")
    return f"{text} (error {number})" if number else ""


def _filters(status: t.Mapping[str, str]) -> Filters:
    def names(column: str) -> tuple[str, ...]:
        return tuple(filter(None, status.get(f"Replicate_{column}", "").split(",")))

    return Filters(
        do_db=names("Do_DB"),
        ignore_db=names("Ignore_DB"),
        do_table=names("Do_Table"),
        ignore_table=names("Ignore_Table"),
        wild_do_table=names("Wild_Do_Table"),
        wild_ignore_table=names("Wild_Ignore_Table"),
        rewrite_db=status.get("Replicate_Rewrite_DB", ""),
        origins=names("Ignore_Server_Ids") + names("Do_Domain_Ids") + names("Ignore_Domain_Ids"),
    )


def _like(pattern: str, name: str) -> bool:
    """Match ``%`` and ``_``, with ``\\`` in front of one that is meant literally."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    expression = "".join(wild.get(part) or re.escape(part[-1]) for part in parts)
    return re.fullmatch(expression, name, re.DOTALL) is not None
