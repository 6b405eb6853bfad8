"""A Kubernetes control plane for tests: etcd, API server and controller manager as plain processes on loopback.

No kubelet and no scheduler: pods exist but do not run, unless a test marks them ready with `make_pods_ready`.
Ready in about four seconds, about 500 MB. The processes end with the context, or when the test run is killed.
"""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

KUBERNETES_VERSION = "1.36.1"
PULUMI_VERSION = "3.259.0"
_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_MERGE_PATCH = "application/merge-patch+json"


def cache() -> Path:
    """Answer the folder of everything heavy, as the toolkit has it."""
    return Path(os.environ.get("CGC_CACHE", "~/.cache/cgc")).expanduser()


def program(name: str, version: str) -> Path:
    """Answer a program of the toolchain; an AssertionError names what is missing."""
    path = cache() / "toolchain" / name / version / name
    assert path.is_file(), f"{path} is missing: `cgc doctor` says how to get it"
    return path


def etcd_program() -> Path:
    """Answer Debian's etcd, unpacked into the cache (its service must not be installed on this machine)."""
    folder = cache() / "debian" / "etcd-server"
    etcd = folder / "usr/bin/etcd"
    if not etcd.is_file():
        fresh = folder.with_name(f".{folder.name}-{os.getpid()}")
        fresh.mkdir(parents=True)
        subprocess.run(["apt-get", "download", "etcd-server"], cwd=fresh, check=True, capture_output=True)
        (package,) = fresh.glob("*.deb")
        subprocess.run(["dpkg", "-x", str(package), str(fresh)], check=True, capture_output=True)
        package.unlink()
        if etcd.is_file():  # another run was faster
            shutil.rmtree(fresh)
        else:
            fresh.rename(folder)
    return etcd


@dataclass(frozen=True, kw_only=True)
class ControlPlane:
    """A running control plane and a way to act on it by hand, as an operator with kubectl would."""

    server: str
    kubeconfig: Path
    folder: Path
    http: urllib3.PoolManager

    def request(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, media: str = "application/json"
    ) -> dict[str, Any]:
        """Send one request as the cluster's administrator; an AssertionError carries a refusal's text."""
        data = json.dumps(body).encode() if body is not None else None
        response = self.http.request(method, self.server + path, body=data, headers={"Content-Type": media})
        assert response.status < 300, f"{method} {path}: {response.status} {response.data.decode()}"
        answer: dict[str, Any] = response.json()
        return answer

    def exists(self, path: str) -> bool:
        """Say whether the object at *path* exists."""
        return self.http.request("GET", self.server + path).status == 200

    def edit(self, path: str, change: Mapping[str, Any]) -> dict[str, Any]:
        """Change an object by hand: a merge patch by the field manager `kubectl-edit`."""
        return self.request("PATCH", f"{path}?fieldManager=kubectl-edit", change, media=_MERGE_PATCH)

    def make_pods_ready(self, namespace: str) -> int:
        """Play kubelet: mark every pod of *namespace* as running and ready; answers how many there are."""
        pods = self.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        for number, pod in enumerate(pods, start=1):
            conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
            address = f"10.244.0.{number}"
            status = {
                "phase": "Running",
                "conditions": conditions,
                "podIP": address,
                "podIPs": [{"ip": address}],
            }
            self.request("PATCH", f"{_path(pod)}/status", {"status": status}, media=_MERGE_PATCH)
        return len(pods)


def _path(pod: Mapping[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


@contextmanager
def running_control_plane(folder: Path) -> Iterator[ControlPlane]:
    """Run a control plane whose files and logs are in *folder* for as long as the context lasts."""
    etcd_port, peer_port, api_port = _free_ports(3)
    authority = _Authority(folder)
    authority.issue("apiserver", "kube-apiserver")
    authority.issue("admin", "tester", group="system:masters")
    authority.issue("controllers", "system:kube-controller-manager")
    _write_signing_key(folder / "service-accounts.key")
    server = f"https://127.0.0.1:{api_port}"
    etcd_url, peer_url = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
    commands = {
        "etcd": [
            str(etcd_program()),
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={etcd_url}",
            f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}",
            f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}",
            "--unsafe-no-fsync",
        ],
        "kube-apiserver": [
            str(program("kube-apiserver", KUBERNETES_VERSION)),
            f"--etcd-servers={etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={api_port}",
            "--service-cluster-ip-range=10.96.0.0/24,fd96::/112",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            f"--tls-cert-file={folder / 'apiserver.crt'}",
            f"--tls-private-key-file={folder / 'apiserver.key'}",
            f"--client-ca-file={folder / 'authority.crt'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'service-accounts.key'}",
            f"--service-account-signing-key-file={folder / 'service-accounts.key'}",
        ],
        "kube-controller-manager": [
            str(program("kube-controller-manager", KUBERNETES_VERSION)),
            f"--kubeconfig={_write_kubeconfig(folder, 'controllers', server)}",
            f"--service-account-private-key-file={folder / 'service-accounts.key'}",
            f"--root-ca-file={folder / 'authority.crt'}",
            "--use-service-account-credentials",  # each controller with the rights that RBAC gives it
            "--leader-elect=false",
            "--secure-port=0",
        ],
    }
    kubeconfig = _write_kubeconfig(folder, "admin", server)
    tls = ssl.create_default_context(cafile=str(folder / "authority.crt"))
    tls.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    plane = ControlPlane(
        server=server,
        kubeconfig=kubeconfig,
        folder=folder,
        http=urllib3.PoolManager(ssl_context=tls, retries=False, timeout=30.0, maxsize=8),
    )
    with ExitStack() as processes:
        for name in ("etcd", "kube-apiserver"):
            processes.enter_context(_running(name, commands[name], folder))
        _wait_until(lambda: plane.exists("/readyz"), f"the API server is not ready: see {folder}/kube-apiserver.log")
        processes.enter_context(_running("kube-controller-manager", commands["kube-controller-manager"], folder))
        _wait_until(
            lambda: plane.exists("/api/v1/namespaces/default/serviceaccounts/default"),
            f"the controllers do not work: see {folder}/kube-controller-manager.log",
        )
        yield plane


@contextmanager
def _running(name: str, command: list[str], folder: Path) -> Iterator[None]:
    # setpriv --pdeathsig: a test run that is killed leaves no process behind.
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "SIGKILL", "--", *command], cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until(condition: Any, otherwise: str) -> None:
    give_up = time.monotonic() + _START_SECONDS
    while True:
        try:
            if condition():
                return
        except urllib3.exceptions.HTTPError as err:
            otherwise = f"{otherwise} ({err})" if time.monotonic() > give_up else otherwise
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        held = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in held]


class _Authority:
    """A certificate authority whose files lie in one folder: authority.crt, NAME.crt, NAME.key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "control plane for tests")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        certificate = _unsigned(self._name, self._name, self._key).add_extension(constraints, critical=True)
        self._write("authority", certificate.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, common_name: str, *, group: str | None = None) -> None:
        """Write NAME.crt and NAME.key for 127.0.0.1 and for the Kubernetes user *common_name*."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
        names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = _unsigned(x509.Name(names), self._name, key).add_extension(address, critical=False)
        self._write(name, certificate.sign(self._key, hashes.SHA256()))
        path = self._folder / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(_pem_of(key))

    def _write(self, name: str, certificate: x509.Certificate) -> None:
        path = self._folder / f"{name}.crt"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - dt.timedelta(minutes=5),
        not_valid_after=now + dt.timedelta(days=1),
    )


def _pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_signing_key(path: Path) -> None:
    path.touch(mode=0o600)
    path.write_bytes(_pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048)))


def _write_kubeconfig(folder: Path, user: str, server: str) -> Path:
    def text(name: str) -> str:
        return base64.b64encode((folder / name).read_bytes()).decode()

    credentials = {"client-certificate-data": text(f"{user}.crt"), "client-key-data": text(f"{user}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "clusters": [
            {"name": "test", "cluster": {"server": server, "certificate-authority-data": text("authority.crt")}}
        ],
        "users": [{"name": user, "user": credentials}],
    }
    path = folder / f"{user}.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
