"""What was seen of the nation: the same nouns as the model, each with when and from where it was seen.

`exporters/readers/` fills these in; controls compare them with the declaration. Whatever could not be seen is a
`Silence`, never an empty observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class Reason(StrEnum):
    """Why something could not be found out."""

    MISSING = "missing"
    DID_NOT_FINISH = "did not finish"
    STALE = "stale"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A subject that did not answer."""

    subject: str
    seen_at: datetime
    seen_from: str
    reason: Reason
    detail: str


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One way in which a node is not what its bundle says.

    `aspect` is content, mode, owner, missing, unit, nftables, frr or sysctl; `changed_by` are the key identifiers of
    the SSH certificates whose sessions were open at `changed_at` (several if it cannot be told apart, none if unknown).
    """

    path: str
    aspect: str
    expected: str
    found: str
    changed_at: datetime | None = None
    changed_by: tuple[str, ...] = ()
    diff: str = ""  # unified diff, for texts that are no secrets


@dataclass(frozen=True, kw_only=True)
class InterfaceState:
    """An interface as the kernel sees it."""

    name: str
    is_up: bool  # administratively
    has_carrier: bool
    addresses: tuple[str, ...]
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, kw_only=True)
class BgpNeighbour:
    """One BGP session in one address family (`ipv4` or `ipv6`)."""

    peer: str  # the neighbour's address
    family: str
    state: str  # RFC 4271's name, such as Established
    peer_as: int
    uptime_seconds: int
    prefixes_received: int


@dataclass(frozen=True, kw_only=True)
class OspfNeighbour:
    """One OSPF adjacency; `version` is 2 (IPv4) or 3 (IPv6)."""

    interface: str
    version: int
    router_id: str
    state: str  # such as Full


@dataclass(frozen=True, kw_only=True)
class TunnelState:
    """One WireGuard peer of an interface; `handshake_at` is None where there never was one."""

    interface: str
    public_key: str
    handshake_at: datetime | None
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, kw_only=True)
class ClockState:
    """What the time daemon says."""

    is_synchronised: bool
    offset_seconds: float
    stratum: int
    source: str


@dataclass(frozen=True, kw_only=True)
class NodeObservation:
    """A node as it answered; `fingerprint` is of the bundle it holds, empty if none was ever applied."""

    node: str
    seen_at: datetime
    seen_from: str
    fingerprint: str
    state_hash: str  # over everything the toolkit converges: files, nftables, FRR, units
    differences: tuple[Difference, ...]
    interfaces: tuple[InterfaceState, ...] = ()
    bgp: tuple[BgpNeighbour, ...] = ()
    ospf: tuple[OspfNeighbour, ...] = ()
    tunnels: tuple[TunnelState, ...] = ()
    clock: ClockState | None = None
    log_retention_months: int | None = None


@dataclass(frozen=True, kw_only=True)
class ClusterObservation:
    """A cluster's objects as its API returned them; each is a whole Kubernetes object, apiVersion and kind set."""

    cluster: str
    seen_at: datetime
    seen_from: str
    objects: tuple[Mapping[str, Any], ...]
    changes: tuple[Mapping[str, Any], ...] = ()  # audit events of people's writes, newest last, where the API logs them


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything that was looked at in one round; a subject absent from both mappings was not looked at."""

    nodes: Mapping[str, NodeObservation | Silence] = field(default_factory=dict)
    clusters: Mapping[str, ClusterObservation | Silence] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the toolkit would make: each node's files (path → text) and each cluster's objects, by name.

    `fingerprints` are of the nodes' bundles, where the plan is the one that nodes get (real keys, real authority);
    `repository` are the toolkit's own files (path → text).
    """

    node_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    cluster_objects: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    repository: Mapping[str, str] = field(default_factory=dict)
