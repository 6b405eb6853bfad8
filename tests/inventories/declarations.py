"""Random declarations that are sound by construction, written down in random ways.

A `Shape` says how much there is of everything; hypothesis draws it and a seed, so that a failure shrinks to a small
declaration and can be had again. A `Draft` is a declaration before it is text: tests/inventories/mistakes.py makes one
mistake in it. Every choice within a shape comes from the seed.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from random import Random
from typing import Any, Literal

import yaml
from hypothesis import strategies as st

from tests.inventories.oracle import CLUSTER_LENGTHS, COLUMNS, LONGEST_POOLS, NO_UNICAST, meets, plan_of

TODAY = date(2026, 11, 24)
FILES = ("nation", "centres", "network", "tiers", "clusters", "agencies", "platforms", "objectives")
HEADER_LINES = 1
HALF = 0.5
ENCODING = "utf-8"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = (
    "Hà Nội", "Phường Cái Khế", "Thừa Thiên Huế", "D'Ran", 'gọi là "Xã"', "NO", "null", "~", "1.20", "22:30", "010",
    "0x1F", "# nothing", "- item", "a: b", "*star", "&and", "!tag", "%percent", "@at", "`tick`", "[1, 2]", "{code}",
    "a, b", "back\\slash", "QL1A – Hà Nội", "x", "true", "<<", "=", "?", "|", ">", "  blanks  ", "𠀋", "e\u0301",
)  # fmt: skip


class Raw(str):
    """A piece of YAML that is written as it stands; as a key it differs from every other, so that a key may be twice.

    It is written on one line.
    """

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        """Whether it is the very same piece."""
        return self is other

    def __ne__(self, other: object) -> bool:
        """Whether it is another piece."""
        return self is not other


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How much a declaration has of everything."""

    provinces: int
    districts: int
    communes: int
    regional: int
    backups: int
    rings: int
    operations: int
    gateways: int
    ministries: int
    clusters: int
    platforms: int
    agencies: int
    overrides: int
    has_rule: bool  # for the agencies of provinces
    is_based: bool  # on another declaration, which has some of the files
    is_styled: bool  # written in a way that nobody would write in


MOST = {
    "provinces": 5, "districts": 6, "communes": 20, "regional": 3, "backups": 2, "rings": 2, "operations": 2,
    "gateways": 1, "ministries": 2, "clusters": 2, "platforms": 3, "agencies": 3, "overrides": 3,
}  # fmt: skip
LEAST = {"provinces": 1, "regional": 1, "agencies": 1}


def shapes(**at_least: int) -> st.SearchStrategy[Shape]:
    """Return a strategy of shapes with at least so many of some things."""
    counts = {name: st.integers(at_least.get(name, LEAST.get(name, 0)), most) for name, most in MOST.items()}
    flags = {name: st.just(True) if at_least.get(name) else st.booleans() for name in ("has_rule", "is_based")}
    return st.builds(Shape, **counts, **flags, is_styled=st.booleans())


seeds = st.integers(0, 2**32 - 1)


@dataclass(kw_only=True)
class Draft:
    """A declaration before it is text; every scalar is a text, and lists are in the order of their writing.

    `rows` are those of units.csv below its header, as dictionaries. Overrides are documents as any other, called
    `overrides/NAME.yaml`. `in_base` are the files that only the declaration it is based on has.
    """

    documents: dict[str, dict[str, Any]]
    rows: list[dict[str, str]]
    in_base: frozenset[str] = frozenset()
    is_mutual: bool = False  # the base is based on this declaration in its turn
    is_styled: bool = False

    def items(self, file: str, path: str) -> list[dict[str, Any]]:
        """Return the entries of a list at the top of a file; empty where it is left out."""
        return self.documents[file].get(path, [])  # type: ignore[no-any-return]  # documents are Any inside

    @property
    def overrides(self) -> list[dict[str, str]]:
        """Every override."""
        return [item for file in self.documents if file.startswith("overrides/") for item in self.items(file, file_key)]

    def units(self, *levels: str) -> list[dict[str, str]]:
        """Return the rows of units of these levels."""
        return [row for row in self.rows if row["level"] in levels]

    def centres(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the centres of these kinds."""
        return [centre for centre in self.items("centres.yaml", "centres") if centre["kind"] in kinds]


file_key = "overrides"  # the one key of a file of overrides
CORE_KINDS = ("regional", "backup", "metro")
EDGE_KINDS = ("operations", "gateway", "ministry")


def draft_of(shape: Shape, rng: Random) -> Draft:
    """Return a sound declaration of this shape."""
    return _Drafting(shape, rng).draft()


class _Drafting:
    """Makes one thing after the other, none of which meets an earlier one."""

    def __init__(self, shape: Shape, rng: Random) -> None:
        self.shape = shape
        self.rng = rng
        self.scheme = "2021" if shape.districts or rng.random() < 0.3 else "2025"
        self.names: set[str] = set()  # of nodes, codes and identifiers, all alike
        self.taken: dict[int, list[IPv4Network | IPv6Network]] = {4: [], 6: []}
        self.rows: list[dict[str, str]] = []
        self.overrides: list[dict[str, str]] = []

    def draft(self) -> Draft:
        """Make everything, in the order in which things name each other."""
        rng = self.rng
        self._units()
        nation = {"name": self._name(20), "title": self._both(), "scheme": self.scheme, "domain": self._domain()}
        agencies = self._agencies()
        known = [agency["id"] for agency in agencies["agencies"]]
        centres = self._centres(known)
        network = self._network(centres)
        tiers = self._tiers()
        clusters = self._clusters(centres, tiers, known)
        objectives = [self._objective() for _ in range(rng.randint(1, 3) if clusters else rng.randint(0, 1))]
        self._overrides(centres, network)
        rng.shuffle(self.rows)
        documents: dict[str, dict[str, Any]] = {
            "nation.yaml": nation,
            "centres.yaml": {"centres": centres},
            "network.yaml": network,
            "tiers.yaml": tiers,
            "clusters.yaml": {"clusters": clusters},
            "agencies.yaml": agencies,
            "platforms.yaml": {"platforms": self._platforms(clusters, objectives, known)},
            "objectives.yaml": {"objectives": objectives},
        }
        in_base: frozenset[str] = frozenset()
        if self.shape.is_based:
            nation["based_on"] = rng.choice(["../base", "../base/", "./../base", "../nation/../base"])
            others = [f"{file}.yaml" for file in FILES if file != "nation"]
            in_base = frozenset(rng.sample(others, rng.randint(1, len(others))))
        files = rng.sample(["a", "homes", "Z9", "số", "address-plan", ".x"], rng.randint(1, 3))
        for item in self.overrides:
            documents.setdefault(f"overrides/{rng.choice(files)}.yaml", {file_key: []})[file_key].append(item)
        if rng.random() < 0.3:
            documents.setdefault("overrides/none.yaml", {file_key: []})
        return Draft(documents=documents, rows=self.rows, in_base=in_base, is_styled=self.shape.is_styled)

    # small things

    def _name(self, most: int = 40) -> str:
        """Return an identifier that nothing has yet."""
        while True:
            length = self.rng.choice([1, 2, 3, 5, 8, most])
            name = "".join(self.rng.choice(f"{LETTERS}0123456789-") for _ in range(min(length, most))).strip("-")
            reserved = name in {"lo", "mgmt0"} or name.startswith(("wg-", "kube"))
            if name and not reserved and not name.isdigit() and not {name, f"{name}-1"} & self.names:
                self.names.add(name)
                return name

    def _text(self) -> str:
        return " ".join(self.rng.sample(WORDS, self.rng.choice([1, 1, 2])))

    def _both(self) -> dict[str, str]:
        return {"vi": self._text(), "en": self._text()}

    def _domain(self) -> str:
        return f"{self.rng.choice(['dientap', 'a-b', '9', 'x.y'])}.{self.rng.choice(['test', 'vn'])}"

    def _decimal(self, most: int) -> str:
        value = self.rng.choice([0, most, -most, self.rng.uniform(-most, most)])
        return f"{value:.{self.rng.randint(1, 6)}f}" if value % 1 else str(value)

    def _position(self) -> dict[str, str]:
        return {"latitude": self._decimal(90), "longitude": self._decimal(180)}

    def _prefix(self, length: int, version: int) -> str:
        """Return a unicast prefix that meets no earlier one; often it touches one."""
        bits = {4: 32, 6: 128}[version]
        size, taken = 1 << (bits - length), self.taken[version]
        while True:
            if taken and self.rng.random() < 0.4:
                near = self.rng.choice(taken)
                start = self.rng.choice([int(near[-1]) + 1, int(near[0]) - size])
            elif version == 4:
                start = self.rng.randrange(1 << 24, 224 << 24)
            else:
                start = (self.rng.choice([0x2000, 0xFD00]) << 112) + self.rng.getrandbits(120)
            start = start // size * size
            if not 1 << (bits - 8) <= start <= (1 << bits) - size:
                continue
            made = (IPv4Network if version == 4 else IPv6Network)((start, length))
            if not any(meets(made, other) for other in (*taken, *NO_UNICAST)):
                taken.append(made)
                return str(made)

    def _stack(self, lengths4: tuple[int, int], lengths6: tuple[int, int]) -> dict[str, str]:
        return {
            "ipv4": self._prefix(self.rng.randint(*lengths4), 4),
            "ipv6": self._prefix(self.rng.randint(*lengths6), 6),
        }

    # units and their numbers

    def _units(self) -> None:
        rng, shape = self.rng, self.shape
        country = rng.choice(["VN", "00", "V", "Việt Nam"])
        self._unit(country, "country", "")
        provinces = [self._coded("province", country) for _ in range(shape.provinces)]
        districts = [self._coded("district", rng.choice(provinces)) for _ in range(shape.districts)]
        above = districts + (provinces if self.scheme == "2025" or not districts or rng.random() < 0.5 else [])
        for _ in range(shape.communes):
            self._coded("commune", rng.choice(above))
        for row in rng.sample(self.rows[1:], min(len(self.rows) - 1, rng.randint(0, 2))):
            self._move(row)  # an override gives some unit another number, and with it everything below
        self._settle()
        rng.shuffle(self.rows)

    def _unit(self, code: str, level: str, parent: str) -> None:
        row = {"code": code, "level": level, "name": self._text(), "parent": parent, **self._position()}
        self.rows.append(row)

    def _coded(self, level: str, parent: str) -> str:
        least, most, digits = {"province": (1, 99, 2), "district": (0, 999, 3), "commune": (0, 131_071, 5)}[level]
        while True:
            number = self.rng.choice([least, most, self.rng.randint(least, most), self.rng.randint(least, most)])
            code = f"{number:0{self.rng.choice([1, digits, digits, digits + 1])}d}"
            alike = [
                row
                for row in self.rows
                if row["level"] == level
                and (
                    int(row["code"]) == number
                    or (level == "commune" and row["parent"] == parent and (int(row["code"]) - number) % 12_763 == 0)
                )
            ]
            if not alike and all(row["code"] != code for row in self.rows):
                self.names |= {code, f"{level}-{code}"}
                self._unit(code, level, parent)
                return code

    def _move(self, row: dict[str, str]) -> None:
        """Give a unit a number that nobody has, within its parent's, by an override."""
        taken = set(plan_of(self.rows, self.overrides).values())
        step = {"province": 4096, "district": 64, "commune": 1}[row["level"]]
        if row["level"] == "province":
            room = range(4096, 2**19, 4096)
        else:
            base = plan_of(self.rows, self.overrides)[row["parent"]]
            is_below_province = any(one["code"] == row["parent"] and one["level"] == "province" for one in self.rows)
            room = range(base + step, base + (4096 if is_below_province else 64), step)
        number = self.rng.choice([number for number in room if number not in taken])
        written = f"{number // 4096}.{number // 64 % 64}.{number % 64}"
        self.overrides = [item for item in self.overrides if (item["subject"], item["fact"]) != (row["code"], "number")]
        self.overrides.append(self._override(row["code"], "number", written))

    def _settle(self) -> None:
        """Move units until no two have one number."""
        while True:
            numbers = plan_of(self.rows, self.overrides)
            seen: dict[int, str] = {}
            met = next((code for code, number in numbers.items() if seen.setdefault(number, code) != code), None)
            if met is None:
                return
            self._move(next(row for row in self.rows if row["code"] == met))

    def _override(self, subject: str, fact: str, value: str) -> dict[str, str]:
        until = TODAY + timedelta(days=self.rng.choice([0, 1, self.rng.randint(0, 9999)]))
        who, why = self._text(), self._text()
        return {"subject": subject, "fact": fact, "value": value, "who": who, "why": why, "until": until.isoformat()}

    def _overrides(self, centres: Sequence[dict[str, Any]], network: dict[str, Any]) -> None:
        rng = self.rng
        for _ in range(self.shape.overrides):
            row = rng.choice(self.rows[1:] if self.rows[0]["level"] == "country" else self.rows)
            fact = rng.choice(["homed_at", "link_class", "position"])
            if row["level"] == "country" or (fact == "homed_at" and row["level"] != "province"):
                continue
            value = {
                "homed_at": rng.choice([centre["code"] for centre in centres if centre["kind"] == "regional"]),
                "link_class": rng.choice(network["link_classes"])["name"],
                "position": f"{self._decimal(90)},{rng.choice(['', ' '])}{self._decimal(180)}",
            }[fact]
            if not any((item["subject"], item["fact"]) == (row["code"], fact) for item in self.overrides):
                self.overrides.append(self._override(row["code"], fact, value))
        rng.shuffle(self.overrides)

    # centres and the network between them

    def _centres(self, agencies: Sequence[str]) -> list[dict[str, Any]]:
        rng, shape = self.rng, self.shape
        numbers = iter(rng.sample(range(1, 256), 40))

        def centre(kind: str, most: int, **facts: str) -> dict[str, Any]:
            code = self._name(most)
            self.names |= {f"{code}-1"}
            region = rng.choice(["north", "central", "south"])
            number = str(next(numbers))
            return {
                "code": code, "name": self._text(), "kind": kind, "region": region, "number": number,
                **self._position(), **facts,
            }  # fmt: skip

        made = [centre("regional", 8) for _ in range(shape.regional)]
        for regional in made[: shape.backups]:
            made = [*made, centre("backup", 8, **({"backs_up": regional["code"]} if rng.random() < 0.7 else {}))]
        fewest = max(2 * shape.rings, 3 * shape.rings - len(made))  # the other core sites fill each ring up to three
        made += [centre("metro", 8) for _ in range(rng.randint(fewest, fewest + 1 if shape.rings else 0))]
        cores = [one["code"] for one in made]
        for kind, count, most in (
            ("operations", shape.operations, 13),
            ("gateway", shape.gateways, 15),
            ("ministry", shape.ministries, 15),
        ):
            for _ in range(count):
                facts = {"attached_to": rng.choice(cores)}
                if kind == "ministry" and rng.random() < 0.7:
                    facts["agency"] = rng.choice(agencies)
                made.append(centre(kind, most, **facts))
        rng.shuffle(made)
        return made

    def _rings(self, centres: Sequence[dict[str, Any]], classes: Sequence[str]) -> list[dict[str, Any]]:
        """Return rings with every metropolitan site on one of them, and some of the other core sites."""
        rng, count = self.rng, self.shape.rings
        metro = [centre["code"] for centre in centres if centre["kind"] == "metro"]
        others = [centre["code"] for centre in centres if centre["kind"] in {"regional", "backup"}]
        rng.shuffle(others)
        around: list[list[str]] = [[] for _ in range(count)]
        for index, site in enumerate(metro):
            around[index % count].append(site)
        for ring in around:
            ring += [others.pop() for _ in range(3 - len(ring))]
        for ring in around:
            ring += [others.pop() for _ in range(rng.randint(0, min(1, len(others))))]
            rng.shuffle(ring)
        return [{"name": self._name(), "sites": ring, "link_class": rng.choice(classes)} for ring in around]

    def _network(self, centres: Sequence[dict[str, Any]]) -> dict[str, Any]:
        rng = self.rng
        planes = rng.sample(LETTERS, 2)
        for centre in centres:  # a ministry's edge must not be called as a core router
            self.names |= {f"core-{plane}-{centre['code']}" for plane in planes}
        base = rng.choice([4_200_000_000, 1, 4_294_967_294 - 2**18 + 1, rng.randint(1, 4_000_000_000)])
        numbers = [base - 1, base + 2**18, *(rng.randint(1, 4_294_967_294) for _ in range(4))]
        free = [one for one in dict.fromkeys(numbers) if 1 <= one <= 4_294_967_294 and not base <= one < base + 2**18]
        classes = ["provincial", "district", "access", "centre", *(self._name() for _ in range(rng.randint(0, 3)))]
        rng.shuffle(classes)
        rings = self._rings(centres, classes)
        cores = [centre["code"] for centre in centres if centre["kind"] in CORE_KINDS]
        joined = {frozenset((site, ring["sites"][at - 1])) for ring in rings for at, site in enumerate(ring["sites"])}
        pairs = [
            (plane, one, other)
            for plane in planes
            for one in cores
            for other in cores
            if one < other and frozenset((one, other)) not in joined
        ]
        backbone = [
            {
                "plane": plane,
                "ends": rng.sample([one, other], 2),
                "link_class": rng.choice(classes),
                "route": self._text(),
            }
            for plane, one, other in rng.sample(pairs, min(len(pairs), rng.randint(0, 5)))
        ]
        slots = rng.sample(range(4), rng.randint(1, 4))
        network: dict[str, Any] = {
            "planes": [
                {"name": name, "as_number": str(number)}
                for name, number in zip(planes, rng.sample(free, 2), strict=True)
            ],
            "as_number_base": str(base),
            "pools": {
                pool: self._stack((most4 - rng.randint(0, 2), most4), (most6 - rng.randint(0, 20), most6))
                for pool, (most4, most6) in sorted(LONGEST_POOLS.items(), key=lambda item: item[1])  # large ones first
            },
            "link_classes": [{"name": name, "capacity_mbps": str(rng.randint(1, 10_000_000))} for name in classes],
            "backbone": backbone,
            "tenancy_classes": [
                {"name": self._name(), "title": self._both(), "number": str(number), "slot": str(slot)}
                for slot, number in zip(slots, rng.sample(range(1, 4_001), 4), strict=False)
            ],
            "bgp": {
                "hold": rng.choice(["3s", "9s", "3m", "65535s", "9000ms", "18h"]),
                "maximum_prefixes": str(rng.randint(1, 10_000_000)),
            },
            "wireguard_port": str(rng.randint(1, 65_535)),
        }
        if rings or rng.random() < 0.3:
            network["rings"] = rings
        return network

    # clouds and what runs on them

    def _agencies(self) -> dict[str, Any]:
        rng = self.rng
        served = [row["code"] for row in self.rows if row["level"] != "country"]
        agencies = []
        for _ in range(self.shape.agencies):
            identifier = self._name(rng.choice([5, 30]))
            agency = {
                "id": identifier,
                "name": self._both(),
                "kind": rng.choice(["ministry", "province", "enterprise"]),
                "contact": rng.choice(["noc@a.test", "truc-ban@x.y.vn", "trực@số.test"]),
            }
            if rng.random() < 0.4 and served:
                agency["unit"] = served.pop(rng.randrange(len(served)))
            agencies.append(agency)
        file: dict[str, Any] = {"agencies": agencies}
        if self.shape.has_rule:
            contact = rng.choice(["truc-ban@{id}.{domain}", "{id}@{domain}", "noc@a.test", "x{id}{id}@b.test"])
            name = {"vi": rng.choice(["Ủy ban {name}", "{name} {name}"]), "en": self._text()}
            file["each_province"] = {"id": f"{self._name(20)}-{{code}}", "name": name, "contact": contact}
        return file

    def _tiers(self) -> dict[str, Any]:
        rng = self.rng
        return {
            "tiers": [
                {
                    "name": name,
                    "title": self._both(),
                    "highest_level": str(rng.randint(1, 5)),
                    "minimum_sites_from_level_4": str(rng.randint(1, 9)),
                    "needs_certification": rng.choice(["true", "false"]),
                }
                for name in rng.sample(["cgc", "agc", "egc"], 3)
            ],
            "log_retention": [
                {"level": str(level), "months": str(rng.randint(0, 120))} for level in rng.sample(range(1, 6), 5)
            ],
        }

    def _clusters(
        self, centres: Sequence[dict[str, Any]], tiers: dict[str, Any], agencies: Sequence[str]
    ) -> list[dict[str, Any]]:
        rng = self.rng
        strict = {tier["name"] for tier in tiers["tiers"] if tier["needs_certification"] == "true"}
        sites = [centre["code"] for centre in centres if centre["kind"] not in {"metro", "operations"}]
        sites += [row["code"] for row in self.rows if row["level"] != "country"]
        numbers = iter(rng.sample(range(1, 2_048), 20))
        made = []
        for _ in range(self.shape.clusters):
            tier = rng.choice(["cgc", "agc", "egc"])
            cluster = {
                "id": self._name(),
                "tier": tier,
                "operator": rng.choice(agencies),
                "site": rng.choice(sites),
                "hosts": [
                    {"name": self._name(15), "number": str(next(numbers))} for _ in range(rng.choice([1, 1, 2, 3]))
                ],
                **{part: self._stack(*lengths) for part, lengths in CLUSTER_LENGTHS.items()},
            }
            if tier in strict or rng.random() < 0.2:
                issued = TODAY + timedelta(days=rng.randint(-900, 900))
                expires = issued + timedelta(days=rng.choice([0, rng.randint(0, 900)]))
                cluster["certification"] = {
                    "issued_by": rng.choice(agencies), "criteria": self._text(),
                    "issued": issued.isoformat(), "expires": expires.isoformat(),
                }  # fmt: skip
            made.append(cluster)
        return made

    def _objective(self) -> dict[str, str]:
        rng = self.rng
        return {
            "id": self._name(),
            "availability": rng.choice(["0.5", "0.999", "0.000000000000000001", "0.99"]),
            "latency": rng.choice(["1ms", "500ms", "1s"]),
            "window": rng.choice(["30d", "9999999d", "24h"]),
            "probe_interval": rng.choice(["5s", "15s", "1m"]),
        }

    def _platforms(
        self, clusters: Sequence[dict[str, Any]], objectives: Sequence[dict[str, str]], agencies: Sequence[str]
    ) -> list[dict[str, Any]]:
        rng = self.rng
        made: list[dict[str, Any]] = []
        if not clusters:
            return made
        ports = rng.sample(range(30_000, 32_768), self.shape.platforms)
        identifiers = [self._name(rng.choice([4, 20])) for _ in ports]
        for port, identifier in zip(ports, identifiers, strict=True):
            tier = rng.choice(clusters)["tier"]
            alike = [cluster["id"] for cluster in clusters if cluster["tier"] == tier]
            replicas = rng.choice([1, 2, 100])
            pods = replicas + rng.choice([0, 1, 50])
            running = min(pods, replicas + 1)
            others = [other for other in identifiers if other != identifier]
            platform = {
                "id": identifier,
                "ref": rng.choice(["IV.3b", "IV.5đ"]),
                "name": self._both(),
                "owner": rng.choice(agencies),
                "tier": tier,
                "level": str(rng.randint(1, 5)),
                "clusters": rng.sample(alike, rng.randint(1, len(alike))),
                "replicas": str(replicas),
                "share": {
                    "cpu_millicores": str(max(10, running + rng.choice([0, 500]))),
                    "memory_mib": str(16 * running + rng.choice([0, 512])),
                    "pods": str(pods),
                },
                "port": str(port),
                "objective": rng.choice(objectives)["id"],
            }
            if rng.random() < 0.5:
                platform["needs"] = rng.sample(others, rng.randint(0, min(2, len(others))))
            made.append(platform)
        return made


# Writing: the same declaration in any of the ways in which YAML and CSV can say it.

_PLAIN = re.compile(r"[^\W_](?:[^\W_]|[./@+_-]|:(?=[^\W_])| (?=[^\W_]))*")
_NOT_ESCAPED = re.compile(r"[ -~]")


def texts_of(draft: Draft, rng: Random) -> dict[str, str]:
    """Return the text of each file, by its name."""
    texts = {file: _Pen(rng, is_styled=draft.is_styled).document(tree) for file, tree in draft.documents.items()}
    out = io.StringIO(newline="")
    quoting: Literal[0, 1] = csv.QUOTE_ALL if draft.is_styled and rng.random() < HALF else csv.QUOTE_MINIMAL
    end = rng.choice(["\n", "\r\n"]) if draft.is_styled else "\n"
    writer = csv.DictWriter(out, COLUMNS, lineterminator=end, quoting=quoting)
    writer.writeheader()
    writer.writerows(draft.rows)
    return {**texts, "units.csv": out.getvalue()}


def store(draft: Draft, texts: dict[str, str | bytes], root: Path) -> Path:
    """Write the texts below a directory; return that of the declaration. What must not be read is nonsense."""
    nation, base = root / "nation", root / "base"
    (nation / "overrides").mkdir(parents=True)
    if draft.in_base:
        (base / "overrides").mkdir(parents=True)
        for file in (*draft.documents, "units.csv", "overrides/x.yaml"):
            if file not in draft.in_base:
                (base / file).write_text("not: [to, be, read", encoding=ENCODING)
        (base / "nation.yaml").write_text("based_on: ../nation\n" if draft.is_mutual else "name: base\n", ENCODING)
    for file, text in texts.items():
        path = (base if file in draft.in_base else nation) / file
        path.write_bytes(text if isinstance(text, bytes) else text.encode(ENCODING))
    return nation


class _Pen:
    """Writes one document."""

    def __init__(self, rng: Random, *, is_styled: bool) -> None:
        self.rng = rng
        self.is_styled = is_styled

    def sometimes(self, chance: float) -> bool:
        """Whether to do something that a plain writer never does."""
        return self.is_styled and self.rng.random() < chance

    def document(self, tree: dict[str, Any]) -> str:
        """Return the text of a whole file."""
        lines = ["# comment: {not: read"] if self.sometimes(0.3) else []
        lines += ["---"] if self.sometimes(0.2) else []
        lines += [self.flow(tree, 1)] if self.sometimes(0.05) else self.block(tree, 0)
        lines += ["..."] if self.sometimes(0.1) else []
        mark = "\ufeff" if self.sometimes(0.05) else ""
        end = "\r\n" if self.sometimes(0.1) else "\n"
        return mark + "\n".join(lines).replace("\n", end) + (end if not self.sometimes(0.1) else "")

    def block(self, tree: dict[str, Any] | list[Any], indent: int) -> list[str]:
        """Return the lines of a mapping or list that is not empty, each with its indent."""
        lines: list[str] = []
        margin = " " * indent
        for key, value in self._pairs(tree):
            if lines and self.sometimes(0.1):
                lines += self.rng.choice([[""], [f"{margin}# - a: comment"], ["#"]])
            head = f"{margin}-" if key is None else f"{margin}{self.key(key)}:"
            inner = self.rng.choice([1, 2, 5]) if self.is_styled else 2
            if isinstance(value, str):
                lines += self._lines_of(head, value, " " * (indent + inner))
            elif not value or (not self.sometimes(0.5) and self._is_small(value, indent)):
                lines.append(f"{head} {self.flow(value, indent + inner)}{self._remark()}")
            elif key is None and isinstance(value, dict):
                first, *rest = self.block(value, indent + 2)
                lines += [f"{margin}- {first[indent + 2 :]}", *rest]
            else:
                same = isinstance(value, list) and key is not None and self.sometimes(0.5)  # a list may be as far left
                lines += [head + self._remark(), *self.block(value, indent if same else indent + inner)]
        return lines

    def flow(self, tree: Any, indent: int) -> str:
        """Return a value as flow style has it; its lines after the first are indented."""
        if isinstance(tree, str):
            return self.scalar(tree)
        parts = [
            self.flow(value, indent) if key is None else f"{self.key(key)}: {self.flow(value, indent)}"
            for key, value in self._pairs(tree)
        ]
        gap = f"\n{' ' * indent}" if self.sometimes(0.2) else self.rng.choice(["", " "]) if self.is_styled else ""
        between = f",{gap or ' '}"
        last = "," if parts and self.sometimes(0.1) else ""
        opened, closed = "{}" if isinstance(tree, dict) else "[]"
        return f"{opened}{gap}{between.join(parts)}{last}{gap}{closed}"

    def key(self, key: str) -> str:
        """Return a key."""
        return self.scalar(key) if self.sometimes(0.1) else str(key)

    def scalar(self, text: str) -> str:
        """Return a text in one of the ways that keep it."""
        if isinstance(text, Raw):
            return str(text)
        ways = ["plain"] if _PLAIN.fullmatch(text) else ["double", "single"]
        if self.is_styled:
            ways = [*ways, "double", "single", "escaped"]
        match self.rng.choice(ways):
            case "plain":
                return text
            case "single":
                return "'" + text.replace("'", "''") + "'"
            case "double":
                return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return '"' + "".join(one if one.isalnum() and one.isascii() else f"\\U{ord(one):08x}" for one in text) + '"'

    def _pairs(self, tree: dict[str, Any] | list[Any]) -> list[tuple[str | None, Any]]:
        if isinstance(tree, list):
            return [(None, value) for value in tree]
        pairs: list[tuple[str | None, Any]] = list(tree.items())
        if self.is_styled:
            self.rng.shuffle(pairs)
        return pairs

    def _lines_of(self, head: str, value: str, margin: str) -> list[str]:
        """Return the lines of a key or dash with a scalar."""
        is_block = not isinstance(value, Raw) and value == value.strip() and not value.startswith("#")
        if is_block and self.sometimes(0.1):
            return [f"{head} {self.rng.choice(['|-', '>-'])}", f"{margin}{value}"]
        if self.sometimes(0.1):
            return [head, f"{margin}{self.scalar(value)}{self._remark()}"]
        return [f"{head} {self.scalar(value)}{self._remark()}"]

    def _remark(self) -> str:
        return self.rng.choice(["  # {remark", " #", "   "]) if self.sometimes(0.1) else ""

    def _is_small(self, value: Any, indent: int) -> bool:
        return indent > 0 and not (isinstance(value, list) and any(isinstance(one, dict) for one in value[1:]))


def line_of(text: str, path: Sequence[str | int], *, is_at_value: bool = False) -> int:
    """Return the line of the last key or the entry at a path, or of the nearest that there is above it.

    Of a key that is there twice it is the second one's. `is_at_value` asks for the line at which the value starts.
    """
    node: Any = yaml.compose(text, Loader=yaml.CBaseLoader)
    line = node.start_mark.line + 1
    for part in path:
        if isinstance(part, int):
            if len(node.value) <= part:
                break
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            found = [pair for pair in node.value if pair[0].value == str(part) or _is_odd(pair[0], part)]
            if not found:
                break
            line, node = found[-1][0].start_mark.line + 1, found[-1][1]
    return int(node.start_mark.line + 1 if is_at_value else line)


def _is_odd(key: yaml.Node, part: str) -> bool:
    return isinstance(part, Raw) and not isinstance(key, yaml.ScalarNode)


def scalars_of(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield every scalar of a tree with its path."""
    if isinstance(tree, str):
        yield path, tree
    else:
        for part, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from scalars_of(value, (*path, part))


def place_in(tree: Any, path: Sequence[str | int]) -> Any:
    """Return what is at a path."""
    for part in path:
        tree = tree[part]
    return tree
