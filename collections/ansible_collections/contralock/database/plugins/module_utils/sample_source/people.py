"""Users, their wallets, and the arbitrators among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from .chance import Chance, iso, number, stamp
from .ddl import Form
from .text import FIRST_NAMES, LAST_NAMES, Prose

Value = str | int | float | None
Row = tuple[Value, ...]

CURRENCIES = ("USD",) * 10 + ("JPY",) * 3 + ("EUR",) * 2 + ("BTC",) * 2 + ("GBP",) * 2
_STATUSES = ("suspended",) * 17 + ("verified",) * 16 + ("pending",) * 12 + ("active",) * 7  # the ENUM lacks 'active'
_DOMAINS = ("Example.org",) * 4 + ("example.net",) * 4 + ("example.com",)  # its upper case is found in the real file
_PLACES = ("", "São Paulo", "Zürich", "İzmir", "東京")
_SKILLS = ("release", "design", "C++", "SQL", "Übersetzung", 'say \\"hi\\"')
_SUCCESS_RATES = (0, 100, 33.33, 12.3, 0.1, 97.5, 66.67, 99.99, 50, 87.25)
_SEEDED_USERS = 4  # the application's seeder gives these the keys user-1 .. user-4
# What an untrimmed form lets through, as prefix and suffix: JavaScript's trim() and toLowerCase() undo all of these.
_BLANKS = (("", ""), (" ", ""), ("", "  "), ("\t", "\n"), ("\ufeff", ""), ("", "\u00a0"), ("\u00a0", "\ufeff"))


@dataclass(slots=True)
class World:
    """What the rows of one sample have in common: the chance, the words and the people met so far."""

    chance: Chance
    extras: Chance  # for what only the plan's form has, so that all forms of one seed hold the same people and work
    prose: Prose
    form: Form
    users: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    freelancers: list[str] = field(default_factory=list)
    admins: list[str] = field(default_factory=list)
    arbitrators: list[str] = field(default_factory=list)
    wallets: list[tuple[str, str]] = field(default_factory=list)  # key and currency

    @classmethod
    def from_seed(cls, seed: int, form: Form) -> World:
        """Begin the empty world of a seed."""
        chance = Chance(f"contralock {seed}")
        return cls(chance, Chance(f"contralock {seed} {form}"), Prose(chance), form)


def user_rows(world: World, count: int) -> Iterator[Row]:
    """Make the rows of ``users`` and remember the people by their role."""
    for index in range(count):
        # Roles follow the number, not chance: the smallest sample has a client, then a freelancer, then an admin.
        role, group = (
            ("admin", world.admins)
            if index % 52 == 2
            else (("client", world.clients), ("freelancer", world.freelancers))[index % 2]
        )
        key = world.chance.uuid()
        if world.form is Form.FROM_MIGRATIONS and index < _SEEDED_USERS:
            key = f"user-{index + 1}"
        world.users.append(key)
        group.append(key)
        yield _user(world, key, index, role)


def _user(world: World, key: str, index: int, role: str) -> Row:
    # A profile's rule that matches nothing stops a run: what rules are for is met in the smallest samples too, which is
    # why the first users are sure to have it.
    chance = world.chance
    email = f"user{index}@{chance.pick(_DOMAINS)}"
    born = chance.moment()
    resets, two_factor = chance.random() < 0.08, chance.random() < 0.36
    row = (
        key,
        email,
        chance.bcrypt(),
        chance.pick(FIRST_NAMES),
        chance.pick(LAST_NAMES),
        role,
        "active" if index == 0 else chance.pick(_STATUSES),
        _profile(world),
        chance.hex(64) if resets else None,
        stamp(chance.soon(born)) if resets and chance.random() < 0.75 else None,
        chance.hex(40) if chance.random() < 0.2 else None,
        int(chance.random() < 0.7),
        int(two_factor),
        chance.hex(32).upper() if two_factor and chance.random() < 0.6 else None,
        stamp(chance.soon(born)) if two_factor and chance.random() < 0.4 else None,
        stamp(chance.soon(born)) if chance.random() < 0.02 else None,
        chance.below(6),
        _backup_codes(chance),
        f"1{chance.digits(18)}" if chance.random() < 0.3 else None,
        "" if index == 1 else chance.pick((None, None, None, None, "", chance.hex(10))),
        stamp(born),
        stamp(chance.soon(born)),
    )
    if world.form is not Form.PLAN:
        return row
    return (row[0], _typed(world.extras, email, index), *row[2:], *_plan_values(world, index, born))


def _profile(world: World) -> str | None:
    chance, prose = world.chance, world.prose
    share = chance.random()
    if share < 0.13:
        return None
    if share < 0.18:
        return '{"completed":false}'
    bio = " ".join(prose.json_line() for _ in range(chance.below(12)))
    return (
        f'{{"completed":{chance.pick(("true", "false"))},"bio":"{bio}","location":"{chance.pick(_PLACES)}",'
        f'"skills":["{chance.pick(_SKILLS)}","C++"],"rating":{number(chance.below(51) / 10)},"hourly":12.5,'
        '"big":9007199254740991,"neg":-0.1,"nested":{"a":[1,null,{"b":"\u2028"}]},"portfolioLinks":[]}'
    )


def _backup_codes(chance: Chance) -> str | None:
    share = chance.random()
    if share < 0.38:
        return None
    return "[]" if share < 0.67 else f'["{chance.hex(8)}","{chance.hex(8)}"]'


def _typed(chance: Chance, email: str, index: int) -> str:
    """Spell the address as a user may have typed it."""
    if index != 1 and chance.random() >= 0.1:
        return email
    before, after = chance.pick(_BLANKS)
    return f"{before}{chance.pick((email.lower(), email.upper(), email.title()))}{after}"


def _plan_values(world: World, index: int, born: int) -> Row:
    """Make the values of the columns that only the plan's users have."""
    chance = world.extras
    return (
        f"https://cdn.example.com/avatars/{chance.hex(16)}.png" if chance.random() < 0.6 else None,
        f"+49 30 {chance.digits(7)}" if chance.random() < 0.5 else None,
        chance.pick((None, "", "Freelancer since 2009\n\\.\n", 'Says "hi" 🙂', "Ça va — 合同 100%", "null", "C:\\me")),
        int(chance.random() < 0.4),
        f"cus_{chance.hex(14)}" if chance.random() < 0.7 else None,
        _preferences(chance, index),
        stamp(chance.soon(born)) if chance.random() < 0.06 else None,
    )


def _preferences(chance: Chance, index: int) -> str | None:
    # No JSON, but what an old version of the form posted; the target's profile replaces these and counts them.
    if index % 200 in {1, 2}:
        return ("", "on")[index % 200 - 1]
    if chance.random() < 0.15:
        return None
    email, push = chance.pick(("true", "false")), chance.pick(("true", "false"))
    return f'{{"email":{email},"push":{push},"digest":"{chance.pick(("daily", "weekly", "never"))}"}}'


def wallet_rows(world: World, count: int) -> Iterator[Row]:
    """Make the rows of ``wallets``: at most one for each user."""
    chance = world.chance
    for user, has_wallet in zip(world.users, chance.chosen(count, len(world.users)), strict=True):
        if not has_wallet:
            continue
        key, currency, born = chance.uuid(), chance.pick(CURRENCIES), chance.moment()
        world.wallets.append((key, currency))
        balance, withdrawn = chance.below(5_000_000), chance.below(1_000_000)
        yield (
            key,
            user,
            balance,
            currency,
            chance.pick(("ACTIVE", "FROZEN", "CLOSED")),
            chance.below(100_000),
            balance + withdrawn,
            withdrawn,
            stamp(born),
            stamp(chance.soon(born)),
        )


def arbitrator_rows(world: World, count: int) -> Iterator[Row]:
    """Make the rows of ``arbitrators``: the first freelancers."""
    chance = world.chance
    for user in world.freelancers[:count]:
        world.arbitrators.append(user)
        born = chance.moment()
        yield (
            chance.uuid(),
            user,
            f'["{chance.pick(_SKILLS)}","IP law"]',
            f'{{"average":{number(1 + chance.below(41) / 10)},"count":{chance.below(100)}}}',
            chance.below(400),
            chance.pick(_SUCCESS_RATES),
            chance.below(2),
            int(chance.random() < 0.8),
            f'{{"verified":{chance.pick(("true", "false"))},"verifiedAt":"{iso(born)}","documents":[]}}',
            f'{{"totalEarned":{chance.below(1_000_000)},"pending":0}}',
            stamp(born),
            stamp(chance.soon(born)),
        )
