# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the sandbox sets on a server's command line; each setting yields to the user's own options.

Fast where only a power cut would tell (logs are not flushed at each commit), honest where a killed
process would: everything that makes a crash recoverable is left as the server has it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Optional

from .packages import Tree

Options = Mapping[str, Optional[str]]
"""Server options without their dashes; None as a value makes a bare switch."""

COMMON: Options = {
    "bind_address": "127.0.0.1",
    "skip_name_resolve": "ON",
    "secure_file_priv": "",  # the packages name a folder that only installing them makes
    "log_bin": "binlog",
    "relay_log": "relay",
    "relay_log_recovery": "ON",
    "sync_binlog": "0",
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_buffer_pool_size": "64M",
}

FAMILY: Mapping[str, Options] = {
    "mysql": {
        "log_replica_updates": "ON",
        "replica_net_timeout": "10",
        "mysqlx": "0",
    },
    "mariadb": {
        "log_slave_updates": "ON",
        "slave_net_timeout": "10",
        "innodb_log_file_size": "16M",
    },
}

MYSQL_GTID: Mapping[bool, Options] = {
    True: {"gtid_mode": "ON", "enforce_gtid_consistency": "ON"},
    # From 9.7 on both are ON where nothing is said.
    False: {"gtid_mode": "OFF", "enforce_gtid_consistency": "OFF"},
}

#: For servers of both makes in one topology: collations that the other make knows. A statement with one that it does not
#: know stops a MariaDB applier, and MySQL's passes it over in silence.
COMMON_GROUND: Mapping[str, Options] = {
    "mysql": {"character_set_server": "utf8mb4", "collation_server": "utf8mb4_general_ci"},
    # MySQL 9 reads no row changes of MariaDB.
    "mariadb": {"character_set_server": "utf8mb4", "collation_server": "utf8mb4_general_ci", "binlog_format": "STATEMENT"},
}


def for_server(family: str, gtid: bool, server_id: int) -> dict[str, str | None]:
    """Return the settings of a server that takes part in replication."""
    settings = {**COMMON, **FAMILY[family], "server_id": str(server_id)}
    if family == "mysql":
        settings.update(MYSQL_GTID[gtid])
    elif gtid:
        settings["gtid_domain_id"] = str(server_id)
    return settings


def daemon_command(tree: Tree, options: Options) -> list[str]:
    """Return the command line of the tree's server with *options*, reading no option files."""
    settings: dict[str, str | None] = {
        "basedir": str(tree.usr),
        "lc_messages_dir": str(tree.share),
        "character_sets_dir": str(tree.share / "charsets"),
        "plugin_dir": str(tree.usr / "lib/mysql/plugin"),
        **({"user": "root"} if os.getuid() == 0 else {}),
        **options,
    }
    words = [name if value is None else f"{name}={value}" for name, value in settings.items()]
    return [*tree.command(tree.daemon), "--no-defaults", *(f"--{word}" for word in words)]
