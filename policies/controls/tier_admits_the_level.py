"""NC-10: a platform runs only in a cloud tier that may carry its security level.

Decision 942/QĐ-TTg, IV.2b divides the clouds: the government's own for what the whole nation shares, agencies' clouds,
and enterprises' clouds admitted by criteria. Decree 331/2026/NĐ-CP, article 14.2 makes systems of the whole nation
level 4. The highest level of a tier is a planning rule that the declaration states (tiers.yaml) and the competent
agency may replace; that level 5 never runs on an enterprise's shared cloud follows from article 30.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date

from inventories.model import Cluster, Nation, Platform, Text, Tier
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import Object, name_of, of_kind
from policies.observed import ClusterObservation

HIGHEST_ON_ENTERPRISES = 4  # article 30.9: whatever a declaration says, level 5 is not rented


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge the tier and every cluster that each platform is declared in."""
    nation = facts.nation
    for platform in nation.platforms:
        tiers = {platform.tier} | {nation.cluster_by_id[cluster].tier for cluster in platform.clusters}
        yield _judged(nation, platform, sorted(tiers), fact="tier")


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the clusters that would get the platform's namespace."""
    for platform in facts.nation.platforms:
        tiers = [
            facts.nation.cluster_by_id[cluster].tier
            for cluster, objects in facts.planned.cluster_objects.items()
            if _is_there(platform, objects)
        ]
        if tiers:
            yield _judged(facts.nation, platform, sorted(set(tiers)), fact="clusters")


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the clusters that have the platform's namespace, also those where nobody declared it."""
    silent = [
        unheard(f"cluster/{cluster.id}", seen)
        for cluster in facts.nation.clusters
        if not isinstance(seen := facts.observed.clusters.get(cluster.id), ClusterObservation)
    ]
    for platform in facts.nation.platforms:
        tiers = {cluster.tier for cluster in facts.nation.clusters if _runs_on(facts, platform, cluster)}
        if tiers:
            yield _judged(facts.nation, platform, sorted(tiers), fact="clusters")
    yield from silent


def _runs_on(facts: Facts, platform: Platform, cluster: Cluster) -> bool:
    seen = facts.observed.clusters.get(cluster.id)
    return isinstance(seen, ClusterObservation) and _is_there(platform, seen.objects)


def _is_there(platform: Platform, objects: Iterable[Object]) -> bool:
    return any(name_of(item) == platform.namespace for item in of_kind(objects, "Namespace"))


def _highest(nation: Nation, tier: Tier) -> int:
    declared = nation.rules_of(tier).highest_level
    return min(declared, HIGHEST_ON_ENTERPRISES) if tier is Tier.EGC else declared


def _judged(nation: Nation, platform: Platform, tiers: Iterable[Tier], *, fact: str) -> Judgement:
    subject = f"platform/{platform.id}"
    where = nation.place_of(subject, fact)
    for tier in tiers:
        highest = _highest(nation, tier)
        if platform.level > highest:
            return failed(
                subject,
                en=f"is of level {platform.level}; tier {tier} carries levels up to {highest}",
                vi=f"thuộc cấp độ {platform.level}; tầng {tier} chỉ được mang tới cấp độ {highest}",
                where=where,
                remedy_en="leave it in a tier that may carry its level; the tiers' limits are in tiers.yaml",
                remedy_vi="đặt nền tảng ở tầng được mang cấp độ này; giới hạn của tầng ở tiers.yaml",
            )
    return passed(
        subject,
        en=f"level {platform.level} may run in tier {', '.join(tiers)}",
        vi=f"cấp độ {platform.level} được chạy ở tầng {', '.join(tiers)}",
        where=where,
    )


CONTROL = Control(
    id="NC-10",
    title=Text(
        vi="Nền tảng chỉ chạy ở tầng đám mây được mang cấp độ của nó",
        en="A platform runs only in a tier that may carry its level",
    ),
    citation=Citation(
        document="Decision 942/QĐ-TTg",
        article="IV.2b",
        duty=Text(
            vi="phân tầng đám mây: Chính phủ (CGC), cơ quan (AGC), doanh nghiệp đạt tiêu chí (EGC)",
            en="clouds are divided into the government's, the agencies', and enterprises' that meet the criteria",
        ),
        reading=Reading.SECOND_HAND,
    ),
    see_also=(
        Citation(
            document="Decree 331/2026/NĐ-CP",
            article="articles 14.2 and 30.5b",
            duty=Text(
                vi="hệ thống Chính phủ số toàn quốc thuộc cấp độ 4, được thiết kế sẵn sàng và phân tách",
                en="national systems of digital government are of level 4, designed for availability and separation",
            ),
            reading=Reading.TEXT,
        ),
        Citation(
            document="Decree 331/2026/NĐ-CP",
            article="article 30.9",
            duty=Text(
                vi="hệ thống cấp độ 5 tách riêng về vật lý",
                en="systems of level 5 are separated physically from others",
            ),
            reading=Reading.TEXT,
        ),
    ),
    in_force_from=date(2021, 6, 15),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
