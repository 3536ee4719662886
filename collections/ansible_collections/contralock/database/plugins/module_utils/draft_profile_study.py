"""What a column holds: every cell is shown to the conversions of all candidates, once, and the answers are counted.

So a draft cannot promise what the move would refuse: who judges here is who judges there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from .cells import Cells
from .columnar_reader import read_columns
from .conversion_base import EMPTY_TEXT_MEND, Conversion
from .conversions import conversion_for
from .draft_profile_types import Candidate, column_of
from .profile import Epoch, EpochUnit
from .rules_applied import apply_rules
from .source_file import Progress
from .source_schema import SourceColumn, SourceTable

#: What is declared may have this share of cells that do not fit before something else is looked for.
TOLERATED = 0.05
#: A candidate that refuses so many cells, and so large a share, is asked no more.
_HOPELESS_CELLS = 20
_HOPELESS_SHARE = 0.2
_HEAD_CELLS = 64
#: Texts look like an enumeration when there are few different ones, each of them often.
MOST_LABELS = 12
_LEAST_VALUES = 10
_LEAST_EACH = 4
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_ .-]{0,59}")


@dataclass
class Tally:
    """What the conversion of one candidate said of the cells so far; ``empties`` are the texts ''."""

    candidate: Candidate
    conversion: Conversion
    fits: int = 0
    misfits: int = 0
    empties: int = 0
    reason: str = ""
    hopeless: bool = False

    def add(self, cells: Cells) -> None:
        """Show it a batch."""
        # Most guesses are wrong at the first sight, and the conversions' exact path is slow.
        for part in (cells.slice(0, _HEAD_CELLS), cells.slice(_HEAD_CELLS, cells.length)):
            if part.length and not self.hopeless:
                self._add(part)

    def _add(self, cells: Cells) -> None:
        nulls = pc.sum(cells.is_null()).as_py() or 0
        if self.candidate.looks is not None and not self.candidate.looks(cells):
            self.hopeless = True
            return
        if self.candidate.epoch:
            cells = apply_rules([Epoch(EpochUnit(self.candidate.epoch))], cells, self.conversion).cells
        unfit = 0
        try:
            for misfit in self.conversion.convert(cells).misfits:
                count = pc.sum(misfit.mask).as_py() or 0
                unfit += count
                if misfit.mend == EMPTY_TEXT_MEND:
                    self.empties += count
                else:
                    self.misfits += count
                    self.reason = self.reason or misfit.reason
        except pa.ArrowException:
            # No answer is no promise.
            self.hopeless = True
            return
        self.fits += cells.length - nulls - unfit
        wrong = self.misfits + self.empties
        strict = self.candidate.guess or self.candidate.last
        many = self.misfits > _HOPELESS_CELLS and self.misfits > _HOPELESS_SHARE * (self.fits + wrong)
        self.hopeless = many or bool(strict and self.misfits)


@dataclass
class Study:
    """What a column holds.

    Attributes:
        column: The column.
        tallies: One for each candidate, the best first.
        rows: How many cells.
        nulls: How many of them are NULL.
        longest: The length of the longest text, in bytes.
        labels: Text to how often it occurs, as long as it may be an enumeration; None when it is none.
    """

    column: SourceColumn
    tallies: list[Tally]
    rows: int = 0
    nulls: int = 0
    longest: int = 0
    labels: dict[str, int] | None = field(default_factory=dict)

    def add(self, cells: Cells) -> None:
        """Take the next cells."""
        nulls = pc.sum(cells.is_null()).as_py() or 0
        self.rows += cells.length
        self.nulls += nulls
        for tally in self.tallies:
            tally.add(cells)
        if cells.texts is not None:
            self.longest = max(self.longest, pc.max(pc.binary_length(cells.texts)).as_py() or 0)
        if self.labels is not None:
            self._count(cells)

    def enumeration(self, at_least: int) -> tuple[str, ...]:
        """Return the labels in alphabetical order, when its texts look like those of an enumeration; else nothing.

        Args:
            at_least: How often each of them has to occur.
        """
        found = self.labels or {}
        many = sum(found.values()) >= max(_LEAST_VALUES, _LEAST_EACH * len(found))
        return tuple(sorted(found)) if len(found) > 1 and many and min(found.values()) >= at_least else ()

    def _count(self, cells: Cells) -> None:
        others = [name for name in cells.parts if name != "texts"]
        counted = [] if cells.texts is None else pc.value_counts(cells.texts.drop_null()).to_pylist()
        if others or len(counted) > MOST_LABELS:
            self.labels = None
            return
        found = self.labels or {}
        for each in counted:
            try:
                text = each["values"].decode()
            except UnicodeDecodeError:
                text = ""
            if not _LABEL.fullmatch(text):
                self.labels = None
                return
            found[text] = found.get(text, 0) + each["counts"]
        self.labels = found if len(found) <= MOST_LABELS else None


def study_table(
    path: Path,
    table: SourceTable,
    target: str,
    candidates: Sequence[Iterable[Candidate]],
    progress: Progress,
) -> dict[str, Study]:
    """Read a table once.

    Args:
        path: The file, which nobody writes.
        table: The table.
        target: Its name in the target.
        candidates: Those of each of its columns, the best first.
        progress: Called with the table, its rows so far, and all of them.

    Returns:
        Column to what it holds.

    Raises:
        MigrationError: SQLite cannot read the table.
    """
    studies = [
        Study(column, list(_tallies(column, target, wanted)))
        for column, wanted in zip(table.columns, candidates, strict=True)
    ]
    total = table.rows
    progress(table.name, 0, total)
    done = 0
    for batch in read_columns(path, table.name, [column.name for column in table.columns]):
        for study, cells in zip(studies, batch, strict=True):
            study.add(cells)
        done += batch[0].length
        progress(table.name, done, max(done, total))
    return {study.column.name: study for study in studies}


def _tallies(column: SourceColumn, target: str, candidates: Iterable[Candidate]) -> Iterable[Tally]:
    for each in candidates:
        wanted = column_of(target, column.name, each.type)
        conversion = conversion_for(wanted, column.declared_type, None, each.encoding)
        if conversion is not None:
            yield Tally(each, conversion)


@dataclass(frozen=True)
class Choice:
    """The candidate that a column gets.

    Attributes:
        tally: What its conversion said.
        empty_as_null: Whether '' has to become NULL.
        questions: What is open: values that do not fit, a type that nobody declared.
    """

    tally: Tally
    empty_as_null: bool = False
    questions: tuple[str, ...] = ()

    @property
    def candidate(self) -> Candidate:
        """What was chosen."""
        return self.tally.candidate


def choose(study: Study, among: Sequence[Tally] | None = None, evidence: int | None = None) -> Choice:
    """Choose the best candidate of a column.

    Args:
        study: What it holds.
        among: Candidates to choose from, the best first; all of them when None.
        evidence: How many values there are for a guess, when other columns count as well.
    """
    tallies = study.tallies if among is None else among
    meant = [tally for tally in tallies if not tally.candidate.last]
    for tally in meant:
        if fits(tally, study, evidence):
            return _taken(tally)
    declared = [tally for tally in meant if not (tally.candidate.guess or tally.hopeless)]
    least = min(declared, key=lambda tally: tally.misfits, default=None)
    if least is not None and least.fits and least.misfits + least.empties <= TOLERATED * (study.rows - study.nulls):
        return Choice(least, questions=(_misfit_question(least),))
    for tally in tallies:
        if tally.candidate.last and fits(tally, study, evidence):
            declared_as = f"declared {study.column.declared_type or 'without a type'}"
            question = f"{declared_as}, and every value fits {tally.candidate.type}: is this type right?"
            return Choice(tally, questions=(question,))
    best = max(tallies, key=lambda tally: (tally.fits, not (tally.candidate.last or tally.candidate.guess)))
    return Choice(best, questions=(_misfit_question(best),))


def fits(tally: Tally, study: Study, evidence: int | None = None) -> bool:
    """Tell whether all cells fit, '' as NULL where that is possible and not the rule's only effect."""
    if tally.hopeless or tally.misfits:
        return False
    if tally.candidate.guess and not (tally.fits if evidence is None else evidence):
        return False
    nullable = not (study.column.not_null or study.column.key_position)
    return not tally.empties or bool(nullable and tally.fits)


def _taken(tally: Tally) -> Choice:
    asked = (tally.candidate.question,) if tally.candidate.question else ()
    if not tally.empties:
        return Choice(tally, questions=asked)
    return Choice(
        tally, True, (*asked, f"some values are '', the others fit {tally.candidate.base}: does '' mean NULL?")
    )


def _misfit_question(tally: Tally) -> str:
    count = tally.misfits + tally.empties
    what = tally.reason or "empty text"
    several = "some values do" if tally.hopeless else f"{count:,} {'value does' if count == 1 else 'values do'}"
    return f"{several} not fit {tally.candidate.type} ({what}): mend them, add a rule, or choose another type"
