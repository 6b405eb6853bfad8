"""Gather the plan: what the toolkit would make of a declaration, node by node and cluster by cluster. Touches nothing.

Where nobody is enrolled yet (a change judged in CI), keys have stand-ins of the same shape: the law does not depend on
which keys they are, but a bundle's fingerprint does, so such a plan has none.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from inventories.model import Nation
from playbooks.enrolment import Enrolment
from playbooks.rendering import render
from policies.observed import Planned
from scripts.rehearsal.container_images import standin_image_name
from stacks.objects import cluster_manifest

CHECKOUT = Path(__file__).parents[1]
STANDIN = CHECKOUT / "stacks" / "standin" / "standin.py"
ROOMS = ("inventories", "stacks", "playbooks", "exporters", "policies", "scripts")
# What of the toolkit's own files can carry a setting that reaches a node or a tool.
CARRIERS = frozenset({".py", ".yaml", ".yml", ".j2", ".cfg", ".ini", ".conf", ".sh", ".toml", ".service"})
BESIDE_THE_ROOMS = ("ansible.cfg", "Makefile", "Pulumi.yaml", "pyproject.toml", ".ci/run")


def planned_of(nation: Nation, *, enrolment: Enrolment | None = None, image: str | None = None) -> Planned:
    """Return the whole plan. `image` is what platforms run, the stand-in where it is None.

    Fingerprints are in it only with a real `enrolment`.
    """
    bundles = {node.name: render(nation, node, enrolment or stand_in(nation)) for node in nation.nodes}
    return Planned(
        node_files={
            name: {file.path: file.content for file in bundle.files if not file.secret}
            for name, bundle in bundles.items()
        },
        cluster_objects=manifests_of(nation, image=image),
        fingerprints={name: bundle.fingerprint for name, bundle in bundles.items()} if enrolment else {},
        repository=dict(own_files(CHECKOUT)),
    )


def manifests_of(nation: Nation, *, image: str | None = None) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
    """Return the manifest of every cluster, by cluster."""
    chosen = image or standin_image_name(STANDIN)
    return {cluster.id: cluster_manifest(nation, cluster, image=chosen) for cluster in nation.clusters}


def stand_in(nation: Nation) -> Enrolment:
    """Return an enrolment in the shape of a real one: a well-formed key for each node, derived from its name."""
    keys = {node.name: base64.b64encode(hashlib.sha256(node.name.encode()).digest()).decode() for node in nation.nodes}
    blob = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(b"authority").digest()).decode()
    return Enrolment(wireguard_public_keys=keys, ssh_user_authority=f"ssh-ed25519 {blob} stand-in")


def own_files(checkout: Path) -> Iterator[tuple[str, str]]:
    """Yield (path in the checkout, text) of the toolkit's own files."""
    for name in BESIDE_THE_ROOMS:
        if (checkout / name).is_file():
            yield name, (checkout / name).read_text(encoding="utf-8")
    for room in ROOMS:
        for path in sorted((checkout / room).rglob("*")):
            if path.suffix in CARRIERS and path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(checkout)), path.read_text(encoding="utf-8")
