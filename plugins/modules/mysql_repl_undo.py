#!/usr/bin/python

# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: mysql_repl_undo
short_description: Put back the rows that a repair changed on MySQL or MariaDB co-masters
version_added: 0.1.0
description:
  - Replays an undo journal of M(comaster.mysql_repl.mysql_repl_sync). The rows that the target had before the repair are put
    back, B(on both servers), which is how the copies stay equal.
  - Unlike a repair this changes the source, because you ask for it. The old rows are written to the source's tables and reach
    the target through replication. Every row is locked on the source, must still be on both servers what the repair made of
    it, and is read again before the commit.
  - Where the repair had changed the source (its options O(comaster.mysql_repl.mysql_repl_sync#module:extra_rows=adopt) and
    O(comaster.mysql_repl.mysql_repl_sync#module:conflict=newest)), the row that the source had before is put back instead, on both servers too.
  - A row that was changed again since the repair is left alone and reported in RV(refused), and the module fails at its end.
  - A row that is already as it was needs nothing, so that running it twice is harmless. An undo that ended early, by
    O(max_runtime) or however else, leaves whole transactions behind; the next one goes on with the rest.
  - Keeps an undo journal itself, so that an undo can be undone.
options:
  undo_file:
    description:
      - The journal to replay, on the host where the module runs, as M(comaster.mysql_repl.mysql_repl_sync) returned it.
    type: path
    required: true
  allow_triggers:
    description:
      - Put rows back also where that fires triggers of the source. What they change in the row is put right; a row that they
        change elsewhere is found before the commit, which is rolled back, and the table is refused.
      - It is not needed where no statement of the undo fires a trigger of the source. Triggers of the target never fire.
    type: bool
    default: false
    version_added: 0.1.0
  downstream:
    description:
      - What to do when replicas hang below the target, or below the source besides the target. They get what an undo writes, and
        one whose rows are not just the source's would stop (error 1062 or 1032).
      - V(refuse) does not begin.
      - V(idempotent) sets them to IDEMPOTENT mode (C(slave_exec_mode), C(replica_exec_mode)) for the time of the undo, which is
        logged as row changes then, and to STRICT at its end, when they have applied it. They are reached with the login of the
        server above them at the addresses they report (C(report_host)). Tables without a key are refused.
    type: str
    choices: [refuse, idempotent]
    default: refuse
    version_added: 0.1.0
author:
  - comaster.mysql_repl contributors (@comaster)
extends_documentation_fragment:
  - comaster.mysql_repl.attributes
  - comaster.mysql_repl.attributes.changes
  - comaster.mysql_repl.connection
  - comaster.mysql_repl.source
  - comaster.mysql_repl.pace.hold
  - comaster.mysql_repl.pace.fence
  - comaster.mysql_repl.pace.progress
  - comaster.mysql_repl.limits
notes:
  - "Rights of the account, on MySQL: C(SELECT, TRIGGER) on the data, C(REPLICATION CLIENT, PROCESS) on C(*.*); on MariaDB:
    C(SELECT, TRIGGER) on the data, C(BINLOG MONITOR, SLAVE MONITOR, PROCESS) on C(*.*). On both servers."
  - "Besides, on the source only: C(INSERT, DELETE) on the tables of the journal. C(UPDATE) for tables with triggers and for those
    of MyISAM, Aria and MEMORY, for the latter also C(LOCK TABLES) on the database. Where the target has triggers and the server
    does not log rows (C(binlog_format)): C(SESSION_VARIABLES_ADMIN) on MySQL, C(BINLOG ADMIN) on MariaDB. A repair needs no C(DELETE)
    or C(UPDATE), so grant them for the time of the undo, or use another account."
  - "With O(downstream=idempotent) also C(SYSTEM_VARIABLES_ADMIN) on these replicas and C(REPLICATION SLAVE) on the server above
    them on MySQL, C(REPLICATION SLAVE ADMIN) and C(REPLICATION MASTER ADMIN) on MariaDB; on the source what logs rows, as above."
seealso:
  - module: comaster.mysql_repl.mysql_repl_sync
"""

EXAMPLES = r"""
- name: Repair a table
  comaster.mysql_repl.mysql_repl_sync:
    login_host: db2.example.com
    login_user: repl_fix
    login_password: "{{ vault_repl_fix_password }}"
    tables: sakila.film
  register: repair

- name: Put the target's rows back as they were
  comaster.mysql_repl.mysql_repl_undo:
    login_host: db2.example.com
    login_user: repl_undo
    login_password: "{{ vault_repl_undo_password }}"
    undo_file: "{{ repair.undo_file }}"
"""

RETURN = r"""
---
changes:
  description: Rows that were put back, or in check mode would be.
  type: dict
  returned: when the servers were reached
  sample: {inserted: 0, updated: 1, deleted: 1, adopted: 0, skipped: 0}
  contains:
    inserted:
      description: Rows that the repair had deleted.
      type: int
      sample: 0
    updated:
      description: Rows that the repair had updated.
      type: int
      sample: 1
    deleted:
      description: Rows that the repair had inserted.
      type: int
      sample: 1
    adopted:
      description: Always 0; an undo changes both servers.
      type: int
      sample: 0
    skipped:
      description: Rows that were left alone; RV(refused) has the first 1000 of them.
      type: int
      sample: 0
refused:
  description: Rows that were left alone, the first 1000. RV(changes.skipped) counts all of them.
  type: list
  elements: dict
  returned: when the servers were reached
  sample: []
  contains:
    table:
      description: Its table.
      type: str
      sample: sakila.film
    key:
      description: Its key.
      type: str
      sample: film_id=17
    reason:
      description: Stable code, such as V(changed_since), V(schema_changed), V(triggers) or V(not_undone); docs/hazards.md explains all.
      type: str
      sample: changed_since
    message:
      description: The reason in words.
      type: str
      sample: the row is no more what the journaled run made of it
undo_file:
  description:
    - The undo journal, on the host where the module ran, for M(comaster.mysql_repl.mysql_repl_undo). Both images of every row
      were in it, and on disk, before the row was changed.
    - V(null) where nothing was written.
  type: str
  returned: when the servers were reached
  sample: /root/.mysql_repl/undo/undo-20260101T123000Z-db2.example.com_3306-9c8b7a6d5e4f3a2b.jsonl
verified:
  description: Whether every row was put back and seen on both servers afterwards. V(false) in check mode.
  type: bool
  returned: when the servers were reached
  sample: true
diff:
  description: The rows before and after, one entry a table, in the form that Ansible prints.
  type: list
  elements: dict
  returned: in diff mode
  contains:
    before_header:
      description: Table, server and role.
      type: str
      sample: sakila.film on both servers
    after_header:
      description: Table, server and role.
      type: str
      sample: sakila.film as it was on db2.example.com:3306
    before:
      description: "The rows now, one a line: the key, then the columns that differ."
      type: str
      sample: "film_id=17 | title='ALONE TRIP' | rental_rate=0.99\nfilm_id=42 | rental_rate=2.99\n"
    after:
      description: The rows as they will be.
      type: str
      sample: "film_id=42 | rental_rate=0.99\n"
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
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.operations import undo
from ansible_collections.comaster.mysql_repl.plugins.module_utils._module import run_module


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **arguments.connection_spec(),
            **arguments.hold_spec(),
            **arguments.fence_spec(),
            **arguments.limits_spec(),
            "allow_triggers": {"type": "bool", "default": False},
            "downstream": {"type": "str", "choices": ["refuse", "idempotent"], "default": "refuse"},
            "undo_file": {"type": "path", "required": True},
            **live.spec(),
        },
        supports_check_mode=True,
    )
    with live.watched(module) as listener:
        run_module(
            module,
            lambda servers, params: undo.run(
                servers,
                arguments.undo_file(params),
                arguments.limit(params, "max_changes", 0),
                arguments.limit(params, "max_deletes", 0),
                arguments.limit(params, "batch_rows", 1),
                arguments.undo_dir(params),
                apply=not module.check_mode,
                listener=listener,
                pace=arguments.hold(params),
                allow_triggers=params["allow_triggers"],
                downstream=params["downstream"],
            ),
        )


if __name__ == "__main__":
    main()
