"""A slow, obvious judge of declarations, to hold the strict reader against.

It shares no code with inventories/: it reads with plain PyYAML and csv, gives types by expressions of its own, works
the address plan out from its written definition, and compares everything with everything. Where it and `load_nation`
differ about a declaration, one of the two is wrong.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

Tree = Any  # a text, a list of trees, or a dictionary of texts to trees: what is left of YAML
Shape = Callable[[Tree, str], Iterator[str]]  # yields what is wrong with a tree that is called so

COLUMNS = ["code", "level", "name", "parent", "latitude", "longitude"]
DEEPEST = 20
LARGEST_FILE = 16 * 1024 * 1024
CORES = {"regional", "backup", "metro"}
NO_UNICAST = [
    ip_network(block)
    for block in (
        "0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4",
        "::/128", "::1/128", "::ffff:0:0/96", "fe80::/10", "ff00::/8",
    )
]  # fmt: skip
# The longest prefix that still holds everything of a pool (inventories/expansion.py): the plan has 2**19 numbers; a
# node has a loopback and a management address, four addresses for links up and two for an overlay, a site a /28 and a
# /56; 2**17 addresses join two of 256 core sites in two planes.
LONGEST_POOLS = {
    "loopbacks": (32 - 19, 128 - 19),
    "links": (32 - 21, 128 - 21),
    "overlays": (32 - 20, 128 - 20),
    "management": (32 - 19, 128 - 19),
    "backbone": (32 - 17, 128 - 17),
    "sites": (28 - 19, 56 - 19),
}
CLUSTER_LENGTHS = {"pods": ((8, 24), (48, 64)), "services": ((12, 24), (108, 120))}
SCHEME_LEVELS = {"province": ["country"], "district": ["province"], "commune": ["province", "district"]}


class Unreadable(Exception):  # noqa: N818 - it is no error: the oracle's finding
    """A file that is no text, no YAML or no table."""


# Types: each is judged by an expression, never by what Python would read.


def words(expression: str = ".*", *, most: int = 10**9) -> Shape:
    """Return the shape of a text on one line that matches a whole expression and is not blank."""
    wholly, control = re.compile(expression), re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

    def judging(tree: Tree, called: str) -> Iterator[str]:
        is_line = isinstance(tree, str) and tree.strip() and not control.search(tree)
        if not is_line or len(tree) > most or not wholly.fullmatch(tree):
            yield f"{called} is {tree!r}"

    return judging


def whole(least: int, most: int) -> Shape:
    """Return the shape of a whole number without leading zeros."""

    def judging(tree: Tree, called: str) -> Iterator[str]:
        is_number = isinstance(tree, str) and re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", tree)
        if not is_number or not least <= int(tree) <= most:
            yield f"{called} is {tree!r}, not from {least} to {most}"

    return judging


def decimal(least: float = float("-inf"), most: float = float("inf")) -> Shape:
    """Return the shape of a number with or without a fraction."""

    def judging(tree: Tree, called: str) -> Iterator[str]:
        is_number = isinstance(tree, str) and re.fullmatch(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?", tree)
        if not is_number or not least <= float(tree) <= most:
            yield f"{called} is {tree!r}, not from {least} to {most}"

    return judging


def day(tree: Tree, called: str) -> Iterator[str]:
    """Yield why a tree is no date."""
    match = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})", tree) if isinstance(tree, str) else None
    try:
        if match is None or not date(*(int(part) for part in match.groups())):
            yield f"{called} is {tree!r}"
    except ValueError:
        yield f"{called} is {tree!r}"


def prefix(version: int) -> Shape:
    """Return the shape of a prefix: an address, a slash, a length, and no bit set after it."""
    expression = r"[0-9.]+/(0|[1-9][0-9]?)" if version == 4 else r"[0-9a-fA-F:.]+/(0|[1-9][0-9]{0,2})"

    def judging(tree: Tree, called: str) -> Iterator[str]:
        if not isinstance(tree, str) or not re.fullmatch(expression, tree):
            yield f"{called} is {tree!r}"
            return
        try:
            if ip_network(tree).version != version:
                yield f"{called} is {tree!r}"
        except ValueError as err:
            yield f"{called} is {tree!r}: {err}"

    return judging


def many(shape: Shape, *, exactly: int | None = None) -> Shape:
    """Return the shape of a list."""

    def judging(tree: Tree, called: str) -> Iterator[str]:
        if not isinstance(tree, list):
            yield f"{called} is no list"
        elif exactly is not None and len(tree) != exactly:
            yield f"{called} has {len(tree)} entries"
        else:
            for index, item in enumerate(tree):
                yield from shape(item, f"{called}[{index}]")

    return judging


def entry(needed: Mapping[str, Shape], **optional: Shape) -> Shape:
    """Return the shape of a mapping."""

    def judging(tree: Tree, called: str) -> Iterator[str]:
        if not isinstance(tree, dict):
            yield f"{called} is no mapping"
            return
        yield from (f"{called} lacks {key}" for key in needed if key not in tree)
        for key, value in tree.items():
            shape = needed.get(key) or optional.get(key)
            if shape is None:
                yield f"{called} has the unknown key {key!r}"
            else:
                yield from shape(value, f"{called}.{key}")

    return judging


TEXT = words()
IDENTIFIER = words(r"[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]", most=40)
NODE = words(r"[a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9]", most=15)
DURATION = words(r"(0|[1-9][0-9]{0,6})(ms|s|m|h|d)")
CONTACT = words(r"[^@\s]+@[^@\s]+\.[a-z]+")
DOMAIN = words(r"([a-z0-9]|[a-z0-9][a-z0-9-]{0,61}[a-z0-9])(\.([a-z0-9]|[a-z0-9][a-z0-9-]{0,61}[a-z0-9]))+")
TIER = words(r"cgc|agc|egc")
AS_NUMBER = whole(1, 4_294_967_294)
BOTH = entry({"vi": TEXT, "en": TEXT})
STACK = entry({"ipv4": prefix(4), "ipv6": prefix(6)})
SHAPES: dict[str, Shape] = {
    "nation.yaml": entry(
        {"name": IDENTIFIER, "title": BOTH, "scheme": words("2021|2025"), "domain": DOMAIN},
        based_on=TEXT,
    ),
    "centres.yaml": entry(
        {
            "centres": many(
                entry(
                    {
                        "code": IDENTIFIER,
                        "name": TEXT,
                        "kind": words("regional|backup|metro|operations|gateway|ministry"),
                        "region": words("north|central|south"),
                        "number": whole(1, 255),
                        "latitude": decimal(),
                        "longitude": decimal(),
                    },
                    attached_to=TEXT,
                    agency=TEXT,
                    backs_up=TEXT,
                )
            )
        }
    ),
    "network.yaml": entry(
        {
            "planes": many(entry({"name": words("[a-z]"), "as_number": AS_NUMBER})),
            "as_number_base": AS_NUMBER,
            "pools": entry(dict.fromkeys(LONGEST_POOLS, STACK)),
            "link_classes": many(entry({"name": IDENTIFIER, "capacity_mbps": whole(1, 10_000_000)})),
            "backbone": many(entry({"plane": TEXT, "ends": many(TEXT, exactly=2), "link_class": TEXT, "route": TEXT})),
            "tenancy_classes": many(
                entry({"name": IDENTIFIER, "title": BOTH, "number": whole(1, 4_000), "slot": whole(0, 3)})
            ),
            "bgp": entry({"hold": DURATION, "maximum_prefixes": whole(1, 10_000_000)}),
            "wireguard_port": whole(1, 65_535),
        },
        rings=many(entry({"name": IDENTIFIER, "sites": many(TEXT), "link_class": TEXT})),
    ),
    "tiers.yaml": entry(
        {
            "tiers": many(
                entry(
                    {
                        "name": TIER,
                        "title": BOTH,
                        "highest_level": whole(1, 5),
                        "minimum_sites_from_level_4": whole(1, 9),
                        "needs_certification": words("true|false"),
                    }
                )
            ),
            "log_retention": many(entry({"level": whole(1, 5), "months": whole(0, 120)})),
        }
    ),
    "clusters.yaml": entry(
        {
            "clusters": many(
                entry(
                    {
                        "id": IDENTIFIER,
                        "tier": TIER,
                        "operator": IDENTIFIER,
                        "site": TEXT,
                        "hosts": many(entry({"name": NODE, "number": whole(1, 2047)})),
                        "pods": STACK,
                        "services": STACK,
                    },
                    certification=entry({"issued_by": TEXT, "criteria": TEXT, "issued": day, "expires": day}),
                )
            )
        }
    ),
    "agencies.yaml": entry(
        {
            "agencies": many(
                entry(
                    {"id": IDENTIFIER, "name": BOTH, "kind": words("ministry|province|enterprise"), "contact": CONTACT},
                    unit=TEXT,
                )
            )
        },
        each_province=entry({"id": words(r"[a-z0-9-]{0,30}\{code\}"), "name": BOTH, "contact": TEXT}),
    ),
    "platforms.yaml": entry(
        {
            "platforms": many(
                entry(
                    {
                        "id": IDENTIFIER,
                        "ref": TEXT,
                        "name": BOTH,
                        "owner": IDENTIFIER,
                        "tier": TIER,
                        "level": whole(1, 5),
                        "clusters": many(IDENTIFIER),
                        "replicas": whole(1, 100),
                        "share": entry(
                            {
                                "cpu_millicores": whole(10, 1_000_000),
                                "memory_mib": whole(16, 10_000_000),
                                "pods": whole(1, 10_000),
                            }
                        ),
                        "port": whole(30_000, 32_767),
                        "objective": IDENTIFIER,
                    },
                    needs=many(IDENTIFIER),
                )
            )
        }
    ),
    "objectives.yaml": entry(
        {
            "objectives": many(
                entry(
                    {
                        "id": IDENTIFIER,
                        "availability": decimal(0, 1),
                        "latency": DURATION,
                        "window": DURATION,
                        "probe_interval": DURATION,
                    }
                )
            )
        }
    ),
}
OVERRIDES = entry(
    {"overrides": many(entry({"subject": TEXT, "fact": TEXT, "value": TEXT, "who": TEXT, "why": TEXT, "until": day}))}
)
ROW = {
    "code": TEXT,
    "level": words("country|province|district|commune"),
    "name": TEXT,
    "parent": TEXT,
    "latitude": decimal(),
    "longitude": decimal(),
}


# Files: text, YAML without anything clever, a table.


@dataclass(frozen=True, kw_only=True)
class World:
    """A declaration whose every value has its shape, as dictionaries, lists and texts."""

    nation: Tree
    units: list[dict[str, str]]
    centres: list[Tree]
    network: Tree
    tiers: Tree
    clusters: list[Tree]
    agencies: list[Tree]  # those of the rule for provinces included
    platforms: list[Tree]
    objectives: list[Tree]
    overrides: list[Tree]

    def coded(self, code: str) -> dict[str, str] | None:
        """Return the unit with this code."""
        return next((unit for unit in self.units if unit["code"] == code), None)

    def of_kind(self, *kinds: str) -> list[str]:
        """Return the codes of the centres of these kinds."""
        return [centre["code"] for centre in self.centres if centre["kind"] in kinds]


def text_of(path: Path) -> str:
    """Return a file's text; Unreadable if it has none."""
    try:
        raw = path.read_bytes()
    except OSError as err:
        raise Unreadable(f"{path.name} cannot be read: {err}") from err
    if len(raw) > LARGEST_FILE:
        raise Unreadable(f"{path.name} is too large")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise Unreadable(f"{path.name} is not UTF-8") from err
    if not text.strip():
        raise Unreadable(f"{path.name} is empty")
    return text


@lru_cache(maxsize=200)  # PyYAML's own parser takes most of the oracle's time, and mutations leave most files alone
def document_of(text: str) -> Tree:
    """Return the one document of a text, every scalar as it is written; Unreadable if there is more to it.

    PyYAML's own parser reads it. What is YAML at all, libyaml decides: PyYAML's takes `{a:{b: c}}`, and refuses a tab
    after a colon, a `?` within a text of flow style and a byte order mark after the first line, where YAML has it
    otherwise.
    """
    try:
        strict = list(yaml.parse(text, Loader=yaml.CBaseLoader))
    except yaml.YAMLError as err:
        raise Unreadable(f"no YAML: {err}") from err
    try:
        own = list(yaml.parse(re.sub("(?m)^\ufeff", "", text), Loader=yaml.BaseLoader))
    except (yaml.YAMLError, ValueError, OverflowError):  # an escape beyond Unicode is no YAMLError there
        own = strict
    found = document_in(own)
    if found != document_in(strict):
        raise AssertionError(f"two parsers read this differently: {text}")
    return found


def document_in(events: list[Any]) -> Tree:
    """Return the one document of a parser's events; Unreadable if there is more than one, an anchor or a tag."""
    if sum(isinstance(event, yaml.DocumentStartEvent) for event in events) != 1:
        raise Unreadable("not exactly one document")
    for event in events:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise Unreadable(f"anchor, alias or tag: {event}")
    return tree_of(events[2:-2], 0)  # without start and end of stream and document


def tree_of(events: list[Any], depth: int) -> Tree:
    """Return the tree of the events of one node; Unreadable if it is too deep or has a strange or a repeated key."""
    if depth > DEEPEST:
        raise Unreadable("nested too deep")
    first, inner = events[0], list(nodes_of(events[1:-1]))
    if isinstance(first, yaml.ScalarEvent):
        return first.value
    if isinstance(first, yaml.SequenceStartEvent):
        return [tree_of(node, depth + 1) for node in inner]
    found: dict[str, Tree] = {}
    for name, value in zip(inner[::2], inner[1::2], strict=True):
        key = tree_of(name, depth + 1)
        if not isinstance(key, str) or key in found:
            raise Unreadable(f"the key {key!r} is no text, or stands twice")
        found[key] = tree_of(value, depth + 1)
    return found


def nodes_of(events: list[Any]) -> Iterator[list[Any]]:
    """Yield the events of each of the nodes that stand one after the other."""
    node, depth = [], 0
    for event in events:
        node.append(event)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth == 0:
            yield node
            node = []


def rows_of(text: str) -> list[dict[str, str]]:
    """Return the rows of the table of units; Unreadable if it is no such table."""
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except csv.Error as err:
        raise Unreadable(f"units.csv: {err}") from err
    if header != COLUMNS:
        raise Unreadable(f"units.csv has the columns {header}")
    for row in rows:
        if len(row) != len(COLUMNS):
            raise Unreadable(f"units.csv has the row {row}")
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def judge(directory: Path, today: date) -> list[str]:
    """Return every reason why the declaration in a directory is unsound, as it is on this day; none if it is sound."""
    reasons: list[str] = []

    def read(path: Path, shape: Shape) -> Tree:
        try:
            tree = document_of(text_of(path))
        except Unreadable as err:
            reasons.append(f"{path.name}: {err}")
            return None
        reasons.extend(shape(tree, path.name))
        return tree

    nation = read(directory / "nation.yaml", SHAPES["nation.yaml"])
    if reasons:
        return reasons
    base = directory / nation.get("based_on", "nowhere")
    if "based_on" in nation and (not (base / "nation.yaml").is_file() or base.resolve() == directory.resolve()):
        return [f"is based on {nation['based_on']}"]
    trees: dict[str, Tree] = {}
    for file in SHAPES.keys() - {"nation.yaml"}:
        own = directory / file
        trees[file] = read(own if own.exists() or "based_on" not in nation else base / file, SHAPES[file])
    overrides = [read(path, OVERRIDES) for path in sorted((directory / "overrides").glob("*.yaml"))]
    units: list[dict[str, str]] = []
    try:
        units = rows_of(text_of(directory / "units.csv"))
    except Unreadable as err:
        reasons.append(str(err))
    for unit in units:
        for column, shape in ROW.items():
            if column != "parent" or unit["parent"]:
                reasons.extend(shape(unit[column], f"{column} of {unit['name']}"))
    if reasons:
        return reasons
    world = World(
        nation=nation,
        units=units,
        centres=trees["centres.yaml"]["centres"],
        network=trees["network.yaml"],
        tiers=trees["tiers.yaml"],
        clusters=trees["clusters.yaml"]["clusters"],
        agencies=[*trees["agencies.yaml"]["agencies"], *provincial_agencies(trees["agencies.yaml"], nation, units)],
        platforms=trees["platforms.yaml"]["platforms"],
        objectives=trees["objectives.yaml"]["objectives"],
        overrides=[override for tree in overrides for override in tree["overrides"]],
    )
    for rule in RULES:
        reasons.extend(rule(world))
    reasons.extend(stale(world, today))
    return reasons or [*numbers_met(world)]


def provincial_agencies(file: Tree, nation: Tree, units: list[dict[str, str]]) -> list[Tree]:
    """Return the agencies that the rule for provinces makes."""
    rule = file.get("each_province")
    served = [agency.get("unit") for agency in file["agencies"]]
    made = []
    for unit in units:
        if rule is not None and unit["level"] == "province" and unit["code"] not in served:
            identifier = rule["id"].replace("{code}", unit["code"])
            contact = rule["contact"].replace("{id}", identifier).replace("{domain}", nation["domain"])
            made.append({"id": identifier, "kind": "province", "contact": contact, "unit": unit["code"]})
    return made


# Rules: what a declaration with the right shapes must keep besides.


def twice(things: Iterable[object], called: str) -> Iterator[str]:
    """Yield what there is more than once."""
    yield from (f"{called} {thing} is there {count} times" for thing, count in Counter(things).items() if count > 1)


def unknown(thing: str | None, known: Iterable[str], called: str) -> Iterator[str]:
    """Yield that a thing, if it is named at all, is not known."""
    if thing is not None and thing not in known:
        yield f"{called}: {thing} is not known"


def off_earth(thing: Tree, called: str) -> Iterator[str]:
    """Yield that a thing lies nowhere."""
    if abs(float(thing["latitude"])) > 90 or abs(float(thing["longitude"])) > 180:
        yield f"{called} lies off the earth"


def units_rule(world: World) -> Iterator[str]:
    """Units have codes of their own, within their level's range, and a parent of the level above."""
    yield from twice((unit["code"] for unit in world.units), "unit")
    if sum(unit["level"] == "country" for unit in world.units) != 1:
        yield "not one country"
    for unit in world.units:
        code, level = unit["code"], unit["level"]
        yield from off_earth(unit, code)
        if level == "country":
            if unit["parent"]:
                yield "the country has a parent"
            continue
        least, most = {"province": (1, 99), "district": (0, 999), "commune": (0, 131_071)}[level]
        if not re.fullmatch("[0-9]{1,9}", code) or not least <= int(code) <= most:
            yield f"{level} has the code {code}"
        parent = world.coded(unit["parent"])
        if parent is None or parent["level"] not in SCHEME_LEVELS[level]:
            yield f"{level} {code} has the parent {parent}"
        if level == "district" and world.nation["scheme"] == "2025":
            yield f"{code} is a district"
    numbers = [
        (unit["level"], unit["code"].lstrip("0"))
        for unit in world.units
        if unit["level"] != "country" and unit["code"].isdigit()
    ]
    yield from twice(numbers, "code")


def centres_rule(world: World) -> Iterator[str]:
    """Centres have codes and numbers of their own, and are tied to what they can be tied to."""
    yield from twice((centre["code"] for centre in world.centres), "centre")
    yield from twice((int(centre["number"]) for centre in world.centres), "number")
    yield from twice((centre["backs_up"] for centre in world.centres if "backs_up" in centre), "backup of")
    if not world.of_kind("regional"):
        yield "no regional centre"
    for centre in world.centres:
        code, kind = centre["code"], centre["kind"]
        yield from off_earth(centre, code)
        yield from unknown(centre.get("attached_to"), world.of_kind(*CORES), f"{code} is attached to")
        yield from unknown(centre.get("backs_up"), world.of_kind("regional"), f"{code} backs up")
        yield from unknown(centre.get("agency"), [agency["id"] for agency in world.agencies], f"agency of {code}")
        if world.coded(code) is not None:
            yield f"{code} is a unit, too"
        if (kind in CORES) == ("attached_to" in centre):
            yield f"{code} is attached although it is a core site, or not although it is none"
        if "backs_up" in centre and kind != "backup":
            yield f"{code} backs up but is no backup centre"
        if "agency" in centre and kind != "ministry":
            yield f"{code} is the edge of a ministry but of another kind"


def names_rule(world: World) -> Iterator[str]:
    """Nodes have names of their own that Linux takes for an interface and that no other interface has."""
    planes = [plane["name"] for plane in world.network["planes"]][:2]
    names = [f"{unit['level']}-{unit['code']}" for unit in world.units if unit["level"] != "country"]
    for centre in world.centres:
        if centre["kind"] in CORES:
            names += [f"core-{plane}-{centre['code']}" for plane in planes]
        else:
            names.append(f"{centre['code']}-1" if centre["kind"] == "operations" else centre["code"])
    names += [host["name"] for cluster in world.clusters for host in cluster["hosts"]]
    yield from twice(names, "node")
    for name in names:
        if len(name) > 15:
            yield f"{name} is too long for an interface"
        if name in ("lo", "mgmt0") or name.startswith("wg-"):
            yield f"{name} is an interface of another kind"


def planes_rule(world: World) -> Iterator[str]:
    """There are two planes with names and AS numbers of their own, none of which a node would get."""
    network = world.network
    base = int(network["as_number_base"])
    numbers = [int(plane["as_number"]) for plane in network["planes"]]
    yield from twice((plane["name"] for plane in network["planes"]), "plane")
    yield from twice(numbers, "AS number")
    if len(network["planes"]) != 2:
        yield "not two planes"
    if base + 2**18 - 1 > 4_294_967_294:
        yield "no room for the nodes' AS numbers"
    yield from (f"a node would have AS number {number}" for number in numbers if base <= number < base + 2**18)


def classes_rule(world: World) -> Iterator[str]:
    """Link and tenancy classes have names, numbers and slots of their own; those that are needed are there."""
    network = world.network
    links = [kind["name"] for kind in network["link_classes"]]
    yield from twice(links, "link class")
    for needed in ("provincial", "district", "access", "centre"):
        yield from unknown(needed, links, "link class")
    yield from twice((kind["name"] for kind in network["tenancy_classes"]), "tenancy class")
    yield from twice((int(kind["number"]) for kind in network["tenancy_classes"]), "number of a tenancy class")
    yield from twice((int(kind["slot"]) for kind in network["tenancy_classes"]), "slot of a tenancy class")
    if not network["tenancy_classes"]:
        yield "no tenancy class"
    hold = milliseconds(network["bgp"]["hold"])
    if not 3_000 <= hold <= 65_535_000 or hold % 1_000:
        yield "BGP does not know such a hold time"


def milliseconds(duration: str) -> int:
    """Return how many milliseconds a duration has, which has its shape already."""
    number, unit = re.findall("[0-9]+|[a-z]+", duration)
    return int(number) * {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]


def backbone_rule(world: World) -> Iterator[str]:
    """Links and rings join core sites, each pair once a plane; every metropolitan site is on one ring."""
    network = world.network
    cores, rings = world.of_kind(*CORES), network.get("rings", [])
    planes = [plane["name"] for plane in network["planes"]]
    classes = [kind["name"] for kind in network["link_classes"]]
    pairs = [(link["plane"], *sorted(link["ends"])) for link in network["backbone"]]
    for thing in (*network["backbone"], *rings):
        yield from unknown(thing["link_class"], classes, "class of a link")
        yield from unknown(thing.get("plane"), planes, "plane of a link")
        for site in thing.get("ends") or thing["sites"]:
            yield from unknown(site, cores, "end of a link")
    yield from twice((ring["name"] for ring in rings), "ring")
    yield from twice((site for ring in rings for site in ring["sites"]), "site of a ring")
    for ring in rings:
        if len(set(ring["sites"])) < 3:
            yield f"{ring['name']} is no ring"
        for plane in planes:
            for index, site in enumerate(ring["sites"]):
                pairs.append((plane, *sorted((site, ring["sites"][index - 1]))))
    yield from twice(pairs, "link")
    yield from (f"{one} is linked to itself" for _, one, other in pairs if one == other)
    for site in world.of_kind("metro"):
        yield from unknown(site, [place for ring in rings for place in ring["sites"]], "site of a ring")


def prefixes_rule(world: World) -> Iterator[str]:
    """Prefixes are unicast, large enough, and no two of them meet."""
    stacks: list[tuple[str, Tree, tuple[int, int], tuple[int, int]]] = [
        (pool, world.network["pools"][pool], (0, most4), (0, most6)) for pool, (most4, most6) in LONGEST_POOLS.items()
    ]
    stacks += [
        (f"{part} of {cluster['id']}", cluster[part], *CLUSTER_LENGTHS[part])
        for cluster in world.clusters
        for part in CLUSTER_LENGTHS
    ]
    every: list[tuple[str, IPv4Network | IPv6Network]] = []
    for called, stack, lengths4, lengths6 in stacks:
        for text, (least, most) in ((stack["ipv4"], lengths4), (stack["ipv6"], lengths6)):
            network = ip_network(text)
            every.append((called, network))
            if not least <= network.prefixlen <= most:
                yield f"{called} {text} is too small or too large"
            for block in NO_UNICAST:
                if meets(network, block):
                    yield f"{called} {text} is not unicast"
    for (called, one), (other_called, other) in combinations(every, 2):
        if meets(one, other):
            yield f"{called} {one} meets {other_called} {other}"


def meets(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    """Whether an address is in both."""
    return one.version == other.version and int(one[0]) <= int(other[-1]) and int(other[0]) <= int(one[-1])


def tiers_rule(world: World) -> Iterator[str]:
    """Each tier and each security level is declared once."""
    if sorted(tier["name"] for tier in world.tiers["tiers"]) != ["agc", "cgc", "egc"]:
        yield "not every tier once"
    if sorted(int(rule["level"]) for rule in world.tiers["log_retention"]) != [1, 2, 3, 4, 5]:
        yield "not every level once"


def clusters_rule(world: World) -> Iterator[str]:
    """Clusters have hosts with numbers of their own, stand at a site that takes them, are certified if they must."""
    agencies = [agency["id"] for agency in world.agencies]
    sites = world.of_kind("regional", "backup", "gateway", "ministry")
    sites += [unit["code"] for unit in world.units if unit["level"] != "country"]
    strict = [tier["name"] for tier in world.tiers["tiers"] if tier["needs_certification"] == "true"]
    yield from twice((cluster["id"] for cluster in world.clusters), "cluster")
    yield from twice((int(host["number"]) for cluster in world.clusters for host in cluster["hosts"]), "host number")
    for cluster in world.clusters:
        yield from unknown(cluster["operator"], agencies, "operator")
        yield from unknown(cluster["site"], sites, "site of a cluster")
        if not cluster["hosts"]:
            yield f"{cluster['id']} has no host"
        paper = cluster.get("certification")
        if paper is None and cluster["tier"] in strict:
            yield f"{cluster['id']} is not certified"
        if paper is not None:
            yield from unknown(paper["issued_by"], agencies, "issuer")
            if paper["expires"] < paper["issued"]:  # dates so written sort as they follow
                yield "expires before it was issued"


def agencies_rule(world: World) -> Iterator[str]:
    """Agencies are told apart, can be written to, and serve a unit with a site."""
    units = [unit["code"] for unit in world.units if unit["level"] != "country"]
    yield from twice((agency["id"] for agency in world.agencies), "agency")
    for agency in world.agencies:
        yield from unknown(agency.get("unit"), units, "unit of an agency")
        yield from IDENTIFIER(agency["id"], "agency")
        yield from CONTACT(agency["contact"], agency["id"])


def objectives_rule(world: World) -> Iterator[str]:
    """Objectives are told apart, leave a budget for errors, and take some time."""
    yield from twice((objective["id"] for objective in world.objectives), "objective")
    for objective in world.objectives:
        if float(objective["availability"]) in (0, 1):
            yield "availability"
        if 0 in (milliseconds(objective[fact]) for fact in ("latency", "window", "probe_interval")):
            yield "no time at all"


def platforms_rule(world: World) -> Iterator[str]:
    """Platforms have rooms and ports of their own, run on clusters of their tier, and fit into their share."""
    agencies = [agency["id"] for agency in world.agencies]
    objectives = [objective["id"] for objective in world.objectives]
    platforms = [platform["id"] for platform in world.platforms]
    tiers = {cluster["id"]: cluster["tier"] for cluster in world.clusters}
    yield from twice(platforms, "platform")
    yield from twice((int(platform["port"]) for platform in world.platforms), "port")
    rooms = [f"{platform['owner']}-{platform['id']}" for platform in world.platforms]
    yield from twice(rooms, "namespace")
    yield from (f"Kubernetes refuses {room}" for room in rooms if len(room) > 63 or room.startswith("kube-"))
    for platform in world.platforms:
        called, needs = platform["id"], platform.get("needs", [])
        yield from unknown(platform["owner"], agencies, "owner")
        yield from unknown(platform["objective"], objectives, "objective")
        yield from twice((called, *needs), f"{called} needs")
        yield from twice(platform["clusters"], f"{called} runs on")
        for need in needs:
            yield from unknown(need, platforms, "needed platform")
        if not platform["clusters"]:
            yield f"{called} runs nowhere"
        for cluster in platform["clusters"]:
            if tiers.get(cluster) != platform["tier"]:
                yield f"{called} is not of the tier of {cluster}"
        share = {key: int(value) for key, value in platform["share"].items()}
        replicas = int(platform["replicas"])
        running = replicas + 1 if share["pods"] > replicas else replicas  # a roll-out starts one more if it may
        if share["pods"] < replicas or share["memory_mib"] < 16 * running or share["cpu_millicores"] < running:
            yield f"{called} does not fit into its share"


def overrides_rule(world: World) -> Iterator[str]:
    """Each fact of a subject is overridden once, with a value of its kind."""
    yield from twice(((item["subject"], item["fact"]) for item in world.overrides), "override")
    below = ["province", "district", "commune"]
    for item in world.overrides:
        unit, value = world.coded(item["subject"]), item["value"]
        levels = ["province"] if item["fact"] == "homed_at" else below
        if item["fact"] not in ("homed_at", "number", "link_class", "position"):
            yield f"overrides {item['fact']}"
        elif unit is None or unit["level"] not in levels:
            yield f"overrides {item['fact']} of {item['subject']}"
        elif item["fact"] == "homed_at":
            yield from unknown(value, world.of_kind("regional"), "home")
        elif item["fact"] == "link_class":
            yield from unknown(value, [kind["name"] for kind in world.network["link_classes"]], "class")
        elif item["fact"] == "position":
            match = re.fullmatch(r"(-?[0-9]{1,2}(?:\.[0-9]{1,9})?), ?(-?[0-9]{1,3}(?:\.[0-9]{1,9})?)", value)
            if match is None or abs(float(match[1])) > 90 or abs(float(match[2])) > 180:
                yield f"position {value}"
        else:
            slots = slots_of(value)
            if slots is None or slots[0] == 0:
                yield f"number {value}"
            elif (unit["level"] == "province" and slots[1:] != (0, 0)) or (unit["level"] == "district" and slots[2]):
                yield f"number {value} of a {unit['level']}"


def stale(world: World, today: date) -> Iterator[str]:
    """Yield the overrides that ended before today."""
    yield from (f"ended on {item['until']}" for item in world.overrides if date.fromisoformat(item["until"]) < today)


RULES = (
    units_rule,
    centres_rule,
    names_rule,
    planes_rule,
    classes_rule,
    backbone_rule,
    prefixes_rule,
    tiers_rule,
    clusters_rule,
    agencies_rule,
    objectives_rule,
    platforms_rule,
    overrides_rule,
)


# The address plan: 7 bits of province, 6 of district, 6 of commune.


def slots_of(text: str) -> tuple[int, int, int] | None:
    """Return the three slots of a number that is written P.D.C; None if it is none."""
    match = re.fullmatch(r"(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]?)\.(0|[1-9][0-9]?)", text)
    slots = tuple(int(part) for part in match.groups()) if match else ()
    return (slots[0], slots[1], slots[2]) if slots and slots[0] < 128 and slots[1] < 64 and slots[2] < 64 else None


def plan_of(units: Iterable[Mapping[str, str]], overrides: Iterable[Mapping[str, str]]) -> dict[str, int]:
    """Return the number of each unit below the country.

    What an override says; else a province's slot is its code; below it a district's is 1 + code mod 61, and so is a
    commune's below a district; a commune directly below a province has 64 + code mod 4019 of all its 12 bits.
    """
    by_code = {unit["code"]: unit for unit in units}
    given = {item["subject"]: slots_of(item["value"]) for item in overrides if item["fact"] == "number"}

    @cache
    def number(code: str) -> int:
        unit, slots = by_code[code], given.get(code)
        if slots is not None:
            return slots[0] * 4096 + slots[1] * 64 + slots[2]
        if unit["level"] == "province":
            return int(code) * 4096
        if unit["level"] == "district":
            return number(unit["parent"]) + (1 + int(code) % 61) * 64
        if by_code[unit["parent"]]["level"] == "district":
            return number(unit["parent"]) + 1 + int(code) % 61
        return number(unit["parent"]) + 64 + int(code) % 4019

    return {code: number(code) for code, unit in by_code.items() if unit["level"] != "country"}


def numbers_met(world: World) -> Iterator[str]:
    """Yield the numbers that two units would have, and the ports at which a parent would listen for two communes."""
    yield from twice(plan_of(world.units, world.overrides).values(), "number")
    communes = [unit for unit in world.units if unit["level"] == "commune"]
    yield from twice(((unit["parent"], 20_000 + int(unit["code"]) % 12_763) for unit in communes), "port")
