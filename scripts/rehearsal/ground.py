"""The ground that a nation's rehearsal stands on: its nodes as machines, its links as cables."""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from inventories import load_nation
from inventories.model import Nation, Node, Role
from scripts.access import STATE, Access
from scripts.rehearsal.fabric import Bind, Cable, Fabric, Machine
from scripts.rehearsal.identity import OPERATIONS, checkout_id, part_name
from scripts.toolchain.cache import cache_root, program_path

CODE_ON_OPERATIONS = Path("/opt/cgc")
# The rooms alone: the checkout also holds the rehearsal's private keys.
ROOMS = ("inventories", "stacks", "playbooks", "exporters", "policies", "scripts")
KUBERNETES_PROGRAMS = ("kubelet", "kubeadm", "kubectl")
PACKAGES_ON_OPERATIONS = Path("/opt/cgc-site-packages")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A rehearsal's nation, the machines and cables it stands on, and how to reach them."""

    nation: Nation
    fabric: Fabric
    access: Access


def ground_of(declaration: Path, *, checkout: Path) -> Ground:
    """Return the ground of the declaration's rehearsal in this checkout; touches nothing."""
    nation = load_nation(declaration)
    state = checkout / STATE
    fabric = fabric_of(nation, checkout=checkout, state=state, site_packages=Path(sysconfig.get_path("purelib")))
    namespace = part_name(fabric.checkout_id, OPERATIONS)
    return Ground(nation=nation, fabric=fabric, access=Access(state=state, namespace=namespace))


def fabric_of(nation: Nation, *, checkout: Path, state: Path, site_packages: Path) -> Fabric:
    """Return the machines and cables that rehearse *nation*.

    The operations centre's machine sees this checkout's rooms and its Python packages, read-only, in place of an
    installed package. The operator's own management addresses are the last but one of the management prefixes.
    """
    management = nation.management
    return Fabric(
        checkout=checkout,
        checkout_id=checkout_id(checkout),
        state_directory=state,
        cache_directory=cache_root(os.environ),
        machines=tuple(_machine(node, checkout, site_packages) for node in nation.nodes),
        cables=tuple(_cable(nation, link.name) for link in nation.links),
        management_gateway4=IPv4Interface(f"{management.ipv4[-2]}/{management.ipv4.prefixlen}"),
        management_gateway6=IPv6Interface(f"{management.ipv6[-2]}/{management.ipv6.prefixlen}"),
    )


def _machine(node: Node, checkout: Path, site_packages: Path) -> Machine:
    binds: tuple[Bind, ...] = ()
    if node.role is Role.OPERATIONS:
        binds = (
            *(Bind(source=checkout / room, target=CODE_ON_OPERATIONS / room) for room in ROOMS),
            Bind(source=site_packages, target=PACKAGES_ON_OPERATIONS),
        )
    elif node.role is Role.CLUSTER:
        binds = tuple(Bind(source=program_path(name), target=Path("/usr/bin", name)) for name in KUBERNETES_PROGRAMS)
    return Machine(
        name=node.name,
        management4=node.management[0],
        management6=node.management[1],
        wants_kubernetes=node.role is Role.CLUSTER,
        binds=binds,
        ssh_principals=(str(node.loopback.ipv4), str(node.loopback.ipv6)),
    )


def _cable(nation: Nation, name: str) -> Cable:
    link = nation.link_by_name[name]
    lower, upper = link.ends
    return Cable(name=name, ends=((lower, upper), (upper, lower)))
