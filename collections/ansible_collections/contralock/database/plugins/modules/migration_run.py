#!/usr/bin/python
# SPDX-License-Identifier: MIT
# ruff: noqa: E402 (Ansible reads the documentation first)

from __future__ import annotations

DOCUMENTATION = r"""
module: migration_run
short_description: Opens a run of the migration, keeps its journal, closes it
version_added: 0.2.0
description:
  - A run is a verb (V(cut_over), V(roll_back), V(rehearse), V(benchmark)) carried out once, step by step, with a
    journal on the application's host. Whatever is killed, the journal tells where the run stands; opening it again
    goes on.
  - There is one run at a time. The controller holds a lease that its calls renew; while it lasts, nobody else can
    open a run. Once it has ended, opening ends the processes that the dead controller left, before anything else.
  - Modules that are a step of a run (those with the options C(run) and C(step)) keep the journal themselves; this one
    does it for the steps that consist of other tasks.
author:
  - ContraLock migration team (@contralock)
options:
  state:
    description:
      - V(opened) goes on with an unfinished run of the verb, or begins a new one, or finds that nothing is to be done.
      - V(begun), V(done), V(failed) and V(taken_back) record that about O(step).
      - V(closed) ends the run, writes C(report.json) and gives the lease back. A report that cannot be written is
        warned of; reading the run shows it all the same.
      - V(left) gives the lease back and leaves the run as it stands, so that nobody waits for a controller that has
        given up. A run that changed nothing is closed.
      - V(renewed) only shows that the controller lives. V(read) changes nothing.
    type: str
    choices: [opened, begun, done, failed, taken_back, closed, left, renewed, read]
    required: true
  root:
    description: The directory of all runs. For O(state=opened), and for O(state=read) of the latest run.
    type: path
    default: /var/lib/contralock-migration
  verb:
    description: What is opened; with O(state=read), whose latest run is read.
    type: str
    choices: [cut_over, roll_back, rehearse, benchmark]
  run:
    description: The run's directory, as O(state=opened) returned it.
    type: path
  lease:
    description:
      - What O(state=opened) returned as RV(lease). With it, a controller whose run was taken over meanwhile is refused.
      - Without it nothing is asked.
    type: str
  step:
    description:
      - The step of the verb. With O(state=failed) it may be left out for the one that began last and has not ended,
        with O(state=taken_back) for all steps that have changed something, the last one first.
    type: str
  begins:
    description: With O(state=done), the step that begins at once; killed in between, it has not begun.
    type: str
    default: ""
  facts:
    description: What the journal keeps about the step. Never a secret.
    type: dict
    default: {}
  outcome:
    description: How the run ended, with O(state=closed); found out from the journal when left out.
    type: str
    choices: [done, failed, taken_back]
  controller:
    description: Who opens the run, for the one who is refused. The action plugin fills in user, host and process.
    type: str
  process:
    description:
      - What tells the controller's process from all others. The action plugin fills it in, and takes a run over by
        itself when its controller was a process of the same machine that is gone.
    type: str
    default: ""
  take_over:
    description: The id of a run whose controller is known to be dead, so that its lease need not be waited for.
    type: str
    default: ""
  lease_seconds:
    description: How long the controller counts as living without a sign.
    type: int
    default: 120
  application:
    description: What the application's configuration says that it uses, if the caller has looked; against the journal.
    type: str
    choices: [SQLite, PostgreSQL]
  pages:
    description:
      - Directory on the controller. With O(state=closed), O(state=left) and O(state=read) the action plugin writes the
        report there as a page, C(<run id>.html) (0600), and puts it as C(report.html) into the run's directory.
      - What goes wrong with that is warned of; the run stands as it stands.
    type: path
    default: ""
attributes:
  check_mode:
    description: Nothing is written. With O(state=opened) it says what would be opened, or refuses.
    support: full
"""

EXAMPLES = r"""
- name: Open the run
  contralock.database.migration_run:
    state: opened
    verb: cut_over
  register: opened

- name: Record that the application is being stopped
  contralock.database.migration_run:
    state: begun
    step: stop
    run: "{{ opened.run }}"
    lease: "{{ opened.lease }}"
"""

RETURN = r"""
run:
  description: The run's directory; null in check mode for a new one.
  returned: success
  type: str
run_id:
  description: The run's id.
  returned: success
  type: str
lease:
  description: What the other calls of this controller give as O(lease).
  returned: when opened
  type: str
resumed:
  description: Whether an unfinished run goes on.
  returned: when opened
  type: bool
already_done:
  description: Whether the application is already where the verb would bring it; then there is nothing to do.
  returned: when opened
  type: bool
takes_back:
  description: The directory of the cut-over that the way back takes back, otherwise null.
  returned: when opened
  type: str
takes_back_facts:
  description: The facts of that cut-over's steps.
  returned: when opened
  type: dict
ended:
  description: The processes of an earlier controller that were ended.
  returned: when opened
  type: list
  elements: str
steps:
  description: The state of each step of the verb; V(waiting) for those not begun.
  returned: success
  type: dict
facts_of:
  description: The facts of each step that has some.
  returned: success
  type: dict
outcome:
  description: How the run ended; null while it is open.
  returned: success
  type: str
application:
  description: What the application uses by the journal (V(SQLite), V(PostgreSQL), V(stopped), V(unchanged)).
  returned: success
  type: str
report:
  description: The run's report.
  returned: when the run is closed, left, was done already or is read
  type: dict
reports:
  description: The reports that were written, that of a cut-over which a way back has closed included.
  returned: when the run is closed
  type: list
  elements: dict
pages:
  description: The pages that were written, on the controller.
  returned: with O(pages)
  type: list
  elements: str
text:
  description: The report's lines for a person.
  returned: with RV(report)
  type: list
  elements: str
where:
  description: Where the application is by the journal, as one sentence, for the last words of a run that failed.
  returned: with RV(report)
  type: str
  sample: "The application is configured for SQLite as before: nothing was changed."
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.contralock.database.plugins.module_utils.edge import run_module
from ansible_collections.contralock.database.plugins.module_utils.run_directory import RunDirectory, latest
from ansible_collections.contralock.database.plugins.module_utils.run_lock import renew
from ansible_collections.contralock.database.plugins.module_utils.run_opening import (
    Request,
    close_run,
    leave_run,
    open_run,
    predict,
)
from ansible_collections.contralock.database.plugins.module_utils.run_report import (
    make_report,
    render_terminal,
    where,
    write_report,
)
from ansible_collections.contralock.database.plugins.module_utils.run_step import record_step, require_lease
from ansible_collections.contralock.database.plugins.module_utils.steps import VERBS, steps_of

JOURNALLED = ("begun", "done", "failed", "taken_back")
ARGUMENTS = {
    "state": {"type": "str", "choices": ["opened", *JOURNALLED, "closed", "left", "renewed", "read"], "required": True},
    "root": {"type": "path", "default": "/var/lib/contralock-migration"},
    "verb": {"type": "str", "choices": list(VERBS)},
    "run": {"type": "path"},
    "lease": {"type": "str", "no_log": False},
    "step": {"type": "str"},
    "begins": {"type": "str", "default": ""},
    "facts": {"type": "dict", "default": {}},
    "outcome": {"type": "str", "choices": ["done", "failed", "taken_back"]},
    "controller": {"type": "str"},
    "process": {"type": "str", "default": ""},
    "take_over": {"type": "str", "default": ""},
    "lease_seconds": {"type": "int", "default": 120},
    "application": {"type": "str", "choices": ["SQLite", "PostgreSQL"]},
    "pages": {"type": "path", "default": ""},
}


def keep_run(module: AnsibleModule) -> Mapping[str, object]:
    given = module.params
    if given["state"] == "opened":
        return open_one(module)
    if given["state"] == "read" and not given["run"]:
        found = latest(Path(given["root"]), *([given["verb"]] if given["verb"] else []))
        return {"changed": False, **(standing(found, with_report=True) if found else NOTHING)}
    run = RunDirectory.at(Path(given["run"]))
    if module.check_mode or given["state"] == "read":
        return {"changed": given["state"] not in ("read", "renewed"), **standing(run, with_report=True)}
    done = DEEDS.get(given["state"], record)(run, given)
    return {**done, **standing(run, with_report=given["state"] in ("closed", "left"))}


def open_one(module: AnsibleModule) -> Mapping[str, object]:
    given = module.params
    request = Request(
        Path(given["root"]),
        given["verb"],
        given["controller"],
        given["take_over"],
        given["lease_seconds"],
        given["application"],
        without_password(given["facts"]),
        given["process"],
    )
    if module.check_mode:
        decision = predict(request)
        run, takes_back, already_done = decision.run, decision.takes_back, decision.already_done
        opened: dict[str, object] = {"lease": "", "ended": [], "resumed": run is not None and not already_done}
    else:
        done = open_run(request)
        run, takes_back, already_done = done.run, done.takes_back, done.already_done
        opened = {"lease": done.lease, "ended": list(done.ended), "resumed": done.resumed}
    return {
        "changed": not already_done,
        "already_done": already_done,
        "takes_back": str(takes_back.path) if takes_back else None,
        "takes_back_facts": facts_of(takes_back) if takes_back else {},
        **opened,
        **(
            standing(run, with_report=already_done)
            if run
            else {**NOTHING, "steps": {step.name: "waiting" for step in steps_of(request.verb)}}
        ),
    }


def without_password(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave a connection string out that holds a password against the rule: the journal and the report are read."""
    if re.search(r"password\s*=|://[^/@]*:[^/@]*@", str(facts.get("target", ""))):
        return {name: value for name, value in facts.items() if name != "target"}
    return facts


def record(run: RunDirectory, given: Mapping[str, Any]) -> Mapping[str, object]:
    names = record_step(run, given["state"], given["step"] or "", given["facts"], given["lease"] or "")
    if given["begins"]:
        names += record_step(run, "begun", given["begins"], {}, given["lease"] or "")
    return {"changed": bool(names), "recorded": names}


def close(run: RunDirectory, given: Mapping[str, Any]) -> Mapping[str, object]:
    warnings: list[str] = []
    reports: list[Mapping[str, Any]] = []

    def write(closed: RunDirectory) -> None:
        reports.append(write_report(closed))

    was_open = close_run(run, given["lease"] or "", given["outcome"], write, warnings.append)
    return {"changed": was_open, "reports": reports, **({"warnings": warnings} if warnings else {})}


def show_life(run: RunDirectory, given: Mapping[str, Any]) -> Mapping[str, object]:
    if lease := require_lease(run, given["lease"] or ""):
        renew(run.root, lease.token)
    return {"changed": False}


def leave(run: RunDirectory, given: Mapping[str, Any]) -> Mapping[str, object]:
    leave_run(run, given["lease"] or "")
    return {"changed": True}


DEEDS = {"closed": close, "left": leave, "renewed": show_life}
NOTHING: Mapping[str, object] = {
    "run": None,
    "run_id": None,
    "steps": {},
    "facts_of": {},
    "outcome": None,
    "application": None,
}


def facts_of(run: RunDirectory) -> dict[str, object]:
    return {name: dict(one.facts) for name, one in run.standings().items() if one.facts}


def standing(run: RunDirectory, *, with_report: bool) -> dict[str, object]:
    report = make_report(run)
    shown: dict[str, object] = {}
    if with_report:
        shown = {"report": report, "text": render_terminal(report).splitlines(), "where": where(report)}
    return {
        "run": str(run.path),
        "run_id": run.id,
        "steps": {step["name"]: step["state"] for step in report["steps"]},
        "facts_of": facts_of(run),
        "outcome": report["outcome"],
        "application": report["application"]["uses"],
        **shown,
    }


def main() -> None:
    needs: list[tuple[str, str, tuple[str, ...]]] = [("state", "opened", ("verb", "controller"))]
    needs += [("state", state, ("run",)) for state in (*JOURNALLED, "closed", "left", "renewed")]
    run_module(ARGUMENTS, keep_run, is_step=False, supports_check_mode=True, required_if=needs)


if __name__ == "__main__":
    main()
