"""What the tests of this scenario share."""

from __future__ import annotations

from clients import administer, refusals

__all__ = ["administer", "refusals"]
