"""Exceptions to a control: dated records that people grant, read strictly; one function decides whether one counts.

A waiver whose date has passed does not exist, for the gate, the report and the command line alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated

from inventories.constraints import Pattern
from inventories.reading import Reader
from policies.control import Finding, Verdict

WAIVERS = Path(__file__).parent / "waivers.yaml"


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """Lets one subject off one control until (and on) a date."""

    control: Annotated[str, Pattern(r"NC-\d\d", "a control's identifier such as NC-07")]
    subject: Annotated[str, Pattern(r"[a-z]+/\S+", "a subject such as platform/nixa")]
    reason: str
    granted_by: str
    until: date
    place: str = field(default="", metadata={"filled_by_reader": True})  # file:line


@dataclass(frozen=True, kw_only=True)
class WaiversFile:
    """waivers.yaml."""

    waivers: tuple[Waiver, ...]


def read_waivers(path: Path, *, controls: Iterable[str]) -> tuple[Waiver, ...]:
    """Read the waivers, expired ones too; DeclarationRefusedError if the file is wrong or names unknown controls."""
    reader = Reader(path.parent)
    read = reader.read(path.name, WaiversFile)
    known = sorted(controls)
    waivers = tuple(
        replace(waiver, place=reader.place(path.name, "waivers", index))
        for index, waiver in enumerate(read.waivers if read else ())
    )
    seen: set[tuple[str, str]] = set()
    for index, waiver in enumerate(waivers):
        if waiver.control not in known:
            place = reader.place(path.name, "waivers", index, "control")
            reader.complain("CGC-503", place, f"there is no control {waiver.control}", f"known are {', '.join(known)}")
        if (waiver.control, waiver.subject) in seen:
            what = f"{waiver.control} is waived for {waiver.subject} a second time"
            reader.complain("CGC-504", waiver.place, what, "keep one of the two")
        seen.add((waiver.control, waiver.subject))
    reader.refuse_if_wrong()
    return waivers


def in_effect(waivers: Iterable[Waiver], *, on: date) -> tuple[Waiver, ...]:
    """Return the waivers that exist on that date: the only place that decides."""
    return tuple(waiver for waiver in waivers if on <= waiver.until)


def waive(finding: Finding, waivers: Iterable[Waiver], *, on: date) -> Finding:
    """Return the finding as WAIVED if it is a FAIL and a waiver in effect covers it, else as it is.

    UNKNOWN is never waived: what nobody knows cannot be excused.
    """
    if finding.verdict is not Verdict.FAIL:
        return finding
    for waiver in in_effect(waivers, on=on):
        if (waiver.control, waiver.subject) == (finding.control, finding.subject):
            told = f"{waiver.place}: granted by {waiver.granted_by} until {waiver.until}: {waiver.reason}"
            return replace(finding, verdict=Verdict.WAIVED, waived_by=told)
    return finding
