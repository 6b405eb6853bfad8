"""What each stack last brought about, whole: where that is what is wanted and still stands, the engine need not run.

The record says only that the engine had nothing left to do for exactly these objects; whether they still stand as they
were made is for whoever looks at the cluster (`policies/drift.py`) to say.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from stacks.assignment import Assignment
from stacks.objects import cluster_manifest
from stacks.plugins import Plugin
from stacks.workshop import Workshop


def wanted(assignment: Assignment, plugin: Plugin) -> str:
    """Return the SHA-256, in hexadecimal, over all that decides what the engine would do: objects, plugin, cluster."""
    manifest = cluster_manifest(assignment.nation, assignment.cluster, image=assignment.image)
    inputs = [manifest, plugin.value, str(assignment.kubeconfig.absolute())]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def settled(workshop: Workshop, stack: str) -> str:
    """Return what the stack's last run brought about (see `wanted`); empty if it did not end well or there was none."""
    try:
        return _path(workshop, stack).read_text(encoding="ascii")
    except FileNotFoundError:
        return ""


def unsettle(workshop: Workshop, stack: str) -> None:
    """Forget what the last run brought about; before a run changes anything, so that killing it is not mistaken."""
    _path(workshop, stack).unlink(missing_ok=True)


def settle(workshop: Workshop, stack: str, brought_about: str) -> None:
    """Note what a run that ended well brought about."""
    path = _path(workshop, stack)
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(brought_about, encoding="ascii")
    fresh.replace(path)


def _path(workshop: Workshop, stack: str) -> Path:
    return workshop.directory / "settled" / stack
