"""Action plugins for modules that are steps of a run: on the controller, beside the module on the host.

A long verb runs on the host as a background job, so that the connection may break and come back. Every other second one
shell command shows that this controller lives and reads how far the job is; it waits on the host, so that it answers as
soon as the job has ended. What the module then answers is what the task answers.
"""

from __future__ import annotations

import json
import re
import secrets
import shlex
import time
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

#: The fact in which the role migration_run keeps what opening the run returned.
LEASE_FACT = "__migration_run_lease"
#: The module has time limits of its own; the job's is only there because it must have one.
JOB_SECONDS = 30 * 24 * 3600
POLL_SECONDS = 2.0
#: The first one is shorter, so that one sees that something happens.
FIRST_POLL_SECONDS = 1.0
#: How often the host itself sees in the meantime whether the job has ended.
LOOKS_PER_SECOND = 10
#: How long the connection may be broken.
PATIENCE_SECONDS = 120.0
#: How long a job may take until its module says anything at all.
START_SECONDS = 120.0
#: What the wrapper's file says until the module's answer replaces it, as shell patterns; it may not be there yet.
UNFINISHED = """''|'{"started": true, "finished": false'*|'{"started": 1, "finished": 0'*"""
#: How Ansible writes the answers of modules in Python (executor/module_common.py).
MODULE_PROFILE = "legacy"
INTERNAL = ("started", "finished", "ansible_job_id", "results_file")

display = Display()


class StepOfRun(ActionBase):  # type: ignore[misc]  # because Ansible has no types
    """Runs the module of the plugin's name, with the lease of the run that this controller has opened."""

    _supports_check_mode = True
    _supports_async = False
    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module; ``tmp`` is of old and not used."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = self.arguments(variables)
        if arguments.get("run") and not self._task.check_mode and self.follows:
            result.update(Following(self, arguments, variables).result())
        else:
            result.update(self._execute_module(module_args=arguments, task_vars=variables))
        return result

    follows = False

    def arguments(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the module's arguments: the task's, and the lease if the run is given without one."""
        arguments = dict(self._task.args)
        if arguments.get("run") and not arguments.get("lease") and variables.get(LEASE_FACT):
            arguments["lease"] = str(variables[LEASE_FACT])
        return arguments


class FollowedStep(StepOfRun):
    """The same for a verb that may be long: it runs in the background and is followed.

    Whatever reads a whole file or waits for a server's disk is one: a source of 40 GB is hashed for longer than a lease
    lasts, and its controller would count as dead.
    """

    follows = True


class Following:
    """One module that runs in the background."""

    def __init__(self, plugin: StepOfRun, arguments: Mapping[str, Any], variables: dict[str, Any]) -> None:
        self._plugin = plugin
        self._arguments = dict(arguments)
        self._variables = variables
        self._run = str(arguments["run"]).rstrip("/")
        self._shown = ""
        self._module_files = ""
        self._missed = 0

    def result(self) -> dict[str, Any]:
        """Start the module, follow it, and return what it answered."""
        before = self._look("", 0).progress
        self._old = (before.get("pid"), before.get("started"))
        started = self._start()
        job = started.get("ansible_job_id")
        if started.get("failed") or not job:
            return started
        file = f"{self._run}/jobs/{job}"
        trouble = self._follow(file)
        if trouble:
            return {"failed": True, "msg": trouble}
        answer = self._fetch(file)
        # Where the module alone was killed (by the kernel, for want of memory) its wrapper finds no answer to pass on.
        if answer.get("failed") and "cmd" in answer and not (answer.get("data", "x") or answer.get("stderr")):
            return {"failed": True, "msg": self._died}
        return answer

    def _start(self) -> dict[str, Any]:
        plugin = self._plugin
        # Beside the journal, where nobody else may look, and not in a home directory.
        plugin._connection._shell.set_option("async_dir", f"{self._run}/jobs")
        # Known here so that it can be removed at the job's end: it holds the module with its arguments.
        self._module_files = plugin._connection._shell.tmpdir or plugin._make_tmp_path()
        plugin._task.async_val = JOB_SECONDS
        try:
            answer: dict[str, Any] = plugin._execute_module(
                module_args=self._arguments, task_vars=self._variables, wrap_async=True
            )
        finally:
            # Otherwise Ansible would wait for the job once more.
            plugin._task.async_val = 0
        return answer

    def _follow(self, job: str) -> str:
        """Wait until the job has ended; return what is wrong when it ended without an answer."""
        began = heard = time.monotonic()
        seconds = FIRST_POLL_SECONDS
        while True:
            try:
                look = self._look(job, seconds)
            except AnsibleConnectionFailure:
                if time.monotonic() - heard > PATIENCE_SECONDS:
                    raise
                time.sleep(POLL_SECONDS)
                continue
            seconds, heard = POLL_SECONDS, time.monotonic()
            self._show(look.progress)
            if look.ended:
                return ""
            if self._is_gone(look, heard - began):
                return self._died

    @property
    def _step(self) -> str:
        return str(self._arguments.get("step") or self._plugin._task.action.rpartition(".")[2])

    @property
    def _died(self) -> str:
        return f"{self._step}: the module has died on the host without an answer. Run the playbook again."

    def _is_gone(self, look: Look, seconds: float) -> bool:
        identity = (look.progress.get("pid"), look.progress.get("started"))
        if identity == self._old or None in identity:
            return seconds > START_SECONDS
        self._missed = 0 if look.alive else self._missed + 1
        # Its answer is written after its end: a moment later.
        return self._missed > 2

    def _look(self, job: str, seconds: float) -> Look:
        boundary = f"--{secrets.token_hex(8)}--"
        answer = self._plugin._low_level_execute_command(self._command(job, seconds, boundary))
        return Look.read(str(answer.get("stdout", "")), boundary)

    def _command(self, job: str, seconds: float, boundary: str) -> str:
        token = str(self._arguments.get("lease") or "")
        root, _, _ = self._run.rpartition("/")
        # As run_lock.py has it: renewed only while nobody has taken the run over, and in one step.
        alive, partial = shlex.quote(f"{root}/alive-{token}"), shlex.quote(f"{root}/.alive-{token}.poll")
        renew = (
            f"if [ -e {alive} ]; then cat /proc/uptime /proc/sys/kernel/random/boot_id > {partial} && "
            f"mv {partial} {alive}; fi; "
            if re.fullmatch("[0-9a-f]+", token)
            else ""
        )
        progress, answer = shlex.quote(f"{self._run}/progress.json"), shlex.quote(job or "/dev/null")
        wait = (
            f"n={round(seconds * LOOKS_PER_SECOND)}; while [ $n -gt 0 ]; do "
            f"case $(head -c 40 {answer} 2>/dev/null) in {UNFINISHED}) sleep {1 / LOOKS_PER_SECOND};; *) break;; esac; "
            "n=$((n-1)); done; "
        )
        return (
            f"umask 077; {renew}{wait}cat {progress} 2>/dev/null; echo; echo {boundary}; "
            f"pid=$(sed -n 's/.*\"pid\": \\([0-9]*\\).*/\\1/p' {progress} 2>/dev/null); "
            f'if [ -n "$pid" ]; then cat "/proc/$pid/stat" 2>/dev/null; fi; echo; echo {boundary}; '
            f"head -c 200 {answer} 2>/dev/null; echo"
        )

    def _show(self, progress: Mapping[str, Any]) -> None:
        line = str(progress.get("line") or "")
        if (progress.get("pid"), progress.get("started")) == self._old or self._plugin._task.no_log:
            return
        if line and line != self._shown:
            self._shown = line
            display.display(f"{progress.get('step') or self._step}: {line}")

    def _fetch(self, job: str) -> dict[str, Any]:
        """Return the module's answer, read as Ansible reads what a module prints, and remove the job's files."""
        files = f"{shlex.quote(job.rpartition('/')[0])} {shlex.quote(self._module_files)}"
        # By the shell: Ansible's module for it would start Python on the host, to print the same file.
        printed = self._plugin._low_level_execute_command(f"cat {shlex.quote(job)}; rm -rf {files}")
        answer: dict[str, Any] = self._plugin._parse_returned_data(printed, MODULE_PROFILE)
        internal = {name for name in answer if name in INTERNAL or name.startswith("_ansible_")}
        return {name: value for name, value in answer.items() if name not in internal}


class Look:
    """What one look at the host saw."""

    def __init__(self, progress: dict[str, Any], alive: bool, ended: bool) -> None:
        self.progress = progress
        self.alive = alive
        self.ended = ended

    @staticmethod
    def read(output: str, boundary: str) -> Look:
        """Read the output of the command."""
        progress_text, stat, job = (*output.split(boundary), "", "")[:3]
        try:
            progress = json.loads(progress_text)
        except ValueError:
            progress = {}
        # proc(5): the start time is the 22nd field; the name, the second one, may hold blanks.
        fields = stat.rpartition(") ")[2].split()
        alive = len(fields) > 19 and fields[0] not in "ZX" and fields[19] == str(progress.get("started"))
        # The wrapper replaces the file, which says that it has started, by the module's answer.
        text = job.strip()
        return Look(progress, alive, bool(text) and not re.match(r'\{"started": (true|1), "finished": (false|0)', text))
