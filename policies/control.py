"""What a control is, and what it says: one duty of law, judged over what is declared, planned and observed.

Facts go in, judgements come out; nothing here reads a file, a clock or a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from inventories.model import Nation, Text
from policies.observed import Observed, Planned, Reason, Silence


class Verdict(StrEnum):
    """What was found about one subject, worst first; a set is as bad as its worst."""

    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"
    WAIVED = "WAIVED"
    PASS = "PASS"  # noqa: S105 - no password
    NOT_APPLICABLE = "NOT_APPLICABLE"


_RANK = {verdict: rank for rank, verdict in enumerate(Verdict)}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of the verdicts; nothing at all is NOT_APPLICABLE."""
    return min(verdicts, key=_RANK.__getitem__, default=Verdict.NOT_APPLICABLE)


class Severity(StrEnum):
    """Whether the source says shall or should."""

    MUST = "must"
    SHOULD = "should"


class Stage(StrEnum):
    """What was judged: the declaration, what the toolkit would make of it, or what runs."""

    DECLARED = "declared"
    PLANNED = "planned"
    OBSERVED = "observed"


class Reading(StrEnum):
    """How well we know the source; what is second-hand must be compared with the gazette before it is relied upon."""

    TEXT = "the text was read"
    SECOND_HAND = "known second-hand"
    OWN = "a rule of our own"


@dataclass(frozen=True, kw_only=True)
class Citation:
    """Where a duty is written down; `duty` is our own wording of it."""

    document: str
    article: str
    duty: Text
    reading: Reading

    def __str__(self) -> str:
        """Return the document and its article."""
        return f"{self.document}, {self.article}"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What a control says of one subject; `where` is a file:line or names an object. UNKNOWN has a reason."""

    subject: str
    verdict: Verdict
    message: Text
    where: str = ""
    remedy: Text | None = None
    reason: Reason | None = None

    def __post_init__(self) -> None:
        """Refuse a verdict that does not say what its reader needs."""
        if (self.verdict is Verdict.UNKNOWN) != (self.reason is not None):
            raise ValueError(f"{self.subject}: UNKNOWN and only UNKNOWN has a reason")
        if self.verdict is Verdict.FAIL and self.remedy is None:
            raise ValueError(f"{self.subject}: FAIL says what to do")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A judgement with the control that made it, at which stage, and the waiver if one covers it."""

    control: str
    stage: Stage
    subject: str
    verdict: Verdict
    message: Text
    where: str
    remedy: Text | None
    reason: Reason | None
    citation: Citation
    waived_by: str = ""  # the waiver's file:line, who granted it, and until when


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Everything that a control may know. `at` is the moment of judging, aware, in UTC."""

    nation: Nation
    at: datetime
    planned: Planned = field(default_factory=Planned)
    observed: Observed = field(default_factory=Observed)

    @property
    def on(self) -> date:
        """The date of judging (UTC)."""
        return self.at.date()


Judge = Callable[[Facts], Iterable[Judgement]]


@dataclass(frozen=True, kw_only=True)
class Control:
    """One duty; a stage whose judge is None has nothing to say about it. Dates are inclusive."""

    id: str
    title: Text
    citation: Citation
    see_also: tuple[Citation, ...] = ()
    severity: Severity = Severity.MUST
    in_force_from: date
    in_force_to: date | None = None
    declared: Judge | None = None
    planned: Judge | None = None
    observed: Judge | None = None

    def is_in_force(self, on: date) -> bool:
        """Whether the duty binds on that date."""
        return self.in_force_from <= on and (self.in_force_to is None or on <= self.in_force_to)

    def judge_of(self, stage: Stage) -> Judge | None:
        """Return the function that judges the stage."""
        return {Stage.DECLARED: self.declared, Stage.PLANNED: self.planned, Stage.OBSERVED: self.observed}[stage]


def passed(subject: str, *, en: str, vi: str, where: str = "") -> Judgement:
    """Say that the subject does its duty."""
    return Judgement(subject=subject, verdict=Verdict.PASS, message=Text(vi=vi, en=en), where=where)


def failed(subject: str, *, en: str, vi: str, where: str, remedy_en: str, remedy_vi: str) -> Judgement:
    """Say that the subject does not do its duty."""
    return Judgement(
        subject=subject,
        verdict=Verdict.FAIL,
        message=Text(vi=vi, en=en),
        where=where,
        remedy=Text(vi=remedy_vi, en=remedy_en),
    )


def unknown(subject: str, *, reason: Reason, en: str, vi: str, where: str = "") -> Judgement:
    """Say that it could not be found out whether the subject does its duty."""
    return Judgement(subject=subject, verdict=Verdict.UNKNOWN, message=Text(vi=vi, en=en), where=where, reason=reason)


def unheard(subject: str, silence: Silence | None) -> Judgement:
    """Say that the subject did not answer, or (None) that nobody asked it."""
    if silence is None:
        return unknown(subject, reason=Reason.MISSING, en="was not looked at", vi="chưa được quan sát")
    return unknown(
        subject,
        reason=silence.reason,
        en=f"did not answer: {silence.detail}",
        vi=f"không trả lời: {silence.detail}",
        where=silence.seen_from,
    )
