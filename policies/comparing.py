"""Compare a declared Kubernetes object with the live one: every declared leaf counts, a default of the API does not.

Lists compare as Kubernetes merges them (API reference, `listType`): those with a merge key element by element, sets as
sets, all others as one value, so that one rule more in a network policy is seen. Where the API adds nothing of its own
(a policy's walls, a role's rules, a configuration's data), anything more than what is declared counts too.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.quantities import quantity_of

Path = tuple[str, ...]

# listType=map lists and their keys, by the name of the field; other lists of mappings are atomic.
MERGE_KEYS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "initContainers": (("name",),),
    "ephemeralContainers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "volumeDevices": (("devicePath",),),
    "imagePullSecrets": (("name",),),
    "hostAliases": (("ip",),),
    "topologySpreadConstraints": (("topologyKey", "whenUnsatisfiable"),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),  # a container's, a Service's
    "webhooks": (("name",),),
    "variables": (("name",),),
    "matchConditions": (("name",),),
}
SETS = frozenset({"finalizers", "accessModes"})
# What the API never adds to: kind → top-level fields.
WHOLE: Mapping[str, frozenset[str]] = {
    "NetworkPolicy": frozenset({"spec"}),
    "Role": frozenset({"rules"}),
    "ClusterRole": frozenset({"rules"}),
    "RoleBinding": frozenset({"roleRef", "subjects"}),
    "ClusterRoleBinding": frozenset({"roleRef", "subjects"}),
    "ConfigMap": frozenset({"data", "binaryData"}),
    "Secret": frozenset({"data"}),
    "ResourceQuota": frozenset({"spec"}),
}
# Defaults that the API writes into elements of atomic lists.
DEFAULTS: Mapping[str, frozenset[object]] = {
    "protocol": frozenset({"TCP"}),
    "apiGroup": frozenset({"rbac.authorization.k8s.io"}),
    "scope": frozenset({"*"}),
    "expirationSeconds": frozenset({3607, 3600}),
}
DERIVED = frozenset(
    {"default", "defaultRequest"}
)  # of a LimitRange's items: the API fills them in from max and default
# Fields whose API default is not their type's empty value: left out means something else than what was declared.
TRUE_UNLESS_SAID = frozenset(
    {"automountServiceAccountToken", "enableServiceLinks", "allowPrivilegeEscalation", "allocateLoadBalancerNodePorts"}
)
NUMBERS_THAT_COUNT_AT_ZERO = frozenset(
    {"replicas", "minAvailable", "maxUnavailable", "maxSurge", "terminationGracePeriodSeconds", "revisionHistoryLimit"}
    | {"runAsUser", "runAsGroup", "backoffLimit", "completions", "parallelism", "value"}
)
HOLD_QUANTITIES = frozenset(
    {"limits", "requests", "hard", "default", "defaultRequest", "max", "min", "maxLimitRequestRatio", "capacity"}
    | {"sizeLimit", "overhead", "divisor"}
)
# What identifies an object, or says how to reach it, is no content; status is the cluster's to write.
NO_CONTENT = frozenset({("apiVersion",), ("kind",), ("metadata", "name"), ("metadata", "namespace"), ("status",)})


@dataclass(frozen=True, kw_only=True)
class LeafDifference:
    """One value that is not as declared: `found` is None where nothing is, `expected` where nothing was declared."""

    path: Path
    expected: Any
    found: Any


def shown(path: Path) -> str:
    """Return a path as people write it: spec.template.spec.containers[web].image."""
    text = ""
    for part in path:
        text += part if part.startswith("[") else f".{part}" if text else part
    return text


def differences(declared: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[LeafDifference, ...]:
    """Return every way in which the live object's content is not as declared."""
    wanted = with_data(declared)
    whole = WHOLE.get(str(wanted.get("kind")), frozenset())
    found: list[LeafDifference] = []
    for name in [*wanted, *(name for name in whole if name in live and name not in wanted)]:
        found += _compare(wanted.get(name), live.get(name), (name,), exact=name in whole)
    return tuple(found)


def with_data(secret: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a Secret with its `stringData` as the API keeps it: encoded, in `data`. Other objects as they are."""
    texts = secret.get("stringData")
    if secret.get("kind") != "Secret" or not texts:
        return secret
    encoded = {name: base64.b64encode(str(text).encode()).decode() for name, text in texts.items()}
    rest = {name: value for name, value in secret.items() if name != "stringData"}
    return {**rest, "data": {**(secret.get("data") or {}), **encoded}}


def _compare(declared: Any, live: Any, path: Path, *, exact: bool) -> Iterator[LeafDifference]:
    if path in NO_CONTENT:
        return
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        yield from _compare_mappings(declared, live, path, exact=exact)
    elif isinstance(declared, list | tuple) and isinstance(live, list | tuple):
        yield from _compare_lists(declared, live, path, exact=exact)
    elif not _is_same(declared, live, path):
        yield LeafDifference(path=path, expected=declared, found=live)


def _compare_mappings(
    declared: Mapping[str, Any], live: Mapping[str, Any], path: Path, *, exact: bool
) -> Iterator[LeafDifference]:
    for name, value in declared.items():
        yield from _compare(value, live.get(name), (*path, name), exact=exact)
    for name, value in live.items() if exact else ():
        if name not in declared and not _is_default(name, value):
            yield LeafDifference(path=(*path, name), expected=None, found=value)


def _compare_lists(
    declared: Sequence[Any], live: Sequence[Any], path: Path, *, exact: bool
) -> Iterator[LeafDifference]:
    keys = () if exact else merge_keys(path[-1], declared)
    if keys:
        wanted = {key_of(item, keys): item for item in declared}
        there = {key_of(item, keys): item for item in live}
        for key in [*wanted, *(key for key in there if key not in wanted)]:
            inside = (*path, f"[{key[0]}]")
            if key in wanted and key in there:
                yield from _compare(wanted[key], there[key], inside, exact=exact)
            else:
                yield LeafDifference(path=inside, expected=wanted.get(key), found=there.get(key))
    elif path[-1] in SETS:
        if any(item not in live for item in declared):
            yield LeafDifference(path=path, expected=list(declared), found=list(live))
    elif len(declared) != len(live) or any(
        True for mine, theirs in zip(declared, live, strict=True) for _ in _compare(mine, theirs, path, exact=True)
    ):
        yield LeafDifference(path=path, expected=list(declared), found=list(live))


def merge_keys(name: str, items: Sequence[Any]) -> tuple[str, ...]:
    """Return the fields that tell a list's elements apart; none if the list is one value, or holds plain values."""
    if not items or not all(isinstance(item, Mapping) for item in items):
        return ()
    return next((keys for keys in MERGE_KEYS.get(name, ()) if all(keys[0] in item for item in items)), ())


def key_of(item: Mapping[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return an element's key as texts; a port without a protocol is TCP's (API default)."""
    return tuple(str(item.get(key, "TCP" if key == "protocol" else "")) for key in keys)


def _is_default(name: str, value: Any) -> bool:
    """Whether a value that nobody declared is one that the API writes by itself."""
    return name in DERIVED or value in (None, "", False, [], {}) or _is_known_default(name, value)


def _is_known_default(name: str, value: Any) -> bool:
    return isinstance(value, str | int) and value in DEFAULTS.get(name, frozenset())


def _may_be_left_out(value: Any, name: str) -> bool:
    """Whether the API leaves the value out of what it returns (Go's omitempty) without changing its meaning."""
    if value is False:
        return name not in TRUE_UNLESS_SAID
    if isinstance(value, int | float) and value == 0:
        return name not in NUMBERS_THAT_COUNT_AT_ZERO
    if isinstance(value, Mapping):
        return all(_may_be_left_out(inner, key) for key, inner in value.items())
    return value is None or value == "" or (isinstance(value, list | tuple) and not value)


def _is_same(declared: Any, live: Any, path: Path) -> bool:
    if declared == live and isinstance(declared, bool) == isinstance(live, bool):
        return True
    if live is None:
        return _may_be_left_out(declared, path[-1])
    if declared is None:
        return _is_default(path[-1], live)
    if HOLD_QUANTITIES.isdisjoint(path):
        return False
    quantity = quantity_of(declared)
    return quantity is not None and quantity == quantity_of(live)
