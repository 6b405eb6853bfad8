#!/usr/bin/python
"""The Ansible module that applies a node bundle; all it does is in module_utils/node_apply.py."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_bundle
short_description: Makes a node what its bundle says
description:
  - Stages the bundle under /var/lib/cgc/staged, lets each daemon's own parser read it, swaps files by rename, reloads
    what changed, verifies, and puts everything back if anything fails.
  - What an earlier bundle left and this one does not have is removed. A run that crashed is undone by the next one.
options:
  bundle:
    description:
      - The bundle as JSON. In a play one writes C(path) instead, a file on the controller; the action plugin reads it.
    type: str
    required: true
  confirm_within_seconds:
    description:
      - The node undoes the change by itself unless it is reached anew in time, which the action plugin does;
        0 keeps the change at once.
    type: int
    default: 0
author:
  - The cgc authors (@cgc)
"""

EXAMPLES = r"""
- name: Apply this node's bundle
  node_bundle:
    path: "{{ bundle_directory }}/{{ inventory_hostname }}.json"
    confirm_within_seconds: 60
"""

RETURN = r"""
fingerprint:
  description: The bundle's fingerprint.
  type: str
  returned: success
paths:
  description: The files that changed, with what changed of each.
  type: dict
  returned: success
units:
  description: What was done to which systemd unit.
  type: list
  elements: str
  returned: success
runtime:
  description: Where what ran was not what had been applied.
  type: list
  elements: dict
  returned: success
recovered:
  description: Whether an unfinished change was undone first.
  type: bool
  returned: success
seconds:
  description: How long each stage took.
  type: dict
  returned: success
"""

import json  # noqa: E402 - Ansible wants its documentation first

from ansible.module_utils.basic import AnsibleModule  # noqa: E402 - likewise
from ansible.module_utils.node_apply import ApplyError, Node, apply  # noqa: E402 - likewise


def main() -> None:
    """Run as Ansible runs it."""
    module = AnsibleModule(
        argument_spec={
            "bundle": {"type": "str", "required": True, "no_log": True},
            "confirm_within_seconds": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        outcome = apply(
            json.loads(module.params["bundle"]),
            node=Node(),
            is_check=module.check_mode,
            confirm_within_seconds=module.params["confirm_within_seconds"],
        )
    except ApplyError as err:
        module.fail_json(msg=str(err), stage=err.stage, is_undone=err.is_undone)
    diff = [change.as_diff() for change in outcome.changes]
    diff += [
        {"before_header": found["path"], "after_header": found["path"], "prepared": found["diff"]}
        for found in outcome.runtime
    ]
    module.exit_json(
        changed=outcome.is_changed,
        fingerprint=outcome.fingerprint,
        paths={change.path: list(change.aspects) for change in outcome.changes},
        units=list(outcome.units),
        runtime=list(outcome.runtime),
        recovered=outcome.recovered,
        seconds=outcome.seconds,
        diff=diff,
    )


if __name__ == "__main__":
    main()
