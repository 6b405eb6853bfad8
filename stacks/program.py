"""The Pulumi program of one cluster: every stack is this program with another cluster."""

from __future__ import annotations

import pulumi
import pulumi_kubernetes as kubernetes

from inventories.model import Cluster, Nation
from stacks.components import Guardrails, MonitoringAccess, PlatformRelease, Tenancy
from stacks.objects import registry_of
from stacks.plugins import Plugin


def register_cluster(nation: Nation, cluster: Cluster, *, image: str, kubeconfig: str, plugin: Plugin) -> None:
    """Register exactly the objects of `cluster_manifest(nation, cluster, image=image)` with the engine.

    `kubeconfig` is a path: its content, which holds a key, never enters the state. What people changed by hand in a
    declared field is taken back (the declaration wins), and the drift control says who had changed it.
    """
    provider = kubernetes.Provider(
        plugin.resource_name,
        kubeconfig=kubeconfig,
        enable_config_map_mutable=True,
        enable_patch_force=True,
        enable_server_side_apply=True,
    )
    here = pulumi.ResourceOptions(providers={"kubernetes": provider})
    guardrails = Guardrails(nation, cluster, registry=registry_of(image), opts=here)
    MonitoringAccess(nation, cluster, opts=here)
    for facts in nation.tenancies_on(cluster):
        behind_rails = pulumi.ResourceOptions(providers={"kubernetes": provider}, depends_on=[guardrails])
        room = Tenancy(nation, facts, opts=behind_rails)
        inside = pulumi.ResourceOptions(providers={"kubernetes": provider}, depends_on=[room])
        PlatformRelease(nation, facts, image=image, opts=inside)
    pulumi.export("provider", plugin.value)
    pulumi.export("image", image)
