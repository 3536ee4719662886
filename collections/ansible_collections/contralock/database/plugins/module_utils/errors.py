"""The errors that the library raises.

The library knows nothing of Ansible or of argparse: it raises these, and the edge (``edge.py`` for modules, the
scripts' ``main`` for a shell) turns them into ``fail_json`` or an exit code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping


class MigrationError(Exception):
    """Something is wrong that the operator can mend.

    Args:
        fact: What is wrong, with the object's name and the values seen, as one sentence without a full stop.
        mend: The next step, as an imperative sentence without a full stop; empty when there is none. Options stand in
            it by the library's name, which the edge turns into what the reader can type (``in_words``).
        details: Further facts for a machine (JSON types only, never a secret).
    """

    def __init__(self, fact: str, mend: str = "", details: dict[str, object] | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.mend = mend
        self.details = details or {}

    def __str__(self) -> str:
        return " ".join(_sentence(part) for part in (self.fact, *notes_of(self), self.mend) if part)


def in_words(text: str, spoken: Mapping[str, str]) -> str:
    """Return a text with the library's names of options as the reader knows them: an option, or a variable."""
    for name, words in spoken.items():
        text = re.sub(rf"\b{re.escape(name)}\b", words, text)
    return text


def notes_of(error: BaseException) -> list[str]:
    """Return what was added to an exception on its way (``add_note``), such as what is left of a load."""
    return list(getattr(error, "__notes__", []))


def _sentence(text: str) -> str:
    """Return the text with a full stop, unless the server's or the system's own words in it bring an end along."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
