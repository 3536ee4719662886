"""Runs of scenarios: one that fails fails the whole, the others run, and however a run ends, nothing of it stays.

Molecule, podman and the building of images are stand-ins here; a file in ``containers`` is a container.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[3] / "molecule/shared"
PROGRAMS = {
    # What a scenario makes, and how it ends: by its name.
    "bin/molecule": """scenario=$3
touch "$STATE/containers/$CONTRALOCK_HOSTS_PREFIX-$scenario"
touch "$STATE/began-$scenario"
case $scenario in
  bad) seq 200; echo "the planted fault"; exit 3;;
  slow) while :; do sleep 0.05; done;;
esac""",
    "bin/podman": """case "$1 $2" in
  "ps --all")
    printf '['; comma=
    for path in "$STATE"/containers/*; do
      [ -e "$path" ] || continue
      name=${path##*/}
      printf '%s{"Id": "%s", "Labels": {"contralock.hosts": "%s"}}' "$comma" "$name" "$name"; comma=,
    done
    printf ']';;
  "rm --force") cd "$STATE/containers" && rm -f -- "$@";;
  "network ls") ls "$STATE/networks";;
  "network rm") shift 3; cd "$STATE/networks" && rm -f -- "$@";;
  "run --rm")
    for word; do case $word in --label=contralock.hosts=*) label=${word#--label=contralock.hosts=};; esac; done
    touch "$STATE/containers/$label" "$STATE/began-node"
    echo "what Node said"
    while [ ! -e "$STATE/node_exit" ]; do sleep 0.05; done
    exit "$(cat "$STATE/node_exit")";;
esac""",
    "molecule/shared/build_images.py": 'exit "$(cat "$STATE/images_exit")"',
}
#: The locks of this machine's runs are not the tests' own.
LOCKS = """import sys, pathlib, host_runs
host_runs.LOCKS = pathlib.Path(sys.argv.pop(1))
"""
SCENARIOS = "import run_scenarios; sys.exit(run_scenarios.main())"
#: Its sources and packages cost seconds, and are others' business.
NODE_TESTS = """import types
sys.modules["build_images"] = types.SimpleNamespace(run=lambda *_: '{"debian12-full": "image"}')
import run_node_tests
run_node_tests.unpack_modules = lambda folder, cache: folder
run_node_tests.make_sources = lambda folder: None
sys.exit(run_node_tests.main())"""


class Runs:
    """A copy of what runs scenarios, with stand-ins for all that it starts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("bin", "tmp", "state/containers", "state/networks", "molecule/shared"):
            (folder / name).mkdir(parents=True)
        for name, text in PROGRAMS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
            (folder / name).chmod(0o755)
        for name in ("host_runs.py", "run_scenarios.py", "run_node_tests.py", "podman"):
            shutil.copy(SHARED / name, folder / "molecule/shared" / name)
        for name in ("good", "bad", "slow"):
            (folder / "molecule" / name).mkdir()
            (folder / "molecule" / name / "molecule.yml").touch()
        (folder / "state/images_exit").write_text("0", encoding="utf-8")
        self.started: list[subprocess.Popen[str]] = []

    def begin(self, *arguments: str, program: str = SCENARIOS) -> subprocess.Popen[str]:
        begun = subprocess.Popen(
            [sys.executable, "-c", LOCKS + program, str(self.folder / "locks"), *arguments],
            env={
                **os.environ,
                "PATH": f"{self.folder}/bin:/usr/bin:/bin",
                "PYTHONPATH": str(self.folder / "molecule/shared"),
                "STATE": str(self.folder / "state"),
                "TMPDIR": str(self.folder / "tmp"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(begun)
        return begun

    def begin_slow(self, *arguments: str, program: str = SCENARIOS, what: str = "slow") -> subprocess.Popen[str]:
        """A run in the midst of what takes long."""
        begun = self.begin(*(arguments or ("slow",)), program=program)
        mark = self.folder / f"state/began-{what}"
        until = time.monotonic() + 20
        while not mark.exists():
            assert time.monotonic() < until
            assert begun.poll() is None, begun.communicate()[0]
            time.sleep(0.02)
        mark.unlink()
        return begun

    def run(self, *arguments: str, program: str = SCENARIOS) -> tuple[int, str]:
        begun = self.begin(*arguments, program=program)
        said, _ = begun.communicate(timeout=60)
        return begun.returncode, said

    def left(self) -> list[str]:
        """Containers, networks, directories and locks: a run's name, or that and the scenario's, of each."""
        places = ("state/containers", "state/networks", "tmp", "locks")
        return sorted(path.name for place in places for path in (self.folder / place).glob("*"))

    def living(self) -> list[str]:
        """The Molecules that still run."""
        mark = str(self.folder / "bin/molecule").encode()
        return [path.parent.name for path in Path("/proc").glob("[0-9]*/cmdline") if mark in read(path)]


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture
def runs(tmp_path):
    made = Runs(tmp_path)
    yield made
    # It ends the stand-in for a container, too.
    (tmp_path / "state/node_exit").touch()
    for begun in made.started:
        begun.kill()
        begun.wait()
    for number in made.living():
        os.kill(int(number), signal.SIGKILL)


def test_a_failing_scenario_fails_the_whole_and_the_others_run(runs):
    code, said = runs.run("bad", "good", "--jobs", "1")
    assert code == 1
    assert "bad: FAILED" in said
    assert "bad | the planted fault" in said
    assert "bad | 100" in said
    assert "bad | 50\n" not in said
    assert "good: passed" in said
    assert "1 passed, 1 failed" in said
    assert runs.left() == []


def test_scenarios_that_pass_pass(runs):
    code, said = runs.run("good")
    assert (code, said.splitlines()[-1]) == (0, "1 passed, 0 failed")
    assert runs.left() == []


def test_images_that_cannot_be_built_fail_the_whole(runs):
    (runs.folder / "state/images_exit").write_text("2", encoding="utf-8")
    code, said = runs.run("good")
    assert code == 1
    assert "good: started" not in said
    assert runs.left() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_that_is_asked_to_end_takes_its_hosts_along(runs, number):
    begun = runs.begin_slow()
    (runs.folder / "state/networks" / runs.left()[0]).touch()
    begun.send_signal(number)
    begun.communicate(timeout=20)
    assert begun.returncode == 128 + number
    assert runs.left() == []
    assert runs.living() == []


def test_what_is_begun_after_the_signal_is_ended_at_once(tmp_path):
    program = "import host_runs, pathlib, sys; host_runs.STOPPING.set();" + (
        "sys.exit(host_runs.run_into(pathlib.Path(sys.argv[1]), ['sleep', '60']) != -9)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "log")]
    assert subprocess.run(command, cwd=SHARED, timeout=20, check=False).returncode == 0


def test_a_scenario_that_waits_is_not_begun_after_the_signal(runs):
    begun = runs.begin_slow("slow", "good", "--jobs", "1")
    begun.terminate()
    said, _ = begun.communicate(timeout=20)
    assert "good: started" not in said
    assert runs.left() == []


def test_what_a_dead_run_left_is_removed_and_a_living_one_is_left_alone(runs):
    living, dead = runs.begin_slow(), runs.begin_slow()
    before = runs.left()
    dead.kill()
    dead.wait()
    assert runs.left() == before
    assert len(runs.living()) == 2
    code, said = runs.run("--clean")
    assert (code, said) == (0, "")
    assert len(runs.left()) * 2 == len(before)
    assert len(runs.living()) == 1
    living.terminate()
    living.communicate(timeout=20)
    assert runs.left() == []


def test_the_next_run_removes_a_dead_one_too(runs):
    dead = runs.begin_slow()
    dead.kill()
    dead.wait()
    assert runs.run("good")[0] == 0
    assert runs.left() == []
    assert runs.living() == []


@pytest.mark.parametrize("code", [0, 1])
def test_the_node_tests_answer_is_the_answer(runs, code):
    (runs.folder / "state/node_exit").write_text(str(code), encoding="utf-8")
    answered, said = runs.run("--image", "debian12-full", program=NODE_TESTS)
    assert answered == code
    assert ("what Node said" in said) == (code == 1)
    assert runs.left() == []


def test_the_container_of_node_tests_that_died_is_removed(runs):
    dead = runs.begin_slow("--image", "debian12-full", program=NODE_TESTS, what="node")
    dead.kill()
    dead.wait()
    assert runs.run("--clean") == (0, "")
    assert runs.left() == []


def test_node_tests_that_are_asked_to_end_take_their_container_along(runs):
    begun = runs.begin_slow("--image", "debian12-full", program=NODE_TESTS, what="node")
    begun.terminate()
    begun.communicate(timeout=20)
    assert runs.left() == []
