# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The words of replication that MySQL and MariaDB spell differently."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


def literal(value: object) -> str:
    """Return *value* as an SQL literal, for names and secrets that hold no backslash."""
    if isinstance(value, int):
        return str(value)
    return "'" + str(value).replace("'", "''") + "'"


def normalise(status: dict[str, object]) -> dict[str, object]:
    """Return a replica's status with Source_*, Replica_* and Channel_Name keys from any server."""
    return {_present_name(key): value for key, value in status.items()}


@cache
def _present_name(key: str) -> str:
    key = {"Connection_name": "Channel_Name"}.get(key, key)
    for old, new in (("Master", "Source"), ("master", "source"), ("Slave", "Replica"), ("slave", "replica")):
        key = key.replace(old, new)
    return key


@dataclass(frozen=True)
class Words:
    """One family's statements; `{channel}` stands for a quoted name, '' being the default one."""

    change: str
    start: str
    stop: str
    reset: str
    status: str
    position: str
    drained: str
    prefix: str
    gtid_setting: str
    link_settings: tuple[str, ...]
    foreign_settings: tuple[str, ...]

    def change_source(self, channel: str, settings: dict[str, object], gtid: bool, foreign: bool = False) -> str:
        """Return the statement that points a replica at its source (*settings* lack the prefix), *foreign*: of the other make."""
        words = [f"{self.prefix}_{name}={literal(value)}" for name, value in settings.items()]
        words += [*self.link_settings, *([self.gtid_setting] if gtid else []), *(self.foreign_settings if foreign else [])]
        return self.change.format(channel=literal(channel), settings=", ".join(words))


WORDS: dict[str, Words] = {
    "mysql": Words(
        change="CHANGE REPLICATION SOURCE TO {settings} FOR CHANNEL {channel}",
        start="START REPLICA FOR CHANNEL {channel}",
        stop="STOP REPLICA FOR CHANNEL {channel}",
        reset="RESET REPLICA ALL FOR CHANNEL {channel}",
        status="SHOW REPLICA STATUS FOR CHANNEL {channel}",
        position="SHOW BINARY LOG STATUS",
        drained="SELECT SOURCE_POS_WAIT(%s, %s, %s, %s) AS answer",
        prefix="SOURCE",
        gtid_setting="SOURCE_AUTO_POSITION=1",
        # The key is for caching_sha2_password without TLS; by default a replica gives up after ten
        # tries.
        link_settings=("GET_SOURCE_PUBLIC_KEY=1", "SOURCE_RETRY_COUNT=86400"),
        foreign_settings=("SOURCE_SSL=0",),  # MariaDB 10.11 has no certificates of its own making
    ),
    "mariadb": Words(
        change="CHANGE MASTER {channel} TO {settings}",
        start="START SLAVE {channel}",
        stop="STOP SLAVE {channel}",
        reset="RESET SLAVE {channel} ALL",
        status="SHOW SLAVE {channel} STATUS",
        position="SHOW MASTER STATUS",
        drained="SELECT MASTER_POS_WAIT(%s, %s, %s, %s) AS answer",
        prefix="MASTER",
        gtid_setting="MASTER_USE_GTID=slave_pos",
        # 11.4 and later ask for a verified certificate by default.
        link_settings=("MASTER_SSL_VERIFY_SERVER_CERT=0",),
        foreign_settings=("MASTER_USE_GTID=no", "MASTER_SSL=1"),  # its plugin for caching_sha2_password wants TLS
    ),
}
