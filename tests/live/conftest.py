"""A rehearsal for the live tests: the one that is up, or one that is raised for them and taken down after them."""

from __future__ import annotations

import json
import os
import random
import signal
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
# At how many moments each command is killed (each costs minutes), and what the moments are drawn from.
KILLS = range(int(os.environ.get("CGC_KILLS", "1")))
KILL_SEED = int(os.environ.get("CGC_KILL_SEED", "942"))


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


def kill_halfway(*arguments: str, number: int, within_seconds: float) -> str:
    """Start the command and kill it (SIGKILL) at a random moment; return what was done, in words.

    By turns the process alone, as the kernel does when memory is short, and all of its process group, as a terminal
    that is closed.
    """
    moment = random.Random(KILL_SEED + number).uniform(0.2, within_seconds)  # noqa: S311 - a moment, no secret
    command = [sys.executable, "-m", "scripts", *arguments]
    with Path(os.devnull).open("w") as nowhere:
        run = subprocess.Popen(command, cwd=ROOT, stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        code = run.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        if number % 2:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()
        run.wait()
        return f"{' '.join(arguments)}: {'group' if number % 2 else 'process'} killed after {moment:.1f} s"
    return f"{' '.join(arguments)}: had ended by itself ({code}) before {moment:.1f} s"


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
            if any(mark in _command_line(path) for mark in (b"--machine=cgc-", bytes(ROOT / ".rehearsal")))
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
