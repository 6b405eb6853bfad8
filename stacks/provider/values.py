"""Pulumi's property values as plain Python and back: `google.protobuf.Struct`, secrets and unknowns.

Wire form (pulumi/sdk/go/common/resource/plugin/rpc.go): a secret is an object with a signature key; a value that is not
known before the update is one of seven sentinel strings. In Python a secret that goes out is a `Sealed`, secrets that
come in are opened (the engine marks them again by their path), and every unknown is the one string `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from google.protobuf import struct_pb2

from stacks.errors import StackError

JsonObject: TypeAlias = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"  # client-side `kubectl apply` copies the object here

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# rpc.go, UnknownBoolValue … UnknownObjectValue: the engine picks one by the type that the SDK declared.
_UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker of the wire format, not a password
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_LARGEST_EXACT = 2**53  # protobuf's numbers are doubles: whole numbers beyond this are not exact


@dataclass(frozen=True, kw_only=True, repr=False)
class Sealed:
    """A value that the engine must store encrypted and show as `[secret]`; it has no readable `repr`."""

    value: Any

    def __repr__(self) -> str:
        """Hide the value: a `Sealed` may appear in a traceback."""
        return "Sealed(…)"


def read_value(value: struct_pb2.Value) -> Any:
    """Read one protobuf value as Python: whole numbers become `int`, secrets are opened, unknowns become `UNKNOWN`.

    Raises StackError CGC-238 for files (assets and archives), which no Kubernetes field takes.
    """
    match value.WhichOneof("kind"):
        case "struct_value":
            return _read_object(value.struct_value)
        case "list_value":
            return [read_value(item) for item in value.list_value.values]
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) < _LARGEST_EXACT else number
        case "string_value":
            return UNKNOWN if value.string_value in _UNKNOWNS else value.string_value
        case "bool_value":
            return value.bool_value
        case _:
            return None


def _read_object(struct: struct_pb2.Struct) -> Any:
    fields = struct.fields
    if _SIGNATURE not in fields:
        return {name: read_value(item) for name, item in fields.items()}
    signature = fields[_SIGNATURE].string_value
    if signature in {_SECRET, _OUTPUT}:
        return read_value(fields["value"]) if "value" in fields else UNKNOWN
    raise StackError(
        "CGC-238",
        f"a file or archive (signature {signature}) stands where Kubernetes wants a plain value",
        remedy="pass the file's text (a string, or base64 in binaryData)",
    )


def read_properties(struct: struct_pb2.Struct) -> JsonObject:
    """Answer the properties of a resource without the engine's own (`__…`) and without nulls in objects.

    Kubernetes reads an explicit null as "not set", so dropping nulls keeps them from looking like a difference.
    """
    kept = {name: read_value(item) for name, item in struct.fields.items() if not name.startswith("__")}
    properties: JsonObject = without_nulls(kept)
    return properties


def without_nulls(value: Any) -> Any:
    """Answer *value* with every null member of an object dropped, at any depth; nulls in lists stay."""
    if isinstance(value, Mapping):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def write_value(value: Any) -> struct_pb2.Value:
    """Write one Python value (JSON types, `Sealed`, `UNKNOWN`) as protobuf. Raises TypeError for any other type."""
    written = struct_pb2.Value()
    match value:
        case None:
            written.null_value = struct_pb2.NULL_VALUE
        case bool():
            written.bool_value = value
        case int() | float():
            written.number_value = value
        case str():
            written.string_value = value
        case Sealed():
            fields = {_SIGNATURE: struct_pb2.Value(string_value=_SECRET), "value": write_value(value.value)}
            written.struct_value.CopyFrom(struct_pb2.Struct(fields=fields))
        case Mapping():
            written.struct_value.CopyFrom(write_properties(value))
        case Sequence():
            written.list_value.CopyFrom(struct_pb2.ListValue(values=[write_value(item) for item in value]))
        case _:
            raise TypeError(f"{type(value).__name__} is not a value that Pulumi's protocol can carry")
    return written


def write_properties(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write a resource's properties as protobuf."""
    return struct_pb2.Struct(fields={name: write_value(value) for name, value in properties.items()})


def has_unknown(value: Any) -> bool:
    """Say whether any part of *value* is not known before the update."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return bool(value == UNKNOWN)


def sealed_object(manifest: Mapping[str, Any]) -> JsonObject:
    """Answer a Kubernetes object as it goes into the state: a Secret's content sealed, `managedFields` left out.

    `managedFields` is large, changes with every write, and its keys can repeat what a Secret holds.
    """
    stored = dict(manifest)
    metadata = stored.get("metadata")
    if isinstance(metadata, Mapping):
        stored["metadata"] = metadata = {name: value for name, value in metadata.items() if name != "managedFields"}
    if stored.get("kind") == "Secret":
        for name in ("data", "stringData"):
            if name in stored:
                stored[name] = Sealed(value=stored[name])
        annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
        if isinstance(annotations, Mapping) and LAST_APPLIED in annotations:
            sealed = {**annotations, LAST_APPLIED: Sealed(value=annotations[LAST_APPLIED])}
            stored["metadata"] = {**stored["metadata"], "annotations": sealed}
    return stored
