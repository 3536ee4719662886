"""Applications that do not go back to their file: each is seen, and users stay out until it has been mended.

The cut-over that the tests before have left is taken back.
"""

from __future__ import annotations

from cheats import NEW_FILE, done
from journeys import PATH, journal, latest_run, on_postgresql, on_sqlite

ROLL_BACK = "playbooks/roll_back.yml"
#: Cheat -> what is said. PostgreSQL has shut out the role of one that stays there.
CHEATS = {
    "stays": (
        "the application ended instead of answering on http://127.0.0.1:5000/health: contralock.service has ended ",
    ),
    "another file": (
        f"(contralock.service) does not have {PATH} open, within ",
        f"contralock.service has SQLite databases open that it had not open before: {NEW_FILE} (process ",
    ),
}


def test_who_does_not_go_back_is_seen_and_goes_on_when_he_is_mended(run_playbook, cheating, answers, app1, now):
    on_postgresql(now())
    fenced = [record for record in journal(app1, "cut_over") if (record["step"], record["state"]) == ("fence", "done")]
    runs = set()
    with answers() as said:
        for kind, parts in CHEATS.items():
            with cheating(kind):
                run = run_playbook(ROLL_BACK, application_service_wait_seconds=15)
            assert run.returncode != 0
            for part in parts:
                assert part in run.message(), run.message()
            runs.add(latest_run(app1, "roll_back"))
        run = run_playbook(ROLL_BACK)
    assert run.returncode == 0, run.message()
    assert runs == {latest_run(app1, "roll_back")}, "another run was begun"
    records = journal(app1, "roll_back")
    shut, proven = done(records, "keep_out"), done(records, "prove")
    during = {status for begun, status, _ in said if shut < begun < proven}
    assert 503 in during
    assert during <= {0, 503}
    assert said[-1][1:] == [200, "sqlite"]
    on_sqlite(now(), fenced[0]["facts"]["sha256"])
