# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tries to break the laws of docs/safety.md on real servers, with scenarios and faults made from one integer each.

    make fire T='--server mysql-9 --seconds 3600'
    make fire T='--server mysql-9 --seed 12345 --count 1'        # once more, the same
    make fire T='--server mysql-9 --seed 12345 --shrink'         # the least of it that still fails

The judge never asks the engine: it compares whole tables, as raw bytes, before and after, on both servers.
"""
