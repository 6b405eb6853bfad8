"""What the nodes said of themselves when they joined: kept beside the credentials, read by whoever renders bundles.

Private keys are made on the node and stay there; only public ones are enrolled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from inventories.model import Nation
from playbooks.enrolment import Enrolment, KubernetesImages
from scripts.durable import replace_file
from scripts.errors import ScriptError
from scripts.rehearsal.container_images import COREDNS_TAG, ETCD_TAG, KUBERNETES_REPOSITORY
from scripts.rehearsal.credentials import make_credentials

FILE = "enrolment.json"


def keep_public_keys(state: Path, keys: Mapping[str, str]) -> None:
    """Keep the nodes' WireGuard public keys (node name → base64)."""
    replace_file(state / FILE, json.dumps(dict(sorted(keys.items())), indent=1).encode())


def public_keys(state: Path) -> dict[str, str]:
    """Return the nodes' WireGuard public keys; CGC-652 if none were enrolled or the file is damaged."""
    path = state / FILE
    try:
        keys = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as err:
        raise ScriptError(
            "CGC-652", f"no node is enrolled: {err}", where=str(path), remedy="enrol them with `cgc rehearse up`"
        ) from err
    if not isinstance(keys, dict) or not all(isinstance(text, str) for pair in keys.items() for text in pair):
        raise ScriptError(
            "CGC-652", "does not map nodes to keys", where=str(path), remedy="enrol them again with `cgc rehearse up`"
        )
    return keys


def enrolment_of(nation: Nation, state: Path, *, now: datetime) -> Enrolment:
    """Return what rendering needs of the nodes: their public keys, and the credentials made for them."""
    credentials = make_credentials(nation, state, now=now)
    return Enrolment(
        wireguard_public_keys=public_keys(state),
        ssh_user_authority=credentials.ssh.user_public_key.read_text().strip(),
        node_secrets=credentials.node_secrets,
        # Debian's etcd 3.4 has no /livez yet
        kubernetes=KubernetesImages(
            repository=KUBERNETES_REPOSITORY, etcd_tag=ETCD_TAG, dns_tag=COREDNS_TAG, etcd_has_livez=False
        ),
    )
