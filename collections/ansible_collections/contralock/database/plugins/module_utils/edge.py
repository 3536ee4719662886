"""Where the library meets Ansible: the only file beside it that knows the word module."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.common.parameters import remove_values

from .driver_errors import driver_errors_told
from .errors import MigrationError, notes_of
from .run_step import Interrupted, Progress, StepRun, no_progress, within_run

#: Ansible must not log the connection string: a password does not belong into it, and if one is there it stays there.
TARGET_ARGUMENT: Mapping[str, Any] = {"target": {"type": "str", "required": True, "no_log": True}}

#: What a module takes that makes a plan (documentation fragment ``mapping``).
MAPPING_ARGUMENTS: Mapping[str, Any] = {
    "mapping": {"type": "dict", "required": True},
    "mapping_schema": {"type": "dict", "required": True},
    "schema": {"type": "str", "default": "public"},
}

#: What a module takes that can be a step of a run. ``lease`` is what opening the run returned; it is no secret.
RUN_ARGUMENTS: Mapping[str, Any] = {
    "run": {"type": "path"},
    "step": {"type": "str"},
    "lease": {"type": "str", "no_log": False},
}

Facts = Mapping[str, object]
#: Takes the module, and the function that says how far it is if it wants to; returns the facts of ``exit_json``.
Verb = Callable[[AnsibleModule], Facts] | Callable[[AnsibleModule, Progress], Facts]


def run_module(
    arguments: Mapping[str, Any],
    verb: Verb,
    import_error: str | None = None,
    *,
    is_step: bool = True,
    spoken: Mapping[str, str] | None = None,
    **options: object,
) -> None:
    """Run a verb as an Ansible module.

    A verb with a second parameter is given the function ``progress(line or numbers)``. When the module has the
    parameter ``run`` and it is set, the verb is carried out within that run (``run_step.within_run``), except in check
    mode; with ``step``, the journal keeps what the verb returns as ``facts``. ``step`` and ``lease`` need not be in the
    specification: ``RUN_ARGUMENTS`` are added to one that has ``run``.

    Args:
        arguments: The argument specification.
        verb: Takes the module (and ``progress``), returns the facts of ``exit_json``.
        import_error: The traceback of a failed import of the library's dependencies, if it failed.
        is_step: False for a module whose ``run`` means something else than the run that it is a step of.
        spoken: The library's words for options that a mend names, to what the operator sets: a role's variable.
        options: More of ``AnsibleModule``'s own options (``supports_check_mode``, ``required_if``, ...).
    """
    specification = dict(arguments)
    if is_step and "run" in specification:
        specification = {**RUN_ARGUMENTS, **specification}
    module = AnsibleModule(argument_spec=specification, **options)
    if import_error is not None:
        mend = "let ansible_python_interpreter name the toolkit's virtual environment"
        module.fail_json(msg=f"{missing_required_lib('psycopg')}, or {mend}", exception=import_error)
    verb = _speaking(verb, spoken or {})
    try:
        facts = _carry_out(module, verb) if is_step else _call(module, verb, no_progress)
    except MigrationError as error:
        module.fail_json(msg=str(error), details=error.details)
    except Interrupted as interruption:
        notes = "".join(f" {note}." for note in notes_of(interruption))
        module.fail_json(msg=f"interrupted: the process was asked to end.{notes}")
    module.exit_json(**facts)


def _speaking(verb: Verb, spoken: Mapping[str, str]) -> Verb:
    """Return the verb with its refusals in the operator's words, which the journal keeps too."""
    if not spoken:
        return verb

    @functools.wraps(verb)
    def said(*given: Any) -> Facts:  # noqa: ANN401 (a verb takes the module, or the module and a progress)
        try:
            return verb(*given)
        except MigrationError as error:
            error.speak(spoken)
            raise

    return said


def _carry_out(module: AnsibleModule, verb: Verb) -> Facts:
    run = module.params.get("run")
    if not run or module.check_mode:
        return _call(module, verb, no_progress)

    def clean(given: object) -> object:
        return remove_values(given, module.no_log_values)

    step, token = module.params.get("step") or "", module.params.get("lease") or ""
    around: StepRun
    with within_run(run, step, token, clean) as around:
        facts = _call(module, verb, around.progress)
        recorded = facts.get("facts")
        around.facts = dict(recorded) if isinstance(recorded, Mapping) else {}
    return facts


def _call(module: AnsibleModule, verb: Verb, progress: Progress) -> Facts:
    given = (module, progress)[: len(inspect.signature(verb).parameters)]
    named = [str(module.params[name]) for name in ("source", "path") if module.params.get(name)]
    with driver_errors_told(named[0] if named else "the SQLite file"):
        return verb(*given)
