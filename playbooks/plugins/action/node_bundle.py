"""Reads a node's bundle on the controller, has the module apply it, and keeps the change once the node answers anew."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

CONFIRM = "/usr/bin/python3 /usr/local/lib/cgc/node_apply.py confirm"
WAIT_SECONDS = 1.0


class ActionModule(ActionBase):  # type: ignore[misc]  # Ansible ships no types
    """`path` names the bundle's file on the controller; everything else is the module's.

    The bundle goes past Ansible's templating and its logs. A change that must be confirmed is, over a new connection;
    a node that cannot be reached any more undoes it by itself.
    """

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module on the node."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        path = arguments.pop("path", None)
        if path is not None:
            try:
                arguments["bundle"] = Path(path).read_text(encoding="utf-8")
            except OSError as err:
                raise AnsibleActionFail(f"the bundle cannot be read: {err}") from err
        result.update(self._execute_module(module_name="node_bundle", module_args=arguments, task_vars=task_vars))
        seconds = int(arguments.get("confirm_within_seconds", 0))
        if result.get("changed") and seconds and not self._task.check_mode:
            self._confirm(seconds)
        return result

    def _confirm(self, seconds: int) -> None:
        """Reach the node over a new connection and tell it to keep the change; give up when it has undone it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                self._connection.reset()
                said = self._low_level_execute_command(CONFIRM, sudoable=False)
            except AnsibleConnectionFailure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(WAIT_SECONDS)
                continue
            if said.get("rc") != 0:
                raise AnsibleActionFail(f"the change was not confirmed: {said.get('stderr') or said.get('stdout')}")
            return
