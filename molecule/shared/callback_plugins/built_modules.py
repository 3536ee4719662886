"""Keeps the modules that Ansible has built for one playbook for the next one of the same test run.

Ansible puts each module that a playbook uses into a zip file with all that it imports, and keeps that file for the
length of the playbook: a fifth to half a second of CPU time each, for a dozen of them or more. The tests play hundreds
of playbooks of one state of the code. CONTRALOCK_BUILT_MODULES names the directory, which lives as long as the test
run.

The hosts' Python would compile the same fifty files and more anew for each task, which is half of what a short module
costs. So they lie compiled beside their sources, as Python itself leaves them; another release of Python passes by.
"""

from __future__ import annotations

import base64
import dataclasses
import gc
import importlib.util
import io
import marshal
import os
import zipfile
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.executor import module_common
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: built_modules
type: notification
short_description: Keeps built modules for the next playbook
description: For tests.
"""
#: PEP 552: named by a hash of the source, which nobody is to check again.
UNCHECKED_HASH = (1).to_bytes(4, "little")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # because Ansible has no types
    """Puts the directory in the place where Ansible looks for what it has built (executor/module_common.py)."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "built_modules"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        # What a playbook is made of lives until its end: looking for garbage in it takes a fifth of a short one's time.
        gc.set_threshold(100_000)
        if directory := os.environ.get("CONTRALOCK_BUILT_MODULES"):
            kept = Path(directory)
            kept.mkdir(exist_ok=True)
            Path(constants.DEFAULT_LOCAL_TMP, "ansiballz_cache").symlink_to(kept)
            compile_when_built()


def compile_when_built() -> None:
    """Let Ansible keep each module with its compiled files."""
    built = module_common._CachedModule
    dump = built.dump

    def compiled(module: Any, path: str) -> None:
        archive = with_bytecode(base64.b64decode(module.zip_data))
        dump(dataclasses.replace(module, zip_data=base64.b64encode(archive)), path)

    built.dump = compiled


def with_bytecode(archive: bytes) -> bytes:
    """Return a zip file with a compiled file beside each source, as ``zipimport`` looks for it."""
    given, made = zipfile.ZipFile(io.BytesIO(archive)), io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for entry in given.infolist():
            source = given.read(entry)
            file.writestr(entry, source)
            if entry.filename.endswith(".py"):
                code = compile(source, entry.filename, "exec", dont_inherit=True)
                head = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH + importlib.util.source_hash(source)
                file.writestr(f"{entry.filename}c", head + marshal.dumps(code))
    return made.getvalue()
