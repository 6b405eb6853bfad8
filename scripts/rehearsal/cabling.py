"""Cables: what joins the machines, and what a digger cuts.

A cable is two veth pairs and a bridge between their near ends, in the `fibre` namespace; their far ends are the
machines' interfaces. The bridge's administrative state *is* the state of the fibre: down means cut. A cut, or a machine
without power at one end, takes the ports down, so that the far ends really lose carrier, as light is lost.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from inventories.model import MANAGEMENT_INTERFACE
from scripts.rehearsal.fabric import Cable, Fabric, Machine
from scripts.rehearsal.identity import (
    CABLE_PREFIX,
    FIBRE,
    MANAGEMENT_BRIDGE,
    OPERATIONS,
    PORT_PREFIX,
    cable_bridge_name,
    hardware_address,
    management_port_name,
    part_name,
    port_name,
)
from scripts.rehearsal.namespace import inside_network_namespace, network_namespaces
from scripts.rehearsal.programs import run_program

IP_SECONDS = 30
# Every link-local group but the three that a bridge may never forward (linux/if_bridge.h BR_GROUPFWD_RESTRICTED): a
# fibre lets LLDP and IS-IS pass.
FORWARDED_GROUPS = "0xfff8"
# Machines are powered on by several threads; ports are listed and then changed by one at a time.
_plugging = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Port:
    """One interface of a namespace: whether it is set up, and whether it has carrier."""

    name: str
    is_up: bool
    has_carrier: bool


def ip_batch(namespace: str, commands: Iterable[str]) -> None:
    """Run `ip` commands inside a namespace, in one process; the first failure stops them."""
    text = "".join(f"{command}\n" for command in commands)
    if text:
        run_program(["ip", "-n", namespace, "-batch", "-"], stdin=text, timeout_seconds=IP_SECONDS)


def parse_ports(text: str) -> dict[str, Port]:
    """Ports by name, from `ip -json link show`."""
    return {
        entry["ifname"]: Port(
            name=entry["ifname"], is_up="UP" in entry["flags"], has_carrier="LOWER_UP" in entry["flags"]
        )
        for entry in json.loads(text or "[]")
        if entry  # iproute2 writes an empty object for what a filter left out
    }


def ports_of(namespace: str) -> dict[str, Port]:
    """All interfaces of a namespace by name; none when there is no such namespace."""
    if namespace not in network_namespaces():
        return {}
    return parse_ports(run_program(["ip", "-n", namespace, "-json", "link", "show"], timeout_seconds=IP_SECONDS))


def add_namespace(namespace: str) -> bool:
    """Make a namespace unless it is there; whether it was made."""
    if namespace in network_namespaces():
        return False
    run_program(["ip", "netns", "add", namespace], timeout_seconds=IP_SECONDS)
    return True


def remove_namespace(namespace: str) -> None:
    """Remove a namespace and with it every interface in it."""
    if namespace in network_namespaces():
        run_program(["ip", "netns", "delete", namespace], timeout_seconds=IP_SECONDS)


def set_kernel_parameters(namespace: str, values: dict[str, str]) -> None:
    """Write /proc/sys/net parameters of a namespace; names are paths below /proc/sys/net."""
    with inside_network_namespace(namespace):
        for name, value in values.items():
            Path("/proc/sys/net", name).write_text(value)


def lay_ground(fabric: Fabric) -> bool:
    """Make the `ops` and `fibre` namespaces and the bridges in them where they are missing; whether any was."""
    operations = part_name(fabric.checkout_id, OPERATIONS)
    fibre = part_name(fabric.checkout_id, FIBRE)
    made = add_namespace(operations)
    made = add_namespace(fibre) or made
    if MANAGEMENT_BRIDGE not in ports_of(operations):
        made = True
        set_kernel_parameters(operations, {"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"})
        address = hardware_address(OPERATIONS, MANAGEMENT_BRIDGE)
        ip_batch(
            operations,
            [
                "link set lo up",
                f"link add {MANAGEMENT_BRIDGE} address {address} type bridge stp_state 0 mcast_snooping 0",
            ],
        )
    # Set again each time: a run that was killed between the bridge and its addresses is healed by the next.
    ip_batch(
        operations,
        [
            f"address replace {fabric.management_gateway4} dev {MANAGEMENT_BRIDGE}",
            f"address replace {fabric.management_gateway6} dev {MANAGEMENT_BRIDGE} nodad",
            f"link set {MANAGEMENT_BRIDGE} up",
        ],
    )
    # A fibre has no address of its own and says nothing by itself.
    set_kernel_parameters(fibre, {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"})
    there = ports_of(fibre)
    bridges = {cable_bridge_name(cable.name) for cable in fabric.cables}
    ports = {port_name(cable.name, end) for cable in fabric.cables for end in (0, 1)}
    surplus = [
        name
        for name in there
        if (name.startswith(CABLE_PREFIX) and name not in bridges)
        or (name.startswith(PORT_PREFIX) and name not in ports)
    ]
    ip_batch(fibre, [f"link delete {name}" for name in surplus])
    missing = [cable for cable in fabric.cables if cable_bridge_name(cable.name) not in there]
    ip_batch(fibre, [command for cable in missing for command in _bridge_commands(cable)])
    return made or bool(missing) or bool(surplus)


def _bridge_commands(cable: Cable) -> list[str]:
    bridge = cable_bridge_name(cable.name)
    return [
        f"link add {bridge} type bridge stp_state 0 mcast_snooping 0 group_fwd_mask {FORWARDED_GROUPS}",
        f"link set {bridge} alias {cable.name}",
        f"link set {bridge} up",
    ]


def plug_in(fabric: Fabric, machine: Machine, *, keep_plugged: bool) -> bool:
    """Give a machine's namespace its management port and the ends of its cables; whether anything was added.

    With *keep_plugged* only what is missing is added (the machine runs); otherwise every end is made anew. The near end
    of a cable is set up only when the cable is whole and the machine at its other end is plugged in too.
    """
    with _plugging:
        namespace = part_name(fabric.checkout_id, machine.name)
        fibre = part_name(fabric.checkout_id, FIBRE)
        plugged = ports_of(namespace) if keep_plugged else {}
        management_missing = MANAGEMENT_INTERFACE not in plugged
        if management_missing:
            _plug_management_in(fabric, machine)
        ends = [
            (cable, end, interface)
            for cable in fabric.cables_of(machine.name)
            for end, (owner, interface) in enumerate(cable.ends)
            if owner == machine.name and interface not in plugged
        ]
        there = ports_of(fibre)
        commands = []
        for cable, end, interface in ends:
            port, bridge = port_name(cable.name, end), cable_bridge_name(cable.name)
            if port in there:
                commands.append(f"link delete {port}")
            address = hardware_address(machine.name, interface)
            commands += [
                f"link add {port} type veth peer name {interface} address {address} netns {namespace}",
                f"link set {port} master {bridge}",
            ]
        ip_batch(fibre, commands)
        _light(fabric, fabric.cables_of(machine.name))
        return management_missing or bool(ends)


def _plug_management_in(fabric: Fabric, machine: Machine) -> None:
    namespace = part_name(fabric.checkout_id, machine.name)
    operations = part_name(fabric.checkout_id, OPERATIONS)
    near = management_port_name(machine.name)
    address = hardware_address(machine.name, MANAGEMENT_INTERFACE)
    ip_batch(
        operations,
        [
            *([f"link delete {near}"] if near in ports_of(operations) else []),
            f"link add {near} type veth peer name {MANAGEMENT_INTERFACE} address {address} netns {namespace}",
            f"link set {near} alias {machine.name} master {MANAGEMENT_BRIDGE} up",
        ],
    )
    ip_batch(
        namespace,
        [
            "link set lo up",
            f"address replace {machine.management4} dev {MANAGEMENT_INTERFACE}",
            f"address replace {machine.management6} dev {MANAGEMENT_INTERFACE} nodad",
            f"link set {MANAGEMENT_INTERFACE} up",
        ],
    )


def unplug(fabric: Fabric, machine: Machine) -> None:
    """Take away a machine's ends of its cables: the machines at the other ends lose carrier."""
    with _plugging:
        operations, fibre = part_name(fabric.checkout_id, OPERATIONS), part_name(fabric.checkout_id, FIBRE)
        there = ports_of(fibre)
        ends = [
            port_name(cable.name, end)
            for cable in fabric.cables_of(machine.name)
            for end, (owner, _) in enumerate(cable.ends)
            if owner == machine.name
        ]
        # The kernel deletes a veth's far end before the command returns, unlike a namespace's.
        ip_batch(fibre, [f"link delete {port}" for port in ends if port in there])
        near = management_port_name(machine.name)
        ip_batch(operations, [f"link delete {near}"] if near in ports_of(operations) else [])
        _light(fabric, fabric.cables_of(machine.name))


def _light(fabric: Fabric, cables: Iterable[Cable]) -> None:
    """Set the ports of each cable: up when the cable is whole and both ends are plugged in, else down."""
    fibre = part_name(fabric.checkout_id, FIBRE)
    there = ports_of(fibre)
    commands = []
    for cable in cables:
        bridge = there.get(cable_bridge_name(cable.name))
        ports = [port_name(cable.name, end) for end in (0, 1)]
        lit = bridge is not None and bridge.is_up and all(port in there for port in ports)
        commands += [
            f"link set {port} {'up' if lit else 'down'}" for port in ports if port in there and there[port].is_up != lit
        ]
    ip_batch(fibre, commands)


def cut(fabric: Fabric, cable_name: str) -> None:
    """Cut a cable: both ends lose carrier. Cutting a cut cable changes nothing."""
    cable = fabric.cable(cable_name)
    ip_batch(part_name(fabric.checkout_id, FIBRE), [f"link set {cable_bridge_name(cable.name)} down"])
    _light(fabric, [cable])


def splice(fabric: Fabric, cable_name: str) -> None:
    """Make a cut cable whole. Splicing a whole one changes nothing."""
    cable = fabric.cable(cable_name)
    ip_batch(part_name(fabric.checkout_id, FIBRE), [f"link set {cable_bridge_name(cable.name)} up"])
    _light(fabric, [cable])


def is_cut(fabric: Fabric, cable_name: str) -> bool:
    """Whether a cable is cut (or not laid at all)."""
    bridge = ports_of(part_name(fabric.checkout_id, FIBRE)).get(cable_bridge_name(fabric.cable(cable_name).name))
    return bridge is None or not bridge.is_up


def cut_cables(fabric: Fabric) -> frozenset[str]:
    """Names of all cables that are cut, asked of the kernel once."""
    there = ports_of(part_name(fabric.checkout_id, FIBRE))
    return frozenset(
        cable.name
        for cable in fabric.cables
        if (bridge := there.get(cable_bridge_name(cable.name))) is None or not bridge.is_up
    )
