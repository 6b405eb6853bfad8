"""Waivers are dated records, read strictly; an expired one does not exist."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from inventories.reading import DeclarationRefusedError
from policies.catalogue import all_controls
from policies.control import Stage, Verdict
from policies.judging import judge_all
from policies.waivers import WAIVERS, Waiver, in_effect, read_waivers

CONTROLS = tuple(control.id for control in all_controls())
GOOD = '{control: NC-06, subject: cluster/egc-demo, reason: "renewal under way", granted_by: an.ng, until: 2026-12-01}'


def written(path: Path, *entries: str) -> Path:
    """Write a file of waivers."""
    file = path / "waivers.yaml"
    file.write_text("waivers:\n" + "".join(f"  - {entry}\n" for entry in entries), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("until", "verdict"),
    [(date(2026, 11, 23), Verdict.FAIL), (date(2026, 11, 24), Verdict.WAIVED), (date(2027, 1, 1), Verdict.WAIVED)],
)
def test_a_waiver_counts_until_its_date_and_not_a_day_longer(lawful: Any, until: date, verdict: Verdict) -> None:
    """The same failure is WAIVED on the last day and FAIL on the next; the record says who granted it."""
    case = lawful.with_cluster("egc-demo", certification=None)
    waiver = Waiver(
        control="NC-06", subject="cluster/egc-demo", reason="r", granted_by="an.ng", until=until, place="waivers.yaml:2"
    )
    at = datetime(2026, 11, 24, 23, 59, tzinfo=UTC)
    findings = judge_all(case.nation, planned=None, observed=None, waivers=(waiver,), at=at)
    (found,) = [item for item in findings if item.control == "NC-06"]
    assert found.verdict is verdict
    assert ("an.ng" in found.waived_by) == (verdict is Verdict.WAIVED)


def test_a_waiver_covers_its_own_subject_only(lawful: Any) -> None:
    """Another control's, or another subject's, waiver lets nobody off; and UNKNOWN is never waived."""
    case = lawful.with_cluster("egc-demo", certification=None)
    right = Waiver(control="NC-06", subject="cluster/egc-demo", reason="r", granted_by="x", until=date(2030, 1, 1))
    wrong = (replace(right, control="NC-05"), replace(right, subject="cluster/cgc-north"))
    at = datetime(2026, 11, 24, tzinfo=UTC)
    findings = judge_all(case.nation, planned=None, observed=None, waivers=wrong, at=at)
    assert [item.verdict for item in findings if item.control == "NC-06"] == [Verdict.FAIL]
    silent = case.seeing(clusters={}).observed
    blind = replace(silent, clusters={})
    findings = judge_all(case.nation, planned=None, observed=blind, waivers=(right,), at=at)
    seen = [item.verdict for item in findings if item.control == "NC-06" and item.stage is Stage.OBSERVED]
    assert seen == [Verdict.UNKNOWN]


def test_waivers_are_read_with_their_places(tmp_path: Path) -> None:
    """A good file is read; each waiver knows its line."""
    (waiver,) = read_waivers(written(tmp_path, GOOD), controls=CONTROLS)
    assert waiver.place == f"{tmp_path / 'waivers.yaml'}:2"
    assert waiver.until == date(2026, 12, 1)


@pytest.mark.parametrize(
    "entry",
    [
        GOOD.replace("NC-06", "NC-99"),
        GOOD.replace("NC-06", "six"),
        GOOD.replace("2026-12-01", "2026-13-01"),
        GOOD.replace("2026-12-01", "whenever"),
        GOOD.replace(", granted_by: an.ng", ""),
        GOOD.replace("reason", "because"),
        GOOD.replace("cluster/egc-demo", "everything"),
    ],
)
def test_a_wrong_waiver_stops_everything(tmp_path: Path, entry: str) -> None:
    """Unknown control, no date, nobody who granted it, an unknown key: refused with its line."""
    with pytest.raises(DeclarationRefusedError) as refused:
        read_waivers(written(tmp_path, entry), controls=CONTROLS)
    assert str(refused.value).startswith(f"{tmp_path / 'waivers.yaml'}:2: CGC-")


def test_the_same_thing_is_not_waived_twice(tmp_path: Path) -> None:
    """Two records of one exception would leave open which date counts."""
    with pytest.raises(DeclarationRefusedError, match="CGC-504"):
        read_waivers(written(tmp_path, GOOD, GOOD), controls=CONTROLS)


def test_no_waiver_in_the_repository_has_expired() -> None:
    """An exception whose date has passed is removed, not kept as decoration."""
    today = datetime.now(UTC).date()
    waivers = read_waivers(WAIVERS, controls=CONTROLS)
    assert in_effect(waivers, on=today) == waivers
