# ruff: noqa: S311 - because this is test data that has to be the same for the same seed; nothing here is a secret.
"""Random values that are the same for the same seed, and the spellings in which Sequelize stores them."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TypeVar

T = TypeVar("T")

DAY = 86_400_000  # moments are milliseconds since the first of January 2024, UTC
LAST_MOMENT = 900 * DAY  # the middle of 2026; deadlines lie up to half a year later
_DAYS = [(date(2024, 1, 1) + timedelta(days=day)).isoformat() for day in range(1200)]
_MINUTES = [f"{hour:02}:{minute:02}:" for hour in range(24) for minute in range(60)]
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_TO_BCRYPT = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
)


def stamp(moment: int) -> str:
    """Spell a moment as Sequelize 6 stores a DATE in SQLite: ``2024-01-03 09:10:55.791 +00:00``."""
    day, rest = divmod(moment, DAY)
    minute, rest = divmod(rest, 60_000)
    return f"{_DAYS[day]} {_MINUTES[minute]}{rest // 1000:02}.{rest % 1000:03} +00:00"


def iso(moment: int) -> str:
    """Spell a moment as JSON.stringify writes a Date: ``2024-01-03T09:10:55.791Z``."""
    text = stamp(moment)
    return f"{text[:10]}T{text[11:23]}Z"


def number(value: float) -> str:
    """Spell a number as JSON.stringify writes it, for values between 0.0001 and 1e16: ``1``, never ``1.0``."""
    return str(int(value)) if value == int(value) else repr(value)


class Chance:
    """One stream of random values.

    Only ``random()`` and ``randbytes()`` are drawn from: Python promises the sequence of the former for good, and the
    helpers on top of them (``choice``, ``shuffle``, ``randint``) have changed theirs between versions.

    Args:
        seed: The seed; a text, so that -1 and 1 differ.
    """

    def __init__(self, seed: str) -> None:
        self._source = random.Random(seed)
        self.random = self._source.random
        self.uuid = self._uuids().__next__

    def _uuids(self) -> Iterator[str]:
        """Version 4 uuids in lower case, cut out of large pieces: a fifth of the time of ``uuid.UUID``."""
        while True:
            text = self._source.randbytes(16 * 512).hex()
            for at in range(0, len(text), 32):
                yield (
                    f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-4{text[at + 13 : at + 16]}"
                    f"-{_VARIANTS[text[at + 16]]}{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
                )

    def below(self, limit: int) -> int:
        """Draw an integer from 0 to ``limit`` - 1."""
        return int(self.random() * limit)

    def pick(self, pool: Sequence[T]) -> T:
        """Draw one of ``pool``, each as likely as the others."""
        return pool[int(self.random() * len(pool))]

    def hex(self, digits: int) -> str:
        """Draw a token of ``digits`` (an even number) hexadecimal digits."""
        return self._source.randbytes(digits // 2).hex()

    def digits(self, count: int) -> str:
        """Draw a text of ``count`` decimal digits."""
        return "".join(chr(48 + int(self.random() * 10)) for _ in range(count))

    def bcrypt(self) -> str:
        """Make up what bcrypt (cost 12) stores: 22 characters of salt and 31 of hash in bcrypt's own base 64."""
        salt, digest = (b64encode(self._source.randbytes(size)).rstrip(b"=") for size in (16, 23))
        return "$2a$12$" + (salt + digest).translate(_TO_BCRYPT).decode()

    def moment(self, after: int = 0) -> int:
        """Draw a moment between ``after`` and the end of the sample's time."""
        return after + int(self.random() * (LAST_MOMENT - after))

    def soon(self, after: int) -> int:
        """Draw a moment within a month of ``after``."""
        return after + int(self.random() * 30 * DAY)

    def chosen(self, count: int, among: int) -> Iterator[bool]:
        """Choose exactly ``count`` of ``among`` (Knuth's algorithm S): one truth value for each of them."""
        for left in range(among, 0, -1):
            taken = self.random() * left < count
            count -= taken
            yield taken

    def deal(self, total: int, hands: int) -> list[int]:
        """Deal ``total`` to ``hands``: first one for each as far as they go, the others at random."""
        dealt = [int(hand < total) for hand in range(hands)]
        for _ in range(total - sum(dealt) if hands else 0):
            dealt[self.below(hands)] += 1
        return dealt
