"""Expansion: addresses that never meet, both families everywhere, and identities that survive their siblings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from inventories import Nation, load_nation
from inventories.checking import check
from inventories.declaration import Declaration
from inventories.expansion import nation_of
from inventories.loading import read_declaration
from inventories.model import Interface, Node, Role, SessionKind, Tunnel, Unit, UnitLevel
from inventories.numbering import SLOTS, written
from inventories.reading import Reader

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"
Change = Callable[[str, str, str], Path]


@pytest.fixture(scope="module")
def nation() -> Nation:
    """Return the rehearsal nation."""
    return load_nation(REHEARSAL)


def addresses_of(nation: Nation) -> list[str]:
    """Return every address of every node, one for each interface that has it."""
    found = []
    for node in nation.nodes:
        found += [str(node.loopback.ipv4), str(node.loopback.ipv6), str(node.management4), str(node.management6)]
        ends: tuple[Interface | Tunnel, ...] = (*node.interfaces, *node.tunnels)
        for item in ends:
            found += [str(item.ipv4.ip), str(item.ipv6.ip)]
    return found


def test_the_rehearsal_is_the_slice_that_was_agreed(nation: Nation) -> None:
    """All four levels, two planes, all three tiers, about nineteen nodes, at least six platforms."""
    roles = Counter(node.role for node in nation.nodes)
    assert roles == {
        Role.CORE: 4,
        Role.PROVINCE: 2,
        Role.DISTRICT: 2,
        Role.COMMUNE: 4,
        Role.MINISTRY: 1,
        Role.GATEWAY: 1,
        Role.CLUSTER: 4,
        Role.OPERATIONS: 1,
    }
    assert len(nation.platforms) >= 6
    assert {cluster.tier.value for cluster in nation.clusters} == {"cgc", "agc", "egc"}


def test_no_two_interfaces_share_an_address(nation: Nation) -> None:
    """Every address of the nation is one node's, in both families."""
    assert [address for address, count in Counter(addresses_of(nation)).items() if count > 1] == []


def test_every_interface_tunnel_and_session_has_both_families(nation: Nation) -> None:
    """Each end of a link holds a /31 and a /127, and the far end's addresses are the ones that the far end has."""
    for node in nation.nodes:
        for interface in node.interfaces:
            assert (interface.ipv4.network.prefixlen, interface.ipv6.network.prefixlen) == (31, 127)
            far = nation.node_by_name[interface.peer]
            (back,) = [item for item in far.interfaces if item.peer == node.name]
            assert interface.peer_addresses.ipv4 == back.ipv4.ip
            assert interface.peer_addresses.ipv6 == back.ipv6.ip
            assert interface.ipv4.network == back.ipv4.network
            assert interface.ipv6.network == back.ipv6.network
        for tunnel in node.tunnels:
            far = nation.node_by_name[tunnel.peer]
            (back_tunnel,) = [item for item in far.tunnels if item.peer == node.name]
            assert tunnel.endpoint_port == back_tunnel.listen_port
            assert tunnel.peer_addresses.ipv6 == back_tunnel.ipv6.ip
            (under,) = [item for item in far.interfaces if item.name == back_tunnel.underlay]
            assert tunnel.endpoint == under.ipv6.ip


def test_sessions_have_two_ends_that_agree(nation: Nation) -> None:
    """Each BGP session exists at both ends, each naming the other's AS number and addresses."""
    for node in nation.nodes:
        for session in node.sessions:
            far = nation.node_by_name[session.peer]
            (back,) = [item for item in far.sessions if item.peer == node.name]
            assert (session.peer_as, back.peer_as) == (far.as_number, node.as_number)
            assert session.kind == back.kind
            assert (session.kind is SessionKind.INTERNAL) == (node.as_number == far.as_number)
            assert not (session.is_upward and back.is_upward)


def test_every_node_but_a_router_of_the_backbone_has_an_as_number_of_its_own(nation: Nation) -> None:
    """Planes are one AS each; everybody else is one of the private range (RFC 6996)."""
    own = [node.as_number for node in nation.nodes if node.role is not Role.CORE]
    assert len(set(own)) == len(own)
    assert all(4_200_000_000 <= number <= 4_294_967_294 for number in own)
    assert {node.as_number for node in nation.with_role(Role.CORE)} == {plane.as_number for plane in nation.planes}


def test_identities_are_unique(nation: Nation) -> None:
    """No two nodes have one identity, whatever their kinds."""
    assert len({node.identity for node in nation.nodes}) == len(nation.nodes)
    communes = {node.identity for node in nation.with_role(Role.COMMUNE)}
    assert max(communes) < min(node.identity for node in nation.nodes if node.role is not Role.COMMUNE)


def test_every_address_lies_in_a_declared_prefix(nation: Nation) -> None:
    """Nothing is numbered outside what network.yaml gives."""
    networks: list[IPv4Network | IPv6Network] = []
    for pair in (*nation.prefixes, nation.management):
        networks += [pair.ipv4, pair.ipv6]
    for node in nation.nodes:
        for address in (node.loopback.ipv4, node.loopback.ipv6, node.management4, node.management6):
            assert any(address.version == network.version and address in network for network in networks)


def test_a_link_knows_which_communes_it_concerns(nation: Nation) -> None:
    """A cut of a province's uplink concerns its communes, one of a commune's access link that commune."""
    assert nation.link_by_name["province-19--core-a-hn"].communes == ("05440", "05446")
    assert nation.link_by_name["commune-31117--district-916"].communes == ("31117",)
    assert nation.link_by_name["cgc-north-1--core-a-hn"].communes == ()


DANANG = "code: dn, name: Đà Nẵng, kind: regional, region: central, number: 3, latitude: 16.05, longitude: 108.2"
JUSTICE = "code: ministry-moj, name: x, kind: ministry, region: north, number: 32, latitude: 21, longitude: 105"
JUSTICE += ", attached_to: hn"
SIBLINGS = {
    "a commune": ("units.csv", "05446,commune", "05443,commune,Phường Trưng Vương,164,21.59,105.84\n05446,commune"),
    "a province": ("units.csv", "92,province", "01,province,Thành phố Hà Nội,VN,21.03,105.85\n92,province"),
    "a district": ("units.csv", "916,district", "165,district,Thành phố Sông Công,19,21.47,105.84\n916,district"),
    "a centre": ("centres.yaml", "  - {code: noc-hn", f"  - {{{DANANG}}}\n  - {{code: noc-hn"),
    "a ministry": ("centres.yaml", "  - {code: gateway-hn", f"  - {{{JUSTICE}}}\n  - {{code: gateway-hn"),
    "a host": ("clusters.yaml", "[{name: cgc-north-1", "[{name: cgc-north-2, number: 110}, {name: cgc-north-1"),
}


def identity(node: Node) -> tuple[object, ...]:
    """Return what of a node must survive its siblings: its number, names, AS number and own addresses."""
    tunnels = {tunnel.name: (tunnel.ipv4, tunnel.ipv6, tunnel.listen_port) for tunnel in node.tunnels}
    interfaces = {item.name: (item.ipv4, item.ipv6, item.peer_addresses) for item in node.interfaces}
    return (node.number, node.identity, node.as_number, node.loopback, node.management, tunnels, interfaces)


@pytest.mark.parametrize("name", SIBLINGS)
def test_a_sibling_that_comes_moves_nobody(nation: Nation, change: Change, name: str) -> None:
    """When a unit, a centre or a host is added, everybody else keeps number, names and addresses; so when it goes."""
    grown = load_nation(change(*SIBLINGS[name]))
    assert len(grown.nodes) > len(nation.nodes)
    for node in nation.nodes:
        after = grown.node_by_name[node.name]
        before = identity(node)
        assert identity(after)[:5] == before[:5]
        for part, kept in zip(identity(after)[5:], before[5:], strict=True):
            assert isinstance(part, dict)
            assert isinstance(kept, dict)
            assert kept.items() <= part.items()


def test_a_unit_that_is_renamed_keeps_everything(nation: Nation, change: Change) -> None:
    """Names are for people: the code is the identity."""
    renamed = load_nation(change("units.csv", "Phường Quang Trung", "Phường Quyết Thắng"))
    assert {node.name: identity(node) for node in renamed.nodes} == {node.name: identity(node) for node in nation.nodes}


def test_a_commune_that_gets_another_district_keeps_its_identity(nation: Nation, change: Change) -> None:
    """After re-parenting, a commune has its name and AS number, and addresses of its new district's block."""
    moved = load_nation(
        change("units.csv", "05446,commune,Phường Quang Trung,164", "05446,commune,Phường Quang Trung,916")
    )
    before, after = nation.node_by_name["commune-05446"], moved.node_by_name["commune-05446"]
    assert (after.identity, after.as_number) == (before.identity, before.as_number)
    assert after.number >> 6 == moved.node_by_name["district-916"].number >> 6
    assert after.interfaces[0].peer == "district-916"


def test_a_commune_that_gets_another_district_keeps_its_addresses_by_an_override(
    nation: Nation, change: Change
) -> None:
    """Where an override keeps its number, a re-parented commune keeps every address of its own."""
    before = nation.node_by_name["commune-05446"]
    entry = f'subject: "05446", fact: number, value: {written(before.number)}, who: an.ng, why: x, until: 2099-01-01'
    change("overrides/network.yaml", "overrides: []", f"overrides:\n  - {{{entry}}}")
    moved = load_nation(
        change("units.csv", "05446,commune,Phường Quang Trung,164", "05446,commune,Phường Quang Trung,916")
    )
    after = moved.node_by_name["commune-05446"]
    assert (after.number, after.loopback, after.management) == (before.number, before.loopback, before.management)
    assert after.interfaces[0].ipv6 == before.interfaces[0].ipv6
    assert after.interfaces[0].peer == "district-916"


def test_numbers_nest_at_every_level(nation: Nation) -> None:
    """A province's block holds its districts', a district's its communes', and the backbone's block holds no unit."""
    for site in nation.sites:
        if site.unit is None:
            assert site.number >> 12 == 0
        elif site.level is UnitLevel.PROVINCE:
            assert site.number == int(site.code) << 12
        else:
            parent = nation.site_by_code[site.unit.parent or ""]
            bits = 12 if parent.level is UnitLevel.PROVINCE else 6
            assert site.number != parent.number
            assert site.number >> bits == parent.number >> bits


def test_a_province_can_be_homed_elsewhere_by_an_override(change: Change) -> None:
    """An override with who and why changes one fact of one province, and the nation remembers who."""
    line = 'overrides:\n  - {subject: "19", fact: homed_at, value: hcm, who: an.ng, why: flood, until: 2099-01-01}'
    nation = load_nation(change("overrides/network.yaml", "overrides: []", line), today=date(2026, 11, 24))
    assert {item.peer for item in nation.node_by_name["province-19"].interfaces if item.plane} == {
        "core-a-hcm",
        "core-b-hcm",
    }
    assert nation.overrides[0].who == "an.ng"
    assert nation.overrides[0].place.endswith("overrides/network.yaml:3")


def test_the_scheme_without_districts_works(change: Change, declaration: Path) -> None:
    """Since July 2025 communes hang on provinces directly."""
    change("nation.yaml", 'scheme: "2021"', 'scheme: "2025"')
    units = declaration / "units.csv"
    text = units.read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if ",district," not in line]
    flat = "\n".join(kept).replace(",164,", ",19,").replace(",916,", ",92,")
    units.write_text(f"{flat}\n", encoding="utf-8")
    nation = load_nation(declaration)
    assert nation.with_role(Role.DISTRICT) == ()
    assert {tunnel.peer for node in nation.with_role(Role.COMMUNE) for tunnel in node.tunnels} == {
        "province-19",
        "province-92",
    }


@cache
def declared() -> Declaration:
    """Return the rehearsal's declaration, read but not expanded."""
    return read_declaration(Reader(REHEARSAL))


CODES = st.sets(st.integers(1, 0x1FFFF), min_size=1, max_size=6)


@settings(max_examples=20, deadline=None)
@given(CODES, CODES)
def test_communes_of_any_codes_never_meet(first: set[int], more: set[int]) -> None:
    """For any set of commune codes no two interfaces share an address, and adding any others moves none of them."""

    def with_communes(codes: set[int]) -> Nation:
        base = declared()
        units = [unit for unit in base.units if unit.level is not UnitLevel.COMMUNE]
        units += [
            Unit(code=f"{code:05}", level=UnitLevel.COMMUNE, name="x", parent="164", latitude=21.5, longitude=105.8)
            for code in codes
        ]
        parts = {field.name: getattr(base, field.name) for field in fields(base)}
        return nation_of(Declaration(**{**parts, "units": tuple(units)}), REHEARSAL)

    codes = first | more
    assume(len({code % SLOTS for code in codes}) == len(codes))  # else the declaration is refused: CGC-114
    small, large = with_communes(first), with_communes(codes)
    for nation in (small, large):
        found = addresses_of(nation)
        assert len(set(found)) == len(found)
    for node in small.with_role(Role.COMMUNE):
        assert identity(large.node_by_name[node.name]) == identity(node)


def test_reading_twice_gives_the_same_nation() -> None:
    """The nation follows from the declaration alone."""
    assert load_nation(REHEARSAL) == load_nation(REHEARSAL)
    reader = Reader(REHEARSAL)
    declaration = read_declaration(reader)
    check(declaration, reader, today=date(2026, 11, 24))
    assert reader.problems == []
