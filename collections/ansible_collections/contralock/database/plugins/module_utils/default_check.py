"""What must stand in columns of the target that the source lacks: the column's DEFAULT, in every row that came over."""

from __future__ import annotations

import re
from dataclasses import dataclass

from psycopg import sql

from .catalog import Column

#: A literal, with its casts, as PostgreSQL's ruleutils.c writes a constant DEFAULT: 0, '-1'::integer, (-1), false,
#: 'a''b'::character varying, '{"a": 1}'::jsonb, NULL::text, ARRAY['a'::text]. Anything else may be another value each
#: time, such as now() or gen_random_uuid().
_LITERAL = r"(?:NULL|true|false|\(?-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?\)?|E?'(?:[^']|'')*')"
_CASTS = r"(?:::[\w\"]+(?:[. ][\w\"]+)*(?:\([0-9, ]+\))?(?: with(?:out)? time zone)?(?:\[\])*)*"
_CONSTANT = re.compile(rf"\(?{_LITERAL}{_CASTS}\)?{_CASTS}", re.DOTALL)


@dataclass(frozen=True)
class DefaultCheck:
    """A column of the target that the source lacks, and how the server tells the rows in which it is wrong."""

    column: Column
    sensitive: bool = False

    @property
    def constant(self) -> bool:
        """Whether the value is known; otherwise it can only be said whether there is one."""
        return self.column.default is None or _CONSTANT.fullmatch(self.column.default) is not None

    @property
    def wanted(self) -> str:
        """What has to stand there, in words."""
        if self.column.default is None and not self.column.identity:
            return "NULL (the source has no such column)"
        return f"DEFAULT {self.column.default or 'of the identity'}"

    @property
    def note(self) -> str | None:
        """What cannot be compared, if it cannot."""
        if self.constant and not self.column.identity:
            return None
        place = f"{self.column.table}.{self.column.name}"
        return f"{place} is filled by its {self.wanted}, another value each time: compared was only that there is one"

    def expressions(self) -> tuple[sql.Composable, sql.Composable]:
        """Return two expressions: whether the row's value is wrong, and the value as text if it is."""
        name = sql.Identifier(self.column.table, self.column.name)
        if self.note:
            wrong: sql.Composable = sql.SQL("{} IS NULL").format(name)
        elif self.column.default is None:
            wrong = sql.SQL("{} IS NOT NULL").format(name)
        else:
            # As text, because json has no equality; through the column's type, because 0 is stored as 0.00. The texts
            # are the server's own, under an empty search_path; format() would stumble over the braces of JSON.
            wanted = sql.SQL(f"CAST(({self.column.default}) AS {self.column.type})::text")
            wrong = sql.Composed([name, sql.SQL("::text IS DISTINCT FROM "), wanted])
        value = sql.Composed([sql.SQL("CASE WHEN "), wrong, sql.SQL(" THEN "), name, sql.SQL("::text END")])
        return wrong, value
