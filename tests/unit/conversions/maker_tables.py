"""What makers other than Sequelize write into SQLite, and what has to become of it; written from their source."""

from __future__ import annotations

from datetime import date, datetime
from datetime import time as clock
from uuid import UUID

from ansible_collections.contralock.database.plugins.module_utils.cells import Value
from ansible_collections.contralock.database.plugins.module_utils.source_encoding import Encoding

from tests.unit.conversions.text_tables import ID
from tests.unit.conversions.type_table import INF, TypeTable, utc

HEX = ID.replace("-", "")
MOMENT = utc(2024, 1, 3, 9, 10, 55, 791000)
SECOND = utc(2024, 1, 3, 9, 10, 55)

#: What no maker of times without an offset has written.
NO_NAIVE_TIMES: tuple[tuple[Value, str], ...] = (
    ("2024-01-03 09:10:55.791+00:00", "with a time zone in a column whose maker writes none"),
    ("2024-01-03 09:10:55.791 +00:00", "with a time zone in a column whose maker writes none"),
    ("2024-01-03T09:10:55Z", "with a time zone in a column whose maker writes none"),
    ("2024-01-03 09:10:55 -10:00", "with a time zone in a column whose maker writes none"),
    ("2024-01-03", "no time such as"),
    ("now", "no time such as"),
    ("0", "no time such as"),
    ("", "empty text in a time column"),
    ("2023-02-29 00:00:00", "does not exist"),
    ("2024-01-03 24:00:00", "does not exist"),
    ("10000-01-01 00:00:00", "outside the years 1 to 9999"),
    (1704273055791, "whole number in a time column"),
    (0, "whole number in a time column"),
    (1704273055.5, "floating-point number in a time column"),
    (b"2024-01-03 09:10:55", "binary data in a time column"),
)

TIMES: tuple[TypeTable, ...] = (
    TypeTable(
        "timestamptz",
        "datetime",
        [
            ("2024-01-03 09:10:55.791000", MOMENT),
            ("2024-01-03 09:10:55.791123", MOMENT.replace(microsecond=791123)),
            ("2024-01-03 09:10:55", SECOND),
            ("2024-02-29 00:00:00", utc(2024, 2, 29)),
            ("1969-12-31 23:59:59.999999", utc(1969, 12, 31, 23, 59, 59, 999999)),
            ("0001-01-01 00:00:00", utc(1, 1, 1)),
            ("9999-12-31 23:59:59.999999", utc(9999, 12, 31, 23, 59, 59, 999999)),
            ("2024-01-03 09:10:55.792", utc(2024, 1, 3, 9, 10, 55, 792000)),
            ("2024-01-03T09:11:55", utc(2024, 1, 3, 9, 11, 55)),
        ],
        [*NO_NAIVE_TIMES, ("2024-01-03 09:10:55.7911231", "more digits of the second than timestamptz")],
        encoding=Encoding.DJANGO,
        respelled={
            "2024-01-03 09:10:55.792": "2024-01-03 09:10:55.792000",
            "2024-01-03T09:11:55": "2024-01-03 09:11:55",
        },
    ),
    TypeTable(
        "timestamptz(3)",
        "datetime(6)",
        [("2024-01-03 09:10:55.791000", MOMENT), ("2024-01-03 09:10:55", SECOND)],
        [*NO_NAIVE_TIMES, ("2024-01-03 09:10:55.791123", "more digits of the second than timestamptz(3)")],
        encoding=Encoding.RAILS,
    ),
    TypeTable(
        "timestamp",
        "DATETIME",
        [
            ("2024-01-03 09:10:55.791000", MOMENT.replace(tzinfo=None)),
            ("2024-01-03 09:10:55.000000", datetime(2024, 1, 3, 9, 10, 55)),
            ("2024-01-03 09:11:55", datetime(2024, 1, 3, 9, 11, 55)),
        ],
        NO_NAIVE_TIMES,
        encoding=Encoding.SQLALCHEMY,
        respelled={"2024-01-03 09:11:55": "2024-01-03 09:11:55.000000"},
    ),
    TypeTable(
        "timestamptz",
        "DATETIME",
        [("2024-01-03 09:10:55.000000", SECOND)],
        NO_NAIVE_TIMES,
        encoding=Encoding.SQLALCHEMY,
    ),
    TypeTable(
        "timestamptz(3)",
        "DATETIME",
        [
            (1704273055791, MOMENT),
            (0, utc(1970, 1, 1)),
            (-1, utc(1969, 12, 31, 23, 59, 59, 999000)),
            (2024, utc(1970, 1, 1, 0, 0, 2, 24000)),
            (-62135596800000, utc(1, 1, 1)),
            (253402300799999, utc(9999, 12, 31, 23, 59, 59, 999000)),
        ],
        [
            (-62135596800001, "outside the years 1 to 9999"),
            (253402300800000, "outside the years 1 to 9999"),
            (2**63 - 1, "outside the years 1 to 9999"),
            (-(2**63), "outside the years 1 to 9999"),
            # What DEFAULT CURRENT_TIMESTAMP and driver adapters write: another encoding beside the numbers.
            ("2024-01-03 09:10:55", "text in a time column"),
            ("2024-01-03T09:10:55.791+00:00", "text in a time column"),
            ("", "empty text in a time column"),
            (1704273055791.0, "floating-point number in a time column"),
        ],
        encoding=Encoding.PRISMA,
    ),
    TypeTable(
        "timestamp(0)",
        "DATETIME",
        [(1704273055000, SECOND.replace(tzinfo=None))],
        [(1704273055791, "more digits of the second than timestamp(0)")],
        encoding=Encoding.PRISMA,
    ),
    TypeTable(
        "timestamptz(3)",
        "DATETIME",
        [("2024-01-03T09:10:55.791+00:00", MOMENT), ("2024-01-03T09:10:56.791Z", MOMENT.replace(second=56))],
        [
            ("2024-01-03 09:10:55", "without a time zone"),
            (1704273055791, "whole number in a time column"),
        ],
        encoding=Encoding.PRISMA_ADAPTER,
        respelled={"2024-01-03T09:10:56.791Z": "2024-01-03T09:10:56.791+00:00"},
    ),
    TypeTable(
        "date",
        "DATE",
        [(1704240000000, date(2024, 1, 3)), (0, date(1970, 1, 1)), (-86400000, date(1969, 12, 31))],
        [
            (1704240000001, "not midnight in UTC"),
            (-1, "not midnight in UTC"),
            (253402300800000, "outside the years 1 to 9999"),
            ("2024-01-03", "text in a date column"),
        ],
        encoding=Encoding.PRISMA,
    ),
    TypeTable(
        "date",
        "date",
        [("2024-01-03", date(2024, 1, 3)), ("9999-12-31", date(9999, 12, 31))],
        [("2024-01-03 00:00:00", "no date such as"), ("", "empty text"), (20240103, "whole number in a date column")],
        encoding=Encoding.DJANGO,
    ),
)

NO_CLOCKS: tuple[tuple[Value, str], ...] = (
    ("9:10:55", "no time of day"),
    ("09:10:55Z", "no time of day"),
    ("09:10:55+00:00", "no time of day"),
    ("9 o'clock", "no time of day"),
    ("", "empty text in a time-of-day column"),
    (33055, "whole number in a time-of-day column"),
    (0.5, "floating-point number in a time-of-day column"),
    (b"09:10:55", "binary data in a time-of-day column"),
)

CLOCKS: tuple[TypeTable, ...] = (
    TypeTable(
        "time(3)",
        "TIME",
        [
            ("09:10:55", clock(9, 10, 55)),
            ("09:10:55.791", clock(9, 10, 55, 791000)),
            ("00:00:00", clock()),
            ("23:59:59.999", clock(23, 59, 59, 999000)),
            ("09:11", clock(9, 11)),
        ],
        [
            *NO_CLOCKS,
            ("24:00:00", "does not exist"),
            ("09:60:00", "does not exist"),
            ("09:10:60", "does not exist"),
            ("09:10:55.7911", "more digits of the second than time(3)"),
            ("2000-01-01 09:10:55", "no time of day"),
        ],
        respelled={"09:11": "09:11:00"},
    ),
    TypeTable(
        "time",
        "time",
        [
            ("09:10:55", clock(9, 10, 55)),
            ("09:10:55.791123", clock(9, 10, 55, 791123)),
            ("23:59:59.999999", clock(23, 59, 59, 999999)),
            ("09:10:56.5", clock(9, 10, 56, 500000)),
        ],
        [*NO_CLOCKS, ("24:00:00", "does not exist")],
        encoding=Encoding.DJANGO,
        respelled={"09:10:56.5": "09:10:56.500000"},
    ),
    TypeTable(
        "time",
        "TIME",
        [("09:10:55.000000", clock(9, 10, 55)), ("09:10:55.791123", clock(9, 10, 55, 791123))],
        NO_CLOCKS,
        encoding=Encoding.SQLALCHEMY,
    ),
    TypeTable(
        "time",
        "time",
        [
            ("2000-01-01 09:10:55", clock(9, 10, 55)),
            ("2000-01-01 09:10:55.791000", clock(9, 10, 55, 791000)),
            ("2000-01-01 00:00:00", clock()),
        ],
        [
            *NO_CLOCKS,
            ("09:10:55", "no time of day"),
            ("2000-01-02 09:10:55", "no time of day"),
            ("2000-01-01 24:00:00", "does not exist"),
        ],
        encoding=Encoding.RAILS,
    ),
    TypeTable(
        "time(3)",
        "TIME",
        [(33055791, clock(9, 10, 55, 791000)), (0, clock()), (86399999, clock(23, 59, 59, 999000))],
        [(-1, "does not exist"), (86400000, "does not exist"), ("09:10:55", "text in a time-of-day column")],
        encoding=Encoding.PRISMA,
    ),
)

UUIDS = tuple(
    TypeTable(
        "uuid",
        "char(32)",
        [(HEX, UUID(ID).bytes), ("0" * 32, bytes(16)), ("F" * 32, b"\xff" * 16)],
        [
            (ID, "another spelling than 32"),
            ("{" + HEX + "}", "another spelling than 32"),
            (HEX[:-1], "no uuid"),
            (HEX[:-1] + "g", "no uuid"),
            (HEX[:-1] + "-", "no uuid"),
            (HEX + "\0", "no uuid"),
            ("", "empty text in a uuid column"),
            (12345678901234567, "whole number in a uuid column"),
            (UUID(ID).bytes, "binary data in a uuid column"),
        ],
        encoding=encoding,
        respelled={"F" * 32: "f" * 32},
    )
    for encoding in (Encoding.DJANGO, Encoding.SQLALCHEMY)
)

OTHERS: tuple[TypeTable, ...] = (
    TypeTable(
        "boolean",
        "boolean",
        [("t", True), ("f", False)],
        [
            (1, "whole number in a boolean column"),
            (0, "whole number in a boolean column"),
            ("true", "other than 't' and 'f'"),
            ("T", "other than 't' and 'f'"),
            ("1", "other than 't' and 'f'"),
            ("t ", "other than 't' and 'f'"),
            ("", "empty text in a boolean column"),
            (1.0, "floating-point number in a boolean column"),
        ],
        encoding=Encoding.RAILS_5_1,
    ),
    TypeTable(
        "boolean",
        "bool",
        [(0, False), (1, True)],
        [("t", "text in a boolean column"), (2, "other than 0 and 1")],
        encoding=Encoding.DJANGO,
    ),
    TypeTable(
        "jsonb",
        "text",
        [
            ('{"b": 1, "a": "caf\\u00e9 \\ud83d\\ude00"}', '{"a": "caf\u00e9 \U0001f600", "b": 1}'),
            ('{"a": [1, 2.5, null, "x"]}', '{"a": [1, 2.5, null, "x"]}'),
            ('"\\u007f"', '"\x7f"'),
        ],
        [("NaN", "no JSON"), ("{'a': 1}", "no JSON"), ("None", "no JSON")],
        encoding=Encoding.DJANGO,
        respelled={'{"b": 1, "a": "caf\\u00e9 \\ud83d\\ude00"}': '{"a": "caf\\u00e9 \\ud83d\\ude00", "b": 1}'},
    ),
    TypeTable(
        "jsonb",
        "json",
        [('{"a":"\\u003cb\\u003e \\u0026 \\u2028 caf\u00e9"}', '{"a": "<b> & \u2028 caf\u00e9"}'), (5, "5")],
        [("{:a=>1}", "no JSON"), (INF, "not finite")],
        encoding=Encoding.RAILS,
    ),
    TypeTable("jsonb", "JSONB", [('{"a":"caf\u00e9"}', '{"a": "caf\u00e9"}')], [], encoding=Encoding.PRISMA),
)

TABLES = (*TIMES, *CLOCKS, *UUIDS, *OTHERS)
