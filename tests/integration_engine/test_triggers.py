# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Triggers on the target: a statement is chosen that fires none of them, or the table is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from integration_engine.support import assert_repaired, image, servers

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import options
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync

FLAVORS = ("mariadb-10.11", "mysql-9", "mariadb-11.8")

DRIFT = {
    "missing": "DELETE FROM film WHERE id IN (3, 4)",
    "different": "UPDATE film SET code = 'bad', s = NULL WHERE id IN (5, 6)",
    "extra": "INSERT INTO film VALUES (70, NULL, 'extra', NULL), (71, NULL, 'extra', NULL)",
}
FIRED = {"INSERT": "NEW.id", "UPDATE": "NEW.id", "DELETE": "OLD.id"}


def run(pair, database, undo_dir, table="film"):
    """Run the sync on one table."""
    selection = options.Selection(tables=(f"{database}.{table}",))
    limits = replace(options.Repair(), undo_dir=str(undo_dir))
    return sync.run(servers(pair), selection, options.Pace(), limits, sample_rows=10, apply=True)


def prepare(pair, database, events, drift):
    """A table with triggers for these events on both servers, which log into a side table; then drift without them."""
    rows = ", ".join(f"({n}, {n}, 'c{n}', '2024-06-01 12:00:00')" for n in range(1, 11))
    triggers = [
        f"CREATE TRIGGER {timing}_{event} {timing} {event} ON film FOR EACH ROW"
        f" INSERT INTO side (what, id) VALUES ('{timing} {event}', {FIRED[event]})"
        for event in events
        for timing in ("BEFORE", "AFTER")
    ]
    pair.a.execute(
        [
            "SET time_zone = '+00:00'",
            "CREATE TABLE film (id int PRIMARY KEY, u int NULL UNIQUE, code varchar(20), s timestamp NULL)",
            "CREATE TABLE side (n int PRIMARY KEY AUTO_INCREMENT, what varchar(20), id int)",
            f"INSERT INTO film VALUES {rows}",
        ],
        database=database,
    )
    pair.wait()
    pair.b.execute(drift, database=database, logged=False)
    pair.a.execute(triggers, database=database)
    pair.wait()
    return image(pair.a, database)


CASES = [
    (kind, events)
    for kind in DRIFT
    for events in (
        ("INSERT",),
        ("UPDATE",),
        ("DELETE",),
        ("INSERT", "UPDATE"),
        ("UPDATE", "DELETE"),
        ("INSERT", "DELETE"),
    )
]
REFUSED = {
    ("missing", ("INSERT",)),
    ("missing", ("INSERT", "UPDATE")),
    ("missing", ("INSERT", "DELETE")),
    ("different", ("INSERT", "UPDATE")),
    ("different", ("UPDATE", "DELETE")),
    ("extra", ("DELETE",)),
    ("extra", ("UPDATE", "DELETE")),
    ("extra", ("INSERT", "DELETE")),
}


@pytest.mark.parametrize(("kind", "events"), CASES, ids=[f"{kind}-{'-'.join(events)}" for kind, events in CASES])
@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_no_trigger_fires(pairs, fresh_database, tmp_path, flavor, kind, events):
    pair = pairs(flavor, options_b={"default_time_zone": "-07:00"})
    with fresh_database(pair) as database:
        good = prepare(pair, database, events, [DRIFT[kind]])
        spoilt = image(pair.b, database)
        # An applier that worked in another time zone just before.
        pair.a.execute(
            [
                "SET SESSION binlog_format = 'STATEMENT', time_zone = '+09:00'",
                "CREATE TABLE z (s timestamp NULL)",
                "INSERT INTO z VALUES ('2020-02-02')",
            ],
            database=database,
        )
        good["z"] = spoilt["z"] = image(pair.a, database)["z"]
        result = run(pair, database, tmp_path)
        if (kind, events) in REFUSED:
            assert result.failed
            assert [table.reason for table in result.tables] == ["triggers"]
            assert all(f"BEFORE_{event} (BEFORE {event})" in result.message for event in events)
            pair.wait()
            assert (image(pair.a, database), image(pair.b, database)) == (good, spoilt)
            return
        assert not result.failed, result.message
        assert result.verified
        assert_repaired(pair, database, good)  # the side table too: nothing fired, on either server


@pytest.mark.parametrize("flavor", FLAVORS)
def test_unique_values_in_the_way_never_stop_replication(pairs, fresh_database, tmp_path, flavor):
    """With a DELETE trigger on the target no REPLACE may run; what only it could repair is left alone and named."""
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        drift = [
            "DELETE FROM film WHERE id = 1",
            "UPDATE film SET u = 1 WHERE id = 2",  # holds what the missing row 1 needs, and needs its own 2
            "UPDATE film SET u = 99 WHERE id IN (3)",
            "UPDATE film SET u = 3 WHERE id = 4",  # a swap of 3 and 4
            "UPDATE film SET u = 4 WHERE id = 3",
            "UPDATE film SET code = 'bad' WHERE id = 5",
        ]
        good = prepare(pair, database, ("DELETE",), drift)
        result = run(pair, database, tmp_path)
        assert result.failed
        assert "unique_collision" in result.message
        assert "fires no trigger" in result.message
        # Row 2 gave up the value that row 1 needed, in the pass before.
        assert (result.changes.inserted, result.changes.updated, result.changes.skipped) == (1, 2, 2)
        pair.wait()
        assert pair.links_healthy()
        assert image(pair.a, database) == good
        left = set(image(pair.b, database)["film"]) ^ set(good["film"])
        assert {row[0] for row in left} == {b"3", b"4"}
        assert image(pair.b, database)["side"] == []


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_triggers_of_the_source_alone_are_never_in_the_way(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        good = prepare(pair, database, ("INSERT", "UPDATE", "DELETE"), list(DRIFT.values()))
        drop = [f"DROP TRIGGER {timing}_{event}" for timing in ("BEFORE", "AFTER") for event in FIRED]
        pair.b.execute(drop, database=database, logged=False)
        result = run(pair, database, tmp_path)
        assert not result.failed, result.message
        assert_repaired(pair, database, good)


@pytest.mark.parametrize("flavor", FLAVORS[:2])
def test_a_table_without_key(pairs, fresh_database, tmp_path, flavor):
    pair = pairs(flavor)
    with fresh_database(pair) as database:
        pair.a.execute(
            [
                "CREATE TABLE loose (a int)",
                "CREATE TABLE side (n int PRIMARY KEY AUTO_INCREMENT, what varchar(20), id int)",
                "INSERT INTO loose VALUES (1), (1)",
                "CREATE TRIGGER i AFTER INSERT ON loose FOR EACH ROW INSERT INTO side (id) VALUES (NEW.a)",
            ],
            database=database,
        )
        pair.wait()
        good = image(pair.a, database)
        pair.b.execute(["INSERT INTO loose VALUES (5)", "DELETE FROM side"], database=database, logged=False)
        result = run(pair, database, tmp_path, "loose")
        assert not result.failed, result.message
        assert_repaired(pair, database, good)
        pair.b.execute("DELETE FROM loose LIMIT 1", database=database, logged=False)
        result = run(pair, database, tmp_path, "loose")
        assert [table.reason for table in result.tables] == ["triggers"]
