"""The objects of an agency's room on a cluster: its namespace, its share, its walls, its people's rights. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Any

from inventories.labels import Label, agency_group, tenancy_labels
from inventories.model import Endpoint, Nation, Share, Tenancy
from inventories.services import DNS_PORT
from stacks.guardrail_objects import RBAC_GROUP, RBAC_VERSION, READ_VERBS
from stacks.quantities import count, cpu, memory

JsonObject = dict[str, Any]

POD_SECURITY_VERSION = "v1.36"  # of the profile `restricted`: a newer server must not tighten it unseen
# What a pod reserves of what it may use: platforms are idle most of the time, and a node's processor can be shared.
RESERVED_FRACTION = 10
SERVICE_ACCOUNT = "platform"
HTTP_PORT = 8080


def pod_share(tenancy: Tenancy) -> Share:
    """Return what one pod may use, so that all replicas and a roll-out's surge together stay inside the share."""
    platform = tenancy.platform
    pods = platform.replicas + platform.surge
    return Share(
        cpu_millicores=platform.share.cpu_millicores // pods, memory_mib=platform.share.memory_mib // pods, pods=1
    )


def pod_resources(tenancy: Tenancy) -> JsonObject:
    """Return a container's `resources`: its part of the share as the limit, a tenth of that reserved."""
    share = pod_share(tenancy)
    return {
        "limits": {"cpu": cpu(share.cpu_millicores), "memory": memory(share.memory_mib)},
        "requests": {
            "cpu": cpu(max(1, share.cpu_millicores // RESERVED_FRACTION)),
            "memory": memory(max(1, share.memory_mib // RESERVED_FRACTION)),
        },
    }


def tenancy_objects(nation: Nation, tenancy: Tenancy) -> tuple[JsonObject, ...]:
    """Return the namespace and everything in it that is the operator's to set, the namespace first."""
    namespace = tenancy.platform.namespace
    labels = dict(tenancy_labels(nation, tenancy))

    def inside(api_version: str, kind: str, name: str, **content: Any) -> JsonObject:
        metadata = {"name": name, "namespace": namespace, "labels": labels}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}

    return (
        _namespace(nation, tenancy, namespace, labels),
        inside("v1", "ResourceQuota", "share", spec={"hard": _quota(tenancy.platform.share)}),
        inside("v1", "LimitRange", "share", spec={"limits": [_limits(tenancy)]}),
        *(
            inside("networking.k8s.io/v1", "NetworkPolicy", name, spec=spec)
            for name, spec in _walls(nation, tenancy).items()
        ),
        inside(RBAC_VERSION, "Role", "agency-reader", rules=_agency_rules()),
        inside(
            RBAC_VERSION,
            "RoleBinding",
            "agency-reader",
            roleRef={"apiGroup": RBAC_GROUP, "kind": "Role", "name": "agency-reader"},
            subjects=[{"apiGroup": RBAC_GROUP, "kind": "Group", "name": agency_group(tenancy.agency)}],
        ),
        inside("v1", "ServiceAccount", SERVICE_ACCOUNT, automountServiceAccountToken=False),
    )


def _namespace(nation: Nation, tenancy: Tenancy, name: str, labels: JsonObject) -> JsonObject:
    security = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("enforce", "audit", "warn")
        for suffix, value in (("", "restricted"), ("-version", POD_SECURITY_VERSION))
    }
    annotations = {
        Label.CONTACT.on(nation): tenancy.agency.contact,
        Label.TITLE.on(nation): tenancy.platform.name.vi,
        Label.REFERENCE.on(nation): tenancy.platform.ref,
    }
    metadata = {"name": name, "labels": {**labels, **security}, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _quota(share: Share) -> JsonObject:
    processor, bytes_of_memory = cpu(share.cpu_millicores), memory(share.memory_mib)
    return {
        "limits.cpu": processor,
        "limits.memory": bytes_of_memory,
        "pods": count(share.pods),
        "requests.cpu": processor,
        "requests.memory": bytes_of_memory,
        "services.loadbalancers": count(0),
        "services.nodeports": count(1),
    }


def _limits(tenancy: Tenancy) -> JsonObject:
    share, resources = tenancy.platform.share, pod_resources(tenancy)
    return {
        "type": "Container",
        "default": resources["limits"],
        "defaultRequest": resources["requests"],
        "max": {"cpu": cpu(share.cpu_millicores), "memory": memory(share.memory_mib)},
    }


def _agency_rules() -> list[JsonObject]:
    """Return what an agency's people may read of their own room: everything but secrets."""
    resources = {
        "": [
            "configmaps",
            "events",
            "limitranges",
            "pods",
            "pods/log",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ],
        "apps": ["deployments", "replicasets"],
        "discovery.k8s.io": ["endpointslices"],
        "networking.k8s.io": ["networkpolicies"],
        "policy": ["poddisruptionbudgets"],
    }
    return [{"apiGroups": [group], "resources": names, "verbs": READ_VERBS} for group, names in resources.items()]


def _walls(nation: Nation, tenancy: Tenancy) -> dict[str, JsonObject]:
    """Return the network policies by name: nothing passes but DNS, declared dependencies, and its own port."""
    everyone: JsonObject = {"podSelector": {}}
    dns = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    }
    walls = {
        # The empty lists are owned, so that a rule added by hand is taken away again.
        "default-deny": {**everyone, "policyTypes": ["Ingress", "Egress"], "ingress": [], "egress": []},
        "allow-dns": {
            **everyone,
            "policyTypes": ["Egress"],
            "egress": [{"to": [dns], "ports": [_port("UDP", DNS_PORT), _port("TCP", DNS_PORT)]}],
        },
        "allow-own-port": {
            **everyone,
            "policyTypes": ["Ingress"],
            "ingress": [{"from": _blocks(_inside_the_nation(nation)), "ports": [_port("TCP", HTTP_PORT)]}],
        },
    }
    dependencies = [rule for need in tenancy.platform.needs for rule in _ways_to(nation, tenancy, need)]
    if dependencies:
        walls["allow-dependencies"] = {**everyone, "policyTypes": ["Egress"], "egress": dependencies}
    return walls


def _ways_to(nation: Nation, tenancy: Tenancy, need: str) -> list[JsonObject]:
    """Return the egress rules to a platform: to its endpoints and, on the same cluster, to its pods.

    The second, because a network plugin that judges after the service's address was translated sees the pod's address
    (Kubernetes, "Network Policies": ipBlock with translated addresses is undefined).
    """
    endpoints: tuple[Endpoint, ...] = nation.endpoints_of(nation.platform_by_id[need])
    addresses = [
        network
        for endpoint in endpoints
        for network in (IPv4Network(endpoint.addresses.ipv4), IPv6Network(endpoint.addresses.ipv6))
    ]
    ports = sorted({endpoint.port for endpoint in endpoints})
    rules: list[JsonObject] = []
    if addresses:
        rules.append({"to": _blocks(addresses), "ports": [_port("TCP", port) for port in ports]})
    if any(endpoint.cluster == tenancy.cluster.id for endpoint in endpoints):
        theirs = {"namespaceSelector": {"matchLabels": {Label.PLATFORM.on(nation): need}}}
        rules.append({"to": [theirs], "ports": [_port("TCP", HTTP_PORT)]})
    return rules


def _inside_the_nation(nation: Nation) -> list[IPv4Network | IPv6Network]:
    """Return every prefix of the network, as few as say the same."""
    return [
        *collapse_addresses(prefix.ipv4 for prefix in nation.prefixes),
        *collapse_addresses(prefix.ipv6 for prefix in nation.prefixes),
    ]


def _blocks(networks: Iterable[IPv4Network | IPv6Network]) -> list[JsonObject]:
    return [{"ipBlock": {"cidr": str(network)}} for network in networks]


def _port(protocol: str, port: int) -> JsonObject:
    return {"protocol": protocol, "port": port}
