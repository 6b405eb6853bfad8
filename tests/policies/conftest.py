"""A lawful rehearsal: its declaration, a plan, and observations in which everything is as it should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from inventories import load_nation
from inventories.model import Cluster, Interface, Nation, Node, Platform, Role, Tunnel
from policies.control import Finding, Stage, Verdict
from policies.judging import judge_all
from policies.observed import (
    BgpNeighbour,
    ClockState,
    ClusterObservation,
    InterfaceState,
    NodeObservation,
    Observed,
    OspfNeighbour,
    Planned,
)

AT = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One nation with what is planned for it and what was seen of it; tests change a part of it."""

    nation: Nation
    planned: Planned
    observed: Observed

    def with_platform(self, identifier: str, **facts: Any) -> Case:
        """Declare one platform differently."""
        platforms = tuple(
            replace(platform, **facts) if platform.id == identifier else platform for platform in self.nation.platforms
        )
        return replace(self, nation=replace(self.nation, platforms=platforms))

    def with_cluster(self, identifier: str, **facts: Any) -> Case:
        """Declare one cluster differently."""
        clusters = tuple(
            replace(cluster, **facts) if cluster.id == identifier else cluster for cluster in self.nation.clusters
        )
        return replace(self, nation=replace(self.nation, clusters=clusters))

    def with_file(self, node: str, path: str, text: str) -> Case:
        """Plan one file of a node differently."""
        files = {**self.planned.node_files, node: {**self.planned.node_files[node], path: text}}
        return replace(self, planned=replace(self.planned, node_files=files))

    def with_planned(self, cluster: str, change: Callable[[list[dict[str, Any]]], None]) -> Case:
        """Plan a cluster's objects differently: *change* works on a copy of the list."""
        objects = json.loads(json.dumps(self.planned.cluster_objects[cluster]))
        change(objects)
        return replace(
            self,
            planned=replace(self.planned, cluster_objects={**self.planned.cluster_objects, cluster: tuple(objects)}),
        )

    def with_seen(self, cluster: str, change: Callable[[list[dict[str, Any]]], None]) -> Case:
        """See a cluster's objects differently: *change* works on a copy of the list."""
        seen = self.observed.clusters[cluster]
        assert isinstance(seen, ClusterObservation)
        objects = json.loads(json.dumps(seen.objects))
        change(objects)
        return self.seeing(clusters={cluster: replace(seen, objects=tuple(objects))})

    def with_node(self, name: str, **facts: Any) -> Case:
        """See one node differently."""
        seen = self.observed.nodes[name]
        assert isinstance(seen, NodeObservation)
        return self.seeing(nodes={name: replace(seen, **facts)})

    def seeing(self, *, nodes: Mapping[str, Any] | None = None, clusters: Mapping[str, Any] | None = None) -> Case:
        """See some subjects differently."""
        observed = Observed(
            nodes={**self.observed.nodes, **(nodes or {})}, clusters={**self.observed.clusters, **(clusters or {})}
        )
        return replace(self, observed=observed)

    def findings(self, control: str | None = None, stage: Stage | None = None) -> tuple[Finding, ...]:
        """Judge, and return what one control says at one stage."""
        found = judge_all(self.nation, planned=self.planned, observed=self.observed, waivers=(), at=AT)
        return tuple(
            finding for finding in found if control in (None, finding.control) and stage in (None, finding.stage)
        )

    def failures(self, control: str, stage: Stage) -> list[Finding]:
        """Return the FAILs of one control at one stage."""
        return [finding for finding in self.findings(control, stage) if finding.verdict is Verdict.FAIL]


@pytest.fixture(scope="session")
def nation() -> Nation:
    """Return the rehearsal nation."""
    return load_nation(REHEARSAL)


@pytest.fixture
def lawful(nation: Nation) -> Case:
    """Return the nation with a lawful plan, observed as planned."""
    objects = {cluster.id: objects_of(nation, cluster) for cluster in nation.clusters}
    return Case(
        nation=nation,
        planned=Planned(
            node_files={node.name: files_of(nation, node) for node in nation.nodes},
            cluster_objects=objects,
            repository={"ansible.cfg": "[defaults]\nhost_key_checking = True\n"},
        ),
        observed=Observed(
            nodes={node.name: seen_node(nation, node) for node in nation.nodes},
            clusters={
                cluster.id: ClusterObservation(
                    cluster=cluster.id,
                    seen_at=AT,
                    seen_from="test",
                    objects=tuple(seen_objects(objects[cluster.id])),
                )
                for cluster in nation.clusters
            },
        ),
    )


def files_of(nation: Nation, node: Node) -> dict[str, str]:
    """Return the files of a node that controls read."""
    neighbours = "".join(
        f" neighbor {address} remote-as {session.peer_as}\n"
        for session in node.sessions
        for address in (session.peer_addresses.ipv4, session.peer_addresses.ipv6)
    )
    interfaces = "".join(f"interface {interface.name}\n" for interface in node.interfaces)
    servers = "".join(f"server {core.loopback.ipv4} iburst\n" for core in nation.with_role(Role.CORE) if core != node)
    return {
        "/etc/frr/frr.conf": f"{interfaces}router bgp {node.as_number}\n{neighbours}",
        "/etc/chrony/chrony.conf": f"{servers}makestep 1 3\n",
        "/etc/systemd/journald.conf.d/60-cgc.conf": "[Journal]\nMaxRetentionSec=12month\n",
    }


def seen_node(nation: Nation, node: Node) -> NodeObservation:
    """Return a node that is as it should be."""
    ends: tuple[Interface | Tunnel, ...] = (*node.interfaces, *node.tunnels)
    interfaces = [
        InterfaceState(
            name=item.name,
            is_up=True,
            has_carrier=True,
            addresses=(str(item.ipv4), str(item.ipv6), "fe80::1/64"),
            received_bytes=1,
            sent_bytes=1,
        )
        for item in ends
    ]
    return NodeObservation(
        node=node.name,
        seen_at=AT,
        seen_from="test",
        fingerprint="a" * 64,
        state_hash="b" * 64,
        differences=(),
        interfaces=tuple(interfaces),
        bgp=tuple(
            BgpNeighbour(
                peer=str(address),
                family=family,
                state="Established",
                peer_as=session.peer_as,
                uptime_seconds=60,
                prefixes_received=9,
            )
            for session in node.sessions
            for family, address in (("ipv4", session.peer_addresses.ipv4), ("ipv6", session.peer_addresses.ipv6))
        ),
        ospf=tuple(
            OspfNeighbour(interface=item.name, version=version, router_id="10.64.0.1", state="Full")
            for item in node.interfaces
            if node.role is Role.CORE and item.plane == node.plane
            for version in (2, 3)
        ),
        clock=ClockState(
            is_synchronised=True,
            offset_seconds=0.001,
            stratum=3,
            source=str(nation.with_role(Role.CORE)[0].loopback.ipv4),
        ),
        log_retention_months=12,
    )


def objects_of(nation: Nation, cluster: Cluster) -> tuple[dict[str, Any], ...]:
    """Return a small lawful manifest of a cluster."""
    return tuple(item for platform in nation.platforms_on(cluster) for item in room_of(platform))


def room_of(platform: Platform) -> list[dict[str, Any]]:
    """Return one platform's namespace, walls, pods' template and service."""

    def inside(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        metadata = {"name": name, "namespace": platform.namespace}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}

    container = {
        "name": "web",
        "image": "registry.example.test/web:1",
        "resources": {"limits": {"cpu": "500m", "memory": "1Gi"}},
        "securityContext": {"allowPrivilegeEscalation": False},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {
                "name": platform.namespace,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
            },
        },
        inside(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "default-deny",
            {"podSelector": {}, "policyTypes": ["Ingress", "Egress"], "ingress": []},
        ),
        inside(
            "networking.k8s.io/v1",
            "NetworkPolicy",
            "own-port",
            {
                "podSelector": {},
                "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"ipBlock": {"cidr": "10.64.0.0/14"}}], "ports": [{"port": 8080}]}],
            },
        ),
        inside(
            "apps/v1",
            "Deployment",
            platform.id,
            {
                "replicas": 1,
                "selector": {"matchLabels": {"app": platform.id}},
                "template": {"metadata": {"labels": {"app": platform.id}}, "spec": {"containers": [container]}},
            },
        ),
        inside(
            "v1",
            "Service",
            platform.id,
            {
                "type": "NodePort",
                "ipFamilies": ["IPv4", "IPv6"],
                "ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}],
            },
        ),
    ]


def seen_objects(manifest: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return a manifest's objects as an API server returns them: with defaults, statuses, and what controllers made."""
    live: list[dict[str, Any]] = json.loads(json.dumps(manifest))
    made: list[dict[str, Any]] = []
    for number, item in enumerate(live):
        item["metadata"] |= {
            "uid": f"uid-{number}",
            "resourceVersion": str(number),
            "creationTimestamp": "2026-11-24T03:00:00Z",
        }
        if item["kind"] == "NetworkPolicy":
            item["spec"] = {key: value for key, value in item["spec"].items() if value != []}
            for rule in item["spec"].get("ingress", ()):
                rule["ports"][0]["protocol"] = "TCP"
        if item["kind"] == "Deployment":
            spec = item["spec"]
            spec |= {"progressDeadlineSeconds": 600, "revisionHistoryLimit": 10, "strategy": {"type": "RollingUpdate"}}
            spec["template"]["spec"] |= {"restartPolicy": "Always", "dnsPolicy": "ClusterFirst"}
            spec["template"]["spec"]["containers"][0] |= {"imagePullPolicy": "IfNotPresent"}
            item["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "1"}
            item["status"] = {"readyReplicas": 1}
            made += _made_of(item, spec["template"]["spec"])
        if item["kind"] == "Service":
            item["spec"] |= {"clusterIP": "10.112.16.9", "ipFamilyPolicy": "RequireDualStack"}
            item["spec"]["ports"][0]["nodePort"] = 30101
    namespaces = {item["metadata"]["name"] for item in live if item["kind"] == "Namespace"}
    for namespace in sorted(namespaces):
        made += [
            _plain("v1", "ServiceAccount", namespace, "default"),
            _plain("v1", "ConfigMap", namespace, "kube-root-ca.crt"),
            _plain("v1", "Event", namespace, "something-happened"),
        ]
    made.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}})
    made.append(_plain("v1", "Service", "default", "kubernetes"))
    return live + made


def _made_of(deployment: dict[str, Any], pod_spec: dict[str, Any]) -> list[dict[str, Any]]:
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    uid = f"{deployment['metadata']['uid']}-set"
    replica_set = _plain("apps/v1", "ReplicaSet", namespace, f"{name}-7d4f", uid=uid)
    replica_set["metadata"]["ownerReferences"] = [
        {"kind": "Deployment", "name": name, "uid": deployment["metadata"]["uid"], "controller": True}
    ]
    replica_set["spec"] = {"template": {"spec": pod_spec}}
    pod = _plain("v1", "Pod", namespace, f"{name}-7d4f-x2x")
    pod["metadata"]["ownerReferences"] = [
        {"kind": "ReplicaSet", "name": f"{name}-7d4f", "uid": uid, "controller": True}
    ]
    pod["spec"] = pod_spec
    return [replica_set, pod]


def _plain(version: str, kind: str, namespace: str, name: str, *, uid: str = "") -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{kind}-{name}-{namespace}",
        "creationTimestamp": "2026-11-24T03:00:00Z",
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata}
