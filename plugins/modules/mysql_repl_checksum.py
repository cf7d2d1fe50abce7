#!/usr/bin/python

# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mysql_repl_checksum
short_description: Compare tables of two MySQL or MariaDB co-masters row by row
version_added: 0.1.0
description:
  - Compares tables of the target with those of the source, by a strong fingerprint of every row that the servers compute
    themselves, and goes down to the rows that differ.
  - A row is called different only if it still is after each server has applied everything that the other had logged. A
    direction that is stopped, delayed or too far behind gives the status V(undecided), never a false alarm.
  - Reads only, by C(SELECT) and C(SHOW). No table is created, no row is locked, nothing is logged, and writers do not wait.
options:
  ignore_columns:
    description:
      - Columns that are not compared, as C(column), C(table.column) or C(database.table.column).
      - Such a column may also be missing on one server, or be defined differently, unless a unique key holds it. A repair, also of a
        O(plan_file), writes whole rows and refuses such a table (V(schema_mismatch)).
    type: list
    elements: str
    default: []
  float_precision:
    description:
      - Decimals to which C(FLOAT) and C(DOUBLE) values are rounded before they are compared.
      - Unset, they are compared bit by bit.
    type: int
  sample_rows:
    description: Differing rows returned for each table.
    type: int
    default: 10
  plan_file:
    description:
      - Write the confirmed differences to this file on the host where the module runs, for
        M(comaster.mysql_repl.mysql_repl_sync) to apply exactly these. Also in check mode.
      - It holds keys and fingerprints of rows, no other data, and is readable to its owner only. An older file of that name
        is replaced when the comparison is complete.
    type: path
  fail_on_drift:
    description:
      - Fail when RV(in_sync) is V(false), that is when a table differs or could not be compared. The results are complete.
    type: bool
    default: false
author:
  - comaster.mysql_repl contributors (@comaster)
extends_documentation_fragment:
  - comaster.mysql_repl.attributes
  - comaster.mysql_repl.attributes.reads
  - comaster.mysql_repl.connection
  - comaster.mysql_repl.source
  - comaster.mysql_repl.selection
  - comaster.mysql_repl.pace
  - comaster.mysql_repl.pace.hold
  - comaster.mysql_repl.pace.fence
  - comaster.mysql_repl.pace.state
  - comaster.mysql_repl.pace.progress
notes:
  - "Rights of the account, on MySQL: C(SELECT, TRIGGER) on the data, C(REPLICATION CLIENT, PROCESS) on C(*.*); on MariaDB:
    C(SELECT, TRIGGER) on the data, C(BINLOG MONITOR, SLAVE MONITOR, PROCESS) on C(*.*). On both servers."
seealso:
  - module: comaster.mysql_repl.mysql_repl_info
  - module: comaster.mysql_repl.mysql_repl_sync
"""

EXAMPLES = r"""
- name: Compare one table, on the host of the target
  comaster.mysql_repl.mysql_repl_checksum:
    login_unix_socket: /run/mysqld/mysqld.sock
    login_user: repl_check
    login_password: "{{ vault_repl_check_password }}"
    tables: sakila.film
  register: check

- name: Say how many rows differ
  ansible.builtin.debug:
    msg: "{{ check.summary.missing }} missing, {{ check.summary.extra }} extra, {{ check.summary.different }} different"

- name: Compare everything but the logs, and fail where the copies are not proven equal
  comaster.mysql_repl.mysql_repl_checksum:
    login_host: db2.example.com
    login_user: repl_check
    login_password: "{{ vault_repl_check_password }}"
    ignore_databases: ["log_*"]
    ignore_columns: ["last_seen"]
    workers: 2
    fail_on_drift: true
"""

RETURN = r"""
---
in_sync:
  description: Whether every table selected was compared and is identical.
  type: bool
  returned: when the servers were reached
  sample: false
tables:
  description:
    - The verdict on each table.
    - A result is kept below 500,000 characters, with a warning that names what it lacks. Identical tables beyond 500 go first,
      then sample rows, positions, and tables at last. RV(summary) counts all.
  type: list
  elements: dict
  returned: when the servers were reached
  contains:
    database:
      description: Its database.
      type: str
      sample: sakila
    table:
      description: Its name.
      type: str
      sample: film
    status:
      description:
        - V(identical) or V(drift) after both servers had applied everything the other had logged.
        - V(undecided) where that could not be reached, V(skipped) where the table cannot be compared, V(error) where the
          comparison broke off.
      type: str
      sample: drift
    reason:
      description: Stable code where the status needs one, such as V(no_key), V(schema_mismatch) or V(missing_on_target).
      type: str
      sample: null
    message:
      description: The reason in words, and what would help.
      type: str
      sample: null
    rows:
      description: Rows compared on the source.
      type: int
      sample: 1000
    missing:
      description: Rows that only the source has.
      type: int
      sample: 1
    extra:
      description: Rows that only the target has.
      type: int
      sample: 0
    different:
      description: Rows that both have, and that differ.
      type: int
      sample: 1
    sample:
      description:
        - The first O(sample_rows) differing rows, for people to look at. Bytes that are no text are shown as V(0x…), long
          values are cut.
      type: list
      elements: dict
      contains:
        kind:
          description: V(missing), V(extra) or V(different).
          type: str
          sample: different
        key:
          description: Value of each key column.
          type: dict
          sample: {film_id: 42}
        columns:
          description: The columns that differ, where both sides have the row.
          type: list
          elements: str
          sample: [rental_rate]
        source:
          description: The source's values, V(null) where it does not have the row.
          type: dict
          sample: {rental_rate: "2.99"}
        target:
          description: The target's values, V(null) where it does not have the row.
          type: dict
          sample: {rental_rate: "0.99"}
        copies:
          description: Numbers of equal rows on both sides in a table without a key, whose RV(tables[].sample[].key) is the whole row.
          type: dict
          sample: {source: 2, target: 1}
    positions:
      description:
        - Where in the order of the key the differences lie, in at most 100 stretches of the table. Good enough to see whether
          they are scattered, in one place or at the end.
        - Empty for a table without a key.
      type: list
      elements: dict
      contains:
        start:
          description: Fraction of the table's rows that lie before the stretch, from 0 to 1.
          type: float
          sample: 0.016
        end:
          description: Fraction of the table's rows up to its end.
          type: float
          sample: 0.017
        missing:
          description: Rows in it that only the source has.
          type: int
          sample: 1
        extra:
          description: Rows in it that only the target has.
          type: int
          sample: 0
        different:
          description: Rows in it that both have, and that differ.
          type: int
          sample: 0
    chunks:
      description: Pieces in which it was read.
      type: int
      sample: 1
    seconds:
      description: Time it took.
      type: float
      sample: 0.012
  sample:
    - database: sakila
      table: film
      status: drift
      reason: null
      message: null
      rows: 1000
      missing: 1
      extra: 0
      different: 1
      sample:
        - kind: missing
          key: {film_id: 17}
          columns: []
          source: {title: ALONE TRIP, rental_rate: "0.99"}
          target: null
        - kind: different
          key: {film_id: 42}
          columns: [rental_rate]
          source: {rental_rate: "2.99"}
          target: {rental_rate: "0.99"}
      positions:
        - {start: 0.016, end: 0.017, missing: 1, extra: 0, different: 0}
        - {start: 0.041, end: 0.042, missing: 0, extra: 0, different: 1}
      chunks: 1
      seconds: 0.012
summary:
  description: Totals over all tables.
  type: dict
  returned: when the servers were reached
  sample:
    tables: 1
    identical: 0
    drift: 1
    undecided: 0
    skipped: 0
    errors: 0
    rows: 1000
    missing: 1
    extra: 0
    different: 1
    seconds: 0.2
  contains:
    tables:
      description: Tables selected.
      type: int
      sample: 1
    identical:
      description: Tables that are identical.
      type: int
      sample: 0
    drift:
      description: Tables that differ.
      type: int
      sample: 1
    undecided:
      description: Tables without a verdict.
      type: int
      sample: 0
    skipped:
      description: Tables that cannot be compared.
      type: int
      sample: 0
    errors:
      description: Tables whose comparison broke off.
      type: int
      sample: 0
    rows:
      description: Rows compared on the source.
      type: int
      sample: 1000
    missing:
      description: Rows that only the source has.
      type: int
      sample: 1
    extra:
      description: Rows that only the target has.
      type: int
      sample: 0
    different:
      description: Rows that both have, and that differ.
      type: int
      sample: 1
    seconds:
      description: Time of the whole run, connections included.
      type: float
      sample: 0.2
source:
  description: The server whose copy is right.
  type: dict
  returned: when the servers were reached
  sample: {host: db1.example.com, port: 3306, server_id: 1, version: 9.4.0, flavor: mysql}
  contains: &server
    host:
      description: Address it was reached at.
      type: str
      sample: db1.example.com
    port:
      description: Port it was reached at.
      type: int
      sample: 3306
    server_id:
      description: Its C(server_id).
      type: int
      sample: 1
    version:
      description: Its version, in its own words.
      type: str
      sample: 9.4.0
    flavor:
      description: V(mysql) or V(mariadb).
      type: str
      sample: mysql
target:
  description: The server that is compared and repaired.
  type: dict
  returned: when the servers were reached
  sample: {host: db2.example.com, port: 3306, server_id: 2, version: 9.4.0, flavor: mysql}
  contains: *server
hazards:
  description: What was found on the servers and the links that endangers data, a verdict or a repair.
  type: list
  elements: dict
  returned: when the servers were reached
  contains:
    code:
      description: Stable code of the hazard.
      type: str
      sample: both_writable
    severity:
      description: V(info) or V(warning). What blocks the run fails the module.
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

import typing as t

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.module_utils import _live as live
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import checksum
from ansible_collections.comaster.mysql_repl.plugins.module_utils._module import never, run_module


def drift(report: t.Any) -> str | None:
    """Give the message of a comparison that did not prove the copies equal."""
    if report.in_sync:
        return None
    summary = report.summary
    return (
        f"The copies are not proven equal: {summary.drift} of {summary.tables} tables differ"
        f" ({summary.missing} rows missing, {summary.extra} extra, {summary.different} different),"
        f" {summary.undecided + summary.skipped + summary.errors} could not be compared."
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments.connection_spec(),
            **arguments.selection_spec(),
            **arguments.ignore_columns_spec(),
            **arguments.pace_spec(),
            **arguments.state_spec(),
            **arguments.plan_spec(),
            **arguments.sample_spec(),
            "fail_on_drift": {"type": "bool", "default": False},
            **live.spec(),
        },
        supports_check_mode=True,
    )
    with live.watched(module) as listener:
        run_module(
            module,
            lambda servers, params: checksum.run(
                servers,
                arguments.selection(params),
                arguments.pace(params),
                arguments.sample_rows(params),
                arguments.plan_file(params),
                listener=listener,
            ),
            failure=drift if module.params["fail_on_drift"] else never,
        )


if __name__ == "__main__":
    main()
