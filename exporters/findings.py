"""What the controls say of the nation as it runs, and where it departs from the declaration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporters.rounds import Reading, round_metrics
from inventories.model import Cluster, Nation, Node
from policies.control import Finding, Verdict, worst
from policies.drift import Drift
from policies.observed import ClusterObservation, NodeObservation, Observed, Silence

ROUND = "findings"
SHOWN_ONE_BY_ONE = (Verdict.FAIL, Verdict.UNKNOWN, Verdict.WAIVED)


@dataclass(frozen=True, kw_only=True)
class FindingsRound:
    """One round: what was observed, what the controls said of it, and where it departs from the declaration."""

    observed: Observed
    findings: tuple[Finding, ...]
    drift: Drift


async def read_findings(
    nation: Nation,
    *,
    observe_nodes: Callable[[Iterable[Node]], Awaitable[Mapping[str, NodeObservation | Silence]]],
    observe_clusters: Callable[[Iterable[Cluster]], Awaitable[Mapping[str, ClusterObservation | Silence]]],
    judge: Callable[[Observed, datetime], tuple[Finding, ...]],
    find_drift: Callable[[Observed], Drift],
    now: Callable[[], datetime],
) -> FindingsRound:
    """Observe everything, then judge it."""
    nodes = await observe_nodes(nation.nodes)
    clusters = await observe_clusters(nation.clusters)
    observed = Observed(nodes=nodes, clusters=clusters)
    return FindingsRound(observed=observed, findings=judge(observed, now()), drift=find_drift(observed))


class FindingsCollector(Collector):
    """Shows the last round: each control's worst verdict, how many of each, what is not fine one by one, and drift."""

    def __init__(self, *, source: Callable[[], Reading[FindingsRound]]) -> None:
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the last round."""
        reading = self._source()
        yield from round_metrics(ROUND, reading)
        if reading.value is None:
            return
        findings = reading.value.findings
        verdict = GaugeMetricFamily(
            "cgc_control_verdict", "1 for the worst verdict of the control.", labels=["control", "verdict"]
        )
        for control in sorted({finding.control for finding in findings}):
            found = worst(finding.verdict for finding in findings if finding.control == control)
            for one in Verdict:
                verdict.add_metric([control, _word(one)], float(one is found))
        yield verdict
        count = GaugeMetricFamily(
            "cgc_findings", "How many subjects have the verdict.", labels=["control", "stage", "verdict"]
        )
        numbers = Counter((finding.control, finding.stage, _word(finding.verdict)) for finding in findings)
        for labels, number in sorted(numbers.items()):
            count.add_metric(list(labels), number)
        yield count
        shown = GaugeMetricFamily(
            "cgc_finding",
            "1 for each subject that is not found as it should be.",
            labels=["control", "stage", "subject", "verdict"],
        )
        # A control may say several things of one subject; the subject's worst is shown.
        by_subject: dict[tuple[str, str, str], list[Verdict]] = {}
        for finding in findings:
            by_subject.setdefault((finding.control, finding.stage, finding.subject), []).append(finding.verdict)
        for (control, stage, subject), verdicts in sorted(by_subject.items()):
            if (found := worst(verdicts)) in SHOWN_ONE_BY_ONE:
                shown.add_metric([control, stage, subject, _word(found)], 1)
        yield shown
        yield from _drift_metrics(reading.value.drift)


def _drift_metrics(drift: Drift) -> Iterable[Metric]:
    items = GaugeMetricFamily(
        "cgc_drift_items", "Departures from the declaration, by what departs.", labels=["subject", "where", "departure"]
    )
    for labels, number in sorted(Counter((item.subject, item.where, item.departure) for item in drift.items).items()):
        items.add_metric(list(labels), number)
    yield items
    heard = GaugeMetricFamily("cgc_drift_subjects_heard", "Nodes and clusters that were compared.", labels=[])
    heard.add_metric([], drift.heard)
    yield heard
    silent = GaugeMetricFamily("cgc_drift_subjects_silent", "Nodes and clusters that did not answer.", labels=[])
    silent.add_metric([], len(drift.silences))
    yield silent


def _word(verdict: Verdict) -> str:
    return verdict.value.lower()
