# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas that come below the two servers after a run has begun: what downstream.py keeps whole must stay so (law 10).

The preflight knows those that are connected when it looks; one that was away, or is new, shows in no list. So the lists are
read again before each batch, one statement for each server. A replica registers before it gets anything, so that one which is
not seen has got nothing of the batch by then. What it finds in the binary log when it comes it does get: it may have stopped at
rows that were repaired before.
"""

from __future__ import annotations

import time
import typing as t

from .downstream import LOG_IT, Upstream, ask, is_harmless, losing
from .errors import Refusal, ReplError, ServerError, TableProblem
from .facts import Replica, ServerFacts, read_log_end, read_replicas
from .leniency import Applier
from .logplace import LogPlace
from .schema import Table
from .session import Session
from .topology import Pair, besides

# Seconds: what comes may still be connecting, and an old connection of one that comes back still end.
_SETTLES = 5.0
_POLL = 0.2

#: Keeps replicas of a server lenient until the run is over, as downstream.idempotent() does; with the place where it began.
Relax = t.Callable[[Session, ServerFacts, tuple[Replica, ...], t.Optional[LogPlace]], None]


class _Side:
    """A server whose replicas get what the run writes: as row changes that may stop them, as statements, or both."""

    def __init__(
        self,
        session: Session,
        facts: ServerFacts,
        partner: ServerFacts,
        partner_connected: bool,
        rows: bool,
        statements: bool,
        at_first: tuple[Replica, ...] | None,
    ) -> None:
        self.session = session
        self.facts = facts
        self.rows = rows
        self.statements = statements
        #: Where the run began in its binary log.
        self.since = read_log_end(session)
        self._partner = partner, partner_connected
        self._known: set[tuple[int | None, str | None]] = set()
        # Where the account may see no more: how many there are.
        self._nameless = 0
        self.note(at_first or ())

    def look(self) -> tuple[Replica, ...]:
        """Those that have come. Raises ServerError."""
        deadline = time.monotonic() + _SETTLES
        while True:
            now = besides(read_replicas(self.session, sees_all=True), *self._partner) or ()
            named = tuple(each for each in now if each.server_id and (each.server_id, each.uuid) not in self._known)
            more = tuple(each for each in now if not each.server_id)[self._nameless :]
            if named or not more or time.monotonic() > deadline:
                return named or more
            time.sleep(_POLL)

    def note(self, came: t.Iterable[Replica]) -> None:
        """These are accounted for."""
        for each in came:
            if each.server_id:
                self._known.add((each.server_id, each.uuid))
            else:
                self._nameless += 1


class Newcomers:
    """Looks for replicas that come below the two while a run writes."""

    def __init__(
        self,
        source: Session,
        target: Session,
        pair: Pair,
        downstream: str,
        relax: Relax,
        real_writes: bool,
        statements: bool,
    ) -> None:
        """To be made before anything is written. ``pair``: as the preflight saw it; ``downstream``: the user's option;
        ``real_writes``: the source's real tables are written, so that its replicas may stop as well; ``statements``: some of
        what the source logs are statements of a repair. Raises ServerError."""
        self._idempotent = downstream == "idempotent"
        self._relax = relax
        self._refused: ReplError | None = None
        self._let_in: list[Upstream] = []
        # The first that was written of those that replicas may lose values of.
        self._generated: Table | None = None
        logs, rows = pair.target.log_replica_updates, real_writes or not is_harmless(pair.target)
        forwards = statements and pair.target.binlog_format.upper() != "ROW"
        connected = bool(pair.reverse and pair.reverse.io_running)
        at = pair.target_replicas, pair.source_replicas
        sides = (
            _Side(target, pair.target, pair.source, connected, logs and rows, logs and forwards, at[0]),
            _Side(source, pair.source, pair.target, pair.forward.io_running, real_writes, statements, at[1]),
        )
        self._sides = [side for side in sides if side.rows or side.statements]

    def look(self, table: Table, as_rows: bool = True) -> None:
        """Account for those that have come, before a batch of a table; ``as_rows``: what reaches them of it are row changes.

        Raises what keeps the run from going on, once and for all: Refusal ``downstream_replicas``, ``row_format_required``,
        ``safe_updates``, what downstream.idempotent() raises. TableProblem ``downstream_replicas`` where only this table must
        not go on. ServerError.
        """
        self._look()
        if self._let_in and not (table.key and as_rows):
            why = "is put back by logged statements, at which a replica may stop" if table.key else "has no key"
            names = _names(replica for each in self._let_in for replica in each.replicas)
            raise TableProblem(
                "downstream_replicas",
                f"{table.name} {why}. Replicas have come since the run began ({names}); they would get rows of"
                " it a second time, and may have got some.",
                "Run again." if table.key else "Detach them for the time of the repair, or add a primary key.",
            )
        said = losing(table, self._let_in)
        if said:
            raise TableProblem("downstream_replicas", f"{said} It has come since the run began.", LOG_IT)
        if table.stores_generated and not self._generated:
            self._generated = table

    def at_the_end(self) -> tuple[str, ...]:
        """Account for those that have come since the last batch; what there is to say of them."""
        if self._refused:
            return ()
        try:
            self._look()
        except ServerError:  # of a server that does not answer is told already
            return ()
        except ReplError as exc:
            return (str(exc),)
        return ()

    def _look(self) -> None:
        if self._refused:
            raise self._refused
        for side in self._sides:
            came = side.look()
            if came:
                try:
                    self._judge(side, came)
                except ReplError as exc:
                    self._refused = exc
                    raise
                side.note(came)

    def _judge(self, side: _Side, came: tuple[Replica, ...]) -> None:
        if side.statements:
            self._refuse_picky(side, came)
        if side.rows and not self._idempotent:
            raise self._may_stop(side, came)
        if side.rows:
            self._refuse_losing(side, came)
            self._welcome(side, came)
            self._let_in.append(Upstream(side.session, side.facts, came))

    def _refuse_picky(self, side: _Side, came: tuple[Replica, ...]) -> None:
        """As hazards.py has it of those that were there at the start."""
        picky = ask(side.session, side.facts, came)
        for code, found, why, remedy in (
            (
                "row_format_required",
                [replica for replica, _rules in picky.row_only],
                "take row changes only",
                "STOP REPLICA; CHANGE REPLICATION SOURCE TO REQUIRE_ROW_FORMAT=0, PRIVILEGE_CHECKS_USER=NULL; START REPLICA",
            ),
            (
                "safe_updates",
                list(picky.safe_updates),
                "have sql_safe_updates ON",
                "SET GLOBAL sql_safe_updates=OFF, and restart the applier",
            ),
        ):
            if found:
                raise Refusal(
                    code,
                    f"replicas that {why} have come below the {side.facts.role} since the run began: {_names(found)}. A repair is"
                    " logged as statements, which would stop them.",
                    f"Detach them for the time of the repair, or run there: {remedy}. Then run again.",
                )

    def _refuse_losing(self, side: _Side, came: tuple[Replica, ...]) -> None:
        """What was written of a table before is still to come to them."""
        said = self._generated and losing(self._generated, [Upstream(side.session, side.facts, came)])
        if said:
            raise Refusal(
                "downstream_replicas",
                f"{said} It has come since the run began, and gets what was written already.",
                f"{LOG_IT} {_mending(side.session)}",
            )

    def _may_stop(self, side: _Side, came: tuple[Replica, ...]) -> Refusal:
        return Refusal(
            "downstream_replicas",
            f"replicas have come below the {side.facts.role} since the run began: {_names(came)}. What the run writes reaches"
            " them as row changes that they may already have: they would stop with error 1062 or 1032, and may have stopped at"
            " what was written before they were seen.",
            f"Set 'downstream: idempotent', or detach them for the time of the run, and run again. {_mending(side.session)}",
        )

    def _welcome(self, side: _Side, came: tuple[Replica, ...]) -> None:
        """Make them lenient; one that is only connecting shows as stopped for a moment."""
        deadline = time.monotonic() + _SETTLES
        while True:
            try:
                return self._relax(side.session, side.facts, came, side.since)
            except Refusal as exc:
                if exc.code not in ("stopped_link", "downstream_unknown"):
                    raise
                if time.monotonic() > deadline:  # perhaps at rows of this run, though its position does not show it
                    raise Refusal(exc.code, exc.message, f"{exc.remedy} {_mending(side.session)}") from exc
            time.sleep(_POLL)


def _mending(upstream: Session) -> str:
    """What lets a replica go on that has stopped at rows of the run."""
    return f"Where one has stopped at what the run wrote (error 1062 or 1032), {Applier(upstream).mending('')}"


def _names(replicas: t.Iterable[Replica]) -> str:
    return ", ".join(map(str, replicas))
