"""Who set which field of a live object, as the API server notes it (ManagedFieldsEntry; structured-merge-diff sets)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from policies.comparing import Path, key_of, merge_keys, with_data
from policies.kubernetes import Object, instant

IsOurs = Callable[[str], bool]
"""Whether a field manager (ManagedFieldsEntry.manager) is this toolkit."""

OUR_MANAGERS = "pulumi-cgc-"  # stacks/provider: pulumi-<project>-<stack>, one a stack
# Parts of Kubernetes that write into objects as their work: defaults, revisions, scheduling, finalizers.
CONTROLLERS = frozenset(
    {"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubeadm", "cloud-controller-manager"}
)


def is_ours(manager: str) -> bool:
    """Whether a field manager is one of this toolkit's stacks."""
    return manager.startswith(OUR_MANAGERS)


def strange_managers(item: Object, ours: IsOurs) -> Iterator[str]:
    """Yield the managers of an object that are neither we nor a part of Kubernetes."""
    return (str(entry["manager"]) for entry in _entries(item) if not _is_known(entry["manager"], ours))


def _entries(item: Object) -> Iterator[Mapping[str, Any]]:
    """Yield who set which fields, but for the status, which is the cluster's to write."""
    for entry in (item.get("metadata") or {}).get("managedFields") or ():
        if entry.get("subresource") != "status" and entry.get("manager"):
            yield entry


def _is_known(manager: str, ours: IsOurs) -> bool:
    return ours(manager) or manager in CONTROLLERS


def foreign_fields(wanted: Object, found: Object, ours: IsOurs) -> Iterator[tuple[Path, str, datetime | None]]:
    """Yield (path, manager, time) of each undeclared field that neither we nor Kubernetes itself set."""
    declared = with_data(wanted)
    for entry in _entries(found):
        if not _is_known(entry["manager"], ours):
            for path in _undeclared_paths(entry.get("fieldsV1") or {}, declared, found, ()):
                yield path, str(entry["manager"]), instant(entry.get("time"))


def _undeclared_paths(fields: Mapping[str, Any], declared: Any, live: Any, path: Path) -> Iterator[Path]:
    """Walk a FieldsV1 tree (structured-merge-diff's path elements f:, k:, v:) beside the declaration and the object."""
    for element, inner in fields.items():
        kind, _, rest = element.partition(":")
        if kind == "f":
            if path == () and rest == "status":
                continue
            step = rest
            mine = declared.get(rest) if isinstance(declared, Mapping) else None
            theirs = live.get(rest) if isinstance(live, Mapping) else None
            is_declared = isinstance(declared, Mapping) and rest in declared
        elif kind == "k":
            key = json.loads(rest)
            step = f"[{next(iter(key.values()), '')}]"
            mine, theirs = _element(declared, key), _element(live, key)
            is_declared = mine is not None
        elif kind == "v":
            value = json.loads(rest)
            step, mine, theirs = f"[{value}]", None, value
            is_declared = isinstance(declared, list | tuple) and value in declared
        else:  # "." is the parent itself
            continue
        here = (*path, step)
        if not is_declared:
            if theirs is not None:  # an owner may outlive its field
                yield here
        elif inner and mine is not None:
            yield from _undeclared_paths(inner, mine, theirs, here)


def _element(items: Any, key: Mapping[str, Any]) -> Any:
    """Return the element of a list that has the key, None if there is none."""
    if not isinstance(items, list | tuple):
        return None
    names = tuple(key)
    wanted = tuple(str(value) for value in key.values())
    return next((item for item in items if isinstance(item, Mapping) and key_of(item, names) == wanted), None)


def owner_of(path: Path, item: Object, ours: IsOurs) -> tuple[str, datetime | None]:
    """Return the manager, and the time, of whoever else set the field, a parent or a child of it; the last who did."""
    owners = [
        (str(entry["manager"]), instant(entry.get("time")))
        for entry in _entries(item)
        if not ours(entry["manager"]) and _reaches(entry.get("fieldsV1") or {}, path)
    ]
    return owners[-1] if owners else ("", None)


def _reaches(fields: Mapping[str, Any], path: Path) -> bool:
    """Whether a FieldsV1 tree holds the path, or a leaf above it."""
    if not path or not fields:
        return True
    step = path[0]
    for element, inner in fields.items():
        kind, _, rest = element.partition(":")
        if kind == "f" and rest == step:
            return _reaches(inner, path[1:])
        if kind == "k" and step == f"[{next(iter(json.loads(rest).values()), '')}]":
            return _reaches(inner, path[1:])
    return False


def overlap(one: Path, other: Path) -> bool:
    """Whether one path is the other, or leads to it."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def value_at(item: Any, path: Path) -> Any:
    """Return what stands at a path of an object, None if nothing does."""
    for step in path:
        if step.startswith("[") and isinstance(item, list | tuple):
            name = step[1:-1]
            keys = merge_keys(path[path.index(step) - 1], item)
            item = next((one for one in item if (key_of(one, keys)[0] if keys else str(one)) == name), None)
        else:
            item = item.get(step) if isinstance(item, Mapping) else None
    return item
