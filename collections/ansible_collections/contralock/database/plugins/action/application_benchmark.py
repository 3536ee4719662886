"""Runs the module ``application_benchmark`` as a step of a run: see ``plugin_utils/followed_module.py``."""

from __future__ import annotations

from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import FollowedStep


class ActionModule(FollowedStep):
    """Gives the module the lease of the run that this controller has opened."""
