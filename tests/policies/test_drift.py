"""Drift names what departs, who, when and whether converging repairs it; and it never cries wolf."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.comparing import differences
from policies.control import Verdict
from policies.drift import Departure, DriftItem, cluster_drift, find_drift, node_drift, state_hash
from policies.observed import ClusterObservation, Difference, NodeObservation, Reason, Silence
from policies.quantities import quantity_of

Objects = list[dict[str, Any]]
SSA = "pulumi-cgc-cgc-north"
WHEN = "2026-11-24T03:30:00Z"


def find(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    """Return NIXA's object of that kind and name."""
    return next(
        item
        for item in objects
        if (item["kind"], item["metadata"]["name"]) == (kind, name)
        and item["metadata"].get("namespace") in ("bca-nixa", None)
    )


def drift_of(case: Any, cluster: str = "cgc-north") -> list[DriftItem]:
    """Compare one cluster's plan with what was seen."""
    seen = case.observed.clusters[cluster]
    assert isinstance(seen, ClusterObservation)
    return list(cluster_drift(case.planned.cluster_objects[cluster], seen))


def owned_by(manager: str, fields: dict[str, Any], *, subresource: str = "") -> dict[str, Any]:
    """Return one entry of managedFields."""
    entry = {"manager": manager, "operation": "Update", "time": WHEN, "fieldsV1": fields}
    return {**entry, "subresource": subresource} if subresource else entry


def audit_event(verb: str, resource: str, group: str, name: str, user: str) -> dict[str, Any]:
    """Return what the API server logs of one person's write."""
    return {
        "kind": "Event",
        "stage": "ResponseComplete",
        "verb": verb,
        "user": {"username": user},
        "userAgent": "kubectl/v1.36.1 (linux/amd64)",
        "objectRef": {"resource": resource, "apiGroup": group, "namespace": "bca-nixa", "name": name},
        "responseStatus": {"code": 200},
        "stageTimestamp": WHEN,
    }


def test_what_runs_as_declared_has_no_drift(lawful: Any) -> None:
    """Defaults, statuses, what controllers made, and what every namespace is born with are no drift."""
    found = find_drift(lawful.nation, lawful.planned, lawful.observed)
    assert found.items == ()
    assert found.verdict is Verdict.PASS
    assert found.heard == len(lawful.nation.nodes) + len(lawful.nation.clusters)


def test_a_silent_subject_is_unknown_not_clean(lawful: Any) -> None:
    """With one cluster silent the verdict is UNKNOWN; with drift elsewhere it is FAIL all the same."""
    at = datetime(2026, 11, 24, tzinfo=UTC)
    silence = Silence(subject="cgc-south", seen_at=at, seen_from="x", reason=Reason.UNREACHABLE, detail="no route")
    case = lawful.seeing(clusters={"cgc-south": silence})
    found = find_drift(case.nation, case.planned, case.observed)
    assert (found.verdict, found.silences) == (Verdict.UNKNOWN, (silence,))


def test_a_file_edited_by_hand_names_who_and_when(lawful: Any) -> None:
    """What a node says of a changed file is passed on whole, and converging repairs it."""
    at = datetime(2026, 11, 24, 3, tzinfo=UTC)
    difference = Difference(
        path="/etc/sysctl.d/60-cgc.conf",
        aspect="content",
        expected="abc",
        found="def",
        changed_at=at,
        changed_by=("tran.b",),
        diff="-a\n+b",
    )
    seen = lawful.observed.nodes["province-92"]
    assert isinstance(seen, NodeObservation)
    (item,) = node_drift(replace(seen, differences=(difference,)))
    assert (item.subject, item.where, item.departure) == (
        "node/province-92",
        "/etc/sysctl.d/60-cgc.conf",
        Departure.CHANGED,
    )
    assert (item.who, item.when, item.repairable, item.diff) == (("tran.b",), at, True, "-a\n+b")


def test_a_node_with_another_bundle_departs(lawful: Any) -> None:
    """A node that is what its own bundle says, but not the declared one, is found by the fingerprint."""
    seen = lawful.observed.nodes["province-92"]
    assert isinstance(seen, NodeObservation)
    assert node_drift(seen, fingerprint=seen.fingerprint) == ()
    (item,) = node_drift(seen, fingerprint="c" * 64)
    assert (item.where, item.repairable) == ("bundle", True)


def test_an_allow_all_rule_added_with_kubectl_is_one_departure(lawful: Any) -> None:
    """One more ingress rule is seen once, with the field manager, the person of the audit log, and the time."""

    def opened(objects: Objects) -> None:
        policy = find(objects, "NetworkPolicy", "own-port")
        policy["spec"]["ingress"].append({})
        policy["metadata"]["managedFields"] = [
            owned_by(SSA, {"f:spec": {"f:podSelector": {}, "f:policyTypes": {}}}),
            owned_by("kubectl-edit", {"f:spec": {"f:ingress": {}}}),
        ]

    case = lawful.with_seen("cgc-north", opened)
    seen = replace(
        case.observed.clusters["cgc-north"],
        changes=(audit_event("patch", "networkpolicies", "networking.k8s.io", "own-port", "tran.b"),),
    )
    (item,) = drift_of(case.seeing(clusters={"cgc-north": seen}))
    assert (item.where, item.part, item.departure) == (
        "NetworkPolicy/bca-nixa/own-port",
        "spec.ingress",
        Departure.CHANGED,
    )
    assert (item.who, item.through, item.repairable) == (("tran.b",), "kubectl-edit", True)
    assert item.when == datetime(2026, 11, 24, 3, 30, tzinfo=UTC)


def test_a_rule_added_where_none_is_declared_is_repairable_if_none_was_said(lawful: Any) -> None:
    """`ingress: []` in the declaration means none: an added rule is a change that converging takes back."""

    def opened(objects: Objects) -> None:
        find(objects, "NetworkPolicy", "default-deny")["spec"]["ingress"] = [{}]

    (item,) = drift_of(lawful.with_seen("cgc-north", opened))
    assert (item.part, item.departure, item.repairable) == ("spec.ingress", Departure.CHANGED, True)


def test_a_wall_widened_inside_its_rule_is_seen(lawful: Any) -> None:
    """In an atomic list anything more than what was declared counts: a second selector may widen a peer."""

    def widened(objects: Objects) -> None:
        rule = find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"][0]
        rule["from"].append({"namespaceSelector": {}})

    (item,) = drift_of(lawful.with_seen("cgc-north", widened))
    assert item.part == "spec.ingress"


def test_a_pod_nobody_declared_is_named_and_not_repaired(lawful: Any) -> None:
    """A pod started with kubectl run in an agency's namespace is undeclared; converging leaves it to people."""

    def stranger(objects: Objects) -> None:
        metadata = {
            "name": "khach-la",
            "namespace": "bca-nixa",
            "creationTimestamp": WHEN,
            "managedFields": [
                owned_by("kubectl-run", {"f:spec": {"f:containers": {}}}),
                owned_by("kubelet", {"f:status": {}}, subresource="status"),
            ],
        }
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})

    case = lawful.with_seen("cgc-north", stranger)
    (item,) = drift_of(case)
    assert (item.where, item.departure, item.through) == ("Pod/bca-nixa/khach-la", Departure.UNDECLARED, "kubectl-run")
    assert (item.repairable, item.when) == (False, datetime(2026, 11, 24, 3, 30, tzinfo=UTC))
    by = audit_event("create", "pods", "", "khach-la", "tran.b")
    seen = replace(case.observed.clusters["cgc-north"], changes=(by,))
    (item,) = drift_of(case.seeing(clusters={"cgc-north": seen}))
    assert item.who == ("tran.b",)


def test_pods_of_an_undeclared_deployment_are_named_through_it(lawful: Any) -> None:
    """What a stranger's controller makes follows from the stranger: one departure, not one a pod."""

    def shadow(objects: Objects) -> None:
        for kind, name, owner in (
            ("Deployment", "shadow", None),
            ("ReplicaSet", "shadow-1", "shadow"),
            ("Pod", "shadow-1-x", "shadow-1"),
        ):
            metadata: dict[str, Any] = {"name": name, "namespace": "bca-nixa", "uid": name}
            if owner:
                metadata["ownerReferences"] = [{"uid": owner, "controller": True}]
            objects.append({"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {}})

    assert [item.where for item in drift_of(lawful.with_seen("cgc-north", shadow))] == ["Deployment/bca-nixa/shadow"]


def test_an_owner_that_does_not_exist_hides_nobody(lawful: Any) -> None:
    """A pod that names a made-up controller is a stranger once the collector of orphans would have had it."""

    def orphan(objects: Objects) -> None:
        metadata = {
            "name": "orphan",
            "namespace": "bca-nixa",
            "creationTimestamp": "2026-11-24T03:00:00Z",
            "ownerReferences": [{"uid": "no-such", "controller": True}],
        }
        objects.append({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {}})

    assert [item.where for item in drift_of(lawful.with_seen("cgc-north", orphan))] == ["Pod/bca-nixa/orphan"]


def test_only_the_write_that_made_the_change_is_attributed(lawful: Any) -> None:
    """Trying out (dry runs), our own stacks' writes, and writes of another moment are not the change's author."""

    def opened(objects: Objects) -> None:
        policy = find(objects, "NetworkPolicy", "own-port")
        policy["spec"]["ingress"].append({})
        policy["metadata"]["managedFields"] = [owned_by("kubectl-edit", {"f:spec": {"f:ingress": {}}})]

    def event(user: str, **facts: Any) -> dict[str, Any]:
        return {**audit_event("patch", "networkpolicies", "networking.k8s.io", "own-port", user), **facts}

    case = lawful.with_seen("cgc-north", opened)
    changes = (
        event("earlier", stageTimestamp="2026-11-24T01:00:00Z"),
        event("tran.b"),
        event("operator", requestURI="/apis/x?dryRun=All&fieldManager=pulumi-cgc-cgc-north"),
        event("operator", requestURI=f"/apis/x?fieldManager={SSA}&force=true"),
        event("later", stageTimestamp="2026-11-24T05:00:00Z"),
    )
    seen = replace(case.observed.clusters["cgc-north"], changes=changes)
    (item,) = drift_of(case.seeing(clusters={"cgc-north": seen}))
    assert item.who == ("tran.b",)


def test_a_missing_object_names_who_deleted_it(lawful: Any) -> None:
    """An object that is gone is repaired by converging; the audit log knows who."""

    def removed(objects: Objects) -> None:
        objects.remove(find(objects, "NetworkPolicy", "default-deny"))

    case = lawful.with_seen("cgc-north", removed)
    by = audit_event("delete", "networkpolicies", "networking.k8s.io", "default-deny", "tran.b")
    seen = replace(case.observed.clusters["cgc-north"], changes=(by,))
    (item,) = drift_of(case.seeing(clusters={"cgc-north": seen}))
    assert (item.departure, item.who, item.repairable) == (Departure.MISSING, ("tran.b",), True)


def test_a_refused_write_is_nobodys_change(lawful: Any) -> None:
    """A write that the API server refused changed nothing, so its author is not named."""

    def removed(objects: Objects) -> None:
        objects.remove(find(objects, "NetworkPolicy", "default-deny"))

    case = lawful.with_seen("cgc-north", removed)
    by = audit_event("delete", "networkpolicies", "networking.k8s.io", "default-deny", "innocent")
    by["responseStatus"] = {"code": 403}
    seen = replace(case.observed.clusters["cgc-north"], changes=(by,))
    (item,) = drift_of(case.seeing(clusters={"cgc-north": seen}))
    assert item.who == ()


def test_fields_that_somebody_else_added_are_named_together(lawful: Any) -> None:
    """What kubectl added to an object of ours, and nothing that we or Kubernetes set, is one departure."""

    def added(objects: Objects) -> None:
        deployment = find(objects, "Deployment", "nixa")
        deployment["metadata"]["labels"] = {"who": "me"}
        deployment["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/restartedAt": "x"}
        deployment["metadata"]["managedFields"] = [
            owned_by(SSA, {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}),
            owned_by("kube-controller-manager", {"f:metadata": {"f:annotations": {".": {}, "f:x": {}}}}),
            owned_by("kube-controller-manager", {"f:status": {}}, subresource="status"),
            owned_by(
                "kubectl-patch",
                {
                    "f:metadata": {"f:labels": {".": {}, "f:who": {}}},
                    "f:spec": {
                        "f:replicas": {},  # declared, and as declared: no departure, whoever owns it
                        "f:template": {
                            "f:metadata": {"f:annotations": {".": {}, "f:kubectl.kubernetes.io/restartedAt": {}}}
                        },
                    },
                },
            ),
        ]

    (item,) = drift_of(lawful.with_seen("cgc-north", added))
    assert item.departure is Departure.ADDED
    assert item.part.startswith("metadata.labels, spec.template.metadata.annotations")
    assert (item.through, item.repairable) == ("kubectl-patch", False)


def test_an_owner_of_a_field_that_is_gone_is_no_drift(lawful: Any) -> None:
    """An entry of managedFields may outlive its field."""

    def cleaned(objects: Objects) -> None:
        find(objects, "Deployment", "nixa")["metadata"]["managedFields"] = [
            owned_by("kubectl-edit", {"f:metadata": {"f:labels": {"f:gone": {}}}})
        ]

    assert drift_of(lawful.with_seen("cgc-north", cleaned)) == []


def test_a_container_more_is_seen_even_without_field_owners(lawful: Any) -> None:
    """A second container, an environment variable, a volume: the API adds none, so each counts by itself."""

    def smuggled(objects: Objects) -> None:
        pod = find(objects, "Deployment", "nixa")["spec"]["template"]["spec"]
        pod["containers"].append({"name": "miner", "image": "x"})

    (item,) = drift_of(lawful.with_seen("cgc-north", smuggled))
    assert item.part == "spec.template.spec.containers[miner]"


@pytest.mark.parametrize(
    ("kind", "name", "stranger"),
    [
        ("Namespace", "shadow", True),
        ("ClusterRoleBinding", "evil", True),
        ("ClusterRole", "system:node", False),
        ("ClusterRoleBinding", "kubeadm:get-nodes", False),
        ("PriorityClass", "shadow", True),
        ("Node", "cgc-north-1", False),
    ],
)
def test_strangers_of_the_whole_cluster(lawful: Any, kind: str, name: str, *, stranger: bool) -> None:
    """What opens doors for the whole cluster must be declared; what Kubernetes brings along need not."""
    group = "rbac.authorization.k8s.io/v1" if "Role" in kind else "v1"

    def made(objects: Objects) -> None:
        objects.append({"apiVersion": group, "kind": kind, "metadata": {"name": name}})

    found = [item.where for item in drift_of(lawful.with_seen("cgc-north", made))]
    assert found == ([f"{kind}/{name}"] if stranger else [])


@pytest.mark.parametrize(
    "change",
    [
        lambda pod: pod["containers"][0]["resources"]["limits"].update(cpu="0.5"),
        lambda pod: pod["containers"][0]["resources"]["limits"].update(memory="1024Mi"),
        lambda pod: pod.update(hostNetwork=False),
        lambda pod: pod["containers"][0].update(terminationMessagePath="/dev/termination-log"),
    ],
)
def test_another_spelling_of_the_same_is_no_drift(lawful: Any, change: Callable[[dict[str, Any]], None]) -> None:
    """Quantities compare by value; defaults that the API adds do not count."""

    def respelled(objects: Objects) -> None:
        change(find(objects, "Deployment", "nixa")["spec"]["template"]["spec"])

    assert drift_of(lawful.with_seen("cgc-north", respelled)) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(replicas=3),
        lambda spec: spec["template"]["spec"]["containers"][0].update(image="other"),
        lambda spec: spec["template"]["spec"]["containers"][0]["resources"]["limits"].update(cpu="501m"),
        lambda spec: spec["template"]["spec"]["containers"][0]["securityContext"].pop("allowPrivilegeEscalation"),
        lambda spec: spec["template"]["spec"]["containers"].clear(),
    ],
)
def test_every_declared_leaf_counts(lawful: Any, change: Callable[[dict[str, Any]], Any]) -> None:
    """A changed number, image or quantity, a safety that was taken out, a container that is gone."""

    def changed(objects: Objects) -> None:
        change(find(objects, "Deployment", "nixa")["spec"])

    assert len(drift_of(lawful.with_seen("cgc-north", changed))) == 1


def test_secrets_compare_as_the_api_keeps_them() -> None:
    """What is declared as text is found encoded."""
    declared = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "stringData": {"a": "b"}}
    live = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "Yg=="}}
    assert differences(declared, live) == ()
    assert len(differences(declared, {**live, "data": {"a": "Yw=="}})) == 1


def test_the_state_hash_ignores_what_a_cluster_notes_by_itself(lawful: Any) -> None:
    """Statuses, versions, field owners, events and what controllers made change by themselves."""
    seen = lawful.observed.clusters["cgc-north"]
    assert isinstance(seen, ClusterObservation)
    before = state_hash(seen)

    def noted(objects: Objects) -> None:
        for item in objects:
            item["metadata"] |= {"resourceVersion": "999", "managedFields": [owned_by("x", {})], "generation": 7}
            item["status"] = {"anything": True}
        objects[:] = [item for item in objects if item["kind"] not in ("Event", "Pod")]
        objects.reverse()

    quiet = lawful.with_seen("cgc-north", noted).observed.clusters["cgc-north"]
    assert state_hash(quiet) == before

    def changed(objects: Objects) -> None:
        find(objects, "NetworkPolicy", "own-port")["spec"]["ingress"].append({})

    assert state_hash(lawful.with_seen("cgc-north", changed).observed.clusters["cgc-north"]) != before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["spec", "data", "rules", "x"]), JSON, max_size=3))
def test_an_object_never_differs_from_itself(content: dict[str, Any]) -> None:
    """Whatever is declared, the same thing live is no drift; and comparing never fails on any shape of JSON."""
    declared = {"apiVersion": "v1", "kind": "Thing", "metadata": {"name": "x"}, **content}
    assert differences(declared, json.loads(json.dumps(declared))) == ()
    for kind in ("NetworkPolicy", "ConfigMap", "Deployment"):
        differences({**declared, "kind": kind}, {"kind": kind, "metadata": {"name": "x"}, "spec": {"a": [1]}})


@settings(deadline=None)
@given(JSON, JSON)
def test_comparing_any_two_values_ends(one: Any, other: Any) -> None:
    """Two values of any shape compare without an error."""
    differences({"kind": "Role", "rules": one}, {"kind": "Role", "rules": other})


@pytest.mark.parametrize(
    ("one", "other"),
    [("500m", "0.5"), ("1Gi", "1024Mi"), ("1e3", "1k"), (2, "2"), ("0", 0), (".5", "500m"), ("1E", "1000P")],
)
def test_quantities_are_compared_by_value(one: object, other: object) -> None:
    """The suffixes of the Kubernetes API reference, decimal and binary."""
    assert quantity_of(one) == quantity_of(other) is not None


@pytest.mark.parametrize("value", ["", "Gi", "1 Gi", "one", None, True, "1Kib"])
def test_what_is_no_quantity_has_no_value(value: object) -> None:
    """Anything else has no value, so it compares as text."""
    assert quantity_of(value) is None
