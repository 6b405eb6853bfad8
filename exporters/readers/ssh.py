"""Read nodes over SSH: one lasting connection a node, and on it the node agent's `observe`, as often as one likes.

A node proves who it is by a host certificate of the SSH authority (OpenSSH's PROTOCOL.certkeys) and by nothing else;
the reader proves itself by a user certificate whose forced command is the agent's `observe`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import asyncssh
import msgspec

from exporters.errors import CredentialsError
from inventories.model import Node
from inventories.services import agent_command
from policies.observed import NodeObservation, Reason, Silence

OBSERVE = agent_command("observe")
"""What we ask for; a certificate with a forced command makes the node run that instead, whatever is asked."""

HOST_KEY_ALGORITHMS = (
    "ssh-ed25519-cert-v01@openssh.com",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
)
"""Certificates only: a bare host key, known or not, is no proof."""

T = TypeVar("T")

LARGEST_ANSWER_BYTES = 16 * 2**20
KEEPALIVE_SECONDS = 15
ERROR_TEXT_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class SshCredentials:
    """Whose key and certificate to show, and the known_hosts file (only `@cert-authority` lines count)."""

    private_key: Path
    certificate: Path
    known_hosts: Path
    user: str = "root"
    port: int = 22


def management_address(node: Node) -> IPv4Address | IPv6Address:
    """Return where the operator's tools reach the node, whatever happens to the network that it routes for."""
    return node.management4


def decode_observation(answer: bytes, *, node: str, seen_at: datetime, seen_from: str) -> NodeObservation:
    """Return the agent's JSON document as an observation.

    Raises msgspec.ValidationError (a kind of ValueError) if it is not one, is of another node, or has a time without
    a zone.
    """
    document = msgspec.json.decode(answer, type=dict[str, object])
    observation = msgspec.convert({**document, "seen_at": seen_at, "seen_from": seen_from}, NodeObservation)
    if observation.node != node:
        raise msgspec.ValidationError(f"it calls itself {observation.node!r}")
    times = [tunnel.handshake_at for tunnel in observation.tunnels]
    times += [difference.changed_at for difference in observation.differences]
    if any(time is not None and time.tzinfo is None for time in times):
        raise msgspec.ValidationError("a time without a zone")
    return observation


class SshReader:
    """Observes nodes; at most `concurrency` at a time, each within `deadline_seconds` (connecting included)."""

    def __init__(
        self,
        credentials: SshCredentials,
        *,
        seen_from: str,
        deadline_seconds: float = 8.0,
        concurrency: int = 8,
        address: Callable[[Node], IPv4Address | IPv6Address] = management_address,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        for path in (credentials.private_key, credentials.certificate, credentials.known_hosts):
            if not path.is_file():
                raise CredentialsError(
                    "CGC-401",
                    "there is no such file, and nodes are read over SSH with it",
                    where=str(path),
                    remedy="raise the rehearsal, or put the observer's credentials there",
                )
        self._credentials = credentials
        self._seen_from = seen_from
        self._deadline_seconds = deadline_seconds
        self._places = asyncio.Semaphore(concurrency)
        self._address = address
        self._now = now
        self._connections: dict[str, asyncssh.SSHClientConnection] = {}

    async def observe_all(self, nodes: Iterable[Node]) -> Mapping[str, NodeObservation | Silence]:
        """Observe the nodes side by side; every one of them is in the answer."""
        return await self.ask_all(nodes, OBSERVE, self._decoded)

    async def observe(self, node: Node) -> NodeObservation | Silence:
        """Return what the node says of itself, or why nothing is known."""
        return await self.ask(node, OBSERVE, self._decoded)

    async def ask_all(
        self, nodes: Iterable[Node], command: str, decode: Callable[[bytes, Node], T]
    ) -> Mapping[str, T | Silence]:
        """Run one read-only command on the nodes side by side; every one of them is in the answer."""
        asked = tuple(nodes)
        answers = await asyncio.gather(*(self.ask(node, command, decode) for node in asked))
        return MappingProxyType({node.name: answer for node, answer in zip(asked, answers, strict=True)})

    async def ask(self, node: Node, command: str, decode: Callable[[bytes, Node], T]) -> T | Silence:
        """Return the command's decoded output (`decode` may raise msgspec.DecodeError), or why there is none."""
        async with self._places:
            try:
                async with asyncio.timeout(self._deadline_seconds):
                    answer = await self._run(node, command)
                return decode(answer, node)
            except TimeoutError:
                silence = self._silence(
                    node, Reason.DID_NOT_FINISH, f"no answer within {self._deadline_seconds:g} seconds"
                )
            except msgspec.DecodeError as err:  # ValidationError is one
                silence = self._silence(node, Reason.DID_NOT_FINISH, f"its answer cannot be read: {err}")
            except asyncssh.ProcessError as err:
                said = str(err.stderr or err.stdout or "")[-ERROR_TEXT_CHARACTERS:].strip()
                silence = self._silence(
                    node, Reason.DID_NOT_FINISH, f"the agent ended with {err.exit_status}: {said or 'it said nothing'}"
                )
            except (OSError, asyncssh.Error) as err:
                silence = self._silence(node, Reason.UNREACHABLE, f"{type(err).__name__}: {err}")
        self._drop(node.name)  # the next round begins with a fresh connection
        return silence

    def _decoded(self, answer: bytes, node: Node) -> NodeObservation:
        return decode_observation(answer, node=node.name, seen_at=self._now(), seen_from=self._seen_from)

    async def close(self) -> None:
        """End every connection."""
        connections = [self._connections.pop(name) for name in tuple(self._connections)]
        for connection in connections:
            connection.abort()
        for connection in connections:
            await connection.wait_closed()

    async def _run(self, node: Node, command: str) -> bytes:
        connection = self._connections.get(node.name)
        if connection is None or connection.is_closed():
            connection = await self._connect(node)
            self._connections[node.name] = connection
        async with connection.create_process(command, encoding=None, stdin=asyncssh.DEVNULL) as process:
            answer = await process.stdout.read(LARGEST_ANSWER_BYTES + 1)
            if len(answer) > LARGEST_ANSWER_BYTES:
                raise msgspec.ValidationError(f"longer than {LARGEST_ANSWER_BYTES} bytes")
            rest = await process.wait(check=False)
            if rest.exit_status != 0:
                raise asyncssh.ProcessError(
                    None, command, None, rest.exit_status, rest.exit_signal, rest.returncode or 0,
                    _text(answer), _text(rest.stderr),
                )  # fmt: skip
        return bytes(answer)

    async def _connect(self, node: Node) -> asyncssh.SSHClientConnection:
        credentials = self._credentials
        return await asyncssh.connect(
            str(self._address(node)),
            port=credentials.port,
            config=None,  # whose home we run in must not matter
            username=credentials.user,
            client_keys=[(str(credentials.private_key), str(credentials.certificate))],
            agent_path=None,
            preferred_auth="publickey",
            known_hosts=str(credentials.known_hosts),
            host_key_alias=node.name,  # the certificate must be this node's, not just some node's
            server_host_key_algs=HOST_KEY_ALGORITHMS,
            keepalive_interval=KEEPALIVE_SECONDS,
            keepalive_count_max=2,
            login_timeout=self._deadline_seconds,
            connect_timeout=self._deadline_seconds,
        )

    def _drop(self, name: str) -> None:
        connection = self._connections.pop(name, None)
        if connection is not None:
            connection.abort()

    def _silence(self, node: Node, reason: Reason, detail: str) -> Silence:
        return Silence(subject=node.name, seen_at=self._now(), seen_from=self._seen_from, reason=reason, detail=detail)


def _text(said: object) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said or "")
