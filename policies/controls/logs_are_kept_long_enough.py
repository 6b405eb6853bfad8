"""NC-04: logs are kept for as long as the strictest rule that applies to the system demands.

The sources disagree (TCVN 14423:2026: none, 1, 3, 6, 12 months by level; QCVN 12:2026/BCA: 12 months at every level,
but for archives of electronic documents only; Decree 333/2026: 12 months for providers of online services), so the
minimum is the greatest of those that apply.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from inventories.model import Nation, Node, Platform, Role, Text, Tier
from policies.control import Citation, Control, Facts, Judgement, Reading, failed, passed, unheard, unknown
from policies.observed import NodeObservation, Reason

MONTHS_BY_LEVEL = {1: 0, 2: 1, 3: 3, 4: 6, 5: 12}  # TCVN 14423:2026, 4.8.2.1a, 5.8.2.1a, 6.8.2.1a, 7.8.2.1a
ARCHIVE_MONTHS = 12  # QCVN 12:2026/BCA, 3.9.2.1.9
# ASSUMPTION: the document exchange axis (its item in Decision 942/QĐ-TTg) counts as an archive; nobody has ruled so.
ARCHIVES = frozenset({"IV.5đ"})
PROVIDER_MONTHS = 12  # Decree 333/2026/NĐ-CP, articles 19-20: enterprises that serve others online
BACKBONE_LEVEL = 4  # Decree 331/2026/NĐ-CP, article 14.2: infrastructure of the whole nation
ACCESS_LEVEL = 3  # article 13.3: infrastructure of one province or ministry
BACKBONE = (Role.CORE, Role.GATEWAY, Role.OPERATIONS)
DAYS_A_MONTH = 30.44  # systemd.time(7)
_RETENTION = re.compile(r"^\s*MaxRetentionSec\s*=\s*(?P<span>\S.*?)\s*$", re.MULTILINE)  # journald.conf(5)
_SPAN = re.compile(r"(?P<number>\d+)\s*(?P<unit>[A-Za-zµ]*)")
_DAYS = {
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1 / 86_400),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 1 / 1_440),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 1 / 24),
    **dict.fromkeys(("d", "day", "days"), 1.0),
    **dict.fromkeys(("w", "week", "weeks"), 7.0),
    **dict.fromkeys(("M", "month", "months"), DAYS_A_MONTH),
    **dict.fromkeys(("y", "year", "years"), 365.25),
}


def judge_declared(facts: Facts) -> Iterator[Judgement]:
    """Judge the declared retention of every platform's level."""
    for platform in facts.nation.platforms:
        needed, kept = months_needed(platform), facts.nation.retention_months(platform.level)
        where = facts.nation.place_of(f"level/{platform.level}", "months")
        yield _judged(f"platform/{platform.id}", kept=kept, needed=needed, where=where)


def judge_planned(facts: Facts) -> Iterator[Judgement]:
    """Judge the retention that each node's journal would be configured with."""
    for node in facts.nation.nodes:
        files = facts.planned.node_files.get(node.name, {})
        found = {
            path: match["span"]
            for path, text in sorted(files.items())
            if "journald" in path
            for match in _RETENTION.finditer(text)
        }
        subject, needed = f"node/{node.name}", months_needed_on(facts.nation, node)
        if not found:
            yield unknown(
                subject,
                reason=Reason.MISSING,
                en="nothing planned says for how long its journal is kept",
                vi="kế hoạch không nêu thời hạn lưu nhật ký",
                where=node.name,
            )
            continue
        path, span = list(found.items())[-1]  # drop-ins are read in order, the last one counts
        yield _judged(subject, kept=months_of(span), needed=needed, where=f"{node.name}:{path}")


def judge_observed(facts: Facts) -> Iterator[Judgement]:
    """Judge the retention that each node's journal runs with."""
    for node in facts.nation.nodes:
        subject = f"node/{node.name}"
        seen = facts.observed.nodes.get(node.name)
        if not isinstance(seen, NodeObservation):
            yield unheard(subject, seen)
        elif seen.log_retention_months is None:
            yield unknown(
                subject,
                reason=Reason.MISSING,
                en="does not say for how long its journal is kept",
                vi="không cho biết thời hạn lưu nhật ký",
                where=seen.seen_from,
            )
        else:
            needed = months_needed_on(facts.nation, node)
            yield _judged(subject, kept=seen.log_retention_months, needed=needed, where=node.name)


def months_needed(platform: Platform) -> int:
    """Return the months that the law demands for a platform's logs."""
    needed = MONTHS_BY_LEVEL[platform.level]
    if platform.ref in ARCHIVES:
        needed = max(needed, ARCHIVE_MONTHS)
    if platform.tier is Tier.EGC:
        needed = max(needed, PROVIDER_MONTHS)
    return needed


def months_needed_on(nation: Nation, node: Node) -> int:
    """Return the months that the law demands of a node: its own level's, or its platforms' if more."""
    own = MONTHS_BY_LEVEL[BACKBONE_LEVEL if node.role in BACKBONE else ACCESS_LEVEL]
    carried = nation.platforms_on(nation.cluster_by_id[node.cluster]) if node.cluster else ()
    return max((own, *(months_needed(platform) for platform in carried)))


def months_of(span: str) -> int:
    """Return a systemd time span in whole months, half a day rounded up; 0 means for ever (journald.conf(5))."""
    days = sum(int(match["number"]) * _DAYS.get(match["unit"], 0.0) for match in _SPAN.finditer(span))
    return int((days + 0.5) / DAYS_A_MONTH) if days else 10**6


def _judged(subject: str, *, kept: int, needed: int, where: str) -> Judgement:
    if kept >= needed:
        return passed(
            subject,
            en=f"logs are kept for {kept} months, {needed} are demanded",
            vi=f"nhật ký được lưu {kept} tháng, yêu cầu {needed}",
            where=where,
        )
    return failed(
        subject,
        en=f"logs are kept for {kept} months, {needed} are demanded",
        vi=f"nhật ký chỉ được lưu {kept} tháng, yêu cầu {needed}",
        where=where,
        remedy_en="raise the months of its level in tiers.yaml, then converge",
        remedy_vi="tăng số tháng của cấp độ trong tiers.yaml, rồi hội tụ",
    )


CONTROL = Control(
    id="NC-04",
    title=Text(vi="Nhật ký được lưu đủ thời hạn theo cấp độ", en="Logs are kept as long as their level demands"),
    citation=Citation(
        document="TCVN 14423:2026",
        article="4.8.2.1a, 5.8.2.1a, 6.8.2.1a, 7.8.2.1a",
        duty=Text(
            vi="lưu nhật ký ít nhất 1, 3, 6, 12 tháng cho cấp độ 2, 3, 4, 5",
            en="logs are kept for at least 1, 3, 6, 12 months at levels 2, 3, 4, 5",
        ),
        reading=Reading.SECOND_HAND,
    ),
    see_also=(
        Citation(
            document="QCVN 12:2026/BCA",
            article="3.9.2.1.9",
            duty=Text(
                vi="hệ thống lưu trữ tài liệu điện tử lưu nhật ký ít nhất 12 tháng ở mọi cấp độ",
                en="archives of electronic documents keep logs for at least 12 months at every level",
            ),
            reading=Reading.TEXT,
        ),
        Citation(
            document="Decree 333/2026/NĐ-CP",
            article="articles 19-20",
            duty=Text(
                vi="doanh nghiệp cung cấp dịch vụ trên mạng lưu nhật ký ít nhất 12 tháng",
                en="providers of online services keep logs for at least 12 months",
            ),
            reading=Reading.SECOND_HAND,
        ),
    ),
    in_force_from=date(2026, 7, 1),
    declared=judge_declared,
    planned=judge_planned,
    observed=judge_observed,
)
