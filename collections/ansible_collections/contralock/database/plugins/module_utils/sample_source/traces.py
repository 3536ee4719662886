"""What projects leave behind: notifications, movements between wallets, the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .chance import number, stamp
from .people import Row, World

PAYMENT_STATUSES = ("PENDING", "COMPLETED", "FAILED", "REFUNDED")
_WALLET_TRANSACTION_TYPES = (
    *("DEPOSIT", "WITHDRAWAL", "TRANSFER", "PROJECT_FUNDS", "PROJECT_REFUND", "MILESTONE_PAYMENT"),
    *("MILESTONE_INCOME", "FEE", "REFUND", "ADMIN_ADJUSTMENT"),
)
_NOTIFICATION_TYPES = (
    *("PROJECT_INVITE", "MILESTONE_SUBMITTED", "MILESTONE_APPROVED", "MILESTONE_REVISION_REQUESTED", "PAYMENT_DUE"),
    *("PAYMENT_RELEASED", "DISPUTE_RAISED", "DISPUTE_RESOLVED", "DEADLINE_REMINDER", "VERIFICATION_REQUIRED"),
    "SYSTEM_MESSAGE",
)
_ADDRESSES = ("127.0.0.1", "::1", "2001:db8::ff00:42:8329")
_ENTITIES = ("User", "Project", "Milestone", "Transaction", "Dispute")


@dataclass(slots=True)
class Project:
    """What the rows that belong to a project need to know of it."""

    key: str
    client: str
    freelancer: str | None
    currency: str
    born: int
    milestones: list[str]
    disputes: list[str] = field(default_factory=list)


class Related:
    """The rows that others speak of without a foreign key: a kind and an id, either of which may be missing.

    Args:
        world: The chance and the users.
        rows: The rows of the block; their first value is the key.
    """

    def __init__(self, world: World, rows: dict[str, list[Row]]) -> None:
        self._chance = world.chance
        keys = {entity: [str(row[0]) for row in rows.get(f"{entity.lower()}s", ())] for entity in _ENTITIES}
        self._keys = {**keys, "User": world.users}

    def pick(self, kinds: tuple[str | None, ...], share: float) -> tuple[str | None, str | None]:
        """One of ``kinds`` and, in ``share`` of the calls, the id of such a row; of a user where the kind is None."""
        kind = self._chance.pick(kinds)
        keys = self._keys[kind or "User"]
        return kind, self._chance.pick(keys) if keys and self._chance.random() < share else None


def notification_rows(world: World, projects: list[Project], related: Related, count: int) -> Iterator[Row]:
    """Make the rows of ``notifications``."""
    chance, prose = world.chance, world.prose
    kinds = (*_ENTITIES, None, None)
    for _ in range(count):
        project, was_read = chance.pick(projects), chance.random() < 0.54
        born = chance.soon(project.born)
        entity, entity_id = related.pick(kinds, 0.73)
        data = f'{{"projectId":"{project.key}","amount":{number(chance.below(100) / 10)}}}'
        yield (
            chance.uuid(),
            chance.pick((project.client, project.freelancer or project.client)),
            chance.pick(_NOTIFICATION_TYPES),
            prose.line(),
            prose.passage(),
            data if chance.random() < 0.61 else None,
            int(was_read),
            stamp(chance.soon(born)) if was_read else None,
            entity,
            entity_id,
            chance.pick(("LOW", "NORMAL", "HIGH", "URGENT")),
            chance.pick(("[]", '["EMAIL"]', '["IN_APP","PUSH"]')),
            stamp(chance.soon(born)) if chance.random() < 0.11 else None,
            stamp(born),
            stamp(chance.soon(born)),
        )


def wallet_transaction_rows(world: World, related: Related, count: int) -> Iterator[Row]:
    """Make the rows of ``wallet_transactions``, in the currency of their wallet."""
    chance, wallets = world.chance, world.wallets
    kinds = (*_ENTITIES, *(None,) * 5)
    for _ in range(count):
        wallet, currency = chance.pick(wallets)
        born = chance.moment()
        entity, entity_id = related.pick(kinds, 0.51)
        yield (
            chance.uuid(),
            wallet,
            chance.pick(_WALLET_TRANSACTION_TYPES),
            chance.below(10_000_000),
            currency,
            chance.pick(wallets)[0] if chance.random() < 0.52 else None,
            chance.pick(wallets)[0] if chance.random() < 0.52 else None,
            entity,
            entity_id,
            world.prose.line(),
            chance.pick(PAYMENT_STATUSES),
            None,
            stamp(chance.soon(born)) if chance.random() < 0.52 else None,
            None,
            '{"source":"card","externalTransactionId":null}',
            stamp(born),
            stamp(chance.soon(born)),
        )


def audit_trail_rows(world: World, related: Related, count: int) -> Iterator[Row]:
    """Make the rows of ``audit_trails``."""
    chance = world.chance
    for _ in range(count):
        entity, entity_id = related.pick(("Project", "Project", "User", "User", None, None), 0.83)
        note = world.prose.json_line()
        born = chance.moment()
        yield (
            chance.uuid(),
            chance.pick(("PROJECT_UPDATE", "PAYMENT_RELEASE", "LOGIN")),
            chance.pick(world.users) if chance.random() < 0.95 else None,
            entity,
            entity_id,
            '{"status":"DRAFT"}' if chance.random() < 0.53 else None,
            f'{{"status":"ACTIVE","note":"{note}"}}' if chance.random() < 0.51 else None,
            chance.pick(_ADDRESSES),
            'Mozilla/5.0 (X11; Linux) "x"',
            chance.hex(32),
            None,
            stamp(born),
            stamp(chance.soon(born)),
        )
