"""The proof of which database the application uses: seen from outside of it, not told by its health check alone.

Everything is looked at before it is judged, so that a refusal says all that was seen, and not just the first.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from .application_access import access_of
from .durable_files import refused_politely, sha256_of
from .errors import MigrationError
from .fence_directory import README, kind_of
from .file_holders import Holder, find_holders
from .open_databases import databases_in, databases_of
from .proof_canary import Canary, assert_arrives, assert_stays_away
from .proof_sessions import LOOK_AT, Expected, awaited, judged_sessions, seen_moving
from .service_health import NO_ANSWER, HealthCheck, ask, no_answer, shortened, wait_for_health
from .service_state import read_service
from .target_state import Session

Seen = TypeVar("Seen")


@dataclass(frozen=True)
class Application:
    """The application as it can be asked from outside.

    Attributes:
        unit: Its systemd unit; empty when nobody knows which processes are its.
        health: Its health check; None where it is not asked. What it says is wanted, and is no proof.
        canary: None for an application that takes none.
        work_url: What is asked where there is no canary, with a health check: its answer needs a table, and is 200.
            Empty for the health check's.
        session_name: What its sessions call themselves; empty for anything.
        addresses: Where they come from; empty for this host.
        known_databases: The SQLite databases other than its own that lay beside it or that it had open before the move.
    """

    unit: str = ""
    health: HealthCheck | None = None
    canary: Canary | None = None
    work_url: str = ""
    session_name: str = ""
    addresses: tuple[str, ...] = ()
    known_databases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fenced:
    """The SQLite file as the fence left it: ``path`` is a directory now, the file is at ``moved_to``."""

    path: Path
    moved_to: Path
    sha256: str


@dataclass
class Proof:
    """What was seen: the role's sessions or the file's holders, and the rest in words.

    ``problems`` is empty once it is given to anybody.
    """

    seen: Sequence[Session] | Sequence[Holder] = ()
    told: dict[str, str] = field(default_factory=dict)
    problems: list[MigrationError] = field(default_factory=list)

    def look(self, what: Callable[[], Seen]) -> Seen | None:
        """Look at one thing; what is wrong with it is kept, so that the others are looked at as well."""
        try:
            return what()
        except MigrationError as error:
            self.problems.append(error)
        except ExceptionGroup as errors:
            self.problems += [error for error in errors.exceptions if isinstance(error, MigrationError)]
        return None

    def tell(self, name: str, what: Callable[[], str]) -> None:
        """Look at one thing, and keep what was seen in words."""
        if (words := self.look(what)) is not None:
            self.told[name] = words

    def held(self) -> Proof:
        """Return it when nothing was wrong.

        Raises:
            MigrationError: All that was, each with its mend.
        """
        said = list(dict.fromkeys(map(str, self.problems)))
        if len(said) == 1:
            raise self.problems[0]
        if said:
            raise MigrationError(" ".join(said))
        return self


def prove_postgresql(target: str, role: str, application: Application, fenced: Fenced, patience: float = 15.0) -> Proof:
    """Prove that the application works on PostgreSQL, and that neither it nor anybody else uses SQLite.

    Args:
        target: The target, as its owner, who has the rights of ``role`` by membership (else PostgreSQL hides whether a
            session has TLS).
        role: The role that the application logs in with.
        application: The application.
        fenced: What the fence left.
        patience: Seconds in which each thing may appear that has to.

    Returns:
        The role's sessions, and what else was seen.

    Raises:
        MigrationError: A session is missing or not as it should be; what is written through the application does not
            come into PostgreSQL; the SQLite file was changed or made anew, or a process holds it; a process of the
            service has a SQLite database open that it had not before. It says all that it saw.
    """
    proof = Proof()
    _ask_health(proof, application)
    expected = Expected(role, application.session_name, application.addresses)
    if found := proof.look(lambda: judged_sessions(target, expected, patience)):
        proof.seen, proof.told["sessions from"] = found
    if canary := application.canary:
        proof.tell("canary", lambda: assert_arrives(target, canary, patience))
    elif health := application.health:
        asked = replace(health, url=application.work_url or health.url)
        proof.tell("activity", lambda: _assert_works(target, role, asked, patience))
    proof.tell("SQLite file", lambda: _assert_untouched(fenced, application))
    if application.unit:
        proof.tell("service", lambda: _assert_no_database(application, (str(fenced.moved_to),)))
    return proof.held()


def prove_sqlite(target: str, role: str, path: Path, application: Application, patience: float = 15.0) -> Proof:
    """Prove that the application works on its SQLite file, and on PostgreSQL no longer.

    Args:
        target: The target, as its owner.
        role: The role that the application logged in with; empty when PostgreSQL, which it never used, cannot be asked.
        path: The SQLite file.
        application: The application; the processes of its unit count alone, where it has one.
        patience: Seconds in which the application may open its file, and answer.

    Returns:
        The application's processes that hold the file, and what else was seen.

    Raises:
        MigrationError: The role may still connect or is connected; none of the application's processes has the file
            open, or one has another database open; what is written through it comes into PostgreSQL, or it does not
            answer to that.
    """
    proof = Proof()
    _ask_health(proof, application)
    if role:
        proof.tell("PostgreSQL", lambda: _assert_kept_out(target, role))
    proof.seen = proof.look(lambda: _own_holders(path, application.unit, patience)) or []
    if application.unit:
        proof.tell("service", lambda: _assert_no_database(application, (str(path.resolve()),)))
    if role and (canary := application.canary):
        proof.tell("canary", lambda: assert_stays_away(target, canary, patience))
    return proof.held()


def _ask_health(proof: Proof, application: Application) -> None:
    if health := application.health:
        proof.tell("health check", lambda: f"says {wait_for_health(health).type}")


def _assert_works(target: str, role: str, asked: HealthCheck, patience: float) -> str:
    answer = ""

    def asking() -> bool:
        nonlocal answer
        try:
            status, body = ask(asked.url, asked.verify_tls)
        except NO_ANSWER as error:
            answer = no_answer(error)
            return False
        answer = f"answered {status} ({shortened(body)})"
        return status == http.client.OK

    moved = seen_moving(target, role, asking, patience)
    if not moved.session:
        raise MigrationError(
            f"no session of role {role!r} does anything when {asked.url} is asked, for {patience:g} s; it {answer}",
            LOOK_AT,
        )
    if not moved.tables:
        raise MigrationError(
            f"a session of role {role!r} does something when {asked.url} is asked, and none of its tables is read or"
            f" written, for {patience:g} s: a connection that is only tried is no work; it {answer}",
            "Set application_service_canary_url, or application_service_work_url to an address whose answer needs a"
            " table, also while users are kept out",
        )
    if not moved.answered:
        raise MigrationError(
            f"sessions of role {role!r} worked ({', '.join(moved.tables)}), and {asked.url} is not answered as before:"
            f" it {answer}",
            "Look into the application's log for what it cannot do on PostgreSQL; where it answers so to whoever asks,"
            " correct application_service_work_url",
        )
    return f"sessions of {role} worked while {asked.url} was asked ({', '.join(moved.tables)})"


def _assert_kept_out(target: str, role: str) -> str:
    may_connect, sessions = access_of(target, role)
    if may_connect or sessions:
        raise MigrationError(
            f"role {role!r} {'may still connect to' if may_connect else 'still has sessions in'} PostgreSQL",
            "Run roll_back.yml again",
        )
    return f"{role} may not connect, and has no session"


def _own_holders(path: Path, unit: str, patience: float) -> list[Holder]:
    if holders := awaited(lambda: [one for one in find_holders(path) if not unit or one.unit == unit], patience):
        return holders
    others = ", ".join(map(str, find_holders(path)))
    raise MigrationError(
        f"the application{f' ({unit})' if unit else ''} does not have {path} open, within {patience:g} s of its start"
        f"{f'; {others} has' if others else ''}",
        LOOK_AT,
    )


def _assert_no_database(application: Application, allowed: Sequence[str]) -> str:
    """See that the service has no SQLite database open but those that it had before.

    ``allowed`` are left out as well: the file itself, and the one behind the fence, whose holders are told anyway.
    """
    processes = read_service(application.unit).processes
    found = databases_of(process.pid for process in processes)
    strange = {name: pids for name, pids in found.items() if name not in (*application.known_databases, *allowed)}
    if strange:
        listed = "; ".join(f"{name} (process {', '.join(map(str, pids))})" for name, pids in strange.items())
        raise MigrationError(
            f"{application.unit} has SQLite databases open that it had not open before: {listed}",
            "What it writes there is lost to the others. See why it does not use the database of its configuration",
        )
    kept = [name for name in found if name not in allowed]
    other = f" but {', '.join(kept)}, as before" if kept else ""
    return f"{len(processes)} of its processes looked into: no other SQLite database open{other}"


def _assert_untouched(fenced: Fenced, application: Application) -> str:
    with refused_politely(f"cannot look at {fenced.path}"):
        if faults := list(_faults_of_files(fenced, application)):
            raise ExceptionGroup("files", faults)
    return f"behind its fence, held by nobody, with its sha256; no new SQLite database in {fenced.path.parent}"


def _faults_of_files(fenced: Fenced, application: Application) -> Iterator[MigrationError]:
    path, moved = fenced.path, fenced.moved_to
    if not path.is_dir():
        what = "is a file again: something made a new SQLite database there" if path.exists() else "is gone"
        yield MigrationError(f"{path}, where the fence stood, {what}", LOOK_AT)
    elif kind_of(path) != "fence":
        inside = ", ".join(sorted(entry.name for entry in path.iterdir() if entry.name != README))
        yield MigrationError(f"in the fence {path} there is something: {inside}", LOOK_AT)
    known = (*application.known_databases, str(path), str(moved))
    if strange := [name for name in databases_in(path.parent) if name not in known]:
        yield MigrationError(
            f"SQLite databases have appeared since the fence was raised: {', '.join(strange)}",
            "Find out who made them, and what was written there; copies of your own belong elsewhere",
        )
    if not moved.is_file():
        yield MigrationError(f"{moved}, where the fence has put the file, is gone", "Find out who took it away")
        return
    if holders := find_holders(moved):
        yield MigrationError(
            f"{moved} is in use by {', '.join(map(str, holders))}",
            "Stop it: the application's data is in PostgreSQL now",
        )
    if (found := sha256_of(moved)) != fenced.sha256:
        yield MigrationError(
            f"{moved} was written: its sha256 is {found}, and {fenced.sha256} was noted at the fence",
            "Find out who wrote it; the backup in the run's directory is what was moved",
        )
