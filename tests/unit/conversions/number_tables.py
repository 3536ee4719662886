"""What SQLite may store for numbers and booleans, and what has to become of it; written from the rule."""

from __future__ import annotations

from tests.unit.conversions.type_table import INF, TypeTable

TABLES: tuple[TypeTable, ...] = (
    TypeTable(
        "boolean",
        "TINYINT(1)",
        [(0, False), (1, True)],
        [
            (2, "other than 0 and 1"),
            (-1, "other than 0 and 1"),
            (2**63 - 1, "other than 0 and 1"),
            (1.0, "floating-point number in a boolean column"),
            ("true", "text in a boolean column"),
            ("t", "text in a boolean column"),
            ("", "empty text in a boolean column"),
            (b"\x01", "binary data in a boolean column"),
        ],
    ),
    TypeTable(
        "smallint",
        "SMALLINT",
        [(0, 0), (32767, 32767), (-32768, -32768)],
        [(32768, "outside -32768 to 32767"), (-32769, "outside -32768 to 32767"), (1.0, "floating-point number")],
    ),
    TypeTable(
        "integer",
        "INTEGER",
        [(0, 0), (2**31 - 1, 2**31 - 1), (-(2**31), -(2**31))],
        [
            (2**31, "outside -2147483648 to 2147483647 (integer)"),
            (-(2**31) - 1, "outside -2147483648"),
            (2**53 + 1, "outside -2147483648"),
            (12.5, "floating-point number in a whole-number column"),
            (5.0, "floating-point number in a whole-number column"),
            (INF, "floating-point number in a whole-number column"),
            ("abc", "text in a whole-number column"),
            ("5", "text in a whole-number column"),
            ("", "empty text in a whole-number column"),
            (b"5", "binary data in a whole-number column"),
        ],
    ),
    TypeTable(
        "bigint",
        "BIGINT",
        [(number, number) for number in (0, -1, 2**53 + 1, 2**62, 2**63 - 1, -(2**63))],
        [(9.3e18, "floating-point number in a whole-number column"), ("9223372036854775808", "text in a whole-number")],
    ),
    TypeTable(
        "numeric(5,2)",
        "DECIMAL(5,2)",
        [
            (100, "100.00"),
            (97.5, "97.50"),
            (97.25, "97.25"),
            (0, "0.00"),
            (-0.5, "-0.50"),
            (0.07, "0.07"),
            (999.99, "999.99"),
            (-999.99, "-999.99"),
            (999, "999.00"),
        ],
        [
            (1.005, "more digits than the scale"),
            (0.1 + 0.2, "more digits than the scale"),
            (5e-324, "more digits than the scale"),
            (1000, "too large"),
            (-1000, "too large"),
            (1000.5, "too large"),
            (2**63 - 1, "too large"),
            (1e300, "too large"),
            (999.995, "more digits than the scale"),
            (INF, "not finite"),
            (-INF, "not finite"),
            ("97.50", "text in a decimal column"),
            ("", "empty text in a decimal column"),
            ("NaN", "text in a decimal column"),
            (b"1", "binary data in a decimal column"),
        ],
    ),
    TypeTable(
        "numeric(18,8)",
        "DECIMAL(18,8)",
        [(1e-8, "0.00000001"), (1e-7, "0.00000010"), (9999999999, "9999999999.00000000"), (0.1, "0.10000000")],
        [(1e-9, "more digits than the scale"), (1e10, "too large"), (10**10, "too large")],
    ),
    # In a column of affinity REAL whole numbers are REAL too.
    TypeTable(
        "numeric(8,2)",
        "FLOAT",
        [(100.0, "100.00"), (-7.0, "-7.00"), (0.0, "0.00"), (-0.0, "0.00"), (0.25, "0.25"), (123456.78, "123456.78")],
        [(1234567.5, "too large")],
        respelled={-0.0: 0.0},
    ),
    TypeTable("numeric(2,4)", "DECIMAL", [(0.0012, "0.0012"), (0, "0.0000")], [(0.01, "too large"), (1, "too large")]),
    TypeTable(
        "numeric(3,-2)", "DECIMAL", [(1200, "1200"), (0, "0"), (-99900, "-99900")], [(50, "scale"), (1e5, "large")]
    ),
    TypeTable("numeric(3,0)", "DECIMAL", [(999, "999"), (-5, "-5"), (0, "0")], [(0.5, "scale"), (1000, "too large")]),
    TypeTable(
        "numeric",
        "DECIMAL",
        [
            (5, "5"),
            (-0.0, "0"),
            (0.1, "0.1"),
            (2**63 - 1, "9223372036854775807"),
            (1e15, "1" + "0" * 15),
            (1e21, "1" + "0" * 21),
            (1.5e300, "15" + "0" * 299),
            (5e-324, "0." + "0" * 323 + "5"),
            (1 / 3, "0.3333333333333333"),
            (123456789.123456, "123456789.123456"),
        ],
        [(INF, "not finite"), ("5", "text in a decimal column")],
        respelled={-0.0: 0, 1e15: 10**15},
    ),
    TypeTable(
        "double precision",
        "DOUBLE PRECISION",
        [(number, number) for number in (0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 0.0, INF, -INF, 2.0**53)],
        [("0.1", "text in a floating-point column"), (2**53 + 1, "beyond 9007199254740992"), (b"", "binary data")],
    ),
    TypeTable(
        "double precision", "NUMERIC", [(5, 5.0), (-(2**53), -(2.0**53))], [], respelled={5: 5.0, -(2**53): -(2.0**53)}
    ),
    TypeTable(
        "real",
        "REAL",
        [(0.5, 0.5), (97.1, 97.0999984741211), (-0.0, -0.0), (1e38, 9.999999680285692e37), (INF, INF)],
        [(0.1 + 0.2, "more digits"), (1e39, "more digits"), (1e-50, "more digits"), (16777217.0, "more digits")],
    ),
)
