"""jsonb's printed form of many documents at once.

An application writes documents of few shapes: the same keys in the same places, other texts and numbers between them.
The marks of JSON (quotes, brackets, colons, commas) are found in all documents of a batch together; documents with the
same marks are lined up, one of them is read, and the others are held against it: the same keys, no other spaces, and
numbers that are numbers. Then all of them are printed by the one plan. No document becomes a Python object, and numpy
and Arrow leave the interpreter to other threads meanwhile.

What has an escape that jsonb prints in another way, an exponent, a -0, a key of more than 32 bytes or a shape of its
own stays null here: ``jsonb_form`` reads it alone, and is what this has to agree with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .conversion_fixed_width import Flags, data_of, lengths

#: Fewer documents of one shape are read alone sooner than together.
FEWEST_ROWS = 100
#: How many shapes with one number of marks are looked for.
_SHAPES = 12
#: So many shapes of too few documents end that.
_WASTED = 2
_MOST_MARKS = 400
_LONGEST_DOCUMENT = 1 << 20
#: About as many bytes are looked at in one go: what is known of them stays in the processor's cache.
_CACHED_BYTES = 1 << 17
#: Positions in Arrow's views have 31 bits, and what is printed is longer than what is read.
_LONGEST_BATCH = 1 << 28
_LONGEST_KEY = 32
_LONGEST_NUMBER = 24

_OTHER, _QUOTE, _OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY, _COLON, _COMMA, _UNUSUAL, _ESCAPE = range(10)
_CLASSES = bytearray(256)
for _class, _sign in enumerate(b'"{}[]:,', start=1):
    _CLASSES[_sign] = _class
_CLASSES[:0x20] = bytes([_UNUSUAL]) * 0x20
_CLASSES[ord("\\")] = _ESCAPE
#: What jsonb prints as an escape too, behind a backslash (escape_json in PostgreSQL's json.c).
_STAYS_ESCAPED = np.isin(np.arange(256), list(b'"\\bfnrt'))

#: What a number may be followed by, sign by sign (RFC 8259, section 6, without an exponent): state to the next one by
#: minus, 0, 1 to 9, point, anything else. A -0 alone, and -0.0, which jsonb prints without its minus, end nowhere.
_BEGIN, _MINUS, _ZERO, _WHOLE, _POINT, _FRACTION, _MINUS_ZERO, _MINUS_POINT, _WRONG = range(9)
_NEXT = np.array(
    [
        [_MINUS, _ZERO, _WHOLE, _WRONG, _WRONG],
        [_WRONG, _MINUS_ZERO, _WHOLE, _WRONG, _WRONG],
        [_WRONG, _WRONG, _WRONG, _POINT, _WRONG],
        [_WRONG, _WHOLE, _WHOLE, _POINT, _WRONG],
        [_WRONG, _FRACTION, _FRACTION, _WRONG, _WRONG],
        [_WRONG, _FRACTION, _FRACTION, _WRONG, _WRONG],
        [_WRONG, _WRONG, _WRONG, _MINUS_POINT, _WRONG],
        [_WRONG, _MINUS_POINT, _FRACTION, _WRONG, _WRONG],
        [_WRONG] * 5,
    ],
    np.uint8,
)
_ENDS = np.isin(np.arange(9), (_ZERO, _WHOLE, _FRACTION))
_SIGNS = np.full(256, 4, np.uint8)
_SIGNS[list(b"-0.")] = (0, 1, 3)
_SIGNS[list(b"123456789")] = 2

Positions = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

#: How many bytes of a word belong to a text of this length; the length of a view that stands in itself.
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_INLINE = 12
_TRUE, _FALSE, _NULL = (np.uint64(int.from_bytes(word, "little")) for word in (b"true", b"false", b"null"))


def printed_together(part: pa.LargeBinaryArray) -> pa.StringArray:
    """Return documents as jsonb prints them.

    Args:
        part: Texts that are UTF-8.

    Returns:
        One text each; null where the document was not read together with others (or is null).
    """
    found = []
    if len(part) >= FEWEST_ROWS and len(data_of(part)) <= _LONGEST_BATCH:
        step = -(-len(part) // (len(data_of(part)) // _CACHED_BYTES + 1))
        for start in range(0, len(part), step):
            found += [(start + rows, texts) for rows, texts in _Batch(part.slice(start, step)).printed()]
    if not found:
        return pa.nulls(len(part), pa.string())
    rows = np.concatenate([rows for rows, _ in found])
    printed = pa.concat_arrays([texts for _, texts in found])
    if len(rows) == len(part) and (np.diff(rows) > 0).all():
        return printed
    places = np.full(len(part), -1, np.int64)
    places[rows] = np.arange(len(rows))
    return printed.take(pa.array(places, mask=places < 0))


class _UnusualError(Exception):
    """A document that is no JSON, or that only the exact reader prints."""


@dataclass(frozen=True)
class _Slice:
    """Bytes of each document: from ``add`` after one mark to before another, or ``plus`` beyond it."""

    mark: int
    add: int
    end: int
    plus: int


@dataclass
class _Shape:
    """What documents with the same marks have in common, as the first of them has it.

    Attributes:
        pieces: What is printed: bytes that are the same in all, and slices that are each document's own.
        fixed: Marks to the distance of the next one.
        spaces: Marks that a space follows.
        keys: Marks where a key begins, and the key with its quotes.
        scalars: The slices that have to be a number or a word.
    """

    pieces: list[bytes | _Slice] = field(default_factory=list)
    fixed: list[tuple[int, int]] = field(default_factory=list)
    spaces: list[int] = field(default_factory=list)
    keys: list[tuple[int, bytes]] = field(default_factory=list)
    scalars: list[_Slice] = field(default_factory=list)


class _ShapeReader:
    """Reads one document, mark by mark."""

    def __init__(self, marks: Sequence[int], data: bytes) -> None:
        self._marks = marks
        self._data = data
        self._codes = [_CLASSES[data[mark]] for mark in marks]
        self._shape = _Shape()

    def read(self) -> _Shape:
        """Return the document's shape.

        Raises:
            _UnusualError: It is no array or object, or no JSON.
        """
        try:
            pieces, end = self._container(0)
        except IndexError:
            raise _UnusualError from None
        if end != len(self._marks) - 1:
            raise _UnusualError
        self._shape.pieces = list(_merged(pieces))
        return self._shape

    def _container(self, begin: int) -> tuple[list[bytes | _Slice], int]:
        """Read from an opening bracket; return what is printed, and the closing one."""
        if self._codes[begin] == _OPEN_OBJECT:
            return self._object(begin)
        if self._codes[begin] != _OPEN_ARRAY:
            raise _UnusualError
        pieces: list[bytes | _Slice] = [b"["]
        if self._is_empty(begin, _CLOSE_ARRAY):
            return [b"[]"], begin + 1
        at, code = begin, _COMMA
        while code == _COMMA:
            value, at, code = self._value(at)
            pieces += [*value, b", " if code == _COMMA else b"]"]
        if code != _CLOSE_ARRAY:
            raise _UnusualError
        return pieces, at

    def _object(self, begin: int) -> tuple[list[bytes | _Slice], int]:
        if self._is_empty(begin, _CLOSE_OBJECT):
            return [b"{}"], begin + 1
        pairs: dict[bytes, list[bytes | _Slice]] = {}
        at, code = begin, _COMMA
        while code == _COMMA:
            first = at + 1
            if self._codes[first : first + 3] != [_QUOTE, _QUOTE, _COLON]:
                raise _UnusualError
            self._gap(at)
            key = self._data[self._marks[first] : self._marks[first + 1] + 1]
            if key in pairs or len(key) > _LONGEST_KEY + 2 or b"\\" in key:
                raise _UnusualError
            self._shape.keys.append((first, key))
            self._shape.fixed += [(first, len(key) - 1), (first + 1, 1)]
            if self._marks[first + 2] != self._marks[first + 1] + 1:
                raise _UnusualError
            pairs[key], at, code = self._value(first + 2)
        if code != _CLOSE_OBJECT:
            raise _UnusualError
        ordered = sorted(pairs, key=lambda key: (len(key), key))
        pieces: list[bytes | _Slice] = [b"{"]
        for key in ordered:
            pieces += [key, b": ", *pairs[key], b", "]
        return [*pieces[:-1], b"}"], at

    def _value(self, before: int) -> tuple[list[bytes | _Slice], int, int]:
        """Read the value behind a mark; return what is printed, the mark behind it and that one's class."""
        begin = before + 1
        if self._codes[begin] in (_CLOSE_OBJECT, _CLOSE_ARRAY, _COMMA):
            space = int(self._data[self._marks[before] + 1] == ord(" "))
            if space:
                self._shape.spaces.append(before)
            scalar = _Slice(before, 1 + space, begin, 0)
            self._shape.scalars.append(scalar)
            return [scalar], begin, self._codes[begin]
        self._gap(before)
        pieces: list[bytes | _Slice] = [_Slice(begin, 0, begin + 1, 1)]
        end = begin + 1
        if self._codes[begin] != _QUOTE:
            pieces, end = self._container(begin)
        if self._marks[end + 1] != self._marks[end] + 1:
            raise _UnusualError
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
            raise _UnusualError
        self._shape.fixed.append((mark, distance))


class _Batch:
    """The documents of a batch behind one another, and the marks in them."""

    def __init__(self, part: pa.LargeBinaryArray) -> None:
        # Words are read from any place: behind the last document there is room for them.
        self._buffer = data_of(part).tobytes() + bytes(2 * _LONGEST_KEY)
        self._bytes = np.frombuffer(self._buffer, np.uint8)
        self._words: Words = np.ndarray((len(self._buffer) - 7,), "<u8", self._buffer, strides=(1,))
        sizes = np.maximum(lengths(part), 0)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._usual = (sizes > 1) & (sizes < _LONGEST_DOCUMENT)
        self._find_marks()

    def printed(self) -> Iterator[tuple[Positions, pa.StringArray]]:
        """Yield rows and their printed documents."""
        counts = self._last - self._first
        rows = np.flatnonzero(self._usual & (counts > 1) & (counts <= _MOST_MARKS))
        for count in np.unique(counts[rows]).tolist():
            yield from self._of_count(rows[counts[rows] == count], count)

    def _find_marks(self) -> None:
        """Find the quotes, and the other signs outside of texts."""
        classes = np.frombuffer(self._buffer.translate(_CLASSES), np.uint8)
        self._usual[self._row_of(np.flatnonzero(classes[: self._ends[-1]] == _UNUSUAL))] = False
        quotes = (classes == _QUOTE).view(np.uint8)
        escapes = _escapes(np.flatnonzero(classes == _ESCAPE))
        quotes[escapes + 1] = 0
        inside = np.bitwise_xor.accumulate(quotes)
        odd_ones = escapes[~_STAYS_ESCAPED[self._bytes[escapes + 1]] | (inside[escapes] == 0)]
        self._usual[self._row_of(odd_ones)] = False
        before = np.where(self._starts > 0, inside[self._starts - 1], 0)
        odd = np.flatnonzero(before != np.where(self._ends > 0, inside[self._ends - 1], 0))
        if len(odd):
            # A text that is not closed would turn all behind it inside out.
            for row in odd.tolist():
                quotes[self._starts[row] : self._ends[row]] = 0
            self._usual[odd] = False
            inside = np.bitwise_xor.accumulate(quotes)
        self._marks: Positions = np.flatnonzero(quotes.view(np.bool_) | ((classes > _QUOTE) & (inside == 0)))
        self._first = np.searchsorted(self._marks, self._starts)
        self._last = np.searchsorted(self._marks, self._ends)

    def _row_of(self, positions: Positions) -> Positions:
        rows: Positions = np.searchsorted(self._ends, positions, side="right")
        return rows

    def _of_count(self, rows: Positions, count: int) -> Iterator[tuple[Positions, pa.StringArray]]:
        """Yield the documents of each shape that has so many marks."""
        wasted = 0
        for _ in range(_SHAPES):
            if len(rows) < FEWEST_ROWS:
                return
            # Mark by mark, not document by document: each question is about one mark of all documents.
            marks = self._marks[self._first[rows] + np.arange(count)[:, None]]
            classes = self._bytes[marks]
            good = (classes == classes[:, :1]).all(axis=0)
            good &= (marks[0] == self._starts[rows]) & (marks[-1] == self._ends[rows] - 1)
            try:
                shape = _ShapeReader(marks[:, 0].tolist(), self._buffer).read()
            except _UnusualError:
                good[:] = False
            else:
                good &= self._have_shape(marks, shape)
            alike = np.flatnonzero(good)
            if len(alike):
                yield rows[alike], self._print(marks if good.all() else marks[:, alike], shape)
            wasted += len(alike) < len(rows) // _SHAPES
            if wasted > _WASTED:
                return
            good[0] = True
            rows = rows[~good]

    def _have_shape(self, marks: Positions, shape: _Shape) -> Flags:
        """Tell which documents have the shape's keys and spaces, and numbers or words where it has them."""
        good = np.ones(marks.shape[1], np.bool_)
        for mark, distance in shape.fixed:
            good &= marks[mark + 1] - marks[mark] == distance
        for mark in shape.spaces:
            good &= self._bytes[marks[mark] + 1] == ord(" ")
        for mark, key in shape.keys:
            for place in range(0, len(key), 8):
                part = key[place : place + 8]
                word = self._words[marks[mark] + place] & _FIRST_BYTES[len(part)]
                good &= word == int.from_bytes(part, "little")
        for scalar in shape.scalars:
            good &= self._are_scalars(*_places(marks, scalar))
        return good

    def _are_scalars(self, starts: Positions, sizes: Positions) -> Flags:
        """Tell which texts are numbers, true, false or null."""
        words = self._words[starts] & _FIRST_BYTES[np.clip(sizes, 0, 8)]
        found: Flags = (words == _TRUE) | (words == _FALSE) | (words == _NULL)
        numbers = ~found & (sizes > 0) & (sizes <= _LONGEST_NUMBER)
        if not numbers.any():
            return found
        starts, sizes = starts[numbers], sizes[numbers]
        states = np.zeros(len(starts), np.uint8)
        for place in range(int(sizes.max())):
            following = _NEXT[states, _SIGNS[self._bytes[starts + place]]]
            states = np.where(place < sizes, following, states)
        found[numbers] = _ENDS[states]
        return found

    def _print(self, marks: Positions, shape: _Shape) -> pa.StringArray:
        """Put the pieces of each document behind one another: as views of the bytes, which Arrow copies together."""
        rows = marks.shape[1]
        views = np.empty((rows, len(shape.pieces), 2), np.uint64)
        constants = b"".join(piece for piece in shape.pieces if isinstance(piece, bytes))
        used = 0
        for number, piece in enumerate(shape.pieces):
            if isinstance(piece, bytes):
                views[:, number] = np.array(_view_of(piece, used), np.uint64)
                used += len(piece)
            else:
                self._see(views[:, number], *_places(marks, piece))
        buffers = [None, pa.py_buffer(views), pa.py_buffer(self._buffer), pa.py_buffer(constants)]
        together = pa.Array.from_buffers(pa.binary_view(), rows * len(shape.pieces), buffers).cast(pa.binary())
        offsets = np.frombuffer(together.buffers()[1], np.int32)[:: len(shape.pieces)]
        data = together.buffers()[2]
        return pa.Array.from_buffers(pa.string(), rows, [None, pa.py_buffer(offsets.tobytes()), data])

    def _see(self, views: Words, starts: Positions, sizes: Positions) -> None:
        """Write views of bytes in the buffer (https://arrow.apache.org/docs/format/Columnar.html, binary view)."""
        counts = np.minimum(sizes, _INLINE)
        first = self._words[starts] & _FIRST_BYTES[np.minimum(counts, 4)]
        rest = self._words[starts + 4] & _FIRST_BYTES[np.maximum(counts - 4, 0)]
        views[:, 0] = sizes.astype(np.uint64) | first << np.uint64(32)
        views[:, 1] = np.where(sizes <= _INLINE, rest, starts.astype(np.uint64) << np.uint64(32))


def _escapes(slashes: Positions) -> Positions:
    """Return the backslashes that begin an escape: of several in a row the first, the third, ..."""
    numbers = np.arange(len(slashes))
    begins = np.diff(slashes, prepend=-2) > 1
    escapes: Positions = slashes[(numbers - np.maximum.accumulate(np.where(begins, numbers, 0))) % 2 == 0]
    return escapes


def _places(marks: Positions, piece: _Slice) -> tuple[Positions, Positions]:
    """Return where a slice begins in each document, and its bytes."""
    starts = marks[piece.mark] + piece.add
    return starts, marks[piece.end] + piece.plus - starts


def _view_of(text: bytes, offset: int) -> tuple[int, int]:
    """Return the view of a text that stands in the second buffer."""
    first = int.from_bytes(text[:4], "little")
    rest = int.from_bytes(text[4:], "little") if len(text) <= _INLINE else 1 | offset << 32
    return len(text) | first << 32, rest


def _merged(pieces: Sequence[bytes | _Slice]) -> Iterator[bytes | _Slice]:
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
