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


#: What a proxy answers for an application that does not.
NOBODY_BEHIND = (502, 503, 504)


def assert_could_arrive(target: str, role: str, canary: Canary) -> str:
    """See, before the application works on PostgreSQL, that a canary could be sent and found; none is sent.

    Returns:
        What its address answered to a question that writes nothing; which answer that is tells nothing.

    Raises:
        MigrationError: The address does not answer, the table cannot be looked into, or the role may not write there.
    """
    table = sql.Identifier(*canary.table.split("."))
    with _refused_politely(canary), connect(target, APPLICATION_NAME) as connection:
        for verb in ("SELECT token", "DELETE"):
            connection.execute(sql.SQL("{} FROM {} WHERE token::text = ''").format(sql.SQL(verb), table))
        name = table.as_string(connection)
        may = "SELECT has_column_privilege(%s, %s, 'token', 'INSERT')"
        (allowed,) = connection.execute(may, [role, name]).fetchone() or (False,)
    if not allowed:
        raise MigrationError(
            f"role {role!r} may not write into the canary's table {canary.table}",
            f"As the owner: GRANT INSERT ON {name} TO {sql.Identifier(role).as_string()}",
        )
    try:
        status, body = ask(canary.url, canary.verify_tls)
    except NO_ANSWER as error:
        raise MigrationError(
            f"the canary's address {canary.url} {no_answer(error)}",
            "Correct application_service_canary_url, which is seen from the application's host, or leave it empty",
        ) from None
    return f"answered {status} ({shortened(body)})"


def assert_arrives(target: str, canary: Canary, patience: float) -> str:
    """Send a canary, find it in PostgreSQL, and take it out again. What the application answers proves nothing.

    Returns:
        What was seen.

    Raises:
        MigrationError: It is not there, or the table cannot be looked into.
    """
    with _sent(target, canary, patience) as (connection, query, answer):
        if not awaited(lambda: connection.execute(query).fetchall(), patience):
            raise MigrationError(
                f"the canary that was sent to {canary.url} is not in PostgreSQL's {canary.table}; the application"
                f" {answer.said}",
                LOOK_AT,
            )
    return f"its token came through {canary.url} into {canary.table}, and was taken out again"


def assert_stays_away(target: str, canary: Canary, patience: float) -> str:
    """Send a canary, and see that PostgreSQL gets nothing of it. It has to be answered: else it went nowhere.

    Returns:
        What was seen.

    Raises:
        MigrationError: It is there, nobody has answered, or the table cannot be looked into.
    """
    with _sent(target, canary, patience) as (connection, query, answer):
        if connection.execute(query).fetchall():
            raise MigrationError(
                f"the canary that was sent to {canary.url} came into PostgreSQL's {canary.table}; the application"
                f" {answer.said}",
                LOOK_AT,
            )
    if not answer.of_somebody:
        raise MigrationError(
            f"whether a canary comes into PostgreSQL cannot be seen: {canary.url} {answer.said} for {patience:g} s",
            "See that the application answers there, also while users are kept out, or leave"
            " application_service_canary_url empty, and run again",
        )
    return f"its token did not come through {canary.url} into {canary.table}"


@dataclass(frozen=True)
class Answer:
    """What was answered, in words, and whether an application did that and not nobody or a proxy."""

    said: str
    of_somebody: bool


@contextmanager
def _sent(target: str, canary: Canary, patience: float) -> Iterator[tuple[Connection, sql.Composed, Answer]]:
    """Send one until it is answered; give a session, the query that finds it, and the answer; leave nothing of it."""
    token = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    table = sql.Identifier(*canary.table.split("."))
    query = sql.SQL("{} FROM {} WHERE token::text = {}")
    found, removed = (query.format(sql.SQL(verb), table, sql.Literal(token)) for verb in ("SELECT token", "DELETE"))
    with _refused_politely(canary), connect(target, APPLICATION_NAME) as connection:
        # Asked first: a table that is missing is nobody's lie.
        connection.execute(found)
        answers: list[Answer] = []

        def send() -> list[Answer]:
            answers.append(_send(canary, token))
            return [answer for answer in answers if answer.of_somebody]

        awaited(send, patience)
        try:
            yield connection, found, answers[-1]
        finally:
            connection.execute(removed)


@contextmanager
def _refused_politely(canary: Canary) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InsufficientPrivilege) as bad:
        raise MigrationError(
            f"the canary's table {canary.table} cannot be used in PostgreSQL: {bad.diag.message_primary}",
            "Make it with the profile's schema changes (a column token, uuid or text), or correct"
            " application_service_canary_table",
        ) from None


def _send(canary: Canary, token: str) -> Answer:
    try:
        status, body = ask(canary.url, canary.verify_tls, {"token": token})
    except NO_ANSWER as error:
        return Answer(no_answer(error), of_somebody=False)
    return Answer(f"answered {status} ({shortened(body)})", of_somebody=status not in NOBODY_BEHIND)
