"""Raising the whole fabric, taking it down, and saying how it stands."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from scripts.errors import ScriptError
from scripts.rehearsal.base_image import open_base
from scripts.rehearsal.cabling import cut_cables, plug_in
from scripts.rehearsal.cgroups import memory_bytes
from scripts.rehearsal.fabric import Fabric, Machine
from scripts.rehearsal.leftovers import remove_kernel_parts
from scripts.rehearsal.machines import (
    authority_of,
    init_of,
    is_at_its_place,
    prepare_ground,
    start_machine,
    wait_for_ssh,
)
from scripts.rehearsal.records import changing, running_process

# Booting is bound by the processors; more at once only makes each of them slower to answer.
BOOTED_AT_ONCE = 6


@dataclass(frozen=True, kw_only=True)
class MachineStatus:
    """How one machine stands: `init_pid` is its init as this machine numbers it, `memory_bytes` what it is charged."""

    name: str
    is_on: bool
    init_pid: int | None
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class CableStatus:
    """How one cable stands."""

    name: str
    is_cut: bool


@dataclass(frozen=True, kw_only=True)
class FabricStatus:
    """How the whole fabric stands."""

    machines: tuple[MachineStatus, ...]
    cables: tuple[CableStatus, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every machine has power and no cable is cut."""
        return all(machine.is_on for machine in self.machines) and not any(cable.is_cut for cable in self.cables)


def require_root() -> None:
    """Refuse to begin what only root can finish."""
    if os.geteuid() != 0:
        raise ScriptError("CGC-701", "raising namespaces and machines needs root", remedy="run the command with sudo")


def raise_fabric(fabric: Fabric, *, report: Callable[[str], None], container_store: Path | None = None) -> bool:
    """Make every machine and cable of *fabric* stand; whether anything had to be done.

    What stands already is left alone: cut cables stay cut, running machines keep running. Machines of an earlier shape
    of the fabric, or at an earlier place of the address plan, are taken away. New cluster hosts begin with the images
    of *container_store* (containerd_store.open_store).
    """
    require_root()
    with changing(fabric.checkout_id) as lock:
        changed = prepare_ground(fabric)
        base = open_base(fabric.cache_directory, report=report)
        authority = authority_of(fabric)
        kept = {machine.name for machine in fabric.machines if is_at_its_place(fabric, machine)}
        surplus = remove_kernel_parts(fabric.checkout_id, keep_machines=kept)
        if surplus:
            report(f"fabric: took away {', '.join(surplus)}")
        off = []
        for machine in fabric.machines:
            if running_process(fabric.checkout_id, machine.name) is None:
                off.append(machine)
            elif plug_in(fabric, machine, keep_plugged=True):
                changed = True
                report(f"fabric: {machine.name} got its missing cables")
        if off:

            def boot(machine: Machine) -> str:
                process = start_machine(
                    fabric, machine, base=base, authority=authority, lock=lock, container_store=container_store
                )
                wait_for_ssh(fabric, machine, process)
                return machine.name

            _boot_all(off, boot, report=report)
    return changed or bool(off) or bool(surplus)


def _boot_all(machines: list[Machine], boot: Callable[[Machine], str], *, report: Callable[[str], None]) -> None:
    """Boot machines, some at a time; every one is tried, and the first failure is raised at the end."""
    failures = []
    with ThreadPoolExecutor(max_workers=BOOTED_AT_ONCE) as pool:
        boots = [pool.submit(boot, machine) for machine in machines]
        for number, done in enumerate(as_completed(boots), start=1):
            failure = done.exception()
            if failure is None:
                report(f"fabric: {done.result()} is up ({number} of {len(machines)})")
            elif isinstance(failure, ScriptError):
                failures.append(failure)
                report(f"fabric: {failure}")
            else:
                raise failure
    if failures:
        raise failures[0]


def take_down(fabric: Fabric, *, keep_disks: bool = False) -> None:
    """Remove all of the rehearsal from this machine; with *keep_disks* its machines' disks and authority stay."""
    require_root()
    with changing(fabric.checkout_id):
        remove_kernel_parts(fabric.checkout_id, keep_machines=None)
        for part in () if keep_disks else ("machines", "authority"):
            directory = fabric.state_directory / part
            if directory.exists():
                shutil.rmtree(directory)


def status(fabric: Fabric) -> FabricStatus:
    """How the fabric stands now."""
    machines = []
    for machine in fabric.machines:
        process = running_process(fabric.checkout_id, machine.name)
        init = init_of(process) if process is not None else None
        machines.append(
            MachineStatus(
                name=machine.name,
                is_on=process is not None,
                init_pid=init.pid if init is not None else None,
                memory_bytes=memory_bytes(fabric.checkout_id, machine.name) if process is not None else None,
            )
        )
    cut = cut_cables(fabric)
    return FabricStatus(
        machines=tuple(machines),
        cables=tuple(CableStatus(name=cable.name, is_cut=cable.name in cut) for cable in fabric.cables),
    )
