"""The workload's document: its names, its dice, and what is said of one that is none."""

from __future__ import annotations

import copy
from itertools import islice
from pathlib import Path

import pytest
import yaml
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.workload import (
    Drawing,
    body_of,
    parse_workload,
    sql_for,
)
from ansible_collections.contralock.database.plugins.module_utils.workload_clients import kind_of

DOCUMENT = yaml.safe_load((Path(__file__).parents[3] / "files/application/workload.yml").read_text(encoding="utf-8"))
PICKED = {name: [f"{name} {number}" for number in range(9)] for name in ("user", "project", "from")}
PICKED["to"] = PICKED["from"]
NAMES = {"users": ('"Users"', {"id": '"_id"', "firstname": '"first%name"'})}


def drawn(seed: str, mix: str = "mixed", number: int = 300) -> list[tuple[str, dict[str, object]]]:
    drawing = Drawing(parse_workload(DOCUMENT), mix, PICKED, seed)
    taken = [drawing.next() for _ in range(number)]
    new = {"key", "other_key", "now"}
    return [(operation.name, {k: v for k, v in values.items() if k not in new}) for operation, values in taken]


def test_the_same_seed_draws_the_same_operations() -> None:
    assert drawn("1 mixed 0") == drawn("1 mixed 0")
    assert drawn("1 mixed 0") != drawn("1 mixed 1")
    assert {name for name, _ in drawn("1 mixed 0")} == set(DOCUMENT["workloads"]["mixed"])


def test_no_money_goes_to_where_it_comes_from() -> None:
    moves = [values for _, values in drawn("1", "transfers")]
    assert all(values["from"] != values["to"] and 1 <= values["amount"] <= 100 for values in moves)
    assert len({values["from"] for values in moves}) == 9


def test_a_number_in_a_body_stays_one() -> None:
    transfer = parse_workload(DOCUMENT).operations["transfer"]
    assert transfer.writes
    assert body_of(transfer, {"to": "b", "amount": 7}) == {"to": "b", "amount": 7}


@pytest.mark.parametrize(
    ("text", "database", "written"),
    [
        ("SELECT {users.id} FROM {users}", "sqlite", 'SELECT "Users"."_id" FROM "Users"'),
        ("UPDATE {users} SET {=users.first_name} = :word", "sqlite", 'UPDATE "Users" SET "first%name" = :word'),
        ("SELECT {users.deletedAt|NULL} IS NULL", "sqlite", "SELECT NULL IS NULL"),
        ("SELECT {users.first_name|NULL}", "sqlite", 'SELECT "Users"."first%name"'),
        # A driver's percent signs are doubled, and a time's colons are no values.
        (
            "SELECT {users.firstName} LIKE '%' || :word",
            "postgresql",
            'SELECT "Users"."first%%name" LIKE \'%%\' || %(word)s',
        ),
        ("SELECT '10:30'::text", "postgresql", "SELECT '10:30'::text"),
    ],
)
def test_names_are_the_databases_own(text: str, database: str, written: str) -> None:
    assert sql_for(text, NAMES, database) == written


@pytest.mark.parametrize("name", ["wallets", "users.balance"])
def test_a_name_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(MigrationError, match=rf"the sqlite database has no {name}, which the workload asks for"):
        sql_for(f"SELECT {{{name}}}", NAMES, "sqlite")


def broken() -> list[tuple[object, str]]:
    documents = []
    for path, value, said in (
        (("version",), 2, "version 2, and 1 is known"),
        (("workloads", "mixed", "fly"), 1, "operations.fly"),
        (("operations", "read_user", "request", "path"), "/users/{nobody}", "values.nobody"),
        (("operations", "read_user", "sql"), ["SELECT :nothing"], "values.nothing"),
        (("operations", "transfer", "moves"), {"from": "from"}, "to"),
        (("operations", "read_user"), None, "NoneType"),
    ):
        document = copy.deepcopy(DOCUMENT)
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        documents.append((document, said))
    return [*documents, ([], "list"), (None, "NoneType"), ({}, "version")]


@pytest.mark.parametrize(("document", "said"), broken(), ids=[said for _, said in broken()])
def test_a_document_of_another_form_is_refused(document: object, said: str) -> None:
    with pytest.raises(MigrationError, match=f"the workload has not the form that a benchmark reads: .*{said}"):
        parse_workload(document)


def test_what_an_error_means_is_read_from_its_words() -> None:
    assert kind_of('{"error":"SQLITE_BUSY: database is locked"}') == "busy"
    assert kind_of("SQLITE_LOCKED: database table is locked") == "locked"
    assert kind_of("deadlock detected") == "locked"
    assert kind_of("closed for maintenance") == "other"


def test_the_first_client_does_the_same_whoever_is_beside_it() -> None:
    one, other = drawn("1 mixed 0", number=5), drawn("1 mixed 0", number=9)
    assert list(islice(other, 5)) == one
