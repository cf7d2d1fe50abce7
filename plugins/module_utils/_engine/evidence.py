# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hazards are judged from, and what a hazard is."""

from __future__ import annotations

from dataclasses import dataclass, field

from .facts import Replica, ServerFacts
from .grants import Grants
from .links import ApplierRules, Link
from .topology import Pair
from .traces import Traces

INFO, WARNING, BLOCKER = "info", "warning", "blocker"


@dataclass(frozen=True)
class Hazard:
    """One danger: ``server`` is source, target or link; the message says what was found and why it matters."""

    code: str
    severity: str
    server: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class Evidence:
    """What the hazards are judged from. ``source_named``: the user gave the source's address himself.

    ``downstream``: what the user wants of replicas below the target, refuse or idempotent; ``method``: auto, shadow or row;
    ``allow_triggers``: what ``auto`` needs to be ``row``.
    ``source_writes``: rights to the source's real tables that the options need.

    ``repair``: judge for a repair instead of a comparison. No ``databases``: all that the account may read.
    ``errant_gtids``: what the target has executed and the source has not, as MySQL writes it. ``logging_refused``: the
    source's own words where it does not let the session log statements. ``row_only_siblings``: other replicas of the source
    that stop on logged statements, ``safe_updates_below``: other replicas of both servers that get these and refuse those for
    which they use no key; as far as they could be asked.
    """

    pair: Pair
    source_grants: Grants
    target_grants: Grants
    source_named: bool = False
    databases: tuple[str, ...] = ()
    errant_gtids: str = ""
    repair: bool = False
    downstream: str = "refuse"
    logging_refused: str = ""
    method: str = "auto"
    source_writes: tuple[str, ...] = ()
    allow_triggers: bool = False
    row_only_siblings: tuple[tuple[Replica, ApplierRules], ...] = ()
    safe_updates_below: tuple[Replica, ...] = ()
    source_traces: Traces = field(default_factory=Traces)
    target_traces: Traces = field(default_factory=Traces)

    @property
    def grave(self) -> str:
        """Severity of what makes a repair unsafe, but a comparison at worst undecided."""
        return BLOCKER if self.repair else WARNING

    @property
    def can_go_by_rows(self) -> bool:
        """Whether a repair may be made of row changes alone; what the source gets of the target is logged as statements."""
        return not self.source_writes and (self.method == "row" or (self.method == "auto" and self.allow_triggers))

    @property
    def servers(self) -> tuple[ServerFacts, ServerFacts]:
        """Source and target."""
        return self.pair.source, self.pair.target

    @property
    def links(self) -> tuple[Link, ...]:
        """The links between the two, in both directions."""
        return tuple(link for link in (self.pair.forward, self.pair.reverse) if link)

    @property
    def appliers(self) -> tuple[ServerFacts, ...]:
        """The servers that apply changes of the other one."""
        return (self.pair.target, self.pair.source) if self.pair.reverse else (self.pair.target,)

    @property
    def traces(self) -> tuple[tuple[ServerFacts, Traces], ...]:
        """Each server with what was found on it."""
        return (self.pair.source, self.source_traces), (self.pair.target, self.target_traces)
