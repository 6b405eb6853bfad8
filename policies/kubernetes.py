"""Reading Kubernetes objects as plain mappings: what they are called, whom they belong to, what pods they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Object = Mapping[str, Any]

PLATFORM_WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job")


@dataclass(frozen=True, order=True)
class Identity:
    """What makes an object the same one: API group, kind, namespace (empty for the cluster's own) and name."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Return Kind/namespace/name."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


def identity_of(item: Object) -> Identity:
    """Return the identity; the version of the API does not matter (apps/v1 and apps/v1beta1 are one)."""
    version = str(item.get("apiVersion", ""))
    metadata = item.get("metadata") or {}
    return Identity(
        version.rpartition("/")[0], str(item.get("kind", "")), str(metadata.get("namespace") or ""), metadata["name"]
    )


def of_kind(objects: Iterable[Object], *kinds: str) -> Iterator[Object]:
    """Yield the objects of these kinds."""
    return (item for item in objects if item.get("kind") in kinds)


def in_namespace(objects: Iterable[Object], namespace: str) -> Iterator[Object]:
    """Yield the objects inside a namespace."""
    return (item for item in objects if (item.get("metadata") or {}).get("namespace") == namespace)


def name_of(item: Object) -> str:
    """Return the object's name."""
    return str(item["metadata"]["name"])


def labels_of(item: Object) -> Mapping[str, str]:
    """Return the object's labels."""
    return (item.get("metadata") or {}).get("labels") or {}


def controller_of(item: Object) -> Mapping[str, Any] | None:
    """Return the owner reference of the controller that made the object, if one did."""
    owners: Iterable[Mapping[str, Any]] = (item.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner for owner in owners if owner.get("controller")), None)


def pod_specs(item: Object) -> Iterator[Mapping[str, Any]]:
    """Yield the pod specification that the object is or makes, if any."""
    spec = item.get("spec") or {}
    match item.get("kind"):
        case "Pod":
            yield spec
        case "CronJob":
            yield from pod_specs({"kind": "Job", "spec": (spec.get("jobTemplate") or {}).get("spec") or {}})
        case kind if kind in (*PLATFORM_WORKLOADS, "ReplicationController"):
            yield (spec.get("template") or {}).get("spec") or {}


def containers_of(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield every container of a pod specification, those for starting and debugging included."""
    for part in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod.get(part) or ()


def instant(text: object) -> datetime | None:
    """Return an RFC 3339 time of the API as an aware datetime."""
    return datetime.fromisoformat(text) if isinstance(text, str) and text else None
