#!/usr/bin/env python3
"""Fetch the wheels of a lock file for another machine's Python, once, into a cache on the controller.

The cache has one directory for each lock, Python and platform, named after their digest; it appears under its name only
when it is complete, so that neither a kill nor two runs side by side leave half of one. Standard output is one JSON
object: {"directory": the path, "fetched": whether anything was fetched}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def fetch(lock: Path, python: str, platforms: list[str], directory: Path) -> None:
    """Fetch into a temporary neighbour and give it its name at the end."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".fetching-"))
    try:
        options = [f"--platform={platform}" for platform in platforms]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *options]
        command += ["--require-hashes", f"--requirement={lock}", f"--dest={temporary}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(
                f"error: pip could not fetch the wheels of {lock.name} for Python {python} on {platforms[0]}:\n"
                f"{done.stderr.strip()[-2000:]}\nThe controller needs to reach a Python package index, or a filled "
                f"cache in {directory.parent}."
            )
        temporary.chmod(0o755)
        if not directory.exists():
            temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main() -> int:
    """Fetch unless the cache has it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--python", required=True, help="the host's version, such as 3.11")
    parser.add_argument("--platforms", type=lambda text: text.split(","), required=True)
    parser.add_argument("--cache", type=lambda text: Path(text).expanduser(), required=True)
    arguments = parser.parse_args()
    key = [arguments.lock.read_text(encoding="utf-8"), arguments.python, arguments.platforms]
    directory = arguments.cache / hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    missing = not directory.exists()
    if missing:
        fetch(arguments.lock, arguments.python, arguments.platforms, directory)
    print(json.dumps({"directory": str(directory), "fetched": missing}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
