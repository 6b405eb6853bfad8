"""Processes known by their id *and* start time, so that a recycled id is never taken for the one that was started."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError

POLL_SECONDS = 0.05
# Field numbers of /proc/<pid>/stat counted after the command's closing bracket (proc(5): state is 3, starttime 22).
STATE_FIELD = 0
PARENT_FIELD = 1
START_FIELD = 19


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process: its id and its start, in clock ticks since the kernel booted (proc(5), field 22)."""

    pid: int
    started_ticks: int


def _fields(stat_line: str) -> list[str]:
    """Return the fields after the command, which may itself hold spaces and brackets."""
    return stat_line.rpartition(")")[2].split()


def parse_stat(stat_line: str) -> Process | None:
    """Return the process that a line of /proc/<pid>/stat describes; None for a truncated line."""
    head = stat_line.split(" ", 1)[0]
    fields = _fields(stat_line)
    if not head.isdigit() or len(fields) <= START_FIELD:
        return None
    return Process(pid=int(head), started_ticks=int(fields[START_FIELD]))


def _stat_line(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_running(process: Process) -> bool:
    """Whether *process* still runs; a zombie (ended, not yet reaped) does not."""
    _reap(process.pid)
    line = _stat_line(process.pid)
    if line is None:
        return False
    return parse_stat(line) == process and _fields(line)[STATE_FIELD] not in {"Z", "X"}


def _reap(pid: int) -> None:
    """Collect *pid* if it is an ended child of ours."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # not ours to reap: its own parent or the machine's init does it


def children(process: Process) -> list[int]:
    """Ids of the children of *process*, from the kernel's own list."""
    try:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def innermost_pid(pid: int) -> int | None:
    """Return the id of *pid* in its innermost process namespace (1 for a machine's init); None when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return None


def send_signal(process: Process, number: int) -> bool:
    """Send a signal if *process* still runs; False when it no longer does."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_running(process):  # asked after the handle was taken: the handle cannot be recycled
            return False
        signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def wait_until_ended(process: Process, *, timeout_seconds: float) -> bool:
    """Whether *process* ended within the time."""
    deadline = time.monotonic() + timeout_seconds
    while is_running(process):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end_process(process: Process, *, timeout_seconds: float) -> None:
    """Kill *process* and wait until it is gone; CGC-703 if it is still there after the time."""
    send_signal(process, signal.SIGKILL)
    if not wait_until_ended(process, timeout_seconds=timeout_seconds):
        raise ScriptError(
            "CGC-703",
            f"process {process.pid} did not end within {timeout_seconds:g} s of SIGKILL",
            remedy="it is stuck in the kernel: see `cat /proc/<pid>/stack`, then run the command again",
        )
