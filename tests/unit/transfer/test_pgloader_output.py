"""What pgloader says is read as a fault unless it is known to be harmless, and no value of a row is repeated."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.pgloader import (
    Load,
    assert_speakable,
    find_faults,
    load_text,
    read_summary,
    unspeakable,
)
from ansible_collections.contralock.database.plugins.module_utils.stunnel import (
    Endpoint,
    Tunnel,
    assert_short,
    configuration_text,
)

TIME = "2026-11-22T11:21:05.296000Z"
HARMLESS = [
    f'{TIME} LOG pgloader version "3.6.7~devel"',
    f'{TIME} NOTICE COPY "Users" with 0 rows estimated [3/4]',
    f'{TIME} WARNING Source column "public"."Users"."\\"id\\"" is casted to type "text" which is not the same as'
    ' "integer", the type of current target database column "public"."Users"."id".',
    f'{TIME} WARNING PostgreSQL warning: constraint "kid_t_fkey" of relation "kid" does not exist, skipping',
    "",
    '"\\"Users\\""',
    "             table name     errors       rows      bytes      total time",
]
SECRET = "hunter2"


def endpoint(**changes: object) -> Endpoint:
    known: dict[str, object] = {"host": "db1.test", "address": "10.0.0.1", "port": 5432, "user": "owner"}
    return Endpoint(**{**known, "dbname": "contralock", "authority": "/etc/ca.crt", **changes})  # type: ignore[arg-type]


def load(**changes: object) -> Load:
    known: dict[str, object] = {
        "prepared": Path("/run/x/prepared.sqlite"),
        "tables": ["users"],
        "schema": "public",
        "application_name": "contralock load x",
        "largest_row_bytes": 1000,
        "settings": {"statement_timeout": "0", "standard_conforming_strings": "on"},
        "time_limit": 60.0,
        "directory": Path("/run/x"),
    }
    return Load(**{**known, **changes})  # type: ignore[arg-type]


def test_known_lines_are_no_faults() -> None:
    assert list(find_faults(HARMLESS)) == []
    assert list(find_faults([])) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"{TIME} ERROR something is wrong", "ERROR something is wrong"),
        (f"{TIME} FATAL x", "FATAL x"),
        (f"{TIME} CRITICAL y", "CRITICAL y"),
        (f"{TIME} WARNING of a kind that nobody knows", "WARNING of a kind that nobody knows"),
        (" KABOOM!", "KABOOM!"),
        ("Heap exhausted (no more space for allocation).", "Heap exhausted (no more space for allocation)."),
        ("setpriv: failed to execute pgloader: No such file or directory", "failed to execute pgloader"),
        (
            f'{TIME} ERROR PostgreSQL ["users"] Database error 22P02: invalid input syntax for type uuid: "{SECRET}"',
            "Database error 22P02: invalid input syntax for type uuid",
        ),
        (
            f'{TIME} ERROR Database error 22P02: invalid input value for enum enum_users_role: "{SECRET}"',
            "Database error 22P02: invalid input value for enum enum_users_role",
        ),
        (
            f'{TIME} ERROR Database error 23514: new row for relation "wallets" violates check constraint "c"',
            'Database error 23514: new row for relation "wallets" violates check constraint "c"',
        ),
        (f"{TIME} ERROR {'x' * 5000}", "xxx..."),
    ],
)
def test_everything_else_is_a_fault(line: str, told: str) -> None:
    (fault,) = find_faults([*HARMLESS, line])
    assert told in fault
    assert SECRET not in fault
    assert len(fault) < 300


def test_the_lines_with_the_rows_values_are_left_out() -> None:
    lines = [
        f'{TIME} ERROR Database error 23505: duplicate key value violates unique constraint "users_email_key"',
        f"DETAIL: Key (email)=({SECRET}) already exists.",
        f'CONTEXT: COPY users, line 1: "{SECRET}"',
    ]
    (fault,) = find_faults(lines)
    assert "users_email_key" in fault
    assert SECRET not in fault


def test_a_value_that_looks_like_a_fault_is_none() -> None:
    lines = [
        f'{TIME} ERROR Database error 23514: new row for relation "users" violates check constraint "c"',
        f"DETAIL: Failing row contains (1, {SECRET}, Mends unhandled rejections,",
        f"each fatal error, Database error 22P02: {SECRET}).",
        f'CONTEXT: COPY users, line 1: "{SECRET} KABOOM"',
        f"{TIME} LOG Data errors in '/run/x/rejects'",
        "Heap exhausted (no more space for allocation).",
    ]
    faults = list(find_faults(lines))
    assert ["23514" in faults[0], "Heap exhausted" in faults[1], len(faults)] == [True, True, 2]
    assert SECRET not in str(faults)


def test_the_load_command() -> None:
    text = load_text(load(schema="Our Schema"), Tunnel(Path("/run/x"), 5432), "contralock")
    assert "FROM sqlite:///run/x/prepared.sqlite\n" in text
    assert "INTO postgresql://unix:/run/x:5432/contralock\n" in text
    assert "data only, quote identifiers, concurrency = 1, prefetch rows = 1000, workers = 4\n" in text
    assert "search_path to '\"Our Schema\"'" in text


@pytest.mark.parametrize(("largest", "rows"), [(0, 1000), (8_388, 1000), (40_000, 209), (10**6, 8), (10**7, 1)])
def test_few_large_rows_are_held_at_once(largest: int, rows: int) -> None:
    text = load_text(load(largest_row_bytes=largest), Tunnel(Path("/run/x"), 5432), "contralock")
    assert f"prefetch rows = {rows}," in text
    assert ("workers = 2" in text, "batch size = 4MB" in text) == ((largest > 2**20,) * 2)


def test_a_path_that_the_grammar_does_not_take_is_refused() -> None:
    with pytest.raises(MigrationError, match="cannot spell the path"):
        load_text(load(prepared=Path("/run/a b/prepared.sqlite")), Tunnel(Path("/run/x"), 5432), "contralock")
    for path in (Path("/run/a b/.s.PGSQL.5432"), Path("/" + "x" * 107)):
        with pytest.raises(MigrationError, match="short and plain"):
            assert_short(path)
    assert_short(Path("/" + "x" * 106))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dbname": "my db"}, "database's name 'my db'"),
        ({"password": "p\u00e4ss-hunter2"}, "another password"),
        ({"password": "hunter2[12ab]"}, "another password"),
    ],
)
def test_what_pgloader_would_misread_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(MigrationError) as refusal:
        assert_speakable(endpoint(**changes))
    assert words in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_names_that_pgloader_would_misread_are_refused_together() -> None:
    tables = {"it's": ["a"], "a/b": ["c`d", "it's", "a/b"], 'we"ird': ["back\\slash", "li\nne"], "plain": ["b"]}
    refusal = unspeakable("public", tables)
    assert refusal is not None
    wrong = ["a/b", "a/b.c`d", "it's", 'we"ird', 'we"ird.back\\slash', 'we"ird.li\nne']
    assert refusal.details == {"names": wrong}
    assert all(repr(name) in refusal.fact for name in wrong)
    assert "engine arrow" in refusal.mend
    assert unspeakable("it's", {}) is not None


def test_what_pgloader_reads_well_is_not_refused() -> None:
    assert_speakable(endpoint(password="a[z]: \\ @", dbname="my-db_1"))
    # Every sign of ASCII that is not refused; test_strange_rows_loaded.py loads a table of that name.
    names = ["users", "from", "userId", "two words", "\u00e9", "!#$%&()*+,-.:;<=>?@[]^_{|}~"]
    assert unspeakable("public", {name: ["it's", "a/b", *names] for name in names}) is None


def test_a_password_is_not_shown() -> None:
    assert SECRET not in repr(endpoint(password=SECRET))


def test_the_summary_gives_seconds(tmp_path: Path) -> None:
    file = tmp_path / "summary.csv"
    file.write_text(
        '"fetch";0;0;0;0;"0.000s"\n"\\"kid\\"";1;1;0;4;"0.096s"\n"\\"Users\\"";1;1;0;4;"1m2.500s"\nbroken\n'
    )
    assert read_summary(file, ["kid", "Users", "other"]) == {"kid": 0.096, "Users": 62.5}
    assert read_summary(tmp_path / "none", ["kid"]) == {}


def test_stunnel_verifies_chain_and_name() -> None:
    text = configuration_text(endpoint(), Path("/run/x/.s.PGSQL.5432"))
    for line in (
        "client = yes",
        "protocol = pgsql",
        "verifyChain = yes",
        "CAfile = /etc/ca.crt",
        "checkHost = db1.test",
        "sni = db1.test",
        "connect = 10.0.0.1:5432",
        "accept = /run/x/.s.PGSQL.5432",
        "sslVersionMin = TLSv1.2",
        "socket = r:SO_KEEPALIVE=1",
        "socket = r:TCP_KEEPIDLE=60",
    ):
        assert f"{line}\n" in text
    by_address = configuration_text(endpoint(host="10.0.0.1", authority="system"), Path("/run/x/s"))
    assert "checkIP = 10.0.0.1\n" in by_address
    assert "checkHost" not in by_address
    assert "CAfile = system" not in by_address
    with pytest.raises(MigrationError, match="control character"):
        configuration_text(endpoint(authority="/etc/ca.crt\nverifyChain = no"), Path("/run/x/s"))
