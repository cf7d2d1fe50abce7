# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every way to log in to a real server, and what is said when it fails."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pymysql
import pytest
from integration_engine.certificates import Authority

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import session as engine_session
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.errors import ConnectError, LostConnection
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.session import Endpoint, Session, connect
from sandbox import PackageUnavailable, Server, Topology, packages

SECRET = "pä'ss\"w\\ö€rd-🔑"
_HERE = "localhost"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture(scope="module", params=["mariadb-10.11", "mariadb-11.8", "mysql-9"])
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[Server]:
    """A server with a certificate for localhost."""
    own = authority.issue(_HERE)
    options = {"ssl_ca": authority.ca, "ssl_cert": own.certificate, "ssl_key": own.key}
    with Topology(request.param, ["one"], options=options) as topology:
        yield topology.one


@pytest.fixture(scope="module", params=["mariadb-10.11", "mysql-9"])
def plain(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server without TLS."""
    options = {"tls_version": ""} if request.param == "mysql-9" else {"skip_ssl": None}
    with Topology(request.param, ["one"], options=options) as topology:
        yield topology.one


def login(server: Server, **changes: Any) -> Endpoint:
    settings = {"host": _HERE, "port": server.port, "user": "root", "password": server.root_password, "connect_timeout": 10}
    return Endpoint(**{**settings, **changes})


@contextmanager
def account(server: Server, identified: str, require: str = "") -> Iterator[str]:
    server.execute([f"CREATE USER u@'%' {identified} {require}"])
    try:
        yield "u"
    finally:
        server.execute("DROP USER u@'%'")


def cipher(session: Session) -> str:
    """The cipher of a session; empty without TLS."""
    return session.record("SHOW SESSION STATUS LIKE 'Ssl_cipher'")["Value"] or ""


def told(endpoint: Endpoint, role: str = "target") -> str:
    """What is said when the connection is refused; never the password."""
    with pytest.raises(ConnectError) as refused, connect(endpoint, role):
        pass
    assert refused.value.code == "cannot_connect"
    assert refused.value.remedy
    said = str(refused.value)
    assert endpoint.address in said
    assert not endpoint.password or endpoint.password not in said
    return said


# -- ways --------------------------------------------------------------------------------------


def test_tcp_and_socket(server: Server, plain: Server) -> None:
    for each in (server, plain):
        for changes in ({}, {"host": "127.0.0.1"}, {"unix_socket": each.socket, "host": "nowhere.invalid"}):
            with connect(login(each, **changes), "target") as session:
                assert session.scalar("SELECT @@port") == str(each.port)
                assert session.connection_id > 0
                assert session.scalar("SELECT @@time_zone") == "+00:00"


@pytest.mark.skipif(pymysql.VERSION < (1, 2), reason="older drivers use TLS only when an option demands it")
def test_tls_is_used_where_it_is_offered(server: Server) -> None:
    with connect(login(server), "target") as session:
        assert cipher(session)


# -- TLS ---------------------------------------------------------------------------------------


def test_the_servers_own_authority_is_verified(server: Server, authority: Authority) -> None:
    for more in ({}, {"check_hostname": True}, {"unix_socket": server.socket, "host": "other.invalid"}):
        with connect(login(server, ca_cert=authority.ca, **more), "target") as session:
            assert cipher(session)


def test_another_authority_is_refused(server: Server, tmp_path: Any) -> None:
    other = Authority(tmp_path, "theirs")
    for more in ({}, {"check_hostname": False}, {"unix_socket": server.socket}):
        said = told(login(server, ca_cert=other.ca, **more))
        assert "CERTIFICATE_VERIFY_FAILED" in said
        assert "'ca_cert'" in said
    # Without an authority of ours the system's are asked, who do not know this server.
    assert "'source.ca_cert'" in told(login(server, check_hostname=True), "source")


def test_a_certificate_of_another_name_is_refused(server: Server, authority: Authority) -> None:
    endpoint = login(server, host="127.0.0.1", ca_cert=authority.ca)
    said = told(endpoint)
    assert "127.0.0.1" in said
    assert "'check_hostname'" in said
    with connect(login(server, host="127.0.0.1", ca_cert=authority.ca, check_hostname=False), "target") as session:
        assert cipher(session)


def test_mysql_certificates_of_its_own_making() -> None:
    with Topology("mysql-9", ["one"]) as topology:
        made = str(topology.one.datadir / "ca.pem")
        assert "'check_hostname'" in told(login(topology.one, ca_cert=made))
        with connect(login(topology.one, ca_cert=made, check_hostname=False), "target") as session:
            assert cipher(session)


def test_tls_that_is_asked_for_is_never_given_up(plain: Server, authority: Authority) -> None:
    for demand in ({"ca_cert": authority.ca}, {"check_hostname": True}, {"check_hostname": False}):
        assert "TLS" in told(login(plain, **demand))


def test_an_account_may_require_a_certificate(server: Server, authority: Authority, tmp_path: Any) -> None:
    good, stranger = authority.issue("client"), Authority(tmp_path, "theirs").issue("client")
    with account(server, "IDENTIFIED BY 'some-secret'", "REQUIRE X509") as user:
        as_user = {"user": user, "password": "some-secret"}
        with connect(
            login(server, **as_user, ca_cert=authority.ca, client_cert=good.certificate, client_key=good.key), "target"
        ) as session:
            assert cipher(session)
        with connect(login(server, **as_user, client_cert=good.certificate, client_key=good.key), "target") as session:
            assert cipher(session)
        assert "'client_cert'" in told(login(server, **as_user, ca_cert=authority.ca))
        told(login(server, **as_user, ca_cert=authority.ca, client_cert=stranger.certificate, client_key=stranger.key))


def test_an_account_may_require_tls(server: Server, plain: Server) -> None:
    for each, works in ((server, True), (plain, False)):
        with account(each, "IDENTIFIED BY 'some-secret'", "REQUIRE SSL") as user:
            endpoint = login(each, user=user, password="some-secret", check_hostname=False)
            if works:
                connect(endpoint, "target").close()
            else:
                assert "TLS" in told(endpoint)


def test_files_that_cannot_be_used(server: Server, authority: Authority, tmp_path: Any) -> None:
    mine, other = authority.issue("client"), authority.issue("second")
    locked = authority.issue("locked", passphrase=b"sesame")
    (tmp_path / "empty").write_text("")
    for files in (
        {"ca_cert": "/nowhere/ca.pem"},
        {"ca_cert": str(tmp_path / "empty")},
        {"client_cert": mine.certificate, "client_key": "/nowhere/key.pem"},
        {"client_cert": mine.certificate, "client_key": other.key},
        {"client_cert": locked.certificate, "client_key": locked.key},
        {"client_key": mine.key},
    ):
        said = told(login(server, **files))
        assert all(f"'{name}'" in said for name in ("ca_cert", "client_cert", "client_key"))
        assert "/nowhere" in said or "/nowhere" not in str(files)


# -- passwords ---------------------------------------------------------------------------------


def test_any_password_works(server: Server, plain: Server) -> None:
    for each in (server, plain):
        text = SECRET.replace("\\", "\\\\").replace("'", "''")
        with account(each, f"IDENTIFIED BY '{text}'") as user:
            for _first_and_cached in range(2):
                connect(login(each, user=user, password=SECRET), "target").close()
            for wrong in ("wrong-password", SECRET[:-1], None):
                said = told(login(each, user=user, password=wrong))
                assert "Access denied" in said
                assert "'login_password'" in said
            assert "'source.login_password'" in told(login(each, user=user, password="wrong-password"), "source")


def test_the_password_stands_nowhere(server: Server) -> None:
    endpoint = login(server)
    assert endpoint.password not in repr(endpoint)
    with connect(endpoint, "target") as session:
        assert all(endpoint.password not in str(row) for row in session.records("SHOW FULL PROCESSLIST"))


def test_caching_sha2_with_and_without_tls(server: Server, plain: Server) -> None:
    for each in (server, plain):
        if each.family != "mysql":
            continue
        with account(each, "IDENTIFIED WITH caching_sha2_password BY 'some-secret'") as user:
            for encrypted in ({}, {"unix_socket": each.socket}):
                each.execute("FLUSH PRIVILEGES")  # forgets who has logged in
                for _first_and_cached in range(2):
                    connect(login(each, user=user, password="some-secret", **encrypted), "target").close()


def test_caching_sha2_needs_a_package_without_tls(plain: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    if plain.family != "mysql":
        pytest.skip("a plugin of MySQL")
    monkeypatch.setattr("pymysql._auth._have_cryptography", False)
    with account(plain, "IDENTIFIED WITH caching_sha2_password BY 'some-secret'") as user:
        said = told(login(plain, user=user, password="some-secret"))
        assert "Python package cryptography" in said
        assert "'ca_cert'" in said


def test_accounts_that_are_locked_or_expired(server: Server) -> None:
    for state in ("ACCOUNT LOCK", "PASSWORD EXPIRE"):
        with account(server, "IDENTIFIED BY 'some-secret'", state) as user:
            said = told(login(server, user=user, password="some-secret"))
            assert "'login_user'" in said
            assert "locked" in said or "expired" in said or "must" in said or "have to" in said


def test_a_setting_that_a_newer_server_has_no_more(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine_session._SETTINGS, "gone_in_version_13", "0")
    assert "gone_in_version_13" in told(login(server))
    monkeypatch.setattr(engine_session, "_OPTIONAL", engine_session._OPTIONAL | {"gone_in_version_13"})
    with connect(login(server), "target") as session:
        assert session.scalar("SELECT @@sql_mode") != ""
        assert session.scalar("SELECT @@time_zone") == "+00:00"


def test_native_passwords(server: Server, plain: Server) -> None:
    for each in (server, plain):
        if each.family == "mariadb":
            with account(each, "IDENTIFIED VIA mysql_native_password USING PASSWORD('some-secret')") as user:
                connect(login(each, user=user, password="some-secret"), "target").close()


def test_ed25519() -> None:
    pytest.importorskip("nacl")
    try:
        plugins = packages.addon("mariadb-10.11", "mariadb-server") / "lib/mysql/plugin"
    except PackageUnavailable as error:
        pytest.skip(str(error))
    with Topology("mariadb-10.11", ["one"], options={"plugin_dir": str(plugins)}) as topology:
        topology.one.execute("INSTALL SONAME 'auth_ed25519'")
        with account(topology.one, "IDENTIFIED VIA ed25519 USING PASSWORD('some-secret')") as user:
            for more in ({}, {"unix_socket": topology.one.socket}):
                with connect(login(topology.one, user=user, password="some-secret", **more), "target") as session:
                    assert session.scalar("SELECT CURRENT_USER()") == "u@%"
            assert "Access denied" in told(login(topology.one, user=user, password="wrong-password"))


# -- servers that are not there, or not as they should be ----------------------------------------


@contextmanager
def listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which ``serve`` talks to the first who comes; he is kept waiting until the end."""
    done = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def run() -> None:
            peer = listening.accept()[0]
            with closing(peer):
                serve(peer)
                done.wait(30)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            done.set()
            thread.join()


def packet(number: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


# Capabilities: protocol 4.1, secure connection, plugin authentication.
_GREETING = packet(
    0,
    b"\x0a10.11.0-MariaDB\0\x01\0\0\0" + b"saltsalt\0" + b"\x00\x82\x2d\x02\x00\x08\x00\x15" + b"\0" * 10
    + b"saltsaltsalt\0" + b"mysql_native_password\0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("plugin", "said"),
    [("client_ed25519", "Python package PyNaCl"), ("parsec", "another authentication plugin|account with mysql_native_password")],
)
def test_plugins_that_the_driver_cannot(plugin: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nacl", None)
    monkeypatch.setattr("pymysql._auth._nacl_bindings", False)

    def serve(peer: socket.socket) -> None:
        peer.sendall(_GREETING)
        peer.recv(4096)
        peer.sendall(packet(2, b"\xfe" + plugin.encode() + b"\0" + b"s" * 32))

    with listener(serve) as port, pytest.raises(ConnectError, match=said):
        connect(Endpoint(host="127.0.0.1", port=port, user="u", password="some-secret", connect_timeout=3), "target")


def test_nobody_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    said = told(Endpoint(host="127.0.0.1", port=port, user="u", connect_timeout=5), "source")
    assert "'source.login_host', 'source.login_port'" in said
    assert "'login_unix_socket'" in told(Endpoint(unix_socket="/nowhere/mysqld.sock", user="u"))
    assert "nowhere.invalid" in told(Endpoint(host="nowhere.invalid", user="u", connect_timeout=5))


@pytest.mark.parametrize("greeting", [b"", _GREETING, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"], ids=["silent", "stalls", "ssh"])
def test_a_server_that_does_not_answer_is_given_up(greeting: bytes) -> None:
    started = time.monotonic()
    with listener(lambda peer: peer.sendall(greeting)) as port:
        said = told(Endpoint(host="127.0.0.1", port=port, user="u", password="some-secret", connect_timeout=2))
        assert time.monotonic() - started < 20
        assert ("timed out" in said and "'connect_timeout' (2 s)" in said) or greeting.startswith(b"SSH")


def test_a_paused_server_is_given_up_where_an_answer_is_due(server: Server) -> None:
    with connect(login(server), "target") as session:
        # connect_timeout is over with connecting: this one takes longer.
        with connect(login(server, connect_timeout=1), "target") as slow:
            assert slow.scalar("SELECT SLEEP(2)") == "0"
        server.pause()
        try:
            started = time.monotonic()
            assert "timed out" in told(login(server, connect_timeout=2))
            with pytest.raises(LostConnection, match="timed out"), session.answers_within(1):
                session.rows("SELECT 1")
            assert time.monotonic() - started < 20
        finally:
            server.resume()
        with pytest.raises(LostConnection):  # never reconnected
            session.rows("SELECT 1")


def test_a_dead_peer_is_noticed_in_the_end(server: Server) -> None:
    with connect(login(server), "target") as session:
        connected = session._connection._sock
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert connected.gettimeout() is None or session._connection._read_timeout is None
