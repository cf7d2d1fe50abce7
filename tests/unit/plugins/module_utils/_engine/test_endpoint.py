# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What TLS must prove, and what is said of a login that failed; real servers are in integration_engine/test_connections.py."""

from __future__ import annotations

import re
import ssl

import pytest

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.endpoint import Endpoint, refused, tls_context

PASSWORD = "s3cret-word"


@pytest.mark.parametrize(
    ("given", "verified", "named"),
    [
        ({"check_hostname": True}, True, True),
        ({"check_hostname": False}, False, False),
        ({"check_hostname": True, "unix_socket": "/run/mysqld.sock"}, True, True),
    ],
)
def test_what_is_proved(given, verified, named):
    endpoint = Endpoint(**given)
    assert endpoint.demands_tls
    context = tls_context(endpoint)
    assert (context.verify_mode is ssl.CERT_REQUIRED, context.check_hostname) == (verified, named)


def test_an_ipv6_address_is_shown_in_brackets():
    shown = [Endpoint(host=host, port=3307).address for host in ("db1", "10.0.0.1", "2001:db8::1", "[2001:db8::1]")]
    assert shown == ["db1:3307", "10.0.0.1:3307", "[2001:db8::1]:3307", "[2001:db8::1]:3307"]


def test_nothing_is_demanded_by_default():
    assert not Endpoint(user="u", password=PASSWORD).demands_tls


def test_secrets_are_bytes_and_not_shown():
    endpoint = Endpoint(password="p\udcff\u20ac")
    assert endpoint.secret == b"p\xff\xe2\x82\xac"
    assert PASSWORD not in repr(Endpoint(password=PASSWORD))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Exception(1045, "Access denied for user 'u'@'h' (using password: YES)"), "'login_password'"),
        (Exception(1130, "Host 'h' is not allowed to connect"), "where the module runs"),
        (Exception(3159, "Connections using insecure transport are prohibited"), "'ca_cert'"),
        (Exception(1040, "Too many connections"), "'workers'"),
        (RuntimeError("'cryptography' package is required for caching_sha2_password"), "Python package cryptography"),
        (RuntimeError("'pynacl' package is required for ed25519_password auth method"), "Python package PyNaCl"),
        (Exception(2059, "Authentication plugin 'b'dialog'' not configured"), "authentication|mysql_native_password"),
        (Exception(2003, "Can't connect to MySQL server on 'db' (timed out)"), "'connect_timeout' \\(30 s\\)"),
        (Exception("odd", "thing"), "'login_host'"),
    ],
)
def test_each_failure_names_the_options(error, said):
    endpoint = Endpoint(host="db", user="u", password=PASSWORD)
    told = refused(endpoint, "target", error)
    assert (told.code, PASSWORD in str(told)) == ("cannot_connect", False)
    assert re.search(said, told.remedy)
    assert "the target at db:3306" in told.message
    of_source = refused(endpoint, "source", error)
    assert "'login_" not in of_source.remedy
    assert "taken from the target's login" in of_source.remedy
