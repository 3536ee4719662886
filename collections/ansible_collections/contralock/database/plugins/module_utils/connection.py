"""One way to connect to PostgreSQL: no password in the string, TLS verified by name, errors that say what to do."""

from __future__ import annotations

import logging
import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from .errors import MigrationError

Connection = psycopg.Connection[TupleRow]

# Without a handler Python prints psycopg's remarks on standard error ("error ignored terminating ..."); whoever wants
# them sets up logging.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

#: Secrets that libpq would take from the connection string; its argv, logs and diffs are no place for them.
SECRETS = ("password", "sslpassword", "oauth_client_secret")
WHERE_IT_BELONGS = (
    "Take the password out of the connection string and let libpq read it from a file of mode 0600 "
    "(passfile=..., or a service file) or from the environment variable PGPASSWORD"
)
STRICT = "verify-full"

#: What the operator may override; a dead network is noticed within two minutes, instead of never by a session that
#: waits for an answer, or after the kernel's quarter of an hour by one that sends. A server that takes nothing for so
#: long is taken for dead, too (tcp(7), TCP_USER_TIMEOUT).
DEFAULTS: Mapping[str, str] = {
    "connect_timeout": "10",
    "tcp_user_timeout": "120000",
    "keepalives_idle": "60",
    "keepalives_interval": "15",
    "keepalives_count": "4",
}

#: Of each session, whatever a server, a database or a role prescribes: time limits are meant for the application's
#: short questions, and what is read and written means the same everywhere. A name that a server does not know is left
#: out.
SETTINGS: Mapping[str, str] = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "datestyle": "ISO",
    "client_min_messages": "notice",
    "synchronous_commit": "on",
}
# What is said to be there must survive a crash of the server; one that waits for replicas besides goes on doing so.
_SET = """
SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)
 WHERE current_setting(name, true) IS NOT NULL AND (name <> 'synchronous_commit' OR current_setting(name) = 'off')"""
_ASK = (
    "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS name WHERE current_setting(name, true) IS NOT NULL"
)

# A reset goes back to what the server, the database or the role prescribes.
_ASK_PRESCRIBED = """
SELECT lower(name), current_setting(name) FROM pg_settings
 WHERE lower(name) = ANY (%s::text[]) AND setting <> reset_val ORDER BY 1"""

_PORT_MEND = "Give port= a number from 1 to 65535; PostgreSQL's own is 5432"
#: What a server says that has no connection left (SQLSTATE 53300); of a refused connection libpq has the words alone.
FULL = ("too many connections", "too many clients", "remaining connection slots")

#: Part of libpq's or the server's message -> what the operator does about it; the first that matches counts.
MENDS: tuple[tuple[str, str], ...] = (
    (
        "root certificate file",
        "Put the certificate of the authority that signed the server's into the file that sslrootcert names",
    ),
    (
        "does not match host name",
        "Connect with a host name that the server's certificate carries, or issue a certificate with this name",
    ),
    (
        "certificate verify failed",
        "Let sslrootcert name the authority that signed the server's certificate, and see that it has not expired",
    ),
    ("host name must be specified", "Give host= beside hostaddr=: the certificate is checked against the name"),
    ("server does not support SSL", "Set ssl = on and a certificate in the server's postgresql.conf"),
    (
        "password authentication failed",
        "Check the user and the password that libpq reads (passfile, service file or PGPASSWORD)",
    ),
    (
        "no password supplied",
        "Give libpq a password: passfile= with a line for this host, port, database and user, or PGPASSWORD",
    ),
    ("no pg_hba.conf entry", "Add a hostssl line for this address, database and user to the server's pg_hba.conf"),
    ("pg_hba.conf rejects", "Take the reject line for this address, database and user out of the server's pg_hba.conf"),
    ("Peer authentication failed", "Connect as the system's user of the same name, or over TCP with a password"),
    ("too many connections", "End idle sessions, or raise the limit of the role, the database or the server"),
    ("too many clients", "End idle sessions, or raise max_connections"),
    ("remaining connection slots", "End idle sessions, or raise max_connections"),
    ("permission denied for database", "Grant CONNECT on the database to this role"),
    ("is not permitted to log in", "Use a role with LOGIN"),
    ("database system is starting up", "Wait until the server has started, and run again"),
    ("Connection refused", "Start the server, or correct host and port; see listen_addresses for another machine"),
    ("No such file or directory", "Start the server, or let host name the folder of its socket"),
    ("timeout expired", "See that the host is up and that no firewall drops the port, or raise connect_timeout"),
    ("invalid port number", _PORT_MEND),
    ('connection option "port"', _PORT_MEND),
    ("Servname not supported", _PORT_MEND),
    ("could not translate host name", "Correct the host's name, or its entry in DNS or /etc/hosts"),
    ("failed to resolve host", "Correct the host's name, or its entry in DNS or /etc/hosts"),
    ("No route to host", "Correct the host, or the network between here and there"),
    ("not found", "Correct service=, or let PGSERVICEFILE name the file that has it"),
    ("does not exist", "Create the database and the role first, or correct dbname and user"),
)
#: libpq's own mend of a missing certificate: verification is not to be switched off here.
_WEAKENING = re.compile(r" ?Either provide the file,[^.]*certificate verification\.")
GENERAL_MEND = "Check the connection string, the server's log and its pg_hba.conf"


def connect(conninfo: str, application_name: str, password: str | None = None) -> Connection:
    """Open a connection in autocommit mode.

    Args:
        conninfo: A libpq connection string or URI without a secret; what it leaves out comes from libpq's own
            places (PG* variables, service file, password file). It may be empty.
        application_name: How the session shows itself in ``pg_stat_activity``.
        password: The role's password where no file holds it; None leaves it to libpq.

    Returns:
        The connection, with ``SETTINGS``. Over TCP the server's certificate was verified, name included.

    Raises:
        MigrationError: The string holds a secret, is malformed or weakens TLS; or there is no connection.
    """
    parameters = session_parameters(conninfo, application_name)
    if password is not None:
        parameters["password"] = password
    try:
        connection = psycopg.connect("", autocommit=True, **parameters)  # type: ignore[arg-type]  # because psycopg types each keyword
    except psycopg.Error as error:
        raise connection_refusal(error, conninfo) from None
    try:
        settle(connection)
    except psycopg.Error as error:
        connection.close()
        raise connection_refusal(error, conninfo) from None
    return connection


def settle(connection: Connection) -> None:
    """Give a session ``SETTINGS``; in an open transaction they stay when that is committed."""
    connection.execute(_SET, [list(SETTINGS), list(SETTINGS.values())])


def settings_of(connection: Connection) -> dict[str, str]:
    """Return what a session from ``connect`` has of ``SETTINGS``, for sessions that another program opens."""
    return {str(name): str(value) for name, value in connection.execute(_ASK, [list(SETTINGS)])}


def options_like(connection: Connection) -> str:
    """Return libpq's ``options`` with which another client's session begins with the settings of one from ``connect``.

    They hold from its first question on, which a client may ask before anybody can set anything. What nobody prescribes
    is left out: there are poolers that let no options pass.
    """
    prescribed = connection.execute(_ASK_PRESCRIBED, [list(SETTINGS)]).fetchall()
    # libpq cuts at spaces that have no backslash: PostgreSQL manual, "Connection Strings", options.
    settings = ["-c " + re.sub(r"([ \\])", r"\\\1", f"{name}={value}") for name, value in prescribed]
    return " ".join(filter(None, [connection.info.options, *settings]))


def session_parameters(conninfo: str, application_name: str) -> dict[str, str]:
    """Return libpq's parameters for a session, with what ``connect`` sets; for other clients of libpq.

    Raises:
        MigrationError: The string holds a secret, is malformed or weakens TLS.
    """
    parameters = parse_conninfo(conninfo)
    # libpq ignores sslmode on a Unix socket, so that it can be set without knowing what a service file says.
    parameters |= {"sslmode": STRICT, "gssencmode": "disable", "client_encoding": "utf8"}
    parameters["application_name"] = application_name
    return {**DEFAULTS, **parameters}


def set_locally(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set parameters of the server until the open transaction, or savepoint that is rolled back, ends."""
    query = "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS wanted (name, value)"
    connection.execute(query, [list(settings), list(settings.values())])


def written(text: str) -> sql.Composed:
    """Take a text as SQL that PostgreSQL itself has written."""
    return sql.Composed([sql.SQL(text)])


def beside_values(*names: str) -> sql.Identifier:
    """Take a name into a query that has values, too: psycopg looks for their places behind each per cent sign."""
    return sql.Identifier(*(name.replace("%", "%%") for name in names))


def parse_conninfo(conninfo: str) -> dict[str, str]:
    """Return the string's parameters, refusing secrets and weak TLS.

    Args:
        conninfo: A libpq connection string or URI.

    Returns:
        The parameters that the string itself gives.

    Raises:
        MigrationError: See ``connect``. No message repeats any part of a malformed string: it may be the password.
    """
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(conninfo).items()}
    except psycopg.Error:
        raise MigrationError(
            "the target is no libpq connection string",
            "Write it as 'host=db1.example.org dbname=app user=owner' or as postgresql://owner@db1.example.org/app",
        ) from None
    if held := [name for name in SECRETS if parameters.get(name)]:
        raise MigrationError(f"the target's connection string holds a secret ({', '.join(held)})", WHERE_IT_BELONGS)
    sslmode = parameters.get("sslmode", STRICT)
    if sslmode != STRICT and not _is_socket(parameters):
        raise MigrationError(
            f"the target's connection string says sslmode={sslmode}, which does not prove who answers",
            f"Leave sslmode out or say sslmode={STRICT}; sslrootcert= names the authority's certificate",
        )
    return parameters


def _is_socket(parameters: Mapping[str, str]) -> bool:
    """Tell whether every host is a socket's folder, or an abstract socket (@); a service file may name others."""
    if "hostaddr" in parameters or "service" in parameters:
        return False
    hosts = (parameters.get("host") or _default("host") or "/").split(",")
    return all(host.startswith(("/", "@")) for host in hosts)


def _default(name: str) -> str:
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults()}
    return (defaults.get(name.encode()) or b"").decode()


def _password_file_mend(message: str, parameters: Mapping[str, str]) -> str:
    """Say why libpq got no password from a file that it was to read; it only remarks that on standard error."""
    if "no password supplied" not in message:
        return ""
    file = Path(parameters.get("passfile") or _default("passfile") or os.environ.get("PGPASSFILE") or "~/.pgpass")
    file = file.expanduser()
    try:
        mode = file.stat().st_mode
    except OSError:
        return f"Put the password into {file}, which is not there, with mode 0600" if "passfile" in parameters else ""
    # https://www.postgresql.org/docs/current/libpq-pgpass.html: with less strict rights the file is ignored.
    if stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"Run chmod 0600 {shlex.quote(str(file))}: libpq ignores a password file that others may read"
    return ""


def connection_refusal(error: Exception, conninfo: str) -> MigrationError:
    """Return the error that says why there is no connection, whose message is libpq's or the server's."""
    parameters = parse_conninfo(conninfo)
    message = _WEAKENING.sub("", " ".join(str(error).split()))
    known = (mend for fragment, mend in MENDS if fragment.lower() in message.lower())
    mend = _password_file_mend(message, parameters) or next(known, GENERAL_MEND)
    named = [name for name in ("service", "host", "hostaddr", "port", "dbname", "user") if name in parameters]
    target = " ".join(f"{name} {parameters[name]!r}" for name in named) or "libpq's defaults"
    return MigrationError(f"cannot connect to PostgreSQL ({target}): {message}", mend)
