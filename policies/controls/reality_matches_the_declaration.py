"""NC-11: what runs is what was declared, and nothing else.

Decree 331/2026/NĐ-CP, article 30.6: a system goes into operation with its approved plan carried out in full. TCVN
14423:2026 asks for the detection of unauthorised software and changes. Departures are found by policies/drift.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

from inventories.model import Text
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard, unknown
from policies.drift import DriftItem, cluster_drift, node_drift
from policies.observed import ClusterObservation, NodeObservation, Reason

SHOWN = 5  # departures named in one finding; `cgc drift` lists them all


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge each node and each cluster."""
    for node in facts.nation.nodes:
        seen, subject = facts.observed.nodes.get(node.name), f"node/{node.name}"
        if isinstance(seen, NodeObservation):
            items = node_drift(seen, fingerprint=facts.planned.fingerprints.get(node.name))
            yield _judged(subject, items, where=node.name)
        else:
            yield unheard(subject, seen)
    for cluster in facts.nation.clusters:
        looked, subject = facts.observed.clusters.get(cluster.id), f"cluster/{cluster.id}"
        manifest = facts.planned.cluster_objects.get(cluster.id)
        if not isinstance(looked, ClusterObservation):
            yield unheard(subject, looked)
        elif manifest is None:
            yield unknown(
                subject,
                reason=Reason.MISSING,
                en="its manifest is not at hand to compare with",
                vi="không có bản kê của cụm để đối chiếu",
                where=cluster.id,
            )
        else:
            yield _judged(subject, cluster_drift(manifest, looked), where=cluster.id)


def _judged(subject: str, items: Sequence[DriftItem], *, where: str) -> Judgement:
    if not items:
        return passed(subject, en="is as declared", vi="đúng như khai báo", where=where)
    named = "; ".join(
        " ".join(part for part in (item.where, item.part, item.departure) if part) for item in items[:SHOWN]
    )
    more = f" (+{len(items) - SHOWN})" if len(items) > SHOWN else ""
    can = all(item.repairable for item in items)
    return failed(
        subject,
        en=f"departs from the declaration: {named}{more}",
        vi=f"khác với khai báo: {named}{more}",
        where=f"{where}: {items[0].where}",
        remedy_en="`cgc converge --apply` repairs it" if can else "`cgc drift` says which parts a person must remove",
        remedy_vi="`cgc converge --apply` sẽ sửa" if can else "`cgc drift` cho biết phần nào phải do người gỡ bỏ",
    )


CONTROL = Control(
    id="NC-11",
    title=Text(vi="Thực tế khớp với khai báo", en="Reality matches the declaration"),
    citation=Citation(
        document="Decree 331/2026/NĐ-CP",
        article="article 30.6",
        duty=Text(
            vi="triển khai đầy đủ phương án bảo đảm an ninh mạng đã được phê duyệt",
            en="the approved plan of protection is carried out in full",
        ),
        reading=Reading.TEXT,
    ),
    see_also=(
        Citation(
            document="TCVN 14423:2026",
            article="x.3.2",
            duty=Text(vi="phát hiện phần mềm không được phép", en="software that nobody authorised is detected"),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2026, 8, 19),
    observed=judge_observed,
)
