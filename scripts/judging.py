"""`cgc judge`: is the declaration, what it would make, or what runs, allowed? One verdict, one exit code.

Gather (scripts/planned.py, scripts/observing.py), decide (policies/judging.py, pure), show.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from inventories import load_nation
from inventories.errors import ExitCode
from policies.catalogue import all_controls
from policies.control import Control, Finding, Verdict
from policies.judging import judge_all, worst_of
from policies.observed import Observed, Planned
from policies.waivers import WAIVERS, read_waivers
from scripts.access import STATE
from scripts.durable import replace_file
from scripts.errors import ScriptError
from scripts.invocation import JsonOption, current
from scripts.observing import observe
from scripts.planned import manifests_of, planned_of
from scripts.presenting import Column, Table, examples, finish, present, progress
from scripts.reports import cited, junit_of, said, sarif_of

EXIT_CODES = {Verdict.FAIL: ExitCode.NOT_ALLOWED, Verdict.UNKNOWN: ExitCode.UNKNOWN}
NOT_FINE = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIVED)


def judge(
    *,
    plan: Annotated[
        bool, typer.Option("--plan", help="Judge the declaration and what it would make (this is the default).")
    ] = False,
    live: Annotated[bool, typer.Option("--live", help="Judge what runs, too.")] = False,
    against: Annotated[
        Path | None, typer.Option("--against", metavar="DIR", help="Judge this declaration instead of the usual one.")
    ] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Show also what is fine.")] = False,
    sarif: Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Write a SARIF 2.1.0 log.")] = None,
    junit: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")] = None,
    state: Annotated[Path, typer.Option("--state", metavar="DIR", help="Where the credentials lie (--live).")] = STATE,
    as_json: JsonOption = False,
) -> None:
    """Say whether a plan, or what runs, is lawful: each refusal with its article.

    Ends with 0 if it is, 4 if something is not allowed, 3 if something could not be found out.
    """
    del plan  # the default says the same; the flag lets a script say it
    nation = load_nation(against or current().declaration)
    controls = all_controls()
    waivers = read_waivers(WAIVERS, controls=(control.id for control in controls))
    with progress("planning") as step:
        planned: Planned = planned_of(nation)
        observed: Observed | None = None
        if live:
            step.step("looking at nodes and clusters")
            observed = observe(nation, state, manifests=manifests_of(nation))
    findings = judge_all(nation, planned=planned, observed=observed, waivers=waivers, at=datetime.now(UTC))
    if sarif is not None:
        _write(sarif, json.dumps(sarif_of(findings, controls, version=version("cgc")), indent=1, ensure_ascii=False))
    if junit is not None:
        _write(junit, junit_of(findings, controls))
    _show(findings, controls, show_all=show_all, as_json=as_json)
    finish(*exit_codes(findings))


judge.epilog = examples(  # type: ignore[attr-defined] # cli.load reads it
    ("cgc judge", "may the declaration be carried out?"),
    ("cgc judge --plan --against changed/", "may this change be merged?"),
    ("cgc judge --live --json", "is what runs lawful?"),
    ("cgc judge --sarif judge.sarif --junit judge.xml", "for code review and CI"),
)


def exit_codes(findings: Iterable[Finding]) -> tuple[ExitCode, ...]:
    """Return the exit codes that apply to the findings."""
    return tuple(EXIT_CODES[finding.verdict] for finding in findings if finding.verdict in EXIT_CODES)


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text.encode())
    except OSError as err:
        raise ScriptError(
            "CGC-670", f"cannot be written: {err.strerror}", where=str(path), remedy="name a place you may write to"
        ) from err


def _show(findings: Sequence[Finding], controls: Sequence[Control], *, show_all: bool, as_json: bool) -> None:
    shown = [finding for finding in findings if as_json or show_all or finding.verdict in NOT_FINE]
    summary: list[dict[str, object]] = []
    for control in controls:
        of_it = [finding.verdict for finding in findings if finding.control == control.id]
        counts = Counter(of_it)
        summary.append(
            {
                "control": control.id,
                "verdict": worst_of(finding for finding in findings if finding.control == control.id),
                "title": said(control.title),
                "article": cited(control.citation),
                "subjects": ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict]),
            }
        )
    tables = [_summary_table(summary)]
    if shown:
        tables.append(_findings_table(shown))
    present(tables, facts={"verdict": worst_of(findings)}, as_json=as_json)


def _summary_table(rows: Sequence[dict[str, object]]) -> Table:
    return Table(
        name="controls",
        columns=(
            Column(key="control", en="control", vi="kiểm soát"),
            Column(key="verdict", en="verdict", vi="kết luận"),
            Column(key="title", en="duty", vi="nghĩa vụ"),
            Column(key="article", en="article", vi="căn cứ"),
            Column(key="subjects", en="subjects", vi="đối tượng"),
        ),
        rows=tuple(rows),
    )


def _findings_table(findings: Sequence[Finding]) -> Table:
    return Table(
        name="findings",
        title_en="findings",
        title_vi="phát hiện",
        columns=(
            Column(key="control", en="control", vi="kiểm soát"),
            Column(key="stage", en="stage", vi="giai đoạn"),
            Column(key="verdict", en="verdict", vi="kết luận"),
            Column(key="subject", en="subject", vi="đối tượng"),
            Column(key="message", en="what", vi="nội dung"),
            Column(key="where", en="where", vi="ở đâu"),
            Column(key="article", en="article", vi="căn cứ"),
            Column(key="remedy", en="next", vi="cần làm"),
            Column(key="reason", en="why unknown", vi="lý do chưa rõ"),
            Column(key="waived_by", en="waived by", vi="miễn trừ"),
        ),
        rows=tuple(
            {
                "control": finding.control,
                "stage": finding.stage,
                "verdict": finding.verdict,
                "subject": finding.subject,
                "message": said(finding.message),
                "where": finding.where,
                "article": cited(finding.citation),
                "remedy": said(finding.remedy) if finding.remedy else "",
                "reason": finding.reason or "",
                "waived_by": finding.waived_by,
            }
            for finding in findings
        ),
    )
