# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a table may be written at all, and by the method ``row``: what is presupposed, looked at before anything is written."""

from __future__ import annotations

from . import grants, sqltext
from .downstream import get_real_writes
from .errors import TableProblem
from .footprint import written_by
from .schema import Table, TableName, column_order
from .session import Session
from .topology import Pair

# https://mariadb.com/kb/en/replication-and-binary-log-system-variables/#slave_run_triggers_for_rbr
_TRIGGERS_FOR_ROWS = "slave_run_triggers_for_rbr"


def refuse_blind(source: Session, target: Session, name: TableName) -> None:
    """Raise TableProblem ``missing_grant`` if the account may not see the triggers of a table: their list is silently empty then.

    Asked after the list was read: the right may have been taken away since the run's preflight saw it, and a statement that
    fires a trigger of the target may stop it (error 1062).
    """
    for session in (source, target):
        rights = grants.read(session)
        if not rights.unparsed and not rights.has("TRIGGER", name.database, name.table):
            raise TableProblem(
                "missing_grant",
                f"{name} may have triggers on {session.name} that the account may no longer see; a statement might fire them.",
                f"Run on the {session.role}: GRANT TRIGGER ON {sqltext.quote_name(name.database)}.* TO {rights.account}.",
            )


def admit(
    source: Session, target: Session, pair: Pair, table: Table, target_table: Table, downstream: str
) -> frozenset[TableName]:
    """Check everything that can be known beforehand; returns the other tables that triggers write on the source.

    ``downstream``: the user's option. Raises TableProblem, ServerError.
    """
    for code, found, message, remedy in (
        (
            "no_key",
            table.key is None,
            "has no key; a target that has a row already would get it a second time",
            "Add a primary key, or drop the triggers on the target for the time of the repair.",
        ),
        (
            "engine_not_transactional",
            not (table.is_transactional and target_table.is_transactional),
            "cannot be written and rolled back, so nothing could be proved before it counts",
            "Use 'method: shadow', or convert the table to InnoDB.",
        ),
        (
            "schema_mismatch",
            column_order(table) != column_order(target_table),
            "has its columns in another order on the target, or one that is COMPRESSED on one side only; row changes carry them"
            " by position, as they are stored",
            "Make the definitions equal first.",
        ),
        (
            "source_read_only",
            pair.source.read_only or pair.source.super_read_only,
            "cannot be written: the source is read_only",
            "Check which server is the authority; SET GLOBAL read_only=0 on the source for the repair.",
        ),
        (
            "row_not_logged",
            pair.target.stops_on_rows,
            "cannot be repaired by row changes: the target has binlog_format=STATEMENT and would stop on them (error 1666)",
            "Run on the target: STOP REPLICA; SET GLOBAL binlog_format='ROW'; START REPLICA.",
        ),
        (
            "triggers",
            runs_triggers_for_rows(target),
            f"cannot be repaired by row changes: the target runs triggers for them too ({_TRIGGERS_FOR_ROWS})",
            f"SET GLOBAL {_TRIGGERS_FOR_ROWS}='NO' on the target for the time of the repair.",
        ),
        (
            "downstream_replicas",
            downstream != "idempotent" and any(get_real_writes(source, target, pair)),
            "would be repaired by row changes, on which other replicas of both servers may stop (error 1062 or 1032)",
            "Set 'downstream: idempotent', or detach them for the time of the repair.",
        ),
    ):
        if found:
            raise TableProblem(code, f"{table.name} {message}.", remedy)
    _check_grants(source, target, table)
    return written_by(source, table.name) if table.triggers else frozenset()


def runs_triggers_for_rows(target: Session) -> bool:
    """Whether its applier fires triggers for row changes too (MariaDB's slave_run_triggers_for_rbr). Raises ServerError."""
    return (target.variables((_TRIGGERS_FOR_ROWS,)).get(_TRIGGERS_FOR_ROWS) or "NO").upper() != "NO"


def _check_grants(source: Session, target: Session, table: Table) -> None:
    rights, applier = grants.read(source), target.dialect.applier_privilege
    lacking = [right for right in ("INSERT", "DELETE") if not rights.has(right, table.name.database, table.name.table)]
    statements = [f"on the source: GRANT {', '.join(lacking)} ON {table.name.sql} TO {rights.account}"] if lacking else []
    there = grants.read(target)
    if not there.has(applier):
        statements.append(f"on the target: GRANT {applier.split('|')[0]} ON *.* TO {there.account}")
    if statements and not (rights.unparsed or there.unparsed):
        raise TableProblem(
            "missing_grant",
            f"{table.name} needs the method 'row', which writes the real table on the source and sets the target's exec mode;"
            " the account may not.",
            f"Run {'; '.join(statements)}. For the time of the repair only.",
        )
