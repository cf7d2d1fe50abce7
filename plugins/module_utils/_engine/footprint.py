# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which other tables the triggers of a table write, read from their text.

Needed where a repair lets triggers run on the source (rowwise.py): what they change elsewhere must be found, and must be
rolled back if need be. Triggers know no dynamic SQL, so every table they write is spelt out in them. What cannot be read
off the text for certain is refused: routines, sequences, statements over several tables, tables that are no InnoDB tables
(a write there survives the ROLLBACK).
https://dev.mysql.com/doc/refman/8.4/en/stored-program-restrictions.html
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from . import sqltext
from .errors import TableProblem
from .schema import TableName
from .session import Session

_WRITES = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE"})
_MODIFIERS = frozenset({"LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED", "QUICK", "IGNORE", "INTO"})

# Words whose effects are not seen in rows, are not rolled back, or turn our own settings over.
_FORBIDDEN = frozenset(
    {
        *("CALL", "OUTFILE", "DUMPFILE", "TRUNCATE"),
        *("GLOBAL", "SESSION", "LOCAL", "PERSIST", "PERSIST_ONLY", "FOREIGN_KEY_CHECKS", "UNIQUE_CHECKS"),
        *("NEXTVAL", "SETVAL", "LASTVAL"),
    }
)

# What may stand before "(" without being a routine that does who knows what: words of the grammar, types, and functions
# that change nothing. An unknown one is refused, so the list need not be complete.
_HARMLESS_TEXT = """
    ALL AND ANY AS BETWEEN BY CASE DIV DISTINCT DO ELSE ELSEIF EXISTS FROM HAVING IF IN INTERVAL IS JOIN KEY LIKE LIMIT MOD
    NOT ON OR OVER PARTITION REGEXP RETURN RLIKE ROW SELECT SET SOME THEN UNION UNTIL USING VALUE VALUES WHEN WHERE WHILE
    XOR BIGINT BINARY BIT BLOB CHAR CHARACTER DATETIME DEC DECIMAL DOUBLE ENUM FLOAT INT INTEGER MEDIUMINT NCHAR NUMERIC
    NVARCHAR SMALLINT TEXT TIME TIMESTAMP TINYINT VARBINARY VARCHAR YEAR ABS ACOS ADDDATE ADDTIME ASCII ASIN ATAN AVG BIN
    BIT_AND BIT_COUNT BIT_OR BIT_XOR CAST CEIL CEILING CHAR_LENGTH CHARACTER_LENGTH COALESCE CONCAT CONCAT_WS CONNECTION_ID
    CONV CONVERT CONVERT_TZ COS COUNT CRC32 CURDATE CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME
    DATABASE DATE DATEDIFF DATE_ADD DATE_FORMAT DATE_SUB DAY DAYNAME DAYOFMONTH DAYOFWEEK DAYOFYEAR DEFAULT ELT EXP
    EXPORT_SET EXTRACT FIELD FIND_IN_SET FLOOR FORMAT FROM_BASE64 FROM_DAYS FROM_UNIXTIME GREATEST GROUP_CONCAT HEX HOUR
    IFNULL INSERT INSTR ISNULL JSON_ARRAY JSON_ARRAYAGG JSON_CONTAINS JSON_EXTRACT JSON_INSERT JSON_KEYS JSON_LENGTH
    JSON_MERGE_PATCH JSON_OBJECT JSON_OBJECTAGG JSON_QUOTE JSON_REMOVE JSON_REPLACE JSON_SEARCH JSON_SET JSON_TYPE
    JSON_UNQUOTE JSON_VALID JSON_VALUE LAST_DAY LAST_INSERT_ID LCASE LEAST LEFT LENGTH LN LOCALTIME LOCALTIMESTAMP LOCATE
    LOG LOG10 LOG2 LOWER LPAD LTRIM MAKEDATE MAKETIME MAX MD5 MICROSECOND MID MIN MINUTE MONTH MONTHNAME NOW NULLIF OCT
    OCTET_LENGTH ORD PERIOD_ADD PERIOD_DIFF PI POSITION POW POWER QUARTER QUOTE RADIANS RAND REGEXP_INSTR REGEXP_LIKE
    REGEXP_REPLACE REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT ROUND ROW_COUNT RPAD RTRIM SECOND SEC_TO_TIME SHA SHA1 SHA2
    SIGN SIN SOUNDEX SPACE SQRT STDDEV STRCMP STR_TO_DATE SUBDATE SUBSTR SUBSTRING SUBSTRING_INDEX SUBTIME SUM SYSDATE TAN
    TIMEDIFF TIMESTAMPADD TIMESTAMPDIFF TIME_FORMAT TIME_TO_SEC TO_BASE64 TO_DAYS TO_SECONDS TRIM TRUNCATE UCASE UNHEX
    UNIX_TIMESTAMP UPPER USER UTC_DATE UTC_TIME UTC_TIMESTAMP UUID VARIANCE WEEK WEEKDAY WEEKOFYEAR YEARWEEK
"""
_HARMLESS = frozenset(_HARMLESS_TEXT.split())

_COMMENT = r"/\*(?![!M]).*?\*/|--(?=\s|$)[^\n]*|\#[^\n]*"
_NAME = r"`(?:[^`]|``)*`"
_WORD = r"[\w$@]+"


@dataclass(frozen=True)
class _Token:
    """A word, a quoted name as it is meant, or a mark; strings and comments are left out."""

    text: str
    kind: str  # word, name, mark

    @property
    def word(self) -> str:
        """What the grammar sees: a keyword or function in upper case, or a mark; a quoted name is neither."""
        return "" if self.kind == "name" else self.text.upper()


def written_by(session: Session, table: TableName) -> frozenset[TableName]:
    """Tables that triggers of ``table`` write on this server, directly or through triggers of what they write.

    Raises TableProblem ``trigger_side_effects`` where the text does not tell for certain, ServerError.
    """
    found: set[TableName] = set()
    pending = [table]
    while pending:
        current = pending.pop()
        for trigger, body, mode in _bodies(session, current):
            for target in targets(body, mode, current.database, f"{current.database}.{trigger}"):
                name = _resolve(session, target, trigger)
                if name not in found and name != table:
                    found.add(name)
                    pending.append(name)
    return frozenset(found)


def targets(body: str, sql_mode: str, database: str, trigger: str) -> tuple[TableName, ...]:
    """Tables written by one trigger's text; ``database`` is its own. Raises TableProblem ``trigger_side_effects``."""
    tokens = _tokens(body, sql_mode)
    found: list[TableName] = []
    names: set[int] = set()  # places of table names, which may stand before "("

    def refuse(what: str) -> t.NoReturn:
        raise TableProblem(
            "trigger_side_effects",
            f"the trigger {trigger} {what}, so it cannot be told what it changes elsewhere.",
            "Repair the table with this trigger dropped on the target for the time of the repair.",
        )

    def word(place: int) -> str:
        return tokens[place].word if 0 <= place < len(tokens) else ""

    if "ORACLE" in sql_mode.upper().split(","):
        refuse("is written in Oracle's language (sql_mode)")
    for place, token in enumerate(tokens):
        if token.kind != "word" or word(place - 1) == ".":
            continue
        if (token.word in _FORBIDDEN and word(place + 1) != "(") or token.word.startswith("@@"):
            refuse(f"uses {token.word}")
        if token.word == "NEXT" and word(place + 1) == "VALUE":
            refuse("draws from a sequence")
        if token.word not in _WRITES or _is_no_statement(token.word, word(place - 1), word(place + 1)):
            continue
        start = place + 1
        while word(start) in _MODIFIERS:
            start += 1
        if token.word == "DELETE":
            if word(start) != "FROM":
                refuse("deletes from several tables at once")
            start += 1
        end = _end_of_name(tokens, start)
        if not end:
            refuse(f"has a {token.word} that was not understood")
        parts = [tokens[at].text for at in range(start, end, 2)]
        names.update(range(start, end))
        found.append(TableName(parts[0] if len(parts) > 1 else database, parts[-1]))
        if not _is_single(tokens, end, token.word):
            refuse("writes several tables at once")
    for place, token in enumerate(tokens):
        if word(place + 1) != "(" or token.kind == "mark" or place in names:
            continue
        if token.kind == "name" or word(place - 1) == "." or token.word not in _HARMLESS:
            refuse(f"calls {token.text}()")
    return tuple(found)


def _is_no_statement(word: str, before: str, after: str) -> bool:
    """Functions INSERT() and REPLACE(), ON DUPLICATE KEY UPDATE, SELECT ... FOR UPDATE."""
    if word in ("INSERT", "REPLACE"):
        return after == "("
    return word == "UPDATE" and before in ("KEY", "FOR")


def _end_of_name(tokens: t.Sequence[_Token], start: int) -> int:
    """Where the name that begins at ``start`` ends; 0: there is none."""

    def is_part(place: int) -> bool:
        return place < len(tokens) and tokens[place].kind != "mark"

    if not is_part(start):
        return 0
    if start + 1 < len(tokens) and tokens[start + 1].word == ".":
        return start + 3 if is_part(start + 2) else 0
    return start + 1


def _is_single(tokens: t.Sequence[_Token], place: int, verb: str) -> bool:
    """Whether nothing but an alias stands between the table's name and what the statement does with it."""
    if verb in ("INSERT", "REPLACE"):
        return True

    def at(offset: int) -> str:
        return tokens[place + offset].word if place + offset < len(tokens) else ";"

    ends = ("SET",) if verb == "UPDATE" else ("WHERE", "ORDER", "LIMIT", "RETURNING", ";", "END", "*")
    skip = 0 if at(0) in ends else 2 if at(0) == "AS" else 1
    return at(skip) in ends


def _tokens(body: str, sql_mode: str) -> list[_Token]:
    modes = sql_mode.upper().split(",")
    escaped = r"" if "NO_BACKSLASH_ESCAPES" in modes else r"|\\."
    inner = r"" if "NO_BACKSLASH_ESCAPES" in modes else r"\\"
    single = rf"'(?:[^'{inner}]|''{escaped})*'"
    double = rf'"(?:[^"{inner}]|""{escaped})*"'
    names, strings = (rf"{_NAME}|\"(?:[^\"]|\"\")*\"", single) if "ANSI_QUOTES" in modes else (_NAME, f"{single}|{double}")
    pattern = re.compile(rf"(?P<skip>{_COMMENT}|{strings}|\s+)|(?P<name>{names})|(?P<word>{_WORD})|(?P<mark>.)", re.DOTALL)
    return [_Token(*_meant(match)) for match in pattern.finditer(body) if not match["skip"]]


def _meant(match: re.Match[str]) -> tuple[str, str]:
    kind = match.lastgroup or "mark"
    quote = match[0][0]
    return (match[0][1:-1].replace(quote * 2, quote) if kind == "name" else match[0]), kind


def _bodies(session: Session, table: TableName) -> list[tuple[str, str, str]]:
    """Name, text and sql_mode of each trigger of a table."""
    found = session.records(
        "SELECT TRIGGER_NAME AS name, ACTION_STATEMENT AS body, SQL_MODE AS mode FROM information_schema.TRIGGERS"
        f" WHERE EVENT_OBJECT_SCHEMA = {sqltext.string(table.database)} AND EVENT_OBJECT_TABLE = {sqltext.string(table.table)}"
    )
    return [(row["name"] or "", row["body"] or "", row["mode"] or "") for row in found]


def _resolve(session: Session, name: TableName, trigger: str) -> TableName:
    """The table meant, as the server spells it, if a ROLLBACK takes back what is written there."""
    row = session.record(
        "SELECT TABLE_SCHEMA AS db, TABLE_NAME AS tbl, TABLE_TYPE AS kind, ENGINE AS engine FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA = {sqltext.string(name.database)} AND TABLE_NAME = {sqltext.string(name.table)}"
    )
    if row.get("kind") == "BASE TABLE" and (row.get("engine") or "").lower() == "innodb":
        return TableName(row["db"] or "", row["tbl"] or "")
    what = f"a {row.get('kind')} of {row.get('engine') or 'no engine'}" if row else "not there, or the account may not see it"
    raise TableProblem(
        "trigger_side_effects",
        f"the trigger {trigger} writes {name}, which is {what}; what it does there could not be looked at and rolled back.",
        "Give the account SELECT and TRIGGER on that table, or drop this trigger on the target for the time of the repair.",
    )
