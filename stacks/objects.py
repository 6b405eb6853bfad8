"""The cluster manifest: every Kubernetes object that a cluster must have, as the Pulumi program registers it. Pure.

The program, the gate over a plan and the drift control read this one function, so what is previewed, applied, judged
and compared is the same thing. Values are in the API server's canonical form.
"""

from __future__ import annotations

import json
import re
from typing import Any

from inventories.model import Cluster, Nation
from stacks.errors import StackError
from stacks.guardrail_objects import guardrail_objects, observer_objects
from stacks.platform_objects import platform_objects
from stacks.tenancy_objects import tenancy_objects

JsonObject = dict[str, Any]

_IMAGE = re.compile(r"(?P<registry>[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?)/[a-z0-9._/-]+(?:[:@][A-Za-z0-9._:-]+)")


def cluster_manifest(nation: Nation, cluster: Cluster, *, image: str) -> tuple[JsonObject, ...]:
    """Return every object the cluster must have, each after those it needs.

    `image` is the whole name of the image that platforms run, with its registry and its tag or digest. Raises
    StackError CGC-252.
    """
    objects = [*guardrail_objects(nation, registry=registry_of(image)), *observer_objects(nation)]
    for tenancy in nation.tenancies_on(cluster):
        objects += tenancy_objects(nation, tenancy)
        objects += platform_objects(nation, tenancy, image=image)
    # A round trip through JSON: no two objects share a part that a reader might change.
    return tuple(json.loads(json.dumps(objects)))


def registry_of(image: str) -> str:
    """Return the registry's host and port; StackError CGC-252 for a name that leaves registry or version open."""
    found = _IMAGE.fullmatch(image)
    if found is None:
        raise StackError(
            "CGC-252",
            f"{image!r} does not name a registry, a repository and a version",
            remedy="write it like registry.example.test/team/name:1.2 (with a tag or a digest)",
        )
    return found["registry"]


def identity_of(manifest: JsonObject) -> tuple[str, str, str, str]:
    """Return what tells an object of a cluster apart: API version, kind, namespace ("" if none), name."""
    metadata = manifest["metadata"]
    return manifest["apiVersion"], manifest["kind"], metadata.get("namespace", ""), metadata["name"]
