"""What a draft has to say in a shell: for a machine and for a person."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .draft_profile_model import Draft
from .draft_profile_trial import Proof
from .errors import SHOWN_FINDINGS
from .run_step import counted


def as_document(folder: Path, draft: Draft, proof: Proof) -> dict[str, Any]:
    """Return the report as JSON types."""
    return {
        "profile": str(folder),
        "made_by": draft.maker.name,
        "because": draft.maker.why,
        "tables": {table.source: table.target for table in draft.tables},
        "left_behind": draft.left_behind,
        "questions": [{"text": each.text, "places": each.places} for each in draft.questions],
        "rows": proof.rows,
        "ready": proof.ready,
        "problem": proof.problem,
        "obstacle": str(proof.unsound or ""),
        "findings": [str(finding) for finding in proof.findings],
    }


def as_lines(folder: Path, draft: Draft, proof: Proof) -> Iterator[str]:
    """Yield the report for a person."""
    yield f"drafted {folder}"
    yield f"made by {draft.maker.name}: {draft.maker.why}"
    left = f", {counted(len(draft.left_behind), 'stays', 'stay')} behind" if draft.left_behind else ""
    yield f"{counted(len(draft.tables), 'table')}{left}, {counted(proof.rows, 'row')} held against it"
    kinds = len(proof.findings)
    faults = [f"{counted(kinds, 'kind')} of values that {'does' if kinds == 1 else 'do'} not fit"] if kinds else []
    faults += ["1 obstacle"] if proof.unsound else []
    faults += ["no plan"] if proof.problem else []
    said = ", and ".join(
        [counted(len(draft.questions), "open question") if draft.questions else "no open questions", *faults]
    )
    yield f"{said}: see {folder / 'README.md'}"
    if proof.problem:
        yield from f"no plan can be made yet: {proof.problem}".splitlines()
    if proof.unsound:
        yield f"obstacle: {proof.unsound}"
    yield from (f"does not fit: {finding}" for finding in proof.findings[:SHOWN_FINDINGS])
    if len(proof.findings) > SHOWN_FINDINGS:
        yield f"and {counted(len(proof.findings) - SHOWN_FINDINGS, 'kind')} more"
