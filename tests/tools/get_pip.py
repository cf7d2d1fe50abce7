# SPDX-FileCopyrightText: 2026 comaster.mysql_repl contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stand-in for the get-pip script that ansible-test downloads from its own host.

ansible_test.py puts it where ansible-test looks for a copy it has already. It is started
inside an empty virtual environment. The pip that comes with Python serves: the pinned one
it is asked for would only cost another download for each of some twenty environments.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main() -> None:
    # hides the progress and the warnings about indexes of what ansible-test installs next
    Path(sys.prefix, "pip.conf").write_text("[global]\nquiet = 2\n")
    subprocess.check_call([sys.executable, "-I", "-m", "ensurepip"], stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
