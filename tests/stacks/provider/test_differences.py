from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacks.provider.differences import (
    Change,
    as_imported,
    compare,
    declared_part,
    is_inside,
    observed_inputs,
    replacing_paths,
    top_level_names,
    without_ignored,
)

leaves = st.booleans() | st.integers(0, 3) | st.sampled_from(["a", "b", "1000m"])
keys = st.sampled_from(["name", "spec", "app.kubernetes.io/name", "x", "port"])
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)


@given(values)
def test_nothing_differs_from_itself(value: Any) -> None:
    """Equal descriptions have no differences, and no drift."""
    assert compare(value, copy.deepcopy(value)) == {}
    assert observed_inputs(value, value, value) == value


@given(values, values)
def test_a_difference_is_seen_from_both_sides(old: Any, new: Any) -> None:
    """The same paths differ either way round; what is added one way is deleted the other way."""
    opposite = {Change.ADDED: Change.DELETED, Change.DELETED: Change.ADDED, Change.UPDATED: Change.UPDATED}
    there, back = compare(old, new), compare(new, old)
    assert {path: opposite[change] for path, change in there.items()} == back
    assert bool(there) == (not _identical(old, new))


def _identical(old: Any, new: Any) -> bool:
    return repr(_ordered(old)) == repr(_ordered(new))


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _ordered(member) for name, member in sorted(value.items())}
    return [_ordered(member) for member in value] if isinstance(value, list) else value


def test_paths_are_the_engines() -> None:
    """Members with a plain name are joined by dots, others quoted, positions in brackets."""
    old = {"spec": {"ports": [{"port": 1}]}, "metadata": {"labels": {"app.kubernetes.io/name": "a"}}}
    new = {"spec": {"ports": [{"port": 2}, {}]}, "metadata": {"labels": {"app.kubernetes.io/name": "b"}}}
    assert compare(old, new) == {
        "spec.ports[0].port": Change.UPDATED,
        "spec.ports[1]": Change.ADDED,
        'metadata.labels["app.kubernetes.io/name"]': Change.UPDATED,
    }


def test_true_is_not_one() -> None:
    """Python says True == 1; to the API server they are different types."""
    assert compare({"a": True}, {"a": 1}) == {"a": Change.UPDATED}


def test_ignored_paths_take_what_is_below_them_along() -> None:
    """`ignore_changes=["spec.replicas"]` covers spec.replicas and below, not spec.replicasMore."""
    changes = dict.fromkeys(["spec.replicas", "spec.replicas.x", "spec.replicas[0]", "spec.replicasMore"], Change.ADDED)
    assert list(without_ignored(changes, ["spec.replicas"])) == ["spec.replicasMore"]
    assert top_level_names(["spec.a", "spec[0]", "metadata", 'data["x.y"]']) == ["data", "metadata", "spec"]
    assert is_inside("data.a", "data")
    assert not is_inside("database", "data")


def _replaces(old: dict[str, Any], new: dict[str, Any], **options: Any) -> list[str]:
    return replacing_paths(compare(old, new), old=old, new=new, default_namespace="default", **options)


def _object(kind: str, **members: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": "x"}, **members}


@pytest.mark.parametrize(
    ("kind", "old", "new", "replaces"),
    [
        ("RoleBinding", {"roleRef": {"name": "a"}}, {"roleRef": {"name": "b"}}, ["roleRef.name"]),
        ("Role", {"rules": [1]}, {"rules": [2]}, []),
        (
            "Deployment",
            {"spec": {"selector": {"matchLabels": {"a": "1"}}, "replicas": 1}},
            {"spec": {"selector": {"matchLabels": {"a": "2"}}, "replicas": 2}},
            ["spec.selector.matchLabels.a"],
        ),
        ("Deployment", {"spec": {"replicas": 1}}, {"spec": {"replicas": 2}}, []),
        ("Service", {"spec": {"clusterIP": "10.0.0.1"}}, {"spec": {"clusterIP": "None"}}, ["spec.clusterIP"]),
        ("Deployment", {"spec": {"selector": {}}}, {}, ["spec"]),
        (
            "Pod",
            {"spec": {"containers": [{"image": "a:1", "command": ["a"]}]}},
            {"spec": {"containers": [{"image": "a:2", "command": ["b"]}]}},
            ["spec.containers[0].command[0]"],
        ),
    ],
)
def test_what_the_server_cannot_change_replaces(
    kind: str, old: dict[str, Any], new: dict[str, Any], replaces: list[str]
) -> None:
    """An immutable field of the kind, or what holds or lies in one, replaces; the rest changes in place."""
    assert _replaces(_object(kind, **old), _object(kind, **new)) == replaces


def test_another_version_of_the_same_object_does_not_replace() -> None:
    """batch/v1beta1 → batch/v1 is the same CronJob; apps → batch, or another kind, is another object."""
    old = {"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "x"}}
    assert _replaces(old, {**old, "apiVersion": "batch/v1"}) == []
    assert _replaces(old, {**old, "apiVersion": "apps/v1"}) == ["apiVersion"]
    assert _replaces(old, {**old, "kind": "Job"}) == ["kind"]


def test_naming_the_default_namespace_does_not_replace() -> None:
    """No namespace and the default one are the same place; any other is another."""
    old = _object("ConfigMap")
    assert _replaces(old, {**old, "metadata": {"name": "x", "namespace": "default"}}) == []
    assert _replaces(old, {**old, "metadata": {"name": "x", "namespace": "y"}}) == ["metadata.namespace"]
    assert _replaces(old, {**old, "metadata": {"name": "y"}}) == ["metadata.name"]


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret"])
def test_content_replaces_unless_it_may_change(kind: str) -> None:
    """A ConfigMap's data replaces it, except where the stack allows changes and the object is not immutable."""
    old, new = _object(kind, data={"a": "1"}), _object(kind, data={"a": "2"})
    allowed = frozenset({kind})
    assert _replaces(old, new) == ["data.a"]
    assert _replaces(old, new, mutable_kinds=allowed) == []
    assert _replaces({**old, "immutable": True}, new, mutable_kinds=allowed) == ["data.a"]


def test_what_the_server_sets_is_no_declaration() -> None:
    """Status, versions and owners are left out; of an imported object kubectl's copy of it too."""
    live = {
        "kind": "ConfigMap",
        "metadata": {
            "name": "x",
            "uid": "1",
            "resourceVersion": "2",
            "managedFields": [],
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        },
        "status": {},
        "data": {},
    }
    assert declared_part(live)["metadata"].keys() == {"name", "annotations"}
    assert as_imported(live) == {"kind": "ConfigMap", "metadata": {"name": "x"}, "data": {}}
    assert live["status"] == {}


# --- drift: the declared inputs, the running object, and what applying the inputs to it would leave


def test_the_programs_spelling_is_no_drift() -> None:
    """Another spelling ("4000m" for "4") and defaults that the server added are what was declared."""
    inputs = {"spec": {"hard": {"cpu": "4000m"}, "ports": [{"port": 8080}]}}
    live = {"spec": {"hard": {"cpu": "4"}, "ports": [{"port": 8080, "protocol": "TCP"}], "scopes": []}}
    assert observed_inputs(inputs, live, copy.deepcopy(live)) == inputs


def test_the_programs_spelling_stays_beside_a_drift() -> None:
    """Where one field has drifted, only that one differs."""
    inputs = {"hard": {"cpu": "4000m", "pods": "10"}}
    live, wanted = {"hard": {"cpu": "4", "pods": "99"}}, {"hard": {"cpu": "4", "pods": "10"}}
    assert observed_inputs(inputs, live, wanted) == {"hard": {"cpu": "4000m", "pods": "99"}}


def test_an_added_allow_all_rule_is_drift() -> None:
    """An extra element of a list that the stack owns is seen, and the declared elements keep their spelling."""
    declared, served = {"ports": [{"port": 1}]}, {"ports": [{"port": 1, "protocol": "TCP"}]}
    inputs, wanted = {"ingress": [declared]}, {"ingress": [served]}
    assert observed_inputs(inputs, {"ingress": [served, {}]}, wanted) == {"ingress": [declared, {}]}
    assert observed_inputs(inputs, {"ingress": [{}, served]}, wanted) == {"ingress": [{}, declared]}
    assert observed_inputs(inputs, {"ingress": []}, wanted) == {"ingress": []}
    assert observed_inputs(inputs, {}, wanted) == {}


def test_a_rule_added_to_an_empty_list_is_drift() -> None:
    """Deny-all declares no rules; any rule is one too many, also where the server drops the empty list."""
    assert observed_inputs({"ingress": []}, {"ingress": [{}]}, {"ingress": []}) == {"ingress": [{}]}
    assert observed_inputs({"ingress": []}, {"ingress": [{}]}, {}) == {"ingress": [{}]}


def test_a_narrowed_selector_is_drift() -> None:
    """`podSelector: {}` chooses every pod; a label added to it by hand frees all the others of the policy."""
    inputs: Any = {"podSelector": {}}
    live = {"podSelector": {"matchLabels": {"app": "x"}}}
    assert observed_inputs(inputs, live, {"podSelector": {}}) == live


def test_what_other_managers_own_is_not_drift() -> None:
    """A label, a key and a container that the apply would leave are somebody else's."""
    inputs = {"labels": {"a": "1"}, "containers": [{"name": "web", "image": "w:1"}], "replicas": 1}
    theirs = {"labels": {"a": "1", "b": "2"}, "containers": [{"name": "web", "image": "w:1"}, {"name": "mesh"}]}
    live, wanted = {**theirs, "replicas": 5}, {**theirs, "replicas": 1}
    assert observed_inputs(inputs, live, wanted) == {**inputs, "replicas": 5}


def test_elements_are_compared_by_their_key() -> None:
    """A changed, a missing and an extra container are told apart by name, not by position."""
    inputs = [{"name": "a", "cpu": "1000m"}, {"name": "b"}]
    wanted = [{"name": "a", "cpu": "1"}, {"name": "b"}]
    live = [{"name": "x"}, {"name": "a", "cpu": "2"}]
    assert observed_inputs(inputs, live, wanted) == [{"name": "a", "cpu": "2"}, {"name": "x"}]


def test_another_order_is_a_difference() -> None:
    """The order of environment variables matters to the container: the same elements otherwise ordered are drift."""
    inputs = [{"name": "a"}, {"name": "b"}]
    live = [{"name": "b"}, {"name": "a"}]
    assert observed_inputs(inputs, live, inputs) == live


def test_what_the_server_does_not_keep_is_no_drift() -> None:
    """An empty map that is in neither the running object nor the dry run cannot drift."""
    assert observed_inputs({"annotations": {}, "a": 1}, {"a": 2}, {"a": 1}) == {"annotations": {}, "a": 2}


def test_without_a_dry_run_the_text_is_compared() -> None:
    """Where the server would not take the declared object any more, what differs as written is shown."""
    assert observed_inputs({"a": 1, "b": [1]}, {"a": 2, "b": [1]}, None) == {"a": 2, "b": [1]}


@given(values, values, values)
def test_no_drift_is_invented_and_none_is_hidden(inputs: Any, live: Any, wanted: Any) -> None:
    """Where the running object is what the apply leaves there is none; a declared leaf that is otherwise is drift."""
    assert observed_inputs(inputs, wanted, wanted) == inputs
    # the server keeps the inputs as written: then observed is the inputs exactly where live has them and no more
    observed = observed_inputs(inputs, live, inputs)
    assert (observed == inputs) == (live == inputs)
