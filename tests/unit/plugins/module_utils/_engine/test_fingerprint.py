# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The row string must be unambiguous: read back in exactly one way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fingerprint
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.keyspace import KeyRange, KeySpace
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column, Key, KeyPart, Table, TableName

texts = st.one_of(st.none(), st.text(alphabet="a,#01", max_size=4))
numbers = st.one_of(st.none(), st.integers(-20, 20))


def row_string(row: tuple[object, ...]) -> str:
    """What CONCAT_WS of the fingerprint gives for a row (number, text, text), all nullable."""
    nulls = ",".join("1" if value is None else "0" for value in row)
    lengths = [str(len(value)) for value in row[1:] if isinstance(value, str)]
    return ",".join([nulls, *lengths, *(str(value) for value in row if value is not None)])


@given(st.tuples(numbers, texts, texts), st.tuples(numbers, texts, texts))
def test_different_rows_have_different_strings(one, other):
    assert (row_string(one) == row_string(other)) == (one == other)


def column(name: str, data_type: str, nullable: bool = True) -> Column:
    """A column of a type."""
    return Column(
        name,
        data_type,
        data_type,
        "latin1" if "text" in data_type or "char" in data_type else None,
        None,
        nullable,
        "",
        "",
    )


def test_the_sql_is_what_the_model_above_says():
    columns = (column("n", "int"), column("s", "varchar"), column("t", "varchar", nullable=False))
    assert fingerprint.joined(columns) == (
        "CONCAT_WS(CAST(',' AS BINARY), ISNULL(`n`), ISNULL(`s`), LENGTH(`s`), LENGTH(`t`), `n`, `s`, `t`)"
    )


def test_long_values_are_digested_so_that_the_string_stays_below_the_packet_limit():
    assert "SHA2(`doc`, 256)" in fingerprint.joined((column("doc", "longtext"),))
    many = tuple(column(f"c{n}", "text") for n in range(9))
    assert "SHA2(`c0`, 256)" in fingerprint.joined(many)
    assert "SHA2" not in fingerprint.joined(many[:8])


class Cutting:
    """A server whose values end at its max_allowed_packet."""

    def __init__(self, packet):
        self._packet = packet
        self.asked_again = []

    def rows(self, sql):
        if "GROUP_CONCAT" not in sql:
            self.asked_again.append(sql)
            return [(b"%d" % number, bytes(16)) for number in (12, 34, 56)]
        assert sql.count("SHA2") == 1, "of the second range"
        bare, whole = (b"".join(b"%b:%d;" % (digest, number) for number in (12, 34, 56)) for digest in (b"", b"0" * 32))
        return [(b"0", b"3", bare[: self._packet]), (b"1", b"3", whole[: self._packet]), (b"2", b"0", None)]


@pytest.mark.parametrize("packet", range(120))
def test_keys_that_were_cut_short_are_never_taken_for_keys(packet):
    key = Key("PRIMARY", (KeyPart("n", None, False),))
    columns = (column("n", "int", nullable=False), column("s", "varchar"))
    space = KeySpace(Table(TableName("d", "t"), "BASE TABLE", "InnoDB", columns, (key,), 0), key)
    server = Cutting(packet)
    spans = [KeyRange(None, (b"9",)), KeyRange((b"9",), (b"99",)), KeyRange((b"99",))]
    found = fingerprint.Fingerprint(space, columns, True).rows_of_strips(server, spans, {0, 2})
    assert [[pair.partition(b":")[2] for pair in pairs] for pairs in found] == [[b"12", b"34", b"56"]] * 2 + [[]]
    assert len(server.asked_again) == (packet < 12) + (packet < 108)
