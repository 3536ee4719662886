"""The public application, which alters its tables when it starts, there and back unchanged, on tables that it owns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from journeys import ENV, answers, differing, dump_schema, journal, look, on_postgresql, on_sqlite, restart, write_one

PUBLISHED = Path(__file__).parents[1] / "files/published.js"
PROGRAM = "/opt/contralock-sample"
#: What `sync({alter: true})` adds at each start, since the model says `unique: true` of the column.
DOUBLE = re.compile(
    r"\n--\n-- Name: users users_email_key[0-9]+; .*\n--\n\n"
    r"ALTER TABLE ONLY public\.users\n    ADD CONSTRAINT users_email_key[0-9]+ UNIQUE \(email\);\n\n"
)


@pytest.fixture(scope="module")
def now(app1, db1):
    return lambda: look(app1, db1)


@pytest.fixture(scope="module")
def before(run_playbook, app1, now):
    """The application and its answers on SQLite; each of its starts does what the published one's does."""
    run = run_playbook("molecule/shared/place_application.yml")
    assert run.returncode == 0, run.message()
    install = f"""
cat > {PROGRAM}/published.js
sed 's#^exec .*#exec /usr/bin/node {PROGRAM}/published.js "$program"#' {PROGRAM}/run > {PROGRAM}/published
chmod 755 {PROGRAM}/published
mkdir -p /etc/systemd/system/contralock.service.d
printf '[Service]\\nExecStartPre={PROGRAM}/published\\n' > /etc/systemd/system/contralock.service.d/published.conf
systemctl daemon-reload
"""
    app1.check_output("printf %%s %s | sh -c %s", PUBLISHED.read_text(encoding="utf-8"), install)
    restart(app1)
    return {"state": now(), "answers": answers(app1)}


def test_it_starts_on_the_result_and_answers_as_before(before, run_playbook, app1, now):
    assert before["state"].application["health"] == "sqlite"
    run = run_playbook("playbooks/cut_over.yml")
    assert run.returncode == 0, run.message()
    loaded = next(r for r in journal(app1, "cut_over") if (r["step"], r["state"]) == ("transfer", "done"))
    assert loaded["facts"]["engine"].startswith("pgloader ")
    after = now()
    on_postgresql(after)
    assert after.rows == 1500
    assert differing(before["answers"], answers(app1)) == []


def test_its_starts_alter_what_is_theirs_and_change_nothing_else(before, app1, db1, now):
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert db1.check_output("runuser -u postgres -- psql -Atqd contralock -c %s", owners) == "contralock_user"
    first, state = dump_schema(db1), now()
    # The first start, in the cut-over, made the one index that the profile left out.
    assert "CREATE INDEX idx_users_role_status ON public.users" in first
    already = len(DOUBLE.findall(first))
    assert already > 0
    for _ in range(5):
        restart(app1)
    last = dump_schema(db1)
    assert len(DOUBLE.findall(last)) == already + 5
    assert DOUBLE.sub("", last) == DOUBLE.sub("", first)
    assert now().target["fingerprint"] == state.target["fingerprint"]
    assert differing(before["answers"], answers(app1)) == []


def test_the_way_back(before, run_playbook, app1, now):
    write_one(app1)
    run = run_playbook("playbooks/roll_back.yml", rollback_discard_rows=1)
    assert run.returncode == 0, run.message()
    on_sqlite(now(), before["state"].application["sha256"])
    assert now().application == before["state"].application
    assert differing(before["answers"], answers(app1)) == []
    assert "DB_TYPE=sqlite" in app1.check_output(f"cat {ENV}")
