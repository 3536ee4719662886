"""The errors that the library raises.

The library knows nothing of Ansible or of argparse: it raises these, and the edge (``edge.py`` for modules, the
scripts' ``main`` for a shell) turns them into ``fail_json`` or an exit code.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

#: How many findings a message or a page names, before it says how many more there are.
SHOWN_FINDINGS = 10


class MigrationError(Exception):
    """Something is wrong that the operator can mend.

    Args:
        fact: What is wrong, with the object's name and the values seen, as one sentence without a full stop.
        mend: The next step, as an imperative sentence without a full stop; empty when there is none. Options stand in
            it by the library's name, which the edge turns into what the reader can type (``speak``).
        details: Further facts for a machine (JSON types only, never a secret).
        pairs: Where several facts have a mend each: facts with their mends, in order. ``fact`` and ``mend`` hold all of
            them; a reader gets each mend under its facts.
        heading: What stands over the pairs.
    """

    def __init__(
        self,
        fact: str,
        mend: str = "",
        details: dict[str, object] | None = None,
        pairs: Sequence[tuple[str, str]] = (),
        heading: str = "",
    ) -> None:
        super().__init__(fact)
        self.fact = fact
        self.mend = mend
        self.details = details or {}
        self.pairs = list(pairs)
        self.heading = heading or f"{len(self.pairs)} things are in the way"

    def speak(self, spoken: Mapping[str, str]) -> None:
        """Turn the library's names of options in the mends into what the reader can type: an option, or a variable."""
        for name, words in spoken.items():
            pattern = re.compile(rf"\b{re.escape(name)}\b")
            self.mend = pattern.sub(words, self.mend)
            self.pairs = [(fact, pattern.sub(words, mend)) for fact, mend in self.pairs]

    def __str__(self) -> str:
        notes = [_sentence(note) for note in notes_of(self)]
        if len({mend for _, mend in self.pairs if mend}) < 2:
            return " ".join([_sentence(self.fact), *notes, *([_sentence(self.mend)] if self.mend else [])])
        return "\n".join([f"{self.heading}:", *each_with_its_mend(self.pairs), *notes])


def each_with_its_mend(pairs: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield the facts as a list, and below those that share a mend this one."""
    for mend, group in itertools.groupby(pairs, lambda pair: pair[1]):
        yield from (f"- {fact}" for fact, _ in group)
        if mend:
            yield f"  {_sentence(mend)}"


def notes_of(error: BaseException) -> list[str]:
    """Return what was added to an exception on its way (``add_note``), such as what is left of a load."""
    return list(getattr(error, "__notes__", []))


def _sentence(text: str) -> str:
    """Return the text with a full stop, unless the server's or the system's own words in it bring an end along."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def printable(text: str) -> str:
    """Return a text in one line: what is not printable is escaped, and nothing else."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def quoted(name: str) -> str:
    """Return a name for a message, as it is, whatever marks are in it."""
    return f"'{printable(name)}'"
