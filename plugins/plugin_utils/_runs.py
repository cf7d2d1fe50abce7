# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""From the variables of the hosts of a play to one run a pair: which host did the work, and what came of it.

The roles leave their results in ``__mysql_repl_found`` (preflight) and ``__mysql_repl_result`` (the work) of the host
that worked for its pair.
"""

from __future__ import annotations

import typing as t

Host = t.Mapping[str, t.Any]
Run = dict[str, t.Any]

# Ansible's own additions to a result, and what would repeat the rows.
_LEFT_OUT = frozenset({"invocation", "diff", "failed_when_result", "ansible_facts", "attempts"})


def runs_of(hosts: t.Iterable[Host]) -> list[Run]:
    """One entry a pair, in the order of the hosts; ``source`` is empty where nobody found out who that is."""
    pairs: dict[str, list[Host]] = {}
    for host in hosts:
        pairs.setdefault(str(host.get("mysql_repl_pair") or ""), []).append(host)
    return [_run(pair, members) for pair, members in pairs.items()]


def _run(pair: str, members: t.Sequence[Host]) -> Run:
    look, result = _latest(members, "__mysql_repl_found"), _latest(members, "__mysql_repl_result")
    return {
        "pair": pair,
        "hosts": [str(host.get("inventory_hostname")) for host in members],
        "source": _first(members, "mysql_repl_source_host"),
        "target": _first(members, "mysql_repl_target_host"),
        # The preflight comes first: after one that failed there was no work, and a result is of an earlier play.
        "result": look if look.get("failed") else result,
        "look": {} if look.get("failed") else look,
    }


def _latest(members: t.Sequence[Host], name: str) -> Run:
    for host in members:
        said = host.get(name)
        if isinstance(said, t.Mapping) and not said.get("skipped"):
            return {key: plain(said[key]) for key in said if key not in _LEFT_OUT and not key.startswith("_ansible")}
    return {}


def plain(value: t.Any) -> t.Any:
    """A value without what Ansible hangs on it (trust, origin, templates yet to come): JSON's own types only."""
    if isinstance(value, t.Mapping):
        return {str(key): plain(value[key]) for key in value}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, bool):
        return value
    kind = int if isinstance(value, int) else float if isinstance(value, float) else str
    return kind(value)


def _first(members: t.Sequence[Host], name: str) -> str:
    return next((str(host.get(name)) for host in members if host.get(name)), "")
