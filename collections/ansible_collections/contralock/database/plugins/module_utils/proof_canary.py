"""A canary: a row that is written through the application, and looked for in PostgreSQL by a session of our own."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .connection import Connection, connect
from .errors import MigrationError
from .proof_sessions import APPLICATION_NAME, LOOK_AT, awaited
from .service_health import NO_ANSWER, ask, no_answer, shortened


@dataclass(frozen=True)
class Canary:
    """Where it is sent, and where it is to be found.

    Attributes:
        url: Takes a POST of ``{"token": "<uuid>"}``.
        table: The table in PostgreSQL, with a column ``token``.
        verify_tls: Whether the certificate of an https address is verified.
    """

    url: str
    table: str
    verify_tls: bool = True


def assert_arrives(target: str, canary: Canary, patience: float) -> str:
    """Send a canary, find it in PostgreSQL, and take it out again. What the application answers proves nothing.

    Returns:
        What was seen.

    Raises:
        MigrationError: It is not there, or the table cannot be looked into.
    """
    with _sent(target, canary) as (connection, query, answered):
        if not awaited(lambda: connection.execute(query).fetchall(), patience):
            raise MigrationError(
                f"the canary that was sent to {canary.url} is not in PostgreSQL's {canary.table}; the application"
                f" {answered}",
                LOOK_AT,
            )
    return f"its token came through {canary.url} into {canary.table}, and was taken out again"


def assert_stays_away(target: str, canary: Canary) -> str:
    """Send a canary, and see that PostgreSQL gets nothing of it.

    Returns:
        What was seen.

    Raises:
        MigrationError: It is there, or the table cannot be looked into.
    """
    with _sent(target, canary) as (connection, query, answered):
        if connection.execute(query).fetchall():
            raise MigrationError(
                f"the canary that was sent to {canary.url} came into PostgreSQL's {canary.table}; the application"
                f" {answered}",
                LOOK_AT,
            )
    return f"its token did not come through {canary.url} into {canary.table}"


@contextmanager
def _sent(target: str, canary: Canary) -> Iterator[tuple[Connection, sql.Composed, str]]:
    """Send one; give a session, the query that finds it, and what was answered; leave nothing of it."""
    token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    table = sql.Identifier(*canary.table.split("."))
    query = sql.SQL("{} FROM {} WHERE token::text = {}")
    found, removed = (query.format(sql.SQL(verb), table, sql.Literal(token)) for verb in ("SELECT token", "DELETE"))
    try:
        with connect(target, APPLICATION_NAME) as connection:
            # Asked first: a table that is missing is nobody's lie.
            connection.execute(found)
            answered = _send(canary, token)
            try:
                yield connection, found, answered
            finally:
                connection.execute(removed)
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as bad:
        raise MigrationError(
            f"the canary's table {canary.table} cannot be used in PostgreSQL: {bad.diag.message_primary}",
            "Make it with the profile's schema changes (a column token, uuid or text), or correct"
            " application_service_canary_table",
        ) from None


def _send(canary: Canary, token: str) -> str:
    try:
        status, body = ask(canary.url, canary.verify_tls, {"token": token})
    except NO_ANSWER as error:
        return no_answer(error)
    return f"answered {status} ({shortened(body)})"
