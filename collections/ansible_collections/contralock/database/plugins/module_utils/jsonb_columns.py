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

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .conversion_fixed_width import Flags, data_of, lengths
from .jsonb_shapes import CLASSES, ESCAPE, LONGEST_KEY, QUOTE, UNUSUAL, Shape, ShapeReader, Slice, UnusualError

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
_LONGEST_NUMBER = 24

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
Classes = npt.NDArray[np.uint8]
#: Number of marks to the shapes that documents with so many have had: the classes of their marks, and the rest.
_Known = dict[int, list[tuple[Classes, Shape | None]]]

#: How many bytes of a word belong to a text of this length; the length of a view that stands in itself.
_FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
_INLINE = 12
_NOWHERE: Positions = np.zeros(0, np.int64)
_NINES, _ZEROS, _ABOVE_NINE, _HIGH_BITS = (np.uint64(0x0101010101010101 * each) for each in (0x39, 0x30, 0x46, 0x80))
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
        known: _Known = {}
        for start in range(0, len(part), step):
            found += [(start + rows, texts) for rows, texts in _Batch(part.slice(start, step), known).printed()]
    if not found:
        return pa.nulls(len(part), pa.string())
    rows = np.concatenate([rows for rows, _ in found])
    printed = pa.concat_arrays([texts for _, texts in found])
    if len(rows) == len(part) and (np.diff(rows) > 0).all():
        return printed
    places = np.full(len(part), -1, np.int64)
    places[rows] = np.arange(len(rows))
    return printed.take(pa.array(places, mask=places < 0))


class _Batch:
    """The documents of a batch behind one another, and the marks in them.

    Args:
        part: The documents.
        known: The shapes of those before; what is found is added.
    """

    def __init__(self, part: pa.LargeBinaryArray, known: _Known) -> None:
        self._known = known
        # Words are read from any place: behind the last document there is room for them.
        self._buffer = data_of(part).tobytes() + bytes(2 * LONGEST_KEY)
        self._bytes = np.frombuffer(self._buffer, np.uint8)
        self._words: Words = np.ndarray((len(self._buffer) - 7,), "<u8", self._buffer, strides=(1,))
        sizes = np.maximum(lengths(part), 0)
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes
        self._usual = (sizes > 1) & (sizes < _LONGEST_DOCUMENT)
        self._find_marks()

    def printed(self) -> Iterator[tuple[Positions, pa.StringArray]]:
        """Yield rows and their printed documents."""
        counts = np.diff(self._first)
        rows = np.flatnonzero(self._usual & (counts > 1) & (counts <= _MOST_MARKS))
        for count in np.flatnonzero(np.bincount(counts[rows])).tolist():
            yield from self._of_count(rows[counts[rows] == count], count)

    def _find_marks(self) -> None:
        """Find the quotes, and the other signs outside of texts."""
        translated, end = self._buffer.translate(CLASSES), int(self._ends[-1])
        classes = np.frombuffer(translated, np.uint8)
        quotes = (classes == QUOTE).view(np.uint8)
        if translated.find(UNUSUAL, 0, end) >= 0:
            self._usual[self._row_of(np.flatnonzero(classes[:end] == UNUSUAL))] = False
        escapes = _escapes(np.flatnonzero(classes == ESCAPE)) if translated.find(ESCAPE, 0, end) >= 0 else _NOWHERE
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
        # 1 where there is a quote, or neither a text nor a sign that says nothing.
        found = (inside | (classes <= QUOTE).view(np.uint8)) ^ np.uint8(1) | quotes
        self._marks: Positions = np.flatnonzero(found[:end].view(np.bool_))
        self._first = np.append(np.searchsorted(self._marks, self._starts), len(self._marks))

    def _row_of(self, positions: Positions) -> Positions:
        rows: Positions = np.searchsorted(self._ends, positions, side="right")
        return rows

    def _of_count(self, rows: Positions, count: int) -> Iterator[tuple[Positions, pa.StringArray]]:
        """Yield the documents of each shape that has so many marks."""
        known = self._known.setdefault(count, [])
        shapes, wasted = iter(list(known)), 0
        # Mark by mark, not document by document: each question is about one mark of all documents.
        marks = self._marks_of(rows, count)
        classes = self._bytes[marks]
        for _ in range(_SHAPES):
            if len(rows) < FEWEST_ROWS or wasted > _WASTED:
                return
            if is_new := (one := next(shapes, None)) is None:
                one = classes[:, 0].copy(), self._shape_of(marks)
            good = self._are_alike(rows, marks, classes, *one)
            alike = np.flatnonzero(good)
            if len(alike) and one[1]:
                yield rows[alike], self._print(marks if len(alike) == len(rows) else marks[:, alike], one[1])
            if is_new and len(alike) < len(rows) // _SHAPES:
                wasted += 1
            elif is_new:
                known.append(one)
            if is_new:
                good[0] = True
            rows, marks, classes = rows[~good], marks[:, ~good], classes[:, ~good]

    def _are_alike(
        self, rows: Positions, marks: Positions, classes: Classes, own: Classes, shape: Shape | None
    ) -> Flags:
        """Tell which documents are like the one that has these classes of marks and this shape."""
        if shape is None:
            return np.zeros(len(rows), np.bool_)
        good: Flags = (classes == own[:, None]).all(axis=0)
        good &= (marks[0] == self._starts[rows]) & (marks[-1] == self._ends[rows] - 1)
        if good.any():
            good &= self._have_shape(marks, shape)
        return good

    def _marks_of(self, rows: Positions, count: int) -> Positions:
        """Return the marks of documents that have so many, mark by mark."""
        if len(rows) * count == len(self._marks):
            return np.ascontiguousarray(self._marks.reshape(len(rows), count).T)
        marks: Positions = self._marks[self._first[rows] + np.arange(count)[:, None]]
        return marks

    def _shape_of(self, marks: Positions) -> Shape | None:
        """Return the shape of the first of some documents; None when it has none."""
        try:
            return ShapeReader(marks[:, 0].tolist(), self._buffer).read()
        except UnusualError:
            return None

    def _have_shape(self, marks: Positions, shape: Shape) -> Flags:
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
        mask = _FIRST_BYTES[np.clip(sizes, 0, 8)]
        words = self._words[starts] & mask
        found: Flags = (words == _TRUE) | (words == _FALSE) | (words == _NULL)
        # One to eight digits in one word: each byte is one when neither sum nor difference leaves its seven bits. What
        # is missing is filled with nines; a zero stands alone.
        filled = words | _NINES & ~mask
        digits = (filled + _ABOVE_NINE | filled - _ZEROS) & _HIGH_BITS == 0
        found |= digits & (sizes > 0) & (sizes <= 8) & ((words & _FIRST_BYTES[1] != ord("0")) | (sizes == 1))
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

    def _print(self, marks: Positions, shape: Shape) -> pa.StringArray:
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


def _places(marks: Positions, piece: Slice) -> tuple[Positions, Positions]:
    """Return where a slice begins in each document, and its bytes."""
    starts = marks[piece.mark] + piece.add
    return starts, marks[piece.end] + piece.plus - starts


def _view_of(text: bytes, offset: int) -> tuple[int, int]:
    """Return the view of a text that stands in the second buffer."""
    first = int.from_bytes(text[:4], "little")
    rest = int.from_bytes(text[4:], "little") if len(text) <= _INLINE else 1 | offset << 32
    return len(text) | first << 32, rest
