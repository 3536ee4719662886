"""When the steps of a run began and how long they took: each attempt of each, and the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .journal import Record

SIGNS: Mapping[str, str] = {"done": "done", "begun": "begun", "failed": "FAILED", "taken_back": "undone"}
#: Of a step that had nothing to do, and is recorded so that the journal is complete.
NOT_NEEDED, NOT_BEGUN = "-", "not begun"


def sign_of(step: Mapping[str, Any], failure: Mapping[str, Any] | None) -> str:
    """Return how a step of a report stands, as a short word.

    Args:
        step: Of ``steps`` in a report.
        failure: Of the same report, which step the run has failed at.
    """
    if failure and failure["step"] == step["name"]:
        return SIGNS["failed"]
    if step["state"] == "done" and step["facts"].get("needed") is False:
        return NOT_NEEDED
    return SIGNS.get(step["state"], NOT_BEGUN)


def timeline(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return every attempt at every step, in the order in which they began.

    Each has ``step``, ``state`` (as it stands now), ``attempt`` (the how-manieth opening of the run it belongs to),
    ``begun`` (UTC), ``offset`` (seconds since the run's first record) and ``seconds``; these are None for one whose end
    nobody recorded.
    """
    entries: list[dict[str, Any]] = []
    latest: dict[str, dict[str, Any]] = {}
    attempt = 0
    for record in records:
        if record.state == "begun":
            attempt += record.step == "open"
            begun = record.moment
            offset = records[0].moment.seconds_until(begun)
            entry = {"step": record.step, "state": "begun", "attempt": attempt, "begun": begun.time, "offset": offset}
            latest[record.step] = {**entry, "seconds": None, "moment": begun}
            entries.append(latest[record.step])
        elif (known := latest.get(record.step)) is not None:
            if record.state != "taken_back" and known["state"] == "begun":
                known["seconds"] = known["moment"].seconds_until(record.moment)
            # What failed is not made good by taking it back.
            known["state"] = "failed" if known["state"] == "failed" else record.state
    return [{name: value for name, value in entry.items() if name != "moment"} for entry in entries]


def window(records: Sequence[Record]) -> dict[str, Any] | None:
    """Return the last time in which users were kept waiting, until they were let in or what was done was taken back.

    An application without a command that keeps users out stops right after that step, and has been proven right before
    the step that would let them in.
    ``offset`` is its beginning in seconds since the run's first record. None when nothing was stopped.
    """
    begun, ended = None, None
    for record in records:
        step_and_state = (record.step, record.state)
        if step_and_state == ("keep_out", "begun") and (begun is None or ended is not None):
            begun, ended = record.moment, None
        elif begun and step_and_state in (("let_in", "done"), ("keep_out", "taken_back")):
            ended = record.moment
    if begun is None:
        return None
    return {
        "begun": begun.time,
        "ended": ended.time if ended else None,
        "offset": records[0].moment.seconds_until(begun),
        "seconds": begun.seconds_until(ended) if ended else None,
    }
