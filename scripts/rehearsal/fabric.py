"""The nouns of the rehearsal's ground: machines, cables, and the fabric they make. Facts only."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from inventories.model import LOOPBACK_INTERFACE, MANAGEMENT_INTERFACE
from scripts.errors import ScriptError
from scripts.rehearsal.identity import (
    CHECKOUT_ID_LENGTH,
    FIBRE,
    LONGEST_INTERFACE_NAME,
    OPERATIONS,
)

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CHECKOUT_ID = re.compile(rf"[0-9a-f]{{{CHECKOUT_ID_LENGTH}}}")


@dataclass(frozen=True, kw_only=True)
class Bind:
    """A file or directory of this machine that a rehearsed machine sees at *target*."""

    source: Path
    target: Path
    read_only: bool = True


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One rehearsed machine: a Debian of its own, with a management port and whatever cables end in it.

    `ssh_principals` are names, beside its own name and management addresses, under which it may prove who it is.
    `memory_limit_bytes` None means no limit of its own.
    """

    name: str
    management4: IPv4Interface
    management6: IPv6Interface
    wants_kubernetes: bool = False
    binds: tuple[Bind, ...] = ()
    memory_limit_bytes: int | None = None
    ssh_principals: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Cable:
    """One fibre: `ends` are (machine name, interface name) twice."""

    name: str
    ends: tuple[tuple[str, str], tuple[str, str]]


@dataclass(frozen=True, kw_only=True)
class Fabric:
    """All machines and cables of the rehearsal of one checkout.

    `state_directory` keeps the machines' disks and the rehearsal's authority (`.rehearsal/` of the checkout),
    `cache_directory` what is shared by all checkouts (`$CGC_CACHE`);
    `management_gateway4` and `6` are the addresses of the operations namespace on the management bridge.
    """

    checkout: Path
    checkout_id: str
    state_directory: Path
    cache_directory: Path
    machines: tuple[Machine, ...]
    cables: tuple[Cable, ...]
    management_gateway4: IPv4Interface
    management_gateway6: IPv6Interface

    def __post_init__(self) -> None:
        """Refuse a fabric that cannot be built, before anything is touched."""
        faults = list(_faults(self))
        if faults:
            raise ScriptError(
                "CGC-707",
                "; ".join(faults),
                where=f"fabric {self.checkout_id}",
                remedy="mend the declaration that the fabric is made from",
            )

    @cached_property
    def _machines_by_name(self) -> dict[str, Machine]:
        return {machine.name: machine for machine in self.machines}

    @cached_property
    def _cables_by_name(self) -> dict[str, Cable]:
        return {cable.name: cable for cable in self.cables}

    def machine(self, name: str) -> Machine:
        """Return the machine of this name; CGC-707 if there is none."""
        if name not in self._machines_by_name:
            raise ScriptError(
                "CGC-707",
                f"no machine is called {name}",
                where=f"fabric {self.checkout_id}",
                remedy=f"choose one of {', '.join(sorted(self._machines_by_name))}",
            )
        return self._machines_by_name[name]

    def cable(self, name: str) -> Cable:
        """Return the cable of this name; CGC-707 if there is none."""
        if name not in self._cables_by_name:
            raise ScriptError(
                "CGC-707",
                f"no cable is called {name}",
                where=f"fabric {self.checkout_id}",
                remedy=f"choose one of {', '.join(sorted(self._cables_by_name))}",
            )
        return self._cables_by_name[name]

    def cables_of(self, machine: str) -> tuple[Cable, ...]:
        """Every cable with at least one end in this machine."""
        return tuple(cable for cable in self.cables if machine in {cable.ends[0][0], cable.ends[1][0]})


def _faults(fabric: Fabric) -> list[str]:
    """Everything that makes a fabric impossible, each as one clause."""
    faults = []
    if not _CHECKOUT_ID.fullmatch(fabric.checkout_id):
        faults.append(f"checkout id {fabric.checkout_id!r} is not {CHECKOUT_ID_LENGTH} hexadecimal digits")
    names = [machine.name for machine in fabric.machines]
    for name, count in Counter(names).items():
        if count > 1:
            faults.append(f"{count} machines are called {name}")
        if not _HOST_NAME.fullmatch(name) or name in {OPERATIONS, FIBRE}:
            faults.append(f"{name!r} cannot be a machine's name")
    addresses = [address for machine in fabric.machines for address in (machine.management4.ip, machine.management6.ip)]
    addresses += [fabric.management_gateway4.ip, fabric.management_gateway6.ip]
    faults += [
        f"management address {address} is used {count} times"
        for address, count in Counter(addresses).items()
        if count > 1
    ]
    faults += [
        f"{count} cables are called {name}"
        for name, count in Counter(c.name for c in fabric.cables).items()
        if count > 1
    ]
    ends = [end for cable in fabric.cables for end in cable.ends]
    faults += [
        f"{count} cables end in {machine}/{interface}"
        for (machine, interface), count in Counter(ends).items()
        if count > 1
    ]
    for machine, interface in ends:
        if machine not in names:
            faults.append(f"a cable ends in {machine}, which is not a machine")
        is_taken = interface in (LOOPBACK_INTERFACE, MANAGEMENT_INTERFACE, ".", "..")
        if is_taken or not 0 < len(interface) <= LONGEST_INTERFACE_NAME:
            faults.append(f"{interface!r} of {machine} cannot be the name of a cable's end")
        if any(character.isspace() or character in "/:" for character in interface):
            faults.append(f"{interface!r} of {machine} holds a character that interface names cannot")
    return faults
