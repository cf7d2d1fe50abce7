# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to this collection: no promise is made to anybody else.

"""A report as the text of a file.

The templates are Jinja's and are rendered by Jinja itself: Ansible's own templating never escapes, whatever
``autoescape`` says (its code generator leaves that out), and escaping is what keeps data from becoming a page's code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import typing as t
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ansible_collections.comaster.mysql_repl.plugins.plugin_utils._text import markdown

#: Endings of files, and of the templates of those that have one.
FORMATS = {"html": "html", "json": "json", "markdown": "md", "junit": "xml"}


def render(report: t.Mapping[str, t.Any], form: str, folder: str) -> str:
    """The text of a report in one of the FORMATS. ``folder``: where the templates are."""
    if form == "json":
        return _json(report)
    ending = FORMATS[form]
    environment = Environment(
        loader=FileSystemLoader(folder),
        # Markdown has an escaping of its own, its template calls it.
        autoescape=ending in ("html", "xml"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["markdown"] = markdown
    environment.filters["grouped"] = "{:,}".format
    script = _text(folder, "report.js")
    return environment.get_template(f"report.{ending}.j2").render(
        report=report, style=_text(folder, "report.css"), script=script, script_hash=_hash(script)
    )


def _json(report: t.Mapping[str, t.Any]) -> str:
    said = {
        "format": "comaster.mysql_repl report 1",
        "title": report["title"],
        "created": report["created"],
        "verdict": report["verdict"]["code"],
        "summary": report["summary"],
        "totals": report["totals"],
        "pairs": report["runs"],
    }
    return json.dumps(said, indent=2) + "\n"


def _text(folder: str, name: str) -> str:
    """A file's text without its licence."""
    return (Path(folder) / name).read_text(encoding="utf-8").partition("*/")[2].strip()


def _hash(script: str) -> str:
    """The script by the name that a content security policy allows it by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
