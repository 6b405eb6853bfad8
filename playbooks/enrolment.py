"""What rendering needs to know of nodes and cannot derive from the declaration: public keys, trust anchors, secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from playbooks.bundle import BundleFile


@dataclass(frozen=True, kw_only=True)
class KubernetesImages:
    """Where clusters take their images from, and what differs from the release's own; None leaves kubeadm's default.

    `etcd_has_livez` is false for etcd before 3.5.11, whose only health endpoint is /health.
    """

    repository: str = "registry.k8s.io"
    etcd_tag: str | None = None
    dns_tag: str | None = None
    etcd_has_livez: bool = True


@dataclass(frozen=True, kw_only=True)
class Enrolment:
    """What nodes said of themselves when they joined, and whom they are to trust.

    `wireguard_public_keys` maps a node's name to its base64 key, `ssh_user_authority` is the line of sshd's
    TrustedUserCAKeys, `node_secrets` are files that somebody else made for a node (TLS keys, kubeconfigs, passwords).
    WireGuard's private keys are made on the node and never pass through here.
    """

    wireguard_public_keys: Mapping[str, str]
    ssh_user_authority: str
    node_secrets: Mapping[str, tuple[BundleFile, ...]] = field(default_factory=lambda: MappingProxyType({}))
    kubernetes: KubernetesImages = KubernetesImages()
