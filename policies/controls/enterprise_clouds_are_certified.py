"""NC-06: an enterprise's cloud serves the state only while a competent agency's certification of it is valid.

Letter 1145/BTTTT-CATTT sets the criteria for cloud platforms that serve digital government; Decision 942/QĐ-TTg, IV.2b
admits enterprises' clouds by such criteria.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from inventories.model import AgencyKind, Cluster, Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard
from policies.kubernetes import in_namespace, of_kind
from policies.observed import ClusterObservation

# Network and digital matters lie with the Ministry of Science and Technology, security with that of Public Security;
# the declaration must say of both that they are ministries.
COMPETENT = frozenset({"mic", "bca"})


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge each certification on the date of judging."""
    for cluster in _concerned(facts):
        fault = _fault(facts, cluster, facts.on)
        yield _judged(facts, cluster, [fault] if fault else [])


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge that no platform ran at the moment of looking without a certification valid at that moment."""
    for cluster in _concerned(facts):
        seen = facts.observed.clusters.get(cluster.id)
        if not isinstance(seen, ClusterObservation):
            yield unheard(f"cluster/{cluster.id}", seen)
            continue
        fault = _fault(facts, cluster, seen.seen_at.date())
        running = sorted(
            platform.id
            for platform in facts.nation.platforms_on(cluster)
            if any(of_kind(in_namespace(seen.objects, platform.namespace), "Pod"))
        )
        faults = (
            [
                (
                    f"{fault[0]}, yet runs {', '.join(running)}",
                    f"{fault[1]}, nhưng vẫn chạy {', '.join(running)}",
                    fault[2],
                )
            ]
            if fault and running
            else []
        )
        yield _judged(facts, cluster, faults)


def _concerned(facts: Facts) -> Iterator[Cluster]:
    return (cluster for cluster in facts.nation.clusters if facts.nation.rules_of(cluster.tier).needs_certification)


def _fault(facts: Facts, cluster: Cluster, on: date) -> tuple[str, str, str] | None:
    """Return what is wrong (English, Vietnamese) and the fact to look at, or None."""
    held = cluster.certification
    if held is None:
        return "holds no certification", "không có chứng nhận", "certification"
    if on > held.expires:
        return (
            f"its certification expired on {held.expires}",
            f"chứng nhận hết hạn ngày {held.expires}",
            "certification.expires",
        )
    if on < held.issued:
        return (
            f"its certification begins on {held.issued}",
            f"chứng nhận có hiệu lực từ {held.issued}",
            "certification.issued",
        )
    issuer = facts.nation.agency_by_id[held.issued_by]
    is_competent = issuer.id in COMPETENT and issuer.kind is AgencyKind.MINISTRY and issuer.id != cluster.operator
    if not is_competent:
        return (
            f"{issuer.id} may not certify it",
            f"{issuer.id} không có thẩm quyền chứng nhận",
            "certification.issued_by",
        )
    return None


def _judged(facts: Facts, cluster: Cluster, faults: list[tuple[str, str, str]]) -> Judgement:
    subject = f"cluster/{cluster.id}"
    for en, vi, fact in faults:
        return failed(
            subject,
            en=en,
            vi=vi,
            where=facts.nation.place_of(subject, fact),
            remedy_en="have it certified anew and declare that, or move its platforms to another cloud",
            remedy_vi="chứng nhận lại và khai báo, hoặc chuyển nền tảng sang đám mây khác",
        )
    return passed(
        subject,
        en="is certified, by a competent agency",
        vi="được cơ quan có thẩm quyền chứng nhận",
        where=facts.nation.place_of(subject, "certification"),
    )


CONTROL = Control(
    id="NC-06",
    title=Text(
        vi="Đám mây doanh nghiệp có chứng nhận còn hiệu lực của cơ quan có thẩm quyền",
        en="Enterprises' clouds hold a valid certification of a competent agency",
    ),
    citation=Citation(
        document="Letter 1145/BTTTT-CATTT",
        article="the set of criteria",
        duty=Text(
            vi="nền tảng điện toán đám mây phục vụ Chính phủ điện tử đạt bộ tiêu chí kỹ thuật và an toàn",
            en="clouds that serve digital government meet the technical and security criteria",
        ),
        reading=Reading.SECOND_HAND,
    ),
    see_also=(
        Citation(
            document="Decision 942/QĐ-TTg",
            article="IV.2b",
            duty=Text(
                vi="đám mây của doanh nghiệp đáp ứng tiêu chí mới được phục vụ cơ quan nhà nước",
                en="clouds of enterprises serve the state where they meet the criteria",
            ),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2020, 4, 3),
    declared=judge_declared,
    observed=judge_observed,
)
