"""The documentation that every module shares which can be a step of a run."""

from __future__ import annotations


class ModuleDocFragment:
    """Documents how a module takes part in a run."""

    DOCUMENTATION = r"""
options:
  run:
    description:
      - The run's directory, as M(contralock.database.migration_run) returned it.
      - The module then holds the run's lock while it works, writes its progress there, and journals O(step).
      - Ignored in check mode.
    type: path
  step:
    description: The step of the run's verb that this module carries out; without it the step is journalled around it.
    type: str
  lease:
    description: What opening the run returned; a module whose run another controller took over refuses to work.
    type: str
"""
