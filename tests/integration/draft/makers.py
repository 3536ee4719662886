"""Small databases as the frameworks write them: their DDL, their spelling of values, their own tables."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

ROWS = 40


def id_of(number: int) -> str:
    """A uuid that is the same in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"row {number}"))


def stamp(number: int, form: str) -> str:
    """A time of UTC in somebody's spelling."""
    return form.format(day=number % 28 + 1, hour=number % 24, milli=number % 1000)


SEQUELIZE_TIME = "2024-01-{day:02} {hour:02}:10:55.{milli:03} +00:00"
SIX_DIGITS = "2024-01-{day:02} {hour:02}:10:55.{milli:03}000"


def run(maker: str, database: sqlite3.Connection) -> None:
    """Carry out the DDL of a maker as its file beside this one has it."""
    database.executescript(Path(__file__).with_name(f"{maker}.sql").read_text(encoding="utf-8"))


def sequelize(database: sqlite3.Connection) -> None:
    run("sequelize", database)
    for number in range(ROWS):
        when = stamp(number, SEQUELIZE_TIME)
        user = (id_of(number), f"u{number}@example.org", "$2b$10$x", ("client", "admin")[number % 2], number % 2)
        more = (json.dumps({"n": number}, separators=(",", ":")), number + 0.25, f"Bio\n{number}", when, when)
        database.execute("INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*user, *more))
        payload = "" if number % 5 == 0 else json.dumps([{"at": number}], separators=(",", ":"))
        post = (number + 1, f"Title {number}", payload, id_of(number), number or None, number * 3, when, when)
        database.execute("INSERT INTO posts VALUES (?, ?, ?, ?, ?, ?, ?, ?)", post)
    database.execute("INSERT INTO users_backup SELECT id, email, createdAt, updatedAt FROM users LIMIT 3")
    # Numbers that were given out once more than there are rows.
    database.execute("UPDATE sqlite_sequence SET seq = 90 WHERE name = 'posts'")


def django(database: sqlite3.Connection) -> None:
    run("django", database)
    for number in range(ROWS):
        parent = number if number % 3 else None
        database.execute("INSERT INTO shop_category VALUES (?, ?, ?)", (number + 1, f"c{number}", parent))
        item = (uuid.UUID(id_of(number)).hex, number + 0.5, number % 2, number, json.dumps({"a": [1, number]}))
        when = "2024-02-03 10:00:00" if number == 3 else stamp(number, SIX_DIGITS)
        more = (when, f"2024-03-{number % 28 + 1:02}", "09:10:55", number / 7, bytes([number, 0, 255]), number + 1)
        database.execute("INSERT INTO shop_item VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*item, *more))


def rails(database: sqlite3.Connection) -> None:
    run("rails", database)
    for number in range(ROWS):
        when = stamp(number, SIX_DIGITS)
        account = (number + 1, f"n{number}", number % 2, number + 0.75, json.dumps({"k": number}), None, "1990-05-17")
        more = (f"2000-01-01 {number % 24:02}:30:00", when, when)
        database.execute("INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*account, *more))
        database.execute("INSERT INTO memberships VALUES (?, ?, ?)", (number + 1, f"team {number % 3}", number))


def prisma(database: sqlite3.Connection) -> None:
    run("prisma", database)
    for number in range(ROWS):
        user = (
            f"clx{number:022}",
            f"p{number}@example.org",
            number % 2,
            1.5 + number / 9,
            2**40 + number,
            number + 0.1,
        )
        more = (b"\x89PNG", json.dumps({"n": number}), 1_704_273_055_791 + number, 1_704_273_055_000 + number)
        database.execute('INSERT INTO "User" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)', (*user, *more))
        database.execute('INSERT INTO "Post" VALUES (?, ?, ?)', (number + 1, f"T{number}", user[0]))
        database.execute('INSERT INTO "_PostToUser" VALUES (?, ?)', (number + 1, user[0]))


def sqlalchemy(database: sqlite3.Connection) -> None:
    run("sqlalchemy", database)
    for number in range(ROWS):
        first = (uuid.UUID(id_of(number)).hex, f"N{number}", ("new", "known", "lost")[number % 3], number % 2)
        more = (number + 0.5, number / 3, json.dumps({"x": number}), b"\x00\x01", "1980-12-31", "09:10:55.000000")
        row = (*first, *more, stamp(number, SIX_DIGITS))
        database.execute("INSERT INTO customer VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        database.execute(
            "INSERT INTO purchase VALUES (?, ?, ?, ?)", (number // 2, number % 2, first[0], number % 9 + 1)
        )


LONG = "a_name_of_seventy_bytes_that_postgresql_would_cut_without_a_word_at_63"


def plain(database: sqlite3.Connection) -> None:
    """By hand: all that SQLite takes and that PostgreSQL takes otherwise, or not at all."""
    run("plain", database)
    for number in range(ROWS):
        person = (number + 1, f"Name {number}", number or None, f"t{number % 4}", int(number == 7))
        more = (f"2024-01-03 09:10:{number:02}", "tok", f"it's {number}")
        database.execute("INSERT INTO person VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*person, *more))
        database.execute("INSERT INTO reading VALUES (?, ?, ?)", (number % 3, number, number / 3))
        line = "INSERT INTO line (price, amount, note) VALUES (?, ?, ?)"
        database.execute(line, (number, number, f"n{number}"))
        database.execute("INSERT INTO strict_one VALUES (?, ?, ?, ?)", (number, "b", b"\x00" * number, b"\xff"))
        database.execute("INSERT INTO log VALUES (?, ?, NULL)", ("the same" if number % 2 else None, "info"))
        database.execute(f'INSERT INTO "{LONG}" VALUES (?, ?, ?)', (number, f"{number}", number))
        visit = (number, number + 1, stamp(number, SEQUELIZE_TIME), "2024-01-03", 1_700_000_000 + number)
        width = "wide" if number == 5 else "w"
        database.execute("INSERT INTO visit VALUES (?, ?, ?, ?, ?, ?, ?, NULL)", (*visit, width, 2**40 + number))
    database.executemany("INSERT INTO team VALUES (?, ?)", [(f"t{number}", number + 1) for number in range(4)])


MAKERS: Mapping[str, Callable[[sqlite3.Connection], None]] = {
    "sequelize": sequelize,
    "django": django,
    "rails": rails,
    "prisma": prisma,
    "sqlalchemy": sqlalchemy,
    "plain": plain,
}


def write(maker: str, path: Path) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        MAKERS[maker](database)
    return path
