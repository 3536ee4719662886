"""The errors that the library raises.

The library knows nothing of Ansible or of argparse: it raises these, and the edge (``edge.py`` for modules, the
scripts' ``main`` for a shell) turns them into ``fail_json`` or an exit code.
"""

from __future__ import annotations


class MigrationError(Exception):
    """Something is wrong that the operator can mend.

    Args:
        fact: What is wrong, with the object's name and the values seen, as one sentence without a full stop.
        mend: The next step, as an imperative sentence without a full stop; empty when there is none.
        details: Further facts for a machine (JSON types only, never a secret).
    """

    def __init__(self, fact: str, mend: str = "", details: dict[str, object] | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.mend = mend
        self.details = details or {}

    def __str__(self) -> str:
        return " ".join(_sentence(part) for part in (self.fact, self.mend) if part)


def _sentence(text: str) -> str:
    """Return the text with a full stop, unless the server's or the system's own words in it bring an end along."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
