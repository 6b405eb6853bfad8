"""What users would find: every declared target as it answered to a probe from this vantage."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from exporters.probing import Outcome, Target

LABELS = ("probe", "family", "subject", "node", "platform", "cluster", "tier", "vantage")


class UptimeCollector(Collector):
    """Shows each target's last outcome; one that is too old, or was never had, is absent and counted as such."""

    def __init__(self, targets: Iterable[Target], *, vantage: str, source: Callable[[], Iterable[Outcome]]) -> None:
        self._targets = tuple(targets)
        self._vantage = vantage
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the present outcomes."""
        outcomes = tuple(self._source())
        declared = GaugeMetricFamily("cgc_probe_targets", "Declared targets.", labels=["vantage"])
        declared.add_metric([self._vantage], len(self._targets))
        yield declared
        stale = GaugeMetricFamily(
            "cgc_probe_targets_without_outcome",
            "Targets whose last outcome is too old to be shown.",
            labels=["vantage"],
        )
        stale.add_metric([self._vantage], len(self._targets) - len(outcomes))
        yield stale
        up = GaugeMetricFamily("cgc_probe_up", "Whether the target answered as it should.", labels=LABELS)
        failure = GaugeMetricFamily("cgc_probe_failure", "1 for a failed probe, with why.", labels=[*LABELS, "reason"])
        phases = GaugeMetricFamily("cgc_probe_phase_seconds", "Time spent in each phase.", labels=[*LABELS, "phase"])
        status = GaugeMetricFamily("cgc_probe_http_status", "HTTP status of the last answer.", labels=LABELS)
        expiry = GaugeMetricFamily(
            "cgc_probe_certificate_expiry_timestamp_seconds", "When the certificate expires (Unix time).", labels=LABELS
        )
        for outcome in outcomes:
            values = self._labels_of(outcome.target)
            up.add_metric(values, float(outcome.is_success))
            if not outcome.is_success:
                failure.add_metric([*values, outcome.reason], 1)
            for phase, seconds in outcome.phases.items():
                phases.add_metric([*values, phase], seconds)
            if outcome.status is not None:
                status.add_metric(values, outcome.status)
            if outcome.certificate_expires_at is not None:
                expiry.add_metric(values, outcome.certificate_expires_at.timestamp())
        yield from (up, failure, phases, status, expiry)

    def _labels_of(self, target: Target) -> list[str]:
        return [
            target.probe, target.family, target.subject, target.node,
            target.platform, target.cluster, target.tier, self._vantage,
        ]  # fmt: skip
