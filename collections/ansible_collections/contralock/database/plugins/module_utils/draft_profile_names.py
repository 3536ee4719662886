"""Names for a draft: by the naming rule where PostgreSQL takes the result, otherwise another one that is free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import MigrationError
from .naming import IDENTIFIER_BYTES, NamingRule, target_name

#: Every table has columns of these names already (PostgreSQL manual, "System Columns").
SYSTEM_COLUMNS = frozenset({"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


class FreeNames:
    """Gives out names of one namespace, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)

    def take(self, wanted: str) -> str:
        """Return the name, or the next like it that is free and has at most 63 bytes."""
        name, number = cut(wanted, ""), 1
        while name in self._taken:
            number += 1
            name = cut(wanted, f"_{number}")
        self._taken.add(name)
        return name


def cut(name: str, end: str) -> str:
    """Return a name with this end that PostgreSQL does not cut; no character is cut in two."""
    kept = name.encode()[: IDENTIFIER_BYTES - len(end.encode())].decode(errors="ignore")
    return (kept or "unnamed") + end


def natural_name(name: str, rule: NamingRule) -> str | None:
    """Return what the naming rule makes of a name; None when PostgreSQL would not take it."""
    try:
        return target_name(name, rule)
    except MigrationError:
        return None


def place_names(names: Iterable[str], rule: NamingRule, taken: Iterable[str] = ()) -> Mapping[str, str]:
    """Return source name to target name, all different.

    Args:
        names: The source's tables, or the columns of one of them.
        rule: The naming rule.
        taken: Names that nothing may have.
    """
    listed = list(names)
    natural = {name: natural_name(name, rule) for name in listed}
    # Names that stay as they are go first: the mapping has to say less then.
    reserved = set(taken)
    ordered = sorted(listed, key=lambda name: natural[name] != name or name in reserved)
    free = FreeNames(reserved)
    placed = {name: free.take(natural[name] or name) for name in ordered}
    return {name: placed[name] for name in listed}
