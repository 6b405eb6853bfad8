"""What makes a declaration sound: references that resolve, identifiers used once, prefixes that do not meet.

Everything is judged from the declaration and its address plan, before any node is made: a sound declaration expands
without failing. Every problem names the line that causes it.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import partial
from ipaddress import IPv4Network, IPv6Network

from inventories.declaration import BackboneLink, Declaration, Ring
from inventories.expansion import (
    SITE_BITS4,
    SITE_BITS6,
    agencies_of,
    node_name_of_edge,
    node_name_of_unit,
    ring_links,
    wireguard_port_of,
)
from inventories.model import (
    LOOPBACK_INTERFACE,
    MANAGEMENT_INTERFACE,
    SMALLEST_POD_MIB,
    TUNNEL_PREFIX,
    Agency,
    Centre,
    CentreKind,
    Cluster,
    DualStack,
    Override,
    Platform,
    Tier,
    Unit,
    UnitLevel,
)
from inventories.numbering import (
    COMMUNE_BITS,
    HIGHEST_COMMUNE_CODE,
    IDENTITIES,
    NUMBER_BITS,
    SITE_BITS,
    identity_of,
    numbers_of,
    parsed,
    written,
)
from inventories.reading import Reader

ABOVE = {
    UnitLevel.PROVINCE: (UnitLevel.COUNTRY,),
    UnitLevel.DISTRICT: (UnitLevel.PROVINCE,),
    UnitLevel.COMMUNE: (UnitLevel.DISTRICT, UnitLevel.PROVINCE),  # the scheme of 2025 has no districts
}
FACTS = {  # what an override may change, and at which levels
    "homed_at": (UnitLevel.PROVINCE,),
    "number": (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE),
    "link_class": (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE),
    "position": (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE),
}
_POSITION = re.compile(r"-?[0-9]{1,2}(\.[0-9]{1,9})?, ?-?[0-9]{1,3}(\.[0-9]{1,9})?")
CODES = {
    UnitLevel.PROVINCE: (1, 99),  # 0 is the backbone's block in the address plan
    UnitLevel.DISTRICT: (0, 999),
    UnitLevel.COMMUNE: (0, HIGHEST_COMMUNE_CODE),
}
LONGEST_CODE = 9  # digits: more make no node's name, and Python counts only so far
BACKBONE_BITS = 17  # index of a pair of sites' numbers, four addresses each: see expansion.py
ROOM_BITS = {  # of each family: what numbers, and what is added to them, need
    "loopbacks": (NUMBER_BITS, NUMBER_BITS),
    "links": (NUMBER_BITS + 2, NUMBER_BITS + 2),
    "overlays": (NUMBER_BITS + 1, NUMBER_BITS + 1),
    "management": (NUMBER_BITS, NUMBER_BITS),
    "backbone": (BACKBONE_BITS, BACKBONE_BITS),
    "sites": (NUMBER_BITS + SITE_BITS4, NUMBER_BITS + SITE_BITS6),
}
LAST_AS_NUMBER = 4_294_967_294  # RFC 7300
PLANES = 2  # at least: Circular 06/2026/TT-BKHCN, article 5.1a; at most: a node numbers two links up
HOLD_SECONDS = (3, 65_535)  # RFC 4271, 4.2: at least three, in 16 bits
SMALLEST_RING = 3
LONGEST_NAMESPACE = 63  # an RFC 1123 label, as Kubernetes names namespaces
SYSTEM_NAMESPACES = "kube-"  # what Kubernetes' own begin with
LONGEST_NODE_NAME = 15  # Linux's interface names, which are the far node's (IFNAMSIZ)
NO_UNICAST = {  # unspecified, loopback, link-local, mapped, multicast
    "ipv4": tuple(map(IPv4Network, ("0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4"))),
    "ipv6": tuple(map(IPv6Network, ("::/127", "::ffff:0:0/96", "fe80::/10", "ff00::/8"))),
}
# How long prefixes may be: the controller manager cuts a /24 and a /64 a host out of the pods', the API server hands
# services at most 20 bits of addresses; fewer than 8 bits would soon be used up.
PREFIX_LENGTHS = {
    ("pods", "ipv4"): (8, 24),
    ("pods", "ipv6"): (48, 64),
    ("services", "ipv4"): (12, 24),
    ("services", "ipv6"): (108, 120),
}


def check(declaration: Declaration, reader: Reader, *, today: date) -> None:
    """Note everything that makes a declaration unsound: with no complaint, expanding it cannot fail."""
    _check_units(declaration, reader)
    _check_centres(declaration, reader)
    _check_network(declaration, reader)
    _check_tiers(declaration, reader)
    _check_clusters(declaration, reader)
    _check_names(declaration, reader)
    _check_platforms(declaration, reader)
    _check_overrides(declaration, reader, today)
    _check_prefixes(declaration, reader)
    if not reader.problems:
        _check_numbers(declaration, reader)


def _check_prefixes(declaration: Declaration, reader: Reader) -> None:
    """Note every overlap of prefixes, and every pool without room for the address plan."""
    pools = declaration.network.pools
    named: list[tuple[str, DualStack]] = []
    for pool, (bits4, bits6) in ROOM_BITS.items():
        prefix: DualStack = getattr(pools, pool)
        place = reader.place("network.yaml", "pools", pool)
        named.append((place, prefix))
        for network, bits in ((prefix.ipv4, bits4), (prefix.ipv6, bits6)):
            if network.max_prefixlen - network.prefixlen < bits:
                what = f"{pool} {network} has no room for the address plan"
                reader.complain("CGC-112", place, what, f"give at least a /{network.max_prefixlen - bits}")
    for index, cluster in enumerate(declaration.clusters.clusters):
        named.extend(
            (reader.place("clusters.yaml", "clusters", index, part), getattr(cluster, part))
            for part in ("pods", "services")
        )
    for place, prefix in named:
        _check_prefix(prefix, place, reader)
    _check_overlaps(named, reader)


def _check_numbers(declaration: Declaration, reader: Reader) -> None:
    """Note units that would share a place in the address plan, or a port at their parent."""
    file = "units.csv"
    overridden = {item.subject: item.place for item in declaration.overrides if item.fact == "number"}
    numbers = numbers_of(declaration.units, declaration.overrides)
    holders: dict[int, str] = {}
    ports: dict[tuple[str | None, int], str] = {}

    def place_of(unit: Unit) -> str:
        own = overridden.get(unit.code)
        return str(reader.directory / own) if own else reader.place(file, reader.row_of(file, unit))

    for unit in declaration.units:
        number = numbers.get(unit.code)
        if number is None:
            continue
        other = holders.setdefault(number, unit.code)
        if other != unit.code:
            what = f"{unit.code} has the place {written(number)} of {other} in the address plan"
            remedy = "give one of them another by an override of `number`"
            reader.complain("CGC-114", place_of(unit), what, remedy)
        if unit.level is UnitLevel.COMMUNE:
            port = wireguard_port_of(identity_of(unit))
            other = ports.setdefault((unit.parent, port), unit.code)
            if other != unit.code:
                what = f"{unit.parent} would listen at port {port} for {unit.code} and {other}"
                reader.complain("CGC-112", place_of(unit), what, "give one of them another parent or code")


def _check_names(declaration: Declaration, reader: Reader) -> None:
    """Note nodes that would share a name, and names that are too long for an interface."""
    named = [
        (node_name_of_unit(unit), reader.place("units.csv", reader.row_of("units.csv", unit)))
        for unit in declaration.units
        if unit.level is not UnitLevel.COUNTRY
    ]
    for index, centre in enumerate(declaration.centres.centres):
        place = reader.place("centres.yaml", "centres", index, "code")
        if centre.kind.is_core:
            named += [(f"core-{plane.name}-{centre.code}", place) for plane in declaration.network.planes[:PLANES]]
        else:
            named.append((node_name_of_edge(centre), place))
    for index, cluster in enumerate(declaration.clusters.clusters):
        for position, host in enumerate(cluster.hosts):
            named.append((host.name, reader.place("clusters.yaml", "clusters", index, "hosts", position)))
    seen: dict[str, str] = {}
    for name, place in named:
        if name in seen:
            reader.complain("CGC-110", place, f"two nodes are called {name} ({seen[name]})", "rename one")
        elif len(name) > LONGEST_NODE_NAME:
            what = f"the node's name {name} has {len(name)} characters"
            reader.complain("CGC-106", place, what, f"shorten the code: {LONGEST_NODE_NAME} are allowed")
        elif name in (LOOPBACK_INTERFACE, MANAGEMENT_INTERFACE) or name.startswith(TUNNEL_PREFIX):
            what = f"the node's name {name} is that of another interface"
            reader.complain("CGC-106", place, what, "rename it: its neighbours name an interface after it")
        seen.setdefault(name, place)


def _check_prefix(prefix: DualStack, place: str, reader: Reader) -> None:
    """Note a prefix whose addresses no node can have."""
    for family, blocks in NO_UNICAST.items():
        network = getattr(prefix, family)
        if any(network.overlaps(block) for block in blocks):
            reader.complain("CGC-106", place, f"{network} is no prefix of unicast addresses", "choose another")


def _check_overlaps(named: Sequence[tuple[str, DualStack]], reader: Reader) -> None:
    for family in ("ipv4", "ipv6"):
        ordered: list[tuple[IPv4Network | IPv6Network, str]] = sorted(
            ((getattr(prefix, family), place) for place, prefix in named),
            key=lambda item: (int(item[0].network_address), item[0].prefixlen),
        )
        reached, reached_place = ordered[0]
        for network, place in ordered[1:]:
            if int(network.network_address) <= int(reached.broadcast_address):
                what = f"{network} overlaps {reached} ({reached_place})"
                reader.complain("CGC-108", place, what, "choose prefixes that do not meet")
            if int(network.broadcast_address) > int(reached.broadcast_address):
                reached, reached_place = network, place


def _check_once(identifiers: Iterable[str], file: str, path: str, reader: Reader) -> None:
    seen: set[str] = set()
    for index, identifier in enumerate(identifiers):
        if identifier in seen:
            place = reader.place(file, path, index) if path else reader.place(file, index)
            reader.complain("CGC-110", place, f"{identifier!r} is declared twice", "keep one, or rename one")
        seen.add(identifier)


def _check_known(value: str, known: Iterable[str], place: str, called: str, reader: Reader) -> None:
    choices = sorted(set(known))
    if value not in choices:
        shown = ", ".join(choices[:12]) + (" …" if len(choices) > 12 else "")  # noqa: PLR2004 - a line's worth
        reader.complain("CGC-107", place, f"{called} {value!r} is not declared", f"known are {shown or 'none'}")


def _complain_of_unit(reader: Reader, code: str, unit: Unit, what: str, remedy: str) -> None:
    reader.complain(code, reader.place("units.csv", reader.row_of("units.csv", unit)), what, remedy)


def _check_units(declaration: Declaration, reader: Reader) -> None:
    complain = partial(_complain_of_unit, reader)
    rows: dict[str, Unit] = {}
    numbers: dict[tuple[UnitLevel, int], str] = {}
    for unit in declaration.units:
        is_number = unit.code.isascii() and unit.code.isdigit() and len(unit.code) <= LONGEST_CODE
        if unit.code in rows:
            complain("CGC-110", unit, f"unit {unit.code!r} is declared twice", "keep one")
        elif is_number:
            twin = numbers.setdefault((unit.level, int(unit.code)), unit.code)
            if twin != unit.code:
                what = f"the codes {unit.code!r} and {twin!r} are one number"
                complain("CGC-110", unit, what, "write each code as the statistics office does")
        rows[unit.code] = unit
        if unit.level in CODES:
            lowest, highest = CODES[unit.level]
            if not (is_number and lowest <= int(unit.code) <= highest):
                what = f"the code of {unit.level} {unit.name!r} is {unit.code!r}"
                remedy = f"write a number from {lowest} to {highest}, as the statistics office does"
                complain("CGC-106", unit, what, remedy)
    countries = [unit for unit in declaration.units if unit.level is UnitLevel.COUNTRY]
    if len(countries) != 1:
        place = reader.place("units.csv")
        reader.complain("CGC-113", place, f"declares {len(countries)} countries", "declare exactly one")
    _check_parents(declaration, rows, reader)


def _check_parents(declaration: Declaration, rows: Mapping[str, Unit], reader: Reader) -> None:
    complain = partial(_complain_of_unit, reader)
    for unit in declaration.units:
        if not _is_on_earth(unit.latitude, unit.longitude):
            what = f"{unit.code} lies at {unit.latitude}, {unit.longitude}"
            complain("CGC-106", unit, what, "write degrees, latitude first")
        parent = rows.get(unit.parent or "")
        if unit.level is UnitLevel.COUNTRY:
            if unit.parent is not None:
                complain("CGC-107", unit, f"the country {unit.code} has the parent {unit.parent!r}", "leave it out")
        elif parent is None:
            what = f"the parent of {unit.code} is {unit.parent!r}, which is no declared unit"
            complain("CGC-107", unit, what, "declare the parent, or name the right one")
        elif parent.level not in ABOVE[unit.level]:
            what = f"{unit.level} {unit.code} has the {parent.level} {parent.code} as parent"
            complain("CGC-107", unit, what, f"name a {' or '.join(ABOVE[unit.level])}")
        elif unit.level is UnitLevel.DISTRICT and declaration.nation.scheme == "2025":
            what = f"{unit.code} is a district, and the scheme of 2025 has none"
            complain("CGC-107", unit, what, "declare its communes under the province, or the scheme of 2021")


def _is_on_earth(latitude: float, longitude: float) -> bool:
    return -90 <= latitude <= 90 and -180 <= longitude <= 180  # noqa: PLR2004 - degrees


def _check_centres(declaration: Declaration, reader: Reader) -> None:
    file, centres = "centres.yaml", declaration.centres.centres
    _check_once((centre.code for centre in centres), file, "centres", reader)
    if not any(centre.kind is CentreKind.REGIONAL for centre in centres):
        what = "declares no regional centre"
        reader.complain("CGC-107", reader.place(file, "centres"), what, "declare one: provinces are linked to it")
    numbers: dict[int, str] = {}
    agencies = _agencies(declaration)
    units = {unit.code for unit in declaration.units}
    for index, centre in enumerate(centres):
        if centre.number in numbers:
            what = f"{centre.code} has the number {centre.number} of {numbers[centre.number]}"
            reader.complain("CGC-110", reader.place(file, "centres", index, "number"), what, "give it one of its own")
        numbers[centre.number] = centre.code
        if centre.code in units:
            what = f"{centre.code} is the code of a unit, too"
            reader.complain("CGC-110", reader.place(file, "centres", index, "code"), what, "give it another code")
        if not _is_on_earth(centre.latitude, centre.longitude):
            what = f"{centre.code} lies at {centre.latitude}, {centre.longitude}"
            reader.complain("CGC-106", reader.place(file, "centres", index), what, "write degrees, latitude first")
        _check_ties(centre, index, centres, reader)
        if centre.agency is not None:
            where = reader.place(file, "centres", index, "agency")
            _check_known(centre.agency, agencies, where, "the agency", reader)
            if centre.kind is not CentreKind.MINISTRY:
                what = f"the {centre.kind} centre {centre.code} is an agency's edge"
                reader.complain("CGC-109", where, what, "leave it out, or declare a ministry's edge")


def _check_ties(centre: Centre, index: int, centres: Sequence[Centre], reader: Reader) -> None:
    """Note a centre that is tied to what it cannot be tied to: a core site, or the centre it stands in for."""
    file = "centres.yaml"
    place = reader.place(file, "centres", index)
    if centre.attached_to is not None:
        where = reader.place(file, "centres", index, "attached_to")
        _check_known(centre.attached_to, (c.code for c in centres if c.kind.is_core), where, "the core site", reader)
        if centre.kind.is_core:
            what = f"the {centre.kind} centre {centre.code} is attached to another"
            reader.complain("CGC-109", where, what, "leave it out: the backbone links it")
    elif not centre.kind.is_core:
        what = f"{centre.code} is attached to no core site"
        reader.complain("CGC-109", place, what, "say attached_to")
    if centre.backs_up is not None:
        where = reader.place(file, "centres", index, "backs_up")
        regional = [c.code for c in centres if c.kind is CentreKind.REGIONAL]
        _check_known(centre.backs_up, regional, where, "the regional centre", reader)
        if centre.kind is not CentreKind.BACKUP:
            what = f"the {centre.kind} centre {centre.code} stands in for another"
            reader.complain("CGC-109", where, what, "leave it out, or declare a backup centre")
        elif any(other.backs_up == centre.backs_up for other in centres[:index]):
            what = f"{centre.code} is the second backup centre of {centre.backs_up}"
            reader.complain("CGC-110", where, what, "keep one: its routers are the second plane's")


def _agencies(declaration: Declaration) -> list[str]:
    found = agencies_of(declaration.agencies, declaration.nation, declaration.units)
    return [agency.id for agency in found]


def _check_network(declaration: Declaration, reader: Reader) -> None:
    file, network = "network.yaml", declaration.network
    _check_once((plane.name for plane in network.planes), file, "planes", reader)
    _check_once((link_class.name for link_class in network.link_classes), file, "link_classes", reader)
    if len(network.planes) != PLANES:
        what = f"declares {len(network.planes)} plane(s)"
        reader.complain("CGC-107", reader.place(file, "planes"), what, f"declare {PLANES}")
    _check_as_numbers(declaration, reader)
    hold = network.bgp.hold.total_seconds()
    if not HOLD_SECONDS[0] <= hold <= HOLD_SECONDS[1] or hold % 1:
        what = f"the hold time is {hold:g} seconds"
        remedy = f"write whole seconds from {HOLD_SECONDS[0]} to {HOLD_SECONDS[1]}"
        reader.complain("CGC-106", reader.place(file, "bgp", "hold"), what, remedy)
    classes = [link_class.name for link_class in network.link_classes]
    for needed in ("provincial", "district", "access", "centre"):
        _check_known(needed, classes, reader.place(file, "link_classes"), "the link class", reader)
    _check_tenancy_classes(declaration, reader)
    _check_backbone(declaration, reader)


def _check_tenancy_classes(declaration: Declaration, reader: Reader) -> None:
    file, classes = "network.yaml", declaration.network.tenancy_classes
    _check_once((kind.name for kind in classes), file, "tenancy_classes", reader)
    if not classes:
        place = reader.place(file, "tenancy_classes")
        reader.complain("CGC-107", place, "declares no tenancy class", "declare at least one")
    for fact in ("number", "slot"):
        seen: dict[int, str] = {}
        for index, kind in enumerate(classes):
            other = seen.setdefault(getattr(kind, fact), kind.name)
            if other != kind.name:
                what = f"{kind.name} has the {fact} of {other}"
                place = reader.place(file, "tenancy_classes", index, fact)
                reader.complain("CGC-110", place, what, "give it one of its own")


def _check_backbone(declaration: Declaration, reader: Reader) -> None:
    """Note links and rings between what is no core site, and pairs that a plane would link twice."""
    file, network = "network.yaml", declaration.network
    planes = [plane.name for plane in network.planes]
    classes = [link_class.name for link_class in network.link_classes]
    cores = [centre.code for centre in declaration.centres.centres if centre.kind.is_core]
    joined: set[tuple[str, str, str]] = set()

    def join(plane: str, ends: tuple[str, str], place: str) -> None:
        """Note a pair that is none, or that the plane links already."""
        if ends[0] == ends[1]:
            reader.complain("CGC-109", place, f"a link joins {ends[0]!r} to itself", "name two core sites")
        same = (plane, min(ends), max(ends))
        if same in joined:
            what = f"joins {ends[0]} and {ends[1]} in plane {plane} a second time"
            reader.complain("CGC-110", place, what, "keep one: an interface is named after its far end")
        joined.add(same)

    def check_ends(link: BackboneLink | Ring, ends: tuple[str, ...], *path: str | int) -> None:
        key = "ends" if isinstance(link, BackboneLink) else "sites"
        for end in ends:
            _check_known(end, cores, reader.place(file, *path, key), "the core site", reader)
        _check_known(link.link_class, classes, reader.place(file, *path, "link_class"), "the class", reader)

    for index, link in enumerate(network.backbone):
        _check_known(link.plane, planes, reader.place(file, "backbone", index, "plane"), "the plane", reader)
        check_ends(link, link.ends, "backbone", index)
        join(link.plane, link.ends, reader.place(file, "backbone", index, "ends"))
    for index, ring in enumerate(network.rings):
        place = reader.place(file, "rings", index, "sites")
        check_ends(ring, ring.sites, "rings", index)
        for plane in planes:
            for ends in ring_links(ring):
                join(plane, ends, place)
    _check_rings(declaration, reader)


def _check_rings(declaration: Declaration, reader: Reader) -> None:
    file, network = "network.yaml", declaration.network
    _check_once((ring.name for ring in network.rings), file, "rings", reader)
    metro: dict[str, str] = {}
    for index, ring in enumerate(network.rings):
        place = reader.place(file, "rings", index, "sites")
        if len(set(ring.sites)) < SMALLEST_RING:
            what = f"the ring {ring.name} joins {len(set(ring.sites))} site(s)"
            reader.complain("CGC-109", place, what, f"name at least {SMALLEST_RING}: fewer are no ring")
        if len(set(ring.sites)) < len(ring.sites):
            reader.complain("CGC-110", place, f"the ring {ring.name} passes a site twice", "name each site once")
        for site in ring.sites:
            if metro.setdefault(site, ring.name) != ring.name:
                what = f"{site} is on the ring {ring.name} and on {metro[site]}"
                reader.complain("CGC-110", place, what, "keep it on one")
    for index, centre in enumerate(declaration.centres.centres):
        if centre.kind is CentreKind.METRO and centre.code not in metro:
            what = f"the metro site {centre.code} is on no ring"
            reader.complain("CGC-107", reader.place("centres.yaml", "centres", index), what, "name it in a ring")


def _check_as_numbers(declaration: Declaration, reader: Reader) -> None:
    file, network = "network.yaml", declaration.network
    last = network.as_number_base + IDENTITIES - 1
    if last > LAST_AS_NUMBER:
        what = f"nodes would get AS numbers up to {last}"
        remedy = f"choose a base of at most {LAST_AS_NUMBER - IDENTITIES + 1}"
        reader.complain("CGC-112", reader.place(file, "as_number_base"), what, remedy)
    seen: dict[int, str] = {}
    for index, plane in enumerate(network.planes):
        place = reader.place(file, "planes", index, "as_number")
        if plane.as_number in seen:
            what = f"plane {plane.name} has the AS number of plane {seen[plane.as_number]}"
            reader.complain("CGC-110", place, what, "give each plane its own")
        elif network.as_number_base <= plane.as_number <= last:
            what = f"the AS number of plane {plane.name} is one that a node would get"
            reader.complain("CGC-110", place, what, f"choose one outside {network.as_number_base} to {last}")
        seen.setdefault(plane.as_number, plane.name)


def _check_tiers(declaration: Declaration, reader: Reader) -> None:
    file, tiers = "tiers.yaml", declaration.tiers
    _check_once((rules.name for rules in tiers.tiers), file, "tiers", reader)
    for tier in Tier:
        if not any(rules.name == tier for rules in tiers.tiers):
            reader.complain("CGC-107", reader.place(file, "tiers"), f"lacks the tier {tier}", "declare all three")
    _check_once((str(rule.level) for rule in tiers.log_retention), file, "log_retention", reader)
    for level in range(1, 6):
        if not any(rule.level == level for rule in tiers.log_retention):
            place = reader.place(file, "log_retention")
            reader.complain("CGC-107", place, f"lacks level {level}", "say for how long its logs are kept")


def _check_clusters(declaration: Declaration, reader: Reader) -> None:
    file, clusters = "clusters.yaml", declaration.clusters.clusters
    _check_once((cluster.id for cluster in clusters), file, "clusters", reader)
    agencies = _agencies(declaration)
    sites = _sites_for_clusters(declaration)
    numbers: set[int] = set()
    for index, cluster in enumerate(clusters):
        _check_known(
            cluster.operator, agencies, reader.place(file, "clusters", index, "operator"), "the agency", reader
        )
        _check_known(cluster.site, sites, reader.place(file, "clusters", index, "site"), "the site", reader)
        _check_hosts(cluster, index, numbers, reader)
        for (part, family), (least, most) in PREFIX_LENGTHS.items():
            prefix = getattr(getattr(cluster, part), family)
            if not least <= prefix.prefixlen <= most:
                place = reader.place(file, "clusters", index, part, family)
                reader.complain("CGC-112", place, f"{prefix} cannot hold {part}", f"give a /{least} to a /{most}")
        rules = next((rules for rules in declaration.tiers.tiers if rules.name == cluster.tier), None)
        if rules is not None and rules.needs_certification and cluster.certification is None:
            what = f"{cluster.id} is in tier {cluster.tier} without a certification"
            reader.complain("CGC-105", reader.place(file, "clusters", index), what, "declare its certification")
        if cluster.certification is not None:
            place = reader.place(file, "clusters", index, "certification")
            issuer = cluster.certification.issued_by
            _check_known(
                issuer,
                agencies,
                reader.place(file, "clusters", index, "certification", "issued_by"),
                "the agency",
                reader,
            )
            if cluster.certification.expires < cluster.certification.issued:
                reader.complain("CGC-106", place, "expires before it was issued", "put the dates right")


def _sites_for_clusters(declaration: Declaration) -> list[str]:
    units = [unit.code for unit in declaration.units if unit.level is not UnitLevel.COUNTRY]
    kinds = (CentreKind.REGIONAL, CentreKind.BACKUP, CentreKind.GATEWAY, CentreKind.MINISTRY)
    return units + [centre.code for centre in declaration.centres.centres if centre.kind in kinds]


def _check_hosts(cluster: Cluster, index: int, numbers: set[int], reader: Reader) -> None:
    if not cluster.hosts:
        place = reader.place("clusters.yaml", "clusters", index, "hosts")
        reader.complain("CGC-107", place, f"{cluster.id} has no host", "declare at least one")
    for position, host in enumerate(cluster.hosts):
        place = reader.place("clusters.yaml", "clusters", index, "hosts", position)
        if host.number in numbers:
            reader.complain("CGC-110", place, f"{host.name} has another host's number {host.number}", "give it its own")
        numbers.add(host.number)


def _check_platforms(declaration: Declaration, reader: Reader) -> None:
    file, platforms = "platforms.yaml", declaration.platforms.platforms
    agencies = declaration.agencies.agencies
    known_agencies = _agencies(declaration)
    _check_once(known_agencies, "agencies.yaml", "agencies", reader)
    _check_provincial_agencies(declaration, reader)
    units = [unit.code for unit in declaration.units if unit.level is not UnitLevel.COUNTRY]  # which is no site
    for index, agency in enumerate(agencies):
        if agency.unit is not None:
            place = reader.place("agencies.yaml", "agencies", index, "unit")
            _check_known(agency.unit, units, place, "the unit", reader)
    _check_once((item.id for item in declaration.objectives.objectives), "objectives.yaml", "objectives", reader)
    _check_once((platform.id for platform in platforms), file, "platforms", reader)
    _check_objectives(declaration, reader)
    identifiers = [platform.id for platform in platforms]
    objectives = [objective.id for objective in declaration.objectives.objectives]
    clusters = {cluster.id: cluster for cluster in declaration.clusters.clusters}
    ports: dict[int, str] = {}
    for index, platform in enumerate(platforms):
        where = ("platforms", index)
        _check_known(
            platform.owner,
            known_agencies,
            reader.place(file, *where, "owner"),
            "the agency",
            reader,
        )
        _check_known(platform.objective, objectives, reader.place(file, *where, "objective"), "the objective", reader)
        for position, need in enumerate(platform.needs):
            place = reader.place(file, *where, "needs", position)
            _check_known(need, identifiers, place, "the platform", reader)
            if need == platform.id or need in platform.needs[:position]:
                what = f"{platform.id} needs {'itself' if need == platform.id else f'{need} a second time'}"
                reader.complain("CGC-110", place, what, "leave it out")
        if not platform.clusters:
            what = f"{platform.id} runs nowhere"
            reader.complain("CGC-107", reader.place(file, *where, "clusters"), what, "name at least one cluster")
        for position, identifier in enumerate(platform.clusters):
            place = reader.place(file, *where, "clusters", position)
            _check_known(identifier, clusters, place, "the cluster", reader)
            if identifier in platform.clusters[:position]:
                what = f"{platform.id} runs on {identifier} a second time"
                reader.complain("CGC-110", place, what, "leave it out")
            if identifier in clusters and clusters[identifier].tier != platform.tier:
                what = f"{platform.id} is of tier {platform.tier}, {identifier} of {clusters[identifier].tier}"
                reader.complain("CGC-107", place, what, "name a cluster of the platform's tier")
        if platform.port in ports:
            what = f"{platform.id} has the port {platform.port} of {ports[platform.port]}"
            reader.complain("CGC-110", reader.place(file, *where, "port"), what, "give it one of its own")
        ports[platform.port] = platform.id
        _check_room(platform, index, reader)
    _check_namespaces(platforms, reader)


def _check_provincial_agencies(declaration: Declaration, reader: Reader) -> None:
    """Note a rule for provinces that makes what could not be declared as an agency."""
    constraints = typing.get_type_hints(Agency, include_extras=True)
    made = list(agencies_of(declaration.agencies, declaration.nation, declaration.units))
    for fact in ("id", "contact"):
        constraint = typing.get_args(constraints[fact])[1]
        for agency in made[len(declaration.agencies.agencies) :]:
            value = getattr(agency, fact)
            if not constraint.admits(value):
                place = reader.place("agencies.yaml", "each_province", fact)
                reader.complain("CGC-106", place, f"makes the {fact} {value!r}", f"let it make {constraint.meaning}")
                break  # the others are made by the same rule


def _check_namespaces(platforms: Sequence[Platform], reader: Reader) -> None:
    """Note namespaces that Kubernetes would refuse or has itself, and such as two platforms would share."""
    seen: dict[str, str] = {}
    for index, platform in enumerate(platforms):
        name, place = platform.namespace, reader.place("platforms.yaml", "platforms", index, "id")
        if len(name) > LONGEST_NAMESPACE:
            what = f"its namespace {name!r} has {len(name)} characters"
            remedy = f"shorten the owner's or the platform's identifier: {LONGEST_NAMESPACE} are allowed"
            reader.complain("CGC-106", place, what, remedy)
        if name.startswith(SYSTEM_NAMESPACES):
            what = f"its namespace {name!r} is one of Kubernetes' own"
            reader.complain("CGC-106", place, what, "choose another identifier for the owner")
        other = seen.setdefault(name, platform.id)
        if other != platform.id:
            what = f"its namespace {name!r} is that of {other}, too"
            reader.complain("CGC-110", place, what, "choose another identifier for one of the two")


def _check_room(platform: Platform, index: int, reader: Reader) -> None:
    """Note a platform whose pods could never all start."""
    where = ("platforms.yaml", "platforms", index)
    if not platform.fits_its_share:
        share = platform.share
        what = (
            f"{share.pods} pods, {share.memory_mib} MiB and {share.cpu_millicores} millicores do not hold "
            f"{platform.replicas} replicas of at least {SMALLEST_POD_MIB} MiB"
        )
        reader.complain("CGC-112", reader.place(*where, "share"), what, "declare a larger share or fewer replicas")


def _check_objectives(declaration: Declaration, reader: Reader) -> None:
    for index, objective in enumerate(declaration.objectives.objectives):
        where = ("objectives.yaml", "objectives", index)
        if not 0 < objective.availability < 1:
            what = f"{objective.id} promises an availability of {objective.availability:g}"
            remedy = "write more than 0 and less than 1: what is never broken has no budget for errors"
            reader.complain("CGC-106", reader.place(*where, "availability"), what, remedy)
        for fact in ("latency", "window", "probe_interval"):
            if not getattr(objective, fact):
                reader.complain("CGC-106", reader.place(*where, fact), f"{fact} is no time at all", "write more than 0")


def _check_overrides(declaration: Declaration, reader: Reader, today: date) -> None:
    units = {unit.code: unit for unit in declaration.units}
    decided: dict[tuple[str, str], Override] = {}
    for override in declaration.overrides:
        place = str(reader.directory / override.place)
        first = decided.setdefault((override.subject, override.fact), override)
        if first is not override:  # both may stand on one line
            what = f"{override.fact} of {override.subject!r} is overridden a second time ({first.place})"
            reader.complain("CGC-115", place, what, "keep one of the two")
        unit = units.get(override.subject)
        if override.fact not in FACTS:
            what = f"overrides the unknown fact {override.fact!r}"
            reader.complain("CGC-115", place, what, f"known are {', '.join(FACTS)}")
        elif unit is None or unit.level not in FACTS[override.fact]:
            levels = " or ".join(FACTS[override.fact])
            what = f"overrides {override.fact} of {override.subject!r}, which is no declared {levels}"
            reader.complain("CGC-115", place, what, f"name the code of a {levels}")
        else:
            wrong = _wrong_value(override, unit, declaration)
            if wrong is not None:
                reader.complain("CGC-115", place, *wrong)
        if override.until < today:
            what = f"the override of {override.subject!r} ended on {override.until}"
            reader.complain("CGC-115", place, what, "remove it, or have its date extended")


def _wrong_value(override: Override, unit: Unit, declaration: Declaration) -> tuple[str, str] | None:
    """Return what is wrong with an override's value and what to do, None if nothing is."""
    value = override.value
    if override.fact == "homed_at":
        regional = sorted(c.code for c in declaration.centres.centres if c.kind is CentreKind.REGIONAL)
        if value not in regional:
            what = f"homes {override.subject} at {value!r}, which is no regional centre"
            return what, f"known are {', '.join(regional)}"
    elif override.fact == "link_class":
        classes = sorted(link_class.name for link_class in declaration.network.link_classes)
        if value not in classes:
            return f"gives {override.subject} the unknown link class {value!r}", f"known are {', '.join(classes)}"
    elif override.fact == "position":
        if not _POSITION.fullmatch(value) or not _is_on_earth(*(float(part) for part in value.split(","))):
            return f"puts {override.subject} at {value!r}", "write `latitude, longitude` in degrees"
    else:
        try:
            number = parsed(value)
        except ValueError:
            return f"gives {override.subject} the number {value!r}", "write P.D.C, such as 19.12.3 (below 128, 64, 64)"
        if number >> SITE_BITS == 0:
            return f"gives {override.subject} a number of the backbone's block", "choose a province slot from 1 to 127"
        own = (1 << SITE_BITS) - 1 if unit.level is UnitLevel.PROVINCE else (1 << COMMUNE_BITS) - 1
        if unit.level is not UnitLevel.COMMUNE and number & own:
            remedy = "write P.0.0 for a province, P.D.0 for a district: what is below it needs the rest"
            return f"gives the {unit.level} {override.subject} the number {value!r}", remedy
    return None
