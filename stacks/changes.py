"""What an engine run would do, or did, to a cluster's objects, in the words of an operator. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stacks.plugins import Plugin

JsonObject = Mapping[str, Any]

SECRET = "[secret]"  # noqa: S105 - what is shown in a secret's place
_SECRET_SIGNATURE = "4dabf18193072939515e22adb298388d"  # noqa: S105 - pulumi/sdk/go/common/resource/sig
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # pulumi/sdk/go/common/resource/plugin: not known before the run
_KUBERNETES = "kubernetes:"
_PROVIDER = "pulumi:providers:kubernetes"


class Operation(StrEnum):
    """What happens to an object."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    SAME = "same"


# The engine's words (pulumi/sdk/go/common/apitype, OpType). A replacement is told once: its parts have no entry here.
_OPERATIONS = {
    "create": Operation.CREATE,
    "update": Operation.UPDATE,
    "replace": Operation.REPLACE,
    "delete": Operation.DELETE,
    "same": Operation.SAME,
    "import": Operation.CREATE,
    "discard": Operation.DELETE,
}


@dataclass(frozen=True, kw_only=True)
class FieldChange:
    """One field that changes; `before` and `after` are JSON values, None where the field is absent."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class ObjectChange:
    """What happens to one object; `namespace` is empty for a cluster-wide one.

    `planned` is the whole object as it will be, None for a deletion.
    """

    operation: Operation
    api_version: str
    kind: str
    namespace: str
    name: str
    fields: tuple[FieldChange, ...] = ()
    planned: JsonObject | None = None


@dataclass(frozen=True, kw_only=True)
class StackReport:
    """One cluster's run: every object with what happens to it. Sorted by operation, kind, namespace, name."""

    cluster: str
    plugin: Plugin
    is_applied: bool
    objects: tuple[ObjectChange, ...]
    warnings: tuple[str, ...]
    seconds: float

    @property
    def changes(self) -> tuple[ObjectChange, ...]:
        """The objects to which something happens."""
        return tuple(change for change in self.objects if change.operation is not Operation.SAME)

    def count(self, operation: Operation) -> int:
        """Return how many objects the operation happens to."""
        return sum(1 for change in self.objects if change.operation is operation)

    @property
    def planned(self) -> tuple[JsonObject, ...]:
        """Every object as it will be: what a gate judges."""
        return tuple(change.planned for change in self.objects if change.planned is not None)


def object_change(
    operation: str, resource_type: str, old: JsonObject | None, new: JsonObject | None
) -> ObjectChange | None:
    """Return what a step of the engine does to an object of the cluster; None for any other step.

    `old` and `new` are the resource's inputs before and after. Components, the stack itself, the provider, reads and
    the parts of a replacement are other steps.
    """
    chosen = _OPERATIONS.get(operation)
    shown = new or old
    if chosen is None or shown is None or not resource_type.startswith(_KUBERNETES):
        return None
    metadata = shown.get("metadata") or {}
    after = None if chosen is Operation.DELETE else new
    fields = tuple(field_changes(old or {}, after or {})) if chosen in {Operation.UPDATE, Operation.REPLACE} else ()
    return ObjectChange(
        operation=chosen,
        api_version=str(shown.get("apiVersion", "")),
        kind=str(shown.get("kind", "")),
        namespace=str(metadata.get("namespace", "")),
        name=str(metadata.get("name", "")),
        fields=fields,
        planned=_without_secrets(after) if after is not None else None,
    )


def is_engine_resource(resource_type: str) -> bool:
    """Say whether a step's resource is the provider itself, whose configuration is no object of the cluster."""
    return resource_type == _PROVIDER


def in_order(changes: Iterable[ObjectChange]) -> tuple[ObjectChange, ...]:
    """Return the changes as people read them: by operation, then kind, namespace and name."""
    ranks = {operation: rank for rank, operation in enumerate(Operation)}
    return tuple(
        sorted(changes, key=lambda change: (ranks[change.operation], change.kind, change.namespace, change.name))
    )


def field_changes(old: Any, new: Any, path: str = "") -> Iterator[FieldChange]:
    """Yield every field in which two JSON values differ; of secrets only that they do."""
    if _is_secret(old) or _is_secret(new):
        if old != new:
            yield FieldChange(path=path, before=_without_secrets(old), after=_without_secrets(new))
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in sorted({**old, **new}):
            yield from field_changes(old.get(name), new.get(name), _member(path, name))
        return
    if isinstance(old, list) and isinstance(new, list):
        for position in range(max(len(old), len(new))):
            before = old[position] if position < len(old) else None
            after = new[position] if position < len(new) else None
            yield from field_changes(before, after, f"{path}[{position}]")
        return
    if old != new or isinstance(old, bool) != isinstance(new, bool):
        yield FieldChange(path=path, before=_without_secrets(old), after=_without_secrets(new))


def _member(path: str, name: str) -> str:
    plain = name.replace("_", "").replace("-", "").isalnum()
    if not plain:
        return f'{path}["{name}"]'
    return f"{path}.{name}" if path else name


def _is_secret(value: Any) -> bool:
    return isinstance(value, Mapping) and _SECRET_SIGNATURE in value


def _without_secrets(value: Any) -> Any:
    """Return a JSON value with every secret's content hidden and what is not known yet said so."""
    if _is_secret(value):
        return SECRET
    if isinstance(value, Mapping):
        return {name: _without_secrets(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_without_secrets(member) for member in value]
    return "(known after the run)" if value == _UNKNOWN else value
