"""The tables that `cgc nation show` prints: which columns each part of the nation has, and how its rows are sorted.

What people look up by name (units, sites, centres) is sorted by name as Vietnamese is; everything else by identifier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from inventories.collation import sort_key
from inventories.facts import FACTS
from inventories.model import (
    LOOPBACK_INTERFACE,
    MANAGEMENT_INTERFACE,
    Agency,
    Centre,
    Cluster,
    Link,
    Nation,
    Node,
    Override,
    Platform,
    Site,
    Unit,
)
from inventories.selecting import Selection, select
from scripts.invocation import speak
from scripts.presenting import Column, Table

Rows = Iterable[Mapping[str, object]]


class Part(StrEnum):
    """Which part of the nation to show."""

    SUMMARY = "summary"
    UNITS = "units"
    SITES = "sites"
    CENTRES = "centres"
    NODES = "nodes"
    LINKS = "links"
    CLUSTERS = "clusters"
    PLATFORMS = "platforms"
    AGENCIES = "agencies"
    PREFIXES = "prefixes"
    ADDRESSES = "addresses"
    OVERRIDES = "overrides"
    FACTS = "facts"  # what the others can be chosen by


@dataclass(frozen=True, kw_only=True)
class View:
    """How one part is shown: of which kind of thing it tells, its columns (key, English, Vietnamese) and its rows."""

    kind: type
    columns: tuple[tuple[str, str, str], ...]
    rows: Callable[[Nation, Iterable[Any]], Rows]


def table_of(nation: Nation, part: Part, where: Selection) -> Table:
    """Return the part's table, of what fits the selection."""
    view = VIEWS[part]
    return Table(
        name=part.value,
        columns=tuple(Column(key=key, en=en, vi=vi) for key, en, vi in view.columns),
        rows=tuple(view.rows(nation, select(nation, view.kind, where))),
    )


def facts_table() -> Table:
    """Return the facts that parts can be chosen by, and of which parts each is one."""
    return Table(
        name=Part.FACTS.value,
        columns=(
            Column(key="fact", en="fact", vi="dữ kiện"),
            Column(key="means", en="means", vi="nghĩa"),
            Column(key="parts", en="of", vi="của"),
        ),
        rows=tuple(
            {
                "fact": fact.name,
                "means": speak(en=fact.means.en, vi=fact.means.vi),
                "parts": [part.value for part, view in VIEWS.items() if fact.has(view.kind)],
            }
            for fact in FACTS.values()
        ),
    )


def _by_name(things: Iterable[Any]) -> list[Any]:
    return sorted(things, key=lambda thing: (sort_key(thing.name), thing.code))


def name_of_unit(nation: Nation, code: str | None) -> str | None:
    """Return the name of a unit, None where there is none."""
    unit = nation.unit_by_code.get(code or "")
    return unit.name if unit is not None else None


def _units(nation: Nation, units: Iterable[Unit]) -> Rows:
    for unit in _by_name(units):
        yield {
            "unit": unit.code,
            "level": unit.level,
            "name": unit.name,
            "parent": unit.parent,
            "parent_name": name_of_unit(nation, unit.parent),
            "latitude": unit.latitude,
            "longitude": unit.longitude,
        }


def _sites(nation: Nation, sites: Iterable[Site]) -> Rows:
    for site in _by_name(sites):
        yield {
            "site": site.code,
            "name": site.name,
            "level": site.level,
            "kind": site.centre.kind if site.centre is not None else None,
            "province": site.province,
            "province_name": name_of_unit(nation, site.province),
            "region": site.region,
            "home": site.home,
            "access_level": site.access_level,
            "latitude": site.latitude,
            "longitude": site.longitude,
        }


def _centres(nation: Nation, centres: Iterable[Centre]) -> Rows:
    del nation
    for centre in _by_name(centres):
        yield {
            "centre": centre.code,
            "name": centre.name,
            "kind": centre.kind,
            "region": centre.region,
            "attached_to": centre.attached_to,
            "backs_up": centre.backs_up,
            "agency": centre.agency,
            "latitude": centre.latitude,
            "longitude": centre.longitude,
        }


def _nodes(nation: Nation, nodes: Iterable[Node]) -> Rows:
    del nation
    for node in nodes:
        yield {
            "node": node.name,
            "role": node.role,
            "site": node.site.code,
            "site_name": node.site.name,
            "province": node.site.province,
            "plane": node.plane,
            "cluster": node.cluster,
            "as_number": node.as_number,
            "loopback4": str(node.loopback.ipv4),
            "loopback6": str(node.loopback.ipv6),
            "management": str(node.management4),
        }


def _links(nation: Nation, links: Iterable[Link]) -> Rows:
    del nation
    for link in links:
        yield {
            "link": link.name,
            "link_class": link.link_class.name,
            "capacity_mbps": link.link_class.capacity_mbps,
            "plane": link.plane,
            "route": link.route,
            "communes": link.communes,
        }


def _clusters(nation: Nation, clusters: Iterable[Cluster]) -> Rows:
    for cluster in clusters:
        yield {
            "cluster": cluster.id,
            "tier": cluster.tier,
            "operator": cluster.operator,
            "site": cluster.site,
            "hosts": [host.name for host in cluster.hosts],
            "platforms": [platform.id for platform in nation.platforms_on(cluster)],
            "certified_until": cluster.certification.expires if cluster.certification else None,
        }


def _platforms(nation: Nation, platforms: Iterable[Platform]) -> Rows:
    del nation
    for platform in platforms:
        yield {
            "platform": platform.id,
            "name": speak(en=platform.name.en, vi=platform.name.vi),
            "ref": platform.ref,
            "owner": platform.owner,
            "tier": platform.tier,
            "level": platform.level,
            "clusters": platform.clusters,
            "replicas": platform.replicas,
            "needs": platform.needs,
        }


def _agencies(nation: Nation, agencies: Iterable[Agency]) -> Rows:
    del nation
    for agency in agencies:
        yield {
            "agency": agency.id,
            "name": speak(en=agency.name.en, vi=agency.name.vi),
            "kind": agency.kind,
            "unit": agency.unit,
            "contact": agency.contact,
        }


def _prefixes(nation: Nation, sites: Iterable[Site]) -> Rows:
    del nation
    for site in sites:
        for one in site.prefixes:
            yield {
                "site": site.code,
                "name": site.name,
                "tenancy_class": one.tenancy_class,
                "ipv4": str(one.prefix.ipv4),
                "ipv6": str(one.prefix.ipv6),
            }


def _addresses(nation: Nation, nodes: Iterable[Node]) -> Rows:
    del nation
    for node in nodes:
        for purpose, interface, ipv4, ipv6 in addresses_of(node):
            yield {"node": node.name, "purpose": purpose, "interface": interface, "ipv4": ipv4, "ipv6": ipv6}


def addresses_of(node: Node) -> Iterator[tuple[str, str, str, str]]:
    """Yield every address of a node: what it is for, its interface, and the address with its length in each family."""
    yield "loopback", LOOPBACK_INTERFACE, f"{node.loopback.ipv4}/32", f"{node.loopback.ipv6}/128"
    yield "management", MANAGEMENT_INTERFACE, str(node.management[0]), str(node.management[1])
    for interface in node.interfaces:
        yield "link", interface.name, str(interface.ipv4), str(interface.ipv6)
    for tunnel in node.tunnels:
        yield "tunnel", tunnel.name, str(tunnel.ipv4), str(tunnel.ipv6)


def _overrides(nation: Nation, overrides: Iterable[Override]) -> Rows:
    for override in overrides:
        yield {
            "subject": override.subject,
            "name": name_of_unit(nation, override.subject),
            "fact": override.fact,
            "value": override.value,
            "who": override.who,
            "why": override.why,
            "until": override.until,
            "place": override.place,
        }


_PLACED = (("latitude", "latitude", "vĩ độ"), ("longitude", "longitude", "kinh độ"))
_PAIR = (("ipv4", "IPv4", "IPv4"), ("ipv6", "IPv6", "IPv6"))

VIEWS: Mapping[Part, View] = MappingProxyType(
    {
        Part.UNITS: View(
            kind=Unit,
            columns=(
                ("unit", "code", "mã"),
                ("level", "level", "cấp"),
                ("name", "name", "tên"),
                ("parent", "above", "mã cấp trên"),
                ("parent_name", "name of above", "cấp trên"),
                *_PLACED,
            ),
            rows=_units,
        ),
        Part.SITES: View(
            kind=Site,
            columns=(
                ("site", "code", "mã"),
                ("name", "name", "tên"),
                ("level", "level", "cấp"),
                ("kind", "kind", "loại"),
                ("province", "province", "mã tỉnh"),
                ("province_name", "name of province", "tỉnh"),
                ("region", "region", "vùng"),
                ("home", "home", "trung tâm"),
                ("access_level", "access", "mức truy nhập"),
                *_PLACED,
            ),
            rows=_sites,
        ),
        Part.CENTRES: View(
            kind=Centre,
            columns=(
                ("centre", "code", "mã"),
                ("name", "name", "tên"),
                ("kind", "kind", "loại"),
                ("region", "region", "vùng"),
                ("attached_to", "attached to", "nối vào"),
                ("backs_up", "backs up", "dự phòng cho"),
                ("agency", "agency", "cơ quan"),
                *_PLACED,
            ),
            rows=_centres,
        ),
        Part.NODES: View(
            kind=Node,
            columns=(
                ("node", "node", "nút"),
                ("role", "role", "vai trò"),
                ("site", "site", "mã địa điểm"),
                ("site_name", "name of site", "địa điểm"),
                ("province", "province", "mã tỉnh"),
                ("plane", "plane", "mặt phẳng"),
                ("cluster", "cluster", "cụm"),
                ("as_number", "AS", "AS"),
                ("loopback4", "IPv4", "IPv4"),
                ("loopback6", "IPv6", "IPv6"),
                ("management", "management", "quản trị"),
            ),
            rows=_nodes,
        ),
        Part.LINKS: View(
            kind=Link,
            columns=(
                ("link", "link", "liên kết"),
                ("link_class", "class", "loại"),
                ("capacity_mbps", "Mbit/s", "Mbit/s"),
                ("plane", "plane", "mặt phẳng"),
                ("route", "route", "hướng vật lý"),
                ("communes", "communes behind it", "xã phía sau"),
            ),
            rows=_links,
        ),
        Part.CLUSTERS: View(
            kind=Cluster,
            columns=(
                ("cluster", "cluster", "cụm"),
                ("tier", "tier", "tầng"),
                ("operator", "operator", "vận hành"),
                ("site", "site", "địa điểm"),
                ("hosts", "hosts", "máy chủ"),
                ("platforms", "platforms", "nền tảng"),
                ("certified_until", "certified until", "chứng nhận đến"),
            ),
            rows=_clusters,
        ),
        Part.PLATFORMS: View(
            kind=Platform,
            columns=(
                ("platform", "platform", "mã"),
                ("name", "name", "tên"),
                ("ref", "Decision 942", "Quyết định 942"),
                ("owner", "owner", "chủ quản"),
                ("tier", "tier", "tầng"),
                ("level", "level", "cấp độ"),
                ("clusters", "clusters", "cụm"),
                ("replicas", "replicas", "bản sao"),
                ("needs", "needs", "phụ thuộc"),
            ),
            rows=_platforms,
        ),
        Part.AGENCIES: View(
            kind=Agency,
            columns=(
                ("agency", "agency", "mã"),
                ("name", "name", "tên"),
                ("kind", "kind", "loại"),
                ("unit", "unit", "đơn vị"),
                ("contact", "contact", "liên hệ"),
            ),
            rows=_agencies,
        ),
        Part.PREFIXES: View(
            kind=Site,
            columns=(
                ("site", "site", "mã địa điểm"),
                ("name", "name", "tên"),
                ("tenancy_class", "tenancy class", "lớp thuê bao"),
                *_PAIR,
            ),
            rows=_prefixes,
        ),
        Part.ADDRESSES: View(
            kind=Node,
            columns=(
                ("node", "node", "nút"),
                ("purpose", "for", "dùng cho"),
                ("interface", "interface", "giao diện"),
                *_PAIR,
            ),
            rows=_addresses,
        ),
        Part.OVERRIDES: View(
            kind=Override,
            columns=(
                ("subject", "subject", "mã"),
                ("name", "name", "tên"),
                ("fact", "fact", "dữ kiện"),
                ("value", "value", "giá trị"),
                ("who", "who", "ai quyết định"),
                ("why", "why", "lý do"),
                ("until", "until", "đến"),
                ("place", "where", "ở đâu"),
            ),
            rows=_overrides,
        ),
    }
)
