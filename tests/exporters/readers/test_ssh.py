"""The SSH reader against a real SSH server on this machine: who may answer, and what becomes of those who do not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import asyncssh
import msgspec
import pytest

from exporters.errors import CredentialsError
from exporters.readers.ssh import SshCredentials, SshReader, decode_observation
from inventories.model import Nation, Node
from policies.observed import NodeObservation, Reason, Silence

AT = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
NAME = "core-a-hn"


def answer_of(node: str = NAME, **more: Any) -> dict[str, Any]:
    """Return what a node agent prints."""
    return {
        "node": node,
        "fingerprint": "f",
        "state_hash": "s",
        "differences": [],
        "interfaces": [
            {
                "name": "core-a-hcm",
                "is_up": True,
                "has_carrier": True,
                "addresses": ["10.88.20.81/31"],
                "received_bytes": 1,
                "sent_bytes": 2,
            }
        ],
        "tunnels": [
            {
                "interface": "wg-x",
                "public_key": "k",
                "handshake_at": "2026-11-24T03:59:30+00:00",
                "received_bytes": 1,
                "sent_bytes": 1,
            }
        ],
        "clock": {"is_synchronised": True, "offset_seconds": 0.1, "stratum": 3, "source": "x"},
        **more,
    }


@dataclass(kw_only=True)
class Machine:
    """An SSH server with a host certificate; counts connections and keeps the commands it was asked for."""

    directory: Path
    answer: Callable[[], bytes]
    principals: tuple[str, ...] = (NAME,)
    shows_certificate: bool = True
    is_signed_by_stranger: bool = False
    exit_status: int = 0
    delay_seconds: float = 0.0
    commands: list[str | None] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)

    async def answer_process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run the forced command."""
        self.commands.append(process.command)
        await asyncio.sleep(self.delay_seconds)
        process.stdout.write(self.answer())
        if self.exit_status:
            process.stderr.write(b"Traceback: no such thing\n")
        process.exit(self.exit_status)


class _Server(asyncssh.SSHServer):
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._machine.connections.append(conn)


@asynccontextmanager
async def running(machine: Machine) -> AsyncIterator[SshCredentials]:
    """Run the machine's server; gives the credentials that its operators hold."""
    host_authority, user_authority, stranger, host, user = (
        asyncssh.generate_private_key("ssh-ed25519") for _ in range(5)
    )
    signer = stranger if machine.is_signed_by_stranger else host_authority
    certificate = signer.generate_host_certificate(host, "host", principals=list(machine.principals))
    known_hosts = machine.directory / "known_hosts"
    known_hosts.write_text(f"@cert-authority * {host_authority.export_public_key().decode()}")
    private_key = machine.directory / "observer"
    user.write_private_key(str(private_key))
    shown = machine.directory / "observer-cert.pub"
    user_authority.generate_user_certificate(user, "cgc-observer", principals=["root"]).write_certificate(str(shown))
    admitted = asyncssh.import_authorized_keys(f"cert-authority {user_authority.export_public_key().decode()}")
    server = await asyncssh.create_server(
        lambda: _Server(machine),
        "127.0.0.1",
        0,
        server_host_keys=[(host, certificate)] if machine.shows_certificate else [host],
        authorized_client_keys=admitted,
        process_factory=machine.answer_process,
        encoding=None,
    )
    try:
        yield SshCredentials(
            private_key=private_key, certificate=shown, known_hosts=known_hosts, port=server.sockets[0].getsockname()[1]
        )
    finally:
        server.close()
        for connection in machine.connections:
            connection.abort()


def here(_node: Node) -> Any:
    """Return where the test's server listens."""
    return ip_address("127.0.0.1")


def observed(nation: Nation, machine: Machine, *, deadline_seconds: float = 5.0) -> NodeObservation | Silence:
    """Observe the machine once."""

    async def ask() -> NodeObservation | Silence:
        async with running(machine) as credentials:
            reader = SshReader(
                credentials, seen_from="noc", deadline_seconds=deadline_seconds, address=here, now=lambda: AT
            )
            try:
                return await reader.observe(nation.node_by_name[NAME])
            finally:
                await reader.close()

    return asyncio.run(ask())


def silence_of(nation: Nation, machine: Machine, *, deadline_seconds: float = 5.0) -> Silence:
    """Observe a machine of which nothing is learnt."""
    found = observed(nation, machine, deadline_seconds=deadline_seconds)
    assert isinstance(found, Silence)
    assert (found.subject, found.seen_at, found.seen_from) == (NAME, AT, "noc")
    return found


def saying(**more: Any) -> Callable[[], bytes]:
    """Return an agent that prints this answer."""
    return lambda: json.dumps(answer_of(**more)).encode()


def test_a_node_is_observed_with_when_and_from_where(nation: Nation, tmp_path: Path) -> None:
    """What the agent prints becomes a typed observation, with the reader's time and place added."""
    found = observed(nation, Machine(directory=tmp_path, answer=saying()))
    assert isinstance(found, NodeObservation)
    assert (found.node, found.seen_at, found.seen_from) == (NAME, AT, "noc")
    assert found.interfaces[0].has_carrier
    assert found.tunnels[0].handshake_at == datetime(2026, 11, 24, 3, 59, 30, tzinfo=UTC)
    assert found.clock is not None
    assert found.clock.stratum == 3


def test_one_connection_serves_many_rounds(nation: Nation, tmp_path: Path) -> None:
    """The connection lasts; when it breaks, one round may be silent and the next one has a new connection."""
    machine = Machine(directory=tmp_path, answer=saying())

    async def rounds() -> None:
        async with running(machine) as credentials:
            reader = SshReader(credentials, seen_from="noc", address=here)
            node = nation.node_by_name[NAME]
            for _ in range(3):
                assert isinstance(await reader.observe(node), NodeObservation)
            assert len(machine.connections) == 1
            machine.connections[0].abort()
            answers = [await reader.observe(node) for _ in range(2)]
            assert isinstance(answers[-1], NodeObservation)
            assert len(machine.connections) == 2
            await reader.close()

    asyncio.run(rounds())
    assert all(command and command.endswith("node_agent.py observe") for command in machine.commands)


@pytest.mark.parametrize(
    "imposture",
    [
        {"shows_certificate": False},
        {"is_signed_by_stranger": True},
        {"principals": ("core-b-hn",)},
    ],
    ids=["a bare host key", "a stranger's authority", "another node's certificate"],
)
def test_whoever_is_not_proven_to_be_the_node_is_asked_nothing(
    nation: Nation, tmp_path: Path, imposture: dict[str, Any]
) -> None:
    """A host without this node's certificate of our authority is a silence, and no command reaches it."""
    machine = replace(Machine(directory=tmp_path, answer=saying()), **imposture)
    assert silence_of(nation, machine).reason is Reason.UNREACHABLE
    assert machine.commands == []


def test_a_slow_node_is_given_up_at_the_deadline(nation: Nation, tmp_path: Path) -> None:
    """Connecting and answering share one deadline; what is over it did not finish."""
    machine = Machine(directory=tmp_path, answer=saying(), delay_seconds=10)
    assert silence_of(nation, machine, deadline_seconds=0.5).reason is Reason.DID_NOT_FINISH


def test_an_agent_that_fails_says_why(nation: Nation, tmp_path: Path) -> None:
    """A non-zero exit is a silence with the end of what the agent complained."""
    silence = silence_of(nation, Machine(directory=tmp_path, answer=saying(), exit_status=1))
    assert silence.reason is Reason.DID_NOT_FINISH
    assert "ended with 1: Traceback: no such thing" in silence.detail


@pytest.mark.parametrize(
    "answer",
    [b"", b"{}", b"[]", b"not json", b'{"node": 1}', json.dumps(answer_of(node="core-b-hn")).encode()],
    ids=["nothing", "an empty object", "a list", "text", "a wrong type", "another node's"],
)
def test_an_answer_that_is_no_observation_is_a_silence(nation: Nation, tmp_path: Path, answer: bytes) -> None:
    """Never an empty observation: what cannot be read is said not to be known."""
    silence = silence_of(nation, Machine(directory=tmp_path, answer=lambda: answer))
    assert silence.reason is Reason.DID_NOT_FINISH


def test_a_closed_port_is_unreachable(nation: Nation, tmp_path: Path) -> None:
    """Nobody listening is a silence with the operating system's reason."""

    async def ask() -> NodeObservation | Silence:
        async with running(Machine(directory=tmp_path, answer=saying())) as credentials:
            pass
        return await SshReader(credentials, seen_from="noc", address=here).observe(nation.node_by_name[NAME])

    found = asyncio.run(ask())
    assert isinstance(found, Silence)
    assert found.reason is Reason.UNREACHABLE


def test_every_node_asked_for_is_in_the_answer(nation: Nation, tmp_path: Path) -> None:
    """Nodes are asked side by side; one whose certificate does not fit is silent and the others are not."""
    machine = Machine(directory=tmp_path, answer=saying())

    async def ask() -> dict[str, NodeObservation | Silence]:
        async with running(machine) as credentials:
            reader = SshReader(credentials, seen_from="noc", address=here)
            found = await reader.observe_all([nation.node_by_name[NAME], nation.node_by_name["core-b-hn"]])
            await reader.close()
            return dict(found)

    found = asyncio.run(ask())
    assert isinstance(found[NAME], NodeObservation)
    assert isinstance(found["core-b-hn"], Silence)


def test_a_time_without_a_zone_is_refused() -> None:
    """A naive time could be hours off, so the whole answer is not believed."""
    naive = answer_of()
    naive["tunnels"][0]["handshake_at"] = "2026-11-24T03:59:30"
    with pytest.raises(msgspec.ValidationError, match="zone"):
        decode_observation(json.dumps(naive).encode(), node=NAME, seen_at=AT, seen_from="noc")


def test_missing_credentials_are_said_before_anything_is_asked(tmp_path: Path) -> None:
    """A reader without its files is CGC-401 and names the first that is missing."""
    credentials = SshCredentials(
        private_key=tmp_path / "observer", certificate=tmp_path / "c", known_hosts=tmp_path / "known_hosts"
    )
    with pytest.raises(CredentialsError) as refusal:
        SshReader(credentials, seen_from="noc")
    assert (refusal.value.code, refusal.value.where) == ("CGC-401", str(tmp_path / "observer"))
