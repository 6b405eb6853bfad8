"""A rehearsal for the live tests: the one that is up, or one that is raised for them and taken down after them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts.rehearsal.ground import Ground, ground_of
from scripts.rehearsal.raising import status

ROOT = Path(__file__).parents[2]
UP_SECONDS = 3600
COMMAND_SECONDS = 600
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return its standard output as JSON."""
        return json.loads(self.out)


def cgc(*arguments: str, seconds: float = COMMAND_SECONDS) -> Done:
    """Run the command as a user would, from the checkout."""
    command = [sys.executable, "-m", "scripts", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


def traces() -> dict[str, set[str]]:
    """Return what a rehearsal could leave on this machine: interfaces, routes, namespaces, mounts, cgroups, limits."""

    def lines(*command: str) -> set[str]:
        return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines())

    marks = ("cgc-", ".rehearsal")
    return {
        "interfaces": {line.split(":")[1] for line in lines("ip", "-o", "link")},
        "routes": lines("ip", "route") | lines("ip", "-6", "route"),
        "namespaces": lines("ip", "netns"),
        "mounts": {
            line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if any(m in line for m in marks)
        },
        "cgroups": {str(path) for path in CGROUPS.rglob("cgc-*")},
        "inotify": {Path("/proc/sys/fs/inotify/max_user_instances").read_text()},
        "processes": {
            path.name
            for path in Path("/proc").glob("[0-9]*")
            if b"systemd-nspawn" in _command_line(path) and b"cgc-" in _command_line(path)
        },
    }


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""  # it ended while we looked


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """A rehearsal that is up: its ground, how `up` ended if it was raised here, and what was there before it."""

    ground: Ground
    raised: Done | None
    before: dict[str, set[str]]


@pytest.fixture(scope="session")
def rehearsal() -> Iterator[Rehearsal]:
    """Return a rehearsal that is up; CI raises its own, a person may have one up already."""
    if os.geteuid() != 0:
        pytest.fail("the live tests need root: run `sudo make test`, or leave them out with -m 'not live'")
    ground = ground_of(ROOT / "inventories" / "rehearsal", checkout=ROOT)
    before = traces()
    if status(ground.fabric).is_whole:
        yield Rehearsal(ground=ground, raised=None, before=before)
        return
    raised = cgc("rehearse", "up", "--json", seconds=UP_SECONDS)
    yield Rehearsal(ground=ground, raised=raised, before=before)
    cgc("rehearse", "down")
