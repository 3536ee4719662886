"""What SQLite may store for texts, enumerations, uuids and bytes, and what has to become of it; from the rule."""

from __future__ import annotations

from uuid import UUID

from ansible_collections.contralock.database.plugins.module_utils.cells import Value

from tests.unit.conversions.type_table import TEXT_BYTES, TypeTable

KEPT_TEXTS = (
    "",
    " ",
    "a",
    "line\r\nline\n\ttab",
    "back\\slash",
    "\\.",
    "\\N",
    "NULL",
    "'quoted' \"twice\"",
    "\U0001f600 emoji",
    "e\u0301",
    "\u00e9",
    "\ufeffbom",
    "\x01\x7f\u2028",
    "trailing ",
    "{}",
    "5",
    "1e5",
)

BAD_TEXTS: tuple[tuple[Value, str], ...] = (
    (5, "whole number in a text column"),
    (1.5, "floating-point number in a text column"),
    (b"a", "binary data in a text column"),
    ("a\0b", "NUL"),
    ("\0", "NUL"),
    (TEXT_BYTES(b"\xff"), "UTF-8"),
    (TEXT_BYTES(b"\xc3"), "UTF-8"),
    (TEXT_BYTES(b"\xed\xa0\xbd"), "UTF-8"),
    (TEXT_BYTES(b"\xc0\x80"), "UTF-8"),
)

ID = "0b8e2a4c-6f3d-4e1a-9b7c-2d5f8a1e3c60"
TABLES: tuple[TypeTable, ...] = (
    TypeTable("text", "TEXT", [(text, text) for text in KEPT_TEXTS], BAD_TEXTS),
    TypeTable(
        "varchar(5)",
        "VARCHAR(255)",
        [("", ""), ("abcde", "abcde"), ("\U0001f600" * 5, "\U0001f600" * 5), ("a    ", "a    "), ("\\N", "\\N")],
        [
            ("abcdef", "longer than 5 characters"),
            ("abcde ", "longer than 5 characters"),
            ("e\u0301" * 3, "longer than 5 characters"),
            *BAD_TEXTS,
        ],
    ),
    TypeTable("varchar", "VARCHAR(255)", [("a" * 100_000, "a" * 100_000)], BAD_TEXTS),
    TypeTable(
        "char(4)",
        "CHAR(4)",
        [("abcd", "abcd"), ("ab", "ab  "), ("", "    "), ("\u00e9\u00e9\u00e9", "\u00e9\u00e9\u00e9 ")],
        [
            ("ab ", "spaces at its end"),
            ("abcde", "longer than 4"),
            (5, "whole number in a char column"),
            ("a\0", "NUL"),
        ],
    ),
    TypeTable(
        "mood",
        "TEXT",
        [("sad", "sad"), ("O'K", "O'K"), ("\u00fcber", "\u00fcber"), ("two words", "two words")],
        [
            ("Sad", "no label of mood"),
            ("sad ", "no label of mood"),
            ("active", "no label of mood"),
            ("", "empty text in an enum column"),
            (TEXT_BYTES(b"\xff"), "no label of mood"),
            ("sad\0", "no label of mood"),
            (1, "whole number in an enum column"),
        ],
        labels=("sad", "O'K", "\u00fcber", "two words"),
    ),
    TypeTable(
        "uuid",
        "UUID",
        [
            (ID, UUID(ID).bytes),
            (ID.upper(), UUID(ID).bytes),
            ("00000000-0000-0000-0000-000000000000", bytes(16)),
            ("FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF", b"\xff" * 16),
        ],
        [
            ("{" + ID + "}", "another spelling"),
            (ID.replace("-", ""), "another spelling"),
            ("urn:uuid:" + ID, "another spelling"),
            ("user-1", "no uuid"),
            (ID + "\n", "no uuid"),
            (" " + ID, "no uuid"),
            (ID[:-1], "no uuid"),
            (ID + "\0", "no uuid"),
            (ID.replace("0", "\uff10"), "no uuid"),
            (TEXT_BYTES(b"\xff" * 36), "no uuid"),
            ("", "empty text in a uuid column"),
            # SQLite made it of 32 digits without dashes: the digits are lost at the source.
            (12345678901234567, "whole number in a uuid column"),
            (1.2345678901234567e31, "floating-point number in a uuid column"),
            (UUID(ID).bytes, "binary data in a uuid column"),
        ],
        respelled={ID.upper(): ID, "FFFFFFFF-ffff-FFFF-ffff-FFFFFFFFFFFF": "ffffffff-ffff-ffff-ffff-ffffffffffff"},
    ),
    TypeTable(
        "bytea",
        "BLOB",
        [(b"", b""), (b"\0\xff\\x", b"\0\xff\\x"), (bytes(range(256)) * 100, bytes(range(256)) * 100)],
        [
            ("YQ==", "text in a binary column"),
            ("", "empty text in a binary column"),
            (0, "whole number in a binary column"),
        ],
    ),
)
