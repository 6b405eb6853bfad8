"""Tell causes from consequences: which links are cut, which nodes are dead, and what only follows from that.

Pure. One cut makes many things fail (sessions, adjacencies, probes, platforms); this says which of them the cut
explains, so that one page goes out for it and none for the rest. Causes are, in this order: a dead node; a broken link;
an OSPF adjacency that is down though its link works; a node all of whose BGP sessions are down; a BGP session that is
down though everything under it works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from inventories.model import Link, Nation, Node, Role, Session, SessionKind
from policies.observed import NodeObservation, Silence

FAMILIES = ("ipv4", "ipv6")
OSPF_VERSION = {"ipv4": 2, "ipv6": 3}
ESTABLISHED = "Established"  # RFC 4271, 8.2.2
FULL = "Full"  # RFC 2328, 10.1
LEAST_SESSIONS_OF_A_ROUTING_FAILURE = 2  # with one session, the session itself is the thing to name

Nodes = Mapping[str, NodeObservation | Silence]
PerFamily = tuple[str, str]
"""The name of a link or of a session, and an address family."""


def session_name(one: str, other: str) -> str:
    """Return what both ends call the BGP session between two nodes."""
    return "--".join(sorted((one, other)))


def is_with(peer: str, session: Session) -> bool:
    """Whether a neighbour's address is the declared peer's."""
    return peer in (str(session.peer_addresses.ipv4), str(session.peer_addresses.ipv6))


def is_backbone(nation: Nation, link: Link) -> bool:
    """Whether the link joins two core routers."""
    return all(nation.node_by_name[end].role is Role.CORE for end in link.ends)


def link_under(node: Node, interface: str) -> str | None:
    """Return the name of the link that an interface or a tunnel of the node runs over, None for `lo`."""
    underlays = {tunnel.name: tunnel.underlay for tunnel in node.tunnels}
    wanted = underlays.get(interface, interface)
    return next((own.link for own in node.interfaces if own.name == wanted), None)


def sees_link(observation: NodeObservation, far: str) -> bool:
    """Whether a node sees the interface named after the far end, up and with carrier."""
    return any(state.name == far and state.is_up and state.has_carrier for state in observation.interfaces)


def sees_session(observation: NodeObservation, session: Session, family: str) -> bool:
    """Whether a node sees the session Established in the family."""
    return any(
        one.family == family and one.state == ESTABLISHED and is_with(one.peer, session) for one in observation.bgp
    )


def sees_adjacency(observation: NodeObservation, far: str, family: str) -> bool:
    """Whether a node sees the OSPF adjacency over the interface named after the far end Full in the family."""
    return any(
        one.interface == far and one.version == OSPF_VERSION[family] and one.state.startswith(FULL)
        for one in observation.ospf
    )


def link_states(nation: Nation, nodes: Nodes) -> dict[str, bool]:
    """Return for each link whether it works, as its ends that answered see it: up and with carrier at all of them.

    A link of which neither end answered is absent; likewise in the next two functions.
    """
    states: dict[str, bool] = {}
    for link in nation.links:
        told = [sees_link(observation, far) for observation, far in _ends_told(link, nodes)]
        if told:
            states[link.name] = all(told)
    return states


def session_states(nation: Nation, nodes: Nodes) -> dict[PerFamily, bool]:
    """Return for each session and family whether all its ends that answered see it Established."""
    states: dict[PerFamily, bool] = {}
    for node in nation.nodes:
        observation = nodes.get(node.name)
        if not isinstance(observation, NodeObservation):
            continue
        for session in node.sessions:
            for family in FAMILIES:
                key = (session_name(node.name, session.peer), family)
                states[key] = states.get(key, True) and sees_session(observation, session, family)
    return states


def adjacency_states(nation: Nation, nodes: Nodes) -> dict[PerFamily, bool]:
    """Return for each backbone link and family whether all its ends that answered see the adjacency Full."""
    states: dict[PerFamily, bool] = {}
    for link in nation.links:
        if not is_backbone(nation, link):
            continue
        for family in FAMILIES:
            told = [sees_adjacency(observation, far, family) for observation, far in _ends_told(link, nodes)]
            if told:
                states[link.name, family] = all(told)
    return states


def _ends_told(link: Link, nodes: Nodes) -> Iterator[tuple[NodeObservation, str]]:
    """Yield each end that answered, with the name of its far end."""
    lower, upper = link.ends
    for near, far in ((lower, upper), (upper, lower)):
        observation = nodes.get(near)
        if isinstance(observation, NodeObservation):
            yield observation, far


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What follows from the states of a nation's links, adjacencies, sessions and nodes, seen from a vantage.

    What nobody told of (absent from the mappings) counts as working: only what is known to be broken explains.
    `dead` nodes neither tell anything nor answer to ICMP.
    """

    nation: Nation
    vantage: str
    links: Mapping[str, bool]
    sessions: Mapping[PerFamily, bool]
    adjacencies: Mapping[PerFamily, bool]
    dead: frozenset[str]

    @classmethod
    def of(cls, nation: Nation, *, vantage: str, nodes: Nodes, dead: frozenset[str]) -> Attribution:
        """Return the attribution of what the nodes told."""
        return cls(
            nation=nation,
            vantage=vantage,
            links=link_states(nation, nodes),
            sessions=session_states(nation, nodes),
            adjacencies=adjacency_states(nation, nodes),
            dead=dead,
        )

    def is_broken(self, link: str) -> bool:
        """Whether the link is known not to work."""
        return self.links.get(link) is False

    def is_link_explained(self, link: str) -> bool:
        """Whether a dead node accounts for the link's being broken."""
        return bool(self.dead.intersection(self.nation.link_by_name[link].ends))

    def is_adjacency_explained(self, link: str) -> bool:
        """Whether the link itself, a dead node, or a node without any routing accounts for a missing adjacency."""
        ends = self.nation.link_by_name[link].ends
        return self.is_broken(link) or not (self.dead | self.without_routing).isdisjoint(ends)

    def is_session_explained(self, session: str, family: str) -> bool:
        """Whether something under the session, a dead node, or a node without any routing accounts for its absence."""
        ends = set(session.split("--"))
        return (session, family) not in self._possible or not self.without_routing.isdisjoint(ends)

    @cached_property
    def _declared(self) -> dict[str, tuple[Node, Session]]:
        """Every session by its name, as one of its ends declares it (external: the lower end)."""
        found: dict[str, tuple[Node, Session]] = {}
        for node in self.nation.nodes:
            for session in node.sessions:
                if session.is_upward or session.kind is SessionKind.INTERNAL:
                    found[session_name(node.name, session.peer)] = (node, session)
        return found

    @cached_property
    def _possible(self) -> frozenset[PerFamily]:
        """The sessions, by family, that nothing under them prevents."""
        return frozenset(
            (name, family)
            for family in FAMILIES
            for along in [self._inside_planes(family)]
            for name, (node, session) in self._declared.items()
            if self._is_possible(node, session, along)
        )

    def _is_possible(self, node: Node, session: Session, along: Mapping[str, set[str]]) -> bool:
        if self.dead.intersection((node.name, session.peer)):
            return False
        if session.kind is SessionKind.INTERNAL:
            return session.peer in _closure({node.name}, along)
        link = link_under(node, session.interface)
        return link is None or not self.is_broken(link)

    def _inside_planes(self, family: str) -> dict[str, set[str]]:
        """Return the steps between core routers that OSPF can take."""
        along: dict[str, set[str]] = defaultdict(set)
        for link in self.nation.links:
            if (
                is_backbone(self.nation, link)
                and not self.is_broken(link.name)
                and self.adjacencies.get((link.name, family)) is not False
                and not self.dead.intersection(link.ends)
            ):
                lower, upper = link.ends
                along[lower].add(upper)
                along[upper].add(lower)
        return along

    @cached_property
    def without_routing(self) -> frozenset[str]:
        """The live nodes that could have several sessions and have none: their routing itself is broken.

        Where that could be said of both ends of a session, it is said of the one that lost more.
        """
        lost: dict[str, set[str]] = defaultdict(set)  # by node, the far ends of sessions that could be up and are down
        working: set[str] = set()
        for name, family in self._possible:
            node, session = self._declared[name]
            for near, far in ((node.name, session.peer), (session.peer, node.name)):
                if self.sessions.get((name, family)) is False:
                    lost[near].add(far)
                else:
                    working.add(near)
        broken: set[str] = set()
        for node_name in sorted(lost.keys() - working, key=lambda one: (-len(lost[one]), one)):
            if len(lost[node_name] - broken) >= LEAST_SESSIONS_OF_A_ROUTING_FAILURE:
                broken.add(node_name)
        return frozenset(broken)

    def isolated(self, family: str) -> frozenset[str]:
        """Return the live nodes to which no chain of sessions leads from the vantage in the family."""
        reached = self._reached(family) | self.dead
        return frozenset(node.name for node in self.nation.nodes if node.name not in reached)

    def _reached(self, family: str) -> set[str]:
        """Climb, cross inside one plane, descend: what came down is never announced up again."""
        up: dict[str, set[str]] = defaultdict(set)
        along: dict[str, set[str]] = defaultdict(set)
        down: dict[str, set[str]] = defaultdict(set)
        for name, (node, session) in self._declared.items():
            if (name, family) not in self._possible or self.sessions.get((name, family)) is False:
                continue
            if session.kind is SessionKind.INTERNAL:
                along[node.name].add(session.peer)
                along[session.peer].add(node.name)
            else:
                up[node.name].add(session.peer)
                down[session.peer].add(node.name)
        return _closure(_closure(_closure({self.vantage}, up), along), down)


def _closure(start: Iterable[str], steps: Mapping[str, set[str]]) -> set[str]:
    reached = set(start)
    frontier = reached
    while frontier:
        frontier = {there for here in frontier for there in steps.get(here, ())} - reached
        reached = reached | frontier
    return reached
