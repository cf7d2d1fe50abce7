# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: mysql_repl_report
short_description: The report of a run as text
version_added: 0.1.0
description:
  - Tells what the roles P(comaster.mysql_repl.check#role), P(comaster.mysql_repl.sync#role) and
    P(comaster.mysql_repl.undo#role) found and did. The role P(comaster.mysql_repl.report#role) writes it to files.
  - Values from databases cannot do anything in it. What means something in HTML, XML or Markdown is escaped. Characters that
    cannot be seen, such as escape sequences and marks that turn the direction of writing, are shown as signs; JSON has
    the values as they are, by C(\u) where they are not ASCII.
positional: form, created, title, templates
options:
  _input:
    description:
      - The variables of the hosts of the play, as in C(hostvars), where the roles leave their results.
    type: list
    elements: dict
    required: true
  form:
    description: What to make of it. V(summary) is a text of less than 1,000 bytes.
    type: str
    choices: [summary, html, json, markdown, junit]
    default: summary
  created:
    description: When the report was made, as text.
    type: str
    default: ""
  title:
    description: Heading of the report.
    type: str
    default: ""
  templates:
    description: Folder of the templates. V(html), V(markdown) and V(junit) need it.
    type: path
    default: ""
author:
  - comaster.mysql_repl contributors (@comaster)
"""

EXAMPLES = r"""
- name: Say in a few lines how all pairs are
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | map('extract', hostvars) | comaster.mysql_repl.mysql_repl_report }}"
"""

RETURN = r"""
---
_value:
  description: The text.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError

from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._page import FORMATS, render
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._report import report_of
from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._runs import runs_of


def mysql_repl_report(
    hosts: t.Iterable[t.Any], form: str = "summary", created: str = "", title: str = "", templates: str = ""
) -> str:
    """Give the report of what the roles did on these hosts."""
    if form != "summary" and form not in FORMATS:
        raise AnsibleFilterError(f"A report can be one of summary, {', '.join(FORMATS)}, not {form!r}.")
    report = report_of(runs_of(hosts), str(created), str(title or ""))
    return str(report["summary"]) if form == "summary" else render(report, form, str(templates))


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        """Filters by name."""
        return {"mysql_repl_report": mysql_repl_report}
