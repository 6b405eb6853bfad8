"""Everything secret or signed that a rehearsal needs, made once and renewed in time: SSH, TLS, Kubernetes.

Kept under `.rehearsal/authority/` (mode 0700). Certificates are handed out again while they serve, so that a second
`up` changes no node.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

from cryptography.hazmat.primitives.serialization import SSHCertificate, load_ssh_public_identity

from exporters.readers.ssh import OBSERVE
from inventories.labels import OBSERVER
from inventories.model import Cluster, Nation, Node, Role
from inventories.services import API_PORT
from playbooks.bundle import BundleFile
from scripts.access import OPERATOR
from scripts.authority import Authority, Issued
from scripts.durable import replace_file
from scripts.rehearsal.authority_ssh import SshAuthority, UserCertificate, issue_user_certificate, open_authority

CARELESS = "tran.b"  # the colleague whose changes by hand the day must attribute
ADMINISTRATORS = "kubeadm:cluster-admins"  # kubeadm binds it to cluster-admin; unlike system:masters it can be revoked
SSH_VALID = timedelta(days=30)
TLS = "/etc/cgc/tls"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What was made: the two authorities, and for each node the secret files that belong on it."""

    ssh: SshAuthority
    tls: Authority
    node_secrets: dict[str, tuple[BundleFile, ...]]


def make_credentials(nation: Nation, state: Path, *, now: datetime) -> Credentials:
    """Make, or hand out again, every identity of the rehearsal."""
    directory = state / "authority"
    ssh = open_authority(directory / "ssh", name=nation.name)
    tls = Authority.create_or_load(directory / "tls", now=now, name=f"{nation.name} authority")
    for person in (OPERATOR, CARELESS):
        _user_certificate(ssh, person, now=now)
    observer = _user_certificate(ssh, OBSERVER, now=now, force_command=OBSERVE)
    secrets: dict[str, tuple[BundleFile, ...]] = {}
    kubeconfigs = state / "kubeconfig"
    kubeconfigs.mkdir(mode=0o700, parents=True, exist_ok=True)
    for cluster in nation.clusters:
        authority = Authority.create_or_load(
            directory / "kubernetes" / cluster.id, now=now, name=f"{cluster.id} authority"
        )
        for person in (OPERATOR, CARELESS):
            issued = authority.issue_client(person, organizations=[ADMINISTRATORS], now=now)
            name = cluster.id if person == OPERATOR else f"{cluster.id}.{person}"
            text = kubeconfig(nation, cluster, authority, issued, user=person, managed=True)
            replace_file(kubeconfigs / f"{name}.yaml", text.encode(), mode=0o600)
        for host in nation.hosts_of(cluster):
            secrets[host.name] = (
                _secret("/etc/kubernetes/pki/ca.crt", authority.certificate_path, mode=0o644),
                _secret("/etc/kubernetes/pki/ca.key", authority.certificate_path.with_suffix(".key")),
            )
    for node in nation.with_role(Role.OPERATIONS):
        secrets[node.name] = _operations_files(nation, node, directory, tls=tls, observer=observer, now=now)
    return Credentials(ssh=ssh, tls=tls, node_secrets=secrets)


def client_of_operator(tls: Authority, *, now: datetime) -> Issued:
    """Return the operator's own TLS client certificate, for asking exporters and Prometheus."""
    return tls.issue_client(OPERATOR, now=now)


def kubeconfig(
    nation: Nation, cluster: Cluster, authority: Authority, issued: Issued, *, user: str, managed: bool
) -> str:
    """Return a kubeconfig (JSON, which is YAML) with everything inside.

    `managed` says whether the server is named by its management address, as the operator reaches it, or by its loopback
    address, as the operations centre does.
    """
    host = nation.hosts_of(cluster)[0]
    address: IPv4Address = host.management4 if managed else host.loopback.ipv4
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster.id,
                    "cluster": {
                        "server": f"https://{address}:{API_PORT}",
                        "certificate-authority-data": _base64(authority.certificate_path),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate-data": _base64(issued.certificate_path),
                        "client-key-data": _base64(issued.key_path),
                    },
                }
            ],
            "contexts": [{"name": cluster.id, "context": {"cluster": cluster.id, "user": user}}],
            "current-context": cluster.id,
        },
        indent=1,
    )


def _operations_files(
    nation: Nation, node: Node, directory: Path, *, tls: Authority, observer: UserCertificate, now: datetime
) -> tuple[BundleFile, ...]:
    server = tls.issue_server(
        node.name,
        dns_names=[node.name, f"{node.name}.{nation.domain}", "localhost"],
        ip_addresses=[
            str(address)
            for address in (
                node.loopback.ipv4,
                node.loopback.ipv6,
                node.management4,
                node.management6,
                "127.0.0.1",
                "::1",
            )
        ],
        now=now,
    )
    client = tls.issue_client("prometheus", now=now)
    files = [
        _secret(f"{TLS}/ca.crt", tls.certificate_path, mode=0o644),
        _secret(f"{TLS}/server.crt", server.certificate_path, mode=0o644),
        _secret(f"{TLS}/server.key", server.key_path, mode=0o640, group="prometheus"),
        _secret(f"{TLS}/client.crt", client.certificate_path, mode=0o644),
        _secret(f"{TLS}/client.key", client.key_path, mode=0o640, group="prometheus"),
        _secret("/etc/cgc/ssh/observer", observer.private_key),
        _secret("/etc/cgc/ssh/observer-cert.pub", observer.certificate, mode=0o644),
        _secret("/etc/cgc/ssh/known_hosts", observer.known_hosts, mode=0o644),
    ]
    for cluster in nation.clusters:
        authority = Authority.create_or_load(directory / "kubernetes" / cluster.id, now=now)
        issued = authority.issue_client(OBSERVER, now=now)
        text = kubeconfig(nation, cluster, authority, issued, user=OBSERVER, managed=False)
        files.append(BundleFile(path=f"/etc/cgc/kubeconfig/{cluster.id}.yaml", content=text, mode=0o600, secret=True))
    return tuple(files)


def _user_certificate(
    ssh: SshAuthority, person: str, *, now: datetime, force_command: str | None = None
) -> UserCertificate:
    """Return the person's certificate, a fresh one if less than a third of the last one's life is left."""
    key = ssh.directory / "users" / person / "operator"
    certificate = key.with_name("operator-cert.pub")
    if key.exists() and certificate.exists():
        found = load_ssh_public_identity(certificate.read_bytes())
        if isinstance(found, SSHCertificate):
            until = datetime.fromtimestamp(found.valid_before, UTC)
            command = found.critical_options.get(b"force-command", b"").decode() or None
            if until - now > SSH_VALID / 3 and command == force_command:
                return UserCertificate(private_key=key, certificate=certificate, known_hosts=ssh.known_hosts)
    seconds = int(SSH_VALID.total_seconds())
    return issue_user_certificate(ssh, operator=person, valid_seconds=seconds, force_command=force_command)


def _secret(path: str, source: Path, *, mode: int = 0o600, group: str = "root") -> BundleFile:
    return BundleFile(path=path, content=source.read_text(), mode=mode, group=group, secret=True)


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
