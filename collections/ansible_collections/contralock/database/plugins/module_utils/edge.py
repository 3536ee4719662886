"""Where the library meets Ansible: the only file beside it that knows the word module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from .errors import MigrationError

#: Ansible must not log the connection string: a password does not belong into it, and if one is there it stays there.
TARGET_ARGUMENT: Mapping[str, Any] = {"target": {"type": "str", "required": True, "no_log": True}}

Verb = Callable[[AnsibleModule], Mapping[str, object]]


def run_module(arguments: Mapping[str, Any], verb: Verb, import_error: str | None = None, **options: object) -> None:
    """Run a verb as an Ansible module.

    Args:
        arguments: The argument specification.
        verb: Takes the module, returns the facts of ``exit_json``.
        import_error: The traceback of a failed import of the library's dependencies, if it failed.
        options: More of ``AnsibleModule``'s own options (``supports_check_mode``, ``required_if``, ...).
    """
    module = AnsibleModule(argument_spec=dict(arguments), **options)
    if import_error is not None:
        mend = "let ansible_python_interpreter name the toolkit's virtual environment"
        module.fail_json(msg=f"{missing_required_lib('psycopg')}, or {mend}", exception=import_error)
    try:
        facts = verb(module)
    except MigrationError as error:
        module.fail_json(msg=str(error), details=error.details)
    module.exit_json(**facts)
