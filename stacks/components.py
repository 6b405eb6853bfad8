"""The Pulumi components: things a citizen of a cluster would name, each with its part of the cluster manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from inventories.model import Cluster, Nation
from inventories.model import Tenancy as TenancyFacts
from stacks.errors import StackError
from stacks.guardrail_objects import guardrail_objects, observer_objects
from stacks.platform_objects import platform_objects
from stacks.tenancy_objects import tenancy_objects

JsonObject = dict[str, Any]

# What a declared object is to the SDK. A kind that is not here is one that no component declares.
_RESOURCES: dict[tuple[str, str], type[pulumi.CustomResource]] = {
    ("v1", "ConfigMap"): kubernetes.core.v1.ConfigMap,
    ("v1", "LimitRange"): kubernetes.core.v1.LimitRange,
    ("v1", "Namespace"): kubernetes.core.v1.Namespace,
    ("v1", "ResourceQuota"): kubernetes.core.v1.ResourceQuota,
    ("v1", "Service"): kubernetes.core.v1.Service,
    ("v1", "ServiceAccount"): kubernetes.core.v1.ServiceAccount,
    ("apps/v1", "Deployment"): kubernetes.apps.v1.Deployment,
    ("networking.k8s.io/v1", "NetworkPolicy"): kubernetes.networking.v1.NetworkPolicy,
    ("policy/v1", "PodDisruptionBudget"): kubernetes.policy.v1.PodDisruptionBudget,
    ("rbac.authorization.k8s.io/v1", "ClusterRole"): kubernetes.rbac.v1.ClusterRole,
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"): kubernetes.rbac.v1.ClusterRoleBinding,
    ("rbac.authorization.k8s.io/v1", "Role"): kubernetes.rbac.v1.Role,
    ("rbac.authorization.k8s.io/v1", "RoleBinding"): kubernetes.rbac.v1.RoleBinding,
    ("scheduling.k8s.io/v1", "PriorityClass"): kubernetes.scheduling.v1.PriorityClass,
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicy",
    ): kubernetes.admissionregistration.v1.ValidatingAdmissionPolicy,
    (
        "admissionregistration.k8s.io/v1",
        "ValidatingAdmissionPolicyBinding",
    ): kubernetes.admissionregistration.v1.ValidatingAdmissionPolicyBinding,
}


def _resource_name(manifest: JsonObject) -> str:
    """Return a name that lives as long as the object does: `namespace/name`, or `name` where there is no namespace."""
    metadata = manifest["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else str(metadata["name"])


def _argument(member: str) -> str:
    """Return the SDK's argument for a member of a manifest: `roleRef` → `role_ref`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", member).lower()


def register(manifest: JsonObject, *, opts: pulumi.ResourceOptions) -> pulumi.CustomResource:
    """Register one object as it is declared; StackError CGC-253 for a kind that no component knows."""
    kind = (manifest["apiVersion"], manifest["kind"])
    if kind not in _RESOURCES:
        raise StackError(
            "CGC-253",
            f"no component knows how to register a {kind[1]} of {kind[0]}",
            where=_resource_name(manifest),
            remedy="add the kind to stacks/components.py",
        )
    content = {_argument(name): value for name, value in manifest.items() if name not in {"apiVersion", "kind"}}
    return _RESOURCES[kind](_resource_name(manifest), opts=opts, **content)


class _Declared(pulumi.ComponentResource):
    """A component that is exactly a list of declared objects; where one is a namespace, those after it wait for it."""

    def __init__(self, kind: str, name: str, manifests: Iterable[JsonObject], opts: pulumi.ResourceOptions) -> None:
        super().__init__(f"cgc:stacks:{kind}", name, None, opts)
        self.objects: list[pulumi.CustomResource] = []
        room: Sequence[pulumi.Resource] = ()
        for manifest in manifests:
            inside = pulumi.ResourceOptions(parent=self, depends_on=room)
            self.objects.append(register(manifest, opts=inside))
            if manifest["kind"] == "Namespace":
                room = (self.objects[-1],)
        self.register_outputs({"objects": len(self.objects)})


class Guardrails(_Declared):
    """What holds for every tenancy of a cluster: priorities by security level, and what no pod may do."""

    def __init__(self, nation: Nation, cluster: Cluster, *, registry: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Guardrails", cluster.id, guardrail_objects(nation, registry=registry), opts)


class MonitoringAccess(_Declared):
    """The observer's right to read a cluster, secrets excepted."""

    def __init__(self, nation: Nation, cluster: Cluster, *, opts: pulumi.ResourceOptions) -> None:
        super().__init__("MonitoringAccess", cluster.id, observer_objects(nation), opts)


class Tenancy(_Declared):
    """An agency's room on a cluster: its namespace, its share, its walls, and its people's rights."""

    def __init__(self, nation: Nation, tenancy: TenancyFacts, *, opts: pulumi.ResourceOptions) -> None:
        super().__init__("Tenancy", tenancy.platform.namespace, tenancy_objects(nation, tenancy), opts)


class PlatformRelease(_Declared):
    """A platform as it runs in its room: its configuration, its pods, its service."""

    def __init__(self, nation: Nation, tenancy: TenancyFacts, *, image: str, opts: pulumi.ResourceOptions) -> None:
        super().__init__("PlatformRelease", tenancy.platform.id, platform_objects(nation, tenancy, image=image), opts)
