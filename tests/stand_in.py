"""The stand-in application as a process, installed and started as its role does it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
LIBRARY = PROJECT / "collections/ansible_collections/contralock/database/plugins/module_utils"
START_SECONDS = 20


def install(folder: Path) -> None:
    """Put the program together in a folder, as the role sample_application does."""
    shutil.copytree(PROJECT / "files/application/stand_in", folder / "stand_in", dirs_exist_ok=True)
    for name in ("dotenv_text.py", "errors.py"):
        shutil.copy(LIBRARY / name, folder / "stand_in" / name)


@dataclass(frozen=True)
class StandIn:
    """A running stand-in."""

    process: subprocess.Popen[str]
    port: int

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status and the answer."""
        return self._ask(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}"))

    def post(self, path: str, body: str = "{}") -> tuple[int, dict[str, Any]]:
        """The status and the answer."""
        return self._ask(urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body.encode()))

    def _ask(self, request: urllib.request.Request) -> tuple[int, dict[str, Any]]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def start(folder: Path, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the program in a working directory, on any free port."""
    install(folder)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "PG"))}
    return subprocess.Popen(
        [sys.executable, "-m", "stand_in"],
        cwd=folder,
        env={**inherited, "PORT": "0", **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def running(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[StandIn]:
    """Start the stand-in, wait until it answers, and stop it in the end."""
    with start(folder, environment) as process:
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            watchdog.cancel()
            found = re.match(r"answers on port (\d+)", line)
            assert found, line
            yield StandIn(process, int(found[1]))
        finally:
            watchdog.cancel()
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def refusal(folder: Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """Start a stand-in that does not start; its exit code and its words."""
    process = start(folder, environment)
    _, words = process.communicate(timeout=START_SECONDS)
    return process.returncode, words.strip()
