"""The nation as a tree: country, regions, provinces, districts, communes, and what lies at each.

Only branches with something that was asked for are there, and each counts what is below it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from inventories.collation import sort_key
from inventories.model import Centre, Cluster, Nation, Node, Region, Site, Unit, UnitLevel
from inventories.selecting import Selection, select
from scripts.invocation import speak
from scripts.nation_tables import Part

_REGIONS = {  # English, Vietnamese, in the country's own order
    Region.NORTH: ("North", "Miền Bắc"),
    Region.CENTRAL: ("Central", "Miền Trung"),
    Region.SOUTH: ("South", "Miền Nam"),
}
_COUNTED = {  # of one, of several, in Vietnamese
    "province": ("province", "provinces", "tỉnh"),
    "district": ("district", "districts", "huyện"),
    "commune": ("commune", "communes", "xã"),
    "centre": ("centre", "centres", "trung tâm"),
    "node": ("node", "nodes", "nút"),
    "cluster": ("cluster", "clusters", "cụm"),
}


@dataclass(kw_only=True)
class Branch:
    """A place, or at the end of a branch a thing, with what is below it; `order` is its place among its neighbours."""

    code: str
    name: str
    kind: str
    order: tuple[object, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    below: dict[str, Branch] = field(default_factory=dict)

    @property
    def children(self) -> list[Branch]:
        """What is below it: places by name as Vietnamese is sorted, things before them by identifier."""
        return sorted(self.below.values(), key=lambda branch: branch.order)


@dataclass(frozen=True, kw_only=True)
class _Growth:
    """How a part grows into a tree: the code of a thing's site, how the thing is counted, its leaf there if any."""

    kind: type[Any]
    site_of: Callable[[Any], str]
    counted_as: Callable[[Any], str]
    leaf: Callable[[Any], Branch] | None = None


_GROWTHS: Mapping[Part, _Growth] = MappingProxyType(
    {
        Part.UNITS: _Growth(kind=Unit, site_of=lambda unit: unit.code, counted_as=lambda unit: unit.level.value),
        Part.SITES: _Growth(
            kind=Site,
            site_of=lambda site: site.code,
            counted_as=lambda site: site.level.value if site.level else "centre",
        ),
        Part.CENTRES: _Growth(kind=Centre, site_of=lambda centre: centre.code, counted_as=lambda _: "centre"),
        Part.NODES: _Growth(
            kind=Node,
            site_of=lambda node: node.site.code,
            counted_as=lambda _: "node",
            leaf=lambda node: Branch(code=node.name, name="", kind=node.role.value, order=(0, node.name)),
        ),
        Part.CLUSTERS: _Growth(
            kind=Cluster,
            site_of=lambda cluster: cluster.site,
            counted_as=lambda _: "cluster",
            leaf=lambda cluster: Branch(code=cluster.id, name="", kind=cluster.tier.value, order=(0, cluster.id)),
        ),
    }
)
PARTS = tuple(_GROWTHS)  # those that have a tree


def tree_of(nation: Nation, part: Part, where: Selection) -> Branch:
    """Return the tree of what fits the selection; its root is the country."""
    growth = _GROWTHS[part]
    country = next(unit for unit in nation.units if unit.level is UnitLevel.COUNTRY)
    root = Branch(code=country.code, name=country.name, kind=country.level.value)
    for thing in select(nation, growth.kind, where):
        site = nation.site_by_code.get(growth.site_of(thing))
        if site is None:  # the country itself
            continue
        counted = growth.counted_as(thing)
        branch = root
        branch.counts[counted] += 1
        way = _way_to(nation, site)
        for code in way:
            if code not in branch.below:
                branch.below[code] = _place(nation, code)
            branch = branch.below[code]
            if growth.leaf is not None or code is not way[-1]:
                branch.counts[counted] += 1
        if growth.leaf is not None:
            leaf = growth.leaf(thing)
            branch.below[f"/{leaf.code}"] = leaf
    return root


def _way_to(nation: Nation, site: Site) -> list[str]:
    """Return the codes of the places from below the country down to a site."""
    way = [site.code]
    if site.unit is not None:
        unit = nation.unit_by_code[site.unit.parent or ""]
        while unit.level is not UnitLevel.COUNTRY:
            way.append(unit.code)
            unit = nation.unit_by_code[unit.parent or ""]
    return [site.region.value, *reversed(way)]


def _place(nation: Nation, code: str) -> Branch:
    site = nation.site_by_code.get(code)
    if site is None:
        region = Region(code)
        english, vietnamese = _REGIONS[region]
        return Branch(
            code=code, name=speak(en=english, vi=vietnamese), kind="region", order=([*_REGIONS].index(region),)
        )
    kind = site.level or (site.centre.kind if site.centre is not None else "")
    return Branch(code=code, name=site.name, kind=kind, order=(1 + bool(site.level), sort_key(site.name), code))


def lines_of(tree: Branch, *, depth: int | None = None) -> Iterator[str]:
    """Yield the tree's lines, `depth` levels below its root, all without one."""
    yield _label(tree)
    yield from _lines_below(tree, "", depth)


def _lines_below(branch: Branch, indent: str, depth: int | None) -> Iterator[str]:
    if depth == 0:
        return
    children = branch.children
    for child in children:
        is_last = child is children[-1]
        yield f"{indent}{'└── ' if is_last else '├── '}{_label(child)}"
        deeper = None if depth is None else depth - 1
        yield from _lines_below(child, indent + ("    " if is_last else "│   "), deeper)


def _label(branch: Branch) -> str:
    title = f"{branch.name} ({branch.code})" if branch.name and branch.kind != "region" else branch.name or branch.code
    kind = f" · {branch.kind}" if not branch.counts and branch.kind not in tuple(UnitLevel) else ""
    return f"{title}{kind}{'  ' if branch.counts else ''}{', '.join(_counted(branch.counts))}"


def _counted(counts: Mapping[str, int]) -> Iterable[str]:
    for kind, (one, several, vietnamese) in _COUNTED.items():
        if number := counts.get(kind):
            yield f"{number} {speak(en=one if number == 1 else several, vi=vietnamese)}"


def plain_tree(tree: Branch, *, depth: int | None = None) -> dict[str, object]:
    """Return the tree as JSON has it; what lies deeper than `depth` is only counted."""
    counted = {kind: tree.counts[kind] for kind in _COUNTED if tree.counts[kind]}
    found: dict[str, object] = {"code": tree.code, "name": tree.name, "kind": tree.kind, "counts": counted}
    if depth != 0:
        deeper = None if depth is None else depth - 1
        found["children"] = [plain_tree(child, depth=deeper) for child in tree.children]
    return found
