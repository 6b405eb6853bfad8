"""What the findings collector shows of verdicts and drift."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry

from exporters.findings import FindingsCollector, FindingsRound, read_findings
from exporters.rounds import Reading
from inventories.model import Cluster, Nation, Node, Text
from policies.control import Citation, Finding, Stage, Verdict
from policies.control import Reading as Known
from policies.drift import Departure, Drift, DriftItem
from policies.observed import ClusterObservation, NodeObservation, Observed, Reason, Silence
from tests.exporters.world import AT, VANTAGE, World

TEXT = Text(vi="", en="")
CITATION = Citation(document="d", article="1", duty=TEXT, reading=Known.OWN)


def finding(control: str, subject: str, verdict: Verdict) -> Finding:
    """Return a finding about what runs."""
    return Finding(
        control=control,
        stage=Stage.OBSERVED,
        subject=subject,
        verdict=verdict,
        message=TEXT,
        where="",
        remedy=TEXT,
        reason=Reason.MISSING if verdict is Verdict.UNKNOWN else None,
        citation=CITATION,
    )


def registry_of(*findings: Finding, items: tuple[DriftItem, ...] = ()) -> CollectorRegistry:
    """Return a registry that shows one round."""
    found = FindingsRound(observed=Observed(), findings=findings, drift=Drift(items=items, silences=(), heard=3))
    registry = CollectorRegistry()
    reading = Reading(value=found, age_seconds=1.0, limit_seconds=100.0)
    registry.register(FindingsCollector(source=lambda: reading))
    return registry


def test_a_control_is_as_bad_as_its_worst_finding() -> None:
    """FAIL beats UNKNOWN beats PASS; the other verdicts of the control are 0."""
    registry = registry_of(
        finding("NC-01", "platform/nixa", Verdict.PASS),
        finding("NC-01", "platform/ndxp", Verdict.UNKNOWN),
        finding("NC-02", "platform/nixa", Verdict.UNKNOWN),
        finding("NC-02", "platform/ndxp", Verdict.FAIL),
    )
    value = registry.get_sample_value
    assert value("cgc_control_verdict", {"control": "NC-01", "verdict": "unknown"}) == 1
    assert value("cgc_control_verdict", {"control": "NC-01", "verdict": "pass"}) == 0
    assert value("cgc_control_verdict", {"control": "NC-02", "verdict": "fail"}) == 1
    assert value("cgc_control_verdict", {"control": "NC-02", "verdict": "unknown"}) == 0


def test_what_could_not_be_judged_is_shown_one_by_one() -> None:
    """UNKNOWN is never green: its subject is named, as a FAIL's is; a PASS is only counted."""
    registry = registry_of(
        finding("NC-01", "platform/nixa", Verdict.PASS), finding("NC-01", "platform/ndxp", Verdict.UNKNOWN)
    )
    labels = {"control": "NC-01", "stage": "observed"}
    value = registry.get_sample_value
    assert value("cgc_finding", {**labels, "subject": "platform/ndxp", "verdict": "unknown"}) == 1
    assert value("cgc_finding", {**labels, "subject": "platform/nixa", "verdict": "pass"}) is None
    assert value("cgc_findings", {**labels, "verdict": "pass"}) == 1


def test_two_findings_about_one_subject_are_one_sample() -> None:
    """Series are never said twice, which Prometheus would refuse: the worst of the subject is shown."""
    registry = registry_of(
        finding("NC-01", "platform/nixa", Verdict.FAIL), finding("NC-01", "platform/nixa", Verdict.UNKNOWN)
    )
    shown = [sample for metric in registry.collect() if metric.name == "cgc_finding" for sample in metric.samples]
    assert [sample.labels["verdict"] for sample in shown] == ["fail"]


def test_drift_is_counted_by_subject_and_place() -> None:
    """Two parts of one file are one series with value 2; without drift there is no series at all."""
    items = tuple(
        DriftItem(
            subject="node/province-92",
            where="/etc/sysctl.d/60-cgc.conf",
            departure=Departure.CHANGED,
            part=part,
            expected="",
            found="",
            repairable=True,
        )
        for part in ("content", "mode")
    )
    registry = registry_of(items=items)
    labels = {"subject": "node/province-92", "where": "/etc/sysctl.d/60-cgc.conf", "departure": "changed"}
    assert registry.get_sample_value("cgc_drift_items", labels) == 2
    nothing = registry_of()
    assert [metric.samples for metric in nothing.collect() if metric.name == "cgc_drift_items"] == [[]]


def test_a_round_observes_everything_then_judges_it(nation: Nation) -> None:
    """Nodes and clusters are all in what is judged, silences included."""
    world = World(nation=nation, mute=frozenset({"core-a-hn"}))
    judged: list[Observed] = []

    async def observe_nodes(nodes: Iterable[Node]) -> Mapping[str, NodeObservation | Silence]:
        return {node.name: world.told(node) for node in nodes}

    async def observe_clusters(clusters: Iterable[Cluster]) -> Mapping[str, ClusterObservation | Silence]:
        return {
            cluster.id: ClusterObservation(cluster=cluster.id, seen_at=AT, seen_from=VANTAGE, objects=())
            for cluster in clusters
        }

    def judge(observed: Observed, at: datetime) -> tuple[Finding, ...]:
        assert at == AT
        judged.append(observed)
        return ()

    found = asyncio.run(
        read_findings(
            nation,
            observe_nodes=observe_nodes,
            observe_clusters=observe_clusters,
            judge=judge,
            find_drift=lambda observed: Drift(items=(), silences=(), heard=len(observed.nodes)),
            now=lambda: AT,
        )
    )
    assert set(judged[0].nodes) == {node.name for node in nation.nodes}
    assert isinstance(judged[0].nodes["core-a-hn"], Silence)
    assert set(judged[0].clusters) == {cluster.id for cluster in nation.clusters}
    assert found.drift.heard == len(nation.nodes)
