"""JSON documents: json keeps the text, jsonb its meaning.

All makers write JSON as TEXT and differ in spaces and escapes only, which the way back restores.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

import pyarrow as pa

from .affinity import holds_numbers
from .cells import Cells
from .conversion_base import Conversion, Converted, Reader, UnfitError, json_text, read_rest, read_singly
from .conversion_numbers import NOT_FINITE
from .conversion_texts import decoded
from .exact_numbers import exact_number
from .jsonb_columns import printed_together
from .jsonb_form import check_json, compact_form, jsonb_form
from .source_encoding import Encoding

#: Who writes JSON with Python's ``json.dumps``: a space after each comma and colon, and ASCII only.
_OF_PYTHON = (Encoding.DJANGO, Encoding.SQLALCHEMY)
_OF_RAILS = (Encoding.RAILS, Encoding.RAILS_5_1)
_BEYOND_ASCII = re.compile(r"[^ -~]")
#: What ActiveSupport::JSON escapes for the sake of HTML and JavaScript (active_support/json/encoding.rb).
_ESCAPED_BY_RAILS = re.compile("[<>&\u2028\u2029]")


class JsonConversion(Conversion):
    """Json from TEXT: the text stays as it is.

    SQLite makes a number of a JSON text that is one when the column is declared JSON (affinity NUMERIC): such a cell
    is the number that the application reads, and goes.
    """

    arrow_type = pa.string()
    kind = "a JSON column"

    def readers(self) -> Mapping[str, Reader]:
        texts: dict[str, Reader] = {"texts": self._texts}
        return texts | {"integers": self._numbers, "reals": self._numbers} if self._holds_numbers else texts

    def back(self, values: pa.Array) -> Cells:
        if not self._holds_numbers:
            return Cells(len(values), texts=self._spelled(values).cast(pa.large_binary()))
        return Cells.of([None if text is None else _stored(text) for text in self._spelled(values).to_pylist()])

    def render(self, values: pa.Array) -> pa.LargeStringArray:
        return values.cast(pa.large_string())

    def stored_form(self, value: object) -> int | float | str:
        return json_text(value)

    @property
    def _holds_numbers(self) -> bool:
        return holds_numbers(self.declared_type)

    def _spelled(self, values: pa.Array) -> pa.Array:
        """Return the texts that the application would have written."""
        return values

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        return read_singly(part, self._document, pa.string())

    def _document(self, value: bytes) -> str:
        text = decoded(value)
        check_json(text)
        return text

    def _numbers(self, part: pa.Array) -> Converted:
        return read_singly(part, self._number, pa.string())

    def _number(self, value: int | float) -> str:
        if not math.isfinite(value):
            raise UnfitError(NOT_FINITE)
        return repr(value)


class JsonbConversion(JsonConversion):
    """Jsonb from TEXT; its values are PostgreSQL's own printed form."""

    def _spelled(self, values: pa.Array) -> pa.Array:
        texts = [None if text is None else spelled_json(text, self.encoding) for text in values.to_pylist()]
        return pa.array(texts, pa.string())

    def _texts(self, part: pa.LargeBinaryArray) -> Converted:
        return read_rest(part, _printed_together(part), self._document)

    def _document(self, value: bytes) -> str:
        return jsonb_form(decoded(value))

    def _number(self, value: int | float) -> str:
        return jsonb_form(super()._number(value))


def _printed_together(part: pa.LargeBinaryArray) -> pa.StringArray:
    try:
        part.cast(pa.string())
    except pa.ArrowInvalid:
        # Some text is no UTF-8; the exact reader finds out which.
        return pa.nulls(len(part), pa.string())
    return printed_together(part)


def spelled_json(printed: str, encoding: Encoding) -> str:
    """Return JSON as a maker spells it.

    Args:
        printed: As jsonb prints it: one space after each comma and colon, no escapes that are not needed.
        encoding: The maker.
    """
    if encoding in _OF_PYTHON:
        return _BEYOND_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], printed)
    compact = compact_form(printed)
    if encoding in _OF_RAILS:
        return _ESCAPED_BY_RAILS.sub(lambda found: f"\\u{ord(found[0]):04x}", compact)
    return compact


def _stored(text: str) -> int | float | str:
    """Return what a column of affinity NUMERIC keeps of a JSON text: a number when the text is one and fits exactly."""
    if text[:1] not in set("-0123456789"):
        return text
    number = exact_number(text)
    return text if number is None else number
