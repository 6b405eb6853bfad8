"""What the platforms collector shows of clusters' own words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from exporters.platforms import PlatformsCollector, quantity
from exporters.rounds import Reading
from inventories.model import Nation
from policies.observed import ClusterObservation, Reason, Silence
from tests.exporters.world import AT, VANTAGE

NIXA = {"platform": "nixa", "cluster": "cgc-north", "tier": "cgc", "agency": "bca", "node": "cgc-north-1"}


def objects(version: str, kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    """Return one Kubernetes object."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **more}


def observed(*items: Mapping[str, Any]) -> ClusterObservation:
    """Return cgc-north with these objects."""
    return ClusterObservation(cluster="cgc-north", seen_at=AT, seen_from=VANTAGE, objects=items)


def registry_of(
    nation: Nation,
    clusters: Mapping[str, ClusterObservation | Silence],
    wanted: Mapping[str, tuple[Mapping[str, Any], ...]] | None = None,
) -> CollectorRegistry:
    """Return a registry that shows one round."""
    reading = Reading(value=clusters, age_seconds=1.0, limit_seconds=40.0)
    registry = CollectorRegistry()
    registry.register(PlatformsCollector(nation, source=lambda: reading, wanted=wanted or {}))
    return registry


def test_a_silent_cluster_is_down_and_its_platforms_are_absent(nation: Nation) -> None:
    """An API that does not answer is shown as 0 with the reason; its replicas are absent, not zero."""
    silence = Silence(subject="cgc-north", seen_at=AT, seen_from=VANTAGE, reason=Reason.DID_NOT_FINISH, detail="")
    registry = registry_of(nation, {"cgc-north": silence})
    labels = {"cluster": "cgc-north", "tier": "cgc", "node": "cgc-north-1"}
    assert registry.get_sample_value("cgc_cluster_up", labels) == 0
    assert registry.get_sample_value("cgc_cluster_silence", {**labels, "reason": "did not finish"}) == 1
    assert registry.get_sample_value("cgc_platform_replicas_ready", NIXA) is None


def test_replicas_wanted_are_the_declarations_and_ready_are_the_clusters(nation: Nation) -> None:
    """Wanted comes from the declaration even if somebody scaled the deployment; a missing deployment has 0 ready."""
    deployment = objects("apps/v1", "Deployment", "nixa", "bca-nixa", spec={"replicas": 1}, status={"readyReplicas": 1})
    registry = registry_of(nation, {"cgc-north": observed(deployment)})
    assert registry.get_sample_value("cgc_platform_replicas_wanted", NIXA) == 2
    assert registry.get_sample_value("cgc_platform_replicas_ready", NIXA) == 1
    missing = registry_of(nation, {"cgc-north": observed()})
    assert missing.get_sample_value("cgc_platform_replicas_ready", NIXA) == 0


def test_restarts_are_added_up_over_a_platforms_containers(nation: Nation) -> None:
    """Restarts of all containers in the platform's namespace count, others' do not."""
    pods = [
        objects("v1", "Pod", f"p{number}", space, status={"containerStatuses": [{"restartCount": number}]})
        for number, space in ((1, "bca-nixa"), (2, "bca-nixa"), (4, "kube-system"))
    ]
    registry = registry_of(nation, {"cgc-north": observed(*pods)})
    assert registry.get_sample_value("cgc_platform_restarts_total", NIXA) == 3


def test_quotas_are_in_base_units(nation: Nation) -> None:
    """500m of processor is 0.5, 512Mi of memory is 536870912."""
    quota = objects(
        "v1",
        "ResourceQuota",
        "share",
        "bca-nixa",
        status={"hard": {"limits.cpu": "500m", "limits.memory": "512Mi"}, "used": {"limits.cpu": "125m"}},
    )
    registry = registry_of(nation, {"cgc-north": observed(quota)})
    assert registry.get_sample_value("cgc_quota_used", {**NIXA, "resource": "limits.cpu"}) == 0.125
    assert registry.get_sample_value("cgc_quota_limit", {**NIXA, "resource": "limits.cpu"}) == 0.5
    assert registry.get_sample_value("cgc_quota_limit", {**NIXA, "resource": "limits.memory"}) is None


def test_objects_that_the_cluster_must_have_are_counted_by_kind(nation: Nation) -> None:
    """Present counts only objects that are wanted, so a stranger cannot stand in for a missing one."""
    wanted = (objects("v1", "Namespace", "bca-nixa"), objects("v1", "Namespace", "mic-ndxp"))
    seen = observed(objects("v1", "Namespace", "bca-nixa"), objects("v1", "Namespace", "stranger"))
    registry = registry_of(nation, {"cgc-north": seen}, {"cgc-north": wanted})
    labels = {"cluster": "cgc-north", "kind": "Namespace"}
    assert registry.get_sample_value("cgc_objects_wanted", labels) == 2
    assert registry.get_sample_value("cgc_objects_present", labels) == 1


def test_a_host_is_ready_only_when_the_cluster_says_so(nation: Nation) -> None:
    """Unknown, and absent from the cluster, is not ready."""
    for conditions, expected in (
        ([{"type": "Ready", "status": "True"}], 1),
        ([{"type": "Ready", "status": "Unknown"}], 0),
        ([], 0),
    ):
        node = objects("v1", "Node", "cgc-north-1", status={"conditions": conditions})
        registry = registry_of(nation, {"cgc-north": observed(node)})
        labels = {"cluster": "cgc-north", "node": "cgc-north-1"}
        assert registry.get_sample_value("cgc_cluster_host_ready", labels) == expected


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("1", 1), ("100m", 0.1), ("1.5", 1.5), ("64Mi", 67_108_864), ("1k", 1000), ("2e3", 2000), ("5n", 5e-9)],
)
def test_a_quantity_is_read_as_kubernetes_means_it(text: str, number: float) -> None:
    """The suffixes are those of the Kubernetes API conventions."""
    assert quantity(text) == pytest.approx(number)


@given(st.text())
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Any other text is a ValueError and never a number."""
    try:
        number = quantity(text)
    except ValueError:
        return
    assert isinstance(number, float)
    assert text[0] in "+-.0123456789"
