# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One browser for all tests; skipped with the reason where there is none, but not in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from report import chromium

from sandbox import PackageUnavailable

#: Where screenshots are kept for people to look at.
PICTURES = Path(__file__).resolve().parents[2] / ".cache" / "report"


@pytest.fixture(scope="session")
def browser() -> Iterator[chromium.Browser]:
    """Headless Chromium."""
    try:
        with chromium.browser() as window:
            yield window
    except PackageUnavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Chromium: {error}")


@pytest.fixture
def pictures() -> Path:
    """Folder for screenshots."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    return PICTURES
