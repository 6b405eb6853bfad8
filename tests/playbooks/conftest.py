"""The rehearsal's nation, and what its nodes would have said of themselves when they joined."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from inventories import load_nation
from inventories.model import Nation
from playbooks.bundle import Bundle
from playbooks.enrolment import Enrolment, KubernetesImages
from playbooks.rendering import render_all

REHEARSAL = Path(__file__).parents[2] / "inventories" / "rehearsal"


@pytest.fixture(scope="session")
def nation() -> Nation:
    """Return the rehearsal's nation."""
    return load_nation(REHEARSAL)


@pytest.fixture(scope="session")
def enrolment(nation: Nation) -> Enrolment:
    """Return an enrolment whose keys follow from the nodes' names."""
    return Enrolment(
        wireguard_public_keys={
            node.name: base64.b64encode(hashlib.sha256(node.name.encode()).digest()).decode() for node in nation.nodes
        },
        ssh_user_authority="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKo operators\n",
        kubernetes=KubernetesImages(
            repository="registry.test/kubernetes", etcd_tag="3.4.23-0", dns_tag="v1.13.1", etcd_has_livez=False
        ),
    )


@pytest.fixture(scope="session")
def bundles(nation: Nation, enrolment: Enrolment) -> dict[str, Bundle]:
    """Return every node's bundle."""
    return render_all(nation, enrolment)
