"""Causes and consequences, over every single failure that the nation can have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from exporters.attribution import FAMILIES, Attribution, session_name
from inventories.model import Nation
from tests.exporters.world import VANTAGE, World


def attribution_of(world: World) -> Attribution:
    """Return what the exporter concludes of the world."""
    reading = world.network_reading()
    assert reading.value is not None
    return Attribution.of(world.nation, vantage=VANTAGE, nodes=reading.value.nodes, dead=reading.value.dead)


def unexplained(attribution: Attribution) -> set[str]:
    """Return what would page: one name for each thing that is broken and that nothing else accounts for."""
    found = {
        f"link/{name}"
        for name, works in attribution.links.items()
        if not works and not attribution.is_link_explained(name)
    }
    found |= {f"node/{name}" for name in attribution.dead | attribution.without_routing}
    found |= {
        f"adjacency/{name}"
        for (name, _), works in attribution.adjacencies.items()
        if not works and not attribution.is_adjacency_explained(name)
    }
    found |= {
        f"session/{name}"
        for (name, family), works in attribution.sessions.items()
        if not works and not attribution.is_session_explained(name, family)
    }
    return found


def test_a_nation_without_faults_has_no_causes_and_isolates_nobody(nation: Nation) -> None:
    """When everything works, nothing pages and every node is reached in both families."""
    attribution = attribution_of(World(nation=nation))
    assert unexplained(attribution) == set()
    assert [attribution.isolated(family) for family in FAMILIES] == [frozenset(), frozenset()]


def test_every_single_cut_has_exactly_one_cause(nation: Nation) -> None:
    """Whichever link is cut, the link itself is the only thing left unexplained."""
    for link in nation.links:
        attribution = attribution_of(World(nation=nation, cut=frozenset({link.name})))
        assert unexplained(attribution) == {f"link/{link.name}"}


def test_every_single_dead_node_has_exactly_one_cause(nation: Nation) -> None:
    """Whichever node loses power, the node itself is the only thing left unexplained."""
    for node in nation.nodes:
        if node.name != VANTAGE:
            attribution = attribution_of(World(nation=nation, dead=frozenset({node.name})))
            assert unexplained(attribution) == {f"node/{node.name}"}


def test_a_node_that_loses_power_with_its_links_carrier_is_still_the_only_cause(nation: Nation) -> None:
    """Where the neighbours lose carrier too, the broken links are the dead node's."""
    links = frozenset(interface.link for interface in nation.node_by_name["province-19"].interfaces)
    attribution = attribution_of(World(nation=nation, dead=frozenset({"province-19"}), cut=links))
    assert unexplained(attribution) == {"node/province-19"}


def test_every_single_routing_failure_has_exactly_one_cause(nation: Nation) -> None:
    """Whichever node's routing stops, one thing pages: the node, or its only session where it has just one."""
    for node in nation.nodes:
        attribution = attribution_of(World(nation=nation, stopped_routing=frozenset({node.name})))
        only = {f"session/{session_name(node.name, node.sessions[0].peer)}"}
        assert unexplained(attribution) == (only if len(node.sessions) == 1 else {f"node/{node.name}"})


def test_a_silent_ospf_is_named_by_its_adjacency(nation: Nation) -> None:
    """When OSPF stops though the link works, the adjacency is the cause and the internal session follows from it."""
    attribution = attribution_of(World(nation=nation, stopped_ospf=frozenset({"core-a-hn"})))
    assert unexplained(attribution) == {"adjacency/core-a-hcm--core-a-hn"}


def test_a_closed_session_is_named_in_one_family(nation: Nation) -> None:
    """A session that is down in one family over a link that works is a cause, and isolates nobody in the other."""
    closed = frozenset({("agc-tn-1", "province-19", "ipv6")})
    attribution = attribution_of(World(nation=nation, closed_sessions=closed))
    assert unexplained(attribution) == {"session/agc-tn-1--province-19"}
    assert attribution.isolated("ipv4") == frozenset()
    assert attribution.isolated("ipv6") == {"agc-tn-1"}


def test_a_mute_node_explains_nothing(nation: Nation) -> None:
    """A node that only does not tell (its sshd is stopped) is neither dead nor the cause of anything."""
    attribution = attribution_of(World(nation=nation, mute=frozenset({"core-a-hn"})))
    assert unexplained(attribution) == set()
    assert attribution.dead == frozenset()


def double_failures(nation: Nation) -> Iterator[tuple[World, set[str]]]:
    """Yield every pair of cuts, and every cut with every dead node, each with its independent causes."""
    links, nodes = nation.links, [node for node in nation.nodes if node.name != VANTAGE]
    for first, one in enumerate(links):
        for other in links[first + 1 :]:
            yield (
                World(nation=nation, cut=frozenset({one.name, other.name})),
                {f"link/{one.name}", f"link/{other.name}"},
            )
        for node in nodes:
            # The cut of a dead node's link cannot be told from its death: the far end may have lost its carrier by it.
            causes = {f"node/{node.name}"} | ({f"link/{one.name}"} if node.name not in one.ends else set())
            yield World(nation=nation, cut=frozenset({one.name}), dead=frozenset({node.name})), causes


@pytest.mark.slow
def test_every_double_failure_has_exactly_its_causes(nation: Nation) -> None:
    """Two cuts, or a cut and a dead node: as many causes as there are independent failures, none missed."""
    for world, causes in double_failures(nation):
        assert unexplained(attribution_of(world)) == causes


def test_two_routing_failures_have_two_causes(nation: Nation) -> None:
    """Where both ways up of a host lose their routing, they are named and the host is not."""
    stopped = frozenset({"core-a-hn", "core-b-hn"})
    attribution = attribution_of(World(nation=nation, stopped_routing=stopped))
    assert unexplained(attribution) == {"node/core-a-hn", "node/core-b-hn"}


def test_who_is_isolated_is_who_cannot_be_reached(nation: Nation) -> None:
    """For every cut: a live node counts as isolated exactly when no packet finds its way to it."""
    for link in nation.links:
        world = World(nation=nation, cut=frozenset({link.name}))
        attribution = attribution_of(world)
        for family in FAMILIES:
            lost = {node.name for node in nation.nodes if not world.reaches(node.name, family)}
            assert attribution.isolated(family) == lost
