#!/usr/bin/python

# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mysql_repl_info
short_description: Look at two MySQL or MariaDB co-masters and the replication between them
version_added: 0.1.0
description:
  - Reads both servers and both directions of replication, finds other replicas below them, and lists what endangers the data,
    a comparison or a repair, each with a remedy.
  - Finds the source from the target's replication status and proves by C(server_id) and UUID that the server at that address
    is the one.
  - Reads only. No table is touched.
author:
  - comaster.mysql_repl contributors (@comaster)
extends_documentation_fragment:
  - comaster.mysql_repl.attributes
  - comaster.mysql_repl.attributes.reads
  - comaster.mysql_repl.connection
  - comaster.mysql_repl.source
notes:
  - "Rights of the account, on MySQL: C(SELECT, TRIGGER) on the data, C(REPLICATION CLIENT, PROCESS) on C(*.*); on MariaDB:
    C(SELECT, TRIGGER) on the data, C(BINLOG MONITOR, SLAVE MONITOR, PROCESS) on C(*.*). On both servers."
seealso:
  - module: comaster.mysql_repl.mysql_repl_checksum
  - module: comaster.mysql_repl.mysql_repl_sync
"""

EXAMPLES = r"""
- name: Look at a pair, on the host of the target
  comaster.mysql_repl.mysql_repl_info:
    login_unix_socket: /run/mysqld/mysqld.sock
    login_user: repl_check
    login_password: "{{ vault_repl_check_password }}"
  register: pair

- name: Stop where a repair would be refused
  ansible.builtin.assert:
    that: pair.hazards | selectattr('severity', 'equalto', 'blocker') | list | length == 0
    fail_msg: "{{ pair.hazards }}"

- name: Look at a pair from anywhere, with the source behind a tunnel
  comaster.mysql_repl.mysql_repl_info:
    login_host: db2.example.com
    login_user: repl_check
    source:
      login_host: 127.0.0.1
      login_port: 13306
  environment:
    MYSQL_REPL_LOGIN_PASSWORD: "{{ vault_repl_check_password }}"
"""

RETURN = r"""
---
target:
  description: The server that the login options name.
  type: dict
  returned: success
  sample: {role: target, host: db2.example.com, port: 3306, flavor: mysql, version: 9.4.0, server_id: 2, read_only: true, binlog_format: ROW}
  contains: &server
    role:
      description: V(source) or V(target).
      type: str
      sample: target
    host:
      description: Address it was reached at.
      type: str
      sample: db2.example.com
    port:
      description: Its own port.
      type: int
      sample: 3306
    flavor:
      description: V(mysql) or V(mariadb).
      type: str
      sample: mysql
    version:
      description: Its version, in its own words.
      type: str
      sample: 9.4.0
    server_id:
      description: Its C(server_id).
      type: int
      sample: 2
    uuid:
      description: Its C(server_uuid); V(null) on MariaDB.
      type: str
      sample: 8a94f357-aab4-11f0-9b1c-0242ac110002
    read_only:
      description: Whether it refuses writes of ordinary accounts.
      type: bool
      sample: true
    super_read_only:
      description: Whether it refuses those of administrators too.
      type: bool
      sample: false
    binlog:
      description: Whether it writes a binary log.
      type: bool
      sample: true
    binlog_format:
      description: Format of its binary log.
      type: str
      sample: ROW
    binlog_row_image:
      description: How much of a row it logs.
      type: str
      sample: FULL
    binlog_filters:
      description: Databases that it logs or does not log, where that is restricted.
      type: str
      sample: ""
    gtid_mode:
      description: Its C(gtid_mode); V(null) on MariaDB.
      type: str
      sample: "ON"
    log_replica_updates:
      description: Whether it logs again what it applies.
      type: bool
      sample: true
    time_zone:
      description: Its time zone setting.
      type: str
      sample: SYSTEM
    system_time_zone:
      description: Its host's time zone.
      type: str
      sample: UTC
    sql_mode:
      description: Its C(sql_mode).
      type: str
      sample: STRICT_TRANS_TABLES
    character_set_server:
      description: Its default character set.
      type: str
      sample: utf8mb4
    collation_server:
      description: Its default collation.
      type: str
      sample: utf8mb4_0900_ai_ci
    auto_increment_increment:
      description: Step of the generated keys.
      type: int
      sample: 2
    auto_increment_offset:
      description: Start of the generated keys.
      type: int
      sample: 2
    skip_errors:
      description: Replication errors that it passes over.
      type: str
      sample: "OFF"
    exec_mode:
      description: How strictly it applies row changes.
      type: str
      sample: STRICT
    max_allowed_packet:
      description: Largest statement or row that it takes, in bytes.
      type: int
      sample: 67108864
    lower_case_table_names:
      description: How it treats the case of names.
      type: int
      sample: 0
    as_of:
      description:
        - The moment in the past whose rows MariaDB shows of system-versioned tables, by C(system_versioning_asof). Empty for now.
      type: str
      sample: ""
    galera:
      description: Whether it is a member of a Galera cluster.
      type: bool
      sample: false
    group_replication:
      description: Whether it is a member of a replication group.
      type: bool
      sample: false
    managed_by:
      description: The cloud service that runs it, as far as that can be told; otherwise empty.
      type: str
      sample: Amazon RDS
source:
  description: The server that the target replicates from; V(null) where it could not be reached or proved to be the one.
  type: dict
  returned: success
  sample: {role: source, host: db1.example.com, port: 3306, flavor: mysql, version: 9.4.0, server_id: 1, read_only: false, binlog_format: ROW}
  contains: *server
forward:
  description: The link from the source to the target, as the target sees it.
  type: dict
  returned: success
  sample: {channel: "", source_host: db1.example.com, source_port: 3306, io_running: true, sql_running: true, lag: 0}
  contains: &link
    channel:
      description: Name of the channel; empty for the nameless one.
      type: str
      sample: ""
    source_host:
      description: Address of the server that is read from.
      type: str
      sample: db1.example.com
    source_port:
      description: Its port.
      type: int
      sample: 3306
    source_server_id:
      description: Its C(server_id); V(null) before the first connection.
      type: int
      sample: 1
    source_uuid:
      description: Its UUID; V(null) on MariaDB.
      type: str
      sample: 8a94f357-aab4-11f0-9b1c-0242ac110001
    io_running:
      description: Whether the receiver runs and is connected.
      type: bool
      sample: true
    sql_running:
      description: Whether the applier runs.
      type: bool
      sample: true
    io_error:
      description: Last error of the receiver.
      type: str
      sample: ""
    sql_error:
      description: Last error of the applier.
      type: str
      sample: ""
    lag:
      description: Seconds behind, as the replica guesses them; V(null) where it does not know.
      type: int
      sample: 0
    delay:
      description: Seconds that the link is delayed on purpose.
      type: int
      sample: 0
    filters:
      description: What the replica leaves out, one key a kind of filter.
      type: dict
      sample: {do_db: [], ignore_db: [], rewrite_db: ""}
    auto_position:
      description: Whether it is positioned by GTID.
      type: bool
      sample: true
    retrieved_gtids:
      description: GTIDs that were received.
      type: str
      sample: ""
    executed_gtids:
      description: GTIDs that were applied.
      type: str
      sample: 8a94f357-aab4-11f0-9b1c-0242ac110001:1-42
    read_file:
      description: The source's binary log that is read.
      type: str
      sample: binlog.000002
    read_position:
      description: How far it was read.
      type: int
      sample: 157
reverse:
  description: The link from the target to the source, as the source sees it; V(null) where the source is no replica of the target.
  type: dict
  returned: success
  sample: {channel: "", source_host: db2.example.com, source_port: 3306, io_running: true, sql_running: true, lag: 0}
  contains: *link
target_replicas:
  description: Replicas connected to the target, other than the source; V(null) where the account may not see them.
  type: list
  elements: dict
  returned: success
  sample: []
  contains: &replica
    server_id:
      description: Its C(server_id); V(null) where it is not known.
      type: int
      sample: 3
    host:
      description: Its address.
      type: str
      sample: db3.example.com
    port:
      description: Its port; V(0) where it is not known.
      type: int
      sample: 3306
    uuid:
      description: Its UUID, where it is known.
      type: str
      sample: null
source_replicas:
  description: Replicas connected to the source, other than the target; V(null) where the account may not see them.
  type: list
  elements: dict
  returned: success
  sample: []
  contains: *replica
hazards:
  description: What was found on the servers and the links that endangers data, a verdict or a repair.
  type: list
  elements: dict
  returned: success
  contains:
    code:
      description: Stable code of the hazard.
      type: str
      sample: both_writable
    severity:
      description: V(info), V(warning), or V(blocker) where a repair is refused.
      type: str
      sample: info
    server:
      description: V(source), V(target) or V(link).
      type: str
      sample: link
    message:
      description: What was found, and why it matters.
      type: str
      sample: Both servers take writes (read_only is off).
    remedy:
      description: What mends it or allows it.
      type: str
      sample: SET GLOBAL read_only=1 on the one that the application does not use.
  sample: []
code:
  description: Stable code of what kept the module from doing its work.
  type: str
  returned: when refused or broken off
  sample: missing_grant
remedy:
  description: What would mend or allow it.
  type: str
  returned: when refused or broken off
  sample: GRANT REPLICATION CLIENT ON *.* TO `repl_check`@`%`
option:
  description: The option that has a value that cannot be used.
  type: str
  returned: when RV(code) is V(bad_option)
  sample: tables
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import info
from ansible_collections.comaster.mysql_repl.plugins.module_utils._module import never, run_module


def main() -> None:
    module = AnsibleModule(argument_spec=arguments.connection_spec(), supports_check_mode=True)
    run_module(module, lambda servers, params: info.run(servers), failure=never)


if __name__ == "__main__":
    main()
