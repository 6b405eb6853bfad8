"""Findings for other tools: SARIF 2.1.0 (OASIS, for code review) and JUnit XML (for CI's list of tests)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as ET

from inventories.model import Text
from policies.control import Citation, Control, Finding, Reading, Severity, Verdict
from scripts.invocation import speak

SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
KINDS = {  # SARIF 2.1.0, 3.27.9: what a result's kind means
    Verdict.FAIL: "fail",
    Verdict.UNKNOWN: "open",
    Verdict.WAIVED: "fail",
    Verdict.PASS: "pass",
    Verdict.NOT_APPLICABLE: "notApplicable",
}
LEVELS = {Severity.MUST: "error", Severity.SHOULD: "warning"}


def sarif_of(findings: Iterable[Finding], controls: Sequence[Control], *, version: str) -> dict[str, Any]:
    """Return the findings as a SARIF log; what passed is in it too, so that a report proves what was looked at."""
    severity = {control.id: control.severity for control in controls}
    return {
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "cgc",
                        "semanticVersion": version,
                        "rules": [_rule(control) for control in controls],
                    }
                },
                "results": [_result(finding, severity[finding.control]) for finding in findings],
            }
        ],
    }


def _rule(control: Control) -> dict[str, Any]:
    citation = control.citation
    return {
        "id": control.id,
        "shortDescription": {"text": said(control.title)},
        "fullDescription": {"text": f"{cited(citation)}: {said(citation.duty)}"},
        "defaultConfiguration": {"level": LEVELS[control.severity]},
        "properties": {
            "citation": str(citation),
            "secondHand": citation.reading is Reading.SECOND_HAND,
            "inForceFrom": control.in_force_from.isoformat(),
        },
    }


def _result(finding: Finding, severity: Severity) -> dict[str, Any]:
    kind = KINDS[finding.verdict]
    text = f"{finding.subject} {said(finding.message)}"
    remedy = f" {said(finding.remedy)}." if finding.remedy else ""
    result: dict[str, Any] = {
        "ruleId": finding.control,
        "kind": kind,
        "level": LEVELS[severity] if kind == "fail" else "none",  # 3.27.10: a level other than none only for a fail
        "message": {"text": f"{text} ({cited(finding.citation)}).{remedy}"},
        "locations": [_location(finding)],
        "partialFingerprints": {"subject/v1": f"{finding.control}/{finding.stage}/{finding.subject}"},
        "properties": {"stage": finding.stage.value, "verdict": finding.verdict.value},
    }
    if finding.reason is not None:
        result["properties"]["reason"] = finding.reason.value
    if finding.verdict is Verdict.WAIVED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": finding.waived_by}]
    return result


def _location(finding: Finding) -> dict[str, Any]:
    logical = {"logicalLocations": [{"fullyQualifiedName": finding.subject}]}
    path, _, line = finding.where.rpartition(":")
    is_file = path.endswith((".yaml", ".csv", ".cfg", ".py")) and line.isdigit() and ":" not in path
    if not is_file:
        return logical
    region = {"startLine": int(line)}
    return {"physicalLocation": {"artifactLocation": {"uri": path}, "region": region}, **logical}


def junit_of(findings: Iterable[Finding], controls: Sequence[Control]) -> str:
    """Return the findings as JUnit XML: a suite for each control, a case for each subject and stage.

    FAIL is a failure, UNKNOWN an error, WAIVED and NOT_APPLICABLE are skipped.
    """
    by_control: dict[str, list[Finding]] = {control.id: [] for control in controls}
    for finding in findings:
        by_control[finding.control].append(finding)
    root = ET.Element("testsuites", name="cgc judge")
    titles: Mapping[str, str] = {control.id: said(control.title) for control in controls}
    for identifier, said_of_it in by_control.items():
        verdicts = [finding.verdict for finding in said_of_it]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{identifier} {titles[identifier]}",
            tests=str(len(verdicts)),
            failures=str(verdicts.count(Verdict.FAIL)),
            errors=str(verdicts.count(Verdict.UNKNOWN)),
            skipped=str(verdicts.count(Verdict.WAIVED) + verdicts.count(Verdict.NOT_APPLICABLE)),
        )
        for finding in said_of_it:
            _case(suite, finding)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, finding: Finding) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"{finding.control}.{finding.stage}", name=finding.subject)
    text = f"{said(finding.message)} ({cited(finding.citation)}) {finding.where}".strip()
    if finding.verdict is Verdict.FAIL:
        remedy = f"\n{said(finding.remedy)}" if finding.remedy else ""
        ET.SubElement(case, "failure", message=said(finding.message)).text = f"{text}{remedy}"
    elif finding.verdict is Verdict.UNKNOWN:
        ET.SubElement(case, "error", message=said(finding.message), type=str(finding.reason)).text = text
    elif finding.verdict is not Verdict.PASS:
        ET.SubElement(case, "skipped", message=finding.waived_by or said(finding.message))


# The words of a citation, as Vietnamese law writes them.
_VIETNAMESE = (
    ("Decree ", "Nghị định "),
    ("Circular ", "Thông tư "),
    ("Decision ", "Quyết định "),
    ("Letter ", "Công văn "),
    ("articles ", "điều "),
    ("article ", "điều "),
    ("annex ", "phụ lục "),
    ("the set of criteria", "bộ tiêu chí"),
    (" and ", " và "),
    (" to ", " đến "),
)


def cited(citation: Citation) -> str:
    """Return a citation in the user's language."""
    vietnamese = str(citation)
    for english, word in _VIETNAMESE:
        vietnamese = vietnamese.replace(english, word)
    return speak(en=str(citation), vi=vietnamese)


def said(text: Text) -> str:
    """Return a text in the user's language."""
    return speak(en=text.en, vi=text.vi)
