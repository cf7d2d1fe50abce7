# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`python -m sandbox`: fetch servers, list them, or run a pair by hand until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
import time

from . import FLAVORS, PackageUnavailable, SandboxError, Topology, co_masters, packages
from .template import REPL_PASSWORD, REPL_USER


def main() -> int:
    """Run one command; return its exit code (1: a server cannot be had or started)."""
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        arguments.run(arguments)
    except (PackageUnavailable, SandboxError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="command")

    fetch = commands.add_parser("fetch", help="bring servers into the cache")
    fetch.add_argument("flavor", nargs="*", metavar="flavor", help=f"which ones, of {', '.join(FLAVORS)}")
    fetch.add_argument("--again", action="store_true", help="drop what is cached first, to get newer packages")
    fetch.set_defaults(run=_fetch)

    commands.add_parser("list", help="show the flavours and what is here").set_defaults(run=_list)

    pair = commands.add_parser("pair", help="run two co-masters until Ctrl-C")
    pair.add_argument("flavor", choices=FLAVORS)
    pair.add_argument("--format", default="ROW", choices=("ROW", "MIXED", "STATEMENT"), help="binlog_format")
    pair.add_argument("--no-gtid", dest="gtid", action="store_false", help="replicate by file and position")
    pair.set_defaults(run=_pair)
    return parser


def _fetch(arguments: argparse.Namespace) -> None:
    for name in arguments.flavor or [name for name, kind in FLAVORS.items() if not kind.by_name_only]:
        packages.flavor(name)  # a wrong name is an error before anything is dropped
        if arguments.again:
            packages.forget(name)
        tree = packages.tree(name)
        print(f"{name}: {packages.version(tree)} in {tree.root}", flush=True)


def _list(_arguments: argparse.Namespace) -> None:
    for name in FLAVORS:
        tree = packages.installed(name)
        print(f"{name}: {packages.version(tree)} in {tree.root}" if tree else f"{name}: not fetched")


def _pair(arguments: argparse.Namespace) -> None:
    with co_masters(arguments.flavor, binlog_format=arguments.format, gtid=arguments.gtid) as pair:
        _show(pair)
        while True:
            time.sleep(3600)


def _show(topology: Topology) -> None:
    for server in topology.servers.values():
        print(
            f"{server.name}: {server.host}:{server.port}, server_id {server.server_id}\n"
            f"   accounts root / {server.root_password}, {REPL_USER} / {REPL_PASSWORD}\n"
            f"   socket {server.socket}\n"
            f"   error log {server.error_log}"
        )
    print("links: " + ", ".join(map(str, topology.links)) + "\nCtrl-C ends them.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
