"""Follows the module ``sqlite_restore``: see ``plugin_utils/followed_module.py``."""

from __future__ import annotations

from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import FollowedStep


class ActionModule(FollowedStep):
    """Shows how far the module is while it runs on the host."""
