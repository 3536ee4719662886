"""The journey that the tests of this scenario tell, in the order of their files."""

from __future__ import annotations

import pytest
from journeys import look


@pytest.fixture(scope="session")
def now(app1, db1):
    """What is there now."""
    return lambda: look(app1, db1)


@pytest.fixture(scope="session")
def at_first(now):
    """What was there before the first test."""
    return now()
