# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""What a report of a run says, before any template lays it out: verdicts, words, figures, places to draw.

Takes the results of the modules, pair by pair, as Ansible registered them; gives plain dicts of text and
numbers in which each text from outside has its unseen characters shown.
"""

from __future__ import annotations

import typing as t

from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._cells import shown_row
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._text import (
    count,
    duration,
    number,
    sentence,
    short,
    visible,
)

Result = t.Mapping[str, t.Any]
View = dict[str, t.Any]

KINDS = ("missing", "extra", "different")

#: Verdicts on a pair, the worst first: code, sign, title.
VERDICTS = {
    "failed": ("✕", "Run failed"),
    "incomplete": ("✕", "Repair incomplete"),
    "no_result": ("✕", "No result"),
    "drift": ("≠", "Drift"),
    "undecided": ("?", "Not proven"),
    "planned": ("→", "Repair planned"),
    "repaired": ("✓", "Repaired"),
    "undone": ("✓", "Undone"),
    "in_sync": ("✓", "In sync"),
}
_URGENT = frozenset({"failed", "incomplete", "no_result", "drift", "undecided"})
#: Statuses of a table, those to look at first.
STATUSES = {
    "error": "✕",
    "undecided": "?",
    "drift": "≠",
    "skipped": "–",
    "repaired": "✓",
    "identical": "✓",
}
# Of more identical tables than that, the page shows one line.
_FEW = 12
_WIDTH = 1000  # of a strip, in units of its drawing
# What the module's summary calls the tables without a verdict.
_UNCOMPARED = {"errors": "error", "undecided": "undecided", "skipped": "skipped"}
_SEVERITIES = ("blocker", "warning", "info")


def report_of(runs: t.Sequence[Result], created: str, title: str = "") -> View:
    """The whole report of ``runs`` (see ``_runs``), one a pair."""
    pairs = [_pair(place, run) for place, run in enumerate(runs, 1)]
    order = list(VERDICTS)
    worst = min((pair["verdict"]["code"] for pair in pairs), key=order.index, default="no_result")
    totals = _totals(pairs)
    return {
        "title": sentence(title) or "Replication report",
        "created": created,
        "verdict": pairs[0]["verdict"] if len(pairs) == 1 else _fleet(worst, pairs),
        "totals": totals,
        "pairs": pairs,
        "by_urgency": sorted(pairs, key=lambda pair: order.index(pair["verdict"]["code"])),
        "summary": _summary(pairs),
        "runs": runs,
    }


def _fleet(worst: str, pairs: t.Sequence[View]) -> View:
    urgent = sum(pair["verdict"]["code"] in _URGENT for pair in pairs)
    whole = number(len(pairs))
    title = (
        f"{number(urgent)} of {whole} pairs need{'s' if urgent == 1 else ''} attention" if urgent else f"All {whole} pairs well"
    )
    return {**_verdict(worst, f"{_counted(pairs)}."), "title": title}


def _counted(pairs: t.Sequence[View]) -> str:
    """1 drift, 11 in sync"""
    codes = [pair["verdict"]["code"] for pair in pairs]
    return ", ".join(f"{number(codes.count(code))} {VERDICTS[code][1].lower()}" for code in VERDICTS if code in codes)


def _verdict(code: str, words: str) -> View:
    sign, title = VERDICTS[code]
    return {"code": code, "sign": sign, "title": title, "words": words}


def _totals(pairs: t.Sequence[View]) -> View:
    """Figures over all pairs. Pairs run beside each other, so their seconds are not added up but shown one by one."""
    names = ("tables", "identical", "drift", "repaired", "uncompared", "rows", *KINDS)
    return {"pairs": len(pairs), **{name: sum(pair["figures"][name] for pair in pairs) for name in names}}


def _pair(place: int, run: Result) -> View:
    result, look = run.get("result") or {}, run.get("look") or {}
    kind = "undo" if "refused" in result else "sync" if "changes" in result else "check" if "tables" in result else "run"
    source, target = visible(run["source"]), visible(run["target"])
    is_planned = kind in ("sync", "undo") and bool(result.get("changed")) and not result.get("undo_file")
    tables = [_table(table, kind, result) for table in result.get("tables") or ()]
    tables.sort(key=lambda table: (list(STATUSES).index(table["status"]), -table["differing"], table["name"]))
    same = [table for table in tables if table["status"] == "identical"]
    figures = _figures(tables, result.get("summary") or {})
    pair = {
        "id": f"pair-{place}",
        "pair": visible(run.get("pair") or ""),
        "name": f"{source} → {target}" if source else visible(", ".join(run["hosts"])),
        "source": source,
        "target": target,
        "kind": kind,
        "planned": is_planned,
        "figures": figures,
        "unlisted": max(0, figures["tables"] - len(tables)),
        "servers": [_server(role, host, result.get(role) or look.get(role))
                    for role, host in (("source", source), ("target", target)) if host],
        "links": _links(look, source, target),
        "hazards": _hazards(result.get("hazards") or look.get("hazards") or ()),
        "failure": _failure(result or look),
        "changes": _changes(result) if kind in ("sync", "undo") else None,
        "statements": [visible(statement) for statement in result.get("statements") or ()],
        "refused": [{name: sentence(row.get(name) or "") for name in ("table", "key", "reason", "message")}
                    for row in result.get("refused") or ()],
        "tables": [table for table in tables if table["status"] != "identical"] if len(same) > _FEW else tables,
        "same": same if len(same) > _FEW else [],
        "statuses": {status: n for status in STATUSES if (n := sum(table["status"] == status for table in tables))},
    }  # fmt: skip
    return {**pair, "verdict": _judge(pair, result, look)}


def _judge(pair: View, result: Result, look: Result) -> View:
    """The verdict on a pair: what to do something about comes before what is well."""
    figures, target, failed = pair["figures"], pair["target"], pair["failure"]
    if pair["kind"] == "run":
        return _verdict("failed", failed["message"]) if failed else _verdict(
            "no_result", "The run ended before anything was compared; the job's output says why.")  # fmt: skip
    if pair["kind"] in ("sync", "undo") and (failed or result.get("changed")):
        return _verdict(*_changed(pair, result))
    if pair["kind"] == "undo":
        return _verdict("in_sync", "Every row is as it was already; nothing had to be put back.")
    if figures["drift"]:
        return _verdict("drift", f"{_differing(figures, target)}.")
    if figures["uncompared"]:
        of = count(figures["uncompared"], f"of {number(figures['tables'])} tables", f"of {number(figures['tables'])} tables")
        return _verdict("undecided", f"No difference was found, but {of} could not be compared.")
    whole = (
        f"The only table on {target} is" if figures["tables"] == 1 else f"All {count(figures['tables'], 'table')} on {target} are"
    )
    return _verdict("in_sync", f"{whole} identical to {pair['source']}'s.")


def _changed(pair: View, result: Result) -> tuple[str, str]:
    """Verdict and words of a run that changed something, would have, or could not."""
    changes, source, target = result.get("changes") or {}, pair["source"], pair["target"]
    inserted, updated, deleted, adopted, left = (
        int(changes.get(name) or 0) for name in ("inserted", "updated", "deleted", "adopted", "skipped")
    )
    rest = f" {count(left, 'row is', 'rows are')} left alone." if left else ""
    if pair["planned"]:
        copied = f", {number(adopted)} to copy to {source}" if adopted else ""
        planned = f"{number(inserted)} to insert, {number(updated)} to update, {number(deleted)} to delete{copied}"
        said = f"Rows on {target}: {planned}.{rest} Nothing was changed in this run."
        return ("incomplete" if pair["failure"] else "planned"), said
    done = f"{count(inserted, 'row')} inserted, {number(updated)} updated, {number(deleted)} deleted"
    done += f", {number(adopted)} copied to {source}" if adopted else ""
    if pair["failure"]:
        said = f"On {target}: {done}.{rest}" if result.get("changed") else "Nothing was changed."
        return "incomplete", f"{said} Not all is well, see what went wrong."
    if pair["kind"] == "undo":
        return "undone", f"On both servers: {done}.{rest}"
    return "repaired", f"On {target}, through {source}: {done}; verified equal.{rest}"


def _differing(figures: View, target: str) -> str:
    found = ", ".join(count(figures[kind], f"row {kind}", f"rows {kind}") for kind in KINDS if figures[kind])
    tables = f"{number(figures['drift'])} of {count(figures['tables'], 'table')}"
    return f"{tables} {'differs' if figures['drift'] == 1 else 'differ'} on {target}: {found}"


def _figures(tables: t.Sequence[View], summary: Result) -> View:
    """Counts over all tables, also those that the module left out of a large result: ``summary`` has them."""

    def having(*statuses: str) -> int:
        return sum(table["status"] in statuses for table in tables)

    def whole(name: str, listed: int) -> int:
        return max(listed, int(summary.get(name) or 0))

    no_tables = sum(table["is_no_table"] for table in tables)
    uncompared = sum(whole(name, having(status)) for name, status in _UNCOMPARED.items()) - no_tables
    rows, seconds = whole("rows", sum(table["rows"] for table in tables)), float(summary.get("seconds") or 0)
    repaired = having("repaired")
    return {
        "tables": whole("tables", len(tables)),
        "identical": whole("identical", having("identical")),
        "drift": having("drift") if repaired else whole("drift", having("drift")),
        "repaired": whole("drift", repaired) if repaired else 0,
        "uncompared": uncompared,
        "rows": rows,
        **{kind: whole(kind, sum(table[kind] for table in tables)) for kind in KINDS},
        "seconds": seconds,
        "duration": duration(seconds),
        "pace": _pace(rows, seconds),
    }


def _pace(rows: int, seconds: float) -> str:
    return f"{short(rows / seconds)} rows/s" if rows and seconds else ""


def _table(table: Result, kind: str, result: Result) -> View:
    status = str(table.get("status"))
    if status == "drift" and kind == "sync" and _all_repaired(result):
        status = "repaired"
    if status not in STATUSES:
        status = "error"
    rows, seconds = int(table.get("rows") or 0), float(table.get("seconds") or 0)
    counts = {kind: int(table.get(kind) or 0) for kind in KINDS}
    sample = [shown_row(row) for row in table.get("sample") or ()]
    differing = sum(counts.values())
    return {
        "name": visible(f"{table.get('database')}.{table.get('table')}"),
        "database": visible(table.get("database")),
        "table": visible(table.get("table")),
        "status": status,
        "sign": STATUSES[status],
        "reason": sentence(table.get("reason") or ""),
        "message": sentence(table.get("message") or ""),
        "is_no_table": table.get("reason") in ("view", "sequence"),
        "rows": rows,
        **counts,
        "differing": differing,
        "words": [count(counts[kind], kind, kind) for kind in KINDS if counts[kind]],
        "chunks": int(table.get("chunks") or 0),
        "seconds": seconds,
        "duration": duration(seconds),
        "pace": _pace(rows, seconds),
        # Without a key, rows have no order to say a place by.
        "has_strip": status in ("identical", "drift", "repaired") and (bool(table.get("positions")) or not differing),
        "marks": [mark for place in table.get("positions") or () for mark in _marks(place, rows)],
        "sample": sample,
        "more": max(0, differing - len(sample)),
    }


def _all_repaired(result: Result) -> bool:
    """Whether each differing row of a repair was put right; which tables have those left alone is not told."""
    return bool(result.get("undo_file") and result.get("verified") and not (result.get("changes") or {}).get("skipped"))


def _marks(place: Result, rows: int) -> t.Iterator[View]:
    """The bars of one stretch of the strip, one a kind, on top of each other; none too thin to be seen."""
    start, end = float(place["start"]), float(place["end"])
    width = max((end - start) * _WIDTH, 6)
    left = min(start * _WIDTH, _WIDTH - width)
    counts = {kind: int(place.get(kind) or 0) for kind in KINDS if place.get(kind)}
    whole, top = sum(counts.values()), 0.0
    where = f"{', '.join(count(n, kind, kind) for kind, n in counts.items())}, about {start:.1%} in (row {number(start * rows)})"
    for kind, rows_there in counts.items():
        height = 100 * rows_there / whole
        yield {"kind": kind, "x": round(left, 2), "y": round(top, 2), "w": round(width, 2), "h": round(height, 2), "title": where}
        top += height


def _server(role: str, host: str, said: Result | None) -> View:
    said = said or {}
    flavor = {"mysql": "MySQL", "mariadb": "MariaDB"}.get(str(said.get("flavor")), "")
    version = visible(said.get("version") or "")
    return {
        "role": role,
        "host": host,
        "address": visible(f"{said.get('host')}:{said.get('port')}") if said.get("host") else "",
        "version": version if flavor and flavor in version else f"{flavor} {version}".strip(),
        "server_id": visible(said.get("server_id") or ""),
    }


def _links(look: Result, source: str, target: str) -> list[View]:
    """The two links as they were before the run, as far as they could be seen."""
    found = []
    for name, ends in (("forward", (source, target)), ("reverse", (target, source))):
        link = look.get(name)
        if link:
            lag, runs = link.get("lag"), bool(link.get("io_running") and link.get("sql_running"))
            found.append({
                "from": ends[0],
                "to": ends[1],
                "runs": runs,
                "lag": "" if lag is None else f"{lag} s behind" if lag else "no lag",
                "problem": sentence(link.get("sql_error") or link.get("io_error") or ""),
            })  # fmt: skip
    return found


def _hazards(hazards: t.Sequence[Result]) -> list[View]:
    names = ("code", "severity", "server", "message", "remedy")
    shown = [{name: sentence(hazard.get(name) or "") for name in names} for hazard in hazards]
    return sorted(shown, key=lambda hazard: _SEVERITIES.index(hazard["severity"]) if hazard["severity"] in _SEVERITIES else 0)


def _failure(result: Result) -> View | None:
    """Why a module failed; a comparison that went to its end and only had to fail on drift did not."""
    if not result.get("msg") or ("tables" in result and "changes" not in result):
        return None
    message, remedy = sentence(result["msg"]), sentence(result.get("remedy") or "")
    if remedy and message.endswith(remedy):
        message = message[: -len(remedy)].strip()
    # Our own refusals say all; what Ansible says of a module that crashed is worth keeping.
    more = "" if result.get("code") else sentence(result.get("module_stderr") or result.get("exception") or "")
    return {"message": message, "remedy": remedy, "code": sentence(result.get("code") or ""), "more": more[-2000:]}


def _changes(result: Result) -> View:
    changes = result.get("changes") or {}
    return {
        **{name: int(value) for name, value in changes.items() if isinstance(value, int)},
        "undo_file": visible(result.get("undo_file") or ""),
        "verified": bool(result.get("verified")),
    }


def _summary(pairs: t.Sequence[View]) -> str:
    """All in one text below 1,000 characters, for a notification: what needs somebody comes first."""
    order = list(VERDICTS)
    ordered = sorted(pairs, key=lambda pair: order.index(pair["verdict"]["code"]))
    lines = [f"{pair['verdict']['title'].upper()} {pair['name']}: {pair['verdict']['words']}" for pair in ordered]
    if len(pairs) > 1:
        lines.insert(0, f"{count(len(pairs), 'pair')}: {_counted(pairs)}.")
    text, limit = "", 960
    for place, line in enumerate(lines):
        shown = line if len(line) <= 300 else f"{line[:299]}…"
        if len((text + shown).encode()) > limit:
            return f"{text}… and {count(len(lines) - place, 'more line')}"
        text += shown + "\n"
    return text.rstrip("\n")
