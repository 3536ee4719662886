# ruff: noqa: RUF001, SIM905 - because look-alike characters are what this file is for, and words read best as a text.
"""Names and free text: ordinary words, mixed with every kind of text that a migration has been seen to damage."""

from __future__ import annotations

import json
from itertools import cycle, zip_longest

from .chance import Chance

# Whole values, by what is awkward about them. All of it is valid UTF-8 without NUL: the data is good, only unusual.
AWKWARD: dict[str, tuple[str, ...]] = {
    "single and double quotes": ('it\'s "quoted"', "''", '""', 'O\'Neil; -- "x"', "„Anführung“ ‘x’"),
    "tab": ("Tab\there", "\tindented\t"),
    "line feed": ("Line1\nLine2", "\n", "list:\n\t- one\n\t- two\n"),
    "carriage return": ("Line1\r\nLine2\r\n", "old Mac\rline"),
    "backslash": ("C:\\path\\new", "back\\slash", "ends with \\", "\\u0041 \\n \\t \\x41 \\101", "\\\\server\\share"),
    "end of COPY": ("\\.", "before\n\\.\nafter"),
    "NULL of COPY": ("\\N", "before\n\\N\nafter"),
    "composed (NFC)": ("\u00c5ngstr\u00f6m caf\u00e9",),
    "decomposed (NFD)": ("A\u030angstro\u0308m cafe\u0301",),
    "stacked combining marks": ("z\u0337\u0310\u0321a\u0334\u0352l\u0335\u0301g\u0338\u0306o\u0336\u031b",),
    "emoji": ("🚀", "ship it 🙂👍🏽", "🇹🇷🇩🇪"),
    "emoji joined by ZWJ": ("👩\u200d👩\u200d👧\u200d👦 family", "🏳️\u200d🌈"),
    "right to left": ("مرحبا بالعالم", "שלום (abc) 123", "\u202eoverride\u202c"),
    "outside the basic plane": ("𠮷野家", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "\U0010fffd"),
    "other scripts": ("合同 契約 계약", "Договор", "σύμβαση Σς", "İstanbul ılık", "Straße ẞ ﬁ", "สัญญา"),
    "invisible": ("zero\u200bwidth", "\ufeffbyte order mark", "no\u00a0break", "soft\u00adhyphen"),
    "line ends of Unicode": ("a\u2028b\u2029c\u0085d\u000bd\u000ce",),
    "control characters": ("\x01\x1f\x7f", "\x1b[31mred\x1b[0m", "bell\x07"),
    "blanks at the ends": ("trailing blanks   ", "  leading", " ", "\u3000full width\u3000"),
    "percent, braces, templates": ("100% %s %(x)s %%", "{json} {0} {{ jinja }} {% if %}", "${HOME} `id` $(id) $1 $$"),
    "looks like a literal": ("null", "true", "false", "NULL", "undefined", "NaN", "Infinity", "-0", "[object Object]"),
    "looks like a number": ("007", "1e5", "1.0", "0x1F", "12345678901234567890", "1_000", "+1"),
    "looks like a date": ("2024-02-30", "now", "infinity", "epoch", "Invalid date", "24:00:00"),
    "looks like JSON": ("[]", "{}", '{"a":1}', "[1,", '"x"'),
    "looks like SQL": ("Robert'); DROP TABLE users;--", "E'\\x41'", "$tag$ text $tag$", "/* x */ ? :name @p"),
    "markup": ("<b>bold</b> &amp; <script>alert(1)</script>", "a,b;c|d\te", "=1+1"),
    "long": ("0123456789 äöü 合同 🚀 " * 900,),
}
_SHARE_AWKWARD = 0.03
_SHARE_AWKWARD_IN_JSON = 0.08

FIRST_NAMES = tuple(
    "Ada Müşerref José Chloé Björn Zoë Sinéad Ngọc Дмитрий محمد Ωmega 李 O'Neil Héloïse-2 🙂Smile Ayşe Jürgen Łukasz"
    " Amélie Søren Çağla Þórdís Iñaki Grace Linus Mary-Jane שרה 太郎 Zoe\u0308 İpek".split(" ")
)
LAST_NAMES = (
    *"O'Client D'Arcy Straße Smith Núñez Никитин 小明 Lovelace Hopper Đặng Ó Kaya Öztürk Łęcki Null True".split(" "),
    *('van der "Berg"', "back\\slash", "Tab\there", 'Free "lancer"', "de la Cruz", "<b>Bold</b>", "Smith-Jones, Jr."),
    *("N\u0303un\u0303ez", "al-\u200fحسن", "100% Real", "{{ name }}", "O\u2019Brien"),
)
_WORDS = (
    "milestone budget design review contract escrow release draft legal logo feature API line invoice deadline payment"
    " client delivery revision scope approved please the and for with after before we they agreed to changes in work on"
    " naïve ünïcode 合同 🚀 it's \"quoted\" C:\\path \\u0041 100% {json} null true 007 1e5 déjà-vu 契約 договор don't"
).split(" ")
_JOINTS = (" ", " ", " ", ". ", "\n", "\r\n\t- ", "\n\n")
_POOL = 4096


def escaped(text: str) -> str:
    """Write the inside of the JSON string that JSON.stringify makes of ``text``."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


class Prose:
    """Free text of one seed, joined from two pieces of a pool: sixteen million texts for the price of a lookup.

    Args:
        chance: Where the pool and the texts come from.
    """

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._phrases = [self._words(1, 4) for _ in range(_POOL)]
        self._passages = [self._words(2, 32) for _ in range(_POOL)]
        # Escaping goes character by character, so escaped pieces may be joined as well as raw ones.
        self._escaped = [escaped(piece) for piece in self._phrases]
        # In turn instead of at random: small samples have all kinds, too.
        kinds = [text for texts in zip_longest(*AWKWARD.values()) for text in texts if text is not None]
        short = [text for text in kinds if len(text) <= 200]
        self._next_awkward = cycle(kinds).__next__
        self._next_short = cycle(short).__next__
        self._next_escaped = cycle([escaped(text) for text in short]).__next__

    def _words(self, least: int, most: int) -> str:
        return " ".join(self._chance.pick(_WORDS) for _ in range(least + self._chance.below(most - least + 1)))

    def line(self) -> str:
        """Draw a text for a VARCHAR(255): never empty, at most 255 code points."""
        chance = self._chance
        if chance.random() < _SHARE_AWKWARD:
            return self._next_short()
        return f"{chance.pick(self._phrases)} {chance.pick(self._phrases)}"

    def passage(self) -> str:
        """Draw a text for a TEXT column: never empty, some 200 characters, seldom 20,000."""
        chance = self._chance
        if chance.random() < _SHARE_AWKWARD:
            return self._next_awkward()
        return chance.pick(self._passages) + chance.pick(_JOINTS) + chance.pick(self._passages)

    def json_line(self) -> str:
        """Draw a text such as ``line`` gives, escaped for the inside of a JSON string."""
        chance = self._chance
        if chance.random() < _SHARE_AWKWARD_IN_JSON:
            return self._next_escaped()
        return f"{chance.pick(self._escaped)} {chance.pick(self._escaped)}"
