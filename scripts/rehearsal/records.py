"""What is written down about each rehearsal of this machine, so that any later run knows what to undo.

/run/cgc/<id>.lock is held while a run changes the rehearsal (the kernel frees it when that run dies);
/run/cgc/<id>/owner.json names the checkout; /run/cgc/<id>/machines/<name> is the /proc/<pid>/stat line of the process
that carries the machine, written by that process itself before it becomes systemd-nspawn.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.identity import RUN_DIRECTORY
from scripts.rehearsal.processes import Process, is_running, parse_stat

LOCK_SECONDS = 30.0
LOCK_SUFFIX = ".lock"
POLL_SECONDS = 0.1
DIRECTORY_MODE = 0o700


def _lock_path(checkout: str) -> Path:
    return RUN_DIRECTORY / f"{checkout}{LOCK_SUFFIX}"


def record_directory(checkout: str) -> Path:
    """Where this rehearsal's records are."""
    return RUN_DIRECTORY / checkout


def machine_record(checkout: str, machine: str) -> Path:
    """Return the file that names the process of a machine."""
    return record_directory(checkout) / "machines" / machine


def _is_same_file(descriptor: int, path: Path) -> bool:
    """Whether *path* still names the open file: whoever held the lock before may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def changing(checkout: str, *, timeout_seconds: float = LOCK_SECONDS) -> Iterator[int]:
    """Be the only run that changes this rehearsal; yields the lock's descriptor. CGC-706 if another run is at it."""
    RUN_DIRECTORY.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    path = _lock_path(checkout)
    deadline = time.monotonic() + timeout_seconds
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_same_file(descriptor, path):
                break
        except BlockingIOError as err:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise ScriptError(
                    "CGC-706",
                    f"another run has been changing it for {timeout_seconds:g} s",
                    where=f"rehearsal {checkout}",
                    remedy="wait for that run (`cgc rehearse status`), then run the command again",
                ) from err
        os.close(descriptor)
        time.sleep(POLL_SECONDS)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_being_changed(checkout: str) -> bool:
    """Whether some run holds the lock now."""
    try:
        descriptor = os.open(_lock_path(checkout), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def write_owner(checkout: str, *, checkout_path: Path, state_directory: Path) -> None:
    """Write down whose rehearsal this is."""
    directory = record_directory(checkout)
    (directory / "machines").mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
    unfinished = directory / "owner.json.new"
    unfinished.write_text(json.dumps({"checkout": str(checkout_path), "state_directory": str(state_directory)}))
    unfinished.replace(directory / "owner.json")


def read_owner(checkout: str) -> Path | None:
    """Return the checkout that this rehearsal belongs to; None when nobody wrote it down."""
    path = record_directory(checkout) / "owner.json"
    return Path(json.loads(path.read_text())["checkout"]) if path.exists() else None


def recorded_rehearsals() -> list[str]:
    """Ids of all rehearsals with records on this machine, be it only the lock of one that was cut short."""
    if not RUN_DIRECTORY.is_dir():
        return []
    return sorted({e.stem for e in RUN_DIRECTORY.iterdir() if e.is_dir() or e.suffix == LOCK_SUFFIX})


def recorded_machines(checkout: str) -> list[str]:
    """Names of all machines of a rehearsal that were ever powered on and not taken away."""
    directory = record_directory(checkout) / "machines"
    return sorted(entry.name for entry in directory.iterdir()) if directory.is_dir() else []


def running_process(checkout: str, machine: str) -> Process | None:
    """Return the process that carries a machine, if the recorded one still runs."""
    try:
        process = parse_stat(machine_record(checkout, machine).read_text())
    except FileNotFoundError:
        return None
    return process if process is not None and is_running(process) else None


def forget_machine(checkout: str, machine: str) -> None:
    """Remove the record of a machine that is off."""
    machine_record(checkout, machine).unlink(missing_ok=True)


def forget_rehearsal(checkout: str) -> None:
    """Remove all records of a rehearsal, its lock last; the caller holds that lock."""
    directory = record_directory(checkout)
    if directory.exists():
        shutil.rmtree(directory)
    _lock_path(checkout).unlink(missing_ok=True)


def remove_run_directory_if_empty() -> None:
    """Remove /run/cgc when the last rehearsal is gone."""
    if RUN_DIRECTORY.is_dir() and not any(RUN_DIRECTORY.iterdir()):
        RUN_DIRECTORY.rmdir()
