# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Headless Chromium from Debian's packages, without touching the host, and the few words of WebDriver that tests need.

The host's own chromium and chromedriver are used where they are installed; otherwise the packages of the host's
release are unpacked into .cache/chromium once, and run with their own libraries and fonts.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.apt import PackageUnavailable, PrivateApt, host_sources

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "chromium"
PACKAGES = ("chromium", "chromium-driver", "fonts-dejavu-core", "fonts-noto-color-emoji")
# What they pull in and a headless browser does without; the C library must be the one that the host's loader fits.
UNNEEDED = re.compile(
    r"libc6|.*perl.*|usrmerge|dpkg|tar|init-system-.*|sysvinit-.*|debconf|libpam.*|passwd|adduser|systemd.*|libsystemd-shared"
    r"|dmsetup|.*cryptsetup.*|dbus.*|mount|procps|libproc.*|adwaita.*|hicolor.*|gtk-.*|libgtk-3.*|libllvm.*|libz3.*|libgl.*mesa.*"
    r"|libdrm-(?:intel|amdgpu|radeon|nouveau).*|x11-.*|libx(?:aw|t|mu|pm|ft|kbfile|tst|v|xf86).*\d|xdg-utils|lib?dconf.*|lsb-base"
)
# Without the first, Chromium wants a sandbox that root cannot have; without the others it calls home at its start.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass(frozen=True)
class Programs:
    """Where browser and driver lie, and what they need in their environment."""

    chromium: Path
    driver: Path
    environment: dict[str, str]


def programs() -> Programs:
    """Find or fetch Chromium; raises PackageUnavailable, saying why, where it cannot be had."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium and driver:
        return Programs(Path(chromium), Path(driver), {})
    tree = CACHE / "tree"
    if not tree.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with (CACHE / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not tree.is_dir():
                _fetch(tree)
    libraries = next((tree / "usr" / "lib").glob("*-linux-gnu"))
    environment = {"LD_LIBRARY_PATH": f"{libraries}:{libraries}/pulseaudio", "FONTCONFIG_SYSROOT": str(tree)}
    return Programs(tree / "usr/lib/chromium/chromium", tree / "usr/bin/chromedriver", environment)


def _fetch(tree: Path) -> None:
    building = Path(tempfile.mkdtemp(prefix=".building-", dir=CACHE))
    try:
        apt = PrivateApt(building / "apt", host_sources())
        apt.update()
        wanted = {name for package in PACKAGES for name in apt.closure(package) if not UNNEEDED.fullmatch(name)}
        apt.unpack(sorted(wanted), building / "tree")
        (building / "tree").rename(tree)
    finally:
        shutil.rmtree(building, ignore_errors=True)


class Browser:
    """One window. Raises RuntimeError with WebDriver's own words when something cannot be done."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, page: Path) -> None:
        """Load a file and forget what was logged before."""
        self.log("browser")
        self.log("performance")
        self._post("url", url=page.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """Run the body of a function in the page; return what it returns."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def click(self, selector: str, text: str = "") -> None:
        """Click as a person does on the first element of a CSS selector (that has the text), scrolled into view."""
        found = self.run(
            "return [...document.querySelectorAll(arguments[0])].find(e => e.textContent.includes(arguments[1]))", selector, text
        )
        assert found, f"no {selector} with {text!r}"
        self._post(f"element/{next(iter(found.values()))}/click")

    def type(self, selector: str, text: str) -> None:
        """Type into an element, after what is there."""
        element = self._post("element", using="css selector", value=selector)
        self._post(f"element/{next(iter(element.values()))}/value", text=text)

    def visible(self, selector: str) -> list[str]:
        """Texts of the elements that can be seen, as they are shown."""
        script = "return [...document.querySelectorAll(arguments[0])].filter(e => e.checkVisibility()).map(e => e.innerText)"
        return [str(text) for text in self.run(script, selector)]

    def awaited(self, selector: str, seconds: float = 10) -> list[str]:
        """The same, once there are any: a page answers to a click when it gets round to it."""
        deadline = time.monotonic() + seconds
        while not (found := self.visible(selector)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def log(self, kind: str) -> list[dict[str, Any]]:
        """What was logged since the last look: kind browser or performance."""
        return list(self._post("se/log", type=kind))

    def devtools(self, command: str, **parameters: Any) -> None:
        """Give a command of Chromium's DevTools."""
        self._post("goog/cdp/execute", cmd=command, params=parameters)

    def scheme(self, name: str) -> None:
        """Let the page be light or dark."""
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def size(self, width: int, height: int) -> None:
        """Set the window's inner size; a narrow one is a phone."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def screenshot(self, path: Path) -> None:
        """Keep what the window shows."""
        path.write_bytes(base64.b64decode(self._get("screenshot")))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self._post("print", background=True))

    def close(self) -> None:
        """End the browser."""
        request(self._session, "DELETE")

    def _post(self, path: str, **body: Any) -> Any:
        return request(f"{self._session}/{path}", "POST", body)

    def _get(self, path: str) -> Any:
        return request(f"{self._session}/{path}", "GET")


def request(address: str, method: str, body: dict[str, Any] | None = None) -> Any:
    """Say one thing to the driver. Raises RuntimeError."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from error


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser of one's own, with an empty profile. Raises PackageUnavailable."""
    found = programs()
    with tempfile.TemporaryDirectory(prefix="chromium-") as profile:
        environment = {
            **os.environ,
            **found.environment,
            "HOME": profile,
            "XDG_CACHE_HOME": profile,
            "DBUS_SESSION_BUS_ADDRESS": "",
        }
        driver = subprocess.Popen(
            [found.driver, "--port=0"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            address = f"http://127.0.0.1:{_port(driver)}/session"
            options = {"binary": str(found.chromium), "args": [*FLAGS, f"--user-data-dir={profile}/data"]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
            started = request(address, "POST", {"capabilities": {"alwaysMatch": wanted}})
            window = Browser(f"{address}/{started['sessionId']}")
            try:
                yield window
            finally:
                window.close()
        finally:
            driver.terminate()
            driver.wait(10)


def _port(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout
    until, said = time.monotonic() + 30, ""
    while time.monotonic() < until:
        line = driver.stdout.readline()
        said += line
        found = re.search(r"started successfully on port (\d+)", line)
        if found:
            return int(found[1])
        if not line:
            break
    raise PackageUnavailable(f"chromedriver does not run on this machine:\n{said[-800:]}")
