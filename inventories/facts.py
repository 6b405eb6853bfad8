"""What things of the nation can be chosen by: one table of facts, and how each kind of thing comes to have them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from inventories.model import (
    Agency,
    AgencyKind,
    Centre,
    CentreKind,
    Cluster,
    Link,
    Nation,
    Node,
    Override,
    Platform,
    Region,
    Role,
    Site,
    Text,
    Tier,
    Unit,
    UnitLevel,
)

Values = Iterable[str | int | None]

KINDS: Mapping[type, tuple[str, Callable[[Nation], Sequence[Any]]]] = MappingProxyType(
    {
        Unit: ("units", lambda nation: nation.units),
        Centre: ("centres", lambda nation: nation.centres),
        Site: ("sites", lambda nation: nation.sites),
        Node: ("nodes", lambda nation: nation.nodes),
        Link: ("links", lambda nation: nation.links),
        Cluster: ("clusters", lambda nation: nation.clusters),
        Platform: ("platforms", lambda nation: nation.platforms),
        Agency: ("agencies", lambda nation: nation.agencies),
        Override: ("overrides", lambda nation: nation.overrides),
    }
)


class Surroundings:
    """A nation with what its things belong to, each looked up when it is first needed."""

    def __init__(self, nation: Nation) -> None:
        self.nation = nation

    @cached_property
    def nodes_at(self) -> Mapping[str, Sequence[Node]]:
        """The nodes of each site, by its code."""
        found: dict[str, list[Node]] = defaultdict(list)
        for node in self.nation.nodes:
            found[node.site.code].append(node)
        return found

    @cached_property
    def sites_of_agency(self) -> Mapping[str, Sequence[Site]]:
        """The sites of each agency: a ministry's edge, a province."""
        found: dict[str, list[Site]] = defaultdict(list)
        sites = self.nation.site_by_code
        for centre in self.nation.centres:
            found[centre.agency or ""].append(sites[centre.code])
        for agency in self.nation.agencies:
            if agency.unit is not None:
                found[agency.id].append(sites[agency.unit])
        return found

    def sites_of(self, thing: Any) -> Iterable[Site]:
        """Return the sites where a thing lies."""
        by_code = self.nation.site_by_code
        match thing:
            case Site():
                return (thing,)
            case Node():
                return (thing.site,)
            case Link():
                return tuple(self.nation.node_by_name[end].site for end in thing.ends)
            case Cluster():
                return (by_code[thing.site],)
            case Platform():
                return tuple(by_code[self.nation.cluster_by_id[one].site] for one in thing.clusters)
            case Agency():
                return self.sites_of_agency.get(thing.id, ())
            case Unit() | Centre():
                found = by_code.get(thing.code)
            case Override():
                found = by_code.get(thing.subject)
            case _:
                raise TypeError(f"{type(thing).__name__} is no thing of a nation")
        return (found,) if found is not None else ()

    def nodes_of(self, thing: Any) -> Iterable[Node]:
        """Return the nodes that a thing is or has."""
        match thing:
            case Node():
                return (thing,)
            case Link():
                return tuple(self.nation.node_by_name[end] for end in thing.ends)
            case Cluster():
                return self.nation.hosts_of(thing)
            case Platform():
                clusters = self.nation.cluster_by_id
                return tuple(host for one in thing.clusters for host in self.nation.hosts_of(clusters[one]))
            case _:
                return tuple(node for site in self.sites_of(thing) for node in self.nodes_at.get(site.code, ()))

    def district_of(self, site: Site) -> str | None:
        """Return the code of the district that a site is or lies in."""
        if site.unit is None or site.level is UnitLevel.PROVINCE:
            return None
        if site.level is UnitLevel.DISTRICT:
            return site.code
        parent = self.nation.unit_by_code[site.unit.parent or ""]
        return parent.code if parent.level is UnitLevel.DISTRICT else None

    def tier_of(self, node: Node) -> str | None:
        """Return the tier of the cluster that a node is a host of."""
        return self.nation.cluster_by_id[node.cluster].tier if node.cluster is not None else None

    def agency_at(self, site: Site) -> str | None:
        """Return the agency that a site serves."""
        agency = self.nation.agency_at(site)
        return agency.id if agency is not None else None


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A fact that things can be chosen by: what it means, and how each kind of thing has it.

    A thing has its `own` value if there is one for its kind, else those of its nodes, else those of its sites. `known`
    are all the values that it can have, where they can be told.
    """

    name: str
    means: Text
    own: Mapping[type, Callable[[Any], Values]] = field(default_factory=dict)
    of_node: Callable[[Surroundings, Node], str | int | None] | None = None
    of_site: Callable[[Surroundings, Site], str | int | None] | None = None
    known: Callable[[Nation], Iterable[str]] | None = None
    names_level: UnitLevel | None = None  # its values are codes of units of this level, which have names too
    is_number: bool = False

    def has(self, kind: type) -> bool:
        """Whether things of this kind have the fact."""
        return kind in self.own or self.of_node is not None or self.of_site is not None

    def reader(self, around: Surroundings, kind: type) -> Callable[[Any], Values]:
        """Return how to read the fact from a thing of this kind."""
        own, of_node, of_site = self.own.get(kind), self.of_node, self.of_site
        if own is not None:
            return own
        if of_node is not None:
            return lambda thing: [of_node(around, node) for node in around.nodes_of(thing)]
        if of_site is not None:
            return lambda thing: [of_site(around, site) for site in around.sites_of(thing)]
        return lambda _: ()


def _named(thing: Agency | Platform) -> Values:
    return thing.id, thing.name.vi, thing.name.en


FACTS: Mapping[str, Fact] = MappingProxyType(
    {
        fact.name: fact
        for fact in (
            Fact(
                name="name",
                means=Text(vi="tên hoặc mã định danh", en="what it is called: name or identifier"),
                own={
                    Unit: lambda unit: (unit.name,),
                    Centre: lambda centre: (centre.name,),
                    Site: lambda site: (site.name,),
                    Node: lambda node: (node.name, node.site.name),
                    Link: lambda link: (link.name,),
                    Cluster: lambda cluster: (cluster.id,),
                    Platform: _named,
                    Agency: _named,
                },
            ),
            Fact(
                name="site",
                means=Text(vi="mã đơn vị hoặc trung tâm", en="code of the unit or centre where it lies"),
                own={Unit: lambda unit: (unit.code,), Override: lambda override: (override.subject,)},
                of_site=lambda _, site: site.code,
                known=lambda nation: (*(unit.code for unit in nation.units), *(one.code for one in nation.centres)),
            ),
            Fact(
                name="level",
                means=Text(vi="cấp hành chính", en="administrative level: country, province, district, commune"),
                own={Unit: lambda unit: (unit.level,)},
                of_site=lambda _, site: site.level,
                known=lambda _: UnitLevel,
            ),
            Fact(
                name="province",
                means=Text(vi="tỉnh: mã hoặc tên", en="province that it lies in: code or name"),
                of_site=lambda _, site: site.province,
                names_level=UnitLevel.PROVINCE,
            ),
            Fact(
                name="district",
                means=Text(vi="huyện: mã hoặc tên", en="district that it is or lies in: code or name"),
                of_site=Surroundings.district_of,
                names_level=UnitLevel.DISTRICT,
            ),
            Fact(
                name="region",
                means=Text(vi="vùng", en="part of the country: north, central, south"),
                of_site=lambda _, site: site.region,
                known=lambda _: Region,
            ),
            Fact(
                name="home",
                means=Text(vi="trung tâm phục vụ", en="code of the core site that serves it"),
                of_site=lambda _, site: site.home,
                known=lambda nation: [centre.code for centre in nation.centres if centre.kind.is_core],
            ),
            Fact(
                name="access_level",
                is_number=True,
                means=Text(vi="mức truy nhập", en="1: two channels by two routes; 2: the rest"),
                of_site=lambda _, site: site.access_level,
                known=lambda _: ("1", "2"),
            ),
            Fact(
                name="kind",
                means=Text(vi="loại trung tâm hoặc cơ quan", en="kind of its centre; of an agency, its own"),
                own={Agency: lambda agency: (agency.kind,)},
                of_site=lambda _, site: site.centre.kind if site.centre is not None else None,
                known=lambda _: (*CentreKind, *AgencyKind),
            ),
            Fact(
                name="agency",
                means=Text(
                    vi="cơ quan chủ quản", en="agency it serves; of a platform its owner, of a cluster who runs it"
                ),
                own={
                    Agency: lambda agency: (agency.id,),
                    Cluster: lambda cluster: (cluster.operator,),
                    Platform: lambda platform: (platform.owner,),
                },
                of_site=Surroundings.agency_at,
                known=lambda nation: [agency.id for agency in nation.agencies],
            ),
            Fact(
                name="role",
                means=Text(vi="vai trò của nút", en="role of its nodes"),
                of_node=lambda _, node: node.role,
                known=lambda _: Role,
            ),
            Fact(
                name="plane",
                means=Text(vi="mặt phẳng", en="plane of the backbone"),
                own={Link: lambda link: (link.plane,)},
                of_node=lambda _, node: node.plane,
                known=lambda nation: [plane.name for plane in nation.planes],
            ),
            Fact(
                name="tier",
                means=Text(vi="tầng đám mây", en="tier of its cloud: cgc, agc, egc"),
                own={Cluster: lambda cluster: (cluster.tier,), Platform: lambda platform: (platform.tier,)},
                of_node=Surroundings.tier_of,
                known=lambda _: Tier,
            ),
            Fact(
                name="cluster",
                means=Text(vi="cụm", en="cluster that it is, belongs to or runs on"),
                own={Cluster: lambda cluster: (cluster.id,), Platform: lambda platform: platform.clusters},
                of_node=lambda _, node: node.cluster,
                known=lambda nation: [cluster.id for cluster in nation.clusters],
            ),
            Fact(
                name="as_number",
                is_number=True,
                means=Text(vi="số hiệu AS", en="AS number of its nodes"),
                of_node=lambda _, node: node.as_number,
            ),
            Fact(
                name="link_class",
                means=Text(vi="loại liên kết", en="class of a link"),
                own={Link: lambda link: (link.link_class.name,)},
            ),
            Fact(
                name="capacity_mbps",
                is_number=True,
                means=Text(vi="băng thông, Mbit/s", en="capacity of a link, Mbit/s"),
                own={Link: lambda link: (link.link_class.capacity_mbps,)},
            ),
            Fact(
                name="route",
                means=Text(vi="hướng vật lý", en="physical route of a link"),
                own={Link: lambda link: (link.route,)},
            ),
            Fact(
                name="security_level",
                is_number=True,
                means=Text(vi="cấp độ an toàn", en="security level of a platform, 1 to 5"),
                own={Platform: lambda platform: (platform.level,)},
                known=lambda _: [str(level) for level in range(1, 6)],
            ),
            Fact(
                name="needs",
                means=Text(vi="nền tảng mà nó cần", en="platform that a platform needs"),
                own={Platform: lambda platform: platform.needs},
                known=lambda nation: [platform.id for platform in nation.platforms],
            ),
            Fact(
                name="objective",
                means=Text(vi="mục tiêu dịch vụ", en="service objective of a platform"),
                own={Platform: lambda platform: (platform.objective,)},
                known=lambda nation: [objective.id for objective in nation.objectives],
            ),
            Fact(
                name="fact",
                means=Text(vi="dữ kiện bị ghi đè", en="fact that an override changes"),
                own={Override: lambda override: (override.fact,)},
            ),
        )
    }
)


def facts_of(*kinds: type) -> tuple[str, ...]:
    """Return the names of the facts that things of at least one of these kinds have."""
    return tuple(fact.name for fact in FACTS.values() if any(fact.has(kind) for kind in kinds))
