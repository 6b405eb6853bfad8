"""What an engine's step means to an operator."""

from __future__ import annotations

from typing import Any

import pytest

from stacks.changes import FieldChange, Operation, StackReport, field_changes, in_order, object_change
from stacks.plugins import Plugin

ROLE = "kubernetes:rbac.authorization.k8s.io/v1:Role"
SECRET_VALUE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}


def an_object(**content: Any) -> dict[str, Any]:
    """Return an object's inputs as a step has them."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, **content}


def test_an_update_names_the_fields_that_change() -> None:
    """Each changed field with what is and what will be; unchanged ones are left out."""
    old, new = an_object(data={"a": "1", "b": "2"}), an_object(data={"a": "1", "b": "3", "c": "4"})
    change = object_change("update", "kubernetes:core/v1:ConfigMap", old, new)
    assert change is not None
    assert change.operation is Operation.UPDATE
    assert (change.kind, change.namespace, change.name) == ("ConfigMap", "n", "c")
    assert change.fields == (
        FieldChange(path="data.b", before="2", after="3"),
        FieldChange(path="data.c", before=None, after="4"),
    )
    assert change.planned == new


def test_a_deletion_plans_no_object() -> None:
    """What is deleted is named by what it was, and is not among what a gate judges."""
    change = object_change("delete", ROLE, an_object(), None)
    assert change is not None
    assert change.operation is Operation.DELETE
    assert change.planned is None


@pytest.mark.parametrize(
    ("operation", "resource_type"),
    [
        ("create", "cgc:stacks:Tenancy"),
        ("same", "pulumi:pulumi:Stack"),
        ("update", "pulumi:providers:kubernetes"),
        ("create-replacement", ROLE),
        ("delete-replaced", ROLE),
        ("read", ROLE),
        ("refresh", ROLE),
    ],
)
def test_steps_that_are_no_change_of_an_object(operation: str, resource_type: str) -> None:
    """Components, the stack, the provider, reads and the parts of a replacement are not counted as objects."""
    assert object_change(operation, resource_type, an_object(), an_object()) is None


def test_secrets_are_never_shown() -> None:
    """Of a secret it is said that it changes, not from what to what; plans carry no content either."""
    old, new = an_object(data=SECRET_VALUE), an_object(data={**SECRET_VALUE, "ciphertext": "[another]"})
    change = object_change("update", "kubernetes:core/v1:Secret", old, new)
    assert change is not None
    assert change.fields == (FieldChange(path="data", before="[secret]", after="[secret]"),)
    assert change.planned is not None
    assert change.planned["data"] == "[secret]"


def test_paths_are_written_as_the_engine_writes_them() -> None:
    """Positions in brackets, names with dots or slashes quoted."""
    old = {"spec": {"rules": [{"a": 1}]}, "labels": {"x.test/y": "1"}}
    new = {"spec": {"rules": [{"a": 2}, {"b": 1}]}, "labels": {"x.test/y": "2"}}
    assert [change.path for change in field_changes(old, new)] == [
        'labels["x.test/y"]',
        "spec.rules[0].a",
        "spec.rules[1]",
    ]


@pytest.mark.parametrize(("old", "new"), [(True, 1), (None, {}), ("1", 1), ([], None)])
def test_values_that_look_alike_are_different(old: Any, new: Any) -> None:
    """JSON's types count: true is not 1, and an empty mapping is not an absent one."""
    assert [change.path for change in field_changes({"a": old}, {"a": new})] == ["a"]


def test_a_report_counts_and_sorts() -> None:
    """Changes come first by operation, and what stays the same is no change."""
    steps = [("same", "s"), ("delete", "d"), ("create", "c")]
    objects = [
        object_change(operation, ROLE, an_object(metadata={"name": name}), an_object(metadata={"name": name}))
        for operation, name in steps
    ]
    report = StackReport(
        cluster="cgc-north",
        plugin=Plugin.BUILT_IN,
        is_applied=False,
        objects=in_order(each for each in objects if each),
        warnings=(),
        seconds=1.0,
    )
    assert [change.name for change in report.changes] == ["c", "d"]
    assert report.count(Operation.SAME) == 1
    assert len(report.planned) == 2
