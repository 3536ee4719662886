"""Arrays from JSON texts: what SQLite may store, and what has to become of it; written from the rule."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

from tests.unit.conversions.text_tables import ID
from tests.unit.conversions.type_table import TEXT_BYTES, TypeTable, utc

TABLES: tuple[TypeTable, ...] = (
    TypeTable(
        "text[]",
        "TEXT",
        [
            ('["a","b"]', ["a", "b"]),
            ("[]", []),
            ('[null,""]', [None, ""]),
            ("[null]", [None]),
            ('["NULL","null"]', ["NULL", "null"]),
            ('["a\\"b\\\\c","{x, y}"," "]', ['a"b\\c', "{x, y}", " "]),
            ('["caf\u00e9","\U0001f600"]', ["caf\u00e9", "\U0001f600"]),
            (' [ "c" , "d" ] ', ["c", "d"]),
        ],
        [
            ("{}", "no array"),
            ('"a"', "no array"),
            ("null", "no array"),
            ("a,b", "no JSON"),
            ('["a"', "no JSON"),
            ("{a,b}", "no JSON"),
            ("[NaN]", "no JSON"),
            ("[" * 5000 + "]" * 5000, "single values"),
            ("[1]", "whole number in a text column, in an element"),
            ("[1.5]", "floating-point number in a text column, in an element"),
            ('["a\\u0000"]', "NUL character, in an element"),
            ("[true]", "another type than the elements"),
            ('[["a"]]', "single values"),
            ('[{"a":1}]', "single values"),
            ("", "empty text in an array column"),
            (TEXT_BYTES(b'["\xff"]'), "UTF-8"),
            (5, "whole number in an array column"),
            (b"[]", "binary data in an array column"),
        ],
        respelled={' [ "c" , "d" ] ': '["c","d"]'},
    ),
    TypeTable(
        "integer[]",
        "JSON",
        [("[1,-2,null]", [1, -2, None]), ("[]", []), ("[2147483647]", [2**31 - 1])],
        [
            ("[1,2.5]", "floating-point number in a whole-number column, in an element"),
            ("[2147483648]", "outside -2147483648"),
            ("[12345678901234567890]", "more digits than 64 bits"),
            ('["1"]', "text in a whole-number column, in an element"),
            ('[""]', "empty text in a whole-number column, in an element"),
            ("[true]", "another type than the elements"),
        ],
    ),
    TypeTable(
        "bigint[]",
        "TEXT",
        [("[9223372036854775807,-9223372036854775808]", [2**63 - 1, -(2**63)])],
        [("[9223372036854775808]", "more digits than 64 bits")],
    ),
    TypeTable(
        "boolean[]",
        "TEXT",
        [("[true,false,null]", [True, False, None])],
        [("[1,0]", "another type than the elements"), ('["true"]', "another type than the elements")],
    ),
    TypeTable(
        "double precision[]",
        "TEXT",
        [("[0.5,-1.25,null]", [0.5, -1.25, None]), ("[1]", [1.0])],
        [
            ("[0.30000000000000000004]", "more digits than 64 bits"),
            ("[1e400]", "more digits than 64 bits"),
            ("[1e-99999999999999999999]", "more digits than 64 bits"),
        ],
        respelled={"[1]": "[1.0]"},
    ),
    TypeTable(
        "numeric(5,2)[]",
        "TEXT",
        [("[97.5,100,null]", ["97.50", "100.00", None])],
        [("[1000]", "too large"), ("[0.125]", "more digits than the scale"), ('["1"]', "text in a decimal column")],
    ),
    TypeTable(
        "varchar(3)[]", "TEXT", [('["abc","d"]', ["abc", "d"])], [('["abc","abcd"]', "longer than 3 characters, in")]
    ),
    TypeTable(
        "uuid[]", "TEXT", [(f'["{ID}",null]', [UUID(ID).bytes, None])], [('["user-1"]', "no uuid, in an element")]
    ),
    TypeTable(
        "timestamptz(3)[]",
        "TEXT",
        [('["2024-01-03T09:10:55.791Z"]', [utc(2024, 1, 3, 9, 10, 55, 791000)])],
        [('["2024-01-03T09:10:55.791"]', "without a time zone"), ("[1704273055791]", "whole number in a time column")],
        respelled={'["2024-01-03T09:10:55.791Z"]': '["2024-01-03 09:10:55.791 +00:00"]'},
    ),
    TypeTable(
        "date[]",
        "TEXT",
        [('["2024-01-03", "2024-02-29"]', [date(2024, 1, 3), date(2024, 2, 29)])],
        [('["2023-02-29"]', "does not exist")],
        encoding=Encoding.DJANGO,
    ),
)
