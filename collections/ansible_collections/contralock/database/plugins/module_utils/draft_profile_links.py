"""Columns that foreign keys join get types that PostgreSQL can compare: they are chosen together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from .draft_profile_study import Choice, Study, Tally, choose, fits

#: A column of the source: table and column.
Place = tuple[str, str]
_WIDTHS = ("smallint", "integer", "bigint")


def choose_all(studies: Mapping[Place, Study], links: Iterable[tuple[Place, Place]]) -> dict[Place, Choice]:
    """Choose the type of every column.

    Args:
        studies: What the columns hold.
        links: Referring column and referred column, of each foreign key.
    """
    chosen: dict[Place, Choice] = {}
    for group in _groups(studies, links):
        together = _choose_together([studies[place] for place in group]) if len(group) > 1 else None
        for number, place in enumerate(group):
            chosen[place] = together[number] if together else choose(studies[place])
    return chosen


def can_be_joined(one: Choice, other: Choice) -> bool:
    """Tell whether PostgreSQL takes a foreign key between columns of these types."""
    return one.candidate.family == other.candidate.family


def _groups(studies: Mapping[Place, Study], links: Iterable[tuple[Place, Place]]) -> Iterator[list[Place]]:
    """Yield the columns that belong together; in each group those that are referred to come first."""
    parents = {place: place for place in studies}
    referred: set[Place] = set()

    def root(place: Place) -> Place:
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for child, parent in links:
        parents[root(child)] = root(parent)
        referred.add(parent)
    groups: dict[Place, list[Place]] = {}
    for place in studies:
        groups.setdefault(root(place), []).append(place)
    for group in groups.values():
        yield sorted(group, key=lambda place: place not in referred)


def _choose_together(studies: list[Study]) -> list[Choice] | None:
    """Choose one family for all; None when there is none in which every column's cells fit."""
    for last in (False, True):
        for wanted in (tally for tally in studies[0].tallies if tally.candidate.last is last):
            candidate = wanted.candidate
            alike = [[each for each in study.tallies if each.candidate.type == candidate.type] for study in studies]
            evidence = sum(max((each.fits for each in tallies), default=0) for tallies in alike)
            found = [_first_of(study, candidate.family, evidence) for study in studies]
            if all(found) and fits(wanted, studies[0], evidence):
                tallies = [tally for tally in found if tally is not None]
                return [
                    choose(study, [tally], evidence)
                    for study, tally in zip(studies, _widened(studies, tallies), strict=True)
                ]
    return None


def _first_of(study: Study, family: str, evidence: int) -> Tally | None:
    """Return the best candidate of a family that takes all cells of a column."""
    ours = (tally for tally in study.tallies if tally.candidate.family == family)
    return next((tally for tally in ours if fits(tally, study, evidence)), None)


def _widened(studies: list[Study], tallies: list[Tally]) -> list[Tally]:
    """Give whole numbers the widest type that one of them needs, so that what is joined has one type."""
    if tallies[0].candidate.family != "whole":
        return tallies
    widest = max((tally.candidate.type for tally in tallies), key=_WIDTHS.index)
    return [
        next((each for each in study.tallies if each.candidate.type == widest and not each.misfits), tally)
        for study, tally in zip(studies, tallies, strict=True)
    ]
