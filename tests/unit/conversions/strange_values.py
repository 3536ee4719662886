"""Strange values that people find in their SQLite files, and the verdict on each in every type; written from the rule.

Every value is tried in a column of every type. The columns are declared without a type, so that SQLite changes nothing
and every storage class can occur. The rule for the verdict: a cell whose storage class does not belong to the type is
refused as such (''  as empty text); of the others ``fits`` says what PostgreSQL holds afterwards (as it prints it), and
everything else is refused for the reason in ``refused``, or ``otherwise``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ansible_collections.contralock.database.plugins.module_utils.cells import Value

from tests.unit.conversions.type_table import INF, TEXT_BYTES

ID = "0b8e2a4c-6f3d-4e1a-9b7c-2d5f8a1e3c60"
LONG = "long " * 40_000

VALUES: dict[str, Value] = {
    # storage classes; whole numbers at their limits
    "0": 0,
    "1": 1,
    "2": 2,
    "-5": -5,
    "2^15": 2**15,
    "2^31": 2**31,
    "2^53+1": 2**53 + 1,
    "2^63-1": 2**63 - 1,
    "-2^63": -(2**63),
    "epoch seconds": 1704273055,
    "epoch milliseconds": 1704273055791,
    # REAL
    "1.0": 1.0,
    "12.5": 12.5,
    "97.25": 97.25,
    "1.005": 1.005,
    "0.1+0.2": 0.1 + 0.2,
    "-0.0": -0.0,
    "1e300": 1e300,
    "inf": INF,
    "-inf": -INF,
    # BLOB
    "no bytes": b"",
    "bytes": b"\x00\xff",
    "bytes of a text": b"{}",
    # TEXT: '' and NULL are two things; what looks like something else
    "empty": "",
    "blank": " ",
    "word": "abc",
    "digits": "5",
    "decimal": "12.50",
    "NaN": "NaN",
    "true": "true",
    "t": "t",
    # times
    "sequelize time": "2024-01-03 09:10:55.791 +00:00",
    "iso Z": "2024-01-03T09:10:55.791Z",
    "iso offset": "2024-01-03T14:40:55.791+05:30",
    "naive": "2024-01-03 09:10:55.791",
    "microseconds": "2024-01-03 09:10:55.791123 +00:00",
    "invalid date": "Invalid date",
    "now": "now",
    "24:00": "2024-01-03 24:00:00.000 +00:00",
    "leap day": "2024-02-29",
    "no leap day": "2023-02-29",
    "leap second": "2016-12-31 23:59:60.000 +00:00",
    "year 10000": "10000-01-01 00:00:00.000 +00:00",
    "date": "2024-01-03",
    "time of day": "09:10:55.791",
    "24:00:00": "24:00:00",
    # texts
    "NUL": "a\0b",
    "invalid UTF-8": TEXT_BYTES(b"a\xff"),
    "surrogate": TEXT_BYTES(b"\xed\xa0\xbd"),
    "emoji": "\U0001f600",
    "NFC": "\u00e9",
    "NFD": "e\u0301",
    "CR LF tab": "a\r\n\tb",
    "end of COPY": "\\.",
    "NULL of COPY": "\\N",
    "backslash": "a\\",
    "trailing blank": "ab ",
    "six characters": "abcdef",
    "200,000 characters": LONG,
    # an enumeration, uuids
    "label": "sad",
    "label in capitals": "SAD",
    "label and blank": "sad ",
    "uuid": ID,
    "uuid in capitals": ID.upper(),
    "uuid in braces": "{" + ID + "}",
    "uuid without dashes": ID.replace("-", ""),
    "short uuid": ID[:-1],
    # JSON
    "object": '{"b":1,"a":[1.50,null]}',
    "no object": "{'a': 1}",
    "encoded twice": '"{\\"a\\": 1}"',
    "equal keys": '{"a":1,"a":2}',
    "large number": "[1e400]",
    "escaped NUL": '"\\u0000"',
    "escaped half character": '"\\ud83d"',
    "deep": "[" * 5000 + "]" * 5000,
    "texts": '["a","b"]',
    "cut off": '{"a":',
}

#: What PostgreSQL's text refuses, wherever it stands.
BAD_TEXTS = {"NUL": "NUL", "invalid UTF-8": "UTF-8", "surrogate": "UTF-8"}
JSON_DOCUMENTS = {
    "digits": "5",
    "decimal": "12.50",
    "true": "true",
    "object": '{"b":1,"a":[1.50,null]}',
    "encoded twice": '"{\\"a\\": 1}"',
    "texts": '["a","b"]',
}

#: How a cell is called whose storage class does not belong: Python's type of a value to the beginning of the reason.
CLASSES: Mapping[type, str] = {
    int: "whole number",
    float: "floating-point number",
    str: "text",
    bytearray: "text",
    bytes: "binary data",
}


@dataclass(frozen=True)
class TypeVerdicts:
    """One type's verdicts.

    Attributes:
        sql_type: The target's type.
        kind: The column in the words of a reason.
        classes: Python's types of the values that belong to it.
        fits: Name of a value to what PostgreSQL prints of it.
        refused: Name of a value to part of the reason, where it is not the one that goes for most.
        otherwise: Part of the reason for the values that belong by their class and are in neither; None where these
            fit as they are.
    """

    sql_type: str
    kind: str
    classes: tuple[type, ...]
    fits: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    otherwise: str | None = ""
    labels: tuple[str, ...] | None = None

    def verdict(self, name: str) -> tuple[bool, str]:
        """Whether a value fits, and what PostgreSQL prints of it or a part of the reason."""
        value = VALUES[name]
        if name in self.fits:
            return True, self.fits[name]
        if name in self.refused:
            return False, self.refused[name]
        if value == "" and self.otherwise is not None:
            return False, f"empty text in {self.kind}"
        if type(value) not in self.classes and not (type(value) is bytearray and str in self.classes):
            return False, f"{CLASSES[type(value)]} in {self.kind}"
        if self.otherwise is None:
            assert isinstance(value, str)
            return True, value
        assert self.otherwise, (self.sql_type, name)
        return False, self.otherwise

    def verdicts(self) -> Iterator[tuple[str, bool, str]]:
        for name in VALUES:
            yield name, *self.verdict(name)


def short_texts(length: int) -> dict[str, str]:
    """The sound texts of up to this many characters."""
    texts = {name: value for name, value in VALUES.items() if isinstance(value, str) and "\0" not in value}
    return {name: text for name, text in texts.items() if len(text) <= length}


def whole(sql_type: str, bits: int, *names: str) -> TypeVerdicts:
    """A type of whole numbers that takes the named ones."""
    fits = {name: str(VALUES[name]) for name in names}
    return TypeVerdicts(sql_type, "a whole-number column", (int,), fits, otherwise=f"outside {-(2 ** (bits - 1))} to")


def moments(sql_type: str, zone: str) -> TypeVerdicts:
    """A type of times with three digits of the second."""
    fits = dict.fromkeys(("sequelize time", "iso Z"), f"2024-01-03 09:10:55.791{zone}")
    if zone:
        fits["iso offset"] = f"2024-01-03 09:10:55.791{zone}"
    else:
        fits["naive"] = "2024-01-03 09:10:55.791"
    refused = {
        "microseconds": "more digits of the second",
        "24:00": "does not exist",
        "leap second": "does not exist",
        "year 10000": "outside the years 1 to 9999",
        ("naive" if zone else "iso offset"): "without a time zone" if zone else "another offset",
    }
    return TypeVerdicts(sql_type, "a time column", (str,), fits, refused, "no time such as")


TYPES: tuple[TypeVerdicts, ...] = (
    whole("smallint", 16, "0", "1", "2", "-5"),
    whole("integer", 32, "0", "1", "2", "-5", "2^15", "epoch seconds"),
    whole("bigint", 64, *(name for name, value in VALUES.items() if type(value) is int)),
    TypeVerdicts(
        "numeric(5,2)",
        "a decimal column",
        (int, float),
        {
            "0": "0.00",
            "1": "1.00",
            "2": "2.00",
            "-5": "-5.00",
            "1.0": "1.00",
            "12.5": "12.50",
            "97.25": "97.25",
            "-0.0": "0.00",
        },
        {
            "1.005": "more digits than the scale",
            "0.1+0.2": "more digits than the scale",
            "inf": "not finite",
            "-inf": "not finite",
        },
        "too large",
    ),
    TypeVerdicts(
        "numeric",
        "a decimal column",
        (int, float),
        {name: str(value) for name, value in VALUES.items() if type(value) is int}
        | {
            "1.0": "1",
            "12.5": "12.5",
            "97.25": "97.25",
            "1.005": "1.005",
            "0.1+0.2": "0.30000000000000004",
            "-0.0": "0",
            "1e300": "1" + "0" * 300,
        },
        otherwise="not finite",
    ),
    TypeVerdicts(
        "real",
        "a floating-point column",
        (int, float),
        {
            "0": "0",
            "1": "1",
            "2": "2",
            "-5": "-5",
            "2^15": "32768",
            "1.0": "1",
            "12.5": "12.5",
            "97.25": "97.25",
            "1.005": "1.005",
            "-0.0": "-0",
            "inf": "Infinity",
            "-inf": "-Infinity",
        },
        {
            "2^53+1": "beyond 9007199254740992",
            "2^63-1": "beyond 9007199254740992",
            "-2^63": "beyond 9007199254740992",
            # Seven digits are what a client reads again: others would come back another number.
            "2^31": "more digits than real",
            "epoch seconds": "more digits than real",
            "epoch milliseconds": "more digits than real",
        },
        "more digits than real",
    ),
    TypeVerdicts(
        "double precision",
        "a floating-point column",
        (int, float),
        {
            name: str(VALUES[name])
            for name in ("0", "1", "2", "-5", "2^15", "2^31", "epoch seconds", "epoch milliseconds")
        }
        | {
            "1.0": "1",
            "12.5": "12.5",
            "97.25": "97.25",
            "1.005": "1.005",
            "0.1+0.2": "0.30000000000000004",
            "-0.0": "-0",
            "1e300": "1e+300",
            "inf": "Infinity",
            "-inf": "-Infinity",
        },
        otherwise="beyond 9007199254740992",
    ),
    TypeVerdicts("boolean", "a boolean column", (int,), {"0": "false", "1": "true"}, otherwise="other than 0 and 1"),
    TypeVerdicts("text", "a text column", (str,), refused=BAD_TEXTS, otherwise=None),
    TypeVerdicts(
        "varchar(5)",
        "a text column",
        (str,),
        short_texts(5),
        BAD_TEXTS,
        "longer than 5 characters",
    ),
    TypeVerdicts(
        "char(5)",
        "a char column",
        (str,),
        # A cast to text takes the padding away.
        {name: text for name, text in short_texts(5).items() if not text.endswith(" ")},
        BAD_TEXTS | dict.fromkeys(("blank", "trailing blank", "label and blank"), "spaces at its end"),
        "longer than 5 characters",
    ),
    TypeVerdicts(
        "mood",
        "an enum column",
        (str,),
        {"label": "sad", "word": "abc"},
        otherwise="that is no label of",
        labels=("sad", "abc"),
    ),
    TypeVerdicts(
        "uuid",
        "a uuid column",
        (str,),
        {"uuid": ID, "uuid in capitals": ID},
        {"uuid in braces": "another spelling", "uuid without dashes": "another spelling"},
        "no uuid",
    ),
    TypeVerdicts(
        "bytea", "a binary column", (bytes,), {"no bytes": "\\x", "bytes": "\\x00ff", "bytes of a text": "\\x7b7d"}
    ),
    moments("timestamptz(3)", "+00"),
    moments("timestamp(3)", ""),
    TypeVerdicts(
        "date",
        "a date column",
        (str,),
        {"date": "2024-01-03", "leap day": "2024-02-29"},
        {"no leap day": "does not exist", "year 10000": "outside the years 1 to 9999"},
        "no date such as",
    ),
    TypeVerdicts(
        "time(3)",
        "a time-of-day column",
        (str,),
        {"time of day": "09:10:55.791"},
        {"24:00:00": "does not exist"},
        "no time of day",
    ),
    TypeVerdicts(
        "json",
        "a JSON column",
        (str,),
        JSON_DOCUMENTS
        | {name: str(VALUES[name]) for name in ("equal keys", "large number", "escaped NUL", "escaped half character")},
        BAD_TEXTS | {"deep": "nested deeper"},
        "no JSON",
    ),
    TypeVerdicts(
        "jsonb",
        "a JSON column",
        (str,),
        JSON_DOCUMENTS
        | {"object": '{"a": [1.50, null], "b": 1}', "texts": '["a", "b"]', "large number": f"[1{'0' * 400}]"},
        BAD_TEXTS
        | {
            "deep": "nested deeper",
            "equal keys": "stands in it twice",
            "escaped NUL": "\\u0000",
            "escaped half character": "half a surrogate pair",
        },
        "no JSON",
    ),
    TypeVerdicts(
        "text[]",
        "an array column",
        (str,),
        {"texts": "{a,b}"},
        BAD_TEXTS
        | dict.fromkeys(
            (
                "digits",
                "decimal",
                "true",
                "object",
                "encoded twice",
                "equal keys",
                "escaped NUL",
                "escaped half character",
            ),
            "no array",
        )
        | {"deep": "single values", "large number": "more digits than 64 bits"},
        "no JSON",
    ),
)
