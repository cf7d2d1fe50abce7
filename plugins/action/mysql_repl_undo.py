# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._live import LiveAction


class ActionModule(LiveAction):
    """Shows how far the module mysql_repl_undo is while it runs."""
