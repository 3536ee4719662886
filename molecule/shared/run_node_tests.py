#!/usr/bin/env python3
"""Run the tests of the Node application in a container of a host image: Debian's Node and SQLite, a real PostgreSQL.

Usage: run_node_tests.py [--image IMAGE ...] [TEST.js ...]    (no TEST.js: all of them)

Nothing is installed on this machine but what its cache of npm packages holds, and nothing is left of the containers:
they belong to a run, as the hosts of scenarios do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from build_images import run
from host_runs import LABEL, PODMAN, PROJECT, end_on_signals, host_run, run_into

APPLICATION = PROJECT / "files/application"
PACK = PROJECT / "roles/sample_application/files/pack_application.py"
IMAGES = ("debian12-full", "debian13-full")
FORMS = ("deployed", "plan")
INSIDE = "/srv/tested"
#: A test that hangs ends then, as one that failed.
MOST_SECONDS = 600


def unpack_modules(folder: Path, cache: str) -> Path:
    """Unpack the npm packages that the role carries to hosts."""
    packed = json.loads(run(sys.executable, str(PACK), f"--application={APPLICATION}", f"--cache={cache}"))["modules"]
    run("tar", "--extract", f"--file={packed['archive']}", f"--directory={folder}")
    return folder / str(packed["name"]) / "node_modules"


def make_sources(folder: Path) -> None:
    """Make an invented source of each form."""
    script = PROJECT / "scripts/generate_source.py"
    for form in FORMS:
        run(sys.executable, str(script), str(folder / f"{form}.sqlite"), "--rows=600", f"--like={form}", "--quiet")


def run_in(image: tuple[str, str], name: str, folder: Path, modules: Path, files: list[str]) -> int:
    """Run the tests in a container of an image, by its name and its reference; the exit code of Node's test runner."""
    called, reference = image
    mounts = {
        APPLICATION: f"{INSIDE}/files/application",
        PROJECT / "files/profiles": f"{INSIDE}/files/profiles",
        modules: f"{INSIDE}/files/node_modules",
        folder: f"{INSIDE}/sources",
    }
    volumes = [f"--volume={outside}:{inside}:ro" for outside, inside in mounts.items()]
    command = [PODMAN, "run", "--rm", "--network=none", "--user=postgres", "--workdir=/tmp", "--log-driver=none"]
    command += [f"--name={name}-node-{called}", f"--label={LABEL}={name}-node", f"--timeout={MOST_SECONDS}"]
    command += [*volumes, f"--env=TEST_SOURCES={INSIDE}/sources", "--entrypoint=node", reference]
    command += [f"{INSIDE}/files/application/test/run.js", *(f"{INSIDE}/{file}" for file in files)]
    began = time.monotonic()
    log = folder.parent / f"{called}.log"
    returncode = run_into(log, command)
    passed = "passed" if returncode == 0 else "FAILED"
    print(f"application on {called}: {passed} in {time.monotonic() - began:.0f} s", flush=True)
    if returncode != 0:
        print(log.read_text(encoding="utf-8", errors="replace"), flush=True)
    return returncode


def main() -> int:
    """Parse the arguments and run the tests in each image."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="TEST.js", help="paths from the project's root")
    parser.add_argument("--image", action="append", choices=IMAGES, help="without it, all of them")
    parser.add_argument("--cache", default="~/.cache/contralock-migration/application", help="of npm packages")
    arguments = parser.parse_args()
    end_on_signals()
    with host_run() as (name, directory):
        folder = directory / "sources"
        folder.mkdir()
        # The tests do not run as root, because PostgreSQL does not.
        folder.chmod(0o755)
        modules = unpack_modules(folder, arguments.cache)
        make_sources(folder)
        # Before any thread: a signal ends this one, and would wait for a build in another.
        build = str(Path(__file__).with_name("build_images.py"))
        images: dict[str, str] = json.loads(run(sys.executable, build, *(arguments.image or IMAGES)))
        with ThreadPoolExecutor() as pool:
            codes = list(pool.map(lambda image: run_in(image, name, folder, modules, arguments.files), images.items()))
    return 1 if any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
