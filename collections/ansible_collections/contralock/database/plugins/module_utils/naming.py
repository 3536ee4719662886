"""How the name of a source table or column becomes the target's.

The rule ``snake_case`` follows the plan's names, and the underscored models of Sequelize where they agree with them:
``firstName`` and ``FirstName`` become ``first_name``. It differs from Sequelize 6 (inflection 1.13, ``underscore``)
in two points, on purpose: a run of capitals is one word (``isKYCVerified`` becomes ``is_kyc_verified``, where Sequelize
makes ``is_k_y_c_verified``), and a leading underscore stays, because ``_id`` and ``id`` are two names until a profile
says otherwise.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from .errors import MigrationError, quoted

#: PostgreSQL cuts longer identifiers silently (NAMEDATALEN is 64, and the last byte is the end mark):
#: https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
IDENTIFIER_BYTES = 63

_RUN_THEN_WORD = re.compile(r"([A-Z0-9])([A-Z][a-z])")
_LOWER_THEN_UPPER = re.compile(r"([a-z0-9])([A-Z])")
_CAPITALS = re.compile(r"[A-Z]+")


class NamingRule(StrEnum):
    """The rules that a profile may choose from."""

    SNAKE_CASE = "snake_case"
    KEEP = "keep"


def snake_case(name: str) -> str:
    """Return ``name`` in lower case with an underscore between its words.

    Only the letters A to Z are treated as capitals, which is also how SQLite and PostgreSQL fold names.
    """
    parted = _LOWER_THEN_UPPER.sub(r"\1_\2", _RUN_THEN_WORD.sub(r"\1_\2", name))
    return _CAPITALS.sub(lambda capitals: capitals[0].lower(), parted)


def _keep(name: str) -> str:
    return name


_RULES: Mapping[NamingRule, Callable[[str], str]] = {NamingRule.SNAKE_CASE: snake_case, NamingRule.KEEP: _keep}


def target_name(name: str, rule: NamingRule) -> str:
    """Return the target's name for one source name.

    Raises:
        MigrationError: PostgreSQL would not take the result as it is.
    """
    return checked_identifier(_RULES[rule](name), f"the target's name for {quoted(name)}")


def checked_identifier(name: str, what: str) -> str:
    """Return ``name`` when PostgreSQL takes it as an identifier without changing it.

    Args:
        name: The identifier.
        what: What it is, for the message.

    Raises:
        MigrationError: It is empty, longer than 63 bytes in UTF-8, or holds what cannot be in a name.
    """
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise MigrationError(
            f"{what}, {quoted(name)}, is not Unicode text", "Give it another name in the profile"
        ) from None
    if size > IDENTIFIER_BYTES:
        raise MigrationError(
            f"{what}, {quoted(name)}, has {size} bytes; PostgreSQL would cut it after {IDENTIFIER_BYTES}",
            "Give it a shorter name in the profile: an entry under 'tables' whose 'source' is the source's name",
        )
    if not name or "\0" in name:
        raise MigrationError(f"{what}, {quoted(name)}, is no identifier", "Give it another name in the profile")
    return name


def assert_no_collision(targets: Iterable[tuple[str, str]], where: str) -> None:
    """Refuse two source names that would become the same target name.

    Args:
        targets: Pairs of source name and target name.
        where: The object that holds them, for the message.

    Raises:
        MigrationError: Two source names meet; both are named.
    """
    seen: dict[str, str] = {}
    for source, target in targets:
        if target in seen:
            raise MigrationError(
                f"{where}: {quoted(seen[target])} and {quoted(source)} would both become {quoted(target)}",
                "Rename one of them in the profile, or leave it behind with a reason",
            )
        seen[target] = source


def likely(name: str, names: Iterable[str]) -> str:
    """Return what a misspelt name was probably meant to be, as words to put behind it; empty when none is like it."""
    spelled = {each.lower(): each for each in names}
    found = difflib.get_close_matches(name.lower(), sorted(spelled), 1)
    return f" (did you mean {spelled[found[0]]!r}?)" if found else ""
