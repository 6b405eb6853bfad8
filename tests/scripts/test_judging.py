"""`cgc judge`: one verdict, one exit code, the article behind each refusal, and reports that other tools can read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from typer.testing import CliRunner

from inventories import Nation, load_nation
from inventories.errors import ExitCode
from inventories.model import Text
from policies.catalogue import all_controls
from policies.control import Finding, Stage, Verdict
from policies.judging import judge_all, worst_of
from policies.observed import Reason
from scripts.cli import app
from scripts.judging import exit_codes
from scripts.planned import own_files, planned_of, stand_in
from scripts.presenting import worst
from scripts.reports import junit_of, sarif_of

AT = datetime(2026, 11, 24, tzinfo=UTC)
SCHEMA = Path(__file__).parent / "schemas" / "sarif-2.1.0.json"
runner = CliRunner(env={"LANG": "C", "LC_ALL": "C", "COLUMNS": "200"})


@pytest.fixture
def unlawful(declaration: Path) -> Path:
    """Return the day's unlawful change: NIXA, of level 4, moved to an enterprise's cloud."""
    path = declaration / "platforms.yaml"
    text = path.read_text(encoding="utf-8")
    old = "    tier: cgc\n    level: 4\n    clusters: [cgc-north, cgc-south]\n"
    assert old in text
    path.write_text(text.replace(old, "    tier: egc\n    level: 4\n    clusters: [egc-demo]\n", 1), encoding="utf-8")
    return declaration


@pytest.fixture(scope="session")
def some_findings(nation: Nation) -> tuple[Finding, ...]:
    """Return real findings, and of each verdict at least one."""
    findings = judge_all(nation, planned=None, observed=None, waivers=(), at=AT)
    of = findings[0]
    made = (
        replace(of, verdict=Verdict.FAIL, remedy=Text(vi="sửa", en="mend <it> & more"), subject="platform/a"),
        replace(of, verdict=Verdict.UNKNOWN, reason=Reason.UNREACHABLE, subject="node/b", where="b"),
        replace(of, verdict=Verdict.WAIVED, waived_by="waivers.yaml:2: granted by x", subject="node/c"),
        replace(of, verdict=Verdict.NOT_APPLICABLE, subject="nation/all", where=""),
    )
    return (*findings, *made)


def test_the_rehearsals_own_plan_is_lawful(nation: Nation) -> None:
    """What the toolkit would really make of the rehearsal passes every control; no question stays open."""
    findings = judge_all(nation, planned=planned_of(nation), observed=None, waivers=(), at=AT)
    bad = [item for item in findings if item.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)]
    assert [(item.control, item.subject, item.message.en) for item in bad] == []
    planned = {item.control for item in findings if item.stage is Stage.PLANNED and item.verdict is Verdict.PASS}
    assert planned == {control.id for control in all_controls() if control.planned}


def test_judging_the_plan_ends_with_zero_where_all_is_lawful() -> None:
    """`cgc judge` shows every control with its article, and nothing that needs attention."""
    result = runner.invoke(app, ["judge", "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.AS_DECLARED, result.output
    shown = json.loads(result.stdout)
    assert shown["verdict"] == "PASS"
    assert [row["control"] for row in shown["controls"]] == [control.id for control in all_controls()]
    assert all(row["article"] for row in shown["controls"])


def test_an_unlawful_change_is_refused_with_the_article(unlawful: Path) -> None:
    """A level-4 platform moved to EGC: exit code 4, the line, and the article, in the table and in JSON."""
    result = runner.invoke(app, ["judge", "--plan", "--against", str(unlawful), "--json"], prog_name="cgc")
    assert result.exit_code == ExitCode.NOT_ALLOWED
    shown = json.loads(result.stdout)
    (found,) = [
        row
        for row in shown["findings"]
        if (row["control"], row["stage"], row["verdict"]) == ("NC-10", "declared", "FAIL")
    ]
    assert found["subject"] == "platform/nixa"
    assert found["article"] == "Decision 942/QĐ-TTg, IV.2b"
    assert found["where"] == f"{unlawful}/platforms.yaml:7"
    table = runner.invoke(app, ["judge", "--plan", "--against", str(unlawful)], prog_name="cgc")
    assert table.exit_code == ExitCode.NOT_ALLOWED
    assert "Decision 942/QĐ-TTg, IV.2b" in table.stdout
    assert "is of level 4; tier egc carries levels up to 2" in table.stdout


def test_a_person_may_read_it_in_vietnamese(unlawful: Path) -> None:
    """With --lang vi the table, the duties and the findings are Vietnamese; codes and names stay."""
    result = runner.invoke(app, ["--lang", "vi", "judge", "--against", str(unlawful)], prog_name="cgc")
    assert "Nền tảng chỉ chạy ở tầng đám mây được mang cấp độ của nó" in result.stdout
    assert "thuộc cấp độ 4; tầng egc chỉ được mang tới cấp độ 2" in result.stdout
    assert "Quyết định 942/QĐ-TTg, IV.2b" in result.stdout
    assert "platform/nixa" in result.stdout


def test_a_wrong_declaration_is_no_question_of_law(declaration: Path) -> None:
    """What cannot be read is wrong input (2), not unlawful (4)."""
    (declaration / "nation.yaml").write_text("", encoding="utf-8")
    result = runner.invoke(app, ["judge", "--against", str(declaration)], prog_name="cgc")
    assert result.exit_code == ExitCode.WRONG_INPUT
    assert result.stdout == ""


def test_judging_what_runs_without_credentials_says_what_is_missing(tmp_path: Path) -> None:
    """`--live` where nothing was raised: the operation failed, with the remedy; nothing is called lawful."""
    result = runner.invoke(app, ["judge", "--live", "--state", str(tmp_path / "none")], prog_name="cgc")
    assert result.exit_code == ExitCode.FAILED
    assert "CGC-650" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        ((Verdict.PASS, Verdict.WAIVED, Verdict.NOT_APPLICABLE), ExitCode.AS_DECLARED),
        ((Verdict.PASS, Verdict.FAIL), ExitCode.NOT_ALLOWED),
        ((Verdict.UNKNOWN, Verdict.PASS), ExitCode.UNKNOWN),
        ((Verdict.UNKNOWN, Verdict.FAIL), ExitCode.UNKNOWN),  # the smallest that applies wins
    ],
)
def test_the_exit_code_is_the_smallest_that_applies(
    some_findings: tuple[Finding, ...], verdicts: tuple[Verdict, ...], code: ExitCode
) -> None:
    """4 for FAIL, 3 for UNKNOWN, 0 otherwise."""
    assert worst(exit_codes(replace(some_findings[0], verdict=verdict) for verdict in verdicts)) == code


def test_the_sarif_log_keeps_the_published_schema(some_findings: tuple[Finding, ...]) -> None:
    """What code review reads is valid SARIF 2.1.0, with a rule for each control and a result for each finding."""
    log = sarif_of(some_findings, all_controls(), version="0.1.0")
    jsonschema.validate(log, json.loads(SCHEMA.read_text(encoding="utf-8")))
    (run,) = log["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == [control.id for control in all_controls()]
    assert len(run["results"]) == len(some_findings)
    kinds = {result["properties"]["verdict"]: (result["kind"], result["level"]) for result in run["results"]}
    assert kinds["FAIL"] == ("fail", "error")
    assert kinds["UNKNOWN"] == ("open", "none")
    assert kinds["PASS"] == ("pass", "none")
    waived = [result for result in run["results"] if result["properties"]["verdict"] == "WAIVED"]
    assert waived[0]["suppressions"][0]["status"] == "accepted"


def test_sarif_points_at_the_line_of_the_declaration(unlawful: Path) -> None:
    """A reviewer's tool can put the finding beside the line."""
    nation = load_nation(unlawful)
    findings = judge_all(nation, planned=None, observed=None, waivers=(), at=AT)
    results = sarif_of(findings, all_controls(), version="0.1.0")["runs"][0]["results"]
    (found,) = [item for item in results if item["ruleId"] == "NC-10" and item["kind"] == "fail"]
    place = found["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"].endswith("/platforms.yaml")
    assert place["region"] == {"startLine": 7}


def test_junit_counts_what_ci_must_count(some_findings: tuple[Finding, ...]) -> None:
    """FAIL is a failure, UNKNOWN an error, WAIVED and NOT_APPLICABLE are skipped; special characters survive."""
    root = ET.fromstring(junit_of(some_findings, all_controls()))  # noqa: S314 - our own text
    cases = root.findall(".//testcase")
    assert len(cases) == len(some_findings)
    assert len(root.findall(".//failure")) == sum(item.verdict is Verdict.FAIL for item in some_findings)
    assert len(root.findall(".//error")) == sum(item.verdict is Verdict.UNKNOWN for item in some_findings)
    for suite in root.findall("testsuite"):
        assert int(suite.get("tests", "-1")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "-1")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "-1")) == len(suite.findall("testcase/error"))
        assert int(suite.get("skipped", "-1")) == len(suite.findall("testcase/skipped"))
    assert "mend <it> & more" in (root.find(".//failure").text or "")  # type: ignore[union-attr]


def test_the_reports_are_written_where_they_are_wanted(tmp_path: Path, unlawful: Path) -> None:
    """Both files are there also when the verdict is FAIL; a place that cannot be written is an error."""
    sarif, junit = tmp_path / "judge.sarif", tmp_path / "judge.xml"
    arguments = ["judge", "--against", str(unlawful), "--sarif", str(sarif), "--junit", str(junit)]
    result = runner.invoke(app, arguments, prog_name="cgc")
    assert result.exit_code == ExitCode.NOT_ALLOWED
    assert json.loads(sarif.read_text(encoding="utf-8"))["version"] == "2.1.0"
    assert ET.parse(junit).getroot().tag == "testsuites"  # noqa: S314 - our own file
    nowhere = tmp_path / "nowhere" / "x.sarif"
    result = runner.invoke(app, ["judge", "--sarif", str(nowhere)], prog_name="cgc")
    assert result.exit_code == ExitCode.FAILED
    assert "CGC-670" in result.stderr


def test_a_plan_without_enrolment_claims_no_fingerprints(nation: Nation) -> None:
    """Stand-in keys make lawful files, but never the fingerprint of a real node; with an enrolment there are some."""
    assert planned_of(nation).fingerprints == {}
    enrolled = planned_of(nation, enrolment=stand_in(nation))
    assert set(enrolled.fingerprints) == {node.name for node in nation.nodes}


def test_the_plan_holds_what_is_ours_and_no_secret(nation: Nation) -> None:
    """Every node and cluster is planned; the toolkit's own files are judged, too."""
    planned = planned_of(nation)
    assert set(planned.node_files) == {node.name for node in nation.nodes}
    assert set(planned.cluster_objects) == {cluster.id for cluster in nation.clusters}
    assert "policies/waivers.yaml" in planned.repository
    assert not any("PRIVATE KEY-----\n" in text for files in planned.node_files.values() for text in files.values())


def test_own_files_are_those_of_the_rooms(tmp_path: Path) -> None:
    """Settings in the rooms and beside them are looked at; caches and texts for people are not."""
    (tmp_path / "scripts" / "__pycache__").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    for name in ("ansible.cfg", "scripts/a.py", "scripts/b.md", "scripts/__pycache__/c.py", "docs/d.yaml"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    assert dict(own_files(tmp_path)) == {"ansible.cfg": "x", "scripts/a.py": "x"}


def test_the_worst_verdict_stands_above_the_table(some_findings: tuple[Finding, ...]) -> None:
    """A set is as bad as its worst."""
    assert worst_of(some_findings) is Verdict.FAIL
