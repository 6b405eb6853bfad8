"""Judge everything by every control: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from inventories.model import Nation, Text
from policies.catalogue import all_controls
from policies.control import Control, Facts, Finding, Judgement, Stage, Verdict, worst
from policies.observed import Observed, Planned
from policies.waivers import Waiver, waive

__all__ = ["judge_all", "worst", "worst_of"]

WHOLE = "nation/all"  # the subject of a control that has nothing to judge


def judge_all(
    nation: Nation,
    *,
    planned: Planned | None,
    observed: Observed | None,
    waivers: Iterable[Waiver],
    at: datetime,
    controls: Iterable[Control] | None = None,
) -> tuple[Finding, ...]:
    """Return what every control says of the declaration, and of the plan and of what runs where they are given.

    Findings come by control, stage and subject. `at` (aware, UTC) decides which duties and waivers are in force.
    """
    facts = Facts(nation=nation, at=at, planned=planned or Planned(), observed=observed or Observed())
    stages = [Stage.DECLARED]
    if planned is not None:
        stages.append(Stage.PLANNED)
    if observed is not None:
        stages.append(Stage.OBSERVED)
    kept = tuple(waivers)
    return tuple(
        waive(_finding(control, stage, judgement), kept, on=facts.on)
        for control in (all_controls() if controls is None else controls)
        for stage in stages
        for judgement in sorted(_judgements(control, stage, facts), key=lambda judgement: judgement.subject)
    )


def worst_of(findings: Iterable[Finding]) -> Verdict:
    """Return the worst verdict of the findings."""
    return worst(finding.verdict for finding in findings)


def _judgements(control: Control, stage: Stage, facts: Facts) -> Iterator[Judgement]:
    judge = control.judge_of(stage)
    if judge is None:
        return
    if not control.is_in_force(facts.on):
        yield _not_applicable(en=f"is not in force on {facts.on}", vi=f"không có hiệu lực vào ngày {facts.on}")
        return
    judgements = tuple(judge(facts))
    yield from judgements or (_not_applicable(en="concerns nothing here", vi="không có đối tượng áp dụng"),)


def _not_applicable(*, en: str, vi: str) -> Judgement:
    return Judgement(subject=WHOLE, verdict=Verdict.NOT_APPLICABLE, message=Text(vi=vi, en=en))


def _finding(control: Control, stage: Stage, judgement: Judgement) -> Finding:
    return Finding(
        control=control.id,
        stage=stage,
        subject=judgement.subject,
        verdict=judgement.verdict,
        message=judgement.message,
        where=judgement.where,
        remedy=judgement.remedy,
        reason=judgement.reason,
        citation=control.citation,
    )
