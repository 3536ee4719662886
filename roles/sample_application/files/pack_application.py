#!/usr/bin/env python3
"""Pack the application and its npm packages into two archives in a cache on the controller.

Each archive is named after a digest of what is in it, and holds one directory of the same name that ends with a file
``complete``: where that was unpacked, all before it was. An archive appears under its name only when it is whole,
so that neither a kill nor two runs side by side leave half of one. The npm packages are fetched once; they are plain
JavaScript, and none of their scripts is run, so that one archive serves every host. Standard output is one JSON object:
{"modules": {"name", "archive"}, "program": {"name", "archive"}}.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

#: What npm reads: the lock with its digests, and the settings that it was made with.
NPM_FILES = ("package.json", "package-lock.json", ".npmrc")
NPM = ("npm", "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund")
PROGRAM = ("package.json", "bin", "src")
TAR = ("tar", "--create", "--gzip", "--owner=root:0", "--group=root:0", "--mode=u=rwX,go=rX")


def run(*command: str, folder: Path) -> None:
    """Run a command; exit with the end of its words when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise SystemExit(f"error: the controller has no command {command[0]}. Install nodejs and npm there.") from None
    if done.returncode != 0:
        raise SystemExit(f"error: {' '.join(command[:2])} failed:\n{(done.stdout + done.stderr).strip()[-2000:]}")


def fetch_modules(application: Path, folder: Path) -> None:
    """Let npm put the packages of the lock into a directory."""
    for name in NPM_FILES:
        shutil.copy(application / name, folder)
    try:
        run(*NPM, folder=folder)
    except SystemExit as failed:
        raise SystemExit(
            f"{failed}\nThe controller needs to reach a registry of npm packages, or a cache that is filled."
        ) from None


def copy_program(application: Path, folder: Path) -> None:
    """Copy what runs on a host."""
    for name in PROGRAM:
        source = application / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)


def digest(application: Path, names: tuple[str, ...]) -> str:
    """Digest files and whole directories, names and contents."""
    found = hashlib.sha256()
    for name in names:
        path = application / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found.update(
                    f"{file.relative_to(application)}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode()
                )
    return found.hexdigest()[:16]


def pack(cache: Path, name: str, fill: Callable[[Path], None]) -> dict[str, str]:
    """Make an archive in a temporary neighbour, unless it is there, and give it its name at the end."""
    archive = cache / f"{name}.tar.gz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=cache, prefix=".packing-"))
        try:
            (temporary / name).mkdir()
            fill(temporary / name)
            # The mark comes last.
            content = sorted(f"{name}/{each.name}" for each in (temporary / name).iterdir())
            (temporary / name / "complete").touch()
            run(*TAR, "--file=packed", *content, f"{name}/complete", folder=temporary)
            # Another run's, which may have been quicker, is the same.
            (temporary / "packed").rename(archive)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return {"name": name, "archive": str(archive)}


def main() -> int:
    """Pack what the cache does not have."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--application", type=Path, required=True, help="the directory with package-lock.json")
    parser.add_argument("--cache", type=lambda text: Path(text).expanduser(), required=True)
    arguments = parser.parse_args()
    application, cache = arguments.application, arguments.cache
    modules = pack(cache, f"modules-{digest(application, NPM_FILES)}", lambda to: fetch_modules(application, to))
    program = pack(cache, f"program-{digest(application, PROGRAM)}", lambda to: copy_program(application, to))
    print(json.dumps({"modules": modules, "program": program}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
