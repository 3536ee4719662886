"""Values in messages: shortened to where they differ, with what the eye cannot see made visible, secrets hidden."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from dataclasses import dataclass

import pyarrow as pa

from .conversion_base import Conversion

SHOWN_CHARACTERS = 80
#: How much of what two long values have in common is shown before the place where they part.
COMMON_CHARACTERS = 20
UNWRITABLE = "infinity, or beyond what can be shown"
#: The only time of day that Arrow cannot write; PostgreSQL has it, and no conversion makes it.
MIDNIGHT_AT_THE_END = "24:00:00"
#: What Arrow writes in place of a time outside of the calendar.
_OUT_OF_RANGE = "<value out of range"


@dataclass(frozen=True)
class Display:
    """Shows values of both sides.

    Attributes:
        redact_key: Keys the hash that stands for a sensitive value. Keep it no longer than the report is of use: who
            has it can try out guesses.
    """

    redact_key: bytes

    def pair(
        self, left: str | None, right: str | None, sensitive: bool, quoted: bool = True
    ) -> tuple[str | None, str | None]:
        """Show two texts that differ.

        Args:
            left: A value as text; None is NULL.
            right: Another.
            sensitive: Show length and keyed hash only.
            quoted: Put them in quotation marks, so that blanks at the end can be seen.
        """
        if sensitive:
            return self.hidden(left), self.hidden(right)
        start = 0
        both = left is not None and right is not None
        if left is not None and right is not None and max(len(left), len(right)) > SHOWN_CHARACTERS:
            start = max(0, common_prefix(left, right) - COMMON_CHARACTERS)
        # Two spellings of one letter look alike: é as one code point, and as e with an accent behind it.
        escaped = both and unicodedata.normalize("NFKC", left or "") == unicodedata.normalize("NFKC", right or "")
        return _shown(left, start, quoted, escaped), _shown(right, start, quoted, escaped)

    def single(self, text: str | None, sensitive: bool, quoted: bool) -> str:
        """Show a text by itself."""
        return self.hidden(text) if sensitive else _shown(text, 0, quoted, False)

    def hidden(self, text: str | None) -> str:
        """Return what may be said about a secret: its length, and a keyed hash to compare it by."""
        if text is None:
            return "NULL"
        digest = hmac.new(self.redact_key, text.encode(errors="surrogatepass"), hashlib.sha256).hexdigest()[:16]
        return f"{len(text):,} characters, hmac:{digest}"


def rendered(conversion: Conversion, values: pa.Array) -> list[str | None]:
    """Return values as text; the target may hold times (infinity) that Arrow cannot write."""
    beyond = MIDNIGHT_AT_THE_END if pa.types.is_time(values.type) else UNWRITABLE
    try:
        texts: list[str | None] = conversion.render(values).to_pylist()
    except pa.ArrowException:
        return [beyond if valid else None for valid in values.is_valid().to_pylist()]
    if not pa.types.is_temporal(values.type):
        return texts
    return [beyond if text is not None and text.startswith(_OUT_OF_RANGE) else text for text in texts]


def is_quoted(conversion: Conversion) -> bool:
    """Tell whether the values of a column are shown in quotation marks."""
    return bool(pa.types.is_string(conversion.arrow_type)) and conversion.target.type_name != "numeric"


def common_prefix(left: str, right: str) -> int:
    """Return how many characters two texts begin with in common."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shown(text: str | None, start: int, quoted: bool, escaped: bool) -> str:
    if text is None:
        return "NULL"
    part = text[start : start + SHOWN_CHARACTERS]
    visible = "".join(
        each if each.isprintable() and (each.isascii() or not escaped) else each.encode("unicode_escape").decode()
        for each in part
    )
    marked = f"{'...' if start else ''}{visible}{'...' if len(text) > start + SHOWN_CHARACTERS else ''}"
    return f"'{marked}'" if quoted else marked
