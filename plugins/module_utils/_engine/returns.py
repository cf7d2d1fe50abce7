# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the rows of one table may be put back, on the source's real table, so that nothing else changes anywhere.

Row changes fire no triggers where they are applied (MySQL never, MariaDB unless told to), so the target's own are got round by
logging rows. They carry columns by position, as they are stored, so where that is not the same on the target statements are
logged, which name them; where both would be needed there is no way. The source's own triggers do fire; so a statement is chosen
whose events have none. Where there is none, they run only if the user allows it, and what they change elsewhere is counted before
COMMIT (putback.py).

====================  =============================  ==================================================================
table                 different row                  transaction
====================  =============================  ==================================================================
InnoDB on both        DELETE, INSERT; UPDATE where   a batch: locked, written, read again, counted, committed or
                      only that fires no trigger     rolled back
MyISAM, Aria, MEMORY  UPDATE                         none: LOCK TABLES ... WRITE; each statement writes one row, which
on either server                                     is either as it was or as it shall be whatever happens. (MySQL
                                                     stops on two for such a table in one transaction: error 1837)
====================  =============================  ==================================================================
"""

from __future__ import annotations

from dataclasses import dataclass

from . import grants
from .admission import runs_triggers_for_rows
from .confirm import DIFFERENT, EXTRA, MISSING
from .downstream import get_real_writes
from .errors import AccessDenied, Refusal, TableProblem
from .footprint import written_by
from .locks import refuse_fragile
from .schema import Table, column_order
from .session import Session
from .spool import Differences
from .topology import Pair

_UNLIKE = "its columns are in another order on the target, or one is COMPRESSED on one side only"


@dataclass(frozen=True)
class Way:
    """How a table is written.

    ``singly``: one row a statement, the whole table locked. ``updates``: a different row by UPDATE, not DELETE and INSERT.
    ``as_rows``: logged as row changes whatever the server's format. ``as_statements``: as statements. ``fires``: triggers of
    the source run.
    """

    singly: bool = False
    updates: bool = False
    as_rows: bool = False
    as_statements: bool = False
    fires: bool = False


def way_back(
    table: Table,
    target_table: Table,
    changes: Differences,
    source: Session,
    target: Session,
    pair: Pair,
    allow_triggers: bool,
) -> Way:
    """Choose how ``changes`` are written. Raises TableProblem where they must not be, Refusal ``missing_grant``, ServerError."""
    for where, each in (("source", table), ("target", target_table)):
        if not each.is_transactional and not (each.is_lockable and table.key):
            raise TableProblem(
                "engine_not_transactional",
                f"the table is of the engine {each.engine} on the {where}, which cannot take a change back"
                f"{', and has no key, so that no row could be written by itself' if each.is_lockable else ''}",
                "Convert it to InnoDB, or put the rows back by hand.",
            )
        if each.is_versioned:
            raise TableProblem(
                "system_versioned",
                "the table keeps its own history, which would grow, on each replica another one",
                "Put the rows back by hand.",
            )
    refuse_fragile(target, target_table)
    singly = not (table.is_transactional and target_table.is_transactional)
    kinds = {kind for kind, rows in changes.rows.items() if rows} if table.key else {DIFFERENT}
    ours, theirs = ({trigger.event.upper() for trigger in each.triggers} for each in (table, target_table))
    replacing, updating = _events(kinds, {"DELETE", "INSERT"}), _events(kinds, {"UPDATE"})
    updates = singly or bool(table.key and replacing & ours and not updating & ours)
    events = updating if updates else replacing  # that the statements fire
    if events & (ours | theirs):
        _refuse_triggers(table, target_table, bool(events & ours), singly, target, allow_triggers)
    if events & ours:
        written_by(source, table.name)  # raises where something would survive a rollback
    # Replicas besides the target are in IDEMPOTENT mode by now, which passes over row changes alone (downstream.py).
    others = any(get_real_writes(source, target, pair))
    # Its applier, a new session, stops on a logged DELETE or UPDATE for which it uses no key.
    careful = target.variables(("sql_safe_updates",)).get("sql_safe_updates") == "ON"
    as_rows = others or careful or bool(events & (ours | theirs))
    if others and not table.key:
        raise TableProblem(
            "downstream_replicas",
            f"{table.name} has no key; replicas besides the target that have its rows would get them a second time.",
            "Detach them for the time of the undo, or add a primary key.",
        )
    why = "replicas besides the target" if others else "its sql_safe_updates" if careful else "triggers"
    by_name = column_order(table) != column_order(target_table)
    if by_name:
        _refuse_by_name(table, pair, why if as_rows else "")
    if as_rows and pair.target.stops_on_rows:
        raise TableProblem(
            "row_not_logged",
            f"{table.name} must be logged as row changes, because of {why}; the target has binlog_format=STATEMENT and would stop"
            " on them (error 1666).",
            "Run on the target: STOP REPLICA; SET GLOBAL binlog_format='ROW'; START REPLICA.",
        )
    # MySQL locks rows only for those who may change some.
    to_lock = {"LOCK TABLES"} if singly else set() if source.dialect.is_mariadb else {"DELETE|UPDATE|LOCK TABLES"}
    _refuse_without_rights(source, table, events | to_lock)
    way = Way(singly, updates, as_rows, by_name, bool(events & ours))
    if choose_format(source, table, way):
        source.execute("SET SESSION binlog_format = DEFAULT")
    return way


def choose_format(session: Session, table: Table, way: Way) -> bool:
    """Let a session log what the way needs; whether it would have logged anything else.

    Raises TableProblem ``missing_grant``, ServerError.
    """
    wanted = "ROW" if way.as_rows else "STATEMENT" if way.as_statements else ""
    if not wanted or session.scalar("SELECT @@SESSION.binlog_format") == wanted:
        return False
    try:
        session.execute(f"SET SESSION binlog_format = '{wanted}'")
    except AccessDenied as exc:
        what = f"statements, because {_UNLIKE}"
        if way.as_rows:
            what = "row changes, because of triggers, of sql_safe_updates on the target or of replicas besides it"
        raise TableProblem(
            "missing_grant",
            f"{table.name} must be logged as {what}, which the account may not choose: {exc.message}.",
            f"Grant it what a repair needs (docs/connections.md), or set binlog_format={wanted} on the source.",
        ) from exc
    return True


def _refuse_by_name(table: Table, pair: Pair, why_rows: str) -> None:
    """Raise TableProblem unless statements may be logged; ``why_rows``: what keeps them from being."""
    if why_rows:
        raise TableProblem(
            "schema_mismatch",
            f"{table.name} must be logged as row changes, because of {why_rows}, but {_UNLIKE}; row changes carry them by"
            " position, as they are stored.",
            "Make the definitions equal first.",
        )
    rules = pair.applier
    if rules.row_format_only or rules.checked_account:
        raise TableProblem(
            "row_format_required",
            f"{table.name} must be logged as statements, because {_UNLIKE}; {pair.forward.name} would stop at these"
            " (REQUIRE_ROW_FORMAT, PRIVILEGE_CHECKS_USER).",
            "Make the definitions equal first.",
        )


def _refuse_without_rights(source: Session, table: Table, wanted: set[str]) -> None:
    """Raise Refusal ``missing_grant`` if the account may not write the table so; ``wanted``: the rights that it takes.

    Asked before anything is written, and where nothing will be: in check mode.
    """
    rights = grants.read(source)
    name = table.name
    lacking = sorted({each.split("|")[0] for each in wanted if not rights.may(each, name.database, name.table)})
    if lacking and not rights.unparsed:
        raise Refusal(
            "missing_grant",
            f"an undo writes to the real tables of the source, which {rights.account} may not: it lacks {', '.join(lacking)} on"
            f" {name}{', which is locked as a whole while its rows are put back' if 'LOCK TABLES' in wanted else ''}.",
            f"Run on the source, for the time of the undo: {rights.statement(lacking, name.database)}.",
        )


def _events(kinds: set[str], of_different: set[str]) -> set[str]:
    found = {EXTRA: {"DELETE"}, MISSING: {"INSERT"}, DIFFERENT: of_different}
    return set().union(*(found[kind] for kind in kinds))


def _refuse_triggers(table: Table, target_table: Table, fires: bool, singly: bool, target: Session, allow_triggers: bool) -> None:
    """Raise TableProblem unless rows may be written although one of the two tables has triggers for that."""
    listed = ", ".join(
        dict.fromkeys(f"{each.name} ({each.timing} {each.event})" for one in (table, target_table) for each in one.triggers)
    )
    for code, found, message, remedy in (
        (
            "triggers",
            singly or table.key is None,
            f"has no {'transactions' if singly else 'key'}, so what they change could not be taken back",
            "Drop them for the time of the undo.",
        ),
        (
            "triggers",
            fires and not allow_triggers,
            "would fire them on the source, and they could change other rows",
            "Set 'allow_triggers: true': what they change elsewhere is looked for before the commit and rolled back.",
        ),
        (
            "triggers",
            runs_triggers_for_rows(target),
            "would fire them on the target even by row changes (slave_run_triggers_for_rbr)",
            "SET GLOBAL slave_run_triggers_for_rbr='NO' on the target for the time of the undo.",
        ),
    ):
        if found:
            raise TableProblem(code, f"{table.name} has triggers ({listed}) and {message}.", remedy)
