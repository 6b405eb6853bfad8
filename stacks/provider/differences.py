"""What differs between two descriptions of a Kubernetes object, and what of it forces a replacement. Pure.

Paths are written as the engine writes them: `spec.ports[0].name`, `metadata.labels["app.kubernetes.io/name"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any

from stacks.provider.values import LAST_APPLIED, JsonObject

SET_BY_THE_SERVER = frozenset(
    {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "generation",
        "managedFields",
        "selfLink",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    }
)

_ALWAYS_IMMUTABLE = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
# What the API server answers with 422 "field is immutable", by kind (pkg/apis/*/validation of Kubernetes 1.36).
_IMMUTABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ClusterRoleBinding": ("roleRef",),
        "CustomResourceDefinition": ("spec.group", "spec.names.kind", "spec.scope"),
        "DaemonSet": ("spec.selector",),
        "Deployment": ("spec.selector",),
        "IngressClass": ("spec.controller",),
        "Job": ("spec.selector", "spec.template", "spec.completions", "spec.completionMode"),
        "PersistentVolumeClaim": (
            "spec.accessModes",
            "spec.selector",
            "spec.storageClassName",
            "spec.volumeMode",
            "spec.volumeName",
        ),
        "Pod": ("spec",),
        "PriorityClass": ("value", "preemptionPolicy"),
        "ReplicaSet": ("spec.selector",),
        "ResourceQuota": ("spec.scopes", "spec.scopeSelector"),
        "RoleBinding": ("roleRef",),
        "RuntimeClass": ("handler",),
        "Secret": ("type",),
        "Service": ("spec.clusterIP", "spec.clusterIPs"),
        "StatefulSet": ("spec.selector", "spec.serviceName", "spec.podManagementPolicy", "spec.volumeClaimTemplates"),
        "StorageClass": ("provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"),
    }
)
# Exceptions inside an immutable part (Kubernetes: "pod updates may not change fields other than …").
_MUTABLE_INSIDE: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {"Pod": re.compile(r"spec\.(containers|initContainers)\[\d+\]\.image|spec\.activeDeadlineSeconds")}
)
_CONTENT = ("data", "binaryData", "stringData")  # of a ConfigMap or a Secret

# Keys that tell the elements of a list apart (`x-kubernetes-list-map-keys` of the built-in types), best first.
_MERGE_KEYS = (
    "name",
    "key",
    "mountPath",
    "containerPort",
    "port",
    "ip",
    "topologyKey",
    "type",
    "uid",
    "devicePath",
)
_PLAIN_NAME = re.compile(r"[A-Za-z_$][\w$-]*")


class Change(Enum):
    """How one path differs, seen from the old description."""

    ADDED = "ADD"
    DELETED = "DELETE"
    UPDATED = "UPDATE"


def compare(old: Any, new: Any, path: str = "") -> dict[str, Change]:
    """Answer every path at which *old* and *new* differ; empty when they are equal."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        changes: dict[str, Change] = {}
        for name in {**old, **new}:
            changes |= _compare_member(old, new, name, _join(path, name))
        return changes
    if isinstance(old, list) and isinstance(new, list):
        changes = {}
        olds, news = dict(enumerate(old)), dict(enumerate(new))
        for position in range(max(len(old), len(new))):
            changes |= _compare_member(olds, news, position, f"{path}[{position}]")
        return changes
    return {} if _same(old, new) else {path: Change.UPDATED}


def _compare_member(old: Mapping[Any, Any], new: Mapping[Any, Any], name: Any, path: str) -> dict[str, Change]:
    if name not in old:
        return {path: Change.ADDED}
    if name not in new:
        return {path: Change.DELETED}
    return compare(old[name], new[name], path)


def _same(old: Any, new: Any) -> bool:
    return bool(old == new) and isinstance(old, bool) == isinstance(new, bool)  # True == 1 in Python, not in JSON


def _join(path: str, name: str) -> str:
    if _PLAIN_NAME.fullmatch(name):
        return f"{path}.{name}" if path else name
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{quoted}"]'


def is_inside(path: str, ancestor: str) -> bool:
    """Say whether *path* is *ancestor* or lies below it."""
    return path == ancestor or path.startswith((f"{ancestor}.", f"{ancestor}["))


def without_ignored(changes: Mapping[str, Change], ignored: Iterable[str]) -> dict[str, Change]:
    """Answer *changes* less those at or below a path of the resource option `ignore_changes`."""
    ignored_paths = tuple(ignored)
    return {
        path: change
        for path, change in changes.items()
        if not any(is_inside(path, ignored_path) for ignored_path in ignored_paths)
    }


def top_level_names(changes: Iterable[str]) -> list[str]:
    """Answer the sorted first names of the paths, as the engine's short form of a diff wants them."""
    return sorted({re.split(r"[.\[]", path, maxsplit=1)[0] for path in changes})


def replacing_paths(
    changes: Iterable[str],
    *,
    old: JsonObject,
    new: JsonObject,
    default_namespace: str,
    mutable_kinds: frozenset[str] = frozenset(),
) -> list[str]:
    """Answer the paths of *changes* that the API server does not let change in place, so that the object is replaced.

    A ConfigMap's or Secret's content counts as such (as in the official provider, so that what mounts it is rolled)
    unless its kind is in *mutable_kinds* and the object is not itself marked `immutable`.
    """
    kind = new.get("kind", "")
    fixed = (*_ALWAYS_IMMUTABLE, *_IMMUTABLE.get(kind, ()))
    if kind in {"ConfigMap", "Secret"} and (kind not in mutable_kinds or old.get("immutable") is True):
        fixed += _CONTENT
    exception = _MUTABLE_INSIDE.get(kind)

    def replaces(path: str) -> bool:
        if path == "apiVersion" and _group(old) == _group(new):
            return False  # another version of the same object
        if path == "metadata.namespace" and _namespace(old, default_namespace) == _namespace(new, default_namespace):
            return False
        if exception is not None and exception.fullmatch(path):
            return False
        return any(is_inside(path, field) or is_inside(field, path) for field in fixed)

    return [path for path in changes if replaces(path)]


def _group(manifest: JsonObject) -> str:
    group, slash, _ = str(manifest.get("apiVersion", "")).partition("/")
    return group if slash else ""


def _namespace(manifest: JsonObject, default: str) -> str:
    return str((manifest.get("metadata") or {}).get("namespace") or default)


def declared_part(manifest: Mapping[str, Any]) -> JsonObject:
    """Answer *manifest* without what the server sets: status, uid, versions, timestamps, field owners."""
    kept = {name: value for name, value in manifest.items() if name != "status"}
    metadata = {n: v for n, v in (manifest.get("metadata") or {}).items() if n not in SET_BY_THE_SERVER}
    kept["metadata"] = metadata
    return kept


def as_imported(live: Mapping[str, Any]) -> JsonObject:
    """Answer a running object as the inputs of an imported resource: nothing that the server or kubectl added."""
    declared = declared_part(live)
    annotations = {n: v for n, v in (declared["metadata"].get("annotations") or {}).items() if n != LAST_APPLIED}
    metadata = {n: v for n, v in declared["metadata"].items() if n != "annotations"}
    declared["metadata"] = {**metadata, "annotations": annotations} if annotations else metadata
    return declared


_ABSENT = object()


def observed_inputs(inputs: Any, live: Any, wanted: Any) -> Any:
    """Answer a resource's inputs as the running object has them: equal to *inputs* exactly when nothing has drifted.

    *live* is the running object, *wanted* what a dry run of applying *inputs* to it answers (all three by
    `declared_part`). Where live and wanted agree the program's own spelling stays ("1000m" for "1", no defaults);
    where they differ live's value is taken; whatever live has beyond what the apply would leave there is drift too,
    while fields and elements that other field managers own are in both and are not.
    """
    if live == wanted:
        return inputs
    if isinstance(inputs, Mapping) and isinstance(live, Mapping):
        return _observed_object(inputs, live, wanted if isinstance(wanted, Mapping) else {})
    if isinstance(inputs, list) and isinstance(live, list):
        return _observed_list(inputs, live, wanted if isinstance(wanted, list) else [])
    return live


def _observed_object(inputs: Mapping[str, Any], live: Mapping[str, Any], wanted: Mapping[str, Any]) -> JsonObject:
    observed: JsonObject = {}
    for name, value in inputs.items():
        if name in live:
            observed[name] = observed_inputs(value, live[name], wanted.get(name, _ABSENT))
        elif name not in wanted:
            observed[name] = value  # the server does not keep it (an empty map, say): not a difference
    extra = {name: value for name, value in live.items() if name not in inputs and name not in wanted}
    return {**observed, **extra}


def _observed_list(inputs: Sequence[Any], live: Sequence[Any], wanted: Sequence[Any]) -> list[Any]:
    key = _merge_key(inputs, live)
    if key is not None:
        return _observed_keyed_list(inputs, live, wanted, key)
    if len(inputs) == len(live) == len(wanted):
        return [observed_inputs(*triple) for triple in zip(inputs, live, wanted, strict=True)]
    if len(inputs) != len(wanted):
        return list(live)
    observed: list[Any] = []
    unmatched = list(range(len(wanted)))
    for element in live:  # an element was added or removed: the others keep the program's spelling
        match = next((position for position in unmatched if wanted[position] == element), None)
        if match is None:
            observed.append(element)
        else:
            unmatched.remove(match)
            observed.append(inputs[match])
    return observed


def _observed_keyed_list(inputs: Sequence[Any], live: Sequence[Any], wanted: Sequence[Any], key: str) -> list[Any]:
    live_by_key = {element[key]: element for element in live}
    wanted_by_key = {element.get(key): element for element in wanted if isinstance(element, Mapping)}
    observed = [
        observed_inputs(element, live_by_key[element[key]], wanted_by_key.get(element[key], _ABSENT))
        for element in inputs
        if element[key] in live_by_key
    ]
    declared = {element[key] for element in inputs}
    extra = [element for element in live if element[key] not in declared and element[key] not in wanted_by_key]
    # Nothing else differs, so the order does: no spelling of the program's can say that, live's list can.
    return observed + extra if observed + extra != inputs else list(live)


def _merge_key(*lists: Sequence[Any]) -> str | None:
    """Answer the first key that tells the elements of each of *lists* apart; None where there is none."""
    if not all(isinstance(element, Mapping) for elements in lists for element in elements):
        return None
    return next((key for key in _MERGE_KEYS if all(_is_unique(key, elements) for elements in lists)), None)


def _is_unique(key: str, elements: Sequence[Mapping[str, Any]]) -> bool:
    values = [element.get(key) for element in elements]
    if not values or not all(isinstance(value, str | int) for value in values):
        return False
    return len(set(values)) == len(values)
