"""Whether the application's role gets into the target: tried before the window, granted in it, taken away after."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.conninfo import make_conninfo

from .connection import connect
from .errors import MigrationError
from .target_state import Session, end_sessions, grant_connect, may_connect, revoke_connect, sessions_of

APPLICATION_NAME = "contralock application_access"

#: What the server says to a role whose password was right and that has no CONNECT (aclcheck_error in postinit.c).
KEPT_OUT = "permission denied for database"


@dataclass(frozen=True)
class Login:
    """How the application's role fared: ``connected``, or kept out for want of CONNECT alone."""

    connected: bool
    tls_version: str | None


def try_login(target: str, role: str, password: str) -> Login:
    """Log in as the application will: its password is right when only CONNECT is missing.

    Args:
        target: The target as its owner, without a password.
        role: The application's role.
        password: Its password.

    Raises:
        MigrationError: The password is wrong, the role may not log in, its connection limit is reached, ...
    """
    # The owner's password file is of no use to another role, and libpq would complain about its lines.
    conninfo = make_conninfo(target, user=role)
    try:
        with connect(conninfo, APPLICATION_NAME, password) as connection:
            found = connection.execute("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            return Login(connected=True, tls_version=found[0] if found else None)
    except MigrationError as error:
        if KEPT_OUT in error.fact:
            return Login(connected=False, tls_version=None)
        if "password authentication failed" in error.fact:
            mend = "Correct application_database_user_password, or let prepare.yml give the role this password"
            raise MigrationError(error.fact, mend) from None
        raise


def let_in(target: str, role: str, password: str) -> bool:
    """Grant CONNECT and prove it by logging in; return whether that was a change.

    Raises:
        MigrationError: The role still does not get in.
    """
    with connect(target, APPLICATION_NAME) as connection:
        changed = grant_connect(connection, role)
    if not try_login(target, role, password).connected:
        raise MigrationError(
            f"role {role!r} does not get into the target, though CONNECT is granted to it",
            "Look at the server's log and pg_hba.conf",
        )
    return changed


def keep_out(target: str, role: str) -> tuple[bool, int]:
    """Revoke CONNECT and end the role's sessions.

    Returns:
        Whether the role could connect before, and how many sessions were ended.

    Raises:
        MigrationError: The role can still connect, or sessions go on.
    """
    with connect(target, APPLICATION_NAME) as connection:
        changed = revoke_connect(connection, role)
        return changed, end_sessions(connection, role)


def access_of(target: str, role: str) -> tuple[bool, list[Session]]:
    """Return whether the role may connect, and its sessions in the target."""
    with connect(target, APPLICATION_NAME) as connection:
        return may_connect(connection, role), sessions_of(connection, role)
