"""A profile's folder to write a mapping into."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.profile import Profile, load_profile

PROFILES = Path(__file__).parents[3] / "files" / "profiles"


@pytest.fixture
def profile_folder(tmp_path: Path) -> Path:
    """An empty profile ``sample`` beside a copy of the published schema."""
    shutil.copy(PROFILES / "mapping.schema.json", tmp_path)
    folder = tmp_path / "sample"
    folder.mkdir()
    return folder


@pytest.fixture
def load(profile_folder: Path) -> Callable[[str | bytes], Profile]:
    """Write a mapping into the folder and load the profile."""

    def write_and_load(content: str | bytes) -> Profile:
        data = content.encode() if isinstance(content, str) else content
        (profile_folder / "mapping.yml").write_bytes(data)
        return load_profile(profile_folder)

    return write_and_load
