"""`cgc drift`: where reality departs from the declaration, who made it so and when, and what converging repairs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from inventories import Nation, load_nation
from inventories.errors import ExitCode
from policies.drift import Drift, find_drift
from policies.observed import Observed, Planned
from scripts.access import STATE
from scripts.enrolling import enrolment_of
from scripts.invocation import JsonOption, current
from scripts.observing import access_of, observe
from scripts.planned import planned_of
from scripts.presenting import Column, Table, examples, finish, present, progress


def drift(
    *,
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Where the credentials lie.")] = STATE,
    diff: Annotated[bool, typer.Option("--diff", help="Show the texts' differences.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show where reality departs from the declaration, with who and when where the system knows it.

    Ends with 0 if nothing departs, 5 if something does, 3 if somebody did not answer.
    """
    nation = load_nation(current().declaration)
    with progress("looking at nodes and clusters"):
        planned, observed = gather(nation, state)
    found = find_drift(nation, planned, observed)
    show(found, as_json=as_json, diff=diff)
    finish(*exit_codes(found))


drift.epilog = examples(  # type: ignore[attr-defined] # cli.load reads it
    ("cgc drift", "is everything as declared?"),
    ("cgc drift --diff", "and which lines were changed?"),
    ("cgc drift --json", "the same for a program"),
)


def gather(nation: Nation, state: Path) -> tuple[Planned, Observed]:
    """Return what every node and cluster should be, and what each of them is.

    ScriptError CGC-650 without credentials, CGC-652 if no node was ever enrolled.
    """
    access_of(state).require()
    planned = planned_of(nation, enrolment=enrolment_of(nation, state, now=datetime.now(UTC)))
    return planned, observe(nation, state, manifests=planned.cluster_objects)


def exit_codes(found: Drift) -> tuple[ExitCode, ...]:
    """Return the exit codes that apply: something departs, somebody was silent."""
    codes = (ExitCode.DIFFERS,) if found.items else ()
    return (*codes, ExitCode.UNKNOWN) if found.silences else codes


def show(found: Drift, *, as_json: bool, diff: bool = False) -> None:
    """Print what departs and who did not answer."""
    tables = []
    if found.items or as_json:
        tables.append(drift_table(found, as_json=as_json, diff=diff))
    if found.silences or as_json:
        tables.append(_silences(found))
    facts = {
        "verdict": found.verdict,
        "departures": len(found.items),
        "subjects_heard": found.heard,
        "subjects_silent": len(found.silences),
    }
    present(tables, facts=facts, as_json=as_json)


def drift_table(found: Drift, *, as_json: bool, diff: bool = False) -> Table:
    """Return everything that departs as a table; texts are shortened for people."""
    columns = [
        Column(key="subject", en="subject", vi="đối tượng"),
        Column(key="what", en="what", vi="sai lệch"),
        Column(key="where", en="where", vi="ở đâu"),
        Column(key="part", en="part", vi="phần"),
        Column(key="expected", en="declared", vi="khai báo"),
        Column(key="found", en="found", vi="thực tế"),
        Column(key="who", en="who", vi="ai"),
        Column(key="through", en="through", vi="bằng"),
        Column(key="when", en="when", vi="khi nào"),
        Column(key="repairable", en="converge repairs it", vi="hội tụ sửa được"),
    ]
    if diff or as_json:
        columns.append(Column(key="diff", en="difference", vi="khác biệt"))
    rows = tuple(
        {
            "subject": item.subject,
            "what": item.departure,
            "where": item.where,
            "part": item.part,
            "expected": _short(item.expected, as_json=as_json),
            "found": _short(item.found, as_json=as_json),
            "who": item.who,
            "through": item.through,
            "when": item.when,
            "repairable": item.repairable,
            "diff": item.diff,
        }
        for item in found.items
    )
    return Table(name="drift", columns=tuple(columns), rows=rows)


def _silences(found: Drift) -> Table:
    return Table(
        name="silent",
        title_en="did not answer",
        title_vi="không trả lời",
        columns=(
            Column(key="subject", en="subject", vi="đối tượng"),
            Column(key="reason", en="why", vi="lý do"),
            Column(key="detail", en="detail", vi="chi tiết"),
        ),
        rows=tuple(
            {"subject": silence.subject, "reason": silence.reason, "detail": silence.detail}
            for silence in found.silences
        ),
    )


SHORTEST_USEFUL = 60


def _short(text: str, *, as_json: bool) -> str:
    if as_json or len(text) <= SHORTEST_USEFUL:
        return text
    return f"{text[: SHORTEST_USEFUL - 1]}…"
