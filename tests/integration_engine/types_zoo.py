# Copyright (c) 2026, the comaster.mysql_repl authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Columns of every type with the values that break naive tools: value in the good copy, value in the bad one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Specimen:
    """A column definition, and two SQL values of it that must never be taken for one another."""

    name: str
    definition: str
    good: str
    bad: str
    flavors: str = "mariadb mysql"


_TEXT_PAIRS = [("ascii", "'x#y'"), ("latin1", "_latin1 X'68E96C6C6F'"), ("utf8mb4", "_utf8mb4 X'F09F9880'")]

SPECIMENS = (
    Specimen("tiny", "tinyint", "-128", "127"),
    Specimen("big_unsigned", "bigint unsigned", "18446744073709551615", "18446744073709551614"),
    Specimen("big_signed", "bigint", "-9223372036854775808", "-9223372036854775807"),
    Specimen("filled", "int(8) unsigned zerofill", "42", "43"),
    Specimen(
        "exact",
        "decimal(65,30)",
        "12345678901234567890123456789012345.123456789012345678901234567890",
        "12345678901234567890123456789012345.123456789012345678901234567891",
    ),
    Specimen("single", "float", "0.1", "0.10000002"),
    Specimen("single_big", "float", "16777216", "16777218"),
    Specimen("twice", "double", "315.2599999999994", "315.25999999999936"),
    Specimen("twice_max", "double", "1.797e308", "1.7969999999999998e308"),
    Specimen("twice_denormal", "double", "5e-324", "1e-323"),
    Specimen("minus_zero", "double", "-0e0", "0e0", "mysql"),  # MariaDB stores no -0
    Specimen("one_bit", "bit(1)", "b'1'", "b'0'"),
    Specimen("bits", "bit(64)", "X'FFFFFFFFFFFFFFFF'", "X'FFFFFFFFFFFFFFFE'"),
    Specimen("null_or_empty", "varchar(10)", "NULL", "''"),
    Specimen("null_or_text", "varchar(10)", "'NULL'", "NULL"),
    Specimen("zero_or_null", "float", "0", "NULL"),
    Specimen("short_text", "char(10)", "'a'", "'A'"),
    Specimen("trailing", "varchar(10)", "'a '", "'a'"),
    Specimen("accent", "varchar(10) character set latin1", "_latin1 X'E9'", "'e'"),
    Specimen("emoji", "varchar(10) character set utf8mb4", "_utf8mb4 X'F09F9880'", "_utf8mb4 X'F09F9881'"),
    Specimen("wide", "varchar(10) character set ucs2", "_ucs2 X'00E90020'", "_ucs2 X'00E9'"),
    Specimen("wider", "varchar(10) character set utf32", "_utf32 X'0001F600'", "_utf32 X'0001F601'"),
    Specimen("sjis", "varchar(10) character set sjis", "_sjis X'835C'", "_sjis X'835D'"),
    Specimen("quotes", "varchar(60)", r"_utf8mb4 X'275C22600A0D00251A'", r"_utf8mb4 X'275C22600A0D0025'"),
    Specimen("body", "text", "REPEAT('x', 5000)", "CONCAT(REPEAT('x', 4999), 'y')"),
    Specimen("long_body", "longtext", "REPEAT('x', 200000)", "CONCAT(REPEAT('x', 199999), 'y')"),
    Specimen("fixed_bytes", "binary(4)", "X'41000000'", "X'41200000'"),
    Specimen("bytes", "varbinary(10)", "X'00'", "X''"),
    Specimen("large_bytes", "longblob", "REPEAT(X'00', 70000)", "REPEAT(X'00', 70001)"),
    Specimen("choice", "enum('z','a','m')", "'a'", "'m'"),
    Specimen("choice_empty", "enum('','a')", "1", "NULL"),
    Specimen("choices", "set('q','w','e')", "'q,e'", "'q,w,e'"),
    Specimen("day", "date", "'1000-01-01'", "'1000-01-02'"),
    Specimen("zero_day", "date", "'0000-00-00'", "NULL"),
    Specimen("half_day", "date", "'2024-00-10'", "'2024-01-10'"),
    Specimen("moment", "datetime(6)", "'9999-12-31 23:59:59.999999'", "'9999-12-31 23:59:59.999998'"),
    Specimen("stamp", "timestamp(3) null", "'2024-10-27 00:30:00.001'", "'2024-10-27 01:30:00.001'"),
    Specimen("duration", "time(6)", "'-838:59:58.000001'", "'-838:59:58.000002'"),
    Specimen("yr", "year", "2155", "1901"),
    Specimen("place", "geometry", "ST_GeomFromText('POINT(1 2)', 4326)", "ST_GeomFromText('POINT(1 2)', 0)"),
    Specimen("doc", "json", """'{"a": 9007199254740993, "b": "\u00fc"}'""", """'{"a": 9007199254740992, "b": "\u00fc"}'"""),
    Specimen("ident", "uuid", "'123e4567-e89b-12d3-a456-426655440000'", "'123e4567-e89b-12d3-a456-426655440001'", "mariadb"),
    Specimen("ip6", "inet6", "'2001:db8::ff00:42:8329'", "'2001:db8::ff00:42:832a'", "mariadb"),
    Specimen("ip4", "inet4", "'10.0.0.1'", "'10.0.0.2'", "mariadb"),
    Specimen("arrow", "vector(2)", "STRING_TO_VECTOR('[1,2]')", "STRING_TO_VECTOR('[1,2.0000002]')", "mysql"),
    Specimen("arrow", "vector(2)", "VEC_FromText('[1,2]')", "VEC_FromText('[1,2.0000002]')", "mariadb-11.8"),
    Specimen("small", "smallint unsigned", "65535", "65534"),
    Specimen("medium", "mediumint", "-8388608", "-8388607"),
    Specimen("invalid_day", "datetime", "'2024-02-30 00:00:00'", "'2024-03-01 00:00:00'"),
    Specimen("packed", "varchar(900) COMPRESSED", "REPEAT('x', 900)", "REPEAT('x', 899)", "mariadb"),
    Specimen("packed_bytes", "blob COMPRESSED", "REPEAT('x', 9000)", "REPEAT('x', 8999)", "mariadb"),
    Specimen(
        "path", "linestring", "ST_GeomFromText('LINESTRING(0 0,1 1)')", "ST_GeomFromText('LINESTRING(0 0,1 1.0000000000000002)')"
    ),
    Specimen("no_place", "geometry", "NULL", "ST_GeomFromText('POINT(0 0)')"),
)


def specimens(flavor: str) -> tuple[Specimen, ...]:
    """The specimens a server of this flavor knows."""
    return tuple(each for each in SPECIMENS if {flavor, flavor.split("-")[0]} & set(each.flavors.split()))
