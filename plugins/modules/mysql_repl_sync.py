#!/usr/bin/python

# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mysql_repl_sync
short_description: Repair tables of a MySQL or MariaDB co-master through replication
version_added: 0.1.0
description:
  - Compares tables as M(comaster.mysql_repl.mysql_repl_checksum) does, and repairs the target where it differs.
  - "The target is never written. Every change is logged on the source and reaches the target through replication, so that it
    cannot collide with what replication brings, and every other replica of the source stays right."
  - "The source's data is not changed either. By default the statements run against a temporary table that hides the real one in this
    session alone, so they exist only in the binary log. The rows are locked on the source (shared locks) while they are
    logged, and what is logged are the values read under that lock."
  - Then it waits until the target has applied them, and compares the rows once more.
  - Both images of every row are in an undo journal on disk before the row is changed.
  - Only O(extra_rows=adopt) and O(conflict=newest) write to the source's tables, where they say so.
  - What this version cannot repair without risk it refuses with a reason, before anything is written for that table. Other
    tables are repaired all the same, and the module fails at its end, with its results complete.
options:
  extra_rows:
    description:
      - What to do with rows that only the target has.
      - V(delete) removes them from the target, after reading under a lock that the source does not have them.
      - V(keep) leaves them alone. They are counted in RV(changes.skipped).
      - "V(adopt) copies them to the source, for the time after a split brain, when both servers took writes. The target keeps
        them as they are, other replicas of the source get them too. B(This writes to the source's tables), because you ask
        for it; the account needs C(INSERT) on them. They are counted in RV(changes.adopted)."
    type: str
    choices: [delete, keep, adopt]
    default: delete
  conflict:
    description:
      - What to do with rows that both servers have, and that differ.
      - V(source) gives the target the source's copy.
      - V(skip) leaves both as they are. They are counted in RV(changes.skipped).
      - "V(newest) keeps the copy with the greater value in O(conflict_column). Where that is the target's, the source gets it:
        B(this writes to the source's tables), because you ask for it; the account needs C(UPDATE) on them. Such rows are
        counted in RV(changes.adopted). The source's copy is kept in every other case: equal values, C(NULL) or a zero date
        on either side."
    type: str
    choices: [source, newest, skip]
    default: source
  conflict_column:
    description:
      - With O(conflict=newest), the column that tells which copy is newer; a date, datetime, timestamp or number that grows
        with each change.
      - It must be in at least one of the tables compared. A table without it is refused if rows of it differ.
    type: str
  downstream:
    description:
      - What to do when replicas hang below the target and the target logs a repair for them as row changes, which would
        stop those that have the right rows already.
      - V(refuse) does not begin, and ends before the next batch when such a replica comes while rows are repaired.
      - V(idempotent) sets them to IDEMPOTENT mode (C(slave_exec_mode), C(replica_exec_mode)) for the time of the repair
        and to STRICT at its end, when they have applied it. They are reached with the target's login at the addresses
        they report (C(report_host)). The account needs C(SYSTEM_VARIABLES_ADMIN) there on MySQL,
        C(REPLICATION SLAVE ADMIN) on MariaDB.
    type: str
    choices: [refuse, idempotent]
    default: refuse
  method:
    description:
      - How a change gets into the source's binary log.
      - "V(shadow): as a statement that runs on the source against an empty temporary table, so that nothing is written there
        and no trigger fires. On the target a statement fires the triggers of its events, so one is chosen whose events have
        none there. A table for whose rows there is no such statement is refused."
      - "V(row): as row changes, for which the target fires no trigger. Locked rows of the source's real table are deleted and
        inserted again in one transaction; rows that only the target has are inserted and deleted. Before the commit it is
        proved that every row of every table of the source is what it was, else it is rolled back. The target's applier is in
        IDEMPOTENT mode (C(slave_exec_mode), C(replica_exec_mode)) meanwhile, and STRICT afterwards; a run that was killed is
        made good by the next one with the same O(undo_dir)."
      - V(auto) is V(shadow), and V(row) for the tables that V(shadow) refuses because of triggers, if O(allow_triggers=true).
        With that it is V(row) for all where the target's channel takes no statements (MySQL, C(REQUIRE_ROW_FORMAT=1)).
    type: str
    choices: [auto, shadow, row]
    default: auto
    version_added: 0.1.0
  allow_triggers:
    description:
      - Repair tables with triggers by O(method=row), which runs the triggers of the source.
      - What they change elsewhere must be nothing in the end, as where they keep a second table in step. That is looked for
        before the commit. A trigger that leaves a trace, such as a row in a log table, is rolled back and the table refused.
    type: bool
    default: false
    version_added: 0.1.0
  plan_file:
    description:
      - Apply the plan that M(comaster.mysql_repl.mysql_repl_checksum) wrote to this file, and nothing else. Only the
        planned rows are read, not whole tables; it cannot be combined with a selection.
      - A planned row that is equal by now, or differs otherwise than planned, is left alone and counted in
        RV(changes.skipped). The plan of another pair, one that was cut short, and tables altered since are refused.
    type: path
  sample_rows:
    description: Differing rows returned for each table.
    type: int
    default: 10
author:
  - comaster.mysql_repl contributors (@comaster)
extends_documentation_fragment:
  - comaster.mysql_repl.attributes
  - comaster.mysql_repl.attributes.changes
  - comaster.mysql_repl.connection
  - comaster.mysql_repl.source
  - comaster.mysql_repl.selection
  - comaster.mysql_repl.pace
  - comaster.mysql_repl.pace.hold
  - comaster.mysql_repl.pace.fence
  - comaster.mysql_repl.pace.progress
  - comaster.mysql_repl.limits
notes:
  - "Rights of the account, on MySQL: C(SELECT, TRIGGER) on the data, C(REPLICATION CLIENT, PROCESS) on C(*.*); on MariaDB:
    C(SELECT, TRIGGER) on the data, C(BINLOG MONITOR, SLAVE MONITOR, PROCESS) on C(*.*). On both servers."
  - "Besides, on the source only, on MySQL: C(CREATE TEMPORARY TABLES) on the data, C(SESSION_VARIABLES_ADMIN) on C(*.*); on
    MariaDB: C(CREATE TEMPORARY TABLES, CREATE, INSERT) on the data, C(BINLOG ADMIN) on C(*.*)."
  - "For O(method=row), instead: on the source C(INSERT, DELETE) on the data (C(UPDATE) too where a BEFORE trigger alters
    rows), and on MySQL C(SESSION_VARIABLES_ADMIN), on MariaDB C(BINLOG ADMIN) on C(*.*); on the target, on MySQL
    C(SYSTEM_VARIABLES_ADMIN), on MariaDB C(REPLICATION SLAVE ADMIN) on C(*.*). For the time of the repair only."
  - "Besides, for O(extra_rows=adopt) C(INSERT) and for O(conflict=newest) C(UPDATE) on the tables on the source. For the time of
    such a run only."
  - "Otherwise no right to C(UPDATE) or C(DELETE) data is needed anywhere, and none should be given: without it the server itself keeps
    the account from changing the source."
seealso:
  - module: comaster.mysql_repl.mysql_repl_checksum
  - module: comaster.mysql_repl.mysql_repl_undo
"""

EXAMPLES = r"""
- name: Show what a repair would change, and change nothing
  comaster.mysql_repl.mysql_repl_sync:
    login_unix_socket: /run/mysqld/mysqld.sock
    login_user: repl_fix
    login_password: "{{ vault_repl_fix_password }}"
    tables: sakila.film
  check_mode: true
  diff: true

- name: Repair it
  comaster.mysql_repl.mysql_repl_sync:
    login_unix_socket: /run/mysqld/mysqld.sock
    login_user: repl_fix
    login_password: "{{ vault_repl_fix_password }}"
    tables: sakila.film
    max_changes: 100
    max_deletes: 0
  register: repair

- name: Bring missing and different rows to one database, leave rows alone that only the target has
  comaster.mysql_repl.mysql_repl_sync:
    login_host: db2.example.com
    login_user: repl_fix
    login_password: "{{ vault_repl_fix_password }}"
    databases: shop
    extra_rows: keep
    undo_dir: /var/lib/mysql_repl/undo

- name: Repair tables whose triggers keep others in step, such as Sakila's film and film_text
  comaster.mysql_repl.mysql_repl_sync:
    login_host: db2.example.com
    login_user: repl_admin
    login_password: "{{ vault_repl_admin_password }}"
    tables: [sakila.film, sakila.film_text]
    allow_triggers: true

- name: After a split brain keep the rows of both servers, and of a row that both changed the newer copy
  comaster.mysql_repl.mysql_repl_sync:
    login_host: db2.example.com
    login_user: repl_merge
    login_password: "{{ vault_repl_merge_password }}"
    databases: shop
    extra_rows: adopt
    conflict: newest
    conflict_column: updated_at
"""

RETURN = r"""
---
changes:
  description: Rows of the target that were repaired, or in check mode would be.
  type: dict
  returned: when the servers were reached
  sample: {inserted: 1, updated: 1, deleted: 0, adopted: 0, skipped: 0}
  contains:
    inserted:
      description: Rows that the target lacked.
      type: int
      sample: 1
    updated:
      description: Rows that differed.
      type: int
      sample: 1
    deleted:
      description: Rows that only the target had.
      type: int
      sample: 0
    adopted:
      description: Rows that the source got from the target, by O(extra_rows=adopt) or O(conflict=newest).
      type: int
      sample: 0
    skipped:
      description: Rows that differ and were left alone.
      type: int
      sample: 0
statements:
  description:
    - The statements as they were logged, or in check mode would be. The list is cut; the undo journal is not.
    - To run them by hand, C(SET time_zone='+00:00', sql_mode='NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks=0)
      in the session first. On a copy of either table they give the repaired one.
  type: list
  elements: str
  returned: when the servers were reached
  sample: ["DELETE FROM `sakila`.`film` WHERE `film_id` = 1001"]
undo_file:
  description:
    - The undo journal, on the host where the module ran, for M(comaster.mysql_repl.mysql_repl_undo). Both images of every row
      were in it, and on disk, before the row was changed.
    - V(null) where nothing was written.
  type: str
  returned: when the servers were reached
  sample: /root/.mysql_repl/undo/sync-20260101T120000Z-db2.example.com_3306-1a2b3c4d5e6f7a8b.jsonl
verified:
  description: Whether the rows written were compared again after the target had applied them, and are equal. V(false) in check mode.
  type: bool
  returned: when the servers were reached
  sample: true
diff:
  description:
    - The target's rows before and after, one entry a table, in the form that Ansible prints.
    - Rows that the source gets are in entries of their own, which show the source's rows before and after.
    - At most 500 rows a table and 3,000 lines in all; what is left out is counted.
  type: list
  elements: dict
  returned: in diff mode
  contains:
    before_header:
      description: Table, server and role.
      type: str
      sample: sakila.film on db2.example.com:3306 (target)
    after_header:
      description: Table, server and role.
      type: str
      sample: sakila.film as on db1.example.com:3306 (source)
    before:
      description: "The target's rows now, one a line: the key, then the columns that differ."
      type: str
      sample: "film_id=42 | rental_rate=0.99\n"
    after:
      description: The rows as they will be.
      type: str
      sample: "film_id=17 | title='ALONE TRIP' | rental_rate=0.99\nfilm_id=42 | rental_rate=2.99\n"
in_sync:
  description: Whether every table selected was compared and is identical, after a repair at its end.
  type: bool
  returned: when the servers were reached
  sample: false
tables:
  description:
    - The verdict on each table before the repair.
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
        - Empty for a table without a key, and where a O(plan_file) is applied.
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.comaster.mysql_repl.plugins.module_utils import _arguments as arguments
from ansible_collections.comaster.mysql_repl.plugins.module_utils import _live as live
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import sync
from ansible_collections.comaster.mysql_repl.plugins.module_utils._module import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments.connection_spec(),
            **arguments.selection_spec(),
            **arguments.pace_spec(),
            **arguments.sample_spec(),
            **arguments.limits_spec(),
            **arguments.plan_spec(),
            **arguments.policy_spec(),
            "downstream": {"type": "str", "choices": ["refuse", "idempotent"], "default": "refuse"},
            "method": {"type": "str", "choices": ["auto", "shadow", "row"], "default": "auto"},
            "allow_triggers": {"type": "bool", "default": False},
            **live.spec(),
        },
        supports_check_mode=True,
    )
    with live.watched(module) as listener:
        run_module(
            module,
            lambda servers, params: sync.run(
                servers,
                arguments.selection(params),
                arguments.pace(params),
                arguments.repair(params),
                arguments.sample_rows(params),
                apply=not module.check_mode,
                plan_file=arguments.plan_to_apply(params),
                listener=listener,
            ),
        )


if __name__ == "__main__":
    main()
