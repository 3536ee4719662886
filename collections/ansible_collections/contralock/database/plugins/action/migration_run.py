"""Runs the module ``migration_run``, tells it who the controller is, and writes the pages of runs."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.contralock.database.plugins.module_utils.journal import write_whole
from ansible_collections.contralock.database.plugins.module_utils.left_over import identity, is_known_to_be_gone
from ansible_collections.contralock.database.plugins.plugin_utils.followed_module import StepOfRun, display


class ActionModule(StepOfRun):
    """Adds the controller to what is opened, and takes over from one of this machine that is gone."""

    _take_over = ""

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; a second time when the run that is in the way belongs to a process that is no more."""
        result = super().run(tmp, task_vars)
        details = result.get("details") or {}
        if result.get("failed") and is_known_to_be_gone(str(details.get("process", ""))):
            display.display(f"{details['run']}: its controller, {details['controller']}, is gone; taking it over")
            self._take_over = str(details["run"])
            result = super().run(tmp, task_vars)
        if self._task.args.get("pages") and not result.get("failed") and not self._task.check_mode:
            result["pages"] = list(self._write_pages(result))
        return result

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the task's arguments, the lease, and who the controller is."""
        arguments = super().arguments(variables)
        if arguments.get("state") == "opened" and not arguments.get("controller"):
            # A task runs in a child of ansible-playbook.
            arguments["controller"] = f"{user_here()}@{socket.gethostname()} (pid {os.getppid()})"
            arguments["process"] = identity(os.getppid())
        if self._take_over:
            arguments["take_over"] = self._take_over
        return arguments

    def _write_pages(self, result: dict[str, Any]) -> Iterator[str]:
        """Write the page of each report, here and into its run's directory; yield where it is here."""
        reports = result.get("reports") or [result["report"]] if result.get("report") else []
        for report in reports:
            try:
                page = Path(self._task.args["pages"]).expanduser().absolute() / f"{report['run']}.html"
                page.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(page, _rendered(report))
                self._put(page, f"{report['directory']}/report.html")
            except Exception as error:  # because nothing about a page may change how a run ends
                said = f"the page of {report['run']} could not be written: {str(error) or type(error).__name__}"
                result.setdefault("warnings", []).append(said)
            else:
                display.display(f"The page of the run: {page}")
                yield str(page)

    def _put(self, page: Path, place: str) -> None:
        """Copy a page to the host, whole or not at all."""
        shell = self._connection._shell
        # Ansible removes the directory when the task has ended.
        given = shell.join_path(shell.tmpdir or self._make_tmp_path(), "page.html")
        self._transfer_file(str(page), given)
        given, partial, place = (shlex.quote(path) for path in (given, f"{place}.partial", place))
        answer = self._low_level_execute_command(f"install -m 0600 {given} {partial} && mv -fT {partial} {place}")
        if answer.get("rc") != 0:
            raise OSError(str(answer.get("stderr") or answer.get("stdout") or "it could not be copied to the host"))


def user_here() -> str:
    """Return the user's name, or its number: in a container it has often no account."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _rendered(report: Mapping[str, Any]) -> str:
    # Only here, because a controller without the plotting library runs everything but this.
    from ansible_collections.contralock.database.plugins.module_utils.run_page import (  # noqa: PLC0415 (as above)
        render_page,
    )

    return render_page(report)
