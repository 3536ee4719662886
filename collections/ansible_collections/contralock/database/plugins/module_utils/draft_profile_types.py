"""Which PostgreSQL types a SQLite column could get: what its declaration means, and what its data may be besides.

A declaration binds SQLite to nothing, so that it is a hint; the data decide among the candidates. Each candidate is a
type together with the encoding that a conversion of it reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from .affinity import Affinity, affinity_of
from .catalog import Column
from .cells import Cells
from .draft_profile_makers import PLAIN, Maker
from .source_encoding import Encoding
from .source_schema import SourceColumn

#: PostgreSQL's limits of varchar(n) and numeric(p, s).
_LONGEST_VARCHAR = 10_485_760
_MOST_DIGITS = 1000
#: Whole numbers that can only be times: 1973 to 5138 in milliseconds, and the same in seconds.
_MILLISECONDS = (10**11, 10**14)
_SECONDS = (10**8, 10**11)
#: Names that a column of 0 and 1 has when it tells whether something is so.
_TRUTH_NAME = re.compile(
    r"(?:is|has|can|was|should|allow|allows|enable|use|show|hide)(?:_|(?=[A-Z])).*"
    r"|(?:.*[_a-z])?(?:enabled|disabled|active|deleted|archived|verified|confirmed|published|hidden|locked|done|read)",
)
_TRUTH_WORDS = re.compile(r"(?i:active|enabled|disabled|deleted|archived|verified|published|hidden|locked|done|flag)")
_ARGUMENTS = re.compile(r"(?P<name>[^(]*)(?:\((?P<numbers>[^)]*)\))?(?P<rest>.*)", re.DOTALL)

#: PostgreSQL's names of types in SQL to those in pg_type.
TYPE_NAMES: Mapping[str, str] = {
    "smallint": "int2",
    "integer": "int4",
    "bigint": "int8",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "char": "bpchar",
}
#: Types that a foreign key may join: of one family, or the very same.
_FAMILIES = {
    "smallint": "whole",
    "integer": "whole",
    "bigint": "whole",
    "text": "text",
    "varchar": "text",
    "numeric": "numeric",
}


@dataclass(frozen=True)
class Candidate:
    """A type that a column could get.

    Attributes:
        type: As SQL says it.
        encoding: Whose spelling its conversion reads.
        why: Why it is asked about, as a phrase.
        guess: Whether the declaration says something else, so that every value has to fit and one has to be there.
        question: What the operator has to say about it; empty when nothing is open.
        looks: Tells of a batch whether it may be meant, beyond that it fits; None: it may.
        epoch: The rule ``epoch`` that it needs; empty without.
        last: Whether it is only a way out, when nothing that was meant fits.
    """

    type: str
    encoding: Encoding
    why: str
    guess: bool = False
    question: str = ""
    looks: Callable[[Cells], bool] | None = None
    epoch: str = ""
    last: bool = False

    @property
    def base(self) -> str:
        """The type without its numbers."""
        return self.type.partition("(")[0]

    @property
    def family(self) -> str:
        """What two columns have to share to be joined by a foreign key."""
        return _FAMILIES.get(self.base, self.base)


@dataclass(frozen=True)
class Facts:
    """What is known of a column besides its declaration.

    Attributes:
        maker: Who made the database.
        by_data: Whether types may be proposed that the declaration does not name.
        evidence: What its checks tell: ``json``, ``boolean``.
        keyed: Whether it is a row's number or refers to one.
        numbered: Whether it is a row's number, which SQLite keeps a whole number.
    """

    maker: Maker
    by_data: bool = True
    evidence: frozenset[str] = frozenset()
    keyed: bool = False
    numbered: bool = False


@dataclass(frozen=True)
class Declared:
    """A declared type, taken apart: ``VARCHAR(255)`` is text of 255."""

    words: str
    kind: str
    numbers: tuple[int, ...]

    @staticmethod
    def of(declared_type: str) -> Declared:
        """Read a declared type; a word that nobody knows means what SQLite makes of it."""
        found = _ARGUMENTS.fullmatch(declared_type.strip())
        name = " ".join((found["name"] if found else "").upper().split())
        numbers = tuple(int(each) for each in re.findall(r"\d+", (found and found["numbers"]) or ""))
        if name == "TINYINT" and numbers == (1,):
            return Declared("TINYINT(1)", "boolean", ())
        kind = _KINDS.get(name.replace(" UNSIGNED", "").replace("UNSIGNED ", "")) or _BY_AFFINITY[affinity_of(name)]
        return Declared(name, kind, numbers)


def candidates_of(column: SourceColumn, facts: Facts) -> tuple[Candidate, ...]:
    """Return the candidates of a column, the best first; the last ones are ways out."""
    declared = Declared.of(column.declared_type)
    kind = "json" if "json" in facts.evidence else declared.kind
    if facts.numbered:
        return tuple(_whole(column, declared, facts))
    wanted = _MAKE[kind](column, declared, facts)
    meant = [each for each in wanted if facts.by_data or kind == "any" or not each.guess]
    ways_out = (
        Candidate(each, facts.maker.encoding, "", last=True)
        for each in ("bigint", "double precision", "numeric", "text", "bytea")
    )
    found: dict[tuple[str, Encoding, str], Candidate] = {}
    for each in (*meant, *ways_out):
        found.setdefault((each.type, each.encoding, each.epoch), each)
    return tuple(found.values())


def column_of(table: str, name: str, sql_type: str) -> Column:
    """Return a column of this type as PostgreSQL's catalog will describe it.

    Args:
        table: The target's table.
        name: The target's column.
        sql_type: One of the types that a candidate has.
    """
    base, _, arguments = sql_type.partition("(")
    numbers = [int(each) for each in re.findall(r"-?\d+", arguments)]
    modifier = -1
    if base == "numeric" and len(numbers) == 2:
        # The packing of numeric_typmod_in in PostgreSQL's numeric.c.
        modifier = (numbers[0] << 16 | numbers[1] & 0x7FF) + 4
    elif base == "varchar" and numbers:
        modifier = numbers[0] + 4
    elif numbers:
        modifier = numbers[0]
    type_name = TYPE_NAMES.get(base, base)
    return Column("public", table, name, 1, sql_type, type_name, "pg_catalog", modifier, False, None, "", False, "")


def _boolean(column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    yield Candidate("boolean", facts.maker.encoding, f"declared {declared.words}")
    yield Candidate("boolean", Encoding.RAILS_5_1, "written as t and f, as before Rails 5.2")
    yield from _whole(column, replace(declared, kind="small"), facts)


def _whole(column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    told = "boolean" in facts.evidence
    named = _TRUTH_NAME.fullmatch(column.name) or _TRUTH_WORDS.fullmatch(column.name)
    if not facts.keyed and (told or named):
        why = "its CHECK allows 0 and 1 only" if told else "always 0 or 1, and its name asks whether"
        question = "always 0 or 1, and declared as a number: is it a boolean?"
        yield Candidate("boolean", facts.maker.encoding, why, guess=True, question="" if told else question)
    widths = ["smallint", "integer", "bigint"]
    narrowest = {"small": 0, "whole": 1}.get(declared.kind, 2)
    if not facts.maker.narrow or (facts.keyed and facts.maker.name == "rails"):
        narrowest = 2
    for each in widths[narrowest:]:
        yield Candidate(each, facts.maker.encoding, f"declared {declared.words}" if declared.words else "whole numbers")


def _double(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    yield Candidate("double precision", facts.maker.encoding, f"declared {declared.words}")


def _decimal(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    limits = (*declared.numbers, 0)[:2] if declared.numbers else None
    if limits and 1 <= limits[0] <= _MOST_DIGITS and limits[1] <= limits[0]:
        shown = f"{declared.words}({', '.join(map(str, declared.numbers))})"
        yield Candidate(f"numeric({limits[0]}, {limits[1]})", facts.maker.encoding, f"declared {shown}")
    yield Candidate("numeric", facts.maker.encoding, f"declared {declared.words}")


def _text(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    yield from _guesses(declared, facts)
    length = declared.numbers[0] if declared.numbers else 0
    if declared.kind == "varchar" and 0 < length <= _LONGEST_VARCHAR:
        yield Candidate(f"varchar({length})", facts.maker.encoding, f"declared {declared.words}({length})")
        yield Candidate("text", facts.maker.encoding, f"longer than its declared {declared.words}({length})")
    yield Candidate("text", facts.maker.encoding, f"declared {declared.words}" if declared.words else "text")


def _guesses(declared: Declared, facts: Facts) -> Iterator[Candidate]:
    """Yield what a column of texts may hold really."""
    # Django and SQLAlchemy have no other use for CHAR(32).
    framework = declared.words == "CHAR" and declared.numbers == (32,)
    question = (
        "" if framework else "every value is a uuid, in a column of texts: will the application never write another?"
    )
    for encoding in dict.fromkeys((facts.maker.encoding, Encoding.SEQUELIZE, Encoding.DJANGO)):
        yield Candidate("uuid", encoding, "always a uuid", guess=True, question=question, looks=_canonical_uuids)
    got = "every value is a {0}, in a column of texts: is the application ready for a {0}, or does it want its text?"
    for each in _moments(facts):
        if not each.epoch and each.encoding is not Encoding.PRISMA:
            yield replace(each, guess=True, why="always a time", question=got.format("time"))
    yield Candidate("date", Encoding.SEQUELIZE, "always a date", guess=True, question=got.format("date"))
    question = got.format("JSON document")
    for each_type in ("jsonb", "json"):
        yield Candidate(each_type, facts.maker.encoding, "always JSON", guess=True, question=question, looks=_documents)


def _uuid(column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    for encoding in dict.fromkeys((facts.maker.encoding, Encoding.SEQUELIZE, Encoding.DJANGO)):
        yield Candidate("uuid", encoding, f"declared {declared.words}")
    yield from _text(column, declared, replace(facts, by_data=False))


def _json(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    why = "its CHECK asks for JSON" if "json" in facts.evidence else f"declared {declared.words}"
    keeps_text = facts.maker.name in ("sequelize", "sqlalchemy", "rails") and declared.words == "JSON"
    for each in ("json", "jsonb") if keeps_text else ("jsonb", "json"):
        yield Candidate(each, facts.maker.encoding, why)


def _moment(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    for each in _moments(facts):
        yield replace(each, why=f"declared {declared.words}{', ' if each.why else ''}{each.why}")
    yield Candidate("date", facts.maker.encoding, f"declared {declared.words}, always a date")


def _moments(facts: Facts) -> Iterator[Candidate]:
    """Yield the types of a time, that of the maker first."""
    own = _MOMENTS.get(facts.maker.name, ())
    if facts.maker.encoding is Encoding.PRISMA_ADAPTER:
        own = own[::-1]
    yield from own
    unit = "it seems that its numbers count {} since 1970: is that so?"
    yield from (each for each in _MOMENTS[PLAIN] if each not in own)
    yield Candidate("timestamp(3)", Encoding.PRISMA, "in milliseconds since 1970", looks=_within(_MILLISECONDS))
    yield Candidate(
        "timestamptz",
        Encoding.SEQUELIZE,
        "in seconds since 1970",
        looks=_within(_SECONDS),
        epoch="seconds",
        question=unit.format("seconds"),
    )


def _date(column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    for encoding in dict.fromkeys((facts.maker.encoding, Encoding.SEQUELIZE)):
        yield Candidate("date", encoding, f"declared {declared.words}")
    yield from _moment(column, declared, facts)


def _time(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    for encoding in dict.fromkeys((facts.maker.encoding, Encoding.SEQUELIZE, Encoding.DJANGO, Encoding.RAILS)):
        yield Candidate("time", encoding, f"declared {declared.words}")


def _blob(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    yield Candidate("bytea", facts.maker.encoding, f"declared {declared.words}")


def _any(_column: SourceColumn, declared: Declared, facts: Facts) -> Iterator[Candidate]:
    said = "declared ANY, holds" if declared.words else "no declared type, holds"
    yield Candidate("bigint", facts.maker.encoding, f"{said} whole numbers", guess=True)
    yield Candidate("double precision", facts.maker.encoding, f"{said} numbers", guess=True)
    yield Candidate("bytea", facts.maker.encoding, f"{said} binary data", guess=True)
    yield from _guesses(declared, facts)
    # What nobody has written yet may be anything.
    yield Candidate("text", facts.maker.encoding, f"{said} texts")


def _within(limits: tuple[int, int]) -> Callable[[Cells], bool]:
    def looks(cells: Cells) -> bool:
        if cells.integers is None:
            return not cells.parts
        least_and_most = pc.min_max(cells.integers)
        first, last = least_and_most["min"].as_py(), least_and_most["max"].as_py()
        return first is None or (first >= limits[0] and last < limits[1])

    return looks


def _canonical_uuids(cells: Cells) -> bool:
    """Tell whether the texts are spelled as PostgreSQL prints uuids, so that the application reads what it wrote."""
    if cells.texts is None:
        return True
    lower = pc.match_substring_regex(cells.texts, r"^[0-9a-f-]+$")
    return bool(pc.all(lower, min_count=0).as_py())


def _documents(cells: Cells) -> bool:
    """Tell whether the texts begin like an object or a list, so that '5' and 'true' are no JSON by chance."""
    if cells.texts is None:
        return True
    begins = pc.match_substring_regex(cells.texts, r"^\s*[\[{]")
    empty = pc.equal(pc.binary_length(cells.texts), pa.scalar(0, pa.int64()))
    return bool(pc.all(pc.or_(begins, empty), min_count=0).as_py())


#: Maker to the types that it gives a time on PostgreSQL, with the spellings that it may have written.
_MOMENTS: Mapping[str, tuple[Candidate, ...]] = {
    "sequelize": (Candidate("timestamptz", Encoding.SEQUELIZE, ""),),
    "django": (Candidate("timestamptz", Encoding.DJANGO, ""),),
    "rails": (Candidate("timestamp(6)", Encoding.RAILS, ""),),
    "prisma": (
        Candidate("timestamp(3)", Encoding.PRISMA, ""),
        Candidate("timestamp(3)", Encoding.PRISMA_ADAPTER, ""),
    ),
    "sqlalchemy": (Candidate("timestamp", Encoding.SQLALCHEMY, ""),),
    PLAIN: (
        Candidate("timestamptz", Encoding.SEQUELIZE, "with its offset"),
        # What CURRENT_TIMESTAMP of SQLite writes has Django's form.
        Candidate("timestamp", Encoding.DJANGO, "without an offset"),
    ),
}

_WORDS: Mapping[str, Iterable[str]] = {
    "boolean": ("BOOLEAN", "BOOL", "BIT"),
    "small": ("SMALLINT", "INT2", "TINYINT"),
    "whole": ("INTEGER", "INT", "INT4", "MEDIUMINT"),
    "big": ("BIGINT", "INT8", "BIG INT"),
    "double": ("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT8"),
    "decimal": ("DECIMAL", "NUMERIC", "NUMBER", "MONEY", "DEC"),
    "varchar": ("VARCHAR", "CHARACTER VARYING", "NVARCHAR", "VARYING CHARACTER", "CHAR", "CHARACTER", "NCHAR"),
    "text": ("TEXT", "CLOB", "STRING", "LONGTEXT", "MEDIUMTEXT", "TINYTEXT", "CITEXT"),
    "blob": ("BLOB", "BYTEA", "BINARY", "VARBINARY", "LONGBLOB", "MEDIUMBLOB"),
    "uuid": ("UUID", "GUID", "UNIQUEIDENTIFIER"),
    "json": ("JSON", "JSONB"),
    "moment": ("DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITHOUT TIME ZONE"),
    "date": ("DATE",),
    "time": ("TIME", "TIME WITHOUT TIME ZONE"),
    "any": ("", "ANY"),
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words}
_BY_AFFINITY = {
    Affinity.INTEGER: "big",
    Affinity.TEXT: "text",
    Affinity.BLOB: "blob",
    Affinity.REAL: "double",
    Affinity.NUMERIC: "any",
}
_MAKE: Mapping[str, Callable[[SourceColumn, Declared, Facts], Iterator[Candidate]]] = {
    "boolean": _boolean,
    "small": _whole,
    "whole": _whole,
    "big": _whole,
    "double": _double,
    "decimal": _decimal,
    "varchar": _text,
    "text": _text,
    "blob": _blob,
    "uuid": _uuid,
    "json": _json,
    "moment": _moment,
    "date": _date,
    "time": _time,
    "any": _any,
}
