"""What the application's own language does to texts, exactly.

Held against Node 20 for every character of Unicode: Python's ``strip`` leaves U+FEFF and takes U+001C to U+001F and
U+0085, which is why the white space is listed here. ``lower`` agrees, İ and the final sigma included, but for
characters that came after the Unicode version of the Python at hand (U+0295 changed its category since).
"""

from __future__ import annotations

#: WhiteSpace and LineTerminator of ECMA-262 (https://tc39.es/ecma262/#sec-white-space and #sec-line-terminators):
#: TAB, VT, FF, ZWNBSP and Unicode's category Space_Separator; LF, CR, LS and PS.
WHITE_SPACE = (
    "\t\v\f\ufeff \u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u202f\u205f\u3000\n\r\u2028\u2029"
)


def trim(text: str) -> str:
    """Return ``String.prototype.trim`` of the text (ECMA-262, #sec-string.prototype.trim)."""
    return text.strip(WHITE_SPACE)


def to_lower_case(text: str) -> str:
    """Return ``String.prototype.toLowerCase`` of the text (ECMA-262, #sec-string.prototype.tolowercase)."""
    return text.lower()
