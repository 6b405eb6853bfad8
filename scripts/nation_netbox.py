"""The nation as files for NetBox's bulk import, numbered in the order in which they are imported.

Columns are the fields of NetBox 4.6's import forms (netbox/dcim/forms/bulk_import.py, netbox/ipam/forms/bulk_import.py,
netbox/tenancy/forms/bulk_import.py, v4.6.8). Regions and sites are looked up by name there, so each name carries its
code. Device types are YAML, the only form in which NetBox imports them. Links are cables only where both of their ends
are exported. What NetBox has no import for is not here: BGP sessions, platforms.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from inventories.model import (
    LOOPBACK_INTERFACE,
    MANAGEMENT_INTERFACE,
    Agency,
    Nation,
    Node,
    Role,
    Site,
    Unit,
    UnitLevel,
)

Rows = Iterable[Sequence[object]]

MANUFACTURER = "Unspecified"  # what hardware stands there is not declared
REGISTRY = "Private use"  # RFC 6996, RFC 1918, RFC 4193
_LONGEST_DESCRIPTION = 200
_KBPS = 1000  # NetBox counts an interface's speed in kbit/s


def netbox_files(nation: Nation, nodes: Sequence[Node]) -> dict[str, str]:
    """Return the files, by name, for these nodes and the sites, networks and links that they have."""
    sites = sorted({node.site.code for node in nodes})
    chosen = [nation.site_by_code[code] for code in sites]
    agencies = {agency.id: agency for site in chosen if (agency := nation.agency_at(site)) is not None}
    tables: dict[str, tuple[str, Rows]] = {
        "rirs": ("name,slug,is_private", ((REGISTRY, "private-use", "true"),)),
        "asns": ("asn,rir,description", _asns(nodes)),
        "route-targets": ("name,description", _route_targets(nation)),
        "vrfs": ("name,rd,enforce_unique,description,import_targets,export_targets", _vrfs(nation)),
        "tenants": ("name,slug,description", _tenants(agencies.values())),
        "regions": ("name,slug,parent", _regions(nation, chosen)),
        "sites": ("name,slug,status,region,tenant,latitude,longitude", _sites(nation, chosen)),
        "manufacturers": ("name,slug", ((MANUFACTURER, "unspecified"),)),
        "device-types": ("", ()),
        "device-roles": ("name,slug,color", _roles(nodes)),
        "devices": ("name,role,manufacturer,device_type,status,site,tenant", _devices(nation, nodes)),
        "interfaces": ("device,name,type,enabled,mgmt_only,speed,parent", _interfaces(nation, nodes)),
        "ip-addresses": ("address,status,role,device,interface,is_primary,is_oob,dns_name", _addresses(nation, nodes)),
        "prefixes": ("prefix,vrf,status,scope_type,scope_name,description", _prefixes(nation, chosen)),
        "cables": (
            "side_a_device,side_a_type,side_a_name,side_b_device,side_b_type,side_b_name,status,label",
            _cables(nation, nodes),
        ),
    }
    files: dict[str, str] = {}
    for number, (name, (header, rows)) in enumerate(tables.items(), 1):
        if name == "device-types":
            files[f"{number:02}-{name}.yaml"] = _device_types(nodes)
        else:
            files[f"{number:02}-{name}.csv"] = _csv(header, rows)
    return files


def _csv(header: str, rows: Rows) -> str:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return written.getvalue()


def _named(thing: Unit | Site) -> str:
    """Return the name under which NetBox finds a place: many communes share one."""
    return f"{thing.name} ({thing.code})"


def _tenant(nation: Nation, site: Site) -> str:
    agency = nation.agency_at(site)
    return agency.name.vi if agency is not None else ""


def _asns(nodes: Iterable[Node]) -> Rows:
    found: dict[int, str] = {}
    for node in nodes:
        found[node.as_number] = f"plane {node.plane}" if node.role is Role.CORE else node.name
    return ((number, REGISTRY, name) for number, name in sorted(found.items()))


def _route_targets(nation: Nation) -> Rows:
    return ((_target(nation, kind.number), kind.title.vi) for kind in nation.tenancy_classes)


def _target(nation: Nation, number: int) -> str:
    return f"{nation.planes[0].as_number}:{number}"


def _vrfs(nation: Nation) -> Rows:
    for kind in nation.tenancy_classes:
        target = _target(nation, kind.number)
        yield kind.name, target, "true", kind.title.vi, target, target


def _tenants(agencies: Iterable[Agency]) -> Rows:
    return (
        (one.name.vi, one.id, one.name.en[:_LONGEST_DESCRIPTION]) for one in sorted(agencies, key=lambda one: one.id)
    )


def _regions(nation: Nation, sites: Iterable[Site]) -> Iterator[tuple[str, str, str]]:
    """Yield the country, and the provinces and districts that the sites lie in; each after what it lies in."""
    country = next(unit for unit in nation.units if unit.level is UnitLevel.COUNTRY)
    needed: dict[str, Unit] = {}
    for site in sites:
        unit = site.unit
        while unit is not None and unit.code not in needed:
            if unit.level is not UnitLevel.COMMUNE:
                needed[unit.code] = unit
            unit = nation.unit_by_code.get(unit.parent or "")
    needed.pop(country.code, None)
    yield _named(country), f"country-{country.code.lower()}", ""
    order = [*UnitLevel]
    for unit in sorted(needed.values(), key=lambda unit: (order.index(unit.level), unit.code)):
        yield _named(unit), f"{unit.level}-{unit.code}", _named(nation.unit_by_code[unit.parent or ""])


def _region_of(nation: Nation, site: Site) -> str:
    if site.unit is None:
        return _named(next(unit for unit in nation.units if unit.level is UnitLevel.COUNTRY))
    unit = site.unit
    return _named(nation.unit_by_code[unit.parent or ""] if unit.level is UnitLevel.COMMUNE else unit)


def _sites(nation: Nation, sites: Iterable[Site]) -> Rows:
    for site in sites:
        kind = site.level or "centre"
        region, tenant = _region_of(nation, site), _tenant(nation, site)
        place = f"{site.latitude:.6f}", f"{site.longitude:.6f}"
        yield _named(site), f"{kind}-{site.code}", "active", region, tenant, *place


def _roles_of(nodes: Iterable[Node]) -> list[str]:
    return sorted({node.role.value for node in nodes})


def _roles(nodes: Iterable[Node]) -> Rows:
    return ((role, role, "9e9e9e") for role in _roles_of(nodes))


def _device_types(nodes: Iterable[Node]) -> str:
    """Return one type a role, as documents of YAML whose texts are written as JSON writes them."""
    lines: list[str] = []
    for role in _roles_of(nodes):
        facts = {"manufacturer": MANUFACTURER, "model": role, "slug": f"unspecified-{role}"}
        lines += ["---", *(f"{name}: {json.dumps(value)}" for name, value in facts.items())]
    return "\n".join([*lines, ""])


def _devices(nation: Nation, nodes: Iterable[Node]) -> Rows:
    for node in nodes:
        role = node.role.value
        yield node.name, role, MANUFACTURER, role, "active", _named(node.site), _tenant(nation, node.site)


def _interfaces(nation: Nation, nodes: Iterable[Node]) -> Rows:
    for node in nodes:
        yield node.name, LOOPBACK_INTERFACE, "virtual", "true", "false", "", ""
        yield node.name, MANAGEMENT_INTERFACE, "other", "true", "true", "", ""
        for interface in node.interfaces:
            speed = nation.link_by_name[interface.link].link_class.capacity_mbps * _KBPS
            yield node.name, interface.name, "other", "true", "false", speed, ""
        for tunnel in node.tunnels:
            yield node.name, tunnel.name, "virtual", "true", "false", "", tunnel.underlay


def _addresses(nation: Nation, nodes: Iterable[Node]) -> Rows:
    for node in nodes:
        name = f"{node.name}.{nation.domain}"
        for loopback in (f"{node.loopback.ipv4}/32", f"{node.loopback.ipv6}/128"):
            yield loopback, "active", "loopback", node.name, LOOPBACK_INTERFACE, "true", "false", name
        yield node.management[0], "active", "", node.name, MANAGEMENT_INTERFACE, "false", "true", ""
        # one address out of band is all that NetBox takes
        yield node.management[1], "active", "", node.name, MANAGEMENT_INTERFACE, "false", "false", ""
        ends = [(end.name, end.ipv4, end.ipv6) for end in node.interfaces]
        ends += [(end.name, end.ipv4, end.ipv6) for end in node.tunnels]
        for interface, *addresses in ends:
            for address in addresses:
                yield address, "active", "", node.name, interface, "false", "false", ""


def _prefixes(nation: Nation, sites: Iterable[Site]) -> Rows:
    for pool in (*nation.prefixes, nation.management):
        for prefix in (pool.ipv4, pool.ipv6):
            yield prefix, "", "container", "", "", ""
    titles: Mapping[str, str] = {kind.name: kind.title.vi for kind in nation.tenancy_classes}
    for site in sites:
        for one in site.prefixes:
            for prefix in (one.prefix.ipv4, one.prefix.ipv6):
                yield prefix, one.tenancy_class, "active", "dcim.site", _named(site), titles[one.tenancy_class]


def _cables(nation: Nation, nodes: Iterable[Node]) -> Rows:
    exported = {node.name for node in nodes}
    for link in nation.links:
        lower, upper = link.ends
        if lower in exported and upper in exported:
            kind = "dcim.interface"
            yield lower, kind, upper, upper, kind, lower, "connected", link.name
