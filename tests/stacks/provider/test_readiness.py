from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.provider.readiness import (
    Progress,
    event_complaints,
    judge_readiness,
    needs_endpoints,
    pod_complaints,
    pod_selector,
)


def _object(kind: str, *, spec: Any = None, status: Any = None, generation: int = 1) -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": "x", "namespace": "n", "generation": generation},
        "spec": spec or {},
        "status": status or {},
    }


def _condition(kind: str, status: str, **more: str) -> dict[str, str]:
    return {"type": kind, "status": status, "reason": "R", "message": "M", **more}


ROLLED_OUT = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}

CASES = [
    ("ConfigMap", {}, {}, Progress.READY),
    ("Deployment", {"replicas": 2}, ROLLED_OUT, Progress.READY),
    ("Deployment", {"replicas": 2}, {}, Progress.WAITING),
    ("Deployment", {"replicas": 2}, ROLLED_OUT | {"availableReplicas": 1}, Progress.WAITING),
    ("Deployment", {"replicas": 2}, ROLLED_OUT | {"updatedReplicas": 1}, Progress.WAITING),
    ("Deployment", {"replicas": 2}, ROLLED_OUT | {"replicas": 3}, Progress.WAITING),
    ("Deployment", {"replicas": 0}, {"observedGeneration": 1}, Progress.READY),
    (
        "Deployment",
        {"replicas": 2},
        {
            "observedGeneration": 1,
            "conditions": [_condition("Progressing", "False", reason="ProgressDeadlineExceeded")],
        },
        Progress.FAILED,
    ),
    ("ReplicaSet", {"replicas": 1}, {"observedGeneration": 1, "availableReplicas": 1}, Progress.READY),
    ("ReplicaSet", {"replicas": 1}, {"observedGeneration": 1}, Progress.WAITING),
    (
        "StatefulSet",
        {"replicas": 2},
        {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 2},
        Progress.READY,
    ),
    ("StatefulSet", {"replicas": 2}, {"observedGeneration": 1, "readyReplicas": 2}, Progress.WAITING),
    (
        "StatefulSet",
        {"replicas": 2, "updateStrategy": {"rollingUpdate": {"partition": 1}}},
        {"observedGeneration": 1, "readyReplicas": 2, "updatedReplicas": 1},
        Progress.READY,
    ),
    (
        "StatefulSet",
        {"replicas": 2, "updateStrategy": {"type": "OnDelete"}},
        {"observedGeneration": 1, "readyReplicas": 2},
        Progress.READY,
    ),
    (
        "DaemonSet",
        {},
        {"observedGeneration": 1, "desiredNumberScheduled": 1, "numberAvailable": 1, "updatedNumberScheduled": 1},
        Progress.READY,
    ),
    ("DaemonSet", {}, {"observedGeneration": 1, "desiredNumberScheduled": 1}, Progress.WAITING),
    ("Job", {}, {"active": 1}, Progress.WAITING),
    ("Job", {"suspend": True}, {}, Progress.READY),
    ("Job", {}, {"conditions": [_condition("Complete", "True")]}, Progress.READY),
    ("Job", {}, {"conditions": [_condition("Failed", "True")]}, Progress.FAILED),
    ("Pod", {}, {"phase": "Pending"}, Progress.WAITING),
    ("Pod", {}, {"phase": "Running", "conditions": [_condition("Ready", "True")]}, Progress.READY),
    ("Pod", {}, {"phase": "Succeeded"}, Progress.READY),
    ("Pod", {}, {"phase": "Failed", "reason": "Evicted"}, Progress.FAILED),
    ("Namespace", {}, {"phase": "Active"}, Progress.READY),
    ("Namespace", {}, {"phase": "Terminating"}, Progress.WAITING),
    ("CustomResourceDefinition", {}, {}, Progress.WAITING),
    ("CustomResourceDefinition", {}, {"conditions": [_condition("Established", "True")]}, Progress.READY),
    ("CustomResourceDefinition", {}, {"conditions": [_condition("NamesAccepted", "False")]}, Progress.FAILED),
    ("APIService", {}, {"conditions": [_condition("Available", "False")]}, Progress.WAITING),
    ("APIService", {}, {"conditions": [_condition("Available", "True")]}, Progress.READY),
    ("Service", {"type": "LoadBalancer"}, {}, Progress.WAITING),
    ("Service", {"type": "LoadBalancer"}, {"loadBalancer": {"ingress": [{"ip": "::1"}]}}, Progress.READY),
    ("Service", {}, {}, Progress.READY),
]


@pytest.mark.parametrize(("kind", "spec", "status", "progress"), CASES)
def test_each_kind_has_its_own_idea_of_ready(
    kind: str, spec: dict[str, Any], status: dict[str, Any], progress: Progress
) -> None:
    """A kind is ready by its own status; what is not says why, and FAILED is what waiting cannot mend."""
    readiness = judge_readiness(_object(kind, spec=spec, status=status))
    assert readiness.progress is progress
    assert bool(readiness.reason) == (progress is not Progress.READY)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet", "ReplicaSet", "StatefulSet"])
def test_yesterdays_status_does_not_count(kind: str) -> None:
    """A status that the controller wrote for an earlier version of the object says nothing of this one."""
    status = ROLLED_OUT | {"readyReplicas": 2, "desiredNumberScheduled": 0}
    behind = judge_readiness(_object(kind, spec={"replicas": 2}, status=status, generation=2))
    assert behind.progress is Progress.WAITING


def test_what_is_being_deleted_is_not_ready() -> None:
    """An object with a deletionTimestamp is on its way out, whatever its status says."""
    dying = _object("ConfigMap")
    dying["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert judge_readiness(dying).progress is Progress.WAITING


@pytest.mark.parametrize(
    ("endpoints", "progress"),
    [
        ([], Progress.WAITING),
        ([{"conditions": {"ready": False}}], Progress.WAITING),
        ([{"conditions": {"ready": False}}, {"conditions": {"ready": True}}], Progress.READY),
        ([{}], Progress.READY),
    ],
)
def test_a_service_needs_one_ready_pod(endpoints: list[dict[str, Any]], progress: Progress) -> None:
    """A Service that selects pods is ready when one endpoint is; an unset condition means ready."""
    service = _object("Service", spec={"selector": {"app": "x"}})
    assert needs_endpoints(service)
    assert judge_readiness(service, endpoint_slices=[{"endpoints": endpoints}]).progress is progress
    assert not needs_endpoints(_object("Service", spec={"selector": {"app": "x"}, "type": "ExternalName"}))


def test_the_reason_names_replicas_and_conditions() -> None:
    """The operator reads how many replicas there are and what the controller complains of."""
    status = {"observedGeneration": 1, "conditions": [_condition("ReplicaFailure", "True", reason="FailedCreate")]}
    reason = judge_readiness(_object("Deployment", spec={"replicas": 3}, status=status)).reason
    assert "0 of 3 replicas available" in reason
    assert "FailedCreate" in reason


def test_pods_and_events_say_what_is_wrong() -> None:
    """A missing image, a crash and a warning event each become a sentence; what is well says nothing."""
    waiting = {"name": "web", "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}}}
    crashed = {
        "name": "db",
        "state": {"running": {}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    well = {"name": "ok", "state": {"running": {}}}
    pod = {"metadata": {"name": "p"}, "status": {"containerStatuses": [waiting, crashed, well]}}
    unscheduled = {
        "metadata": {"name": "q"},
        "status": {"conditions": [_condition("PodScheduled", "False", reason="Unschedulable")]},
    }
    assert pod_complaints([pod, unscheduled]) == [
        "Pod p, container db: ended with 137 (OOMKilled)",
        "Pod p, container web: ErrImagePull: not found",
        "Pod q: Unschedulable: M",
    ]
    about = {"kind": "ReplicaSet", "name": "x-7d9"}
    events = [
        {"type": "Warning", "reason": "FailedCreate", "message": "exceeded quota", "involvedObject": about},
        {"type": "Normal", "reason": "Scaled", "message": "", "involvedObject": about},
        {"type": "Warning", "reason": "Other", "message": "", "involvedObject": {"kind": "Pod", "name": "xy"}},
    ]
    assert event_complaints(events, "x") == ["ReplicaSet x-7d9: FailedCreate: exceeded quota"]


def test_only_what_runs_pods_has_a_selector() -> None:
    """The query of the pods of a Deployment; none for a kind without pods."""
    selector = {"selector": {"matchLabels": {"b": "2", "a": "1"}}}
    assert pod_selector(_object("Deployment", spec=selector)) == "a=1,b=2"
    assert pod_selector(_object("NetworkPolicy", spec=selector)) is None


counts = st.integers(0, 3)


@given(counts, counts, counts, counts)
def test_a_deployment_is_ready_only_with_exactly_its_pods(
    wanted: int, total: int, updated: int, available: int
) -> None:
    """Ready means: every replica updated and available and no old one left."""
    status = {
        "observedGeneration": 1,
        "replicas": total,
        "updatedReplicas": updated,
        "availableReplicas": available,
    }
    ready = judge_readiness(_object("Deployment", spec={"replicas": wanted}, status=status)).progress is Progress.READY
    assert ready == (updated >= wanted and available >= wanted and total <= wanted)
