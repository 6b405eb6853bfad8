"""Drift against a real API server: what the stacks declare, applied as they apply it, then changed by other hands."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from exporters.readers.kubernetes import KubernetesReader, kinds_of
from inventories.model import Nation
from policies.drift import WATCHED_KINDS, Departure, DriftItem, cluster_drift, state_hash
from policies.observed import ClusterObservation
from stacks.objects import cluster_manifest
from tests.stacks.control_plane import ControlPlane, running_control_plane

pytestmark = pytest.mark.slow

CLUSTER = "cgc-north"
APPLY = "application/apply-patch+yaml"
POLICIES = "/apis/networking.k8s.io/v1/namespaces/bca-nixa/networkpolicies"


class Live:
    """A control plane that was given one cluster's manifest, and a way to look at it."""

    def __init__(self, plane: ControlPlane, nation: Nation) -> None:
        self.plane = plane
        self.cluster = nation.cluster_by_id[CLUSTER]
        self.manifest = cluster_manifest(nation, self.cluster, image="registry.example.test/cgc/standin:1")
        self.resources: dict[tuple[str, str], str] = {}

    def converge(self) -> None:
        """Apply the manifest as the stacks do: server-side, by the stack's own field manager, with force."""
        for item in self.manifest:
            query = f"fieldManager=pulumi-cgc-{CLUSTER}&force=true"
            self.plane.request("PATCH", f"{self._path(item)}?{query}", item, media=APPLY)

    def observe(self) -> ClusterObservation:
        """Look at the cluster once."""

        async def look() -> Any:
            reader = KubernetesReader(
                {CLUSTER: self.plane.kubeconfig},
                seen_from="test",
                kinds={CLUSTER: kinds_of(self.manifest) | WATCHED_KINDS},
                deadline_seconds=60,
            )
            try:
                return await reader.observe(self.cluster)
            finally:
                await reader.close()

        seen = asyncio.run(look())
        assert isinstance(seen, ClusterObservation), seen
        return seen

    def drift(self) -> list[DriftItem]:
        """Look, and compare with the manifest."""
        return list(cluster_drift(self.manifest, self.observe()))

    def settle(self) -> None:
        """Wait until the controllers have made what follows from the manifest."""
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            pods = [item for item in self.observe().objects if item["kind"] == "Pod"]
            wanted = sum(item["spec"]["replicas"] for item in self.manifest if item["kind"] == "Deployment")
            if len(pods) == wanted:
                return
            time.sleep(0.5)
        pytest.fail("the controllers made no pods")

    def _path(self, item: dict[str, Any]) -> str:
        kind = (item["apiVersion"], item["kind"])
        version = item["apiVersion"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if kind not in self.resources:
            for resource in self.plane.request("GET", root)["resources"]:
                if "/" not in resource["name"]:
                    self.resources[version, resource["kind"]] = resource["name"]
        namespace = item["metadata"].get("namespace")
        inside = f"/namespaces/{namespace}" if namespace else ""
        return f"{root}{inside}/{self.resources[kind]}/{item['metadata']['name']}"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, nation: Nation) -> Iterator[Live]:
    """Return a control plane that has the manifest; each test leaves it as declared."""
    with running_control_plane(tmp_path_factory.mktemp("drift")) as plane:
        found = Live(plane, nation)
        found.converge()
        found.settle()
        yield found


def test_what_was_applied_has_no_drift_and_a_lasting_state(live: Live) -> None:
    """No default, no controller's work and no second look is taken for drift; applying again changes no state."""
    assert live.drift() == []
    before = state_hash(live.observe())
    live.converge()
    time.sleep(1)
    assert live.drift() == []
    assert state_hash(live.observe()) == before


def test_a_rule_added_to_a_policy_is_one_departure_and_applying_repairs_it(live: Live) -> None:
    """The day's second fault, on a policy with rules and on the one that denies everything."""
    for name in ("allow-own-port", "default-deny"):
        before = live.plane.request("GET", f"{POLICIES}/{name}")["spec"].get("ingress", [])
        live.plane.edit(f"{POLICIES}/{name}", {"spec": {"ingress": [*before, {}]}})
        (item,) = live.drift()
        assert (item.where, item.part) == (f"NetworkPolicy/bca-nixa/{name}", "spec.ingress")
        assert (item.through, item.repairable) == ("kubectl-edit", True)
        assert item.when is not None
        live.converge()
        assert live.drift() == []


def test_a_change_taken_back_by_hand_is_no_drift(live: Live) -> None:
    """The field's owner is somebody else now, but what is there is what was declared."""
    before = live.plane.request("GET", f"{POLICIES}/allow-own-port")["spec"]["ingress"]
    live.plane.edit(f"{POLICIES}/allow-own-port", {"spec": {"ingress": [*before, {}]}})
    live.plane.edit(f"{POLICIES}/allow-own-port", {"spec": {"ingress": before}})
    assert live.drift() == []
    live.converge()


def test_every_kind_of_change_is_told_apart(live: Live) -> None:
    """Changed, missing, added to, undeclared: each once, and only what is declared is repaired by applying."""
    room = "/api/v1/namespaces/bca-nixa"
    plane = live.plane
    plane.edit(f"{room}/resourcequotas/share", {"spec": {"hard": {"pods": "9", "limits.cpu": "0.5"}}})
    plane.edit(f"{room}/serviceaccounts/platform", {"automountServiceAccountToken": None})
    plane.edit(f"{room}/configmaps/nixa", {"data": {"ADDED": "1"}})
    plane.edit("/apis/apps/v1/namespaces/bca-nixa/deployments/nixa", {"metadata": {"labels": {"who": "me"}}})
    plane.request("DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/bca-nixa/roles/agency-reader")
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "shadow"}})
    pod = json.loads(
        json.dumps(next(item for item in live.manifest if item["kind"] == "Deployment" and "ndxp" in str(item)))
    )["spec"]["template"]["spec"]
    pod.pop("topologySpreadConstraints")
    stranger = {"metadata": {"name": "khach-la", "namespace": "mic-ndxp"}, "spec": pod}
    plane.request("POST", "/api/v1/namespaces/mic-ndxp/pods?fieldManager=kubectl-create", stranger)
    found = {(item.where, item.part): (item.departure, item.repairable) for item in live.drift()}
    assert found == {
        ("ResourceQuota/bca-nixa/share", "spec.hard.pods"): (Departure.CHANGED, True),
        ("ServiceAccount/bca-nixa/platform", "automountServiceAccountToken"): (Departure.CHANGED, True),
        ("ConfigMap/bca-nixa/nixa", "data.ADDED"): (Departure.ADDED, False),
        ("Deployment/bca-nixa/nixa", "metadata.labels.who"): (Departure.ADDED, False),
        ("Role/bca-nixa/agency-reader", ""): (Departure.MISSING, True),
        ("Namespace/shadow", ""): (Departure.UNDECLARED, False),
        ("Pod/mic-ndxp/khach-la", ""): (Departure.UNDECLARED, False),
    }
    live.converge()
    left = {item.where for item in live.drift()}
    assert left == {
        "ConfigMap/bca-nixa/nixa",
        "Deployment/bca-nixa/nixa",
        "Namespace/shadow",
        "Pod/mic-ndxp/khach-la",
    }
