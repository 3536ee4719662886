"""How many rows each table gets."""

from __future__ import annotations

from itertools import islice

from .ddl import TABLES

# The rows of a database that the application had filled: their proportions are kept.
_HABIT = {
    "users": 52,
    "projects": 102,
    "milestones": 302,
    "transactions": 400,
    "disputes": 14,
    "notifications": 400,
    "arbitrators": 5,
    "conversations": 88,
    "messages": 873,
    "wallets": 50,
    "wallet_transactions": 250,
    "audit_trails": 300,
}
# A tiny database grows in this order, so that no row lacks what it refers to. The second user is the first freelancer:
# without one nobody converses, disputes or arbitrates.
_FIRST_ROWS = (
    *("users", "projects", "milestones", "users", "wallets", "conversations", "messages", "transactions"),
    *("notifications", "wallet_transactions", "audit_trails", "disputes", "arbitrators"),
)


def row_counts(total: int) -> dict[str, int]:
    """Share ``total`` rows out to the twelve tables, exactly.

    A table that usually has more rows than another never gets fewer (largest remainders keep that order), which is
    what the rows rely on: at most one conversation and one dispute for a project, one wallet for a user, at least one
    milestone for a project and one message for a conversation.

    Args:
        total: Rows over all twelve tables, 0 or more.

    Returns:
        Table -> rows, in the order of ``TABLES``; the sum is ``total``.
    """
    counts = dict.fromkeys(TABLES, 0)
    for table in islice(_FIRST_ROWS, total):
        counts[table] += 1
    rest, whole = max(0, total - len(_FIRST_ROWS)), sum(_HABIT.values())
    for table, habit in _HABIT.items():
        counts[table] += rest * habit // whole
    remainders = sorted(_HABIT, key=lambda table: (-(rest * _HABIT[table] % whole), -_HABIT[table]))
    for table in remainders[: rest - sum(rest * habit // whole for habit in _HABIT.values())]:
        counts[table] += 1
    return counts


def part(total: int, index: int, parts: int) -> int:
    """Count the rows of part ``index`` when ``total`` rows are cut into ``parts`` nearly equal parts."""
    return total * (index + 1) // parts - total * index // parts
