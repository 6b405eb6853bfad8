"""What makes a declaration sound: references that resolve, identifiers used once, prefixes that do not meet.

Two passes: before expansion (references, so that expanding cannot fail) and after it (addresses, ends, room). Every
problem names the line that causes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from ipaddress import IPv4Network, IPv6Network

from inventories.declaration import Declaration
from inventories.model import SMALLEST_POD_MIB, CentreKind, Cluster, DualStack, Nation, Platform, Tier, Unit, UnitLevel
from inventories.reading import Reader

ABOVE = {
    UnitLevel.PROVINCE: (UnitLevel.COUNTRY,),
    UnitLevel.DISTRICT: (UnitLevel.PROVINCE,),
    UnitLevel.COMMUNE: (UnitLevel.DISTRICT, UnitLevel.PROVINCE),  # the scheme of 2025 has no districts
}
HIGHEST_CODE = {UnitLevel.PROVINCE: 99, UnitLevel.DISTRICT: 999, UnitLevel.COMMUNE: 0x1FFFF}
FACTS = ("homed_at",)
ROOM_BITS = {"loopbacks": 18, "links": 20, "overlays": 19, "management": 18}  # see expansion.py's numbering
NUMBERS = 2**18  # node numbers are below it, and each is added to as_number_base
LAST_AS_NUMBER = 4_294_967_294  # RFC 7300
PLANES = 2  # at least: Circular 06/2026/TT-BKHCN, article 5.1a; at most: a node numbers two links
HOLD_SECONDS = (3, 65_535)  # RFC 4271, 4.2: at least three, in 16 bits
LONGEST_NAMESPACE = 63  # an RFC 1123 label, as Kubernetes names namespaces
LONGEST_NODE_NAME = 15  # Linux's interface names, which are the far node's (IFNAMSIZ)
# How long prefixes may be: the controller manager cuts a /24 and a /64 a host out of the pods', the API server hands
# services at most 20 bits of addresses; fewer than 8 bits would soon be used up.
PREFIX_LENGTHS = {
    ("pods", "ipv4"): (8, 24),
    ("pods", "ipv6"): (48, 64),
    ("services", "ipv4"): (12, 24),
    ("services", "ipv6"): (108, 120),
}
CORE_KINDS = (CentreKind.REGIONAL, CentreKind.BACKUP)


def check_references(declaration: Declaration, reader: Reader, *, today: date) -> None:
    """Note every reference that leads nowhere, every identifier declared twice, every override past its date."""
    _check_units(declaration, reader)
    _check_centres(declaration, reader)
    _check_network(declaration, reader)
    _check_tiers(declaration, reader)
    _check_clusters(declaration, reader)
    _check_names(declaration, reader)
    _check_platforms(declaration, reader)
    _check_overrides(declaration, reader, today)


def check_expansion(nation: Nation, declaration: Declaration, reader: Reader) -> None:
    """Note every overlap of prefixes, pool without room, name or port used twice."""
    pools = declaration.network.pools
    named: list[tuple[str, DualStack]] = []
    for pool, bits in ROOM_BITS.items():
        prefix: DualStack = getattr(pools, pool)
        place = reader.place("network.yaml", "pools", pool)
        named.append((place, prefix))
        for network in (prefix.ipv4, prefix.ipv6):
            if network.num_addresses < 2**bits:
                what = f"{pool} {network} has room for {network.num_addresses} addresses"
                reader.complain("CGC-112", place, what, f"give at least {2**bits}")
    for index, cluster in enumerate(declaration.clusters.clusters):
        named.extend(
            (reader.place("clusters.yaml", "clusters", index, part), getattr(cluster, part))
            for part in ("pods", "services")
        )
    for place, prefix in named:
        _check_prefix(prefix, place, reader)
    _check_overlaps(named, reader)
    for node in nation.nodes:
        ports = Counter(tunnel.listen_port for tunnel in node.tunnels)
        for port, count in ports.items():
            if count > 1:
                what = f"{node.name} would listen at port {port} for {count} communes"
                reader.complain(
                    "CGC-112", reader.place("units.csv"), what, "give one of them an address by an override"
                )


def _check_names(declaration: Declaration, reader: Reader) -> None:
    """Note nodes that would share a name, and names that are too long for an interface."""
    named = [
        (f"{unit.level}-{unit.code}", reader.place("units.csv", reader.row_of("units.csv", unit)))
        for unit in declaration.units
        if unit.level is not UnitLevel.COUNTRY
    ]
    for index, centre in enumerate(declaration.centres.centres):
        place = reader.place("centres.yaml", "centres", index, "code")
        if centre.kind in CORE_KINDS:
            named += [(f"core-{plane.name}-{centre.code}", place) for plane in declaration.network.planes[:PLANES]]
        else:
            named.append((f"{centre.code}-1" if centre.kind is CentreKind.OPERATIONS else centre.code, place))
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
        seen.setdefault(name, place)


def _check_prefix(prefix: DualStack, place: str, reader: Reader) -> None:
    """Note a prefix whose addresses no node can have."""
    for network in (prefix.ipv4, prefix.ipv6):
        first = network.network_address
        is_mapped = isinstance(network, IPv6Network) and network.network_address.ipv4_mapped is not None
        if first.is_multicast or first.is_loopback or first.is_link_local or first.is_unspecified or is_mapped:
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


def _check_units(declaration: Declaration, reader: Reader) -> None:
    file = "units.csv"
    rows: dict[str, Unit] = {}
    numbers: dict[tuple[UnitLevel, int], str] = {}
    for unit in declaration.units:
        place = reader.place(file, reader.row_of(file, unit))
        if unit.code in rows:
            reader.complain("CGC-110", place, f"unit {unit.code!r} is declared twice", "keep one")
        elif unit.code.isascii() and unit.code.isdigit():
            twin = numbers.setdefault((unit.level, int(unit.code)), unit.code)
            if twin != unit.code:
                what = f"the codes {unit.code!r} and {twin!r} are one number"
                reader.complain("CGC-110", place, what, "write each code as the statistics office does")
        rows[unit.code] = unit
        highest = HIGHEST_CODE.get(unit.level)
        if highest is not None and not (unit.code.isascii() and unit.code.isdigit() and int(unit.code) <= highest):
            what = f"the code of {unit.level} {unit.name!r} is {unit.code!r}"
            reader.complain(
                "CGC-106", place, what, f"write a number from 0 to {highest}, as the statistics office does"
            )
    countries = [unit for unit in declaration.units if unit.level is UnitLevel.COUNTRY]
    if len(countries) != 1:
        reader.complain("CGC-113", reader.place(file), f"declares {len(countries)} countries", "declare exactly one")
    for unit in declaration.units:
        place = reader.place(file, reader.row_of(file, unit))
        if not -90 <= unit.latitude <= 90 or not -180 <= unit.longitude <= 180:  # noqa: PLR2004 - degrees
            what = f"{unit.code} lies at {unit.latitude}, {unit.longitude}"
            reader.complain("CGC-106", place, what, "write degrees, latitude first")
        if unit.level is UnitLevel.COUNTRY:
            continue
        parent = rows.get(unit.parent or "")
        if parent is None:
            what = f"the parent of {unit.code} is {unit.parent!r}, which is no declared unit"
            reader.complain("CGC-107", place, what, "declare the parent, or name the right one")
        elif parent.level not in ABOVE[unit.level]:
            what = f"{unit.level} {unit.code} has the {parent.level} {parent.code} as parent"
            levels = " or ".join(ABOVE[unit.level])
            reader.complain("CGC-107", place, what, f"name a {levels}")


def _check_centres(declaration: Declaration, reader: Reader) -> None:
    file, centres = "centres.yaml", declaration.centres.centres
    _check_once((centre.code for centre in centres), file, "centres", reader)
    regional = [centre.code for centre in centres if centre.kind is CentreKind.REGIONAL]
    if not regional:
        what = "declares no regional centre"
        reader.complain("CGC-107", reader.place(file, "centres"), what, "declare one: provinces are linked to it")
    agencies = [agency.id for agency in declaration.agencies.agencies]
    numbers: dict[int, str] = {}
    units = {unit.code for unit in declaration.units}
    for index, centre in enumerate(centres):
        place = reader.place(file, "centres", index)
        if centre.number in numbers:
            what = f"{centre.code} has the number {centre.number} of {numbers[centre.number]}"
            reader.complain("CGC-110", reader.place(file, "centres", index, "number"), what, "give it one of its own")
        numbers[centre.number] = centre.code
        if centre.attached_to is not None:
            _check_known(
                centre.attached_to, regional, reader.place(file, "centres", index, "attached_to"), "the centre", reader
            )
        elif centre.kind not in CORE_KINDS:
            what = f"{centre.code} is attached to no regional centre"
            reader.complain("CGC-109", place, what, "say attached_to")
        if centre.attached_to is not None and centre.kind in CORE_KINDS:
            place = reader.place(file, "centres", index, "attached_to")
            what = f"the {centre.kind} centre {centre.code} is attached to another"
            reader.complain("CGC-109", place, what, "leave it out: the backbone links it")
        if centre.code in units:
            what = f"{centre.code} is the code of a unit, too"
            reader.complain("CGC-110", reader.place(file, "centres", index, "code"), what, "give it another code")
        if not -90 <= centre.latitude <= 90 or not -180 <= centre.longitude <= 180:  # noqa: PLR2004 - degrees
            what = f"{centre.code} lies at {centre.latitude}, {centre.longitude}"
            reader.complain("CGC-106", place, what, "write degrees, latitude first")
        if centre.agency is not None:
            _check_known(centre.agency, agencies, reader.place(file, "centres", index, "agency"), "the agency", reader)


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
    planes = [plane.name for plane in network.planes]
    centres = [
        centre.code for centre in declaration.centres.centres if centre.kind in (CentreKind.REGIONAL, CentreKind.BACKUP)
    ]
    classes = [link_class.name for link_class in network.link_classes]
    ways_up: Counter[str] = Counter()
    joined: set[tuple[str, str, str]] = set()
    for index, link in enumerate(network.backbone):
        _check_known(link.plane, planes, reader.place(file, "backbone", index, "plane"), "the plane", reader)
        _check_known(link.link_class, classes, reader.place(file, "backbone", index, "link_class"), "the class", reader)
        for end in link.ends:
            _check_known(end, centres, reader.place(file, "backbone", index, "ends"), "the centre", reader)
        place = reader.place(file, "backbone", index, "ends")
        if link.ends[0] == link.ends[1]:
            reader.complain("CGC-109", place, f"a link joins {link.ends[0]!r} to itself", "name two centres")
        same = (link.plane, min(link.ends), max(link.ends))
        if same in joined:
            what = f"joins {link.ends[0]} and {link.ends[1]} in plane {link.plane} a second time"
            reader.complain("CGC-110", place, what, "keep one: an interface is named after its far end")
        joined.add(same)
        ways_up[f"{link.plane}/{min(link.ends)}"] += 1
        if ways_up[f"{link.plane}/{min(link.ends)}"] > 2:  # noqa: PLR2004 - two link addresses a node
            what = f"is the third link of plane {link.plane} numbered from {min(link.ends)}"
            reader.complain("CGC-112", place, what, "a node numbers at most two links; let the other end come first")
    for needed in ("provincial", "district", "access", "centre"):
        _check_known(needed, classes, reader.place(file, "link_classes"), "the link class", reader)


def _check_as_numbers(declaration: Declaration, reader: Reader) -> None:
    file, network = "network.yaml", declaration.network
    last = network.as_number_base + NUMBERS - 1
    if last > LAST_AS_NUMBER:
        what = f"nodes would get AS numbers up to {last}"
        remedy = f"choose a base of at most {LAST_AS_NUMBER - NUMBERS + 1}"
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
    agencies = [agency.id for agency in declaration.agencies.agencies]
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
    _check_once((agency.id for agency in agencies), "agencies.yaml", "agencies", reader)
    units = [unit.code for unit in declaration.units]
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
            [agency.id for agency in agencies],
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


def _check_room(platform: Platform, index: int, reader: Reader) -> None:
    """Note a platform whose namespace Kubernetes would refuse, or whose pods could never all start."""
    where = ("platforms.yaml", "platforms", index)
    if len(platform.namespace) > LONGEST_NAMESPACE:
        what = f"its namespace {platform.namespace!r} has {len(platform.namespace)} characters"
        remedy = f"shorten the owner's or the platform's identifier: {LONGEST_NAMESPACE} are allowed"
        reader.complain("CGC-106", reader.place(*where, "id"), what, remedy)
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
    regional = {c.code for c in declaration.centres.centres if c.kind is CentreKind.REGIONAL}
    provinces = {unit.code for unit in declaration.units if unit.level is UnitLevel.PROVINCE}
    decided: dict[tuple[str, str], str] = {}
    for override in declaration.overrides:
        place = override.place
        first = decided.setdefault((override.subject, override.fact), place)
        if first != place:
            what = f"{override.fact} of {override.subject!r} is overridden a second time ({first})"
            reader.complain("CGC-115", place, what, "keep one of the two")
        if override.fact not in FACTS:
            what = f"overrides the unknown fact {override.fact!r}"
            reader.complain("CGC-115", place, what, f"known are {', '.join(FACTS)}")
        elif override.subject not in provinces:
            what = f"overrides {override.fact} of {override.subject!r}, which is no declared province"
            reader.complain("CGC-115", place, what, "name a province's code")
        elif override.value not in regional:
            what = f"homes {override.subject} at {override.value!r}, which is no regional centre"
            reader.complain("CGC-115", place, what, f"known are {', '.join(sorted(regional))}")
        if override.until < today:
            what = f"the override of {override.subject!r} ended on {override.until}"
            reader.complain("CGC-115", place, what, "remove it, or have its date extended")
