# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How two servers may be set up, alike and unlike; a pair is started once for many scenarios."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from functools import partial

from sandbox import Topology, co_masters

from . import cramped, quick

#: Scenarios with the same seed // this share one pair.
BLOCK = 120

_MODES = (
    "", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT,ANSI_QUOTES", "TRADITIONAL", "PAD_CHAR_TO_FULL_LENGTH",
    "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE", "NO_UNSIGNED_SUBTRACTION,IGNORE_SPACE", "ANSI,NO_BACKSLASH_ESCAPES",
)  # fmt: skip

#: Settings that an administrator may have made, server by server; each is drawn now and then.
_BOTH_MAKES: dict[str, tuple[str, ...]] = {
    "sql_mode": _MODES,
    "default_time_zone": ("+00:00", "+05:30", "-11:00", "+13:00"),
    "character_set_server": ("utf8mb4", "latin1", "ucs2", "utf8mb3", "sjis"),
    "binlog_row_image": ("FULL", "MINIMAL", "NOBLOB"),
    "transaction_isolation": ("READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE", "READ-UNCOMMITTED"),
    "autocommit": ("0",),
    "completion_type": ("CHAIN",),
    "innodb_strict_mode": ("OFF",),
    "max_error_count": ("0",),
    "innodb_rollback_on_timeout": ("ON",),
    "low_priority_updates": ("ON",),
    "max_allowed_packet": ("4M", "64M"),
}
_OF_FAMILY: dict[str, dict[str, tuple[str, ...]]] = {
    "mysql": {
        "replica_parallel_workers": ("0", "1", "4"),
        "binlog_transaction_compression": ("ON",),
        "binlog_row_value_options": ("PARTIAL_JSON",),
        "sql_generate_invisible_primary_key": ("ON",),
        "partial_revokes": ("ON",),
        "explicit_defaults_for_timestamp": ("ON", "OFF"),
        "binlog_rows_query_log_events": ("ON",),
        "replica_preserve_commit_order": ("OFF",),
        "max_execution_time": ("60000",),
        "binlog_row_metadata": ("FULL",),
    },
    "mariadb": {
        "slave_parallel_threads": ("0", "2", "4"),
        "slave_parallel_mode": ("optimistic", "conservative", "aggressive", "none"),
        "binlog_annotate_row_events": ("OFF",),
        "log_bin_compress": ("ON",),
        "max_statement_time": ("60",),
        "explicit_defaults_for_timestamp": ("ON", "OFF"),
        "old_mode": ("", "UTF8_IS_UTF8MB3"),
        "binlog_checksum": ("NONE", "CRC32"),
        "expensive_subquery_limit": ("1",),
        "innodb_snapshot_isolation": ("ON", "OFF"),
    },
}
#: What replicas below may have otherwise than the two. An applier takes sql_mode and time zone of a statement from the log.
_BELOW: dict[str, dict[str, tuple[str, ...]]] = {
    "mysql": {"super_read_only": ("ON",), "binlog_format": ("ROW", "MIXED"), "log_replica_updates": ("OFF",)},
    "mariadb": {"read_only": ("ON",), "binlog_format": ("ROW", "MIXED", "STATEMENT"), "log_slave_updates": ("OFF",)},
}
#: Read when a session begins; set on running servers.
_GLOBALS: dict[str, tuple[str, ...]] = {
    "sql_select_limit": ("1", "3"),
    "foreign_key_checks": ("0",),
    "unique_checks": ("0",),
    "sql_auto_is_null": ("1",),
    "div_precision_increment": ("0",),
    "group_concat_max_len": ("4",),
    "lc_time_names": ("'de_DE'",),
    "default_week_format": ("3",),
    "sql_quote_show_create": ("0",),
    "sql_big_selects": ("0",),
    "big_tables": ("1",),
    "max_sort_length": ("8",),
}


@dataclass(frozen=True)
class Climate:
    """What a pair is made of."""

    binlog_format: str
    gtid: bool
    a: dict[str, str] = field(default_factory=dict)
    b: dict[str, str] = field(default_factory=dict)
    globals_a: dict[str, str] = field(default_factory=dict)
    globals_b: dict[str, str] = field(default_factory=dict)
    #: Whether the tool connects by TCP with TLS; else by sockets, without.
    tls: bool = True
    #: Whose replicas there are besides the pair.
    below: str = ""
    #: Whether there is little room for temporary files.
    cramped: bool = False
    #: What all servers have that are not going to crash.
    quick: dict[str, str] = field(default_factory=dict)
    #: What these replicas have otherwise, by whose they are.
    own: dict[str, dict[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        said = {"a": self.a, "b": self.b, "SET GLOBAL on a": self.globals_a, "SET GLOBAL on b": self.globals_b}
        flags = {
            "GTID": self.gtid,
            "TLS": self.tls,
            "replicas below": self.below,
            "cramped": self.cramped,
            "their own": self.own,
            **self.quick,
        }
        return f"{self.binlog_format}, {flags}, {said}"


MILD = Climate("ROW", True)


def of_seed(seed: int, flavor: str) -> Climate:
    """The climate that a scenario's seed belongs to."""
    dice = random.Random(f"climate {seed // BLOCK}")
    known = _known(flavor)
    some = partial(_some, dice)
    form, gtid = dice.choice(["ROW", "ROW", "MIXED", "STATEMENT"]), dice.random() < 0.7
    a, b = some(known, 0.22), some(known, 0.22)
    if form == "STATEMENT":  # InnoDB refuses to log statements below REPEATABLE READ
        for side in (a, b):
            side.pop("transaction_isolation", None)
    if flavor == "mysql-9" and not gtid:  # or each wait for replication takes the default of 300 ms
        a["replica_checkpoint_period"] = b["replica_checkpoint_period"] = "10"
    made = Climate(form, gtid, a, b, some(_GLOBALS, 0.2), some(_GLOBALS, 0.2), *_lines(dice))
    quickly = quick.options(flavor.split("-")[0], random.Random(f"quick {seed // BLOCK}"))
    return replace(made, quick=quickly, own=_own(seed, flavor, made))


def _known(flavor: str) -> dict[str, tuple[str, ...]]:
    known = {**_BOTH_MAKES, **_OF_FAMILY[flavor.split("-")[0]]}
    if flavor == "mariadb-10.11":  # these came later, or are read-only there
        known.pop("transaction_isolation")
        known.pop("innodb_snapshot_isolation")
    return known


def _some(dice: random.Random, settings: dict[str, tuple[str, ...]], share: float) -> dict[str, str]:
    drawn = {name: dice.choice(values) for name, values in settings.items() if dice.random() < share}
    if drawn.get("character_set_server") in ("ucs2",):
        drawn["collation_server"] = "ucs2_general_ci"
    return drawn


def _own(seed: int, flavor: str, climate: Climate) -> dict[str, dict[str, str]]:
    """Settings of the replicas below, in two thirds of the climates others than those of the two."""
    dice = random.Random(f"own {seed // BLOCK}")
    if dice.random() < 0.33:
        return {}
    known = {**_known(flavor), **_BELOW[flavor.split("-")[0]]}
    if climate.binlog_format != "ROW" or flavor.startswith("mariadb"):
        known.pop("transaction_isolation", None)  # InnoDB refuses to log statements below REPEATABLE READ
    return {name: _some(dice, known, 0.3) for name in climate.below}


def _lines(dice: random.Random) -> tuple[bool, str]:
    """Whether TLS is used, and whose replicas there are: the tool reaches these by TCP alone."""
    tls, below = dice.random() < 0.2, dice.choice(["b", "b", "ab", "a"]) if dice.random() < 0.12 else ""
    return tls or bool(below), below


def for_faults(seed: int, flavor: str, below: str = "") -> Climate:
    """Servers that survive a crash with their replication: GTIDs; the rest may differ. ``below``: whose replicas at least."""
    dice = random.Random(f"faults {seed // BLOCK}")
    form, drawn = dice.choice(["ROW", "ROW", "MIXED", "STATEMENT"]), dice.choice(["", "", "", "b", "b", "a", "ab"])
    made = Climate(form, True, below=below or drawn, cramped=dice.random() < 0.5)
    return replace(made, own=_own(seed, flavor, made))


def start(flavor: str, climate: Climate) -> Topology:
    """Start a pair in a climate."""
    quick.use_tls(climate.tls)
    a, b = climate.a, climate.b
    if climate.cramped:
        a, b = ({**each, **cramped.options(flavor.split("-")[0])} for each in (a, b))
    pair = co_masters(flavor, climate.binlog_format, climate.gtid, climate.quick, options_a=a, options_b=b)
    for server, settings in ((pair.a, climate.globals_a), (pair.b, climate.globals_b)):
        for name, value in settings.items():
            # Not strict: a server takes the least it allows (max_sort_length: 64 on MariaDB 11.8, 4 elsewhere).
            server.execute(["SET SESSION sql_mode = ''", f"SET GLOBAL {name} = {value}"])
    for name in climate.below:
        pair.add_replica(pair.servers[name], f"{name}_replica", climate.own.get(name))
    return pair
