"""One control group per machine, in every hierarchy of the kernel: what belongs to a machine, and how much it uses.

cgroup v1 (one tree per controller) is what this was run on. On a machine with the unified tree (v2) only, the same
names are used in the one tree, with its controllers handed down; that way was not run.
An empty group of its own at every power-on matters: cAdvisor loses 3 s for each stale pod group it meets.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.identity import PREFIX, rehearsal_name
from scripts.rehearsal.mounts import Mount, current_mounts

POLL_SECONDS = 0.05
EMPTYING_SECONDS = 20.0
CGROUP_ROOT = Path("/sys/fs/cgroup")


def hierarchies(mounts: list[Mount]) -> tuple[Path, ...]:
    """Return the mount points of all control group trees, v1 and v2."""
    targets = {m.target for m in mounts if m.kind in {"cgroup", "cgroup2"} and m.target.is_relative_to(CGROUP_ROOT)}
    return tuple(sorted(targets))


def is_unified(mounts: list[Mount]) -> bool:
    """Whether the machine has the v2 tree only."""
    return any(m.kind == "cgroup2" and m.target == CGROUP_ROOT for m in mounts)


def machine_groups(checkout: str, machine: str) -> tuple[Path, ...]:
    """Return the directories of a machine's groups, one in each tree."""
    return tuple(tree / rehearsal_name(checkout) / machine for tree in hierarchies(current_mounts()))


def _copy_cpuset(tree: Path, group: Path) -> None:
    """Fill in a v1 cpuset: it accepts no process until it has processors and memory nodes (cgroup-v1/cpusets)."""
    for setting in ("cpuset.cpus", "cpuset.mems"):
        if (tree / setting).exists():
            (group / setting).write_text((tree / setting).read_text())


def make_machine_groups(checkout: str, machine: str, *, memory_limit_bytes: int | None) -> tuple[Path, ...]:
    """Make a machine's empty groups and set its limit; those of an earlier life are removed first."""
    mounts = current_mounts()
    remove_groups(checkout, machine)
    groups = []
    for tree in hierarchies(mounts):
        parent = tree / rehearsal_name(checkout)
        group = parent / machine
        group.mkdir(parents=True)
        if (tree / "cpuset.cpus").exists():
            (parent / "cgroup.clone_children").write_text("1")
            _copy_cpuset(tree, parent)
            _copy_cpuset(tree, group)
        if is_unified(mounts):
            _hand_down_controllers(tree, parent)
        groups.append(group)
    if memory_limit_bytes is not None:
        for group in groups:
            for setting in ("memory.limit_in_bytes", "memory.max"):
                if (group / setting).exists():
                    (group / setting).write_text(str(memory_limit_bytes))
    return tuple(groups)


def _hand_down_controllers(tree: Path, parent: Path) -> None:
    """Hand controllers down: a v2 group has those that its parents name (cgroup-v2, "Enabling and Disabling")."""
    controllers = (tree / "cgroup.controllers").read_text().split()
    for directory in (tree, parent):
        (directory / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in controllers))


def _processes_below(group: Path) -> set[int]:
    found: set[int] = set()
    for directory, _, files in os.walk(group):
        if "cgroup.procs" in files:
            try:
                found.update(int(pid) for pid in Path(directory, "cgroup.procs").read_text().split())
            except OSError as err:
                if err.errno not in (errno.ENOENT, errno.ENODEV):
                    raise
                continue  # the group went away between the listing and the reading: nobody is in it
    return found


def processes_of(checkout: str, machine: str | None = None) -> set[int]:
    """Ids of all processes in a machine's groups, or in those of the whole rehearsal."""
    found: set[int] = set()
    for tree in hierarchies(current_mounts()):
        group = tree / rehearsal_name(checkout)
        found |= _processes_below(group / machine if machine else group)
    return found


def end_processes_of(checkout: str, machine: str | None = None) -> None:
    """Kill whatever is in the groups until nobody is; CGC-703 if somebody still is after the time."""
    deadline = time.monotonic() + EMPTYING_SECONDS
    while remaining := processes_of(checkout, machine):
        if time.monotonic() > deadline:
            raise ScriptError(
                "CGC-703",
                f"processes {sorted(remaining)} did not end within {EMPTYING_SECONDS:g} s of SIGKILL",
                where=f"{rehearsal_name(checkout)}/{machine or '*'}",
                remedy="they are stuck in the kernel: see `cat /proc/<pid>/stack`, then run the command again",
            )
        for pid in remaining:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it ended by itself, which is what is wanted
        time.sleep(POLL_SECONDS)


def remove_groups(checkout: str, machine: str | None = None) -> None:
    """Remove the (empty) groups of a machine, or of the whole rehearsal, from every tree."""
    for tree in hierarchies(current_mounts()):
        top = tree / rehearsal_name(checkout)
        group = top / machine if machine else top
        deadline = time.monotonic() + EMPTYING_SECONDS
        while group.exists():
            left = _remove_empty(group)
            if left and time.monotonic() > deadline:
                raise ScriptError(
                    "CGC-703",
                    f"control group stays busy: {left}",
                    where=str(group),
                    remedy="see which process is in its cgroup.procs, then run the command again",
                )
            if left:
                time.sleep(POLL_SECONDS)


def _remove_empty(group: Path) -> str:
    """Remove a group from its leaves up; what the kernel said if one is still busy, else an empty text."""
    for directory, _, _ in os.walk(group, topdown=False):
        try:
            Path(directory).rmdir()
        except FileNotFoundError:
            continue  # went with its last process (v1 release agents do that)
        except OSError as err:
            return str(err)
    return ""


def checkouts_with_groups() -> set[str]:
    """Ids of all checkouts that have a control group on this machine."""
    return {
        entry.name.removeprefix(f"{PREFIX}-")
        for tree in hierarchies(current_mounts())
        for entry in tree.glob(f"{PREFIX}-*")
        if entry.is_dir()
    }


def memory_bytes(checkout: str, machine: str) -> int | None:
    """Memory charged to a machine, page cache of its files included; None where no group says so."""
    for group in machine_groups(checkout, machine):
        for setting in ("memory.usage_in_bytes", "memory.current"):
            if (group / setting).exists():
                return int((group / setting).read_text())
    return None
