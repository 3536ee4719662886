"""What a load says of its rows: how many, how fast, and how long it will take once that can be known."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.contralock.database.plugins.module_utils import transfer_order
from ansible_collections.contralock.database.plugins.module_utils.transfer_order import SURE_SECONDS, Pace


def test_the_time_left_is_told_when_the_rate_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.chain([100.0, 100.0, 101.0, 100.0 + SURE_SECONDS, 110.0])
    monkeypatch.setattr(transfer_order.time, "monotonic", lambda: next(clock))
    pace = Pace(1000)
    assert pace.said("load", 0) == {"rows": 0, "of_rows": 1000, "line": "load: 0 of 1,000 rows"}
    early = pace.said("load", 10)
    assert (early["line"], "seconds_left" in early) == ("load: 10 of 1,000 rows, 10 rows/s", False)
    sure = pace.said("load", 300, "users")
    assert sure["line"] == "load: users, 300 of 1,000 rows, 100 rows/s, 7 s left"
    assert (sure["seconds_left"], sure["table"]) == (7, "users")
    assert pace.said("load", 1000)["line"] == "load: 1,000 of 1,000 rows, 100 rows/s"
