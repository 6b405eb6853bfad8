"""Ask every node, over one SSH handshake each, whether it is what its bundle says: all that an unchanged run needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import msgspec

from exporters.readers.ssh import SshCredentials, SshReader
from inventories.model import Node
from inventories.services import agent_command
from policies.observed import Silence
from scripts.access import Access

FINGERPRINT = agent_command("fingerprint")
DEADLINE_SECONDS = 20.0
SEEN_FROM = "operator"


class Answer(msgspec.Struct, frozen=True):
    """What a node says of itself: the bundle it holds (empty if none), whether it still keeps to it, and its state."""

    node: str
    fingerprint: str
    state_hash: str
    intact: bool


def sweep(nodes: Iterable[Node], access: Access) -> Mapping[str, Answer | Silence]:
    """Return every node's answer, or why it has none."""
    credentials = SshCredentials(
        private_key=access.ssh_key(), certificate=access.ssh_certificate(), known_hosts=access.known_hosts
    )

    async def ask() -> Mapping[str, Answer | Silence]:
        reader = SshReader(credentials, seen_from=SEEN_FROM, deadline_seconds=DEADLINE_SECONDS)
        try:
            return await reader.ask_all(nodes, FINGERPRINT, _decoded)
        finally:
            await reader.close()

    with access.network():
        return asyncio.run(ask())


def _decoded(answer: bytes, node: Node) -> Answer:
    decoded = msgspec.json.decode(answer, type=Answer)
    if decoded.node != node.name:
        raise msgspec.ValidationError(f"it calls itself {decoded.node!r}")
    return decoded
