"""Whom a change touches: the platforms, agencies and communes that depend on a node or on a cluster's object. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from inventories.model import Nation
from stacks.changes import ObjectChange


@dataclass(frozen=True, kw_only=True)
class BlastRadius:
    """Whom something touches, by identifier; `platforms` includes those that depend on a touched one."""

    platforms: tuple[str, ...] = ()
    agencies: tuple[str, ...] = ()
    communes: tuple[str, ...] = ()

    def __or__(self, other: BlastRadius) -> BlastRadius:
        """Return whom either touches."""
        return BlastRadius(
            platforms=_joined(self.platforms, other.platforms),
            agencies=_joined(self.agencies, other.agencies),
            communes=_joined(self.communes, other.communes),
        )


def _joined(*many: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({one for each in many for one in each}))


def of_platforms(nation: Nation, identifiers: Iterable[str]) -> BlastRadius:
    """Return whom changes to these platforms touch: themselves, whatever needs them, and the owners of all."""
    touched: set[str] = set()
    frontier = set(identifiers)
    while frontier:
        touched |= frontier
        frontier = {platform.id for platform in nation.platforms if frontier & set(platform.needs)} - touched
    owners = (nation.platform_by_id[identifier].owner for identifier in touched)
    return BlastRadius(platforms=_joined(touched), agencies=_joined(owners))


def of_object(nation: Nation, cluster: str, change: ObjectChange) -> BlastRadius:
    """Return whom a change to an object touches: its namespace's platform, or every platform of the cluster."""
    running = nation.platforms_on(nation.cluster_by_id[cluster])
    room = change.name if change.kind == "Namespace" else change.namespace
    return of_platforms(nation, (platform.id for platform in running if not room or platform.namespace == room))


def of_node(nation: Nation, name: str) -> BlastRadius:
    """Return whom a change to a node touches: communes whose traffic can pass it, platforms of its cluster."""
    node = nation.node_by_name[name]
    communes = _joined(*(link.communes for link in nation.links if name in link.ends))
    hosted = nation.platforms_on(nation.cluster_by_id[node.cluster]) if node.cluster else ()
    platforms = of_platforms(nation, (platform.id for platform in hosted))
    return platforms | BlastRadius(communes=communes)
