"""NC-09: every centre, province, ministry and data centre hangs on two planes, by two physical routes.

Circular 06/2026/TT-BKHCN, article 5.1a: at least two planes, with equipment and channels over two physical directions,
link regional centres and provincial centres. Article 5.2a: level I agencies have two fibres in two directions. Article
5.4a and b: so have data centres, also those at an enterprise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date

from inventories.model import CentreKind, Link, Nation, Role, Text, UnitLevel
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard, unknown
from policies.observed import NodeObservation, Reason

LEAST = 2  # planes, and physical routes: articles 5.1a, 5.2a, 5.4a
FRR = "/etc/frr/frr.conf"


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge the planes and routes of the links that leave each site, and that each plane holds together by itself."""
    nation = facts.nation
    for site in _concerned(nation):
        yield _judged(nation, site, _leaving(nation, site), en="declared", vi="được khai báo")
    for plane in nation.planes:
        yield _judged_plane(nation, plane.name)


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge that each site's routers would speak to both planes."""
    nation = facts.nation
    for site in _concerned(nation):
        planned: list[Link] = []
        missing = [name for _, name in _with_near_ends(nation, site) if not _routing_of(facts, name)]
        if missing:
            yield unknown(
                f"site/{site}",
                reason=Reason.MISSING,
                en=f"nothing is planned for the routing of {missing[0]}",
                vi=f"chưa có kế hoạch định tuyến cho {missing[0]}",
                where=missing[0],
            )
            continue
        for link, name in _with_near_ends(nation, site):
            words = set(_routing_of(facts, name).split())
            interface = next(item for item in nation.node_by_name[name].interfaces if item.link == link.name)
            if interface.name in words or str(interface.peer_addresses.ipv4) in words:
                planned.append(link)
        yield _judged(nation, site, planned, en="planned", vi="được lập kế hoạch")


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the links that carry light now; a silent router counts neither way."""
    nation = facts.nation
    for site in _concerned(nation):
        lit: list[Link] = []
        silences: list[Judgement] = []
        for link, name in _with_near_ends(nation, site):
            seen = facts.observed.nodes.get(name)
            if not isinstance(seen, NodeObservation):
                silences.append(unheard(f"site/{site}", seen))
            elif any(
                item.name == _far_end(nation, link, site) and item.is_up and item.has_carrier
                for item in seen.interfaces
            ):
                lit.append(link)
        judgement = _judged(nation, site, lit, en="lit", vi="có tín hiệu")
        yield silences[0] if silences and judgement.remedy is not None else judgement


def _concerned(nation: Nation) -> tuple[str, ...]:
    """Return the codes of the sites that must have two ways out."""
    kinds = (CentreKind.REGIONAL, CentreKind.BACKUP, CentreKind.MINISTRY, CentreKind.GATEWAY, CentreKind.OPERATIONS)
    provinces = {unit.code for unit in nation.units if unit.level is UnitLevel.PROVINCE}
    centres = {centre.code for centre in nation.centres if centre.kind in kinds}
    return tuple(sorted(provinces | centres | {cluster.site for cluster in nation.clusters}))


def _with_near_ends(nation: Nation, site: str) -> Iterator[tuple[Link, str]]:
    """Yield the links that leave the site for the backbone, each with the name of its node at the site."""
    for link in nation.links:
        ends = [nation.node_by_name[end] for end in link.ends]
        near = [node for node in ends if node.site.code == site]
        far = [node for node in ends if node.site.code != site]
        if len(near) == 1 and far and (far[0].role is Role.CORE) and link.plane is not None:
            yield link, near[0].name


def _routing_of(facts: Facts, node: str) -> str:
    return facts.planned.node_files.get(node, {}).get(FRR, "")


def _leaving(nation: Nation, site: str) -> list[Link]:
    return [link for link, _ in _with_near_ends(nation, site)]


def _far_end(nation: Nation, link: Link, site: str) -> str:
    return next(end for end in link.ends if nation.node_by_name[end].site.code != site)


def _judged(nation: Nation, site: str, links: list[Link], *, en: str, vi: str) -> Judgement:
    planes = sorted({link.plane for link in links if link.plane})
    routes = sorted({link.route for link in links})
    subject, named = f"site/{site}", ", ".join(link.name for link in links) or "–"
    if len(planes) >= LEAST and len(routes) >= LEAST:
        return passed(
            subject,
            en=f"{len(planes)} planes by {len(routes)} routes are {en}",
            vi=f"{len(planes)} mặt phẳng theo {len(routes)} hướng {vi}",
            where=nation.place_of(subject),
        )
    return failed(
        subject,
        en=f"only {len(planes)} plane(s) by {len(routes)} route(s) are {en} ({named}); {LEAST} of each are needed",
        vi=f"chỉ {len(planes)} mặt phẳng theo {len(routes)} hướng {vi} ({named}); cần {LEAST}",
        where=nation.place_of(subject),
        remedy_en="link the site to a second plane by another physical route; mend the fibre if one is cut",
        remedy_vi="kết nối địa điểm với mặt phẳng thứ hai theo hướng vật lý khác; khắc phục nếu đứt cáp",
    )


def _judged_plane(nation: Nation, plane: str) -> Judgement:
    """Judge that the plane's own links join all its routers: it stands when every other plane has fallen."""
    routers = {node.name for node in nation.with_role(Role.CORE) if node.plane == plane}
    joined: dict[str, set[str]] = defaultdict(set)
    for link in nation.links:
        if link.plane == plane and routers.issuperset(link.ends):
            joined[link.ends[0]].add(link.ends[1])
            joined[link.ends[1]].add(link.ends[0])
    reached: set[str] = set()
    frontier = {min(routers)} if routers else set()
    while frontier:
        reached |= frontier
        frontier = {far for near in frontier for far in joined[near]} - reached
    subject, where = f"plane/{plane}", nation.place_of(f"plane/{plane}")
    apart = sorted(routers - reached)
    if not apart:
        return passed(
            subject, en=f"joins its {len(routers)} routers", vi=f"nối {len(routers)} bộ định tuyến", where=where
        )
    return failed(
        subject,
        en=f"does not reach {', '.join(apart)} by links of its own",
        vi=f"không tới được {', '.join(apart)} bằng liên kết của mình",
        where=where,
        remedy_en="declare a backbone link of this plane in network.yaml",
        remedy_vi="khai báo liên kết trục của mặt phẳng này trong network.yaml",
    )


CONTROL = Control(
    id="NC-09",
    title=Text(
        vi="Hai mặt phẳng, hai hướng vật lý tới mỗi trung tâm, tỉnh, bộ, trung tâm dữ liệu",
        en="Two planes by two physical routes reach every centre, province, ministry and data centre",
    ),
    citation=Citation(
        document="Circular 06/2026/TT-BKHCN",
        article="articles 5.1a, 5.2a, 5.4a, 5.4b",
        duty=Text(
            vi="ít nhất hai mặt phẳng kết nối và hai hướng vật lý khác nhau",
            en="at least two connection planes and two different physical directions",
        ),
        reading=Reading.TEXT,
    ),
    in_force_from=date(2026, 3, 30),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
