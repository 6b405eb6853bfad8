"""NC-01: a platform of level 4 or 5 survives the loss of any one site.

Decree 331/2026/NĐ-CP, article 30.5b: the plan for levels 4 and 5 is designed for availability and so that one
component's loss does not take the whole system with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date

from inventories.model import Nation, Platform, Text, Tier
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import Object, in_namespace, of_kind
from policies.observed import ClusterObservation, Silence

LOWEST_LEVEL = 4  # article 30.5b
GOVERNMENT_CLOUD_SITES = 2  # our reading of "availability" for the government's own cloud; no declaration can lower it


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge the sites of the clusters that each platform is declared on."""
    for platform in _concerned(facts.nation):
        yield _judged(facts.nation, platform, platform.clusters, en="is declared", vi="được khai báo")


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the sites whose clusters would get a Deployment of the platform with at least one replica."""
    planned = facts.planned.cluster_objects
    for platform in _concerned(facts.nation):
        carrying = [cluster for cluster in platform.clusters if _runs(planned.get(cluster, ()), platform, _wanted)]
        yield _judged(facts.nation, platform, carrying, en="is planned", vi="được lập kế hoạch")


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the sites whose clusters run a ready replica; a silent cluster counts neither way."""
    for platform in _concerned(facts.nation):
        carrying: list[str] = []
        silent: list[Silence | None] = []
        for cluster in platform.clusters:
            seen = facts.observed.clusters.get(cluster)
            if not isinstance(seen, ClusterObservation):
                silent.append(seen)
            elif _runs(seen.objects, platform, _ready):
                carrying.append(cluster)
        judgement = _judged(facts.nation, platform, carrying, en="is ready", vi="sẵn sàng")
        is_open = judgement.remedy is not None and silent
        yield unheard(f"platform/{platform.id}", silent[0]) if is_open else judgement


def _concerned(nation: Nation) -> Iterable[Platform]:
    return (platform for platform in nation.platforms if platform.level >= LOWEST_LEVEL)


def _needed(nation: Nation, platform: Platform) -> int:
    declared = nation.rules_of(platform.tier).minimum_sites_from_level_4
    return max(declared, GOVERNMENT_CLOUD_SITES) if platform.tier is Tier.CGC else declared


def _judged(nation: Nation, platform: Platform, clusters: Iterable[str], *, en: str, vi: str) -> Judgement:
    sites = sorted({nation.cluster_by_id[cluster].site for cluster in clusters})
    needed = _needed(nation, platform)
    subject, named = f"platform/{platform.id}", ", ".join(sites) or "–"
    if len(sites) >= needed:
        return passed(
            subject,
            en=f"{en} at {len(sites)} sites ({named})",
            vi=f"{vi} tại {len(sites)} địa điểm ({named})",
            where=nation.place_of(subject, "clusters"),
        )
    return failed(
        subject,
        en=f"level {platform.level}, tier {platform.tier}: {en} at {len(sites)} site(s) ({named}); {needed} are needed",
        vi=f"cấp độ {platform.level}, tầng {platform.tier}, chỉ {vi} tại {len(sites)} địa điểm ({named}); cần {needed}",
        where=nation.place_of(subject, "clusters"),
        remedy_en="run it on clusters of its tier at another site as well",
        remedy_vi="vận hành thêm tại cụm cùng tầng ở địa điểm khác",
    )


def _runs(objects: Iterable[Object], platform: Platform, count: Callable[[Object], int]) -> bool:
    return any(count(item) > 0 for item in of_kind(in_namespace(objects, platform.namespace), "Deployment"))


def _wanted(deployment: Object) -> int:
    replicas = (deployment.get("spec") or {}).get("replicas")
    return 1 if replicas is None else int(replicas)  # the API's default


def _ready(deployment: Object) -> int:
    return int((deployment.get("status") or {}).get("readyReplicas") or 0)


CONTROL = Control(
    id="NC-01",
    title=Text(
        vi="Nền tảng cấp độ 4, 5 chạy tại ít nhất hai địa điểm",
        en="Platforms of level 4 and 5 run at two sites or more",
    ),
    citation=Citation(
        document="Decree 331/2026/NĐ-CP",
        article="article 30.5b",
        duty=Text(
            vi="hệ thống cấp độ 4, 5 phải sẵn sàng và hạn chế ảnh hưởng khi một thành phần gặp sự cố",
            en="systems of level 4 and 5 stay available, and the failure of one component is contained",
        ),
        reading=Reading.TEXT,
    ),
    in_force_from=date(2026, 8, 19),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
