"""Expand a declaration's design rules into every node, link, address and session of the nation.

Every node has a number that derives from its stable code alone, and every address is a pool's first address plus
that number, so adding or removing a sibling moves nothing. The graph is a tree of homing (commune → district →
province → regional centre, both planes at once from the province up) plus the declared backbone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import TypeVar

from inventories.checking import check_expansion, check_references
from inventories.declaration import (
    AgenciesFile,
    CentresFile,
    ClustersFile,
    Declaration,
    NationFile,
    NetworkFile,
    ObjectivesFile,
    OverridesFile,
    PlatformsFile,
    TiersFile,
)
from inventories.model import (
    Addresses,
    Centre,
    CentreKind,
    DualStack,
    Interface,
    Link,
    LinkClass,
    Nation,
    Node,
    Override,
    Region,
    Role,
    Session,
    SessionKind,
    Site,
    Tunnel,
    Unit,
    UnitLevel,
)
from inventories.places import places_of
from inventories.reading import Reader

T = TypeVar("T")

# First numbers of each kind of node: codes of communes are below 2**17, of districts below 1,024, of provinces < 100.
FIRST_DISTRICT = 0x20000
FIRST_PROVINCE = 0x20400
FIRST_CORE = 0x20500  # 10 a centre, so that each plane has its own
FIRST_EDGE = 0x20900  # ministries, gateways, operations centres: their centre's number is added
FIRST_HOST = 0x20A00  # cluster hosts: their declared number is added
HIGHEST_COMMUNE_CODE = FIRST_DISTRICT - 1


@dataclass(frozen=True, kw_only=True)
class _Wire:
    """A link before it has addresses: the lower node's `slot`-th way up."""

    lower: str
    upper: str
    slot: int
    link_class: LinkClass
    plane: str | None
    route: str
    is_overlay: bool = False  # carries a WireGuard tunnel, and routing runs inside that


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A node before it has links."""

    name: str
    role: Role
    number: int
    site: Site
    plane: str | None
    as_number: int
    cluster: str | None = None


def load_nation(directory: Path, *, today: date | None = None) -> Nation:
    """Read, check and expand the declaration in `directory`.

    `today` (UTC) decides which overrides are past their date. Raises `DeclarationRefusedError` with every problem.
    """
    reader = Reader(directory)
    declaration = _read(reader)
    check_references(declaration, reader, today=today or datetime.now(UTC).date())
    reader.refuse_if_wrong()
    nation = replace(expand(declaration, directory), places=places_of(declaration, reader))
    check_expansion(nation, declaration, reader)
    reader.refuse_if_wrong()
    return nation


def _read(reader: Reader) -> Declaration:
    nation = reader.read("nation.yaml", NationFile)
    units = reader.read_rows("units.csv", Unit)
    centres = reader.read("centres.yaml", CentresFile)
    network = reader.read("network.yaml", NetworkFile)
    tiers = reader.read("tiers.yaml", TiersFile)
    clusters = reader.read("clusters.yaml", ClustersFile)
    agencies = reader.read("agencies.yaml", AgenciesFile)
    platforms = reader.read("platforms.yaml", PlatformsFile)
    objectives = reader.read("objectives.yaml", ObjectivesFile)
    overrides: list[Override] = []
    for path in sorted((reader.directory / "overrides").glob("*.yaml")):
        file = f"overrides/{path.name}"
        read = reader.read(file, OverridesFile)
        for index, override in enumerate(read.overrides if read else ()):
            overrides.append(replace(override, place=reader.place(file, "overrides", index)))
    reader.refuse_if_wrong()
    # after refuse_if_wrong every file was read; the assertions tell the type checker
    assert nation and centres and network and tiers and clusters and agencies and platforms and objectives  # noqa: PT018, S101
    return Declaration(
        nation=nation,
        units=tuple(sorted(units, key=lambda unit: unit.code)),
        centres=centres,
        network=network,
        tiers=tiers,
        clusters=clusters,
        agencies=agencies,
        platforms=platforms,
        objectives=objectives,
        overrides=tuple(overrides),
    )


def expand(declaration: Declaration, directory: Path) -> Nation:
    """Return the nation that follows from a declaration whose references are sound."""
    network = declaration.network
    sites = _sites(declaration)
    places = _places(declaration, sites)
    wires = _wires(declaration, places)
    communes = _communes_above(declaration, wires)
    links = tuple(
        Link(
            name=_link_name(wire),
            ends=(wire.lower, wire.upper),
            link_class=wire.link_class,
            plane=wire.plane,
            route=wire.route,
            communes=communes.get(wire.lower, ()),
        )
        for wire in wires
    )
    return Nation(
        name=declaration.nation.name,
        title=declaration.nation.title,
        scheme=declaration.nation.scheme,
        domain=declaration.nation.domain,
        directory=directory,
        units=declaration.units,
        centres=_by(declaration.centres.centres, "code"),
        planes=_by(network.planes, "name"),
        prefixes=(
            network.pools.loopbacks,
            network.pools.links,
            network.pools.overlays,
            *(prefix for cluster in declaration.clusters.clusters for prefix in (cluster.pods, cluster.services)),
        ),
        management=network.pools.management,
        bgp_hold=network.bgp.hold,
        maximum_prefixes=network.bgp.maximum_prefixes,
        nodes=_nodes(network, places, wires),
        links=tuple(sorted(links, key=lambda link: link.name)),
        tiers=_by(declaration.tiers.tiers, "name"),
        log_retention=_by(declaration.tiers.log_retention, "level"),
        clusters=_by(declaration.clusters.clusters, "id"),
        agencies=_by(declaration.agencies.agencies, "id"),
        platforms=_by(declaration.platforms.platforms, "id"),
        objectives=_by(declaration.objectives.objectives, "id"),
        overrides=declaration.overrides,
    )


def _by(things: Iterable[T], attribute: str) -> tuple[T, ...]:
    return tuple(sorted(things, key=lambda thing: getattr(thing, attribute)))


def node_name_of_unit(unit: Unit) -> str:
    """Return the name of a unit's router."""
    return f"{unit.level}-{unit.code}"


def _sites(declaration: Declaration) -> dict[str, Site]:
    region_of = {centre.code: centre.region for centre in declaration.centres.centres}
    homes = homes_of_provinces(declaration)
    by_code = {unit.code: unit for unit in declaration.units}
    sites: dict[str, Site] = {}
    for unit in declaration.units:
        if unit.level is UnitLevel.COUNTRY:
            continue
        province = unit
        while province.level is not UnitLevel.PROVINCE and province.parent is not None:
            province = by_code[province.parent]
        region: Region = region_of[homes[province.code]]
        sites[unit.code] = Site(
            code=unit.code,
            name=unit.name,
            region=region,
            latitude=unit.latitude,
            longitude=unit.longitude,
            unit=unit,
            centre=None,
        )
    for centre in declaration.centres.centres:
        sites[centre.code] = Site(
            code=centre.code,
            name=centre.name,
            region=centre.region,
            latitude=centre.latitude,
            longitude=centre.longitude,
            unit=None,
            centre=centre,
        )
    return sites


def homes_of_provinces(declaration: Declaration) -> dict[str, str]:
    """Return the regional centre of each province: the overridden one, else the nearest (by code, if equally near)."""
    overridden = {item.subject: item.value for item in declaration.overrides if item.fact == "homed_at"}
    regional = [centre for centre in declaration.centres.centres if centre.kind is CentreKind.REGIONAL]
    return {
        unit.code: overridden.get(
            unit.code,
            min(regional, key=lambda centre: (_distance(unit, centre), centre.code)).code,
        )
        for unit in declaration.units
        if unit.level is UnitLevel.PROVINCE
    }


def _distance(unit: Unit, centre: Centre) -> float:
    """Great-circle distance in radians (haversine formula)."""
    latitude, other = math.radians(unit.latitude), math.radians(centre.latitude)
    across = math.radians(centre.longitude - unit.longitude)
    half = math.sin((other - latitude) / 2) ** 2 + math.cos(latitude) * math.cos(other) * math.sin(across / 2) ** 2
    return 2 * math.asin(math.sqrt(half))


def _places(declaration: Declaration, sites: Mapping[str, Site]) -> dict[str, _Place]:
    base = declaration.network.as_number_base
    places: list[_Place] = []

    def add(name: str, role: Role, number: int, site: str, *, as_number: int = 0, **more: str) -> None:
        places.append(
            _Place(
                name=name,
                role=role,
                number=number,
                site=sites[site],
                plane=more.get("plane"),
                as_number=as_number or base + number,
                cluster=more.get("cluster"),
            )
        )

    firsts = {
        UnitLevel.PROVINCE: (Role.PROVINCE, FIRST_PROVINCE),
        UnitLevel.DISTRICT: (Role.DISTRICT, FIRST_DISTRICT),
        UnitLevel.COMMUNE: (Role.COMMUNE, 0),
    }
    for unit in declaration.units:
        if unit.level in firsts:
            role, first = firsts[unit.level]
            add(node_name_of_unit(unit), role, first + int(unit.code), unit.code)
    edges = {
        CentreKind.GATEWAY: Role.GATEWAY,
        CentreKind.MINISTRY: Role.MINISTRY,
        CentreKind.OPERATIONS: Role.OPERATIONS,
    }
    for centre in declaration.centres.centres:
        if centre.kind in edges:
            name = f"{centre.code}-1" if centre.kind is CentreKind.OPERATIONS else centre.code
            add(name, edges[centre.kind], FIRST_EDGE + centre.number, centre.code)
        else:
            for index, plane in enumerate(_by(declaration.network.planes, "name")):
                number = FIRST_CORE + centre.number * 10 + index
                name = f"core-{plane.name}-{centre.code}"
                add(name, Role.CORE, number, centre.code, as_number=plane.as_number, plane=plane.name)
    for cluster in declaration.clusters.clusters:
        for host in cluster.hosts:
            add(host.name, Role.CLUSTER, FIRST_HOST + host.number, cluster.site, cluster=cluster.id)
    return {place.name: place for place in places}


def _wires(declaration: Declaration, places: Mapping[str, _Place]) -> list[_Wire]:
    network = declaration.network
    classes = {link_class.name: link_class for link_class in network.link_classes}
    homes = homes_of_provinces(declaration)
    by_code = {unit.code: unit for unit in declaration.units}
    attached = {centre.code: centre.attached_to for centre in declaration.centres.centres if centre.attached_to}
    wires: list[_Wire] = []

    def to_both_planes(lower: str, centre: str, link_class: str) -> None:
        for slot, plane in enumerate(_by(network.planes, "name")):
            wires.append(
                _Wire(
                    lower=lower,
                    upper=f"core-{plane.name}-{centre}",
                    slot=slot,
                    link_class=classes[link_class],
                    plane=plane.name,
                    route=f"{lower}/{plane.name}",
                )
            )

    def to_one(lower: str, upper: str, link_class: str, *, is_overlay: bool = False) -> None:
        chosen = classes[link_class]
        route = f"{lower}/{upper}"
        wires.append(
            _Wire(lower=lower, upper=upper, slot=0, link_class=chosen, plane=None, route=route, is_overlay=is_overlay)
        )

    for link in network.backbone:
        lower, upper = sorted(f"core-{link.plane}-{end}" for end in link.ends)
        chosen = classes[link.link_class]
        slot = sum(1 for wire in wires if wire.lower == lower)
        wires.append(_Wire(lower=lower, upper=upper, slot=slot, link_class=chosen, plane=link.plane, route=link.route))
    for place in places.values():
        unit = place.site.unit
        if place.role is Role.CLUSTER:
            if unit is not None:
                to_one(place.name, node_name_of_unit(unit), "provincial")
            elif place.site.code in attached:
                to_one(place.name, place.site.code, "centre")
            else:
                to_both_planes(place.name, place.site.code, "centre")
        elif place.role in (Role.MINISTRY, Role.GATEWAY, Role.OPERATIONS):
            to_both_planes(place.name, attached[place.site.code], "centre")
        elif unit is not None and place.role is Role.PROVINCE:
            to_both_planes(place.name, homes[unit.code], "provincial")
        elif unit is not None and unit.parent is not None:
            parent = by_code[unit.parent]
            is_commune = place.role is Role.COMMUNE
            to_one(place.name, node_name_of_unit(parent), "access" if is_commune else "district", is_overlay=is_commune)
    return wires


def _link_name(wire: _Wire) -> str:
    return f"{wire.lower}--{wire.upper}"


def _communes_above(declaration: Declaration, wires: Iterable[_Wire]) -> dict[str, tuple[str, ...]]:
    """For each node, the codes of the communes at or below it."""
    uppers: dict[str, set[str]] = defaultdict(set)
    for wire in wires:
        uppers[wire.lower].add(wire.upper)
    found: dict[str, set[str]] = defaultdict(set)
    for unit in declaration.units:
        if unit.level is not UnitLevel.COMMUNE:
            continue
        frontier = {node_name_of_unit(unit)}
        while frontier:
            for name in frontier:
                found[name].add(unit.code)
            frontier = {upper for name in frontier if not name.startswith("core-") for upper in uppers[name]}
    return {name: tuple(sorted(codes)) for name, codes in found.items()}


def _nodes(network: NetworkFile, places: Mapping[str, _Place], wires: Iterable[_Wire]) -> tuple[Node, ...]:
    interfaces: dict[str, list[Interface]] = defaultdict(list)
    tunnels: dict[str, list[Tunnel]] = defaultdict(list)
    sessions: dict[str, list[Session]] = defaultdict(list)
    pools = network.pools
    loopbacks = {name: _at(pools.loopbacks, place.number) for name, place in places.items()}
    for wire in wires:
        lower, upper = places[wire.lower], places[wire.upper]
        first = lower.number * 4 + wire.slot * 2
        ends = [(lower, upper, first, first + 1), (upper, lower, first + 1, first)]
        for place, peer, mine, theirs in ends:
            interface = Interface(
                name=peer.name,
                link=_link_name(wire),
                peer=peer.name,
                plane=wire.plane,
                ipv4=IPv4Interface(f"{_at(pools.links, mine).ipv4}/31"),
                ipv6=IPv6Interface(f"{_at(pools.links, mine).ipv6}/127"),
                peer_addresses=_at(pools.links, theirs),
            )
            interfaces[place.name].append(interface)
            over, peer_addresses = interface.name, interface.peer_addresses
            if wire.is_overlay:
                offset = lower.number * 2
                inner, outer = (offset, offset + 1) if place is lower else (offset + 1, offset)
                tunnel = Tunnel(
                    name=f"wg-{peer.site.code}",
                    peer=peer.name,
                    underlay=interface.name,
                    ipv4=IPv4Interface(f"{_at(pools.overlays, inner).ipv4}/31"),
                    ipv6=IPv6Interface(f"{_at(pools.overlays, inner).ipv6}/127"),
                    peer_addresses=_at(pools.overlays, outer),
                    listen_port=_wireguard_port(network, place, lower),
                    endpoint=interface.peer_addresses.ipv6,
                    endpoint_port=_wireguard_port(network, peer, lower),
                )
                tunnels[place.name].append(tunnel)
                over, peer_addresses = tunnel.name, tunnel.peer_addresses
            if place.as_number != peer.as_number:
                sessions[place.name].append(
                    Session(
                        peer=peer.name,
                        kind=SessionKind.EXTERNAL,
                        peer_as=peer.as_number,
                        interface=over,
                        peer_addresses=peer_addresses,
                        is_upward=place is lower,
                    )
                )
    for place in places.values():
        for peer in places.values():
            if place.role is Role.CORE and peer.role is Role.CORE and place.plane == peer.plane and place is not peer:
                sessions[place.name].append(
                    Session(
                        peer=peer.name,
                        kind=SessionKind.INTERNAL,
                        peer_as=peer.as_number,
                        interface="lo",
                        peer_addresses=loopbacks[peer.name],
                        is_upward=False,
                    )
                )
    return tuple(
        Node(
            name=place.name,
            role=place.role,
            number=place.number,
            site=place.site,
            plane=place.plane,
            as_number=place.as_number,
            loopback=loopbacks[place.name],
            management=_management(pools.management, place.number),
            interfaces=_by(interfaces[place.name], "name"),
            tunnels=_by(tunnels[place.name], "name"),
            sessions=_by(sessions[place.name], "peer"),
            cluster=place.cluster,
        )
        for place in sorted(places.values(), key=lambda place: place.name)
    )


def _wireguard_port(network: NetworkFile, place: _Place, commune: _Place) -> int:
    """Return the declared port for a commune, for its district one derived from the commune's code."""
    return network.wireguard_port if place is commune else 20_000 + commune.number % 20_000


def _at(pool: DualStack, offset: int) -> Addresses:
    return Addresses(ipv4=pool.ipv4.network_address + offset, ipv6=pool.ipv6.network_address + offset)


def _management(pool: DualStack, number: int) -> tuple[IPv4Interface, IPv6Interface]:
    address = _at(pool, number)
    return (
        IPv4Interface(f"{address.ipv4}/{pool.ipv4.prefixlen}"),
        IPv6Interface(f"{address.ipv6}/{pool.ipv6.prefixlen}"),
    )
