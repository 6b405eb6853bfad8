"""Mistakes to make in a sound declaration, each with the code and the line of its refusal; and blind damage.

A mistake is made at a random place of a draft before it is written (so that it meets every way of writing), or in the
written texts where the draft cannot hold it. It answers whom to blame, or None where there is nothing to get wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_network
from random import Random
from typing import Any

from tests.inventories.declarations import (
    CORE_KINDS,
    EDGE_KINDS,
    HEADER_LINES,
    TODAY,
    Draft,
    Raw,
    line_of,
    place_in,
    scalars_of,
)
from tests.inventories.oracle import CLUSTER_LENGTHS, LONGEST_POOLS, plan_of

Path = tuple[str | int, ...]  # keys and indices from a document's root; of units.csv the index of a row
Texts = dict[str, str | bytes]


@dataclass(frozen=True, kw_only=True)
class Blame:
    """What the refusal must say: its code, and one of the places; any line of the first file where the line varies."""

    code: str
    places: tuple[tuple[str, Path], ...]
    is_exact: bool = True
    is_at_value: bool = False  # the line is where the value at the path starts, not its key
    line: int | None = None  # known already, for a mistake that was made in the text

    def lines(self, texts: Texts) -> set[tuple[str, int]]:
        """Return each file and line that may be named, once the texts are written."""
        if self.line is not None:
            return {(self.places[0][0], self.line)}
        return {(file, self._line(texts[file], file, path)) for file, path in self.places}

    def _line(self, text: str | bytes, file: str, path: Path) -> int:
        if file == "units.csv":
            return int(path[0]) + HEADER_LINES + 1
        assert isinstance(text, str)
        readable = text.replace("*a", "aa")  # an alias of nothing cannot be composed; lines stay what they are
        return line_of(readable, path, is_at_value=self.is_at_value)


Making = Callable[[Draft, Random], Blame | None]
MakingInText = Callable[[Texts, Draft, Random], Blame | None]


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A kind of mistake; `needs` is what a shape must have at least (tests/inventories/declarations.py)."""

    name: str
    needs: dict[str, int] = field(default_factory=dict)
    in_draft: Making | None = None
    in_text: MakingInText | None = None


MISTAKES: dict[str, Mistake] = {}


def mistake(name: str, **needs: int) -> Callable[[Making], Making]:
    """Register a mistake that is made in a draft."""

    def register(making: Making) -> Making:
        assert name not in MISTAKES
        MISTAKES[name] = Mistake(name=name, needs=needs, in_draft=making)
        return making

    return register


def mistake_in_text(name: str, **needs: int) -> Callable[[MakingInText], MakingInText]:
    """Register a mistake that is made in the written texts."""

    def register(making: MakingInText) -> MakingInText:
        assert name not in MISTAKES
        MISTAKES[name] = Mistake(name=name, needs=needs, in_text=making)
        return making

    return register


def blame(code: str, file: str, *path: str | int) -> Blame:
    """Return the blame for one place."""
    return Blame(code=code, places=((file, path),))


# Values of the wrong type or range, wherever there is a value of the right one.

Fields = Sequence[tuple[str, str]]  # file and key
WHOLE: dict[tuple[str, str], tuple[str, ...]] = {  # with what is out of range
    ("centres", "number"): ("0", "256", "-1"),
    ("network", "as_number"): ("0", "4294967295"),
    ("network", "as_number_base"): ("0", "4294967296"),
    ("network", "capacity_mbps"): ("0", "10000001"),
    ("network", "number"): ("0", "4001"),
    ("network", "slot"): ("4", "-1"),
    ("network", "maximum_prefixes"): ("0", "10000001"),
    ("network", "wireguard_port"): ("0", "65536"),
    ("tiers", "highest_level"): ("0", "6"),
    ("tiers", "minimum_sites_from_level_4"): ("0", "10"),
    ("tiers", "level"): ("0", "6"),
    ("tiers", "months"): ("-1", "121"),
    ("clusters", "number"): ("0", "2048"),
    ("platforms", "level"): ("0", "6"),
    ("platforms", "replicas"): ("0", "101"),
    ("platforms", "cpu_millicores"): ("9", "1000001"),
    ("platforms", "memory_mib"): ("15", "10000001"),
    ("platforms", "pods"): ("0", "10001"),
    ("platforms", "port"): ("29999", "32768", "80"),
}
IDENTIFIERS = (
    ("nation", "name"), ("centres", "code"), ("clusters", "id"), ("clusters", "operator"), ("clusters", "name"),
    ("agencies", "id"), ("platforms", "id"), ("platforms", "owner"), ("platforms", "objective"), ("objectives", "id"),
)  # fmt: skip
WRONG_VALUES: dict[str, tuple[Fields, tuple[str, ...]]] = {
    "a word for a whole number": (
        tuple(WHOLE), ("four", "1.0", "+1", "010", "1_000", "١", "1e3", "0x1F", "−1", "1" * 20)
    ),
    "a truth that is none": ((("tiers", "needs_certification"),), ("yes", "NO", "True", "1", "on", "~")),
    "a duration that is none": (
        (("network", "hold"), ("objectives", "latency"), ("objectives", "window"), ("objectives", "probe_interval")),
        ("9", "1w", "010s", "-1s", "1.5s", "1 s", "1S", "10000000s", "22:30"),
    ),
    "a date that is none": (
        (("clusters", "issued"), ("clusters", "expires"), ("overrides", "until")),
        ("2027-02-30", "20270101", "2027-1-1", "tomorrow", "0000-01-01", "2027-W01-1", "٢٠٢٧-01-01"),
    ),
    "a number with a fraction that is none": (
        (("centres", "latitude"), ("centres", "longitude"), ("objectives", "availability")),
        ("1e1", "21,5", "nan", "inf", ".5", "5.", "N21", "+1", "0x1", "01.5"),
    ),
    "an unknown choice": (
        (("centres", "kind"), ("centres", "region"), ("clusters", "tier"), ("agencies", "kind"), ("platforms", "tier")),
        ("Regional", "north ", "sgc", "null", "cgc,agc"),
    ),
    "a malformed identifier": (
        IDENTIFIERS, ("Upper", "under_score", "-a", "a-", "x" * 41, "a.b", "é", "a b", "a/b", "１")
    ),
    "a blank text, or one of several lines": (
        (
            ("nation", "vi"), ("nation", "en"), ("centres", "name"), ("centres", "attached_to"), ("network", "route"),
            ("clusters", "site"), ("clusters", "criteria"), ("agencies", "vi"), ("agencies", "unit"),
            ("platforms", "ref"), ("overrides", "why"), ("overrides", "who"), ("overrides", "subject"),
        ),
        ('""', "''", '"  "', '"a\\nb"', '"a\\0"', '"\\u2028a"', '"\\x7f"', '"\\ta"'),
    ),
    "a contact that is no address": (
        (("agencies", "contact"),), ("nobody", "a@b", "a b@c.test", "a@b.T", "@c.test", "a@b@c.test", "a@b.test1")
    ),
    "a domain that is none": (
        (("nation", "domain"),), ("test", "-a.test", "a..test", "A.test", "a.test.", f"{'x' * 64}.test", "a_b.test")
    ),
    "an unknown scheme": ((("nation", "scheme"),), ("2020", "2025.0", "02025")),
    "a plane that is no letter": ((("network", "planes.name"),), ("ab", "A", "1", "é")),
    "a hold time that BGP does not know": ((("network", "hold"),), ("0s", "2s", "65536s", "3500ms", "19h", "2999ms")),
    "a rule whose agencies are not told apart": (
        (("agencies", "each_province.id"),), ("ubnd", "{code}x", "A-{code}", f"{'x' * 31}{{code}}", "{CODE}")
    ),
    "a rule whose agencies cannot be written to": (
        (("agencies", "each_province.contact"),), ("nobody", "{id}", "{id}@x", "{name}@ x.test", "a@{domain}9")
    ),
    "a rule whose agencies are called as nothing may be": ((("agencies", "each_province.id"),), ("-{code}", "--{code}"))
}  # fmt: skip
NEEDS_OF_VALUES = {
    "a date that is none": {"overrides": 3, "clusters": 2},
    "a rule whose agencies are not told apart": {"has_rule": 1},
    "a rule whose agencies cannot be written to": {"has_rule": 1, "provinces": 5},
    "a rule whose agencies are called as nothing may be": {"has_rule": 1, "provinces": 5},
}


def _scalars(draft: Draft) -> Iterator[tuple[str, Path, str]]:
    """Yield file, path and value of every scalar of the documents."""
    for file, tree in draft.documents.items():
        yield from ((file, path, value) for path, value in scalars_of(tree))


def _has_field(file: str, path: Path, fields: Iterable[tuple[str, str]]) -> bool:
    keys = [part for part in path if isinstance(part, str)]
    stem = file.partition("/")[0].removesuffix(".yaml")
    return any(stem == name and ".".join(keys).endswith(key) and keys[-1] == key.split(".")[-1] for name, key in fields)


def _put(draft: Draft, file: str, path: Path, value: Any) -> None:
    place_in(draft.documents[file], path[:-1])[path[-1]] = value


def _wrong_value(fields: Fields, values: Sequence[str]) -> Making:
    def making(draft: Draft, rng: Random) -> Blame | None:
        places = [(file, path) for file, path, _ in _scalars(draft) if _has_field(file, path, fields)]
        if not places:
            return None
        file, path = rng.choice(places)
        value = rng.choice(values)
        _put(draft, file, path, Raw(value) if value.startswith(('"', "'")) else value)
        return blame("CGC-106", file, *path)

    return making


for _name, (_fields, _values) in WRONG_VALUES.items():
    mistake(_name, **NEEDS_OF_VALUES.get(_name, {}))(_wrong_value(_fields, _values))


@mistake("a number out of range")
def _out_of_range(draft: Draft, rng: Random) -> Blame | None:
    places = [(file, path) for file, path, _ in _scalars(draft) if _has_field(file, path, WHOLE)]
    file, path = rng.choice(places)
    key = next(key for key in WHOLE if _has_field(file, path, [key]))
    _put(draft, file, path, rng.choice(WHOLE[key]))
    return blame("CGC-106", file, *path)


def _prefix_value(respell: Callable[[str, Random], str | None]) -> Making:
    def making(draft: Draft, rng: Random) -> Blame | None:
        places = [(file, path, value) for file, path, value in _scalars(draft) if path[-1] in ("ipv4", "ipv6")]
        file, path, value = rng.choice(places)
        new = respell(value, rng)
        if new is None:
            return None
        _put(draft, file, path, new)
        return blame("CGC-106", file, *path)

    return making


def _with_host_bits(value: str, rng: Random) -> str:
    network = ip_network(value)
    return f"{network[rng.choice([1, -1, rng.randrange(1, 200)])]}/{network.prefixlen}"


def _of_other_family(value: str, rng: Random) -> str:
    return rng.choice(["fd94::/20", "2001:db8::/32"]) if ":" not in value else rng.choice(["10.0.0.0/8", "9.0.0.0/12"])


def _respelled(value: str, rng: Random) -> str:
    """Return the same prefix, or part of it, as Python would read it, too."""
    network = ip_network(value)
    address, length = value.split("/")
    ways = [address, f"{address}/0{length}", f"{int(network[0])}", f"{address}/+{length}", f" {value}", f"{value} "]
    ways += [f"{address}/{network.netmask}", f"{address}/{network.hostmask}"] if network.version == 4 else []
    ways += [f"{address}%eth0/{length}"] if network.version == 6 else []
    return rng.choice(ways)


mistake("a prefix with host bits")(_prefix_value(_with_host_bits))
mistake("a prefix of the other family")(_prefix_value(_of_other_family))
mistake("a prefix that is not spelled plainly")(_prefix_value(_respelled))
mistake("a prefix longer than an address")(
    _prefix_value(lambda value, _: f"{value.split('/')[0]}/{129 if ':' in value else 33}")
)


# Shapes: keys that are missing, unknown or there twice, a list for a mapping.


def _inner(draft: Draft, kind: type) -> list[tuple[str, Path, Any]]:
    """Return file, path and value of everything of a kind in the documents."""

    def below(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
        if isinstance(tree, kind):
            yield path, tree
        if isinstance(tree, dict | list):
            for part, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
                yield from below(value, (*path, part))

    return [(file, *found) for file, tree in draft.documents.items() for found in below(tree, ())]


@mistake("an unknown key")
def _unknown_key(draft: Draft, rng: Random) -> Blame:
    file, path, value = rng.choice(_inner(draft, dict))
    key = rng.choice(["extra", "place", "<<", "Name", "1"])
    value[key] = rng.choice(["x", ["x"], {"x": "y"}])
    return blame("CGC-104", file, *path, key)


@mistake("a slip of the pen in a key")
def _misspelt_key(draft: Draft, rng: Random) -> Blame:
    file, path, value = rng.choice(_inner(draft, dict))
    key = rng.choice(list(value))
    value[f"{key}s"] = value.pop(key)
    return blame("CGC-104", file, *path, f"{key}s")


OPTIONAL = {"based_on", "attached_to", "agency", "backs_up", "rings", "certification", "unit", "each_province", "needs"}


@mistake("a missing key")
def _missing_key(draft: Draft, rng: Random) -> Blame:
    file, path, value = rng.choice([found for found in _inner(draft, dict) if len(found[2]) > 1])
    del value[rng.choice([key for key in value if key not in OPTIONAL])]
    return blame("CGC-105", file, *path)


@mistake("a key twice")
def _key_twice(draft: Draft, rng: Random) -> Blame:
    file, path, value = rng.choice(_inner(draft, dict))
    key = rng.choice(list(value))
    value[Raw(key)] = rng.choice(["x", value[key]])
    return blame("CGC-103", file, *path, key)


def _replacing(kind: type, choices: Sequence[Any], code: str = "CGC-106", *, is_at_value: bool = False) -> Making:
    """Return the mistake of another thing where one of a kind belongs."""

    def making(draft: Draft, rng: Random) -> Blame:
        file, path, _ = rng.choice([found for found in _inner(draft, kind) if found[1]])
        _put(draft, file, path, rng.choice(choices))
        return Blame(code=code, places=((file, path),), is_at_value=is_at_value)

    return making


mistake("a list for a value")(_replacing(str, [["x"], [], [["x"]]]))
mistake("a mapping for a value")(_replacing(str, [{"x": "y"}, {}]))
mistake("a value for a list")(_replacing(list, ["x", "[]", Raw("")]))
mistake("a mapping for a list")(_replacing(list, [{"x": "y"}, {}]))
mistake("a value for a mapping")(_replacing(dict, ["x", "null", Raw("~")]))
mistake("a list for a mapping")(_replacing(dict, [[], ["x"]]))
mistake("an anchor")(_replacing(str, [Raw("&a x"), Raw("&b 'x'"), Raw('&c ""')], "CGC-102", is_at_value=True))
mistake("an alias")(_replacing(str, [Raw("*a")], "CGC-102", is_at_value=True))
mistake("a tag")(
    _replacing(
        str, [Raw("!!str x"), Raw("!x 'y'"), Raw("! x"), Raw("!!python/name:os.system x")], "CGC-102", is_at_value=True
    )
)
mistake("nesting without end")(
    _replacing(str, [Raw("[" * 25 + "]" * 25), Raw("{a: " * 30 + "b" + "}" * 30)], "CGC-102", is_at_value=True)
)


@mistake("a key that is no text")
def _odd_key(draft: Draft, rng: Random) -> Blame:
    file, path, value = rng.choice(_inner(draft, dict))
    key = Raw(rng.choice(["[a, b]", "{a: b}", "[]"]))
    value[key] = "x"
    return blame("CGC-102", file, *path, key)


# Text that is no YAML and no table.


def _some_document(texts: Texts, rng: Random) -> str:
    return rng.choice(sorted(file for file in texts if file.endswith(".yaml")))


def _damaged(code: str, damage: Callable[[str, Random], str | bytes], *, line: int | None = None) -> MakingInText:
    def making(texts: Texts, _: Draft, rng: Random) -> Blame:
        file = _some_document(texts, rng)
        text = texts[file]
        assert isinstance(text, str)
        texts[file] = damage(text, rng)
        return Blame(code=code, places=((file, ()),), line=line, is_exact=line is not None)

    return making


def _at_a_random_place(text: str, piece: str, rng: Random) -> str:
    start = rng.randrange(len(text))
    return text[:start] + piece + text[start:]


mistake_in_text("two documents")(_damaged("CGC-102", lambda text, _: f"{text}\n---\nmore: x\n", line=1))
mistake_in_text("a list that is not closed")(_damaged("CGC-102", lambda text, _: f"{text}\nkey: [a,\n"))
mistake_in_text("a line that belongs to nothing")(_damaged("CGC-102", lambda text, _: f"{text}\n]\n"))
mistake_in_text("a NUL")(_damaged("CGC-102", lambda text, rng: _at_a_random_place(text, "\0", rng)))
mistake_in_text("an empty file")(_damaged("CGC-101", lambda _, rng: rng.choice(["", "\n", "  \n\t\n"]), line=1))
mistake_in_text("nothing but comments")(_damaged("CGC-102", lambda _, rng: rng.choice(["# a\n", "\n# b"]), line=1))


@mistake_in_text("a file that is not UTF-8")
def _not_utf8(texts: Texts, _: Draft, rng: Random) -> Blame:
    file = rng.choice(sorted(texts))
    text = texts[file]
    assert isinstance(text, str)
    start = rng.randrange(len(text))
    before = text[:start].encode()
    texts[file] = before + rng.choice([b"\xe9 ", b"\xff", b"\xc0\x80", b"\xed\xa0\x80"]) + text[start:].encode()
    return Blame(code="CGC-101", places=((file, ()),), line=before.count(b"\n") + 1)


@mistake_in_text("a file that is not there")
def _no_file(texts: Texts, draft: Draft, rng: Random) -> Blame:
    """Take away what the base has not either; what it has of the other files is nonsense (declarations.py)."""
    needed = sorted(file for file in texts if "/" not in file and (not draft.in_base or file in draft.in_base))
    file = rng.choice([*needed, "units.csv"])
    del texts[file]
    return Blame(code="CGC-101", places=((file, ()),), line=1)


@mistake("another declaration that is not there", is_based=1)
def _based_on_nothing(draft: Draft, rng: Random) -> Blame:
    draft.documents["nation.yaml"]["based_on"] = rng.choice(["../nowhere", "base", "../base/nation.yaml", "~"])
    return blame("CGC-107", "nation.yaml", "based_on")


@mistake("a declaration based on itself", is_based=1)
def _based_on_itself(draft: Draft, rng: Random) -> Blame:
    draft.documents["nation.yaml"]["based_on"] = rng.choice([".", "./", "../nation", "../base/../nation"])
    return blame("CGC-107", "nation.yaml", "based_on")


@mistake_in_text("two declarations based on each other", is_based=1)
def _based_on_each_other(texts: Texts, draft: Draft, rng: Random) -> Blame:
    """Neither has the file that each says the other has."""
    draft.is_mutual = True
    file = rng.choice(sorted(draft.in_base))
    del texts[file]
    return Blame(code="CGC-101", places=((file, ()),), line=1)


def _damaged_row(code: str, damage: Callable[[str, Random], str], *, is_exact: bool = True) -> MakingInText:
    def making(texts: Texts, _: Draft, rng: Random) -> Blame:
        text = texts["units.csv"]
        assert isinstance(text, str)
        lines = text.splitlines(keepends=True)
        index = rng.randrange(HEADER_LINES, len(lines))
        row = lines[index].rstrip("\r\n")
        lines[index] = damage(row, rng) + lines[index][len(row) :]
        texts["units.csv"] = "".join(lines)
        return Blame(code=code, places=(("units.csv", ()),), line=index + 1 if is_exact else None, is_exact=is_exact)

    return making


mistake_in_text("a row with a field too many")(_damaged_row("CGC-113", lambda row, rng: row + rng.choice([",", ",x"])))
mistake_in_text("a row with a field too few")(_damaged_row("CGC-113", lambda row, _: row.rpartition(",")[0]))
mistake_in_text("an empty row")(_damaged_row("CGC-113", lambda _, __: ""))
mistake_in_text("a quote that ends within a field")(_damaged_row("CGC-113", lambda row, _: f'"x"y,{row}'))
mistake_in_text("a quote that does not end")(
    _damaged_row("CGC-113", lambda row, _: f'{row.rpartition(",")[0]},"1', is_exact=False)
)


@mistake_in_text("a table of other columns")
def _other_columns(texts: Texts, _: Draft, rng: Random) -> Blame:
    text = texts["units.csv"]
    assert isinstance(text, str)
    old, new = rng.choice([("level", "rank"), ("code", "Code"), ("name", "name "), ("parent", "parent,x")])
    texts["units.csv"] = text.replace(old, new, 1)
    return Blame(code="CGC-113", places=(("units.csv", ()),), line=1)


# Names of what is not declared.


def _nowhere(file: str, path: str, key: str, *, is_item: bool = False) -> Making:
    """Return the mistake of naming what is not declared; of a list of names one, whose own line it is if `is_item`."""

    def making(draft: Draft, rng: Random) -> Blame | None:
        entries = [(index, entry) for index, entry in enumerate(draft.items(file, path)) if entry.get(key)]
        if not entries:
            return None
        index, entry = rng.choice(entries)
        name = rng.choice(["nowhere", "null", "a-b-c-d-e-f"])
        if isinstance(entry[key], str):
            entry[key] = name
            return blame("CGC-107", file, path, index, key)
        position = rng.randrange(len(entry[key]))
        entry[key][position] = name
        return blame("CGC-107", file, path, index, key, *([position] if is_item else []))

    return making


mistake("a centre attached to nothing that is there", ministries=1)(_nowhere("centres.yaml", "centres", "attached_to"))
mistake("the edge of an unknown agency", ministries=2)(_nowhere("centres.yaml", "centres", "agency"))
mistake("a backup of nothing that is there", backups=2, regional=2)(_nowhere("centres.yaml", "centres", "backs_up"))
mistake("a link in no plane", regional=3)(_nowhere("network.yaml", "backbone", "plane"))
mistake("a link to nowhere", regional=3)(_nowhere("network.yaml", "backbone", "ends"))
mistake("a link of no class", regional=3)(_nowhere("network.yaml", "backbone", "link_class"))
mistake("a ring past nothing that is there", rings=1)(_nowhere("network.yaml", "rings", "sites"))
mistake("a ring of no class", rings=1)(_nowhere("network.yaml", "rings", "link_class"))
mistake("a cluster that nobody runs", clusters=1)(_nowhere("clusters.yaml", "clusters", "operator"))
mistake("a cluster nowhere", clusters=1)(_nowhere("clusters.yaml", "clusters", "site"))
mistake("a platform that nobody owns", clusters=1, platforms=1)(_nowhere("platforms.yaml", "platforms", "owner"))
mistake("a platform without objective", clusters=1, platforms=1)(_nowhere("platforms.yaml", "platforms", "objective"))
mistake("a platform on no known cluster", clusters=1, platforms=1)(
    _nowhere("platforms.yaml", "platforms", "clusters", is_item=True)
)
mistake("a need of nothing that is there", clusters=1, platforms=3)(
    _nowhere("platforms.yaml", "platforms", "needs", is_item=True)
)
mistake("an agency of no unit", agencies=3)(_nowhere("agencies.yaml", "agencies", "unit"))


# Things that are there twice.


def _twice(file: str, path: str, key: str, *, is_whole: bool) -> Making:
    """Return the mistake of giving a thing another's key; its own line is to blame if `is_whole`, else the key's."""

    def making(draft: Draft, rng: Random) -> Blame | None:
        entries = draft.items(file, path)
        if len(entries) < 2:
            return None
        first, second = sorted(rng.sample(range(len(entries)), 2))
        entries[second][key] = entries[first][key]
        return blame("CGC-110", file, path, second, *([] if is_whole else [key]))

    return making


mistake("a centre twice", regional=2)(_twice("centres.yaml", "centres", "code", is_whole=True))
mistake("two centres with one number", regional=2)(_twice("centres.yaml", "centres", "number", is_whole=False))
mistake("a plane twice")(_twice("network.yaml", "planes", "name", is_whole=True))
mistake("two planes with one AS number")(_twice("network.yaml", "planes", "as_number", is_whole=False))
mistake("a link class twice")(_twice("network.yaml", "link_classes", "name", is_whole=True))
mistake("a tenancy class twice")(_twice("network.yaml", "tenancy_classes", "name", is_whole=True))
mistake("two tenancy classes with one number")(_twice("network.yaml", "tenancy_classes", "number", is_whole=False))
mistake("two tenancy classes with one slot")(_twice("network.yaml", "tenancy_classes", "slot", is_whole=False))
mistake("a ring twice", rings=2)(_twice("network.yaml", "rings", "name", is_whole=True))
mistake("a tier twice")(_twice("tiers.yaml", "tiers", "name", is_whole=True))
mistake("a level's logs twice")(_twice("tiers.yaml", "log_retention", "level", is_whole=True))
mistake("a cluster twice", clusters=2)(_twice("clusters.yaml", "clusters", "id", is_whole=True))
mistake("an agency twice", agencies=2)(_twice("agencies.yaml", "agencies", "id", is_whole=True))
mistake("an objective twice", clusters=1)(_twice("objectives.yaml", "objectives", "id", is_whole=True))
mistake("a platform twice", clusters=1, platforms=2)(_twice("platforms.yaml", "platforms", "id", is_whole=True))
mistake("two platforms with one port", clusters=1, platforms=2)(
    _twice("platforms.yaml", "platforms", "port", is_whole=False)
)


def _one(draft: Draft, file: str, path: str, rng: Random) -> tuple[int, dict[str, Any]]:
    """Return one entry of a list with its index."""
    entries = draft.items(file, path)
    index = rng.randrange(len(entries))
    return index, entries[index]


def _one_centre(draft: Draft, rng: Random, *kinds: str) -> tuple[int, dict[str, Any]]:
    centres = draft.items("centres.yaml", "centres")
    index = rng.choice([index for index, centre in enumerate(centres) if centre["kind"] in kinds])
    return index, centres[index]


def _hosts(draft: Draft) -> list[tuple[Path, dict[str, str]]]:
    return [
        (("clusters", index, "hosts", position), host)
        for index, cluster in enumerate(draft.items("clusters.yaml", "clusters"))
        for position, host in enumerate(cluster["hosts"])
    ]


def _hosts_alike(key: str) -> Making:
    def making(draft: Draft, rng: Random) -> Blame:
        hosts = _hosts(draft)
        first, second = sorted(rng.sample(range(len(hosts)), 2))
        hosts[second][1][key] = hosts[first][1][key]
        return blame("CGC-110", "clusters.yaml", *hosts[second][0])

    return making


mistake("two hosts with one number", clusters=2)(_hosts_alike("number"))
mistake("two hosts with one name", clusters=2)(_hosts_alike("name"))


# Units.


def _row(draft: Draft, rng: Random, *levels: str) -> tuple[int, dict[str, str]] | None:
    rows = [(index, row) for index, row in enumerate(draft.rows) if row["level"] in levels]
    return rng.choice(rows) if rows else None


def _wrong_cell(code: str, column: str, values: Sequence[str], *levels: str) -> Making:
    def making(draft: Draft, rng: Random) -> Blame | None:
        found = _row(draft, rng, *(levels or ("country", "province", "district", "commune")))
        if found is None:
            return None
        found[1][column] = rng.choice(values)
        return blame(code, "units.csv", found[0])

    return making


mistake("an empty cell")(
    lambda draft, rng: _wrong_cell("CGC-106", rng.choice(["code", "level", "name", "latitude"]), ["", " "])(draft, rng)
)
mistake("an unknown level")(_wrong_cell("CGC-106", "level", ["Province", "city", "province "]))
mistake("a coordinate that is none")(_wrong_cell("CGC-106", "latitude", ["1e1", "N21", "nan", "+1", "21°"]))
mistake("a unit off the earth")(_wrong_cell("CGC-106", "longitude", ["180.000001", "-181", "999"]))
mistake("a unit too far north")(_wrong_cell("CGC-106", "latitude", ["90.1", "-91"]))
mistake("a code that is no number", communes=1)(
    _wrong_cell("CGC-106", "code", ["x", "0x1F", "-1", "1.0", "١٢٣", "131072", "9" * 10, "9" * 5000], "commune")
)
mistake("a province with a code of the backbone's block")(
    _wrong_cell("CGC-106", "code", ["0", "00", "100", "127"], "province")
)
mistake("a unit without its parent", communes=3)(
    _wrong_cell("CGC-107", "parent", ["nowhere", "", "99999"], "province", "district", "commune")
)
mistake("a country with a parent")(_wrong_cell("CGC-107", "parent", ["VN", "x"], "country"))


@mistake("a commune under a commune", communes=2)
def _under_a_commune(draft: Draft, rng: Random) -> Blame:
    one, other = rng.sample([index for index, row in enumerate(draft.rows) if row["level"] == "commune"], 2)
    draft.rows[one]["parent"] = draft.rows[other]["code"]
    return blame("CGC-107", "units.csv", one)


@mistake("a commune under the country", communes=1)
def _under_the_country(draft: Draft, rng: Random) -> Blame:
    index = rng.choice([index for index, row in enumerate(draft.rows) if row["level"] == "commune"])
    draft.rows[index]["parent"] = draft.units("country")[0]["code"]
    return blame("CGC-107", "units.csv", index)


@mistake("a province under a province", provinces=2)
def _under_a_province(draft: Draft, rng: Random) -> Blame:
    one, other = rng.sample([index for index, row in enumerate(draft.rows) if row["level"] == "province"], 2)
    draft.rows[one]["parent"] = draft.rows[other]["code"]
    return blame("CGC-107", "units.csv", one)


@mistake("a district in the scheme of 2025", districts=1)
def _district_in_2025(draft: Draft, rng: Random) -> Blame | None:
    draft.documents["nation.yaml"]["scheme"] = "2025"
    found = _row(draft, rng, "district")
    return blame("CGC-107", "units.csv", found[0]) if found else None


@mistake("a unit twice")
def _unit_twice(draft: Draft, rng: Random) -> Blame:
    first, row = rng.choice(list(enumerate(draft.rows)))
    second = rng.randint(first + 1, len(draft.rows))
    draft.rows.insert(second, dict(row))
    return blame("CGC-110", "units.csv", second)


@mistake("two codes that are one number", communes=1)
def _one_number(draft: Draft, rng: Random) -> Blame:
    """Codes are compared as texts: the later one is to blame."""
    row = rng.choice(draft.units("province", "district", "commune"))
    longer, shorter = f"0{row['code']}", row["code"].lstrip("0")
    other = rng.choice([longer, shorter] if shorter and shorter != row["code"] else [longer])
    draft.rows.append({**row, "code": other})
    later = max(row["code"], other)
    return blame("CGC-110", "units.csv", [one["code"] for one in draft.rows].index(later))


@mistake("no country")
def _no_country(draft: Draft, _: Random) -> Blame:
    draft.rows[:] = [row for row in draft.rows if row["level"] != "country"]
    return Blame(code="CGC-113", places=(("units.csv", ()),), line=1)


@mistake("two countries")
def _two_countries(draft: Draft, rng: Random) -> Blame:
    country = draft.units("country")[0]
    draft.rows.insert(rng.randrange(len(draft.rows)), {**country, "code": "other"})
    return Blame(code="CGC-113", places=(("units.csv", ()),), line=1)


def _place_of_number(draft: Draft, code: str) -> tuple[str, Path]:
    """Return where a unit's number is declared: by an override, else with the unit."""
    for file in draft.documents:
        if file.startswith("overrides/"):
            for index, item in enumerate(draft.items(file, "overrides")):
                if (item["subject"], item["fact"]) == (code, "number"):
                    return file, ("overrides", index)
    return "units.csv", ([row["code"] for row in draft.rows].index(code),)


@mistake("two units in one place of the address plan", communes=3, districts=2)
def _one_place(draft: Draft, rng: Random) -> Blame | None:
    """Add a sibling whose code leads to the same slot; of the two the one with the later code is to blame."""
    moved = {item["subject"] for item in draft.overrides if item["fact"] == "number"}
    siblings = [row for row in draft.units("district", "commune") if row["code"] not in moved]
    if not siblings:
        return None
    row = rng.choice(siblings)
    is_direct = row["level"] == "commune" and any(one["code"] == row["parent"] for one in draft.units("province"))
    step, most, digits = (4019, 131_071, 5) if is_direct else (61, 131_071 if row["level"] == "commune" else 999, 3)
    code = f"{(int(row['code']) + step * rng.randint(1, 9)) % (most // step * step):0{digits}d}"
    if int(code) % step != int(row["code"]) % step or any(one["code"] == code for one in draft.rows):
        return None
    draft.rows.insert(rng.randrange(len(draft.rows)), {**row, "code": code})
    return Blame(code="CGC-114", places=(_place_of_number(draft, max(code, row["code"])),))


@mistake("an override that gives another unit's number", communes=3)
def _anothers_number(draft: Draft, rng: Random) -> Blame | None:
    numbers = plan_of(draft.rows, draft.overrides)
    one, other = rng.sample(draft.units("commune"), 2)
    file = _add_override(draft, rng, one["code"], "number", _written(numbers[other["code"]]))
    if sum((item["subject"], item["fact"]) == (one["code"], "number") for item in draft.overrides) > 1:
        return None
    assert file
    return Blame(code="CGC-114", places=(_place_of_number(draft, max(one["code"], other["code"])),))


@mistake("two communes at one port of their parent", communes=1)
def _one_port(draft: Draft, rng: Random) -> Blame | None:
    row = rng.choice(draft.units("commune"))
    number = int(row["code"]) + rng.choice([-1, 1, 2]) * 12_763
    code = f"{number:05d}"
    if not 0 <= number <= 131_071 or any(one["code"] == code for one in draft.rows):
        return None
    draft.rows.insert(rng.randrange(len(draft.rows)), {**row, "code": code})
    return Blame(code="CGC-112", places=(_place_of_number(draft, max(code, row["code"])),))


@mistake("a code that makes a name too long", communes=1)
def _long_code(draft: Draft, rng: Random) -> Blame:
    index, row = next((index, row) for index, row in enumerate(draft.rows) if row["level"] == "commune")
    row["code"] = f"{int(row['code']):0{rng.choice([9, 12])}d}"
    return blame("CGC-106", "units.csv", index)


# Centres.


@mistake("a centre that is called as a unit")
def _centre_as_unit(draft: Draft, rng: Random) -> Blame:
    index, centre = _one(draft, "centres.yaml", "centres", rng)
    centre["code"] = rng.choice(draft.units("province", "district", "commune"))["code"]
    return blame("CGC-110", "centres.yaml", "centres", index, "code")


@mistake("a centre off the earth")
def _centre_off_earth(draft: Draft, rng: Random) -> Blame:
    index, centre = _one(draft, "centres.yaml", "centres", rng)
    centre.update({"latitude": rng.choice(["91", "-90.5"])} if rng.random() < 0.5 else {"longitude": "180.5"})
    return blame("CGC-106", "centres.yaml", "centres", index)


@mistake("no regional centre")
def _no_regional(draft: Draft, _: Random) -> Blame:
    for centre in draft.centres("regional"):
        centre["kind"] = "backup"
    return blame("CGC-107", "centres.yaml", "centres")


@mistake("a centre attached to what is no core site", operations=1, ministries=1, gateways=1)
def _attached_to_an_edge(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, *EDGE_KINDS)
    edges, units = draft.centres(*EDGE_KINDS), draft.units("province")
    centre["attached_to"] = rng.choice([*edges, *units])["code"]
    return blame("CGC-107", "centres.yaml", "centres", index, "attached_to")


@mistake("a core site attached to another")
def _core_attached(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, *CORE_KINDS)
    centre["attached_to"] = rng.choice(draft.centres(*CORE_KINDS))["code"]
    return blame("CGC-109", "centres.yaml", "centres", index, "attached_to")


@mistake("an edge attached to nothing", operations=1)
def _edge_alone(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, *EDGE_KINDS)
    del centre["attached_to"]
    return blame("CGC-109", "centres.yaml", "centres", index)


@mistake("an agency's edge that is no ministry's")
def _agency_of_a_core(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(
        draft, rng, *{one["kind"] for one in draft.centres(*CORE_KINDS, *EDGE_KINDS)} - {"ministry"}
    )
    centre["agency"] = rng.choice(draft.items("agencies.yaml", "agencies"))["id"]
    return blame("CGC-109", "centres.yaml", "centres", index, "agency")


@mistake("a backup of what is no regional centre", backups=2, regional=2)
def _backup_of_a_backup(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, "backup")
    centre["backs_up"] = rng.choice([one for one in draft.centres(*CORE_KINDS) if one["kind"] != "regional"])["code"]
    return blame("CGC-107", "centres.yaml", "centres", index, "backs_up")


@mistake("a centre that backs up and is no backup", rings=1)
def _metro_backs_up(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, "metro", "regional")
    centre["backs_up"] = rng.choice(draft.centres("regional"))["code"]
    return blame("CGC-109", "centres.yaml", "centres", index, "backs_up")


@mistake("a second backup of one centre", regional=2, backups=2)
def _second_backup(draft: Draft, rng: Random) -> Blame:
    centres = draft.items("centres.yaml", "centres")
    first, second = [index for index, centre in enumerate(centres) if centre["kind"] == "backup"]
    centres[first]["backs_up"] = centres[second]["backs_up"] = rng.choice(draft.centres("regional"))["code"]
    return blame("CGC-110", "centres.yaml", "centres", second, "backs_up")


@mistake("a centre's code that makes a name too long", operations=1)
def _long_centre_code(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, *CORE_KINDS, "operations")
    centre["code"] = "x" * (14 if centre["kind"] == "operations" else rng.choice([9, 40]))
    return blame("CGC-106", "centres.yaml", "centres", index, "code")


@mistake("a centre that is called as a router", ministries=1)
def _edge_as_router(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, "ministry")
    centre["code"] = f"province-{rng.choice(draft.units('province'))['code']}"
    return blame("CGC-110", "centres.yaml", "centres", index, "code")


@mistake("a host that is called as a router", clusters=1)
def _host_as_router(draft: Draft, rng: Random) -> Blame:
    path, host = rng.choice(_hosts(draft))
    plane = rng.choice(draft.items("network.yaml", "planes"))["name"]
    routers = [f"core-{plane}-{centre['code']}" for centre in draft.centres(*CORE_KINDS)]
    routers += [f"{unit['level']}-{unit['code']}" for unit in draft.units("province", "commune")]
    host["name"] = rng.choice(routers)
    return blame("CGC-110", "clusters.yaml", *path)


@mistake("a node that is called as an interface of its own", clusters=1, ministries=1)
def _reserved_name(draft: Draft, rng: Random) -> Blame:
    name = rng.choice(["lo", "mgmt0", "wg-19", "wg-00001"])
    if rng.random() < 0.5:
        index, centre = _one_centre(draft, rng, "ministry", "gateway")
        centre["code"] = name
        return blame("CGC-106", "centres.yaml", "centres", index, "code")
    path, host = rng.choice(_hosts(draft))
    host["name"] = name
    return blame("CGC-106", "clusters.yaml", *path)


# The network.


@mistake("not two planes")
def _not_two_planes(draft: Draft, rng: Random) -> Blame:
    planes = draft.items("network.yaml", "planes")
    if rng.random() < 0.5:
        planes.pop(rng.randrange(2))
    else:
        free = next(letter for letter in "abc" if all(plane["name"] != letter for plane in planes))
        planes.append({"name": free, "as_number": "64999"})
    return blame("CGC-107", "network.yaml", "planes")


@mistake("a plane with a node's AS number")
def _plane_as_node(draft: Draft, rng: Random) -> Blame:
    base = int(draft.documents["network.yaml"]["as_number_base"])
    index, plane = _one(draft, "network.yaml", "planes", rng)
    plane["as_number"] = str(base + rng.choice([0, 1, 2**18 - 1]))
    return blame("CGC-110", "network.yaml", "planes", index, "as_number")


@mistake("no room for the nodes' AS numbers")
def _no_room_for_as_numbers(draft: Draft, rng: Random) -> Blame:
    draft.documents["network.yaml"]["as_number_base"] = str(4_294_967_294 - 2**18 + rng.choice([2, 3, 2**18]))
    return blame("CGC-112", "network.yaml", "as_number_base")


@mistake("a needed link class that is not there")
def _class_missing(draft: Draft, rng: Random) -> Blame:
    needed = rng.choice(["provincial", "district", "access", "centre"])
    classes = draft.items("network.yaml", "link_classes")
    classes[:] = [kind for kind in classes if kind["name"] != needed]
    return blame("CGC-107", "network.yaml", "link_classes")


@mistake("no tenancy class")
def _no_tenancy_class(draft: Draft, _: Random) -> Blame:
    draft.documents["network.yaml"]["tenancy_classes"] = []
    return blame("CGC-107", "network.yaml", "tenancy_classes")


def _link(draft: Draft, rng: Random, change: Callable[[dict[str, Any]], None]) -> Blame | None:
    if not draft.items("network.yaml", "backbone"):
        return None
    index, link = _one(draft, "network.yaml", "backbone", rng)
    change(link)
    return blame("CGC-109", "network.yaml", "backbone", index, "ends")


@mistake("a link with one end", regional=3)
def _one_end(draft: Draft, rng: Random) -> Blame | None:
    return _link(draft, rng, lambda link: link["ends"].pop())


@mistake("a link with three ends", regional=3)
def _three_ends(draft: Draft, rng: Random) -> Blame | None:
    return _link(draft, rng, lambda link: link["ends"].append(rng.choice(draft.centres(*CORE_KINDS))["code"]))


@mistake("a link to itself", regional=3)
def _to_itself(draft: Draft, rng: Random) -> Blame | None:
    return _link(draft, rng, lambda link: link.update(ends=[link["ends"][0]] * 2))


@mistake("a link twice", regional=3)
def _link_twice(draft: Draft, rng: Random) -> Blame | None:
    links = draft.items("network.yaml", "backbone")
    if not links:
        return None
    first, link = _one(draft, "network.yaml", "backbone", rng)
    second = rng.randint(first + 1, len(links))
    links.insert(second, {**link, "ends": rng.sample(link["ends"], 2)})
    return blame("CGC-110", "network.yaml", "backbone", second, "ends")


@mistake("a link to an edge", regional=3, ministries=1)
def _link_to_an_edge(draft: Draft, rng: Random) -> Blame | None:
    edge = rng.choice(draft.centres(*EDGE_KINDS))["code"]
    found = _link(draft, rng, lambda link: link.update(ends=[link["ends"][0], edge]))
    return found and replace(found, code="CGC-107")


def _ring(draft: Draft, rng: Random) -> tuple[int, dict[str, Any]]:
    return _one(draft, "network.yaml", "rings", rng)


@mistake("a ring of two", rings=1)
def _ring_of_two(draft: Draft, rng: Random) -> Blame:
    index, ring = _ring(draft, rng)
    ring["sites"] = ring["sites"][: rng.choice([0, 1, 2])]
    return blame("CGC-109", "network.yaml", "rings", index, "sites")


@mistake("a metropolitan site on no ring", rings=1)
def _on_no_ring(draft: Draft, rng: Random) -> Blame:
    index, centre = _one_centre(draft, rng, "metro")
    for ring in draft.items("network.yaml", "rings"):
        ring["sites"] = [site for site in ring["sites"] if site != centre["code"]]
    return blame("CGC-107", "centres.yaml", "centres", index)


@mistake("a site on two rings", rings=2)
def _on_two_rings(draft: Draft, rng: Random) -> Blame:
    first, second = draft.items("network.yaml", "rings")
    second["sites"].insert(rng.randrange(len(second["sites"])), rng.choice(first["sites"]))
    return blame("CGC-110", "network.yaml", "rings", 1, "sites")


@mistake("a ring that comes by twice", rings=1, regional=3)
def _figure_of_eight(draft: Draft, rng: Random) -> Blame | None:
    index, ring = _ring(draft, rng)
    on_rings = {site for one in draft.items("network.yaml", "rings") for site in one["sites"]}
    free = [centre["code"] for centre in draft.centres(*CORE_KINDS) if centre["code"] not in on_rings]
    draft.documents["network.yaml"]["backbone"] = []
    if not free:
        return None
    ring["sites"] += [ring["sites"][1], free[0]]  # no pair is linked twice, and yet it is no ring
    return blame("CGC-110", "network.yaml", "rings", index, "sites")


@mistake("a ring that repeats a link of the backbone", rings=1)
def _ring_repeats_link(draft: Draft, rng: Random) -> Blame:
    index, ring = _ring(draft, rng)
    plane = rng.choice(draft.items("network.yaml", "planes"))["name"]
    at = rng.randrange(len(ring["sites"]))
    link = {"plane": plane, "ends": [ring["sites"][at], ring["sites"][at - 1]], "link_class": "access", "route": "x"}
    draft.items("network.yaml", "backbone").append(link)
    return blame("CGC-110", "network.yaml", "rings", index, "sites")


# Prefixes.


def _stacks(draft: Draft) -> list[tuple[str, Path, dict[str, str]]]:
    pools = draft.documents["network.yaml"]["pools"]
    return [("network.yaml", ("pools", pool), pools[pool]) for pool in LONGEST_POOLS] + [
        ("clusters.yaml", ("clusters", index, part), cluster[part])
        for index, cluster in enumerate(draft.items("clusters.yaml", "clusters"))
        for part in CLUSTER_LENGTHS
    ]


def _overlap(family: str) -> Making:
    """Return the mistake of two prefixes that meet: as long as before, the second is moved over the first."""

    def making(draft: Draft, rng: Random) -> Blame:
        (file, path, one), (other_file, other_path, other) = rng.sample(_stacks(draft), 2)
        network, length = ip_network(one[family]), ip_network(other[family]).prefixlen
        other[family] = str(ip_network((int(network[rng.choice([0, -1])]), length), strict=False))
        return Blame(code="CGC-108", places=((file, path), (other_file, other_path)))

    return making


mistake("IPv4 prefixes that meet", clusters=1)(_overlap("ipv4"))
mistake("IPv6 prefixes that meet", clusters=1)(_overlap("ipv6"))


@mistake("a pool too small for the address plan")
def _small_pool(draft: Draft, rng: Random) -> Blame:
    pool = rng.choice(list(LONGEST_POOLS))
    stack = draft.documents["network.yaml"]["pools"][pool]
    family, most = rng.choice(list(zip(("ipv4", "ipv6"), LONGEST_POOLS[pool], strict=True)))
    stack[family] = f"{stack[family].split('/')[0]}/{most + rng.choice([1, 2])}"
    return blame("CGC-112", "network.yaml", "pools", pool)


@mistake("a cluster's prefix too small or too large", clusters=1)
def _cluster_prefix(draft: Draft, rng: Random) -> Blame:
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    part = rng.choice(list(CLUSTER_LENGTHS))
    family, (least, most) = rng.choice(list(zip(("ipv4", "ipv6"), CLUSTER_LENGTHS[part], strict=True)))
    network = ip_network(cluster[part][family])
    length = rng.choice([least - 1, most + 1])
    cluster[part][family] = str(ip_network((int(network[0]), length), strict=False))
    return blame("CGC-112", "clusters.yaml", "clusters", index, part, family)


NOT_UNICAST = {
    "ipv4": ("224.0.0.0/9", "239.0.0.0/9", "127.0.0.0/9", "0.0.0.0/9", "169.0.0.0/8", "126.0.0.0/7", "192.0.0.0/2"),
    "ipv6": ("ff00::/16", "ff02::/20", "fe80::/20", "::/20", "fe00::/7", "::ffff:0:0/30"),
}


@mistake("a pool that is not unicast")
def _not_unicast(draft: Draft, rng: Random) -> Blame:
    pool = rng.choice(list(LONGEST_POOLS))
    family = rng.choice(list(NOT_UNICAST))
    draft.documents["network.yaml"]["pools"][pool][family] = rng.choice(
        [prefix for prefix in NOT_UNICAST[family] if prefix != "::ffff:0:0/30"]
    )
    return blame("CGC-106", "network.yaml", "pools", pool)


@mistake("a cluster's prefix that is not unicast", clusters=1)
def _cluster_not_unicast(draft: Draft, rng: Random) -> Blame:
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    part = rng.choice(list(CLUSTER_LENGTHS))
    wrong = {"ipv4": ["224.1.0.0/16", "127.0.16.0/20", "169.254.0.0/16"], "ipv6": ["ff02::/64", "fe80::/64", "::/64"]}
    family = rng.choice(list(wrong))
    cluster[part][family] = rng.choice(wrong[family])
    return blame("CGC-106", "clusters.yaml", "clusters", index, part)


# Tiers, clusters, agencies, objectives, platforms.


@mistake("a tier without rules")
def _tier_missing(draft: Draft, rng: Random) -> Blame:
    draft.items("tiers.yaml", "tiers").pop(rng.randrange(3))
    return blame("CGC-107", "tiers.yaml", "tiers")


@mistake("a level without retention")
def _level_missing(draft: Draft, rng: Random) -> Blame:
    draft.items("tiers.yaml", "log_retention").pop(rng.randrange(5))
    return blame("CGC-107", "tiers.yaml", "log_retention")


@mistake("a cluster at a site that takes none", clusters=1, rings=1, operations=1)
def _cluster_site(draft: Draft, rng: Random) -> Blame:
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    sites = [*draft.centres("metro", "operations"), *draft.units("country")]
    cluster["site"] = rng.choice(sites)["code"]
    return blame("CGC-107", "clusters.yaml", "clusters", index, "site")


@mistake("a cluster without host", clusters=1)
def _no_host(draft: Draft, rng: Random) -> Blame:
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    cluster["hosts"] = []
    return blame("CGC-107", "clusters.yaml", "clusters", index, "hosts")


@mistake("a cloud without certification", clusters=1)
def _not_certified(draft: Draft, rng: Random) -> Blame:
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    tier = next(tier for tier in draft.items("tiers.yaml", "tiers") if tier["name"] == cluster["tier"])
    tier["needs_certification"] = "true"
    cluster.pop("certification", None)
    return blame("CGC-105", "clusters.yaml", "clusters", index)


def _certified(draft: Draft, rng: Random, **facts: str) -> int:
    """Give a cluster a certification with some facts changed; return its index."""
    index, cluster = _one(draft, "clusters.yaml", "clusters", rng)
    issuer = rng.choice(draft.items("agencies.yaml", "agencies"))["id"]
    paper = {"issued_by": issuer, "criteria": "x", "issued": "2026-02-01", "expires": "2026-02-01"}
    cluster["certification"] = {**paper, **facts}
    return index


@mistake("a certification that ends before it begins", clusters=1)
def _dates_swapped(draft: Draft, rng: Random) -> Blame:
    index = _certified(draft, rng, expires=rng.choice(["2026-01-31", "2025-12-31"]))
    return blame("CGC-106", "clusters.yaml", "clusters", index, "certification")


@mistake("a certification by nobody", clusters=1)
def _no_issuer(draft: Draft, rng: Random) -> Blame:
    index = _certified(draft, rng, issued_by="nobody")
    return blame("CGC-107", "clusters.yaml", "clusters", index, "certification", "issued_by")


@mistake("an agency of the whole country")
def _agency_of_the_country(draft: Draft, rng: Random) -> Blame:
    index, agency = _one(draft, "agencies.yaml", "agencies", rng)
    agency["unit"] = draft.units("country")[0]["code"]
    return blame("CGC-107", "agencies.yaml", "agencies", index, "unit")


@mistake("an agency that the rule for provinces makes again", has_rule=1, provinces=5)
def _agency_by_rule(draft: Draft, rng: Random) -> Blame | None:
    served = {agency.get("unit") for agency in draft.items("agencies.yaml", "agencies")}
    free = [row["code"] for row in draft.units("province") if row["code"] not in served]
    if not free:
        return None
    index, agency = _one(draft, "agencies.yaml", "agencies", rng)
    if agency.get("unit") in {row["code"] for row in draft.units("province")}:
        return None
    agency["id"] = draft.documents["agencies.yaml"]["each_province"]["id"].replace("{code}", free[0])
    assert index >= 0
    return blame("CGC-110", "agencies.yaml", "agencies")


@mistake("a promise that cannot be kept or broken", clusters=1)
def _availability(draft: Draft, rng: Random) -> Blame:
    index, objective = _one(draft, "objectives.yaml", "objectives", rng)
    objective["availability"] = rng.choice(["0", "1", "1.0", "0.0", "0.9999999999999999999"[:20]])
    return blame("CGC-106", "objectives.yaml", "objectives", index, "availability")


@mistake("an objective of no time at all", clusters=1)
def _no_time(draft: Draft, rng: Random) -> Blame:
    index, objective = _one(draft, "objectives.yaml", "objectives", rng)
    fact = rng.choice(["latency", "window", "probe_interval"])
    objective[fact] = rng.choice(["0s", "0ms", "0d"])
    return blame("CGC-106", "objectives.yaml", "objectives", index, fact)


def _platform(draft: Draft, rng: Random) -> tuple[int, dict[str, Any]]:
    return _one(draft, "platforms.yaml", "platforms", rng)


@mistake("a need of itself", clusters=1, platforms=1)
def _needs_itself(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    needs = platform.setdefault("needs", [])
    needs.insert(0, platform["id"])
    return blame("CGC-110", "platforms.yaml", "platforms", index, "needs", 0)


@mistake("a need twice", clusters=1, platforms=2)
def _needs_twice(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    other = rng.choice([one["id"] for one in draft.items("platforms.yaml", "platforms") if one is not platform])
    platform["needs"] = [other, other]
    return blame("CGC-110", "platforms.yaml", "platforms", index, "needs", 1)


@mistake("a platform that runs nowhere", clusters=1, platforms=1)
def _runs_nowhere(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    platform["clusters"] = []
    return blame("CGC-107", "platforms.yaml", "platforms", index, "clusters")


@mistake("a platform twice on a cluster", clusters=1, platforms=1)
def _runs_twice(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    platform["clusters"].append(platform["clusters"][0])
    return blame("CGC-110", "platforms.yaml", "platforms", index, "clusters", len(platform["clusters"]) - 1)


@mistake("a platform on a cluster of another tier", clusters=1, platforms=1)
def _other_tier(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    platform["tier"] = rng.choice([tier for tier in ("cgc", "agc", "egc") if tier != platform["tier"]])
    return blame("CGC-107", "platforms.yaml", "platforms", index, "clusters", 0)


def _owned(draft: Draft, platform: dict[str, Any], identifier: str, owner: str) -> None:
    """Give a platform another identifier and a new owner, and nobody a need of it."""
    for one in draft.items("platforms.yaml", "platforms"):
        one.pop("needs", None)
    platform.update(id=identifier, owner=owner)
    agency = {"id": owner, "name": {"vi": "x", "en": "x"}, "kind": "ministry", "contact": "a@b.test"}
    draft.items("agencies.yaml", "agencies").append(agency)


@mistake("a namespace too long for Kubernetes", clusters=1, platforms=1)
def _long_namespace(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    length = rng.choice([32, 40])
    _owned(draft, platform, "y" * length, "x" * (63 - length))  # and the hyphen: one too many
    return blame("CGC-106", "platforms.yaml", "platforms", index, "id")


@mistake("a namespace of Kubernetes' own", clusters=1, platforms=1)
def _kube_namespace(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    owner, identifier = rng.choice([("kube", "system"), ("kube", "x"), ("kube-node", "lease"), ("kube-x", "y")])
    _owned(draft, platform, identifier, owner)
    return blame("CGC-106", "platforms.yaml", "platforms", index, "id")


@mistake("two platforms in one namespace", clusters=1, platforms=2)
def _one_namespace(draft: Draft, rng: Random) -> Blame:
    platforms = draft.items("platforms.yaml", "platforms")
    first, second = sorted(rng.sample(range(len(platforms)), 2))
    names = rng.sample([("q-q", "z"), ("q", "q-z")], 2)
    for index, (owner, identifier) in zip((first, second), names, strict=True):
        _owned(draft, platforms[index], identifier, owner)
    return blame("CGC-110", "platforms.yaml", "platforms", second, "id")


@mistake("a share that does not hold the replicas", clusters=1, platforms=1)
def _small_share(draft: Draft, rng: Random) -> Blame:
    index, platform = _platform(draft, rng)
    platform["replicas"], platform["share"] = rng.choice(
        [
            ("2", {"cpu_millicores": "500", "memory_mib": "512", "pods": "1"}),
            ("2", {"cpu_millicores": "500", "memory_mib": "47", "pods": "3"}),
            ("2", {"cpu_millicores": "500", "memory_mib": "31", "pods": "2"}),
            ("10", {"cpu_millicores": "10", "memory_mib": "512", "pods": "11"}),
            ("20", {"cpu_millicores": "19", "memory_mib": "512", "pods": "20"}),
        ]
    )
    return blame("CGC-112", "platforms.yaml", "platforms", index, "share")


# Overrides.


def _written(number: int) -> str:
    return f"{number // 4096}.{number // 64 % 64}.{number % 64}"


def _add_override(draft: Draft, rng: Random, subject: str, fact: str, value: str, **facts: str) -> str:
    """Add an override at a random place; return its file, in which it is the last that is so marked."""
    item = {"subject": subject, "fact": fact, "value": value, "who": "a", "why": "b", "until": "2099-01-01", **facts}
    files = [file for file in draft.documents if file.startswith("overrides/")] or ["overrides/new.yaml"]
    file = rng.choice(files)
    draft.documents.setdefault(file, {"overrides": []})["overrides"].append(item)
    return file


def _wrong_override(draft: Draft, rng: Random, subject: str, fact: str, value: str, **facts: str) -> Blame:
    file = _add_override(draft, rng, subject, fact, value, **facts)
    return blame("CGC-115", file, "overrides", len(draft.items(file, "overrides")) - 1)


def _subject(draft: Draft, rng: Random, *levels: str) -> str:
    return rng.choice(draft.units(*(levels or ("province", "district", "commune"))))["code"]


@mistake("an override of an unknown fact")
def _unknown_fact(draft: Draft, rng: Random) -> Blame:
    fact = rng.choice(["colour", "home_at", "name", "Number"])
    return _wrong_override(draft, rng, _subject(draft, rng), fact, "x")


@mistake("an override of nothing that is there")
def _no_subject(draft: Draft, rng: Random) -> Blame:
    subject = rng.choice(["nowhere", draft.units("country")[0]["code"], draft.centres("regional")[0]["code"]])
    fact, value = rng.choice([("number", "19.1.1"), ("link_class", "access"), ("position", "21, 105")])
    return _wrong_override(draft, rng, subject, fact, value)


@mistake("a commune homed at a centre", communes=1)
def _commune_homed(draft: Draft, rng: Random) -> Blame:
    home = draft.centres("regional")[0]["code"]
    return _wrong_override(draft, rng, _subject(draft, rng, "district", "commune"), "homed_at", home)


def _wrong_override_value(fact: str, values: Sequence[str], *levels: str) -> Making:
    return lambda draft, rng: _wrong_override(draft, rng, _subject(draft, rng, *levels), fact, rng.choice(values))


mistake("a home that is no regional centre", rings=1)(
    lambda draft, rng: _wrong_override_value(
        "homed_at", ["nowhere", draft.centres("metro")[0]["code"], _subject(draft, rng)], "province"
    )(draft, rng)
)
mistake("an override by an unknown link class")(_wrong_override_value("link_class", ["fast", "Access", "null"]))
mistake("an override by a position that is none")(
    _wrong_override_value(
        "position", ["21", "21 105", "21,105,1", "91, 105", "21, 181", "1e1, 5", "N21, E105", "21,  105"]
    )
)
mistake("an override by a number that is none")(
    _wrong_override_value(
        "number", ["19", "19.1", "128.0.0", "19.64.0", "19.0.64", "019.0.0", "19.1.1.1", "-1.0.0", "x"]
    )
)
mistake("a number of the backbone's block")(
    _wrong_override_value("number", ["0.0.0", "0.1.0", "0.0.1"], "commune", "province")
)
mistake("a province's number with its own bits")(_wrong_override_value("number", ["120.0.1", "121.1.0"], "province"))
mistake("a district's number with its own bits", districts=1)(
    _wrong_override_value("number", ["120.1.1", "121.0.63"], "district")
)


@mistake("an override past its date")
def _stale(draft: Draft, rng: Random) -> Blame:
    until = (TODAY - timedelta(days=rng.choice([1, 1, 400]))).isoformat()
    classes = [kind["name"] for kind in draft.items("network.yaml", "link_classes")]
    return _wrong_override(draft, rng, _subject(draft, rng), "link_class", rng.choice(classes), until=until)


@mistake("a fact overridden twice", overrides=3, provinces=3)
def _overridden_twice(draft: Draft, rng: Random) -> Blame | None:
    """Override a fact again; overrides count in the order of their files' names: the later is to blame."""
    places = [
        (file, index)
        for file in sorted(draft.documents)
        if file.startswith("overrides/")
        for index in range(len(draft.items(file, "overrides")))
    ]
    if not places:
        return None
    file, index = rng.choice(places)
    added = _add_override(draft, rng, "", "", "")
    other = len(draft.items(added, "overrides")) - 1
    draft.items(added, "overrides")[other] = dict(draft.items(file, "overrides")[index])
    later, at = max((file, index), (added, other))
    return blame("CGC-115", later, "overrides", at)


# Blind damage, which may or may not leave a sound declaration.


def damage(texts: Texts, rng: Random) -> str:
    """Change something somewhere in the texts; return what was done."""
    file = rng.choice(sorted(file for file, text in texts.items() if text))
    text = texts[file]
    assert isinstance(text, str)
    way = rng.choice(list(DAMAGES))
    texts[file] = DAMAGES[way](text, rng)
    return f"{way} in {file}"


def _delete_line(text: str, rng: Random) -> str:
    lines = text.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return "".join(lines)


def _double_line(text: str, rng: Random) -> str:
    lines = text.splitlines(keepends=True)
    index = rng.randrange(len(lines))
    lines.insert(rng.choice([index, rng.randrange(len(lines))]), lines[index])
    return "".join(lines)


def _swap_lines(text: str, rng: Random) -> str:
    lines = text.splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _swap_scalars(text: str, rng: Random) -> str:
    words = list(re.finditer(r"[\w.:/-]*\w", text))
    if len(words) < 2:
        return text
    one, other = sorted(rng.sample(words, 2), key=lambda word: word.start())
    between = text[one.end() : other.start()]
    return text[: one.start()] + other[0] + between + one[0] + text[other.end() :]


def _flip_digit(text: str, rng: Random) -> str:
    digits = [at for at, letter in enumerate(text) if letter in "0123456789"]
    if not digits:
        return text
    at = rng.choice(digits)
    return text[:at] + rng.choice("0123456789") + text[at + 1 :]


def _drop_character(text: str, rng: Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :]


def _put_in_character(text: str, rng: Random) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice(" \n\t,:-#'\"[]{}&*!|>%@`0a?é\r") + text[at:]


DAMAGES: dict[str, Callable[[str, Random], str]] = {
    "a line deleted": _delete_line,
    "a line doubled": _double_line,
    "two lines swapped": _swap_lines,
    "two scalars swapped": _swap_scalars,
    "a digit flipped": _flip_digit,
    "a character dropped": _drop_character,
    "a character put in": _put_in_character,
}
