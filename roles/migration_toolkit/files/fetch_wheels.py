#!/usr/bin/env python3
"""Fetch the wheels of a lock file for another machine's Python, once, into a cache on the controller.

The cache has one archive for each lock, Python and platform, named after their digest: one file is carried to a host in
a fraction of the time that a dozen take. It appears under its name only when it is complete, so that neither a kill nor
two runs side by side leave half of one. Standard output is one JSON object: {"archive": the path, "fetched": whether
anything was fetched}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path


def pack(folder: Path, archive: Path) -> None:
    """Put a folder's files into an archive (uncompressed, because wheels are), owned by root and readable for all."""

    def as_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o644
        return member

    with tarfile.open(archive, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.add(path, path.name, filter=as_root)


def fetch(lock: Path, python: str, platforms: list[str], archive: Path) -> None:
    """Fetch and pack in a temporary neighbour, and give the archive its name at the end."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=archive.parent, prefix=".fetching-"))
    try:
        options = [f"--platform={platform}" for platform in platforms]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *options]
        command += ["--require-hashes", f"--requirement={lock}", f"--dest={temporary}/wheels"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(
                f"error: pip could not fetch the wheels of {lock.name} for Python {python} on {platforms[0]}:\n"
                f"{done.stderr.strip()[-2000:]}\nThe controller needs to reach a Python package index, or a filled "
                f"cache in {archive.parent}."
            )
        pack(temporary / "wheels", temporary / "wheels.tar")
        # Another run's, which may have been quicker, is the same.
        (temporary / "wheels.tar").rename(archive)
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
    archive = arguments.cache / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.tar"
    missing = not archive.exists()
    if missing:
        fetch(arguments.lock, arguments.python, arguments.platforms, archive)
    print(json.dumps({"archive": str(archive), "fetched": missing}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
