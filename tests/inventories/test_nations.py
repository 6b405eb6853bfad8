"""The two declared nations, whole: the units of each scheme, and what the design rules make of them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from ipaddress import IPv4Network, IPv6Network
from itertools import pairwise
from pathlib import Path

import pytest

from inventories import Nation, load_nation
from inventories.declaration import Declaration
from inventories.expansion import Design
from inventories.loading import load_declaration
from inventories.model import CentreKind, Interface, Role, Tunnel, Unit, UnitLevel
from inventories.numbering import numbers_of

INVENTORIES = Path(__file__).parents[2] / "inventories"
COUNTS = {
    "nation-2021": {UnitLevel.COUNTRY: 1, UnitLevel.PROVINCE: 63, UnitLevel.DISTRICT: 696, UnitLevel.COMMUNE: 10_040},
    "nation-2025": {UnitLevel.COUNTRY: 1, UnitLevel.PROVINCE: 34, UnitLevel.COMMUNE: 3_321},
}
CASES = 1_000
SEED = 942
HASHED = """
import hashlib, sys
from dataclasses import replace
from pathlib import Path
import msgspec
from inventories import load_nation
nation = load_nation(Path(sys.argv[1]))
parts = (nation.units, tuple(nation.sites), tuple(nation.nodes), tuple(nation.links), nation.clusters, nation.platforms,
         nation.agencies, nation.centres, nation.planes, [replace(item, place="") for item in nation.overrides])
print(hashlib.sha256(msgspec.json.encode(parts, enc_hook=str)).hexdigest())
"""

pytestmark = pytest.mark.slow


@cache
def nation_called(name: str) -> Nation:
    """Return one of the nations."""
    return load_nation(INVENTORIES / name)


@cache
def declaration_of(name: str) -> Declaration:
    """Return its declaration."""
    return load_declaration(INVENTORIES / name)[0]


@pytest.fixture(params=COUNTS)
def nation(request: pytest.FixtureRequest) -> Nation:
    """Return each of the nations in turn."""
    return nation_called(request.param)


def test_the_units_are_those_of_the_scheme(nation: Nation) -> None:
    """34 provinces and 3,321 communes; before the reform 63, 696 and 10,040."""
    assert Counter(unit.level for unit in nation.units) == COUNTS[nation.name]


def test_every_unit_has_a_site_with_a_router(nation: Nation) -> None:
    """Below the country no unit is without, and no site without a node."""
    sites = {site.code for site in nation.sites}
    assert {unit.code for unit in nation.units if unit.level is not UnitLevel.COUNTRY} <= sites
    assert {node.site.code for node in nation.nodes} == sites


def test_no_address_is_used_twice_and_both_families_are_everywhere(nation: Nation) -> None:
    """Each interface, loopback and tunnel has an IPv4 and an IPv6 address of its own inside a declared pool."""
    seen: Counter[str] = Counter()
    pools: dict[int, list[IPv4Network | IPv6Network]] = {4: [], 6: []}
    for pool in (*nation.prefixes, nation.management):
        pools[4].append(pool.ipv4)
        pools[6].append(pool.ipv6)
    for node in nation.nodes:
        mine = [node.loopback.ipv4, node.loopback.ipv6, node.management4, node.management6]
        ends: tuple[Interface | Tunnel, ...] = (*node.interfaces, *node.tunnels)
        for item in ends:
            assert (item.ipv4.version, item.ipv6.version) == (4, 6)
            mine += [item.ipv4.ip, item.ipv6.ip]
        seen.update(map(str, mine))
        for address in mine:
            assert any(address in network for network in pools[address.version]), address
    assert [address for address, count in seen.items() if count > 1] == []


def test_what_sites_hand_over_never_meets(nation: Nation) -> None:
    """Every site has a prefix of each family in every tenancy class, and no two overlap."""
    for family in ("ipv4", "ipv6"):
        found = [getattr(item.prefix, family) for site in nation.sites for item in site.prefixes]
        assert len(found) == len(nation.sites) * len(nation.tenancy_classes)
        ordered = sorted(found, key=lambda network: int(network.network_address))
        for before, after in pairwise(ordered):
            assert int(before.broadcast_address) < int(after.network_address)


def test_addresses_aggregate_at_every_level(nation: Nation) -> None:
    """What lies below a province or a district is one block of numbers that nobody else's lie in.

    But for units that an override gave a number elsewhere; there are none in the nations as declared.
    """
    for level, bits in ((UnitLevel.PROVINCE, 12), (UnitLevel.DISTRICT, 6)):
        blocks: dict[int, set[str]] = defaultdict(set)
        for site in nation.sites:
            unit = site.unit
            while unit is not None and unit.level is not level:
                unit = nation.unit_by_code.get(unit.parent or "")
            if unit is not None:
                blocks[site.number >> bits].add(unit.code)
        assert all(len(units) == 1 for units in blocks.values())
        assert len(blocks) == COUNTS[nation.name].get(level, 0)


def test_every_link_has_two_ends(nation: Nation) -> None:
    """Both ends are nodes, and each has the interface that leads to the other."""
    for link in nation.links:
        here, there = (nation.node_by_name[end] for end in link.ends)
        assert [item.peer for item in here.interfaces if item.link == link.name] == [there.name]
        assert [item.peer for item in there.interfaces if item.link == link.name] == [here.name]
    names = Counter(item.link for node in nation.nodes for item in node.interfaces)
    assert set(names.values()) == {2}
    assert set(names) == {link.name for link in nation.links}


def reached(nation: Nation, start: str, *, without: frozenset[str] = frozenset()) -> set[str]:
    """Return the names of the nodes that links join to one, when some sites are lost."""
    joined: dict[str, set[str]] = defaultdict(set)
    lost = {node.name for node in nation.nodes if node.site.code in without}
    for link in nation.links:
        if not lost.intersection(link.ends):
            joined[link.ends[0]].add(link.ends[1])
            joined[link.ends[1]].add(link.ends[0])
    found, frontier = set(), {start}
    while frontier:
        found |= frontier
        frontier = {far for near in frontier for far in joined[near]} - found
    return found


def test_there_is_no_orphan(nation: Nation) -> None:
    """Every node is joined to every other."""
    assert reached(nation, "op-hn-1") == {node.name for node in nation.nodes}


def test_when_any_core_site_is_lost_everybody_else_is_still_reached(nation: Nation) -> None:
    """A backup centre restores what a regional one loses (Circular 06/2026/TT-BKHCN, article 5.1b)."""
    for centre in nation.centres:
        if centre.kind.is_core:
            gone = frozenset({centre.code})
            left = {node.name for node in nation.nodes if node.site.code != centre.code}
            assert reached(nation, "op-hn-1", without=gone) == left, centre.code


def test_every_level_one_site_has_two_channels_by_two_routes(nation: Nation) -> None:
    """Circular 06/2026/TT-BKHCN, article 5.2a; no two planes share a route."""
    ways: dict[str, list[tuple[str | None, str]]] = defaultdict(list)
    for link in nation.links:
        for end in link.ends:
            ways[nation.node_by_name[end].site.code].append((link.plane, link.route))
    for site in nation.sites:
        if site.access_level == 1:
            planes = {plane for plane, _ in ways[site.code] if plane is not None}
            assert len(planes) == 2, site.code
            assert len({route for _, route in ways[site.code]}) >= 2, site.code
    routes: dict[str, set[str | None]] = defaultdict(set)
    for link in nation.links:
        routes[link.route].add(link.plane)
    assert [route for route, planes in routes.items() if len(planes) > 1] == []


def test_the_centres_are_those_of_the_decision(nation: Nation) -> None:
    """Three regional centres with a backup each, three metropolitan rings, an operations centre and three NOCs."""
    kinds = Counter(centre.kind for centre in nation.centres)
    assert (kinds[CentreKind.REGIONAL], kinds[CentreKind.BACKUP], kinds[CentreKind.OPERATIONS]) == (3, 3, 4)
    assert {centre.backs_up for centre in nation.centres if centre.backs_up} == {
        centre.code for centre in nation.centres if centre.kind is CentreKind.REGIONAL
    }
    assert kinds[CentreKind.METRO] >= 9
    assert kinds[CentreKind.MINISTRY] >= 25
    for node in nation.nodes:
        assert bool(node.clocks) == (node.role is not Role.CORE)
        assert 1 <= len(node.resolvers) <= 3


def subtree(declaration: Declaration, code: str) -> set[str]:
    """Return the codes of a unit and of everything below it."""
    children = defaultdict(list)
    for unit in declaration.units:
        children[unit.parent].append(unit.code)
    found, waiting = set(), [code]
    while waiting:
        found.add(waiting[-1])
        waiting += children[waiting.pop()]
    return found


def changes(declaration: Declaration, source: random.Random, count: int) -> Iterator[tuple[Unit, ...]]:
    """Yield the units after one of them went, with what is below it, or after one came."""
    used = {(unit.level, int(unit.code)) for unit in declaration.units if unit.level is not UnitLevel.COUNTRY}
    limits = {UnitLevel.PROVINCE: 99, UnitLevel.DISTRICT: 999, UnitLevel.COMMUNE: 99_999}
    digits = {UnitLevel.PROVINCE: 2, UnitLevel.DISTRICT: 3, UnitLevel.COMMUNE: 5}
    below = [unit for unit in declaration.units if unit.level is not UnitLevel.COUNTRY]
    for index in range(count):
        sibling = source.choice(below)
        if index % 2:
            gone = subtree(declaration, sibling.code)
            yield tuple(unit for unit in declaration.units if unit.code not in gone)
            continue
        level = sibling.level
        code = source.choice([code for code in range(1, limits[level] + 1) if (level, code) not in used])
        newcomer = replace(sibling, code=f"{code:0{digits[level]}}", name="Mới")
        yield tuple(sorted((*declaration.units, newcomer), key=lambda unit: unit.code))


@pytest.mark.parametrize("name", COUNTS)
def test_a_site_that_comes_or_goes_renumbers_nobody(name: str) -> None:
    """In 1,000 random cases of the whole nation, every other unit keeps its place in the address plan."""
    declaration = declaration_of(name)
    before = numbers_of(declaration.units, declaration.overrides)
    tried = 0
    for units in changes(declaration, random.Random(SEED), CASES // 2):  # noqa: S311 - a test's choice
        after = numbers_of(units, declaration.overrides)
        assert after.keys() != before.keys()
        assert all(before[code] == number for code, number in after.items() if code in before)
        tried += 1
    assert tried == CASES // 2


def test_a_site_that_comes_or_goes_changes_no_node_but_its_neighbours() -> None:
    """Six of these cases in full: every other node keeps everything, its parent gains or loses one link."""
    declaration = declaration_of("nation-2025")
    before = {node.name: node for node in Design(declaration).nodes()}
    for units in changes(declaration, random.Random(SEED + 1), 6):  # noqa: S311 - a test's choice
        after = {node.name: node for node in Design(replace(declaration, units=units)).nodes()}
        moved = {name for name in before.keys() & after.keys() if before[name] != after[name]}
        gone_or_new = before.keys() ^ after.keys()
        near = {session.peer for name in gone_or_new for session in (before | after)[name].sessions}
        assert moved <= near
        for name in moved:
            kept = (before[name].loopback, before[name].management, before[name].as_number)
            assert (after[name].loopback, after[name].management, after[name].as_number) == kept
            assert len(set(before[name].interfaces) ^ set(after[name].interfaces)) == len(
                gone_or_new & {item.peer for item in (*before[name].interfaces, *after[name].interfaces)}
            )


def hashed(directory: Path, cache_directory: Path, **environment: str) -> str:
    """Return the hash of the nation in another process."""
    given = {"PATH": os.environ["PATH"], "CGC_CACHE": str(cache_directory), **environment}
    command = [sys.executable, "-c", HASHED, str(directory)]
    done = subprocess.run(command, env=given, cwd=INVENTORIES.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_nation_is_the_same_on_every_machine(tmp_path: Path) -> None:
    """The same bytes on two runs, with two orders of rows and of files, in two locales, from text and compiled."""
    directory = shutil.copytree(INVENTORIES / "nation-2025", tmp_path / "nation")
    first = hashed(directory, tmp_path / "a", LC_ALL="C", PYTHONHASHSEED="1")
    assert hashed(directory, tmp_path / "a", LC_ALL="vi_VN.UTF-8", PYTHONHASHSEED="2") == first
    units = directory / "units.csv"
    header, *rows = units.read_text(encoding="utf-8").splitlines()
    shuffled = random.Random(SEED).sample(rows, len(rows))  # noqa: S311 - a test's choice
    units.write_text("\n".join([header, *shuffled, ""]), encoding="utf-8")
    (directory / "overrides" / "homes.yaml").rename(directory / "overrides" / "zz.yaml")
    assert hashed(directory, tmp_path / "b", LC_ALL="C.UTF-8", PYTHONHASHSEED="3") == first
    assert len(list((tmp_path / "b" / "nations").iterdir())) == 1  # what it was loaded from, made anew
    units.write_text("\n".join([header, *rows, ""]).replace("Hà Nội", "Hà Nội 2"), encoding="utf-8")
    assert hashed(directory, tmp_path / "b") != first
