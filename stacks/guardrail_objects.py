"""The objects of a cluster that belong to no tenancy: priorities, admission rules, and the observer's rights. Pure."""

from __future__ import annotations

from typing import Any

from inventories.labels import OBSERVER, Label, managed
from inventories.model import Nation

JsonObject = dict[str, Any]

RBAC_GROUP = "rbac.authorization.k8s.io"
RBAC_VERSION = f"{RBAC_GROUP}/v1"
READ_VERBS = ["get", "list", "watch"]
PRIORITY_STEP = 100_000  # between security levels; user priorities end at 1,000,000,000
LEVELS = (1, 2, 3, 4, 5)  # Decree 85/2016/NĐ-CP, article 7 ff.: security levels of information systems

# What collectors and the drift control read. No secrets: whoever reads states has no need of keys.
_OBSERVED: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "",
        (
            "configmaps",
            "events",
            "limitranges",
            "namespaces",
            "nodes",
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "replicationcontrollers",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ),
    ),
    (
        "admissionregistration.k8s.io",
        (
            "mutatingwebhookconfigurations",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
            "validatingwebhookconfigurations",
        ),
    ),
    ("apps", ("daemonsets", "deployments", "replicasets", "statefulsets")),
    ("batch", ("cronjobs", "jobs")),
    ("discovery.k8s.io", ("endpointslices",)),
    ("networking.k8s.io", ("ingresses", "networkpolicies")),
    ("policy", ("poddisruptionbudgets",)),
    (RBAC_GROUP, ("clusterrolebindings", "clusterroles", "rolebindings", "roles")),
    ("scheduling.k8s.io", ("priorityclasses",)),
)


def priority_class_name(level: int) -> str:
    """Return the name of the priority class for platforms of a security level."""
    return f"cgc-level-{level}"


def guardrail_objects(nation: Nation, *, registry: str) -> tuple[JsonObject, ...]:
    """Return the cluster's priority classes and its admission policy with its binding.

    `registry` is the host (and port) that images of managed namespaces come from.
    """
    labels = dict(managed(nation))
    name = "cgc-guardrails"
    priorities = tuple(
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": priority_class_name(level), "labels": labels},
            "description": f"Platforms of security level {level}.",
            "preemptionPolicy": "PreemptLowerPriority",
            "value": level * PRIORITY_STEP,
        }
        for level in LEVELS
    )
    policy = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name, "labels": labels},
        "spec": _admission_rules(nation, registry),
    }
    binding = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": labels},
        "spec": {"policyName": name, "validationActions": ["Deny"]},
    }
    return (*priorities, policy, binding)


def _admission_rules(nation: Nation, registry: str) -> JsonObject:
    """Refuse, in managed namespaces, pods that reach out of their tenancy (expressions in CEL)."""

    def of_containers(expression: str) -> str:
        lists = ("containers", "?initContainers.orValue([])", "?ephemeralContainers.orValue([])")
        return " + ".join(f"object.spec.{each}.map(c, {expression})" for each in lists)

    def rule(expression: str, message: str) -> JsonObject:
        return {"expression": expression, "message": message, "reason": "Forbidden"}

    level = Label.LEVEL.on(nation)
    return {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {"matchLabels": dict(managed(nation))},
            "resourceRules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["pods", "pods/ephemeralcontainers"],
                    "scope": "Namespaced",
                }
            ],
        },
        "variables": [
            {"name": "images", "expression": of_containers("c.image")},
            {
                "name": "privileges",
                "expression": of_containers("c.?securityContext.?privileged.orValue(false)"),
            },
        ],
        "validations": [
            rule(
                f"variables.images.all(image, image.startsWith('{registry}/'))",
                f"images of managed namespaces come from {registry}",
            ),
            rule("!variables.privileges.exists(privileged, privileged)", "no container is privileged"),
            rule(
                "!object.spec.?hostNetwork.orValue(false) && !object.spec.?hostPID.orValue(false)"
                " && !object.spec.?hostIPC.orValue(false)",
                "no pod shares its host's network, processes or memory",
            ),
            rule(
                "!object.spec.?volumes.orValue([]).exists(volume, has(volume.hostPath))",
                "no pod mounts a directory of its host",
            ),
            rule(
                "object.spec.?priorityClassName.orValue('') in"
                f" ['', 'cgc-level-' + namespaceObject.metadata.labels['{level}']]",
                "a pod's priority is that of its platform's security level",
            ),
        ],
    }


def observer_objects(nation: Nation) -> tuple[JsonObject, ...]:
    """Return the right of `cgc-observer` to read what collectors and the drift control read, and no secret."""
    labels = dict(managed(nation))
    rules: list[JsonObject] = [
        {"apiGroups": [group], "resources": list(resources), "verbs": READ_VERBS} for group, resources in _OBSERVED
    ]
    rules.append({"nonResourceURLs": ["/livez", "/metrics", "/readyz", "/version"], "verbs": ["get"]})
    return (
        {
            "apiVersion": RBAC_VERSION,
            "kind": "ClusterRole",
            "metadata": {"name": OBSERVER, "labels": labels},
            "rules": rules,
        },
        {
            "apiVersion": RBAC_VERSION,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": OBSERVER, "labels": labels},
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": "ClusterRole", "name": OBSERVER},
            "subjects": [{"apiGroup": RBAC_GROUP, "kind": "User", "name": OBSERVER}],
        },
    )
