"""How this machine reaches what a declaration describes: identities, trust anchors, and the network to do it from."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inventories.model import Node
from scripts.errors import ScriptError
from scripts.rehearsal.namespace import inside_network_namespace
from scripts.toolchain.cache import program_path

STATE = Path(".rehearsal")
OPERATOR = "operator"
COMMAND_SECONDS = 60
CONNECT_SECONDS = 5


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where people's credentials lie; `namespace` is the network namespace to reach nodes from, None for our own."""

    state: Path
    namespace: str | None

    @property
    def known_hosts(self) -> Path:
        """The one line that says which authority speaks for hosts."""
        return self.state / "authority" / "ssh" / "known_hosts"

    def ssh_key(self, person: str = OPERATOR) -> Path:
        """Return the path of a person's private SSH key; the certificate lies beside it as `…-cert.pub`."""
        return self.state / "authority" / "ssh" / "users" / person / "operator"

    def ssh_certificate(self, person: str = OPERATOR) -> Path:
        """Return the path of the certificate over a person's SSH key."""
        return self.ssh_key(person).with_name("operator-cert.pub")

    def kubeconfig(self, cluster: str, person: str = OPERATOR) -> Path:
        """Return the path of a person's kubeconfig for a cluster."""
        name = cluster if person == OPERATOR else f"{cluster}.{person}"
        return self.state / "kubeconfig" / f"{name}.yaml"

    @contextmanager
    def network(self) -> Iterator[None]:
        """Let the calling thread, and what it starts, reach the nodes for the length of the block."""
        if self.namespace is None:
            yield
            return
        with inside_network_namespace(self.namespace):
            yield

    def require(self) -> None:
        """Refuse to go on without credentials (CGC-650)."""
        for path in (self.ssh_key(), self.ssh_certificate(), self.known_hosts):
            if not path.exists():
                raise ScriptError(
                    "CGC-650",
                    "there are no credentials for this declaration",
                    where=str(path),
                    remedy="raise the rehearsal with `cgc rehearse up`, or put the operator's credentials there",
                )

    def ssh_options(self, person: str = OPERATOR) -> tuple[str, ...]:
        """Return OpenSSH's options: only the authority's word counts for hosts, only a certificate for people."""
        return (
            "-F", "none",
            "-o", f"UserKnownHostsFile={self.known_hosts}",
            "-o", "GlobalKnownHostsFile=none",
            "-o", "StrictHostKeyChecking=yes",
            "-o", f"IdentityFile={self.ssh_key(person)}",
            "-o", f"CertificateFile={self.ssh_certificate(person)}",
            "-o", "IdentitiesOnly=yes",
            "-o", "PreferredAuthentications=publickey",
            "-o", f"ConnectTimeout={CONNECT_SECONDS}",
            "-o", "BatchMode=yes",
        )  # fmt: skip

    def run_on(self, node: Node, command: str, *, person: str = OPERATOR) -> str:
        """Run a shell command on a node as root over SSH; return its standard output.

        CGC-651 if it cannot be reached or the command fails.
        """
        argv = ("ssh", *self.ssh_options(person), f"root@{node.management4}", command)
        return self._run(argv, where=node.name, remedy="look at the node with `cgc rehearse status`")

    def kubectl(self, cluster: str, *arguments: str, person: str = OPERATOR, text: str | None = None) -> str:
        """Run kubectl against a cluster with `text` as its input; return its standard output. CGC-651 on failure."""
        argv = (str(program_path("kubectl")), "--kubeconfig", str(self.kubeconfig(cluster, person)), *arguments)
        return self._run(argv, where=cluster, remedy="look at the cluster with `cgc rehearse status`", text=text)

    def _run(self, argv: Sequence[str], *, where: str, remedy: str, text: str | None = None) -> str:
        with self.network():
            try:
                done = subprocess.run(
                    argv, input=text or "", capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
                )
            except subprocess.TimeoutExpired as err:
                what = f"{argv[-1]!r} did not end within {COMMAND_SECONDS} s"
                raise ScriptError("CGC-651", what, where=where, remedy=remedy) from err
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["it said nothing"]
            what = f"{argv[-1]!r} ended with {done.returncode}: {said[0]}"
            raise ScriptError("CGC-651", what, where=where, remedy=remedy)
        return done.stdout
