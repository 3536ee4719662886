"""What the scripts of this folder share: options, progress, how an answer is said, and the exit codes.

A script is a verb of the library for a shell. It exits with 0 (done, the same, ready), 1 (it differs, is not ready, is
pending), 2 (it could not be told, nothing was done) or 130 (Ctrl-C, SIGTERM); whatever goes wrong is 2, as 1 is an
answer. With --json there is one JSON object on standard output, whatever happens: the answer, or ``error``.

No work is given up because its progress cannot be said. An answer that cannot be written is 2, and what was
done is told on standard error.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from ansible_collections.contralock.database.plugins.module_utils.profile import Mapping as ProfileMapping

__all__ = ["Screen", "say", "tell"]

ROOT = Path(__file__).resolve().parents[1]
PROFILES = ROOT / "files" / "profiles"
sys.path.insert(0, str(ROOT / "collections"))

EXIT_YES, EXIT_NO, EXIT_UNKNOWN, EXIT_INTERRUPTED = 0, 1, 2, 128 + signal.SIGINT
#: How a file begins, and what it has among its first bytes, when it was written by this tool.
OWN_MARKS = (
    (b"<!DOCTYPE html>", b'<meta name="generator" content="contralock-migration">'),
    (b"{", b'"measurements": ['),
)
MARKED_BYTES = 1 << 16


def _end_at_once(_number: int, _frame: object) -> None:
    """End a script that is still importing: nothing is open, and a traceback of an import says nothing."""
    with contextlib.suppress(OSError):
        os.write(2, b"interrupted: nothing was begun\n")
    with contextlib.suppress(OSError):
        if "--json" in sys.argv[1:]:
            os.write(1, b'{"error": "interrupted: nothing was begun"}\n')
    os._exit(EXIT_INTERRUPTED)


signal.signal(signal.SIGINT, _end_at_once)
signal.signal(signal.SIGTERM, _end_at_once)

# It needs nothing but Python itself, so that it can say what else is missing.
from ansible_collections.contralock.database.plugins.module_utils.shell_streams import (  # noqa: E402 (signals first)
    open_streams,
    say,
    settle,
    take_fault,
    tell,
)

open_streams()


@contextlib.contextmanager
def library() -> Iterator[None]:
    """Import the library in this block; a Python that lacks a package is told from an answer by the exit code."""
    try:
        yield
    except ModuleNotFoundError as missing:
        advice = "Use .venv/bin/python, which `make setup` makes."
        _refuse("refused", f"this Python has no {missing.name}. {advice}", as_json="--json" in sys.argv[1:])
        sys.exit(EXIT_UNKNOWN)


def _refuse(how: str, why: str, *, as_json: bool, details: Mapping[str, object] | None = None) -> None:
    """Say why there is no answer: on standard error, and with --json an object on standard output."""
    tell("\n".join(map(printable, f"{how}: {why}".split("\n"))))
    if as_json:
        _say_document({"error": why, "details": details or {}})


def _say_document(document: Mapping[str, object]) -> None:
    say(json.dumps(document, indent=2, ensure_ascii=False, default=str), whole=True)


with library():
    from ansible_collections.contralock.database.plugins.module_utils.driver_errors import driver_errors_told
    from ansible_collections.contralock.database.plugins.module_utils.errors import MigrationError, notes_of, printable
    from ansible_collections.contralock.database.plugins.module_utils.shell_screen import Screen


@dataclass(frozen=True)
class Answer:
    """What a verb has to say: as JSON types, as lines, and whether it is a yes (exit code 0) or a no (1).

    Names are said as they are: what is not printable in a line is shown escaped.
    """

    document: Mapping[str, Any]
    lines: Iterable[str]
    yes: bool


class _Parser(argparse.ArgumentParser):
    """Refuses a bad option like any other fault: in one line, and as JSON where that is asked for."""

    def error(self, message: str) -> NoReturn:
        why = f"{message} ({self.prog} --help lists the options)"
        _refuse("refused", why, as_json="--json" in sys.argv[1:])
        sys.exit(EXIT_UNKNOWN)

    def print_help(self, file: object = None) -> None:  # noqa: ARG002 (argparse's signature; nobody gives one)
        say(self.format_help(), end="")
        if fault := take_fault():
            tell(f"the help could not be written: {fault}")
            sys.exit(EXIT_UNKNOWN)


def parser_of(description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with the options that all scripts have, and with these words around them in its help."""
    form = argparse.RawDescriptionHelpFormatter
    parser = _Parser(description=description, formatter_class=form, epilog=epilog)
    parser.add_argument("--json", action="store_true", help="print the answer as JSON instead of lines")
    parser.add_argument("--quiet", action="store_true", help="print nothing but refusals; see the exit code")
    return parser


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add the SQLite file."""
    parser.add_argument(
        "source", type=source_name, metavar="FILE.sqlite", help="the SQLite file, which nobody writes meanwhile"
    )


def source_name(text: str) -> Path:
    """Read the name of a file; empty is what a variable of the shell is that nobody has set."""
    path = Path(text)
    if not path.name:
        raise argparse.ArgumentTypeError(f"{text!r} names no file")
    return path


def number_from(least: int) -> Callable[[str], int]:
    """Return what reads an option's whole number, and refuses one below the least that means something."""

    def number(text: str) -> int:
        if (found := int(text)) < least:
            raise argparse.ArgumentTypeError(f"{found} is less than {least}")
        return found

    return number


def seconds(text: str) -> float:
    """Read an option's time: more than 0 s and not for ever."""
    if not 0 < (found := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds")
    return found


def looked_at(read: Callable[[str], Path]) -> Callable[[str], Path]:
    """Refuse a name that the system will not look at (a folder that may not be entered) like any other bad option."""

    @functools.wraps(read)
    def reading(text: str) -> Path:
        try:
            return read(text)
        except OSError as error:
            raise argparse.ArgumentTypeError(f"{text!r} cannot be looked at: {error.strerror}") from None

    return reading


@looked_at
def new_file(text: str) -> Path:
    """Read the name of a file that is going to be written, and refuse it before the work and not after it."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {str(path.parent)!r}")
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is a folder, and a file is meant")
    if not all(os.access(each, os.W_OK) for each in (path.parent, path) if each.exists()):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written by this user")
    if path.exists() and not _is_own(path):
        why = "and holds what this tool has not written: name another file"
        raise argparse.ArgumentTypeError(f"{text!r} is there already, {why}")
    return path


def _is_own(path: Path) -> bool:
    """Return whether a file may be replaced: it is empty, or a page or measurements that this tool has written."""
    if not stat.S_ISREG(path.stat().st_mode):
        return False
    try:
        with path.open("rb") as file:
            beginning = file.read(MARKED_BYTES)
    except OSError:
        return False
    return not beginning or any(mark in beginning for start, mark in OWN_MARKS if beginning.startswith(start))


@looked_at
def folder(text: str) -> Path:
    """Read the name of a folder that is there or can be made."""
    path = Path(text)
    there = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not there.is_dir():
        raise argparse.ArgumentTypeError(f"{str(there)!r} is a file, and a folder is meant")
    return path


def add_workers(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    """Add the number of threads."""
    help_text = f"{what} (default: {default})"
    parser.add_argument("--workers", type=number_from(1), default=default, metavar="N", help=help_text)


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add what loads."""
    help_text = "what loads (default: pgloader)"
    parser.add_argument("--engine", choices=("pgloader", "arrow"), default="pgloader", help=help_text)


def add_directory(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the directory that keeps the records of loads by hand; whoever has no home has to name one.

    State that outlives a run and is no configuration: https://specifications.freedesktop.org/basedir-spec/latest/
    """
    loads: Path | None = None
    with contextlib.suppress(RuntimeError):
        loads = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "contralock-migration"
    help_text = f"{what} (default: {loads})" if loads else what
    parser.add_argument(
        "--directory", type=folder, default=loads, required=loads is None, metavar="DIR", help=help_text
    )


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add the profile."""
    names = ", ".join(profile_names())
    parser.add_argument("--profile", required=True, metavar="NAME|DIR", help=f"one of {names}, or a profile's folder")


def add_target(parser: argparse.ArgumentParser, without: str = "") -> None:
    """Add the target and its schema.

    Args:
        parser: Gets them.
        without: What is used when no target is named, for the help; by default the PG* environment variables are.
    """
    default = f"'' means the PG* environment variables; default: {without}" if without else "default: the PG* variables"
    parser.add_argument(
        "--target",
        metavar="CONNINFO",
        help="libpq connection string without a password, such as 'service=contralock' or 'host=db1.example.com "
        f"dbname=contralock user=contralock_owner passfile=/root/.pgpass' ({default})",
    )
    parser.add_argument("--schema", default="public", help="the target's schema (default: public)")


def profile_names() -> list[str]:
    """Return the names of the profiles that come with this project or were drafted into it."""
    return sorted(folder.parent.name for folder in PROFILES.glob("*/schema"))


def profile_folder(profile: str) -> Path:
    """Return the folder that a profile's name or path stands for.

    Raises:
        MigrationError: There is none.
    """
    named = PROFILES / profile
    folder = named if profile.strip() and named.is_dir() else Path(profile)
    if not profile.strip() or not folder.is_dir():
        raise MigrationError(
            f"there is no profile {profile!r}", f"Give one of {', '.join(profile_names())}, or a profile's folder"
        )
    return folder


def changes_folder(profile: str) -> Path:
    """Return the folder of changes: a profile's ``schema``, or the folder itself.

    Raises:
        MigrationError: There is none.
    """
    folder = profile_folder(profile)
    return folder / "schema" if (folder / "schema").is_dir() else folder


def mapping_of(profile: str) -> ProfileMapping:
    """Return the mapping of the profile that a name or a path stands for.

    Raises:
        MigrationError: There is none, or it is wrong.
    """
    with library():
        from ansible_collections.contralock.database.plugins.module_utils.profile import (  # noqa: PLC0415 (scripts without a profile need not load it)
            load_profile,
        )

    return load_profile(profile_folder(profile)).mapping


def assert_own_schema(given: argparse.Namespace) -> None:
    """Refuse a target whose schema came by another profile than the one that is given; no record is no reason.

    Raises:
        MigrationError: Names the other one; or there is no connection.
    """
    with library():
        from ansible_collections.contralock.database.plugins.module_utils.connection import (  # noqa: PLC0415 (as in mapping_of)
            connect,
        )
        from ansible_collections.contralock.database.plugins.module_utils.schema_files import (  # noqa: PLC0415 (as above)
            Change,
            foreign_changes,
            load_changes,
        )
        from ansible_collections.contralock.database.plugins.module_utils.schema_history import (  # noqa: PLC0415 (as above)
            assert_own_schema as assert_own,
        )

    own: Sequence[Change] = ()
    with contextlib.suppress(MigrationError):
        # A folder with a mapping alone is enough for some verbs.
        own = load_changes(changes_folder(given.profile))
    with connect(given.target or "", "contralock profile") as connection:
        assert_own(connection, foreign_changes(own, PROFILES.iterdir()))


def run(
    verb: Callable[[argparse.Namespace, Screen], Answer],
    given: argparse.Namespace,
    *,
    name: str,
    refused: str = "could not tell",
    interrupted: str = "nothing is known, and nothing was written",
) -> int:
    """Carry a verb out and say its answer.

    Args:
        verb: Takes the options and the screen.
        given: Options of ``parser_of``.
        name: The verb, for its progress.
        refused: What stands before the reason when it could not be carried out.
        interrupted: What is said after Ctrl-C or SIGTERM; what the exception has as notes follows it.

    Returns:
        The exit code.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    take_fault()
    try:
        with Screen(name, given.quiet) as screen, driver_errors_told(str(getattr(given, "source", "the file"))):
            answer = verb(given, screen)
            _finish()
        return _answered(answer, given, name, screen.notes)
    except MigrationError as error:
        error.speak(_options(given))
        _refuse(refused, str(error), as_json=given.json, details=error.details)
        return EXIT_UNKNOWN
    except KeyboardInterrupt as interruption:
        _finish()
        _refuse("interrupted", ". ".join([interrupted, *notes_of(interruption)]), as_json=given.json)
        return EXIT_INTERRUPTED
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _refuse(refused, ". ".join([f"{where}{error.strerror or error}", *notes_of(error)]), as_json=given.json)
        return EXIT_UNKNOWN
    except Exception as error:
        # Python itself would exit with 1, which is an answer.
        tell(traceback.format_exc().rstrip())
        _refuse(refused, f"an error of this program ({type(error).__name__}); please report it", as_json=given.json)
        return EXIT_UNKNOWN
    finally:
        settle()


def _finish() -> None:
    """Let no signal turn work that is done into an interruption."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _answered(answer: Answer, given: argparse.Namespace, name: str, notes: list[str]) -> int:
    """Say the answer and the notes beside it; return the exit code."""
    last = ""
    if given.json:
        _say_document({**answer.document, **({"notes": [*answer.document.get("notes", ()), *notes]} if notes else {})})
    elif not given.quiet:
        for note in notes:
            tell(printable(f"note: {note}"))
        for last in map(printable, answer.lines):
            say(last)
    if fault := take_fault():
        ended = (last or list(answer.lines)[-1]).strip()
        tell(f"{name}: ended, and the answer could not be written ({fault}). It ends with: {ended}")
        return EXIT_UNKNOWN
    return EXIT_YES if answer.yes else EXIT_NO


def _options(given: argparse.Namespace) -> dict[str, str]:
    """Return the library's names of options to how they are typed here."""
    return {name: f"--{name.replace('_', '-')}" for name in vars(given) if "_" in name}
