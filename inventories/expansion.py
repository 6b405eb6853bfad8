"""Expand a declaration's design rules into every site, node, link, address and session of the nation.

Every address is a pool's first address plus what follows from a number of the address plan (inventories/numbering.py),
so adding or removing a sibling moves nothing. The graph is a tree of homing (commune → district → province → core
sites, in both planes from the province up) plus the declared backbone and its metropolitan rings.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from inventories.declaration import AgenciesFile, Declaration, NationFile, Ring
from inventories.deferred import Deferred
from inventories.model import (
    TUNNEL_PREFIX,
    Addresses,
    Agency,
    AgencyKind,
    Centre,
    CentreKind,
    DualStack,
    Interface,
    Link,
    LinkClass,
    Nation,
    Node,
    Place,
    Role,
    Session,
    SessionKind,
    Site,
    SitePrefix,
    Text,
    Tunnel,
    Unit,
    UnitLevel,
)
from inventories.numbering import (
    FIRST_CORE_IDENTITY,
    FIRST_EDGE,
    FIRST_EDGE_IDENTITY,
    FIRST_HOST,
    FIRST_HOST_IDENTITY,
    identity_of,
    numbers_of,
)

T = TypeVar("T")

CORES_PER_SITE = 4  # numbers: one a plane, two to grow
SITE_BITS4, SITE_BITS6 = 4, 72  # a /28 and a /56 a site
CLASS_BITS4, CLASS_BITS6 = 2, 64  # of which a tenancy class has a /30 and a /64
FIRST_PORT, PORTS = 20_000, 12_763  # a prime: codes of one province lie closer together than that
RESOLVERS = 3  # MAXNS: more than three nameservers are ignored (resolv.conf(5))
_ROLES = {
    UnitLevel.PROVINCE: Role.PROVINCE,
    UnitLevel.DISTRICT: Role.DISTRICT,
    UnitLevel.COMMUNE: Role.COMMUNE,
}
_EDGES = {
    CentreKind.GATEWAY: Role.GATEWAY,
    CentreKind.MINISTRY: Role.MINISTRY,
    CentreKind.OPERATIONS: Role.OPERATIONS,
}
_UPLINK_CLASS = {UnitLevel.PROVINCE: "provincial", UnitLevel.DISTRICT: "district", UnitLevel.COMMUNE: "access"}


@dataclass(frozen=True, kw_only=True)
class _Wire:
    """A link before its ends are interfaces; `offset` is where in `pool` its two addresses start, the lower's first."""

    lower: str
    upper: str
    pool: DualStack
    offset: int
    link_class: LinkClass
    plane: str | None
    route: str
    is_overlay: bool = False  # carries a WireGuard tunnel, and routing runs inside that

    @property
    def name(self) -> str:
        return f"{self.lower}--{self.upper}"


@dataclass(frozen=True, kw_only=True)
class _Post:
    """A node before it has links."""

    name: str
    role: Role
    number: int
    identity: int
    site: Site
    plane: str | None = None
    as_number: int
    cluster: str | None = None


def nation_of(declaration: Declaration, directory: Path, places: Sequence[Place] = ()) -> Nation:
    """Return the nation that follows from a declaration whose references are sound."""
    network = declaration.network
    design = Design(declaration)
    return Nation(
        name=declaration.nation.name,
        title=declaration.nation.title,
        scheme=declaration.nation.scheme,
        domain=declaration.nation.domain,
        directory=directory,
        units=declaration.units,
        centres=_by(declaration.centres.centres, "code"),
        planes=_by(network.planes, "name"),
        tenancy_classes=_by(network.tenancy_classes, "name"),
        prefixes=(
            network.pools.loopbacks,
            network.pools.links,
            network.pools.overlays,
            network.pools.backbone,
            *(prefix for cluster in declaration.clusters.clusters for prefix in (cluster.pods, cluster.services)),
        ),
        management=network.pools.management,
        bgp_hold=network.bgp.hold,
        maximum_prefixes=network.bgp.maximum_prefixes,
        sites=Deferred(lambda: sorted(design.sites.values(), key=lambda site: site.code)),
        nodes=Deferred(design.nodes),
        links=Deferred(design.links),
        tiers=_by(declaration.tiers.tiers, "name"),
        log_retention=_by(declaration.tiers.log_retention, "level"),
        clusters=_by(declaration.clusters.clusters, "id"),
        agencies=_by(agencies_of(declaration.agencies, declaration.nation, declaration.units), "id"),
        platforms=_by(declaration.platforms.platforms, "id"),
        objectives=_by(declaration.objectives.objectives, "id"),
        overrides=declaration.overrides,
        places=places,
    )


def _by(things: Iterable[T], attribute: str) -> tuple[T, ...]:
    return tuple(sorted(things, key=lambda thing: getattr(thing, attribute)))


def agencies_of(file: AgenciesFile, nation: NationFile, units: Iterable[Unit]) -> Iterator[Agency]:
    """Yield the declared agencies and, by the rule for provinces, one for each province that has none."""
    yield from file.agencies
    if file.each_province is None:
        return
    rule = file.each_province
    served = {agency.unit for agency in file.agencies}
    for unit in units:
        if unit.level is not UnitLevel.PROVINCE or unit.code in served:
            continue
        identifier = rule.id.replace("{code}", unit.code)
        yield Agency(
            id=identifier,
            name=Text(vi=rule.name.vi.replace("{name}", unit.name), en=rule.name.en.replace("{name}", unit.name)),
            kind=AgencyKind.PROVINCE,
            contact=rule.contact.replace("{id}", identifier).replace("{domain}", nation.domain),
            unit=unit.code,
        )


def node_name_of_unit(unit: Unit) -> str:
    """Return the name of a unit's router."""
    return f"{unit.level}-{unit.code}"


def node_name_of_edge(centre: Centre) -> str:
    """Return the name of the node of a centre that is no core site."""
    return f"{centre.code}-1" if centre.kind is CentreKind.OPERATIONS else centre.code


def wireguard_port_of(identity: int) -> int:
    """Return the port at which a commune's parent listens for it."""
    return FIRST_PORT + identity % PORTS


def ring_links(ring: Ring) -> Iterator[tuple[str, str]]:
    """Yield the pairs of core sites that the ring links."""
    yield from pairwise(ring.sites)
    if len(ring.sites) > 2:  # noqa: PLR2004 - two sites are joined by one link already
        yield ring.sites[-1], ring.sites[0]


def _distance(one: Unit | Centre, other: Unit | Centre) -> float:
    """Great-circle distance in radians (haversine formula)."""
    latitude, far = math.radians(one.latitude), math.radians(other.latitude)
    across = math.radians(other.longitude - one.longitude)
    half = math.sin((far - latitude) / 2) ** 2 + math.cos(latitude) * math.cos(far) * math.sin(across / 2) ** 2
    return 2 * math.asin(math.sqrt(half))


class Design:
    """What follows from a declaration, each part made when it is first asked for."""

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self.network = declaration.network
        self.centres = {centre.code: centre for centre in declaration.centres.centres}
        self.planes = _by(declaration.network.planes, "name")

    def overridden(self, fact: str) -> dict[str, str]:
        """Return the overridden values of a fact, by subject."""
        return {item.subject: item.value for item in self.declaration.overrides if item.fact == fact}

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each unit below the country."""
        return numbers_of(self.declaration.units, self.declaration.overrides)

    @cached_property
    def units(self) -> dict[str, Unit]:
        """Every unit by its code."""
        return {unit.code: unit for unit in self.declaration.units}

    @cached_property
    def province_of(self) -> dict[str, str]:
        """The code of the province that each unit below the country lies in."""
        found: dict[str, str] = {}
        for unit in self.declaration.units:
            province = unit
            while province.level is not UnitLevel.PROVINCE and province.parent is not None:
                province = self.units[province.parent]
            if unit.level is not UnitLevel.COUNTRY:
                found[unit.code] = province.code
        return found

    @cached_property
    def homes(self) -> dict[str, str]:
        """The regional centre of each province: the overridden one, else the nearest (by code, if equally near)."""
        overridden = self.overridden("homed_at")
        regional = [centre for centre in self.centres.values() if centre.kind is CentreKind.REGIONAL]
        return {
            unit.code: overridden.get(unit.code)
            or min(regional, key=lambda centre: (_distance(unit, centre), centre.code)).code
            for unit in self.declaration.units
            if unit.level is UnitLevel.PROVINCE
        }

    @cached_property
    def partners(self) -> dict[str, str]:
        """For each core site the one whose routers serve the second plane of what is homed there.

        The backup centre of a regional one, so that the loss of either leaves a plane (Circular 06/2026/TT-BKHCN,
        article 5.1b); the next site around a metropolitan ring; else the site itself.
        """
        found = {centre.code: centre.code for centre in self.centres.values() if centre.kind.is_core}
        for ring in self.network.rings:
            around = (*pairwise(ring.sites), (ring.sites[-1], ring.sites[0]))
            found |= {here: following for here, following in around if self.centres[here].kind is CentreKind.METRO}
        for centre in sorted(self.centres.values(), key=lambda centre: centre.code, reverse=True):
            if centre.backs_up is not None:
                found[centre.backs_up] = centre.code
        return found

    @cached_property
    def sites(self) -> dict[str, Site]:
        """Every site by its code."""
        positions = {subject: _position(value) for subject, value in self.overridden("position").items()}
        made = [self._unit_site(unit, positions) for unit in self.declaration.units if unit.code in self.province_of]
        made += [self._centre_site(centre) for centre in self.centres.values()]
        return {site.code: site for site in made}

    def _unit_site(self, unit: Unit, positions: Mapping[str, tuple[float, float]]) -> Site:
        province, number = self.province_of[unit.code], self.numbers[unit.code]
        home = self.homes[province]
        latitude, longitude = positions.get(unit.code, (unit.latitude, unit.longitude))
        return Site(
            code=unit.code,
            name=unit.name,
            region=self.centres[home].region,
            latitude=latitude,
            longitude=longitude,
            unit=unit,
            centre=None,
            number=number,
            home=home,
            province=province,
            access_level=1 if unit.level is UnitLevel.PROVINCE else 2,
            prefixes=self._site_prefixes(number),
        )

    def _centre_site(self, centre: Centre) -> Site:
        number = centre.number * CORES_PER_SITE if centre.kind.is_core else FIRST_EDGE + centre.number
        return Site(
            code=centre.code,
            name=centre.name,
            region=centre.region,
            latitude=centre.latitude,
            longitude=centre.longitude,
            unit=None,
            centre=centre,
            number=number,
            home=centre.attached_to or centre.code,
            province=None,
            access_level=1,
            prefixes=self._site_prefixes(number),
        )

    def _site_prefixes(self, number: int) -> tuple[SitePrefix, ...]:
        pool = self.network.pools.sites
        first4 = int(pool.ipv4.network_address) + (number << SITE_BITS4)
        first6 = int(pool.ipv6.network_address) + (number << SITE_BITS6)
        return tuple(
            SitePrefix(
                tenancy_class=kind.name,
                prefix=DualStack(
                    ipv4=IPv4Network((first4 + (kind.slot << CLASS_BITS4), 32 - CLASS_BITS4)),
                    ipv6=IPv6Network((first6 + (kind.slot << CLASS_BITS6), 128 - CLASS_BITS6)),
                ),
            )
            for kind in _by(self.network.tenancy_classes, "name")
        )

    @cached_property
    def posts(self) -> dict[str, _Post]:
        """Every node before it has links, by its name."""
        base, sites = self.network.as_number_base, self.sites
        made: list[_Post] = []
        for unit in self.declaration.units:
            if unit.level in _ROLES:
                identity = identity_of(unit)
                made.append(
                    _Post(
                        name=node_name_of_unit(unit),
                        role=_ROLES[unit.level],
                        number=self.numbers[unit.code],
                        identity=identity,
                        site=sites[unit.code],
                        as_number=base + identity,
                    )
                )
        for centre in self.centres.values():
            site = sites[centre.code]
            if centre.kind in _EDGES:
                identity = FIRST_EDGE_IDENTITY + centre.number
                name, role = node_name_of_edge(centre), _EDGES[centre.kind]
                made.append(
                    _Post(
                        name=name,
                        role=role,
                        number=site.number,
                        identity=identity,
                        site=site,
                        as_number=base + identity,
                    )
                )
            else:
                for index, plane in enumerate(self.planes):
                    made.append(
                        _Post(
                            name=f"core-{plane.name}-{centre.code}",
                            role=Role.CORE,
                            number=site.number + index,
                            identity=FIRST_CORE_IDENTITY + site.number + index,
                            site=site,
                            plane=plane.name,
                            as_number=plane.as_number,
                        )
                    )
        for cluster in self.declaration.clusters.clusters:
            for host in cluster.hosts:
                identity = FIRST_HOST_IDENTITY + host.number
                made.append(
                    _Post(
                        name=host.name,
                        role=Role.CLUSTER,
                        number=FIRST_HOST + host.number,
                        identity=identity,
                        site=sites[cluster.site],
                        as_number=base + identity,
                        cluster=cluster.id,
                    )
                )
        return {post.name: post for post in made}

    @cached_property
    def wires(self) -> list[_Wire]:
        """Every link, sorted by name."""
        made = [*self._backbone(), *(wire for post in self.posts.values() for wire in self._ways_up(post))]
        return sorted(made, key=lambda wire: wire.name)

    def _backbone(self) -> Iterator[_Wire]:
        """Yield the links between core sites.

        A pair's addresses follow from its sites' numbers, whatever other links there are: numbers a < b have the index
        b(b-1)/2 + a, with four addresses, two a plane.
        """
        network = self.network
        declared = [
            (plane, link.ends, link.link_class, link.route)
            for link in network.backbone
            for plane in self.planes
            if plane.name == link.plane
        ]
        declared += [
            (plane, ends, ring.link_class, f"{ring.name}/{plane.name}/{'-'.join(ends)}")
            for ring in network.rings
            for ends in ring_links(ring)
            for plane in self.planes
        ]
        for plane, ends, link_class, route in declared:
            lower, upper = sorted(ends)
            low, high = sorted(self.centres[end].number for end in ends)
            yield _Wire(
                lower=f"core-{plane.name}-{lower}",
                upper=f"core-{plane.name}-{upper}",
                pool=network.pools.backbone,
                offset=((high * (high - 1) // 2 + low) * len(self.planes) + self.planes.index(plane)) * 2,
                link_class=self._classes[link_class],
                plane=plane.name,
                route=route,
            )

    @cached_property
    def _classes(self) -> dict[str, LinkClass]:
        return {link_class.name: link_class for link_class in self.network.link_classes}

    @cached_property
    def _class_overrides(self) -> dict[str, str]:
        return self.overridden("link_class")

    def _ways_up(self, post: _Post) -> Iterator[_Wire]:
        site = post.site
        unit, centre = site.unit, site.centre
        if post.role is Role.CLUSTER:
            if unit is not None:
                yield self._up(post, node_name_of_unit(unit), 0, "provincial")
            elif centre is not None and not centre.kind.is_core:
                yield self._up(post, node_name_of_edge(centre), 0, "centre")
            else:
                yield from self._up_both_planes(post, (site.code, site.code), "centre")
        elif centre is not None and not centre.kind.is_core:
            yield from self._up_both_planes(post, self._pair(site.home), "centre")
        elif unit is not None:
            link_class = self._class_overrides.get(unit.code, _UPLINK_CLASS[unit.level])
            if unit.level is UnitLevel.PROVINCE:
                yield from self._up_both_planes(post, self._pair(site.home), link_class)
            else:
                above = node_name_of_unit(self.units[unit.parent or ""])
                yield self._up(post, above, 0, link_class, is_overlay=post.role is Role.COMMUNE)

    def _pair(self, home: str) -> tuple[str, str]:
        """Return the core sites that serve each plane of what is homed at one."""
        return home, self.partners[home]

    def _up_both_planes(self, post: _Post, core_sites: tuple[str, str], link_class: str) -> Iterator[_Wire]:
        for slot, (plane, where) in enumerate(zip(self.planes, core_sites, strict=True)):  # the checks ask for two
            yield self._up(post, f"core-{plane.name}-{where}", slot, link_class, plane=plane.name)

    def _up(
        self,
        post: _Post,
        upper: str,
        slot: int,
        link_class: str,
        *,
        plane: str | None = None,
        is_overlay: bool = False,
    ) -> _Wire:
        return _Wire(
            lower=post.name,
            upper=upper,
            pool=self.network.pools.links,
            offset=post.number * 4 + slot * 2,
            link_class=self._classes[link_class],
            plane=plane,
            route=f"{post.name}/{plane or upper}",
            is_overlay=is_overlay,
        )

    def links(self) -> Iterator[Link]:
        """Yield every link, by name."""
        below: dict[str, list[str]] = defaultdict(list)
        for unit in self.declaration.units:
            if unit.level is UnitLevel.COMMUNE:
                above: Unit | None = unit
                while above is not None and above.level is not UnitLevel.COUNTRY:
                    below[node_name_of_unit(above)].append(unit.code)
                    above = self.units.get(above.parent or "")
        communes = {name: tuple(sorted(codes)) for name, codes in below.items()}
        for wire in self.wires:
            yield Link(
                name=wire.name,
                ends=(wire.lower, wire.upper),
                link_class=wire.link_class,
                plane=wire.plane,
                route=wire.route,
                communes=communes.get(wire.lower, ()),
            )

    def nodes(self) -> Iterator[Node]:
        """Yield every node, by name."""
        posts, pools = self.posts, self.network.pools
        joints: dict[str, _Joints] = defaultdict(_Joints)
        for wire in self.wires:
            lower, upper = posts[wire.lower], posts[wire.upper]
            self._join(wire, lower, upper, joints[lower.name], is_lower=True)
            self._join(wire, upper, lower, joints[upper.name], is_lower=False)
        cores = [post for post in posts.values() if post.role is Role.CORE]
        for post in cores:
            joints[post.name].sessions += [
                Session(
                    peer=peer.name,
                    kind=SessionKind.INTERNAL,
                    peer_as=peer.as_number,
                    interface="lo",
                    peer_addresses=_at(pools.loopbacks, peer.number),
                    is_upward=False,
                )
                for peer in cores
                if peer.plane == post.plane and peer is not post
            ]
        resolvers: dict[str, tuple[str, ...]] = {}
        for post in sorted(posts.values(), key=lambda post: post.name):
            joint, home = joints[post.name], post.site.home
            if home not in resolvers:
                resolvers[home] = self._resolvers_near(home)
            yield Node(
                name=post.name,
                role=post.role,
                number=post.number,
                identity=post.identity,
                site=post.site,
                plane=post.plane,
                as_number=post.as_number,
                loopback=_at(pools.loopbacks, post.number),
                management=_management(pools.management, post.number),
                interfaces=_by(joint.interfaces, "name"),
                tunnels=_by(joint.tunnels, "name"),
                sessions=_by(joint.sessions, "peer"),
                clocks=() if post.role is Role.CORE else self._cores_for(home),
                resolvers=resolvers[home],
                cluster=post.cluster,
            )

    def _join(self, wire: _Wire, post: _Post, peer: _Post, joint: _Joints, *, is_lower: bool) -> None:
        """Add one end of a link: its interface, its tunnel if it has one, its session unless it is inside a plane."""
        mine, theirs = (0, 1) if is_lower else (1, 0)
        here4, here6 = _interfaces(wire.pool, wire.offset + mine)
        over, addresses = peer.name, _at(wire.pool, wire.offset + theirs)
        joint.interfaces.append(
            Interface(
                name=peer.name,
                link=wire.name,
                peer=peer.name,
                plane=wire.plane,
                ipv4=here4,
                ipv6=here6,
                peer_addresses=addresses,
            )
        )
        if wire.is_overlay:
            commune = post if is_lower else peer
            pool, first = self.network.pools.overlays, commune.number * 2
            inner4, inner6 = _interfaces(pool, first + mine)
            over, endpoint = f"{TUNNEL_PREFIX}{peer.site.code}", addresses.ipv6
            addresses = _at(pool, first + theirs)
            at_commune, at_parent = self.network.wireguard_port, wireguard_port_of(commune.identity)
            joint.tunnels.append(
                Tunnel(
                    name=over,
                    peer=peer.name,
                    underlay=peer.name,
                    ipv4=inner4,
                    ipv6=inner6,
                    peer_addresses=addresses,
                    listen_port=at_commune if is_lower else at_parent,
                    endpoint=endpoint,
                    endpoint_port=at_parent if is_lower else at_commune,
                )
            )
        if post.as_number != peer.as_number:
            joint.sessions.append(
                Session(
                    peer=peer.name,
                    kind=SessionKind.EXTERNAL,
                    peer_as=peer.as_number,
                    interface=over,
                    peer_addresses=addresses,
                    is_upward=is_lower,
                )
            )

    def _cores_for(self, home: str) -> tuple[str, ...]:
        """Return the core routers that serve what is homed at a core site, one a plane."""
        return tuple(f"core-{plane.name}-{site}" for plane, site in zip(self.planes, self._pair(home), strict=True))

    def _resolvers_near(self, home: str) -> tuple[str, ...]:
        """Return the operations centres' nodes nearest to a core site, at most three, those of its region first."""
        here = self.centres[home]
        known = [centre for centre in self.centres.values() if centre.kind is CentreKind.OPERATIONS]

        def nearness(centre: Centre) -> tuple[bool, float, str]:
            return centre.region is not here.region, _distance(centre, here), centre.code

        return tuple(node_name_of_edge(centre) for centre in sorted(known, key=nearness)[:RESOLVERS])


@dataclass(kw_only=True)
class _Joints:
    """What a node's links give it, while they are gathered."""

    interfaces: list[Interface] = field(default_factory=list)
    tunnels: list[Tunnel] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)


def _position(value: str) -> tuple[float, float]:
    latitude, longitude = (float(part) for part in value.split(","))
    return latitude, longitude


def _at(pool: DualStack, offset: int) -> Addresses:
    return Addresses(
        ipv4=IPv4Address(int(pool.ipv4.network_address) + offset),
        ipv6=IPv6Address(int(pool.ipv6.network_address) + offset),
    )


def _interfaces(pool: DualStack, offset: int) -> tuple[IPv4Interface, IPv6Interface]:
    """Return an end of a point-to-point link in each family (RFC 3021, RFC 6164)."""
    return (
        IPv4Interface((int(pool.ipv4.network_address) + offset, 31)),
        IPv6Interface((int(pool.ipv6.network_address) + offset, 127)),
    )


def _management(pool: DualStack, number: int) -> tuple[IPv4Interface, IPv6Interface]:
    return (
        IPv4Interface((int(pool.ipv4.network_address) + number, pool.ipv4.prefixlen)),
        IPv6Interface((int(pool.ipv6.network_address) + number, pool.ipv6.prefixlen)),
    )
