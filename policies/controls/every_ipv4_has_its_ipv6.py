"""NC-05: whatever works over IPv4 works over IPv6 as well: every address, session and service has its twin.

Circular 06/2026/TT-BKHCN, annex I, 1d and 2d: terminal equipment supports IPv6. Decree 224/2026/NĐ-CP, article 11.4:
portals use IPv6. A family that is only half there is found when it is too late.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from ipaddress import IPv4Address, IPv6Address, ip_interface

from inventories.model import Nation, Node, Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import Object, identity_of, of_kind
from policies.observed import ClusterObservation, NodeObservation

FAMILIES = {"IPv4", "IPv6"}
ESTABLISHED = "Established"  # RFC 4271
FRR = "/etc/frr/frr.conf"


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge that no IPv6 prefix is a stand-in: deprecated site-local (RFC 3879) or an IPv4 address in disguise."""
    nation = facts.nation
    prefixes = {f"prefix/{pair.ipv4}": pair for pair in (*nation.prefixes, nation.management)}
    for subject, pair in prefixes.items():
        first = pair.ipv6.network_address
        is_real = not (first.is_site_local or first.ipv4_mapped or first.sixtofour or first.teredo)
        yield _judged(
            subject,
            [] if is_real else [f"{pair.ipv6}"],
            where=str(nation.directory),
            en="its IPv6 twin is no prefix of its own",
            vi="tiền tố IPv6 tương ứng không phải tiền tố thực",
        )


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge that each session and each service would be made in both families."""
    for node in facts.nation.nodes:
        text = facts.planned.node_files.get(node.name, {}).get(FRR)
        if text is not None:
            yield _judged(
                f"node/{node.name}",
                list(_half_sessions(node, text)),
                where=f"{node.name}:{FRR}",
                en="planned in one family only",
                vi="chỉ được lập kế hoạch cho một họ địa chỉ",
            )
    yield from _services(facts.nation, facts.planned.cluster_objects)


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the addresses, sessions and adjacencies of each node, and the services of each cluster."""
    for node in facts.nation.nodes:
        seen = facts.observed.nodes.get(node.name)
        subject = f"node/{node.name}"
        if not isinstance(seen, NodeObservation):
            yield unheard(subject, seen)
            continue
        half = [*_half_addresses(node, seen), *_half_routing(node, seen)]
        yield _judged(subject, half, where=node.name, en="works in one family only", vi="chỉ chạy một họ địa chỉ")
    for cluster in facts.nation.clusters:
        observed = facts.observed.clusters.get(cluster.id)
        if isinstance(observed, ClusterObservation):
            yield from _services(facts.nation, {cluster.id: observed.objects})
        else:
            yield unheard(f"cluster/{cluster.id}", observed)


def _half_sessions(node: Node, frr: str) -> Iterator[str]:
    words = set(frr.split())
    for session in node.sessions:
        pair = (str(session.peer_addresses.ipv4), str(session.peer_addresses.ipv6))
        missing = [address for address in pair if address not in words]
        if len(missing) == 1:
            yield f"session with {session.peer} lacks {missing[0]}"


def _half_addresses(node: Node, seen: NodeObservation) -> Iterator[str]:
    declared = {interface.name for interface in node.interfaces} | {tunnel.name for tunnel in node.tunnels} | {"lo"}
    for interface in seen.interfaces:
        if interface.name not in declared:
            continue
        addresses = [ip_interface(address).ip for address in interface.addresses]
        has_ipv4 = any(isinstance(ip, IPv4Address) and not ip.is_loopback for ip in addresses)
        has_ipv6 = any(isinstance(ip, IPv6Address) and not (ip.is_link_local or ip.is_loopback) for ip in addresses)
        if has_ipv4 != has_ipv6:
            yield f"{interface.name} has no {'IPv6' if has_ipv4 else 'IPv4'} address"


def _half_routing(node: Node, seen: NodeObservation) -> Iterator[str]:
    up = {neighbour.peer for neighbour in seen.bgp if neighbour.state == ESTABLISHED}
    for session in node.sessions:
        over_ipv4 = str(session.peer_addresses.ipv4) in up
        over_ipv6 = str(session.peer_addresses.ipv6) in up
        if over_ipv4 != over_ipv6:
            yield f"BGP with {session.peer} is down over {'IPv6' if over_ipv4 else 'IPv4'}"
    full = {
        version: {item.interface for item in seen.ospf if item.version == version and item.state.startswith("Full")}
        for version in (2, 3)  # RFC 2328 for IPv4, RFC 5340 for IPv6
    }
    yield from (f"OSPF at {name} is full in one family" for name in sorted(full[2] ^ full[3]))


def _services(nation: Nation, objects: Mapping[str, Iterable[Object]]) -> Iterator[Judgement]:
    for cluster, items in objects.items():
        rooms = {platform.namespace for platform in nation.platforms_on(nation.cluster_by_id[cluster])}
        services = [item for item in of_kind(items, "Service") if item["metadata"].get("namespace") in rooms]
        half = [str(identity_of(item)) for item in services if not _is_dual(item)]
        if services:
            yield _judged(
                f"cluster/{cluster}",
                half,
                where=f"{cluster}: {half[0]}" if half else cluster,
                en="served in one family only",
                vi="chỉ phục vụ một họ địa chỉ",
            )


def _is_dual(service: Object) -> bool:
    spec = service.get("spec") or {}
    families = spec.get("ipFamilies")
    if families is not None:
        return set(families) == FAMILIES
    return spec.get("ipFamilyPolicy") == "RequireDualStack" or spec.get("type") == "ExternalName"


def _judged(subject: str, half: list[str], *, where: str, en: str, vi: str) -> Judgement:
    if not half:
        return passed(subject, en="has both families everywhere", vi="có đủ hai họ địa chỉ", where=where)
    return failed(
        subject,
        en=f"{en}: {', '.join(half)}",
        vi=f"{vi}: {', '.join(half)}",
        where=where,
        remedy_en="give both families, then converge; if a link is down, mend it",
        remedy_vi="khai báo đủ hai họ địa chỉ rồi hội tụ; nếu liên kết hỏng thì khắc phục",
    )


CONTROL = Control(
    id="NC-05",
    title=Text(vi="Mọi địa chỉ, phiên và dịch vụ IPv4 đều có IPv6", en="Whatever has IPv4 has IPv6"),
    citation=Citation(
        document="Circular 06/2026/TT-BKHCN",
        article="annex I, 1d and 2d",
        duty=Text(vi="thiết bị đầu cuối hỗ trợ IPv6", en="terminal equipment supports IPv6"),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="Decree 224/2026/NĐ-CP",
            article="article 11.4",
            duty=Text(vi="cổng thông tin, cổng dịch vụ công sử dụng IPv6", en="portals use IPv6"),
            reading=Reading.TEXT,
        ),
        Citation(
            document="DISA STIG CISC-RT",
            article="000237",
            duty=Text(vi="không dùng địa chỉ site-local", en="no site-local addresses"),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2026, 3, 30),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
