# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the session's account may do, and the GRANT statements for what it lacks.

A right this module believes to be there although it is not costs nothing: the server refuses the statement.
One it believes to be missing although it is there would block a run; so where several entries match, their
union counts, and what was not understood is kept in ``unparsed`` for the caller to say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from . import dialect as dialects
from . import sqltext
from .session import Session

_NAME = r"(`(?:[^`]|``)*`|\"(?:[^\"]|\"\")*\"|[^\s.`\"]+)"
_GRANT = re.compile(rf"(GRANT|REVOKE) (.+?) ON (?:TABLE )?{_NAME}\.{_NAME} (?:TO|FROM) ", re.DOTALL)
# Lines that say nothing of rights on data: roles (their rights are listed on their own), proxies, routines.
_ROLE = rf"{_NAME}(?:@{_NAME})?"
_IRRELEVANT = re.compile(
    rf"GRANT {_ROLE}(?:, ?{_ROLE})* TO |SET DEFAULT ROLE |GRANT PROXY "
    "|(?:GRANT|REVOKE) .+? ON (?:PROCEDURE|FUNCTION|PACKAGE)"
)
_COLUMNS = re.compile(r"[A-Z ]+\((?:`(?:[^`]|``)*`|[^)`])*\)")
_ALL = frozenset({"ALL", "ALL PRIVILEGES"})


@dataclass(frozen=True)
class Right:
    """One entry: privileges on a database pattern (``*``: everything) and a table (``*``: every table).

    ``on_columns``: privileges on some of the table's columns.
    """

    privileges: frozenset[str]
    database: str
    table: str
    revoked: bool = False
    on_columns: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Grants:
    """All rights of one account, roles in force included. ``unparsed``: lines not understood, without their account part.

    ``literal_names``: the server takes ``%`` and ``_`` in database names literally (MySQL's partial_revokes).
    """

    account: str
    rights: tuple[Right, ...]
    unparsed: tuple[str, ...] = ()
    literal_names: bool = False

    def has(self, privilege: str, database: str | None = None, table: str | None = None) -> bool:
        """Whether the account holds one of the alternatives in ``privilege`` ("A|B"), globally or on the object named.

        With a database and no table: on at least one table of it counts, as each table is checked by the server anyway.
        """
        wanted = frozenset(privilege.split("|")) | _ALL
        matching = [right for right in self.rights if right.privileges & wanted and self._covers(right, database, table)]
        revoked = any(right.revoked for right in matching)
        # A partial revoke takes a global right away for one database; a right on the database itself stays.
        return any(not right.revoked and not (revoked and right.database == "*") for right in matching)

    def may(self, privilege: str, database: str, table: str) -> bool:
        """Whether the account holds a right on a table, or on columns of it, be it all of them or not."""
        on_columns = (privilege in right.on_columns for right in self.rights if self._covers(right, database, table))
        return self.has(privilege, database, table) or any(on_columns)

    def statement(self, privileges: Iterable[str], database: str) -> str:
        """The GRANT statement for rights on a database."""
        ((_name, scope),) = self._scopes((database,))
        return self._grant(privileges, scope)

    def databases(self, privilege: str) -> tuple[str, ...]:
        """Database patterns, system databases left out, on which the account holds a privilege; ``*`` for everywhere."""
        wanted = frozenset(privilege.split("|")) | _ALL
        found = {right.database: None for right in self.rights if right.privileges & wanted and not right.revoked}
        return tuple(name for name in found if name.lower() not in dialects.SYSTEM_DATABASES)

    def missing_for_check(self, dialect: dialects.Dialect, databases: Iterable[str] = ()) -> tuple[str, ...]:
        """Give the GRANT statements a comparison still needs; empty: none. No databases: wherever the account may read.

        TRIGGER is needed because information_schema.TRIGGERS is silently empty without it
        (https://dev.mysql.com/doc/refman/8.4/en/information-schema-triggers-table.html). Columns that the account may not
        read are hidden from it: they would be compared by nobody.
        """
        databases = tuple(databases)
        among = {name.lower() for name in databases}
        hidden = tuple(
            self._grant(("SELECT",), f"{sqltext.quote_name(right.database)}.{sqltext.quote_name(right.table)}")
            for right in self.rights
            if "SELECT" in right.on_columns
            and (not among or right.database.lower() in among)
            and not self.has("SELECT", right.database, right.table)
        )
        return (*self._missing(dialect.monitor_privileges, ("SELECT", "TRIGGER"), databases), *hidden)

    def missing_for_shadow(self, dialect: dialects.Dialect, databases: Iterable[str] = ()) -> tuple[str, ...]:
        """Give the GRANT statements a repair through the shadow table still needs on the source; empty: none."""
        return self._missing(dialect.shadow_privileges, dialect.shadow_data_privileges, databases)

    def missing_for_rows(self, dialect: dialects.Dialect, databases: Iterable[str] = ()) -> tuple[str, ...]:
        """Give the GRANT statements a repair that writes the real tables still needs on the source; empty: none."""
        return self._missing(dialect.shadow_privileges, ("INSERT", "DELETE"), databases)

    def missing_for_writes(self, privileges: Sequence[str], databases: Iterable[str] = ()) -> tuple[str, ...]:
        """Give the GRANT statements still needed to write to the real tables by these privileges; empty: none."""
        return self._missing((), privileges, databases)

    def _missing(self, everywhere: Sequence[str], on_data: Sequence[str], databases: Iterable[str]) -> tuple[str, ...]:
        lacking = [privilege.split("|")[0] for privilege in everywhere if not self.has(privilege)]
        statements = [self._grant(lacking, "*.*")] if lacking else []
        for database, scope in self._scopes(databases):
            lacking = [
                privilege for privilege in on_data if not (self.has(privilege, database) or database in self.databases(privilege))
            ]
            if lacking:
                statements.append(self._grant(lacking, scope))
        return tuple(statements)

    def _scopes(self, databases: Iterable[str]) -> Iterable[tuple[str | None, str]]:
        """Give each database (None: all) with its name as GRANT wants it; without names, the patterns the account may read."""
        named = [(name, name if self.literal_names else re.sub(r"([_%])", r"\\\1", name)) for name in databases]
        for name, pattern in named or [(pattern, pattern) for pattern in self.databases("SELECT") or ("*",)]:
            yield (None, "*.*") if name == "*" else (name, f"{sqltext.quote_name(pattern)}.*")

    def _grant(self, privileges: Iterable[str], scope: str) -> str:
        return f"GRANT {', '.join(privileges)} ON {scope} TO {self.account}"

    def _covers(self, right: Right, database: str | None, table: str | None) -> bool:
        if right.database == "*":
            return True
        if database is None or not self._matches(right.database, database):
            return False
        return table is None or right.table in ("*", table)

    def _matches(self, pattern: str, database: str) -> bool:
        # Case is folded: too permissive on case-sensitive servers, never too strict on others.
        pattern, database = pattern.lower(), database.lower()
        if pattern == database or self.literal_names:
            return pattern == database
        parts = re.findall(r"\\.|.", pattern, re.DOTALL)
        expression = "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)
        return re.fullmatch(expression, database, re.DOTALL) is not None


def read(session: Session) -> Grants:
    """Read the rights of the session's own account; it needs no right for that. Raises ServerError."""
    account = "@".join(sqltext.quote_name(part) for part in (session.scalar("SELECT CURRENT_USER()") or "").rsplit("@", 1))
    partial = session.variables(["partial_revokes"]).get("partial_revokes") == "ON"
    return parse(account, _lines(session), literal_names=partial)


def _lines(session: Session) -> list[str]:
    statement = "SHOW GRANTS"
    # MariaDB adds the rights of the active role by itself. MySQL names the roles only, unless they are spelt out.
    if session.dialect.has_roles and not session.dialect.is_mariadb:
        roles = session.scalar("SELECT CURRENT_ROLE()") or "NONE"
        if roles.upper() != "NONE":
            statement = f"SHOW GRANTS FOR CURRENT_USER() USING {roles}"
    return [(row[0] or b"").decode("utf-8", "replace") for row in session.rows(statement)]


def parse(account: str, lines: Iterable[str], literal_names: bool = False) -> Grants:
    """Build Grants from the lines of SHOW GRANTS (https://dev.mysql.com/doc/refman/8.4/en/show-grants.html)."""
    rights, unparsed = [], []
    for line in lines:
        found = _GRANT.match(line)
        if found:
            # Rights on single columns do not suffice for anything here.
            words = _COLUMNS.sub("", found[2])
            privileges = frozenset(word.strip().upper() for word in words.split(",")) - {""}
            on_columns = frozenset(each.partition("(")[0].strip().upper() for each in _COLUMNS.findall(found[2]))
            rights.append(Right(privileges, _plain(found[3]), _plain(found[4]), found[1] == "REVOKE", on_columns))
        elif not _IRRELEVANT.match(line):
            # What follows may hold a password's hash (law 14).
            unparsed.append(re.split(r" (?:TO|FROM|IDENTIFIED) ", line)[0])
    return Grants(account, tuple(rights), tuple(unparsed), literal_names)


def _plain(name: str) -> str:
    quote = name[0]
    return name[1:-1].replace(quote * 2, quote) if quote in '`"' else name
