"""What rehearsals of any checkout have in this machine's kernel, and taking it away.

Everything is found by what the kernel itself lists (namespaces, mounts, control groups) and by the records in /run/cgc,
never by the names of processes.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.cabling import remove_namespace
from scripts.rehearsal.cgroups import checkouts_with_groups, end_processes_of, processes_of, remove_groups
from scripts.rehearsal.identity import FIBRE, OPERATIONS, checkout_of_name, part_name, rehearsal_name
from scripts.rehearsal.kernel_limits import restore_inotify_instances
from scripts.rehearsal.mounts import NSPAWN_PROPAGATION, current_mounts, forget_nspawn, unmount_disk
from scripts.rehearsal.namespace import NAMESPACES, network_namespaces
from scripts.rehearsal.processes import Process, end_process, parse_stat, send_signal, wait_until_ended
from scripts.rehearsal.records import (
    changing,
    forget_machine,
    forget_rehearsal,
    is_being_changed,
    read_owner,
    recorded_machines,
    recorded_rehearsals,
    remove_run_directory_if_empty,
    running_process,
)

KILL_SECONDS = 20.0
TERMINATION_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """What one checkout's rehearsal has in the kernel.

    `checkout` is None when nobody wrote down whose it is. It is dead when no run is changing it and either none of its
    machines runs or its checkout is no longer there.
    """

    checkout_id: str
    checkout: Path | None
    is_dead: bool
    running_machines: tuple[str, ...]
    namespaces: tuple[str, ...]
    mounts: tuple[Path, ...]
    process_count: int


def find_rehearsals() -> list[Rehearsal]:
    """Every rehearsal of this machine, alive or dead, of whatever checkout."""
    namespaces = network_namespaces()
    mounts = [(checkout_of_name(mount.source), mount.target) for mount in current_mounts() if mount.kind == "overlay"]
    identities = {identity for name in namespaces if (identity := checkout_of_name(name)) is not None}
    identities |= {identity for identity, _ in mounts if identity is not None}
    identities |= checkouts_with_groups() | set(recorded_rehearsals())
    found = []
    for identity in sorted(identities):
        checkout = read_owner(identity)
        running = [name for name in recorded_machines(identity) if running_process(identity, name) is not None]
        is_gone = checkout is not None and not checkout.is_dir()
        found.append(
            Rehearsal(
                checkout_id=identity,
                checkout=checkout,
                is_dead=not is_being_changed(identity) and (not running or is_gone),
                running_machines=tuple(running),
                namespaces=tuple(name for name in namespaces if checkout_of_name(name) == identity),
                mounts=tuple(target for owner, target in mounts if owner == identity),
                process_count=len(processes_of(identity)),
            )
        )
    return found


def find_leftovers() -> list[Rehearsal]:
    """Return the dead rehearsals of this machine."""
    return [rehearsal for rehearsal in find_rehearsals() if rehearsal.is_dead]


def remove_leftovers() -> list[Rehearsal]:
    """Take away what dead rehearsals left in the kernel, and return them. Disks inside a checkout stay there."""
    leftovers = find_leftovers()
    for leftover in leftovers:
        remove_leftover(leftover.checkout_id)
    return leftovers


def remove_leftover(checkout: str) -> None:
    """Take away what one rehearsal has in the kernel."""
    with changing(checkout):
        remove_kernel_parts(checkout, keep_machines=None)


def _own_line() -> set[int]:
    """Return the ids of this process and of those it was started by."""
    line = set()
    pid = os.getpid()
    while pid > 0:
        line.add(pid)
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
        except FileNotFoundError:
            break  # it ended meanwhile: what it was started by is not ours to know
    return line


def _processes_in_namespace(namespace: str) -> list[Process]:
    """Return the processes (not ours) whose network namespace is the one called *namespace*."""
    wanted = (NAMESPACES / namespace).stat()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in _own_line():
            continue
        try:
            inside = os.path.samestat((entry / "ns/net").stat(), wanted)
            process = parse_stat((entry / "stat").read_text(errors="replace")) if inside else None
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        if process is not None:
            found.append(process)
    return found


def _end_guests(namespace: str) -> None:
    """End what other runs left running inside a namespace: it would keep the namespace alive without a name."""
    guests = _processes_in_namespace(namespace)
    for guest in guests:
        send_signal(guest, signal.SIGTERM)
    for guest in guests:
        if not wait_until_ended(guest, timeout_seconds=TERMINATION_SECONDS):
            end_process(guest, timeout_seconds=KILL_SECONDS)


def remove_kernel_parts(checkout: str, *, keep_machines: set[str] | None) -> list[str]:
    """Take a rehearsal out of the kernel; the caller holds its lock. Returns the names of what was taken away.

    With *keep_machines* only the machines that are not among them go; with None everything does, records included.
    """
    kept = {part_name(checkout, name) for name in keep_machines or ()}
    if keep_machines is not None:
        kept |= {part_name(checkout, OPERATIONS), part_name(checkout, FIBRE)}
    machines = [name for name in recorded_machines(checkout) if keep_machines is None or name not in keep_machines]
    for machine in machines:
        process = running_process(checkout, machine)
        if process is not None:
            end_process(process, timeout_seconds=KILL_SECONDS)
        end_processes_of(checkout, machine)
    if keep_machines is None:
        end_processes_of(checkout)
    namespaces = [name for name in network_namespaces() if checkout_of_name(name) == checkout and name not in kept]
    for namespace in namespaces:
        _end_guests(namespace)
        remove_namespace(namespace)
    _remove_mounts(checkout, kept)
    for machine in machines:
        remove_groups(checkout, machine)
        forget_machine(checkout, machine)
    if keep_machines is None:
        remove_groups(checkout)
        if not set(recorded_rehearsals()) - {checkout}:
            restore_inotify_instances()
        forget_rehearsal(checkout)
        remove_run_directory_if_empty()
        _verify_nothing_left(checkout)
    return sorted({*machines, *namespaces})


def _remove_mounts(checkout: str, kept: set[str]) -> None:
    """Unmount the machines' disks, and remove what their nspawn keeps in /run for each of them."""
    for mount in current_mounts():
        if mount.kind == "overlay" and checkout_of_name(mount.source) == checkout and mount.source not in kept:
            unmount_disk(mount.target)
    for directory in list(NSPAWN_PROPAGATION.iterdir()) if NSPAWN_PROPAGATION.is_dir() else ():
        if checkout_of_name(directory.name) == checkout and directory.name not in kept:
            forget_nspawn(directory.name)


def _verify_nothing_left(checkout: str) -> None:
    """Look again after taking down: a removal that left something is a failure, not a success."""
    left = [rehearsal for rehearsal in find_rehearsals() if rehearsal.checkout_id == checkout]
    if left:
        raise ScriptError(
            "CGC-712",
            f"still there after taking down: {left[0]}",
            where=rehearsal_name(checkout),
            remedy="run `cgc rehearse down` again; if it stays, see what holds it",
        )
