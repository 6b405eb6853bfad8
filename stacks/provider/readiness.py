"""Whether a Kubernetes object has become what it should be, judged from what the API server says of it. Pure.

The rules follow the status conventions of Kubernetes (`kubectl rollout status`, API conventions § "Typical status
properties"). A kind without a rule is ready as soon as it exists: a PersistentVolumeClaim may wait for its first pod,
an Ingress for a controller that the cluster does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any

from stacks.provider.values import JsonObject

_SHOWN_COMPLAINTS = 5
_LONGEST_MESSAGE = 300


class Progress(Enum):
    """How far an object is: FAILED means that waiting longer does not help."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """A judgement and, unless it is READY, why."""

    progress: Progress
    reason: str = ""


_READY = Readiness(progress=Progress.READY)


def _waiting(reason: str) -> Readiness:
    return Readiness(progress=Progress.WAITING, reason=reason)


def _failed(reason: str) -> Readiness:
    return Readiness(progress=Progress.FAILED, reason=reason)


def judge_readiness(live: JsonObject, *, endpoint_slices: Sequence[JsonObject] = ()) -> Readiness:
    """Judge the object *live*; *endpoint_slices* are those of a Service for which `needs_endpoints`."""
    if live.get("metadata", {}).get("deletionTimestamp"):
        return _waiting("it is being deleted")
    if live.get("kind") == "Service":
        return _judge_service(live, endpoint_slices)
    rule = _RULES.get(live.get("kind", ""))
    return rule(live) if rule else _READY


def needs_endpoints(live: JsonObject) -> bool:
    """Say whether *live* is a Service that serves nothing until pods stand behind it."""
    spec = live.get("spec") or {}
    return live.get("kind") == "Service" and bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def pod_selector(live: JsonObject) -> str | None:
    """Answer the label selector of the pods that *live* runs, as the query of a list; None when it runs none."""
    labels = ((live.get("spec") or {}).get("selector") or {}).get("matchLabels")
    if live.get("kind") not in {"Deployment", "DaemonSet", "Job", "ReplicaSet", "StatefulSet"} or not labels:
        return None
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def pod_complaints(pods: Sequence[JsonObject]) -> list[str]:
    """Say what holds up each of *pods*, one sentence each: unschedulable, a container that waits or has crashed."""
    complaints = [complaint for pod in pods for complaint in _complaints_of(pod)]
    return sorted(set(complaints))[:_SHOWN_COMPLAINTS]


def event_complaints(events: Sequence[JsonObject], name: str) -> list[str]:
    """Pick the warnings among *events* about the object *name* or what it made (`name-…`), one sentence each."""
    complaints = set()
    for event in events:
        involved = event.get("involvedObject") or {}
        about = str(involved.get("name", ""))
        if event.get("type") == "Warning" and (about == name or about.startswith(f"{name}-")):
            message = str(event.get("message", ""))[:_LONGEST_MESSAGE]
            complaints.add(f"{involved.get('kind')} {about}: {event.get('reason')}: {message}")
    return sorted(complaints)[:_SHOWN_COMPLAINTS]


def _complaints_of(pod: JsonObject) -> list[str]:
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    complaints = []
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("status") == "False":
        complaints.append(f"Pod {name}: {scheduled.get('reason')}: {scheduled.get('message', '')}")
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (container.get("state") or {}).get("waiting") or {}
        ended = (container.get("lastState") or {}).get("terminated") or {}
        if waiting.get("reason") not in {None, "PodInitializing", "ContainerCreating"}:
            message = str(waiting.get("message", ""))[:_LONGEST_MESSAGE]
            complaints.append(f"Pod {name}, container {container['name']}: {waiting['reason']}: {message}")
        elif ended:
            exit_code = ended.get("exitCode")
            complaints.append(
                f"Pod {name}, container {container['name']}: ended with {exit_code} ({ended.get('reason')})"
            )
    return complaints


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _is_true(status: Mapping[str, Any], kind: str) -> bool:
    return bool(_condition(status, kind).get("status") == "True")


def _sentence(condition: Mapping[str, Any]) -> str:
    return f"{condition.get('type')}={condition.get('status')} ({condition.get('reason')}: {condition.get('message')})"


def _is_behind(live: JsonObject) -> bool:
    """Say whether the controller has yet to see the newest version of the object."""
    observed: int = (live.get("status") or {}).get("observedGeneration", 0)
    generation: int = live["metadata"].get("generation", 0)
    return observed < generation


_BEHIND = _waiting("its controller has not seen this version yet")


def _judge_deployment(live: JsonObject) -> Readiness:
    if _is_behind(live):
        return _BEHIND
    spec, status = live.get("spec") or {}, live.get("status") or {}
    progressing = _condition(status, "Progressing")
    if progressing.get("reason") == "ProgressDeadlineExceeded":
        return _failed(f"the rollout exceeded its progressDeadlineSeconds: {_sentence(progressing)}")
    replicas = spec.get("replicas", 1)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    if updated >= replicas and available >= replicas and status.get("replicas", 0) <= replicas:
        return _READY
    troubles = [
        _sentence(condition)
        for condition in status.get("conditions") or ()
        if condition.get("status") != "True" or condition.get("type") == "ReplicaFailure"
    ]
    return _waiting("; ".join([f"{available} of {replicas} replicas available, {updated} updated", *troubles]))


def _judge_replica_set(live: JsonObject) -> Readiness:
    if _is_behind(live):
        return _BEHIND
    replicas = (live.get("spec") or {}).get("replicas", 1)
    available = (live.get("status") or {}).get("availableReplicas", 0)
    return _READY if available >= replicas else _waiting(f"{available} of {replicas} replicas available")


def _judge_stateful_set(live: JsonObject) -> Readiness:
    if _is_behind(live):
        return _BEHIND
    spec, status = live.get("spec") or {}, live.get("status") or {}
    replicas, ready, updated = spec.get("replicas", 1), status.get("readyReplicas", 0), status.get("updatedReplicas", 0)
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        due = 0  # pods are renewed when an operator deletes them
    else:
        due = max(0, replicas - (strategy.get("rollingUpdate") or {}).get("partition", 0))
    if ready >= replicas and updated >= due:
        return _READY
    return _waiting(f"{ready} of {replicas} replicas ready, {updated} of {due} updated")


def _judge_daemon_set(live: JsonObject) -> Readiness:
    if _is_behind(live):
        return _BEHIND
    status = live.get("status") or {}
    wanted, available = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
    updated = status.get("updatedNumberScheduled", 0)
    on_delete = ((live.get("spec") or {}).get("updateStrategy") or {}).get("type") == "OnDelete"
    if available >= wanted and (updated >= wanted or on_delete):
        return _READY
    return _waiting(f"{available} of {wanted} pods available, {updated} updated")


def _judge_job(live: JsonObject) -> Readiness:
    status = live.get("status") or {}
    if _is_true(status, "Failed"):
        return _failed(_sentence(_condition(status, "Failed")))
    if _is_true(status, "Complete"):
        return _READY
    if (live.get("spec") or {}).get("suspend"):
        return _READY
    return _waiting(f"{status.get('active', 0)} active, {status.get('succeeded', 0)} succeeded")


def _judge_pod(live: JsonObject) -> Readiness:
    status = live.get("status") or {}
    if status.get("phase") == "Failed":
        return _failed(f"the pod failed: {status.get('reason', '')} {status.get('message', '')}".rstrip())
    if status.get("phase") == "Succeeded" or _is_true(status, "Ready"):
        return _READY
    return _waiting("; ".join([f"phase {status.get('phase')}", *_complaints_of(live)]))


def _judge_namespace(live: JsonObject) -> Readiness:
    phase = (live.get("status") or {}).get("phase")
    return _READY if phase == "Active" else _waiting(f"phase {phase}")


def _judge_custom_resource_definition(live: JsonObject) -> Readiness:
    status = live.get("status") or {}
    names = _condition(status, "NamesAccepted")
    if names.get("status") == "False":
        return _failed(_sentence(names))
    return _READY if _is_true(status, "Established") else _waiting("the API server does not serve it yet")


def _judge_api_service(live: JsonObject) -> Readiness:
    available = _condition(live.get("status") or {}, "Available")
    return _READY if available.get("status") == "True" else _waiting(_sentence(available))


def _judge_service(live: JsonObject, endpoint_slices: Sequence[JsonObject]) -> Readiness:
    spec = live.get("spec") or {}
    addresses = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    if spec.get("type") == "LoadBalancer" and not addresses:
        return _waiting("no load balancer has given it an address")
    if not needs_endpoints(live):
        return _READY
    endpoints = [endpoint for part in endpoint_slices for endpoint in part.get("endpoints") or ()]
    # An unset `ready` condition means ready (discovery.k8s.io/v1, EndpointConditions).
    ready = [endpoint for endpoint in endpoints if (endpoint.get("conditions") or {}).get("ready") is not False]
    return _READY if ready else _waiting(f"none of the {len(endpoints)} pods that it selects is ready")


_RULES: Mapping[str, Callable[[JsonObject], Readiness]] = MappingProxyType(
    {
        "APIService": _judge_api_service,
        "CustomResourceDefinition": _judge_custom_resource_definition,
        "DaemonSet": _judge_daemon_set,
        "Deployment": _judge_deployment,
        "Job": _judge_job,
        "Namespace": _judge_namespace,
        "Pod": _judge_pod,
        "ReplicaSet": _judge_replica_set,
        "StatefulSet": _judge_stateful_set,
    }
)
