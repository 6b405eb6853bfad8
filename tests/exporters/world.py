"""A nation that behaves: what its nodes would tell and who would answer, given what is broken.

It knows the physics (a session needs its link, a packet needs a chain of sessions) and nothing of how causes are found,
so that what the exporters conclude can be compared with what was really broken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from exporters.network import NetworkRound
from exporters.probing import Outcome, Phase, Probe, Target, targets_of
from exporters.rounds import Reading
from inventories.model import Nation, Node, Role, Session, SessionKind
from policies.observed import (
    BgpNeighbour,
    ClockState,
    InterfaceState,
    NodeObservation,
    OspfNeighbour,
    Reason,
    Silence,
    TunnelState,
)

AT = datetime(2026, 11, 24, 4, 0, tzinfo=UTC)
VANTAGE = "noc-hn-1"
FAMILIES = ("ipv4", "ipv6")


@dataclass(frozen=True, kw_only=True)
class World:
    """What is broken: cut links, nodes without power, mute ones (no SSH), ones whose routing or tunnels are stopped.

    `sessions` are single sessions (two node names and a family) that are closed, `stopped_ospf` nodes without OSPF,
    `lost_platforms` (platform, cluster) that do not answer.
    """

    nation: Nation
    cut: frozenset[str] = frozenset()
    dead: frozenset[str] = frozenset()
    mute: frozenset[str] = frozenset()
    stopped_routing: frozenset[str] = frozenset()
    stopped_ospf: frozenset[str] = frozenset()
    stopped_tunnels: frozenset[str] = frozenset()
    closed_sessions: frozenset[tuple[str, str, str]] = frozenset()
    lost_platforms: frozenset[tuple[str, str]] = frozenset()
    unsynchronised: frozenset[str] = frozenset()

    def link_of(self, one: str, other: str) -> str:
        """Return the name of the link between two nodes."""
        return next(link.name for link in self.nation.links if set(link.ends) == {one, other})

    def link_works(self, one: str, other: str) -> bool:
        """Whether packets pass the link between two nodes."""
        return self.link_of(one, other) not in self.cut and not {one, other} & self.dead

    def adjacency_works(self, one: str, other: str) -> bool:
        """Whether two core routers are OSPF neighbours."""
        stopped = self.stopped_ospf | self.stopped_routing
        return self.link_works(one, other) and not {one, other} & stopped

    def session_works(self, node: Node, session: Session, family: str) -> bool:
        """Whether the BGP session is Established in the family."""
        ends = {node.name, session.peer}
        if ends & (self.dead | self.stopped_routing):
            return False
        if any(set(closed[:2]) == ends and closed[2] == family for closed in self.closed_sessions):
            return False
        if session.kind is SessionKind.INTERNAL:
            return session.peer in self._plane_mates(node)
        if session.interface.startswith("wg-") and ends & self.stopped_tunnels:
            return False
        return self.link_works(node.name, session.peer)

    def _plane_mates(self, node: Node) -> set[str]:
        reached, waiting = {node.name}, [node.name]
        while waiting:
            here = self.nation.node_by_name[waiting.pop()]
            for interface in here.interfaces:
                mate = self.nation.node_by_name[interface.peer]
                is_mate = mate.role is Role.CORE and mate.plane == here.plane
                if is_mate and mate.name not in reached and self.adjacency_works(here.name, mate.name):
                    reached.add(mate.name)
                    waiting.append(mate.name)
        return reached

    def reaches(self, target: str, family: str) -> bool:
        """Whether packets find their way from the vantage: up, along a plane, down, over sessions that work."""
        if target in self.dead:
            return False
        seen: set[tuple[str, int]] = set()
        waiting = [(VANTAGE, 0)]
        while waiting:
            name, stage = waiting.pop()
            if (name, stage) in seen:
                continue
            seen.add((name, stage))
            if name == target:
                return True
            node = self.nation.node_by_name[name]
            for session in node.sessions:
                if not self.session_works(node, session, family):
                    continue
                step = 0 if session.is_upward else 1 if session.kind is SessionKind.INTERNAL else 2
                if step >= stage:
                    waiting.append((session.peer, step))
        return False

    def told(self, node: Node) -> NodeObservation | Silence:
        """Return what the observer gets from the node over the management network."""
        if node.name in self.dead | self.mute:
            return Silence(
                subject=node.name, seen_at=AT, seen_from=VANTAGE, reason=Reason.UNREACHABLE, detail="no route to host"
            )
        return NodeObservation(
            node=node.name,
            seen_at=AT,
            seen_from=VANTAGE,
            fingerprint="f",
            state_hash="s",
            differences=(),
            interfaces=tuple(
                InterfaceState(
                    name=interface.name,
                    is_up=True,
                    # A dead neighbour's carrier may stay: a bridge or a switch is in between.
                    has_carrier=interface.link not in self.cut,
                    addresses=(str(interface.ipv4), str(interface.ipv6)),
                    received_bytes=1000,
                    sent_bytes=2000,
                )
                for interface in node.interfaces
            ),
            bgp=tuple(self._bgp(node)),
            ospf=tuple(self._ospf(node)),
            tunnels=tuple(
                TunnelState(
                    interface=tunnel.name,
                    public_key="k",
                    handshake_at=AT - timedelta(seconds=30)
                    if self.link_works(node.name, tunnel.peer) and not {node.name, tunnel.peer} & self.stopped_tunnels
                    else AT - timedelta(hours=1),
                    received_bytes=1,
                    sent_bytes=1,
                )
                for tunnel in node.tunnels
            ),
            clock=ClockState(
                is_synchronised=node.name not in self.unsynchronised, offset_seconds=0.001, stratum=3, source="10.0.0.1"
            ),
        )

    def _bgp(self, node: Node) -> Iterable[BgpNeighbour]:
        if node.name in self.stopped_routing:
            return
        for session in node.sessions:
            for family, address in (("ipv4", session.peer_addresses.ipv4), ("ipv6", session.peer_addresses.ipv6)):
                works = self.session_works(node, session, family)
                yield BgpNeighbour(
                    peer=str(address),
                    family=family,
                    state="Established" if works else "Active",
                    peer_as=session.peer_as,
                    uptime_seconds=60 if works else 0,
                    prefixes_received=5 if works else 0,
                )

    def _ospf(self, node: Node) -> Iterable[OspfNeighbour]:
        for interface in node.interfaces:
            peer = self.nation.node_by_name[interface.peer]
            if node.role is Role.CORE and peer.role is Role.CORE and self.adjacency_works(node.name, peer.name):
                for version in (2, 3):
                    yield OspfNeighbour(
                        interface=interface.name, version=version, router_id=str(peer.loopback.ipv4), state="Full"
                    )

    def network_reading(self) -> Reading[NetworkRound]:
        """Return what a fresh round over the network finds."""
        nodes: Mapping[str, NodeObservation | Silence] = {node.name: self.told(node) for node in self.nation.nodes}
        dead = frozenset(
            node.name
            for node in self.nation.nodes
            if isinstance(nodes[node.name], Silence) and not any(self.reaches(node.name, family) for family in FAMILIES)
        )
        return fresh(NetworkRound(nodes=nodes, dead=dead))

    def outcomes(self) -> tuple[Outcome, ...]:
        """Return what the prober at the vantage finds."""
        vantage = self.nation.node_by_name[VANTAGE]
        return tuple(outcome(target, self._reason(target)) for target in targets_of(self.nation, vantage=vantage))

    def _reason(self, target: Target) -> str:
        if not self.reaches(target.node, target.family):
            return "timeout"
        if target.probe is Probe.HTTP and (target.platform, target.cluster) in self.lost_platforms:
            return "refused"
        return ""


def fresh(value: NetworkRound) -> Reading[NetworkRound]:
    """Return a reading of a round that has just ended."""
    return Reading(value=value, age_seconds=1.0, limit_seconds=40.0, duration_seconds=0.5, rounds=1)


def outcome(target: Target, reason: str = "") -> Outcome:
    """Return an outcome of a probe, successful without a reason."""
    phases = {} if reason else {Phase.CONNECT: 0.001, Phase.TOTAL: 0.002}
    expires = AT + timedelta(days=300) if target.probe is Probe.TLS and not reason else None
    return Outcome(
        target=target, seen_at=AT, began_at=0.0, reason=reason, phases=phases, certificate_expires_at=expires
    )
