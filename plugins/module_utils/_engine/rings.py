# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Loops longer than two: whether the target's changes may reach the source through other servers (A, B, C, A).

Such changes pass no link between the two, so the fence of the links does not see them.
"""

from __future__ import annotations

from .facts import Replica, ServerFacts
from .links import Link
from .session import Session


def same_upstream(one: Link, other: Link) -> bool:
    """Whether two links come from the same server, as far as they tell."""
    if one.source_uuid and other.source_uuid:
        return one.source_uuid == other.source_uuid
    return one.source_server_id is not None and one.source_server_id == other.source_server_id


def detour(
    source: Session, target: Session, target_facts: ServerFacts, replicas: tuple[Replica, ...] | None, upstreams: tuple[Link, ...]
) -> str:
    """Say which way the target's changes may take to the source other than a link between the two; empty: none.

    ``replicas`` are the target's (None: not known), ``upstreams`` the source's, the partner left out of both. When nothing
    can be known, a way is taken to exist. Raises ServerError.
    """
    if not upstreams:
        return ""
    names = ", ".join(link.name for link in upstreams)
    between = [str(replica) for replica in replicas or () if any(_is(replica, link) for link in upstreams)]
    if between:
        return f"{', '.join(between)} replicates from the target, and the source from it"
    came = _came_to_source(source, target, target_facts, below=replicas != ())
    if came:
        return f"changes made on the target have come to the source before, which has {names}"
    if came is None and replicas != ():
        return f"replicas hang below the target, and the source has {names}"
    return ""


def made_alone(source: Session, target: Session, facts: ServerFacts) -> str:
    """Give the last GTIDs (MariaDB), one a domain, of changes made on the target that the source never had; empty: none."""
    made = _last_own(target.scalar("SELECT @@global.gtid_binlog_state") or "", facts.server_id)
    came = _last_own(source.scalar("SELECT @@global.gtid_binlog_state") or "", facts.server_id)
    # Where the source does not log what it applies, only this tells that it came.
    applied = _numbers(source.scalar("SELECT @@global.gtid_slave_pos") or "")
    return ",".join(
        f"{domain}-{facts.server_id}-{number}"
        for domain, number in sorted(made.items())
        if max(came.get(domain, 0), applied.get(domain, 0)) < number
    )


def _is(replica: Replica, link: Link) -> bool:
    if replica.uuid and link.source_uuid:
        return replica.uuid == link.source_uuid
    return replica.server_id is not None and replica.server_id == link.source_server_id


def _came_to_source(source: Session, target: Session, facts: ServerFacts, below: bool) -> bool | None:
    """Whether the source has changes that were made on the target; None: it keeps no record of that.

    MariaDB's record is of the last change only: with no replica ``below`` and none missing, nothing is on its way.
    """
    if not source.dialect.is_mariadb:
        if facts.gtid_mode != "ON":
            return None
        return (facts.uuid or "-") in (source.scalar("SELECT @@global.gtid_executed") or "")
    made = _last_own(target.scalar("SELECT @@global.gtid_binlog_state") or "", facts.server_id)
    came = _last_own(source.scalar("SELECT @@global.gtid_binlog_state") or "", facts.server_id)
    return bool(came) and (below or any(came.get(domain, 0) < number for domain, number in made.items()))


def _last_own(binlog_state: str, server_id: int) -> dict[int, int]:
    """Give the last number of one server in each domain of ``domain-server-number,...``."""
    return {domain: number for domain, server, number in _gtids(binlog_state) if server == server_id}


def _numbers(position: str) -> dict[int, int]:
    """Give the number in each domain of a position, which has one for each."""
    return {domain: number for domain, _server, number in _gtids(position)}


def _gtids(text: str) -> list[tuple[int, int, int]]:
    found = []
    for gtid in filter(str.strip, text.replace("\n", "").split(",")):
        domain, server, number = map(int, gtid.split("-"))
        found.append((domain, server, number))
    return found
