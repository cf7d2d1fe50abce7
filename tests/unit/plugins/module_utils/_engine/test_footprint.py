# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What triggers write is read off their text, or they are refused."""

from __future__ import annotations

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import footprint
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import TableProblem


def written(body, mode=""):
    """The tables that a trigger of database d writes."""
    return [str(name) for name in footprint.targets(body, mode, "d", "d.t")]


@pytest.mark.parametrize(
    ("body", "tables"),
    [
        ("SET NEW.payment_date = NOW()", []),
        ("INSERT INTO film_text (film_id, title) VALUES (new.film_id, new.title)", ["d.film_text"]),
        ("insert ignore into `x``y`.`a.b` values (1) on duplicate key update n = values(n) + 1", ["x`y.a.b"]),
        (
            "BEGIN IF (old.title != new.title) or (old.id != new.id) THEN UPDATE film_text SET title=new.title, d=new.d"
            " WHERE film_id=old.film_id; END IF; END",
            ["d.film_text"],
        ),
        ("DELETE FROM film_text WHERE film_id = old.film_id", ["d.film_text"]),
        ("REPLACE INTO s SELECT REPLACE(a, 'x', 'y') FROM u", ["d.s"]),
        ("UPDATE LOW_PRIORITY audit.counts AS c SET c.n = c.n + 1", ["audit.counts"]),
        ("BEGIN DELETE FROM a; INSERT INTO b VALUES (1); END", ["d.a", "d.b"]),
        ("BEGIN DECLARE n DECIMAL(5,2); SELECT MAX(a) INTO n FROM u FOR UPDATE; SET @x = n; END", []),
        ("/* DELETE FROM no */ INSERT INTO a VALUES ('; DELETE FROM no', \"UPDATE no SET\") -- DELETE FROM no", ["d.a"]),
        ("INSERT INTO a VALUES ('it\\'s; DELETE FROM no')", ["d.a"]),
        ("BEGIN /*!50003 DELETE FROM yes */; /*M!100100 UPDATE also SET x = 1 */; END", ["d.yes", "d.also"]),
        ("BEGIN DECLARE EXIT HANDLER FOR SQLEXCEPTION BEGIN END; INSERT INTO a VALUES (1); END", ["d.a"]),
        ("SET NEW.`update` = NEW.`insert`", []),
        ("SET NEW.update = 1", []),
    ],
)
def test_what_is_written(body, tables):
    assert written(body) == tables


def test_the_mode_in_which_it_was_made_decides():
    assert written("INSERT INTO \"My Table\" VALUES ('\\')", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES") == ["d.My Table"]
    with pytest.raises(TableProblem, match="Oracle"):
        written("INSERT INTO a VALUES (1)", "PIPES_AS_CONCAT,ORACLE")


@pytest.mark.parametrize(
    "body",
    [
        "CALL p()",
        "SET NEW.a = f(1)",
        "SET NEW.a = d.now()",
        "SET NEW.a = `now`()",
        "UPDATE a JOIN b ON a.x = b.x SET a.y = 1",
        "UPDATE a, b SET a.y = 1",
        "DELETE a FROM a JOIN b ON a.x = b.x",
        "DELETE FROM a USING a JOIN b ON a.x = b.x",
        "INSERT INTO a VALUES (NEXT VALUE FOR s)",
        "SET NEW.a = NEXTVAL(s)",
        "SET SESSION foreign_key_checks = 1",
        "SET foreign_key_checks = 1",
        "SET @@session.foreign_key_checks = 1",
        "SET GLOBAL x = 1",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT sys_exec('rm') INTO @x",
    ],
)
def test_what_cannot_be_told_is_refused(body):
    with pytest.raises(TableProblem) as refused:
        written(body)
    assert refused.value.code == "trigger_side_effects"
    assert "d.t" in refused.value.message
