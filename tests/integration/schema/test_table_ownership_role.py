"""The mode in which the application owns its tables, as the roles play it: given, taken back, and checked."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
from ansible_collections.contralock.database.plugins.module_utils.connection import Connection
from ansible_collections.contralock.database.plugins.module_utils.schema_changes import Request, perform

from tests.integration.schema.steps import three, write_profile
from tests.integration.schema.test_table_ownership import application, as_application, owners
from tests.playbooks import PROJECT, keep, play
from tests.throwaway_cluster import Database

__all__ = ["application", "as_application"]

STATE = (PROJECT / "roles/application_database/files/state.sql").read_text(encoding="utf-8")
#: What the role is played with, one after the other: --check, the variable.
PLAYED = [(True, True), (False, True), (False, False)]


def test_the_role_gives_the_tables_and_takes_them_back(database: Database, application: str, tmp_path: Path) -> None:
    write_profile(tmp_path / "profile", three())
    tasks: list[dict[str, object]] = []
    for check, owns in PLAYED:
        tasks += [
            {
                "ansible.builtin.include_role": {"name": "database_schema", "apply": {"check_mode": check}},
                "vars": {"application_database_user_owns_tables": owns},
            },
            {"ansible.builtin.set_fact": {"answers": "{{ answers | default([]) + [__database_schema_result] }}"}},
        ]
    given = {
        "application_database_user": application,
        "database_schema_profile": str(tmp_path / "profile"),
        "migration_toolkit_target": database.conninfo,
    }
    done = play(tmp_path, [*tasks, keep(tmp_path / "answers", "answers")], **given)
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads((tmp_path / "answers").read_text())
    objects = ["table public.users", "type public.role"]
    given_and_taken = [(True, []), (True, objects), (True, objects)]
    assert [(each["changed"], each["handed_over"]) for each in answers] == given_and_taken


def may_create(database: Database, role: str) -> bool:
    with psycopg.connect(database.superuser_conninfo, row_factory=psycopg.rows.dict_row) as administrator:
        found = administrator.execute(STATE.encode(), {"user": role}).fetchone()
        assert found is not None
        assert found["user_is_member_of"] == ""
        return bool(found["user_may_create"])


def test_the_right_to_make_tables_counts_unless_it_was_given_with_them(
    connection: Connection, database: Database, application: str
) -> None:
    # PUBLIC has TEMPORARY until the role takes it.
    connection.execute(f"REVOKE ALL ON DATABASE {database.name} FROM PUBLIC")
    assert not may_create(database, application)
    perform(connection, Request(three(), tables_owner=application))
    assert not may_create(database, application)
    connection.execute(f"GRANT TEMPORARY ON DATABASE {database.name} TO {application}")
    assert may_create(database, application)
    connection.execute(f"REVOKE TEMPORARY ON DATABASE {database.name} FROM {application}")
    perform(connection, Request(three(), tables_owner=""))
    assert not may_create(database, application)
    connection.execute(f"GRANT CREATE ON SCHEMA public TO {application}")
    assert may_create(database, application)


def test_a_new_table_of_the_application_belongs_to_it_and_is_the_owner_s_to_drop(
    connection: Connection, as_application: Connection, application: str
) -> None:
    perform(connection, Request(three(), tables_owner=application))
    as_application.execute("CREATE TABLE its_own (id integer REFERENCES users (id))")
    assert owners(connection) == {application}
    connection.execute("INSERT INTO its_own VALUES (NULL); TRUNCATE its_own; DROP TABLE its_own")
    assert not perform(connection, Request(three(), tables_owner=application)).changed
