"""The network as its own nodes tell it: links, interfaces, BGP, OSPF, WireGuard, clocks; and what explains what.

Every metric carries names of the declaration; what a node did not tell is absent, and that it did not is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from exporters.attribution import (
    FAMILIES,
    Attribution,
    is_backbone,
    is_with,
    link_states,
    link_under,
    sees_adjacency,
    sees_link,
    sees_session,
    session_name,
)
from exporters.rounds import Reading, round_metrics
from inventories.model import Link, Nation, Node
from policies.observed import NodeObservation, Silence

ROUND = "network"
HANDSHAKE_LIMIT_SECONDS = 180  # WireGuard's REJECT_AFTER_TIME: an older key carries nothing
MOST_COMMUNES_NAMED = 20  # a label is read by people; the number is in cgc_link_communes


@dataclass(frozen=True, kw_only=True)
class NetworkRound:
    """One round: what each node said, and which of the silent ones did not answer to ICMP either."""

    nodes: Mapping[str, NodeObservation | Silence]
    dead: frozenset[str]


class NetworkReader:
    """Reads the whole network, round after round.

    `observe_all` asks nodes over the management network; `answers_ping` says whether a node's loopback answers.
    """

    def __init__(
        self,
        nation: Nation,
        *,
        observe_all: Callable[[Iterable[Node]], Awaitable[Mapping[str, NodeObservation | Silence]]],
        answers_ping: Callable[[Node], Awaitable[bool]],
    ) -> None:
        self._nation = nation
        self._observe_all = observe_all
        self._answers_ping = answers_ping
        self._known_broken: frozenset[str] = frozenset()

    async def read(self) -> NetworkRound:
        """Ask every node; ping those that do not tell anything, to tell the dead from the mute.

        The ends of a link that has broken since the last round are asked once more: one that lost its power while the
        round went on may have answered before, and would look like a live node with a cut fibre.
        """
        nodes = dict(await self._observe_all(self._nation.nodes))
        fresh = self._broken(nodes) - self._known_broken
        doubtful = sorted({end for name in fresh for end in self._nation.link_by_name[name].ends})
        if doubtful:
            nodes |= await self._observe_all(self._nation.node_by_name[name] for name in doubtful)
        self._known_broken = self._broken(nodes)
        silent = [node for node in self._nation.nodes if isinstance(nodes.get(node.name), Silence)]
        answers = await asyncio.gather(*(self._answers_ping(node) for node in silent))
        return NetworkRound(
            nodes=nodes,
            dead=frozenset(node.name for node, answered in zip(silent, answers, strict=True) if not answered),
        )

    def _broken(self, nodes: Mapping[str, NodeObservation | Silence]) -> frozenset[str]:
        return frozenset(name for name, works in link_states(self._nation, nodes).items() if not works)


def cause_of(link: Link) -> str:
    """Return what a failure of the link is grouped by: its physical route, whose fate all its links share."""
    return f"route/{link.route}"


class NetworkCollector(Collector):
    """Shows what the last round found of the network; shows nothing of it once that is too old."""

    def __init__(self, nation: Nation, *, vantage: str, source: Callable[[], Reading[NetworkRound]]) -> None:
        self._nation = nation
        self._vantage = vantage
        self._source = source

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the last round."""
        reading = self._source()
        yield from round_metrics(ROUND, reading)
        yield from self._links_declared()
        if reading.value is None:
            return
        yield from self._nodes(reading.value)
        yield from self._causes(reading.value)
        answered = [
            (node, observation)
            for node in self._nation.nodes
            if isinstance(observation := reading.value.nodes.get(node.name), NodeObservation)
        ]
        yield from self._interfaces(answered)
        yield from self._sessions(answered)
        yield from self._adjacencies(answered)
        yield from self._tunnels(answered)
        yield from self._clocks(answered)

    def _links_declared(self) -> Iterable[Metric]:
        info = GaugeMetricFamily(
            "cgc_link_info",
            "A declared link: what its failure is grouped by, and the communes whose traffic can pass it.",
            labels=["link", "plane", "route", "cause", "communes", "places"],
        )
        count = GaugeMetricFamily("cgc_link_communes", "How many communes' traffic can pass the link.", labels=["link"])
        for link in self._nation.links:
            named = link.communes[:MOST_COMMUNES_NAMED]
            places = ", ".join(self._nation.unit_by_code[code].name for code in named)
            more = len(link.communes) - len(named)
            tail = f" +{more}" if more else ""
            labels = [link.name, link.plane or "", link.route, cause_of(link), ",".join(named) + tail, places + tail]
            info.add_metric(labels, 1)
            count.add_metric([link.name], len(link.communes))
        yield info
        yield count

    def _nodes(self, found: NetworkRound) -> Iterable[Metric]:
        up = GaugeMetricFamily("cgc_node_up", "Whether the node told what it sees.", labels=["node", "site"])
        silence = GaugeMetricFamily(
            "cgc_node_silence", "1 for a node that told nothing, with why.", labels=["node", "site", "reason"]
        )
        for node in self._nation.nodes:
            told = found.nodes.get(node.name)
            up.add_metric([node.name, node.site.code], float(isinstance(told, NodeObservation)))
            if isinstance(told, Silence):
                silence.add_metric([node.name, node.site.code, told.reason], 1)
        yield up
        yield silence

    def _causes(self, found: NetworkRound) -> Iterable[Metric]:
        attribution = Attribution.of(self._nation, vantage=self._vantage, nodes=found.nodes, dead=found.dead)
        yield from self._broken_links(attribution)
        yield from self._lost_nodes(attribution)
        yield from _lost_sessions(attribution)

    def _broken_links(self, attribution: Attribution) -> Iterable[Metric]:
        labels = ["link", "plane"]
        up = GaugeMetricFamily(
            "cgc_link_up", "Whether the ends that told see the link up; absent if neither did.", labels=labels
        )
        explained = GaugeMetricFamily(
            "cgc_link_explained", "Whether a broken link is accounted for by a dead node.", labels=["link"]
        )
        for name, works in attribution.links.items():
            up.add_metric([name, self._nation.link_by_name[name].plane or ""], float(works))
            if not works:
                explained.add_metric([name], float(attribution.is_link_explained(name)))
        yield from (up, explained)

    def _lost_nodes(self, attribution: Attribution) -> Iterable[Metric]:
        labels = ["node", "site"]
        dead = GaugeMetricFamily(
            "cgc_node_dead", "Whether the node neither told anything nor answered to ICMP.", labels=labels
        )
        routing = GaugeMetricFamily(
            "cgc_routing_up", "Whether the node has any of the several BGP sessions it could have.", labels=labels
        )
        isolated = GaugeMetricFamily(
            "cgc_node_isolated",
            "Whether what is known to be broken leaves no way to the live node from the vantage.",
            labels=[*labels, "family", "vantage"],
        )
        without_way = {family: attribution.isolated(family) for family in FAMILIES}
        for node in self._nation.nodes:
            values = [node.name, node.site.code]
            dead.add_metric(values, float(node.name in attribution.dead))
            routing.add_metric(values, float(node.name not in attribution.without_routing))
            for family, nodes in without_way.items():
                isolated.add_metric([*values, family, self._vantage], float(node.name in nodes))
        yield from (dead, routing, isolated)

    def _interfaces(self, answered: Iterable[tuple[Node, NodeObservation]]) -> Iterable[Metric]:
        labels = ["node", "site", "link"]
        up = GaugeMetricFamily("cgc_interface_up", "Whether this end of the link is up and has carrier.", labels=labels)
        received = CounterMetricFamily("cgc_interface_received_bytes", "Bytes received.", labels=labels)
        sent = CounterMetricFamily("cgc_interface_sent_bytes", "Bytes sent.", labels=labels)
        for node, observation in answered:
            states = {state.name: state for state in observation.interfaces}
            for interface in node.interfaces:
                values = [node.name, node.site.code, interface.link]
                up.add_metric(values, float(sees_link(observation, interface.name)))
                state = states.get(interface.name)
                if state is not None:
                    received.add_metric(values, state.received_bytes)
                    sent.add_metric(values, state.sent_bytes)
        yield from (up, received, sent)

    def _sessions(self, answered: Iterable[tuple[Node, NodeObservation]]) -> Iterable[Metric]:
        labels = ["node", "site", "peer", "family", "session"]
        up = GaugeMetricFamily("cgc_bgp_session_up", "Whether the declared session is Established.", labels=labels)
        age = GaugeMetricFamily("cgc_bgp_session_uptime_seconds", "For how long it has been up.", labels=labels)
        prefixes = GaugeMetricFamily("cgc_bgp_prefixes_received", "Prefixes received from the peer.", labels=labels)
        for node, observation in answered:
            for session in node.sessions:
                for family in FAMILIES:
                    name = session_name(node.name, session.peer)
                    values = [node.name, node.site.code, session.peer, family, name]
                    is_up = sees_session(observation, session, family)
                    up.add_metric(values, float(is_up))
                    for found in observation.bgp:
                        if is_up and found.family == family and is_with(found.peer, session):
                            age.add_metric(values, found.uptime_seconds)
                            prefixes.add_metric(values, found.prefixes_received)
                            break
        yield from (up, age, prefixes)

    def _adjacencies(self, answered: Iterable[tuple[Node, NodeObservation]]) -> Iterable[Metric]:
        up = GaugeMetricFamily(
            "cgc_ospf_neighbour_up",
            "Whether the adjacency over the declared backbone link is Full.",
            labels=["node", "site", "peer", "family", "link"],
        )
        for node, observation in answered:
            for interface in node.interfaces:
                if not is_backbone(self._nation, self._nation.link_by_name[interface.link]):
                    continue
                for family in FAMILIES:
                    values = [node.name, node.site.code, interface.peer, family, interface.link]
                    up.add_metric(values, float(sees_adjacency(observation, interface.name, family)))
        yield up

    def _tunnels(self, answered: Iterable[tuple[Node, NodeObservation]]) -> Iterable[Metric]:
        labels = ["node", "site", "peer", "link", "session"]
        up = GaugeMetricFamily("cgc_tunnel_up", "Whether the last handshake is young enough to carry.", labels=labels)
        age = GaugeMetricFamily(
            "cgc_tunnel_handshake_age_seconds",
            "Time since the last handshake; absent if there was none.",
            labels=labels,
        )
        for node, observation in answered:
            for tunnel in node.tunnels:
                link = link_under(node, tunnel.name) or ""
                values = [node.name, node.site.code, tunnel.peer, link, session_name(node.name, tunnel.peer)]
                handshakes = [
                    state.handshake_at
                    for state in observation.tunnels
                    if state.interface == tunnel.name and state.handshake_at is not None
                ]
                seconds = (observation.seen_at - max(handshakes)).total_seconds() if handshakes else None
                up.add_metric(values, float(seconds is not None and seconds <= HANDSHAKE_LIMIT_SECONDS))
                if seconds is not None:
                    age.add_metric(values, max(seconds, 0))
        yield from (up, age)

    def _clocks(self, answered: Iterable[tuple[Node, NodeObservation]]) -> Iterable[Metric]:
        labels = ["node", "site"]
        synchronised = GaugeMetricFamily(
            "cgc_clock_synchronised", "Whether the time daemon follows a source.", labels=labels
        )
        offset = GaugeMetricFamily("cgc_clock_offset_seconds", "How far the clock is off.", labels=labels)
        stratum = GaugeMetricFamily("cgc_clock_stratum", "How many steps the clock is from a reference.", labels=labels)
        for node, observation in answered:
            if observation.clock is None:
                continue
            values = [node.name, node.site.code]
            synchronised.add_metric(values, float(observation.clock.is_synchronised))
            offset.add_metric(values, observation.clock.offset_seconds)
            stratum.add_metric(values, observation.clock.stratum)
        yield from (synchronised, offset, stratum)


def _lost_sessions(attribution: Attribution) -> Iterable[Metric]:
    sessions = GaugeMetricFamily(
        "cgc_bgp_session_explained",
        "Whether something else that is broken accounts for a session that is down.",
        labels=["session", "family"],
    )
    for (name, family), works in attribution.sessions.items():
        if not works:
            sessions.add_metric([name, family], float(attribution.is_session_explained(name, family)))
    yield sessions
    adjacencies = GaugeMetricFamily(
        "cgc_ospf_neighbour_explained",
        "Whether something else that is broken accounts for an adjacency that is down.",
        labels=["link", "family"],
    )
    for (name, family), works in attribution.adjacencies.items():
        if not works:
            adjacencies.add_metric([name, family], float(attribution.is_adjacency_explained(name)))
    yield adjacencies
