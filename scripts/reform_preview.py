"""What a reform of the administrative scheme does to the network, who watches it and who owns it. Pure.

Everything is derived from the plan, that is from what the reform's steps changed; `tests/scripts/test_reforming.py`
compares it with the difference of the two nations, node by node and link by link.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import yaml

from exporters.attribution import session_name
from inventories.declaration import Declaration
from inventories.expansion import SITE_BITS4, SITE_BITS6, Design, agencies_of, node_name_of_edge, node_name_of_unit
from inventories.model import Agency, Nation, Node, Role, Unit, UnitLevel
from inventories.numbering import COMMUNE_BITS, SITE_BITS, written
from inventories.reforming import Reason, Reformed, UnitChange
from playbooks.hosts import waves_of
from playbooks.monitoring import rules_text

BELOW_COUNTRY = (UnitLevel.PROVINCE, UnitLevel.DISTRICT, UnitLevel.COMMUNE)
_LABEL = re.compile(r"\{\{ \$labels\.(node|link|session|site) \}\}")
_CAUSE = re.compile(r"(?:(\w+)/)?\{\{ \$labels\.(\w+) \}\}")


class Fate(StrEnum):
    """What becomes of a thing."""

    GOES = "goes"
    COMES = "comes"
    CHANGES = "changes"


class Why(StrEnum):
    """Why a node that stays gets other addresses."""

    LEVEL_REMOVED = "level removed"
    REPARENTED = "re-parented"
    SLOT_TAKEN = "slot taken"
    OVERRIDE = "override"
    PARENT_RENUMBERED = "parent renumbered"


class Phase(StrEnum):
    """The three parts of carrying a reform out: nothing is taken away before what replaces it proved sound."""

    BUILD = "build"  # what will be above gets its new links, sessions and addresses beside the old ones
    MOVE = "move"  # what is below goes over, province by province
    RETIRE = "retire"  # what nobody uses any more goes


@dataclass(frozen=True, kw_only=True)
class LevelCount:
    """How many units a level has before and after, and what happens to them."""

    level: UnitLevel
    before: int
    ceased: int
    born: int
    renamed: int
    relocated: int
    reparented: int

    @property
    def after(self) -> int:
        """How many there are afterwards."""
        return self.before - self.ceased + self.born


@dataclass(frozen=True, kw_only=True)
class Renumbered:
    """A node that stays and gets another place in the address plan, and with it other addresses of its own."""

    node: str
    before: int
    after: int
    why: Why
    detail: str


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A link of a unit's router upward."""

    name: str
    upper: str
    plane: str | None

    @property
    def session(self) -> str:
        """The name of the BGP session over it."""
        lower, _, upper = self.name.partition("--")
        return session_name(lower, upper)


@dataclass(frozen=True, kw_only=True)
class Fates:
    """Names of things, by what becomes of them."""

    goes: tuple[str, ...] = ()
    comes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A block of addresses that the units below one province or district have for themselves.

    `holder` is whose router can announce the block as one prefix, before and after; None where nobody does. The sites'
    prefixes are IPv4 and IPv6, those of the loopback addresses likewise.
    """

    level: UnitLevel
    number: str
    loopbacks: tuple[str, str]
    sites: tuple[str, str]
    before: str | None
    after: str | None

    @property
    def fate(self) -> Fate:
        """What becomes of the prefix."""
        return Fate.GOES if self.after is None else Fate.COMES if self.before is None else Fate.CHANGES


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A kind of thing that series and alerts are named after, and the alerts that are; `label` is the series' label."""

    kind: str
    label: str
    alerts: tuple[str, ...]
    fates: Fates


@dataclass(frozen=True, kw_only=True)
class Owner:
    """What becomes of an agency. `place` is where somebody must declare it anew; empty where nobody must."""

    agency: str
    fate: str
    unit: str
    heir: str | None = None
    heirs_agency: str | None = None
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class Handover:
    """Sites that get another agency to serve, because they lie in another province now or it has another agency."""

    before: str | None
    after: str | None
    sites: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Wave:
    """Nodes that are changed together; the next wave comes only after this one proved sound."""

    phase: Phase
    nodes: tuple[str, ...]
    plane: str | None = None
    province: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReformPreview:
    """Everything that follows from a reform."""

    levels: tuple[LevelCount, ...]
    ceased: tuple[UnitChange, ...]
    born: tuple[UnitChange, ...]
    renamed: tuple[UnitChange, ...]
    relocated: tuple[UnitChange, ...]
    reparented: tuple[UnitChange, ...]
    nodes: Fates
    kept: tuple[str, ...]
    renumbered: tuple[Renumbered, ...]
    links: Fates
    relabelled: tuple[str, ...]
    sessions: Fates
    tunnels: Fates
    aggregates: tuple[Aggregate, ...]
    watched: tuple[Watched, ...]
    owners: tuple[Owner, ...]
    handovers: tuple[Handover, ...]
    waves: tuple[Wave, ...]


def preview_reform(
    reformed: Reformed,
    declarations: tuple[Declaration, Declaration],
    nations: tuple[Nation, Nation],
    place_of_agency: Callable[[str], str],
) -> ReformPreview:
    """Return what follows from a reform; declarations and nations are those before and after it.

    `place_of_agency` says where a declared agency's unit is declared. The nations only lend their nodes' waves and the
    rules of their alerts.
    """
    plan = _Plan(reformed, *declarations)
    nodes = plan.nodes
    links, sessions, tunnels = plan.fates_of_wires()
    return ReformPreview(
        levels=tuple(plan.level_count(level) for level in UnitLevel),
        ceased=plan.ceased,
        born=plan.born,
        renamed=tuple(change for change in reformed.changes if change.is_renamed),
        relocated=tuple(change for change in reformed.changes if change.is_relocated),
        reparented=plan.reparented,
        nodes=nodes,
        kept=plan.kept(),
        renumbered=plan.renumbered,
        links=links,
        relabelled=plan.relabelled(),
        sessions=sessions,
        tunnels=tunnels,
        aggregates=tuple(plan.aggregates()),
        watched=_watched(
            nations[1], {"node": nodes, "link": links, "session": sessions, "tunnel": tunnels}, plan.sites
        ),
        owners=tuple(plan.owners(place_of_agency)),
        handovers=tuple(plan.handovers()),
        waves=tuple(_Carrying(plan, *nations).waves()),
    )


@dataclass(kw_only=True)
class _Sorter:
    """Gathers names by what becomes of them."""

    goes: set[str] = field(default_factory=set)
    comes: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)

    def fates(self) -> Fates:
        return Fates(
            goes=tuple(sorted(self.goes)), comes=tuple(sorted(self.comes)), changes=tuple(sorted(self.changes))
        )


class _Plan:
    """A reform's plan with what follows from it; each part made when it is first asked for."""

    def __init__(self, reformed: Reformed, before: Declaration, after: Declaration) -> None:
        self.reformed = reformed
        self.before, self.after = before, after
        self.old, self.new = Design(before), Design(after)
        self.changed = {change.code: change for change in reformed.changes}
        self.ceased = tuple(change for change in reformed.changes if change.after is None)
        self.born = tuple(change for change in reformed.changes if change.before is None)
        self.reparented = tuple(change for change in reformed.changes if change.is_reparented)

    @cached_property
    def levels_before(self) -> Counter[UnitLevel]:
        return Counter(unit.level for unit in self.before.units)

    def level_count(self, level: UnitLevel) -> LevelCount:
        """Count what happens at one level."""
        here = [change for change in self.reformed.changes if _unit_of(change).level is level]
        return LevelCount(
            level=level,
            before=self.levels_before[level],
            ceased=sum(change.after is None for change in here),
            born=sum(change.before is None for change in here),
            renamed=sum(change.is_renamed for change in here),
            relocated=sum(change.is_relocated for change in here),
            reparented=sum(change.is_reparented for change in here),
        )

    @cached_property
    def renumbered(self) -> tuple[Renumbered, ...]:
        """The nodes that stay and get other addresses of their own, by name."""
        found = [
            Renumbered(
                node=node_name_of_unit(self.new.units[code]),
                before=number,
                after=self.reformed.numbers[code],
                **self._why(code),
            )
            for code, number in self.reformed.numbers_before.items()
            if code in self.reformed.numbers and self.reformed.numbers[code] != number
        ]
        return tuple(sorted(found, key=lambda item: item.node))

    def _why(self, code: str) -> dict[str, Any]:
        change, crowded = self.changed.get(code), self.reformed.crowded.get(code)
        if crowded is not None:
            return {"why": Why.SLOT_TAKEN, "detail": f"its usual place is that of {crowded}"}
        if code in self._overridden_numbers:
            return {"why": Why.OVERRIDE, "detail": "its override of `number` is another"}
        if change is not None and change.is_reparented and change.before and change.after:
            is_by_level = any(cause.reason is Reason.LEVEL_REMOVED for cause in change.causes)
            return {
                "why": Why.LEVEL_REMOVED if is_by_level else Why.REPARENTED,
                "detail": f"re-parented from {change.before.parent} to {change.after.parent}",
            }
        parent = self.new.units[code].parent
        return {"why": Why.PARENT_RENUMBERED, "detail": f"{parent}, which it lies in, has other addresses"}

    @cached_property
    def _overridden_numbers(self) -> set[str]:
        values = [
            {(item.subject, item.value) for item in overrides if item.fact == "number"}
            for overrides in (self.before.overrides, self.after.overrides)
        ]
        return {subject for subject, _ in values[0] ^ values[1]}

    @cached_property
    def nodes(self) -> Fates:
        """The nodes that go, come, and get other addresses of their own."""
        return Fates(
            goes=tuple(sorted(_nodes_of(change.before for change in self.ceased))),
            comes=tuple(sorted(_nodes_of(change.after for change in self.born))),
            changes=tuple(item.node for item in self.renumbered),
        )

    @cached_property
    def sites(self) -> Fates:
        """The sites that go, come, and have another name or place."""
        moved = {
            change.code
            for change in self.reformed.changes
            if (change.is_renamed or change.is_relocated) and _unit_of(change).level in BELOW_COUNTRY
        }
        return Fates(
            goes=tuple(change.code for change in self.ceased),
            comes=tuple(change.code for change in self.born),
            changes=tuple(sorted(moved)),
        )

    def kept(self) -> tuple[str, ...]:
        """Return the nodes that keep every address of their own, by name."""
        numbers = self.reformed.numbers
        names = {
            node_name_of_unit(self.new.units[code])
            for code, number in self.reformed.numbers_before.items()
            if numbers.get(code) == number
        }
        for centre in self.before.centres.centres:
            if centre.kind.is_core:
                names |= {f"core-{plane.name}-{centre.code}" for plane in self.old.planes}
            else:
                names.add(node_name_of_edge(centre))
        names |= {host.name for cluster in self.before.clusters.clusters for host in cluster.hosts}
        return tuple(sorted(names))

    @cached_property
    def wires(self) -> tuple[dict[str, Wire], dict[str, Wire], dict[str, Wire]]:
        """The links that go, come, and stay with other addresses, by name."""
        goes: dict[str, Wire] = {}
        comes: dict[str, Wire] = {}
        stays: dict[str, Wire] = {}
        homed = {
            item.subject
            for item in (*self.before.overrides, *self.after.overrides)
            if item.fact == "homed_at" and item.subject in self.new.units
        }
        renumbered = {
            code for code, number in self.reformed.numbers_before.items() if self._is_renumbered(code, number)
        }
        for code in sorted({*self.changed, *homed, *renumbered}):
            old = _ways_up(self.old, code) if code in self.old.units else {}
            new = _ways_up(self.new, code) if code in self.new.units else {}
            goes |= {name: wire for name, wire in old.items() if name not in new}
            comes |= {name: wire for name, wire in new.items() if name not in old}
            if code in renumbered:
                stays |= {name: wire for name, wire in new.items() if name in old}
        return goes, comes, stays

    def _is_renumbered(self, code: str, number: int) -> bool:
        return self.reformed.numbers.get(code, number) != number

    def fates_of_wires(self) -> tuple[Fates, Fates, Fates]:
        """Return what becomes of links, of the sessions over them, and of the tunnels in them (named as the links)."""
        links, sessions, tunnels = _Sorter(), _Sorter(), _Sorter()
        for fate, wires in zip(("goes", "comes", "changes"), self.wires, strict=True):
            setattr(links, fate, set(wires))
            setattr(sessions, fate, {wire.session for wire in wires.values()})
            prefix = f"{UnitLevel.COMMUNE}-"
            setattr(tunnels, fate, {name for name in wires if name.startswith(prefix)})
        return links.fates(), sessions.fates(), tunnels.fates()

    def relabelled(self) -> tuple[str, ...]:
        """Return the links that stay and that other communes' traffic passes: their series get other labels."""
        touched: set[str] = set()
        for change in self.reformed.changes:
            for design, unit in ((self.old, change.before), (self.new, change.after)):
                touched |= {above.code for above in _chain(design, unit)}
        goes, comes, _ = self.wires
        old, new = _communes_below(self.old, touched), _communes_below(self.new, touched)
        return tuple(
            sorted(
                name
                for code in touched
                if code in self.old.units and code in self.new.units and old[code] != new[code]
                for name in _ways_up(self.new, code)
                if name not in comes and name not in goes
            )
        )

    def aggregates(self) -> Iterator[Aggregate]:
        """Yield the prefixes that move from one province's or district's router to another's, go or come."""
        for level, sizes in (
            (UnitLevel.PROVINCE, (SITE_BITS, COMMUNE_BITS, 0)),
            (UnitLevel.DISTRICT, (COMMUNE_BITS, 0)),
        ):
            old = _holders(self.old, self.reformed.numbers_before, level, sizes)
            new = _holders(self.new, self.reformed.numbers, level, sizes)
            for first, bits in sorted(old.keys() | new.keys()):
                before, after = old.get((first, bits)), new.get((first, bits))
                if before != after:
                    yield self._aggregate(level, first, bits, before, after)

    def _aggregate(self, level: UnitLevel, first: int, bits: int, before: str | None, after: str | None) -> Aggregate:
        pools = self.after.network.pools
        loopbacks4 = IPv4Network((int(pools.loopbacks.ipv4.network_address) + first, 32 - bits))
        loopbacks6 = IPv6Network((int(pools.loopbacks.ipv6.network_address) + first, 128 - bits))
        sites4 = IPv4Network((int(pools.sites.ipv4.network_address) + (first << SITE_BITS4), 32 - SITE_BITS4 - bits))
        sites6 = IPv6Network((int(pools.sites.ipv6.network_address) + (first << SITE_BITS6), 128 - SITE_BITS6 - bits))
        return Aggregate(
            level=level,
            number=written(first),
            loopbacks=(str(loopbacks4), str(loopbacks6)),
            sites=(str(sites4), str(sites6)),
            before=before,
            after=after,
        )

    @cached_property
    def _agencies(self) -> tuple[dict[str, Agency], dict[str, Agency]]:
        """Every agency by its identifier, before and after."""
        files = (self.before, self.after)
        old, new = ({item.id: item for item in agencies_of(one.agencies, one.nation, one.units)} for one in files)
        return old, new

    def owners(self, place_of_agency: Callable[[str], str]) -> Iterator[Owner]:
        """Yield the agencies that go, come, have another name, or whose unit is gone and must be declared anew."""
        old, new = self._agencies
        heirs = {agency.unit: agency.id for agency in new.values() if agency.unit is not None}
        declared = {agency.id for agency in self.before.agencies.agencies}
        for change in self.reformed.changes:
            served = [agency for agency in self._by_unit[0].get(change.code, ()) if change.after is None]
            for agency in served:
                heir = self.reformed.heirs[change.code]
                is_declared = agency.id in declared
                yield Owner(
                    agency=agency.id,
                    fate="unit ceases: declare it anew" if is_declared else Fate.GOES,
                    unit=change.code,
                    heir=heir,
                    heirs_agency=heirs.get(heir),
                    place=place_of_agency(agency.id) if is_declared else "",
                )
            for agency in self._by_unit[1].get(change.code, ()):
                if agency.id not in old:
                    yield Owner(agency=agency.id, fate=Fate.COMES, unit=change.code)
                elif agency.name != old[agency.id].name:
                    yield Owner(agency=agency.id, fate="renamed", unit=change.code)

    @cached_property
    def _by_unit(self) -> tuple[dict[str, list[Agency]], dict[str, list[Agency]]]:
        found: tuple[dict[str, list[Agency]], dict[str, list[Agency]]] = (defaultdict(list), defaultdict(list))
        for by_unit, agencies in zip(found, self._agencies, strict=True):
            for agency in agencies.values():
                if agency.unit is not None:
                    by_unit[agency.unit].append(agency)
        return found

    def handovers(self) -> Iterator[Handover]:
        """Yield the sites that stay and get another agency to serve, by the agencies."""
        served = [
            {agency.unit: agency.id for agency in sorted(one.values(), key=lambda agency: agency.id) if agency.unit}
            for one in self._agencies
        ]
        found: dict[tuple[str | None, str | None], list[str]] = defaultdict(list)
        for code, province in self.old.province_of.items():
            if code in self.new.province_of:
                before, after = served[0].get(province), served[1].get(self.new.province_of[code])
                if before != after:
                    found[before, after].append(code)
        for (before, after), codes in sorted(found.items(), key=lambda item: (item[0][0] or "", item[0][1] or "")):
            yield Handover(before=before, after=after, sites=tuple(sorted(codes)))


def _unit_of(change: UnitChange) -> Unit:
    unit = change.after or change.before
    assert unit is not None  # noqa: S101 - a change has one of the two; this tells the type checker
    return unit


def _nodes_of(units: Iterable[Unit | None]) -> Iterator[str]:
    return (node_name_of_unit(unit) for unit in units if unit is not None and unit.level in BELOW_COUNTRY)


def _ways_up(design: Design, code: str) -> dict[str, Wire]:
    """Return the links of a unit's router upward, by name."""
    unit = design.units[code]
    if unit.level not in BELOW_COUNTRY:
        return {}
    name = node_name_of_unit(unit)
    if unit.level is UnitLevel.PROVINCE:
        home = design.homes[code]
        uppers = [
            (plane.name, f"core-{plane.name}-{site}")
            for plane, site in zip(design.planes, (home, design.partners[home]), strict=True)
        ]
        return {f"{name}--{upper}": Wire(name=f"{name}--{upper}", upper=upper, plane=plane) for plane, upper in uppers}
    upper = node_name_of_unit(design.units[unit.parent or ""])
    return {f"{name}--{upper}": Wire(name=f"{name}--{upper}", upper=upper, plane=None)}


def _chain(design: Design, unit: Unit | None) -> Iterator[Unit]:
    """Yield a unit and those that it lies in, below the country."""
    while unit is not None and unit.level in BELOW_COUNTRY:
        yield unit
        unit = design.units.get(unit.parent or "")


def _communes_below(design: Design, codes: set[str]) -> dict[str, set[str]]:
    """Return the communes that lie in each of some units, themselves included."""
    found: dict[str, set[str]] = defaultdict(set)
    for unit in design.declaration.units:
        if unit.level is UnitLevel.COMMUNE:
            for above in _chain(design, unit):
                if above.code in codes:
                    found[above.code].add(unit.code)
    return found


def _holders(
    design: Design, numbers: Mapping[str, int], level: UnitLevel, sizes: tuple[int, ...]
) -> dict[tuple[int, int], str]:
    """Return who at a level can announce which blocks: (first number, bits) to the holder's node.

    A block of the largest size that all units with numbers in it share as holder; where they do not, smaller ones.
    """
    holder_of: dict[int, str | None] = {}
    for code, number in numbers.items():
        above = [unit for unit in _chain(design, design.units[code]) if unit.level is level]
        holder_of[number] = node_name_of_unit(above[0]) if above else None
    found: dict[tuple[int, int], str] = {}
    left = holder_of
    for bits in sizes:
        blocks: dict[int, set[str | None]] = defaultdict(set)
        for number, holder in left.items():
            blocks[number >> bits].add(holder)
        for block, holders in blocks.items():
            (holder, *others) = holders
            if holder is not None and not others:
                found[block << bits, bits] = holder
        left = {number: holder for number, holder in left.items() if len(blocks[number >> bits]) > 1}
    return found


def _watched(nation: Nation, fates: Mapping[str, Fates], sites: Fates) -> tuple[Watched, ...]:
    """Return what series and alerts are named after; which alerts, the nation's own rules say."""
    alerts: dict[str, set[str]] = defaultdict(set)
    rules = yaml.load(rules_text(nation), Loader=yaml.CBaseLoader)  # noqa: S506 - it makes text only
    for group in rules["groups"]:
        for rule in group["rules"]:
            kind = _kind_of(rule) if "alert" in rule else None
            if kind is not None:
                alerts[kind].add(rule["alert"])
    labels = {"node": "node", "link": "link", "session": "session", "tunnel": "link", "site": "site"}
    return tuple(
        Watched(kind=kind, label=label, alerts=tuple(sorted(alerts[kind])), fates={**fates, "site": sites}[kind])
        for kind, label in labels.items()
    )


def _kind_of(rule: Mapping[str, Any]) -> str | None:
    """Return what kind of thing of a unit's an alert is about: its grouping cause says so, else its summary."""
    cause = rule.get("labels", {}).get("cause", "")
    match = _CAUSE.search(cause) or _LABEL.search(rule["annotations"]["summary_en"])
    if match is None:
        return None
    label = match[match.lastindex or 0]
    named = match[1] if match.lastindex == 2 else label  # noqa: PLR2004 - the cause's two groups
    if named in ("adjacency", "names"):  # between core routers, and at operations centres: no unit's
        return None
    return "tunnel" if named == "tunnel" else label if label in ("node", "link", "session", "site") else None


class _Carrying:
    """The order in which a reform is carried out."""

    def __init__(self, plan: _Plan, before: Nation, after: Nation) -> None:
        self.plan = plan
        self.before, self.after = before, after
        goes, comes, stays = plan.wires
        self.losing = {wire.upper for wire in (*goes.values(), *stays.values())} | set(plan.nodes.goes)
        self.gaining = {wire.upper for wire in (*comes.values(), *stays.values())} | set(plan.nodes.comes)
        lowers = {name.partition("--")[0] for wires in plan.wires for name in wires}
        self.moving = (lowers | set(plan.nodes.changes)) - set(plan.nodes.goes)
        if self.moving or plan.ceased:  # names and watching know all nodes
            watchers = {node.name for node in after.nodes if node.role is Role.OPERATIONS}
            self.gaining |= watchers
            self.losing |= watchers

    def waves(self) -> Iterator[Wave]:
        """Yield the waves in their order; no wave changes core routers of both planes, or a province's both links."""
        yield from self._build()
        yield from self._move()
        yield from self._retire()

    def _build(self) -> Iterator[Wave]:
        """Trunks before leaves: who will be above is there first."""
        for names in reversed(waves_of(self.after)):
            nodes = [self.after.node_by_name[name] for name in names if name in self.gaining]
            kept = [node for node in nodes if node.role is not Role.COMMUNE]
            if kept:
                yield self._wave(Phase.BUILD, kept)

    def _move(self) -> Iterator[Wave]:
        """Province by province, one link of a province's router after the other, one commune before all others."""
        new = set(self.plan.nodes.comes)
        moving = [self.after.node_by_name[name] for name in sorted(self.moving)]
        by_province: dict[str, list[Node]] = defaultdict(list)
        for node in moving:
            by_province[node.site.province or ""].append(node)
        is_first = True
        for province, nodes in sorted(by_province.items()):
            routers = [node for node in nodes if node.role is Role.PROVINCE and node.name not in new]
            if routers:
                for plane in reversed(self.after.planes):
                    yield self._wave(Phase.MOVE, routers, plane=plane.name, province=province)
            districts = [node for node in nodes if node.role is Role.DISTRICT and node.name not in new]
            if districts:
                yield self._wave(Phase.MOVE, districts, province=province)
            communes = [node for node in nodes if node.role is Role.COMMUNE]
            if communes and is_first:
                yield self._wave(Phase.MOVE, communes[:1], province=province)
                communes, is_first = communes[1:], False
            if communes:
                yield self._wave(Phase.MOVE, communes, province=province)

    def _retire(self) -> Iterator[Wave]:
        """Leaves before trunks, as for any change: what ceased, then the old ends of what has moved."""
        order = [self.before.node_by_name[name] for wave in waves_of(self.before) for name in wave]
        communes = [node for node in order if node.role is Role.COMMUNE and node.name in self.losing]
        by_province: dict[str, list[Node]] = defaultdict(list)
        for node in communes:
            by_province[node.site.province or ""].append(node)
        for province, nodes in sorted(by_province.items()):
            yield self._wave(Phase.RETIRE, nodes, province=province)
        for names in waves_of(self.before):
            nodes = [self.before.node_by_name[name] for name in names if name in self.losing]
            kept = [node for node in nodes if node.role is not Role.COMMUNE]
            if kept:
                yield self._wave(Phase.RETIRE, kept)

    def _wave(self, phase: Phase, nodes: list[Node], *, plane: str | None = None, province: str | None = None) -> Wave:
        planes = {node.plane for node in nodes if node.plane is not None}
        return Wave(
            phase=phase,
            nodes=tuple(node.name for node in nodes),
            plane=plane or next(iter(planes), None),
            province=province,
        )
