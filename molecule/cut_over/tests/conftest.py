"""The journey that the tests of this scenario tell, in the order of their files."""

from __future__ import annotations

from journeys import at_first, before_step, now

__all__ = ["at_first", "before_step", "now"]
