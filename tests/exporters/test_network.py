"""What the network collector shows, and what it does not hide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from exporters.network import NetworkCollector, NetworkReader, NetworkRound
from exporters.rounds import Reading
from inventories.model import Nation, Node
from policies.observed import NodeObservation, Silence
from tests.exporters.world import VANTAGE, World


def registry_of(nation: Nation, reading: Reading[NetworkRound]) -> CollectorRegistry:
    """Return a registry that shows one reading."""
    registry = CollectorRegistry()
    registry.register(NetworkCollector(nation, vantage=VANTAGE, source=lambda: reading))
    return registry


def names_in(registry: CollectorRegistry) -> set[str]:
    """Return the names of the samples there are."""
    return {sample.name for metric in registry.collect() for sample in metric.samples}


def test_a_silent_router_is_reported_not_hidden(nation: Nation) -> None:
    """When a node does not answer, cgc_node_up is 0 with the reason, and its own sessions are absent."""
    registry = registry_of(nation, World(nation=nation, mute=frozenset({"core-a-hn"})).network_reading())
    value = registry.get_sample_value
    assert value("cgc_node_up", {"node": "core-a-hn", "site": "hn"}) == 0
    assert value("cgc_node_silence", {"node": "core-a-hn", "site": "hn", "reason": "unreachable"}) == 1
    assert value("cgc_node_dead", {"node": "core-a-hn", "site": "hn"}) == 0
    nodes = {
        sample.labels["node"]
        for metric in registry.collect()
        if metric.name == "cgc_bgp_session_up"
        for sample in metric.samples
    }
    assert "core-a-hn" not in nodes
    assert len(nodes) == len(nation.nodes) - 1


def test_a_link_is_down_when_one_end_says_so(nation: Nation) -> None:
    """Both ends are combined: one end that lost its carrier is enough, and a silent end counts neither way."""
    link = "province-19--core-a-hn"
    labels = {"link": link, "plane": "a"}
    cut = World(nation=nation, cut=frozenset({link}))
    for mute in (frozenset[str](), frozenset({"core-a-hn"}), frozenset({"province-19"})):
        registry = registry_of(nation, replace(cut, mute=mute).network_reading())
        assert registry.get_sample_value("cgc_link_up", labels) == 0
    both = registry_of(nation, replace(cut, mute=frozenset({"core-a-hn", "province-19"})).network_reading())
    assert both.get_sample_value("cgc_link_up", labels) is None


def test_an_interface_closed_by_hand_is_a_link_that_is_down(nation: Nation) -> None:
    """An interface that is administratively down breaks its link, whatever the carrier says."""
    reading = World(nation=nation).network_reading()
    assert reading.value is not None
    seen = reading.value.nodes["province-19"]
    assert isinstance(seen, NodeObservation)
    closed = tuple(replace(one, is_up=one.name != "core-a-hn") for one in seen.interfaces)
    nodes = {**reading.value.nodes, "province-19": replace(seen, interfaces=closed)}
    registry = registry_of(nation, replace(reading, value=replace(reading.value, nodes=nodes)))
    assert registry.get_sample_value("cgc_link_up", {"link": "province-19--core-a-hn", "plane": "a"}) == 0
    assert registry.get_sample_value("cgc_link_up", {"link": "province-19--core-b-hn", "plane": "b"}) == 1


def test_a_link_names_the_communes_it_concerns(nation: Nation) -> None:
    """Every link carries its route as cause, and its communes by code, name and number, even when nothing was read."""
    never: Reading[NetworkRound] = Reading(value=None, age_seconds=None, limit_seconds=40)
    registry = registry_of(nation, never)
    labels = {
        "link": "province-19--core-a-hn",
        "plane": "a",
        "route": "province-19/a",
        "cause": "route/province-19/a",
        "communes": "05440,05446",
        "places": "Phường Hoàng Văn Thụ, Phường Quang Trung",
    }
    assert registry.get_sample_value("cgc_link_info", labels) == 1
    assert registry.get_sample_value("cgc_link_communes", {"link": "province-19--core-a-hn"}) == 2


def test_what_is_too_old_is_absent_and_said_to_be(nation: Nation) -> None:
    """A stale round shows its age and nothing else: absent beats stale."""
    reading = World(nation=nation).network_reading()
    stale: Reading[NetworkRound] = replace(reading, value=None, age_seconds=41.0)
    registry = registry_of(nation, stale)
    assert registry.get_sample_value("cgc_round_fresh", {"round": "network"}) == 0
    assert registry.get_sample_value("cgc_round_age_seconds", {"round": "network"}) == 41
    assert {name for name in names_in(registry) if not name.startswith(("cgc_round", "cgc_link_info"))} == {
        "cgc_link_communes"
    }


def test_sessions_adjacencies_tunnels_and_clocks_are_those_declared(nation: Nation) -> None:
    """One sample for each declared session and family, adjacency and family, tunnel and clock."""
    registry = registry_of(nation, World(nation=nation).network_reading())
    number = {metric.name: len(metric.samples) for metric in registry.collect()}
    assert number["cgc_bgp_session_up"] == 2 * sum(len(node.sessions) for node in nation.nodes)
    assert number["cgc_ospf_neighbour_up"] == 2 * 2 * 2  # two backbone links, two ends, two families
    assert number["cgc_tunnel_up"] == sum(len(node.tunnels) for node in nation.nodes)
    assert number["cgc_clock_synchronised"] == len(nation.nodes)
    assert number["cgc_interface_up"] == 2 * len(nation.links)


def test_a_tunnel_without_a_young_handshake_is_down(nation: Nation) -> None:
    """A tunnel whose last handshake is older than its keys may live is down; one that never had one has no age."""
    world = World(nation=nation, stopped_tunnels=frozenset({"commune-05440"}))
    reading = world.network_reading()
    labels = {
        "node": "commune-05440",
        "site": "05440",
        "peer": "district-164",
        "link": "commune-05440--district-164",
        "session": "commune-05440--district-164",
    }
    registry = registry_of(nation, reading)
    assert registry.get_sample_value("cgc_tunnel_up", labels) == 0
    assert registry.get_sample_value("cgc_tunnel_handshake_age_seconds", labels) == 3600
    assert reading.value is not None
    seen = reading.value.nodes["commune-05440"]
    assert isinstance(seen, NodeObservation)
    never = {**reading.value.nodes, "commune-05440": replace(seen, tunnels=())}
    registry = registry_of(nation, replace(reading, value=replace(reading.value, nodes=never)))
    assert registry.get_sample_value("cgc_tunnel_up", labels) == 0
    assert registry.get_sample_value("cgc_tunnel_handshake_age_seconds", labels) is None


def reader_of(worlds: list[World], pinged: list[str]) -> NetworkReader:
    """Return a reader over worlds that follow each other: each time nodes are asked, the next one is there."""
    present = iter(worlds)
    now = [worlds[0]]

    async def observe_all(nodes: Iterable[Node]) -> Mapping[str, NodeObservation | Silence]:
        now[0] = next(present)
        return {node.name: now[0].told(node) for node in nodes}

    async def answers_ping(node: Node) -> bool:
        pinged.append(node.name)
        return now[0].reaches(node.name, "ipv4")

    return NetworkReader(worlds[0].nation, observe_all=observe_all, answers_ping=answers_ping)


def test_only_silent_nodes_are_pinged_and_only_those_that_do_not_answer_are_dead(nation: Nation) -> None:
    """A node is dead when it neither tells anything nor answers to ICMP; mute alone is not dead."""
    world = World(nation=nation, dead=frozenset({"commune-31120"}), mute=frozenset({"gateway-hn"}))
    pinged: list[str] = []
    found = asyncio.run(reader_of([world], pinged).read())
    assert found.dead == {"commune-31120"}
    assert sorted(pinged) == ["commune-31120", "gateway-hn"]


def test_a_node_that_dies_during_a_round_is_not_taken_for_a_cut(nation: Nation) -> None:
    """The ends of a freshly broken link are asked once more, and the one that has died meanwhile is found dead."""
    link = "commune-31120--district-916"
    dying = World(nation=nation, cut=frozenset({link}))
    dead = World(nation=nation, cut=frozenset({link}), dead=frozenset({"commune-31120"}))
    found = asyncio.run(reader_of([dying, dead], []).read())
    assert found.dead == {"commune-31120"}
    registry = registry_of(nation, Reading(value=found, age_seconds=1, limit_seconds=60))
    assert registry.get_sample_value("cgc_link_explained", {"link": link}) == 1


def test_a_link_known_to_be_broken_costs_no_second_question(nation: Nation) -> None:
    """Only the first round that sees a cut asks twice."""
    world = World(nation=nation, cut=frozenset({"province-19--core-a-hn"}))
    asked = [world] * 3

    async def again_and_again() -> None:
        reader = reader_of(asked, [])
        await reader.read()
        await reader.read()
        with pytest.raises(RuntimeError, match="StopIteration"):  # all three were needed: two, then one
            await reader.read()

    asyncio.run(again_and_again())
