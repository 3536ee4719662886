"""What a benchmark does: operations as requests to the application and as SQL, and how often each is drawn.

A workload is a document (``files/application/workload.yml``; ``docs/benchmark.md`` describes the form), because it
knows one application. ``{table.column}`` in its SQL is found in the database by the name without underscores and in
lower case, as the application itself finds it, so that one document serves every form of the tables.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .errors import MigrationError

Values = Mapping[str, Any]
#: Folded table to its name and its folded columns' names, as SQL has them, quoted.
Names = Mapping[str, tuple[str, Mapping[str, str]]]

_NAME = re.compile(r"\{(=?)([A-Za-z_]+)(?:\.([A-Za-z_]+))?(?:\|(\w+))?\}")
_VALUE = re.compile(r"(?<![:\w]):([a-z_]+)")
_HOLE = re.compile(r"\{([a-z_]+)\}")
MOST_PICKED = 5000


@dataclass(frozen=True)
class Moves:
    """Which values of an operation say from which account to which one how much money goes."""

    source: str
    sink: str
    amount: str


@dataclass(frozen=True)
class Operation:
    """One thing that a user does.

    Args:
        name: What it is called.
        method: Of the request.
        path: Of the request, with ``{value}``.
        body: Of the request; None for none.
        statements: The same as SQL, for each database.
        moves: The money that it moves; None for none.
    """

    name: str
    method: str
    path: str
    body: Mapping[str, Any] | None
    statements: Mapping[str, tuple[str, ...]]
    moves: Moves | None = None

    @property
    def writes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "GET"


@dataclass(frozen=True)
class Workload:
    """A document that was read: see ``files/application/workload.yml``."""

    values: Mapping[str, Mapping[str, Any]]
    operations: Mapping[str, Operation]
    mixes: Mapping[str, Mapping[str, int]]
    money: str

    @property
    def picks(self) -> dict[str, str]:
        """Value -> the query whose first column it is drawn from."""
        return {name: str(drawn["pick"]) for name, drawn in self.values.items() if "pick" in drawn}

    def moves_money(self, mix: str) -> bool:
        """Return whether a mix has an operation that moves money."""
        return any(self.operations[name].moves for name in self.mixes[mix])


def parse_workload(document: object) -> Workload:
    """Read a workload's document.

    Raises:
        MigrationError: It has another form, or names what it does not have.
    """
    try:
        return _parsed(document)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise MigrationError(
            f"the workload has not the form that a benchmark reads: {type(error).__name__} {error}",
            "Compare it with files/application/workload.yml",
        ) from None


def _parsed(document: Any) -> Workload:  # noqa: ANN401 (read from YAML)
    if document["version"] != 1:
        raise ValueError(f"version {document['version']}, and 1 is known")
    values = {str(name): dict(drawn) for name, drawn in document["values"].items()}
    operations = {str(name): _operation(str(name), each, values) for name, each in document["operations"].items()}
    mixes: dict[str, dict[str, int]] = {}
    for mix, shares in document["workloads"].items():
        mixes[str(mix)] = {name: int(share) for name, share in shares.items()}
        if missing := [name for name in shares if name not in operations]:
            raise KeyError(f"operations.{missing[0]}")
    return Workload(values, operations, mixes, str(document["money"]))


def _operation(name: str, given: Mapping[str, Any], values: Values) -> Operation:
    request = given["request"]
    statements = {
        database: tuple(
            str(each[database] if isinstance(each, Mapping) else each)
            for each in given["sql"]
            if not isinstance(each, Mapping) or database in each
        )
        for database in ("sqlite", "postgresql")
    }
    moves = given.get("moves")
    operation = Operation(
        name,
        str(request["method"]),
        str(request["path"]),
        request.get("body"),
        statements,
        Moves(moves["from"], moves["to"], moves["amount"]) if moves else None,
    )
    for used in _used(operation):
        if used not in values:
            raise KeyError(f"values.{used}")
    return operation


def _used(operation: Operation) -> set[str]:
    texts = [operation.path, *(str(each) for each in (operation.body or {}).values())]
    used = {found for text in texts for found in _HOLE.findall(text)}
    return used | {found for each in operation.statements.values() for text in each for found in _VALUE.findall(text)}


class Drawing:
    """Draws operations and their values; the same seed, the same operations (but for new keys and times)."""

    def __init__(self, workload: Workload, mix: str, picked: Mapping[str, Sequence[str]], seed: str) -> None:
        self._chance = random.Random(seed)  # noqa: S311 (a benchmark's dice, no secret)
        self._workload = workload
        self._picked = picked
        shares = workload.mixes[mix]
        self._names, self._shares = list(shares), list(shares.values())
        self._used = {name: _used(workload.operations[name]) for name in shares}

    def next(self) -> tuple[Operation, dict[str, Any]]:
        """Return the next operation and its values."""
        (name,) = self._chance.choices(self._names, self._shares)
        drawn: dict[str, Any] = {}
        # In the document's order, so that a value can differ from an earlier one.
        for value, how in self._workload.values.items():
            if value in self._used[name]:
                drawn[value] = self._draw(value, how, drawn)
        return self._workload.operations[name], drawn

    def _draw(self, value: str, how: Mapping[str, Any], drawn: Mapping[str, Any]) -> object:
        if "pick" in how:
            other = drawn.get(how.get("other_than", ""))
            while (one := self._chance.choice(self._picked[value])) == other:
                pass
            return one
        if "whole" in how:
            return self._chance.randint(*how["whole"])
        if "one_of" in how:
            return self._chance.choice(how["one_of"])
        return NEW[how["new"]]()


def _now() -> str:
    """Return the time as Sequelize writes it into SQLite; PostgreSQL reads the same."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " +00:00"


NEW: Mapping[str, Callable[[], str]] = {"key": lambda: str(uuid.uuid4()), "time": _now}


def body_of(operation: Operation, values: Values) -> dict[str, Any] | None:
    """Return the request's body; ``{value}`` alone becomes the value itself, a number stays one."""
    if operation.body is None:
        return None
    return {
        key: values[match[1]] if isinstance(text, str) and (match := _HOLE.fullmatch(text)) else text
        for key, text in operation.body.items()
    }


def folded(name: str) -> str:
    """Return the name without underscores and in lower case: how ``first_name`` and ``firstName`` are the same."""
    return name.replace("_", "").lower()


def sql_for(text: str, names: Names, database: str) -> str:
    """Return SQL with the names that the database has, and its driver's form of values.

    Raises:
        MigrationError: The database has no such table or column.
    """

    def found(match: re.Match[str]) -> str:
        alone, table, column, otherwise = match.groups()
        name, columns = names.get(folded(table), ("", {}))
        if name and otherwise and folded(column) not in columns:
            return str(otherwise)
        if not name or (column and folded(column) not in columns):
            missing = f"{table}.{column}" if column else table
            raise MigrationError(
                f"the {database} database has no {missing}, which the workload asks for",
                "Give a workload that knows this application's tables",
            )
        if not column:
            return name
        # Where SQL wants a column's name alone (SET, INSERT) the workload says {=table.column}.
        return columns[folded(column)] if alone else f"{name}.{columns[folded(column)]}"

    written = _NAME.sub(found, text)
    return _VALUE.sub(r"%(\1)s", written.replace("%", "%%")) if database == "postgresql" else written
