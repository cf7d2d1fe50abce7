# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one server says of itself: its identity, its settings, and who replicates from it."""

from __future__ import annotations

from dataclasses import dataclass

from . import dialect as dialects
from .endpoint import host_and_port
from .errors import AccessDenied
from .logplace import LogPlace
from .session import Session

_OFF = frozenset({"", "0", "OFF", "NO", "NONE"})


@dataclass(frozen=True)
class ServerFacts:
    """What one server says of itself. ``uuid`` and ``gtid_mode`` are MySQL's; None on MariaDB.

    ``binlog_filters``: binlog-do-db/binlog-ignore-db as the server reports them; empty when there are none.
    ``skip_errors`` is "OFF" or a list of error numbers; ``max_allowed_packet`` is in bytes. ``as_of``: the moment in the
    past whose rows a MariaDB shows to every session, empty for now. ``managed_by``: the cloud
    service that runs the server, as far as it can be told; such services withhold some rights from every account.
    """

    role: str
    host: str
    port: int
    flavor: str
    version: str
    server_id: int
    uuid: str | None = None
    read_only: bool = False
    super_read_only: bool = False
    binlog: bool = True
    binlog_format: str = ""
    binlog_row_image: str = ""
    binlog_filters: str = ""
    gtid_mode: str | None = None
    log_replica_updates: bool = False
    time_zone: str = ""
    system_time_zone: str = ""
    sql_mode: str = ""
    character_set_server: str = ""
    collation_server: str = ""
    auto_increment_increment: int = 1
    auto_increment_offset: int = 1
    skip_errors: str = "OFF"
    exec_mode: str = "STRICT"
    max_allowed_packet: int = 0
    lower_case_table_names: int = 0
    as_of: str = ""
    galera: bool = False
    group_replication: bool = False
    managed_by: str = ""

    @property
    def name(self) -> str:
        """Role, address and id, for messages."""
        return f"the {self.role} ({host_and_port(self.host, self.port)}, server_id {self.server_id})"

    def logs(self, database: str) -> bool:
        """Whether changes of tables in ``database`` are in this server's binary log, if it writes one."""
        rules = dict(part.split("=", 1) for part in self.binlog_filters.split("; ") if part)
        do, ignore = (rules.get(name, "") for name in ("Binlog_Do_DB", "Binlog_Ignore_DB"))
        return (not do or database in do.split(",")) and database not in ignore.split(",")

    @property
    def stops_on_rows(self) -> bool:
        """Whether its applier stops on row changes, because it is to log them again and may log statements only.

        Error 1666 on MySQL 9.7; MariaDB 10.11 and 11.8 log them as rows then (measured).
        """
        logs = self.binlog and self.log_replica_updates and self.binlog_format.upper() == "STATEMENT"
        return logs and self.flavor != dialects.MARIADB

    @property
    def identity(self) -> str:
        """server_id and uuid, for messages."""
        return f"server_id {self.server_id}" + (f", uuid {self.uuid}" if self.uuid else "")


@dataclass(frozen=True)
class Replica:
    """A replica connected to a server; what is not known of it is None (or 0 for the port)."""

    server_id: int | None
    host: str
    port: int
    uuid: str | None = None

    def __str__(self) -> str:
        known = f"server_id {self.server_id}" if self.server_id else "server_id unknown"
        return f"{self.host or 'host unknown'}{f':{self.port}' if self.port else ''} ({known})"


_VARIABLES = (
    "server_id", "server_uuid", "port", "read_only", "super_read_only", "log_bin",
    "binlog_format", "binlog_row_image", "gtid_mode", "log_replica_updates", "log_slave_updates",
    "time_zone", "system_time_zone", "sql_mode", "character_set_server", "collation_server",
    "auto_increment_increment", "auto_increment_offset", "replica_skip_errors",
    "slave_skip_errors", "replica_exec_mode", "slave_exec_mode", "max_allowed_packet",
    "lower_case_table_names", "system_versioning_asof", "wsrep_on", "wsrep_provider", "group_replication_group_name",
    "basedir", "aurora_version", "version_comment", "aad_auth_only", "cloudsql_iam_authentication",
)  # fmt: skip


def read_facts(session: Session) -> ServerFacts:
    """Read a server's facts; no right is needed but for ``binlog_filters``, empty without. Raises ServerError."""
    found = {name: value or "" for name, value in session.variables(_VARIABLES).items()}

    def text(*names: str) -> str:
        return next((found[name] for name in names if name in found), "")

    def on(*names: str) -> bool:
        return text(*names).upper() not in _OFF

    return ServerFacts(
        role=session.role,
        host=session.endpoint.host,
        port=int(text("port") or session.endpoint.port),
        flavor=session.dialect.flavor,
        version=session.dialect.version_text,
        server_id=int(text("server_id")),
        uuid=None if session.dialect.is_mariadb else text("server_uuid") or None,
        read_only=on("read_only"),
        super_read_only=on("super_read_only"),
        binlog=on("log_bin"),
        binlog_format=text("binlog_format"),
        binlog_row_image=text("binlog_row_image"),
        binlog_filters=_binlog_filters(session),
        gtid_mode=None if session.dialect.is_mariadb else text("gtid_mode"),
        log_replica_updates=on("log_replica_updates", "log_slave_updates"),
        time_zone=text("time_zone"),
        system_time_zone=text("system_time_zone"),
        sql_mode=text("sql_mode"),
        character_set_server=text("character_set_server"),
        collation_server=text("collation_server"),
        auto_increment_increment=int(text("auto_increment_increment") or 1),
        auto_increment_offset=int(text("auto_increment_offset") or 1),
        skip_errors=text("replica_skip_errors", "slave_skip_errors") or "OFF",
        exec_mode=text("replica_exec_mode", "slave_exec_mode") or "STRICT",
        max_allowed_packet=int(text("max_allowed_packet") or 0),
        lower_case_table_names=int(text("lower_case_table_names") or 0),
        as_of=text("system_versioning_asof").replace("DEFAULT", ""),
        # wsrep_on alone is ON in some builds that load no provider.
        galera=on("wsrep_on") and on("wsrep_provider"),
        group_replication=on("group_replication_group_name"),
        managed_by=_managed_by(found),
    )


def _managed_by(found: dict[str, str]) -> str:
    """Tell by settings that only such a service has, or by the folder that its server runs from."""
    if "aurora_version" in found:
        return "Amazon Aurora"
    if found.get("basedir", "").startswith("/rdsdbbin"):
        return "Amazon RDS"
    if "cloudsql_iam_authentication" in found or "(Google)" in found.get("version_comment", ""):
        return "Google Cloud SQL"
    return "Azure Database" if "aad_auth_only" in found else ""


def read_identity(session: Session) -> str:
    """Which server a session has reached, in words that no two servers share; no right is needed. Raises ServerError.

    Clones may share server_id and, badly made, the uuid; then host, port and data directory tell them apart.
    """
    names = ["server_id", "hostname", "port", "datadir"] + ([] if session.dialect.is_mariadb else ["server_uuid"])
    found = session.record("SELECT " + ", ".join(f"@@global.{name} AS {name}" for name in names))
    return ", ".join(f"{name} {value}" for name, value in found.items())


def _binlog_filters(session: Session) -> str:
    status = _log_status(session)
    return "; ".join(f"{name}={status[name]}" for name in ("Binlog_Do_DB", "Binlog_Ignore_DB") if status.get(name))


def read_log_end(session: Session) -> LogPlace | None:
    """Where a server's binary log ends; None when it writes none or the account may not see it. Raises ServerError."""
    status = _log_status(session)
    file, offset = status.get("File"), status.get("Position")
    return LogPlace(file, int(offset)) if file and offset else None


def _log_status(session: Session) -> dict[str, str | None]:
    try:
        return session.record(session.dialect.show_binlog_position)
    except AccessDenied:
        return {}  # the missing right is reported as a hazard of its own


def read_replicas(session: Session, sees_all: bool = False) -> tuple[Replica, ...] | None:
    """List the replicas connected to a server now; None when the account may see neither list. Raises ServerError.

    A replica that is disconnected at the moment shows in no list of any server. ``sees_all``: an earlier call has shown that
    this session may see one of the lists.
    """
    try:
        return tuple(_registered(record) for record in session.records(session.dialect.show_replicas))
    except AccessDenied:
        pass  # SHOW REPLICAS wants a right that a monitoring account rarely has
    return _dump_threads(session, sees_all)


def feeds_replicas(session: Session) -> bool | None:
    """Whether a replica reads this server's binary log at this moment; None: the account may not see it. Raises ServerError."""
    threads = _dump_threads(session)
    return None if threads is None else bool(threads)


def _dump_threads(session: Session, sees_all: bool = False) -> tuple[Replica, ...] | None:
    try:
        # SHOW PROCESSLIST does not fail without PROCESS, it hides; this does fail. Not to be read often: see modified.py.
        if not sees_all:
            session.rows("SELECT COUNT(*) FROM information_schema.INNODB_TRX")
    except AccessDenied:
        return None
    dumps = (row for row in session.records("SHOW PROCESSLIST") if (row["Command"] or "").startswith("Binlog Dump"))
    return tuple(Replica(None, (row["Host"] or "").rpartition(":")[0] or row["Host"] or "", 0) for row in dumps)


def _registered(record: dict[str, str | None]) -> Replica:
    values = {name.lower().replace("slave", "replica"): value or "" for name, value in record.items()}
    return Replica(int(values["server_id"]), values["host"], int(values["port"] or 0), values.get("replica_uuid") or None)
