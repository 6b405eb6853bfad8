"""The objects of a platform's release in its room: its configuration, its pods, its service. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from inventories.labels import Label, tenancy_labels
from inventories.model import Nation, Tenancy
from stacks.guardrail_objects import priority_class_name
from stacks.tenancy_objects import HTTP_PORT, SERVICE_ACCOUNT, pod_resources

JsonObject = dict[str, Any]

UNPRIVILEGED_USER = 65532  # `nonroot` of the usual minimal images
APPLICATION = "app.kubernetes.io/name"
_ROLL_OUT_SECONDS = 180
_OLD_RELEASES = 3
_STOP_SECONDS = 5


def platform_objects(nation: Nation, tenancy: Tenancy, *, image: str) -> tuple[JsonObject, ...]:
    """Return the platform's ConfigMap, Deployment, Service and, for more than one replica, its disruption budget."""
    platform = tenancy.platform
    selector = {APPLICATION: platform.id}
    labels = {**tenancy_labels(nation, tenancy), **selector}
    configuration = _configuration(nation, tenancy)

    def inside(api_version: str, kind: str, **content: Any) -> JsonObject:
        metadata = {"name": platform.id, "namespace": platform.namespace, "labels": labels}
        return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **content}

    pods = {
        # Pods read their configuration when they start: new content must mean new pods.
        "metadata": {"labels": labels, "annotations": {Label.CONFIGURATION.on(nation): _hash(configuration)}},
        "spec": _pod(tenancy, selector, image),
    }
    deployment = {
        "replicas": platform.replicas,
        "revisionHistoryLimit": _OLD_RELEASES,
        "progressDeadlineSeconds": _ROLL_OUT_SECONDS,
        "selector": {"matchLabels": selector},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": _roll_out(tenancy)},
        "template": pods,
    }
    service = {
        "type": "NodePort",
        "ipFamilyPolicy": "RequireDualStack",
        "ipFamilies": ["IPv4", "IPv6"],
        "externalTrafficPolicy": "Cluster",
        "selector": selector,
        "ports": [
            {"name": "http", "protocol": "TCP", "port": 80, "targetPort": HTTP_PORT, "nodePort": platform.port},
        ],
    }
    objects = [
        inside("v1", "ConfigMap", data=configuration),
        inside("apps/v1", "Deployment", spec=deployment),
        inside("v1", "Service", spec=service),
    ]
    if platform.replicas > 1:  # with one replica a budget would only stop every drain
        budget = {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        }
        objects.append(inside("policy/v1", "PodDisruptionBudget", spec=budget))
    return tuple(objects)


def _configuration(nation: Nation, tenancy: Tenancy) -> dict[str, str]:
    """Return the environment of the platform's containers; dependencies as a JSON object, name → addresses to call."""
    platform = tenancy.platform
    dependencies = {
        need: [
            url
            for endpoint in nation.endpoints_of(nation.platform_by_id[need])
            for url in (
                f"http://{endpoint.addresses.ipv4}:{endpoint.port}",
                f"http://[{endpoint.addresses.ipv6}]:{endpoint.port}",
            )
        ]
        for need in platform.needs
    }
    return {
        "PLATFORM_AGENCY": tenancy.agency.id,
        "PLATFORM_CLUSTER": tenancy.cluster.id,
        "PLATFORM_DEPENDENCIES": json.dumps(dependencies, sort_keys=True),
        "PLATFORM_ID": platform.id,
        "PLATFORM_LEVEL": str(platform.level),
        "PLATFORM_NAME_EN": platform.name.en,
        "PLATFORM_NAME_VI": platform.name.vi,
        "PLATFORM_PORT": str(HTTP_PORT),
        "PLATFORM_REF": platform.ref,
        "PLATFORM_TIER": tenancy.cluster.tier.value,
    }


def _hash(configuration: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()[:16]


def _roll_out(tenancy: Tenancy) -> JsonObject:
    """Return the pace of a roll-out: start the new pod before the old one ends, where the share has room for it."""
    surge = tenancy.platform.surge
    return {"maxSurge": surge, "maxUnavailable": 1 - surge}


def _pod(tenancy: Tenancy, selector: JsonObject, image: str) -> JsonObject:
    def asking(path: str, *, period_seconds: int, failures: int) -> JsonObject:
        return {
            "httpGet": {"path": path, "port": HTTP_PORT, "scheme": "HTTP"},
            "periodSeconds": period_seconds,
            "timeoutSeconds": 2,
            "failureThreshold": failures,
        }

    container = {
        "name": "platform",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "envFrom": [{"configMapRef": {"name": tenancy.platform.id}}],
        "ports": [{"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"}],
        "startupProbe": asking("/livez", period_seconds=1, failures=30),
        "livenessProbe": asking("/livez", period_seconds=10, failures=3),
        "readinessProbe": asking("/readyz", period_seconds=5, failures=2),
        "resources": pod_resources(tenancy),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,  # neighbours' addresses are declared, never injected
        "priorityClassName": priority_class_name(tenancy.platform.level),
        "serviceAccountName": SERVICE_ACCOUNT,
        "terminationGracePeriodSeconds": _STOP_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UNPRIVILEGED_USER,
            "runAsGroup": UNPRIVILEGED_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector},
            }
        ],
        "containers": [container],
    }
