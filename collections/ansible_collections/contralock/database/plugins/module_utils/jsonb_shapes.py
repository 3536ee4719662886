"""The shape of a JSON document: its marks, its keys, and where it has texts and numbers of its own.

Read of one document, it says how all documents with the same marks and keys are printed as jsonb prints them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LONGEST_KEY = 32

_OTHER, QUOTE, _OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA, UNUSUAL, ESCAPE = range(10)
CLASSES = bytearray(256)
for _class, _sign in enumerate(b'"{}[]:,', start=1):
    CLASSES[_sign] = _class
CLASSES[:0x20] = bytes([UNUSUAL]) * 0x20
CLASSES[ord("\\")] = ESCAPE


class UnusualError(Exception):
    """A document that is no JSON, or that only the exact reader prints."""


@dataclass(frozen=True)
class Slice:
    """Bytes of each document: from ``add`` after one mark to before another, or ``plus`` beyond it."""

    mark: int
    add: int
    end: int
    plus: int


@dataclass
class Shape:
    """What documents with the same marks have in common, as the first of them has it.

    Attributes:
        pieces: What is printed: bytes that are the same in all, and slices that are each document's own.
        fixed: Marks to the distance of the next one.
        spaces: Marks that a space follows.
        keys: Marks where a key begins, and the key with its quotes.
        scalars: The slices that have to be a number or a word.
    """

    pieces: list[bytes | Slice] = field(default_factory=list)
    fixed: list[tuple[int, int]] = field(default_factory=list)
    spaces: list[int] = field(default_factory=list)
    keys: list[tuple[int, bytes]] = field(default_factory=list)
    scalars: list[Slice] = field(default_factory=list)


class ShapeReader:
    """Reads one document, mark by mark."""

    def __init__(self, marks: Sequence[int], data: bytes) -> None:
        self._marks = marks
        self._data = data
        self._codes = [CLASSES[data[mark]] for mark in marks]
        self._shape = Shape()

    def read(self) -> Shape:
        """Return the document's shape.

        Raises:
            UnusualError: It is no array or object, or no JSON.
        """
        try:
            pieces, end = self._container(0)
        except IndexError:
            raise UnusualError from None
        if end != len(self._marks) - 1:
            raise UnusualError
        self._shape.pieces = list(_merged(pieces))
        return self._shape

    def _container(self, begin: int) -> tuple[list[bytes | Slice], int]:
        """Read from an opening bracket; return what is printed, and the closing one."""
        if self._codes[begin] == _OPEN_OBJECT:
            return self._object(begin)
        if self._codes[begin] != _OPEN_ARRAY:
            raise UnusualError
        pieces: list[bytes | Slice] = [b"["]
        if self._is_empty(begin, _CLOSE_ARRAY):
            return [b"[]"], begin + 1
        at, code = begin, _COMMA
        while code == _COMMA:
            value, at, code = self._value(at)
            pieces += [*value, b", " if code == _COMMA else b"]"]
        if code != _CLOSE_ARRAY:
            raise UnusualError
        return pieces, at

    def _object(self, begin: int) -> tuple[list[bytes | Slice], int]:
        if self._is_empty(begin, _CLOSE_OBJECT):
            return [b"{}"], begin + 1
        pairs: dict[bytes, list[bytes | Slice]] = {}
        at, code = begin, _COMMA
        while code == _COMMA:
            first = at + 1
            if self._codes[first : first + 3] != [QUOTE, QUOTE, _COLON]:
                raise UnusualError
            self._gap(at)
            key = self._data[self._marks[first] : self._marks[first + 1] + 1]
            if key in pairs or len(key) > LONGEST_KEY + 2 or b"\\" in key:
                raise UnusualError
            self._shape.keys.append((first, key))
            self._shape.fixed += [(first, len(key) - 1), (first + 1, 1)]
            if self._marks[first + 2] != self._marks[first + 1] + 1:
                raise UnusualError
            pairs[key], at, code = self._value(first + 2)
        if code != _CLOSE_OBJECT:
            raise UnusualError
        ordered = sorted(pairs, key=lambda key: (len(key), key))
        pieces: list[bytes | Slice] = [b"{"]
        for key in ordered:
            pieces += [key, b": ", *pairs[key], b", "]
        return [*pieces[:-1], b"}"], at

    def _value(self, before: int) -> tuple[list[bytes | Slice], int, int]:
        """Read the value behind a mark; return what is printed, the mark behind it and that one's class."""
        begin = before + 1
        if self._codes[begin] in (_CLOSE_OBJECT, _CLOSE_ARRAY, _COMMA):
            space = int(self._data[self._marks[before] + 1] == ord(" "))
            if space:
                self._shape.spaces.append(before)
            scalar = Slice(before, 1 + space, begin, 0)
            self._shape.scalars.append(scalar)
            return [scalar], begin, self._codes[begin]
        self._gap(before)
        pieces: list[bytes | Slice] = [Slice(begin, 0, begin + 1, 1)]
        end = begin + 1
        if self._codes[begin] != QUOTE:
            pieces, end = self._container(begin)
        if self._marks[end + 1] != self._marks[end] + 1:
            raise UnusualError
        self._shape.fixed.append((end, 1))
        return pieces, end + 1, self._codes[end + 1]

    def _is_empty(self, begin: int, close: int) -> bool:
        """Tell whether a bracket is closed at once."""
        if self._codes[begin + 1] != close or self._marks[begin + 1] != self._marks[begin] + 1:
            return False
        self._shape.fixed.append((begin, 1))
        return True

    def _gap(self, mark: int) -> None:
        """Take nothing, or one space, behind a mark."""
        distance = self._marks[mark + 1] - self._marks[mark]
        if distance == 2 and self._data[self._marks[mark] + 1] == ord(" "):
            self._shape.spaces.append(mark)
        elif distance != 1:
            raise UnusualError
        self._shape.fixed.append((mark, distance))


def _merged(pieces: Sequence[bytes | Slice]) -> Iterator[bytes | Slice]:
    """Yield pieces, those that are the same in all documents put together."""
    held = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            held += piece
            continue
        if held:
            yield held
        held = b""
        yield piece
    if held:
        yield held
