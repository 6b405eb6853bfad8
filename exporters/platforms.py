"""Clusters and the platforms on them, as the clusters' own APIs tell it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from exporters.rounds import Reading, round_metrics
from inventories.model import Cluster, Nation, Platform
from policies.observed import ClusterObservation, Silence

ROUND = "platforms"
Clusters = Mapping[str, ClusterObservation | Silence]

# Kubernetes API conventions, "Quantity": binary and decimal suffixes.
_SUFFIXES = {
    "": Decimal(1), "n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3"),
    "k": Decimal(10) ** 3, "M": Decimal(10) ** 6, "G": Decimal(10) ** 9, "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15, "E": Decimal(10) ** 18,
    "Ki": Decimal(2) ** 10, "Mi": Decimal(2) ** 20, "Gi": Decimal(2) ** 30, "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50, "Ei": Decimal(2) ** 60,
}  # fmt: skip
_QUANTITY = re.compile(r"([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i)?)")


def quantity(text: str) -> float:
    """Return the number that a Kubernetes quantity such as `500m` or `512Mi` stands for; ValueError if it is none."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a quantity")
    number, exponent, suffix = match.groups()
    return float(Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""])


class PlatformsCollector(Collector):
    """Shows the last round over all clusters; a cluster that did not answer has nothing but `cgc_cluster_up` 0.

    `wanted` holds the objects that each cluster must have, to count those that are there and those that are missing.
    """

    def __init__(
        self,
        nation: Nation,
        *,
        source: Callable[[], Reading[Clusters]],
        wanted: Mapping[str, tuple[Mapping[str, Any], ...]] = MappingProxyType({}),
    ) -> None:
        self._nation = nation
        self._source = source
        self._wanted = wanted

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the last round."""
        reading = self._source()
        yield from round_metrics(ROUND, reading)
        if reading.value is None:
            return
        answered = [
            (cluster, observation)
            for cluster in self._nation.clusters
            if isinstance(observation := reading.value.get(cluster.id), ClusterObservation)
        ]
        yield from self._clusters(reading.value)
        yield from self._objects(answered)
        yield from self._platforms(answered)
        yield from self._quotas(answered)
        yield from self._hosts(answered)

    def _clusters(self, found: Clusters) -> Iterable[Metric]:
        labels = ["cluster", "tier", "node"]
        up = GaugeMetricFamily("cgc_cluster_up", "Whether the cluster's API told what it holds.", labels=labels)
        silence = GaugeMetricFamily(
            "cgc_cluster_silence", "1 for a cluster that told nothing, with why.", labels=[*labels, "reason"]
        )
        for cluster in self._nation.clusters:
            values = [cluster.id, cluster.tier, cluster.hosts[0].name]
            told = found.get(cluster.id)
            up.add_metric(values, float(isinstance(told, ClusterObservation)))
            if isinstance(told, Silence):
                silence.add_metric([*values, told.reason], 1)
        yield from (up, silence)

    def _objects(self, answered: Iterable[tuple[Cluster, ClusterObservation]]) -> Iterable[Metric]:
        labels = ["cluster", "kind"]
        wanted = GaugeMetricFamily("cgc_objects_wanted", "Objects that the cluster must have.", labels=labels)
        present = GaugeMetricFamily("cgc_objects_present", "Those of them that it has.", labels=labels)
        for cluster, observation in answered:
            must = {_identity(item) for item in self._wanted.get(cluster.id, ())}
            has = must & {_identity(item) for item in observation.objects}
            have_by_kind = Counter(kind for _, kind, _, _ in has)
            for kind, number in sorted(Counter(kind for _, kind, _, _ in must).items()):
                wanted.add_metric([cluster.id, kind], number)
                present.add_metric([cluster.id, kind], have_by_kind[kind])
        yield from (wanted, present)

    def _platforms(self, answered: Iterable[tuple[Cluster, ClusterObservation]]) -> Iterable[Metric]:
        labels = ["platform", "cluster", "tier", "agency", "node"]
        wanted = GaugeMetricFamily("cgc_platform_replicas_wanted", "Declared replicas.", labels=labels)
        ready = GaugeMetricFamily("cgc_platform_replicas_ready", "Replicas that are ready.", labels=labels)
        restarts = CounterMetricFamily("cgc_platform_restarts", "Restarts of the present containers.", labels=labels)
        for cluster, observation in answered:
            for platform in self._nation.platforms_on(cluster):
                values = _platform_labels(platform, cluster)
                inside = [item for item in observation.objects if _namespace(item) == platform.namespace]
                wanted.add_metric(values, platform.replicas)
                ready.add_metric(
                    values,
                    sum(
                        item.get("status", {}).get("readyReplicas", 0)
                        for item in inside
                        if item["kind"] == "Deployment"
                    ),
                )
                restarts.add_metric(
                    values,
                    sum(
                        container.get("restartCount", 0)
                        for item in inside
                        if item["kind"] == "Pod"
                        for container in item.get("status", {}).get("containerStatuses", ())
                    ),
                )
        yield from (wanted, ready, restarts)

    def _quotas(self, answered: Iterable[tuple[Cluster, ClusterObservation]]) -> Iterable[Metric]:
        labels = ["platform", "cluster", "tier", "agency", "node", "resource"]
        used = GaugeMetricFamily("cgc_quota_used", "Used of the quota, in the resource's base unit.", labels=labels)
        limit = GaugeMetricFamily("cgc_quota_limit", "The quota, in the resource's base unit.", labels=labels)
        for cluster, observation in answered:
            by_namespace = {platform.namespace: platform for platform in self._nation.platforms_on(cluster)}
            shown: set[tuple[str, str]] = set()
            for item in observation.objects:
                platform = by_namespace.get(_namespace(item))
                if item["kind"] != "ResourceQuota" or platform is None:
                    continue
                status = item.get("status", {})
                for resource, most in sorted(status.get("hard", {}).items()):
                    if resource not in status.get("used", {}) or (platform.id, resource) in shown:
                        continue
                    shown.add((platform.id, resource))
                    values = [*_platform_labels(platform, cluster), resource]
                    used.add_metric(values, quantity(status["used"][resource]))
                    limit.add_metric(values, quantity(most))
        yield from (used, limit)

    def _hosts(self, answered: Iterable[tuple[Cluster, ClusterObservation]]) -> Iterable[Metric]:
        ready = GaugeMetricFamily(
            "cgc_cluster_host_ready", "Whether the cluster says that the host is Ready.", labels=["cluster", "node"]
        )
        for cluster, observation in answered:
            known = {item["metadata"]["name"]: item for item in observation.objects if item["kind"] == "Node"}
            for host in cluster.hosts:
                conditions = known.get(host.name, {}).get("status", {}).get("conditions", ())
                is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
                ready.add_metric([cluster.id, host.name], float(is_ready))
        yield ready


def _platform_labels(platform: Platform, cluster: Cluster) -> list[str]:
    return [platform.id, cluster.id, platform.tier, platform.owner, cluster.hosts[0].name]


def _namespace(item: Mapping[str, Any]) -> str:
    return str(item.get("metadata", {}).get("namespace", ""))


def _identity(item: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return item["apiVersion"], item["kind"], _namespace(item), item["metadata"]["name"]
