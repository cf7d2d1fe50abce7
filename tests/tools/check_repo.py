# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of this repository that no linter knows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import tree
import yaml

NO_COMMENTS = (".json", ".png", ".svg", ".csv")
LICENSE_TEXTS = ("COPYING", "LICENSES/")
SPDX = "SPDX-License-Identifier: "
OF_ONE_MACHINE = re.compile(r"--(extra-)?index-url|/(root|home/\w+)/\.pyenv|\b/work/main")


def main() -> None:
    wrong = sorted([*headers_and_addresses(), *action_group(), *role_readmes()])
    if wrong:
        sys.exit("\n".join(wrong))
    print("check_repo: ok")


def headers_and_addresses() -> Iterator[str]:
    for name in tree.source_files():
        path = tree.ROOT / name
        if name.startswith(LICENSE_TEXTS) or path.is_symlink() or name.endswith(NO_COMMENTS):
            continue
        text = path.read_text(encoding="utf-8")
        if text and SPDX not in text and not path.with_name(path.name + ".license").exists():
            yield f"{name}: no SPDX-License-Identifier"
        found = None if name == "tests/tools/check_repo.py" else OF_ONE_MACHINE.search(text)
        if found:
            yield f"{name}: an address or a path of one machine: {found.group()}"


def action_group() -> Iterator[str]:
    """Defaults for group/comaster.mysql_repl.mysql_repl must reach every module."""
    runtime = yaml.safe_load((tree.ROOT / "meta" / "runtime.yml").read_text())
    listed = runtime["action_groups"]["mysql_repl"]
    modules = {path.stem for path in (tree.ROOT / "plugins" / "modules").glob("[!_]*.py")}
    for name in modules.symmetric_difference(listed):
        yield f"meta/runtime.yml: action group and plugins/modules differ in {name}"


def role_readmes() -> Iterator[str]:
    for role in (tree.ROOT / "roles").glob("*/"):
        if not (role / "README.md").exists():
            yield f"{role.relative_to(tree.ROOT)}: no README.md"


if __name__ == "__main__":
    main()
