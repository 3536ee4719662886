"""What keeps a plan from being made: collected, so that one message names all of a kind at once."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from .errors import MigrationError

_PLACE_OR_LEAVE = "place {what} in the mapping with 'source', or leave {what} behind there with a reason"


class Problem(Enum):
    """Kinds of problems: what is wrong with the objects that follow, and the mend."""

    STRAY_TABLE = (
        "tables of the source that have no place in the target",
        f"add them to the schema, {_PLACE_OR_LEAVE.format(what='them')} (left_behind.tables)",
    )
    STRAY_COLUMN = (
        "columns of the source that have no place in the target",
        f"add them to the schema, {_PLACE_OR_LEAVE.format(what='them')} (left_behind.columns)",
    )
    TABLE_WITHOUT_SOURCE = (
        "tables of the target that the source does not have",
        "name their source in the mapping (tables.TABLE.source), or never_carried with a reason",
    )
    NEVER_CARRIED = (
        "tables of the source whose target is never carried",
        "leave them behind as well, with a reason (left_behind.tables), or take the target out of never_carried",
    )
    COLUMN_WITHOUT_SOURCE = (
        "columns of the target that the source does not have",
        "name their source in the mapping, or say when_absent: target_default there",
    )
    NOTHING_CARRIED = (
        "tables of which no column would be carried",
        "leave the whole table behind with a reason (left_behind.tables), and remove it from the schema",
    )
    UNFILLABLE = (
        "columns of the target that are NOT NULL, and have neither a source nor a DEFAULT",
        "give them a DEFAULT, allow NULL, or name their source in the mapping",
    )
    UNKNOWN_ENTRY = (
        "entries of the mapping for what the target does not have",
        "correct their names, or remove them from the mapping",
    )
    GENERATED = (
        "columns that PostgreSQL computes, and that the source would fill",
        "leave the source's columns behind with a reason, or make them ordinary columns",
    )
    NO_CONVERSION = (
        "columns of a type that there is no conversion for",
        "give them another type in the schema, or leave the source's columns behind with a reason",
    )
    SEQUENCE = (
        "columns whose DEFAULT computes something from a sequence, so that nobody can say where that has to stand",
        "declare them as IDENTITY or serial, or without that DEFAULT for the move",
    )
    KEY_NOT_UUID = (
        "keys of the target that are no uuid, where the mapping says key.type: uuid",
        "declare the keys as uuid, or remove key.type from the mapping",
    )
    OTHER_KEY = (
        "tables whose primary key is another one in the source than in the target",
        "declare the same columns as the primary key of the target's table",
    )
    QUARANTINE = (
        "columns with the rule quarantine, which is not carried out yet",
        "mend these values in the application or by another rule, and remove the rule",
    )
    UNFIT_DEFAULT = (
        "columns with a rule default whose value does not fit",
        "correct the value of the rule",
    )
    UNSUITABLE_RULE = ("rules that do not suit the column's type", "remove them, or correct the column's name")

    @property
    def what(self) -> str:
        """What is wrong, as the beginning of a list."""
        return self.value[0]

    @property
    def mend(self) -> str:
        """The next step."""
        return self.value[1]


class Problems:
    """A collection of problems."""

    def __init__(self) -> None:
        self._found: dict[Problem, list[str]] = {}

    def add(self, problem: Problem, name: str) -> None:
        """Note that the problem is one of this object (or sentence)."""
        self._found.setdefault(problem, []).append(name)

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._found.values()))

    def refusal(self) -> MigrationError | None:
        """Return the error that names every object of every kind, and the mend of each kind; None without any.

        Its ``details`` has them by kind.
        """
        if not self._found:
            return None
        ordered = {problem: self._found[problem] for problem in Problem if problem in self._found}
        named: Mapping[str, object] = {problem.name.lower(): names for problem, names in ordered.items()}
        pairs = [(f"{each.what}: {', '.join(names)}", each.mend) for each, names in ordered.items()]
        return MigrationError(
            "; ".join(fact for fact, _ in pairs),
            _capitalized("; ".join(mend for _, mend in pairs)),
            {"problems": dict(named)},
            [(fact, _capitalized(mend)) for fact, mend in pairs],
            "source, profile and target do not go together",
        )


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]
