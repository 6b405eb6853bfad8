"""Who is a host, what Ansible calls it, and in which order a change reaches the nation.

The order is that of least harm: leaves before trunks, one plane of the backbone before the other, so that a change
that turns out wrong is met where few depend on it, and never on both planes at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inventories.model import Nation, Node, Role

_ORDER = (
    Role.COMMUNE,
    Role.MINISTRY,
    Role.DISTRICT,
    Role.CLUSTER,
    Role.GATEWAY,
    Role.PROVINCE,
    Role.OPERATIONS,
    Role.CORE,
)


@dataclass(frozen=True, kw_only=True)
class Host:
    """A node as Ansible sees it."""

    name: str
    variables: dict[str, Any]


def waves_of(nation: Nation) -> tuple[tuple[str, ...], ...]:
    """Return the nodes' names in waves; a wave is changed together, and the next only after it proved sound.

    The first wave is a single node. Nodes that stand in for each other (cores of different planes, provinces, cluster
    hosts of different clusters) are never in one wave.
    """
    waves: list[tuple[str, ...]] = []
    for role in _ORDER:
        nodes = [node for node in nation.nodes if node.role is role]
        if role is Role.COMMUNE and nodes:
            waves += [(nodes[0].name,), tuple(node.name for node in nodes[1:])]
        elif role is Role.CORE:
            waves += [
                tuple(node.name for node in nodes if node.plane == plane.name) for plane in reversed(nation.planes)
            ]
        elif role in (Role.CLUSTER, Role.PROVINCE):
            half = (len(nodes) + 1) // 2
            waves += [tuple(node.name for node in nodes[:half]), tuple(node.name for node in nodes[half:])]
        else:
            waves.append(tuple(node.name for node in nodes))
    return tuple(wave for wave in waves if wave)


def hosts_of(nation: Nation) -> tuple[Host, ...]:
    """Return every node as a host, in the order of the waves."""
    return tuple(
        Host(name=name, variables=variables_of(nation.node_by_name[name])) for wave in waves_of(nation) for name in wave
    )


def variables_of(node: Node) -> dict[str, Any]:
    """Return the host variables of a node."""
    variables: dict[str, Any] = {
        "ansible_host": str(node.management4),
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "node_role": node.role.value,
    }
    if node.cluster is not None:
        variables |= {
            "kubernetes_cluster": node.cluster,
            "kubernetes_loopback4": str(node.loopback.ipv4),
            "kubernetes_loopback6": str(node.loopback.ipv6),
        }
    return variables


def groups_of(nation: Nation) -> dict[str, tuple[str, ...]]:
    """Return the groups and their members, sorted by the group's name."""
    groups: dict[str, list[str]] = {}

    def add(group: str, members: Iterable[str]) -> None:
        groups.setdefault(group.replace("-", "_"), []).extend(members)

    for host in hosts_of(nation):
        node = nation.node_by_name[host.name]
        add("network", [node.name])
        add(f"role_{node.role.value}", [node.name])
        add(f"region_{node.site.region.value}", [node.name])
        if node.site.unit is not None:
            add(f"level_{node.site.unit.level.value}", [node.name])
        if node.plane is not None:
            add(f"plane_{node.plane}", [node.name])
        if node.cluster is not None:
            cluster = nation.cluster_by_id[node.cluster]
            add(f"tier_{cluster.tier.value}", [node.name])
            add(f"cluster_{cluster.id}", [node.name])
    return {group: tuple(members) for group, members in sorted(groups.items())}
