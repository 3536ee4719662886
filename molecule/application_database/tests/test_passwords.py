"""Passwords change when their variables change, and only then; and nobody but the password file ever sees one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from clients import LOG, conninfo, execute, psql

PROJECT = Path(__file__).parents[3]
PASSWORD_FILE = "/etc/contralock-migration/pgpass"
PSQL = ("psql", "--no-psqlrc", "--tuples-only", "--no-align")
VERIFIERS = "SELECT rolname, rolpassword, rolconnlimit FROM pg_authid WHERE rolname LIKE 'contralock%' ORDER BY 1"
MARK = "/var/tmp/before-the-run"
# Places that are file systems of their own on a host.
PLACES = "/ /run /tmp /dev/shm /var/log/journal"
LIMITS = {
    "application_database_user_connection_limit": 3,
    "application_database_statement_timeout": "1s",
    "application_database_lock_timeout": "500ms",
    "application_database_idle_in_transaction_timeout": "1s",
}


class Watcher(threading.Thread):
    """Looks for texts in the arguments and the environment of all processes, those inside the hosts among them."""

    def __init__(self, texts):
        super().__init__(daemon=True)
        self.texts = [text.encode() for text in texts]
        self.done = threading.Event()
        self.seen = []
        self.rounds = 0

    def run(self):
        own = str(os.getpid())
        while not self.done.is_set():
            for folder in Path("/proc").iterdir():
                if folder.name.isdigit() and folder.name != own:
                    self.look(folder)
            self.rounds += 1
            time.sleep(0.02)

    def look(self, folder):
        for name in ("cmdline", "environ"):
            try:
                content = (folder / name).read_bytes()
            except OSError:
                continue
            if any(text in content for text in self.texts):
                self.seen.append((name, content.replace(b"\0", b" ").decode(errors="replace")[:300]))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


@dataclass(frozen=True)
class Change:
    """One run of the playbook with new passwords, as loud as it gets."""

    # What must be found nowhere: the passwords, the former ones, and the recognisable part of the new ones.
    texts: list[str]
    returncode: int
    output: str
    watcher: Watcher
    log: str
    since: str


def nowhere(texts, content):
    assert [text for text in texts if text in content] == []


@pytest.fixture(scope="module")
def new_passwords():
    """Recognisable, and with whatever a password file, SQL, a shell and a format string could stumble over."""
    return {role: f":{secrets.token_hex(12)}\\{role} '\"%s$HOME;:\\" for role in ("owner", "user")}


@pytest.fixture(scope="module")
def texts(new_passwords, secret):
    new = new_passwords.values()
    return [*new, *(word[1:25] for word in new), secret("owner"), secret("user")]


@pytest.fixture(scope="module")
def given(new_passwords, tmp_path_factory):
    """A file with the variables: on the command line they would be seen."""
    path = tmp_path_factory.mktemp("vars") / "vars.json"
    path.touch(mode=0o600)
    passwords = {f"application_database_{role}_password": word for role, word in new_passwords.items()}
    path.write_text(json.dumps({**passwords, **LIMITS, "application_database_grant_connect": False}))
    return path


@pytest.fixture(scope="module")
def statement_log(db1, administer, run_playbook):
    """What the server logs, which is every statement; in the end all is as before, the variables too."""
    administer("ALTER SYSTEM SET log_statement = 'all'")
    administer("SELECT pg_reload_conf()")
    before = int(db1.check_output("stat --format=%%s %s", LOG))
    yield lambda: db1.check_output("tail --bytes=+%s %s", str(before + 1), LOG)
    administer("ALTER SYSTEM RESET log_statement")
    administer("SELECT pg_reload_conf()")
    run = run_playbook("playbooks/prepare.yml", "--tags", "database,toolkit")
    assert run.returncode == 0, run.message()


@pytest.fixture(scope="module")
def change(host_named, administer, statement_log, texts, given):
    # As it is before the cut-over.
    administer("REVOKE CONNECT ON DATABASE contralock FROM contralock_user")
    for name in ("db1", "app1"):
        host_named(name).check_output("touch %s", MARK)
    since = host_named("db1").check_output("date --utc '+%F %T UTC'")
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    command = ["ansible-playbook", "--inventory", inventory, "playbooks/prepare.yml", "-vvvv", "--diff"]
    command += ["--tags", "database,toolkit,schema", "--extra-vars", f"@{given}"]
    with Watcher(texts) as watcher:
        done = subprocess.run(command, cwd=PROJECT, text=True, capture_output=True, check=False)
    return Change(texts, done.returncode, done.stdout + done.stderr, watcher, statement_log(), since)


def test_check_predicts_the_change_and_makes_none(run_playbook, administer, app1, new_passwords):
    before = administer(VERIFIERS), app1.file(PASSWORD_FILE).content_string
    passwords = {f"application_database_{role}_password": word for role, word in new_passwords.items()}
    run = run_playbook("playbooks/prepare.yml", "--check", "--diff", "--tags", "database,toolkit", **passwords)
    assert run.returncode == 0, run.message()
    assert [(host, task.split(" : ")[-1]) for host, task in run.changed] == [
        ("db1", "Create the owner"),
        ("db1", "Create the application's role"),
        ("app1", "Install the owner's password"),
    ]
    assert (administer(VERIFIERS), app1.file(PASSWORD_FILE).content_string) == before


def test_change_succeeds(change):
    assert change.returncode == 0, change.output[-3000:]


def test_output_at_its_loudest_has_no_password(change):
    assert "Create the application's role" in change.output
    nowhere(change.texts, change.output)
    # In JSON, as Ansible shows values, backslashes are doubled.
    nowhere([json.dumps(text)[1:-1] for text in change.texts], change.output)


def test_no_process_had_a_password_in_its_arguments_or_environment(change):
    assert change.watcher.rounds > 20
    assert change.watcher.seen == []


def test_the_watcher_sees_into_the_hosts(app1):
    text = secrets.token_hex(12)
    with Watcher([text]) as watcher:
        execute(app1, "sh", "-c", f"sleep 0.3; : {text}")
        execute(app1, "sleep", "0.3", PLANTED=text)
    assert {name for name, _ in watcher.seen} == {"cmdline", "environ"}


def test_server_was_sent_verifiers_only(change):
    nowhere(change.texts, change.log)
    for role in ("owner", "user"):
        assert f'ALTER USER "contralock_{role}" WITH ENCRYPTED PASSWORD \'SCRAM-SHA-256$4096:' in change.log, role


@pytest.mark.parametrize("name", ["db1", "app1"])
def test_journal_has_no_password(change, host_named, name):
    journal = host_named(name).check_output("journalctl --no-pager --output=cat --since=%s", change.since)
    # Ansible's modules write there what they were invoked with.
    assert "Invoked with" in journal
    nowhere(change.texts, journal)


@pytest.mark.parametrize("name", ["db1", "app1"])
def test_no_file_has_a_password_but_the_password_file(change, host_named, name):
    host = host_named(name)
    # Files escape what is special in the whole password; its recognisable part needs none.
    patterns = [f"-e{text}" for text in change.texts if "\\" not in text]
    written = (
        f"find {PLACES} -xdev -type f -newer {MARK} -print0 | xargs --null grep --files-with-matches --fixed-strings"
    )
    found = execute(host, "sh", "-c", f'{written} "$@"', "sh", *patterns)
    assert found.complaint == ""
    assert found.text.split() == ([PASSWORD_FILE] if name == "app1" else [])


def test_controller_keeps_no_password(change):
    folders = [Path.home() / ".ansible/tmp", Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"])]
    new = [text.encode() for text in change.texts[:4]]
    # Other runs of Ansible on this machine remove theirs meanwhile: os.walk passes over a folder that is gone.
    found = [Path(folder, name) for each in folders for folder, _, names in os.walk(each) for name in names]
    assert found
    for path in found:
        with contextlib.suppress(FileNotFoundError):
            content = path.read_bytes() if path.is_file() else b""
            assert not any(text in content for text in new), path


@pytest.mark.usefixtures("change")
def test_password_file_is_read_by_libpq(app1):
    """Also with a colon and backslashes in the password."""
    answer = execute(
        app1, *PSQL, conninfo(user="contralock_owner", passfile=PASSWORD_FILE), stdin="SELECT current_user"
    )
    assert answer.text == "contralock_owner", answer


@pytest.mark.usefixtures("change")
@pytest.mark.parametrize("role", ["owner", "user"])
def test_former_password_is_refused(app1, secret, role):
    answer = psql(app1, "SELECT 1", secret(role), user=f"contralock_{role}")
    assert "password authentication failed" in answer.complaint


@pytest.mark.usefixtures("change")
def test_connect_is_granted_by_the_variable_alone(app1, new_passwords):
    """The password is right, the database is closed."""
    answer = psql(app1, "SELECT 1", new_passwords["user"], user="contralock_user")
    assert 'permission denied for database "contralock"' in answer.complaint


@pytest.fixture
def let_in(change, administer, new_passwords):
    administer("GRANT CONNECT ON DATABASE contralock TO contralock_user")
    yield {"password": new_passwords["user"], "user": "contralock_user"}
    administer("REVOKE CONNECT ON DATABASE contralock FROM contralock_user")


def test_statement_timeout(let_in, app1):
    answer = psql(app1, "SELECT pg_sleep(5)", **let_in)
    assert answer.complaint == "ERROR:  canceling statement due to statement timeout"


def test_idle_in_transaction_timeout(let_in, app1):
    answer = psql(app1, "BEGIN; SELECT 1;\n\\! sleep 1.5\nSELECT 2;", **let_in)
    assert "terminating connection due to idle-in-transaction timeout" in answer.complaint


def test_lock_timeout(let_in, app1, administer):
    locking = "BEGIN; LOCK TABLE users; SELECT pg_sleep(2); ROLLBACK"
    locker = threading.Thread(target=administer, args=(locking, "contralock"))
    locker.start()
    while administer("SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = "
                     "'users'::regclass", "contralock") == "0":  # fmt: skip
        time.sleep(0.05)
    answer = psql(app1, "SELECT 1 FROM users", **let_in)
    locker.join()
    assert "canceling statement due to lock timeout" in answer.complaint


def test_connection_limit(let_in, app1, administer):
    sessions = [threading.Thread(target=psql, args=(app1, "SELECT 1;\n\\! sleep 4"), kwargs=let_in) for _ in range(3)]
    for session in sessions:
        session.start()
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'contralock_user'"
    while administer(count) != "3":
        time.sleep(0.05)
    answer = psql(app1, "SELECT 1", **let_in)
    for session in sessions:
        session.join()
    assert 'too many connections for role "contralock_user"' in answer.complaint
