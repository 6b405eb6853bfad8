"""What differs between two declarations, as people say it: a unit renamed, a platform moved, an override ended.

Causes are told once, and of their consequences those that somebody must act upon: routers that are renumbered, links
that lead elsewhere. What comes and goes with a thing (a unit's router and its way up, a cluster's hosts) is not told
again. How a declaration is written (`based_on`, the order of entries) makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import timedelta
from enum import Enum, StrEnum
from typing import Any

from inventories.declaration import Declaration
from inventories.expansion import Design, agencies_of, node_name_of_unit
from inventories.model import Role, Text, UnitLevel
from inventories.numbering import written


class Change(StrEnum):
    """What became of a thing."""

    ADDED = "added"
    REMOVED = "removed"
    BEGUN = "begun"
    ENDED = "ended"
    RENAMED = "renamed"
    REPARENTED = "re-parented"
    MOVED = "moved"
    REHOMED = "re-homed"
    RENUMBERED = "renumbered"
    REROUTED = "re-routed"
    CHANGED = "changed"


class Kind(StrEnum):
    """What kind of thing it is, in the order in which differences are told."""

    NATION = "nation"
    NETWORK = "network"
    PLANE = "plane"
    TENANCY_CLASS = "tenancy class"
    LINK_CLASS = "link class"
    RING = "ring"
    TIER = "tier"
    LOG_RETENTION = "log retention"
    OBJECTIVE = "objective"
    CENTRE = "centre"
    UNIT = "unit"
    NODE = "node"
    LINK = "link"
    AGENCY = "agency"
    CLUSTER = "cluster"
    PLATFORM = "platform"
    TENANCY = "tenancy"
    OVERRIDE = "override"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What became of one thing and, where a fact of it changed, `what` fact that is and what it was and is.

    `name` is what people call the thing; `province` is the code of the one that it lies in, None outside of all.
    """

    kind: Kind
    subject: str
    change: Change
    what: str = ""
    before: str | None = None
    after: str | None = None
    name: str = ""
    province: str | None = None


# What has other addresses when a node has another number.
_ROUTERS_ADDRESSES = "loopback, management, links, prefixes"
_COMMUNES_ADDRESSES = "loopback, management, links, tunnels, prefixes"
_HOSTS_ADDRESSES = "loopback, management, links, AS number"
_CHANGES = {  # what a change of these facts is called; of all others, `changed`
    (Kind.AGENCY, "name"): Change.RENAMED,
    (Kind.CENTRE, "name"): Change.RENAMED,
    (Kind.CENTRE, "position"): Change.MOVED,
    (Kind.CENTRE, "attached_to"): Change.REHOMED,
    (Kind.CENTRE, "number"): Change.RENUMBERED,
    (Kind.CLUSTER, "site"): Change.MOVED,
    (Kind.LINK, "upper_end"): Change.REROUTED,
    (Kind.LINK, "route"): Change.REROUTED,
    (Kind.NATION, "title"): Change.RENAMED,
    (Kind.NODE, "cluster"): Change.MOVED,
    (Kind.NODE, _HOSTS_ADDRESSES): Change.RENUMBERED,
    (Kind.NODE, _ROUTERS_ADDRESSES): Change.RENUMBERED,
    (Kind.NODE, _COMMUNES_ADDRESSES): Change.RENUMBERED,
    (Kind.PLATFORM, "clusters"): Change.MOVED,
    (Kind.PLATFORM, "name"): Change.RENAMED,
    (Kind.RING, "sites"): Change.REROUTED,
    (Kind.UNIT, "home"): Change.REHOMED,
    (Kind.UNIT, "name"): Change.RENAMED,
    (Kind.UNIT, "parent"): Change.REPARENTED,
    (Kind.UNIT, "position"): Change.MOVED,
}


@dataclass(frozen=True, kw_only=True)
class _Told:
    """How one kind of thing is told of: its identity, facts, what people call it, and where it lies (a unit's code).

    `belongs_to` names what it comes and goes with, if anything: where that is not on both sides, nobody is told that it
    came or went.
    """

    kind: Kind
    things: Callable[[Declaration, Design], Iterable[Any]]
    key: Callable[[Any], str]
    without: frozenset[str] = frozenset()
    facts: Callable[[Any], Mapping[str, object]] | None = None
    shown: Callable[[Any], object] = lambda _: ""
    called: Callable[[Any], str] = lambda _: ""
    lies_in: Callable[[Any], str | None] = lambda _: None
    belongs_to: Callable[[Any], str | None] = lambda _: None
    came: Change = Change.ADDED
    went: Change = Change.REMOVED


@dataclass(frozen=True, kw_only=True)
class _Router:
    """A unit's router, as far as its addresses go."""

    unit: str
    name: str
    unit_name: str
    number: int
    level: UnitLevel


@dataclass(frozen=True, kw_only=True)
class _Home:
    """A province and the core site that serves it."""

    unit: str
    unit_name: str
    home: str


@dataclass(frozen=True, kw_only=True)
class _Host:
    """A machine of a cluster."""

    name: str
    number: int
    cluster: str
    site: str


@dataclass(frozen=True, kw_only=True)
class _Way:
    """A link, as far as where it leads goes; `upper` is empty for a link of the backbone, which has no upper end."""

    link: str
    lower: str
    upper: str
    plane: str
    route: str
    link_class: str
    site: str

    @property
    def key(self) -> str:
        """What stays the same when the link leads elsewhere: whose way up it is, and in which plane."""
        if not self.upper:
            return self.link
        return f"{self.lower}/{self.plane}" if self.plane else self.lower


@dataclass(frozen=True, kw_only=True)
class _Room:
    """An agency's room for one platform on one cluster."""

    agency: str
    platform: str
    cluster: str


def _routers(declaration: Declaration, design: Design) -> Iterator[_Router]:
    for unit in declaration.units:
        if unit.level is not UnitLevel.COUNTRY:
            yield _Router(
                unit=unit.code,
                name=node_name_of_unit(unit),
                unit_name=unit.name,
                number=design.numbers[unit.code],
                level=unit.level,
            )


def _router_facts(router: _Router) -> Mapping[str, object]:
    addresses = _COMMUNES_ADDRESSES if router.level is UnitLevel.COMMUNE else _ROUTERS_ADDRESSES
    return {addresses: written(router.number)}


def _homes(declaration: Declaration, design: Design) -> Iterator[_Home]:
    for unit in declaration.units:
        if unit.level is UnitLevel.PROVINCE:
            yield _Home(unit=unit.code, unit_name=unit.name, home=design.homes[unit.code])


def _hosts(declaration: Declaration, design: Design) -> Iterator[_Host]:
    del design
    for cluster in declaration.clusters.clusters:
        for host in cluster.hosts:
            yield _Host(name=host.name, number=host.number, cluster=cluster.id, site=cluster.site)


def _rooms(declaration: Declaration, design: Design) -> Iterator[_Room]:
    del design
    for platform in declaration.platforms.platforms:
        for cluster in platform.clusters:
            yield _Room(agency=platform.owner, platform=platform.id, cluster=cluster)


def _ways(declaration: Declaration, design: Design) -> Iterator[_Way]:
    del declaration
    for link in design.links():
        post = design.posts[link.ends[0]]
        is_backbone = post.role is Role.CORE
        yield _Way(
            link=link.name,
            lower=link.ends[0],
            upper="" if is_backbone else link.ends[1],
            plane=link.plane or "",
            route=link.route if is_backbone else "",  # any other's follows from its ends
            link_class=link.link_class.name,
            site=post.site.code,
        )


_POSITION = ("latitude", "longitude")
_TOLD = (
    _Told(
        kind=Kind.NATION,
        things=lambda declaration, _: (declaration.nation,),
        key=lambda _: "nation",
        without=frozenset({"based_on"}),
    ),
    _Told(
        kind=Kind.NETWORK,
        things=lambda declaration, _: (declaration.network,),
        key=lambda _: "network",
        without=frozenset(
            {"planes", "link_classes", "tenancy_classes", "rings", "backbone", "pools", "bgp"}  # told by themselves
        ),
    ),
    _Told(kind=Kind.NETWORK, things=lambda declaration, _: (declaration.network.pools,), key=lambda _: "pools"),
    _Told(kind=Kind.NETWORK, things=lambda declaration, _: (declaration.network.bgp,), key=lambda _: "bgp"),
    _Told(kind=Kind.PLANE, things=lambda declaration, _: declaration.network.planes, key=lambda plane: plane.name),
    _Told(
        kind=Kind.TENANCY_CLASS,
        things=lambda declaration, _: declaration.network.tenancy_classes,
        key=lambda tenancy_class: tenancy_class.name,
    ),
    _Told(
        kind=Kind.LINK_CLASS,
        things=lambda declaration, _: declaration.network.link_classes,
        key=lambda link_class: link_class.name,
    ),
    _Told(kind=Kind.RING, things=lambda declaration, _: declaration.network.rings, key=lambda ring: ring.name),
    _Told(kind=Kind.TIER, things=lambda declaration, _: declaration.tiers.tiers, key=lambda tier: tier.name),
    _Told(
        kind=Kind.LOG_RETENTION,
        things=lambda declaration, _: declaration.tiers.log_retention,
        key=lambda rule: str(rule.level),
    ),
    _Told(
        kind=Kind.OBJECTIVE,
        things=lambda declaration, _: declaration.objectives.objectives,
        key=lambda objective: objective.id,
    ),
    _Told(
        kind=Kind.CENTRE,
        things=lambda declaration, _: declaration.centres.centres,
        key=lambda centre: centre.code,
        called=lambda centre: centre.name,
        shown=lambda centre: centre.kind,
    ),
    _Told(
        kind=Kind.UNIT,
        things=lambda declaration, _: declaration.units,
        key=lambda unit: unit.code,
        called=lambda unit: unit.name,
        shown=lambda unit: unit.level,
        lies_in=lambda unit: unit.code,
    ),
    _Told(
        kind=Kind.UNIT,
        things=_homes,
        key=lambda home: home.unit,
        facts=lambda home: {"home": home.home},
        called=lambda home: home.unit_name,
        lies_in=lambda home: home.unit,
        belongs_to=lambda home: home.unit,
    ),
    _Told(
        kind=Kind.NODE,
        things=_routers,
        key=lambda router: router.name,
        facts=_router_facts,
        called=lambda router: router.unit_name,
        lies_in=lambda router: router.unit,
        belongs_to=lambda router: router.unit,
    ),
    _Told(
        kind=Kind.NODE,
        things=_hosts,
        key=lambda host: host.name,
        facts=lambda host: {"cluster": host.cluster, _HOSTS_ADDRESSES: host.number},
        shown=lambda host: host.cluster,
        lies_in=lambda host: host.site,
        belongs_to=lambda host: host.cluster,
    ),
    _Told(
        kind=Kind.LINK,
        things=_ways,
        key=lambda way: way.key,
        facts=lambda way: {"upper_end": way.upper, "route": way.route, "link_class": way.link_class},
        called=lambda way: way.link,
        shown=lambda way: way.link_class,
        lies_in=lambda way: way.site,
        belongs_to=lambda way: way.lower if way.upper else None,
    ),
    _Told(
        kind=Kind.AGENCY,
        things=lambda declaration, _: agencies_of(declaration.agencies, declaration.nation, declaration.units),
        key=lambda agency: agency.id,
        called=lambda agency: agency.name.vi,
        shown=lambda agency: agency.kind,
        lies_in=lambda agency: agency.unit,
    ),
    _Told(
        kind=Kind.CLUSTER,
        things=lambda declaration, _: declaration.clusters.clusters,
        key=lambda cluster: cluster.id,
        without=frozenset({"hosts"}),  # told by themselves
        shown=lambda cluster: cluster.tier,
        lies_in=lambda cluster: cluster.site,
    ),
    _Told(
        kind=Kind.PLATFORM,
        things=lambda declaration, _: declaration.platforms.platforms,
        key=lambda platform: platform.id,
        called=lambda platform: platform.name.vi,
        shown=lambda platform: platform.clusters,
    ),
    _Told(
        kind=Kind.TENANCY,
        things=_rooms,
        key=lambda room: f"{room.agency}-{room.platform} on {room.cluster}",
        belongs_to=lambda room: room.platform,
        came=Change.BEGUN,
        went=Change.ENDED,
    ),
    _Told(
        kind=Kind.OVERRIDE,
        things=lambda declaration, _: declaration.overrides,
        key=lambda override: f"{override.subject}.{override.fact}",
        without=frozenset({"place"}),
        shown=lambda override: override.value,
        lies_in=lambda override: override.subject,
        came=Change.BEGUN,
        went=Change.ENDED,
    ),
)
_LAYOUT = ("units", "centres", "network", "clusters", "overrides")  # the parts that numbers and links follow from


def differences(before: Declaration, after: Declaration) -> tuple[Difference, ...]:
    """Return every difference between two sound declarations, sorted by province, kind and subject."""
    designs = Design(before), Design(after)
    is_laid_out_alike = all(getattr(before, part) == getattr(after, part) for part in _LAYOUT)
    found: list[Difference] = []
    for told in _TOLD:
        if is_laid_out_alike and told.kind in (Kind.NODE, Kind.LINK):
            continue
        found += _compared(told, before, after, designs)
    kinds = {kind: index for index, kind in enumerate(Kind)}
    return tuple(
        sorted(found, key=lambda one: (one.province or "", kinds[one.kind], one.subject, one.change, one.what))
    )


def _compared(
    told: _Told, before: Declaration, after: Declaration, designs: tuple[Design, Design]
) -> Iterator[Difference]:
    old, new = designs
    one = {told.key(thing): thing for thing in told.things(before, old)}
    other = {told.key(thing): thing for thing in told.things(after, new)}
    staying = {told.belongs_to(thing) for thing in one.values()} & {told.belongs_to(thing) for thing in other.values()}
    staying.add(None)

    def difference(
        subject: str, thing: Any, change: Change, *, what: str = "", before: object = None, after: object = None
    ) -> Difference:
        place = told.lies_in(thing) or ""
        return Difference(
            kind=told.kind,
            subject=subject,
            change=change,
            what=what,
            before=_said(before),
            after=_said(after),
            name=told.called(thing),
            province=new.province_of.get(place) or old.province_of.get(place),
        )

    for subject, thing in one.items():
        if subject not in other and told.belongs_to(thing) in staying:
            yield difference(subject, thing, told.went, before=told.shown(thing))
    for subject, thing in other.items():
        was = one.get(subject)
        if was is None:
            if told.belongs_to(thing) in staying:
                yield difference(subject, thing, told.came, after=told.shown(thing))
        elif was != thing:
            had, has = _facts_of(told, was), _facts_of(told, thing)
            for what in had.keys() | has.keys():
                if had.get(what) != has.get(what):
                    change = _CHANGES.get((told.kind, what), Change.CHANGED)
                    yield difference(subject, thing, change, what=what, before=had.get(what), after=has.get(what))


def _facts_of(told: _Told, thing: Any) -> Mapping[str, object]:
    if told.facts is not None:
        return told.facts(thing)
    found = {field.name: getattr(thing, field.name) for field in fields(thing) if field.name not in told.without}
    if all(name in found for name in _POSITION):
        found["position"] = ", ".join(str(found.pop(name)) for name in _POSITION)
    return found


def _said(value: object) -> str | None:
    """Return a fact as a person reads it; None where there is none."""
    match value:
        case None | "":
            said = None
        case Enum():
            said = str(value.value)
        case Text():
            said = f"{value.vi} / {value.en}"
        case timedelta():
            said = f"{value.total_seconds():g} s"
        case tuple():
            said = ", ".join(_said(member) or "" for member in value)
        case _ if is_dataclass(value):
            said = ", ".join(f"{field.name} {_said(getattr(value, field.name))}" for field in fields(value))
        case _:
            said = str(value)
    return said
