"""A node bundle: every file a node must have, the units to run, and how to prove each before it counts.

Its canonical manifest's SHA-256 is the node's fingerprint: what is previewed, applied, fingerprinted and judged is the
same thing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BundleFile:
    """One file: absolute path, text, permission bits, owner and group by name; a `secret` is never shown in a diff."""

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A systemd unit that must be enabled and running; a change of one of the paths reloads or restarts it."""

    name: str
    reload_on: tuple[str, ...] = ()
    restart_on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """A command that must end with 0. In `validate`, `{root}` stands for the directory the files are staged under."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """All that one node must have; files sorted by path, units in the order they are started."""

    node: str
    files: tuple[BundleFile, ...]
    units: tuple[Unit, ...]
    validate: tuple[Check, ...]  # before the swap, on the staged files, by each daemon's own parser
    verify: tuple[Check, ...]  # after it, on what runs

    def manifest(self) -> dict[str, Any]:
        """Return what the bundle asks for, with each file's SHA-256 in place of its content."""
        return {
            "node": self.node,
            "files": {
                file.path: {
                    "sha256": hashlib.sha256(file.content.encode()).hexdigest(),
                    "mode": f"{file.mode:04o}",
                    "owner": file.owner,
                    "group": file.group,
                    "secret": file.secret,
                }
                for file in self.files
            },
            "units": [
                {"name": unit.name, "reload_on": list(unit.reload_on), "restart_on": list(unit.restart_on)}
                for unit in self.units
            ],
            "validate": [{"name": check.name, "command": list(check.command)} for check in self.validate],
            "verify": [{"name": check.name, "command": list(check.command)} for check in self.verify],
        }

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256, in hexadecimal, of the manifest in canonical JSON (sorted keys, no spaces)."""
        text = json.dumps(self.manifest(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
