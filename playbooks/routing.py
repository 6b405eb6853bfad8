"""Who tells whom about which prefixes: the routing policy of every node, as facts the templates only spell out.

The rule in both families: upward a node announces what is its own or below it and nothing else; downward it gives a
child that has several ways up the nation's prefixes to choose between, and a child with one way up a default. What a
neighbour may announce is listed, prefix by prefix, from the declaration (RFC 7454, RFC 8212).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from inventories.model import Cluster, DualStack, Interface, Nation, Node, Role, Session, SessionKind

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

POD_BITS_PER_HOST4 = 8  # 256 addresses of a cluster's pods for each of its hosts
POD_BITS_PER_HOST6 = 48  # of 128: a /80 for each host, out of the cluster's /64
REFERENCE_MBPS = 1_000_000  # OSPF cost 1; a backbone link of 10 Gb/s costs 100
HIGHEST_OSPF_COST = 65_535  # RFC 2328, A.4.2: 16 bits


@dataclass(frozen=True, kw_only=True)
class FamilySession:
    """One BGP session in one address family; `version` is 4 or 6."""

    peer: str
    version: int
    address: Address
    peer_as: int
    is_external: bool
    gets_default: bool
    map_in: str
    map_out: str
    arrives_on: str  # nftables' words for the interfaces its packets come in at


@dataclass(frozen=True, kw_only=True)
class PrefixList:
    """A named list of prefixes; each entry is FRR's text after `seq N`."""

    name: str
    version: int
    entries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RouteMap:
    """A named decision: permit or deny what a prefix list holds (everything, without one)."""

    name: str
    version: int
    action: str
    prefix_list: str | None


@dataclass(frozen=True, kw_only=True)
class BackboneLink:
    """A link inside a plane, with its OSPF cost."""

    interface: Interface
    cost: int


@dataclass(frozen=True, kw_only=True)
class Routing:
    """Everything about one node's routing."""

    own: tuple[Prefix, ...]
    sessions: tuple[FamilySession, ...]
    prefix_lists: tuple[PrefixList, ...]
    route_maps: tuple[RouteMap, ...]
    backbone: tuple[BackboneLink, ...]


def pods_of_host(nation: Nation, node: Node) -> DualStack | None:
    """Return the part of its cluster's pod prefixes that a cluster host hands out, None for any other node."""
    if node.cluster is None:
        return None
    cluster: Cluster = nation.cluster_by_id[node.cluster]
    index = [host.name for host in cluster.hosts].index(node.name)
    first4 = cluster.pods.ipv4.network_address + (index << POD_BITS_PER_HOST4)
    first6 = cluster.pods.ipv6.network_address + (index << POD_BITS_PER_HOST6)
    return DualStack(
        ipv4=IPv4Network((first4, 32 - POD_BITS_PER_HOST4)), ipv6=IPv6Network((first6, 128 - POD_BITS_PER_HOST6))
    )


def own_prefixes(nation: Nation, node: Node) -> tuple[Prefix, ...]:
    """Return what a node itself announces: its loopback addresses and, of a cluster host, its pods."""
    found: list[Prefix] = [IPv4Network(node.loopback.ipv4), IPv6Network(node.loopback.ipv6)]
    pods = pods_of_host(nation, node)
    if pods is not None:
        found += [pods.ipv4, pods.ipv6]
    return tuple(found)


def plane_prefixes(nation: Nation, node: Node) -> tuple[Prefix, ...]:
    """Return the loopback prefixes of the plane's other cores, which a core announces outward as OSPF brings them.

    Told over iBGP each would have itself as next hop, which FRR holds to be inaccessible.
    """
    found: list[Prefix] = []
    for other in nation.with_role(Role.CORE):
        if node.role is Role.CORE and other.plane == node.plane and other is not node:
            found += [IPv4Network(other.loopback.ipv4), IPv6Network(other.loopback.ipv6)]
    return tuple(found)


def children_of(nation: Nation, node: Node) -> tuple[Node, ...]:
    """Return the nodes for which this one is a way up."""
    return tuple(
        nation.node_by_name[session.peer]
        for session in node.sessions
        if session.kind is SessionKind.EXTERNAL and not session.is_upward
    )


def prefixes_below(nation: Nation, node: Node) -> tuple[Prefix, ...]:
    """Return the prefixes of the node and of everything below it, sorted, each once."""
    found: set[Prefix] = set()
    waiting = [node]
    seen: set[str] = set()
    while waiting:
        current = waiting.pop()
        if current.name in seen:
            continue
        seen.add(current.name)
        found.update(own_prefixes(nation, current))
        waiting.extend(children_of(nation, current))
    return tuple(sorted(found, key=lambda prefix: (prefix.version, int(prefix.network_address), prefix.prefixlen)))


def has_one_way_up(node: Node) -> bool:
    """Whether everything a node sends upward goes to one neighbour, so that a default route serves it."""
    return sum(1 for session in node.sessions if session.is_upward) == 1


def routing_of(nation: Nation, node: Node) -> Routing:
    """Return the node's sessions, filters and links as the declaration demands them."""
    sessions: list[FamilySession] = []
    lists: dict[str, PrefixList] = {}
    maps: dict[str, RouteMap] = {}
    for session in node.sessions:
        for version in (4, 6):
            rules_in, rules_out = _policy(nation, node, session, version)
            for map_, list_ in (rules_in, rules_out):
                maps[map_.name] = map_
                if list_ is not None:
                    lists[list_.name] = list_
            addresses = session.peer_addresses
            sessions.append(
                FamilySession(
                    peer=session.peer,
                    version=version,
                    address=addresses.ipv4 if version == 4 else addresses.ipv6,  # noqa: PLR2004 - the families' own names
                    peer_as=session.peer_as,
                    is_external=session.kind is SessionKind.EXTERNAL,
                    gets_default=_gets_default(nation, session),
                    map_in=rules_in[0].name,
                    map_out=rules_out[0].name,
                    arrives_on=_arrives_on(node, session),
                )
            )
    return Routing(
        own=(*own_prefixes(nation, node), *plane_prefixes(nation, node)),
        sessions=tuple(sorted(sessions, key=lambda session: (session.version, session.peer))),
        prefix_lists=tuple(lists[name] for name in sorted(lists)),
        route_maps=tuple(maps[name] for name in sorted(maps)),
        backbone=tuple(backbone_links(nation, node)),
    )


def backbone_links(nation: Nation, node: Node) -> Iterator[BackboneLink]:
    """Yield the links of a core router to other cores of its plane."""
    for interface in node.interfaces:
        if node.role is Role.CORE and nation.node_by_name[interface.peer].role is Role.CORE:
            capacity = nation.link_by_name[interface.link].link_class.capacity_mbps
            cost = min(HIGHEST_OSPF_COST, max(1, REFERENCE_MBPS // capacity))
            yield BackboneLink(interface=interface, cost=cost)


def _gets_default(nation: Nation, session: Session) -> bool:
    is_child = session.kind is SessionKind.EXTERNAL and not session.is_upward
    return is_child and has_one_way_up(nation.node_by_name[session.peer])


def _arrives_on(node: Node, session: Session) -> str:
    """Where packets of the session come in; those between loopback addresses, at any link inside the plane."""
    if session.kind is SessionKind.EXTERNAL:
        return f'"{session.interface}"'
    return "{ " + ", ".join(f'"{interface.name}"' for interface in node.interfaces if interface.plane) + " }"


_Rules = tuple[RouteMap, PrefixList | None]


def _policy(nation: Nation, node: Node, session: Session, version: int) -> tuple[_Rules, _Rules]:
    """Return what is taken from and what is told to the neighbour of a session."""
    nations = _list(f"nation{version}", version, tuple(f"permit {prefix} le {_longest(version)}" for prefix in
                    nation_prefixes(nation, version)))  # fmt: skip
    if session.kind is SessionKind.INTERNAL:
        everything = _permit(f"plane{version}", nations)
        return everything, everything
    if session.is_upward:
        below = _list(f"below{version}", version, _exactly(prefixes_below(nation, node), version))
        default = _list(f"default{version}", version, (f"permit {'0.0.0.0/0' if version == 4 else '::/0'}",))  # noqa: PLR2004
        taken = _permit(f"default{version}", default) if has_one_way_up(node) else _permit(f"nation{version}", nations)
        return taken, _permit(f"below{version}", below)
    child = nation.node_by_name[session.peer]
    theirs = _list(f"{child.name}.{version}", version, _exactly(prefixes_below(nation, child), version))
    told: _Rules = _permit(f"nation{version}", nations)
    if has_one_way_up(child):
        told = (RouteMap(name=f"nothing{version}", version=version, action="deny", prefix_list=None), None)
    return _permit(f"{child.name}.{version}", theirs), told


def nation_prefixes(nation: Nation, version: int) -> tuple[Prefix, ...]:
    """Return the nation's prefixes of one family, those that lie in another one left out."""
    found: list[Prefix] = []
    for both in nation.prefixes:
        prefix: Prefix = both.ipv4 if version == 4 else both.ipv6  # noqa: PLR2004
        found.append(prefix)
    return tuple(
        prefix
        for prefix in sorted(set(found), key=lambda prefix: (int(prefix.network_address), prefix.prefixlen))
        if not any(other != prefix and _covers(other, prefix) for other in found)
    )


def _covers(wide: Prefix, narrow: Prefix) -> bool:
    return wide.prefixlen <= narrow.prefixlen and narrow.network_address in wide


def _longest(version: int) -> int:
    return 32 if version == 4 else 128  # noqa: PLR2004


def _exactly(prefixes: tuple[Prefix, ...], version: int) -> tuple[str, ...]:
    return tuple(f"permit {prefix}" for prefix in prefixes if prefix.version == version)


def _list(name: str, version: int, entries: tuple[str, ...]) -> PrefixList:
    return PrefixList(name=name, version=version, entries=entries)


def _permit(name: str, list_: PrefixList) -> _Rules:
    return RouteMap(name=name, version=list_.version, action="permit", prefix_list=list_.name), list_
