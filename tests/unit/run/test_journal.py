"""The journal under kills, full disks and clocks that go backwards."""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
from pathlib import Path

import pytest
from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError
from ansible_collections.contralock.database.plugins.module_utils.journal import (
    Moment,
    Record,
    append_record,
    read_records,
    standings,
    write_whole,
)

from tests.unit.run.kills import in_a_process, kill, kill_at_each_operation, wait_for

BOOT = "0" * 36


def at(seconds: float, wall: str = "2026-01-01T00:00:00.000Z", boot: str = BOOT) -> Moment:
    return Moment(wall, seconds, boot)


def record(step: str, state: str = "done", when: float = 0.0, **facts: object) -> Record:
    return Record(at(when), step, state, facts)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_what_is_appended_is_read_in_order(journal):
    written = [record("stop", "begun", 1), record("stop", "done", 2, path="/srv/ä\nb"), record("fence", "failed", 3)]
    for one in written:
        append_record(journal, one)
    assert read_records(journal) == written
    assert stat.S_IMODE(journal.stat().st_mode) == 0o600
    first = json.loads(journal.read_text().splitlines()[0])
    assert list(first)[:4] == ["time", "step", "state", "facts"]


def test_cut_off_at_any_byte_only_the_last_record_is_missing_and_the_next_one_follows(journal):
    append_record(journal, record("stop", "begun", 1, path="/srv/ä"))
    kept = journal.stat().st_size
    append_record(journal, record("stop", "done", 2, path="/srv/ü"))
    content = journal.read_bytes()
    for size in range(kept, len(content)):
        journal.write_bytes(content[:size])
        assert [one.state for one in read_records(journal)] == ["begun"]
        append_record(journal, record("stop", "failed", 3))
        assert [one.state for one in read_records(journal)] == ["begun", "failed"]


def test_zeros_behind_the_end_after_a_power_cut_are_cut_off(journal):
    append_record(journal, record("stop", "begun"))
    with journal.open("ab") as file:
        file.write(b"\0" * 300)
    assert len(read_records(journal)) == 1
    append_record(journal, record("stop", "done"))
    assert [one.state for one in read_records(journal)] == ["begun", "done"]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"[]\n",
        b"null\n",
        b'{"step": "stop", "state": "dreamt", "facts": {}}\n',
        b'{"step": "stop", "state": ["done"], "facts": {}}\n',
        b'{"step": "stop", "state": "done"}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_whole_line_that_is_no_record_is_refused_by_its_number(journal, line):
    append_record(journal, record("stop"))
    with journal.open("ab") as file:
        file.write(line)
    with pytest.raises(MigrationError, match=r"journal.jsonl:2 is no record"):
        read_records(journal)


def test_a_missing_journal_is_refused(journal):
    with pytest.raises(MigrationError, match="cannot be read: No such file"):
        read_records(journal)


def test_a_writer_killed_again_and_again_leaves_whole_records(journal):
    append_record(journal, record("open", number=0))

    def write() -> None:
        for number in range(10**6):
            append_record(journal, record("transfer", number=number, filler="x" * 2000))

    for _ in range(15):
        before = len(read_records(journal))
        writer = in_a_process(write)
        wait_for(lambda: len(read_records(journal)) > before + 3)  # noqa: B023 (called at once)
        kill(writer)
        records = read_records(journal)
        append_record(journal, record("open"))
        assert len(read_records(journal)) == len(records) + 1


def test_killed_before_any_operation_a_record_is_there_or_not(journal):
    append_record(journal, record("open"))
    counts = [
        len(read_records(journal))
        for _ in kill_at_each_operation(lambda: append_record(journal, record("stop")), journal.parent)
    ]
    assert len(counts) >= 2
    assert set(counts) == {1}


def test_a_full_disk_leaves_the_journal_as_it_was(journal):
    append_record(journal, record("open"))
    before = journal.read_bytes()

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        limit = len(before) + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            append_record(journal, record("stop", filler="x" * 5000))
        except MigrationError as error:
            os._exit(7 if "could not be written: File too large" in str(error) else 8)

    _, status = os.waitpid(in_a_process(fill), 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert journal.read_bytes() == before


def test_a_file_is_replaced_whole_at_every_kill(tmp_path):
    file = tmp_path / "report.json"
    write_whole(file, "old")
    seen = [file.read_text() for _ in kill_at_each_operation(lambda: write_whole(file, "new" * 1000), tmp_path)]
    assert set(seen) <= {"old", "new" * 1000}
    assert "old" in seen
    write_whole(file, "newer")
    assert file.read_text() == "newer"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_durations_do_not_follow_a_clock_that_is_set_back():
    begun, done = at(100.0, "2026-01-01T12:00:00.000Z"), at(107.5, "2026-01-01T11:00:00.000Z")
    assert begun.seconds_until(done) == 7.5


def test_over_a_reboot_the_clock_has_to_do_and_is_never_negative():
    before, after = at(5000.0, "2026-01-01T12:00:00.000Z"), at(9.0, "2026-01-01T12:01:00.000Z", boot="1" * 36)
    assert before.seconds_until(after) == 60.0
    assert after.seconds_until(before) == 0.0
    assert Moment("", 0.0, "").seconds_until(after) == 0.0


def test_order_is_the_file_s_not_the_clock_s(journal):
    append_record(journal, Record(Moment("2027-01-01T00:00:00.000Z", 1.0, BOOT), "stop", "begun"))
    append_record(journal, Record(Moment("2020-01-01T00:00:00.000Z", 2.0, BOOT), "stop", "done"))
    assert standings(read_records(journal))["stop"].state == "done"


def test_standings_keep_the_last_done_s_facts_and_time_the_last_attempt():
    found = standings(
        [
            record("fence", "begun", 1),
            record("fence", "done", 3, moved_to="/srv/x.before"),
            record("fence", "begun", 10),
            record("fence", "failed", 14, message="no"),
            record("fence", "taken_back", 50),
        ]
    )["fence"]
    assert (found.state, found.facts, found.seconds) == ("taken_back", {"moved_to": "/srv/x.before"}, 4)
    running = standings(
        [record("stop", "begun", 1), record("stop", "failed", 2, message="no"), record("stop", "begun", 5)]
    )
    assert (running["stop"].seconds, running["stop"].facts, running["stop"].message) == (None, {}, "")


def test_now_is_this_host_s(tmp_path):
    now = Moment.now()
    assert now.time.endswith("Z")
    assert 0 <= now.seconds_until(Moment.now()) < 5
    assert now.boot == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
