"""The whole journey to a server without a shell and without a superuser, from a source in the plan's own form."""

from __future__ import annotations

import pytest
from journeys import look, on_postgresql, on_sqlite, write_one


@pytest.fixture(scope="module")
def before(run_playbook, app1, db1):
    run = run_playbook("molecule/shared/place_application.yml")
    assert run.returncode == 0, run.message()
    return look(app1, db1)


def test_rehearse_leaves_everything_as_it_is(before, run_playbook, app1, db1):
    run = run_playbook("playbooks/rehearse.yml")
    assert run.returncode == 0, run.message()
    assert look(app1, db1) == before


def test_cut_over_and_validate(before, run_playbook, app1, db1):
    for name in ("cut_over", "validate"):
        run = run_playbook(f"playbooks/{name}.yml")
        assert run.returncode == 0, run.message()
    after = look(app1, db1)
    on_postgresql(after)
    assert after.rows == 1500
    assert after.target["schema"] == before.target["schema"]


def test_the_way_back_asks_for_the_row_that_was_written(before, run_playbook, app1, db1):
    write_one(app1)
    refused = run_playbook("playbooks/roll_back.yml")
    assert refused.returncode != 0
    assert "rollback_discard_rows=1" in refused.message()
    run = run_playbook("playbooks/roll_back.yml", rollback_discard_rows=1)
    assert run.returncode == 0, run.message()
    on_sqlite(look(app1, db1), before.application["sha256"])
