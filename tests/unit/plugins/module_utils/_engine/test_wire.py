# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rows as a server sends them, in pieces of any size; and whatever may end them early."""

from __future__ import annotations

import io
import struct

import pytest

pymysql = pytest.importorskip("pymysql")

from pymysql.protocol import MysqlPacket  # noqa: E402

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import wire  # noqa: E402

END = b"\xfe\0\0\2\0"
ERROR = b"\xff" + struct.pack("<H", 1317) + b"#70100Query execution was interrupted"


def value(content):
    """A value behind its length."""
    if content is None:
        return b"\xfb"
    size = len(content)
    if size < 0xFB:
        return bytes([size]) + content
    if size < 1 << 16:
        return b"\xfc" + struct.pack("<H", size) + content
    if size < 1 << 24:
        return b"\xfd" + struct.pack("<I", size)[:3] + content
    return b"\xfe" + struct.pack("<Q", size) + content


def packets(*contents, first=5):
    """What goes over the wire; a long packet is cut as servers do."""
    sent, number = b"", first
    for content in contents:
        while True:
            part, content = content[:0xFFFFFF], content[0xFFFFFF:]
            sent += struct.pack("<I", len(part) | (number % 256) << 24) + part
            number += 1
            if len(part) < 0xFFFFFF:
                break
    return sent


class Slow(io.BytesIO):
    """Gives a few bytes at a time, as a network may."""

    def __init__(self, content, most):
        super().__init__(content)
        self.most = most

    def read1(self, size=-1):
        return self.read(min(size, self.most))


def description(name):
    """What a server says of a column."""
    return b"".join(map(value, (b"def", b"db", b"t" * 300, b"t", name, b"original"))) + b"\x0c" + bytes(12)


class Connection:
    encoding = "utf8"

    def __init__(self, sent, width, most=1 << 30):
        names = [b"a" * 251, "gr\u00f6\u00dfe".encode(), b""][:width]
        names += [b"c%d" % number for number in range(len(names), width)]
        described = packets(*map(description, names), END, first=5 - width - 1) if width else b""
        self._rfile = Slow(described + sent, most)
        self._next_seq_id = (5 - width - 1) % 256
        self._first = bytes([width]) + (b"" if width else bytes(6))
        self.closed = False

    def _execute_command(self, command, sql):
        assert (command, sql) in ((3, b"SELECT"), (3, b"SET a = 1"))

    def _read_packet(self):
        return MysqlPacket(self._first, "utf8")

    def _force_close(self):
        self.closed = True


def rows_of(*rows):
    return [b"".join(map(value, row)) for row in rows]


ROWS = [(b"1", None, b""), (b"x" * 250, b"y" * 251, b"z" * 70_000), (b"\xfe\xff\xfb", b"\0", None)]


@pytest.mark.parametrize("most", [1, 3, 1000, 1 << 30])
def test_all_values_in_pieces_of_any_size(most):
    connection = Connection(packets(*rows_of(*ROWS), END), 3, most)
    assert wire.query(connection, "SELECT") == ROWS
    assert (connection.closed, connection._next_seq_id) == (False, 9)


def test_rows_by_the_names_of_their_columns():
    names = ("a" * 251, "gr\u00f6\u00dfe", "")
    found = wire.records(Connection(packets(*rows_of(*ROWS), END), 3, 1000), "SELECT")
    assert [list(record) for record in found] == [list(names)] * 3
    assert [tuple(record.values()) for record in found] == ROWS
    assert wire.records(Connection(packets(END), 3), "SELECT") == []
    assert wire.records(Connection(b"", 0), "SELECT") == []


def test_answers_are_equal_when_every_byte_is():
    def answer(*rows):
        connection = Connection(packets(*rows_of(*rows), END), 3, 1000)
        wire.send(connection, "SELECT")
        return wire.receive(connection)

    assert answer(*ROWS) == answer(*ROWS)
    assert answer(*ROWS).rows() == ROWS
    assert answer() == answer() != answer(ROWS[0])
    assert answer(ROWS[0]) != answer((b"1", b"", b""))
    assert answer((b"1", b"23", b"")) != answer((b"12", b"3", b""))


def received(sent, width=3, most=1000, known=None):
    """An answer, and what was left unread behind it."""
    connection = Connection(sent, width, most)
    wire.send(connection, "SELECT")
    return wire.receive(connection, known), connection


@pytest.mark.parametrize("most", [1, 7, 1000, 1 << 30])
def test_an_answer_that_came_before_is_known_again(most):
    sent = packets(*rows_of(*ROWS), END)
    known, _connection = received(sent)
    again, connection = received(sent, most=most, known=known)
    assert again is known
    assert (connection.closed, connection._rfile.read()) == (False, b"")


@pytest.mark.parametrize("most", [1, 7, 1000, 1 << 30])
@pytest.mark.parametrize(
    "rows",
    [
        [],
        ROWS[:1],
        ROWS[:2],
        [*ROWS, (b"", b"", b"")],
        [*ROWS, *ROWS],
        [ROWS[0], (b"x" * 250, b"y" * 251, b"z" * 69_999 + b"-"), ROWS[2]],
        [*ROWS[:2], (b"\xfe\xff\xfb", b"\0", b"")],
        [(b"1", None, None), *ROWS[1:]],
    ],
)
def test_whatever_differs_from_the_known_answer_is_read_whole(rows, most):
    known, _connection = received(packets(*rows_of(*ROWS), END))
    answer, connection = received(packets(*rows_of(*rows), END), most=most, known=known)
    assert answer is not known
    assert answer != known
    assert answer.rows() == rows
    assert not connection.closed
    assert received(packets(*rows_of(*rows), END), known=answer)[0] is answer


@pytest.mark.parametrize("end", [0, 4, 5, 30, 5000, -1])
def test_what_breaks_off_is_never_a_known_answer(end):
    sent = packets(*rows_of(*ROWS), END)
    known, _connection = received(sent)
    connection = Connection(sent[:end], 3)
    with pytest.raises(pymysql.err.OperationalError, match="Lost"):
        wire.receive(connection, known)
    assert connection.closed
    with pytest.raises(pymysql.err.OperationalError, match="interrupted"):
        received(packets(*rows_of(*ROWS[:1]), ERROR), known=known)


def test_packet_numbers_go_round():
    many = [(b"%d" % number,) for number in range(1000)]
    assert wire.query(Connection(packets(*rows_of(*many), END), 1), "SELECT") == many


@pytest.mark.parametrize("size", [0xFFFFFF - 8, 0xFFFFFF - 4, 0xFFFFFF, 34_000_000])
def test_a_row_of_several_packets(size):
    rows = [(b"a", b"b"), (b"x" * size, b"c"), (b"d", None)]
    assert wire.query(Connection(packets(*rows_of(*rows), END), 2, 1 << 20), "SELECT") == rows


def test_no_result_no_rows():
    assert wire.query(Connection(b"", 0), "SET a = 1") == []


def test_an_error_instead_of_more_rows_is_raised_and_the_connection_lives():
    connection = Connection(packets(*rows_of(*ROWS), ERROR), 3)
    with pytest.raises(pymysql.err.OperationalError, match="interrupted") as caught:
        wire.query(connection, "SELECT")
    assert (caught.value.args[0], connection.closed) == (1317, False)


@pytest.mark.parametrize(
    "sent",
    [
        packets(*rows_of(*ROWS)),  # no end
        packets(*rows_of(*ROWS), END)[:-1],
        packets(*rows_of(*ROWS), END)[:30],
        packets(*rows_of(*ROWS), END, first=6),
        packets(*rows_of(*ROWS), END) + b"\0",
        packets(*rows_of((b"1", b"2")), END),
        packets(*rows_of((b"1", b"2", b"3", b"4")), END),
        packets(b"\x05abc", END),
    ],
)
def test_an_incomplete_result_is_never_returned(sent):
    connection = Connection(sent, 3)
    with pytest.raises(pymysql.err.OperationalError, match="Lost connection"):
        wire.query(connection, "SELECT")
    assert connection.closed


def test_a_network_error_closes_the_connection():
    connection = Connection(b"", 1)
    connection._rfile.read1 = lambda _size: (each for each in ()).throw(TimeoutError("timed out"))
    with pytest.raises(OSError, match="timed out"):
        wire.query(connection, "SELECT")
    assert connection.closed


def test_columns_that_are_not_all_described_end_it():
    connection = Connection(packets(*rows_of(*ROWS), END), 3)
    connection._first = b"\4"
    with pytest.raises(pymysql.err.OperationalError, match="not described"):
        wire.query(connection, "SELECT")
    assert connection.closed


def test_no_file_is_handed_to_a_server_that_asks_for_one():
    connection = Connection(b"", 0)
    connection._first = b"\xfb/etc/hostname"
    with pytest.raises(pymysql.err.OperationalError, match="asks for a file"):
        wire.query(connection, "SELECT")
    assert connection.closed
