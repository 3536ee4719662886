from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.sample_source import (
    Form,
    Order,
    Ticker,
    chance,
    report,
    work,
    write_source,
)

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "generate_source.py"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("form", Form)
def test_same_seed_same_bytes(tmp_path, form):
    first, second = (write_source(Order(tmp_path / name, 2000, 7, form)).order.path for name in ("a", "b"))
    assert sha256(first) == sha256(second)


def test_another_seed_makes_another_file(tmp_path):
    digests = {sha256(write_source(Order(tmp_path / f"s{seed}", 500, seed)).order.path) for seed in (-1, 0, 1, 2)}
    assert len(digests) == 4


def test_the_sequence_never_changes():
    """A later edit that shifts the stream changes every sample: then this line has to be changed knowingly."""
    stream = chance.Chance("contralock 1")
    drawn = (stream.uuid(), stream.below(1000), stream.hex(8))
    assert drawn == ("ec9ae11c-2274-40f0-b86a-508f1cc7ecd8", 28, "94196ba4")


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "2024-01-01 00:00:00.000 +00:00"),
        (59 * chance.DAY, "2024-02-29 00:00:00.000 +00:00"),
        (2 * chance.DAY + 33_055_791, "2024-01-03 09:10:55.791 +00:00"),
        (366 * chance.DAY - 1, "2024-12-31 23:59:59.999 +00:00"),
    ],
)
def test_dates_are_spelled_as_sequelize_does(moment, text):
    assert chance.stamp(moment) == text
    assert chance.iso(moment) == text.replace(" +00:00", "Z").replace(" ", "T")


def test_the_file_is_an_ordinary_one(sample_paths):
    for path in sample_paths.values():
        header = path.read_bytes()[:100]
        assert header[:16] == b"SQLite format 3\0"
        assert int.from_bytes(header[16:18], "big") == 4096
        assert header[18:20] == b"\x01\x01"  # rollback journal, not WAL
        with closing(sqlite3.connect(path)) as database:
            pragmas = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "encoding")]
        assert pragmas == ["delete", "UTF-8"]
        assert path.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_an_existing_file_is_refused_and_kept(tmp_path):
    path = tmp_path / "there.sqlite"
    path.write_text("precious")
    with pytest.raises(MigrationError, match="exists"):
        write_source(Order(path, 10))
    assert path.read_text() == "precious"
    assert [entry.name for entry in tmp_path.iterdir()] == ["there.sqlite"]


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_stale_side_file_is_refused(tmp_path, suffix):
    (tmp_path / f"new.sqlite{suffix}").write_bytes(b"x")
    with pytest.raises(MigrationError, match=f"new.sqlite{suffix} exists"):
        write_source(Order(tmp_path / "new.sqlite", 10))


def test_overwriting_removes_side_files(tmp_path):
    path = tmp_path / "old.sqlite"
    for suffix in ("", "-wal", "-shm", "-journal"):
        (tmp_path / f"old.sqlite{suffix}").write_bytes(b"old")
    write_source(Order(path, 10, overwrite=True))
    assert [entry.name for entry in tmp_path.iterdir()] == ["old.sqlite"]
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    path = tmp_path / "race.sqlite"

    def appear(*_: object) -> None:
        path.write_text("precious")

    with pytest.raises(MigrationError, match="exists"):
        write_source(Order(path, 10), appear)
    assert path.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("path", "rows", "message"),
    [
        ("ok.sqlite", -1, "-1 rows cannot be written"),
        ("no/such/directory.sqlite", 1, "is not a directory"),
        ("file/inside.sqlite", 1, "is not a directory"),
        ("folder", 1, "is not a file"),
    ],
)
def test_refusals(tmp_path, path, rows, message):
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(MigrationError, match=message):
        write_source(Order(tmp_path / path, rows, overwrite=True))
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unwritable_directory_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write everywhere
    with pytest.raises(MigrationError, match="is not writable"):
        write_source(Order(tmp_path / "new.sqlite", 10))


def test_a_file_system_that_says_no_is_named():
    with pytest.raises(MigrationError, match="could not be written"):
        write_source(Order(Path("/proc/new.sqlite"), 10))


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(MigrationError, match="disk is full"):
        write_source(Order(tmp_path / "new.sqlite", 10), full)
    assert list(tmp_path.iterdir()) == []


def test_an_unforeseen_error_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(work.Block, "_conversation", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_source(Order(tmp_path / "new.sqlite", 100))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("number", "left_over"), [(signal.SIGTERM, 0), (signal.SIGINT, 0), (signal.SIGKILL, 1)])
def test_a_kill_leaves_no_half_file(tmp_path, number, left_over):
    path = tmp_path / "killed.sqlite"
    command = [sys.executable, str(SCRIPT), str(path), "--rows", "300000"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # Until it is in the middle of its work.
    while not any(entry.stat().st_size > 1_000_000 for entry in tmp_path.iterdir()):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    names = [entry.name for entry in tmp_path.iterdir()]
    assert len(names) == left_over
    assert all(name.startswith(".killed.sqlite.") and name.endswith(".partial") for name in names)


def test_the_script_writes_and_summarises(tmp_path):
    path = tmp_path / "new.sqlite"
    done = run(path, "--rows", 100, "--like", "longlived", "--seed", 3)
    assert done.returncode == 0
    assert "100 rows" in done.stdout
    assert "users_backup" in done.stdout
    assert done.stderr == ""


def test_the_script_speaks_json(tmp_path):
    path = tmp_path / "new.sqlite"
    done = run(path, "--rows", 2000, "--like", "plan", "--json", "--quiet")
    summary = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert summary["rows"] == sum(summary["tables"].values()) == 2000
    assert summary["bytes"] == path.stat().st_size
    assert (summary["like"], summary["seed"], summary["strays"]) == ("plan", 1, {})
    with closing(sqlite3.connect(path)) as database:
        for table, rows in summary["tables"].items():
            assert database.execute(f"SELECT count(*) FROM `{table}`").fetchone() == (rows,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("there",), "exists"),
        (("new", "--rows", "-5"), "-5 rows cannot be written"),
        (("new", "--rows", "many"), "invalid int value"),
        (("new", "--like", "other"), "invalid choice"),
        (("missing/new",), "is not a directory"),
        ((), "required"),
    ],
)
def test_the_script_refuses(tmp_path, arguments, message):
    (tmp_path / "there").touch()
    done = run(*(tmp_path / arguments[0], *arguments[1:]) if arguments else ())
    assert done.returncode == 2
    assert done.stderr.startswith("refused: ")
    assert message in done.stderr
    assert done.stdout == ""
    assert [entry.name for entry in tmp_path.iterdir()] == ["there"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Stands in for the module time: each look at it is a second later."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def monotonic(self) -> float:
        self.seconds += 1
        return self.seconds


def test_progress_is_one_line_on_a_terminal_and_a_line_every_ten_seconds_elsewhere(monkeypatch):
    terminal, pipe, silent = Terminal(), io.StringIO(), io.StringIO()
    for stream, quiet in ((terminal, False), (pipe, False), (silent, True)):
        monkeypatch.setattr(report, "time", Clock())
        ticker = Ticker(stream, quiet=quiet)
        for done in range(0, 1001, 20):
            ticker("rows", done, 1000)
    assert pipe.getvalue().splitlines()[0] == "rows: 180 of 1,000 (18 %)"
    assert pipe.getvalue().count("\n") == 5
    assert terminal.getvalue().count("\n") == 1
    assert terminal.getvalue().endswith("rows: 1,000 of 1,000 (100 %)\n")
    assert silent.getvalue() == ""


@pytest.mark.parametrize("redirected", ["", "2>&1"])
def test_nobody_has_to_read_to_the_end(tmp_path, redirected):
    """As `| head -1` does, which closes the pipe."""
    path = tmp_path / "new.sqlite"
    command = (
        f"{sys.executable} {SCRIPT} {path} --rows 500 2>{tmp_path}/said {redirected} | true; exit ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "said").read_text() == ""
    assert path.exists()


def test_progress_that_nobody_reads_stops_nothing():
    class Closed(Terminal):
        def flush(self) -> None:
            raise BrokenPipeError

    ticker = Ticker(Closed())
    ticker("rows", 1, 10)
    ticker("rows", 10, 10)
