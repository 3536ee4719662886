"""A database for a rehearsal: made by the owner of the real one, beside it, and dropped afterwards."""

from __future__ import annotations

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from .connection import Connection, connect
from .errors import MigrationError

APPLICATION_NAME = "contralock scratch_database"

#: The comment that tells a scratch database from somebody's own. Only what carries it is ever dropped.
MARK = "Scratch database of a migration's rehearsal; dropped at its end"
#: How the comment of any database begins into which whatever measures may write; somebody may have made it by hand.
MAY_BE_WRITTEN = "Scratch database"

#: Same as the real one: UTF8, and text in the order of its code points.
CREATE = (
    "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' "
    "LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' CONNECTION LIMIT 20"
)
COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
#: Its comment, and whether it is as ``CREATE`` makes it: the owner's, with that limit.
LOOK = """
SELECT shobj_description(oid, 'pg_database'), datconnlimit = 20 AND pg_get_userbyid(datdba) = current_user
  FROM pg_database WHERE datname = %s"""
#: What is in it beyond what template0 has (FirstNormalObjectId in access/transam.h).
CONTENT = """
SELECT (SELECT count(*) FROM pg_class WHERE oid >= 16384) + (SELECT count(*) FROM pg_proc WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_type WHERE oid >= 16384) + (SELECT count(*) FROM pg_namespace WHERE oid >= 16384)
     + (SELECT count(*) FROM pg_largeobject_metadata)"""


def scratch_target(target: str, name: str) -> str:
    """Return the connection string of the scratch database beside ``target``."""
    return make_conninfo(target, dbname=name)


def create_scratch(target: str, name: str) -> None:
    """Create an empty scratch database, after dropping one that a killed rehearsal has left.

    Args:
        target: The real database, as its owner; the scratch database is made on the same server.
        name: The scratch database's name.

    Raises:
        MigrationError: The name belongs to a database that no rehearsal made, or the owner may not create databases.
    """
    with connect(target, APPLICATION_NAME) as connection:
        _refuse_the_target_itself(connection, name)
        _drop(connection, target, name)
        try:
            connection.execute(sql.SQL(CREATE).format(name=sql.Identifier(name)))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
            comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(MARK))
            connection.execute(comment)
        except errors.InsufficientPrivilege as error:
            raise MigrationError(
                f"role {connection.info.user!r} may not create the scratch database {name!r}: {_words(error)}",
                f"Run ALTER ROLE {connection.info.user} CREATEDB as an administrator of the server",
            ) from None


def drop_scratch(target: str, name: str) -> int | None:
    """Drop the scratch database.

    Returns:
        Its size in bytes, indexes included; None when there was none.

    Raises:
        MigrationError: A database of this name exists that no rehearsal made.
    """
    with connect(target, APPLICATION_NAME) as connection:
        _refuse_the_target_itself(connection, name)
        if not _is_ours(connection, target, name):
            return None
        found = connection.execute("SELECT pg_database_size(%s::name)", [name]).fetchone()
        _drop(connection, target, name)
        return int(found[0]) if found else None


def scratch_exists(target: str, name: str) -> bool:
    """Tell whether a scratch database of this name is there; refuse as ``drop_scratch`` does."""
    with connect(target, APPLICATION_NAME) as connection:
        _refuse_the_target_itself(connection, name)
        return _is_ours(connection, target, name)


def require_scratch(target: str) -> None:
    """Refuse a database that nobody has marked as one to write into.

    Raises:
        MigrationError: Its comment is no scratch database's.
    """
    with connect(target, APPLICATION_NAME) as connection:
        found = connection.execute(COMMENT).fetchone()
        name = connection.info.dbname
        if found is None or not str(found[0] or "").startswith(MAY_BE_WRITTEN):
            mark = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(MAY_BE_WRITTEN))
            raise MigrationError(
                f"the database {name!r} is no scratch database, and a benchmark writes into it",
                "Let playbooks/benchmark.yml make one, or mark this one when nobody needs what is in it: "
                + mark.as_string(connection),
            )


def _refuse_the_target_itself(connection: Connection, name: str) -> None:
    if name == connection.info.dbname:
        raise MigrationError(f"{name!r} is the target itself", "Give the scratch database another name")


def _is_ours(connection: Connection, target: str, name: str) -> bool:
    found = connection.execute(LOOK, [name]).fetchone()
    if found is None:
        return False
    mark, as_made = found
    # Between making it and marking it a rehearsal can be killed: the two cannot be one transaction.
    if mark != MARK and not (mark is None and as_made and _is_empty(target, name)):
        raise MigrationError(
            f"database {name!r} exists and no rehearsal made it",
            "Give the scratch database another name, or drop this one when nobody needs it",
        )
    return True


def _is_empty(target: str, name: str) -> bool:
    with connect(scratch_target(target, name), APPLICATION_NAME) as connection:
        return connection.execute(CONTENT).fetchone() == (0,)


def _drop(connection: Connection, target: str, name: str) -> None:
    """Drop what a rehearsal made, whoever is still connected: only the leavings of a killed one can be."""
    if _is_ours(connection, target, name):
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _words(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
