"""Runs the module ``env_file`` within a run: see ``plugin_utils/followed_module.py``."""

from __future__ import annotations

from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import StepOfRun


class ActionModule(StepOfRun):
    """Gives the module the lease of the run that this controller has opened."""
