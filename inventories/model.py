"""The nouns of the nation: frozen, keyword-only facts that every other room reads and none writes.

Addresses are `ipaddress` objects, durations `timedelta`, dates `date`; identifiers are the stable codes of the
declaration, so that renaming or re-parenting a thing changes neither its identity nor its addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Annotated, NamedTuple

from inventories.constraints import Between, Pattern

Identifier = Annotated[
    str, Pattern(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", "lower-case letters, digits and inner hyphens, at most 40")
]
NodeName = Annotated[
    str, Pattern(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", "at most 15 characters, as Linux names interfaces")
]
AsNumber = Annotated[int, Between(1, 4_294_967_294)]  # RFC 6793, without AS 0 and the last one (RFC 7607, RFC 7300)
Port = Annotated[int, Between(1, 65_535)]
Ratio = Annotated[float, Between(0, 1)]

SMALLEST_POD_MIB = 16

# A node's interfaces that are not named after the node at the far end of a link.
LOOPBACK_INTERFACE = "lo"
MANAGEMENT_INTERFACE = "mgmt0"
TUNNEL_PREFIX = "wg-"  # the far site's code follows


class UnitLevel(StrEnum):
    """The levels of the administrative scheme, from the whole country down."""

    COUNTRY = "country"
    PROVINCE = "province"
    DISTRICT = "district"
    COMMUNE = "commune"


class Tier(StrEnum):
    """The cloud tiers of Decision 942/QĐ-TTg, IV.2b."""

    CGC = "cgc"  # the government's cloud
    AGC = "agc"  # clouds of ministries and provinces
    EGC = "egc"  # clouds of enterprises, admitted by criteria


class Region(StrEnum):
    """The parts of the country that a regional centre serves."""

    NORTH = "north"
    CENTRAL = "central"
    SOUTH = "south"


class CentreKind(StrEnum):
    """What a site that is no administrative unit is there for."""

    REGIONAL = "regional"
    BACKUP = "backup"  # stands in for a regional centre
    METRO = "metro"  # on a metropolitan ring
    OPERATIONS = "operations"
    GATEWAY = "gateway"
    MINISTRY = "ministry"

    @property
    def is_core(self) -> bool:
        """Whether the site has a router in each plane of the backbone."""
        return self in (CentreKind.REGIONAL, CentreKind.BACKUP, CentreKind.METRO)


class Role(StrEnum):
    """What a node does; decides which files it gets."""

    CORE = "core"
    PROVINCE = "province"
    DISTRICT = "district"
    COMMUNE = "commune"
    MINISTRY = "ministry"
    GATEWAY = "gateway"
    CLUSTER = "cluster"  # a Kubernetes host that takes part in routing
    OPERATIONS = "operations"  # the operations centre: monitoring, DNS

    @property
    def is_router(self) -> bool:
        """Whether the node forwards other nodes' traffic."""
        return self not in (Role.CLUSTER, Role.OPERATIONS)


class AgencyKind(StrEnum):
    """Whose agency it is."""

    MINISTRY = "ministry"
    PROVINCE = "province"
    ENTERPRISE = "enterprise"


@dataclass(frozen=True, kw_only=True)
class Text:
    """One text in the two languages of the users."""

    vi: str
    en: str

    def in_language(self, language: str) -> str:
        """Return the text in `vi` or, for everything else, English."""
        return self.vi if language == "vi" else self.en


@dataclass(frozen=True, kw_only=True)
class DualStack:
    """A prefix of each address family."""

    ipv4: IPv4Network
    ipv6: IPv6Network


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """An address of each family."""

    ipv4: IPv4Address
    ipv6: IPv6Address


@dataclass(frozen=True, kw_only=True)
class Unit:
    """An administrative unit; `parent` is a unit's code, None for the country."""

    code: str
    level: UnitLevel
    name: str
    parent: str | None = None
    latitude: float
    longitude: float


@dataclass(frozen=True, kw_only=True)
class Centre:
    """A site that is no administrative unit; Decision 33/2025/QĐ-TTg names the kinds."""

    code: Identifier
    name: str
    kind: CentreKind
    region: Region
    number: Annotated[int, Between(1, 255)]
    latitude: float
    longitude: float
    attached_to: str | None = None  # the core site it is linked to; none for a core site itself
    agency: str | None = None  # whose edge it is, for a ministry's
    backs_up: str | None = None  # the regional centre that a backup centre stands in for


@dataclass(frozen=True, kw_only=True)
class TenancyClass:
    """A kind of traffic that the network keeps apart from every other (Circular 06/2026/TT-BKHCN, articles 6 and 7).

    `number` is the VRF's table and route target; `slot` is the part of each site's prefix that the class has.
    """

    name: Identifier
    title: Text
    number: Annotated[int, Between(1, 4_000)]
    slot: Annotated[int, Between(0, 3)]


@dataclass(frozen=True, kw_only=True)
class SitePrefix:
    """The network that a site hands over to its agencies in one tenancy class."""

    tenancy_class: str
    prefix: DualStack


@dataclass(frozen=True, kw_only=True)
class Site:
    """A place with nodes: a unit's or a centre's.

    `number` is its place in the address plan (inventories/numbering.py); `home` is the core site whose plane-a router
    serves it; `access_level` is 1 for what must have two channels by two routes, else 2 (Decision 33/2025/QĐ-TTg).
    """

    code: str
    name: str
    region: Region
    latitude: float
    longitude: float
    unit: Unit | None
    centre: Centre | None
    number: int
    home: str
    province: str | None  # the code of the province it lies in, for a unit's
    access_level: int
    prefixes: tuple[SitePrefix, ...]

    @property
    def level(self) -> UnitLevel | None:
        """The level of its unit; None for a centre."""
        return self.unit.level if self.unit is not None else None


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One of the backbone's independent networks; Circular 06/2026/TT-BKHCN, article 5.1a asks for at least two."""

    name: Annotated[str, Pattern(r"[a-z]", "one letter")]
    as_number: AsNumber


@dataclass(frozen=True, kw_only=True)
class LinkClass:
    """A kind of link."""

    name: Identifier
    capacity_mbps: Annotated[int, Between(1, 10_000_000)]


@dataclass(frozen=True, kw_only=True)
class Link:
    """A point-to-point link; `ends` are the names of its two nodes, upper end second.

    `communes` are the codes of the communes whose traffic can pass it on their way up: whom a cut concerns.
    """

    name: str
    ends: tuple[str, str]
    link_class: LinkClass
    plane: str | None
    route: str  # the physical route; two links with one route share its fate
    communes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Interface:
    """A node's end of a link; the interface is named after the node at the far end."""

    name: NodeName
    link: str
    peer: str
    plane: str | None
    ipv4: IPv4Interface
    ipv6: IPv6Interface
    peer_addresses: Addresses


@dataclass(frozen=True, kw_only=True)
class Tunnel:
    """A node's end of a WireGuard tunnel over `underlay` (the name of one of its interfaces)."""

    name: NodeName
    peer: str
    underlay: str
    ipv4: IPv4Interface
    ipv6: IPv6Interface
    peer_addresses: Addresses
    listen_port: Port
    endpoint: IPv6Address  # the far end's address on the underlay
    endpoint_port: Port


class SessionKind(StrEnum):
    """Whether both ends of a BGP session are in one autonomous system."""

    INTERNAL = "internal"
    EXTERNAL = "external"


@dataclass(frozen=True, kw_only=True)
class Session:
    """A BGP session of a node, in both address families; `interface` is what it runs over (`lo` if internal).

    `is_upward` is true where the peer is nearer to the backbone.
    """

    peer: str
    kind: SessionKind
    peer_as: AsNumber
    interface: str
    peer_addresses: Addresses
    is_upward: bool


@dataclass(frozen=True, kw_only=True)
class Node:
    """A router or a host, with everything that follows from its place in the nation."""

    name: NodeName
    role: Role
    number: int  # unique in the nation; all its addresses derive from it
    identity: int  # unique in the nation and the same whatever its parent; its AS number derives from it
    site: Site
    plane: str | None
    as_number: AsNumber
    loopback: Addresses
    management: tuple[IPv4Interface, IPv6Interface]
    interfaces: tuple[Interface, ...]
    tunnels: tuple[Tunnel, ...]
    sessions: tuple[Session, ...]
    # The nodes it takes its time from. None for a core, which has a clock of its own: cores that followed each other
    # would make each plane an island with a time of its own, and who is on both would hold all of them to be wrong.
    clocks: tuple[str, ...]
    resolvers: tuple[str, ...]  # the nodes it asks for names, nearest first
    cluster: str | None = None

    @cached_property
    def management4(self) -> IPv4Address:
        """The IPv4 address that the operator's tools reach the node at."""
        return self.management[0].ip

    @cached_property
    def management6(self) -> IPv6Address:
        """The IPv6 address that the operator's tools reach the node at."""
        return self.management[1].ip


@dataclass(frozen=True, kw_only=True)
class Certification:
    """An enterprise cloud's admission: by whom, on what criteria, from when until when (inclusive)."""

    issued_by: str
    criteria: str
    issued: date
    expires: date


@dataclass(frozen=True, kw_only=True)
class ClusterHost:
    """A declared machine of a cluster."""

    name: NodeName
    number: Annotated[int, Between(1, 2047)]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Kubernetes cluster of one tier, at one site (a centre's or a unit's code)."""

    id: Identifier
    tier: Tier
    operator: Identifier  # the agency that runs it
    site: str
    hosts: tuple[ClusterHost, ...]
    pods: DualStack
    services: DualStack
    certification: Certification | None = None


@dataclass(frozen=True, kw_only=True)
class TierRules:
    """What a cloud tier demands."""

    name: Tier
    title: Text
    highest_level: Annotated[int, Between(1, 5)]
    minimum_sites_from_level_4: Annotated[int, Between(1, 9)]
    needs_certification: bool


@dataclass(frozen=True, kw_only=True)
class LogRetention:
    """For how long logs of systems of one security level are kept."""

    level: Annotated[int, Between(1, 5)]
    months: Annotated[int, Between(0, 120)]


@dataclass(frozen=True, kw_only=True)
class Agency:
    """An agency that owns platforms or runs clouds."""

    id: Identifier
    name: Text
    kind: AgencyKind
    contact: Annotated[str, Pattern(r"[^@\s]+@[^@\s]+\.[a-z]+", "an e-mail address")]
    unit: str | None = None  # the code of the administrative unit, for a province's agency


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a platform may use of one cluster."""

    cpu_millicores: Annotated[int, Between(10, 1_000_000)]
    memory_mib: Annotated[int, Between(16, 10_000_000)]
    pods: Annotated[int, Between(1, 10_000)]


@dataclass(frozen=True, kw_only=True)
class Platform:
    """A platform of the programme; `ref` is its part and item in Decision 942/QĐ-TTg."""

    id: Identifier
    ref: str
    name: Text
    owner: Identifier
    tier: Tier
    level: Annotated[int, Between(1, 5)]
    clusters: tuple[Identifier, ...]
    replicas: Annotated[int, Between(1, 100)]
    share: Share
    port: Annotated[int, Between(30_000, 32_767)]  # the NodePort it answers at on every host of its clusters
    objective: Identifier
    needs: tuple[Identifier, ...] = ()

    @property
    def namespace(self) -> str:
        """The namespace that is the platform's own room: agency and platform."""
        return f"{self.owner}-{self.id}"

    @property
    def surge(self) -> int:
        """How many pods beyond its replicas a roll-out may start: one if the share has room for it, else none."""
        return 1 if self.share.pods > self.replicas else 0

    @property
    def fits_its_share(self) -> bool:
        """Whether its replicas, and the roll-out's additional one, can all run within its share."""
        pods = self.replicas + self.surge
        return (
            self.replicas <= self.share.pods
            and self.share.memory_mib // pods >= SMALLEST_POD_MIB
            and self.share.cpu_millicores >= pods
        )


@dataclass(frozen=True, kw_only=True)
class ServiceObjective:
    """What users may expect of a platform, over a rolling window."""

    id: Identifier
    availability: Ratio
    latency: timedelta
    window: timedelta
    probe_interval: timedelta


@dataclass(frozen=True, kw_only=True)
class Tenancy:
    """An agency's room for one platform on one cluster."""

    agency: Agency
    platform: Platform
    cluster: Cluster


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where one instance of a platform answers."""

    platform: str
    cluster: str
    node: str
    addresses: Addresses
    port: Port


@dataclass(frozen=True, kw_only=True)
class Override:
    """One fact of one subject that differs from the design rules, with who decided it, why, and until when."""

    subject: str
    fact: str
    value: str
    who: str
    why: str
    until: date
    place: str = field(default="", metadata={"filled_by_reader": True})  # file:line


class Place(NamedTuple):
    """The line that declares `subject` (such as `platform/nixa`) or one fact of it (`platform/nixa.port`)."""

    subject: str
    file: str  # relative to the declaration's directory
    line: int


@dataclass(frozen=True, kw_only=True)
class Nation:
    """The whole nation, declared and expanded; everything is sorted by its members' identifier.

    Sites, nodes and links are made when they are first looked at (inventories/deferred.py).
    """

    name: Identifier
    title: Text
    scheme: str
    domain: str
    directory: Path
    units: tuple[Unit, ...]
    centres: tuple[Centre, ...]
    planes: tuple[Plane, ...]
    tenancy_classes: tuple[TenancyClass, ...]
    prefixes: tuple[DualStack, ...]  # loopbacks, links, overlays, pods, services: everything inside the network
    management: DualStack
    bgp_hold: timedelta
    maximum_prefixes: int
    sites: Sequence[Site]
    nodes: Sequence[Node]
    links: Sequence[Link]
    tiers: tuple[TierRules, ...]
    log_retention: tuple[LogRetention, ...]
    clusters: tuple[Cluster, ...]
    agencies: tuple[Agency, ...]
    platforms: tuple[Platform, ...]
    objectives: tuple[ServiceObjective, ...]
    overrides: tuple[Override, ...]
    places: Sequence[Place] = ()

    @cached_property
    def _place_by_name(self) -> dict[str, Place]:
        return {place.subject: place for place in self.places}

    def place_of(self, subject: str, fact: str = "") -> str:
        """Return the file:line that declares a subject such as `platform/nixa`, or one fact of it.

        The nearest known place where that line is not known: the subject's, else the declaration's directory.
        """
        known = self._place_by_name
        place = known.get(f"{subject}.{fact}") or known.get(subject)
        return f"{self.directory / place.file}:{place.line}" if place else str(self.directory)

    @cached_property
    def site_by_code(self) -> dict[str, Site]:
        """Every site by its code."""
        return {site.code: site for site in self.sites}

    @cached_property
    def node_by_name(self) -> dict[str, Node]:
        """Every node by its name."""
        return {node.name: node for node in self.nodes}

    @cached_property
    def link_by_name(self) -> dict[str, Link]:
        """Every link by its name."""
        return {link.name: link for link in self.links}

    @cached_property
    def cluster_by_id(self) -> dict[str, Cluster]:
        """Every cluster by its identifier."""
        return {cluster.id: cluster for cluster in self.clusters}

    @cached_property
    def platform_by_id(self) -> dict[str, Platform]:
        """Every platform by its identifier."""
        return {platform.id: platform for platform in self.platforms}

    @cached_property
    def agency_by_id(self) -> dict[str, Agency]:
        """Every agency by its identifier."""
        return {agency.id: agency for agency in self.agencies}

    @cached_property
    def objective_by_id(self) -> dict[str, ServiceObjective]:
        """Every service objective by its identifier."""
        return {objective.id: objective for objective in self.objectives}

    @cached_property
    def unit_by_code(self) -> dict[str, Unit]:
        """Every administrative unit by its code."""
        return {unit.code: unit for unit in self.units}

    def rules_of(self, tier: Tier) -> TierRules:
        """Return what the tier demands."""
        return next(rules for rules in self.tiers if rules.name == tier)

    def retention_months(self, level: int) -> int:
        """Return for how many months logs of systems of this level are kept."""
        return next(rule.months for rule in self.log_retention if rule.level == level)

    def with_role(self, *roles: Role) -> tuple[Node, ...]:
        """Return the nodes that have one of the roles."""
        return tuple(node for node in self.nodes if node.role in roles)

    def agency_at(self, site: Site) -> Agency | None:
        """Return the agency that a site serves: the ministry whose edge it is, or its province's."""
        if site.centre is not None:
            return self.agency_by_id.get(site.centre.agency or "")
        return self._agency_by_unit.get(site.province or "")

    @cached_property
    def _agency_by_unit(self) -> dict[str, Agency]:
        return {agency.unit: agency for agency in self.agencies if agency.unit is not None}

    def hosts_of(self, cluster: Cluster) -> tuple[Node, ...]:
        """Return the nodes that make up the cluster."""
        return tuple(self.node_by_name[host.name] for host in cluster.hosts)

    def platforms_on(self, cluster: Cluster) -> tuple[Platform, ...]:
        """Return the platforms that run on the cluster."""
        return tuple(platform for platform in self.platforms if cluster.id in platform.clusters)

    def tenancies_on(self, cluster: Cluster) -> tuple[Tenancy, ...]:
        """Return the rooms that agencies have on the cluster."""
        return tuple(
            Tenancy(agency=self.agency_by_id[platform.owner], platform=platform, cluster=cluster)
            for platform in self.platforms_on(cluster)
        )

    def endpoints_of(self, platform: Platform) -> tuple[Endpoint, ...]:
        """Return where the platform answers: one endpoint for each cluster it runs on, at the first host's loopback."""
        return tuple(
            Endpoint(
                platform=platform.id,
                cluster=identifier,
                node=host.name,
                addresses=host.loopback,
                port=platform.port,
            )
            for identifier in platform.clusters
            for host in self.hosts_of(self.cluster_by_id[identifier])[:1]
        )

    def highest_level_on(self, cluster: Cluster) -> int:
        """Return the highest security level among the cluster's platforms, 1 where it has none."""
        return max((platform.level for platform in self.platforms_on(cluster)), default=1)
