"""Who is a host, what Ansible calls it, and in which order a change reaches the nation.

The order is that of least harm: leaves before trunks, one plane of the backbone before the other, so that a change
that turns out wrong is met where few depend on it, and never on both planes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    variables: dict[str, str | int]


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
        Host(name=name, variables=variables_of(nation, nation.node_by_name[name]))
        for wave in waves_of(nation)
        for name in wave
    )


def variables_of(nation: Nation, node: Node) -> dict[str, str | int]:
    """Return the host variables of a node, all of them in playbooks/knobs.py: FACTS; what it has not is left out."""
    site = node.site
    cluster = nation.cluster_by_id[node.cluster] if node.cluster is not None else None
    agency = nation.agency_by_id[cluster.operator] if cluster is not None else nation.agency_at(site)
    found: dict[str, str | int | None] = {
        "ansible_host": str(node.management4),
        "ansible_user": "root",
        "ansible_python_interpreter": "/usr/bin/python3",
        "node_role": node.role.value,
        "site": site.code,
        "site_name": site.name,
        "home": site.home,
        "region": site.region.value,
        "province": site.province,
        "level": site.level.value if site.level is not None else None,
        "access_level": site.access_level,
        "agency": agency.id if agency is not None else None,
        "plane": node.plane,
        "cluster": node.cluster,
        "tier": cluster.tier.value if cluster is not None else None,
        "as_number": node.as_number,
        "loopback4": str(node.loopback.ipv4),
        "loopback6": str(node.loopback.ipv6),
    }
    return {name: value for name, value in found.items() if value is not None}


# A group's name begins with the first, and ends with the value of the second.
_GROUPED_BY = (
    ("role", "node_role"),
    ("level", "level"),
    ("region", "region"),
    ("province", "province"),
    ("agency", "agency"),
    ("plane", "plane"),
    ("tier", "tier"),
    ("cluster", "cluster"),
)


def groups_of(nation: Nation, hosts: Sequence[Host]) -> dict[str, tuple[str, ...]]:
    """Return the groups and their members, both in order: `network`, which is everybody, before the rest by name.

    Ansible lists `all` group by group, so that the first group's order, that of the waves, is the order of `all`.
    """
    groups: dict[str, list[str]] = {}

    def add(prefix: str, value: str | int, member: str) -> None:
        groups.setdefault(f"{prefix}_{value}".replace("-", "_"), []).append(member)

    for host in hosts:
        for prefix, variable in _GROUPED_BY:
            if variable in host.variables:
                add(prefix, host.variables[variable], host.name)
        centre = nation.node_by_name[host.name].site.centre
        if centre is not None:
            add("centre", centre.kind.value, host.name)
    everybody = {"network": tuple(host.name for host in hosts)}
    return everybody | {group: tuple(members) for group, members in sorted(groups.items())}
