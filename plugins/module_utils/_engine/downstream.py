# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Replicas below the target: a repair must not break them (law 10).

What a repair does on the target, the target logs again for its own replicas, in its own format. Measured on MariaDB
and MySQL, for replicas that had the right row all along and for replicas with the target's drift:

* STATEMENT: the same statements again. Harmless.
* ROW: an inserted row stops a replica that has it (error 1062), a deleted row one that lacks it (1032). With the
  replica in IDEMPOTENT mode both are passed over, and all copies are equal afterwards; but not in a table without a
  key, where the replica gets inserted rows a second time.
* MIXED: statements as a rule, but rows under READ COMMITTED and the like. Taken for ROW.

What writes the source's real table (an undo, the method ``row``) also reaches replicas of the source; one that has just the
source's rows takes it as it takes what the application writes, one that has not may stop. An undo logged as statements stops
one that has a row already (its INSERT: 1062), and IDEMPOTENT mode passes over row changes alone. So it is logged as rows
where there are replicas besides the target.
"""

from __future__ import annotations

import typing as t
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from . import aftermath
from .dialect import MARIADB
from .endpoint import Endpoint
from .entries import Identity
from .errors import ConnectError, Refusal, ReplError, ServerError
from .facts import Replica, ServerFacts, read_facts, read_identity, read_replicas
from .journal import Writer
from .leniency import IDEMPOTENT, Applier
from .links import ApplierRules, Link, read_applier_rules, read_links
from .logplace import LogPlace
from .schema import Table
from .session import Session, connect
from .topology import Pair, leads_to

# Seconds to wait for a replica that is only asked.
_SECONDS = 2

# What to do without the right to set the mode.
_OTHERWISE = "leave 'downstream' at 'refuse'"

# Seconds: how long one may take to answer a question.
_ANSWER = 60.0

#: What helps against losing().
LOG_IT = "Set log_slave_updates=ON there, or detach it meanwhile."


class Upstream(t.NamedTuple):
    """A server, and replicas below it that are none of the pair's two."""

    session: Session
    facts: ServerFacts
    replicas: tuple[Replica, ...]


def is_harmless(target: ServerFacts) -> bool:
    """Whether replicas below the target cannot be broken by a repair."""
    return not target.log_replica_updates or target.binlog_format.upper() == "STATEMENT"


def get_real_writes(source: Session, target: Session, pair: Pair) -> t.Iterator[Upstream]:
    """Servers with replicas besides the pair's own two that get what is written to a real table of the source.

    None: such a write reaches the target alone.
    """
    if pair.target_replicas and pair.target.log_replica_updates:
        yield Upstream(target, pair.target, pair.target_replicas)
    if pair.source_replicas:
        yield Upstream(source, pair.source, pair.source_replicas)


def get_repairs(target: Session, pair: Pair) -> t.Iterator[Upstream]:
    """The target, if replicas below it get what statements of a repair do there as row changes, which may stop them."""
    if pair.target_replicas and not is_harmless(pair.target):
        yield Upstream(target, pair.target, pair.target_replicas)


def refuse_undo(source: Session, target: Session, pair: Pair, downstream: str) -> None:
    """Raise Refusal if an undo could stop a replica besides the target: ``replicas_unknown``, ``downstream_replicas``.

    ``downstream``: the user's option.
    """
    for session, replicas in ((source, pair.source_replicas), (target, pair.target_replicas)):
        if replicas is None:
            raise Refusal(
                "replicas_unknown",
                f"the account may not see which replicas hang below {session.name}; an undo could stop them.",
                f"Run on the {session.role}: GRANT PROCESS ON *.* to the account.",
            )
    found = list(get_real_writes(source, target, pair))
    if found and downstream != "idempotent":
        listed = "; ".join(f"below the {each.session.role}: {', '.join(map(str, each.replicas))}" for each in found)
        raise Refusal(
            "downstream_replicas",
            f"other replicas get what an undo writes ({listed}); one whose rows are not just the source's would stop with error"
            " 1062 or 1032.",
            "Set 'downstream: idempotent', or detach them for the time of the undo.",
        )


def refuse_unsettable(found: t.Iterable[Upstream]) -> None:
    """Raise what idempotent() would for these replicas, as far as looking tells: before anything is done, and in check mode."""
    with ExitStack() as sessions:
        for session, facts, replicas in found:
            for replica in replicas:
                _open(sessions, session, facts, replica).applier.refuse_unsettable(_OTHERWISE)


@dataclass(frozen=True)
class Picky:
    """Replicas of a server that may stop on the statements of a repair, of those that could be asked.

    ``row_only``: they take row changes only (MySQL), or check an account's rights; ``safe_updates``: new sessions there, an
    applier's too, refuse a DELETE or UPDATE for which they use no key.
    """

    row_only: tuple[tuple[Replica, ApplierRules], ...] = ()
    safe_updates: tuple[Replica, ...] = ()


def ask(upstream: Session, facts: ServerFacts, replicas: t.Iterable[Replica] | None) -> Picky:
    """Ask the replicas of a server, with its login, at the addresses they report."""
    row_only: list[tuple[Replica, ApplierRules]] = []
    safe_updates: list[Replica] = []
    for replica in replicas or ():
        if not (replica.host and replica.port):
            continue
        role = f"replica below the {upstream.role}"
        with suppress(ConnectError, ServerError), connect(_address(upstream, replica), role) as session:
            if session.variables(("sql_safe_updates",)).get("sql_safe_updates") == "ON":
                safe_updates.append(replica)
            links = [link for link in read_links(session) if leads_to(link, facts)]
            rules = [read_applier_rules(session, link.channel) for link in links]
            row_only += [(replica, rule) for rule in rules if rule.row_format_only or rule.checked_account]
    return Picky(tuple(row_only), tuple(safe_updates))


def losing(table: Table, found: t.Iterable[Upstream]) -> str:
    """Say that one of these replicas, while lenient, may store NULL in what a table has generated; empty where none may.

    MariaDB's do where they do not log what they apply: in the rows that follow one which was there already. Measured on 11.8
    and not seen on 10.11; of the versions between nobody knows, so all are taken for it, and one that cannot be asked too.
    """
    if not table.stores_generated:
        return ""
    for upstream, facts, replicas in found:
        for replica in replicas if facts.flavor == MARIADB else ():
            if not _logs(upstream, replica):
                return (
                    f"{table.name} has stored generated columns; the replica {replica} of the {upstream.role}, which does not log"
                    " what it applies (log_slave_updates=OFF) or could not be asked, may store NULL there."
                )
    return ""


def _logs(upstream: Session, replica: Replica) -> bool:
    """Whether a replica is known to log what it applies."""
    if not (replica.host and replica.port):
        return False
    try:
        with connect(_address(upstream, replica), f"replica below the {upstream.role}") as session:
            return set(session.variables(("log_bin", "log_slave_updates")).values()) == {"ON"}
    except (ConnectError, ServerError):
        return False


def _address(upstream: Session, replica: Replica) -> Endpoint:
    """Where a replica says that it is, for a short question with the upstream's login."""
    return replace(upstream.endpoint.at(replica.host, replica.port), connect_timeout=_SECONDS)


@contextmanager
def idempotent(
    upstream: Session,
    facts: ServerFacts,
    replicas: t.Iterable[Replica],
    timeout: float,
    journal: Writer,
    drain: t.Callable[[], None],
    since: LogPlace | None = None,
) -> t.Iterator[list[str]]:
    """Keep replicas of ``upstream`` in IDEMPOTENT mode while the context lasts; then drain them and set STRICT.

    STRICT also where somebody else had left IDEMPOTENT behind: that cannot be told from anything else. The journal says
    which are lenient, for put_back(), should this run be killed. They are reached with the upstream's login at the addresses
    they report. ``timeout``: seconds for a replica to catch up; one that does not stays IDEMPOTENT, because STRICT would
    break it, and the list given, which is empty until the end, then says so; so do all where ``drain`` raises, because what
    the pair itself has not applied is still to come. ``since``: where the run began in the upstream's binary log; a replica that
    has come later and stopped at a row behind that is started again. Raises Refusal before anything is changed
    (``downstream_unknown``, ``downstream_replicas``, ``stopped_link``, ``already_running``, ``missing_grant``,
    ``journal_unwritable``) and ConnectError.
    """
    problems: list[str] = []
    identity = read_identity(upstream)
    with ExitStack() as sessions:
        all_below = [_open(sessions, upstream, facts, replica, since, journal.directory) for replica in replicas]
        relaxed: list[_Below] = []
        try:
            for below in all_below:
                is_ours = any(below.identity.is_same(each) for each in journal.lenient_servers)
                if not is_ours:  # one below both of the pair is met twice
                    sessions.enter_context(below.applier.by_us())
                journal.lenient(below.identity, True)
                try:
                    below.applier.set(IDEMPOTENT, _OTHERWISE)
                except Refusal:
                    journal.lenient(below.identity, False)
                    raise
                relaxed.append(below)
                if below.link.problem:
                    with suppress(ServerError):  # restore() tries again, and says how to
                        below.applier.take_up(below.link)
            yield problems
        finally:
            undrained = _trouble(drain) if relaxed else None
            for below in relaxed:
                found = (
                    [below.applier.words(undrained, below.link)]
                    if undrained
                    else list(below.applier.restore(upstream, identity, below.link, timeout))
                )
                problems += found
                if not found:
                    with suppress(Refusal):  # a full disk: the next run finds it STRICT
                        journal.lenient(below.identity, False)


def _trouble(drain: t.Callable[[], None]) -> ReplError | None:
    try:
        drain()
    except ReplError as exc:
        return exc
    return None


@dataclass(frozen=True)
class PutBack:
    """What has become of a replica that was left lenient. ``is_strict``: it is so again, and runs."""

    is_strict: bool
    words: str


def put_back(
    upstreams: t.Iterable[Upstream],
    directory: str,
    timeout: float,
    drain: t.Callable[[], None],
) -> t.Iterator[PutBack]:
    """Set replicas STRICT that a run of ours which was killed has left IDEMPOTENT, by the journals in ``directory``.

    Yields what has become of each. One that cannot be asked is left alone,
    and so is one that a living run keeps so.
    One that was restarted since is STRICT, and may have stopped: what to do is said, since it is not known at whose row.
    """
    for upstream, facts, replicas in upstreams:
        for replica in replicas:
            with ExitStack() as sessions, suppress(ReplError):
                below = _log_in(sessions, upstream, facts, replica)
                if not sessions.enter_context(below.applier.alone()):
                    continue
                stopped = _advice(below, directory)
                if stopped:
                    yield PutBack(False, f"The replica {replica} has stopped: {below.link.problem}. {stopped}")
                    continue
                _refuse_unfit(below, facts, None, directory)
                left = aftermath.find(directory, below.identity) if below.applier.mode == IDEMPOTENT else None
                if left:
                    drain()
                    identity = read_identity(upstream)
                    problems = list(below.applier.restore(upstream, identity, below.link, timeout))
                    not_noted = "" if problems else aftermath.note_strict(left)
                    was = f"The replica {replica} was in IDEMPOTENT mode, left so by a run that was killed"
                    yield PutBack(not problems, problems[0] if problems else f"{was}; {aftermath.STRICT_AGAIN}{not_noted}")


class _Below(t.NamedTuple):
    """A replica below: a session to it, what was found there, what it applies, what it is told, and who it is."""

    session: Session
    facts: ServerFacts
    link: Link
    applier: Applier
    identity: Identity


def _log_in(sessions: ExitStack, upstream: Session, facts: ServerFacts, replica: Replica) -> _Below:
    """Log in to a replica and prove that it is the one."""
    address = upstream.endpoint.at(replica.host, replica.port)
    session = sessions.enter_context(connect(address, f"replica below the {upstream.role}"))
    with session.answers_within(_ANSWER):
        found = read_facts(session)
        link = next((link for link in read_links(session) if leads_to(link, facts)), None)
    if link is None or (found.server_id, found.uuid) != (replica.server_id, replica.uuid or found.uuid):
        raise Refusal(
            "downstream_unknown",
            f"{session.name} is not the replica of the {upstream.role} that reports this address ({replica}).",
            "Correct its report_host and report_port.",
        )
    identity = Identity(session.endpoint.address, found.server_id, found.uuid)
    return _Below(session, found, link, Applier(session, lambda: _log_in(sessions, upstream, facts, replica).session), identity)


def _open(
    sessions: ExitStack,
    upstream: Session,
    facts: ServerFacts,
    replica: Replica,
    since: LogPlace | None = None,
    directory: str | None = None,
) -> _Below:
    """Log in to a replica and prove that it is the one, and the last of its line.

    It must run, or have stopped at a row that was logged after ``since``. ``directory``: of journals that may know of it.
    """
    if not (replica.host and replica.port and replica.server_id):
        raise Refusal(
            "downstream_unknown",
            f"{upstream.name} has a replica that does not report its address: {replica}.",
            f"Set report_host and report_port on it; on the {upstream.role}"
            f" GRANT {upstream.dialect.replicas_privilege.split('|')[0]} ON *.* to the account, which shows them"
            " (SHOW REPLICAS).",
        )
    below = _log_in(sessions, upstream, facts, replica)
    _refuse_unfit(below, facts, since, directory)
    return below


def _advice(below: _Below, directory: str | None) -> str:
    """What to do about one that has stopped, where the journals tell that it was lenient for a run which died."""
    return "" if directory is None else aftermath.advice_on(below.session, below.link, below.identity, directory)


def _refuse_unfit(below: _Below, facts: ServerFacts, since: LogPlace | None, directory: str | None) -> None:
    session, link = below.session, below.link
    if link.problem and not (since and link.stopped_at_rows and link.stopped_behind(since)):
        raise Refusal(
            "stopped_link",
            f"{link.name} on {session.name} does not replicate: {link.problem}.",
            _advice(below, directory) or "Mend and start it first.",
        )
    if link.delay:
        raise Refusal(
            "delayed_link",
            f"{link.name} on {session.name} is delayed on purpose by {link.delay} s, and would be IDEMPOTENT for as long.",
            "Set its delay to 0 for the time of the run.",
        )
    with session.answers_within(_ANSWER):
        deeper = read_replicas(session)
    if deeper is None or [each for each in deeper if each.server_id != facts.server_id]:
        raise Refusal(
            "downstream_replicas",
            f"{session.name} has replicas of its own, or may have: what becomes of them is not known.",
            "Detach them for the time of the repair.",
        )
    if below.facts.stops_on_rows:
        raise Refusal(
            "downstream_replicas",
            f"{session.name} logs statements only and stops on row changes that it is to log again (error 1666).",
            "Run there: STOP REPLICA; SET GLOBAL binlog_format='ROW'; START REPLICA.",
        )
