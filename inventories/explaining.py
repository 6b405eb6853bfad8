"""Why a fact of a site or a node is what it is: the rule that gives it, and the lines the rule reads.

Every step names a line and a key on it; changing what stands there changes the fact. What follows from a stable code
alone (a name, the part of a number below the parent's) has no line to change and is said in the rule's words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from inventories.declaration import Declaration
from inventories.errors import InventoryError
from inventories.expansion import Design, nation_of
from inventories.model import Node, Override, Place, Role, Site, Text, Unit, UnitLevel
from inventories.numbering import written


class UnknownFactError(InventoryError):
    """A question about what is not declared, or about a fact that it does not have."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One line that a fact rests on: `place` is file:line, `key` the column or key on it, `rule` says how it counts."""

    place: str
    key: str
    rule: Text


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A fact's value and the lines that it rests on, the nearest cause first."""

    subject: str
    fact: str
    value: str
    steps: tuple[Step, ...]


SITE_FACTS: dict[str, Callable[[Site], str]] = {
    "name": lambda site: site.name,
    "latitude": lambda site: str(site.latitude),
    "longitude": lambda site: str(site.longitude),
    "region": lambda site: site.region.value,
    "home": lambda site: site.home,
    "number": lambda site: written(site.number),
}
NODE_FACTS: dict[str, Callable[[Node], str]] = {
    "loopback4": lambda node: str(node.loopback.ipv4),
    "loopback6": lambda node: str(node.loopback.ipv6),
    "management4": lambda node: str(node.management[0]),
    "management6": lambda node: str(node.management[1]),
    "as_number": lambda node: str(node.as_number),
    "clocks": lambda node: ", ".join(node.clocks) or "–",
    "resolvers": lambda node: ", ".join(node.resolvers) or "–",
    "uplinks": lambda node: ", ".join(session.peer for session in node.sessions if session.is_upward) or "–",
}
_POOLS = {"loopback": "loopbacks", "management": "management"}


class Explainer:
    """Answers questions about one declaration."""

    def __init__(self, declaration: Declaration, places: Sequence[Place], directory: Path) -> None:
        self._declaration = declaration
        self._design = Design(declaration)
        self._nation = nation_of(declaration, directory, places)

    def facts_of(self, subject: str) -> tuple[str, ...]:
        """Return the names of the facts that a site (by its code) or a node (by its name) has."""
        site, nodes = self._found(subject)
        names = list(SITE_FACTS)
        if site.unit is not None:
            names.append("parent")
        if site.unit is not None or (site.centre is not None and site.centre.agency is not None):
            names.append("agency")
        names += [f"{prefix.tenancy_class}{family}" for prefix in site.prefixes for family in "46"]
        if len(nodes) == 1:
            names += NODE_FACTS
            names += [f"capacity:{link.peer}" for link in self._upward(nodes[0])]
        return tuple(names)

    def explain(self, subject: str, fact: str) -> Explanation:
        """Explain a fact; CGC-141 if the subject is not declared, CGC-142 if it has no such fact."""
        site, nodes = self._found(subject)
        known = self.facts_of(subject)
        if fact not in known:
            if fact in NODE_FACTS and len(nodes) > 1:
                what = f"{subject} has {len(nodes)} nodes, each with its own {fact}"
                names = ", ".join(node.name for node in nodes)
                raise UnknownFactError("CGC-142", what, where=fact, remedy=f"ask for one of {names}")
            near = get_close_matches(fact, known, n=1)
            remedy = f"did you mean {near[0]!r}? " if near else ""
            what = f"{subject} has no fact {fact!r}"
            raise UnknownFactError("CGC-142", what, where=subject, remedy=f"{remedy}known are {', '.join(known)}")
        if fact in SITE_FACTS:
            value, steps = SITE_FACTS[fact](site), self._steps_of_site(site, fact)
        elif fact in NODE_FACTS:
            value, steps = NODE_FACTS[fact](nodes[0]), self._steps_of_node(nodes[0], fact)
        elif fact == "parent" and site.unit is not None:
            step = self._row(site.unit, "parent", Text(vi="như đã khai báo", en="as declared"))
            value, steps = site.unit.parent or "–", iter((step,))
        elif fact == "agency":
            agency = self._nation.agency_at(site)
            value, steps = (agency.id if agency else "–"), self._steps_of_agency(site)
        elif fact.startswith("capacity:"):
            value, steps = self._capacity(nodes[0], fact.partition(":")[2])
        else:
            value, steps = self._handed_over(site, fact)
        return Explanation(subject=subject, fact=fact, value=value, steps=tuple(steps))

    def _found(self, subject: str) -> tuple[Site, tuple[Node, ...]]:
        nation = self._nation
        node = nation.node_by_name.get(subject)
        if node is not None:
            return node.site, (node,)
        site = nation.site_by_code.get(subject)
        if site is None:
            near = get_close_matches(subject, (*nation.site_by_code, *nation.node_by_name), n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "name a unit's or centre's code, or a node"
            raise UnknownFactError("CGC-141", f"there is no site or node {subject!r}", remedy=remedy)
        nodes = tuple(node for node in nation.nodes if node.site is site and node.role is not Role.CLUSTER)
        return site, nodes

    def _row(self, unit: Unit, key: str, rule: Text) -> Step:
        return Step(place=self._nation.place_of(f"site/{unit.code}"), key=key, rule=rule)

    def _line(self, subject: str, key: str, vi: str, en: str) -> Step:
        return Step(place=self._nation.place_of(subject, key), key=key, rule=Text(vi=vi, en=en))

    def _override(self, subject: str, fact: str) -> Override | None:
        return next((o for o in self._declaration.overrides if (o.subject, o.fact) == (subject, fact)), None)

    def _overridden(self, override: Override) -> Step:
        return Step(
            place=f"{self._nation.directory / override.place}",
            key="value",
            rule=Text(
                vi=f"ngoại lệ của {override.who} đến {override.until}: {override.why}",
                en=f"overridden by {override.who} until {override.until}: {override.why}",
            ),
        )

    def _steps_of_site(self, site: Site, fact: str) -> Iterator[Step]:
        if fact == "number":
            yield from self._steps_of_number(site)
        elif fact == "home":
            yield from self._steps_of_home(site)
        elif fact == "region" and site.centre is None:
            yield from self._steps_of_home(site)
            yield self._line(f"site/{site.home}", "region", "vùng của trung tâm vùng", "the regional centre's region")
        elif site.centre is not None:
            yield self._line(f"site/{site.code}", fact, "như đã khai báo", "as declared")
        elif site.unit is not None:
            position = self._override(site.code, "position") if fact in ("latitude", "longitude") else None
            if position is not None:
                yield self._overridden(position)
            else:
                yield self._row(site.unit, fact, Text(vi="như đã khai báo", en="as declared"))

    def _steps_of_number(self, site: Site) -> Iterator[Step]:
        if site.centre is not None:
            en = "in the backbone's block, four numbers a core site, one another centre"
            yield self._line(f"site/{site.code}", "number", "trong khối của mạng trục", en)
            return
        unit = site.unit
        while unit is not None and unit.level is not UnitLevel.COUNTRY:
            override = self._override(unit.code, "number")
            if override is not None:
                yield self._overridden(override)
                return
            if unit.level is UnitLevel.PROVINCE:
                en = f"a province's block is its code: {written(self._design.numbers[unit.code])}"
                yield self._row(unit, "code", Text(vi=f"khối của tỉnh là mã tỉnh {unit.code}", en=en))
                return
            parent = self._design.units[unit.parent or ""]
            number, above = (written(self._design.numbers[code]) for code in (unit.code, parent.code))
            en = f"{number}: a slot that follows from the code {unit.code}, below {parent.code}'s {above}"
            yield self._row(unit, "parent", Text(vi=f"{number}: dưới {above} của {parent.code}", en=en))
            unit = parent

    def _steps_of_home(self, site: Site) -> Iterator[Step]:
        if site.centre is not None:
            if site.centre.attached_to is not None:
                yield self._line(f"site/{site.code}", "attached_to", "như đã khai báo", "as declared")
            else:
                yield self._line(f"site/{site.code}", "code", "là nút trục", "is a core site itself")
            return
        unit = site.unit
        while unit is not None and unit.level is not UnitLevel.PROVINCE:
            parent = self._design.units[unit.parent or ""]
            en = f"as {parent.code}, in which it lies"
            yield self._row(unit, "parent", Text(vi=f"theo {parent.code}, nơi trực thuộc", en=en))
            unit = parent
        if unit is None:
            return
        override = self._override(unit.code, "homed_at")
        if override is not None:
            yield self._overridden(override)
            return
        en = f"{site.home} is the regional centre nearest to where {unit.code} lies"
        yield self._row(unit, "latitude", Text(vi=f"{site.home} là trung tâm vùng gần {unit.code} nhất", en=en))

    def _steps_of_agency(self, site: Site) -> Iterator[Step]:
        if site.centre is not None:
            yield self._line(f"site/{site.code}", "agency", "như đã khai báo", "as declared")
            return
        agency = self._nation.agency_at(site)
        if agency is not None and any(agency is own for own in self._declaration.agencies.agencies):
            yield self._line(f"agency/{agency.id}", "unit", "cơ quan của tỉnh", "the province's agency")
        elif agency is not None:
            en = "the rule for provinces without an agency of their own"
            yield self._line("provincial-agency", "id", "quy tắc chung cho các tỉnh", en)

    def _steps_of_node(self, node: Node, fact: str) -> Iterator[Step]:
        if fact == "as_number":
            if node.role is Role.CORE:
                yield self._line(f"plane/{node.plane}", "as_number", "của mặt phẳng", "the plane's")
            else:
                en = f"this base + {node.identity}, which follows from the code"
                yield self._line("network", "as_number_base", f"gốc này + {node.identity}", en)
        elif fact == "clocks":
            yield from self._steps_of_pair(node)
        elif fact == "resolvers":
            for name in node.resolvers:
                centre = self._nation.node_by_name[name].site.code
                en = "the operations centres nearest to its core site, at most three"
                yield self._line(f"site/{centre}", "code", "các trung tâm điều hành gần nhất", en)
        elif fact == "uplinks":
            if node.role in (Role.COMMUNE, Role.DISTRICT) and node.site.unit is not None:
                yield self._row(node.site.unit, "parent", Text(vi="nối lên cấp trên", en="linked to its parent"))
            elif node.cluster is not None:
                yield self._line(f"cluster/{node.cluster}", "site", "nơi đặt cụm", "where the cluster stands")
            else:
                yield from self._steps_of_pair(node)
        else:
            pool, family = _POOLS[fact[:-1]], f"ipv{fact[-1]}"
            en = f"this pool's first address + the number {node.number}"
            yield self._line("network", f"pools.{pool}.{family}", f"địa chỉ đầu + số {node.number}", en)
            yield from self._steps_of_node_number(node)

    def _steps_of_node_number(self, node: Node) -> Iterator[Step]:
        if node.cluster is not None:
            yield self._line(f"cluster/{node.cluster}", "hosts", "số của máy", "the host's number")
        else:
            yield from self._steps_of_number(node.site)

    def _steps_of_pair(self, node: Node) -> Iterator[Step]:
        """Explain the two core sites, one a plane, that serve a node."""
        if node.role is Role.CORE:
            return
        if node.cluster is not None:
            yield self._line(f"cluster/{node.cluster}", "site", "nơi đặt cụm", "where the cluster stands")
        yield from self._steps_of_home(node.site)
        home = node.site.home
        partner = self._design.partners[home]
        if partner == home:
            return
        if self._design.centres[partner].backs_up == home:
            vi, en = f"đứng thay {home} ở mặt phẳng thứ hai", f"stands in for {home} in the second plane"
            yield self._line(f"site/{partner}", "backs_up", vi, en)
        else:
            ring = next(ring for ring in self._declaration.network.rings if home in ring.sites)
            en = f"{partner} follows {home} around the ring: the second plane"
            yield self._line(f"ring/{ring.name}", "sites", f"{partner} kế tiếp {home} trên vòng", en)

    def _upward(self, node: Node) -> tuple[_Uplink, ...]:
        return tuple(
            _Uplink(peer=item.peer, link=item.link)
            for item in node.interfaces
            if any(session.is_upward and session.peer == item.peer for session in node.sessions)
        )

    def _capacity(self, node: Node, peer: str) -> tuple[str, Iterator[Step]]:
        uplink = next(uplink for uplink in self._upward(node) if uplink.peer == peer)
        link_class = self._nation.link_by_name[uplink.link].link_class

        def steps() -> Iterator[Step]:
            vi, en = f"lớp {link_class.name}", f"the class {link_class.name}"
            yield self._line(f"link-class/{link_class.name}", "capacity_mbps", vi, en)
            override = self._override(node.site.code, "link_class") if node.cluster is None else None
            if override is not None:
                yield self._overridden(override)

        return str(link_class.capacity_mbps), steps()

    def _handed_over(self, site: Site, fact: str) -> tuple[str, Iterator[Step]]:
        kind, family = fact[:-1], f"ipv{fact[-1]}"
        prefix = next(item.prefix for item in site.prefixes if item.tenancy_class == kind)

        def steps() -> Iterator[Step]:
            en = f"this pool's part with the number {site.number}"
            yield self._line("network", f"pools.sites.{family}", f"phần thứ {site.number} của dải", en)
            yield self._line(f"tenancy-class/{kind}", "slot", "phần của lớp", "the class's part of it")
            yield from self._steps_of_number(site)

        return str(getattr(prefix, family)), steps()


@dataclass(frozen=True, kw_only=True)
class _Uplink:
    """A way up: the peer's name and the link's."""

    peer: str
    link: str
