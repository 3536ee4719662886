"""Makes the columns of a draft of what was chosen for them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .conversion_base import shortened
from .draft_profile_ddl import spelled
from .draft_profile_defaults import default_text, draft_default, literal
from .draft_profile_expressions import Known, translate
from .draft_profile_links import Place
from .draft_profile_model import Draft, DraftColumn, DraftEnum
from .draft_profile_names import SYSTEM_COLUMNS, FreeNames, natural_name, place_names
from .draft_profile_source import TableDetail
from .draft_profile_study import Choice, Study
from .run_step import counted
from .source_schema import SourceColumn

#: What a secret is called, as words of a name; a draft marks rather one too many.
_SECRET = re.compile(
    r"pass(?:word|wd|phrase|code)|secret|token|credential|digest|salt|private_?key|api_?key|access_?key|otp"
    r"|(?:backup|recovery|reset|verification|two_?factor|mfa)_?codes?|session_?(?:key|data|id)|pin_?code|cvv",
    re.IGNORECASE,
)
_BY_POSTGRESQL = (
    "PostgreSQL computes it from now on, so that no value is moved, and each is compared: is the expression right?"
)
#: Types that a number of the row can have.
_WHOLE = ("smallint", "integer", "bigint")
#: Types whose values are in the order of a collation.
TEXTS = ("text", "varchar", "char")


def known_columns(detail: TableDetail, columns: list[DraftColumn], draft: Draft) -> dict[str, Known]:
    """Return what an expression may name, by the source's names in lower case."""
    return {
        column.source.lower(): Known(
            target=draft.quote(column.target),
            boolean=column.type == "boolean",
            folded=detail.text.collation(column.source) not in ("", "BINARY"),
            text=column.type.partition("(")[0] in TEXTS,
        )
        for column in columns
    }


class ColumnMaker:
    """Makes columns, table by table.

    Args:
        draft: Gets the enumerations and the questions.
        free: The schema's names.
        studies: What the columns hold.
        choices: What was chosen for them.
    """

    def __init__(
        self, draft: Draft, free: FreeNames, studies: Mapping[Place, Study], choices: Mapping[Place, Choice]
    ) -> None:
        self._draft = draft
        self._free = free
        self._studies = studies
        self._choices = choices

    def make(self, detail: TableDetail, target: str) -> list[DraftColumn]:
        """Return the columns of a table."""
        sources = detail.table.columns
        names = place_names((column.name for column in sources), self._draft.naming, SYSTEM_COLUMNS)
        made = [self._column(detail, column, target, names[column.name]) for column in sources]
        for source, column in zip(sources, made, strict=True):
            if source.generated:
                self._generate(detail, column, made)
        return made

    def _column(self, detail: TableDetail, source: SourceColumn, table: str, target: str) -> DraftColumn:
        place = (detail.table.name, source.name)
        study, choice = self._studies[place], self._choices[place]
        column = DraftColumn(
            source=source.name,
            target=target,
            type=choice.candidate.type,
            why="the row's number" if source.name == detail.numbered else _why(source, choice),
            not_null=source.not_null and not study.nulls,
            identity=source.name == detail.numbered and choice.candidate.type in _WHOLE,
            sensitive=bool(_SECRET.search(source.name)),
            rules=tuple(_rules(choice)),
            renamed=natural_name(source.name, self._draft.naming) != target,
        )
        if choice.candidate.encoding is not self._draft.maker.encoding:
            column.written_by = choice.candidate.encoding.value
        self._ask(place, study, choice)
        if detail.text.collation(source.name) == "NOCASE" and choice.candidate.family == "text":
            question = "SQLite compares it without regard to case (NOCASE), PostgreSQL does not: does the application"
            self._draft.ask(_place(*place), f"{question} look for it in another spelling than it wrote?")
        labels = self._enumerate(detail, source, column, table) if self._is_plain_text(detail, source, column) else ()
        if not column.identity:
            default = draft_default(source, choice.tally.conversion, choice.candidate.base, labels)
            empty = choice.empty_as_null and default_text(source) == ""
            column.default = None if empty else default.sql
            if default.question and not empty:
                self._draft.ask(_place(*place), default.question)
        return column

    def _ask(self, place: Place, study: Study, choice: Choice) -> None:
        for question in choice.questions:
            self._draft.ask(_place(*place), question)
        if study.nulls and study.column.key_position:
            rows = counted(study.nulls, "row has", "rows have")
            question = f"{rows} NULL in the primary key, which PostgreSQL does not take: mend or delete them"
            self._draft.ask(_place(*place), question)

    def _is_plain_text(self, detail: TableDetail, source: SourceColumn, column: DraftColumn) -> bool:
        """Tell whether a column is a text that may be an enumeration: no key, no secret, in no uniqueness or check."""
        keyed = source.key_position or any(source.name in each.key.columns for each in detail.references)
        unique = any(
            member.column == source.name for index in detail.indexes if index.unique for member in index.members
        )
        checked = any(
            token.value.lower() == source.name.lower() for check in detail.text.checks for token in check.expression
        )
        text = column.type == "text" or column.type.startswith("varchar")
        return text and not (keyed or unique or checked or source.generated or column.sensitive)

    def _enumerate(self, detail: TableDetail, source: SourceColumn, column: DraftColumn, table: str) -> tuple[str, ...]:
        """Make an enumeration of a text that looks like one, where Sequelize would have made it."""
        # Sequelize declares ENUM as TEXT, and STRING as VARCHAR(255).
        enum = self._draft.maker.name == "sequelize" and source.declared_type.upper() == "TEXT"
        labels = self._studies[detail.table.name, source.name].enumeration(at_least=1 if enum else 2)
        if not labels:
            return ()
        place = _place(detail.table.name, source.name)
        shown = ", ".join(map(literal, labels))
        if not enum:
            self._draft.ask(place, f"holds only {shown}: is it an enumeration, and are these all its values?")
            return ()
        default = default_text(source)
        labels = (*labels, default) if default and default not in labels else labels
        name = self._free.take(f"enum_{table}_{column.target}")
        self._draft.enums.append(DraftEnum(name, labels, place))
        self._draft.ask(place, f"looks like an ENUM and holds {shown}: are these all the values that the model knows?")
        column.type, column.why = self._draft.quote(name), "a text with few different values, each of them often"
        return labels

    def _generate(self, detail: TableDetail, column: DraftColumn, columns: list[DraftColumn]) -> None:
        """Let PostgreSQL compute a column where it can say the expression."""
        text = detail.text.columns.get(column.source.lower())
        tokens = text.generated if text and text.generated else ()
        place = _place(detail.table.name, column.source)
        source = detail.table.column(column.source)
        keyed = source.key_position or any(column.source in each.key.columns for each in detail.references)
        expression = None if keyed else translate(tokens, known_columns(detail, columns, self._draft))
        if expression is None:
            self._draft.ask(place, not_generated(spelled(tokens)))
            column.why += ", computed by SQLite"
            return
        column.generated, column.default = expression, None
        column.why = f"computed, in SQLite by {shortened(spelled(tokens))}"
        self._draft.ask(place, _BY_POSTGRESQL)


def keep_ordinary(draft: Draft, table: str, column: DraftColumn, why: str) -> None:
    """Let a computed column be an ordinary one after all, and ask about that instead."""
    place = _place(table, column.source)
    draft.withdraw(place, _BY_POSTGRESQL)
    draft.ask(place, f"{not_generated(column.generated or '')} ({why})")
    column.generated = None


def not_generated(expression: str) -> str:
    """Say that a computed column becomes an ordinary one."""
    return (
        f"SQLite computes it by {shortened(expression)}; here it is an ordinary column with today's values: "
        "say the expression in PostgreSQL's words, or let the application write it"
    )


def _place(table: str, column: str) -> str:
    return f"{table}.{column}"


def _why(source: SourceColumn, choice: Choice) -> str:
    unfit = choice.tally.hopeless or choice.tally.misfits or (choice.tally.empties and not choice.empty_as_null)
    if not choice.candidate.last:
        return choice.candidate.why + (", and holds values that do not fit" if unfit else "")
    if not source.declared_type:
        return "no declared type" + (", and holds values that do not fit" if unfit else "")
    held = "and its values fit neither that nor this" if unfit else "holds other values"
    return f"declared {shortened(source.declared_type)}, {held}"


def _rules(choice: Choice) -> list[object]:
    rules: list[object] = ["empty_text_as_null"] if choice.empty_as_null else []
    return [*rules, {"epoch": choice.candidate.epoch}] if choice.candidate.epoch else rules
