# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The row string must be unambiguous: read back in exactly one way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine import fingerprint
from ansible_collections.comaster.mysql_repl.plugins.module_utils._engine.schema import Column

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
