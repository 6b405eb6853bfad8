from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from stacks.errors import StackError
from stacks.provider.values import (
    UNKNOWN,
    Sealed,
    has_unknown,
    read_properties,
    read_value,
    sealed_object,
    without_nulls,
    write_properties,
    write_value,
)

# What JSON from an API server can hold, within what a protobuf double carries exactly.
scalars = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
names = st.text().filter(lambda name: name != "4dabf18193072939515e22adb298388d")
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=20,
)


def secret(value: Any) -> struct_pb2.Value:
    """Write *value* as the engine sends a secret."""
    return write_value(Sealed(value=value))


@given(values)
def test_every_json_value_survives_the_wire(value: Any) -> None:
    """What is written is read again, equal, and what protobuf itself shows is the same value."""
    written = write_value(value)
    assert read_value(written) == value
    assert json_format.MessageToDict(written) == value


@given(values)
def test_secrets_are_opened_at_any_depth(value: Any) -> None:
    """A secret that comes in is its value, wherever it stands."""
    wrapped = struct_pb2.Value(struct_value=struct_pb2.Struct(fields={"inside": secret(value)}))
    assert read_value(secret(value)) == value
    assert read_value(wrapped) == {"inside": value}


def test_whole_numbers_are_integers_again() -> None:
    """Protobuf has only doubles; a port must not become 8080.0, which the API server refuses."""
    assert repr(read_value(struct_pb2.Value(number_value=8080.0))) == "8080"
    assert repr(read_value(struct_pb2.Value(number_value=0.5))) == "0.5"


@pytest.mark.parametrize("sentinel", ["04da6b54-80e4-46f7-96ec-b56ff0331ba9", "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7"])
def test_every_sentinel_is_the_one_unknown(sentinel: str) -> None:
    """An unknown string and an unknown boolean are both recognised."""
    assert read_value(struct_pb2.Value(string_value=sentinel)) == UNKNOWN
    assert has_unknown({"a": [{"b": read_value(struct_pb2.Value(string_value=sentinel))}]})


def test_an_unresolved_output_is_unknown() -> None:
    """An output without a value is not known before the update."""
    fields = {"4dabf18193072939515e22adb298388d": struct_pb2.Value(string_value="d0e6a833031e9bbcd3f4e8bde6ca49a4")}
    assert read_value(struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))) == UNKNOWN


def test_a_file_is_refused_by_name() -> None:
    """An asset stands for a file; no field of Kubernetes takes one, so it is an error and not a strange string."""
    fields = {"4dabf18193072939515e22adb298388d": struct_pb2.Value(string_value="c44067f5952c0a294b673a41bacd8c17")}
    with pytest.raises(StackError) as caught:
        read_value(struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields)))
    assert caught.value.code == "CGC-238"


def test_the_engines_own_properties_and_nulls_are_left_out() -> None:
    """`__defaults` is not a field of the object, and an explicit null means "not set"."""
    struct = write_properties({"__defaults": [], "spec": {"a": None, "b": 1}, "list": [None]})
    assert read_properties(struct) == {"spec": {"b": 1}, "list": [None]}


@given(values)
def test_no_object_keeps_a_null(value: Any) -> None:
    """Dropping nulls twice is dropping them once, and no object has one left."""

    def nulls(item: Any) -> bool:
        if isinstance(item, dict):
            return any(member is None or nulls(member) for member in item.values())
        return isinstance(item, list) and any(nulls(member) for member in item)

    once = without_nulls(value)
    assert not nulls(once)
    assert without_nulls(once) == once


def test_a_secrets_content_is_sealed_and_field_owners_dropped() -> None:
    """The state never has a Secret's data in the clear, whichever way it came into the object."""
    last = "kubectl.kubernetes.io/last-applied-configuration"
    live = {
        "kind": "Secret",
        "metadata": {"name": "key", "managedFields": [{}], "annotations": {last: "{data}", "kept": "x"}},
        "data": {"password": "cGFzc3dvcmQ="},
        "stringData": {"password": "password"},
    }
    stored = sealed_object(live)
    assert isinstance(stored["data"], Sealed)
    assert isinstance(stored["stringData"], Sealed)
    assert isinstance(stored["metadata"]["annotations"][last], Sealed)
    assert stored["metadata"]["annotations"]["kept"] == "x"
    assert "managedFields" not in stored["metadata"]
    assert "password" not in repr(stored["data"]) + repr(stored["stringData"])
    assert live["data"] == {"password": "cGFzc3dvcmQ="}


def test_an_object_whose_metadata_is_not_known_yet_can_be_sealed() -> None:
    """In a preview any part may be unknown, metadata too."""
    assert sealed_object({"kind": "Secret", "metadata": UNKNOWN})["metadata"] == UNKNOWN


def test_what_is_no_value_is_refused() -> None:
    """A Python object that the protocol cannot carry is a defect and says so."""
    with pytest.raises(TypeError, match="object is not a value"):
        write_value(object())
