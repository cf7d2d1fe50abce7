# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the rows of one table may be put back, on the source's real table, so that nothing else changes anywhere.

Row changes fire no triggers where they are applied (MySQL never, MariaDB unless told to), so the target's own are got round by
logging rows. The source's own triggers do fire; so a statement is chosen whose events have none. Where there is none, they
run only if the user allows it, and what they change elsewhere is counted before COMMIT (putback.py).

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

from .admission import runs_triggers_for_rows
from .confirm import DIFFERENT, EXTRA, MISSING
from .downstream import others_get_real_writes
from .errors import TableProblem
from .footprint import written_by
from .locks import refuse_fragile
from .schema import Table
from .session import Session
from .spool import Differences
from .topology import Pair


@dataclass(frozen=True)
class Way:
    """How a table is written.

    ``singly``: one row a statement, the whole table locked. ``updates``: a different row by UPDATE, not DELETE and INSERT.
    ``as_rows``: logged as row changes whatever the server's format. ``fires``: triggers of the source run.
    """

    singly: bool = False
    updates: bool = False
    as_rows: bool = False
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
    """Choose how ``changes`` are written. Raises TableProblem where they must not be, ServerError."""
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
    others = others_get_real_writes(pair)
    as_rows = others or bool(events & (ours | theirs))
    if others and not table.key:
        raise TableProblem(
            "downstream_replicas",
            f"{table.name} has no key; replicas besides the target that have its rows would get them a second time.",
            "Detach them for the time of the undo, or add a primary key.",
        )
    if as_rows and pair.target.stops_on_rows:
        raise TableProblem(
            "row_not_logged",
            f"{table.name} must be logged as row changes, because of {'replicas besides the target' if others else 'triggers'};"
            " the target has binlog_format=STATEMENT and would stop on them (error 1666).",
            "Run on the target: STOP REPLICA; SET GLOBAL binlog_format='ROW'; START REPLICA.",
        )
    return Way(singly, updates, as_rows, bool(events & ours))


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
